"""Comma-separated values: the same elements in columns.

The first value of a line says what it is: ``header``, then ``columns`` with the names of the record's elements in the
order of this file, then each ``record``, then the ``trailer``. Quotes as in RFC 4180, but a quoted value can't hold a
line break, so a line is a record. An empty value is not told.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from switch.clearing.errors import ElementProblem
from switch.clearing.lines import LineFile
from switch.clearing.neutral import Header, Record, Trailer

__all__ = ["CsvFile"]

_HEADER_NAMES: Final = ("version", "file_id", "network", "business_day", "created_at")


def _integer(text: str) -> object:
    """The number that digits are. Other text stays as it is: the record's type refuses it, as in JSON."""
    digits = text.removeprefix("-")
    return int(text) if digits.isdecimal() and digits.isascii() and len(digits) <= 18 else text


def _truth(text: str) -> object:
    return {"true": True, "false": False}.get(text, text)


_READ: Final[Mapping[str, Callable[[str], object]]] = {
    "record": _integer,
    "amount": _integer,
    "billing_amount": _integer,
    "settlement_amount": _integer,
    "fee": _integer,
    "sequence": _integer,
    "sequence_count": _integer,
    "final": _truth,
}


class CsvFile(LineFile):
    """One pass over a file of comma-separated values."""

    head_lines = 2

    def decode_header(self, lines: list[bytes]) -> Header:
        kind, *values = _values(lines[0])
        if kind != "header":
            raise ElementProblem("", "needed the header")
        if len(values) > len(_HEADER_NAMES):
            raise ElementProblem("", f"needed at most {len(_HEADER_NAMES)} values behind the word header")
        told = {name: value for name, value in zip(_HEADER_NAMES, values, strict=False) if value}
        header = msgspec.convert({**told, "version": _integer(told.get("version", ""))}, Header)
        self._line = 2
        self._columns = _columns(_values(lines[1]))
        self._numbers = [(at, _READ[name]) for at, name in enumerate(self._columns) if name in _READ]
        return header

    def decode(self, line: bytes) -> Header | Record | Trailer:
        values: list[object] = [*_values(line)]
        kind = values[0]
        if kind == "record":
            if len(values) != len(self._columns):
                raise ElementProblem("", f"needed {len(self._columns)} values, as the columns say, found {len(values)}")
            for at, read in self._numbers:
                values[at] = read(values[at])  # type: ignore[arg-type]  # all texts until here
            told = {name: value for name, value in zip(self._columns, values, strict=True) if value != ""}
            return msgspec.convert(told, Record)
        if kind == "trailer":
            return _trailer([str(value) for value in values])
        if kind == "header":
            raise ElementProblem("", "a second header")
        raise ElementProblem("type", "needed record or trailer")


def _values(line: bytes) -> list[str]:
    text = line.decode()
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        raise ElementProblem("", "quotes are not as they must be") from None


def _columns(values: list[str]) -> list[str]:
    kind, *names = values
    if kind != "columns":
        raise ElementProblem("", "needed the columns")
    unknown = [at for at, name in enumerate(names, 2) if name not in Record.__struct_fields__]
    if unknown:
        raise ElementProblem("columns", f"value {unknown[0]} names no element of a record")
    if len(set(names)) != len(names):
        raise ElementProblem("columns", "an element stands there twice")
    return ["type", *names]


def _trailer(values: list[str]) -> Trailer:
    """trailer, number of records, then for each currency its letters, debit and credit."""
    count, totals = values[1:2], values[2:]
    if not count or len(totals) % 3:
        raise ElementProblem(
            "trailer", "needed the number of records, then currency, debit and credit of each currency"
        )
    currencies = totals[::3]
    if len(set(currencies)) != len(currencies):
        raise ElementProblem("totals", "a currency stands there twice")
    sums = zip(currencies, totals[1::3], totals[2::3], strict=True)
    return msgspec.convert(
        {
            "type": "trailer",
            "records": _integer(count[0]),
            "totals": {
                currency: {"debit": _integer(debit), "credit": _integer(credit)} for currency, debit, credit in sums
            },
        },
        Trailer,
    )
