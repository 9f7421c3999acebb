"""Requests: what each operation books and answers, and the trace that explains it."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from switch.contracts.message import Balance, Kind, Operation
from switch.contracts.reason import Reason
from switch.issuer.account import EntryKind, Movement, Side
from switch.issuer.card import CardStatus
from switch.issuer.case import approval_code
from switch.issuer.decide import decide
from switch.issuer.hold import HoldState
from switch.issuer.program import DEFAULT_PIPELINE
from switch.issuer.usage import Usage
from tests.issuer.support import (
    CODES,
    NOON,
    PAN,
    Desk,
    a_card,
    a_case,
    a_program,
    a_request,
    an_account,
    of_unknown_card,
    verdict,
)


def test_an_authorization_sets_the_amount_aside() -> None:
    desk = Desk(10_000)
    decision = desk.ask(Kind.AUTHORIZATION, 3_000, mcc="5411")

    assert decision.reason is Reason.APPROVED
    assert decision.answer.response_code == "<approved>"
    assert decision.answer.approved_minor is None
    assert desk.balance == (10_000, 3_000)
    hold = desk.hold
    assert decision.movements == (Movement(EntryKind.HOLD, Side.AVAILABLE, Side.HELD, 3_000, hold.hold_id),)
    assert (hold.state, hold.held_minor, hold.authorized_minor, hold.mcc) == (HoldState.OPEN, 3_000, 3_000, "5411")
    assert hold.hold_id == 2, "the seq of the entry that began it"
    assert desk.usage == Usage(7, date(2026, 6, 15), 3_000, 1, 3_000, 1, 3_000, 1)


def test_a_single_message_posts_at_once() -> None:
    desk = Desk(10_000)
    decision = desk.ask(Kind.FINANCIAL, 3_000, operation=Operation.CASH_WITHDRAWAL)

    assert decision.reason is Reason.APPROVED
    assert desk.balance == (7_000, 0)
    assert desk.entries == [("posting", 3_000)]
    assert (desk.hold.state, desk.hold.posted_minor) == (HoldState.POSTED, 3_000)


def test_the_trace_names_every_rule_in_the_programs_order() -> None:
    decision = decide(a_case())
    assert tuple(step.rule for step in decision.trace) == DEFAULT_PIPELINE
    assert {step.verdict for step in decision.trace} == {"pass"}

    short = [name for name in DEFAULT_PIPELINE if name != "cardholder_lock"]
    decision = decide(a_case(program=a_program(pipeline=short), card=a_card(locked=True)))
    assert [step.rule for step in decision.trace] == short
    assert decision.reason is Reason.APPROVED


def test_the_first_decline_ends_the_pipeline() -> None:
    decision = decide(a_case(card=a_card(status=CardStatus.LOST, locked=True), account=an_account(0)))
    assert decision.reason is Reason.CARD_LOST
    assert [(step.rule, step.verdict) for step in decision.trace] == [
        ("card_known", "pass"),
        ("card_status", Reason.CARD_LOST),
    ]


def test_a_decline_changes_nothing() -> None:
    desk = Desk(100)
    before = desk.account
    decision = desk.ask(Kind.AUTHORIZATION, 101)

    assert decision.reason is Reason.INSUFFICIENT_FUNDS
    assert (decision.movements, decision.hold, decision.usage, decision.moved_minor) == ((), None, None, 0)
    assert desk.account == before
    assert desk.books.changed_usages == {}


def test_insufficient_funds_tell_how_much_is_left_above_the_floor() -> None:
    desk = Desk(100, floor_minor=20)
    decision = desk.ask(Kind.AUTHORIZATION, 81)
    assert decision.answer.balances == (
        Balance(amount_type="01", currency="JPY", amount_minor=100),
        Balance(amount_type="02", currency="JPY", amount_minor=80),
    )
    assert desk.ask(Kind.AUTHORIZATION, 80).reason is Reason.APPROVED


def test_a_partial_approval_tells_both_amounts() -> None:
    desk = Desk(700, program=a_program(partial_approval=True))
    decision = desk.ask(Kind.AUTHORIZATION, 1_000, partial_supported=True)

    assert decision.reason is Reason.APPROVED_PARTIALLY
    assert decision.answer.approved_minor == 700
    assert decision.answer.balances == (Balance(amount_type="57", currency="JPY", amount_minor=1_000),)
    assert desk.balance == (700, 700)
    assert decision.moved_minor == 700


def test_an_account_verification_books_nothing() -> None:
    desk = Desk(0)
    decision = desk.ask(Kind.AUTHORIZATION, 0, operation=Operation.ACCOUNT_VERIFICATION)
    assert decision.reason is Reason.ACCOUNT_VERIFIED
    assert (decision.movements, decision.hold, desk.balance) == ((), None, (0, 0))


def test_a_balance_inquiry_tells_both_balances() -> None:
    desk = Desk(10_000)
    desk.ask(Kind.AUTHORIZATION, 3_000)
    decision = desk.ask(Kind.AUTHORIZATION, 0, operation=Operation.BALANCE_INQUIRY)
    assert decision.reason is Reason.APPROVED
    assert [(b.amount_type, b.amount_minor) for b in decision.answer.balances] == [("01", 10_000), ("02", 7_000)]
    assert desk.balance == (10_000, 3_000)


def test_a_refund_authorization_is_approved_and_credited_later() -> None:
    desk = Desk(0)
    assert desk.ask(Kind.AUTHORIZATION, 500, operation=Operation.REFUND).reason is Reason.APPROVED
    assert desk.balance == (0, 0)


def test_a_refund_as_a_single_message_is_credited_at_once_and_counts_towards_no_limit() -> None:
    desk = Desk(0)
    decision = desk.ask(Kind.FINANCIAL, 500, operation=Operation.REFUND)
    assert desk.balance == (500, 0)
    assert desk.entries == [("refund", 500)]
    assert desk.hold.credit and desk.hold.state is HoldState.POSTED
    assert decision.usage is None


def test_a_purchase_abroad_is_held_at_its_billing_amount() -> None:
    desk = Desk(10_000)
    foreign = {"currency": "USD", "billing_currency": "JPY", "billing_amount_minor": 1_530}
    assert desk.ask(Kind.AUTHORIZATION, 1_000, **foreign).reason is Reason.APPROVED
    assert desk.balance == (10_000, 1_530)
    assert desk.usage.day_minor == 1_530


def test_an_unknown_card_gets_one_step_and_moves_nothing() -> None:
    decision = decide(of_unknown_card())
    assert decision.reason is Reason.UNKNOWN_CARD
    assert [step.rule for step in decision.trace] == ["card_known"]


def test_a_card_of_a_missing_program_is_answered_unavailable_so_that_the_network_may_stand_in() -> None:
    case = a_case()
    case = msgspec.structs.replace(case, view=msgspec.structs.replace(case.view, program=None))
    assert decide(case).reason is Reason.UNAVAILABLE


def test_approval_codes_are_six_digits_and_come_from_the_key() -> None:
    assert approval_code(bytes(16)) == "000000"
    first, second = decide(a_case(a_request(stan="000001"))), decide(a_case(a_request(stan="000002")))
    assert first.answer.approval_code != second.answer.approval_code
    assert len(first.answer.approval_code) == 6
    assert decide(a_case(a_request(stan="000001"))) == first


@pytest.mark.parametrize(("right", "letter"), [(True, "M"), (False, "N")])
def test_the_answer_tells_the_cvv2_result(right: bool, letter: str) -> None:
    code = CODES.cvv("plain", PAN, "3012", "000" if right else "101")
    decision = decide(a_case(a_request(cvv2=code)))
    assert decision.answer.cvv2_result == letter
    assert decision.reason is (Reason.APPROVED if right else Reason.CVV2_MISMATCH)


def test_no_cvv2_result_where_none_was_checked() -> None:
    assert decide(a_case()).answer.cvv2_result == ""


# ── increments


def test_an_increment_raises_the_hold_and_counts_as_no_purchase() -> None:
    desk = Desk(10_000)
    first = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(first)
    decision = desk.ask(Kind.AUTHORIZATION, 2_000, incremental=True, retrieval_reference=first.retrieval_reference)

    assert decision.reason is Reason.APPROVED
    assert desk.balance == (10_000, 5_000)
    assert desk.entries == [("hold", 3_000), ("hold_increase", 2_000)]
    assert (desk.hold.held_minor, desk.hold.authorized_minor) == (5_000, 5_000)
    assert (desk.usage.day_minor, desk.usage.day_count) == (5_000, 1)


@pytest.mark.parametrize("why", ["no original", "reversed", "a single message", "a declined one", "ambiguous"])
def test_an_increment_without_an_open_hold_is_declined(why: str) -> None:
    desk = Desk(10_000)
    first = desk.request(Kind.FINANCIAL if why == "a single message" else Kind.AUTHORIZATION, 3_000)
    if why == "a declined one":
        first = msgspec.structs.replace(first, amount_minor=99_999)
    if why != "no original":
        desk.tell(first)
    if why == "reversed":
        desk.tell(desk.undo(first))
    if why == "ambiguous":
        desk.ask(Kind.AUTHORIZATION, 1, retrieval_reference=first.retrieval_reference)
    before = desk.account

    decision = desk.ask(Kind.AUTHORIZATION, 100, incremental=True, retrieval_reference=first.retrieval_reference)

    assert decision.reason is Reason.ORIGINAL_NOT_FOUND
    assert verdict(decision) == Reason.ORIGINAL_NOT_FOUND
    assert desk.account == before


def test_an_increment_is_approved_whole_or_not_at_all() -> None:
    desk = Desk(1_000, program=a_program(partial_approval=True))
    first = desk.request(Kind.AUTHORIZATION, 900)
    desk.tell(first)
    decision = desk.ask(
        Kind.AUTHORIZATION,
        200,
        incremental=True,
        partial_supported=True,
        retrieval_reference=first.retrieval_reference,
    )
    assert decision.reason is Reason.INSUFFICIENT_FUNDS
    assert desk.balance == (1_000, 900)


# ── repeats and keys


def test_a_repeat_gets_the_stored_answer_and_changes_nothing() -> None:
    desk = Desk(1_000)
    request = desk.request(Kind.AUTHORIZATION, 600)
    first = desk.tell(request)
    before = desk.account

    for mti, repeat in (("0101", True), ("0100", False)):
        again = desk.tell(msgspec.structs.replace(request, mti=mti, repeat=repeat))
        assert again.answer == first.answer
        assert again.repeat_of is not None
        assert (again.movements, again.remember_as) == ((), None)
    assert desk.account == before
    assert desk.stored(request).repeats_answered == 2


def test_a_declined_message_stays_declined_when_it_is_repeated_after_a_load() -> None:
    desk = Desk(1_000)
    request = desk.request(Kind.AUTHORIZATION, 1_001)
    first = desk.tell(request)
    desk.ask(Kind.FINANCIAL, 5_000, operation=Operation.REFUND)
    again = desk.tell(msgspec.structs.replace(request, mti="0101", repeat=True))
    assert again.answer == first.answer
    assert again.reason is Reason.INSUFFICIENT_FUNDS


def test_the_same_key_with_other_content_is_refused_and_shown_to_a_person() -> None:
    desk = Desk(1_000)
    request = desk.request(Kind.AUTHORIZATION, 600)
    first = desk.tell(request)
    before = desk.account

    other = desk.tell(msgspec.structs.replace(request, amount_minor=10))

    assert other.reason is Reason.KEY_REUSED
    assert desk.account == before
    assert desk.concerns == ["key_reused"]
    told = other.trace[-1].seen
    assert (told["amount"], told["currency"], told["amount_before"]) == (10, "JPY", 600), "it has no record of its own"
    assert desk.tell(request).answer == first.answer, "the true repeat still gets its answer"


def test_the_decision_looks_at_the_moment_it_is_given() -> None:
    case = a_case(card=a_card(expiry="2606"))
    assert decide(case).reason is Reason.APPROVED
    late = msgspec.structs.replace(case, now=NOON.replace(month=8))
    assert decide(late).reason is Reason.EXPIRED_CARD
