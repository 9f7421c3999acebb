"""TCP without TLS, as thin as trio allows: a turn of the scheduler less for each read, and sends that need none."""

from __future__ import annotations

import os

import trio

__all__ = ["PlainStream"]


class PlainStream(trio.abc.HalfCloseableStream):
    """One end of a TCP connection. One task reads, one sends; breaks with OSError as well as BrokenResourceError.

    trio's own stream tries each read before it waits, which on a connection where nobody talks all the time is in
    vain, and costs as much again as the read that succeeds.
    """

    def __init__(self, transport: trio.SocketStream) -> None:
        self._transport = transport
        self._socket = transport.socket

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What the peer has said; empty at its end."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return os.read(self._socket.fileno(), max_bytes or 65_536)
            except BlockingIOError:
                continue  # woken for nothing, which select(2) warns of

    def send_now(self, data: bytes) -> int:
        """How many of the bytes the kernel took at once. Not to be called while :meth:`send_all` is under way."""
        try:
            return os.write(self._socket.fileno(), data)
        except BlockingIOError:
            return 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Sends, however long the peer takes."""
        await self._transport.send_all(data)

    async def send_eof(self) -> None:
        """Ends our direction. The reader may go on."""
        await self._transport.send_eof()

    async def wait_send_all_might_not_block(self) -> None:
        """As the transport's."""
        await self._transport.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Closes the connection."""
        await self._transport.aclose()
