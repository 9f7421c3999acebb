"""A real PostgreSQL for the tests of the books: one server for each worker, one database for each test module."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from switch.daemon.embedded import EmbeddedPostgres
from switch.journal.connection import Connection, DatabaseSettings, connect
from switch.journal.migrate import migrate

__all__ = ["Database", "Server", "server"]

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """One database of the server, as its roles see it."""

    postgres: EmbeddedPostgres
    name: str

    def dsn(self, role: str = "switch_daemon") -> str:
        return self.postgres.dsn(role, self.name)

    def settings(self, role: str = "switch_daemon", *, dsn: str = "", seconds: float = 15.0) -> DatabaseSettings:
        return DatabaseSettings(dsn=dsn or self.dsn(role), unit_timeout_seconds=seconds)

    async def connect(self, role: str = "postgres") -> Connection:
        return await connect(self.settings(role), application=f"test as {role}")


class Server:
    """The worker's PostgreSQL. No fsync: these tests break connections, not the machine."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="switch-journal-tests-"))
        self.postgres = EmbeddedPostgres(
            self._directory, settings={"fsync": "off", "autovacuum": "off", "shared_buffers": "32MB"}
        )
        self.postgres.start()

    def destroy(self) -> None:
        self.postgres.destroy()
        shutil.rmtree(self._directory)

    def empty(self) -> Database:
        """A new database without the schema."""
        database = Database(self.postgres, f"books_{next(_numbers)}")

        async def create() -> None:
            connection: Connection = await asyncpg.connect(self.postgres.dsn("postgres", "postgres"))
            await connection.execute(f"CREATE DATABASE {database.name}")
            await connection.close()

        asyncio.run(create())
        return database

    def migrated(self) -> Database:
        """A new database with the schema."""
        database = self.empty()

        async def apply() -> None:
            connection = await database.connect()
            await migrate(connection, _quiet)
            await connection.close()

        asyncio.run(apply())
        return database


def _quiet(_text: str) -> None:
    """Progress that nobody reads."""


@contextmanager
def server() -> Iterator[Server]:
    """The worker's one server: started for the first that asks, destroyed after the last."""
    if not _shared:
        _shared.append(Server())
    _shared.append(_shared[0])
    try:
        yield _shared[0]
    finally:
        running = _shared.pop()
        if len(_shared) == 1:
            _shared.clear()
            running.destroy()


#: The running server, once for itself and once for each of its users.
_shared: list[Server] = []
