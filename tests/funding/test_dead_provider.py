"""A provider that is dead, and lives again: it is asked by one at a time, and costs those that wait no step."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from simulators.funding_source.faults import Fault, FaultKind, Faults, Script
from switch.funding.breaker import Breaker, BreakerRules, BreakerState
from switch.journal.bridge import on_asyncio
from tests.funding.desk import Daemon, Desk, at_the_desk
from tests.journal.counter import Client
from tests.journal.server import Database

DEAD = Fault(kind=FaultKind.ERROR_BEFORE, call="any")
RULES = BreakerRules(failures_max=2, pause_first_seconds=0.3, pause_max_seconds=20.0)


def impatient(desk: Desk, rules: BreakerRules = RULES) -> None:
    desk.budget_seconds = 0.4
    desk.stage = desk.stage._replace(settings=msgspec.structs.replace(desk.stage.settings, breaker=rules))


async def opened(desk: Desk, daemon: Daemon, count: int) -> list[Client]:
    """So many purchases, all at once; their attempts stay open."""
    clients = [await desk.client(1_000) for _ in range(count)]
    arrivals = [await daemon.say(daemon.purchase(client)) for client in clients]
    for arrival in arrivals:
        await daemon.settled(arrival)
    assert {str(answer.reason) for answer in desk.line.sent} == {"insufficient_funds"}
    assert daemon.top_ups.breakers["acme"].state is not BreakerState.CLOSED
    return clients


async def test_questions_wait_until_it_lives_again(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path, DEAD) as desk:
        impatient(desk)
        async with desk.daemon() as daemon:
            clients = await opened(desk, daemon, 8)
            before = daemon.top_ups.stats.calls.total()
            await trio.sleep(2.5)
            # Each by itself would ask three times a second; together they may at the ends of pauses that double.
            assert daemon.top_ups.stats.calls.total() - before <= 6
            assert {row.state for client in clients for row in await desk.attempts(client)} == {"unknown"}
            desk.stage.provider.faults = Faults(Script())
            for client in clients:
                assert [row.state for row in await desk.ended(client)] == ["not_charged"]
            assert daemon.top_ups.breakers["acme"].state is BreakerState.CLOSED
            assert await daemon.ask(daemon.purchase(clients[0])) == "approved"
            await desk.check(*clients)


async def test_purchases_are_declined_with_the_others_and_say_why(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path, DEAD) as desk:
        impatient(desk, BreakerRules(failures_max=1, pause_first_seconds=60.0, pause_max_seconds=60.0))
        async with desk.daemon() as daemon:
            await opened(desk, daemon, 1)
            assert not daemon.top_ups.asks
            parked = daemon.top_ups.stats.answers.total()
            client = await desk.client(1_000)
            assert await daemon.ask(daemon.purchase(client)) == "insufficient_funds"
            assert await daemon.ask(daemon.purchase(client, 700)) == "approved"
            assert daemon.top_ups.stats.answers.total() == parked, "nothing came to the driver"
            assert await desk.attempts(client) == []
            rows = await on_asyncio(desk.counter.table, "message_key", client)
            assert ["providers_away" in str(row["trace"]) for row in rows].count(True) == 1


async def test_one_purchase_is_let_through_to_find_out(database: Database, tmp_path: Path) -> None:
    """Many come when the pause is over: one waits for the provider, the others are declined."""
    async with at_the_desk(database, tmp_path, DEAD) as desk:
        impatient(desk, BreakerRules(failures_max=1, pause_first_seconds=60.0, pause_max_seconds=60.0))
        async with desk.daemon() as daemon:
            await opened(desk, daemon, 1)
            clients = [await desk.client(1_000) for _ in range(10)]
            breakers = daemon.top_ups._outside.breakers
            over = msgspec.structs.replace(breakers["acme"], until=desk.counter.clock())
            breakers["acme"] = over
            before = daemon.top_ups.stats.calls["charge", "unknown"]
            arrivals = [await daemon.say(daemon.purchase(client)) for client in clients]
            for arrival in arrivals:
                await daemon.settled(arrival)
            assert daemon.top_ups.stats.calls["charge", "unknown"] == before + 1
            assert sum([len(await desk.attempts(client)) for client in clients]) == 1


async def test_a_probe_that_is_not_made_is_handed_back(database: Database, tmp_path: Path) -> None:
    """The purchase that got it has no source; the next one finds out instead."""
    async with at_the_desk(database, tmp_path) as desk, desk.daemon() as daemon:
        without, client = await desk.client(1_000, source=False), await desk.client(1_000)
        daemon.top_ups._outside.breakers["acme"] = Breaker(
            state=BreakerState.OPEN, era=1, openings=1, until=desk.counter.clock()
        )
        assert await daemon.ask(daemon.purchase(without)) == "insufficient_funds"
        assert daemon.top_ups.breakers["acme"].state is BreakerState.OPEN
        assert await daemon.ask(daemon.purchase(client)) == "approved"
        assert daemon.top_ups.breakers["acme"].state is BreakerState.CLOSED
        await desk.check(client)
