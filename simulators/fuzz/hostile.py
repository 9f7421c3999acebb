"""One hostile session: batches of damaged frames in few writes, and a new connection when the switch has had enough.

Theory of operation. A batch ends with a *sentinel*, a sound echo. Its answer tells that the switch has read the batch
and is still itself; then the session waits until the messages that ask for a decision are answered, and sends the next
one. A *wild* batch damages the stream itself: lengths that lie, bytes between frames, a frame that ends in its middle.
Nobody can tell then what will be answered, so the session ends its own half of the stream behind it, reads on until the
switch has answered what it could and closed, and connects again.

What the switch is held to is cut out of the very bytes that were sent, by the few lines of :func:`cut` and not by the
switch's framer.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import msgspec
import trio

from simulators.fuzz.forge import Forge
from simulators.fuzz.oracle import Oracle
from simulators.fuzz.pending import Pending
from switch.wire.codec import Codec
from switch.wire.errors import FramingError
from switch.wire.framing import Framer, Framing
from switch.wire.inbound import ManagementFunction

__all__ = ["Hostile", "Tally", "Target", "cut"]

#: What a listener takes unless it is told otherwise; a longer length breaks the stream.
_FRAME_BYTES_MAX = 8_192
_READ_BYTES = 65_536
_WILD_EVERY = 40  # batches
_SLOW_EVERY, _SLOW_FRAMES = 8, 3
_SHIFTED = "shifted"  # a payload that nobody wrote: the stream was damaged before it
#: Longer than the switch takes to answer 91 and to part with a peer.
_PATIENCE_SECONDS = 15.0
_PROBLEMS_MAX = 20


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the switch listens. ``sign_on``: whether a session begins with one, as the listener's settings demand."""

    host: str
    port: int
    sign_on: bool = False


class Tally(msgspec.Struct, kw_only=True):
    """What all hostile sessions have counted together."""

    frames: int = 0
    bytes_sent: int = 0
    damage: Counter[str] = msgspec.field(default_factory=Counter)  # frames by what was done to them
    asked: int = 0  # of them can still be read as sound messages that want a decision
    answers: Counter[str] = msgspec.field(default_factory=Counter)  # by DE39
    approved_after: Counter[str] = msgspec.field(default_factory=Counter)  # approvals, by what had been done
    silent: int = 0  # sound messages without an answer
    connections: int = 0
    problems: list[str] = msgspec.field(default_factory=list)
    problem_count: int = 0

    def problem(self, text: str) -> None:
        """Something that must not be. Only the first ones are kept; all are counted."""
        self.problem_count += 1
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(text)


def cut(stream: bytes, framing: Framing) -> list[bytes]:
    """The payloads that a reader of ``stream`` comes by; up to a length that can't be, where the stream ends for it."""
    payloads: list[bytes] = []
    at, width = 0, 2 if framing is Framing.LENGTH2 else 4
    while at + width <= len(stream):
        prefix = stream[at : at + width]
        if framing is Framing.ASCII4:
            if not prefix.isdigit():
                break
            length = int(prefix)
        else:
            if prefix[2:].strip(b"\x00"):
                break
            length = prefix[0] << 8 | prefix[1]
        at += width
        if length > _FRAME_BYTES_MAX or at + length > len(stream):
            break
        if length:
            payloads.append(stream[at : at + length])
        at += length
    return payloads


class Hostile:
    """A session that is one after the other: connect, send, listen, lose the connection, connect again."""

    def __init__(
        self, target: Target, codec: Codec, forge: Forge, oracle: Oracle, rng: random.Random, tally: Tally
    ) -> None:
        self._target = target
        self._codec = codec
        self._forge = forge
        self._oracle = oracle
        self._rng = rng
        self._tally = tally
        self._framing = codec.dialect.framing
        self._framer = Framer(self._framing, _FRAME_BYTES_MAX)
        self._stan = 0
        rules = codec.dialect.messages.values()
        self._requests_answered = frozenset(rule.response for rule in rules if rule.kind.is_request)
        self._begin()

    def _begin(self) -> None:
        """A new connection knows nothing of the last one's messages."""
        self._pending = Pending(self._oracle, sign_on=self._target.sign_on)
        self._sentinel = ""
        self._heard = trio.Event()
        self._ended = False

    async def run(self, take: Callable[[int], int], pace: Callable[[], Awaitable[None]], batch_frames: int) -> None:
        """Sends what ``take`` allots, batch by batch, until that is nothing. Raises OSError where nobody listens."""
        frames = take(batch_frames)
        while frames:
            self._begin()
            stream = await trio.open_tcp_stream(self._target.host, self._target.port)
            self._tally.connections += 1
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, stream)
                frames = await self._talk(stream, frames, take, pace, batch_frames)
                nursery.cancel_scope.cancel()

    async def _talk(
        self,
        stream: trio.SocketStream,
        frames: int,
        take: Callable[[int], int],
        pace: Callable[[], Awaitable[None]],
        batch_frames: int,
    ) -> int:
        """Batches until there is no work or no connection; how many frames are still to be sent."""
        while frames:
            await pace()
            wild = self._rng.randrange(_WILD_EVERY) == 0
            writes = self._wild_batch(frames) if wild else self._batch(frames)
            sent = await self._sent(stream, writes, last=wild)
            frames = take(batch_frames)
            if wild or not sent:
                await self._until(lambda: self._ended, "the switch did not close a stream that had ended")
                self._count_silent()
                return frames
            await self._until(lambda: self._ended or not self._sentinel, "an echo was not answered")
            await self._until(lambda: self._ended or not self._pending.unheard, "a sound message was not answered")
            self._count_silent()
            if self._ended:
                self._tally.problem("the switch closed a stream of sound frames")
                return frames
        return frames

    # ── sending

    def _batch(self, frames: int) -> list[bytes]:
        """Damaged payloads in sound frames, in one write but for a few that go byte by byte; then the sentinel."""
        slow = range(0)
        if self._rng.randrange(_SLOW_EVERY) == 0:
            first = self._rng.randrange(frames)
            slow = range(first, first + _SLOW_FRAMES)
        writes = [bytearray(self._sign_on())]
        names: dict[bytes, str] = {}
        for number in range(frames):
            name, payload = self._forge.payload()
            frame = self._framer.encode(payload)
            names[payload] = name
            self._tally.damage[name] += 1
            if number in slow:
                writes += [bytearray([byte]) for byte in frame]
                writes.append(bytearray())
            else:
                writes[-1] += frame
        writes[-1] += self._management(ManagementFunction.ECHO)
        return self._noted(writes, names, frames)

    def _wild_batch(self, frames: int) -> list[bytes]:
        """One write with a frame among the others that is none."""
        stream = bytearray(self._sign_on())
        names: dict[bytes, str] = {}
        broken = self._rng.randrange(frames)
        for number in range(frames):
            name, payload = self._forge.payload()
            frame = self._framer.encode(payload)
            names[payload] = name
            if number == broken:
                name, frame = self._broken(frame)
            self._tally.damage[name] += 1
            stream += frame
        return self._noted([stream], names, frames)

    def _noted(self, writes: list[bytearray], names: Mapping[bytes, str], frames: int) -> list[bytes]:
        """Counts a batch, and keeps what its messages ask for, before the first byte leaves."""
        self._tally.frames += frames
        for payload in cut(b"".join(writes), self._framing):
            self._tally.asked += self._pending.sent(names.get(payload, _SHIFTED), payload)
        return [bytes(data) for data in writes if data]

    def _broken(self, frame: bytes) -> tuple[str, bytes]:
        """A frame that damages the stream behind it."""
        rng = self._rng
        match rng.randrange(4):
            case 0:
                width = self._framing.prefix_bytes
                length = len(frame) - width + rng.choice((-30, -3, -1, 1, 3, 30, 4_000))
                return "frame length lies", Framer(self._framing, 9_999).encode(bytes(max(0, length)))[:width] + frame[
                    width:
                ]
            case 1:
                return "bytes between frames", rng.randbytes(rng.choice((1, 2, 3, 50))) + frame
            case 2:
                return "frame broken off", frame[: rng.randrange(1, len(frame))]
            case _:
                return "poll", self._framer.encode(b"") + frame

    def _sign_on(self) -> bytes:
        """For every batch anew: a damaged echo may have become a sign-off."""
        return self._management(ManagementFunction.SIGN_ON) if self._target.sign_on else b""

    def _management(self, function: ManagementFunction) -> bytes:
        self._stan = self._stan % 999_999 + 1
        stan = f"{self._stan:06d}"
        if function is ManagementFunction.ECHO:
            self._sentinel = stan
        return self._framer.encode(self._codec.encode_management(function, stan=stan, now=datetime.now(UTC)))

    async def _sent(self, stream: trio.SocketStream, writes: list[bytes], *, last: bool) -> bool:
        """Whether all bytes left. After the ``last`` ones our half of the stream is ended."""
        with trio.move_on_after(_PATIENCE_SECONDS) as patience:
            try:
                for data in writes:
                    # Each anew: what this process itself needs for hundreds of writes is not the switch's fault.
                    patience.deadline = trio.current_time() + _PATIENCE_SECONDS
                    await stream.send_all(data)
                    self._tally.bytes_sent += len(data)
                if last:
                    await stream.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return False
            return True
        self._tally.problem("the switch does not read")
        return False

    # ── listening

    async def _listen(self, stream: trio.SocketStream) -> None:
        framer = Framer(self._framing, _FRAME_BYTES_MAX)
        while True:
            try:
                data = await stream.receive_some(_READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                self._ended = True
                self._heard.set()
                return
            try:
                came = framer.feed(data)
            except FramingError:
                self._tally.problem("the switch sent what is no frame")
                came = []
            for payload in came:
                if payload:
                    self._take(payload)
            self._heard.set()

    def _take(self, payload: bytes) -> None:
        oracle, tally = self._oracle, self._tally
        answer = oracle.fields(payload)
        if answer is None:
            tally.problem("an answer can't be read")
            return
        management = self._codec.dialect.management
        if answer["t"] in {management.request, management.response}:
            if answer["t"] == management.response and answer.get(self._codec.dialect.elements.stan) == self._sentinel:
                self._sentinel = ""
            return
        at = self._codec.dialect.elements
        code = answer.get(at.response_code, "none")
        tally.answers[code] += 1
        self._pending.heard(answer)
        if not oracle.approves(answer):
            return
        found = self._pending.explained(answer)
        if isinstance(found, str):
            tally.problem(f"{answer['t']} {code}, STAN {answer.get(at.stan, '')}: {found}")
            return
        tally.approved_after[found.name] += 1
        if answer["t"] in self._requests_answered:
            self._forge.give_back(found.fields)

    async def _until(self, reached: Callable[[], bool], problem: str) -> None:
        """Waits for the listener; a wait that is too long is a ``problem``, where one is named."""
        with trio.move_on_after(_PATIENCE_SECONDS) as patience:
            while not reached():
                self._heard = trio.Event()
                await self._heard.wait()
        if patience.cancelled_caught and problem:
            self._tally.problem(problem)

    def _count_silent(self) -> None:
        self._tally.silent += self._pending.next_batch()
