"""Figures that accounting gives, as CSV: UTF-8, commas, and a header whose columns tell what the file lists.

==================================================  ==============================================================
as_of, program, currency, measure, amount           totals of a program
as_of, program, currency, account, measure, amount  the same by account: all accounts that have a figure but 0
from, as_of, account, reference, amount             what moved an account's posted balance: all of it, signed
==================================================  ==============================================================

``as_of`` is a day, and its end in the program's zone is meant; ``from`` is the first day of a period, which the
measures issued, granted and recovered need too. Amounts are integers of minor units. A reference is the key of the
message or load, in hex, as ``switch journal entries`` prints it. Measures: posted (all that cardholders own), unused
(the same without the accounts below zero), negative (those), held, available (posted less held), issued, granted,
recovered.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TextIO

import msgspec

from switch.audit.moments import parse_day
from switch.contracts.errors import SwitchError

__all__ = ["MEASURES", "PERIOD_MEASURES", "Figure", "FileKind", "figures", "kind_of"]

#: Those of a moment, and those of a period.
MOMENT_MEASURES = frozenset({"posted", "unused", "negative", "held", "available"})
PERIOD_MEASURES = frozenset({"issued", "granted", "recovered"})
MEASURES = MOMENT_MEASURES | PERIOD_MEASURES

_TOTALS = frozenset({"as_of", "program", "currency", "measure", "amount"})
_KINDS = {
    "totals": (_TOTALS, frozenset({"from"})),
    "accounts": (_TOTALS | {"account"}, frozenset({"from"})),
    "entries": (frozenset({"from", "as_of", "account", "reference", "amount"}), frozenset[str]()),
}
FileKind = str  # a key of ``_KINDS``
_INTEGER = re.compile(r"-?\d{1,18}")
_REFERENCE = re.compile(r"([0-9a-f]{2})+")


class Figure(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One line. What its file has no column for is empty, 0 or None."""

    line: int
    first: date | None
    as_of: date
    program: str
    currency: str
    account: int
    measure: str
    reference: str
    amount_minor: int


def kind_of(path: Path) -> FileKind:
    """What the file lists, by its header. Raises SwitchError naming file and columns."""
    with _opened(path) as file:
        header = next(csv.reader(file), [])
    found = frozenset(header)
    for kind, (needed, allowed) in _KINDS.items():
        if needed <= found <= needed | allowed and len(found) == len(header):
            return kind
    known = "; ".join(", ".join(sorted(needed)) for needed, _ in _KINDS.values())
    raise SwitchError(f"{path}: the columns {', '.join(header) or '(none)'} are not those of any list: {known}")


def figures(path: Path) -> Iterator[Figure]:
    """The file's lines, one by one. Raises SwitchError naming file, line and column."""
    kind_of(path)
    with _opened(path) as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                yield _figure(f"{path} line {reader.line_num}", reader.line_num, row)
        except csv.Error as exc:
            raise SwitchError(f"{path} line {reader.line_num}: {exc}") from exc


def _figure(where: str, line: int, row: dict[str | None, str | None]) -> Figure:
    values = {}
    for column, value in row.items():
        if column is None or value is None:
            raise SwitchError(f"{where}: there are more or fewer values than columns")
        values[column] = value.strip()

    def number(column: str, default: str) -> int:
        text = values.get(column, default)
        if not _INTEGER.fullmatch(text):
            raise SwitchError(f"{where}: {column} {text!r} is not an integer")
        return int(text)

    def day(column: str) -> date:
        try:
            return parse_day(values[column])
        except SwitchError as exc:
            raise SwitchError(f"{where}: {column}: {exc}") from exc

    measure, reference = values.get("measure", ""), values.get("reference", "").lower()
    if "measure" in values and measure not in MEASURES:
        raise SwitchError(f"{where}: measure {measure!r} is none of {', '.join(sorted(MEASURES))}")
    if "reference" in values and not _REFERENCE.fullmatch(reference):
        raise SwitchError(f"{where}: reference {reference!r} is not hexadecimal")
    first = day("from") if values.get("from") else None
    if first is None and (measure in PERIOD_MEASURES or "reference" in values):
        raise SwitchError(f"{where}: from is missing: {measure or 'a list of entries'} belongs to a period")
    figure = Figure(
        line=line,
        first=first if measure not in MOMENT_MEASURES else None,
        as_of=day("as_of"),
        program=values.get("program", ""),
        currency=values.get("currency", ""),
        account=number("account", "0"),
        measure=measure,
        reference=reference,
        amount_minor=number("amount", ""),
    )
    if first is not None and first > figure.as_of:
        raise SwitchError(f"{where}: from {first} lies behind as_of {figure.as_of}")
    return figure


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except OSError as exc:
        raise SwitchError(f"{path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise SwitchError(f"{path}: is not UTF-8") from exc
