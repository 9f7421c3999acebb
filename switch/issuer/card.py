"""The card as the rules see it. Its numbers stay outside: rules work with ids.

A card may have several numbers: its own, and *credentials*, as the contactless number that a second network uses. All
of them lead to the same card, account, limits and balance. What belongs to the number that was presented: expiry,
service code, security codes, and for a credential a status of its own and perhaps the one network that it is good on.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Card", "CardStatus", "Credential"]


class CardStatus(StrEnum):
    """Set by the issuer, for the card and for each of its credentials.

    The cardholder's own lock is kept apart: it is theirs to open again.
    """

    ACTIVE = "active"
    NOT_ACTIVATED = "not_activated"
    BLOCKED = "blocked"
    LOST = "lost"
    STOLEN = "stolen"
    CLOSED = "closed"


class Credential(msgspec.Struct, frozen=True, gc=False):
    """The number that was presented, where it is not the card's own. ``network`` is empty where all are served."""

    credential_id: int
    status: CardStatus
    network: str


class Card(msgspec.Struct, frozen=True, gc=False):
    """One card, by one of its numbers.

    ``expiry`` and ``service_code`` are those of the number that was presented. ``expiry`` is YYMM: the number is good
    through the last day of that month in the program's time zone.
    """

    card_id: int
    account_id: int
    program: str
    expiry: str
    service_code: str
    status: CardStatus
    locked: bool
    credential: Credential | None = None  # None: the card's own number

    @property
    def standing(self) -> CardStatus:
        """The card's status, and where that is active, the status of the credential.

        What the card is comes first, because it is true of all of its numbers.
        """
        if self.credential is None or self.status is not CardStatus.ACTIVE:
            return self.status
        return self.credential.status
