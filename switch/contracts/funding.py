"""Where the money for an automatic top-up comes from: charge a source, ask what became of a charge, void it.

A *source* is what the cardholder registered with a provider: a credit or debit card, later a bank account or points.
It is known here only by the token that the provider gave for it; no card data comes near this port. A *provider* is who
takes the money. Each provider has an adapter that keeps this contract, chosen by configuration.

Amounts are integers of minor units beside ISO 4217 letters. Every call has an idempotency key, and a provider honours
it:

- The same charge key takes money at most once, however often and however late the call arrives.
- ``Declined`` and ``NotCharged`` are final: nothing was taken under that key, and nothing will be. A query for a key
  that the provider doesn't know therefore *closes* the key: a charge that was still on its way finds it closed.
- The same void key gives the first answer again.

What an adapter can't be sure of is ``Unknown``; guessing is not allowed. ``Unavailable`` is a promise as well: this
call had no effect and will have none, so the same key may be used again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec

from switch.contracts.currency import NUMERIC

__all__ = [
    "AMOUNT_MINOR_MAX",
    "Charge",
    "ChargeAnswer",
    "Charged",
    "DeclineReason",
    "Declined",
    "FundingProvider",
    "NotCharged",
    "Query",
    "QueryAnswer",
    "Unavailable",
    "Unknown",
    "Void",
    "VoidAnswer",
    "VoidRefusal",
    "VoidRefused",
    "Voided",
]

AMOUNT_MINOR_MAX = 999_999_999_999
"""What twelve digits (DE4) hold: no purchase can be short of more."""


class DeclineReason(StrEnum):
    """Why a provider took nothing, as far as a cardholder can do something about it."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    OVER_LIMIT = "over_limit"
    SOURCE_EXPIRED = "source_expired"
    SOURCE_BLOCKED = "source_blocked"  # or no longer registered
    REFUSED = "refused"  # the provider does not say more
    KEY_CLOSED = "key_closed"  # a query came first
    REJECTED = "rejected"  # the provider did not take the call for a valid one: ours to repair


class VoidRefusal(StrEnum):
    """Why a charge stands although it should have been voided."""

    TOO_LATE = "too_late"  # it has settled
    NOT_SUPPORTED = "not_supported"
    NO_SUCH_CHARGE = "no_such_charge"  # the provider contradicts itself: it told of the charge before


class Charge(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Take exactly this amount from the source."""

    key: str  # idempotency key
    source: str  # the provider's token
    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        _check_text("key", self.key)
        _check_text("source", self.source)
        if self.source.isdigit():
            raise ValueError("source: a provider's token is needed; digits alone could be a card number")
        _check_amount(self.amount_minor, self.currency)


class Query(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What became of the charge? Each query has a key of its own, since its answer may change with time."""

    key: str
    charge_key: str

    def __post_init__(self) -> None:
        _check_text("key", self.key)
        _check_text("charge_key", self.charge_key)


class Void(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Undo the whole charge. A repeat of this call carries the same key."""

    key: str
    charge_key: str
    reference: str  # the provider's, from ``Charged``

    def __post_init__(self) -> None:
        _check_text("key", self.key)
        _check_text("charge_key", self.charge_key)
        _check_text("reference", self.reference)


class Charged(msgspec.Struct, frozen=True, gc=False, tag="charged"):
    """The provider has taken this amount. Whether it is what was asked for, the caller looks."""

    reference: str  # the provider's own name of the charge
    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        _check_text("reference", self.reference)
        _check_amount(self.amount_minor, self.currency)


class Declined(msgspec.Struct, frozen=True, gc=False, tag="declined"):
    """Nothing was taken, and nothing will be under this key."""

    reason: DeclineReason


class NotCharged(msgspec.Struct, frozen=True, gc=False, tag="not_charged"):
    """A query's answer: nothing was taken (or nothing is taken any more), and nothing will be under this key."""


class Unavailable(msgspec.Struct, frozen=True, gc=False, tag="unavailable"):
    """Surely nothing was taken by this call and nothing will be: the same key may be tried again."""

    cause: str  # for a log: no secret, no token
    asked: bool = True  # False: the call was not even begun, which says nothing about the provider


class Unknown(msgspec.Struct, frozen=True, gc=False, tag="unknown"):
    """The call may or may not have had an effect."""

    cause: str  # for a log: no secret, no token


class Voided(msgspec.Struct, frozen=True, gc=False, tag="voided"):
    """The charge is undone."""

    reference: str


class VoidRefused(msgspec.Struct, frozen=True, gc=False, tag="void_refused"):
    """The charge stands."""

    reason: VoidRefusal


ChargeAnswer = Charged | Declined | Unavailable | Unknown
QueryAnswer = Charged | NotCharged | Unknown
VoidAnswer = Voided | VoidRefused | Unknown


class FundingProvider(Protocol):
    """The port. Each call returns within the adapter's own time limit and raises nothing for what a provider does."""

    async def charge(self, charge: Charge) -> ChargeAnswer:
        """Takes the money, or tells why not."""

    async def query(self, query: Query) -> QueryAnswer:
        """Tells what became of a charge; closes the key of one that never came."""

    async def void(self, void: Void) -> VoidAnswer:
        """Gives the money back, or tells why not."""


def _check_text(name: str, text: str) -> None:
    # Keys and references travel in headers and paths of logs: visible ASCII, and not without end.
    if not 0 < len(text) <= 128 or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{name}: 1 to 128 visible ASCII characters needed")


def _check_amount(amount_minor: int, currency: str) -> None:
    if not 0 < amount_minor <= AMOUNT_MINOR_MAX:
        raise ValueError(f"amount_minor: between 1 and {AMOUNT_MINOR_MAX} needed, {amount_minor} found")
    if currency not in NUMERIC:
        raise ValueError("currency: ISO 4217 letters needed")
