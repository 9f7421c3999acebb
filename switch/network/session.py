"""One connection with a network, from its first byte to its last.

Theory of operation: four tasks live in one nursery and end together.

    ========  =====================================================================================
    reader    bytes to frames to messages, in turns with other sessions (see ``turns``); 0800s and refusals are answered
              on the spot, the rest goes to the intake
    writer    what waits in the outbox and the link's postman could not send at once (see ``postman``)
    keeper    echoes, the dead peer, the half frame, the sign-on that nobody answers
    drainer   sleeps until the program stops, then parts in order
    ========  =====================================================================================

Whoever finds a reason to end calls :meth:`Session.close`, which cancels the nursery; the first reason counts.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog
import trio

from switch.contracts.errors import InvariantBroken, SwitchError
from switch.contracts.message import Answer
from switch.network.arrival import Arrival
from switch.network.closing import CloseReason
from switch.network.connection import Connection, failure_text
from switch.network.in_flight import InFlight
from switch.network.link import Link
from switch.network.liveness import Due, Liveness
from switch.network.outbox import Outbox
from switch.network.plain import PlainStream
from switch.network.reception import Reception
from switch.network.turns import Share
from switch.wire.errors import FramingError
from switch.wire.inbound import Inbound, ManagementFunction

__all__ = ["Session"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_RECEIVE_BYTES = 65_536

_SIGN_OFF_SECONDS = 1.0
"""How long a stopping program waits for the 0810 to its sign-off."""

_PARTING_SECONDS = 0.5
"""How long it waits, after its last byte, for the peer to close. Closing over unread bytes resets the connection, and
a reset can take answers with it that the peer has not read yet."""


class Session:
    """Owns one stream. ``await session.run()`` returns when it has ended; only InvariantBroken leaves it.

    It counts as open from the moment it is made: whoever makes one runs it.

    Invariant: ``link.stats.in_flight`` counts this session's arrivals while it lives, and none after.
    """

    def __init__(self, link: Link, connection: Connection) -> None:
        now = trio.current_time()
        settings = link.settings
        self.link = link
        self.stats = link.stats
        self.label = connection.label
        self.close_reason: CloseReason | None = None
        self._lost_by = ""  # what broke the connection, where something did
        self._settings = settings
        self._connection = connection
        self._stream = connection.stream
        self._framer = link.framer()
        self._poll = self._framer.encode(b"")
        self._outbox = Outbox(settings.outbox_bytes_max)
        self._postman_called = False
        self._written = trio.Event()  # all is sent, and the end of the stream after it
        self._in_flight = InFlight()
        self._share = Share(link.turns, settings.turn_seconds, link.stats)
        self._liveness = Liveness(
            echo_interval=settings.echo_interval_seconds,
            echo_timeout=settings.echo_timeout_seconds,
            misses_max=settings.echo_misses_max,
            partial_timeout=settings.partial_frame_timeout_seconds,
            now=now,
        )
        self._opened_at = now
        self._buried = False  # the counts no longer include this session
        self._scope = trio.CancelScope()
        self._reception = Reception(link, self)
        link.sessions_open += 1
        self.stats.sessions_open += 1
        self.stats.sessions_opened += 1

    @property
    def was_signed_on(self) -> bool:
        """Whether it has been signed on at any time."""
        return self._reception.was_signed_on

    # ── the way back, as arrivals and the reception know it

    @property
    def gone(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.close_reason is not None or self._outbox.finished

    def send_answer(self, inbound: Inbound, answer: Answer) -> bool:
        """Encodes and queues; False when the session ended over it. Raises WireError where it can't be written."""
        return self.post(self.link.codec.encode_answer(inbound, answer))

    def post(self, payload: bytes) -> bool:
        """Queues one message; False when the session has ended, or ended over it.

        Raises FramingError, a WireError, when it is longer than a frame may be.
        """
        if not self._put(self._framer.encode(payload)):
            return False
        self.stats.frames_out += 1
        return True

    def post_poll(self) -> None:
        """Queues a frame of length zero."""
        self._put(self._poll)

    def _put(self, frame: bytes) -> bool:
        if self.gone:
            return False
        if self._outbox.put(frame):
            if not self._postman_called:
                self._postman_called = True
                self.link.postman.call(self._send_now)
            return True
        # Dropping one answer would be worse than dropping the session: the peer would wait for it in vain.
        self.close(CloseReason.PEER_NOT_READING)
        return False

    def _send_now(self) -> None:
        """The postman's: what the kernel takes at once."""
        self._postman_called = False
        try:
            self._outbox.send_now(self._stream.send_now if isinstance(self._stream, PlainStream) else None)
        except OSError as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        if self.close_reason is None:
            self._lost_by = failure_text(error)
        self.close(CloseReason.CONNECTION_LOST)

    def settled(self, arrival: Arrival) -> None:
        """The arrival is in flight no more."""
        if arrival.has_deadline:
            self.link.deadlines.discard(arrival)
        self._in_flight.remove()
        if not self._buried:
            self.stats.in_flight -= 1

    # ── life

    def close(self, reason: CloseReason) -> None:
        """Ends the session at once. Never blocks; the first reason counts."""
        if self.close_reason is None:
            self.close_reason = reason
        self._scope.cancel()

    async def run(self) -> CloseReason:
        """Until it ends; the reason is returned. Closes the stream whatever happens."""
        log.info("session_opened", session=self.label, tls=self._connection.tls)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    if self._settings.initiate_sign_on:
                        self._reception.sign_on()
                    for task in (self._read, self._write, self._keep, self._drain):
                        nursery.start_soon(self._guard, task)
        finally:
            self._bury()
            await trio.aclose_forcefully(self._stream)
        assert self.close_reason is not None
        return self.close_reason

    def _bury(self) -> None:
        if self.close_reason is None:
            self.close_reason = CloseReason.STOPPED
        self._buried = True
        self._reception.end()
        self.link.sessions_open -= 1
        self.stats.sessions_open -= 1
        self.stats.sessions_closed[self.close_reason] += 1
        self.stats.in_flight -= self._in_flight.count
        log.info(
            "session_closed",
            session=self.label,
            reason=self.close_reason.value,
            seconds=round(trio.current_time() - self._opened_at, 3),
            unsettled=self._in_flight.count,
            error=self._lost_by,
        )

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """Runs one of the four tasks: its failure ends this session and no other."""
        try:
            await task()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._lose(error)
        except InvariantBroken:
            # The books are in doubt: the program must stop, not just this session.
            raise
        except SwitchError as error:
            log.warning("session_rejected", session=self.label, error=type(error).__name__)
            self.close(CloseReason.REJECTED)
        except Exception as error:
            # One session's bug must not take the others along.
            if isinstance(error, ExceptionGroup) and error.subgroup(InvariantBroken) is not None:
                raise
            self.stats.sessions_crashed += 1
            # Types and places only, and so no log.exception: its text may quote the message it stumbled over.
            where = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
            log.critical("session_crashed", session=self.label, error=type(error).__name__, where=where)
            self.close(CloseReason.CRASHED)

    # ── the reader

    async def _read(self) -> None:
        receive = self._stream.receive_some
        while True:
            data = await receive(_RECEIVE_BYTES)
            if not data:
                await self._finish(CloseReason.DRAINED if self._reception.draining else CloseReason.PEER_CLOSED)
                return
            try:
                frames: Sequence[bytes] = self._framer.feed(data)
                broken = False
            except FramingError as failure:
                # What was complete before the impossible length is sound, and is served before the connection ends.
                frames = failure.frames
                broken = True
                self.stats.framing_failures += 1
                log.warning("framing_broken", session=self.label)
            self._liveness.received(trio.current_time(), frames=len(frames), pending_bytes=self._framer.pending_bytes)
            if frames:
                await self._take_in(deque(frames))
            if broken:
                await self._finish(CloseReason.FRAMING_ERROR)
                return

    async def _take_in(self, frames: deque[bytes]) -> None:
        """All frames of a read, a turn at a time, and no more than may be in flight."""
        self._liveness.block()
        while frames and self.close_reason is None:
            async with self._share:
                arrivals = self._reception.take_in(frames)
                if arrivals:
                    self._register(arrivals)
            if arrivals:
                await self._hand_over(arrivals)
                await self._in_flight.below(self._settings.in_flight_max)
            if self._reception.stumbled:
                await self._share.pause()
        self._liveness.unblock(trio.current_time())

    def _register(self, arrivals: list[Arrival]) -> None:
        """Counts a whole turn in, and puts it on the clock, before its first message waits for the house."""
        self._in_flight.add(len(arrivals))
        self.stats.in_flight += len(arrivals)
        for arrival in arrivals:
            if arrival.has_deadline:
                self.link.deadlines.add(arrival)

    async def _hand_over(self, arrivals: list[Arrival]) -> None:
        try:
            for arrival in arrivals:
                # One that was answered while those before it waited for room has nothing left to decide.
                if not arrival.settled:
                    await self.link.intake(arrival)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            # Not this connection's: the house has closed its door.
            log.warning("session_rejected", session=self.label, error=type(error).__name__)
            self.close(CloseReason.REJECTED)

    async def _finish(self, reason: CloseReason) -> None:
        """The peer sends no more, or nothing readable: what is in flight is still answered, then the session ends."""
        # A little longer than the deadline, so that every request in flight is settled by then, if only with 91.
        with trio.move_on_after(self._settings.request_deadline_seconds + _PARTING_SECONDS):
            await self._in_flight.below(1)
        self._outbox.finish()
        await self._written.wait()  # bounded by the writer's own time-out
        self.close(reason)

    # ── the writer

    async def _write(self) -> None:
        while True:
            data = await self._outbox.take()
            with trio.move_on_after(self._settings.send_timeout_seconds) as timeout:
                if data:
                    await self._stream.send_all(data)
                else:
                    # A peer that has gone meanwhile misses nothing but the goodbye.
                    with suppress(trio.BrokenResourceError):
                        await self._stream.send_eof()
            if timeout.cancelled_caught:
                self.close(CloseReason.PEER_NOT_READING)
                return
            if not data:
                self._written.set()
                return
            self._outbox.sent(len(data))

    # ── the keeper

    async def _keep(self) -> None:
        while True:
            now = trio.current_time()
            if now >= self._reception.sign_on_due:
                self.close(CloseReason.SIGN_ON_UNANSWERED)
                return
            if now >= self._reception.first_sign_on_due:
                self.close(CloseReason.NEVER_SIGNED_ON)
                return
            misses = self._liveness.misses
            due = self._liveness.check(now)
            self.stats.echoes_missed += self._liveness.misses - misses
            if due is Due.DEAD:
                self.close(CloseReason.PEER_DEAD)
                return
            if due is Due.STALLED:
                self.close(CloseReason.PARTIAL_FRAME)
                return
            if due is Due.ECHO:
                self._reception.ask(ManagementFunction.ECHO)
            sign_on_due = min(self._reception.sign_on_due, self._reception.first_sign_on_due)
            await trio.sleep_until(min(self._liveness.due_at(now), sign_on_due))

    # ── the drainer

    async def _drain(self) -> None:
        await self.link.drain.wait()
        self._reception.begin_draining()
        with trio.move_on_at(self.link.drain.deadline):
            await self._in_flight.below(1)
        if self._reception.signed_on and self.link.can_say(ManagementFunction.SIGN_OFF):
            with trio.move_on_after(_SIGN_OFF_SECONDS):
                self._reception.ask(ManagementFunction.SIGN_OFF)
                await self._reception.signed_off.wait()
        self._outbox.finish()
        await self._outbox.drained()  # bounded by the writer's own time-out
        # The reader ends the session before, when the peer closes in answer to our end of the stream.
        await trio.sleep(_PARTING_SECONDS)
        self.close(CloseReason.DRAINED)
