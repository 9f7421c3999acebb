"""One switch with its PostgreSQL for all scenarios of a test worker; at its end the books are checked as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from switch.daemon.settings import load_settings
from switch.journal.connection import Connection, connect
from tests.house import House

# The tables are checked there, and a failing row should show what was found beside what was expected.
pytest.register_assert_rewrite("tests.scenarios.transcript")

T = TypeVar("T")


class SteadyHouse(House):
    """Asks its books over one connection that stays: a balance is read after every step of every table."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._loop = asyncio.Runner()
        self._books: Connection | None = None

    def ask(self, work: Callable[[Connection], Awaitable[T]], *, dsn: str = "") -> T:
        return super().ask(work, dsn=dsn) if dsn else self._loop.run(self._on_books(work))

    async def _on_books(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        if self._books is None:
            database = load_settings(self.config).database
            self._books = await connect(database, database.issuing_dsn)
        try:
            return await work(self._books)
        finally:
            if self._books.is_in_transaction():
                await self._books.execute("ROLLBACK")

    def close_books(self) -> None:
        if self._books is not None:
            self._loop.run(self._books.close(timeout=2))
        self._loop.close()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Every scenario issues a card of its own, so none sees what another did."""
    house = SteadyHouse(tmp_path_factory.mktemp("house"))
    house.start()
    try:
        yield house
        faults = house.faults()
    finally:
        house.close_books()
        code = house.stop()
    assert faults == []
    assert code == 0
