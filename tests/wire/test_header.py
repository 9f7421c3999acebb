"""The header in front of a message: what is checked, what an answer gets, and what comes back behind a reject header."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.contracts.errors import ConfigurationError
from switch.contracts.message import Answer, Balance
from switch.contracts.reason import Reason
from switch.wire.codec import Codec
from switch.wire.dialect import load_dialect, specs_root
from switch.wire.errors import DecodeFailure
from switch.wire.header import Header, HeaderPart, HeaderRules
from switch.wire.inbound import Inbound, ManagementFunction, Reject
from tests.wire.support import PAN, RECEIVED, codec, extended, purchase

NAME = "base1"
TO_ISSUER = "1601020000" + "100001" + "200002" + "5A" + "8001" + "000040" + "07" + "000000" + "99"
TO_NETWORK = "1601020000" + "200002" + "100001" + "5A" + "8001" + "000040" + "07" + "000000" + "99"


def asked(**changes: str | None) -> dict[str, str]:
    return {"h": TO_ISSUER, **purchase(**{"f22": "0510", **changes})}


def decode(payload: bytes, of: Codec | None = None) -> Inbound:
    return (of or codec(NAME)).decode(payload, network="alpha", received_at=RECEIVED)


def failure(payload: bytes, of: Codec | None = None) -> DecodeFailure:
    with pytest.raises(DecodeFailure) as caught:
        decode(payload, of)
    assert caught.value.__context__ is None
    assert PAN not in str(caught.value)
    return caught.value


PAYLOAD = codec(NAME).encode(asked())


def with_bytes(at: int, content: str, payload: bytes = PAYLOAD) -> bytes:
    raw = bytes.fromhex(content)
    return payload[:at] + raw + payload[at + len(raw) :]


# ── what is checked


@pytest.mark.parametrize(
    ("payload", "offset", "needed", "found"),
    [
        (with_bytes(0, "15"), 0, "a header length of 22", "15"),
        (with_bytes(0, "17"), 0, "a header length of 22", "17"),
        (with_bytes(0, "00"), 0, "a header length of 22", "00"),
        (b"\x16", 1, "22 bytes of header", "1"),
        (PAYLOAD[:21], 21, "22 bytes of header", "21"),
        (with_bytes(1, "02"), 1, "Header Format 01", "02"),
        (with_bytes(2, "01"), 2, "Text Format 02", "01"),
    ],
)
def test_a_message_that_begins_otherwise_is_not_answered(payload: bytes, offset: int, needed: str, found: str) -> None:
    error = failure(payload)
    assert (error.field, error.offset, error.needed, error.found) == ("h", offset, needed, found)
    assert error.answer is None


@pytest.mark.parametrize("wrong", [-1, 1, 256])
def test_a_wrong_total_length_is_a_format_error(wrong: int) -> None:
    told = len(PAYLOAD) + wrong
    error = failure(with_bytes(3, f"{told:04X}"))
    assert (error.field, error.offset) == ("h", 3)
    assert (error.needed, error.found) == (f"a total length of {len(PAYLOAD)}", str(told))
    assert error.answer is not None
    answer = codec(NAME).decode_fields(error.answer)
    assert (answer["t"], answer["39"], answer["11"]) == ("0110", "30", "000123")
    assert answer["h"][10:] == TO_NETWORK[10:]


@pytest.mark.parametrize("cut", [1, 2, 40, 150])
def test_a_message_that_was_cut_short_is_no_request(cut: int) -> None:
    assert failure(PAYLOAD[:-cut]).field == "h"


@given(at=st.integers(0, 21), byte=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_any_byte_of_the_header(at: int, byte: int) -> None:
    """Lengths and formats are as they must be or the message is none; the rest may be anything, and comes back."""
    mutated = with_bytes(at, f"{byte:02X}")
    if mutated == PAYLOAD or at >= 5:
        found = decode(mutated)
        assert found.request == decode(PAYLOAD).request
        header = codec(NAME).decode_fields(codec(NAME).encode_answer(found, Answer(reason=Reason.APPROVED)))["h"]
        came = mutated[:22].hex().upper()
        assert header[10:] == came[16:22] + came[10:16] + came[22:]
    elif at == 0 and 26 <= byte <= len(PAYLOAD):  # looks like a reject header: nobody's request, and not answered
        reject = decode(mutated).reject
        assert reject is not None and reject.answer is None
    else:
        assert failure(mutated).field == "h"


@given(payload=st.binary(max_size=80).map(lambda raw: b"\x16\x01\x02" + raw))
@settings(max_examples=300, deadline=None)
def test_rubbish_behind_a_good_beginning(payload: bytes) -> None:
    failure(payload)


# ── answers


def test_every_answer_goes_back_where_the_message_came_from() -> None:
    of = codec(NAME)
    found = decode(PAYLOAD)
    echo = decode(of.encode({"h": TO_ISSUER, "t": "0800", "7": "0615030405", "11": "000007", "70": "301"}))
    bad = failure(of.encode(asked(f4=None))).answer
    assert bad is not None
    for answer in (of.encode_answer(found, Answer(reason=Reason.APPROVED)), of.encode_management_answer(echo), bad):
        header = of.decode_fields(answer)["h"]
        assert int(header[6:10], 16) == len(answer)
        assert header[:6] + "0000" + header[10:] == TO_NETWORK


def test_a_message_of_ours_has_our_station_in_front() -> None:
    of = codec(NAME)
    ours = of.decode_fields(of.encode_management(ManagementFunction.ECHO, stan="000001", now=RECEIVED))["h"]
    assert (ours[10:16], ours[16:22], ours[22:]) == ("000001", "000002", "00" * 11)


def test_a_header_without_lengths_or_addresses() -> None:
    plain = Header(HeaderRules(parts=(HeaderPart(bytes=2, desc="A mark", any_of=("6000", "6001")),)))
    assert plain.ours == "6000"
    assert plain.turned("6001") == "6001"
    assert plain.finished(b"\x60\x01rest") == b"\x60\x01rest"
    assert plain.problem(b"\x60\x01rest") is None
    problem = plain.problem(b"\x60\x02rest")
    assert problem is not None and problem.needed == "A mark 6000 or 6001"
    assert not plain.is_reject(b"\xff" * 40) and not plain.is_reject(b"")


def test_addresses_in_either_order() -> None:
    parts = (HeaderPart(bytes=1, desc="", holds="source"), HeaderPart(bytes=1, desc="", holds="destination"))
    header = Header(HeaderRules(parts=parts, our_station="0A", their_station="0B"))
    assert header.ours == "0A0B"
    assert header.turned("0A0B") == "0B0A"


# ── rejects

APPROVAL = codec(NAME).encode_answer(
    decode(PAYLOAD),
    Answer(
        reason=Reason.APPROVED,
        approval_code="778899",
        balances=(Balance(amount_type="02", currency="JPY", amount_minor=7),),
    ),
)


def rejected(ours: bytes, *, code: str = "0045", length: int = 26, total: int | None = None) -> bytes:
    """``ours`` as a network sends it back: a header of ``length`` bytes with the code at 24, then all of it."""
    rest = ours[5:22] + b"\x80\x00" + bytes.fromhex(code) + bytes(length - 26)
    size = length + len(ours) if total is None else total
    return bytes((length, 1, 2)) + size.to_bytes(2, "big") + rest + ours


def policy(tmp_path: Path, text: str) -> Codec:
    """The dialect with other rules for rejects."""
    return Codec(extended(tmp_path, f"[header.reject]\n{text}"))


@pytest.mark.parametrize("length", [26, 30, 255])
def test_a_reject_tells_its_code_and_whose_message_it_is(length: int) -> None:
    found = decode(rejected(APPROVAL, length=length))
    assert found.reject == Reject(code="0045", mti="0110", stan="000123", answer=None)
    assert (found.request, found.management, found.is_answer) == (None, None, False)
    assert PAN not in repr(found) and PAN not in repr(found.reject)


def test_a_reject_of_a_sign_on_of_ours() -> None:
    ours = codec(NAME).encode_management(ManagementFunction.SIGN_ON, stan="000009", now=RECEIVED)
    found = decode(rejected(ours, code="0001"))
    assert found.reject is not None
    assert (found.reject.code, found.reject.mti, found.reject.stan) == ("0001", "0800", "000009")


@pytest.mark.parametrize(
    "ours", [b"", b"\x16", APPROVAL[:30], APPROVAL[:22] + b"\xff" * 60, APPROVAL[22:], b"\x00" * 200]
)
def test_a_reject_of_what_nobody_can_read(tmp_path: Path, ours: bytes) -> None:
    of = policy(tmp_path, 'policy = "answer_bare"')
    found = decode(rejected(ours.ljust(22, b"\0")[:22] + ours[22:]), of)
    assert found.reject is not None
    assert (found.reject.code, found.reject.stan, found.reject.answer) == ("0045", "", None)


def test_a_reject_of_a_message_whose_stan_is_no_number() -> None:
    ours = codec(NAME).encode({**codec(NAME).decode_fields(APPROVAL), "11": "00ABCD"})
    assert decode(rejected(ours)).reject == Reject(code="0045", mti="0110", stan="", answer=None)


@pytest.mark.parametrize(
    ("payload", "offset", "needed"),
    [
        (rejected(APPROVAL, total=5), 3, f"a total length of {26 + len(APPROVAL)}"),
        (rejected(APPROVAL)[:25], 25, "the 26 bytes of a reject header"),
        (b"\xff\x01\x02\x00\x05", 5, "the 255 bytes of a reject header"),
    ],
)
def test_a_reject_header_that_is_none(payload: bytes, offset: int, needed: str) -> None:
    error = failure(payload)
    assert (error.field, error.offset, error.needed, error.answer) == ("h", offset, needed, None)


def test_a_reject_is_no_message_of_its_own() -> None:
    with pytest.raises(DecodeFailure):
        codec(NAME).decode_fields(rejected(APPROVAL))


@given(payload=st.binary(min_size=1, max_size=300).map(lambda raw: b"\x1a\x01\x02" + raw))
@settings(max_examples=200, deadline=None)
def test_rubbish_behind_a_reject_header(payload: bytes) -> None:
    sized = payload[:3] + len(payload).to_bytes(2, "big") + payload[5:]
    if len(sized) < 26:
        failure(sized)
        return
    reject = decode(sized).reject
    assert reject is not None and reject.answer is None
    assert re.fullmatch("[0-9A-F]{4}", reject.code) and re.fullmatch("([0-9]{4})?", reject.mti)
    assert re.fullmatch("[0-9]{0,6}", reject.stan)


def test_the_policy_answers_again_with_less(tmp_path: Path) -> None:
    of = policy(tmp_path, 'policies = { 0045 = "answer_bare" }')
    assert of.decode_fields(APPROVAL)["54"] and "54" not in of.dialect.header.reject.bare  # type: ignore[union-attr]  # it is there
    reject = decode(rejected(APPROVAL), of).reject
    assert reject is not None and reject.answer is not None
    said, before = of.decode_fields(reject.answer), of.decode_fields(APPROVAL)
    kept = set(said) - {"p", "h"}
    assert kept == {"t", "2", "3", "4", "7", "11", "32", "37", "38", "39", "41", "42", "49"}
    assert all(said[key] == before[key] for key in kept)
    assert said["h"][10:] == before["h"][10:] == TO_NETWORK[10:]
    assert int(said["h"][6:10], 16) == len(reject.answer)
    # The bare one is rejected too: nothing is left to leave out, so the network gets no third.
    again = decode(rejected(reject.answer), of).reject
    assert again is not None and again.answer is None


def test_other_codes_keep_the_policy_of_all(tmp_path: Path) -> None:
    of = policy(tmp_path, 'policies = { 0045 = "answer_bare" }')
    reject = decode(rejected(APPROVAL, code="0046"), of).reject
    assert reject is not None and reject.answer is None


@pytest.mark.parametrize("mti", ["0100", "0120", "0400", "0810", "0800"])
def test_only_answers_to_requests_are_sent_again(tmp_path: Path, mti: str) -> None:
    """Not a request that somebody reflects to us, nor management, which has nothing to leave out."""
    of = policy(tmp_path, 'policy = "answer_bare"')
    ours = of.encode({**of.decode_fields(APPROVAL), "t": mti})
    reject = decode(rejected(ours), of).reject
    assert reject is not None and (reject.mti, reject.answer) == (mti, None)


# ── rules that make no sense


def header_rules() -> dict[str, Any]:
    loaded: dict[str, Any] = tomllib.loads((specs_root() / NAME / "dialect.toml").read_text())["header"]
    return loaded


def parts_without(holds: str) -> list[dict[str, Any]]:
    return [
        {**part, "holds": "" if part.get("holds") == holds else part.get("holds", "")}
        for part in header_rules()["parts"]
    ]


def parts_with(at: int, **changes: object) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = header_rules()["parts"]
    parts[at] |= changes
    return parts


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"parts": parts_with(11, bytes=2)}, "[header] parts: are 23 bytes, and [fields] h has 22"),
        ({"parts": parts_with(9, holds="header_length")}, "[header] parts: two hold the header_length"),
        (
            {"parts": parts_without("source")},
            "[header] parts: destination and source",
        ),
        ({"parts": parts_with(1, any_of=["0101"])}, "[header] parts: any_of of Header Format: not 1 bytes"),
        ({"parts": parts_with(1, any_of=["0"])}, "[header]: Expected `str` matching regex"),
        ({"our_station": "0001"}, "[header] our_station: not the 6 digits of a source"),
        ({"their_station": "00000001"}, "[header] their_station: not the 6 digits of a destination"),
        ({"parts": parts_without("header_length")}, "[header] reject: can't be told without"),
        ({"reject": {**header_rules()["reject"], "bytes_min": 22}}, "[header] reject.bytes_min: must be longer"),
        ({"reject": {**header_rules()["reject"], "code_at": 25}}, "[header] reject.bytes_min: must be longer"),
        ({"reject": {**header_rules()["reject"], "policies": {"45": "log"}}}, "[header] reject.policies 45: not the 4"),
        ({"reject": {**header_rules()["reject"], "policy": "shrug"}}, "[header]: Invalid enum value 'shrug'"),
        ({"reject": {**header_rules()["reject"], "bare": ["199"]}}, "[header.reject] bare: names field 199"),
        ({"station": "000001"}, "[header]: Object contains unknown field `station`"),
    ],
)
def test_complaints_name_file_table_and_key(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    text = (specs_root() / NAME / "dialect.toml").read_text()
    start, end = text.index("[header]\n"), text.index("[messages]\n")
    written = "[header]\n" + "\n".join(
        f"{key} = {inline(value)}" for key, value in {**header_rules(), **changes}.items()
    )
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "dialect.toml").write_text(text[:start] + written + "\n\n" + text[end:])
    (folder / "hook.py").write_bytes((specs_root() / NAME / "hook.py").read_bytes())
    with pytest.raises(ConfigurationError) as caught:
        load_dialect(folder)
    assert str(caught.value).startswith(f"{folder / 'dialect.toml'}: {expected}")


def inline(value: object) -> str:
    """``value`` as TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {inline(each)}' for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
