"""Nearest-rank percentiles, by hand."""

from __future__ import annotations

import math

import pytest

from simulators.percentile import percentile, percentiles


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([15, 20, 35, 40, 50], 0.05, 15),
        ([15, 20, 35, 40, 50], 0.30, 20),
        ([15, 20, 35, 40, 50], 0.40, 20),
        ([15, 20, 35, 40, 50], 0.50, 35),
        ([15, 20, 35, 40, 50], 1.0, 50),
        ([7], 0.999, 7),
        (list(range(1, 101)), 0.07, 7),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 1001)), 0.999, 999),
        ([1, 2], 0.0, 1),
    ],
)
def test_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_order_does_not_matter() -> None:
    assert percentiles([50, 15, 40, 20, 35], (0.3, 0.5)) == {0.3: 20, 0.5: 35}


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))
