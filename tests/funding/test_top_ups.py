"""A purchase that is short, from the network's request to the books of both sides."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulators.funding_source.faults import Fault, FaultKind
from switch.contracts.message import Kind, StandIn
from switch.contracts.top_up import TopUpPolicy
from switch.journal import reads
from switch.journal.bridge import on_asyncio
from tests.funding.desk import at_the_desk
from tests.issuer.support import a_program, original_of
from tests.journal.server import Database

K = FaultKind


def times(kind: FaultKind, call: str = "charge", count: int | None = 1, **more: object) -> Fault:
    return Fault(kind=kind, call=call, count=count, **more)  # type: ignore[arg-type]  # the row's own fields


ROWS: dict[str, tuple[tuple[Fault, ...], str, str, tuple[int, int]]] = {
    # what goes wrong; what the network hears; how the attempt ends; posted and held afterwards
    "nothing": ((), "approved", "booked", (1_500, 1_500)),
    "declined": ((times(K.DECLINE),), "insufficient_funds", "declined", (1_000, 0)),
    "silent, taken": ((times(K.SILENT_AFTER),), "approved", "booked", (1_500, 1_500)),
    "silent, not taken": ((times(K.SILENT_BEFORE),), "insufficient_funds", "not_charged", (1_000, 0)),
    "busy at first": ((times(K.BUSY, count=2),), "approved", "booked", (1_500, 1_500)),
    "too much taken": ((times(K.WRONG_AMOUNT, off_by_minor=50),), "insufficient_funds", "voided", (1_000, 0)),
    "too much taken, void refused": (
        (times(K.WRONG_AMOUNT, off_by_minor=50), times(K.DECLINE, "void")),
        "insufficient_funds", "credited", (1_550, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
async def test_a_purchase_that_is_short(database: Database, tmp_path: Path, row: str) -> None:
    faults, heard, end, figures = ROWS[row]
    async with at_the_desk(database, tmp_path, *faults) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        assert await daemon.ask(daemon.purchase(client)) == heard
        (attempt,) = await desk.ended(client)
        assert (attempt.state, attempt.amount) == (end, 500)
        assert await desk.figures(client) == figures
        await desk.check(client)


async def test_an_approval_tells_how_it_was_decided_after_the_top_up(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        assert await daemon.ask(daemon.purchase(client)) == "approved"
        assert await daemon.ask(daemon.purchase(client, 1_000_000_000_000)) == "insufficient_funds"
        (attempt,) = await desk.ended(client)
        connection = await on_asyncio(desk.counter.staff)
        refused, approved = await on_asyncio(partial(reads.explain, connection, account_id=client.account_id, key=None))
        first, last = approved["trace"][0], approved["trace"][-1]
        assert (first["rule"], first["verdict"]) == ("top_up", "charged")
        assert first["seen"] == {"attempt": attempt.key, "amount": 500, "provider": "acme"}
        assert (last["rule"], last["verdict"], last["seen"]["spendable"]) == ("funds", "pass", 1_500)
        assert (refused["trace"][-1]["rule"], refused["trace"][-1]["verdict"]) == ("top_up", "over_top_up_cap")


async def test_a_single_message_is_posted(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        assert await daemon.ask(desk.counter.request(client, Kind.FINANCIAL, 1_500)) == "approved"
        assert await desk.figures(client) == (0, 0)
        await desk.check(client)


SLOW = times(K.SLOW, seconds=0.8)


async def test_others_go_on_while_one_waits(database: Database, tmp_path: Path) -> None:
    """On the same account: what is there can be spent, and the one that waits is then short still."""
    async with at_the_desk(database, tmp_path, SLOW) as desk, desk.daemon() as daemon:
        client, other = await desk.client(1_000), await desk.client(1_000, source=False)
        waiting = await daemon.say(daemon.purchase(client))
        await desk.until(client, "sent")
        assert await daemon.ask(daemon.purchase(client, 300)) == "approved"
        assert await daemon.ask(daemon.purchase(other, 900)) == "approved"
        assert not waiting.settled
        (attempt,) = await desk.ended(client)
        assert (attempt.state, attempt.cause) == ("voided", "answered")
        assert await desk.path(client) == ["requested", "sent", "charged", "void_requested", "voided"]
        assert str(desk.line.sent[-1].reason) == "insufficient_funds"
        assert await desk.figures(client) == (1_000, 300)
        await desk.check(client)


@pytest.mark.parametrize("changes", [{}, {"retrieval_reference": ""}], ids=["all references", "DE90 alone"])
async def test_it_is_reversed_while_it_waits(database: Database, tmp_path: Path, changes: dict[str, str]) -> None:
    async with at_the_desk(database, tmp_path, SLOW) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request = daemon.purchase(client)
        await daemon.say(request)
        await desk.until(client, "sent")
        assert await daemon.ask(desk.counter.undo(client, request, **changes)) == "reversal_accepted"
        (attempt,) = await desk.ended(client)
        assert attempt.state == "voided"
        assert await daemon.ask(request) == "insufficient_funds"
        assert await desk.figures(client) == (1_000, 0)
        await desk.check(client)


async def test_the_card_is_locked_while_it_waits(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path, SLOW) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        await daemon.say(daemon.purchase(client))
        await desk.until(client, "sent")
        await desk.lock(client)
        (attempt,) = await desk.ended(client)
        assert attempt.state == "voided"
        assert await desk.figures(client) == (1_000, 0)
        await desk.check(client)


@pytest.mark.parametrize(("policy", "heard"), [("declined", "insufficient_funds"), ("unavailable", "unavailable")])
async def test_the_budget_is_spent(database: Database, tmp_path: Path, policy: str, heard: str) -> None:
    """The network hears at once, and a repeat the same; the money comes back by itself."""
    more = {"budget_seconds": 0.3, "budget_answer": policy}
    async with at_the_desk(database, tmp_path, SLOW, **more) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request = daemon.purchase(client)
        assert await daemon.ask(request) == heard
        assert [row.wake_at is None for row in await desk.attempts(client)] == [False]
        (attempt,) = await desk.ended(client)
        assert attempt.state == "voided"
        assert await daemon.ask(request) == heard
        await desk.check(client)


@pytest.mark.parametrize("named_by", ["retrieval_reference", "original"])
@pytest.mark.parametrize(
    ("kind", "figures"), [(Kind.AUTHORIZATION_ADVICE, (1_000, 1_500)), (Kind.FINANCIAL_ADVICE, (-500, 0))]
)
async def test_the_network_decides_it_meanwhile(
    database: Database, tmp_path: Path, kind: Kind, figures: tuple[int, int], named_by: str
) -> None:
    """Its advice books the purchase, whatever the balance; the top-up, which is large, must not book it again."""
    programs = {"plain": a_program(top_up=TopUpPolicy(currency="JPY", minimum_minor=5_000))}
    async with at_the_desk(database, tmp_path, SLOW, programs=programs) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request = daemon.purchase(client)
        waiting = await daemon.say(request)
        await desk.until(client, "sent")
        names: dict[str, Any] = {
            "retrieval_reference": {"retrieval_reference": request.retrieval_reference},
            "original": {"retrieval_reference": "", "original": original_of(request)},
        }
        advice = desk.counter.request(client, kind, 1_500, stand_in=StandIn.APPROVED, **names[named_by])
        assert await daemon.ask(advice) == "advice_accepted"
        (attempt,) = await desk.ended(client)
        assert attempt.state == "voided"
        await daemon.settled(waiting)
        assert str(desk.line.sent[-1].reason) == "insufficient_funds"
        assert await desk.figures(client) == figures
        await desk.check(client)


async def test_a_repeat_hears_what_the_first_one_hears(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path, SLOW) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request = daemon.purchase(client)
        first = await daemon.say(request)
        await desk.until(client, "sent")
        assert await daemon.ask(request) == "approved"
        assert first.settled
        assert [str(answer.reason) for answer in desk.line.sent] == ["approved", "approved"]
        assert len(await desk.attempts(client)) == 1
        await desk.check(client)


async def test_a_reversal_afterwards_leaves_the_money_on_the_balance(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request = daemon.purchase(client)
        assert await daemon.ask(request) == "approved"
        assert await daemon.ask(desk.counter.undo(client, request)) == "reversal_accepted"
        assert await desk.figures(client) == (1_500, 0)
        await desk.check(client)


async def test_what_is_not_topped_up(database: Database, tmp_path: Path) -> None:
    """No source, a blocked one, more than a cap allows, and declines in a row."""
    policy = TopUpPolicy(currency="JPY", top_up_max_minor=600, daily_count_max=2, declines_max=1)
    decline = times(K.DECLINE, count=None, source="tok-declined")
    programs = {"plain": a_program(top_up=policy)}
    async with at_the_desk(database, tmp_path, decline, programs=programs) as desk, desk.daemon() as daemon:
        none, blocked, client = [await desk.client(1_000, source=False) for _ in range(3)]
        await desk.register(blocked, blocked=True)
        await desk.register(client, "tok-declined", preference=1)
        await desk.register(client, "tok-2", preference=2)
        for who in (none, blocked):
            assert await daemon.ask(daemon.purchase(who)) == "insufficient_funds"
            assert await desk.attempts(who) == []
        assert await daemon.ask(daemon.purchase(client, 1_601)) == "insufficient_funds"
        assert await desk.attempts(client) == []
        assert await daemon.ask(daemon.purchase(client)) == "approved"  # the first source declines, the second does not
        assert await daemon.ask(daemon.purchase(client, 600)) == "approved"  # the first one is left out from now on
        assert await daemon.ask(daemon.purchase(client, 600)) == "insufficient_funds"  # two a day
        assert [row.source for row in await desk.ended(client)] == ["tok-declined", "tok-2", "tok-2"]
        await desk.check(client)


async def test_a_program_without_it_declines_as_ever(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path, programs={"plain": a_program()}) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        assert await daemon.ask(daemon.purchase(client)) == "insufficient_funds"
        assert await desk.attempts(client) == []


async def test_a_dead_provider_costs_nobody_the_time_limit(database: Database, tmp_path: Path) -> None:
    """Its breaker opens; from then on nothing is parked for it."""
    async with at_the_desk(database, tmp_path, times(K.ERROR_BEFORE, "any", None)) as desk:
        desk.budget_seconds = 0.4
        async with desk.daemon() as daemon:
            clients = [await desk.client(1_000) for _ in range(6)]
            for client in clients[:5]:
                assert await daemon.ask(daemon.purchase(client)) == "insufficient_funds"
            assert daemon.top_ups.breakers["acme"].until is not None
            assert await daemon.ask(daemon.purchase(clients[5])) == "insufficient_funds"
            assert await desk.attempts(clients[5]) == []
