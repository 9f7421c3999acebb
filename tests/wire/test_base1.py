"""The BASE I-like dialect on the wire: messages whose every byte is accounted for, and what it does in its own way."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.contracts.message import Answer, Balance, EntryMode, Kind
from switch.contracts.reason import Reason
from switch.wire.codec import Codec
from switch.wire.errors import DecodeFailure, EncodeFailure
from switch.wire.framing import Framer
from switch.wire.inbound import Inbound, ManagementFunction
from switch.wire.layout import LEARN_AFTER
from switch.wire.masking import redact
from tests.wire.support import PAN, RECEIVED, codec, dialect, extended, luhn_pan, purchase

NAME = "base1"
SUBFIELD_2 = "40" + "00" * 7  # the bitmap of a field that has its second subfield alone
PAGES = ("cp037", "cp500", "cp1047", "cp1140")

Listing = tuple[tuple[str, str], ...]

# The network's station 200002 writes to the issuer's, 100001.
TO_ISSUER: Listing = (
    ("16", "header length: 22"),
    ("01", "header format"),
    ("02", "text format"),
    ("00E1", "225 bytes in all"),
    ("100001", "destination"),
    ("200002", "source"),
    ("5A", "round-trip control"),
    ("8001", "flags"),
    ("000040", "status"),
    ("07", "batch"),
    ("000000", "reserved"),
    ("99", "user information"),
)
REQUEST: Listing = (
    *TO_ISSUER,
    ("0100", "message type"),
    ("F23C448128E08016", "2 3 4 7 11 12 13 14 18 22 25 32 35 37 41 42 43 49 60 62 63, and a second bitmap"),
    ("0000000000000004", "126"),
    ("10", "DE2: 16 digits"),
    (PAN, ""),
    ("000000", "DE3"),
    ("000000005000", "DE4"),
    ("0615030405", "DE7"),
    ("000123", "DE11"),
    ("120405", "DE12"),
    ("0615", "DE13"),
    ("2912", "DE14"),
    ("5411", "DE18"),
    ("0510", "DE22: chip; the last digit fills up"),
    ("00", "DE25"),
    ("0B", "DE32: 11 digits, in 6 bytes"),
    ("0" + "00000123456", "the half byte in front is not counted"),
    ("22", "DE35: 34 half bytes, in 17 bytes"),
    (PAN + "D" + "29122010000012345", "the separator is D"),
    ("F6F1F6F6F1F2F0F0F0F1F2F3", "DE37"),
    ("E3C5D9D4F0F14040", "DE41: TERM01"),
    ("E2C8D6D7F0F0F0F0F0F0F140404040", "DE42: SHOP0000001"),
    ("C3D6C6C6C5C540C1D5C440C3C1D2C5" + "40" * 10, "DE43: COFFEE AND CAKE"),
    ("E3D6D2E8D6" + "40" * 8, "TOKYO"),
    ("D1D7", "JP"),
    ("0" + "392", "DE49: three digits"),
    ("06", "DE60: 6 bytes"),
    ("000000000001", "its last digit: the terminal takes a partial approval"),
    ("10", "DE62: 16 bytes"),
    (SUBFIELD_2, "its bitmap: 2"),
    ("0" + "123456789012345", "62.2: the network's transaction id, 15 digits"),
    ("05", "DE63: 5 bytes"),
    ("200000", "its bitmap: 3"),
    ("3900", "63.3: an increment"),
    ("0E", "DE126: 14 bytes"),
    ("0040000000000000", "its bitmap: 10"),
    ("F1", "126.10: the code is given"),
    ("F0", "response type"),
    ("40F1F2F3", "the code, right-justified"),
)
FIELDS = {
    "h": "16010200E11000012000025A80010000400700000099",
    **purchase(f22="0510", f35=f"{PAN}=29122010000012345"),
    "60": "000000000001",
    "62": SUBFIELD_2 + "0123456789012345",
    "63": "200000" + "3900",
    "126": "0040000000000000" + "F1F040F1F2F3",
}
# What is approved in part, with a CVV2 that matched and what is left.
ANSWER: Listing = (
    ("16", "header length: 22"),
    ("01", "header format"),
    ("02", "text format"),
    ("00AC", "172 bytes in all"),
    ("200002", "destination: the source of the request"),
    ("100001", "source: its destination"),
    ("5A8001000040", "control, flags and status as they came"),
    ("0700000099", "batch, reserved and user information too"),
    ("0110", "message type"),
    ("723800810ED08406", "2 3 4 7 11 12 13 25 32 37 38 39 41 42 44 49 54 62 63"),
    ("10", "DE2: 16 digits"),
    (PAN, ""),
    ("000000", "DE3"),
    ("000000002500", "DE4: half of what was asked for"),
    ("0615030405", "DE7"),
    ("000123", "DE11"),
    ("120405", "DE12"),
    ("0615", "DE13"),
    ("00", "DE25"),
    ("0B", "DE32: 11 digits"),
    ("0" + "00000123456", ""),
    ("F6F1F6F6F1F2F0F0F0F1F2F3", "DE37"),
    ("F7F7F8F8F9F9", "DE38"),
    ("F1F0", "DE39: approved in part"),
    ("E3C5D9D4F0F14040", "DE41"),
    ("E2C8D6D7F0F0F0F0F0F0F140404040", "DE42"),
    ("0B", "DE44: 11 characters"),
    ("40" * 10, "of other checks, which are not made here"),
    ("D4", "CVV2: it matches"),
    ("0" + "392", "DE49"),
    ("14", "DE54: one entry of 20 characters"),
    ("F0F0" + "F0F2" + "F3F9F2" + "C3" + "F0" * 11 + "F7", "available: 7 yen"),
    ("10", "DE62, as it came"),
    (SUBFIELD_2 + "0123456789012345", ""),
    ("05", "DE63, as it came"),
    ("200000" + "3900", ""),
)


def octets(listing: Listing) -> bytes:
    return bytes.fromhex("".join(digits for digits, _ in listing))


def decode(payload: bytes, of: Codec | None = None) -> Inbound:
    return (of or codec(NAME)).decode(payload, network="alpha", received_at=RECEIVED)


def asked(**changes: str | None) -> dict[str, str]:
    return {"h": FIELDS["h"], **purchase(**{"f22": "0510", **changes})}


def request_of(fields: dict[str, str]) -> Inbound:
    return decode(codec(NAME).encode(fields))


def failure(payload: bytes) -> DecodeFailure:
    with pytest.raises(DecodeFailure) as caught:
        decode(payload)
    assert caught.value.__context__ is None
    return caught.value


# ── golden messages


def test_every_byte_of_a_request() -> None:
    payload = octets(REQUEST)
    assert codec(NAME).encode(FIELDS) == payload
    found = decode(payload)
    assert {key: value for key, value in found.fields.items() if key not in {"p", "1"}} == FIELDS
    request = found.request
    assert request is not None
    assert request.pan.reveal() == PAN
    assert (request.amount_minor, request.currency, request.stan) == (5_000, "JPY", "000123")
    assert (request.acquirer_id, request.terminal_id, request.merchant_country) == ("123456", "TERM01", "JP")
    assert request.entry_mode is EntryMode.CHIP
    assert request.network_reference == "123456789012345"
    assert request.partial_supported and request.incremental
    assert (request.expiry, request.service_code) == ("2912", "201")
    assert request.cvv is not None and request.cvv.reveal() == "123"
    assert request.cvv2 is not None and request.cvv2.reveal() == "123"


def test_every_byte_of_an_answer() -> None:
    answer = Answer(
        reason=Reason.APPROVED_PARTIALLY,
        approval_code="778899",
        approved_minor=2_500,
        cvv2_result="M",
        balances=(Balance(amount_type="02", currency="JPY", amount_minor=7),),
    )
    assert codec(NAME).encode_answer(decode(octets(REQUEST)), answer) == octets(ANSWER)


@pytest.mark.parametrize(
    ("mti", "kind", "repeat", "response"),
    [
        ("0100", Kind.AUTHORIZATION, False, "0110"),
        ("0101", Kind.AUTHORIZATION, True, "0110"),
        ("0121", Kind.AUTHORIZATION_ADVICE, True, "0130"),
        ("0201", Kind.FINANCIAL, True, "0210"),
        ("0221", Kind.FINANCIAL_ADVICE, True, "0230"),
        ("0401", Kind.REVERSAL, True, "0410"),
        ("0421", Kind.REVERSAL, True, "0430"),
    ],
)
def test_repeats(mti: str, kind: Kind, repeat: bool, response: str) -> None:
    found = request_of(asked(t=mti))
    assert found.request is not None
    assert (found.request.kind, found.request.repeat) == (kind, repeat)
    answer = codec(NAME).encode_answer(found, Answer(reason=Reason.APPROVED))
    assert codec(NAME).decode_fields(answer)["t"] == response


def test_a_wrong_security_code_has_a_code_of_its_own() -> None:
    answer = codec(NAME).encode_answer(request_of(asked()), Answer(reason=Reason.CVV2_MISMATCH, cvv2_result="N"))
    fields = codec(NAME).decode_fields(answer)
    assert (fields["39"], fields["44"]) == ("N7", " " * 10 + "N")


@pytest.mark.parametrize(
    ("code", "told", "stand_in", "by", "reason"),
    [
        ("00", {"44": "4", "63.4": "9020"}, "approved", "the network", "the issuer did not answer in time"),
        (
            "51",
            {"44": "1", "63.1": "0002", "63.4": "9011"},
            "declined",
            "the network",
            "the line to the issuer was down",
        ),
        ("00", {"44": "5", "63.4": "9999"}, "approved", "the issuer", "9999"),
        ("00", {"44": " " * 11}, "approved", "", ""),
        ("00", {"63.3": "3900"}, "approved", "", ""),
    ],
)
def test_a_stand_in_advice_tells_who_decided_and_why(
    code: str, told: dict[str, str], stand_in: str, by: str, reason: str
) -> None:
    request = request_of({**asked(t="0120"), "39": code, **told}).request
    assert request is not None and request.stand_in is not None
    assert (request.stand_in.value, request.stand_in_by, request.stand_in_reason) == (stand_in, by, reason)


# ── management


def test_our_sign_on_goes_from_our_station_to_theirs() -> None:
    payload = codec(NAME).encode_management(ManagementFunction.SIGN_ON, stan="000001", now=RECEIVED)
    assert payload == octets(
        (
            ("16 01 02", "header length and formats"),
            ("0032", "50 bytes in all"),
            ("000001", "destination: their station"),
            ("000002", "source: ours"),
            ("00" * 11, "all the rest"),
            ("0800", "message type"),
            ("8220000000000000", "7 11, and a second bitmap"),
            ("0400000000000000", "70"),
            ("0615030406", "DE7"),
            ("000001", "DE11"),
            ("0" + "071", "DE70"),
        )
    )


def test_the_answer_to_an_echo_goes_back_where_it_came_from() -> None:
    found = decode(codec(NAME).encode({"h": FIELDS["h"], "t": "0800", "7": "0615030405", "11": "000007", "70": "301"}))
    assert found.management is not None and found.management.function is ManagementFunction.ECHO
    fields = codec(NAME).decode_fields(codec(NAME).encode_management_answer(found))
    assert (fields["h"][:6], fields["h"][10:]) == ("160102", "200002" + "100001" + FIELDS["h"][22:])
    assert (fields["t"], fields["39"], fields["70"]) == ("0810", "00", "301")


# ── packed digits


@pytest.mark.parametrize("length", range(12, 20))
def test_pans_of_every_length(length: int) -> None:
    pan = luhn_pan("476173", length)
    payload = codec(NAME).encode(asked(f2=pan))
    at = payload.index(bytes.fromhex(pan.zfill(length + length % 2)))
    assert payload[at - 1] == length
    found = decode(payload)
    assert found.request is not None and found.request.pan.reveal() == pan


@pytest.mark.parametrize(("key", "digits"), [("32", "000000123456"), ("49", "0392")])
def test_a_half_byte_in_front_that_is_not_zero_is_a_format_error(key: str, digits: str) -> None:
    payload = codec(NAME).encode(asked())
    assert payload.count(bytes.fromhex(digits)) == 1
    error = failure(payload.replace(bytes.fromhex(digits), bytes.fromhex("1" + digits[1:])))
    assert error.field == key
    assert error.answer is not None and codec(NAME).decode_fields(error.answer)["39"] == "30"


def test_a_half_byte_that_is_no_digit_is_a_format_error() -> None:
    error = failure(codec(NAME).encode(asked(f4="00000000500F")))
    assert (error.field, error.needed) == ("4", "digits")


@pytest.mark.parametrize("track2", ["=29122010000012345", "=2912201000001234"])
def test_track_2_of_either_length(track2: str) -> None:
    found = request_of(asked(f35=PAN + track2, f2=None))
    assert found.fields["35"] == PAN + track2
    assert found.request is not None and found.request.pan.reveal() == PAN


# ── EBCDIC


@pytest.mark.parametrize("page", PAGES)
def test_the_code_page_is_a_setting(tmp_path: Path, page: str) -> None:
    ours = Codec(extended(tmp_path, f'text_encoding = "{page}"'))
    name = "[CAFÉ] ^!|¢".ljust(25)
    fields = {**FIELDS, "43": name + "TOKYO".ljust(13) + "JP"}
    sent = [ours.encode(fields) for _ in range(LEARN_AFTER + 2)]
    assert len(set(sent)) == 1 and name.encode(page) in sent[0]
    for payload in sent:
        found = decode(payload, ours)
        assert found.request is not None and found.request.merchant_name.startswith("[CAFÉ] ^!|¢")
        assert found.request.cvv2 is not None and found.request.cvv2.reveal() == "123"
    assert len(ours._payload_layouts) == len(ours._fields_layouts) == 1
    # Digits, letters and blanks are the same in all of them: so is a message of nothing else.
    assert ours.encode(FIELDS) == octets(REQUEST)


def test_the_pages_differ_where_they_say() -> None:
    encoded = {page: "[".encode(page) for page in PAGES}
    assert encoded == {"cp037": b"\xba", "cp500": b"\x4a", "cp1047": b"\xad", "cp1140": b"\xba"}


# ── layouts


headers = st.builds(
    lambda stations, rest: f"1601020000{stations.hex()}{rest.hex()}".upper(),
    st.binary(min_size=6, max_size=6),
    st.binary(min_size=11, max_size=11),
)


@given(headers=st.lists(headers, min_size=LEARN_AFTER + 3, max_size=LEARN_AFTER + 6))
@settings(max_examples=20, deadline=None)
def test_one_layout_serves_any_header(headers: list[str]) -> None:
    learner, library = Codec(dialect(NAME)), Codec(dialect(NAME), layouts_max=0)
    for header in headers:
        fields = {**FIELDS, "h": header}
        payload = learner.encode(fields)
        assert payload == library.encode(fields)
        assert int.from_bytes(payload[3:5], "big") == len(payload)
        found = learner.decode_fields(payload)
        assert found == library.decode_fields(payload)
        assert (found["h"][:6], found["h"][10:]) == (header[:6], header[10:])
        answer = learner.decode_fields(learner.encode_answer(decode(payload), Answer(reason=Reason.APPROVED)))
        assert answer["h"][10:] == header[16:22] + header[10:16] + header[22:]
    assert len(learner._payload_layouts) == 2  # requests and answers
    assert len(learner._fields_layouts) == 2


# ── what is never shown


def test_no_card_data_in_what_may_be_kept() -> None:
    private = {"104": PAN.encode("cp500").hex().upper(), "61": f"00{PAN}00"}
    kept = redact({**decode(octets(REQUEST)).fields, **private}, dialect(NAME).sensitive_fields)
    text = repr(kept)
    for secret in (PAN, PAN.encode("cp500").hex().upper(), "F1F2F3F", "29122010000012345"):
        assert secret not in text
    assert kept["126"] == kept["35"] == "***"


def test_a_security_code_is_in_no_error() -> None:
    fields = {**FIELDS, "126": "0040000000000000" + "F1F040F1F2"}
    error = failure(codec(NAME).encode(fields))
    assert (error.field, error.needed, error.found) == ("126", "14 bytes, as its bitmap says", "13 bytes")
    assert error.answer is not None


def test_an_element_whose_subfield_carries_the_code_is_never_kept(tmp_path: Path) -> None:
    text = """
        carriers.cvv2.field = "123.1"
        subfields.123.bitmap_bytes = 1
        subfields.123.rows.1 = { max_len = 6, class = "ans", desc = "CVV2" }
    """
    assert "123" not in dialect(NAME).sensitive_fields
    assert "123" in extended(tmp_path, text).sensitive_fields


def test_a_subfield_that_can_t_be_read_is_found_at_its_element() -> None:
    payload = codec(NAME).encode({**FIELDS, "62": SUBFIELD_2 + "1123456789012345"})
    error = failure(payload)
    assert (error.field, error.needed) == ("62.2", "the half byte 0 in front")
    assert payload[error.offset :].startswith(bytes.fromhex("10" + SUBFIELD_2))


# ── what can't be said


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"2": "4" * 20}, "2"),
        ({"3": "00000"}, "3"),
        ({"43": "日本".ljust(40)}, "43"),
        ({"49": "JPY"}, "49"),
        ({"h": "16"}, "h"),
        ({"104.1": "1"}, "104"),  # no subfields
        ({"62.2": "123"}, "62"),  # beside the whole of DE62
    ],
)
def test_fields_without_a_form(changes: dict[str, str], field: str) -> None:
    with pytest.raises(EncodeFailure) as caught:
        codec(NAME).encode({**FIELDS, **changes})
    assert caught.value.field == field


def test_the_vap_prefix_counts_the_header() -> None:
    framer = Framer(dialect(NAME).framing, 4_096)
    payload = octets(REQUEST)
    frame = framer.encode(payload)
    assert frame[:4] == len(payload).to_bytes(2, "big") + b"\x00\x00"
    assert framer.feed(frame) == [payload]
