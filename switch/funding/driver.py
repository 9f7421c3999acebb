"""Driving attempts: purchases wait here for their money, and every attempt is brought to its end.

::

    batch loop ── short, and the program tops up ──▶ TopUps.take ──▶ park (one commit)
                                                                      │ an attempt: the purchase waits
       provider ◀── call, with nothing locked ── step (one commit) ◀──┤
          └──────── answer ────────────────────▶ step (one commit) ───┘ … until the attempt has ended

Each purchase is a task. Its few and short steps are committed together with those of others (``scribe``), on
connections of their own, so ordinary messages go on meanwhile, also those of the same account. Its answer leaves when
the commit that decides it is there: load and hold in one, or the decline; at the latest when the budget is spent.

A daemon that lives says so every second or so. What a daemon has left whose word is out is taken over by whichever sees
it first. Nobody waits for those purchases any more, so they are declined, and money that was taken is given back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import msgspec
import structlog
import trio

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, InvariantBroken, JournalRefused
from switch.contracts.funding import Charged, Unknown
from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.funding.action import BookPurchase, CallCharge, CallQuery, CallVoid, TakeBack
from switch.funding.attempt import Attempt, AttemptState, Cause, PurchaseState
from switch.funding.breaker import Breaker
from switch.funding.event import ChargeAnswered, Event, PurchaseRefused, QueryAnswered, Recover, Tick
from switch.funding.outside import Call, Outside, Probes
from switch.funding.scribe import Scribe
from switch.funding.settings import FundingSettings
from switch.funding.store import Advance, Planning, attempt_of
from switch.funding.turnstile import Turnstile
from switch.issuer.books import Item, doubted
from switch.issuer.case import Decision
from switch.journal.bridge import on_asyncio
from switch.journal.connection import Overtaken
from switch.journal.funding_rows import AttemptRow
from switch.journal.funding_sheet import Move, Park, Parked
from switch.journal.funding_unit import FundingUnit
from switch.network.arrival import Arrival, Delivery

__all__ = ["TopUpStats", "TopUps"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_RETRY_SECONDS = 0.25  # while the database is away
_POLL_SECONDS = 0.2  # of a repeat, for the answer that another copy of the message waits for
_MARGIN_SECONDS = 0.1  # of the arrival's own deadline, to write the answer
_WORTHWHILE_SECONDS = 1.0  # of that deadline, to begin; or half of what there is, if that is less
_CLAIMS_MAX = 200
# What these ask next can wait for a provider that is away.
_ASKING = frozenset({AttemptState.UNKNOWN, AttemptState.VOID_REQUESTED})


def _go_on(_point: str) -> None:
    """No fault."""


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


class _Waiting(NamedTuple):
    """The purchase that an attempt is made for, as long as somebody may hear of it."""

    arrival: Arrival
    item: Item


class TopUps:
    """One daemon's. ``withdraw`` takes back an approval that came too late to be sent.

    ``fault`` is told before and after every commit and call where the driver stands; tests end it there.
    """

    def __init__(
        self,
        settings: FundingSettings,
        units: Sequence[FundingUnit],
        clock: Callable[[], datetime],
        withdraw: Callable[[Item], None],
        *,
        fault: Callable[[str], None] = _go_on,
    ) -> None:
        if len(units) < 2:
            raise ValueError("at least two units of work are needed")
        self._settings = settings
        self._keeper = units[0]
        self._units = units[1:]
        self._turnstile = Turnstile(settings.messages_per_top_up, settings.top_ups_per_second_min)
        self._scribe = Scribe(lambda: self._turnstile.busy)
        self._clock = clock
        self._withdraw = withdraw
        self._fault = fault
        self.owner = uuid4().hex
        self._outside = Outside(settings, clock)
        self.stats = TopUpStats(calls=self._outside.calls)
        self._driven: dict[bytes, str] = {}  # states by the key of the purchase, empty until it is parked
        self._awaited: set[bytes] = set()  # purchases that have no answer yet, by key
        self._nursery: trio.Nursery | None = None
        self._closing = trio.Event()

    @property
    def open_by_state(self) -> Mapping[str, int]:
        """How many attempts this daemon drives."""
        return Counter(state for state in self._driven.values() if state)

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """By provider."""
        return self._outside.breakers

    @property
    def asks(self) -> bool:
        """Whether it makes sense to wait: some provider may be asked."""
        return self._outside.asks

    @property
    def queued(self) -> int:
        """Purchases whose turn has not come."""
        return self._turnstile.waiting

    def set_out(self) -> None:
        """Ordinary messages are being decided from now on."""
        self._turnstile.set_out()

    def come_back(self, messages: int, *, others_wait: bool) -> None:
        """So many were decided; ``others_wait``."""
        self._turnstile.come_back(messages, others_wait=others_wait)

    def take(self, arrival: Arrival, item: Item) -> None:
        """A purchase that waits, or would: from here on it is answered by this."""
        if self._nursery is None or self._closing.is_set() or len(self._awaited) >= self._settings.waiting_max:
            item = msgspec.structs.replace(item, top_up=False, no_top_up="too_many_wait")
        if self._nursery is None:
            arrival.answer(Answer(reason=Reason.UNAVAILABLE))
            return
        self._nursery.start_soon(self._guarded, self._purchase, arrival, item)

    def close(self) -> None:
        """:meth:`run` ends: what has not ended is handed over to other daemons, or to the next start of this one."""
        self._closing.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until :meth:`close`. Raises ConfigurationError for a provider's file that can't be used."""
        async with AsyncExitStack() as stack:
            await self._outside.open(stack)
            try:
                async with trio.open_nursery() as nursery:
                    for unit in self._units:
                        nursery.start_soon(self._scribe.run, unit)
                    self._nursery = nursery
                    task_status.started()
                    await self._keep_driving(nursery)
                    nursery.cancel_scope.cancel()
            finally:
                self._nursery = None
            try:
                await on_asyncio(self._keeper.keep_driving, self.owner, 0.0, 0)
            except (DatabaseUnavailable, JournalRefused) as exc:
                log.warning("top_ups_not_handed_over", error=str(exc))  # they are taken over a little later

    async def _keep_driving(self, nursery: trio.Nursery) -> None:
        """Says that this daemon lives, and goes on with what others, or a broken commit, have left."""
        lease, away, look_at = self._settings.lease_seconds, False, trio.current_time()
        while not self._closing.is_set():
            try:
                rows = await on_asyncio(self._keeper.keep_driving, self.owner, lease, _CLAIMS_MAX)
                if trio.current_time() >= look_at:
                    await self._alert_overdue()
                    look_at = trio.current_time() + lease
            except (DatabaseUnavailable, JournalRefused) as exc:
                if not away:
                    log.warning("top_ups_wait_for_database", error=str(exc))
                away = True
            else:
                away = False
                for row in rows:
                    if row.message_key not in self._driven:
                        self._driven[row.message_key] = row.state
                        nursery.start_soon(self._guarded, self._recovered, row)
            with trio.move_on_after(lease / 4):
                await self._closing.wait()

    async def _alert_overdue(self) -> None:
        """Attempts of any daemon: who sees one first tells of it."""
        for row in await on_asyncio(self._keeper.alert_overdue, self._settings.overdue_seconds):
            self.stats.overdue[row.after_seconds] += 1
            log.error(
                "top_up_overdue",
                key=row.message_key.hex(),
                provider=row.provider,
                state=row.state,
                after_seconds=row.after_seconds,
            )

    async def _guarded(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """One purchase's defect must not stop the others; its attempt is taken up again."""
        try:
            await work(*args)
        except* InvariantBroken:
            log.critical("invariant_broken", room="funding")
            raise
        except* Exception as group:  # noqa: BLE001 -- as said above
            # The text of an unforeseen error may quote data, so its type must do.
            log.error("top_up_failed", error=type(group.exceptions[0]).__name__)

    # ── one purchase

    async def _purchase(self, arrival: Arrival, item: Item) -> None:
        own = item.key not in self._driven
        if own:
            self._driven[item.key] = ""
        self._awaited.add(item.key)
        begins = False
        try:
            if own and item.top_up:
                begins = await self._begin(arrival)
                if not begins:
                    item = msgspec.structs.replace(item, top_up=False, no_top_up="too_many_wait")
            while not arrival.settled:
                if not own and self._driven.get(item.key) == "":
                    await trio.sleep(_POLL_SECONDS)  # the other copy has not begun
                    continue
                probes = self._outside.reserve()
                try:
                    try:
                        parked, item = await self._park(arrival, item, probes)
                    finally:
                        if begins:
                            self._turnstile.entered()
                            begins = False
                    if parked is None:
                        continue
                    if parked.attempt is None:
                        self._answer(arrival, item, parked.decided)
                        return
                    if parked.new:
                        self.stats.parked += 1
                    if own and parked.attempt.owner == self.owner:
                        await self._drive(parked.attempt, Tick(), _Waiting(arrival, item), probes)
                finally:
                    self._outside.hand_back(probes)
                # Another copy of the message waits for it, or another daemon drives it now.
                await trio.sleep(_POLL_SECONDS)
        finally:
            self._awaited.discard(item.key)
            if own:
                self._driven.pop(item.key, None)

    async def _begin(self, arrival: Arrival) -> bool:
        """Whether it is this purchase's turn, as long as it makes sense to begin."""
        left = arrival.deadline - trio.current_time()
        return await self._turnstile.enter(arrival.deadline - min(_WORTHWHILE_SECONDS, left / 2))

    async def _park(self, arrival: Arrival, item: Item, probes: Probes) -> tuple[Parked | None, Item]:
        """None: the database is away; the item then knows what may have been committed."""
        left = min(self._settings.budget_seconds, arrival.deadline - trio.current_time() - _MARGIN_SECONDS)
        planning = self._planning(probes, timedelta(seconds=max(0.0, left)))
        try:
            self._fault("before:park")
            parked = await self._scribe.record(Park(item, planning))
            self._fault("after:park")
        except (DatabaseUnavailable, CommitUnknown) as exc:
            log.warning("top_up_waits_for_database", error=str(exc), key=item.key.hex())
            await trio.sleep(_RETRY_SECONDS)
            return None, doubted([item], exc)[0] if isinstance(exc, CommitUnknown) else item
        except Overtaken:
            await trio.sleep(_RETRY_SECONDS)
            return None, item
        except JournalRefused as exc:
            log.error("top_up_refused", error=str(exc), key=item.key.hex())
            arrival.answer(Answer(reason=Reason.SYSTEM_ERROR))
            return None, item
        return parked, item

    async def _recovered(self, row: AttemptRow) -> None:
        """What a daemon has left; nobody waits for its purchase any more. Or one whose purchase was reversed."""
        if row.state == AttemptState.BOOKED:
            log.info("top_up_undone", key=row.message_key.hex())
        else:
            self.stats.recovered += 1
            log.warning("top_up_recovered", key=row.message_key.hex(), state=row.state)
        probes: Probes = {}
        try:
            await self._drive(row, Recover(), None, probes)
        finally:
            self._outside.hand_back(probes)
            self._driven.pop(row.message_key, None)

    async def _drive(self, row: AttemptRow, event: Event, waiting: _Waiting | None, probes: Probes) -> None:
        """To its end, and that of those which follow it; or until another daemon drives it. ``probes`` are its tickets;
        what is left is handed back.
        """
        following: AttemptRow | None = row
        while following is not None:
            following, event = await self._drive_one(following, event, waiting, probes), Tick()

    async def _drive_one(
        self, row: AttemptRow, event: Event, waiting: _Waiting | None, probes: Probes
    ) -> AttemptRow | None:
        """The attempt that follows it. Calls and their answers belong to one attempt: they are numbered anew."""
        following: AttemptRow | None = None
        send, answers = trio.open_memory_channel[Event](_CLAIMS_MAX)
        if waiting is None and attempt_of(row).waiting:
            await self._step(row, PurchaseRefused(Cause.TOO_LATE), None, probes)
        async with trio.open_nursery() as calls:
            told: Event | None = event
            while True:
                step = await self._step(row, told, waiting, probes)
                if step.made is None:
                    break
                attempt = step.made.attempt
                for action in step.made.actions:
                    if isinstance(action, CallCharge | CallQuery | CallVoid):
                        calls.start_soon(self._call, attempt, action, send, probes)
                if attempt.ended:
                    following = step.following
                    break
                if step.again:
                    continue
                if any(isinstance(action, BookPurchase) for action in step.made.actions):
                    gone = waiting is None or waiting.arrival.settled
                    told = PurchaseRefused(Cause.TOO_LATE) if gone else None
                    continue
                if any(isinstance(action, TakeBack) for action in step.made.actions):
                    told = None
                    continue
                told = await self._next(attempt, answers, probes)
            calls.cancel_scope.cancel()
        return following

    async def _next(self, attempt: Attempt, answers: trio.MemoryReceiveChannel[Event], probes: Probes) -> Event:
        """What comes of the calls; or the time, when the attempt is due and may ask."""
        assert attempt.due_at is not None and attempt.wake_at is not None, "it has not ended"
        with trio.move_on_after(max(0.0, (attempt.due_at - self._clock()).total_seconds())):
            return await answers.receive()
        if attempt.state not in _ASKING or attempt.due_at < attempt.wake_at:
            return Tick()
        until = attempt.wake_at + timedelta(seconds=self._outside.pause_max_seconds(attempt.provider))
        if attempt.waiting:
            until = min(until, attempt.budget_until)
        told: Event = Tick()
        async with trio.open_nursery() as race:

            async def wait_for_turn() -> None:
                await self._outside.wait_for_turn(attempt.provider, until, probes)
                race.cancel_scope.cancel()

            race.start_soon(wait_for_turn)
            told = await answers.receive()
            race.cancel_scope.cancel()
        return told

    async def _step(self, row: AttemptRow, event: Event | None, waiting: _Waiting | None, probes: Probes) -> Advance:
        """One commit, however often it takes; then what it means is said."""
        asked = "takeback" if row.state == AttemptState.BOOKED else "book"
        name = asked if event is None else type(event).__name__.lower()
        while True:
            # Silence, doubt and time never lead to another source by themselves: only an answer does.
            sources = isinstance(event, ChargeAnswered | QueryAnswered) and self._may_follow(event, waiting)
            item = waiting.item if waiting is not None and (event is None or sources) else None
            step = Advance(
                event,
                self._settings.pace,
                self.owner,
                item,
                budget_answer=self._budget_answer(waiting),
                planning=self._planning(probes, timedelta(0)) if sources else None,
                next_source=timedelta(seconds=self._settings.next_source_seconds),
            )
            try:
                self._fault(f"before:{name}")
                await self._scribe.record(
                    Move(row.account_id, row.message_key, step, item, turn=row.turn, with_sources=sources)
                )
            except (DatabaseUnavailable, CommitUnknown) as exc:
                log.warning("top_up_waits_for_database", error=str(exc), key=row.message_key.hex())
                await trio.sleep(_RETRY_SECONDS)
                continue
            except Overtaken:  # a deadlock, where even locks did not help
                await trio.sleep(_RETRY_SECONDS)
                continue
            except JournalRefused as exc:
                log.error("top_up_refused", error=str(exc), key=row.message_key.hex(), told=name)
                if name == "book":
                    event, name = PurchaseRefused(Cause.TOO_LATE), "purchaserefused"
                await trio.sleep(_RETRY_SECONDS)
                continue
            self._tell(row, step, waiting)
            return step

    def _budget_answer(self, waiting: _Waiting | None) -> Answer | None:
        if waiting is None or self._settings.budget_answer == "declined":
            return None
        return Answer(reason=Reason.UNAVAILABLE, response_code=waiting.item.response_code(Reason.UNAVAILABLE))

    def _may_follow(self, event: ChargeAnswered | QueryAnswered, waiting: _Waiting | None) -> bool:
        """Whether another source is worth looking for: it costs three look-ups."""
        return waiting is not None and not waiting.arrival.settled and not isinstance(event.answer, Charged | Unknown)

    def _planning(self, probes: Probes, budget: timedelta) -> Planning:
        breakers = self._outside.as_seen_with(probes)
        return Planning(self.owner, breakers.keys(), breakers, budget)

    def _tell(self, row: AttemptRow, step: Advance, waiting: _Waiting | None) -> None:
        key = row.message_key
        if step.made is None:
            log.warning("top_up_driven_elsewhere", key=key.hex())
            return
        attempt = step.made.attempt
        self._driven[key] = attempt.state
        if not attempt.waiting and step.following is None:
            self._awaited.discard(key)
        for text in step.alerts:
            self.stats.alerts += 1
            log.error("top_up_alert", key=key.hex(), provider=attempt.provider, state=attempt.state, what=text)
        # Every step is in the books; the log tells of the ends, and of money in doubt.
        tell = log.info if attempt.ended or attempt.state is AttemptState.UNKNOWN else log.debug
        tell("top_up", key=key.hex(), state=attempt.state, cause=attempt.cause, purchase=attempt.purchase)
        if attempt.ended and step.moved:
            kept = attempt.state is AttemptState.BOOKED and attempt.purchase is PurchaseState.REVERSED
            self.stats.ends["kept" if kept else attempt.state] += 1
        self._fault(f"after:{attempt.state}")
        if waiting is None:
            return
        if step.decision is not None:
            self._answer(waiting.arrival, waiting.item, step.decision)
        elif step.declined is not None:
            self._answer(waiting.arrival, waiting.item, Decision(answer=step.declined))

    def _answer(self, arrival: Arrival, item: Item, decision: Decision) -> None:
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

    async def _call(self, attempt: Attempt, action: Call, send: trio.MemorySendChannel[Event], probes: Probes) -> None:
        name = type(action).__name__.lower()
        self._fault(f"before:{name}")
        event = await self._outside.call(attempt.provider, action, probes)
        self._fault(f"answered:{name}")
        await send.send(event)
