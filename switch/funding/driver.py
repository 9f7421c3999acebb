"""Driving attempts: purchases wait here for their money, and every attempt is brought to its end.

::

    batch loop ── short, and the program tops up ──▶ TopUps.take ──▶ park (one commit)
                                                                      │ an attempt, sent: the purchase waits
       provider ◀── call, with nothing locked ────────────────────────┤
          └──────── answer ──▶ steps (one commit) ──▶ booked          │
                                 └──▶ else further calls and steps ───┘ … until the attempt has ended

Each purchase is a task; from its first attempt on ``drive`` says how it goes on. Its few and short commits are shared
with those of others (``scribe``), on connections of their own, so ordinary messages go on meanwhile, also those of the
same account. Its answer leaves when the commit that decides it is there: load and hold in one, or the decline; at the
latest when the budget is spent.

A daemon that lives says so every second or so. What a daemon has left whose word is out is taken over by whichever sees
it first. Nobody waits for those purchases any more, so they are declined, and money that was taken is given back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec
import structlog
import trio

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, InvariantBroken, JournalRefused
from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.funding.attempt import AttemptState
from switch.funding.breaker import Breaker
from switch.funding.drive import RETRY_SECONDS, Drive, Shared
from switch.funding.event import Recover, Tick
from switch.funding.outside import Outside, Probes
from switch.funding.report import Report, TopUpStats, Waiting
from switch.funding.scribe import Scribe
from switch.funding.settings import FundingSettings
from switch.funding.turnstile import Turnstile
from switch.issuer.books import Item, doubted
from switch.journal.bridge import on_asyncio
from switch.journal.connection import Overtaken
from switch.journal.funding_rows import AttemptRow
from switch.journal.funding_sheet import Park, Parked
from switch.journal.funding_unit import FundingUnit
from switch.network.arrival import Arrival

__all__ = ["TopUps"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_POLL_SECONDS = 0.2  # of a repeat, for the answer that another copy of the message waits for
_MARGIN_SECONDS = 0.1  # of the arrival's own deadline, to write the answer
_WORTHWHILE_SECONDS = 1.0  # of that deadline, to begin; or half of what there is, if that is less
_CLAIMS_MAX = 200


def _go_on(_point: str) -> None:
    """No fault."""


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
        self._fault = fault
        self.owner = uuid4().hex
        self._outside = Outside(settings, clock)
        self._report = Report(withdraw, self._outside.calls)
        self._shared = Shared(settings, self._scribe, self._outside, self._report, clock, self.owner, fault)
        self._nursery: trio.Nursery | None = None
        self._closing = trio.Event()

    @property
    def stats(self) -> TopUpStats:
        """For the metrics."""
        return self._report.stats

    @property
    def open_by_state(self) -> Mapping[str, int]:
        """How many attempts this daemon drives."""
        return Counter(state for state in self._report.driven.values() if state)

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
        if self._nursery is None or self._closing.is_set() or len(self._report.awaited) >= self._settings.waiting_max:
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
            async with trio.open_nursery() as nursery:
                for unit in self._units:
                    nursery.start_soon(self._scribe.run, unit)
                self._nursery = nursery
                try:
                    task_status.started()
                    await self._keep_driving(nursery)
                finally:
                    # Before the nursery has ended: it takes no tasks from then on, and ordinary messages still come.
                    self._nursery = None
                nursery.cancel_scope.cancel()
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
                    if row.message_key not in self._report.driven:
                        self._report.driven[row.message_key] = row.state
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
        own = item.key not in self._report.driven
        if own:
            self._report.driven[item.key] = ""
        self._report.awaited.add(item.key)
        begins = False
        try:
            if own and item.top_up:
                begins = await self._begin(arrival)
                if not begins:
                    item = msgspec.structs.replace(item, top_up=False, no_top_up="too_many_wait")
            drive = Drive(self._shared)
            while not arrival.settled:
                if not own and self._report.driven.get(item.key) == "":
                    await trio.sleep(_POLL_SECONDS)  # the other copy has not begun
                    continue
                probes = self._outside.reserve()
                drive.expect(Waiting(arrival, item), probes)
                try:
                    try:
                        parked, item = await self._park(arrival, item, drive)
                    finally:
                        if begins:
                            self._turnstile.entered()
                            begins = False
                    if parked is None:
                        continue
                    if parked.attempt is None:
                        self._report.answer(arrival, item, parked.decided)
                        return
                    if parked.new:
                        self.stats.parked += 1
                    if own and parked.attempt.owner == self.owner:
                        await drive.run(parked.attempt, Tick())
                finally:
                    self._outside.hand_back(probes)
                # Another copy of the message waits for it, or another daemon drives it now.
                await trio.sleep(_POLL_SECONDS)
        finally:
            self._report.awaited.discard(item.key)
            if own:
                self._report.driven.pop(item.key, None)

    async def _begin(self, arrival: Arrival) -> bool:
        """Whether it is this purchase's turn, as long as it makes sense to begin."""
        left = arrival.deadline - trio.current_time()
        return await self._turnstile.enter(arrival.deadline - min(_WORTHWHILE_SECONDS, left / 2))

    async def _park(self, arrival: Arrival, item: Item, drive: Drive) -> tuple[Parked | None, Item]:
        """None: the database is away; the item then knows what may have been committed."""
        left = min(self._settings.budget_seconds, arrival.deadline - trio.current_time() - _MARGIN_SECONDS)
        planning = drive.planning(timedelta(seconds=max(0.0, left)))
        try:
            self._fault("before:park")
            parked = await self._scribe.record(Park(item, planning))
            self._fault("after:park")
        except (DatabaseUnavailable, CommitUnknown) as exc:
            log.warning("top_up_waits_for_database", error=str(exc), key=item.key.hex())
            await trio.sleep(RETRY_SECONDS)
            return None, doubted([item], exc)[0] if isinstance(exc, CommitUnknown) else item
        except Overtaken:
            await trio.sleep(RETRY_SECONDS)
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
            await Drive(self._shared, probes).run(row, Recover())
        finally:
            self._outside.hand_back(probes)
            self._report.driven.pop(row.message_key, None)
