"""TLS on a connection: the standard library's protocol engine, which does no I/O, between a stream and its user.

trio has such a stream too. This one differs in what a session with a network needs: it can say goodbye in one
direction and go on listening (``send_eof``), so that a session parts the same way with TLS and without; and when a
handshake fails it sends the alert, so that the peer's operator reads why.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import trio

__all__ = ["TlsStream"]

_RECEIVE_BYTES = 65_536

_ALERT_SECONDS = 0.5
"""How long a peer that is given up may take to hear why. Closing over unread bytes resets the connection, and the reset
can overtake the alert."""


class TlsStream(trio.abc.HalfCloseableStream):
    """One end of a TLS connection; a client when it has a ``server_name`` to check. One task reads, one sends.

    As everywhere in trio, BrokenResourceError ends the stream; its cause is the SSLError or OSError. An end of the
    TCP connection without TLS's own goodbye counts as an end, since a message carries its length: half of one is
    noticed where frames are cut.
    """

    def __init__(self, transport: trio.SocketStream, context: ssl.SSLContext, *, server_name: str | None) -> None:
        self._transport = transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._engine = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        # The reader sends too, now and then (the answer to a key update); records leave in the order they were made.
        self._sending = trio.Lock()
        self._failure: ssl.SSLError | None = None
        self._parted = False  # our goodbye is said

    @property
    def version(self) -> str:
        """Of the protocol, after the handshake."""
        return self._engine.version() or ""

    @property
    def peer_certificate(self) -> Mapping[str, Any]:
        """What the peer has shown and was checked, as :meth:`ssl.SSLSocket.getpeercert`; empty where it need not."""
        return self._engine.getpeercert() or {}

    async def handshake(self) -> None:
        """To be done first. Raises BrokenResourceError."""
        while True:
            try:
                self._engine.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError as error:
                await self._send_alert()
                raise trio.BrokenResourceError("no TLS handshake") from error
            else:
                await self._flush()
                return

    async def give_up(self) -> None:
        """Lets a peer that gets no session hear what was sent, within bounds."""
        with trio.move_on_after(_ALERT_SECONDS), suppress(trio.BrokenResourceError):  # it may have gone before
            await self._transport.send_eof()
            await self._discard()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What the peer has said; empty at its end. Several records that are there already are joined."""
        limit = max_bytes or _RECEIVE_BYTES
        data = self._decrypted(limit)
        if data is not None:
            await trio.lowlevel.checkpoint()
        while data is None:
            await self._fill()
            data = self._decrypted(limit)
        if self._outgoing.pending:
            await (self._send_alert if self._failure else self._flush)()
        if data or not (self._parted or self._failure):
            return data
        if self._parted:
            # OpenSSL stops reading when our goodbye crosses with data. Nobody misses that; the peer's own end counts.
            await self._discard()
            return b""
        raise trio.BrokenResourceError("TLS broke") from self._failure

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts and sends."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._engine.write(rest) :]
        except ssl.SSLError as error:
            raise trio.BrokenResourceError("TLS broke") from error
        await self._flush()

    async def send_eof(self) -> None:
        """Says goodbye (close_notify), and ends our direction of the TCP connection. The reader may go on."""
        self._parted = True
        # The peer has not said goodbye yet, for which we don't wait; where TLS is broken, the reader is told.
        with suppress(ssl.SSLError):
            self._engine.unwrap()
        await self._flush()
        async with self._sending:
            await self._transport.send_eof()

    async def wait_send_all_might_not_block(self) -> None:
        """As the transport's."""
        async with self._sending:
            await self._transport.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Closes the TCP connection, without a goodbye."""
        await self._transport.aclose()

    def _decrypted(self, limit: int) -> bytes | None:
        """What can be had without waiting; None when nothing can."""
        data = bytearray()
        ended = self._failure is not None
        try:
            while len(data) < limit and not ended:
                piece = self._engine.read(limit - len(data))
                data += piece
                ended = not piece
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            ended = True
        except ssl.SSLError as error:
            ended = True
            self._failure = error
        return bytes(data) if data or ended else None

    async def _fill(self) -> None:
        data = await self._transport.receive_some(_RECEIVE_BYTES)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        async with self._sending:
            if data := self._outgoing.read():
                await self._transport.send_all(data)

    async def _discard(self) -> None:
        while await self._transport.receive_some(_RECEIVE_BYTES):
            pass

    async def _send_alert(self) -> None:
        with trio.move_on_after(_ALERT_SECONDS):
            await self._flush()
