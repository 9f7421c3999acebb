"""Writes the log line of each decided message, when nobody waits for it.

A line costs a good part of what a message costs the daemon, while its network waits for the answer and the next batch
for its turn. So the answers leave first, the next batch sets out, and the lines are written while PostgreSQL is busy
with that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import structlog
import trio

from switch.issuer.books import Item
from switch.issuer.case import Decision
from switch.network.arrival import Arrival, Delivery

__all__ = ["Clerk", "Told"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Told(NamedTuple):
    """A message, what was decided, what became of the answer, and the time that it took (microseconds) and when."""

    arrival: Arrival
    item: Item
    decision: Decision
    delivery: Delivery
    queue_us: int
    unit_us: int
    total_us: int
    batch: int


class Clerk:
    """One task has to :meth:`run`. Lines that wait when it ends are written then, however it ends."""

    def __init__(self) -> None:
        self._waiting: list[Sequence[Told]] = []
        self._idle = trio.lowlevel.ParkingLot()
        self._closed = False

    def take(self, told: Sequence[Told]) -> None:
        """A batch. Its lines are written in the scheduler's next turn."""
        self._waiting.append(told)
        self._idle.unpark()

    def close(self) -> None:
        """No more batches; :meth:`run` ends."""
        self._closed = True
        self._idle.unpark()

    async def run(self) -> None:
        """Until :meth:`close`."""
        try:
            while not self._closed:
                if not self._waiting:
                    await self._idle.park()
                self.write()
        finally:
            self.write()

    def write(self) -> None:
        """All lines that wait."""
        batches, self._waiting = self._waiting, []
        log_info = log.info  # structlog's lazy logger takes a while to find its methods
        for batch in batches:
            for told in batch:
                arrival, item, decision, delivery, queue_us, unit_us, total_us, size = told
                request = item.request
                log_info(
                    "message",
                    session=arrival.session,
                    mti=request.mti,
                    stan=request.stan,
                    transmitted=request.transmitted,
                    retrieval_reference=request.retrieval_reference,
                    key=item.key.hex(),
                    card=request.pan.masked,
                    amount=request.amount_minor,
                    currency=request.currency,
                    reason=decision.reason.value,
                    code=decision.answer.response_code,
                    repeat=decision.repeat_of is not None,
                    concern=decision.concern,
                    delivery=delivery.value,
                    queue_us=queue_us,
                    unit_us=unit_us,
                    total_us=total_us,
                    batch=size,
                )
