"""Elements with a bitmap of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.wire.errors import EncodeFailure, FieldProblem
from switch.wire.field_table import FieldRow
from switch.wire.subfields import SubfieldRules, Subfields, packed, subfield_problems

ROWS = {
    "1": FieldRow(max_len=1, content="an", desc="one character"),
    "2": FieldRow(data_enc="b", len_count="nibbles", left_pad="0", max_len=15, content="n", desc="odd digits"),
    "5": FieldRow(data_enc="b", len_count="nibbles", max_len=2, content="n", desc="even digits"),
    "20": FieldRow(data_enc="b", max_len=5, content="b", desc="bytes"),
    "24": FieldRow(data_enc="latin-1", max_len=3, content="ans", desc="a text encoding of its own"),
}
RULES = SubfieldRules(bitmap_bytes=3, rows=ROWS)


def made() -> Subfields:
    return Subfields("62", RULES, "cp500")


def test_every_digit() -> None:
    values = {"24": "aé!", "2": "123456789012345", "1": "Y", "20": "00FF00FF00"}
    joined = made().join(values)
    assert joined == "C00011" + "E8" + "0123456789012345" + "00FF00FF00" + "61E921"
    assert made().split(joined) == values
    assert [made().read(joined, number) for number in ("1", "2", "5")] == ["Y", "123456789012345", ""]


TEXTS = {
    "1": st.text(bytes(range(256)).decode("cp500"), min_size=1, max_size=1),
    "2": st.text("0123456789", min_size=15, max_size=15),
    "5": st.text("0123456789", min_size=2, max_size=2),
    "20": st.text("0123456789ABCDEF", min_size=10, max_size=10),
    "24": st.text(bytes(range(256)).decode("latin-1"), min_size=3, max_size=3),
}


@given(values=st.fixed_dictionaries({}, optional=TEXTS))
def test_round_trip(values: dict[str, str]) -> None:
    subfields = made()
    assert subfields.split(subfields.join(values)) == values


@given(raw=st.binary(max_size=40))
def test_any_bytes_are_read_or_a_problem_of_the_element(raw: bytes) -> None:
    digits, subfields = raw.hex().upper(), made()
    try:
        values = subfields.split(digits)
    except FieldProblem as problem:
        wrong = problem.field
    else:
        wrong = "62"
        assert subfields.join(values) == digits
    assert wrong.partition(".")[0] == "62"


@pytest.mark.parametrize(
    ("digits", "field", "needed"),
    [
        ("C010", "62", "a bitmap of 3 bytes"),
        ("200000", "62.3", "a subfield of this dialect"),
        ("800000", "62", "4 bytes, as its bitmap says"),
        ("800000" + "E8E8", "62", "4 bytes, as its bitmap says"),
        ("400000" + "1123456789012345", "62.2", "the half byte 0 in front"),
    ],
)
def test_digits_that_are_not_what_their_bitmap_says(digits: str, field: str, needed: str) -> None:
    with pytest.raises(FieldProblem) as caught:
        made().split(digits)
    assert (caught.value.field, caught.value.needed) == (field, needed)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"3": "1"}, "62.3"),
        ({"1": ""}, "62.1"),
        ({"1": "日"}, "62.1"),
        ({"2": "12345678901234"}, "62.2"),
        ({"2": "12345678901234X"}, "62.2"),
        ({"5": "1 "}, "62.5"),
        ({"20": "00FF00FF0"}, "62.20"),
    ],
)
def test_values_without_a_form(values: dict[str, str], field: str) -> None:
    with pytest.raises(EncodeFailure) as caught:
        made().join(values)
    assert caught.value.field == field


def test_plans_are_bounded() -> None:
    rows = {str(bit): FieldRow(data_enc="b", max_len=1, content="b", desc="") for bit in range(1, 17)}
    subfields = Subfields("62", SubfieldRules(bitmap_bytes=2, rows=rows), "ascii")
    for bitmap in range(600):
        digits = f"{bitmap:04X}" + "00" * bitmap.bit_count()
        assert len(subfields.split(digits)) == bitmap.bit_count()
        assert len(subfields._plans) <= 256


def test_packing_leaves_other_fields_as_they_are() -> None:
    fields = {"t": "0100", "62.1": "Y", "11": "000001"}
    assert packed(fields, {"62": made()}) == {"t": "0100", "11": "000001", "62": "800000E8"}
    assert fields["62.1"] == "Y"
    whole = {"t": "0100", "62": "800000E8"}
    assert packed(whole, {"62": made()}) is whole


@pytest.mark.parametrize(
    ("number", "row", "where"),
    [
        ("25", ROWS["1"], "rows.25"),
        ("x", ROWS["1"], "rows.x"),
        ("3", FieldRow(len_type=1, max_len=3, content="an", desc=""), "rows.3"),
        ("3", FieldRow(max_len=0, content="an", desc=""), "rows.3"),
        ("3", FieldRow(data_enc="b", len_count="nibbles", max_len=3, content="n", desc=""), "rows.3"),
        ("3", FieldRow(data_enc="morse", max_len=3, content="n", desc=""), "rows.3"),
    ],
)
def test_rules_that_make_no_sense(number: str, row: FieldRow, where: str) -> None:
    parent = FieldRow(data_enc="b", max_len=255, content="b", desc="")
    assert list(subfield_problems("62", RULES, parent)) == []
    found = subfield_problems("62", SubfieldRules(bitmap_bytes=3, rows={**ROWS, number: row}), parent)
    assert [key for key, _ in found] == [where]


@pytest.mark.parametrize("parent", [None, FieldRow(max_len=255, content="ans", desc="")])
def test_an_element_that_is_not_raw(parent: FieldRow | None) -> None:
    assert [key for key, _ in subfield_problems("62", RULES, parent)] == [""]
