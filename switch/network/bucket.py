"""A token bucket: a few at once, then so many a second. Pure."""

from __future__ import annotations

__all__ = ["Bucket"]


class Bucket:
    """Times are seconds of any one clock. Invariant: no span of them gives more than ``burst + span * per_second``."""

    __slots__ = ("_as_of", "_burst", "_per_second", "_tokens")

    def __init__(self, burst: float, per_second: float, now: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = burst
        self._as_of = now

    def take(self, now: float) -> bool:
        """Whether there is one more; takes it."""
        self._tokens = min(self._burst, self._tokens + (now - self._as_of) * self._per_second)
        self._as_of = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
