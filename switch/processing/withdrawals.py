"""Approvals to take back: 91 went out, and the approval became durable all the same (see ``switch.issuer.withdrawal``).

They are kept until the database has taken them. If the process dies first, they are gone: the money stays on hold
until the network's own reversal or the hold's expiry, and nothing was approved that is not booked.
"""

from __future__ import annotations

from collections import deque

import msgspec
import structlog
import trio

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, JournalRefused
from switch.issuer.books import Item
from switch.journal.bridge import on_asyncio
from switch.journal.unit import UnitOfWork

__all__ = ["Withdrawals"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_RETRY_SECONDS = 0.5


class Withdrawals:
    """A queue with one worker. Only requests that were answered 91 come here: it grows with an outage's length."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()
        self._arrived = trio.Event()
        self._closed = False
        self.done = 0

    @property
    def depth(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, item: Item, *, doubtful: bool = False) -> None:
        """Takes the approval that ``item`` got too late back, as soon as the database allows and unless it was heard.

        ``doubtful``: it may have got none, since the commit is in doubt.
        """
        self._waiting.append(msgspec.structs.replace(item, withdraw=True, doubtful=doubtful))
        self._arrived.set()

    def close(self) -> None:
        """:meth:`run` ends when nothing waits any more."""
        self._closed = True
        self._arrived.set()

    async def run(self, unit: UnitOfWork) -> None:
        """The worker. Retries for as long as the database is away."""
        while self._waiting or not self._closed:
            if not self._waiting:
                await self._arrived.wait()
                self._arrived = trio.Event()
                continue
            item = self._waiting[0]
            try:
                (decision,) = await on_asyncio(unit.run, [item])
            except (DatabaseUnavailable, CommitUnknown) as exc:
                if isinstance(exc, CommitUnknown):
                    self._waiting[0] = msgspec.structs.replace(item, counted_off=True)
                log.warning("withdrawal_waits", error=str(exc), waiting=len(self._waiting))
                await trio.sleep(_RETRY_SECONDS)
                continue
            except JournalRefused as exc:
                # Not this one's fault perhaps (a full disk, a lock timeout): it is tried again after the others.
                log.error("withdrawal_refused", error=str(exc), key=item.key.hex(), waiting=len(self._waiting))
                self._waiting.rotate(-1)
                await trio.sleep(_RETRY_SECONDS)
                continue
            self._waiting.popleft()
            self.done += 1
            step = decision.trace[-1]
            log.warning(
                "approval_withdrawn",
                key=item.key.hex(),
                mti=item.request.mti,
                stan=item.request.stan,
                outcome=step.verdict,
                **{name: value for name, value in step.seen.items() if name != "outcome"},
            )
