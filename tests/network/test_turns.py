"""Turns: whoever has much to say keeps nobody waiting, and who says little does not wait."""

from __future__ import annotations

from collections import deque
from time import thread_time

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from switch.network.stats import NetworkStats
from switch.network.turns import Credit, Share, Turns
from tests.network.support import House, Peer, serving, until
from tests.wire.support import purchase


class Rounds(trio.abc.Instrument):
    """Counts the scheduler's rounds: between two of them it looks for what sockets have to say."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_one_has_its_turn_in_each_round_of_the_scheduler() -> None:
    turns, rounds = Turns(), Rounds()
    had: dict[str, list[int]] = {"one": [], "two": [], "three": []}

    async def talk(name: str) -> None:
        for _ in range(4):
            async with turns:
                had[name].append(rounds.count)

    trio.lowlevel.add_instrument(rounds)
    async with trio.open_nursery() as nursery:
        for name in had:
            nursery.start_soon(talk, name)
    trio.lowlevel.remove_instrument(rounds)
    all_turns = sorted(number for numbers in had.values() for number in numbers)
    assert len(set(all_turns)) == len(all_turns) == 12, "two had a turn in one round"
    # In turn: nobody has a second one before all have had their first.
    assert max(numbers[0] for numbers in had.values()) < min(numbers[1] for numbers in had.values())


def test_credit_is_used_up_and_comes_back_slowly() -> None:
    credit = Credit(0.002, now=0.0)
    assert credit.is_left(0.0)
    credit.use(0.0015)
    assert credit.is_left(0.0)
    credit.use(0.001)
    assert not credit.is_left(0.0)
    assert not credit.is_left(0.015)
    assert credit.is_left(0.025)


def test_a_long_use_is_not_held_against_a_session_for_ever() -> None:
    credit = Credit(0.002, now=0.0)
    credit.use(3_600)
    assert not credit.is_left(0.06)
    assert credit.is_left(0.1)


@given(
    steps=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.01)), max_size=50),
)
def test_a_session_takes_no_more_than_its_share_without_waiting(steps: list[tuple[float, float]]) -> None:
    credit, now, used = Credit(0.002, now=0.0), 0.0, deque([0.0])
    for pause, seconds in steps:
        now += pause
        if credit.is_left(now):
            turn = min(seconds, 0.002)
            credit.use(turn)
            used.append(turn)
    assert sum(used) <= 0.002 + now * 0.025 + 0.002 + 1e-9


async def test_pauses_are_one_after_the_other_whoever_has_them(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(turns.pause, 2.0)
    assert trio.current_time() - began == pytest.approx(6.0)


async def test_only_who_had_to_wait_for_a_turn_has_a_pause(autojump_clock: trio.testing.MockClock) -> None:
    share = Share(Turns(), 0.02, NetworkStats())  # so that its credit takes most of a second to come back
    began = trio.current_time()
    async with share:
        _work(0.03)
    await share.pause()
    assert trio.current_time() == began
    async with share:
        _work(0.01)
    await share.pause()
    assert trio.current_time() >= began + 0.03


def _work(seconds: float) -> None:
    """Uses the processor for so long."""
    until = thread_time() + seconds
    while thread_time() < until:
        pass


@pytest.mark.parametrize("frames", [1, 40])
async def test_what_does_not_fit_a_turn_is_taken_in_the_next_ones(frames: int) -> None:
    house = House()
    async with serving(house, sign_on="optional", turn_seconds=0.000_1) as served:
        peer = await served.connect()
        stans = [f"{number:06d}" for number in range(1, frames + 1)]
        # All at once, and each longer than a turn: so in one read, and in as many turns.
        await peer.send(b"".join([peer.frame(purchase(f11=stan)) for stan in stans]))
        for stan in stans:
            arrival = await house.next()
            assert arrival.request.stan == stan
            arrival.drop()
        assert (served.stats.turns_awaited > 0) is (frames > 1)


async def test_a_flood_on_one_session_leaves_another_its_turn() -> None:
    house = House()
    async with serving(house, sign_on="optional", turn_seconds=0.000_1) as served:
        flood, buyer = await served.connect(), await served.connect()
        await flood.send(b"".join([_damaged(flood, number) for number in range(400)]))
        await until(lambda: served.stats.decode_failures)
        await buyer.say(f11="900001")
        arrival = await house.next()
        # The purchase came when the first damaged messages were through, and before the last ones.
        assert arrival.request.stan == "900001"
        assert served.stats.decode_failures < 400
        arrival.drop()
        await until(lambda: served.stats.decode_failures == 400)


def _damaged(peer: Peer, number: int) -> bytes:
    payload = peer.codec.encode(purchase(f11=f"{number:06d}"))
    return peer.framer.encode(payload[:-1])


async def test_messages_beyond_in_flight_max_are_not_taken_in_though_they_were_read() -> None:
    house = House()
    async with serving(house, sign_on="optional", turn_seconds=0.000_1, in_flight_max=2) as served:
        peer = await served.connect()
        await peer.send(b"".join([peer.frame(purchase(f11=f"{number:06d}")) for number in range(1, 31)]))
        for number in range(1, 31):
            arrival = await house.next()
            assert arrival.request.stan == f"{number:06d}"
            # A turn may hold some more than one message, but not all of them.
            assert served.stats.in_flight < 20
            arrival.drop()
