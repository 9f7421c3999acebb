"""A card program: the rules that one product of the issuer plays by, all of them data.

Programs are read from a TOML file (``[[program]]``, checked by ``switch check-config``). Amounts are minor units of the
program's currency. A limit that is left out does not apply; a list that is left empty allows everything.
"""

from __future__ import annotations

import re
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from switch.contracts.message import Channel, EntryMode, Operation
from switch.contracts.top_up import TopUpPolicy
from switch.issuer.expiry import HoldExpiry
from switch.issuer.mcc import check_ranges, in_ranges

__all__ = [
    "DEFAULT_PIPELINE",
    "ClearingRules",
    "Limit",
    "Limits",
    "MerchantRules",
    "OverCapture",
    "Program",
    "SecurityCodePolicy",
]

#: The rules in the order in which a purchase meets them; names from ``switch.issuer.rules``.
DEFAULT_PIPELINE = (
    "card_known",
    "card_status",
    "card_expiry",
    "cardholder_lock",
    "operation",
    "pin",
    "security_code",
    "merchant",
    "amount",
    "currency",
    "purchase_limit",
    "daily_limit",
    "monthly_limit",
    "lifetime_limit",
    "funds",
)

#: Rules that no program may leave out: without them money could be approved on doubt.
MANDATORY_RULES = frozenset({"card_known", "card_status", "card_expiry", "operation", "amount", "currency", "funds"})

_COUNTRY = re.compile(r"[A-Z]{2}")


class SecurityCodePolicy(StrEnum):
    """When CVV2 must be there. A code that is there is always checked, and CVV/iCVV of a track too."""

    WHEN_PRESENT = "when_present"
    CARD_NOT_PRESENT = "card_not_present"  # e-commerce, mail and phone orders must carry it


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``amount_minor`` in all and ``count`` purchases in the period; None is no limit."""

    amount_minor: int | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if (self.amount_minor is not None and self.amount_minor < 0) or (self.count is not None and self.count < 0):
            raise ValueError("a limit is not negative")


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Per purchase, per day and per month in the program's time zone, and over the life of the card number."""

    per_purchase_minor: int | None = None
    daily: Limit = Limit()
    monthly: Limit = Limit()
    lifetime: Limit = Limit()

    def __post_init__(self) -> None:
        if self.per_purchase_minor is not None and self.per_purchase_minor < 0:
            raise ValueError("per_purchase_minor is not negative")


class MerchantRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which merchants are served. MCCs are four digits or a range ``"3501-3790"``, countries ISO 3166 alpha-2."""

    mcc_blocked: tuple[str, ...] = ()
    mcc_allowed: tuple[str, ...] = ()
    countries_allowed: tuple[str, ...] = ()
    countries_blocked: tuple[str, ...] = ()
    merchants_blocked: tuple[str, ...] = ()  # card acceptor ids (DE42)

    def __post_init__(self) -> None:
        check_ranges((*self.mcc_blocked, *self.mcc_allowed))
        for text in (*self.countries_allowed, *self.countries_blocked):
            if not _COUNTRY.fullmatch(text):
                raise ValueError(f"{text!r} is not an ISO 3166 alpha-2 country")


class OverCapture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much more than was held these merchants may present without a person's being told (tips, say)."""

    mcc: tuple[str, ...]
    percent: int

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError("percent is between 0 and 100")
        check_ranges(self.mcc)


class ClearingRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[program.clearing]``: what is usual in clearing. All is booked; what is not usual is shown to a person."""

    over_capture_percent: int = 0  # where no row of ``over_capture`` names the MCC
    over_capture: tuple[OverCapture, ...] = ()
    match_window_days: int = 120  # how far back a purchase is looked for, where no reference of the network names it

    def __post_init__(self) -> None:
        if not 0 <= self.over_capture_percent <= 100:
            raise ValueError("over_capture_percent is between 0 and 100")
        if not 1 <= self.match_window_days <= 400:
            raise ValueError("match_window_days is between 1 and 400")

    def over_capture_allowed(self, held_minor: int, mcc: str) -> int:
        """How much beyond ``held_minor`` is usual for this merchant."""
        for row in self.over_capture:
            if in_ranges(mcc, row.mcc):
                return held_minor * row.percent // 100
        return held_minor * self.over_capture_percent // 100


class Program(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """One product. ``dict=True`` only lets derived values be cached beside the data."""

    name: str
    currency: str  # ISO 4217 letters
    time_zone: str = "Asia/Tokyo"
    description: str = ""
    operations: tuple[Operation, ...] = (
        Operation.PURCHASE,
        Operation.CASH_WITHDRAWAL,
        Operation.REFUND,
        Operation.BALANCE_INQUIRY,
        Operation.ACCOUNT_VERIFICATION,
    )
    channels: tuple[Channel, ...] = tuple(Channel)
    entry_modes: tuple[EntryMode, ...] = tuple(EntryMode)
    security_code: SecurityCodePolicy = SecurityCodePolicy.WHEN_PRESENT
    partial_approval: bool = False
    limits: Limits = Limits()
    merchants: MerchantRules = MerchantRules()
    hold_expiry: HoldExpiry = HoldExpiry()
    clearing: ClearingRules = ClearingRules()
    top_up: TopUpPolicy | None = None  # None: a purchase that is short is declined
    pipeline: tuple[str, ...] = DEFAULT_PIPELINE

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a program has a name")
        if not re.fullmatch(r"[A-Z]{3}", self.currency):
            raise ValueError(f"currency {self.currency!r} is not an ISO 4217 code")
        try:
            self.__dict__["zone_cache"] = ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as exc:
            raise ValueError(f"time_zone {self.time_zone!r} is unknown") from exc
        if self.top_up is not None and self.top_up.currency != self.currency:
            raise ValueError(f"top_up.currency: {self.currency} needed, {self.top_up.currency} found")
        unknown = [name for name in self.pipeline if name not in DEFAULT_PIPELINE]
        if unknown:
            raise ValueError(f"pipeline names unknown rules: {', '.join(unknown)}")
        missing = sorted(MANDATORY_RULES.difference(self.pipeline))
        if missing:
            raise ValueError(f"pipeline lacks mandatory rules: {', '.join(missing)}")
        if len(set(self.pipeline)) != len(self.pipeline):
            raise ValueError("pipeline names a rule twice")
        if self.pipeline[0] != "card_known" or self.pipeline[-1] != "funds":
            raise ValueError("pipeline begins with card_known and ends with funds")

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which days and months of limits begin."""
        zone: ZoneInfo = self.__dict__["zone_cache"]
        return zone

    def blocks_mcc(self, mcc: str) -> bool:
        """Whether the MCC is outside what the program serves.

        An absent MCC is blocked only where an allow list stands.
        """
        blocked = self.__dict__.get("mcc_cache")
        if blocked is None:
            blocked = self.__dict__["mcc_cache"] = {}
        verdict = blocked.get(mcc)
        if verdict is None:
            rules = self.merchants
            verdict = in_ranges(mcc, rules.mcc_blocked) or bool(
                rules.mcc_allowed and not in_ranges(mcc, rules.mcc_allowed)
            )
            if len(blocked) < 10_000:  # There are ten thousand MCCs; a malformed one must not grow the table.
                blocked[mcc] = verdict
        return bool(verdict)
