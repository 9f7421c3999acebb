"""Commits whose end nobody hears of: the money is taken once, booked once, and the network hears what is true."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulators.funding_source.faults import Fault, FaultKind
from tests.funding.desk import at_the_desk
from tests.funding.refusal import When, refusing
from tests.funding.test_next_source import with_two_sources
from tests.journal.proxy import Plan, Proxy, proxy
from tests.journal.server import Database


@contextmanager
def man_in_the_middle(dsn: str) -> Iterator[Proxy]:
    """The proxy, on a loop and a thread of its own."""
    told: queue.SimpleQueue[tuple[Proxy, asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def serve() -> None:
        async with proxy(dsn) as middle:
            stop = asyncio.Event()
            told.put((middle, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    middle, loop, stop = told.get(timeout=10)
    try:
        yield middle
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


BOOKED = ("approved", "booked", (1_500, 1_500))
#: The row says that the charge went out, and nobody knows that it did not: the query closes its key.
NEVER_SENT = ("insufficient_funds", "not_charged", (1_000, 0))


BUSY = Fault(kind=FaultKind.BUSY, call="charge", count=1)
#: What the provider does, and what the database refuses, so that somebody comes to the point.
POINTS: dict[str, tuple[tuple[Fault, ...], When | None]] = {
    "before:park": ((), None),
    "before:chargeanswered": ((), None),
    "before:tick": ((BUSY,), None),
    "before:book": ((), "at once"),
}


@pytest.mark.parametrize("plan", [Plan.DROP_BEFORE, Plan.DROP_AFTER])
@pytest.mark.parametrize("point", POINTS)
async def test_the_connection_breaks_while_it_commits(
    database: Database, tmp_path: Path, point: str, plan: Plan
) -> None:
    with man_in_the_middle(database.dsn()) as middle:
        struck: list[str] = []

        def strike(here: str) -> None:
            if here == point and not struck:
                struck.append(here)
                middle.plan = plan

        faults, refuses = POINTS[point]
        async with (
            at_the_desk(database, tmp_path, *faults) as desk,
            refusing(desk.counter, refuses),
            desk.daemon(strike, dsn=middle.dsn) as daemon,
        ):
            client = await desk.client(1_000)
            heard, state, figures = NEVER_SENT if (point, plan) == ("before:tick", Plan.DROP_AFTER) else BOOKED
            assert await daemon.ask(daemon.purchase(client)) == heard
            assert struck == [point]
            assert middle.plan is Plan.FORWARD, "the commit was met"
            (attempt,) = await desk.ended(client)
            assert attempt.state == state
            assert await desk.figures(client) == figures
            await desk.check(client)


async def test_the_connection_breaks_while_the_next_source_begins(database: Database, tmp_path: Path) -> None:
    """The row says that its charge is under way, and this daemon knows that it is not: it goes out, once."""
    decline = Fault(kind=FaultKind.DECLINE, call="charge", source="tok-first")
    with man_in_the_middle(database.dsn()) as middle:
        struck: list[str] = []

        def strike(here: str) -> None:
            if here == "before:chargeanswered" and not struck:
                struck.append(here)
                middle.plan = Plan.DROP_AFTER

        async with at_the_desk(database, tmp_path, decline) as desk, desk.daemon(strike, dsn=middle.dsn) as daemon:
            client = await with_two_sources(desk)
            assert await daemon.ask(daemon.purchase(client)) == "approved"
            assert middle.plan is Plan.FORWARD, "the commit was met"
            attempts = await desk.ended(client)
            assert [(one.source, one.state, one.calls) for one in attempts] == [
                ("tok-first", "declined", 1),
                ("tok-second", "booked", 1),
            ]
            await desk.check(client)
