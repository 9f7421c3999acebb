"""The field table of a dialect: one row per data element, turned into a pyiso8583 specification once."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal, TypeAlias

import msgspec

from switch.wire.ebcdic import NAME as CP1047

__all__ = ["FieldRow", "FieldSpec", "FieldTable", "row_encoding_problem", "row_problem", "text_encoding_problem"]

FieldSpec: TypeAlias = dict[str, str | int]

# A field that the table lacks is given a length that no payload has, so that pyiso8583 itself reports its place.
_UNKNOWN: FieldSpec = {"data_enc": "ascii", "len_enc": "ascii", "len_type": 0, "max_len": 1 << 40, "desc": "unknown"}


class FieldRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row. All keys but ``class`` are pyiso8583's own and mean what its ``iso8583.specs`` module says.

    An encoding that is not given is the dialect's ``text_encoding``.

    ``class`` is what the element may hold, as ISO 8583 writes it: n digits, a letters, an, ans, b bits (as hexadecimal
    text once decoded), z track data, xn a sign (C or D) and digits.
    """

    data_enc: str = ""
    len_enc: str = ""
    len_type: Annotated[int, msgspec.Meta(ge=0, le=4)] = 0  # width of the length in bytes; 0 for a fixed length
    max_len: Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    content: Literal["n", "a", "an", "ans", "b", "z", "xn"] = msgspec.field(name="class")
    desc: str
    len_count: Literal["bytes", "nibbles"] = "bytes"
    left_pad: str = ""
    right_pad: str = ""

    def specification(self, text_encoding: str) -> FieldSpec:
        """The row as pyiso8583 wants it."""
        spec: FieldSpec = {
            "data_enc": self.data_enc or text_encoding,
            "len_enc": self.len_enc or text_encoding,
            "len_type": self.len_type,
            "max_len": self.max_len,
            "desc": self.desc,
        }
        if self.len_count != "bytes":
            spec["len_count"] = self.len_count
        if self.left_pad:
            spec["left_pad"] = self.left_pad
        if self.right_pad:
            spec["right_pad"] = self.right_pad
        return spec


class FieldTable(dict[str, FieldSpec]):
    """A pyiso8583 specification that never lacks a row.

    pyiso8583 reads fields 129 to 192 when bit 65 is set and would end in a KeyError for a field that the dialect does
    not have. Asked for such a field, this table answers with one that can't be decoded or encoded.
    """

    def __missing__(self, key: str) -> FieldSpec:
        return _UNKNOWN

    def lenient(self) -> FieldTable:
        """The same layout, but any byte is good text: finds later fields behind one that holds rubbish."""
        return FieldTable(
            {key: {**row, "data_enc": "latin-1"} if row["data_enc"] == "ascii" else row for key, row in self.items()}
        )

    def fixed_length(self, key: str) -> int:
        """How many characters a field of fixed length holds once decoded; 0 for one whose length varies."""
        row = self[key]
        if row["len_type"] != 0:
            return 0
        packed = row["data_enc"] == "b" and row.get("len_count", "bytes") == "bytes"
        return int(row["max_len"]) * (2 if packed else 1)

    def describe(self, key: str) -> str:
        """The form that a field must have, for an error message."""
        if key not in self:
            return "a field of this dialect"
        row = self[key]
        unit = row.get("len_count", "bytes")
        kind = {"b": "raw", "ascii": "ASCII"}.get(str(row["data_enc"]), str(row["data_enc"]))
        if row["len_type"] == 0:
            return f"{row['max_len']} {kind} {unit}"
        return f"a length of {row['len_type']} bytes and up to {row['max_len']} {kind} {unit}"


def row_problem(key: str, row: FieldRow) -> str | None:
    """What is wrong with a row beyond its types, or None."""
    if key not in {"h", "t", "p"} and not (key.isascii() and key.isdecimal() and str(int(key)) == key):
        return "is no field: h, t, p or 1 to 128"
    if key.isdecimal() and not 1 <= int(key) <= 128:
        return "is no field: h, t, p or 1 to 128"
    problem = row_encoding_problem(row)
    if problem is not None:
        return problem
    if row.left_pad and row.right_pad:
        return "has both left_pad and right_pad"
    return None


def row_encoding_problem(row: FieldRow) -> str | None:
    """What is wrong with the encodings that a row names, or None."""
    for name, encoding, binary in (("data_enc", row.data_enc, {"", "b"}), ("len_enc", row.len_enc, {"", "b", "bcd"})):
        if encoding not in binary and text_encoding_problem(encoding) is not None:
            return f"{name} = {text_encoding_problem(encoding)}"
    return None


def text_encoding_problem(encoding: str) -> str | None:
    """What is wrong with the name of a text encoding, or None."""
    try:
        codecs.lookup(encoding)
    except LookupError:
        return f"{encoding!r} is neither {CP1047} nor an encoding that Python knows"
    return None
