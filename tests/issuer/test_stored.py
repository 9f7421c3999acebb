"""Idempotency keys, fingerprints, and answers that come back from storage as they went in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.contracts.message import Answer, Balance, Kind, Operation, OriginalElements, StandIn
from switch.contracts.reason import Reason
from switch.contracts.secret import Secret
from switch.issuer.stored import MessageState, fingerprint, idempotency_key
from tests.issuer.support import LOOKUP, Desk, a_request

FULL = a_request(
    Kind.REVERSAL,
    500,
    acquirer_id="123456",
    retrieval_reference="RRN000000001",
    terminal_id="TERM0001",
    merchant_id="MERCHANT0000001",
    mcc="5411",
    expiry="3012",
    stand_in=StandIn.APPROVED,
    original=OriginalElements(mti="0100", stan="000009", transmitted="0615020000", acquirer_id="123456"),
    replacement_amount_minor=100,
)


def changed(**changes: Any) -> bytes:
    return idempotency_key(msgspec.structs.replace(FULL, **changes), LOOKUP)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "east"},
        {"kind": Kind.FINANCIAL},
        {"transmitted": "0615030001"},
        {"stan": "000002"},
        {"acquirer_id": "123457"},
        {"retrieval_reference": "RRN000000002"},
        {"retrieval_reference": ""},
        {"acquirer_id": ""},
        # Elements must not run into each other.
        {"acquirer_id": "123456RRN000000001", "retrieval_reference": ""},
        {"transmitted": "", "stan": "0615030000000001"},
    ],
)
def test_every_key_element_makes_another_key(changes: dict[str, Any]) -> None:
    assert changed(**changes) != changed()


def test_another_card_has_another_key() -> None:
    assert idempotency_key(FULL, bytes(32)) != idempotency_key(FULL, LOOKUP)


@pytest.mark.parametrize(
    "changes",
    [
        {"repeat": True, "mti": "0401"},
        {"mti": "0420"},  # DOMAIN: the key has the MTI class; a reversal may be asked for as 0400 and told as 0420
        {"amount_minor": 1},
        {"terminal_id": "OTHER"},
        {"transmitted_at": a_request().transmitted_at.replace(hour=5)},
    ],
)
def test_the_key_of_a_repeat_is_the_key_of_its_original(changes: dict[str, Any]) -> None:
    assert changed(**changes) == changed()


def test_each_class_of_message_has_keys_of_its_own() -> None:
    assert len({changed(kind=kind) for kind in Kind}) == len(Kind)


def test_a_key_has_the_size_that_the_database_wants() -> None:
    assert len(changed()) == len(fingerprint(FULL)) == 16


@pytest.mark.parametrize(
    "changes",
    [
        {"operation": Operation.REFUND},
        {"amount_minor": 501},
        {"currency": "USD"},
        {"mcc": "5412"},
        {"terminal_id": "TERM0002"},
        {"merchant_id": "MERCHANT0000002"},
        {"incremental": True},
        {"stand_in": StandIn.DECLINED},
        {"stand_in": None},
        {"original": None},
        {"original": OriginalElements(mti="0200", stan="000009", transmitted="0615020000", acquirer_id="")},
        {"original": OriginalElements(mti="0100", stan="000008", transmitted="0615020000", acquirer_id="")},
        {"original": OriginalElements(mti="0100", stan="000009", transmitted="0615020001", acquirer_id="")},
        {"replacement_amount_minor": None},
        {"replacement_amount_minor": 0},
        {"replacement_amount_minor": 101},
        {"mcc": "5411TERM0001", "terminal_id": ""},
    ],
)
def test_everything_that_a_message_asks_for_is_in_its_fingerprint(changes: dict[str, Any]) -> None:
    assert fingerprint(msgspec.structs.replace(FULL, **changes)) != fingerprint(FULL)


@pytest.mark.parametrize(
    "changes",
    [
        {"repeat": True, "mti": "0401"},
        {"cvv2": Secret("123")},
        {"transmitted_at": a_request().transmitted_at.replace(hour=5)},
        {"merchant_name": "SHOP, TOKYO"},
        {"expiry": ""},  # it travels in track 2, which a network may not keep
        {"has_pin": True},
    ],
)
def test_a_repeat_has_the_fingerprint_of_its_original(changes: dict[str, Any]) -> None:
    assert fingerprint(msgspec.structs.replace(FULL, **changes)) == fingerprint(FULL)


answers = st.builds(
    Answer,
    reason=st.sampled_from(Reason),
    response_code=st.text(max_size=3),
    approval_code=st.text("0123456789", max_size=6),
    approved_minor=st.none() | st.integers(0, 2**62),
    balances=st.lists(
        st.builds(
            Balance,
            amount_type=st.sampled_from(["01", "02", "57"]),
            currency=st.sampled_from(["JPY", "USD"]),
            amount_minor=st.integers(-(2**62), 2**62),
        ),
        max_size=3,
    ).map(tuple),
    cvv2_result=st.sampled_from(["", "M", "N"]),
)


@given(answers)
def test_a_stored_answer_comes_back_as_it_was(answer: Answer) -> None:
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer


@given(answers, st.sampled_from(MessageState))
def test_an_approval_stands_until_it_is_withdrawn(answer: Answer, state: MessageState) -> None:
    desk = Desk()
    request = desk.request()
    desk.tell(request)
    stored = msgspec.structs.replace(desk.stored(request), answer=answer, state=state)
    assert stored.approved == (answer.reason.approves and state is not MessageState.WITHDRAWN)
