"""What the network tests share: a listener on a real socket, a peer on the other end, and a house that only collects."""

from __future__ import annotations

import functools
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.network.arrival import Arrival, Delivery, Intake
from switch.network.drain import Drain
from switch.network.listener import ListenerAddress, serve_listener
from switch.network.settings import ListenerSettings
from switch.network.stats import NetworkStats
from switch.wire.dialect import Dialect
from switch.wire.framing import Framer
from tests.wire.support import codec, dialect, purchase

PATIENCE_SECONDS = 5.0
"""How long a test waits for something that should come at once."""

MESSAGE_MTI = {"sign_on": "001", "sign_off": "002", "echo": "301"}


class House:
    """The other side of the intake: arrivals wait in order; ``room`` bounds them, and then the intake blocks."""

    def __init__(self, room: int = 100_000) -> None:
        self._send, self._receive = trio.open_memory_channel[Arrival](room)

    async def intake(self, arrival: Arrival) -> None:
        await self._send.send(arrival)

    async def next(self) -> Arrival:
        with trio.fail_after(PATIENCE_SECONDS):
            return await self._receive.receive()

    @property
    def waiting(self) -> int:
        return self._send.statistics().current_buffer_used

    @property
    def blocked(self) -> int:
        """How many sessions wait for room."""
        return self._send.statistics().tasks_waiting_send

    async def approve_next(self) -> Delivery:
        return (await self.next()).answer(approval())

    async def approve_all(self) -> None:
        while True:
            (await self._receive.receive()).answer(approval())


def approval() -> Answer:
    return Answer(reason=Reason.APPROVED, response_code="00", approval_code="A1B2C3")


class Peer:
    """A card network on one connection: its own framer, the same codec."""

    def __init__(self, stream: Any, name: str = "iso87_ascii", frame_bytes_max: int = 8192) -> None:
        self.stream = stream  # a SocketStream, or TLS on one
        self.codec = codec(name)
        self.framer = Framer(dialect(name).framing, frame_bytes_max)
        self._received: list[bytes] = []

    def frame(self, fields: dict[str, str]) -> bytes:
        return self.framer.encode(self.codec.encode(fields))

    async def send(self, data: bytes) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            await self.stream.send_all(data)

    async def say(self, **changes: str | None) -> None:
        """A purchase with changes: ``t`` the MTI, ``f11`` the STAN."""
        await self.send(self.frame(purchase(**changes)))

    async def manage(self, what: str, stan: str = "900001", mti: str = "0800") -> None:
        await self.send(self.frame({"t": mti, "7": "0615030405", "11": stan, "70": MESSAGE_MTI.get(what, what)}))

    async def answer(self, asked: dict[str, str], code: str = "00") -> None:
        """The 0810 to an 0800 of the switch."""
        fields = {"t": "0810", "39": code}
        fields.update({key: asked[key] for key in ("7", "11", "70")})
        await self.send(self.frame(fields))

    async def payload(self) -> bytes | None:
        """The next frame's payload, b"" for a poll, None at the end of the connection."""
        with trio.fail_after(PATIENCE_SECONDS):
            while not self._received:
                try:
                    data = await self.stream.receive_some(65_536)
                except trio.BrokenResourceError:
                    return None
                if not data:
                    return None
                self._received += self.framer.feed(data)
        return self._received.pop(0)

    async def hears(self) -> dict[str, str]:
        """The next message."""
        payload = await self.payload()
        assert payload is not None, "the switch has closed the connection"
        return self.codec.decode_fields(payload)

    async def hears_code(self, mti: str = "0110") -> tuple[str, str]:
        """STAN and DE39 of the next message, which must be of this type."""
        message = await self.hears()
        assert message["t"] == mti
        return message["11"], message["39"]

    async def sign_on(self) -> None:
        await self.manage("sign_on")
        assert await self.hears_code("0810") == ("900001", "00")

    async def hears_nothing_more(self) -> None:
        """Sends an echo: its answer must be the next thing that comes."""
        await self.manage("echo", "999999")
        assert await self.hears_code("0810") == ("999999", "00")

    def reset(self) -> None:
        """Goes away at once, as a machine does that loses its power and is asked again later."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()

    async def is_closed(self) -> bool:
        return await self.payload() is None


class Served:
    """A listener that runs."""

    def __init__(self, name: str, address: ListenerAddress, stats: NetworkStats, drain: Drain) -> None:
        self.name = name
        self.address = address
        self.stats = stats
        self.drain = drain
        self.finished = trio.Event()
        self._streams: list[trio.SocketStream] = []

    async def stream(self, source: str | None = None) -> trio.SocketStream:
        """A bare connection, from an address of the loopback network."""
        stream = await trio.open_tcp_stream(self.address.host, self.address.port, local_address=source)
        self._streams.append(stream)
        return stream

    async def connect(self, source: str | None = None) -> Peer:
        return Peer(await self.stream(source), self.name)

    async def signed_on(self) -> Peer:
        peer = await self.connect()
        await peer.sign_on()
        return peer

    def close_peers(self) -> None:
        for stream in self._streams:
            stream.socket.close()


@asynccontextmanager
async def serving(
    house: House | Intake,
    name: str = "iso87_ascii",
    *,
    grace_seconds: float = 5.0,
    speaking: Dialect | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """A listener on any free port; its settings as keywords. Everything is closed at the end of the block.

    ``speaking`` is the dialect where it isn't the one of that name that came with the program.
    """
    stats, drain = NetworkStats(), Drain(grace_seconds)
    async with trio.open_nursery() as nursery:
        serve = functools.partial(
            serve_listener,
            ListenerSettings(dialect=name, host="127.0.0.1", port=0, **settings),
            house.intake if isinstance(house, House) else house,
            dialect=speaking or dialect(name),
            stats=stats,
            drain=drain,
        )
        finished = trio.Event()

        async def run(*, task_status: trio.TaskStatus[ListenerAddress]) -> None:
            await serve(task_status=task_status)
            finished.set()

        served = Served(name, await nursery.start(run), stats, drain)
        served.finished = finished
        try:
            yield served
        finally:
            nursery.cancel_scope.cancel()
            served.close_peers()
    assert stats.sessions_open == 0
    assert stats.sessions_signed_on == 0
    assert stats.in_flight == 0


async def until(condition: Callable[[], object]) -> None:
    """Waits for something that has no event, within bounds."""
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():
            await trio.lowlevel.checkpoint()
