"""Kept connections to one provider.

httpcore's own pool walks over all of its connections, and asks the system about each that is idle, twice in every call:
with 64 of them a call costs ten times what it costs with one (4 ms of CPU). Here the one that was used last is used
next, and asked about once; what has been idle for long is at the bottom, and is closed there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpcore
import trio

__all__ = ["Connections"]


class Connections:
    """At most ``connections_max`` at once; who waits longer than ``wait_seconds`` for one gets PoolTimeout."""

    def __init__(
        self,
        make: Callable[[], httpcore.AsyncHTTPConnection],
        *,
        connections_max: int,
        wait_seconds: float,
        idle_seconds: float,
    ) -> None:
        self._make = make
        self._wait_seconds = wait_seconds
        self._idle_seconds = idle_seconds
        self._room = trio.Semaphore(connections_max)
        self._idle: deque[tuple[httpcore.AsyncHTTPConnection, float]] = deque()  # and since when; the newest is last

    @property
    def idle(self) -> tuple[httpcore.AsyncHTTPConnection, ...]:
        """Those that nobody uses."""
        return tuple(connection for connection, _ in self._idle)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[httpcore.AsyncHTTPConnection]:
        """For one call. Raises httpcore.PoolTimeout."""
        with trio.move_on_after(self._wait_seconds) as limit:
            await self._room.acquire()
        if limit.cancelled_caught:
            raise httpcore.PoolTimeout("all connections are taken")
        try:
            connection = await self._usable()
            try:
                yield connection
            finally:
                if connection.is_available():
                    self._idle.append((connection, trio.current_time()))
                elif not connection.is_closed():
                    with trio.CancelScope(shield=True):
                        await connection.aclose()
        finally:
            self._room.release()
        if self._idle and self._idle[0][1] < trio.current_time() - self._idle_seconds:
            await self._idle.popleft()[0].aclose()

    async def aclose(self) -> None:
        """Closes what is idle; to be called when nobody uses any."""
        while self._idle:
            await self._idle.popleft()[0].aclose()

    async def _usable(self) -> httpcore.AsyncHTTPConnection:
        """One that its peer has not closed meanwhile, nor sent anything on that nobody asked for; or a new one."""
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return self._make()
