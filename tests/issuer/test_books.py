"""Several messages of one batch: each is decided on what the ones before it left."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from switch.contracts.errors import InvariantBroken
from switch.contracts.message import Kind
from switch.contracts.reason import Reason
from switch.issuer.account import Account
from switch.issuer.books import Books
from switch.issuer.hold import Hold, HoldState
from switch.issuer.stored import MessageState
from tests.issuer.support import CODES, LOOKUP, NOON, Desk, a_card, a_program, an_account, pan


def test_a_repeat_in_the_same_batch_gets_the_same_answer() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    first = desk.tell(request)
    again = desk.tell(msgspec.structs.replace(request, repeat=True))

    assert again.answer == first.answer
    assert len(desk.books.bookings) == len(desk.books.new_messages) == 1
    assert desk.books.repeats == [(3, desk.item(request).key)]


def test_a_reversal_in_the_same_batch_finds_its_original() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(request)
    desk.tell(desk.undo(request))

    assert desk.balance == (10_000, 0)
    assert [(h.state, h.held_minor) for h in desk.books.hold_steps] == [
        (HoldState.OPEN, 3_000),
        (HoldState.REVERSED, 0),
    ]
    assert len(desk.books.new_messages) == 2


def test_a_reversal_before_its_original_in_the_same_batch() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    undo = desk.undo(request)
    desk.tell(undo)
    assert desk.books.accounts_with_new_tombstones == {3}
    assert desk.tell(request).reason is Reason.REVERSED_EARLIER

    assert desk.books.amended_messages == {}, "it is new in this batch: written once, in its newest state"
    states = {message.stan: message.state for message, _, _ in desk.books.new_messages.values()}
    assert states == {undo.stan: MessageState.TOMBSTONE_MET, request.stan: MessageState.ANSWERED}


def test_a_withdrawal_in_the_same_batch() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(request)
    desk.tell(request, withdraw=True)
    ((message, decision, item),) = desk.books.new_messages.values()
    assert (message.state, message.answer.reason) == (MessageState.WITHDRAWN, Reason.DEADLINE_MISSED)
    assert decision.reason is Reason.APPROVED, "the trace stays the one of the decision"
    assert not item.withdraw


def test_funds_and_limits_run_down_within_the_batch() -> None:
    desk = Desk(1_000, program=a_program(limits={"daily": {"count": 3}}))
    reasons = [desk.ask(Kind.AUTHORIZATION, amount).reason for amount in (400, 400, 400, 200, 1)]
    assert reasons == [
        Reason.APPROVED,
        Reason.APPROVED,
        Reason.INSUFFICIENT_FUNDS,
        Reason.APPROVED,
        Reason.OVER_COUNT_LIMIT,
    ]
    assert desk.balance == (1_000, 1_000)
    assert [b.entry.seq for b in desk.books.bookings] == [2, 3, 4]


def test_two_cards_of_one_account_share_its_money_and_keep_their_own_limits() -> None:
    desk = Desk(1_000)
    second = b"2" * 32
    desk.books.cards[second] = a_card(card_id=8)
    number = pan("5" + "1" * 14)
    assert desk.ask(Kind.AUTHORIZATION, 700).reason is Reason.APPROVED
    other = desk.books.decide(desk.item(desk.request(Kind.AUTHORIZATION, 400, pan=number), lookup=second))
    assert other.reason is Reason.INSUFFICIENT_FUNDS
    third = desk.books.decide(desk.item(desk.request(Kind.AUTHORIZATION, 300, pan=number), lookup=second))
    assert third.reason is Reason.APPROVED
    assert {card: usage.day_minor for card, usage in desk.books.usages.items()} == {7: 700, 8: 300}
    assert desk.books.changed_usages.keys() == {7, 8}


def test_a_reversal_finds_nothing_of_another_card() -> None:
    desk = Desk(1_000)
    second = b"2" * 32
    desk.books.cards[second] = a_card(card_id=8)
    request = desk.request(Kind.AUTHORIZATION, 700)
    desk.tell(request)
    decision = desk.books.decide(desk.item(desk.undo(request), lookup=second))
    assert decision.remember_as is MessageState.TOMBSTONE
    assert desk.held == 700


def test_a_message_of_an_unknown_card_is_stored_without_an_account() -> None:
    desk = Desk(1_000)
    request = desk.request()
    item = desk.item(request, lookup=b"?" * 32)
    assert desk.books.decide(item).reason is Reason.UNKNOWN_CARD
    assert list(desk.books.new_messages) == [(0, item.key)]
    again = desk.books.decide(item)
    assert again.reason is Reason.UNKNOWN_CARD and again.repeat_of is not None


# ── resumed after a commit in doubt


def test_a_resumed_message_that_was_booked_is_no_repeat() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    first = desk.tell(request)
    booked = dict(desk.books.new_messages)
    desk.books.new_messages.clear()  # as if a commit had taken them

    again = desk.tell(request, moments=(NOON,))

    assert again.answer == first.answer
    assert desk.books.repeats == []
    assert list(desk.books.amended_messages) == list(booked), (
        "it is written once more, so the answer waits for a commit"
    )
    assert desk.stored(request).repeats_answered == 0
    assert desk.balance == (10_000, 3_000)


@pytest.mark.parametrize("repeat", [True, False])
def test_a_resumed_message_that_was_decided_at_another_moment_is_a_repeat(repeat: bool) -> None:
    """The network had sent it before, and that copy had an answer of its own."""
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(request)
    desk.tell(msgspec.structs.replace(request, repeat=repeat), moments=(NOON + timedelta(seconds=1),))
    assert desk.stored(request).repeats_answered == 1


def test_a_resumed_message_that_was_not_booked_is_decided() -> None:
    desk = Desk(10_000)
    assert desk.tell(desk.request(Kind.AUTHORIZATION, 3_000), moments=(NOON,)).reason is Reason.APPROVED
    assert desk.held == 3_000


# ── invariants


def test_a_balance_that_is_not_the_sum_of_its_entries_stops_the_batch() -> None:
    desk = Desk(10_000)
    desk.ask(Kind.AUTHORIZATION, 3_000)
    spoiled: Account = msgspec.structs.replace(desk.account, held_minor=2_999)
    desk.books.accounts[spoiled.account_id] = spoiled
    with pytest.raises(InvariantBroken, match="account 3: the balance is not the sum"):
        desk.books.check_invariants([desk.loaded])


def test_a_purchase_that_holds_more_than_its_account_stops_the_batch() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(request)
    desk.books.holds[3][2] = msgspec.structs.replace(desk.hold, held_minor=3_001)
    with pytest.raises(InvariantBroken, match="release of 3001"):
        desk.tell(desk.undo(request))


def test_a_new_purchase_in_the_place_of_an_ended_one_stops_the_batch() -> None:
    desk = Desk(10_000)
    ended = Hold(3, 2, 7, HoldState.REVERSED, 5, 0, 0, False, "", NOON)
    desk.books.holds[3] = {2: ended}
    with pytest.raises(InvariantBroken, match="cannot go from reversed to open"):
        desk.ask(Kind.AUTHORIZATION, 100)


def test_a_card_of_a_program_that_is_not_there_is_answered_unavailable() -> None:
    desk = Desk(10_000)
    books = Books({}, CODES, NOON)
    books.cards[LOOKUP] = desk.card
    books.accounts[3] = an_account()
    assert books.decide(desk.item(desk.request())).reason is Reason.UNAVAILABLE
