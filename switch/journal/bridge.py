"""Where trio meets asyncio: asyncpg runs on an asyncio loop inside trio (trio-asyncio).

A crossing costs about 0.1 ms, so cross once a batch with a whole unit of work, never once a query. Guest mode and
threads were measured and are slower. Nothing else in the house imports trio_asyncio.

trio-asyncio's loop takes a turn of trio's scheduler (and a system call) for every single callback, and a query has
several; where many sessions are busy, all of them have their turn in between. :func:`_hasten` has it take what waits
in one turn, and :class:`_AtOnce` has no turn between a coroutine's start and its first query, or between PostgreSQL's
reply and the query that follows it. Both reach for names that trio-asyncio does not promise; its version is pinned,
and a test notices when they are gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar, TypeVarTuple

import trio
import trio_asyncio
from sniffio import thread_local as library

__all__ = ["asyncio_loop", "on_asyncio"]

#: So that a flood of callbacks does not keep the sessions waiting.
_CALLBACKS_PER_TURN = 64

T = TypeVar("T")
Args = TypeVarTuple("Args")


@asynccontextmanager
async def asyncio_loop() -> AsyncIterator[None]:
    """Keeps an asyncio loop alive for the tasks inside; :func:`on_asyncio` works only there."""
    async with trio_asyncio.open_loop() as loop:
        _hasten(loop)
        yield


async def on_asyncio(function: Callable[[*Args], Awaitable[T]], *args: *Args) -> T:
    """Runs an asyncio coroutine function from a trio task and gives back what it returns or raises.

    Cancelling the trio task cancels the coroutine and waits for it to end.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    loop = trio_asyncio.current_loop.get()

    async def call() -> T:
        return await function(*args)

    calling = call()
    try:
        future = loop.at_once(asyncio.ensure_future, calling, loop=loop)
    except BaseException:
        calling.close()
        raise
    result: T = await trio_asyncio.run_aio_future(future)
    return result


def _hasten(loop: trio_asyncio.TrioEventLoop) -> None:
    take_one = loop._main_loop_one  # noqa: SLF001 -- as said above

    async def take_several(no_wait: bool = False) -> None:
        await take_one(no_wait)
        if no_wait:
            return
        with suppress(trio.WouldBlock):
            for _ in range(_CALLBACKS_PER_TURN):
                await take_one(True)

    loop._main_loop_one = take_several  # noqa: SLF001 -- as said above
    # asyncio itself asks only in its debug mode whether a callback is a coroutine by mistake.
    loop._check_callback = _no_check  # noqa: SLF001 -- as said above
    loop.at_once = at_once = _AtOnce(loop)
    add_reader, synchronize = loop._add_reader, loop.synchronize  # noqa: SLF001 -- as said above
    loop._add_reader = lambda fd, callback, *args: add_reader(fd, at_once, callback, *args)  # noqa: SLF001 -- as said above

    async def wait_for_callbacks() -> None:
        if not at_once.may_run:
            await synchronize()

    # Called after each event of a socket, for what that called soon. Mostly that has run by then, and there is nothing
    # to wait for; the wait for the next event is a checkpoint.
    loop.synchronize = wait_for_callbacks


def _no_check(_callback: object, _method: str) -> None:
    """Takes any callback."""


class _AtOnce:
    """Calls a function, and then, in the same turn of the scheduler, what it called soon, and what that called soon.

    They run in the order in which asyncio would run them: where the loop has something else to run first, they wait
    for their turn behind it.
    """

    def __init__(self, loop: trio_asyncio.TrioEventLoop) -> None:
        self._loop = loop
        self._calling = False

    @property
    def may_run(self) -> bool:
        """Whether the loop has nothing to run (its task waits for more), and no call is under way."""
        waiting: int = self._loop._q_recv.statistics().tasks_waiting_receive  # noqa: SLF001 -- as said above
        return waiting > 0 and not self._calling

    def __call__(self, function: Callable[..., T], *args: object, **keywords: object) -> T:
        """What ``function`` returns or raises."""
        if not self.may_run:
            return function(*args, **keywords)
        loop, soon, before = self._loop, deque[asyncio.Handle](), library.name
        try:
            self._calling = True
            loop._queue_handle = partial(_queued, soon)  # noqa: SLF001 -- as said above
            library.name = "asyncio"
            result = function(*args, **keywords)
            for _ in range(_CALLBACKS_PER_TURN):
                # What is no callback but a timer or a task of trio's is for the loop, and what follows it too.
                if not soon or type(soon[0]) is not asyncio.Handle:
                    break
                handle = soon.popleft()
                if not handle.cancelled():
                    handle._run()  # noqa: SLF001 -- as asyncio's own loops do
        finally:
            library.name = before
            vars(loop).pop("_queue_handle", None)
            self._calling = False
            for handle in soon:
                loop._queue_handle(handle)  # noqa: SLF001 -- as said above
        return result


def _queued(queue: deque[asyncio.Handle], handle: asyncio.Handle) -> asyncio.Handle:
    queue.append(handle)
    return handle
