"""Where trio meets asyncio: asyncpg runs on an asyncio loop inside trio (trio-asyncio).

A crossing costs about 0.1 ms, so cross once a batch with a whole unit of work, never once a query. Guest mode and
threads were measured and are slower. Nothing else in the house imports trio_asyncio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, TypeVarTuple

import trio_asyncio

__all__ = ["asyncio_loop", "on_asyncio"]

T = TypeVar("T")
Args = TypeVarTuple("Args")


@asynccontextmanager
async def asyncio_loop() -> AsyncIterator[None]:
    """Keeps an asyncio loop alive for the tasks inside; :func:`on_asyncio` works only there."""
    async with trio_asyncio.open_loop():
        yield


async def on_asyncio(function: Callable[[*Args], Awaitable[T]], *args: *Args) -> T:
    """Runs an asyncio coroutine function from a trio task and gives back what it returns or raises.

    Cancelling the trio task cancels the coroutine and waits for it to end.
    """
    result: T = await trio_asyncio.aio_as_trio(function)(*args)
    return result
