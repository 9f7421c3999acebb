"""The daemon dies at every step, another one goes on: the provider's books and ours agree to the yen.

The table that the README has of the machine is made here by whole daemons: real sockets, a real database, and a fault
point that ends the daemon exactly there. It is printed when all rows have run (``pytest -s``, or when one fails).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.funding_source.faults import Fault, FaultKind
from tests.funding.desk import at_the_desk
from tests.journal.server import Database

K = FaultKind


def times(kind: FaultKind, call: str = "charge", count: int | None = 1, **more: object) -> Fault:
    return Fault(kind=kind, call=call, count=count, **more)  # type: ignore[arg-type]  # the row's own fields


FAULTS: dict[str, tuple[Fault, ...]] = {
    "none": (),
    "declined": (times(K.DECLINE),),
    "silent, taken": (times(K.SILENT_AFTER),),
    "silent, not taken": (times(K.SILENT_BEFORE),),
    "wrong amount": (times(K.WRONG_AMOUNT, off_by_minor=50),),
    "wrong amount, void refused": (times(K.WRONG_AMOUNT, off_by_minor=50), times(K.DECLINE, "void")),
}
#: Where the daemon dies, in the order in which a purchase gets there, and how each fault ends then ("-": it never gets
#: there, and ends as without a death).
POINTS: dict[str, tuple[str, str, str, str, str, str]] = {
    #                        none        declined     silent, taken  silent, not    wrong amount     ... void refused
    "before:park":          ("nothing",  "nothing",   "nothing",     "nothing",     "nothing",       "nothing"),
    "after:park":           ("declined", "declined",  "declined",    "declined",    "declined",      "declined"),
    "after:sent":           ("not_charged",) * 6,
    "before:callcharge":    ("not_charged",) * 6,
    "answered:callcharge":  ("voided",   "not_charged", "voided",      "not_charged", "voided",        "credited"),
    "before:chargeanswered": ("voided",  "not_charged", "voided",      "not_charged", "voided",        "credited"),
    "after:unknown":        ("-",        "-",         "voided",      "not_charged", "-",             "-"),
    "after:queried":        ("-",        "-",         "voided",      "not_charged", "-",             "-"),
    "answered:callquery":   ("-",        "-",         "voided",      "not_charged", "-",             "-"),
    "after:charged":        ("voided",   "-",         "voided",      "-",           "-",             "-"),
    "before:book":          ("voided",   "-",         "voided",      "-",           "-",             "-"),
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
CELLS = [
    (point, fault, end) for point, ends in POINTS.items() for fault, end in zip(FAULTS, ends, strict=True) if end != "-"
]


@pytest.mark.parametrize(("point", "fault", "end"), CELLS)
async def test_it_dies(database: Database, tmp_path: Path, point: str, fault: str, end: str) -> None:
    async with at_the_desk(database, tmp_path, *FAULTS[fault]) as desk:
        client = await desk.client(1_000)
        assert await desk.dies_at(point, client), f"nobody came to {point}"
        async with desk.daemon():
            if end == "nothing":
                assert await desk.attempts(client) == []
                state, loaded, held = "nothing", 0, 0
            else:
                (attempt,) = await desk.ended(client)
                state = attempt.state
                loaded = attempt.charged if state in ("booked", "credited") else 0
                held = 1_500 if state == "booked" else 0
        print(f"{point:24}{fault:28}{state}")  # noqa: T201 the table that a person reads
        assert state == end
        assert await desk.figures(client) == (1_000 + loaded, held)
        await desk.check(client)
