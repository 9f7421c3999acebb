"""Track 2 of a card (ISO/IEC 7813): PAN, separator, expiry YYMM, service code, discretionary data."""

from __future__ import annotations

import re

import msgspec

from switch.contracts.secret import Pan, Secret
from switch.wire.errors import FieldProblem

__all__ = ["Track2", "Track2Layout", "read_track2"]

# "D" is how the separator looks when track 2 travels as half bytes; such a track may end in a filler "F".
_TRACK2 = re.compile(r"([0-9]{12,19})[=D]([0-9]{4})([0-9]{3})([0-9]*)F?", re.ASCII)


class Track2Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a network's issuers put the CVV in the discretionary data."""

    cvv_at: int = 5  # behind PVKI (1) and PVV (4)
    cvv_length: int = 3


class Track2(msgspec.Struct, frozen=True, kw_only=True):
    """What track 2 tells."""

    pan: Pan
    expiry: str  # YYMM
    service_code: str
    cvv: Secret | None  # None when the discretionary data is too short


def read_track2(text: str, layout: Track2Layout, field: str = "35") -> Track2:
    """Split the track data of ``field``.

    Raises :class:`FieldProblem` when it isn't track 2; the problem tells its length only.
    """
    match = _TRACK2.fullmatch(text)
    if match is None:
        raise FieldProblem(field, needed="PAN, separator, YYMM, service code", found=f"{len(text)} characters")
    pan, expiry, service_code, discretionary = match.groups()
    cvv = discretionary[layout.cvv_at : layout.cvv_at + layout.cvv_length]
    return Track2(
        pan=Pan(pan),
        expiry=expiry,
        service_code=service_code,
        cvv=Secret(cvv) if len(cvv) == layout.cvv_length else None,
    )
