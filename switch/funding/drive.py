"""One purchase's attempts, brought to their end one after the other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
import trio

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, JournalRefused
from switch.contracts.funding import Charged, Unavailable, Unknown
from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.funding.action import BookPurchase, CallCharge, CallQuery, CallVoid, TakeBack
from switch.funding.attempt import Attempt, AttemptState, Cause
from switch.funding.event import ChargeAnswered, Event, PurchaseRefused, QueryAnswered, Tick
from switch.funding.move import charge_of
from switch.funding.outside import Call, Outside, Probes
from switch.funding.report import Report, Waiting
from switch.funding.scribe import Scribe
from switch.funding.settings import FundingSettings
from switch.funding.store import Advance, Planning, attempt_of
from switch.journal.connection import Overtaken
from switch.journal.funding_rows import AttemptRow
from switch.journal.funding_sheet import Move

__all__ = ["RETRY_SECONDS", "Drive", "Shared"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

RETRY_SECONDS = 0.25  # while the database is away
_ANSWERS_MAX = 200
# What these ask next can wait for a provider that is away.
_ASKING = frozenset({AttemptState.UNKNOWN, AttemptState.VOID_REQUESTED})


class Shared(NamedTuple):
    """What all drives of a daemon share."""

    settings: FundingSettings
    scribe: Scribe
    outside: Outside
    report: Report
    clock: Callable[[], datetime]
    owner: str
    fault: Callable[[str], None]


class Drive:
    """Of one purchase, which nobody hears of any more unless :meth:`expect` says so. ``probes`` are its tickets for
    calls; whoever took them hands back what is left.
    """

    def __init__(self, shared: Shared, probes: Probes | None = None) -> None:
        self._shared = shared
        self._probes: Probes = {} if probes is None else probes
        self._waiting: Waiting | None = None
        self._uncalled: set[str] = set()  # charge keys that were planned here, as long as no call was made for them

    def expect(self, waiting: Waiting, probes: Probes) -> None:
        """Somebody waits for the purchase, of which more may be known than before; and with these tickets."""
        self._waiting, self._probes = waiting, probes

    def planning(self, budget: timedelta) -> Planning:
        """For the commit that begins an attempt."""
        breakers = self._shared.outside.as_seen_with(self._probes)
        pace = self._shared.settings.pace
        return Planning(self._shared.owner, breakers.keys(), breakers, budget, pace, self._uncalled)

    async def run(self, row: AttemptRow, event: Event) -> None:
        """From this row on, to its end and that of those which follow it; or until another daemon drives it."""
        following: AttemptRow | None = row
        while following is not None:
            following, event = await self._one(following, event), Tick()

    async def _one(self, row: AttemptRow, event: Event) -> AttemptRow | None:
        """The attempt that follows it. Calls and their answers belong to one attempt: they are numbered anew."""
        following: AttemptRow | None = None
        send, answers = trio.open_memory_channel[Event](_ANSWERS_MAX)
        self._shared.report.driven[row.message_key] = row.state
        attempt = attempt_of(row)
        if self._waiting is None and attempt.waiting:
            await self._step(row, PurchaseRefused(Cause.TOO_LATE))
        async with trio.open_nursery() as calls:
            told: Event | None = event
            if attempt.state is AttemptState.SENT and attempt.key in self._uncalled:
                told = await self._begun(attempt, calls, send, answers)
            while True:
                step = await self._step(row, told)
                if step.made is None:
                    break
                attempt = step.made.attempt
                for action in step.made.actions:
                    if isinstance(action, CallCharge | CallQuery | CallVoid):
                        calls.start_soon(self._call, attempt, action, send)
                if attempt.ended:
                    following = step.following[-1] if step.following else None
                    break
                if step.again:
                    continue
                if any(isinstance(action, BookPurchase) for action in step.made.actions):
                    told = None if self._awaited() else PurchaseRefused(Cause.TOO_LATE)
                    continue
                if any(isinstance(action, TakeBack) for action in step.made.actions):
                    told = None
                    continue
                told = await self._next(attempt, answers)
            calls.cancel_scope.cancel()
        return following

    async def _begun(
        self,
        attempt: Attempt,
        calls: trio.Nursery,
        send: trio.MemorySendChannel[Event],
        answers: trio.MemoryReceiveChannel[Event],
    ) -> Event:
        """The commit that began it says that the charge is under way, and only here it goes out: what comes of it.

        Where that commit took longer than there is time, nothing goes out, and the machine is told so after the time.
        """
        self._uncalled.discard(attempt.key)
        if self._shared.clock() < attempt.budget_until:
            calls.start_soon(self._call, attempt, charge_of(attempt), send)
            return await self._next(attempt, answers)
        send.send_nowait(ChargeAnswered(attempt.calls, Unavailable("it is too late", asked=False)))
        return Tick()

    async def _next(self, attempt: Attempt, answers: trio.MemoryReceiveChannel[Event]) -> Event:
        """What comes of the calls; or the time, when the attempt is due and may ask."""
        assert attempt.due_at is not None and attempt.wake_at is not None, "it has not ended"
        with trio.move_on_after(max(0.0, (attempt.due_at - self._shared.clock()).total_seconds())):
            return await answers.receive()
        if attempt.state not in _ASKING or attempt.due_at < attempt.wake_at:
            return Tick()
        until = attempt.wake_at + timedelta(seconds=self._shared.outside.pause_max_seconds(attempt.provider))
        if attempt.waiting:
            until = min(until, attempt.budget_until)
        told: Event = Tick()
        async with trio.open_nursery() as race:

            async def wait_for_turn() -> None:
                await self._shared.outside.wait_for_turn(attempt.provider, until, self._probes)
                race.cancel_scope.cancel()

            race.start_soon(wait_for_turn)
            told = await answers.receive()
            race.cancel_scope.cancel()
        return told

    async def _step(self, row: AttemptRow, event: Event | None) -> Advance:
        """One commit, however often it takes; then what it means is said.

        Word of taken money and what is bought with it are one commit, as long as somebody waits. Where that is refused,
        or the purchase can't be decided, the word is stored by itself: it must not be lost over the purchase.
        """
        shared, at_once = self._shared, True
        asked = "takeback" if row.state == AttemptState.BOOKED else "book"
        name = asked if event is None else type(event).__name__.lower()
        while True:
            # Silence, doubt and time never lead to another source by themselves: only an answer does.
            sources = self._may_follow(event)
            books = at_once and self._may_book(event)
            item = self._waiting.item if self._waiting is not None and (event is None or sources or books) else None
            step = Advance(
                event,
                shared.settings.pace,
                shared.owner,
                item,
                budget_answer=self._budget_answer(),
                planning=self.planning(timedelta(0)) if sources else None,
                next_source=timedelta(seconds=shared.settings.next_source_seconds),
            )
            try:
                shared.fault(f"before:{name}")
                await shared.scribe.record(
                    Move(row.account_id, row.message_key, step, item, turn=row.turn, with_sources=sources)
                )
            except (DatabaseUnavailable, CommitUnknown) as exc:
                log.warning("top_up_waits_for_database", error=str(exc), key=row.message_key.hex())
                await trio.sleep(RETRY_SECONDS)
                continue
            except Overtaken:  # a deadlock, where even locks did not help
                await trio.sleep(RETRY_SECONDS)
                continue
            except JournalRefused as exc:
                log.error("top_up_refused", error=str(exc), key=row.message_key.hex(), told=name)
                if books:
                    at_once = False
                    continue
                if name == "book":
                    event, name = PurchaseRefused(Cause.TOO_LATE), "purchaserefused"
                await trio.sleep(RETRY_SECONDS)
                continue
            except Exception as exc:
                if not books:
                    raise
                # A defect over the purchase: it shows again when the purchase is decided by itself.
                log.error("top_up_not_booked_at_once", error=type(exc).__name__, key=row.message_key.hex())
                at_once = False
                continue
            shared.report.step(row, step)
            if step.made is not None:
                shared.fault(f"after:{step.made.attempt.state}")
                shared.report.outcome(step, self._waiting)
            return step

    def _awaited(self) -> bool:
        """Whether somebody still waits for the purchase."""
        return self._waiting is not None and not self._waiting.arrival.settled

    def _may_follow(self, event: Event | None) -> bool:
        """Whether another source is worth looking for: that costs a look-up."""
        told = isinstance(event, ChargeAnswered | QueryAnswered) and not isinstance(event.answer, Charged | Unknown)
        return told and self._awaited()

    def _may_book(self, event: Event | None) -> bool:
        told = isinstance(event, ChargeAnswered | QueryAnswered) and isinstance(event.answer, Charged)
        return told and self._awaited()

    def _budget_answer(self) -> Answer | None:
        if self._waiting is None or self._shared.settings.budget_answer == "declined":
            return None
        return Answer(reason=Reason.UNAVAILABLE, response_code=self._waiting.item.response_code(Reason.UNAVAILABLE))

    async def _call(self, attempt: Attempt, action: Call, send: trio.MemorySendChannel[Event]) -> None:
        name = type(action).__name__.lower()
        self._shared.fault(f"before:{name}")
        event = await self._shared.outside.call(attempt.provider, action, self._probes)
        self._shared.fault(f"answered:{name}")
        await send.send(event)
