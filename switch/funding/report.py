"""What becomes of purchases and attempts, as the network, the metrics and the log are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from switch.funding.attempt import AttemptState, PurchaseState
from switch.funding.store import Advance
from switch.issuer.books import Item
from switch.issuer.case import Decision
from switch.journal.funding_rows import AttemptRow
from switch.network.arrival import Arrival, Delivery

__all__ = ["Report", "TopUpStats", "Waiting"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass
class TopUpStats:
    """For the metrics."""

    parked: int = 0
    answers: Counter[str] = field(default_factory=Counter)  # by reason
    ends: Counter[str] = field(default_factory=Counter)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)  # by call and by what it came to; Outside's
    recovered: int = 0
    alerts: int = 0
    overdue: Counter[int] = field(default_factory=Counter)  # by the threshold, in seconds


class Waiting(NamedTuple):
    """The purchase that an attempt is made for, as long as somebody may hear of it."""

    arrival: Arrival
    item: Item


class Report:
    """One daemon's. ``withdraw`` takes back an approval that came too late to be sent."""

    def __init__(self, withdraw: Callable[[Item], None], calls: Counter[tuple[str, str]]) -> None:
        self._withdraw = withdraw
        self.stats = TopUpStats(calls=calls)
        self.driven: dict[bytes, str] = {}  # states by the key of the purchase, empty until it is parked
        self.awaited: set[bytes] = set()  # purchases that have no answer yet, by key

    def step(self, row: AttemptRow, step: Advance) -> None:
        """Of an attempt: it is durable. The log tells of ends, and of money in doubt; every step is in the books."""
        key = row.message_key
        if step.made is None:
            log.warning("top_up_driven_elsewhere", key=key.hex())
            return
        attempt = step.made.attempt
        self.driven[key] = attempt.state
        if not attempt.waiting and not step.following:
            self.awaited.discard(key)
        for text in step.alerts:
            self.stats.alerts += 1
            log.error("top_up_alert", key=key.hex(), provider=attempt.provider, state=attempt.state, what=text)
        if attempt.ended or attempt.state is AttemptState.UNKNOWN:
            log.info("top_up", key=key.hex(), state=attempt.state, cause=attempt.cause, purchase=attempt.purchase)
        if attempt.ended and step.moved:
            kept = attempt.state is AttemptState.BOOKED and attempt.purchase is PurchaseState.REVERSED
            self.stats.ends["kept" if kept else attempt.state] += 1

    def outcome(self, step: Advance, waiting: Waiting | None) -> None:
        """Of the purchase, where the step decided it."""
        if waiting is None:
            return
        if step.decision is not None:
            self.answer(waiting.arrival, waiting.item, step.decision)
        elif step.declined is not None:
            self.answer(waiting.arrival, waiting.item, Decision(answer=step.declined))

    def answer(self, arrival: Arrival, item: Item, decision: Decision) -> None:
        """What was decided is durable: only now may the answer leave."""
        delivery = arrival.answer(decision.answer)
        self.stats.answers[decision.reason.value] += 1
        if delivery is Delivery.LATE and decision.reason.approves:
            self._withdraw(item)
        log.info(
            "message",
            session=arrival.session,
            mti=item.request.mti,
            stan=item.request.stan,
            key=item.key.hex(),
            card=item.request.pan.masked,
            amount=item.request.amount_minor,
            currency=item.request.currency,
            reason=decision.reason.value,
            code=decision.answer.response_code,
            delivery=delivery.value,
            topped_up=decision.reason.approves,
        )
