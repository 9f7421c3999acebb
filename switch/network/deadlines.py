"""Who is answered 91, and when: one watcher task for all requests of a link."""

from __future__ import annotations

from collections import OrderedDict

import trio

from switch.network.arrival import Arrival

__all__ = ["Deadlines"]


class Deadlines:
    """The unsettled requests of one link, in the order in which they came.

    Invariant: their deadlines stand in order, since each is the time of receipt plus the same number of seconds, and
    each is added before the task that received it lets another one run. So only the first is ever looked at, and no
    timer is made for a message. A settled request leaves at once, and no card data is kept until a deadline that
    doesn't matter.
    """

    __slots__ = ("_pending", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # Not a plain dict: that one walks over the holes of deleted entries each time it is asked for its first.
        self._pending: OrderedDict[Arrival, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, arrival: Arrival) -> None:
        """Watches a request from now on."""
        self._pending[arrival] = None

    def discard(self, arrival: Arrival) -> None:
        """Watches it no more. No-op for one that is not watched."""
        self._pending.pop(arrival, None)

    def check_invariants(self) -> None:
        """Raises AssertionError when the order is broken."""
        deadlines = [arrival.deadline for arrival in self._pending]
        assert deadlines == sorted(deadlines)

    async def run(self) -> None:
        """Expires what is due, until it is cancelled."""
        while True:
            now = trio.current_time()
            due_at = now + self._seconds  # a request that comes after this look is due later than that
            while self._pending:
                first = next(iter(self._pending))
                if first.deadline > now:
                    due_at = first.deadline
                    break
                del self._pending[first]
                first.expire()
            await trio.sleep_until(due_at)
