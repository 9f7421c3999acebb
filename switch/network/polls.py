"""Zero-length frames: answered, but never so that two answering ends keep each other busy. Pure.

A poll that answers ours can't be told from a fresh one: both are a bare length of zero. We start none, so the first
poll of a peer is its own. A peer that answers every poll, though, answers our answer too, and that would go on for
ever at the speed of the line. So answers are metered: a few in a row, then one a second. The first one that is left
out ends the exchange, as such a peer sends no more on its own, while a peer that polls every few seconds is always
answered.
"""

from __future__ import annotations

from switch.network.bucket import Bucket

__all__ = ["PollMeter"]

_BURST = 4.0
_PER_SECOND = 1.0


class PollMeter(Bucket):
    """Meters the answers to polls of one session. Times are seconds of any one clock.

    Invariant: at most one answer for each poll, and at most ``4 + seconds`` answers within any span of time.
    """

    __slots__ = ()

    def __init__(self, now: float) -> None:
        super().__init__(_BURST, _PER_SECOND, now)

    def should_answer(self, now: float) -> bool:
        """Whether this poll is answered; to be called once for each."""
        return self.take(now)
