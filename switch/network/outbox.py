"""What waits to be sent on one session: frames from many hands, joined into one send."""

from __future__ import annotations

from collections.abc import Callable

import trio

__all__ = ["Outbox"]


class Outbox:
    """Bounded in bytes, those that are being sent included.

    :meth:`put` never blocks, so that whoever has a decision never waits for a slow peer. What the kernel takes at once
    is sent by :meth:`send_now`; the rest is the writer's: :meth:`take`, send, :meth:`sent`.
    """

    __slots__ = ("_being_sent", "_bytes_max", "_drained", "_finished", "_frames", "_ready", "_waiting_bytes")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._frames: list[bytes] = []
        self._waiting_bytes = 0
        self._finished = False
        self._being_sent = False  # by the writer
        self._ready: trio.Event | None = None  # the writer waits for frames
        self._drained: trio.Event | None = None  # somebody waits until all is sent

    @property
    def finished(self) -> bool:
        """Whether nothing more is taken in."""
        return self._finished

    @property
    def waiting_bytes(self) -> int:
        """Taken in and not yet given to the kernel."""
        return self._waiting_bytes

    def put(self, frame: bytes) -> bool:
        """Queues a frame. False: the bound is exceeded or the outbox finished, and the frame was not taken."""
        if self._finished or self._waiting_bytes + len(frame) > self._bytes_max:
            return False
        self._frames.append(frame)
        self._waiting_bytes += len(frame)
        return True

    def send_now(self, send: Callable[[bytes], int] | None) -> None:
        """Gives ``send`` what waits; it tells how many bytes it took. The rest, or without it all, is the writer's."""
        if self._being_sent or not self._frames:
            return  # the writer looks again when it is through
        if send is not None:
            data = b"".join(self._frames)
            self._frames.clear()
            taken = send(data)
            self.sent(taken)
            if taken == len(data):
                return
            self._frames.append(data[taken:])
        self._wake()

    def finish(self) -> None:
        """Takes nothing more in; the writer sends what is there, and then the end of the stream."""
        self._finished = True
        self._wake()

    async def take(self) -> bytes:
        """All that waits, joined; waits while there is nothing. Empty: finished, and all is sent."""
        self._being_sent = False
        # A loop, because what it was woken for may have been sent before its turn came.
        while not self._frames and not self._finished:
            self._ready = trio.Event()
            await self._ready.wait()
        data = b"".join(self._frames)
        self._frames.clear()
        self._being_sent = True
        return data

    def sent(self, count_bytes: int) -> None:
        """So many of the bytes taken are with the kernel now."""
        self._waiting_bytes -= count_bytes
        if self._drained is not None and not self._waiting_bytes:
            self._drained.set()
            self._drained = None

    async def drained(self) -> None:
        """Waits until everything taken in is sent."""
        if not self._waiting_bytes:
            return
        if self._drained is None:
            self._drained = trio.Event()
        await self._drained.wait()

    def _wake(self) -> None:
        if self._ready is not None:
            self._ready.set()
            self._ready = None
