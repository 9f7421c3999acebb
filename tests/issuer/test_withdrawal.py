"""Taking back an approval that came after its deadline, unless somebody has heard it."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from switch.contracts.message import Kind, Operation, Request
from switch.contracts.reason import Reason
from switch.issuer.hold import HoldState
from switch.issuer.stored import MessageState
from tests.issuer.support import NOON, Desk, verdict


@pytest.mark.parametrize(
    ("kind", "entries"),
    [
        (Kind.AUTHORIZATION, [("hold", 3_000), ("release", 3_000)]),
        (Kind.FINANCIAL, [("posting", 3_000), ("posting_reversal", 3_000)]),
    ],
)
def test_a_late_approval_is_taken_back_and_a_repeat_hears_91(kind: Kind, entries: list[tuple[str, int]]) -> None:
    desk = Desk(10_000)
    request = desk.request(kind, 3_000)
    desk.tell(request)

    decision = desk.tell(request, withdraw=True)

    assert decision.reason is Reason.DEADLINE_MISSED
    assert desk.balance == (10_000, 0)
    assert desk.entries == entries
    assert desk.hold.state is HoldState.WITHDRAWN
    assert (desk.usage.day_minor, desk.usage.day_count) == (0, 0)
    assert desk.stored(request).state is MessageState.WITHDRAWN

    again = desk.tell(msgspec.structs.replace(request, repeat=True))
    assert again.reason is Reason.DEADLINE_MISSED
    assert again.answer.response_code == "<deadline_missed>"
    assert desk.balance == (10_000, 0)


def test_what_a_repeat_has_heard_stays() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    first = desk.tell(request)
    desk.tell(msgspec.structs.replace(request, repeat=True))

    decision = desk.tell(request, withdraw=True)

    assert verdict(decision) == "heard"
    assert decision.answer == first.answer
    assert desk.balance == (10_000, 3_000)
    assert desk.stored(request).approved


def test_repeats_whose_answers_came_too_late_were_heard_by_nobody() -> None:
    """The original and both repeats were queued behind a slow database, and 91 went out for each."""
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    repeat = msgspec.structs.replace(request, repeat=True)
    for message in (request, repeat, repeat):
        desk.tell(message)

    told = [
        verdict(desk.tell(request, withdraw=True)),
        verdict(desk.tell(repeat, withdraw=True)),
        verdict(desk.tell(repeat, withdraw=True)),
    ]

    # Each takes its own repeat off the count; the last finds that nobody has heard anything.
    assert told == ["heard", "heard", "withdrawn"]
    assert desk.balance == (10_000, 0)


def test_a_late_answer_to_a_repeat_leaves_what_was_heard_the_first_time() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.FINANCIAL, 3_000)
    repeat = msgspec.structs.replace(request, repeat=True)
    desk.tell(request)
    for _ in range(2):
        desk.tell(repeat)
        assert verdict(desk.tell(repeat, withdraw=True)) == "heard"
    assert desk.stored(request).repeats_answered == 0
    assert desk.balance == (7_000, 0)


def test_a_doubtful_approval_is_taken_back_where_it_was_decided_for_this_message() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(request)
    other = (NOON - timedelta(seconds=1),)
    for message in (request, msgspec.structs.replace(request, repeat=True)):
        told = desk.tell(message, withdraw=True, doubtful=True, moments=other)
        assert verdict(told) == "nothing_stored", "another copy of it was approved, and answered"
    assert desk.balance == (10_000, 3_000)
    assert verdict(desk.tell(request, withdraw=True, doubtful=True, moments=(*other, NOON))) == "withdrawn"
    assert desk.balance == (10_000, 0)


def test_a_withdrawal_that_is_tried_again_is_counted_once() -> None:
    """Three answers, of which two came too late; a commit of the first withdrawal was in doubt."""
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    repeat = msgspec.structs.replace(request, repeat=True)
    for message in (request, repeat, repeat):
        desk.tell(message)
    desk.tell(repeat, withdraw=True)
    desk.tell(repeat, withdraw=True, counted_off=True)
    assert verdict(desk.tell(repeat, withdraw=True)) == "heard"
    assert desk.balance == (10_000, 3_000)


@pytest.mark.parametrize("told", ["never", "declined", "twice"])
def test_there_may_be_nothing_to_take_back(told: str) -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 20_000 if told == "declined" else 3_000)
    if told != "never":
        desk.tell(request)
    if told == "twice":
        desk.tell(request, withdraw=True)
    before, messages = desk.account, dict(desk.books.stored)

    decision = desk.tell(request, withdraw=True)

    assert verdict(decision) == "nothing_stored"
    assert desk.account == before
    assert desk.books.stored == messages, "a withdrawal leaves no message of its own"


def test_a_withdrawn_request_that_never_became_durable_can_still_be_told() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(request, withdraw=True)
    assert desk.tell(request).reason is Reason.APPROVED


def test_after_a_reversal_only_the_answer_is_withdrawn() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(request)
    desk.tell(desk.undo(request))
    decision = desk.tell(request, withdraw=True)
    assert decision.reason is Reason.DEADLINE_MISSED
    assert desk.entries == [("hold", 3_000), ("release", 3_000)]
    assert desk.hold.state is HoldState.REVERSED


def test_after_a_partial_reversal_the_rest_is_taken_back() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(request)
    desk.tell(desk.undo(request, replacement_amount_minor=1_000))
    desk.tell(request, withdraw=True)
    assert desk.balance == (10_000, 0)
    assert desk.usage.day_minor == 0


def test_a_late_increment_is_taken_back_and_the_purchase_stays() -> None:
    desk = Desk(10_000)
    first = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(first)
    more = desk.request(Kind.AUTHORIZATION, 500, incremental=True, retrieval_reference=first.retrieval_reference)
    desk.tell(more)
    desk.tell(more, withdraw=True)
    assert (desk.held, desk.hold.state) == (3_000, HoldState.OPEN)
    assert (desk.usage.day_minor, desk.usage.day_count) == (3_000, 1)


def test_a_late_refund_is_taken_back() -> None:
    desk = Desk(0)
    request = desk.request(Kind.FINANCIAL, 500, operation=Operation.REFUND)
    desk.tell(request)
    desk.tell(request, withdraw=True)
    assert desk.balance == (0, 0)
    assert desk.hold.state is HoldState.WITHDRAWN


def test_a_late_verification_moves_nothing() -> None:
    desk = Desk(0)
    request = desk.request(Kind.AUTHORIZATION, 0, operation=Operation.ACCOUNT_VERIFICATION)
    desk.tell(request)
    assert desk.tell(request, withdraw=True).reason is Reason.DEADLINE_MISSED
    assert desk.tell(msgspec.structs.replace(request, repeat=True)).reason is Reason.DEADLINE_MISSED


def test_a_withdrawn_purchase_may_still_be_reversed_without_effect() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(request)
    desk.tell(request, withdraw=True)
    decision = desk.tell(desk.undo(request))
    assert (decision.reason, verdict(decision)) == (Reason.REVERSAL_ACCEPTED, "nothing_left")
    assert desk.balance == (10_000, 0)


# ── the network counts on it by now


@pytest.mark.parametrize("how", [Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE])
def test_an_approval_that_the_network_has_booked_on_is_not_withdrawn(how: Kind) -> None:
    """91 was sent, the network stood in or cleared, and its advice was quicker than our withdrawal."""
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(request)
    desk.ask(how, 3_000, retrieval_reference=request.retrieval_reference)
    before = desk.balance
    stored = desk.stored(request)
    desk.books.stored[3, stored.key] = msgspec.structs.replace(stored, repeats_answered=len(desk.books.repeats))

    desk.tell(request, withdraw=True)

    assert desk.balance == before


def late_increment(desk: Desk) -> tuple[Request, Request]:
    first = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(first)
    more = desk.request(Kind.AUTHORIZATION, 500, incremental=True, retrieval_reference=first.retrieval_reference)
    desk.tell(more)
    return first, more


def test_a_late_increment_of_a_cleared_purchase_leaves_the_posting() -> None:
    desk = Desk(10_000)
    first, more = late_increment(desk)
    undo = desk.undo(first)
    desk.ask(Kind.FINANCIAL_ADVICE, 3_000, retrieval_reference=first.retrieval_reference, original=undo.original)
    desk.tell(more, withdraw=True)
    assert desk.balance == (7_000, 0)


def test_a_late_increment_that_was_reversed_already_is_not_taken_back_again() -> None:
    desk = Desk(10_000)
    _, more = late_increment(desk)
    desk.tell(desk.undo(more))
    desk.tell(more, withdraw=True)
    assert desk.held == 3_000
