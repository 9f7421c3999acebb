"""The seam between trio and asyncio, and what is hastened in it."""

from __future__ import annotations

import asyncio

import pytest
import trio
import trio_asyncio

from switch.journal.bridge import asyncio_loop, on_asyncio


class Turns(trio.abc.Instrument):
    """Counts the turns of trio's scheduler."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, _timeout: float) -> None:
        self.count += 1


async def many_callbacks(number: int) -> int:
    """Each wakes the coroutine once."""
    for _ in range(number):
        await asyncio.sleep(0)
    return number


async def turns_for(number: int) -> int:
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    assert await on_asyncio(many_callbacks, number) == number
    trio.lowlevel.remove_instrument(turns)
    return turns.count


async def test_a_turn_of_the_scheduler_takes_many_callbacks() -> None:
    async with trio_asyncio.open_loop():
        slow = await turns_for(100)
    async with asyncio_loop():
        quick = await turns_for(100)
    assert slow >= 100
    assert quick < 20


async def test_other_tasks_get_their_turn_between_many_callbacks() -> None:
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(1)
            await trio.lowlevel.checkpoint()

    async with asyncio_loop(), trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await on_asyncio(many_callbacks, 1_000)
        nursery.cancel_scope.cancel()
    assert len(seen) >= 10


async def test_timers_errors_and_cancellation_cross() -> None:
    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise LookupError("there")

    ended: list[str] = []

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("long")

    async with asyncio_loop():
        with pytest.raises(LookupError, match="there"):
            await on_asyncio(fail)
        with trio.move_on_after(0.05) as patience:
            await on_asyncio(long)
        assert patience.cancelled_caught
    assert ended == ["long"]
