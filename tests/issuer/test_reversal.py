"""Reversals as transcripts: in full, in part, twice, too much, too early, and of what never moved."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.message import Kind, Operation, Request
from switch.contracts.reason import Reason
from switch.issuer.decide import decide
from switch.issuer.hold import HoldState
from switch.issuer.stored import MessageState
from tests.issuer.support import NOON, Desk, a_request, of_unknown_card, original_of, verdict


def counts(desk: Desk) -> tuple[int, int]:
    return desk.usage.day_minor, desk.usage.day_count


def test_a_full_reversal_releases_the_hold_and_gives_the_limits_back() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    decision = desk.tell(desk.undo(purchase))

    assert decision.reason is Reason.REVERSAL_ACCEPTED
    assert desk.balance == (10_000, 0)
    assert desk.entries == [("hold", 3_000), ("release", 3_000)]
    assert desk.hold.state is HoldState.REVERSED
    assert counts(desk) == (0, 0)
    assert desk.concerns == []


def test_a_full_reversal_of_a_single_message_brings_the_money_back() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.FINANCIAL, 3_000)
    desk.tell(purchase)
    desk.tell(desk.undo(purchase))
    assert desk.balance == (10_000, 0)
    assert desk.entries == [("posting", 3_000), ("posting_reversal", 3_000)]
    assert desk.hold.state is HoldState.REVERSED
    assert counts(desk) == (0, 0)


def test_a_reversal_of_a_refund_takes_it_out_again_and_leaves_the_limits() -> None:
    desk = Desk(0)
    spent = desk.request(Kind.FINANCIAL, 100, operation=Operation.REFUND)
    desk.tell(spent)
    desk.ask(Kind.AUTHORIZATION, 30)
    desk.tell(desk.undo(spent))
    assert desk.balance == (0, 30)
    assert counts(desk) == (30, 1)


@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION, Kind.FINANCIAL])
def test_a_partial_reversal_leaves_the_final_amount(kind: Kind) -> None:
    desk = Desk(10_000)
    purchase = desk.request(kind, 3_000)
    desk.tell(purchase)
    desk.tell(desk.undo(purchase, replacement_amount_minor=1_000))

    assert desk.balance == ((10_000, 1_000) if kind is Kind.AUTHORIZATION else (9_000, 0))
    assert counts(desk) == (1_000, 1), "a smaller purchase is still one"
    desk.tell(desk.undo(purchase))
    assert desk.balance == (10_000, 0)
    assert counts(desk) == (0, 0)


def test_partial_reversal_then_clearing_ends_at_zero() -> None:
    """DOMAIN: hold 30, partial reversal leaves 10, presentment 10: the hold ends at zero, 10 is posted, nothing else."""
    desk = Desk(100)
    purchase = desk.request(Kind.AUTHORIZATION, 30)
    desk.tell(purchase)
    desk.tell(desk.undo(purchase, replacement_amount_minor=10))
    desk.ask(Kind.FINANCIAL_ADVICE, 10, retrieval_reference=purchase.retrieval_reference)

    assert desk.balance == (90, 0)
    assert desk.entries == [("hold", 30), ("release", 20), ("posting", 10)]
    assert (desk.hold.state, desk.hold.held_minor, desk.hold.posted_minor) == (HoldState.POSTED, 0, 10)
    assert desk.concerns == []


@pytest.mark.parametrize(
    ("amount", "replacement", "verdict_", "concern"),
    [
        (3_000, 3_000, "over_reversal", "over_reversal"),  # leaves all of it
        (3_000, 3_001, "over_reversal", "over_reversal"),
        (3_001, None, "over_reversal", "over_reversal"),
        (2_999, None, "partial_reversal_without_replacement", "partial_reversal_without_replacement"),
    ],
)
def test_what_would_take_back_nothing_or_too_much_changes_nothing(
    amount: int, replacement: int | None, verdict_: str, concern: str
) -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    before = desk.account

    decision = desk.tell(desk.undo(purchase, amount_minor=amount, replacement_amount_minor=replacement))

    assert decision.reason is Reason.REVERSAL_ACCEPTED
    assert verdict(decision) == verdict_
    assert desk.account == before
    assert desk.concerns == [concern]


@pytest.mark.parametrize("amount", [3_000, 0, 700])
def test_a_full_reversal_may_name_what_was_asked_nothing_or_what_was_approved(amount: int) -> None:
    desk = Desk(700)
    desk.books._programs = {"plain": msgspec.structs.replace(desk.books._programs["plain"], partial_approval=True)}
    purchase = desk.request(Kind.AUTHORIZATION, 3_000, partial_supported=True)
    assert desk.tell(purchase).moved_minor == 700
    desk.tell(desk.undo(purchase, amount_minor=amount))
    assert desk.balance == (700, 0)


def test_a_second_reversal_changes_nothing() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    desk.tell(desk.undo(purchase))
    before, usage = desk.account, desk.usage

    decision = desk.tell(desk.undo(purchase))

    assert decision.reason is Reason.REVERSAL_ACCEPTED
    assert verdict(decision) == "nothing_left"
    assert (desk.account, desk.usage) == (before, usage)


def test_a_reversal_of_a_decline_changes_nothing() -> None:
    desk = Desk(100)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    decision = desk.tell(desk.undo(purchase))
    assert (decision.reason, verdict(decision)) == (Reason.REVERSAL_ACCEPTED, "moved_nothing")
    assert desk.balance == (100, 0)
    assert desk.books.tombstones == {}


def test_a_reversal_of_a_verification_changes_nothing() -> None:
    desk = Desk(100)
    asked = desk.request(Kind.AUTHORIZATION, 0, operation=Operation.ACCOUNT_VERIFICATION)
    desk.tell(asked)
    assert verdict(desk.tell(desk.undo(asked))) == "moved_nothing"


def test_a_cleared_authorization_is_not_reversed() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    desk.ask(Kind.FINANCIAL_ADVICE, 3_000, retrieval_reference=purchase.retrieval_reference)

    # Told by DE90 alone, so that it is clear which of the two messages is meant.
    decision = desk.tell(desk.undo(purchase))

    assert verdict(decision) == "already_posted"
    assert desk.balance == (7_000, 0)
    assert desk.concerns == ["reversal_after_posting"]


def test_a_reversal_before_its_original_leaves_a_tombstone_that_declines_it_once() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    undo = desk.undo(purchase)
    early = desk.tell(undo)
    assert (early.reason, early.remember_as) == (Reason.REVERSAL_ACCEPTED, MessageState.TOMBSTONE)

    late = desk.tell(purchase)
    assert late.reason is Reason.REVERSED_EARLIER
    assert desk.balance == (10_000, 0)
    assert desk.stored(undo).state is MessageState.TOMBSTONE_MET
    assert desk.tell(msgspec.structs.replace(purchase, mti="0101", repeat=True)).reason is Reason.REVERSED_EARLIER

    other = desk.ask(Kind.AUTHORIZATION, 3_000)
    assert other.reason is Reason.APPROVED, "the tombstone met its original and means nobody else"


def test_a_reversal_before_a_stand_in_approval_holds_nothing_and_tells_a_person() -> None:
    desk = Desk(10_000)
    advice = desk.request(Kind.AUTHORIZATION_ADVICE, 3_000)
    desk.tell(desk.undo(advice))
    decision = desk.tell(advice)
    assert decision.reason is Reason.ADVICE_ACCEPTED
    assert desk.balance == (10_000, 0)
    assert desk.concerns == ["advice_after_reversal"]


def test_a_reversal_without_any_reference_leaves_no_tombstone() -> None:
    desk = Desk(10_000)
    decision = desk.ask(Kind.REVERSAL, 3_000, retrieval_reference="")
    assert decision.remember_as is MessageState.ANSWERED
    assert desk.concerns == ["reversal_without_reference"]
    assert desk.ask(Kind.AUTHORIZATION, 3_000).reason is Reason.APPROVED


def test_an_ambiguous_reversal_is_left_to_a_person() -> None:
    desk = Desk(10_000)
    for _ in range(2):
        desk.ask(Kind.AUTHORIZATION, 3_000, retrieval_reference="SAME")
    decision = desk.ask(Kind.REVERSAL, 3_000, retrieval_reference="SAME")
    assert decision.reason is Reason.REVERSAL_ACCEPTED
    assert desk.balance == (10_000, 6_000)
    assert desk.concerns == ["ambiguous_original"]


@pytest.mark.parametrize("kind", [Kind.REVERSAL, Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE])
def test_what_cannot_be_refused_is_accepted_even_for_an_unknown_card(kind: Kind) -> None:
    decision = decide(of_unknown_card(a_request(kind, 100, retrieval_reference="RRN1")))
    assert decision.reason.approves
    assert (decision.movements, decision.hold, decision.concern) == ((), None, "unknown_card")


# ── increments


def increments(desk: Desk, first_amount: int = 1_000) -> tuple[Request, Request]:
    """A purchase and an increment of 500, both by the same retrieval reference."""
    first = desk.request(Kind.AUTHORIZATION, first_amount)
    desk.tell(first)
    more = desk.request(Kind.AUTHORIZATION, 500, incremental=True, retrieval_reference=first.retrieval_reference)
    desk.tell(more)
    assert desk.held == first_amount + 500
    return first, more


def test_reversing_an_increment_leaves_the_purchase() -> None:
    desk = Desk(10_000)
    _, more = increments(desk)
    desk.tell(desk.undo(more))
    assert (desk.held, desk.hold.state) == (1_000, HoldState.OPEN)
    assert counts(desk) == (1_000, 1)


def test_reversing_the_purchase_releases_its_increments_too() -> None:
    desk = Desk(10_000)
    first, _ = increments(desk)
    desk.tell(desk.undo(first))
    assert (desk.held, desk.hold.state) == (0, HoldState.REVERSED)
    assert counts(desk) == (0, 0)


@pytest.mark.parametrize("first_amount", [1_000, 300])
def test_reversing_an_increment_twice_takes_it_back_once(first_amount: int) -> None:
    """DOMAIN: a reversal of what was already reversed changes nothing and is recorded."""
    desk = Desk(10_000)
    _, more = increments(desk, first_amount)
    desk.tell(desk.undo(more))
    assert desk.held == first_amount
    desk.tell(desk.undo(more))
    assert desk.held == first_amount


@pytest.mark.parametrize("first_amount", [1_000, 300])
def test_reversing_a_withdrawn_increment_leaves_the_purchase(first_amount: int) -> None:
    """The increment timed out: we take it back, and the network, which heard 91 too, sends its reversal."""
    desk = Desk(10_000)
    _, more = increments(desk, first_amount)
    desk.tell(more, withdraw=True)
    assert desk.held == first_amount
    desk.tell(desk.undo(more))
    assert desk.held == first_amount


def test_reversing_one_of_two_presentments_takes_back_that_one_once() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 1_000)
    desk.tell(purchase)
    first, second = (
        desk.request(Kind.FINANCIAL_ADVICE, amount, retrieval_reference=purchase.retrieval_reference)
        for amount in (500, 300)
    )
    desk.tell(first)
    desk.tell(second)
    assert desk.balance == (9_200, 0)
    desk.tell(desk.undo(second))
    desk.tell(desk.undo(second))
    assert desk.balance == (9_500, 0)


def test_a_reversal_that_names_a_message_nobody_has_seen_takes_back_no_other_of_its_reference() -> None:
    """An increment was lost on its way, and its reversal came through."""
    desk = Desk(10_000)
    first = desk.request(Kind.AUTHORIZATION, 1_000)
    desk.tell(first)
    lost = desk.request(Kind.AUTHORIZATION, 500, incremental=True, retrieval_reference=first.retrieval_reference)
    desk.tell(desk.undo(lost))
    assert desk.held == 1_000
    assert desk.concerns == ["references_contradict"]
    assert desk.tell(lost).reason is Reason.REVERSED_EARLIER


def test_a_replacement_amount_in_another_currency_is_for_a_person() -> None:
    """DE95 speaks the currency of DE49; what it leaves of a hold in yen can't be computed here."""
    desk = Desk(10_000)
    foreign = {"currency": "USD", "billing_currency": "JPY", "billing_amount_minor": 1_500}
    purchase = desk.request(Kind.AUTHORIZATION, 1_000, **foreign)
    desk.tell(purchase)
    desk.tell(desk.undo(purchase, replacement_amount_minor=500))
    assert desk.held == 1_500
    assert desk.concerns == ["currency_not_served"]
    desk.tell(desk.undo(purchase))
    assert desk.held == 0, "a full reversal needs no rate"


# ── limits and days


@pytest.mark.parametrize(
    ("later", "day", "month"),
    [
        (timedelta(hours=11, minutes=59), 0, 0),
        (timedelta(hours=12), 700, 700),  # midnight in Tokyo: yesterday's purchase gives nothing back to today
        (timedelta(days=16), 700, 700),  # July
    ],
)
def test_a_reversal_gives_back_to_the_day_of_the_purchase(later: timedelta, day: int, month: int) -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    if day:
        desk.tell(desk.request(Kind.AUTHORIZATION, 700), at=NOON + later)
    desk.tell(desk.undo(purchase), at=NOON + later)
    assert (desk.usage.day_minor, desk.usage.month_minor) == (day, month)
    assert desk.usage.lifetime_minor == day


def test_de90_with_a_zero_filled_rest_still_names_the_original_beside_its_reference() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    blank = original_of(purchase, stan="", transmitted="", acquirer_id="")
    desk.tell(desk.undo(purchase, original=blank))
    assert desk.balance == (10_000, 0)


def test_a_purchase_of_which_a_part_was_presented_still_counts_when_the_rest_is_reversed() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    part = Clearing(kind=ClearingKind.PRESENTMENT, file_id="F", record=1, final=False)
    desk.tell(
        desk.request(Kind.PRESENTMENT, 1_000, stan="", retrieval_reference=purchase.retrieval_reference, clearing=part)
    )
    desk.tell(desk.undo(purchase))
    assert (desk.balance, desk.hold.state) == ((9_000, 0), HoldState.POSTED)
    assert (desk.usage.day_minor, desk.usage.day_count) == (1_000, 1)


@pytest.mark.parametrize("replacement", [None, 1_000])
def test_a_single_message_that_was_cleared_is_not_reversed_by_message(replacement: int | None) -> None:
    """Its clearing record has moved the money between the banks: only another one moves it back."""
    desk = Desk(10_000)
    purchase = desk.request(Kind.FINANCIAL, 3_000)
    desk.tell(purchase)
    desk.tell(desk.request(Kind.PRESENTMENT, 3_000, stan="", retrieval_reference=purchase.retrieval_reference))
    desk.tell(desk.undo(purchase, replacement_amount_minor=replacement))
    assert (desk.balance, desk.concerns) == ((7_000, 0), ["reversal_after_posting"])
