"""The daemon dies at every step, under every fault of the provider's, and another one goes on: then the provider's books,
the journal and the acquirer's books agree to the yen.

The table that the README has of the machine is made here by whole daemons: an acquirer network on real links, the
provider behind a real socket, a real database, and a fault point that ends the daemon exactly there. What each cell
came to stands at the end of a test run (see tests/summary.py). Cells wait most of the time, so several run at once, each
with a database and a provider of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from simulators.funding_source.faults import Fault, FaultKind
from simulators.network import Habits
from switch.funding.pace import Pace
from tests.funding.acquirer import HABITS, STANDS_IN, Acquirer
from tests.funding.desk import PACE, SHORT, Desk, Killed, at_the_desk
from tests.funding.refusal import When, refusing
from tests.funding.three_books import disagreements
from tests.journal.server import Database, Server
from tests.summary import Cells

K = FaultKind
AT_ONCE = 8
LATE_SECONDS = 4.0
# Where an answer never comes the limits are short; elsewhere a busy machine gets all the time it wants.
GENEROUS = {"connect_seconds": 5.0, "answer_seconds": 15.0}
GENEROUS_PACE = Pace(answer_seconds=20, pause_first_seconds=0.05, pause_max_seconds=0.3)


def times(kind: FaultKind, call: str = "charge", count: int | None = 1, **more: object) -> Fault:
    return Fault(kind=kind, call=call, count=count, **more)  # type: ignore[arg-type]  # the row's own fields


class Weather(NamedTuple):
    ends: str  # the column of ENDS that it belongs to
    faults: tuple[Fault, ...] = ()
    habits: Habits = HABITS
    refuses: When | None = None  # the database, to book

    @property
    def short(self) -> bool:
        """Whether something is never answered."""
        return any(one.kind in (K.SILENT_BEFORE, K.SILENT_AFTER) or one.seconds > 1 for one in self.faults)


WEATHERS: dict[str, Weather] = {
    "nothing goes wrong": Weather("answered"),
    "slow": Weather("answered", (times(K.SLOW, seconds=0.2),)),
    "answers twice": Weather("answered", (times(K.DUPLICATE, "any", None),)),
    "the network stands in": Weather("answered", (), STANDS_IN),
    "declined": Weather("declined", (times(K.DECLINE),)),
    "time-out, taken": Weather("taken", (times(K.SILENT_AFTER),)),
    "time-out, taken; the network stands in": Weather("taken", (times(K.SILENT_AFTER),), STANDS_IN),
    "500, taken": Weather("taken", (times(K.ERROR_AFTER),)),
    "reset, taken": Weather("taken", (times(K.RESET_AFTER),)),
    "taken, and unknown on query for a while": Weather("taken", (times(K.UNKNOWN), times(K.UNKNOWN, "query", 3))),
    "time-out, not taken": Weather("lost", (times(K.SILENT_BEFORE),)),
    "time-out, and the charge comes much later": Weather("lost", (times(K.SLOW, seconds=LATE_SECONDS),)),
    "500, not taken": Weather("lost", (times(K.ERROR_BEFORE),)),
    "reset, not taken": Weather("lost", (times(K.RESET_BEFORE),)),
    "wrong amount": Weather("wrong", (times(K.WRONG_AMOUNT, off_by_minor=50),)),
    "wrong amount, void refused": Weather(
        "refused", (times(K.WRONG_AMOUNT, off_by_minor=-50), times(K.DECLINE, "void"))
    ),
    "busy at first": Weather("busy", (times(K.BUSY),)),
    "busy at first, then declined": Weather("busy, declined", (times(K.BUSY), times(K.DECLINE))),
    "busy at first, then time-out, taken": Weather("busy, taken", (times(K.BUSY), times(K.SILENT_AFTER))),
    "the database does not book at once": Weather("apart", (), refuses="at once"),
    "nor does it, and a time-out, taken": Weather("apart, taken", (times(K.SILENT_AFTER),), refuses="at once"),
    "the database does not book": Weather("unbooked", (), refuses="ever"),
}
COLUMNS = ("answered", "declined", "taken", "lost", "wrong", "refused")
MORE_COLUMNS = ("busy", "busy, declined", "busy, taken", "apart", "apart, taken", "unbooked")
#: Where the daemon dies, and how it ends then ("-": it never gets there, and ends as without a death). "nothing": no
#: attempt was stored.
ENDS: dict[str, tuple[str, str, str, str, str, str]] = {
    #                        answered    declined       taken         lost           wrong            void refused
    "before:park":          ("nothing",) * 6,
    "after:park":           ("not_charged",) * 6,
    "before:callcharge":    ("not_charged",) * 6,
    "answered:callcharge":  ("voided",   "not_charged", "voided",      "not_charged", "voided",        "credited"),
    "before:chargeanswered": ("voided",  "not_charged", "voided",      "not_charged", "voided",        "credited"),
    "after:unknown":        ("-",        "-",         "voided",      "not_charged", "-",             "-"),
    "before:tick":          ("-",        "-",         "voided",      "not_charged", "-",             "-"),
    "after:queried":        ("-",        "-",         "voided",      "not_charged", "-",             "-"),
    "answered:callquery":   ("-",        "-",         "voided",      "not_charged", "-",             "-"),
    "before:queryanswered": ("-",        "-",         "voided",      "not_charged", "-",             "-"),
    "after:booked":         ("booked",   "-",         "booked",      "-",           "-",             "-"),
    "after:declined":       ("-",        "declined",  "-",           "-",           "-",             "-"),
    "after:not_charged":    ("-",        "-",         "-",           "not_charged", "-",             "-"),
    "after:void_requested": ("-",        "-",         "-",           "-",           "voided",        "credited"),
    "before:callvoid":      ("-",        "-",         "-",           "-",           "voided",        "credited"),
    "answered:callvoid":    ("-",        "-",         "-",           "-",           "voided",        "credited"),
    "before:voidanswered":  ("-",        "-",         "-",           "-",           "voided",        "credited"),
    "after:voided":         ("-",        "-",         "-",           "-",           "voided",        "-"),
    "after:credited":       ("-",        "-",         "-",           "-",           "-",             "credited"),
}  # fmt: skip
#: The same where a charge was not sent and goes out again, and where the database refuses to book: at once, so that the
#: word of the money is stored by itself; or at all.
MORE_ENDS: dict[str, tuple[str, str, str, str, str, str]] = {
    #                        busy           busy, declined  busy, taken     apart          apart, taken   unbooked
    "before:park":          ("nothing",) * 6,
    "after:park":           ("not_charged",) * 6,
    "before:callcharge":    ("not_charged",) * 6,
    "answered:callcharge":  ("not_charged", "not_charged", "not_charged", "voided",      "voided",      "voided"),
    "before:chargeanswered": ("not_charged", "not_charged", "not_charged", "voided",     "voided",      "voided"),
    "after:requested":      ("declined",    "declined",    "declined",    "-",           "-",           "-"),
    "before:tick":          ("declined",    "declined",    "declined",    "-",           "voided",      "-"),
    "after:sent":           ("not_charged", "not_charged", "not_charged", "-",           "-",           "-"),
    "after:unknown":        ("-",           "-",           "voided",      "-",           "voided",      "-"),
    "after:queried":        ("-",           "-",           "voided",      "-",           "voided",      "-"),
    "answered:callquery":   ("-",           "-",           "voided",      "-",           "voided",      "-"),
    "before:queryanswered": ("-",           "-",           "voided",      "-",           "voided",      "-"),
    "after:charged":        ("-",           "-",           "-",           "voided",      "voided",      "voided"),
    "before:book":          ("-",           "-",           "-",           "voided",      "voided",      "voided"),
    "before:purchaserefused": ("-",         "-",           "-",           "-",           "-",           "voided"),
    "after:booked":         ("booked",      "-",           "booked",      "booked",      "booked",      "-"),
    "after:declined":       ("-",           "declined",    "-",           "-",           "-",           "-"),
    "after:void_requested": ("-",           "-",           "-",           "-",           "-",           "voided"),
    "before:callvoid":      ("-",           "-",           "-",           "-",           "-",           "voided"),
    "answered:callvoid":    ("-",           "-",           "-",           "-",           "-",           "voided"),
    "before:voidanswered":  ("-",           "-",           "-",           "-",           "-",           "voided"),
    "after:voided":         ("-",           "-",           "-",           "-",           "-",           "voided"),
}  # fmt: skip
#: In the order in which a purchase gets there.
POINTS = (
    "before:park", "after:park", "before:callcharge", "answered:callcharge", "before:chargeanswered",
    "after:requested", "after:unknown", "before:tick", "after:sent", "after:queried", "answered:callquery",
    "before:queryanswered", "after:charged", "before:book", "before:purchaserefused", "after:booked", "after:declined",
    "after:not_charged", "after:void_requested", "before:callvoid", "answered:callvoid", "before:voidanswered",
    "after:voided", "after:credited",
)  # fmt: skip


def expected_ends(weather: str) -> dict[str, str]:
    """By the points where the daemon dies."""
    ends = WEATHERS[weather].ends
    rows, columns = (ENDS, COLUMNS) if ends in COLUMNS else (MORE_ENDS, MORE_COLUMNS)
    column = columns.index(ends)
    return {point: row[column] for point, row in rows.items() if row[column] != "-"}


@pytest.fixture(scope="module")
def databases(postgres: Server) -> list[Database]:
    """A daemon takes over what any other of its database has left, so cells that run at once share none."""
    return [postgres.migrated() for _ in range(AT_ONCE)]


@pytest.mark.parametrize("weather", WEATHERS)
async def test_it_dies(databases: list[Database], tmp_path: Path, weather: str, cells: Cells) -> None:
    expected = expected_ends(weather)
    came_to: dict[str, str] = {}
    points = iter(expected)

    async def worker(number: int) -> None:
        for point in points:
            directory = tmp_path / point.replace(":", "-")
            directory.mkdir()
            came_to[point] = await cell(databases[number], directory, WEATHERS[weather], point)

    async with trio.open_nursery() as nursery:
        for number in range(AT_ONCE):
            nursery.start_soon(worker, number)
    for point in POINTS:
        cells(point, weather, came_to.get(point, "-"))
    assert came_to == expected


async def cell(database: Database, directory: Path, weather: Weather, point: str) -> str:
    """Where the attempt ended, or what was wrong."""
    more: dict[str, Any] = (
        {"pace": PACE, "provider": SHORT} if weather.short else {"pace": GENEROUS_PACE, "provider": GENEROUS}
    )
    more["lease_seconds"] = 0.3
    async with (
        at_the_desk(database, directory, *weather.faults, **more) as desk,
        refusing(desk.counter, weather.refuses),
        trio.open_nursery() as outside,
    ):
        client = await desk.client(1_000)
        acquirer = await death(desk, outside, [client], weather.habits, point)
        if acquirer is None:
            return "nobody came there"
        async with desk.daemon() as daemon:
            acquirer.moves_to(daemon)
            await acquirer.network.settled()
            attempts = await desk.ended(client) if point != "before:park" else await desk.attempts(client)
            if any(fault.seconds > 1 for fault in weather.faults):
                await trio.sleep(LATE_SECONDS)  # what was on its way all the time arrives
            wrong = await disagreements(desk, acquirer, [client])
        outside.cancel_scope.cancel()
    return "; ".join(wrong or [attempt.state for attempt in attempts] or ["nothing"])


async def death(
    desk: Desk, outside: trio.Nursery, clients: Sequence[Any], habits: Habits, point: str
) -> Acquirer | None:
    """A purchase of 1,500 where 1,000 are, and the daemon dies at this point; None where it does not get there."""

    def fault(here: str) -> None:
        if here == point:
            raise Killed

    acquirer: Acquirer | None = None
    try:
        async with desk.daemon(fault) as daemon:
            acquirer = Acquirer(daemon, clients, 1_000, habits)
            await outside.start(acquirer.network.run)
            outside.start_soon(acquirer.network.request, acquirer.purchase(clients[0]))
            await trio.sleep(30)
    except BaseExceptionGroup as group:
        if group.split(Killed)[1] is not None:
            raise
        return acquirer
    return None
