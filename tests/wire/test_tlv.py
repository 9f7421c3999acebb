"""BER-TLV: data objects of any length and depth, and bytes that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.wire.emv import TAGS
from switch.wire.tlv import DataObject, TlvProblem, read_tlv


def tlv(text: str) -> tuple[tuple[DataObject, ...], TlvProblem | None]:
    return read_tlv(bytes.fromhex(text))


def test_tags_and_lengths_of_each_size() -> None:
    objects, problem = tlv("9A 03 260615  9F2701 80  DF8129 02 0001  9F10 8102 0607  84 820001 A0  95 00")
    assert problem is None
    assert [(each.tag, each.value.hex()) for each in objects] == [
        ("9A", "260615"),
        ("9F27", "80"),
        ("DF8129", "0001"),
        ("9F10", "0607"),
        ("84", "a0"),
        ("95", ""),
    ]


def test_zero_bytes_between_data_objects_are_padding() -> None:
    assert [each.tag for each in tlv("0000 9C0100 00 9A03260615 00")[0]] == ["9C", "9A"]


def test_a_template_has_parts() -> None:
    (template,), problem = tlv("77 09 9F2701 80 9F3602 0012")
    assert (template.tag, problem) == ("77", None)
    assert [(part.tag, part.value.hex()) for part in template.parts] == [("9F27", "80"), ("9F36", "0012")]


def test_a_template_that_holds_no_tlv_is_a_value() -> None:
    ((template,), problem) = tlv("7202 9F9F")
    assert (template.value.hex(), template.parts, problem) == ("9f9f", (), None)


@pytest.mark.parametrize(
    ("text", "read", "problem"),
    [
        ("9C0100 9A0326", ["9C"], TlvProblem(5, "3 bytes of tag 9A", "1")),
        ("9C0100 9F", ["9C"], TlvProblem(3, "a tag", "one that does not end")),
        ("9C0100 9A", ["9C"], TlvProblem(4, "the length of tag 9A", "none")),
        ("9A80 0000", [], TlvProblem(1, "the length of tag 9A", "none")),
        ("9A85 0000000001", [], TlvProblem(1, "the length of tag 9A", "none")),
        ("9A82 00", [], TlvProblem(1, "the length of tag 9A", "none")),
        ("9FFFFFFFFF01", [], TlvProblem(0, "a tag", "one that does not end")),
    ],
)
def test_where_reading_stops(text: str, read: list[str], problem: TlvProblem) -> None:
    objects, found = tlv(text)
    assert ([each.tag for each in objects], found) == (read, problem)


def test_templates_in_templates_end_somewhere() -> None:
    data = b"\x9c\x01\x00"
    for _ in range(40):
        data = b"\x77" + bytes((len(data),)) + data
    (objects, problem) = read_tlv(data)
    depth = 0
    while objects:
        depth, objects = depth + 1, objects[0].parts
    assert (depth, problem) == (5, None)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    objects, problem = read_tlv(data)
    assert sum(len(each.value) + 2 for each in objects) <= len(data)
    assert problem is None or 0 <= problem.offset <= len(data)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(tag for tag, known in TAGS.items() if known.form != "template")),
            st.binary(max_size=140),
        )
    )
)
def test_what_was_written_is_read(written: list[tuple[str, bytes]]) -> None:
    data = b"".join(
        bytes.fromhex(tag) + (bytes((len(value),)) if len(value) < 128 else bytes((0x81, len(value)))) + value
        for tag, value in written
    )
    objects, problem = read_tlv(data)
    assert problem is None
    assert [(each.tag, each.value) for each in objects] == written


def test_tags_are_in_their_shortest_form_and_templates_are_constructed() -> None:
    for tag, known in TAGS.items():
        first = bytes.fromhex(tag)[0]
        assert (len(tag) > 2) == (first & 0x1F == 0x1F), tag
        assert (known.form == "template") == bool(first & 0x20), tag
    assert {tag for tag, known in TAGS.items() if known.form == "hidden"} >= {
        "56",
        "57",
        "5A",
        "99",
        "9F1F",
        "9F20",
        "9F6B",
    }
