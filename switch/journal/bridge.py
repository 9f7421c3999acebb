"""Where trio meets asyncio: asyncpg runs on an asyncio loop inside trio (trio-asyncio).

A crossing costs about 0.1 ms, so cross once a batch with a whole unit of work, never once a query. Guest mode and
threads were measured and are slower. Nothing else in the house imports trio_asyncio.

trio-asyncio's loop takes a turn of trio's scheduler (and a system call) for every single callback, and a query has
several. :func:`_hasten` has it take what waits in one turn. With one message in flight that saves a fifth of the
daemon's CPU, at half of the maximum rate a third of the 99th percentile. It reaches for two names that trio-asyncio
does not promise; its version is pinned, and a test notices when they are gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar, TypeVarTuple

import trio
import trio_asyncio

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


def _no_check(_callback: object, _method: str) -> None:
    """Takes any callback."""


async def on_asyncio(function: Callable[[*Args], Awaitable[T]], *args: *Args) -> T:
    """Runs an asyncio coroutine function from a trio task and gives back what it returns or raises.

    Cancelling the trio task cancels the coroutine and waits for it to end.
    """
    result: T = await trio_asyncio.aio_as_trio(function)(*args)
    return result
