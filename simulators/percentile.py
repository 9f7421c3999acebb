"""Exact percentiles of latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["percentile", "percentiles"]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that ``share`` (0 to 1) of ``ordered`` do not exceed.

    NaN when there are no values.
    """
    if not ordered:
        return math.nan
    # Rounded first: 0.07 * 100 is 7.000000000000001, and its ceiling would be one rank too high.
    rank = max(1, math.ceil(round(share * len(ordered), 9)))
    return ordered[rank - 1]


def percentiles(values: Sequence[float], shares: Sequence[float]) -> dict[float, float]:
    """Several percentiles of values in any order."""
    ordered = sorted(values)
    return {share: percentile(ordered, share) for share in shares}
