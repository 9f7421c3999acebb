"""Fixtures: the worker's server, a module's database with the schema, and one of its own for a test that damages it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journal.server import Database, Server, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture
def database(postgres: Server) -> Database:
    """Reports look at all accounts there are, so each test has books of its own."""
    return postgres.migrated()
