"""Fixtures: the worker's server, and the module's database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journal.server import Database, Server, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(scope="module")
def database(postgres: Server) -> Database:
    """With the schema, for all tests of a module; each takes cards of its own."""
    return postgres.migrated()
