"""Whether the peer of a session still lives, as a state machine without I/O: it is told times and says what is due.

Theory of operation::

    heard ──silence for echo_interval──▶ ask ──echo_timeout──▶ ask again ── … ──echo_misses_max──▶ DEAD
      ▲                                   │                       │
      └──────── any frame of the peer ────┴───────────────────────┘

Every complete frame counts as life, not just the echo's answer, so that a busy session carries no echoes. Apart from
that, a frame that was begun must be finished within ``partial_frame_timeout`` of its first byte; bytes that trickle
in do not prolong it. While the house holds the reader back (back-pressure), the peer can't be heard: nothing is held
against it then.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf

__all__ = ["Due", "Liveness"]


class Due(StrEnum):
    """What the session has to do now."""

    NOTHING = "nothing"
    ECHO = "echo"  # send one
    DEAD = "dead"  # close: nobody is there
    STALLED = "stalled"  # close: half a frame, then silence


class Liveness:
    """Times are seconds of any one clock that does not go back. ``echo_interval`` 0 means no echoes."""

    __slots__ = (
        "_asked_at",
        "_blocked",
        "_echo_interval",
        "_echo_timeout",
        "_heard_at",
        "_misses",
        "_misses_max",
        "_partial_since",
        "_partial_timeout",
    )

    def __init__(
        self, *, echo_interval: float, echo_timeout: float, misses_max: int, partial_timeout: float, now: float
    ) -> None:
        self._echo_interval = echo_interval or inf
        self._echo_timeout = echo_timeout
        self._misses_max = misses_max
        self._partial_timeout = partial_timeout
        self._heard_at = now
        self._asked_at = inf  # inf: no echo is on its way
        self._misses = 0
        self._partial_since = inf  # inf: no frame is half there
        self._blocked = False

    @property
    def misses(self) -> int:
        """Echoes in a row that were not answered in time."""
        return self._misses

    def received(self, now: float, *, frames: int, pending_bytes: int) -> None:
        """Bytes came in: so many complete frames, and so many bytes of the next one."""
        if frames:
            self._heard_at = now
            self._asked_at = inf
            self._misses = 0
            self._partial_since = inf
        if not pending_bytes:
            self._partial_since = inf
        elif self._partial_since == inf:
            self._partial_since = now

    def block(self) -> None:
        """The reader stops listening because the house is full."""
        self._blocked = True

    def unblock(self, now: float) -> None:
        """The reader listens again; the time in between does not count against the peer."""
        if not self._blocked:
            return
        self._blocked = False
        self._heard_at = now
        self._asked_at = inf
        if self._partial_since != inf:
            self._partial_since = now

    def due_at(self, now: float) -> float:
        """When to look again, at the latest. A look that comes too early does no harm."""
        if self._blocked:
            return now + self._shortest()
        echo_at = self._heard_at + self._echo_interval if self._asked_at == inf else self._asked_at + self._echo_timeout
        # A frame that begins after this look is due one whole time-out after its beginning, so this is early enough.
        partial_at = (now if self._partial_since == inf else self._partial_since) + self._partial_timeout
        return min(echo_at, partial_at)

    def check(self, now: float) -> Due:
        """What is due now. Saying ECHO counts as having sent it."""
        if self._blocked:
            return Due.NOTHING
        if now >= self._partial_since + self._partial_timeout:
            return Due.STALLED
        if self._asked_at != inf:
            if now < self._asked_at + self._echo_timeout:
                return Due.NOTHING
            self._misses += 1
            if self._misses >= self._misses_max:
                return Due.DEAD
        elif now < self._heard_at + self._echo_interval:
            return Due.NOTHING
        self._asked_at = now
        return Due.ECHO

    def _shortest(self) -> float:
        return min(self._echo_interval, self._echo_timeout, self._partial_timeout)
