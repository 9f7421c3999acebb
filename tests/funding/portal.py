"""trio in a thread of its own, for tests that have no loop: what they tell it is done there, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import trio

__all__ = ["Portal"]

P = TypeVar("P")
T = TypeVar("T")
_SECONDS_MAX = 120.0


class Portal(Generic[P]):
    """Holds a place open, whatever is at work in it, and lets :meth:`do` something there until :meth:`close`."""

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[P]]) -> None:
        self._replies: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._broken: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(opening,), daemon=True)
        self._thread.start()
        self._token: trio.lowlevel.TrioToken
        self._send: trio.MemorySendChannel[Callable[[P], Awaitable[Any]]]
        self._token, self._send = self._reply()

    def do(self, work: Callable[[P], Awaitable[T]]) -> T:
        """Does it, and gives or raises what came of it; also what broke the place meanwhile, each time it is asked again."""
        try:
            self._token.run_sync_soon(self._send.send_nowait, work)
        except trio.RunFinishedError:
            self._thread.join(_SECONDS_MAX)
            raise self._broken or AssertionError("the place is closed") from None
        done: T = self._reply()
        return done

    def close(self) -> None:
        """Closes the place, and raises what went wrong there at last."""
        if self._thread.is_alive():
            self._token.run_sync_soon(self._send.close)
            self._thread.join(_SECONDS_MAX)
            assert not self._thread.is_alive(), "it does not end"
        if not self._replies.empty():
            self._reply()

    def _reply(self) -> Any:
        value, error = self._replies.get(timeout=_SECONDS_MAX)
        if error is not None:
            raise error
        return value

    def _run(self, opening: Callable[[], AbstractAsyncContextManager[P]]) -> None:
        try:
            trio.run(self._main, opening)
        except BaseException as error:  # noqa: BLE001 -- raised in the test's thread
            self._broken = error
            self._replies.put((None, error))

    async def _main(self, opening: Callable[[], AbstractAsyncContextManager[P]]) -> None:
        send, told = trio.open_memory_channel[Callable[[P], Awaitable[Any]]](1)
        async with opening() as place:
            self._replies.put(((trio.lowlevel.current_trio_token(), send), None))
            async for work in told:
                try:
                    self._replies.put((await work(place), None))
                except Exception as error:  # noqa: BLE001 -- raised in the test's thread
                    self._replies.put((None, error))
