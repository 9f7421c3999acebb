"""What a journal entry means for the figures that a regulator asks for: value issued, and value recovered.

The law on prepaid payment instruments has an issuer report, for each instrument, the unused balance and how it came
about: what was issued in the period and what was recovered, that is, used up at merchants. Value that the issuer
gave away is told apart from value that was paid for.

The kind of an entry says which of them it counts to, and what it does to ``posted`` says with which sign: a
reversal of a posting is recovered value that came back. What only sets value aside or frees it is neither, since
the cardholder owns it all the same. So, for every program and currency, ``closing = opening + issued + granted -
recovered``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from switch.issuer.account import EntryKind

__all__ = ["PURPOSES", "Purpose", "purpose_of"]


class Purpose(StrEnum):
    """Which total an entry counts to."""

    ISSUED = "issued"  # paid for
    GRANTED = "granted"  # given by the issuer
    RECOVERED = "recovered"  # used at merchants, less what came back from them
    SET_ASIDE = "set_aside"  # between the account's own sides: posted stays
    UNKNOWN = "unknown"  # a kind that this version does not know: a finding


_K, _P = EntryKind, Purpose
PURPOSES: Mapping[EntryKind, Purpose] = {
    _K.HOLD: _P.SET_ASIDE,
    _K.HOLD_INCREASE: _P.SET_ASIDE,
    _K.RELEASE: _P.SET_ASIDE,
    _K.EXPIRY: _P.SET_ASIDE,
    _K.POSTING: _P.RECOVERED,
    _K.POSTING_REVERSAL: _P.RECOVERED,
    _K.ADDITIONAL_CHARGE: _P.RECOVERED,
    _K.REFUND: _P.RECOVERED,
    _K.CHARGEBACK: _P.RECOVERED,
    _K.CHARGEBACK_REVERSAL: _P.RECOVERED,
    _K.LOAD: _P.ISSUED,
    _K.LOAD_REVERSAL: _P.ISSUED,
    _K.BONUS: _P.GRANTED,
}
_BY_NAME = {str(kind): purpose for kind, purpose in PURPOSES.items()}


def purpose_of(kind: str) -> Purpose:
    """By the name as it stands in the journal, which may be one that this version does not know."""
    return _BY_NAME.get(kind, Purpose.UNKNOWN)
