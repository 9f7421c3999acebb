"""PostgreSQL goes away under load, and comes back: 91 in time meanwhile, nothing lost or doubled, no restart of the daemon."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from simulators.load import LoadSettings, run_load
from simulators.network import Habits
from switch.daemon.embedded import EmbeddedPostgres
from tests.chaos.acquirer import Witness, booked_twice, differences, missing, network_to, new_cards
from tests.chaos.daemon import Daemon, running, until
from tests.house import House, IssuedCard

DEADLINE_SECONDS = 1.0
#: The protocol's bound: a request is answered within the deadline; the second is for two busy cores.
BOUND_SECONDS = DEADLINE_SECONDS + 1.0
HABITS = Habits(answer_timeout=4.0, retry_after=0.3)


@asynccontextmanager
async def frozen(postgres: EmbeddedPostgres, seconds: float) -> AsyncIterator[None]:
    """SIGSTOP of the postmaster and all its children: the sockets stay open and nobody answers."""
    postmaster = postgres.pid
    assert postmaster is not None
    os.kill(postmaster, signal.SIGSTOP)  # first, so that it makes no new children
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()  # noqa: ASYNC240 no disk
    everyone = [postmaster, *map(int, children)]
    try:
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        await trio.sleep(seconds)
        yield
    finally:
        for pid in everyone:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def stopped(postgres: EmbeddedPostgres, seconds: float) -> AsyncIterator[None]:
    """A fast shutdown, as for an upgrade."""
    await trio.to_thread.run_sync(postgres.stop)
    await trio.sleep(seconds)
    yield
    await trio.to_thread.run_sync(postgres.start)


async def ordinary_traffic(network: Witness, count: int) -> None:
    """Waits until so many more requests were approved."""
    start = len(network.witnessed)
    await until(lambda: sum(one.outcome.code == "00" for one in network.witnessed[start:]) >= count)


async def load_over(network: Witness, cards: dict[str, IssuedCard], outage: AbstractAsyncContextManager[None]) -> None:
    """Load before, during and after the outage; at the end nothing is left to be told."""
    load = LoadSettings(window=256, rate=40.0, seconds=300, seed=11, cards=tuple(cards))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_load, network, load)
        await ordinary_traffic(network, 40)
        before = len(network.witnessed)
        async with outage:
            pass
        assert "91" in network.heard(since=before)
        await ordinary_traffic(network, 40)
        nursery.cancel_scope.cancel()
    with trio.fail_after(30):
        await network.settled()


def check(daemon: Daemon, house: House, network: Witness, cards: dict[str, IssuedCard]) -> None:
    """Everything that must hold after an outage."""
    requests = [one for one in network.witnessed if not one.outcome.message.act.must_be_accepted]
    assert [one.outcome for one in requests if one.outcome.code is None] == []
    slowest = max(one.seconds for one in requests)
    assert slowest <= BOUND_SECONDS, f"a request was answered after {slowest:.2f} s"
    assert sum(network.counts[f"{mti} sent"] for mti in ("0121", "0221", "0421")) > 0, "no advice met the outage"
    assert missing(house, network, cards) == []
    assert all(booked_twice(house, card) == [] for card in cards.values())
    assert differences(house, network, cards) == []
    assert house.faults() == []
    assert daemon.alive
    assert daemon.stop() == 0


async def withdrawals_done(daemon: Daemon) -> None:
    """Late approvals are taken back after their 91: the network hears nothing of it, so the metric is asked."""
    await until(lambda: daemon.metric("switch_withdrawals_waiting") + daemon.metric("switch_queue_depth") == 0)


@pytest.mark.long
async def test_stopped_for_ten_seconds(house: House, postgres: EmbeddedPostgres) -> None:
    cards = new_cards(house, 8)
    with running(Daemon(house, "stopped", deadline_seconds=DEADLINE_SECONDS)) as daemon:
        async with network_to([daemon], cards, habits=HABITS) as network:
            await load_over(network, cards, stopped(postgres, 10.0))
            await withdrawals_done(daemon)
            assert daemon.metric("switch_database_failures_total") > 0
            check(daemon, house, network, cards)


@pytest.mark.long
@pytest.mark.parametrize(
    ("seconds", "unit_timeout_seconds"), [(6.0, 15.0), (4.0, 1.5)], ids=["the_daemon_waits", "the_daemon_breaks_off"]
)
async def test_frozen_for_seconds(
    house: House, postgres: EmbeddedPostgres, seconds: float, unit_timeout_seconds: float
) -> None:
    cards = new_cards(house, 8)
    daemon = Daemon(house, f"frozen_{seconds:.0f}", deadline_seconds=DEADLINE_SECONDS)
    daemon.set("[database]", f"unit_timeout_seconds = {unit_timeout_seconds}")
    with running(daemon):
        async with network_to([daemon], cards, habits=HABITS) as network:
            await load_over(network, cards, frozen(postgres, seconds))
            await withdrawals_done(daemon)
            check(daemon, house, network, cards)
