"""Expiring holds in the background, so that money comes back although nobody asks for it.

Every daemon runs the job: each takes what no other has locked (``lock_due``), so they share the work and none waits for
another. It goes through everything that is due in units of a bounded number of accounts and pauses between two of them,
for as long as the first took: authorizations get at least half of the time.

An account whose holds are due is not in danger meanwhile. A request that finds it expires them first, in its own commit
(``switch.issuer.books``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
import structlog
import trio

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, JournalRefused
from switch.journal.bridge import on_asyncio
from switch.journal.unit import UnitOfWork

__all__ = ["ExpirySettings", "HoldExpiryJob"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class ExpirySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[expiry]`` in the settings. When a hold is due says its program, in ``[program.hold_expiry]``."""

    interval_seconds: float = 30.0  # between the end of a run and the next
    accounts_max: int = 50  # in one unit of work: so many are locked at once, for some milliseconds

    def __post_init__(self) -> None:
        if not 0 < self.interval_seconds <= 86_400:
            raise ValueError("interval_seconds is above 0 and at most 86400")
        if not 1 <= self.accounts_max <= 10_000:
            raise ValueError("accounts_max is between 1 and 10000")


class HoldExpiryJob:
    """One daemon's. ``clock`` is the one that the units of work decide by."""

    def __init__(self, settings: ExpirySettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._closing = trio.Event()
        self._first_due: datetime | None = None  # as it was after the last run
        self._away = False
        self.refused: dict[int, str] = {}  # by account, in the last run: why its holds could not be expired

    @property
    def lag_seconds(self) -> float:
        """Since when, of all accounts, a hold may be overdue, as this daemon saw it last; 0.0 when none is."""
        return 0.0 if self._first_due is None else max(0.0, (self._clock() - self._first_due).total_seconds())

    def close(self) -> None:
        """:meth:`run` ends after the unit that is under way."""
        self._closing.set()

    async def run(self, unit: UnitOfWork) -> None:
        """Runs, waits and runs again until :meth:`close`. While the database is away, nothing is due to anybody."""
        while not self._closing.is_set():
            try:
                await self._sweep(unit)
                self._first_due = await on_asyncio(unit.first_due)
            except (DatabaseUnavailable, CommitUnknown) as exc:
                # A commit in doubt needs no asking: what it did is not due any more, and what it did not do is.
                if not self._away:
                    log.warning("hold_expiry_waits", error=str(exc))
                self._away = True
            except JournalRefused as exc:
                # It may not even look for what is due: a missing privilege, say. A person has to mend that.
                log.error("hold_expiry_fails", error=str(exc))
            else:
                if self._away:
                    log.info("hold_expiry_resumes")
                self._away = False
            with trio.move_on_after(self._settings.interval_seconds):
                await self._closing.wait()

    async def _sweep(self, unit: UnitOfWork) -> None:
        """Everything that is due, unit after unit."""
        accounts_max = self._settings.accounts_max
        known, refused = self.refused, dict[int, str]()
        accounts = holds = units = 0
        started = trio.current_time()
        full = True
        try:
            while full and not self._closing.is_set():
                began = trio.current_time()
                swept = await on_asyncio(unit.expire, accounts_max, frozenset(refused))
                took = trio.current_time() - began
                units += 1
                accounts += swept.accounts
                holds += swept.holds
                for account_id, why in swept.refused.items():
                    refused[account_id] = why
                    if account_id not in known:
                        log.error("hold_expiry_refused", account=account_id, error=why)
                full = swept.accounts == accounts_max
                if full:
                    await trio.sleep(took)
            self.refused = refused
        finally:
            if accounts:
                log.info(
                    "holds_expired",
                    holds=holds,
                    accounts=accounts,
                    refused=len(refused),
                    units=units,
                    seconds=round(trio.current_time() - started, 3),
                )
