"""Stopping cleanly: told once, heard by every link and session that was given the same object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

import trio

__all__ = ["Drain"]


class Drain:
    """Links stop accepting and dialling; sessions refuse new work, finish what is in flight, sign off and close.

    ``grace_seconds`` bounds the wait for what is in flight. Parting from the peer takes up to two seconds more.
    """

    def __init__(self, grace_seconds: float = 10.0) -> None:
        self._grace_seconds = grace_seconds
        self._told = trio.Event()
        self._cut_short: set[trio.CancelScope] = set()
        self.deadline = inf  # trio.current_time(); inf before it began

    @property
    def begun(self) -> bool:
        """Whether the program is stopping."""
        return self._told.is_set()

    def begin(self) -> None:
        """Starts to stop. Never blocks; a second call changes nothing."""
        if self.begun:
            return
        self.deadline = trio.current_time() + self._grace_seconds
        self._told.set()
        for scope in self._cut_short:
            scope.cancel()

    async def wait(self) -> None:
        """Waits until :meth:`begin` is called."""
        await self._told.wait()

    @contextmanager
    def cuts_short(self) -> Iterator[None]:
        """A block that is cancelled when the drain begins, or at once when it has begun."""
        with trio.CancelScope() as scope:
            if self.begun:
                scope.cancel()
            self._cut_short.add(scope)
            try:
                yield
            finally:
                self._cut_short.discard(scope)
