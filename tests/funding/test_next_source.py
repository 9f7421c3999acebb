"""A source declines, and the next one is asked for the same purchase: never while the first may still take the money."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from simulators.funding_source.faults import Fault, FaultKind
from switch.contracts.top_up import TopUpPolicy
from switch.journal import funding_rows
from switch.journal.bridge import on_asyncio
from tests.funding.desk import Desk, at_the_desk
from tests.issuer.support import a_program
from tests.journal.counter import Client
from tests.journal.server import Database

K = FaultKind


def times(kind: FaultKind, call: str = "charge", count: int | None = 1, **more: object) -> Fault:
    return Fault(kind=kind, call=call, count=count, **more)  # type: ignore[arg-type]  # the row's own fields


def of_first(kind: FaultKind, **more: object) -> Fault:
    return times(kind, source="tok-first", **more)


def of_second(kind: FaultKind, **more: object) -> Fault:
    return times(kind, source="tok-second", **more)


async def with_two_sources(desk: Desk) -> Client:
    client = await desk.client(1_000, source=False)
    await desk.register(client, "tok-first", preference=1)
    await desk.register(client, "tok-second", preference=2)
    return client


Ends = list[tuple[str, str, str]]  # source, state, purchase
DECLINED = ("tok-first", "declined", "passed_on")

ROWS: dict[str, tuple[tuple[Fault, ...], str, Ends, tuple[int, int]]] = {
    # what goes wrong; what the network hears; how the attempts end; posted and held afterwards
    "declined": ((of_first(K.DECLINE),), "approved", [DECLINED, ("tok-second", "booked", "approved")], (1_500, 1_500)),
    "both decline": (
        (of_first(K.DECLINE), of_second(K.DECLINE)),
        "insufficient_funds", [DECLINED, ("tok-second", "declined", "declined")], (1_000, 0),
    ),
    "silent, not taken": (
        (of_first(K.SILENT_BEFORE),),
        "approved", [("tok-first", "not_charged", "passed_on"), ("tok-second", "booked", "approved")], (1_500, 1_500),
    ),
    "silent, taken": ((of_first(K.SILENT_AFTER),), "approved", [("tok-first", "booked", "approved")], (1_500, 1_500)),
    "declined, then silent": (
        (of_first(K.DECLINE), of_second(K.SILENT_AFTER)),
        "approved", [DECLINED, ("tok-second", "booked", "approved")], (1_500, 1_500),
    ),
    "declined, then too much": (
        (of_first(K.DECLINE), of_second(K.WRONG_AMOUNT, off_by_minor=50)),
        "insufficient_funds", [DECLINED, ("tok-second", "voided", "declined")], (1_000, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
async def test_the_next_source_is_asked(database: Database, tmp_path: Path, row: str) -> None:
    faults, heard, ends, figures = ROWS[row]
    async with at_the_desk(database, tmp_path, *faults) as desk, desk.daemon() as daemon:
        client = await with_two_sources(desk)
        request = daemon.purchase(client)
        assert await daemon.ask(request) == heard
        attempts = await desk.ended(client)
        assert [(one.source, one.state, one.purchase) for one in attempts] == ends
        assert len({one.key for one in attempts}) == len({one.turn for one in attempts}) == len(ends)
        assert len({one.budget_until for one in attempts}) == 1
        assert await desk.figures(client) == figures
        assert await daemon.ask(request) == heard
        await desk.check(client)


async def test_doubt_about_the_first_asks_no_other(database: Database, tmp_path: Path) -> None:
    """The purchase is declined when its time is over, and the second source never hears of it."""
    faults = [of_first(K.SILENT_BEFORE), times(K.UNKNOWN, "query", 6)]
    async with at_the_desk(database, tmp_path, *faults, budget_seconds=1.6) as desk, desk.daemon() as daemon:
        client = await with_two_sources(desk)
        assert await daemon.ask(daemon.purchase(client)) == "insufficient_funds"
        assert [(one.source, one.state) for one in await desk.ended(client)] == [("tok-first", "not_charged")]
        await desk.check(client)


async def test_another_is_asked_only_in_time(database: Database, tmp_path: Path) -> None:
    more: dict[str, Any] = {"budget_seconds": 6.0, "next_source_seconds": 6.0}
    async with at_the_desk(database, tmp_path, of_first(K.DECLINE), **more) as desk, desk.daemon() as daemon:
        client = await with_two_sources(desk)
        assert await daemon.ask(daemon.purchase(client)) == "insufficient_funds"
        assert [one.purchase for one in await desk.ended(client)] == ["declined"]


async def test_what_was_declined_takes_no_room_under_the_caps(database: Database, tmp_path: Path) -> None:
    policy = TopUpPolicy(currency="JPY", daily_count_max=1, daily_max_minor=500, monthly_max_minor=500)
    programs = {"plain": a_program(top_up=policy)}
    async with at_the_desk(database, tmp_path, of_first(K.DECLINE), programs=programs) as desk, desk.daemon() as daemon:
        client = await with_two_sources(desk)
        assert await daemon.ask(daemon.purchase(client)) == "approved"
        assert await daemon.ask(daemon.purchase(client)) == "insufficient_funds"  # one a day
        await desk.check(client)


async def test_the_next_one_keeps_the_caps(database: Database, tmp_path: Path) -> None:
    """Money is spent while the first source is slow: what the second one would be charged now is over the cap."""
    programs = {"plain": a_program(top_up=TopUpPolicy(currency="JPY", top_up_max_minor=600))}
    faults = [of_first(K.SILENT_BEFORE)]
    async with at_the_desk(database, tmp_path, *faults, programs=programs) as desk, desk.daemon() as daemon:
        client = await with_two_sources(desk)
        waiting = await daemon.say(daemon.purchase(client))
        await desk.until(client, "sent")
        assert await daemon.ask(daemon.purchase(client, 300)) == "approved"
        await daemon.settled(waiting)
        assert str(desk.line.sent[-1].reason) == "insufficient_funds"
        assert [(one.state, one.purchase) for one in await desk.ended(client)] == [("not_charged", "declined")]
        await desk.check(client)


async def test_it_is_reversed_while_the_second_is_asked(database: Database, tmp_path: Path) -> None:
    faults = of_first(K.DECLINE), of_second(K.SLOW, seconds=0.8)
    async with at_the_desk(database, tmp_path, *faults) as desk, desk.daemon() as daemon:
        client = await with_two_sources(desk)
        request = daemon.purchase(client)
        await daemon.say(request)
        with trio.fail_after(30):
            while [one.state for one in await desk.attempts(client)] != ["declined", "sent"]:  # noqa: ASYNC110 -- a row tells nobody
                await trio.sleep(0.01)
        assert await daemon.ask(desk.counter.undo(client, request)) == "reversal_accepted"
        assert [one.state for one in await desk.ended(client)] == ["declined", "voided"]
        assert await desk.figures(client) == (1_000, 0)
        await desk.check(client)


#: Where the daemon dies and at which time it is there, when the first source declines; and how the attempts end then.
POINTS: dict[tuple[str, int], list[str]] = {
    ("answered:callcharge", 1): ["not_charged"],
    ("before:chargeanswered", 1): ["not_charged"],
    ("after:declined", 1): ["declined", "not_charged"],
    ("before:callcharge", 2): ["declined", "not_charged"],
    ("answered:callcharge", 2): ["declined", "voided"],
    ("before:chargeanswered", 2): ["declined", "voided"],
    ("after:booked", 1): ["declined", "booked"],
}


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[0]} {point[1]}")
async def test_it_dies(database: Database, tmp_path: Path, point: tuple[str, int]) -> None:
    async with at_the_desk(database, tmp_path, of_first(K.DECLINE)) as desk:
        client = await with_two_sources(desk)
        assert await desk.dies_at(point[0], client, time=point[1]), f"nobody came to {point}"
        await desk.go_on(client)
        attempts = await desk.ended(client)
        assert [one.state for one in attempts] == POINTS[point]
        assert sum(one.purchase in ("waiting", "approved") for one in attempts) == (attempts[-1].state == "booked")
        assert await desk.figures(client) == ((1_500, 1_500) if attempts[-1].state == "booked" else (1_000, 0))
        (message,) = await on_asyncio(desk.counter.table, "message_key", client)
        assert message["state"] == "answered"
        await desk.check(client)


@pytest.mark.parametrize(("reason", "counted"), [("insufficient_funds", 1), ("rejected", 0), ("key_closed", 0)])
async def test_a_decline_for_a_fault_of_ours_is_not_held_against_the_source(
    database: Database, tmp_path: Path, reason: str, counted: int
) -> None:
    declines = of_first(K.DECLINE, reason=reason)
    async with at_the_desk(database, tmp_path, declines) as desk, desk.daemon() as daemon:
        client = await with_two_sources(desk)
        assert await daemon.ask(daemon.purchase(client)) == "approved"

        async def ask() -> tuple[funding_rows.SourceRow, ...]:
            return (await funding_rows.load_sources(await desk.counter.root(), [client.account_id]))[client.account_id]

        assert [(row.token, row.declines) for row in await on_asyncio(ask)] == [
            ("tok-first", counted),
            ("tok-second", 0),
        ]
        await desk.check(client)
