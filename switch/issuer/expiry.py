"""How long a hold stands when no presentment comes: a table, and the release itself.

The networks say within how many days a purchase must be presented; it depends on the merchant's trade, on whether the
card was there, and on who started the purchase. The table is a program's data (``[program.hold_expiry]``), read from
the top: the first rule that fits says how many days, else ``default_days``. A presentment that comes later still posts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from switch.contracts.message import Channel, EntryMode, Request
from switch.issuer.account import Account, EntryKind
from switch.issuer.change import Change, set_held
from switch.issuer.hold import Hold, HoldState
from switch.issuer.mcc import check_ranges, in_ranges

__all__ = ["DAYS_MAX", "LONGEST", "ExpiryRule", "HoldExpiry", "Initiator", "expire", "initiator_of"]

#: No network lets a purchase be presented later than this, and a cardholder's money is not locked up longer.
DAYS_MAX = 60
LONGEST = timedelta(days=DAYS_MAX)


class Initiator(StrEnum):
    """Who started the purchase: the cardholder, or a merchant that keeps the card's number."""

    CARDHOLDER = "cardholder"
    MERCHANT = "merchant"


def initiator_of(request: Request) -> Initiator:
    """From the entry mode (DE22): a credential on file is the merchant's to use."""
    return Initiator.MERCHANT if request.entry_mode is EntryMode.CREDENTIAL_ON_FILE else Initiator.CARDHOLDER


class ExpiryRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of the table. What is left out fits everything."""

    days: int
    mcc: tuple[str, ...] = ()  # four digits, or a range "3501-3790"
    channels: tuple[Channel, ...] = ()
    initiator: Initiator | None = None
    amount_max_minor: int | None = None  # only up to this amount: a fuel pump's token

    def __post_init__(self) -> None:
        if not 1 <= self.days <= DAYS_MAX:
            raise ValueError(f"days is between 1 and {DAYS_MAX}")
        check_ranges(self.mcc)
        if self.amount_max_minor is not None and self.amount_max_minor < 1:
            raise ValueError("amount_max_minor is at least 1")

    def fits(self, request: Request, amount_minor: int) -> bool:
        """Whether the rule speaks of this purchase."""
        return (
            (not self.mcc or in_ranges(request.mcc, self.mcc))
            and (not self.channels or request.channel in self.channels)
            and (self.initiator is None or self.initiator is initiator_of(request))
            and (self.amount_max_minor is None or amount_minor <= self.amount_max_minor)
        )


#: Seen in public rules of the networks: fuel pumps ask for a token amount and present the next day; lodging
#: (3501-3790, 7011), car rental (3351-3441, 7512) and cruises (4411) stay open for weeks; without the card, goods
#: must be sent first.
_PUBLIC_TABLE = (
    ExpiryRule(mcc=("5541-5542",), amount_max_minor=200, days=1),
    ExpiryRule(mcc=("3351-3441", "3501-3790", "4411", "7011", "7512"), days=30),
    ExpiryRule(channels=(Channel.ECOMMERCE, Channel.MAIL_OR_PHONE), days=10),
)


class HoldExpiry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[program.hold_expiry]``: the table of one program."""

    default_days: int = 7
    rule: tuple[ExpiryRule, ...] = _PUBLIC_TABLE

    def __post_init__(self) -> None:
        if not 1 <= self.default_days <= DAYS_MAX:
            raise ValueError(f"default_days is between 1 and {DAYS_MAX}")

    def deadline(self, request: Request, amount_minor: int, now: datetime) -> datetime:
        """Until when a hold that is placed at ``now`` (UTC) stands."""
        for rule in self.rule:
            if rule.fits(request, amount_minor):
                return now + timedelta(days=rule.days)
        return now + timedelta(days=self.default_days)


def expire(account: Account, hold: Hold) -> Change:
    """Releases all that is still held, because the deadline has passed."""
    return set_held(account, hold, 0, HoldState.EXPIRED, EntryKind.EXPIRY)
