"""Kept connections to one provider, each in a transport of its own.

httpx's own pool walks over all of its connections, and asks the system about each that is idle, twice in every call:
with 64 of them a call costs ten times what it costs with one (4 ms of CPU). So each transport here has one connection,
and the one that was used last is used next; what has been idle for long is at the bottom, and is closed there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import trio

__all__ = ["Connections"]


class Connections:
    """At most ``connections_max`` at once; who waits longer than ``wait_seconds`` for one gets PoolTimeout."""

    def __init__(
        self,
        make: Callable[[], httpx.AsyncHTTPTransport],
        *,
        connections_max: int,
        wait_seconds: float,
        idle_seconds: float,
    ) -> None:
        self._make = make
        self._wait_seconds = wait_seconds
        self._idle_seconds = idle_seconds
        self._room = trio.Semaphore(connections_max)
        self._idle: deque[tuple[httpx.AsyncHTTPTransport, float]] = deque()  # and since when; the newest is the last

    @property
    def idle(self) -> tuple[httpx.AsyncHTTPTransport, ...]:
        """Those that nobody uses."""
        return tuple(transport for transport, _ in self._idle)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[httpx.AsyncHTTPTransport]:
        """For one call. Raises httpx.PoolTimeout."""
        with trio.move_on_after(self._wait_seconds) as limit:
            await self._room.acquire()
        if limit.cancelled_caught:
            raise httpx.PoolTimeout("all connections are taken")
        transport = self._idle.pop()[0] if self._idle else self._make()
        try:
            yield transport
        finally:
            self._idle.append((transport, trio.current_time()))
            self._room.release()
        if self._idle and self._idle[0][1] < trio.current_time() - self._idle_seconds:
            await self._idle.popleft()[0].aclose()

    async def aclose(self) -> None:
        """Closes what is idle; to be called when nobody uses any."""
        while self._idle:
            await self._idle.popleft()[0].aclose()
