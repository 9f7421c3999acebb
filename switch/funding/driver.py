"""Driving attempts: purchases wait here for their money, and every attempt is brought to its end.

::

    batch loop ── short, and the program tops up ──▶ TopUps.take ──▶ park (one commit)
                                                                      │ an attempt: the purchase waits
       provider ◀── call, with nothing locked ── step (one commit) ◀──┤
          └──────── answer ────────────────────▶ step (one commit) ───┘ … until the attempt has ended

Each purchase is a task with few and short commits on connections of its own, so ordinary messages go on meanwhile, also
those of the same account. Its answer leaves when the commit that decides it is there: load and hold in one, or the
decline; at the latest when the budget is spent.

A daemon that lives says so every second or so. What a daemon has left whose word is out is taken over by whichever sees
it first. Nobody waits for those purchases any more, so they are declined, and money that was taken is given back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar
from uuid import uuid4

import msgspec
import structlog
import trio

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, InvariantBroken, JournalRefused
from switch.contracts.funding import Charged, FundingProvider, Unavailable, Unknown
from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.funding.action import BookPurchase, CallCharge, CallQuery, CallVoid, TakeBack
from switch.funding.attempt import Attempt, AttemptState, Cause, PurchaseState
from switch.funding.breaker import Breaker, admit, answered, report
from switch.funding.event import ChargeAnswered, Event, PurchaseRefused, QueryAnswered, Recover, Tick, VoidAnswered
from switch.funding.http import open_http_provider
from switch.funding.settings import FundingSettings
from switch.funding.store import Advance, Planning, attempt_of
from switch.issuer.books import Item, doubted
from switch.issuer.case import Decision
from switch.journal.bridge import on_asyncio
from switch.journal.connection import Overtaken
from switch.journal.funding_rows import AttemptRow
from switch.journal.funding_unit import FundingUnit, Parked
from switch.network.arrival import Arrival, Delivery

__all__ = ["TopUpStats", "TopUps"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_RETRY_SECONDS = 0.25  # while the database is away
_POLL_SECONDS = 0.2  # of a repeat, for the answer that another copy of the message waits for
_MARGIN_SECONDS = 0.1  # of the arrival's own deadline, to write the answer
_CLAIMS_MAX = 200
_UNCONFIGURED = Unknown("no such provider")

T = TypeVar("T")


def _go_on(_point: str) -> None:
    """No fault."""


@dataclass
class TopUpStats:
    """For the metrics."""

    parked: int = 0
    answers: Counter[str] = field(default_factory=Counter)  # by reason
    ends: Counter[str] = field(default_factory=Counter)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)  # by call and by what it came to
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
        self._free_send, self._free = trio.open_memory_channel[FundingUnit](len(units))
        for unit in units[1:]:
            self._free_send.send_nowait(unit)
        self._clock = clock
        self._withdraw = withdraw
        self._fault = fault
        self.owner = uuid4().hex
        self.stats = TopUpStats()
        self._providers: dict[str, FundingProvider] = {}
        self._rules = {provider.name: provider.breaker for provider in settings.provider}
        self.breakers: dict[str, Breaker] = {provider.name: Breaker() for provider in settings.provider}
        self._driven: dict[bytes, str] = {}  # states by the key of the purchase, empty until it is parked
        self._awaited: set[bytes] = set()  # purchases that have no answer yet, by key
        self._nursery: trio.Nursery | None = None
        self._closing = trio.Event()

    @property
    def open_by_state(self) -> Mapping[str, int]:
        """How many attempts this daemon drives."""
        return Counter(state for state in self._driven.values() if state)

    def take(self, arrival: Arrival, item: Item) -> None:
        """A purchase that waits, or would: from here on it is answered by this."""
        if self._nursery is None or self._closing.is_set() or len(self._awaited) >= self._settings.waiting_max:
            item = msgspec.structs.replace(item, top_up=False)
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
            for provider in self._settings.provider:
                self._providers[provider.name] = await stack.enter_async_context(open_http_provider(provider))
            try:
                async with trio.open_nursery() as nursery:
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
        try:
            while not arrival.settled:
                parked, item = await self._park(arrival, item)
                if parked is None:
                    continue
                if parked.attempt is None:
                    self._answer(arrival, item, parked.decided)
                    return
                if parked.new:
                    self.stats.parked += 1
                if own and parked.attempt.owner == self.owner:
                    await self._drive(parked.attempt, Tick(), _Waiting(arrival, item))
                # Another copy of the message waits for it, or another daemon drives it now.
                await trio.sleep(_POLL_SECONDS)
        finally:
            self._awaited.discard(item.key)
            if own:
                self._driven.pop(item.key, None)

    async def _park(self, arrival: Arrival, item: Item) -> tuple[Parked | None, Item]:
        """None: the database is away; the item then knows what may have been committed."""
        left = min(self._settings.budget_seconds, arrival.deadline - trio.current_time() - _MARGIN_SECONDS)
        planning = self._planning(timedelta(seconds=max(0.0, left)))
        try:
            self._fault("before:park")
            parked = await self._using(lambda unit: on_asyncio(unit.park, item, planning))
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
        try:
            await self._drive(row, Recover(), None)
        finally:
            self._driven.pop(row.message_key, None)

    async def _drive(self, row: AttemptRow, event: Event, waiting: _Waiting | None) -> None:
        """To its end, and that of those which follow it; or until another daemon drives it."""
        following: AttemptRow | None = row
        while following is not None:
            following, event = await self._drive_one(following, event, waiting), Tick()

    async def _drive_one(self, row: AttemptRow, event: Event, waiting: _Waiting | None) -> AttemptRow | None:
        """The attempt that follows it. Calls and their answers belong to one attempt: they are numbered anew."""
        following: AttemptRow | None = None
        send, answers = trio.open_memory_channel[Event](_CLAIMS_MAX)
        if waiting is None and attempt_of(row).waiting:
            await self._step(row, PurchaseRefused(Cause.TOO_LATE), None)
        async with trio.open_nursery() as calls:
            told: Event | None = event
            while True:
                step = await self._step(row, told, waiting)
                if step.made is None:
                    break
                attempt = step.made.attempt
                for action in step.made.actions:
                    if isinstance(action, CallCharge | CallQuery | CallVoid):
                        calls.start_soon(self._call, attempt, action, send)
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
                assert attempt.due_at is not None, "it has not ended"
                told = Tick()
                with trio.move_on_after(max(0.0, (attempt.due_at - self._clock()).total_seconds())):
                    told = await answers.receive()
            calls.cancel_scope.cancel()
        return following

    async def _step(self, row: AttemptRow, event: Event | None, waiting: _Waiting | None) -> Advance:
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
                planning=self._planning(timedelta(0)) if sources else None,
                next_source=timedelta(seconds=self._settings.next_source_seconds),
            )
            try:
                self._fault(f"before:{name}")
                await self._using(self._moving(row, step, item, sources))
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

    @staticmethod
    def _moving(
        row: AttemptRow, step: Advance, item: Item | None, sources: bool
    ) -> Callable[[FundingUnit], Awaitable[None]]:
        def move(unit: FundingUnit) -> Awaitable[None]:
            moving = partial(unit.move, turn=row.turn, with_sources=sources)
            return on_asyncio(moving, row.account_id, row.message_key, step, item)

        return move

    def _may_follow(self, event: ChargeAnswered | QueryAnswered, waiting: _Waiting | None) -> bool:
        """Whether another source is worth looking for: it costs two look-ups."""
        return waiting is not None and not waiting.arrival.settled and not isinstance(event.answer, Charged | Unknown)

    def _planning(self, budget: timedelta) -> Planning:
        return Planning(self.owner, self._providers, self.breakers, budget)

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
        log.info("top_up", key=key.hex(), state=attempt.state, cause=attempt.cause, purchase=attempt.purchase)
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

    # ── the outside

    async def _call(
        self, attempt: Attempt, action: CallCharge | CallQuery | CallVoid, send: trio.MemorySendChannel[Event]
    ) -> None:
        name = attempt.provider
        provider = self._providers.get(name)
        self._fault(f"before:{type(action).__name__.lower()}")
        event: Event
        match action:
            case CallCharge(call, charge):
                event = ChargeAnswered(call, Unavailable("no such provider"))
                if provider is not None:
                    self.breakers[name], ticket = admit(self.breakers[name], self._clock(), self._rules[name])
                    if ticket is None:
                        event = ChargeAnswered(call, Unavailable("its breaker is open"))
                    else:
                        told = await provider.charge(charge)
                        event = ChargeAnswered(call, told)
                        self.breakers[name] = report(
                            self.breakers[name],
                            ticket,
                            success=answered(told),
                            now=self._clock(),
                            rules=self._rules[name],
                        )
            case CallQuery(call, query):
                event = QueryAnswered(call, await provider.query(query) if provider else _UNCONFIGURED)
            case CallVoid(call, void):
                event = VoidAnswered(call, await provider.void(void) if provider else _UNCONFIGURED)
        self.stats.calls[type(action).__name__.removeprefix("Call").lower(), type(event.answer).__name__.lower()] += 1
        self._fault(f"answered:{type(action).__name__.lower()}")
        await send.send(event)

    async def _using(self, work: Callable[[FundingUnit], Awaitable[T]]) -> T:
        """Waits for one of the connections."""
        unit = await self._free.receive()
        try:
            return await work(unit)
        finally:
            self._free_send.send_nowait(unit)
