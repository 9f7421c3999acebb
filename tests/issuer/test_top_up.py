"""Purchases that may wait for a top-up: which ones, how much they lack, and what comes between."""

from __future__ import annotations

import msgspec
import pytest

from switch.contracts.message import Kind, Operation, Request
from switch.contracts.reason import Reason
from switch.contracts.top_up import TopUpPolicy
from switch.issuer.case import Decision, Step
from switch.issuer.decide import decide
from switch.issuer.program import Program
from switch.issuer.stored import MessageState
from switch.issuer.top_up import shortfall
from tests.issuer.support import Desk, a_card, a_case, a_program, a_request, an_account, verdict

STEP = Step("top_up", "parked", {})
CHARGED = Step("top_up", "charged", {"attempt": "a-1", "amount": 500})


def topping_up(**changes: object) -> Program:
    return a_program(top_up=TopUpPolicy(currency="JPY"), **changes)


def parked(desk: Desk, amount: int = 1_500, kind: Kind = Kind.AUTHORIZATION) -> tuple[Request, Decision]:
    request = desk.request(kind, amount)
    assert desk.tell(request, top_up=True).waits
    return request, desk.books.settle_short(desk.item(request), STEP, MessageState.PARKED)


def test_what_is_short_waits_and_leaves_no_trace() -> None:
    desk = Desk(1_000, program=topping_up())
    request = desk.request(Kind.AUTHORIZATION, 1_500)
    decision = desk.tell(request, top_up=True)
    assert (decision.waits, decision.reason) == (True, Reason.INSUFFICIENT_FUNDS)
    assert desk.books.new_messages == {}
    assert desk.entries == []
    assert desk.books.short(desk.item(request)) == 500


def test_a_debt_is_part_of_what_is_missing() -> None:
    desk = Desk(-300, program=topping_up())
    assert desk.books.short(desk.item(desk.request(Kind.AUTHORIZATION, 1_500))) == 1_800


def test_an_account_of_another_currency_than_its_programs_is_not_topped_up() -> None:
    """The program's was changed in its file: so many yen would be charged for so many cents."""
    account = msgspec.structs.replace(an_account(1_000), currency="USD")
    case = a_case(a_request(Kind.AUTHORIZATION, 1_500, currency="USD"), account=account, program=topping_up())
    decision = decide(case)
    assert decision.reason is Reason.INSUFFICIENT_FUNDS
    assert shortfall(case, decision) is None


BLOCKS = {"merchants": {"mcc_blocked": ["7011"]}}


@pytest.mark.parametrize(
    ("program", "changes"),
    [
        (a_program(), {}),
        (topping_up(), {"operation": Operation.CASH_WITHDRAWAL}),
        (topping_up(), {"incremental": True}),
        (topping_up(partial_approval=True), {"partial_supported": True}),
        (topping_up(**BLOCKS), {"mcc": "7011"}),
    ],
)
def test_what_does_not_wait(program: Program, changes: dict[str, object]) -> None:
    desk = Desk(1_000, program=program)
    decision = desk.tell(desk.request(Kind.AUTHORIZATION, 1_500, **changes), top_up=True)
    assert not decision.waits
    assert len(desk.books.new_messages) == 1


def test_without_being_asked_it_is_declined_at_once() -> None:
    desk = Desk(1_000, program=topping_up())
    decision = desk.ask(Kind.AUTHORIZATION, 1_500)
    assert (decision.waits, decision.reason) == (False, Reason.INSUFFICIENT_FUNDS)
    assert len(desk.books.new_messages) == 1


def test_a_repeat_waits_for_the_first_one() -> None:
    desk = Desk(1_000, program=topping_up())
    request, decision = parked(desk)
    assert desk.stored(request).state is MessageState.PARKED
    assert decision.answer.response_code == "<insufficient_funds>"
    again = desk.tell(request)
    assert (again.waits, again.reason, again.repeat_of) == (True, Reason.UNAVAILABLE, None)
    assert desk.books.repeats == []


@pytest.mark.parametrize(("kind", "balance"), [(Kind.AUTHORIZATION, (1_500, 1_500)), (Kind.FINANCIAL, (0, 0))])
def test_load_and_purchase_are_booked_together(kind: Kind, balance: tuple[int, int]) -> None:
    desk = Desk(1_000, program=topping_up())
    request, _ = parked(desk, kind=kind)
    stored = desk.stored(request)
    decision = desk.books.book_topped_up(desk.item(request), stored, 500, b"load", CHARGED)
    desk.books.check_invariants([desk.loaded])
    assert decision.reason is Reason.APPROVED
    assert desk.balance == balance
    assert decision.trace[0] == CHARGED and decision.trace[-1].rule == "funds"
    assert [(booking.cause, booking.key == b"load") for booking in desk.books.bookings] == [
        ("top_up", True),
        ("message", False),
    ]
    settled = desk.stored(request)
    assert (settled.state, settled.approved, settled.moved_minor) == (MessageState.ANSWERED, True, 1_500)
    assert desk.tell(request).repeat_of == settled


def test_what_is_short_still_books_nothing() -> None:
    desk = Desk(1_000, program=topping_up())
    request, _ = parked(desk)
    assert desk.ask(Kind.AUTHORIZATION, 300).reason is Reason.APPROVED
    stored = desk.stored(request)
    decision = desk.books.book_topped_up(desk.item(request), stored, 500, b"load", CHARGED)
    assert decision.reason is Reason.INSUFFICIENT_FUNDS
    assert desk.entries == [("hold", 300)]
    desk.books.decline_parked(stored, stored.answer)
    assert desk.tell(request).reason is Reason.INSUFFICIENT_FUNDS


def test_a_reversal_ends_the_waiting() -> None:
    desk = Desk(1_000, program=topping_up())
    request, _ = parked(desk)
    decision = desk.tell(desk.undo(request))
    assert (decision.reason, verdict(decision)) == (Reason.REVERSAL_ACCEPTED, "parked")
    reversed_one = desk.stored(request)
    assert reversed_one.state is MessageState.REVERSED
    desk.books.decline_parked(reversed_one, reversed_one.answer)
    assert desk.stored(request).state is MessageState.REVERSED
    assert desk.entries == []


def test_a_card_that_is_locked_meanwhile_is_not_approved() -> None:
    desk = Desk(1_000, program=topping_up())
    request, _ = parked(desk)
    for lookup in desk.books.cards:
        desk.books.cards[lookup] = a_card(locked=True)
    stored = desk.stored(request)
    decision = desk.books.book_topped_up(desk.item(request), stored, 500, b"load", CHARGED)
    assert decision.reason is Reason.CARD_LOCKED
    assert desk.entries == []


def test_a_program_names_its_own_currency() -> None:
    with pytest.raises(ValueError, match=r"top_up\.currency: JPY needed, USD found"):
        a_program(top_up={"currency": "USD"})
