"""A running switch for the commands to ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from switch.daemon.embedded import EmbeddedPostgres
from tests.chaos.daemon import database
from tests.house import House


@pytest.fixture(scope="session")
def premises(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, EmbeddedPostgres]]:
    with database(tmp_path_factory.mktemp("house")) as both:
        yield both


@pytest.fixture
def house(premises: tuple[House, EmbeddedPostgres]) -> House:
    return premises[0]
