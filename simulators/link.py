"""One TCP session from the acquirer network to the switch.

Theory of operation. A reader task cuts what arrives into frames and hands each answer to whoever waits for it; a writer
task sends everything that was posted since its last turn in one piece, so that many requests in flight cost few system
calls. An answer is recognised by class of message, STAN (DE11) and time (DE7, or what the network has in its place).
Sign-ons and echoes that the switch sends are answered here. What nobody waits for is kept as a *stray*: late answers,
answers to raw frames.

A broken connection ends both tasks; everyone who waits then gets None.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import trio

from simulators.messages import AnswerCodes
from switch.wire.codec import Codec
from switch.wire.errors import WireError
from switch.wire.framing import Framer
from switch.wire.inbound import ManagementFunction

__all__ = ["Link", "LinkRefused", "OnAnswer", "connect", "open_link"]

_FRAME_BYTES_MAX = 8_192
_READ_BYTES = 65_536
_STRAYS_MAX = 1_000

#: Gets the fields of the answer, or None when the connection broke before there was one.
OnAnswer = Callable[[dict[str, str] | None], None]


class LinkRefused(Exception):
    """The switch can't be reached, or did not accept the sign-on."""


class Link:
    """A session. Made by :func:`connect`; ``name`` is for people."""

    def __init__(self, codec: Codec, stream: trio.abc.Stream, name: str) -> None:
        self.codec = codec
        self.name = name
        self.closed = trio.Event()
        self.strays: deque[dict[str, str]] = deque(maxlen=_STRAYS_MAX)
        self.poll_count = 0
        self._stream = stream
        self._framer = Framer(codec.dialect.framing, _FRAME_BYTES_MAX)
        self._waiting: dict[str, OnAnswer] = {}
        self._behind: dict[str, deque[OnAnswer]] = {}
        self._outgoing = bytearray()
        self._work = trio.Event()
        self._stray_came = trio.Event()
        self._management_stan = 0
        self._scope = trio.CancelScope()

    def key(self, fields: Mapping[str, str]) -> str:
        """The key that a message shares with its answer: class (MTI position 2), STAN, its time."""
        at = self.codec.dialect.elements
        return f"{fields['t'][1]}{fields.get(at.stan, '')}{fields.get(at.sequence_time, '')}"

    @property
    def in_flight(self) -> int:
        """How many answers are waited for."""
        return len(self._waiting)

    # ── asking

    async def ask(self, fields: Mapping[str, str], seconds: float) -> dict[str, str] | None:
        """Sends ``fields`` and waits for the answer; None when there is none within ``seconds`` or the link broke.

        Raises EncodeFailure when the dialect can't express the fields.
        """
        came = trio.Event()
        answers: list[dict[str, str] | None] = []

        def take(answer: dict[str, str] | None) -> None:
            answers.append(answer)
            came.set()

        key = self.key(fields)
        self.post(key, self.frame(fields), take)
        try:
            with trio.move_on_after(seconds):
                await came.wait()
        finally:
            self.forget(key, take)
        return answers[0] if answers else None

    def post(self, key: str, frame: bytes | bytearray, on_answer: OnAnswer) -> None:
        """Queues a frame; ``on_answer`` is called once, by the reader. On a broken link it gets None at once."""
        if self.closed.is_set():
            on_answer(None)
            return
        if key in self._waiting:
            # A repeat while its first form is still in flight: the answers come in the same order.
            self._behind.setdefault(key, deque()).append(on_answer)
        else:
            self._waiting[key] = on_answer
        self._outgoing += frame
        self._work.set()

    def forget(self, key: str, on_answer: OnAnswer) -> None:
        """Nobody waits for this answer any more; if it still comes, it is a stray."""
        behind = self._behind.get(key)
        if self._waiting.get(key) is on_answer:
            self._next_in_line(key)
        elif behind is not None and on_answer in behind:
            behind.remove(on_answer)

    def frame(self, fields: Mapping[str, str]) -> bytes:
        """``fields`` as bytes with the length in front."""
        return self._framer.encode(self.codec.encode(fields))

    # ── raw, for nasty tests

    def send_payload(self, payload: bytes) -> None:
        """Queues any payload with its length in front; ``b""`` is a poll."""
        self.send_bytes(self._framer.encode(payload))

    def send_bytes(self, data: bytes) -> None:
        """Queues bytes as they are, sound frames or not."""
        self._outgoing += data
        self._work.set()

    async def next_stray(self) -> dict[str, str]:
        """The oldest message that nobody waited for; waits until there is one."""
        while not self.strays:
            self._stray_came = trio.Event()
            await self._stray_came.wait()
        return self.strays.popleft()

    # ── network management

    async def manage(self, function: ManagementFunction, seconds: float) -> str | None:
        """Sends a sign-on, sign-off or echo; DE39 of the answer, or None."""
        self._management_stan += 1
        stan = f"{self._management_stan:06d}"
        payload = self.codec.encode_management(function, stan=stan, now=datetime.now(UTC))
        answer = await self.ask(self.codec.decode_fields(payload), seconds)
        return None if answer is None else answer.get(self.codec.dialect.elements.response_code, "")

    # ── the tasks

    async def _read(self) -> None:
        """Until the peer closes, breaks, or sends what is no frame."""
        while True:
            try:
                data = await self._stream.receive_some(_READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not data:
                return
            try:
                for payload in self._framer.feed(data):
                    if payload:
                        self._take(payload)
                    else:
                        # A poll is not answered: one end that answers is enough, and two make a storm.
                        self.poll_count += 1
            except WireError:
                return

    def _take(self, payload: bytes) -> None:
        fields = self.codec.decode_fields(payload)
        mti = fields["t"]
        management = self.codec.dialect.management
        if mti in (management.request, management.repeat):
            inbound = self.codec.decode(payload, network=self.codec.dialect.name, received_at=datetime.now(UTC))
            self.send_payload(self.codec.encode_management_answer(inbound))
            return
        on_answer = self._next_in_line(self.key(fields)) if mti[2] in "135" else None
        if on_answer is not None:
            on_answer(fields)
        else:
            self.strays.append(fields)
            self._stray_came.set()

    def _next_in_line(self, key: str) -> OnAnswer | None:
        """Who waits for an answer with this key, no longer waiting; whoever is behind moves up."""
        first = self._waiting.pop(key, None)
        behind = self._behind.get(key) if self._behind else None
        if behind is not None:
            if behind:
                self._waiting[key] = behind.popleft()
            if not behind:
                del self._behind[key]
        return first

    async def _write(self) -> None:
        """Sends what has gathered, in one piece."""
        while True:
            if not self._outgoing:
                self._work = trio.Event()
                await self._work.wait()
            data, self._outgoing = self._outgoing, bytearray()
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Reads and writes until the connection ends or :meth:`close`, then tells everyone who waits."""
        try:
            async with self._stream, trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                nursery.start_soon(self._until_it_ends, self._read)
                nursery.start_soon(self._until_it_ends, self._write)
                task_status.started()
        finally:
            self.closed.set()
            waiting = [*self._waiting.values(), *(one for line in self._behind.values() for one in line)]
            self._waiting.clear()
            self._behind.clear()
            for on_answer in waiting:
                on_answer(None)

    def close(self) -> None:
        """Ends the session without a sign-off, as a cut cable would."""
        self._scope.cancel()

    async def _until_it_ends(self, part: Callable[[], Awaitable[None]]) -> None:
        await part()
        self._scope.cancel()


async def connect(
    nursery: trio.Nursery,
    codec: Codec,
    host: str,
    port: int,
    *,
    sign_on: bool = True,
    seconds: float = 5.0,
    name: str = "",
) -> Link:
    """A connected session whose tasks live in ``nursery``, signed on unless told otherwise.

    Raises:
        LinkRefused: no connection within ``seconds`` seconds, or the sign-on was not accepted.
    """
    stream: trio.SocketStream | None = None
    try:
        with trio.move_on_after(seconds):
            stream = await trio.open_tcp_stream(host, port)
    except OSError as exc:
        raise LinkRefused(f"no connection to {host}:{port}") from exc
    if stream is None:
        raise LinkRefused(f"no connection to {host}:{port} within {seconds:g} s")
    link = Link(codec, stream, name or f"{codec.dialect.name} {host}:{port}")
    await nursery.start(link.run)
    if sign_on:
        code = await link.manage(ManagementFunction.SIGN_ON, seconds)
        if code != AnswerCodes.of(codec.dialect).managed:
            link.close()
            raise LinkRefused(f"{link.name}: the sign-on was answered with {code or 'nothing'}")
    return link


@asynccontextmanager
async def open_link(
    codec: Codec, host: str, port: int, *, sign_on: bool = True, seconds: float = 5.0
) -> AsyncIterator[Link]:
    """One session for a block of code, signed off and closed at its end. Raises as :func:`connect`, in a group."""
    async with trio.open_nursery() as nursery:
        link = await connect(nursery, codec, host, port, sign_on=sign_on, seconds=seconds)
        try:
            yield link
            if sign_on and not link.closed.is_set():
                await link.manage(ManagementFunction.SIGN_OFF, seconds)
        finally:
            link.close()
