"""Steps of many attempts in one unit of work: what is wrong with one keeps no other from its step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from simulators.funding_source.faults import Fault, FaultKind
from switch.contracts.errors import InvariantBroken
from switch.contracts.top_up import TopUpPolicy
from switch.funding.event import Tick
from switch.funding.store import Advance
from switch.journal.bridge import on_asyncio
from switch.journal.funding_rows import AttemptRow
from switch.journal.funding_sheet import Change, Move, Purchase
from switch.journal.funding_unit import FundingUnit
from tests.funding.desk import PACE, at_the_desk
from tests.issuer.support import CODES, a_program
from tests.journal.server import Database

BUSY = Fault(kind=FaultKind.BUSY, call="charge", count=5)


def due(row: AttemptRow) -> Move:
    return Move(row.account_id, row.message_key, Advance(Tick(), PACE, ""))


def broken(_: Purchase) -> Change | None:
    raise ValueError("a defect")


async def test_one_poisonous_step_fails_alone(database: Database, tmp_path: Path) -> None:
    # No daemon takes over what another has left.
    async with at_the_desk(database, tmp_path, BUSY, lease_seconds=3.0) as desk:
        clients = [await desk.client(1_000) for _ in range(5)]
        rows = []
        for client in clients:
            assert await desk.dies_at("after:requested", client)
            rows += await desk.attempts(client)
        desk.counter.now = datetime.now(UTC) + timedelta(seconds=1)  # all of them are due
        unit = FundingUnit(database.settings(), desk.programs, CODES, desk.counter.clock)
        orders = [
            due(rows[0]),
            Move(rows[1].account_id, rows[1].message_key, broken),
            due(rows[2]),
            Move(
                rows[3].account_id, rows[3].message_key, lambda seen: Change((seen.attempt._replace(state="booked"),))
            ),
            due(rows[0]),  # the same attempt: the second one finds nothing to do any more
            Move(rows[4].account_id, b"no such message", broken),
            due(rows[4]),
        ]
        results = await on_asyncio(unit.carry_out, orders)
        await on_asyncio(unit.close)
        assert [type(one).__name__ for one in results] == [
            "NoneType",
            "ValueError",
            "NoneType",
            "JournalRefused",
            "NoneType",
            InvariantBroken.__name__,
            "NoneType",
        ]
        paths = [await desk.path(client) for client in clients]
        moved, stayed = ["requested", "sent", "requested", "sent"], ["requested", "sent", "requested"]
        assert paths == [moved, stayed, moved, stayed, moved]
        desk.counter.now = None
        async with desk.daemon():
            for client in clients:
                await desk.ended(client)
        await desk.check(*clients)


async def test_purchases_of_one_account_share_a_cap(database: Database, tmp_path: Path) -> None:
    """They come to the same unit of work, and each sees what the one before was parked with."""
    programs = {"plain": a_program(top_up=TopUpPolicy(currency="JPY", daily_count_max=2))}
    async with at_the_desk(database, tmp_path, programs=programs) as desk, desk.daemon() as daemon:
        client, other = await desk.client(1_000), await desk.client(1_000)
        who = [client, other] * 6
        arrivals = [await daemon.say(daemon.purchase(one)) for one in who]
        for arrival in arrivals:
            await daemon.settled(arrival)
        for one in (client, other):
            states = [row.state for row in await desk.ended(one)]
            assert len(states) == 2
            posted, held = await desk.figures(one)
            assert 0 <= held <= posted
        await desk.check(client, other)


async def test_many_at_once_are_all_topped_up(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path) as desk, desk.daemon() as daemon:
        clients = [await desk.client(1_000) for _ in range(40)]
        arrivals = [await daemon.say(daemon.purchase(client)) for client in clients]
        for arrival in arrivals:
            await daemon.settled(arrival)
        assert {str(answer.reason) for answer in desk.line.sent} == {"approved"}
        for client in clients:
            assert await desk.figures(client) == (1_500, 1_500)
        await desk.check(*clients)
