"""The 1993-style dialect: where its elements stand, and what its function, reason and action codes mean here."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from switch.contracts.message import (
    Answer,
    Balance,
    Channel,
    EntryMode,
    Kind,
    Operation,
    OriginalElements,
    Request,
    StandIn,
)
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan
from switch.issuer.stored import fingerprint, idempotency_key
from switch.wire.errors import DecodeFailure
from switch.wire.framing import Framing
from switch.wire.inbound import Inbound, ManagementFunction
from switch.wire.masking import redact
from tests.wire.support import PAN, RECEIVED, codec, dialect, tap

NAME = "iso93_contactless"
ACQUIRER = "123456"


def decoded(fields: dict[str, str]) -> Inbound:
    return codec(NAME).decode(codec(NAME).encode(fields), network="tap", received_at=RECEIVED)


def request(fields: dict[str, str]) -> Request:
    found = decoded(fields).request
    assert found is not None
    return found


def answered(fields: dict[str, str], answer: Answer) -> dict[str, str]:
    found = codec(NAME).decode_fields(codec(NAME).encode_answer(decoded(fields), answer))
    return {key: value for key, value in found.items() if key not in {"p", "1"}}


def reversal(**changes: str | None) -> dict[str, str]:
    """A 1420 of the tap, which names it in DE56."""
    named = f"1100000123260615120405{len(ACQUIRER):02d}{ACQUIRER}"
    later = {"t": "1420", "f11": "000124", "f12": "260615120500", "f24": "400", "f25": "4000", "f56": named}
    named_and_changed = {key: value for key, value in {**later, **changes}.items() if value is not None}
    return tap(**named_and_changed)


# ── in


def test_a_tap() -> None:
    assert request(tap()) == Request(
        network="tap",
        dialect=NAME,
        kind=Kind.AUTHORIZATION,
        mti="1100",
        repeat=False,
        operation=Operation.PURCHASE,
        pan=Pan(PAN),
        amount_minor=5_000,
        currency="JPY",
        stan="000123",
        transmitted="260615120405",
        transmitted_at=datetime(2026, 6, 15, 3, 4, 5, tzinfo=UTC),
        acquirer_id=ACQUIRER,
        retrieval_reference="616612000123",
        terminal_id="TERM01",
        merchant_id="SHOP0000001",
        merchant_name="COFFEE AND CAKE",
        merchant_country="JP",
        mcc="5411",
        entry_mode=EntryMode.CONTACTLESS,
        channel=Channel.IN_STORE,
        expiry="2912",
    )


@pytest.mark.parametrize(
    ("mti", "kind", "repeat", "response"),
    [
        ("1100", Kind.AUTHORIZATION, False, "1110"),
        ("1101", Kind.AUTHORIZATION, True, "1110"),
        ("1120", Kind.AUTHORIZATION_ADVICE, False, "1130"),
        ("1121", Kind.AUTHORIZATION_ADVICE, True, "1130"),
        ("1200", Kind.FINANCIAL, False, "1210"),
        ("1201", Kind.FINANCIAL, True, "1210"),
        ("1220", Kind.FINANCIAL_ADVICE, False, "1230"),
        ("1221", Kind.FINANCIAL_ADVICE, True, "1230"),
        ("1420", Kind.REVERSAL, False, "1430"),
        ("1421", Kind.REVERSAL, True, "1430"),
    ],
)
def test_message_types(mti: str, kind: Kind, repeat: bool, response: str) -> None:
    fields = tap(t=mti)
    found = request(fields)
    assert (found.kind, found.repeat, found.mti) == (kind, repeat, mti)
    assert answered(fields, Answer(reason=Reason.APPROVED))["t"] == response


def test_a_repeat_that_was_sent_later_has_the_key_of_the_first() -> None:
    """DE7 is when a message was sent; STAN and local time (DE12) tell it from all others."""
    first, again = request(tap()), request(tap(t="1101", f7="0615030510"))
    another = request(tap(f12="260615120406"))
    lookup = b"lookup"
    assert again.transmitted_at != first.transmitted_at
    assert idempotency_key(again, lookup) == idempotency_key(first, lookup)
    assert fingerprint(again) == fingerprint(first)
    assert idempotency_key(another, lookup) != idempotency_key(first, lookup)


def test_without_a_transmission_time_the_time_of_receipt_stands_in() -> None:
    assert request(tap(f7=None)).transmitted_at == RECEIVED


@pytest.mark.parametrize(
    ("pos_data_code", "channel", "entry_mode", "operation"),
    [
        ("M00101M00140", Channel.IN_STORE, EntryMode.CONTACTLESS, Operation.PURCHASE),
        ("A00101A00140", Channel.IN_STORE, EntryMode.CONTACTLESS, Operation.PURCHASE),
        ("600101600140", Channel.IN_STORE, EntryMode.MANUAL, Operation.UNSUPPORTED),
        ("200101200140", Channel.IN_STORE, EntryMode.MAGNETIC_STRIPE, Operation.UNSUPPORTED),
        ("500101500140", Channel.IN_STORE, EntryMode.CHIP, Operation.UNSUPPORTED),
        ("000101000140", Channel.IN_STORE, EntryMode.UNKNOWN, Operation.UNSUPPORTED),
        ("M00101Z00140", Channel.IN_STORE, EntryMode.UNKNOWN, Operation.UNSUPPORTED),
        ("600050S00000", Channel.ECOMMERCE, EntryMode.ECOMMERCE, Operation.UNSUPPORTED),
        ("M00151M00140", Channel.ECOMMERCE, EntryMode.CONTACTLESS, Operation.UNSUPPORTED),
        ("M00131M00140", Channel.MAIL_OR_PHONE, EntryMode.CONTACTLESS, Operation.UNSUPPORTED),
    ],
)
def test_only_taps_in_shops_are_served(
    pos_data_code: str, channel: Channel, entry_mode: EntryMode, operation: Operation
) -> None:
    found = request(tap(f22=pos_data_code))
    assert (found.channel, found.entry_mode, found.operation) == (channel, entry_mode, operation)
    told = request(tap(t="1220", f22=pos_data_code))
    assert told.operation is Operation.PURCHASE, "what has happened is booked"


@pytest.mark.parametrize(
    ("changes", "operation"),
    [
        ({"f3": "010000"}, Operation.UNSUPPORTED),
        ({"f3": "090000"}, Operation.UNSUPPORTED),
        ({"f26": "6011"}, Operation.UNSUPPORTED),
        ({"f3": "200000"}, Operation.REFUND),
        ({"f3": "300000"}, Operation.BALANCE_INQUIRY),
        ({"f3": "310000", "f4": None}, Operation.BALANCE_INQUIRY),
        ({"f4": "000000000000"}, Operation.ACCOUNT_VERIFICATION),
    ],
)
def test_operations(changes: dict[str, str | None], operation: Operation) -> None:
    assert request(tap(**changes)).operation is operation


@pytest.mark.parametrize("code", ["102", "103", "104", "105", "201", "202", "205"])
def test_function_codes_that_no_rule_serves(code: str) -> None:
    """A replacement must not place a second hold, nor a completion be charged as a purchase of its own."""
    assert request(tap(f24=code)).operation is Operation.UNSUPPORTED
    assert request(tap(t="1220", f24=code)).operation is Operation.PURCHASE


@pytest.mark.parametrize(("code", "incremental"), [("100", False), ("101", False), ("106", True), ("107", True)])
def test_a_supplementary_authorization_is_an_increment(code: str, incremental: bool) -> None:
    found = request(tap(f24=code))
    assert (found.incremental, found.operation) == (incremental, Operation.PURCHASE)


def test_the_terminal_takes_a_part() -> None:
    assert request(tap(f63="1")).partial_supported
    assert not request(tap(f63="0")).partial_supported


@pytest.mark.parametrize(("code", "country"), [("JPN", "JP"), ("USA", "US"), ("PRK", "KP"), ("XXX", ""), ("JP ", "")])
def test_countries_have_three_letters(code: str, country: str) -> None:
    merchant = f"A SHOP\\1-1\\OSAKA\\{'':13}{code}"
    found = request(tap(f43=merchant))
    assert (found.merchant_name, found.merchant_country) == ("A SHOP", country)


# ── advices


@pytest.mark.parametrize(
    ("code", "by", "reason"),
    [
        ("1001", "the network", "the issuer was signed off"),
        ("1002", "the network", "the issuer did not answer in time"),
        ("1004", "the terminal", "the terminal processed it"),
        ("1007", "the acquirer", "the acquirer wished it"),
        ("1999", "1999", "1999"),
        (None, "", ""),
    ],
)
def test_an_advice_tells_who_decided_and_why(code: str | None, by: str, reason: str) -> None:
    changes = {} if code is None else {"f25": code}
    found = request(tap(t="1120", f39="000", **changes))
    assert (found.stand_in, found.stand_in_by, found.stand_in_reason) == (StandIn.APPROVED, by, reason)
    asked = request(tap(**changes))
    assert (asked.stand_in_by, asked.stand_in_reason) == ("", ""), "1100: a reason to ask, not to have decided"


@pytest.mark.parametrize(
    ("code", "stood"),
    [("000", StandIn.APPROVED), ("002", StandIn.APPROVED), (None, StandIn.APPROVED), ("116", StandIn.DECLINED)],
)
def test_stand_in_codes(code: str | None, stood: StandIn) -> None:
    assert request(tap(t="1120", **({} if code is None else {"f39": code}))).stand_in is stood


# ── reversals


def test_a_full_reversal_names_its_original() -> None:
    first, undo = request(tap()), request(reversal())
    assert undo.original == OriginalElements(
        mti="1100", stan=first.stan, transmitted=first.transmitted, acquirer_id=first.acquirer_id
    )
    assert (undo.amount_minor, undo.replacement_amount_minor) == (5_000, None)


def test_a_partial_reversal_says_what_is_left() -> None:
    undo = request(reversal(f24="401", f4="000000001200", f30="000000005000".ljust(24, "0")))
    assert (undo.amount_minor, undo.replacement_amount_minor) == (5_000, 1_200)


def test_a_partial_reversal_without_the_amount_of_then() -> None:
    undo = request(reversal(f24="401", f4="000000001200"))
    assert (undo.amount_minor, undo.replacement_amount_minor) == (0, 1_200)


@pytest.mark.parametrize(
    ("changes", "original"),
    [
        ({"f56": "0" * 22 + "00"}, OriginalElements(mti="", stan="", transmitted="", acquirer_id="")),
        ({"f56": None}, None),
        (
            {"f56": "1100000123" + "0" * 12 + "1100000123456"},
            OriginalElements(mti="1100", stan="000123", transmitted="", acquirer_id=ACQUIRER),
        ),
    ],
)
def test_original_elements(changes: dict[str, str | None], original: OriginalElements | None) -> None:
    assert request(reversal(**changes)).original == original


@pytest.mark.parametrize("text", ["1100000123", "1100000123260615120405", "110000012326061512040507123456", "1" * 34])
def test_original_elements_of_another_length(text: str) -> None:
    with pytest.raises(DecodeFailure) as caught:
        request(reversal(f56=text))
    assert caught.value.field == "56"
    assert caught.value.answer is not None


# ── answers


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.APPROVED, "000"),
        (Reason.APPROVED_PARTIALLY, "002"),
        (Reason.ADVICE_ACCEPTED, "901"),
        (Reason.REVERSAL_ACCEPTED, "400"),
        (Reason.UNKNOWN_CARD, "111"),
        (Reason.EXPIRED_CARD, "101"),
        (Reason.CARD_LOCKED, "104"),
        (Reason.INSUFFICIENT_FUNDS, "116"),
        (Reason.OVER_AMOUNT_LIMIT, "121"),
        (Reason.OVER_COUNT_LIMIT, "123"),
        (Reason.UNSUPPORTED_OPERATION, "115"),
        (Reason.PRODUCT_NOT_ALLOWED, "119"),
        (Reason.MERCHANT_BLOCKED, "109"),
        (Reason.FORMAT_ERROR, "904"),
        (Reason.KEY_REUSED, "913"),
        (Reason.ORIGINAL_NOT_FOUND, "914"),
        (Reason.DEADLINE_MISSED, "911"),
        (Reason.UNAVAILABLE, "912"),
        (Reason.SYSTEM_ERROR, "909"),
    ],
)
def test_action_codes(reason: Reason, code: str) -> None:
    assert answered(tap(), Answer(reason=reason))["39"] == code


def test_action_codes_keep_to_their_classes() -> None:
    """0xx lets money move; 2xx tells the shop to keep the card, so never for a state that passes."""
    of = dialect(NAME)
    told = {Reason.ADVICE_ACCEPTED, Reason.REVERSAL_ACCEPTED}
    assert {r for r in Reason if of.response_code(r)[0] == "0"} == {r for r in Reason if r.approves} - told
    assert {r for r in Reason if of.response_code(r)[0] == "2"} == {Reason.CARD_LOST, Reason.CARD_STOLEN}
    assert {r for r in Reason if of.response_code(r) == "118"} == {Reason.CARD_CLOSED}


def test_an_approval() -> None:
    asked = tap()
    answer = answered(asked, Answer(reason=Reason.APPROVED, approval_code="123456"))
    echoed = ("2", "3", "4", "7", "11", "12", "32", "37", "41", "42", "49")
    assert answer == {"t": "1110", **{key: asked[key] for key in echoed}, "38": "123456", "39": "000"}


def test_a_partial_approval_tells_in_de30_what_was_asked() -> None:
    balances = (
        Balance(amount_type="57", currency="JPY", amount_minor=5_000),
        Balance(amount_type="02", currency="JPY", amount_minor=0),
    )
    answer = answered(tap(), Answer(reason=Reason.APPROVED_PARTIALLY, approved_minor=3_000, balances=balances))
    assert (answer["39"], answer["4"], answer["30"]) == ("002", "000000003000", "000000005000" + "0" * 12)
    assert answer["54"] == "0002392C000000000000"


def test_a_format_error_says_when_it_was_asked() -> None:
    with pytest.raises(DecodeFailure) as caught:
        decoded(tap(f4="00000000050A"))
    assert caught.value.answer is not None
    answer = codec(NAME).decode_fields(caught.value.answer)
    assert (answer["t"], answer["39"], answer["11"], answer["12"]) == ("1110", "904", "000123", "260615120405")


@pytest.mark.parametrize("field", ["52", "53", "71", "90"])
def test_what_the_network_has_no_field_for(field: str) -> None:
    """A PIN block, for one: no byte of it is read as something else."""
    payload = codec(NAME).encode(tap(f64="0" * 16))
    bits = int(payload[4:20], 16)
    number = int(field)
    if number > 64:
        payload = payload[:4] + b"%016X" % (bits | 1 << 63) + b"%016X" % (1 << (128 - number)) + payload[20:]
    else:
        payload = payload[:4] + b"%016X" % (bits | 1 << (64 - number)) + payload[20:]
    with pytest.raises(DecodeFailure) as caught:
        codec(NAME).decode(payload, network="tap", received_at=RECEIVED)
    assert caught.value.field == field


# ── management


@pytest.mark.parametrize(
    ("function", "code"),
    [(ManagementFunction.SIGN_ON, "801"), (ManagementFunction.SIGN_OFF, "802"), (ManagementFunction.ECHO, "831")],
)
def test_management(function: ManagementFunction, code: str) -> None:
    now = datetime(2026, 6, 15, 3, 4, 5, tzinfo=UTC)
    payload = codec(NAME).encode_management(function, stan="000007", now=now)
    sent = codec(NAME).decode_fields(payload)
    # Its clock is Tokyo's, nine hours ahead of the transmission in GMT.
    told = {key: sent[key] for key in ("t", "7", "11", "12", "24")}
    assert told == {"t": "1804", "7": "0615030405", "11": "000007", "12": "260615120405", "24": code}
    inbound = codec(NAME).decode(payload, network="tap", received_at=RECEIVED)
    assert inbound.management is not None and inbound.management.function is function
    answer = codec(NAME).decode_fields(codec(NAME).encode_management_answer(inbound))
    assert (answer["t"], answer["39"], answer["24"], answer["12"]) == ("1814", "800", code, "260615120405")
    refused = codec(NAME).encode_management_answer(inbound, reason=Reason.UNSUPPORTED_OPERATION)
    assert codec(NAME).decode_fields(refused)["39"] == "902"


def test_four_digits_of_length() -> None:
    assert dialect(NAME).framing is Framing.ASCII4


def test_nothing_of_a_card_is_shown() -> None:
    """DE95 holds amounts in 1987 and is trusted; here it is the issuer's reference, and may hold a PAN."""
    fields = tap(f35=f"{PAN}=29122011234567899", f55="5A08" + PAN, f56=f"1100{'0' * 18}00", f95=PAN)
    safe = redact(fields, dialect(NAME).sensitive_fields)
    assert safe["2"] == f"{PAN[:6]}******{PAN[-4:]}"
    assert {safe[key] for key in ("35", "55", "56", "95")} == {"***"}
    assert PAN not in " ".join(safe.values())
