"""Packed BCD as a pyiso8583 user would write it down from the public description, and nothing of ``specs/``.

It counts every digit element in half bytes, where the dialect counts in bytes if it can: other rows, the same bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import iso8583.specs

__all__ = ["PACKED_SPEC"]

_FIXED_DIGITS = (*range(3, 28), 39, *range(49, 52), 53, *range(66, 91), 92, 93)
_VARIABLE_DIGITS = (2, 32, 33, 35, 36, 99, 100)  # track data too: its separator is the half byte D
_FEES = (*range(28, 32), 97)  # a sign and digits, in as many bytes as the digits and a half byte take


def _packed_spec() -> Mapping[str, Mapping[str, Any]]:
    spec = copy.deepcopy(iso8583.specs.default)
    spec["t"].update(data_enc="b", max_len=2)
    for row in spec.values():
        if row["len_type"]:
            row.update(len_enc="bcd", len_type=row["len_type"] - 1)
    for number in (*_FIXED_DIGITS, *_VARIABLE_DIGITS):
        spec[str(number)].update(data_enc="b", len_count="nibbles", left_pad="0")
    for number in _FEES:
        spec[str(number)].update(data_enc="b", max_len=(spec[str(number)]["max_len"] + 1) // 2)
    return spec


PACKED_SPEC = _packed_spec()
