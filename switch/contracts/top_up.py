"""What a program and its cardholder let be charged when a purchase is short. Data, checked when it is read."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from switch.contracts.currency import NUMERIC

__all__ = ["CardholderPolicy", "TopUpPolicy"]


class _Caps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a program and a cardholder can both say. A cap that is left out does not apply."""

    enabled: bool = True
    minimum_minor: int = 1  # of one top-up
    step_minor: int = 1  # a top-up is a multiple of it
    top_up_max_minor: int | None = None
    daily_max_minor: int | None = None
    daily_count_max: int | None = None
    monthly_max_minor: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        for key, value, least in (
            ("minimum_minor", self.minimum_minor, 1),
            ("step_minor", self.step_minor, 1),
            ("top_up_max_minor", self.top_up_max_minor, 0),
            ("daily_max_minor", self.daily_max_minor, 0),
            ("daily_count_max", self.daily_count_max, 0),
            ("monthly_max_minor", self.monthly_max_minor, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"{key}: at least {least} needed, {value} found")


class CardholderPolicy(_Caps, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cardholder's own wishes: they can be stricter than the program's, not looser."""


class TopUpPolicy(_Caps, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[program.top_up]``. Days and months begin in the time zone."""

    currency: str  # ISO 4217 letters
    time_zone: str = "Asia/Tokyo"
    declines_max: int = 3  # of one source in a row; then it is left out until the cardholder says otherwise
    on_reversal: Literal["keep", "void"] = "keep"  # what becomes of the money when all of its purchase is reversed
    void_within_hours: int = 24  # of the top-up; later the money is kept

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        super().__post_init__()
        if self.currency not in NUMERIC:
            raise ValueError(f"currency: {self.currency!r} is not in ISO 4217")
        if self.declines_max < 1:
            raise ValueError(f"declines_max: at least 1 needed, {self.declines_max} found")
        if not 1 <= self.void_within_hours <= 8_760:
            raise ValueError(f"void_within_hours: between 1 and 8760 needed, {self.void_within_hours} found")
        try:
            ZoneInfo(self.time_zone)
        except (KeyError, ValueError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError(f"time_zone: {self.time_zone!r} is unknown") from None

    @property
    def void_within(self) -> timedelta | None:
        """How long after a top-up the reversal of its purchase voids the charge; None where it never does."""
        return timedelta(hours=self.void_within_hours) if self.on_reversal == "void" else None

    def narrowed(self, own: CardholderPolicy) -> TopUpPolicy:
        """The stricter of both in everything."""
        return msgspec.structs.replace(
            self,
            enabled=self.enabled and own.enabled,
            minimum_minor=max(self.minimum_minor, own.minimum_minor),
            step_minor=math.lcm(self.step_minor, own.step_minor),
            top_up_max_minor=_least(self.top_up_max_minor, own.top_up_max_minor),
            daily_max_minor=_least(self.daily_max_minor, own.daily_max_minor),
            daily_count_max=_least(self.daily_count_max, own.daily_count_max),
            monthly_max_minor=_least(self.monthly_max_minor, own.monthly_max_minor),
        )

    def amount_for(self, shortfall_minor: int) -> int:
        """What one top-up takes for this shortfall."""
        wanted = max(shortfall_minor, self.minimum_minor)
        return -(-wanted // self.step_minor) * self.step_minor


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)
