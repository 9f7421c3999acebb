"""How long a dialler waits before it dials again. Pure: the randomness is handed in."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff", "Draw"]

Draw = Callable[[float, float], float]
"""A number between two others, as ``random.uniform`` draws it."""

# Doubling stops mattering long before this, and keeps the power small.
_DOUBLINGS_MAX = 16


class Backoff:
    """Exponential, with full jitter: drawn between nothing and a ceiling that each failure doubles.

    Many dialers that lost the same peer at the same moment come back spread over the whole span, not in step.
    """

    __slots__ = ("_draw", "_failures", "_max_seconds", "_min_seconds")

    def __init__(self, min_seconds: float, max_seconds: float, draw: Draw) -> None:
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._draw = draw
        self._failures = 0

    def succeeded(self) -> None:
        """There was a session that lived a while: the next pause is a short one."""
        self._failures = 0

    def failed(self) -> None:
        """There was none."""
        self._failures += 1

    def pause_seconds(self) -> float:
        """Until the next attempt."""
        ceiling = self._min_seconds * 2.0 ** min(self._failures, _DOUBLINGS_MAX)
        return self._draw(0.0, min(self._max_seconds, ceiling))
