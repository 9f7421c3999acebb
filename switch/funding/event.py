"""What the machine is told."""

from __future__ import annotations

import msgspec

from switch.contracts.funding import ChargeAnswer, QueryAnswer, VoidAnswer
from switch.funding.attempt import Cause

__all__ = [
    "Booked",
    "ChargeAnswered",
    "Event",
    "PurchaseRefused",
    "PurchaseUndone",
    "QueryAnswered",
    "Recover",
    "Tick",
    "VoidAnswered",
]


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Time has passed. Told too early it only sets the timer again."""


class Recover(msgspec.Struct, frozen=True, gc=False):
    """Whoever drove the attempt has gone: calls that it was to make, or was making, will not be answered."""


class ChargeAnswered(msgspec.Struct, frozen=True, gc=False):
    """``call`` is the number that the action carried."""

    call: int
    answer: ChargeAnswer


class QueryAnswered(msgspec.Struct, frozen=True, gc=False):
    """A person who settles an attempt by the provider's own list says it with this event and the row's ``calls``."""

    call: int
    answer: QueryAnswer


class VoidAnswered(msgspec.Struct, frozen=True, gc=False):
    """``call`` is the number that the action carried."""

    call: int
    answer: VoidAnswer


class Booked(msgspec.Struct, frozen=True, gc=False):
    """Load and hold are in the commit that stores what this event makes of the attempt."""


class PurchaseRefused(msgspec.Struct, frozen=True, gc=False):
    """The issuer will not approve the purchase any more; before or after the money was taken."""

    cause: Cause


class PurchaseUndone(msgspec.Struct, frozen=True, gc=False):
    """All of the purchase was reversed. ``unspent``: its money is on the balance, and belongs to no other purchase."""

    unspent: bool


Event = Tick | Recover | ChargeAnswered | QueryAnswered | VoidAnswered | Booked | PurchaseRefused | PurchaseUndone
