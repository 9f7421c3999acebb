"""Two steps of an attempt in one commit: parked and sent, charged and booked. Each has its row, and where the second one
can't be, the first one is stored by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from simulators.funding_source.faults import Fault, FaultKind
from switch.contracts.errors import InvariantBroken
from switch.funding.scribe import Scribe
from switch.issuer.books import Books
from switch.journal import funding_rows
from switch.journal.bridge import on_asyncio
from switch.journal.funding_rows import StepShown
from switch.journal.funding_sheet import Order, Park, Parked
from tests.funding.desk import Desk, at_the_desk
from tests.funding.refusal import refusing
from tests.funding.test_next_source import with_two_sources
from tests.journal.counter import Client
from tests.journal.server import Database

K = FaultKind


def times(kind: FaultKind, call: str = "charge", count: int | None = 1, **more: Any) -> Fault:
    return Fault(kind=kind, call=call, count=count, **more)


async def steps(desk: Desk, client: Client) -> list[list[StepShown]]:
    """Of each attempt, as ``switch funding show`` tells them."""

    async def ask() -> list[list[StepShown]]:
        staff = await desk.counter.staff()
        rows = await funding_rows.attempts_of(staff, "account_id = $1", client.account_id)
        return [list(await funding_rows.steps_of(staff, row)) for row in sorted(rows, key=lambda row: row.turn)]

    return await on_asyncio(ask)


def moves(of: list[StepShown]) -> list[tuple[str, str, str, str]]:
    return [(one.before, one.after, one.cause, one.purchase) for one in of]


SENT = [("", "requested", "parked", "waiting"), ("requested", "sent", "due", "waiting")]
BOOKED = [("sent", "charged", "answered", "waiting"), ("charged", "booked", "booked", "approved")]


async def test_every_step_has_its_row(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        assert await daemon.ask(daemon.purchase(client)) == "approved"
        (told,) = await steps(desk, client)
        assert moves(told) == SENT + BOOKED
        parked, sent, charged, booked = told
        assert parked.at == sent.at < charged.at == booked.at
        (attempt,) = await desk.ended(client)
        assert (attempt.calls, attempt.tries, attempt.moved_at) == (1, 0, booked.at)
        await desk.check(client)


async def test_money_that_a_query_finds_is_spent_at_once(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path, times(K.ERROR_AFTER)) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        assert await daemon.ask(daemon.purchase(client)) == "approved"
        (told,) = await steps(desk, client)
        assert [one.after for one in told] == ["requested", "sent", "unknown", "queried", "charged", "booked"]
        assert told[-2].at == told[-1].at
        await desk.check(client)


async def test_a_refusal_of_the_rules_is_the_second_step(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path, times(K.SLOW, seconds=0.8)) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        waiting = await daemon.say(daemon.purchase(client))
        await desk.until(client, "sent")
        await desk.lock(client)
        await daemon.settled(waiting)
        await desk.ended(client)
        (told,) = await steps(desk, client)
        assert [one.after for one in told] == ["requested", "sent", "charged", "void_requested", "voided"]
        assert told[2].at == told[3].at
        assert told[3].cause == "card_changed"
        assert str(desk.line.sent[-1].reason) == "insufficient_funds"
        await desk.check(client)


async def test_the_next_source_begins_as_sent_too(database: Database, tmp_path: Path) -> None:
    decline = times(K.DECLINE, source="tok-first")
    async with at_the_desk(database, tmp_path, decline) as desk, desk.daemon() as daemon:
        client = await with_two_sources(desk)
        assert await daemon.ask(daemon.purchase(client)) == "approved"
        first, second = await steps(desk, client)
        assert moves(first) == [*SENT, ("sent", "declined", "answered", "passed_on")]
        assert moves(second) == SENT + BOOKED
        assert first[-1].at == second[0].at == second[1].at
        await desk.check(client)


async def test_what_was_not_sent_waits_for_its_time(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path, times(K.BUSY)) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        assert await daemon.ask(daemon.purchase(client)) == "approved"
        (told,) = await steps(desk, client)
        again = [("sent", "requested", "not_sent", "waiting"), ("requested", "sent", "due", "waiting")]
        assert moves(told) == SENT + again + BOOKED
        (attempt,) = await desk.ended(client)
        assert attempt.calls == 2
        await desk.check(client)


async def test_it_dies_between_the_commit_and_the_call(database: Database, tmp_path: Path) -> None:
    """The row says that the charge is under way, so the next daemon asks, and the provider closes the key."""
    async with at_the_desk(database, tmp_path) as desk:
        client = await desk.client(1_000)
        assert await desk.dies_at("after:park", client)
        (attempt,) = await desk.attempts(client)
        assert (attempt.state, attempt.calls, attempt.tries) == ("sent", 1, 1)
        assert desk.stage.provider.books.charges == {}
        await desk.go_on(client)
        assert await desk.path(client) == ["requested", "sent", "sent", "unknown", "queried", "not_charged"]
        assert desk.stage.provider.books.charges == {}
        assert await desk.figures(client) == (1_000, 0)
        await desk.check(client)


@pytest.mark.parametrize("policy", ["declined", "unavailable"])
async def test_a_commit_that_takes_all_the_time_is_followed_by_no_call(
    database: Database, tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Scribe.record

    async def slow(self: Scribe, order: Order) -> Parked | None:
        result = await record(self, order)
        if isinstance(order, Park):
            await trio.sleep(0.4)
        return result

    monkeypatch.setattr(Scribe, "record", slow)
    more: dict[str, Any] = {"budget_seconds": 0.3, "budget_answer": policy}
    async with at_the_desk(database, tmp_path, **more) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        heard = "insufficient_funds" if policy == "declined" else "unavailable"
        assert await daemon.ask(daemon.purchase(client)) == heard
        (attempt,) = await desk.ended(client)
        assert (attempt.state, attempt.cause) == ("declined", "not_sent")
        assert desk.stage.provider.books.charges == {}
        await desk.check(client)


# ── the second step can't be


async def test_word_of_the_money_is_stored_before_a_booking_that_was_refused(
    database: Database, tmp_path: Path
) -> None:
    async with (
        at_the_desk(database, tmp_path) as desk,
        refusing(desk.counter, "at once"),
        desk.daemon() as daemon,
    ):
        client = await desk.client(1_000)
        assert await daemon.ask(daemon.purchase(client)) == "approved"
        (told,) = await steps(desk, client)
        assert moves(told) == SENT + BOOKED
        assert told[2].at < told[3].at
        assert await desk.figures(client) == (1_500, 1_500)
        assert await desk.notices(client) == ["funding_topped_up"]
        await desk.check(client)


async def test_money_that_can_not_be_booked_goes_back(database: Database, tmp_path: Path) -> None:
    async with (
        at_the_desk(database, tmp_path) as desk,
        refusing(desk.counter, "ever"),
        desk.daemon() as daemon,
    ):
        client = await desk.client(1_000)
        assert await daemon.ask(daemon.purchase(client)) == "insufficient_funds"
        await desk.ended(client)
        assert await desk.path(client) == ["requested", "sent", "charged", "void_requested", "voided"]
        assert await desk.figures(client) == (1_000, 0)
        await desk.check(client)


async def test_one_that_is_refused_keeps_no_other_from_its_booking(database: Database, tmp_path: Path) -> None:
    """Their answers come together, and so they are in one unit."""
    async with at_the_desk(database, tmp_path, times(K.SLOW, count=None, seconds=0.5)) as desk, desk.daemon() as daemon:
        clients = [await desk.client(1_000) for _ in range(6)]
        arrivals = [await daemon.say(daemon.purchase(client)) for client in clients]
        for client in clients:
            await desk.until(client, "sent")
        await desk.lock(clients[2])
        for arrival in arrivals:
            await daemon.settled(arrival)
        ends = [(await desk.ended(client))[0].state for client in clients]
        assert ends == ["booked", "booked", "voided", "booked", "booked", "booked"]
        await desk.check(*clients)


def break_the_rules(patch: pytest.MonkeyPatch, defect: type[Exception]) -> None:
    def broken(*_: object) -> None:
        raise defect("a defect")

    patch.setattr(Books, "book_topped_up", broken)


BACK = ["requested", "sent", "charged", "void_requested", "void_requested", "voided"]  # the void is asked for anew


async def test_a_defect_of_the_rules_loses_no_word_of_the_money(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_the_rules(monkeypatch, ValueError)
    async with at_the_desk(database, tmp_path) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        await daemon.say(daemon.purchase(client))
        await desk.ended(client)
        assert await desk.path(client) == BACK
        await desk.check(client)


async def test_nor_does_a_broken_invariant_which_ends_the_daemon(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_the_desk(database, tmp_path) as desk:
        client = await desk.client(1_000)
        with monkeypatch.context() as patch, pytest.RaisesGroup(InvariantBroken, flatten_subgroups=True):
            break_the_rules(patch, InvariantBroken)
            async with desk.daemon() as daemon:
                await daemon.say(daemon.purchase(client))
                await trio.sleep(10)
        assert await desk.path(client) == ["requested", "sent", "charged"]
        await desk.go_on(client)
        assert await desk.path(client) == BACK
        await desk.check(client)
