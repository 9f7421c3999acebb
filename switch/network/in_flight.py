"""How many messages of one session the house has not settled, and waiting for that number to fall."""

from __future__ import annotations

import trio

__all__ = ["InFlight"]


class InFlight:
    """A count that tasks can wait on. Invariant: ``count >= 0``."""

    __slots__ = ("_waiting", "count")

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[tuple[int, trio.Event]] = []

    def add(self, number: int) -> None:
        """So many more are on their way through the house."""
        self.count += number

    def remove(self) -> None:
        """One is settled."""
        self.count -= 1
        assert self.count >= 0
        if self._waiting:
            for waiting in [each for each in self._waiting if self.count < each[0]]:
                waiting[1].set()
                self._waiting.remove(waiting)

    async def below(self, limit: int) -> None:
        """Waits until fewer than ``limit`` are in flight."""
        # A loop, because the count may have risen again before the waiter's turn comes.
        while self.count >= limit:
            waiting = (limit, trio.Event())
            self._waiting.append(waiting)
            try:
                await waiting[1].wait()
            finally:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
