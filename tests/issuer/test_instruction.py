"""A person decides about a record in doubt: it is bound to a purchase, posted by itself, or rejected, once."""

from __future__ import annotations

import msgspec
import pytest

from switch.contracts.clearing import ClearingKind, Instruction, InstructionKind
from switch.contracts.message import Kind, Operation, Request
from switch.issuer.case import Decision
from switch.issuer.clearing_item import ItemState
from switch.issuer.hold import HoldState
from switch.issuer.stored import MessageState
from tests.issuer.story import Story, a_record
from tests.issuer.support import Desk, verdict


def decide(desk: Desk, record: Request, kind: InstructionKind, hold_id: int | None = None) -> Decision:
    assert record.clearing is not None
    said = Instruction(kind=kind, by="ann", agreed_by="bob", hold_id=hold_id)
    clearing = msgspec.structs.replace(record.clearing, instruction=said)
    return desk.tell(msgspec.structs.replace(record, clearing=clearing))


def two_alike(desk: Desk) -> tuple[Request, list[int]]:
    """Two open purchases of one reference, and a presentment that fits both: in doubt."""
    for _ in range(2):
        desk.ask(Kind.AUTHORIZATION, 3_000, retrieval_reference="RRN-1")
    record = a_record(desk, 3_000, retrieval_reference="RRN-1")
    assert verdict(desk.tell(record)) == ItemState.IN_DOUBT
    return record, [hold.hold_id for hold in desk.holds()]


def test_a_record_in_doubt_is_bound_to_the_purchase_that_a_person_names() -> None:
    desk = Desk(50_000)
    record, (_, second) = two_alike(desk)
    decide(desk, record, InstructionKind.BIND, second)
    assert desk.balance == (47_000, 3_000)
    assert desk.books.holds[3][second].state is HoldState.POSTED
    assert (desk.stored(record).state, desk.stored(record).hold_id) == (MessageState.ANSWERED, second)
    assert [(step.after.state, step.after.why) for step in desk.books.item_steps] == [
        (ItemState.IN_DOUBT, "ambiguous_purchase"),
        (ItemState.MATCHED, "instruction"),
    ]
    assert desk.concerns == ["ambiguous_purchase"], "who was asked need not be told what they said"


def test_a_record_in_doubt_is_posted_by_itself() -> None:
    desk = Desk(50_000)
    record, _ = two_alike(desk)
    decide(desk, record, InstructionKind.FORCE)
    assert desk.balance == (47_000, 6_000)
    assert desk.books.item_steps[-1].after.state is ItemState.FORCED


def test_a_record_in_doubt_is_rejected() -> None:
    desk = Desk(50_000)
    record, _ = two_alike(desk)
    decide(desk, record, InstructionKind.REJECT)
    assert desk.balance == (50_000, 6_000)
    assert desk.stored(record).state is MessageState.REJECTED
    assert desk.books.item_steps[-1].after.state is ItemState.REJECTED


@pytest.mark.parametrize("first", list(InstructionKind))
@pytest.mark.parametrize("then", list(InstructionKind))
def test_what_is_settled_stays_so(first: InstructionKind, then: InstructionKind) -> None:
    desk = Desk(50_000)
    record, (one, other) = two_alike(desk)
    decide(desk, record, first, one if first is InstructionKind.BIND else None)
    before = (desk.account, desk.stored(record), len(desk.books.item_steps))
    decision = decide(desk, record, then, other if then is InstructionKind.BIND else None)
    assert (desk.account, desk.stored(record), len(desk.books.item_steps)) == before
    assert verdict(decision) == "not_in_doubt" and decision.resolved is None


def test_a_record_that_was_booked_takes_no_instruction() -> None:
    desk = Desk(50_000)
    record = a_record(desk, 3_000)
    desk.tell(record)
    assert verdict(decide(desk, record, InstructionKind.REJECT)) == "not_in_doubt"
    assert desk.posted == 47_000


def test_an_instruction_about_nothing_changes_nothing() -> None:
    desk = Desk(50_000)
    assert verdict(decide(desk, a_record(desk, 3_000), InstructionKind.FORCE)) == "not_in_doubt"
    assert desk.books.new_messages == {}


def test_a_rejected_record_that_comes_again_stays_rejected() -> None:
    desk = Desk(50_000)
    record, _ = two_alike(desk)
    decide(desk, record, InstructionKind.REJECT)
    assert desk.tell(record).repeat_of is not None
    assert desk.posted == 50_000


def test_an_unknown_card_s_record_can_only_be_rejected() -> None:
    desk = Desk()
    record = a_record(desk, 3_000)
    nobody = b"?" * 32
    desk.books.decide(desk.item(record, lookup=nobody))
    assert record.clearing is not None
    for kind, said in ((InstructionKind.FORCE, "unknown_card"), (InstructionKind.REJECT, "rejected")):
        clearing = msgspec.structs.replace(record.clearing, instruction=Instruction(kind=kind, by="ann"))
        told_ = desk.books.decide(desk.item(msgspec.structs.replace(record, clearing=clearing), lookup=nobody))
        assert verdict(told_) == said
    assert desk.books.stored[0, desk.item(record, lookup=nobody).key].state is MessageState.REJECTED


#: A record in doubt, what it is forced as, and which way the money goes.
FORCED = [
    (ClearingKind.PRESENTMENT, Operation.BALANCE_INQUIRY, "posting", -1),
    (ClearingKind.PRESENTMENT_REVERSAL, Operation.PURCHASE, "refund", +1),
    (ClearingKind.PRESENTMENT_REVERSAL, Operation.REFUND, "posting", -1),
    (ClearingKind.CHARGEBACK, Operation.PURCHASE, "chargeback", +1),
    (ClearingKind.CHARGEBACK_REVERSAL, Operation.PURCHASE, "chargeback_reversal", -1),
    (ClearingKind.ADDITIONAL_CHARGE, Operation.REFUND, "refund", +1),
    (ClearingKind.ADDITIONAL_CHARGE, Operation.UNSUPPORTED, "additional_charge", -1),
]


@pytest.mark.parametrize(("kind", "operation", "entry", "sign"), FORCED)
def test_what_is_forced_goes_the_way_its_kind_says(
    kind: ClearingKind, operation: Operation, entry: str, sign: int
) -> None:
    desk = Desk(50_000)
    record = a_record(desk, 3_000, kind=kind, operation=operation)
    assert verdict(desk.tell(record)) == ItemState.IN_DOUBT
    decide(desk, record, InstructionKind.FORCE)
    assert desk.entries == [(entry, 3_000)]
    assert desk.posted == 50_000 + sign * 3_000
    assert desk.hold.credit is (sign > 0)


@pytest.mark.parametrize(
    ("kind", "operation", "lines", "posted"),
    [
        (ClearingKind.PRESENTMENT_REVERSAL, Operation.PURCHASE, ["present 3,000"], 50_000),
        (ClearingKind.PRESENTMENT_REVERSAL, Operation.PURCHASE, ["authorize 3,000"], "more_than_posted"),
        (ClearingKind.PRESENTMENT_REVERSAL, Operation.PURCHASE, ["refund 3,000"], "more_than_posted"),
        (ClearingKind.PRESENTMENT_REVERSAL, Operation.REFUND, ["refund 3,000"], 50_000),
        (ClearingKind.PRESENTMENT_REVERSAL, Operation.REFUND, ["refund 2,999"], "more_than_posted"),
        (ClearingKind.PRESENTMENT_REVERSAL, Operation.REFUND, ["present 3,000", "refund 3,000"], 47_000),
        (ClearingKind.CHARGEBACK, Operation.PURCHASE, ["present 3,000"], 50_000),
        (ClearingKind.CHARGEBACK, Operation.PURCHASE, ["authorize 3,000", "reverse"], "nothing_posted"),
        (ClearingKind.CHARGEBACK, Operation.PURCHASE, ["refund 3,000"], "no_such_purchase"),
        (ClearingKind.CHARGEBACK_REVERSAL, Operation.PURCHASE, ["present 3,000", "charge back 3,000"], 47_000),
        (ClearingKind.CHARGEBACK_REVERSAL, Operation.PURCHASE, ["authorize 3,000", "reverse"], 47_000),
        (ClearingKind.PRESENTMENT, Operation.UNSUPPORTED, ["authorize 3,000", "reverse"], 47_000),
        (ClearingKind.PRESENTMENT, Operation.UNSUPPORTED, ["authorize 3,000"], 47_000),
        (ClearingKind.PRESENTMENT, Operation.UNSUPPORTED, ["refund 3,000"], "no_such_purchase"),
        (ClearingKind.ADDITIONAL_CHARGE, Operation.REFUND, ["present 3,000"], 50_000),
        (ClearingKind.ADDITIONAL_CHARGE, Operation.REFUND, ["authorize 3,000"], "nothing_posted"),
    ],
)
def test_what_is_bound_changes_the_purchase_or_says_why_it_can_t(
    kind: ClearingKind, operation: Operation, lines: list[str], posted: int | str
) -> None:
    story = Story()
    for line in lines:
        story.say(line)
    desk, before = story.desk, story.desk.posted
    hold_id = min(hold.hold_id for hold in desk.holds())
    record = a_record(desk, 3_000, kind=kind, operation=operation)
    assert verdict(desk.tell(record)) == ItemState.IN_DOUBT
    decision = decide(desk, record, InstructionKind.BIND, hold_id)
    story.check()
    if isinstance(posted, str):
        assert (verdict(decision), decision.resolved, desk.posted) == (posted, None, before)
    else:
        assert desk.posted == posted
        assert decision.hold is not None and decision.hold.hold_id == hold_id


def test_a_chargeback_that_was_forced_is_presented_again() -> None:
    story = Story()
    story.say("charge back 3,000")
    (record,) = (item.request for _, _, item in story.desk.books.new_messages.values())
    decide(story.desk, record, InstructionKind.FORCE)
    assert story.desk.posted == 53_000
    assert story.row("present again 3,500")[-1] == "more_than_charged_back"
    assert story.row("present again 3,000") == ["present again 3,000", "50,000", "0", "reversed", "-"]


def test_a_purchase_that_is_not_there_is_no_purchase() -> None:
    desk = Desk(50_000)
    record, _ = two_alike(desk)
    assert verdict(decide(desk, record, InstructionKind.BIND, 99)) == "no_such_purchase"
    assert desk.stored(record).state is MessageState.IN_DOUBT
