"""One view of the books for a whole report: nothing that is booked meanwhile changes a figure halfway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from switch.journal.connection import Connection, translated

__all__ = ["snapshot"]


@asynccontextmanager
async def snapshot(connection: Connection) -> AsyncIterator[datetime]:
    """REPEATABLE READ, READ ONLY; gives the moment at which it was taken, by the database's clock.

    Hashing millions of rows gets more of the server's memory than a message needs; what does not fit goes to its
    disk.
    """
    with translated():
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    try:
        with translated():
            await connection.execute("SET LOCAL work_mem = '128MB'")
            taken_at: datetime = await connection.fetchval("SELECT now()")
        yield taken_at
    finally:
        if not connection.is_closed():
            with translated():
                await connection.execute("ROLLBACK")
