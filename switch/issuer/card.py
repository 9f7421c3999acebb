"""The card as the rules see it. Its number stays outside: rules work with the card's id."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Card", "CardStatus"]


class CardStatus(StrEnum):
    """Set by the issuer. The cardholder's own lock is kept apart: it is theirs to open again."""

    ACTIVE = "active"
    NOT_ACTIVATED = "not_activated"
    BLOCKED = "blocked"
    LOST = "lost"
    STOLEN = "stolen"
    CLOSED = "closed"


class Card(msgspec.Struct, frozen=True, gc=False):
    """One card. ``expiry`` is YYMM: the card is good through the last day of that month in the program's time zone."""

    card_id: int
    account_id: int
    program: str
    expiry: str
    service_code: str
    status: CardStatus
    locked: bool
