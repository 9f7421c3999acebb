"""What clearing records do beside the balance: limits, debts, refunds that were authorized, and what is not booked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from switch.contracts.clearing import ClearingKind
from switch.contracts.message import Kind, Operation
from switch.contracts.reason import Reason
from switch.issuer.card import CardStatus
from switch.issuer.case import Decision
from switch.issuer.clearing_item import ItemState
from switch.issuer.stored import MessageState
from tests.issuer.story import Story, a_record, told
from tests.issuer.support import Desk, a_card, a_program

# ── limits


@pytest.mark.parametrize(
    ("lines", "spent", "count"),
    [
        (["authorize 10,000", "present 8,000"], 8_000, 1),
        (["authorize 10,000", "present 12,000"], 12_000, 1),
        (["authorize 10,000", "reverse", "present 8,000"], 8_000, 1),
        (["authorize 10,000", "present 4,000, more follow", "reverse"], 4_000, 1),
        (["authorize 10,000", "days pass 8", "present 10,000"], 10_000, 1),
        (["present 3,000"], 3_000, 1),
        (["pay 5,000", "present 5,000"], 5_000, 1),
        (["authorize 10,000", "present 10,000", "charge in addition 500"], 10_500, 1),
        (["authorize 10,000", "present 10,000", "take back 10,000"], 0, 0),
        (["authorize 10,000", "present 10,000", "refund 10,000 as R"], 10_000, 1),
        (["authorize 10,000", "present 10,000", "charge back 10,000", "present again 10,000"], 10_000, 1),
    ],
)
def test_the_limits_follow_what_was_spent_and_credits_are_no_spending(lines: list[str], spent: int, count: int) -> None:
    story = Story()
    for line in lines:
        story.say(line)
    assert (story.desk.usage.lifetime_minor, story.desk.usage.lifetime_count) == (spent, count)


def test_a_refund_alone_leaves_the_limits_alone() -> None:
    story = Story()
    story.say("refund 3,000")
    assert story.desk.books.changed_usages == {}


# ── what no card's status or balance can stop


@pytest.mark.parametrize("status", [status for status in CardStatus if status is not CardStatus.ACTIVE])
def test_a_card_that_was_closed_or_lost_meanwhile_is_charged(status: CardStatus) -> None:
    desk = Desk(50_000, card=a_card(status=status))
    assert desk.tell(a_record(desk, 3_000)).reason is Reason.ADVICE_ACCEPTED
    assert desk.balance == (47_000, 0)


def test_a_locked_card_is_charged() -> None:
    desk = Desk(50_000)
    bought = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(bought)
    desk.books.cards = {lookup: a_card(locked=True) for lookup in desk.books.cards}
    desk.tell(a_record(desk, 3_000, retrieval_reference=bought.retrieval_reference))
    assert (desk.balance, desk.concerns) == ((47_000, 0), [])


def test_an_account_that_falls_below_its_floor_owes_until_money_comes_back() -> None:
    story = told(
        """
        step                    posted  held    purchase  a person is told
        authorize 1,000         1,000   1,000   open      -
        present 1,000           0       0       posted    -
        charge in addition 300 as B  -300  0    posted    below_floor
        refund 200 as R1        -100    0       posted    -
        refund 150 as R2        50      0       posted    -
    """,
        balance=1_000,
    )
    assert [(notice.kind, notice.facts["available"]) for notice in story.desk.books.notices] == [
        ("balance_negative", -300),
        ("balance_recovered", 50),
    ]


def test_an_account_that_owes_declines_what_is_asked() -> None:
    story = Story(1_000)
    story.say("present 1,300")
    assert story.desk.ask(Kind.AUTHORIZATION, 1).reason is Reason.INSUFFICIENT_FUNDS


# ── what is usual for a merchant


@pytest.mark.parametrize(
    ("amount", "mcc", "concern"),
    [
        (12_000, "5812", []),
        (12_001, "5812", ["over_capture"]),
        (10_500, "5411", []),
        (10_501, "5411", ["over_capture"]),
    ],
)
def test_restaurants_may_present_a_tip(amount: int, mcc: str, concern: list[str]) -> None:
    rules = {"over_capture_percent": 5, "over_capture": [{"mcc": ["5812-5814"], "percent": 20}]}
    desk = Desk(50_000, program=a_program(clearing=rules))
    bought = desk.request(Kind.AUTHORIZATION, 10_000)
    desk.tell(bought)
    desk.tell(a_record(desk, amount, mcc=mcc, retrieval_reference=bought.retrieval_reference))
    assert (desk.posted, desk.concerns) == (50_000 - amount, concern)


# ── refunds that were authorized


def refunding(desk: Desk, amount: int, **changes: Any) -> Decision:
    return desk.tell(a_record(desk, amount, operation=Operation.REFUND, retrieval_reference="REFUND-1", **changes))


def test_a_refund_authorization_is_credited_when_its_clearing_comes() -> None:
    desk = Desk(50_000)
    desk.ask(Kind.AUTHORIZATION, 3_000, operation=Operation.REFUND, retrieval_reference="REFUND-1")
    assert desk.posted == 50_000
    refunding(desk, 3_000)
    assert (desk.posted, desk.concerns) == (53_000, [])
    refunding(desk, 3_000)
    assert (desk.posted, desk.concerns) == (56_000, ["refund_cleared_again"])


def test_more_than_was_authorized_as_a_refund_is_credited_and_flagged() -> None:
    desk = Desk(50_000)
    desk.ask(Kind.AUTHORIZATION, 3_000, operation=Operation.REFUND, retrieval_reference="REFUND-1")
    refunding(desk, 3_001)
    assert (desk.posted, desk.concerns) == (53_001, ["refund_exceeds_authorization"])


def test_two_credits_of_one_reference_are_told_apart_by_the_amount_or_by_a_person() -> None:
    desk = Desk(50_000)
    for amount in (3_000, 2_000):
        desk.ask(Kind.FINANCIAL, amount, operation=Operation.REFUND, retrieval_reference="REFUND-1")
    refunding(desk, 2_500)
    refunding(desk, 2_000)
    refunding(desk, 3_000)
    assert (desk.posted, desk.concerns) == (55_000, ["ambiguous_purchase"])


# ── what can't be booked, or not yet


@pytest.mark.parametrize("kind", list(ClearingKind))
@pytest.mark.parametrize("operation", list(Operation))
def test_a_record_of_an_unknown_card_waits_for_a_person_and_a_fee_does_not(
    kind: ClearingKind, operation: Operation
) -> None:
    desk = Desk()
    item = desk.item(a_record(desk, 3_000, kind=kind, operation=operation), lookup=b"?" * 32)
    decision = desk.books.decide(item)
    fee = kind is ClearingKind.FEE
    assert decision.item is not None
    assert (decision.item.account_id, decision.item.state) == (0, ItemState.NOTED if fee else ItemState.IN_DOUBT)
    assert desk.concerns == ([] if fee else ["unknown_card"])
    assert desk.books.decide(item).repeat_of is not None


@pytest.mark.parametrize(
    ("changes", "state", "why"),
    [
        ({"currency": "USD"}, ItemState.IN_DOUBT, "currency_not_served"),
        ({"currency": "USD", "billing_currency": "EUR", "billing_amount_minor": 9}, ItemState.IN_DOUBT, "currency_not_served"),
        ({"amount_minor": 0}, ItemState.NOTED, "no_amount"),
        ({"kind": ClearingKind.FEE}, ItemState.NOTED, "fee"),
        ({"operation": Operation.BALANCE_INQUIRY}, ItemState.IN_DOUBT, "unsupported_operation"),
        ({"operation": Operation.REFUND, "kind": ClearingKind.ADDITIONAL_CHARGE}, ItemState.IN_DOUBT, "unsupported_operation"),
        ({"operation": Operation.REFUND, "kind": ClearingKind.CHARGEBACK}, ItemState.IN_DOUBT, "unsupported_operation"),
        ({"kind": ClearingKind.PRESENTMENT_REVERSAL}, ItemState.IN_DOUBT, "no_such_record"),
        ({"kind": ClearingKind.CHARGEBACK_REVERSAL}, ItemState.IN_DOUBT, "no_such_record"),
    ],
)  # fmt: skip
def test_what_is_not_booked(changes: dict[str, Any], state: ItemState, why: str) -> None:
    desk = Desk(50_000)
    request = a_record(desk, changes.pop("amount_minor", 3_000), **changes)
    decision = desk.tell(request)
    assert desk.balance == (50_000, 0)
    assert decision.item is not None and (decision.item.state, decision.item.why) == (state, why)
    assert desk.concerns == ([why] if state is ItemState.IN_DOUBT else [])
    assert desk.stored(request).state is (
        MessageState.IN_DOUBT if state is ItemState.IN_DOUBT else MessageState.ANSWERED
    )


def test_a_purchase_abroad_is_charged_as_billed() -> None:
    desk = Desk(50_000)
    abroad = {"currency": "USD", "billing_currency": "JPY"}
    bought = desk.request(Kind.AUTHORIZATION, 1_999, billing_amount_minor=3_000, **abroad)
    desk.tell(bought)
    assert desk.held == 3_000
    desk.tell(
        a_record(desk, 1_999, billing_amount_minor=3_050, retrieval_reference=bought.retrieval_reference, **abroad)
    )
    assert desk.balance == (46_950, 0)


# ── records that come again


def test_a_record_that_comes_again_books_nothing() -> None:
    desk = Desk(50_000)
    record = a_record(desk, 3_000)
    first, again = desk.tell(record), desk.tell(record)
    assert again.repeat_of is not None and again.answer == first.answer
    assert desk.posted == 47_000
    assert len(desk.books.item_steps) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 3_001},
        {"currency": "USD"},
        {"retrieval_reference": "ANOTHER"},
        {"approval_code": "123456"},
        {"operation": Operation.REFUND},
        {"billing_amount_minor": 1, "billing_currency": "JPY"},
    ],
)
def test_the_same_place_in_a_file_with_other_content_is_for_a_person(changes: dict[str, Any]) -> None:
    desk = Desk(50_000)
    record = a_record(desk, 3_000)
    desk.tell(record)
    decision = desk.tell(msgspec.structs.replace(record, **changes))
    assert decision.reason is Reason.KEY_REUSED
    assert (desk.posted, desk.concerns[-1]) == (47_000, Reason.KEY_REUSED)
