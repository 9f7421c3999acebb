"""Bringing a database to the schema: from nothing, again, at the same time, and when somebody has changed something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from switch.contracts.errors import ConfigurationError
from switch.journal import migrate as module
from switch.journal.connection import Connection
from switch.journal.migrate import check_schema, migrate, migrations
from tests.journal.server import Database, Server

ALL = len(migrations())


def on_connection(database: Database, work: Callable[[Connection], Awaitable[None]]) -> None:
    async def run() -> None:
        connection = await database.connect()
        try:
            await work(connection)
        finally:
            await connection.close(timeout=2)

    asyncio.run(run())


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.number for migration in migrations()] == list(range(1, ALL + 1))
    assert len({migration.digest for migration in migrations()}) == ALL


def test_from_nothing_and_again(postgres: Server) -> None:
    async def work(connection: Connection) -> None:
        with pytest.raises(ConfigurationError, match=f"lacks {ALL} migration"):
            await check_schema(connection)
        told: list[str] = []

        assert await migrate(connection, told.append) == ALL
        assert told == [f"applying {migration.name}" for migration in migrations()]
        await check_schema(connection)

        assert await migrate(connection, told.append) == 0
        assert len(told) == ALL
        owners = await connection.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'switch'")
        assert [row["tableowner"] for row in owners] == ["switch_owner"]

    on_connection(postgres.empty(), work)


def test_a_second_one_waits_and_finds_nothing_to_do(postgres: Server) -> None:
    database = postgres.empty()

    async def one() -> int:
        connection = await database.connect()
        try:
            return await migrate(connection, lambda _: None)
        finally:
            await connection.close(timeout=2)

    async def several() -> list[int]:
        return await asyncio.gather(*(one() for _ in range(3)))

    assert sorted(asyncio.run(several())) == [0, 0, ALL]


def test_a_changed_file_is_noticed(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = migrations()
    changed = (msgspec.structs.replace(first, sql=first.sql + "-- a word more\n"), *rest)

    async def work(connection: Connection) -> None:
        await migrate(connection, lambda _: None)
        monkeypatch.setattr(module, "migrations", lambda: changed)
        for look in (check_schema(connection), migrate(connection, lambda _: None)):
            with pytest.raises(ConfigurationError, match=f"{first.name} was changed after it was applied"):
                await look

    on_connection(postgres.empty(), work)


def test_a_newer_database_is_refused(postgres: Server) -> None:
    async def work(connection: Connection) -> None:
        await migrate(connection, lambda _: None)
        await connection.execute(
            "INSERT INTO switch.schema_migration (number, name, digest) VALUES (9999, '9999_later', 'x')"
        )
        for look in (check_schema(connection), migrate(connection, lambda _: None)):
            with pytest.raises(ConfigurationError, match="migration 9999, which is newer"):
                await look

    on_connection(postgres.empty(), work)


def test_a_migration_that_fails_leaves_the_ones_before_it(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, last = migrations()
    broken = msgspec.structs.replace(
        last, number=last.number + 1, name="broken", sql="CREATE TABLE half (); SELECT 1/0;"
    )

    async def work(connection: Connection) -> None:
        monkeypatch.setattr(module, "migrations", lambda: (*migrations(), broken))
        with pytest.raises(Exception, match="division by zero"):
            await migrate(connection, lambda _: None)
        assert await connection.fetchval("SELECT to_regclass('switch.half')") is None
        assert await connection.fetchval("SELECT count(*) FROM switch.schema_migration") == ALL
        monkeypatch.undo()
        assert await migrate(connection, lambda _: None) == 0, "the lock was given back"

    on_connection(postgres.empty(), work)
