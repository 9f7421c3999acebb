"""Fields as a log or a table may keep them (PCI DSS 3.3 and 3.4).

Sensitive authentication data (track data, PIN block, security codes) must never be kept after the decision, not even
encrypted; the PAN is shown as BIN and last four. Private fields are not the same from network to network, so what is
not known to be harmless is searched for digits that could be a PAN.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from switch.contracts.secret import mask_pan

__all__ = ["SENSITIVE_FIELDS", "redact"]

SENSITIVE_FIELDS: frozenset[str] = frozenset(
    {
        "34",  # PAN, extended
        "35",  # track 2
        "36",  # track 3
        "45",  # track 1
        "46",  # private data: some networks carry CVV2 or track data here
        "47",
        "48",  # some networks carry CVV2 here
        "52",  # PIN block
        "53",  # key names and PIN formats
        "55",  # chip data: tags 57 (track 2 equivalent) and 5A (PAN)
        "56",
        "125",  # new PIN block, where a network allows PIN change
        "126",  # CVV2 on Visa-like networks
        "127",  # private data
    }
)
"""Starred whole in any dialect."""

# Elements whose digits mean something else by the standard. A bitmap in hexadecimal is often 16 digits long.
_NO_PAN_FIELDS = frozenset({"h", "t", "p", "1", "42", "54", "86", "87", "88", "89", "90", "95", "97"})
_STARS = "***"
# As text, packed, or in ASCII behind hexadecimal digits; or in EBCDIC behind those.
_DIGIT_RUN = re.compile(r"[0-9]{13,}|(?:F[0-9]){13,}")


def redact(fields: Mapping[str, str], also: Collection[str] = ()) -> dict[str, str]:
    """The same fields, safe to log or to store.

    DE2 keeps BIN and last four; sensitive fields and those named in ``also`` (a dialect's own carriers, see
    ``Dialect.sensitive_fields``) become ``***`` whatever their length; in all others any run of 13 or more digits, also
    of EBCDIC digits in raw bytes, is masked like a PAN.
    """
    safe: dict[str, str] = {}
    for key, value in fields.items():
        if key in SENSITIVE_FIELDS or key in also:
            safe[key] = _STARS
        elif key == "2":
            safe[key] = mask_pan(value)
        elif len(value) >= 13 and key not in _NO_PAN_FIELDS:
            safe[key] = _DIGIT_RUN.sub(_mask_run, value)
        else:
            safe[key] = value
    return safe


def _mask_run(run: re.Match[str]) -> str:
    return mask_pan(run.group())
