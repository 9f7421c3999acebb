"""Which purchase a clearing record belongs to: level by level, and never by a guess."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.message import Answer, Kind, Operation
from switch.contracts.reason import Reason
from switch.issuer.case import Case
from switch.issuer.clearing_item import ClearingItem, ItemState
from switch.issuer.hold import Hold, HoldState
from switch.issuer.matching import Candidate
from switch.issuer.purchase_match import PurchaseMatch, find_purchase, names_surely
from switch.issuer.stored import StoredMessage
from tests.issuer.support import NOON, a_case, a_program, a_request

AMOUNT = 1_000


def a_purchase(hold_id: int = 2, **changes: Any) -> Hold:
    """An open hold of 1,000."""
    state = changes.get("state", HoldState.OPEN)
    plain = Hold(
        account_id=3,
        hold_id=hold_id,
        card_id=7,
        state=state,
        authorized_minor=AMOUNT,
        held_minor=AMOUNT if state is HoldState.OPEN else 0,
        posted_minor=AMOUNT if state is HoldState.POSTED else 0,
        credit=False,
        mcc="5411",
        opened_at=NOON - timedelta(days=2),
        approval_code="A",
    )
    return msgspec.structs.replace(plain, **changes)


def a_message(hold_id: int | None = 2, **changes: Any) -> StoredMessage:
    """The authorization that placed it, with all references."""
    plain: dict[str, Any] = {
        "account_id": 3,
        "key": f"message of {hold_id}".encode(),
        "fingerprint": b"",
        "network": "west",
        "kind": Kind.AUTHORIZATION,
        "operation": Operation.PURCHASE,
        "card_id": 7,
        "stan": "000001",
        "transmitted": "0613030000",
        "acquirer_id": "ACQ",
        "retrieval_reference": "RRN",
        "network_reference": "NET",
        "terminal_id": "TERM",
        "amount_minor": AMOUNT,
        "answer": Answer(reason=Reason.APPROVED, approval_code="A"),
        "decided_at": NOON - timedelta(days=2),
        "hold_id": hold_id,
        "moved_minor": AMOUNT,
    }
    return StoredMessage(**{**plain, **changes})


def an_item(hold_id: int | None = 2, **changes: Any) -> ClearingItem:
    plain: dict[str, Any] = {
        "account_id": 3,
        "key": b"an earlier one",
        "network": "west",
        "kind": ClearingKind.PRESENTMENT,
        "operation": Operation.PURCHASE,
        "acquirer_reference": "ARN",
        "sequence": 1,
        "sequence_count": 0,
        "state": ItemState.MATCHED,
        "why": "",
        "confidence": 90,
        "hold_id": hold_id,
        "amount_minor": AMOUNT,
    }
    return ClearingItem(**{**plain, **changes})


def a_record_case(
    holds: list[Hold], messages: list[StoredMessage], items: list[ClearingItem] | None = None, /, **changes: Any
) -> Case:
    """A presentment of 1,000 that names nothing, unless ``changes`` do."""
    arn, kind = changes.pop("acquirer_reference", ""), changes.pop("kind", ClearingKind.PRESENTMENT)
    days = changes.pop("match_window_days", 120)
    request = a_request(
        Kind.PRESENTMENT,
        changes.pop("amount_minor", AMOUNT),
        **{
            "clearing": Clearing(kind=kind, file_id="F", record=1, acquirer_reference=arn),
            **changes,
        },
    )
    return a_case(
        request,
        program=a_program(clearing={"match_window_days": days}),
        holds={hold.hold_id: hold for hold in holds},
        candidates=tuple(Candidate(message, message.decided_at) for message in messages),
        clearing_items=tuple(items or ()),
    )


def level(case: Case) -> str:
    """The level, and whether it was found or is ambiguous."""
    found = find_purchase(case, case.request.amount_minor)
    return f"{found.level}: {', '.join(map(str, found.several))}" if found.several else found.level


# ── the levels

ALL = {
    "network_reference": "NET",
    "acquirer_reference": "ARN",
    "retrieval_reference": "RRN",
    "approval_code": "A",
    "acquirer_id": "ACQ",
    "terminal_id": "TERM",
}


@pytest.mark.parametrize(
    ("gone", "expected", "confidence"),
    [
        ((), "network_reference", 100),
        (("network_reference",), "acquirer_reference", 95),
        (("network_reference", "acquirer_reference"), "retrieval_reference", 90),
        (("network_reference", "acquirer_reference", "retrieval_reference"), "approval_code", 80),
        (("network_reference", "acquirer_reference", "retrieval_reference", "approval_code"), "place_and_amount", 40),
        (tuple(ALL), "none", 0),
    ],
)
def test_the_strongest_element_that_is_told_decides(gone: tuple[str, ...], expected: str, confidence: int) -> None:
    elements = {name: value for name, value in ALL.items() if name not in gone}
    found = find_purchase(a_record_case([a_purchase()], [a_message()], [an_item()], **elements), AMOUNT)
    assert (found.level, found.confidence) == (expected, confidence)
    assert (found.hold is None) == (expected == "none")


BARE = {"network_reference": "", "acquirer_id": "", "terminal_id": ""}


@pytest.mark.parametrize(
    ("record", "message", "expected"),
    [
        # The network's own id.
        ({"network_reference": "NET"}, {}, "network_reference"),
        ({"network_reference": "NET", "network": "east"}, {}, "none"),
        ({"network_reference": "OTHER", **{k: v for k, v in ALL.items() if k != "network_reference"}}, {}, "none"),
        # The retrieval reference, which is unique only for its acquirer.
        ({"retrieval_reference": "RRN"}, {}, "retrieval_reference"),
        ({"retrieval_reference": "RRN", "acquirer_id": "ELSE"}, {}, "none"),
        ({"retrieval_reference": "RRN", "approval_code": "B"}, {}, "none"),
        ({"retrieval_reference": "RRN", "approval_code": "B", "operation": Operation.REFUND}, {}, "retrieval_reference"),
        # An increment was approved under a code of its own.
        (
            {"retrieval_reference": "RRN", "approval_code": "B"},
            {"answer": Answer(reason=Reason.APPROVED, approval_code="B"), "incremental": True},
            "retrieval_reference",
        ),
        # The approval code with the amount or the place, and alone.
        ({"approval_code": "A"}, {}, "approval_code"),
        ({"approval_code": "A", "amount_minor": 900, "terminal_id": "TERM"}, {}, "approval_code"),
        ({"approval_code": "A", "amount_minor": 900}, {}, "approval_code_alone"),
        ({"approval_code": "A", "amount_minor": 900, "acquirer_id": "ELSE"}, {}, "none"),
        ({"approval_code": "A", "amount_minor": 900, "terminal_id": "TERM", "acquirer_id": "ELSE"}, {}, "none"),
        # The place and the very amount: only what is open.
        ({"acquirer_id": "ACQ", "terminal_id": "TERM"}, {}, "place_and_amount"),
        ({"acquirer_id": "ACQ", "terminal_id": "TERM", "amount_minor": 999}, {}, "none"),
        ({"acquirer_id": "ACQ", "terminal_id": "ELSE"}, {}, "none"),
        ({"terminal_id": "TERM"}, {}, "none"),
        ({"acquirer_id": "ACQ", "terminal_id": "TERM", "approval_code": "B"}, {}, "none"),
        ({"acquirer_id": "ACQ", "terminal_id": "TERM", "retrieval_reference": "ELSE"}, {}, "none"),
        ({"acquirer_id": "ACQ", "terminal_id": "TERM", "operation": Operation.REFUND}, {}, "none"),
        ({"acquirer_id": "ACQ", "terminal_id": "TERM", "kind": ClearingKind.ADDITIONAL_CHARGE}, {}, "none"),
        # A message that names nothing is named by nothing.
        ({"retrieval_reference": ""}, {"retrieval_reference": "", **BARE}, "none"),
    ],
)  # fmt: skip
def test_one_purchase(record: dict[str, Any], message: dict[str, Any], expected: str) -> None:
    assert level(a_record_case([a_purchase()], [a_message(**message)], **record)) == expected


@pytest.mark.parametrize("state", list(HoldState))
def test_a_purchase_is_found_in_whatever_state_it_is(state: HoldState) -> None:
    case = a_record_case([a_purchase(state=state)], [a_message()], retrieval_reference="RRN")
    assert level(case) == "retrieval_reference"


def test_only_what_is_open_fits_by_place_and_amount() -> None:
    holds = [a_purchase(state=state) for state in HoldState if state is not HoldState.OPEN]
    for hold in holds:
        assert level(a_record_case([hold], [a_message()], acquirer_id="ACQ", terminal_id="TERM")) == "none"


@pytest.mark.parametrize(("days", "expected"), [(2, "retrieval_reference"), (1, "none")])
def test_beyond_the_window_only_the_networks_id_and_its_records_count(days: int, expected: str) -> None:
    plain: dict[str, Any] = {"match_window_days": days}
    holds, messages = [a_purchase()], [a_message()]
    assert level(a_record_case(holds, messages, retrieval_reference="RRN", **plain)) == expected
    assert level(a_record_case(holds, messages, network_reference="NET", **plain)) == "network_reference"
    assert level(a_record_case(holds, messages, [an_item()], acquirer_reference="ARN", **plain)) == "acquirer_reference"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, "acquirer_reference"),
        ({"state": ItemState.REVERSED}, "acquirer_reference"),
        ({"kind": ClearingKind.CHARGEBACK}, "acquirer_reference"),
        ({"state": ItemState.IN_DOUBT, "hold_id": None}, "none"),
        ({"network": "east"}, "none"),
        ({"acquirer_reference": "ELSE"}, "none"),
    ],
)
def test_earlier_records_of_the_acquirer_reference(item: dict[str, Any], expected: str) -> None:
    assert level(a_record_case([a_purchase()], [], [an_item(**item)], acquirer_reference="ARN")) == expected


def test_a_credit_that_stands_alone_is_no_purchase() -> None:
    credit = a_purchase(state=HoldState.POSTED, credit=True)
    case = a_record_case([credit], [a_message()], [an_item()], **ALL)
    assert level(case) == "none"


# ── several

ONE, TWO = (
    {"hold_id": 2},
    {"hold_id": 5},
)


@pytest.mark.parametrize(
    ("first", "second", "record", "expected"),
    [
        # Nothing tells them apart.
        ({}, {}, {}, "retrieval_reference: 2, 5"),
        ({"state": HoldState.REVERSED}, {"state": HoldState.EXPIRED}, {}, "retrieval_reference: 2, 5"),
        # The approval code, then the amount, then being open.
        ({}, {"approval_code": "B"}, {"approval_code": "B"}, 5),
        ({}, {"held_minor": 900, "authorized_minor": 900}, {}, 2),
        ({"state": HoldState.REVERSED, "authorized_minor": 900}, {"held_minor": 800, "authorized_minor": 800}, {}, 5),
        # What was presented in full is not what waits for a presentment of the same amount.
        ({"state": HoldState.POSTED, "presented_minor": 1_000}, {"held_minor": 900, "authorized_minor": 900}, {}, 5),
        # What a single message has posted does wait for it.
        ({"state": HoldState.POSTED}, {"held_minor": 900, "authorized_minor": 900}, {}, 2),
        # A refund looks for what was posted.
        ({"state": HoldState.POSTED, "posted_minor": 900}, {}, {"operation": Operation.REFUND}, 2),
        ({"state": HoldState.POSTED}, {"state": HoldState.POSTED}, {"operation": Operation.REFUND}, "retrieval_reference: 2, 5"),
        ({"state": HoldState.POSTED, "posted_minor": 1_400, "refunded_minor": 400}, {"state": HoldState.POSTED, "posted_minor": 3_000}, {"operation": Operation.REFUND}, 2),
        # An additional charge has an amount of its own.
        ({"held_minor": 900, "authorized_minor": 900}, {}, {"kind": ClearingKind.ADDITIONAL_CHARGE}, "retrieval_reference: 2, 5"),
        ({"state": HoldState.POSTED}, {"state": HoldState.EXPIRED}, {"kind": ClearingKind.ADDITIONAL_CHARGE}, 2),
    ],
)  # fmt: skip
def test_two_purchases_of_one_reference(
    first: dict[str, Any], second: dict[str, Any], record: dict[str, Any], expected: int | str
) -> None:
    messages = [a_message(2), a_message(5, answer=Answer(reason=Reason.APPROVED, approval_code="B"))]
    case = a_record_case(
        [a_purchase(2, **first), a_purchase(5, **second)], messages, **{"retrieval_reference": "RRN", **record}
    )
    found = find_purchase(case, AMOUNT)
    assert (found.hold.hold_id if found.hold else level(case)) == expected


def test_two_coffees_at_one_terminal_are_ambiguous() -> None:
    messages = [a_message(2, retrieval_reference=""), a_message(5, retrieval_reference="")]
    case = a_record_case([a_purchase(2), a_purchase(5)], messages, acquirer_id="ACQ", terminal_id="TERM")
    assert level(case) == "place_and_amount: 2, 5"


def test_a_stronger_level_that_is_ambiguous_is_not_passed_over_for_a_weaker_one() -> None:
    messages = [a_message(2, terminal_id="ELSE"), a_message(5)]
    case = a_record_case(
        [a_purchase(2), a_purchase(5)], messages, retrieval_reference="RRN", acquirer_id="ACQ", terminal_id="TERM"
    )
    assert level(case) == "retrieval_reference: 2, 5"


# ── properties

texts = st.sampled_from(["", "", "NET", "OTHER"])
some_holds = st.builds(
    a_purchase,
    st.integers(2, 5),
    state=st.sampled_from(HoldState),
    held_minor=st.just(0),
    authorized_minor=st.sampled_from([900, AMOUNT]),
    posted_minor=st.sampled_from([0, 900, AMOUNT]),
    presented_minor=st.sampled_from([0, 900, AMOUNT]),
    approval_code=st.sampled_from(["", "A", "B"]),
    credit=st.sampled_from([False, False, False, True]),
    opened_at=st.sampled_from([NOON - timedelta(days=2), NOON - timedelta(days=300)]),
).map(lambda hold: msgspec.structs.replace(hold, held_minor=AMOUNT) if hold.state is HoldState.OPEN else hold)
some_messages = st.builds(
    a_message,
    st.integers(2, 6) | st.none(),
    key=st.binary(min_size=4, max_size=4),
    retrieval_reference=st.sampled_from(["", "RRN", "ELSE"]),
    network_reference=texts,
    acquirer_id=st.sampled_from(["", "ACQ", "ELSE"]),
    terminal_id=st.sampled_from(["", "TERM"]),
    network=st.sampled_from(["west", "west", "east"]),
    kind=st.sampled_from(Kind),
    operation=st.sampled_from([Operation.PURCHASE, Operation.REFUND]),
    answer=st.builds(Answer, reason=st.just(Reason.APPROVED), approval_code=st.sampled_from(["", "A", "B"])),
)
some_items = st.builds(
    an_item,
    st.integers(2, 6) | st.none(),
    key=st.binary(min_size=4, max_size=4),
    acquirer_reference=st.sampled_from(["", "ARN"]),
    network=st.sampled_from(["west", "east"]),
    state=st.sampled_from(ItemState),
)


@st.composite
def record_cases(draw: st.DrawFn) -> Case:
    return a_record_case(
        draw(st.lists(some_holds, max_size=4, unique_by=lambda hold: hold.hold_id)),
        draw(st.lists(some_messages, max_size=6, unique_by=lambda message: message.key)),
        draw(st.lists(some_items, max_size=3, unique_by=lambda item: item.key)),
        kind=draw(st.sampled_from([ClearingKind.PRESENTMENT, ClearingKind.ADDITIONAL_CHARGE])),
        operation=draw(st.sampled_from([Operation.PURCHASE, Operation.PURCHASE, Operation.REFUND])),
        acquirer_reference=draw(st.sampled_from(["", "ARN"])),
        network_reference=draw(texts),
        retrieval_reference=draw(st.sampled_from(["", "RRN"])),
        approval_code=draw(st.sampled_from(["", "A", "B"])),
        acquirer_id=draw(st.sampled_from(["", "ACQ"])),
        terminal_id=draw(st.sampled_from(["", "TERM"])),
    )


@given(record_cases(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_were_loaded_does_not_matter(case: Case, chance: random.Random) -> None:
    found = find_purchase(case, AMOUNT)
    event(found.level if found.hold else f"several: {bool(found.several)}")
    view = case.view
    candidates, items, holds = list(view.candidates), list(view.clearing_items), list(view.holds.items())
    for shuffled in (candidates, items, holds):
        chance.shuffle(shuffled)
    other = msgspec.structs.replace(view, candidates=tuple(candidates), clearing_items=tuple(items), holds=dict(holds))
    assert find_purchase(msgspec.structs.replace(case, view=other), AMOUNT) == found


@given(record_cases())
def test_what_is_found_is_a_purchase_that_the_record_may_mean(case: Case) -> None:
    found = find_purchase(case, AMOUNT)
    assert found.hold is None or not found.several
    assert len(found.several) != 1
    for hold_id in [*found.several, *([found.hold.hold_id] if found.hold else [])]:
        hold = case.view.holds[hold_id]
        assert not hold.credit
        ids = {
            candidate.message.network_reference
            for candidate in case.view.candidates
            if candidate.message.hold_id == hold_id and candidate.message.network == "west"
        } - {""}
        if ids and case.request.network_reference and found.level != "acquirer_reference":
            assert case.request.network_reference in ids, "it is another purchase by the network's own id"
    if found == PurchaseMatch():
        assert not any(
            c.message.network == "west"
            and c.message.network_reference == case.request.network_reference != ""
            and (hold := case.view.holds.get(c.message.hold_id or 0)) is not None
            and not hold.credit
            for c in case.view.candidates
        )


@given(record_cases())
def test_what_is_named_surely_is_found_without_looking_further(case: Case) -> None:
    """The journal looks through the account's purchases only where nothing is named surely."""
    named = {c.message.hold_id for c in case.view.candidates if names_surely(case.request, c.message)}
    holds = [hold for hold_id in named if hold_id is not None and (hold := case.view.holds.get(hold_id)) is not None]
    recent = [hold for hold in holds if not hold.credit and case.now - hold.opened_at <= timedelta(days=120)]
    codes = {hold.approval_code for hold in recent}
    if recent and codes <= {case.request.approval_code} and case.request.network_reference == "":
        found = find_purchase(case, AMOUNT)
        assert found.level in ("network_reference", "acquirer_reference", "retrieval_reference")
