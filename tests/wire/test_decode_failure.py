"""Payloads that are no message: what the failure tells, and which get an answer."""

from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from switch.contracts.message import Kind
from switch.wire.codec import Codec
from switch.wire.dialect import load_dialect, specs_root
from switch.wire.errors import DecodeFailure
from switch.wire.inbound import Inbound
from tests.wire.support import DIALECTS, PAN, RECEIVED, codec, purchase


def failure(payload: bytes, name: str = "iso87_ascii") -> DecodeFailure:
    with pytest.raises(DecodeFailure) as caught:
        codec(name).decode(payload, network="alpha", received_at=RECEIVED)
    assert caught.value.__context__ is None  # no chained error that holds the payload
    assert PAN not in str(caught.value)
    return caught.value


def answer_fields(error: DecodeFailure, name: str = "iso87_ascii") -> dict[str, str]:
    assert error.answer is not None
    fields = codec(name).decode_fields(error.answer)
    return {key: value for key, value in fields.items() if key != "p"}


ECHO = {"7": "0615030405", "11": "000123", "37": "616612000123", "41": "TERM01  "}


@pytest.mark.parametrize(
    ("changes", "field", "needed", "found"),
    [
        ({"f2": None}, "2", "a PAN here or in field 35", "nothing"),
        ({"f2": "4761"}, "2", "12 to 19 digits", "4 characters"),
        ({"f2": "47617300000000A0"}, "2", "digits", "16 characters"),
        ({"f3": None}, "3", "the field, as 0100 must have it", "nothing"),
        ({"f3": "0000 0"}, "3", "digits", "'0000 0'"),
        ({"f4": None}, "4", "the field, as 0100 must have it", "nothing"),
        ({"f4": "-00000005000"}, "4", "digits", "'-00000005000'"),
        ({"f4": "     5000   "}, "4", "digits", "'     5000   '"),
        ({"f49": None}, "49", "the field, as 0100 must have it", "nothing"),
        ({"f14": "29-2"}, "14", "digits", "'29-2'"),
        ({"f18": "54A1"}, "18", "digits", "'54A1'"),
        ({"f32": "12 4"}, "32", "digits", "'12 4'"),
        ({"f35": PAN}, "35", "PAN, separator, YYMM, service code", "16 characters"),
        ({"f35": PAN + "=29"}, "35", "PAN, separator, YYMM, service code", "19 characters"),
        ({"f90": "0100" + "x" * 38}, "90", "digits", "42 characters"),
        ({"f95": "00000000300x" + "0" * 30}, "95", "an amount of 12 digits in front", "42 characters"),
        # Blanks are no amount; taken for none, they would make it a full reversal.
        ({"f95": " " * 42}, "95", "an amount of 12 digits in front", "42 characters"),
        ({"t": "0400", "f4": None}, "4", "the field, as 0400 must have it", "nothing"),
        ({"t": "0300"}, "t", "a message type of this dialect", "'0300'"),
        ({"t": "0620"}, "t", "a message type of this dialect", "'0620'"),
    ],
)
@pytest.mark.parametrize("name", DIALECTS)
def test_a_message_that_lacks_something_is_answered(
    name: str, changes: dict[str, str | None], field: str, needed: str, found: str
) -> None:
    fields = purchase(**changes)
    error = failure(codec(name).encode(fields), name)
    assert (error.field, error.needed, error.found) == (field, needed, found)
    response = f"{fields['t'][:2]}{int(fields['t'][2]) + 1}0"
    assert answer_fields(error, name) == {"t": response, "39": "30", **ECHO}


@pytest.mark.parametrize(
    ("mti", "response"),
    [("0101", "0110"), ("0121", "0130"), ("0421", "0430"), ("0303", "0312"), ("1100", "1110"), ("0625", "0634")],
)
def test_the_response_type_of_a_broken_message(mti: str, response: str) -> None:
    error = failure(codec("iso87_ascii").encode(purchase(t=mti, f4="x" * 12)))
    assert answer_fields(error)["t"] == response


@pytest.mark.parametrize("mti", ["0110", "0810", "9999", "0140", "0106", "ABCD", "    "])
def test_what_asks_for_no_answer_gets_none(mti: str) -> None:
    payload = codec("iso87_ascii").encode(purchase(t=mti))
    assert failure(payload + b"tail").answer is None


@pytest.mark.parametrize(
    ("changes", "answered"),
    [
        ({}, True),
        ({"f7": None}, True),
        ({"f37": None}, True),
        ({"f7": None, "f37": None}, False),
        ({"f11": None}, False),
        ({"f11": "00012x"}, False),
    ],
)
def test_the_keys_that_an_answer_takes(changes: dict[str, str | None], answered: bool) -> None:
    error = failure(codec("iso87_ascii").encode(purchase(f4="x" * 12, **changes)))
    assert (error.answer is not None) is answered


@pytest.mark.parametrize("changes", [{"11": None}, {"70": None}, {"70": "0x1"}, {"11": "00001x"}])
def test_a_broken_management_message(changes: dict[str, str | None]) -> None:
    fields = {"t": "0800", "7": "0615030405", "11": "000009", "70": "301"}
    fields = {
        key: changes.get(key, value) or "" for key, value in fields.items() if changes.get(key, value) is not None
    }
    error = failure(codec("iso87_ascii").encode(fields))
    (field,) = changes
    assert error.field == field
    if field == "70":
        assert answer_fields(error) == {"t": "0810", "39": "30", "7": "0615030405", "11": "000009"}
    else:
        assert error.answer is None


def test_rubbish_in_one_field_does_not_hide_the_keys_behind_it() -> None:
    payload = codec("iso87_ascii").encode(purchase())
    start = payload.index(b"000000005000")
    error = failure(payload[:start] + b"\xff\xfe" + payload[start + 2 :])
    assert (error.field, error.offset, error.needed) == ("4", start, "12 ASCII bytes")
    assert answer_fields(error) == {"t": "0110", "39": "30", **ECHO}


def test_bytes_behind_the_last_field() -> None:
    payload = codec("iso87_ascii").encode(purchase())
    error = failure(payload + b"0000")
    assert (error.field, error.offset, error.found) == ("49", len(payload), "Extra data after last field")
    assert answer_fields(error) == {"t": "0110", "39": "30", **ECHO}


def test_a_message_cut_short() -> None:
    payload = codec("iso87_ascii").encode(purchase())
    error = failure(payload[:-1])
    assert (error.field, error.offset) == ("49", len(payload) - 3)
    assert (error.needed, error.found) == ("3 ASCII bytes", "Field data is 2 bytes, expecting 3")
    assert answer_fields(error) == {"t": "0110", "39": "30", **ECHO}


@pytest.mark.parametrize("name", DIALECTS)
def test_offsets_point_at_the_field(name: str) -> None:
    payload = codec(name).encode(purchase(f18="54A1"))
    assert failure(payload, name).offset == payload.index(b"54A1")
    payload = codec(name).encode(purchase(f4=None))
    assert failure(payload, name).offset == len(payload)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_third_bitmap(name: str) -> None:
    """Bit 65 announces fields 129 to 192, which the dialects do not have."""
    bitmaps = bytes.fromhex("822000000000000080000000000000004000000000000000")  # 1, 7, 11; 65; 130
    written = bitmaps if name == "iso87_binary" else bitmaps.hex().upper().encode()
    payload = b"0100" + written + b"0615030405" + b"000123"
    error = failure(payload, name)
    assert (error.field, error.offset) == ("130", len(payload))
    assert (error.needed, error.found) == ("a field of this dialect", "its bit set")
    assert answer_fields(error, name) == {"t": "0110", "39": "30", "7": "0615030405", "11": "000123"}


@pytest.mark.parametrize(
    "bitmaps",
    [
        b"0020000000 0000 ",
        b"00\t200000000000\n",
        b"8020000000000000" + b"  00000000000000",
        b"80200000000000  " + b"0000000000000000",
    ],
)
def test_white_space_in_a_bitmap(bitmaps: bytes) -> None:
    """Python's hexadecimal reader skips it, and the library would go on with a shorter bitmap."""
    error = failure(b"0100" + bitmaps + b"000123")
    assert (error.field, error.offset, error.found) == ("p", 4, "white space")
    assert error.answer is None


@pytest.mark.parametrize("length", [b"-1", b"+5", b"1 ", b"\xb2\xb2", b"20", b"99", b"  "])
def test_impossible_lengths_of_a_field(length: bytes) -> None:
    assert failure(b"01004000000000000000" + length + b"1" * 12).field == "2"


def judged(name: str, payload: bytes) -> None:
    try:
        inbound = codec(name).decode(payload, network="alpha", received_at=RECEIVED)
    except DecodeFailure as found:
        error = found
    else:
        assert isinstance(inbound, Inbound)
        assert inbound.request is None or inbound.request.kind in Kind
        return
    assert 0 <= error.offset <= len(payload)
    assert error.needed
    assert error.found
    if error.answer is not None:
        fields = codec(name).decode_fields(error.answer)
        assert (fields["39"], fields["t"][2] in "13") == ("30", True)
    assert PAN not in str(error)


@pytest.mark.parametrize("name", DIALECTS)
@given(payload=st.binary(max_size=200))
@example(payload=b"")
@example(payload=b"0100")
@example(payload="０１００".encode())
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes(name: str, payload: bytes) -> None:
    judged(name, payload)


@pytest.mark.parametrize("name", DIALECTS)
@given(tail=st.binary(max_size=160), mti=st.sampled_from([b"0100", b"0200", b"0420", b"0800", b"0110"]))
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes_behind_a_message_type(name: str, mti: bytes, tail: bytes) -> None:
    judged(name, mti + tail)
    judged(name, mti + tail[:16].hex().upper().encode() + tail)


FULL = purchase(
    f35=f"{PAN}=2912201123456789",
    f38="A1B2C3",
    f39="00",
    f52="0123456789ABCDEF",
    f55="9F2608" + "0" * 16,
    f60="11",
    f62="REF",
    f90="0" * 42,
    f95="0" * 42,
    f126="11 123",
)


@pytest.mark.parametrize("name", DIALECTS)
@given(
    mti=st.sampled_from(["0100", "0120", "0220", "0421"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=12)), min_size=1, max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_mutated_messages(name: str, mti: str, edits: list[tuple[float, int, bytes]]) -> None:
    payload = codec(name).encode({**FULL, "t": mti})
    for place, removed, inserted in edits:
        start = int(place * len(payload))
        payload = payload[:start] + inserted + payload[start + removed :]
    judged(name, payload)


def test_digits_are_ascii_digits(tmp_path: Path) -> None:
    """int() takes Arabic digits too; a network that encodes text in UTF-8 could send them."""
    folder = tmp_path / "utf8"
    folder.mkdir()
    base = tmp_path / "iso87_ascii"
    base.mkdir()
    (base / "dialect.toml").write_bytes((specs_root() / "iso87_ascii" / "dialect.toml").read_bytes())
    (folder / "dialect.toml").write_text(
        'extends = "iso87_ascii"\n[fields]\n11 = { data_enc = "utf-8" }\n', encoding="utf-8"
    )
    utf8 = Codec(load_dialect(folder))
    payload = utf8.encode(purchase(f11="000123")).replace(b"000123", "\u0661\u0662\u0663".encode(), 1)
    with pytest.raises(DecodeFailure) as caught:
        utf8.decode(payload, network="alpha", received_at=RECEIVED)
    assert (caught.value.field, caught.value.needed, caught.value.answer) == ("11", "digits", None)


DAMAGED = {
    "cut short": lambda payload: payload[:-1],
    "drawn out": lambda payload: payload + b"0",
    "cut in the bitmap": lambda payload: payload[:9],
    "no message type": lambda payload: b"zz" + payload[2:],
    "letters among digits": lambda payload: payload.replace(b"5411", b"54A1").replace(b"\x54\x11", b"\x54\xa1"),
    "bytes that are no text": lambda payload: payload.replace(b"TERM", b"\xff\xfe\xff\xfe"),
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("damage", DAMAGED)
def test_nothing_of_a_damaged_message_waits_for_the_garbage_collector(name: str, damage: str) -> None:
    """A ring of error, traceback and frame would keep the payload, and all that was read with it."""
    speaks = codec(name)
    payload = DAMAGED[damage](speaks.encode(FULL))

    def decode() -> None:
        with suppress(DecodeFailure):
            speaks.decode(payload, network="alpha", received_at=RECEIVED)

    decode()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            decode()
        assert gc.collect() == 0
    finally:
        gc.enable()
