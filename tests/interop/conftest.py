"""A switch as `switch dev` starts it, so that stock clients just connect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from switch.daemon.embedded import EmbeddedPostgres
from tests.house import House


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("house")
    house = House(directory)
    try:
        yield house.start()
    finally:
        house.stop()
        EmbeddedPostgres(directory).destroy()
