"""Fixtures: the worker's server, and the module's database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journal.counter import Counter, on
from tests.journal.server import Database, Server, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(scope="module")
def database(postgres: Server) -> Database:
    """With the schema, for all tests of a module; each takes cards of its own."""
    return postgres.migrated()


@pytest.fixture
def fresh(database: Database) -> Database:
    """Where nobody else's holds are due: what other tests have left is not looked for."""

    async def forget(counter: Counter) -> None:
        await (await counter.root()).execute("UPDATE account SET expiry_due = NULL WHERE expiry_due IS NOT NULL")

    on(database, forget)
    return database
