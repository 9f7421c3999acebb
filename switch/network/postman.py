"""Sends what many sessions have to say in one turn: a batch of decisions answers many sessions at once."""

from __future__ import annotations

from collections.abc import Callable

import trio

__all__ = ["Postman"]


class Postman:
    """One task for all sessions of a link, since waking each one's writer costs more than what it has to send.

    Whoever has put something into an outbox calls; the postman comes in the scheduler's next turn, when the caller has
    put in all it has, and lets each session send what the kernel takes at once. The rest is the writers'.
    """

    def __init__(self) -> None:
        self._called: list[Callable[[], None]] = []
        self._waiting = trio.lowlevel.ParkingLot()

    def call(self, send: Callable[[], None]) -> None:
        """Has ``send`` called soon. It must not block, and must raise nothing."""
        self._called.append(send)
        self._waiting.unpark()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            if not self._called:
                await self._waiting.park()
            called, self._called = self._called, []
            for send in called:
                send()
