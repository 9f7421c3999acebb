"""Sends what many sessions have to say in one turn: a batch of decisions answers many sessions at once."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import trio

__all__ = ["Postman"]


class Postman:
    """One for all sessions of a program, since waking each one's writer costs more than what it has to send.

    Whoever has put something into an outbox calls. Inside ``with postman:`` (which does not nest) the postman comes at
    its end, before anything else happens: the way for who has much to say at once. Otherwise it comes in the
    scheduler's next turn, for which a task has to :meth:`run`. It lets each session send what the kernel takes at once;
    the rest is the writers'.
    """

    def __init__(self) -> None:
        self._called: list[Callable[[], None]] = []
        self._waiting = trio.lowlevel.ParkingLot()
        self._expected = False  # at the end of a ``with``

    def call(self, send: Callable[[], None]) -> None:
        """Has ``send`` called soon. It must not block, and must raise nothing."""
        self._called.append(send)
        if not self._expected:
            self._waiting.unpark()

    def __enter__(self) -> None:
        self._expected = True

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._expected = False
        self._come()

    async def run(self) -> None:
        """Until it is cancelled. Several may run: each link has one."""
        while True:
            if not self._called:
                await self._waiting.park()
            self._come()

    def _come(self) -> None:
        called, self._called = self._called, []
        for send in called:
            send()
