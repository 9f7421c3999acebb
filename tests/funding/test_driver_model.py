"""Everything for real, in any order: purchases, reversals, locks, faults, deaths. Whenever all is quiet three books agree.

As test_machine_model.py, over the machine alone, but with the driver, its sockets, PostgreSQL, an acquirer network and the
provider behind its adapter. Time is real, so a run is not repeated to the millisecond: what was done stands in the failure.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from simulators.funding_source.faults import Fault, FaultKind
from switch.contracts.funding import NotCharged, Query, Void, Voided
from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.funding import machine
from switch.funding.attempt import Attempt, AttemptState, Cause
from switch.funding.http import HttpProvider
from switch.funding.move import Step, end
from switch.funding.report import Report
from switch.issuer import books, top_up
from switch.issuer.account import Movement
from switch.issuer.books import Item
from switch.issuer.case import Decision
from switch.network.arrival import Arrival
from tests.funding.portal import Portal
from tests.funding.street import CARDS, Street, street
from tests.journal.server import Database

K = FaultKind
PICKS = st.integers(0, 40)
WHICH = st.integers(0, CARDS - 1)
#: Where the driver stands before and after each of its commits and calls.
POINTS = (
    "before:park", "after:park", "before:callcharge", "answered:callcharge", "before:chargeanswered",
    "after:requested", "before:tick", "after:sent", "after:unknown", "after:queried", "before:callquery", "answered:callquery",
    "before:queryanswered", "after:charged", "before:book", "after:booked", "after:declined", "after:not_charged",
    "after:void_requested", "before:callvoid", "answered:callvoid", "before:voidanswered", "after:voided",
    "after:credited", "before:purchaserefused", "before:recover",
)  # fmt: skip


def a_fault(kind: FaultKind, call: str, count: int, *, long: bool) -> Fault:
    """One that means something: a wrong amount is taken by charges alone, and some faults take their time."""
    off_by = (7 if long else -7) if kind is K.WRONG_AMOUNT else 0
    seconds = (1.0 if long else 0.1) if kind is K.SLOW else 0.0
    told_by = "charge" if kind is K.WRONG_AMOUNT else call
    return Fault(kind=kind, call=told_by, count=count, seconds=seconds, off_by_minor=off_by)  # type: ignore[arg-type]  # a word of four


def in_words(faults: Sequence[Fault]) -> str:
    return ", ".join(f"{one.count} x {one.call} {one.kind} {one.seconds or one.off_by_minor or ''}" for one in faults)


A_FAULT = st.builds(
    a_fault,
    st.sampled_from([kind for kind in FaultKind if kind is not K.NONE]),
    st.sampled_from(("charge", "charge", "query", "void", "void", "any")),
    st.integers(1, 3),
    long=st.booleans(),
)
FAULTS = st.lists(A_FAULT, min_size=1, max_size=3)


class Driving(RuleBasedStateMachine):
    """Rules only tell; what comes of it is nobody's to foresee, so nothing of it decides which rules come next."""

    def __init__(self, opening: Callable[[float, float], AbstractAsyncContextManager[Street]]) -> None:
        super().__init__()
        self._opening = opening
        self.done: list[str] = []
        self.purchases = 0
        self.portal: Portal[Street] | None = None

    def do(self, text: str, work: Callable[[Street], Awaitable[Any]]) -> Any:
        assert self.portal is not None
        self.done.append(text)
        return self.portal.do(work)

    def agreed(self, wrong: list[str]) -> None:
        assert not wrong, "\n".join([*wrong, "after:", *self.done])

    @initialize(budget=st.sampled_from((0.4, 2.0)), patience=st.sampled_from((0.3, 10.0, 10.0)))
    def opens(self, budget: float, patience: float) -> None:
        self.done.append(f"budget {budget} s, the acquirer waits {patience} s")
        self.portal = Portal(lambda: self._opening(budget, patience))

    # ── cardholders and their network

    @rule(card=WHICH, amount=st.sampled_from((1_200, 1_500, 2_000)), single=st.booleans(), wait=st.booleans())
    def a_purchase_is_short(self, card: int, amount: int, single: bool, wait: bool) -> None:
        self.purchases += 1
        text = f"{self.purchases}: card {card} buys for {amount}{' in one message' * single}{', waited for' * wait}"
        self.do(text, lambda at: at.buy(card, amount, single=single, wait=wait))

    @rule(card=WHICH, amount=st.sampled_from((1, 50, 200, 400)))
    def an_ordinary_purchase(self, card: int, amount: int) -> None:
        self.purchases += 1
        self.do(f"{self.purchases}: card {card} buys for {amount}", lambda at: at.buy(card, amount))

    @precondition(lambda self: self.purchases)
    @rule(which=PICKS)
    def it_is_reversed(self, which: int) -> None:
        self.do(f"{which % self.purchases + 1} is reversed", lambda at: at.reverse(which))

    @precondition(lambda self: self.purchases)
    @rule(which=PICKS)
    def it_is_repeated(self, which: int) -> None:
        self.do(f"{which % self.purchases + 1} is repeated", lambda at: at.repeat(which))

    @rule(card=WHICH, locked=st.booleans())
    def a_card_is_locked(self, card: int, locked: bool) -> None:
        self.do(f"card {card} is {'locked' if locked else 'free'}", lambda at: at.lock(card, locked=locked))

    # ── what goes wrong

    @rule(faults=FAULTS)
    def the_providers_next_faults(self, faults: list[Fault]) -> None:
        async def change(at: Street) -> None:
            at.next_faults(*faults)

        self.do(f"the provider: {in_words(faults)}", change)

    @rule(card=WHICH, faults=FAULTS)
    def a_top_up_goes_wrong(self, card: int, faults: list[Fault]) -> None:
        """Both at once, for by themselves they seldom meet: faults, and a purchase that no balance here suffices for."""
        self.the_providers_next_faults(faults)
        self.a_purchase_is_short(card, 9_000, False, True)

    @rule(card=WHICH, point=st.sampled_from(POINTS))
    def the_daemon_dies_over_a_top_up(self, card: int, point: str) -> None:
        self.the_daemon_will_die(point)
        self.a_purchase_is_short(card, 9_000, False, True)

    @rule()
    def the_daemon_dies(self) -> None:
        self.do("the daemon dies", lambda at: at.one_dies())

    @rule(point=st.sampled_from(POINTS))
    def the_daemon_will_die(self, point: str) -> None:
        async def change(at: Street) -> None:
            at.dies_at = point

        self.do(f"the daemon will die {point}", change)

    @rule(seconds=st.sampled_from((0.02, 0.1, 0.1, 0.3, 0.6)))
    def time_passes(self, seconds: float) -> None:
        async def wait(_at: Street) -> None:
            await trio.sleep(seconds)

        self.do(f"{seconds} s pass", wait)

    @rule(refuses=st.booleans())
    def the_database_refuses_to_book_at_once(self, refuses: bool) -> None:
        text = "the database refuses to book at once" if refuses else "the database books at once"
        self.do(text, lambda at: at.refuse_at_once(refuses=refuses))

    # ── what always holds

    @rule()
    def all_is_quiet(self) -> None:
        self.agreed(self.do("all is quiet", lambda at: at.settle()))

    @invariant()
    def nothing_is_approved_without_funds(self) -> None:
        if self.portal is not None:
            self.agreed(self.portal.do(lambda at: at.overdrawn()))

    def teardown(self) -> None:
        if self.portal is None:
            return
        try:
            self.agreed(self.do("in the end", lambda at: at.settle()))
        finally:
            self.portal.close()


EXAMPLES, STEPS = (40, 25) if os.environ.get("CI") else (12, 15)
_directories = itertools.count(1)


def opening_at(database: Database, tmp_path: Path) -> Callable[[float, float], AbstractAsyncContextManager[Street]]:
    """Each example has a provider of its own, and cards of its own; the database is one."""

    def opening(budget: float, patience: float) -> AbstractAsyncContextManager[Street]:
        directory = tmp_path / str(next(_directories))
        directory.mkdir()
        return street(database, directory, budget_seconds=budget, patience_seconds=patience)

    return opening


@pytest.mark.long
def test_three_books_agree_whatever_happens(database: Database, tmp_path: Path) -> None:
    class OnThisDatabase(Driving):
        def __init__(self) -> None:
            super().__init__(opening_at(database, tmp_path))

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            # Shrinking would take minutes, and a run is never quite the same again.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )


# ── the test can fail: a defect each, and what then comes to light


def silence_is_a_decline(patch: pytest.MonkeyPatch) -> None:
    def decline(attempt: Attempt, _asked: object, _call: object, now: datetime, _pace: object) -> Step:
        return end(attempt, AttemptState.DECLINED, Cause.NO_ANSWER, now)

    patch.setattr(machine, "_no_answer", decline)


def a_query_is_answered_without_asking(patch: pytest.MonkeyPatch) -> None:
    async def query(_self: HttpProvider, _query: Query) -> NotCharged:
        return NotCharged()

    patch.setattr(HttpProvider, "query", query)


def a_void_is_believed_and_not_sent(patch: pytest.MonkeyPatch) -> None:
    async def void(_self: HttpProvider, asked: Void) -> Voided:
        return Voided(asked.reference)

    patch.setattr(HttpProvider, "void", void)


def a_credit_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(books.Books, "credit_top_up", lambda *_of_whom: None)


def a_yen_too_many_is_loaded(patch: pytest.MonkeyPatch) -> None:
    def load(amount_minor: int) -> Movement:
        return top_up.load(amount_minor + 1)

    patch.setattr(books, "load", load)


def a_decline_is_told_as_an_approval(patch: pytest.MonkeyPatch) -> None:
    tell = Report.answer

    def approve(self: Report, arrival: Arrival, item: Item, _decision: Decision) -> None:
        code = item.response_code(Reason.APPROVED)
        tell(self, arrival, item, Decision(answer=Answer(reason=Reason.APPROVED, response_code=code)))

    patch.setattr(Report, "answer", approve)


SILENT, TOO_MUCH, REFUSED = (
    a_fault(K.SILENT_AFTER, "charge", 1, long=False),
    a_fault(K.WRONG_AMOUNT, "charge", 1, long=True),
    a_fault(K.DECLINE, "void", 1, long=False),
)
DEFECTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], tuple[Fault, ...], str]] = {
    "silence is a decline": (silence_is_a_decline, (SILENT,), "500 taken, 0 on the balance, 0 given back"),
    "nobody asks": (a_query_is_answered_without_asking, (SILENT,), "500 taken, 0 on the balance, 0 given back"),
    "nobody voids": (a_void_is_believed_and_not_sent, (TOO_MUCH,), "507 taken, 0 on the balance, 0 given back"),
    "no credit": (a_credit_is_forgotten, (TOO_MUCH, REFUSED), "507 taken, 0 on the balance, 0 given back"),
    "a yen too many": (a_yen_too_many_is_loaded, (), "500 taken, 501 on the balance, 0 given back"),
    "no decline": (
        a_decline_is_told_as_an_approval,
        (a_fault(K.DECLINE, "charge", 1, long=False),),
        "the acquirer was approved more than there is",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_they_can_disagree(database: Database, tmp_path: Path, defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in, faults, seen = DEFECTS[defect]

    def story() -> None:
        told = Driving(opening_at(database, tmp_path))
        try:
            told.opens(5.0, 10.0)
            told.the_providers_next_faults(list(faults))
            told.a_purchase_is_short(0, 1_500, False, True)
            told.all_is_quiet()
        finally:
            assert told.portal is not None
            told.portal.close()

    story()
    put_in(monkeypatch)
    with pytest.raises(AssertionError, match=seen):
        story()
