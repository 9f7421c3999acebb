"""Steps of many attempts in shared units of work.

A unit costs something by itself: its round trips, its commit, its way across to asyncio. What is ordered while one is
under way goes into the next one, so with many attempts each step is cheap, and with one it waits for nobody. While
ordinary messages are being decided, a unit also waits a moment for more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

import trio

from switch.journal.bridge import on_asyncio
from switch.journal.funding_sheet import Order, Parked, Result
from switch.journal.funding_unit import FundingUnit

__all__ = ["Scribe"]

_BATCH_MAX = 100
# From one unit to the next, while ordinary messages are being decided: each unit costs those some 2 ms, whatever is in
# it, and a top-up waits for two.
_GATHER_SECONDS = 0.3
_BESIDE_MIN = 16  # for fewer, no unit sets out beside one that is under way


class _Place:
    """One order that waits for its result."""

    __slots__ = ("done", "order", "result")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.result: Result = None
        self.done = trio.Event()


class Scribe:
    """Any task may :meth:`record`; each unit of work has a task of its own that runs :meth:`run`."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy = busy
        self._set_out_at = -inf
        self._waiting: deque[_Place] = deque()
        self._under_way = 0
        self._idle = trio.lowlevel.ParkingLot()

    async def record(self, order: Order) -> Parked | None:
        """Waits until it is durable. Raises as :meth:`FundingUnit.park` and :meth:`FundingUnit.move`."""
        place = _Place(order)
        self._waiting.append(place)
        self._wake()
        await place.done.wait()
        if isinstance(place.result, Exception):
            raise place.result
        return place.result

    async def run(self, unit: FundingUnit) -> None:
        """Until it is cancelled."""
        while True:
            while not self._may_set_out():
                await self._idle.park()
            if self._busy() and trio.current_time() < self._set_out_at + _GATHER_SECONDS:
                await trio.sleep_until(self._set_out_at + _GATHER_SECONDS)
                continue
            self._set_out_at = trio.current_time()
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH_MAX))]
            self._under_way += 1
            try:
                results = await on_asyncio(unit.carry_out, [place.order for place in batch])
            finally:
                self._under_way -= 1
            for place, result in zip(batch, results, strict=True):
                place.result = result
                place.done.set()
            self._wake()

    def _may_set_out(self) -> bool:
        return len(self._waiting) >= (_BESIDE_MIN if self._under_way else 1)

    def _wake(self) -> None:
        if self._may_set_out():
            self._idle.unpark()
