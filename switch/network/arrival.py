"""One message on its way through the house, and the one answer that may be given to it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from math import inf
from typing import Protocol

import structlog
import trio

from switch.contracts.message import Answer, Request
from switch.contracts.reason import Reason
from switch.network.stats import NetworkStats
from switch.wire.dialect import Dialect
from switch.wire.inbound import Inbound

__all__ = ["Arrival", "Delivery", "Intake", "Route"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Delivery(StrEnum):
    """What became of an answer that the house gave.

    After LATE the network holds another answer than the house decided (91 for a missed deadline, 96 for an answer
    that could not be written), so an approval that was booked has to be undone, by a compensation or by the network's
    own reversal. After GONE the network holds none: it repeats, reverses, or asks again.
    """

    SENT = "sent"  # queued on the living session it came from
    LATE = "late"  # not sent: another answer has gone out before
    GONE = "gone"  # not sent, and no other was: the session has ended, or the message was dropped


class Intake(Protocol):
    """The house's door. It waits while the house is full, and that is the back-pressure: the session stops reading."""

    async def __call__(self, arrival: Arrival) -> None:
        """Takes the arrival over. Its deadline runs already. Every arrival must be answered or dropped some day."""


class Route(Protocol):
    """The way back, as an arrival needs it: the session it came from."""

    label: str
    stats: NetworkStats

    @property
    def gone(self) -> bool:
        """Whether nothing can be sent any more."""

    def send_answer(self, inbound: Inbound, answer: Answer) -> bool:
        """Encodes and queues; False when the session ended over it. Raises WireError where it can't be written."""

    def settled(self, arrival: Arrival) -> None:
        """The arrival is in flight no more."""


class Arrival:
    """One request, advice or reversal.

    It is settled once: by :meth:`answer`, by :meth:`drop`, by its deadline, or by the end of its session.
    ``deadline`` is ``inf`` for advices and reversals. ``answered_code`` is the DE39 that went out, empty while none
    has.

    All methods are to be called in trio's thread, in a task.
    """

    __slots__ = (
        "_route",
        "answered_code",
        "deadline",
        "dialect",
        "inbound",
        "received_at",
        "received_monotonic",
        "request",
        "settled",
    )

    def __init__(
        self,
        *,
        inbound: Inbound,
        request: Request,
        dialect: Dialect,
        route: Route,
        received_at: datetime,
        received_monotonic: float,
        deadline: float,
    ) -> None:
        self.inbound = inbound
        self.request = request
        self.dialect = dialect
        self.received_at = received_at  # UTC
        self.received_monotonic = received_monotonic  # time.perf_counter()
        self.deadline = deadline  # trio.current_time()
        self.settled = False
        self.answered_code = ""
        self._route = route

    @property
    def session(self) -> str:
        """The session's label, for logs: network, number and the peer's address."""
        return self._route.label

    @property
    def has_deadline(self) -> bool:
        """Whether it is a request, which is answered in time or with 91."""
        return self.deadline != inf

    def answer(self, answer: Answer) -> Delivery:
        """Encodes the answer and queues it on the session it belongs to. Never blocks; only the first call sends.

        A call after the deadline sends DEADLINE_MISSED instead, even where the watcher has not come to it yet: a busy
        program must not stretch the deadline.
        """
        if not self.settled:
            if self._route.gone:
                self._settle()
            elif trio.current_time() >= self.deadline:
                self.expire()
            elif self._send(answer):
                return Delivery.SENT
        if self.answered_code:
            self._route.stats.answers_late += 1
            self._log("answer_late", answered=self.answered_code)
            return Delivery.LATE
        self._route.stats.answers_undeliverable += 1
        self._log("answer_undeliverable")
        return Delivery.GONE

    def drop(self) -> None:
        """Settles without an answer: silence makes the network repeat an advice or reversal. No-op when settled."""
        if not self.settled:
            self._settle()

    def expire(self) -> None:
        """The deadline has passed: DEADLINE_MISSED goes out. No-op when settled; silent when the session has gone."""
        if self.settled:
            return
        if self._route.gone:
            self._settle()
            return
        self._route.stats.deadline_misses += 1
        self._log("deadline_missed")
        self._send(self._bare(Reason.DEADLINE_MISSED))

    def __repr__(self) -> str:
        return f"Arrival({self.session}, mti={self.request.mti}, stan={self.request.stan}, settled={self.settled})"

    def _send(self, answer: Answer) -> bool:
        """Settles with this answer, or with SYSTEM_ERROR where it can't be written. True when this one went out."""
        self._settle()
        if self._try(answer):
            return True
        if not self._route.gone and answer.reason is not Reason.SYSTEM_ERROR:
            self._try(self._bare(Reason.SYSTEM_ERROR))
        return False

    def _try(self, answer: Answer) -> bool:
        try:
            queued = self._route.send_answer(self.inbound, answer)
        except Exception as error:  # noqa: BLE001 a codec's mistake over one message must not stop the house's batch
            self._route.stats.encode_failures += 1
            # Only the type: the text of an unforeseen error may quote what it stumbled over.
            self._log("answer_unencodable", error=type(error).__name__, reason=answer.reason.value)
            return False
        if queued:
            self.answered_code = answer.response_code or self.dialect.response_code(answer.reason)
        return queued

    def _settle(self) -> None:
        self.settled = True
        self._route.settled(self)

    def _bare(self, reason: Reason) -> Answer:
        return Answer(reason=reason, response_code=self.dialect.response_code(reason))

    def _log(self, event: str, **more: str) -> None:
        log.warning(event, session=self.session, mti=self.request.mti, stan=self.request.stan, **more)
