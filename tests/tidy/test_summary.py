"""The tables at the end of a run."""

from __future__ import annotations

import pytest

from tests.summary import PROPERTY, lines


def report(*cells: tuple[str, str, str]) -> pytest.TestReport:
    properties: list[tuple[str, object]] = [(PROPERTY, list(cell)) for cell in cells]
    return pytest.TestReport(
        "test", ("test.py", 1, "test"), {}, "passed", None, "call", user_properties=[("other", 1), *properties]
    )


def test_columns_that_are_alike_are_one() -> None:
    reports = [
        report(("early", "fine", "booked"), ("late", "fine", "voided")),
        report(("early", "slow", "booked"), ("late", "slow", "voided")),
        report(("early", "silent", "declined"), ("late", "silent", "-")),
    ]
    assert list(lines(reports)) == [
        "  A  fine · slow",
        "  B  silent",
        "         A       B",
        "  early  booked  declined",
        "  late   voided  -",
    ]


def test_there_is_none_without_cells() -> None:
    assert list(lines([report()])) == []
