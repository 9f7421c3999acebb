from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from switch.contracts.message import Answer, Balance
from switch.contracts.reason import Reason
from switch.wire.errors import EncodeFailure
from switch.wire.inbound import ManagementFunction
from tests.wire.support import DIALECTS, PAN, RECEIVED, codec, dialect, purchase

ECHOED = ("2", "3", "4", "7", "11", "12", "13", "32", "37", "41", "42", "49")


def answered(fields: dict[str, str], answer: Answer, name: str = "iso87_ascii") -> dict[str, str]:
    inbound = codec(name).decode(codec(name).encode(fields), network="alpha", received_at=RECEIVED)
    decoded = codec(name).decode_fields(codec(name).encode_answer(inbound, answer))
    return {key: value for key, value in decoded.items() if key not in {"p", "1"}}


@pytest.mark.parametrize("name", DIALECTS)
def test_an_approval(name: str) -> None:
    fields = purchase(f35=f"{PAN}=2912201123456789", f126="11 123", f62="NET1")
    found = answered(fields, Answer(reason=Reason.APPROVED, approval_code="A1B2C3"), name)
    echoed = {key: fields[key] for key in (*ECHOED, "62")}
    assert found == {"t": "0110", "39": "00", "38": "A1B2C3", **echoed}


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("name", DIALECTS)
def test_every_reason_has_its_code(name: str, reason: Reason) -> None:
    assert answered(purchase(), Answer(reason=reason), name)["39"] == dialect(name).response_code(reason)


def test_the_code_chosen_when_the_answer_was_made_stands() -> None:
    assert answered(purchase(), Answer(reason=Reason.INSUFFICIENT_FUNDS, response_code="61"))["39"] == "61"


@pytest.mark.parametrize(
    ("mti", "response"),
    [("0100", "0110"), ("0120", "0130"), ("0200", "0210"), ("0220", "0230"), ("0400", "0410"), ("0420", "0430")],
)
@pytest.mark.parametrize("name", DIALECTS)
def test_a_repeat_gets_the_same_bytes(name: str, mti: str, response: str) -> None:
    answer = Answer(
        reason=Reason.APPROVED_PARTIALLY,
        response_code="10",
        approval_code="A1B2C3",
        approved_minor=3_000,
        balances=(Balance(amount_type="57", currency="JPY", amount_minor=5_000),),
        cvv2_result="M",
    )
    payloads = []
    for sent in (mti, f"{mti[:3]}1"):
        payload = codec(name).encode(purchase(t=sent, f90="0100" + "0" * 38))
        inbound = codec(name).decode(payload, network="alpha", received_at=RECEIVED)
        payloads.append(codec(name).encode_answer(inbound, answer))
    assert payloads[0] == payloads[1]
    assert payloads[0].startswith(response.encode())


def test_a_partial_approval() -> None:
    answer = Answer(
        reason=Reason.APPROVED_PARTIALLY,
        approval_code="A1B2C3",
        approved_minor=3_000,
        balances=(
            Balance(amount_type="57", currency="JPY", amount_minor=5_000),
            Balance(amount_type="02", currency="JPY", amount_minor=0),
        ),
    )
    found = answered(purchase(f60="1"), answer)
    assert (found["39"], found["4"]) == ("10", "000000003000")
    assert found["54"] == "0057392C000000005000" + "0002392C000000000000"


def test_balances() -> None:
    answer = Answer(
        reason=Reason.APPROVED,
        balances=(
            Balance(amount_type="01", currency="JPY", amount_minor=123_456),
            Balance(amount_type="02", currency="JPY", amount_minor=-700),
        ),
    )
    found = answered(purchase(f3="310000", f4=None), answer)
    assert found["54"] == "0001392C000000123456" + "0002392D000000000700"
    assert "4" not in found


def test_a_balance_that_does_not_fit_is_left_out() -> None:
    """An account may owe more than an answer can tell: an advice of any amount is booked."""
    beyond = Balance(amount_type="01", currency="JPY", amount_minor=-(10**12))
    fits = Balance(amount_type="02", currency="JPY", amount_minor=-(10**12) + 1)
    answer = Answer(reason=Reason.APPROVED, approval_code="A1B2C3", balances=(beyond, fits))
    assert answered(purchase(), answer)["54"] == "0002392D999999999999"
    found = answered(purchase(), Answer(reason=Reason.APPROVED, approval_code="A1B2C3", balances=(beyond,)))
    assert (found["39"], found.get("54")) == ("00", None)


@pytest.mark.parametrize("result", ["M", "N"])
def test_the_cvv2_result(result: str) -> None:
    assert answered(purchase(f126="11 123"), Answer(reason=Reason.APPROVED, cvv2_result=result))["44"] == result


def test_empty_fields_are_not_echoed() -> None:
    assert "32" not in answered(purchase(f32=""), Answer(reason=Reason.APPROVED))


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        (Answer(reason=Reason.APPROVED, approved_minor=-1), "4"),
        (Answer(reason=Reason.APPROVED, approved_minor=10**12), "4"),
        (Answer(reason=Reason.APPROVED, approval_code="1"), "38"),
        (Answer(reason=Reason.APPROVED, response_code="0"), "39"),
        (Answer(reason=Reason.APPROVED, balances=(Balance(amount_type="02", currency="XXX", amount_minor=0),)), "54"),
    ],
)
def test_answers_that_have_no_form(answer: Answer, field: str) -> None:
    with pytest.raises(EncodeFailure) as caught:
        answered(purchase(), answer)
    assert caught.value.field == field


def test_an_answer_is_not_answered() -> None:
    inbound = codec("iso87_ascii").decode(
        codec("iso87_ascii").encode({"t": "0110", "11": "000001", "39": "00"}), network="alpha", received_at=RECEIVED
    )
    with pytest.raises(EncodeFailure, match="asks for no answer"):
        codec("iso87_ascii").encode_answer(inbound, Answer(reason=Reason.APPROVED))


@pytest.mark.parametrize(
    ("function", "code"),
    [
        (ManagementFunction.SIGN_ON, "001"),
        (ManagementFunction.SIGN_OFF, "002"),
        (ManagementFunction.ECHO, "301"),
        (ManagementFunction.KEY_CHANGE, "161"),
    ],
)
@pytest.mark.parametrize("name", DIALECTS)
def test_management_messages_of_ours(name: str, function: ManagementFunction, code: str) -> None:
    tokyo = datetime(2026, 6, 15, 12, 4, 5, tzinfo=timezone(timedelta(hours=9)))
    payload = codec(name).encode_management(function, stan="000042", now=tokyo)
    inbound = codec(name).decode(payload, network="alpha", received_at=RECEIVED)
    assert inbound.management is not None
    assert (inbound.management.function, inbound.management.code) == (function, code)
    assert (inbound.fields["7"], inbound.fields["11"]) == ("0615030405", "000042")  # DE7 is GMT

    answer = codec(name).decode_fields(codec(name).encode_management_answer(inbound))
    assert {key: answer[key] for key in ("t", "7", "11", "39", "70")} == {
        "t": "0810",
        "7": "0615030405",
        "11": "000042",
        "39": "00",
        "70": code,
    }


def test_a_management_answer_with_another_code() -> None:
    payload = codec("iso87_ascii").encode({"t": "0800", "11": "000009", "70": "270"})
    inbound = codec("iso87_ascii").decode(payload, network="alpha", received_at=RECEIVED)
    answer = codec("iso87_ascii").encode_management_answer(inbound, reason=Reason.UNSUPPORTED_OPERATION)
    assert codec("iso87_ascii").decode_fields(answer)["39"] == "12"


def test_no_code_for_an_unnamed_function() -> None:
    with pytest.raises(EncodeFailure, match="no code for other"):
        codec("iso87_ascii").encode_management(ManagementFunction.OTHER, stan="000001", now=RECEIVED)
