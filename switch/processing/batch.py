"""The batch loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog
import trio

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, InvariantBroken, JournalRefused
from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan
from switch.issuer.books import Item, doubted
from switch.issuer.case import Decision
from switch.issuer.stored import fingerprint, idempotency_key
from switch.journal.bridge import on_asyncio
from switch.journal.unit import UnitOfWork
from switch.network.arrival import Arrival, Delivery
from switch.network.postman import Postman
from switch.processing.clerk import Clerk, Told
from switch.processing.waiting_room import Queued, WaitingRoom
from switch.processing.withdrawals import Withdrawals

__all__ = ["BatchLoop", "BatchSettings", "ProcessingStats"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[processing]`` in the settings."""

    queue_depth_max: int = 2048  # messages that wait; then sessions that have one among them stop reading
    batch_messages_max: int = 256
    batch_beside_messages_min: int = 64  # for fewer, no batch sets out beside one that is under way
    doubt_retry_seconds: float = 0.2  # between attempts to learn what a broken commit did

    def __post_init__(self) -> None:
        if min(self.queue_depth_max, self.batch_messages_max, self.batch_beside_messages_min) < 1:
            raise ValueError("queue_depth_max, batch_messages_max and batch_beside_messages_min are at least 1")
        if self.doubt_retry_seconds <= 0:
            raise ValueError("doubt_retry_seconds is above 0")


@dataclass
class ProcessingStats:
    """Counters for the metrics; they only grow."""

    batches: int = 0
    messages: int = 0
    by_reason: dict[str, int] = field(default_factory=dict)
    database_failures: int = 0
    commits_in_doubt: int = 0
    poisoned: int = 0
    withdrawals: int = 0


class PanLookup(Protocol):
    """The part of the vault that finds a card by its number."""

    def lookup(self, pan: Pan) -> bytes:
        """32 bytes, the same for the same number."""
        ...


class TopUpDoor(Protocol):
    """Who takes purchases that may wait for a top-up."""

    @property
    def asks(self) -> bool:
        """Whether any would be asked for; while none is, purchases that are short are declined with the others."""
        ...

    def set_out(self) -> None:
        """A batch is under way."""
        ...

    def come_back(self, messages: int, *, others_wait: bool) -> None:
        """It is over."""
        ...

    def take(self, arrival: Arrival, item: Item) -> None:
        """Answers the arrival some day, in time or with what its deadline says."""
        ...


class BatchLoop:
    """Takes arrivals (:meth:`intake`), decides and books them in batches, answers them when they are durable.

    ``postman`` is the one of the sessions that the arrivals come from. Beside the workers (:meth:`run`), a task has to
    run the :attr:`clerk`, who logs what was decided.
    """

    def __init__(
        self,
        settings: BatchSettings,
        vault: PanLookup,
        withdrawals: Withdrawals,
        stats: ProcessingStats,
        top_ups: TopUpDoor | None = None,
        *,
        postman: Postman | None = None,
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._withdrawals = withdrawals
        self._top_ups = top_ups
        self._postman = postman if postman is not None else Postman()
        self.stats = stats
        self.clerk = Clerk()
        self._waiting = WaitingRoom(
            room=settings.queue_depth_max,
            batch_max=settings.batch_messages_max,
            beside_min=settings.batch_beside_messages_min,
        )

    async def intake(self, arrival: Arrival) -> None:
        """Queues one arrival; waits while the queue is full, and lets nobody else run otherwise."""
        await self._waiting.put((arrival, self._item(arrival)))

    @property
    def queue_depth(self) -> int:
        """Messages that wait."""
        return len(self._waiting)

    @property
    def queue_sessions(self) -> int:
        """Sessions that they came on."""
        return self._waiting.sessions

    def close(self) -> None:
        """No more arrivals; :meth:`run` ends when none waits."""
        self._waiting.close()

    async def run(self, unit: UnitOfWork) -> None:
        """One worker. Several may run, each with a unit of work of its own."""
        top_ups = self._top_ups
        while batch := await self._waiting.take():
            if top_ups is not None:
                top_ups.set_out()
            try:
                await self._process(unit, batch)
            finally:
                self._waiting.done(batch)
                if top_ups is not None:
                    top_ups.come_back(len(batch), others_wait=len(self._waiting) > 0)

    async def _process(self, unit: UnitOfWork, batch: Sequence[Queued]) -> None:
        """One batch from queue to answers. Whatever was answered 91 while it waited is not booked at all."""
        started = time.perf_counter()
        unsettled = [queued for queued in batch if not queued[0].settled]
        if not unsettled:
            return
        waiting, items = zip(*unsettled, strict=True)
        try:
            decisions = await on_asyncio(unit.run, items)
        except DatabaseUnavailable as exc:
            self.stats.database_failures += 1
            log.warning("database_unavailable", error=str(exc), messages=len(waiting))
            self._refuse(waiting, Reason.UNAVAILABLE)
            return
        except CommitUnknown as exc:
            self.stats.commits_in_doubt += 1
            log.warning("commit_in_doubt", error=str(exc), messages=len(waiting))
            await self._learn(unit, waiting, doubted(items, exc))
            return
        except InvariantBroken:
            log.critical("invariant_broken", messages=len(waiting))
            raise
        except Exception as exc:  # noqa: BLE001 one poisonous message must fail alone, whatever it broke
            if len(waiting) > 1:
                log.error("batch_poisoned", error=type(exc).__name__, messages=len(waiting))
                for queued in unsettled:
                    await self._process(unit, [queued])
                return
            self.stats.poisoned += 1
            request = waiting[0].request
            log.error(
                "message_poisonous",
                # The text of an unforeseen error may quote data, so its type and place must do.
                error=type(exc).__name__,
                place=_place(exc),
                session=waiting[0].session,
                mti=request.mti,
                stan=request.stan,
            )
            self._refuse(waiting, Reason.SYSTEM_ERROR)
            return
        self._answer(waiting, items, decisions, started)

    async def _learn(self, unit: UnitOfWork, waiting: Sequence[Arrival], items: Sequence[Item]) -> None:
        """A commit of ``items`` is in doubt: runs them again, so that the keys tell what was booked.

        Goes on until the database answers, or until every request has got its 91 and only advices and reversals wait,
        which the network repeats. Requests that were answered 91 go to the withdrawals, which find out later.
        """
        while any(arrival.has_deadline and not arrival.settled for arrival in waiting):
            await trio.sleep(self._settings.doubt_retry_seconds)
            try:
                decisions = await on_asyncio(unit.run, items)
            except DatabaseUnavailable as exc:
                log.warning("commit_still_in_doubt", error=str(exc), messages=len(waiting))
                continue
            except CommitUnknown as exc:
                log.warning("commit_still_in_doubt", error=str(exc), messages=len(waiting))
                items = doubted(items, exc)
                continue
            except JournalRefused as exc:
                # Decided anew, the batch is refused, so it is not what was committed; only the keys can tell, one by
                # one.
                log.error("doubtful_batch_refused", error=str(exc), messages=len(waiting))
                break
            self._answer(waiting, items, decisions, time.perf_counter())
            return
        for arrival, item in zip(waiting, items, strict=True):
            if arrival.has_deadline:
                self._withdrawals.add(item, doubtful=True)
            else:
                arrival.drop()

    def _item(self, arrival: Arrival) -> Item:
        request = arrival.request
        pan_lookup = self._vault.lookup(request.pan)
        asks = self._top_ups is not None and self._top_ups.asks
        return Item(
            request,
            idempotency_key(request, pan_lookup),
            fingerprint(request),
            pan_lookup,
            arrival.dialect.response_code,
            top_up=asks,
            no_top_up="" if asks or self._top_ups is None else "providers_away",
        )

    def _answer(
        self, waiting: Sequence[Arrival], items: Sequence[Item], decisions: Sequence[Decision], started: float
    ) -> None:
        """Every decision is durable: only now may an answer leave."""
        done = time.perf_counter()
        unit_us = int((done - started) * 1e6)
        self.stats.batches += 1
        by_reason = self.stats.by_reason
        told: list[Told] = []
        with self._postman:
            for arrival, item, decision in zip(waiting, items, decisions, strict=True):
                if self._top_ups is not None and decision.waits:
                    self._top_ups.take(arrival, item)
                    continue
                delivery = arrival.answer(decision.answer)
                if delivery is Delivery.LATE and decision.reason.approves and item.request.kind.is_request:
                    self._withdrawals.add(item)
                reason = decision.reason.value
                by_reason[reason] = by_reason.get(reason, 0) + 1
                received = arrival.received_monotonic
                queue_us, total_us = int((started - received) * 1e6), int((time.perf_counter() - received) * 1e6)
                told.append(Told(arrival, item, decision, delivery, queue_us, unit_us, total_us, len(waiting)))
        self.clerk.take(told)
        self.stats.messages += len(waiting)

    def _refuse(self, waiting: Sequence[Arrival], reason: Reason) -> None:
        """Nothing was booked: requests hear so, advices and reversals hear nothing and are repeated."""
        for arrival in waiting:
            self.stats.by_reason[reason.value] = self.stats.by_reason.get(reason.value, 0) + 1
            if arrival.request.kind.is_request:
                arrival.answer(Answer(reason=reason))
            else:
                arrival.drop()
            log.warning(
                "message_refused",
                session=arrival.session,
                mti=arrival.request.mti,
                stan=arrival.request.stan,
                reason=reason.value,
                code=arrival.answered_code,
            )


def _place(exc: BaseException) -> str:
    """File and line where the error was raised."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
