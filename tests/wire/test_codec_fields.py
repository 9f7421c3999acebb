"""Every field of every dialect, there and back."""

from __future__ import annotations

import iso8583
import iso8583.specs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.wire.errors import EncodeFailure
from tests.wire.support import DIALECTS, codec, dialect, purchase

STOCK = {"iso87_ascii": iso8583.specs.default_ascii, "iso87_binary": iso8583.specs.default}
FIELDS = [str(number) for number in range(2, 129) if number != 65]
ALPHABETS = {
    "n": "0123456789",
    "xn": "CD0123456789",
    "a": "ABCXYZ",
    "an": "ABCXYZabc0123456789",
    "ans": "ABCabc019 .,-/&*\\~\x00\x7f",
    "b": "0123456789ABCDEF",
    "z": "0123456789=D",
}


def values(name: str, key: str) -> st.SearchStrategy[str]:
    row, content = dialect(name).spec[key], dialect(name).content[key]
    length_max = int(row["max_len"])
    length_min = 0 if row["len_type"] else length_max
    if row["data_enc"] == "b":
        return st.binary(min_size=length_min, max_size=length_max).map(lambda raw: raw.hex().upper())
    return st.text(alphabet=ALPHABETS[content], min_size=length_min, max_size=length_max)


@pytest.mark.parametrize("key", FIELDS)
@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
@settings(max_examples=5, deadline=None, database=None)
def test_a_field_there_and_back(name: str, key: str, data: st.DataObject) -> None:
    value = data.draw(values(name, key))
    payload = codec(name).encode({"t": "0100", key: value})
    decoded = codec(name).decode_fields(payload)
    assert {place: text for place, text in decoded.items() if place not in {"p", "1"}} == {"t": "0100", key: value}


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_set_of_fields_as_the_stock_library_writes_it(name: str, data: st.DataObject) -> None:
    keys = data.draw(st.sets(st.sampled_from(FIELDS), max_size=12))
    fields = {"t": "0200", **{key: data.draw(values(name, key)) for key in sorted(keys)}}
    payload = codec(name).encode(fields)
    stock, _ = iso8583.encode(dict(fields), STOCK[name])
    assert payload == stock
    assert codec(name).decode_fields(payload) == iso8583.decode(stock, STOCK[name])[0]
    assert set(fields) == {"t", *keys}  # what we gave is not written into


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"t": "0100", "4": "1"}, "4"),
        ({"t": "0100", "2": "1" * 20}, "2"),
        ({"t": "0100", "43": "é" * 40}, "43"),
        ({"t": "0100", "65": "0" * 16}, "65"),
        ({"t": "0100", "129": "1"}, "129"),
        ({"t": "0100", "193": "1"}, "p"),
        ({"t": "0100", "²": "1"}, "p"),
        ({"t": "010"}, "t"),
        ({"4": "000000000001"}, "t"),
    ],
)
@pytest.mark.parametrize("name", DIALECTS)
def test_fields_that_have_no_form(name: str, fields: dict[str, str], field: str) -> None:
    with pytest.raises(EncodeFailure) as caught:
        codec(name).encode(fields)
    assert caught.value.field == field


def test_a_failure_keeps_no_card_data() -> None:
    fields = purchase(f4="12")
    with pytest.raises(EncodeFailure) as caught:
        codec("iso87_ascii").encode(fields)
    assert fields["2"] not in str(caught.value)
    assert caught.value.__context__ is None
