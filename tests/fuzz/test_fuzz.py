"""Damaged frames over real sockets, a few thousand in every dialect; the tool does a million of them.

A failing run prints its seed: `switch acquirer fuzz --seed …` sends the same frames again.
"""

from __future__ import annotations

import random
import urllib.request
from collections.abc import Iterator
from functools import partial

import pytest
import trio

from simulators.cards import load_cards
from simulators.fuzz.hostile import Target
from simulators.fuzz.run import FuzzResult, FuzzSettings, run_fuzz
from switch.contracts.reason import Reason
from switch.daemon.embedded import EmbeddedPostgres
from switch.wire.dialect import dialect_names, load_dialect, specs_root
from tests.house import House

FRAMES = 2_000
DIALECTS = dialect_names()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("house")
    house = House(directory)
    try:
        yield house.start()
    finally:
        house.stop()
        EmbeddedPostgres(directory).destroy()


def fuzzed(house: House, dialect: str, seed: int) -> FuzzResult:
    host, port = house.address(dialect)
    settings = FuzzSettings(count=FRAMES, seed=seed, batch_frames=50, quiet_seconds=0.5, pid=house.pid)
    # Only the generic dialects take traffic without a sign-on.
    target = Target(host=host, port=port, sign_on=not dialect.startswith("iso87_"))
    return trio.run(partial(run_fuzz, load_dialect(specs_root() / dialect), target, load_cards(), settings))


def metric(house: House, name: str) -> float:
    with urllib.request.urlopen(house.ready["ops"] + "/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    found = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)]
    assert found, name
    return sum(found)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_switch_holds_and_approves_nothing_that_nobody_asked_for(house: House, dialect: str) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    result = fuzzed(house, dialect, seed)

    assert result.problems == [], f"seed {seed}"
    assert result.frames == FRAMES
    # A run that approves nothing, refuses nothing or never loses a connection would show nothing.
    assert result.approved_after["sound"] > 0
    assert sum(result.approved_after.values()) < result.asked < FRAMES
    assert result.answers[load_dialect(specs_root() / dialect).response_code(Reason.FORMAT_ERROR)] > FRAMES // 10
    assert result.healthy_alone.count and result.healthy_beside.count
    assert metric(house, "switch_messages_poisonous_total") == 0
    assert metric(house, "switch_network_sessions_crashed_total") == 0
    assert house.faults() == []
