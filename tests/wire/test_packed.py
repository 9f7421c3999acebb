"""iso87_bcd: digits in half bytes, which is where an odd number of them and a wrong pad can go wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import iso8583
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.wire.codec import Codec
from switch.wire.dialect import load_dialect, specs_root
from switch.wire.errors import DecodeFailure, EncodeFailure
from tests.wire.packed_spec import PACKED_SPEC
from tests.wire.support import PAN, RECEIVED, codec, luhn_pan, purchase
from tests.wire.test_codec_fields import ALPHABETS, FIELDS

NAME = "iso87_bcd"
ECHO = {"7": "0615030405", "11": "000123", "37": "616612000123", "41": "TERM01  "}


def values(key: str) -> st.SearchStrategy[str]:
    """What the packed form can hold: digits (in track data the separator too), raw bytes, text."""
    row = PACKED_SPEC[key]
    length_max = row["max_len"]
    length_min = 0 if row["len_type"] else length_max
    if row.get("len_count") == "nibbles":
        alphabet = "0123456789D" if key in {"35", "36"} else "0123456789"
        return st.text(alphabet, min_size=length_min, max_size=length_max)
    if row["data_enc"] == "b":
        return st.binary(min_size=length_min, max_size=length_max).map(lambda raw: raw.hex().upper())
    return st.text(ALPHABETS["ans"], min_size=length_min, max_size=length_max)


@pytest.mark.parametrize("key", FIELDS)
@given(data=st.data())
@settings(max_examples=5, deadline=None, database=None)
def test_every_field_as_an_independent_description_writes_it(key: str, data: st.DataObject) -> None:
    fields = {"t": "0100", key: data.draw(values(key))}
    payload = codec(NAME).encode(fields)
    assert payload == bytes(iso8583.encode(dict(fields), PACKED_SPEC)[0])
    decoded = codec(NAME).decode_fields(payload)
    assert decoded == iso8583.decode(payload, PACKED_SPEC)[0]
    assert {place: text for place, text in decoded.items() if place not in {"p", "1"}} == fields


def test_a_message_byte_by_byte() -> None:
    """Written by hand from the description at the top of the dialect's file."""
    pan = luhn_pan("476173", 19)
    track2 = f"{pan}D291220112345"
    fields = {
        "t": "0100",
        "2": pan,
        "3": "000000",
        "4": "000000005000",
        "11": "000123",
        "22": "051",
        "32": "123456",
        "35": track2,
        "37": "616612000123",
        "49": "392",
        "52": "0123456789ABCDEF",
        "55": "9F2601AA",
        "62": "NET",
        "70": "301",
    }
    written = (
        "0100"
        "F020040128009204"
        "0400000000000000"
        f"190{pan}"  # 19 digits in ten bytes, a zero in front
        "000000"
        "000000005000"
        "000123"
        "0051"
        "06123456"
        f"{len(track2):02d}{track2}"
        f"{b'616612000123'.hex()}"
        "0392"
        "0123456789ABCDEF"
        "00049F2601AA"
        f"0003{b'NET'.hex()}"
        "0301"
    )
    assert len(track2) % 2 == 0
    assert codec(NAME).encode(fields).hex().upper() == written.upper()
    assert codec(NAME).decode_fields(bytes.fromhex(written)).items() >= fields.items()


def test_a_request_reads_as_in_ascii() -> None:
    """Packing changes how it travels and nothing that it means; track 2 is told by either separator."""
    packed, plain = purchase(f35=f"{PAN}D2912201123456789"), purchase(f35=f"{PAN}=2912201123456789")
    requests = [
        codec(name).decode(codec(name).encode(fields), network="alpha", received_at=RECEIVED).request
        for name, fields in ((NAME, packed), ("iso87_ascii", plain))
    ]
    ours, theirs = requests
    assert ours is not None and theirs is not None
    assert {key for key in ours.__struct_fields__ if getattr(ours, key) != getattr(theirs, key)} == {"dialect"}


def failure(payload: bytes) -> DecodeFailure:
    with pytest.raises(DecodeFailure) as caught:
        codec(NAME).decode(payload, network="alpha", received_at=RECEIVED)
    assert PAN not in str(caught.value) and caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize(
    ("key", "value"),
    [("4", "00000000A000"), ("2", f"{PAN[:-1]}F"), ("7", "06150304AB"), ("18", "54D1"), ("22", "0B1"), ("14", "2E12")],
)
def test_half_bytes_that_are_no_digits(key: str, value: str) -> None:
    fields = {**purchase(), key: value}
    error = failure(codec(NAME).encode(fields))
    assert (error.field, error.needed) == (key, "digits")
    assert error.answer is not None
    echo = {place: text for place, text in ECHO.items() if place != key}
    assert {place: text for place, text in codec(NAME).decode_fields(error.answer).items() if place != "p"} == {
        "t": "0110",
        "39": "30",
        **echo,
    }


@pytest.mark.parametrize(
    ("right", "wrong", "field"),
    [
        (b"\x00\x51", b"\x10\x51", "22"),
        (b"\x03\x92", b"\x13\x92", "49"),
        (b"\x11\x00\x00\x12", b"\x11\xf0\x00\x12", "32"),
    ],
)
def test_a_pad_that_is_none(right: bytes, wrong: bytes, field: str) -> None:
    """Something where nothing belongs: a digit too many, or a neighbour's byte."""
    payload = codec(NAME).encode(purchase(f32="00012345678"))
    assert payload.count(right) == 1
    error = failure(payload.replace(right, wrong))
    assert error.field == field
    assert error.answer is not None


@pytest.mark.parametrize("length", [b"\x0a", b"\x1a", b"\xa1", b"\x20", b"\x99", b"\xff"])
def test_impossible_lengths(length: bytes) -> None:
    """Half bytes above nine, and a PAN of more than nineteen digits."""
    payload = codec(NAME).encode(purchase())
    at = 2 + 8
    assert payload[at] == 0x16
    assert failure(payload[:at] + length + payload[at + 1 :]).field == "2"


def test_a_response_code_is_two_digits() -> None:
    with pytest.raises(EncodeFailure) as caught:
        codec(NAME).encode({"t": "0110", "39": "N7"})
    assert caught.value.field == "39"


def test_lengths_in_plain_binary_are_one_key_a_row(tmp_path: Path) -> None:
    """What the file promises to a network that counts so."""
    shutil.copytree(specs_root(), tmp_path / "specs")
    counted = [key for key, row in codec(NAME).dialect.spec.items() if row["len_type"]]
    rows = "\n".join(f'{key} = {{ len_enc = "b" }}' for key in counted)
    (tmp_path / "specs" / "house").mkdir()
    (tmp_path / "specs" / "house" / "dialect.toml").write_text(f'extends = "{NAME}"\n[fields]\n{rows}\n')
    house = Codec(load_dialect(tmp_path / "specs" / "house"))
    payload = house.encode(purchase())
    assert payload == codec(NAME).encode(purchase()).replace(
        b"\x16" + bytes.fromhex(PAN), b"\x10" + bytes.fromhex(PAN)
    ).replace(b"\x11\x00\x00\x00\x12\x34\x56", b"\x0b\x00\x00\x00\x12\x34\x56")
    assert house.decode_fields(payload)["32"] == purchase()["32"]
