"""Machine, adapter, sockets and simulator together: after every fault the provider's books and ours agree to the yen."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from simulators.funding_source.books import Books
from simulators.funding_source.faults import Fault, FaultKind
from switch.funding.attempt import Cause
from switch.funding.http import open_http_provider
from switch.funding.pace import Pace
from tests.funding.driver import Driver
from tests.funding.stage import make_tls, provider_settings, staged

# Where an answer never comes the limits are short; elsewhere a busy machine gets all the time it wants.
SHORT = {"connect_seconds": 0.4, "answer_seconds": 1.3}
SHORT_PACE = Pace(answer_seconds=1.6, pause_first_seconds=0.05, pause_max_seconds=0.3)
PACE = Pace(answer_seconds=20, pause_first_seconds=0.05, pause_max_seconds=0.3)
NEVER_ANSWERED = {FaultKind.SILENT_BEFORE, FaultKind.SILENT_AFTER, FaultKind.SLOW}
GENEROUS = 60.0  # seconds: the purchase waits for whatever comes
K = FaultKind


def times(kind: FaultKind, call: str = "charge", count: int | None = 1, **more: object) -> Fault:
    return Fault(kind=kind, call=call, count=count, **more)  # type: ignore[arg-type]  # the row's own fields


ROWS: dict[str, tuple[tuple[Fault, ...], Cause | None, float, str, str]] = {
    # what goes wrong; whether the issuer refuses afterwards; the budget; the end; what the network heard
    "nothing": ((), None, GENEROUS, "booked", "approved"),
    "declined": ((times(K.DECLINE),), None, GENEROUS, "declined", "declined: answered"),
    "slow": ((times(K.SLOW, seconds=0.2),), None, GENEROUS, "booked", "approved"),
    "so slow that the query comes first": ((times(K.SLOW, seconds=3.0),), None, GENEROUS, "not_charged", "declined: answered"),
    "silent, nothing taken": ((times(K.SILENT_BEFORE),), None, GENEROUS, "not_charged", "declined: answered"),
    "silent, taken": ((times(K.SILENT_AFTER),), None, GENEROUS, "booked", "approved"),
    "500, nothing taken": ((times(K.ERROR_BEFORE),), None, GENEROUS, "not_charged", "declined: answered"),
    "500, taken": ((times(K.ERROR_AFTER),), None, GENEROUS, "booked", "approved"),
    "reset, nothing taken": ((times(K.RESET_BEFORE),), None, GENEROUS, "not_charged", "declined: answered"),
    "reset, taken": ((times(K.RESET_AFTER),), None, GENEROUS, "booked", "approved"),
    "busy at first": ((times(K.BUSY, count=2),), None, GENEROUS, "booked", "approved"),
    "busy for good": ((times(K.BUSY, count=None),), None, GENEROUS, "declined", "declined: not_sent"),
    "the answer twice": ((times(K.DUPLICATE),), None, GENEROUS, "booked", "approved"),
    "too much taken": ((times(K.WRONG_AMOUNT, off_by_minor=50),), None, GENEROUS, "voided", "declined: wrong_amount"),
    "too little taken, void refused": (
        (times(K.WRONG_AMOUNT, off_by_minor=-50), times(K.DECLINE, "void")), None, GENEROUS, "credited", "declined: wrong_amount",
    ),
    "not told, and not on query for a while": ((times(K.UNKNOWN), times(K.UNKNOWN, "query", 3)), None, GENEROUS, "booked", "approved"),
    "garbled": ((times(K.GARBLED),), None, GENEROUS, "booked", "approved"),
    "the query fails in every way": (
        (times(K.SILENT_AFTER), *(times(kind, "query") for kind in (K.ERROR_BEFORE, K.RESET_AFTER, K.BUSY, K.GARBLED, K.SILENT_AFTER))),
        None, GENEROUS, "booked", "approved",
    ),
    "budget spent while it is slow": ((times(K.SLOW, seconds=0.7),), None, 0.3, "voided", "declined: budget_spent"),
    "budget spent, silent, taken": ((times(K.SILENT_AFTER),), None, 0.3, "voided", "declined: budget_spent"),
    "budget spent, silent, nothing taken": ((times(K.SILENT_BEFORE),), None, 0.3, "not_charged", "declined: budget_spent"),
    "card locked meanwhile": ((), Cause.CARD_CHANGED, GENEROUS, "voided", "declined: card_changed"),
    "locked, and the void fails in every way": (
        tuple(times(kind, "void") for kind in (K.SILENT_BEFORE, K.SILENT_AFTER, K.ERROR_BEFORE, K.RESET_AFTER, K.BUSY, K.UNKNOWN, K.GARBLED)),
        Cause.CARD_CHANGED, GENEROUS, "voided", "declined: card_changed",
    ),
    "locked, and the refused void is not heard at first": (
        (times(K.ERROR_BEFORE, "void"), times(K.DECLINE, "void")), Cause.CARD_CHANGED, GENEROUS, "credited", "declined: card_changed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
async def test_the_books_agree(tmp_path: Path, row: str) -> None:
    faults, refuses, budget, end, heard = ROWS[row]
    short = not NEVER_ANSWERED.isdisjoint(fault.kind for fault in faults)
    async with staged(tmp_path, *faults, tls=make_tls(tmp_path), **(SHORT if short else {})) as stage:
        driver = Driver(stage.adapter, SHORT_PACE if short else PACE, budget, refuses)
        attempt = await driver.run()
        assert (attempt.state, driver.outcomes) == (end, [heard])
        assert stage.kept_minor == driver.loaded_minor


async def test_a_provider_that_was_away_and_comes_back_with_its_books(tmp_path: Path) -> None:
    """It takes the money and dies before it answers; the purchase is declined; days later both agree."""
    async with staged(tmp_path, times(K.RESET_AFTER), times(K.ERROR_BEFORE, "query", None), **SHORT) as stage:
        driver = Driver(stage.adapter, SHORT_PACE, budget_seconds=0.3)
        with trio.move_on_after(1.5):  # our daemon dies too
            await driver.run()
        assert driver.outcomes == ["declined: budget_spent"]
        assert driver.row is not None and not driver.row.ended
        assert stage.kept_minor == 1_250
    async with staged(tmp_path) as stage:
        assert stage.kept_minor == 1_250
        again = Driver(stage.adapter, PACE, 0, row=driver.row, outcomes=driver.outcomes)
        attempt = await again.run()
        assert (attempt.state, again.outcomes, stage.kept_minor) == ("voided", ["declined: budget_spent"], 0)


async def test_nobody_listens(tmp_path: Path) -> None:
    async with open_http_provider(provider_settings(tmp_path, 9)) as adapter:  # the discard port, where nobody is
        driver = Driver(adapter, PACE, GENEROUS)
        attempt = await driver.run()
        assert (attempt.state, attempt.calls, driver.outcomes) == ("declined", 3, ["declined: not_sent"])


async def test_many_at_once_with_faults_by_chance(tmp_path: Path) -> None:
    """A hundred top-ups among faults of every kind: not one yen is lost or invented."""
    chance = tuple(
        Fault(kind=kind, call=call, probability=0.08, count=12)  # type: ignore[arg-type]  # a word of three
        for call in ("charge", "query", "void")
        for kind in (
            K.DECLINE,
            K.ERROR_BEFORE,
            K.ERROR_AFTER,
            K.RESET_BEFORE,
            K.RESET_AFTER,
            K.BUSY,
            K.DUPLICATE,
            K.GARBLED,
            K.UNKNOWN,
        )
        if not (call == "query" and kind is K.DECLINE)
    )
    drivers: list[Driver] = []
    async with staged(
        tmp_path, *chance, Fault(kind=K.WRONG_AMOUNT, call="charge", probability=0.1, off_by_minor=1)
    ) as stage:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                refuses = Cause.REVERSED if number % 4 == 0 else None
                driver = Driver(stage.adapter, Pace(answer_seconds=20, pause_first_seconds=0.05), GENEROUS, refuses)
                drivers.append(driver)
                nursery.start_soon(driver.run, f"a-{number}", 1_000 + number)
        assert all(len(driver.outcomes) == 1 for driver in drivers)
        assert stage.kept_minor == sum(driver.loaded_minor for driver in drivers)
        ends = {str(driver.row.state) for driver in drivers if driver.row is not None}
        assert {"booked", "declined", "voided"} <= ends
    with Books(tmp_path / "books.jsonl") as read_again:
        assert read_again.charges == stage.provider.books.charges
        assert read_again.voids == stage.provider.books.voids
