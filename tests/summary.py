"""Tables that a test run shows at its end, made of what tests have found out cell by cell.

A test asks for ``cells`` and tells it row, column and value. Columns with the same values are shown as one. The values
travel in the test's report, so they arrive from pytest-xdist's workers, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import pytest

__all__ = ["PROPERTY", "Cells", "lines"]

PROPERTY = "cell"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Cells(Protocol):
    """What the fixture gives."""

    def __call__(self, row: str, column: str, value: str) -> None: ...


def lines(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """The table that these tests' cells make; nothing where there are none."""
    columns: dict[str, dict[str, str]] = {}
    rows: dict[str, None] = {}
    for report in reports:
        for name, told in report.user_properties:
            if name == PROPERTY and isinstance(told, Sequence):
                columns.setdefault(told[1], {})[told[0]] = told[2]
                rows[told[0]] = None
    if not rows:
        return
    alike: dict[tuple[str, ...], list[str]] = {}
    for column, told_of in columns.items():
        alike.setdefault(tuple(told_of.get(row, "") for row in rows), []).append(column)
    for letter, names in zip(_LETTERS, alike.values(), strict=False):
        yield f"  {letter}  {' · '.join(names)}"
    widths = [max(map(len, values)) for values in alike]
    width = max(map(len, rows))
    for row, *values in [("", *_LETTERS[: len(alike)]), *zip(rows, *alike, strict=True)]:
        shown = "  ".join(f"{value:{size}}" for value, size in zip(values, widths, strict=True))
        yield f"  {row:{width}}  {shown}".rstrip()
