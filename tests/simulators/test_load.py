"""The load generator: it ends when told, draws the same from the same seed, and loses no message."""

from __future__ import annotations

import msgspec
import pytest
import trio

from simulators.cards import load_cards
from simulators.load import MIX, LoadResult, LoadSettings, run_load
from simulators.network import AcquirerNetwork, Endpoint, Habits
from tests.simulators.responder import DIALECTS, Responder, accepting, dialect, until

#: Every answer comes, however busy the machine is.
PATIENT = Habits(answer_timeout=10, retry_after=0.01, reconnect_after=0.01, stand_in_max_minor=3_000)
#: Some answers never come, and that shall be noticed soon.
SOON = Habits(answer_timeout=0.2, retry_after=0.01, reconnect_after=0.01, stand_in_max_minor=3_000)


async def run(settings: LoadSettings, nursery: trio.Nursery) -> tuple[LoadResult, list[Responder], AcquirerNetwork]:
    switches = [Responder(accepting(name), name) for name in DIALECTS]
    for switch in switches:
        await nursery.start(switch.run)
    endpoints = [Endpoint(switch.codec.dialect, "127.0.0.1", switch.port, 2) for switch in switches]
    network = AcquirerNetwork(endpoints, load_cards(), habits=PATIENT)
    await nursery.start(network.run)
    with trio.fail_after(20):
        result = await run_load(network, settings)
        await network.settled()
    return result, switches, network


async def test_closed_loop_ends_at_its_count(nursery: trio.Nursery) -> None:
    result, switches, network = await run(LoadSettings(count=400, window=16, seed=3), nursery)
    assert (result.sent, result.answered, result.unanswered) == (400, 400, 0)
    assert sum(result.codes.values()) == sum(result.acts.values()) == 400
    assert set(result.acts) <= set(MIX)
    assert len(result.acts) > 8
    assert sum(len(switch.received) for switch in switches) == 400
    assert all(len(switch.received) > 200 / len(switches) for switch in switches), "every network is used"
    assert not list(network.books.doubts())
    network.books.check_invariants()
    assert result.latency_ms["p50"] <= result.latency_ms["p99"] <= result.latency_ms["p100"]
    assert result.latency_from == "sending"
    nursery.cancel_scope.cancel()


async def test_the_same_seed_draws_the_same_requests(nursery: trio.Nursery) -> None:
    """With one in flight there is no race, so everything that was sent is the same, reversals and repeats included."""
    sent: list[list[tuple[str, str, str]]] = []
    for _ in range(2):
        _, switches, _ = await run(LoadSettings(count=60, window=1, seed=5), nursery)
        sent.append([(f["t"], f["2"], f["4"]) for switch in switches for f in switch.received])
    assert sent[0] == sent[1]
    nursery.cancel_scope.cancel()


async def test_seconds_end_it_too(nursery: trio.Nursery) -> None:
    result, _, _ = await run(LoadSettings(seconds=0.2, window=2, seed=1), nursery)
    assert result.answered == result.sent > 0
    assert 0.2 <= result.seconds < 5
    nursery.cancel_scope.cancel()


async def test_open_loop_keeps_its_rate_and_counts_from_the_schedule(nursery: trio.Nursery) -> None:
    result, _, _ = await run(LoadSettings(count=40, rate=200, seed=1), nursery)
    assert result.answered == 40
    assert result.seconds >= 39 / 200
    assert result.latency_from == "schedule"
    nursery.cancel_scope.cancel()


async def test_a_stall_shows_in_every_message_that_it_delayed(nursery: trio.Nursery) -> None:
    """One in flight, 20 ms each, 200 a second: the tenth was due after 45 ms and is answered after 200."""
    switch = Responder()
    switch.delay = 0.02
    await nursery.start(switch.run)
    habits = Habits(answer_timeout=5)
    network = AcquirerNetwork([Endpoint(dialect(), "127.0.0.1", switch.port)], load_cards(), habits=habits)
    await nursery.start(network.run)
    result = await run_load(network, LoadSettings(count=10, rate=200, window=1, seed=1))
    assert result.latency_ms["p100"] >= 10 * 20 - 45 - 10
    nursery.cancel_scope.cancel()


async def test_a_switch_that_goes_away_costs_no_message(nursery: trio.Nursery) -> None:
    switch = Responder()
    await nursery.start(switch.run)
    network = AcquirerNetwork([Endpoint(dialect(), "127.0.0.1", switch.port)], load_cards(), habits=SOON)
    await nursery.start(network.run)
    results: list[LoadResult] = []

    async def load() -> None:
        results.append(await run_load(network, LoadSettings(count=300, window=8, seed=2)))

    with trio.fail_after(20):
        async with trio.open_nursery() as loading:
            loading.start_soon(load)
            await until(lambda: network.counts["answered"] >= 100)
            switch.kill()
            await until(lambda: not network.live_links("iso87_ascii"))
            again = Responder()
            await nursery.start(again.run)
            network.moved("iso87_ascii", "127.0.0.1", again.port)
        await network.settled()
    result = results[0]
    assert result.sent == 300 == result.answered + result.unanswered
    assert not [m for m in network.books.doubts() if m.act.moves_money]
    network.books.check_invariants()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"count": 0},
        {"count": 1, "window": 0},
        {"seconds": 0},
        {"count": 1, "rate": 0},
        {"count": 1, "mix": {"authorization": 0}},
        {"count": 1, "mix": {"authorisation": 1}},
        {"count": 1, "mix": {"authorization": 2, "repeat": -1}},
    ],
)
def test_settings_that_can_not_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"mix|count|seconds"):
        msgspec.convert(wrong, LoadSettings)
