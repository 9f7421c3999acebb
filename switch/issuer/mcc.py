"""Merchant category codes (DE18) as the tables of a program name them: ``"5411"``, or a range ``"3501-3790"``."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["check_ranges", "in_ranges"]

_RANGE = re.compile(r"[0-9]{4}(-[0-9]{4})?")


def check_ranges(ranges: Iterable[str]) -> None:
    """Raises ValueError for what is neither an MCC nor a range of MCCs."""
    for text in ranges:
        if not _RANGE.fullmatch(text) or text[:4] > text[-4:]:
            raise ValueError(f"{text!r} is neither an MCC nor a range of MCCs")


def in_ranges(mcc: str, ranges: Iterable[str]) -> bool:
    """Whether a four-digit MCC lies in one of the ranges. An absent one, or one of another length, lies in none."""
    return any(low[:4] <= mcc <= low[-4:] for low in ranges) if len(mcc) == 4 else False
