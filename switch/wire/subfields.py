"""Elements that carry subfields behind a bitmap of their own: ``[subfields]`` of ``dialect.toml``. Pure.

::

    element 62 = bitmap (8 bytes) ∥ the subfields whose bits are set, in order, each of fixed length

A subfield is named by element and bit, "62.2". In fields that were decoded the element stays as it came, so that an
answer echoes it byte for byte; what the dialect's carriers and flags name is read out of it. Fields to encode may have
subfields in place of their element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec

from switch.wire.errors import EncodeFailure, FieldProblem
from switch.wire.field_table import FieldRow, row_encoding_problem

__all__ = ["SubfieldRules", "Subfields", "packed", "subfield_problems"]

_PLANS_MAX = 256


class SubfieldRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[subfields.62]``. The rows are those of ``[fields]``, of fixed length."""

    bitmap_bytes: Annotated[int, msgspec.Meta(ge=1, le=16)]
    rows: dict[str, FieldRow]


def subfield_problems(element: str, rules: SubfieldRules, parent: FieldRow | None) -> Iterator[tuple[str, str]]:
    """What types can't say: (key, what is wrong)."""
    if parent is None or parent.data_enc != "b" or parent.len_count != "bytes":
        yield "", f"[fields] {element} must be there, as raw bytes"
    for number, row in rules.rows.items():
        if not (number.isascii() and number.isdecimal() and 1 <= int(number) <= 8 * rules.bitmap_bytes):
            yield f"rows.{number}", f"is no bit of {rules.bitmap_bytes} bytes"
        if row.len_type or not row.max_len:
            yield f"rows.{number}", "must be of fixed length"
        if row.data_enc == "b" and row.len_count == "nibbles" and row.max_len % 2 and not row.left_pad:
            yield f"rows.{number}", "an odd number of half bytes needs left_pad"
        problem = row_encoding_problem(row)
        if problem is not None:
            yield f"rows.{number}", problem


class _Row:
    """One subfield: its length on the wire, and how its text becomes hexadecimal digits and back."""

    __slots__ = ("_encoding", "_pad", "characters", "digits")

    def __init__(self, row: FieldRow, text_encoding: str) -> None:
        self.characters = row.max_len * (1 if row.data_enc != "b" or row.len_count == "nibbles" else 2)
        self._encoding = "" if row.data_enc == "b" else row.data_enc or text_encoding
        self._pad = row.left_pad[:1] if row.data_enc == "b" and self.characters % 2 else ""
        self.digits = self.characters + len(self._pad) if row.data_enc == "b" else 2 * self.characters

    def read(self, name: str, digits: str) -> str:
        if self._encoding:
            problem: str
            try:
                return bytes.fromhex(digits).decode(self._encoding)
            except UnicodeDecodeError:
                problem = f"{len(digits) // 2} other bytes"
            raise FieldProblem(name, needed=f"{self._encoding} text", found=problem)
        if not digits.startswith(self._pad):
            raise FieldProblem(name, needed=f"the half byte {self._pad} in front", found="another")
        return digits[len(self._pad) :]

    def write(self, name: str, text: str) -> str:
        problem = "hexadecimal digits are needed"
        try:
            if self._encoding:
                problem = f"no {self._encoding} text"
                digits = text.encode(self._encoding).hex().upper()
            else:
                digits = bytes.fromhex(self._pad + text).hex().upper()
        except ValueError:
            digits = ""
        if len(text) != self.characters:
            problem = f"{len(text)} characters, expecting {self.characters}"
        elif len(digits) == self.digits:
            return digits
        raise EncodeFailure(field=name, problem=problem)


class Subfields:
    """The subfields of one element.

    Where they stand follows from the bitmap alone, so that it is worked out once for each bitmap; at most 256 of those
    are remembered, whatever a peer sends.
    """

    def __init__(self, element: str, rules: SubfieldRules, text_encoding: str) -> None:
        self.element = element
        self._bitmap_digits = 2 * rules.bitmap_bytes
        self._rows = {number: _Row(rules.rows[number], text_encoding) for number in sorted(rules.rows, key=int)}
        self._plans: dict[str, tuple[dict[str, slice], int]] = {}

    def length(self, number: str) -> int:
        """The characters of a subfield."""
        return self._rows[number].characters

    def read(self, text: str, number: str) -> str:
        """Subfield ``number`` out of the element's digits; empty when it is not there.

        Raises :class:`FieldProblem` for digits that are not what their bitmap says.
        """
        place = self._places(text).get(number)
        return "" if place is None else self._rows[number].read(f"{self.element}.{number}", text[place])

    def split(self, text: str) -> dict[str, str]:
        """All subfields, by number. Raises :class:`FieldProblem`."""
        return {
            number: self._rows[number].read(f"{self.element}.{number}", text[place])
            for number, place in self._places(text).items()
        }

    def join(self, values: Mapping[str, str]) -> str:
        """The element's digits with ``values`` by number. Raises :class:`EncodeFailure`."""
        bits = 0
        for number in values:
            if number not in self._rows:
                raise EncodeFailure(field=f"{self.element}.{number}", problem="no subfield of this dialect")
            bits |= 1 << (4 * self._bitmap_digits - int(number))
        return f"{bits:0{self._bitmap_digits}X}" + "".join(
            row.write(f"{self.element}.{number}", values[number])
            for number, row in self._rows.items()
            if number in values
        )

    def _places(self, text: str) -> dict[str, slice]:
        bitmap = text[: self._bitmap_digits]
        plan = self._plans.get(bitmap)
        if plan is None:
            plan = self._planned(bitmap)
            if len(self._plans) >= _PLANS_MAX:
                self._plans.clear()
            self._plans[bitmap] = plan
        places, end = plan
        if len(text) != end:
            needed = f"{end // 2} bytes, as its bitmap says"
            raise FieldProblem(self.element, needed=needed, found=f"{len(text) // 2} bytes")
        return places

    def _planned(self, bitmap: str) -> tuple[dict[str, slice], int]:
        if len(bitmap) < self._bitmap_digits:
            needed = f"a bitmap of {self._bitmap_digits // 2} bytes"
            raise FieldProblem(self.element, needed=needed, found=f"{len(bitmap) // 2} bytes")
        places: dict[str, slice] = {}
        end = self._bitmap_digits
        for at, bit in enumerate(f"{int(bitmap, 16):0{4 * self._bitmap_digits}b}", 1):
            if bit == "0":
                continue
            row = self._rows.get(str(at))
            if row is None:
                raise FieldProblem(f"{self.element}.{at}", needed="a subfield of this dialect", found="its bit set")
            places[str(at)] = slice(end, end + row.digits)
            end += row.digits
        return places, end


def packed(fields: Mapping[str, str], subfields: Mapping[str, Subfields]) -> Mapping[str, str]:
    """``fields`` with subfields put together into their elements. Raises :class:`EncodeFailure`."""
    if "." not in "".join(fields):  # nearly always, and quickly told
        return fields
    found: dict[str, dict[str, str]] = {}
    for key in fields:
        if "." in key:
            element, _, number = key.partition(".")
            found.setdefault(element, {})[number] = fields[key]
    whole = {key: value for key, value in fields.items() if "." not in key}
    for element, values in found.items():
        if element not in subfields or element in whole:
            problem = "there beside its own subfields" if element in whole else "has no subfields in this dialect"
            raise EncodeFailure(field=element, problem=problem)
        whole[element] = subfields[element].join(values)
    return whole
