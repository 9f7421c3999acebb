"""Whether a provider is asked at all. Pure: the clock is handed in, and each change is a new value.

::

    closed ────── so many charges in a row unanswered ──────▶ open
    open ──────── its pause is over, and a charge asks ─────▶ half-open: this one is let through
    half-open ─── it was answered ──────────────────────────▶ closed
              ├── it failed ────────────────────────────────▶ open, for twice as long
              ├── nobody told what came of it, one more asks ▶ half-open: that one is let through
              └── it was not made after all ────────────────▶ open, with its pause over

While it is open, purchases that are short are declined at once: a dead provider costs nobody the time limit. A decline
is an answer; only silence and doubt count against a provider.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec

from switch.contracts.funding import ChargeAnswer, Charged, Declined

__all__ = ["Admission", "Breaker", "BreakerRules", "BreakerState", "admit", "allows", "answered", "hand_back", "report"]

_DOUBLINGS_MAX = 20  # Beyond it every pause is the longest one, and the power stays small.


class BreakerState(StrEnum):
    """See the drawing above."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``breaker`` of a provider. Pauses double with each probe that fails."""

    failures_max: int = 5  # in a row
    pause_first_seconds: float = 1.0
    pause_max_seconds: float = 60.0
    probe_seconds: float = 10.0  # for the one charge that is let through to come back with a result

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        for key, value, least, most in (
            ("failures_max", self.failures_max, 1, 10_000),
            ("pause_first_seconds", self.pause_first_seconds, 0.01, 3_600),
            ("pause_max_seconds", self.pause_max_seconds, self.pause_first_seconds, 86_400),
            ("probe_seconds", self.probe_seconds, 0.01, 3_600),
        ):
            if not least <= value <= most:
                raise ValueError(f"{key}: between {least} and {most} needed, {value} found")


class Breaker(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One provider's. ``era`` counts the changes of state: what was admitted in an earlier one says nothing now."""

    state: BreakerState = BreakerState.CLOSED
    era: int = 0
    failures: int = 0  # in a row, while closed
    openings: int = 0  # in a row, without an answer between
    until: datetime | None = None  # open: the end of the pause; half-open: when the probe counts as failed


class Admission(NamedTuple):
    """The breaker after the question, and the ticket for the report; no ticket: the charge is not made."""

    breaker: Breaker
    ticket: int | None


def allows(breaker: Breaker, now: datetime) -> bool:
    """Whether a charge would be let through."""
    return breaker.until is None or now >= breaker.until


def admit(breaker: Breaker, now: datetime, rules: BreakerRules) -> Admission:
    """To be asked before each charge."""
    if breaker.state is BreakerState.CLOSED:
        return Admission(breaker, breaker.era)
    if not allows(breaker, now):
        return Admission(breaker, None)
    # The pause is over; or a probe was let through and nobody told what came of it, so that another one is due.
    probing = Breaker(
        state=BreakerState.HALF_OPEN,
        era=breaker.era + 1,
        openings=breaker.openings,
        until=now + timedelta(seconds=rules.probe_seconds),
    )
    return Admission(probing, probing.era)


def report(breaker: Breaker, ticket: int, *, success: bool, now: datetime, rules: BreakerRules) -> Breaker:
    """What came of an admitted charge."""
    if ticket != breaker.era:
        return breaker
    if success:
        if breaker.state is BreakerState.CLOSED:
            return msgspec.structs.replace(breaker, failures=0) if breaker.failures else breaker
        return Breaker(era=breaker.era + 1)
    failures = breaker.failures + 1
    if breaker.state is BreakerState.CLOSED and failures < rules.failures_max:
        return msgspec.structs.replace(breaker, failures=failures)
    seconds = rules.pause_first_seconds * 2.0 ** min(breaker.openings, _DOUBLINGS_MAX)
    return Breaker(
        state=BreakerState.OPEN,
        era=breaker.era + 1,
        openings=breaker.openings + 1,
        until=now + timedelta(seconds=min(rules.pause_max_seconds, seconds)),
    )


def hand_back(breaker: Breaker, ticket: int, now: datetime) -> Breaker:
    """An admitted charge was not made: the next one that asks is let through in its stead."""
    if ticket != breaker.era or breaker.state is not BreakerState.HALF_OPEN:
        return breaker
    return Breaker(state=BreakerState.OPEN, era=breaker.era + 1, openings=breaker.openings, until=now)


def answered(answer: ChargeAnswer) -> bool:
    """Whether a provider that gave this answer is alive."""
    return isinstance(answer, Charged | Declined)
