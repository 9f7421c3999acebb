"""The switch that these tests break: one database for each test worker, and daemons as each test wants them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from switch.daemon.embedded import EmbeddedPostgres
from tests.chaos.daemon import database
from tests.house import House


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes more than ten seconds; `-m 'not long'` leaves it out")


@pytest.fixture(scope="session")
def premises(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, EmbeddedPostgres]]:
    with database(tmp_path_factory.mktemp("house")) as both:
        yield both


@pytest.fixture
def house(premises: tuple[House, EmbeddedPostgres]) -> House:
    return premises[0]


@pytest.fixture
def postgres(premises: tuple[House, EmbeddedPostgres]) -> EmbeddedPostgres:
    return premises[1]
