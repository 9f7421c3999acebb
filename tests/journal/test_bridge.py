"""The seam between trio and asyncio, and what is hastened in it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio_asyncio

from switch.journal.bridge import asyncio_loop, on_asyncio

Crossing = Callable[[Callable[[int], Awaitable[int]], int], Awaitable[int]]


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


async def many_replies(number: int) -> int:
    """As many requests, each sent when the one before was answered, by a thread of its own."""
    ours, theirs = socket.socketpair()

    def answer() -> None:
        with theirs:
            while request := theirs.recv(1):
                theirs.sendall(request)

    peer = threading.Thread(target=answer)
    peer.start()
    reader, writer = await asyncio.open_connection(sock=ours)
    for _ in range(number):
        writer.write(b"?")
        assert await reader.readexactly(1) == b"?"
    writer.close()
    await writer.wait_closed()
    peer.join()
    return number


async def as_it_comes(function: Callable[[int], Awaitable[int]], number: int) -> int:
    """With trio-asyncio alone."""
    result: int = await trio_asyncio.aio_as_trio(function)(number)
    return result


async def turns_for(cross: Crossing, function: Callable[[int], Awaitable[int]], number: int) -> int:
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    assert await cross(function, number) == number
    trio.lowlevel.remove_instrument(turns)
    return turns.count


async def test_a_turn_of_the_scheduler_takes_many_callbacks() -> None:
    async with trio_asyncio.open_loop():
        slow = await turns_for(as_it_comes, many_callbacks, 100)
    async with asyncio_loop():
        quick = await turns_for(on_asyncio, many_callbacks, 100)
    assert slow >= 100
    assert quick < 20


async def test_the_next_request_leaves_in_the_turn_of_the_reply() -> None:
    async with trio_asyncio.open_loop():
        slow = await turns_for(as_it_comes, many_replies, 100)
    async with asyncio_loop():
        quick = await turns_for(on_asyncio, many_replies, 100)
    assert slow >= 300
    # One for each reply; a few more to begin and to end.
    assert quick < 150


async def test_a_coroutine_begins_in_the_turn_that_calls_it() -> None:
    turns = Turns()

    async def begin() -> int:
        return turns.count

    async with asyncio_loop():
        await on_asyncio(many_callbacks, 1)
        trio.lowlevel.add_instrument(turns)
        called = turns.count
        assert await on_asyncio(begin) == called
        trio.lowlevel.remove_instrument(turns)


async def test_a_call_that_is_cancelled_already_does_not_begin() -> None:
    seen: list[str] = []

    async def begin() -> None:
        seen.append("begun")

    async with asyncio_loop():
        with trio.CancelScope() as scope:
            scope.cancel()
            await on_asyncio(begin)
    assert scope.cancelled_caught
    assert seen == []


async def test_what_a_callback_called_before_it_failed_is_called() -> None:
    """The loop tells of the failure, as trio-asyncio's does: by ending."""
    seen: list[str] = []
    ours, theirs = socket.socketpair()

    def fail() -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(ours)
        loop.call_soon(seen.append, "soon")
        loop.call_later(0, seen.append, "later")
        raise LookupError("there")

    async def read() -> None:
        asyncio.get_running_loop().add_reader(ours, fail)
        theirs.send(b"?")
        await asyncio.sleep(60)

    async def cross() -> None:
        async with asyncio_loop():
            await on_asyncio(many_callbacks, 1)
            await on_asyncio(read)

    with ours, theirs, pytest.raises(ExceptionGroup) as told:
        await cross()
    assert told.group_contains(LookupError, match="there")
    assert seen[:1] == ["soon"]


async def test_what_was_called_before_comes_before() -> None:
    seen: list[str] = []

    async def called() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(seen.append, "third")
        loop.call_later(0, lambda: None)  # is for the loop, and so is what follows
        loop.call_soon(seen.append, "third again")
        seen.append("second")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append("fourth")

    async with asyncio_loop():
        await on_asyncio(many_callbacks, 1)
        trio_asyncio.current_loop.get().call_soon(seen.append, "first")
        await on_asyncio(called)
    assert seen == ["first", "second", "third", "third again", "fourth"]


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
