"""How often and how long the machine tries. Data, checked when it is read."""

from __future__ import annotations

from datetime import timedelta

import msgspec

__all__ = ["Pace"]

_DOUBLINGS_MAX = 20  # Beyond it every pause is the longest one, and the power stays small.


class Pace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[funding.pace]``. Pauses double from the first to the longest."""

    answer_seconds: float = 5.0  # for a call; longer than the adapter's own limit, or a query overtakes its charge
    charge_tries_max: int = 3  # calls that never reached the provider, before the purchase is declined
    pause_first_seconds: float = 0.25
    pause_max_seconds: float = 600.0
    alert_after_tries: int = 8  # queries or voids without a result, before a person is called

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        # Written so that a NaN, which TOML can hold, is refused too.
        for key, value, least, most in (
            ("answer_seconds", self.answer_seconds, 0.01, 120),
            ("charge_tries_max", self.charge_tries_max, 1, 100),
            ("pause_first_seconds", self.pause_first_seconds, 0.01, 60),
            ("pause_max_seconds", self.pause_max_seconds, self.pause_first_seconds, 86_400),
            ("alert_after_tries", self.alert_after_tries, 1, 1_000),
        ):
            if not least <= value <= most:
                raise ValueError(f"{key}: between {least} and {most} needed, {value} found")

    def pause(self, tries: int) -> timedelta:
        """After so many tries."""
        seconds = self.pause_first_seconds * 2.0 ** min(max(tries, 1) - 1, _DOUBLINGS_MAX)
        return timedelta(seconds=min(self.pause_max_seconds, seconds))

    @property
    def answer(self) -> timedelta:
        """For a call to be answered."""
        return timedelta(seconds=self.answer_seconds)
