"""What is done with each frame of a session, as far as that takes no waiting.

The reader hands over complete frames. Polls, 0800s, refusals and format errors are answered on the spot; what the house
must see comes back as arrivals. The room's docstring has the policy as a table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from math import inf
from time import perf_counter, thread_time
from typing import Protocol

import structlog
import trio

from switch.contracts.message import Answer, Request
from switch.contracts.reason import Reason
from switch.network.arrival import Arrival, Route
from switch.network.closing import CloseReason
from switch.network.dialogue import Dialogue
from switch.network.link import Link
from switch.network.log_meter import LogMeter
from switch.network.polls import PollMeter
from switch.wire.errors import DecodeFailure, WireError
from switch.wire.inbound import Inbound, ManagementFunction, Reject

__all__ = ["Reception", "Sender"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Sender(Route, Protocol):
    """The session, as its reception needs it."""

    def post(self, payload: bytes) -> bool:
        """Queues one message; False when the session has ended, or ended over it."""

    def post_poll(self) -> None:
        """Queues a frame of length zero."""

    def close(self, reason: CloseReason) -> None:
        """Ends the session."""


class Reception:
    """The state of one session's sign-on, polls and draining. Never blocks.

    Invariant: ``stats.sessions_signed_on`` counts this session while it is signed on and not :meth:`end`-ed.
    """

    def __init__(self, link: Link, sender: Sender) -> None:
        self.draining = False
        self.was_signed_on = False  # at any time
        self.sign_on_due = inf  # when our own sign-on must have been answered; inf: none is on its way
        self.first_sign_on_due = inf  # when either side must have signed on for the first time; inf: never, or it has
        self.signed_off = trio.Event()  # our sign-off was answered
        self.stumbled = False  # the last turn ended with a message that could not be read
        self._link = link
        self._settings = link.settings
        self._stats = link.stats
        self._codec = link.codec
        self._sender = sender
        self._dialogue = Dialogue(link.dialect.management)
        self._polls = PollMeter(trio.current_time())
        self._rejections = LogMeter(trio.current_time())  # by field
        self._counted_as_signed_on = False
        self._refusal: Answer | None = None  # what a request gets without the house; None: it is welcome
        if link.settings.sign_on_required and link.settings.sign_on_timeout_seconds:
            self.first_sign_on_due = trio.current_time() + link.settings.sign_on_timeout_seconds
        self._note_sign_on()

    @property
    def signed_on(self) -> bool:
        """Whether either side's sign-on holds."""
        return self._dialogue.signed_on

    def sign_on(self) -> None:
        """Sends our own sign-on."""
        self.sign_on_due = trio.current_time() + self._settings.echo_timeout_seconds
        self.ask(ManagementFunction.SIGN_ON)

    def ask(self, function: ManagementFunction) -> None:
        """Sends an 0800 of ours. Raises WireError when it can't be written."""
        stan = self._dialogue.ask(function)
        self._sender.post(self._codec.encode_management(function, stan=stan, now=datetime.now(UTC)))
        self._note_sign_on()

    def begin_draining(self) -> None:
        """Refuses everything new from now on."""
        self.draining = True
        self._note_sign_on()

    def end(self) -> None:
        """The session has ended, and with it the sign-on. Tells how many lines about damaged messages were left out."""
        self._dialogue.signed_on = False
        self._note_sign_on()
        if left_out := self._rejections.left_out:
            log.warning("frames_rejected_unlogged", session=self._sender.label, fields=left_out)

    # ── frames

    def take_in(self, frames: deque[bytes]) -> list[Arrival]:
        """Takes frames out of ``frames`` until the turn is over; answers what the house need not see, returns the rest.

        A message that can't be read ends it: each costs as much as several sound ones, and nobody waits for its answer.
        All of a turn carry the same times: those of its beginning. What stays in ``frames`` has not been received yet,
        no more than what the kernel still has of this session.
        """
        if self._link.drain.begun:
            # The drainer may not have had its turn yet, and nothing is taken in after the drain has begun.
            self.begin_draining()
        now = trio.current_time()
        received_at = datetime.now(UTC)
        received_monotonic = perf_counter()
        turn_ends = thread_time() + self._settings.turn_seconds
        request_deadline = now + self._settings.request_deadline_seconds
        decode, network, stats = self._codec.decode, self._settings.network, self._stats
        arrivals: list[Arrival] = []
        self.stumbled = False
        while frames and thread_time() < turn_ends:
            payload = frames.popleft()
            if not payload:
                self._take_poll(now)
                continue
            stats.frames_in += 1
            try:
                inbound = decode(payload, network=network, received_at=received_at)
            except DecodeFailure as failure:
                self._take_undecodable(failure, now)
                self.stumbled = True
                break
            request = inbound.request
            if request is None:
                self._take_management(inbound)
            elif self._refusal is not None:
                self._refuse(inbound, request, self._refusal)
            else:
                arrival = Arrival(
                    inbound=inbound,
                    request=request,
                    dialect=self._link.dialect,
                    route=self._sender,
                    received_at=received_at,
                    received_monotonic=received_monotonic,
                    deadline=request_deadline if request.kind.is_request else inf,
                )
                arrivals.append(arrival)
        return arrivals

    def _take_poll(self, now: float) -> None:
        self._stats.polls_in += 1
        if self._polls.should_answer(now):
            self._stats.polls_answered += 1
            self._sender.post_poll()

    def _take_undecodable(self, failure: DecodeFailure, now: float) -> None:
        self._stats.decode_failures += 1
        left_out = self._rejections.due(failure.field, now)
        if left_out is not None:
            log.warning(
                "frame_rejected",
                session=self._sender.label,
                field=failure.field,
                offset=failure.offset,
                answered=failure.answer is not None,
                left_out=left_out,
            )
        if failure.answer is not None:
            self._sender.post(failure.answer)

    def _refuse(self, inbound: Inbound, request: Request, refusal: Answer) -> None:
        answered = request.kind.is_request
        log.warning(
            "message_refused",
            session=self._sender.label,
            mti=request.mti,
            stan=request.stan,
            reason=refusal.reason.value,
            answered=answered,
        )
        if not answered:
            self._stats.advices_ignored += 1
            return
        self._stats.requests_refused += 1
        self._reply(inbound, partial(self._codec.encode_answer, inbound, refusal))

    def _reply(self, inbound: Inbound, encode: Callable[[], bytes]) -> None:
        try:
            self._sender.post(encode())
        except WireError as failure:
            # What could be read can nearly always be echoed; where it can't, silence does less harm than an end.
            self._stats.encode_failures += 1
            log.warning("answer_unencodable", session=self._sender.label, mti=inbound.mti, error=type(failure).__name__)

    # ── network management

    def _take_management(self, inbound: Inbound) -> None:
        management = inbound.management
        if management is None:
            if inbound.reject is not None:
                self._take_reject(inbound.reject)
            else:
                self._take_answer(inbound)
            return
        if self.draining and management.function is ManagementFunction.SIGN_ON:
            reason = Reason.UNAVAILABLE
        else:
            reason = self._dialogue.asked(management.function)
        log.info(
            "management_answered",
            session=self._sender.label,
            function=management.function.value,
            stan=management.stan,
            reason=reason.value,
        )
        self._reply(inbound, partial(self._codec.encode_management_answer, inbound, reason=reason))
        self._note_sign_on()

    def _take_answer(self, inbound: Inbound) -> None:
        """An answer of the peer: of all that there are, we only ever wait for 0810s."""
        fields = inbound.fields
        dialect = self._link.dialect
        stan, code = fields.get(dialect.elements.stan, ""), fields.get(dialect.management.code_field)
        said = None
        if code is not None:
            said = dialect.management_functions.get(code, ManagementFunction.OTHER)
        approved = fields.get(dialect.elements.response_code) == self._link.approved_code
        function = self._dialogue.answered(stan, said=said, approved=approved) if inbound.mti[1:3] == "81" else None
        if function is None:
            self._stats.answers_unexpected += 1
            near = self._dialogue.nearest(inbound.mti, stan, said)
            log.warning(
                "answer_unexpected",
                session=self._sender.label,
                mti=inbound.mti,
                stan=stan,
                nearest=near.question,
                differs=near.differs,
            )
        elif function is ManagementFunction.SIGN_ON:
            self.sign_on_due = inf
            if approved:
                self._note_sign_on()
            else:
                self._sender.close(CloseReason.SIGN_ON_REFUSED)
        elif function is ManagementFunction.SIGN_OFF:
            self.signed_off.set()

    def _take_reject(self, reject: Reject) -> None:
        """The peer could not read a message of ours. What may be sent instead is the dialect's policy."""
        self._stats.messages_rejected += 1
        log.warning(
            "message_rejected",
            session=self._sender.label,
            code=reject.code,
            mti=reject.mti,
            stan=reject.stan,
            answered=reject.answer is not None,
        )
        if reject.answer is not None:
            self._sender.post(reject.answer)
        asked = reject.mti == self._link.dialect.management.request
        if asked and self._dialogue.rejected(reject.stan) is ManagementFunction.SIGN_ON:
            self._sender.close(CloseReason.SIGN_ON_REFUSED)

    def _note_sign_on(self) -> None:
        """Keeps the gauge and the refusal in step with the dialogue."""
        signed_on = self._dialogue.signed_on
        if signed_on is not self._counted_as_signed_on:
            self._counted_as_signed_on = signed_on
            if signed_on:
                self.was_signed_on = True
                self.first_sign_on_due = inf
            self._stats.sessions_signed_on += 1 if signed_on else -1
            log.info("sign_on_changed", session=self._sender.label, signed_on=signed_on)
        if self.draining:
            self._refusal = self._link.draining
        elif signed_on or not self._settings.sign_on_required:
            self._refusal = None
        else:
            self._refusal = self._link.not_signed_on
