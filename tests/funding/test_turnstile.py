"""How many purchases begin to wait for their money beside ordinary ones. Trio's mock clock: nobody waits."""

from __future__ import annotations

import trio
import trio.testing

from switch.funding.turnstile import Turnstile


class Crowd:
    """Purchases that want in; each says when it is let in, and what it was told."""

    def __init__(self, turnstile: Turnstile, nursery: trio.Nursery, *, parked: bool = True) -> None:
        self.turnstile = turnstile
        self.parked = parked  # at once
        self.nursery = nursery
        self.told: list[bool] = []

    async def come(self, count: int, seconds: float = 1_000.0) -> None:
        async def one() -> None:
            self.told.append(await self.turnstile.enter(trio.current_time() + seconds))
            if self.parked and self.told[-1]:
                self.turnstile.entered()

        for _ in range(count):
            self.nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()

    async def batch(self, messages: int, *, others_wait: bool = True) -> None:
        """Ordinary messages are decided; more of them wait."""
        self.turnstile.come_back(messages, others_wait=others_wait)
        if others_wait:
            self.turnstile.set_out()
        await trio.testing.wait_all_tasks_blocked()


async def test_alone_they_begin_as_they_come_a_few_at_a_time(autojump_clock: trio.testing.MockClock) -> None:
    turnstile = Turnstile(64, 0.0)
    async with trio.open_nursery() as nursery:
        crowd = Crowd(turnstile, nursery, parked=False)
        await crowd.come(40)
        assert 0 < len(crowd.told) < 40
        while len(crowd.told) < 40:
            before = len(crowd.told)
            turnstile.entered()
            await trio.testing.wait_all_tasks_blocked()
            assert len(crowd.told) <= before + 1
        assert all(crowd.told) and not turnstile.waiting


async def test_beside_ordinary_messages_one_begins_for_so_many(autojump_clock: trio.testing.MockClock) -> None:
    turnstile = Turnstile(64, 0.0)
    async with trio.open_nursery() as nursery:
        crowd = Crowd(turnstile, nursery)
        turnstile.set_out()
        assert turnstile.busy
        await crowd.come(100)
        first = len(crowd.told)
        assert first <= 8, "what was saved up is little"
        for number in range(1, 21):
            await crowd.batch(32)
            assert len(crowd.told) == first + number // 2
        await crowd.batch(0, others_wait=False)
        assert not turnstile.busy
        nursery.cancel_scope.cancel()


async def test_some_begin_each_second_in_any_case(autojump_clock: trio.testing.MockClock) -> None:
    turnstile = Turnstile(1_000_000, 50.0)
    async with trio.open_nursery() as nursery:
        crowd = Crowd(turnstile, nursery)
        turnstile.set_out()
        await crowd.batch(1)
        await crowd.come(200)
        first = len(crowd.told)
        for _ in range(100):
            await trio.sleep(0.01)
            await crowd.batch(1)
        assert abs(len(crowd.told) - first - 50) <= 1
        nursery.cancel_scope.cancel()


async def test_what_messages_and_time_allow_is_not_added_up(autojump_clock: trio.testing.MockClock) -> None:
    turnstile = Turnstile(64, 50.0)
    async with trio.open_nursery() as nursery:
        crowd = Crowd(turnstile, nursery)
        turnstile.set_out()
        await crowd.batch(1)
        await crowd.come(400)
        first = len(crowd.told)
        for _ in range(100):
            await crowd.batch(64)
            await trio.sleep(0.02)
            await crowd.batch(0)
        assert abs(len(crowd.told) - first - 100) <= 1
        for _ in range(100):
            await crowd.batch(128)
        assert abs(len(crowd.told) - first - 300) <= 8, "the one that earns more decides"
        nursery.cancel_scope.cancel()


async def test_who_has_not_begun_in_time_leaves(autojump_clock: trio.testing.MockClock) -> None:
    turnstile = Turnstile(64, 0.0)
    async with trio.open_nursery() as nursery:
        crowd = Crowd(turnstile, nursery)
        turnstile.set_out()
        await crowd.come(20, seconds=2.0)
        first = len(crowd.told)
        await trio.sleep(2.1)
        assert crowd.told[first:] == [False] * (20 - first)
        assert not turnstile.waiting
        await crowd.come(1, seconds=-1.0)
        assert crowd.told[-1] is False
        await crowd.batch(64)
        await crowd.come(1)
        assert crowd.told[-1] is True, "no place was lost"
