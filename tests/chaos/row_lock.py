"""A transaction of somebody else that holds an account's row: the daemon has to wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from tests.house import House, IssuedCard

__all__ = ["RowLock", "locked_row"]

_PATIENCE_SECONDS = 30.0


class RowLock:
    """``release`` ends the transaction; safe to call twice."""

    def __init__(self, dsn: str, account_id: int) -> None:
        self._dsn = dsn
        self._account_id = account_id
        self._held = threading.Event()
        self._wanted_back = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._hold()))

    def take(self) -> None:
        self._thread.start()
        assert self._held.wait(_PATIENCE_SECONDS), "the row could not be locked"

    def release(self) -> None:
        self._wanted_back.set()
        self._thread.join(_PATIENCE_SECONDS)

    async def _hold(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            async with connection.transaction():
                await connection.fetchrow(
                    "SELECT 1 FROM switch.account WHERE account_id = $1 FOR UPDATE", self._account_id
                )
                self._held.set()
                await asyncio.to_thread(self._wanted_back.wait, _PATIENCE_SECONDS)
        finally:
            await connection.close()


@contextmanager
def locked_row(house: House, card: IssuedCard) -> Iterator[RowLock]:
    """The row of the card's account, locked for a block of code or until ``release``."""
    lock = RowLock(house.ready["database"], card.account_id)
    lock.take()
    try:
        yield lock
    finally:
        lock.release()
