"""The unit of work: one commit for a whole batch.

::

    load_unit      reads cards, balances, usages, earlier messages with the same keys, and each row's version and place
    (history)      only when the batch has reversals, advices, increments, withdrawals or meets tombstones
    decide         message after message, in memory, on what the ones before it left
    record_unit    checks that no account has changed since, checks the books again, writes everything, and commits:
                   from here on every decision is durable, and may be answered

So nothing is locked while a batch is decided, and nobody waits for a daemon that is stopped in the middle of one. Where
another daemon was quicker on one of the accounts, record_unit refuses the batch. It is then decided again, in a
transaction that locks its accounts when it loads them; and so are the next few batches, since where two have met, they
will meet again.

Everything runs as one coroutine on the asyncio side, so that the bridge is crossed once a batch.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from math import inf

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, InvariantBroken, JournalRefused
from switch.contracts.message import Kind
from switch.issuer.account import Account
from switch.issuer.books import Booking, Books, Item
from switch.issuer.case import Decision, SecurityCodePort
from switch.issuer.hold import Hold
from switch.issuer.matching import TOMBSTONE_LIFE
from switch.issuer.program import Program
from switch.issuer.usage import Usage
from switch.journal.chain import ChainedEntry, entry_hash, microseconds
from switch.journal.clearing_load import load_clearing
from switch.journal.clearing_rows import change_row, item_row, notice_row
from switch.journal.connection import BY_INDEX, Connection, DatabaseSettings, Overtaken, connect, translated
from switch.journal.history import load_history, load_holds
from switch.journal.hold_expiry import Swept, first_due, load_open_holds, lock_due
from switch.journal.rows import (
    Row,
    Seen,
    account_of,
    amendment_row,
    card_of,
    concern_row,
    entry_row,
    hold_row,
    message_row,
    seen_of,
    stored_of,
    usage_of,
    usage_row,
    version_row,
)
from switch.journal.tombstones import load_tombstones
from switch.journal.unit_load import load_unit

__all__ = ["UnitOfWork", "beside_values", "unit_values"]

_RECORD_BESIDE = "SELECT record_beside($1, $2, $3, $4)"
_UNDO_FUNDING = "SELECT undo_funding($1, $2)"
_RECORD = "SELECT record_unit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_NOTHING: Sequence[Sequence[object]] = [[]] * 10

#: After a meeting with another writer.
_LOCKED_UNITS = 16


class UnitOfWork:
    """Runs batches on one connection, which it opens when it needs one and drops when it broke.

    Lives on the asyncio side; not for use by two tasks at once.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        programs: Mapping[str, Program],
        security: SecurityCodePort,
        clock: Callable[[], datetime],
        *,
        dsn: str = "",
    ) -> None:
        self._settings = settings
        self._dsn = dsn
        self._programs = programs
        self._security = security
        self._clock = clock
        self._connection: Connection | None = None
        self._moment: datetime | None = None  # that the newest batch was decided at
        self._began_at = inf  # when the unit under way began, by the loop's clock
        self._overdue = False  # it was broken off because it took too long
        self._timer: asyncio.TimerHandle | None = None
        self._locked_units = 0  # so many of the next units lock their accounts
        self.overtaken = 0  # units that were decided again, because another writer was quicker
        self.holds_expired = 0

    async def run(self, items: Sequence[Item]) -> list[Decision]:
        """Decides and books ``items``; the decisions come in their order, every one durable.

        Raises:
            DatabaseUnavailable: nothing was booked.
            CommitUnknown: the connection broke while committing; run the same items again to learn what was booked.
            JournalRefused: PostgreSQL refused the batch; nothing was booked.
            InvariantBroken: nothing was booked, and the process should stop.
        """
        with self._under_watch():
            if not self._locked_units:
                try:
                    return await self._attempt(items)
                except (Overtaken, InvariantBroken):
                    # Where another writer came between two of the statements that read, what they read may contradict
                    # itself. Under locks it can't, unless the books do.
                    self.overtaken += 1
                    self._locked_units = _LOCKED_UNITS
            self._locked_units -= 1
            return await self._attempt_locked(items)

    @contextmanager
    def _under_watch(self) -> Iterator[None]:
        """For what begins and ends a transaction: it takes no longer than it may, and leaves none open."""
        self._began_at = asyncio.get_running_loop().time()
        self._overdue = False
        self._watch()
        try:
            yield
        except BaseException as exc:
            # Whatever went wrong (a defect in a rule and a cancellation too): an open transaction must not keep its
            # locks.
            self._drop()
            if isinstance(exc, CommitUnknown):
                exc.moment = self._moment
            if self._overdue and isinstance(exc, (DatabaseUnavailable, CommitUnknown)):
                exc.args = ("the unit of work took too long",)
            raise
        finally:
            self._began_at = inf

    def _watch(self) -> None:
        """Sees to it that no unit takes longer than it may: one timer for all of them, since each one costs."""
        if self._timer is None:
            seconds = self._settings.unit_timeout_seconds
            self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """The timer's: breaks off the connection of a unit that is overdue, and whatever it waits for fails at once."""
        self._timer = None
        if self._began_at == inf:
            return
        loop, seconds = asyncio.get_running_loop(), self._settings.unit_timeout_seconds
        left = self._began_at + seconds - loop.time()
        if left <= 0:
            self._overdue = True
            self._drop()
            left = seconds
        self._timer = loop.call_later(left, self._look)

    async def _attempt(self, items: Sequence[Item]) -> list[Decision]:
        """Without locks: record_unit is a transaction by itself. Raises Overtaken; nothing was booked then."""
        connection = await self._connected()
        with translated():
            books, seen = await self._load(connection, items, lock=False)
        decisions = _decide(books, items)
        if _has_more(books):
            try:
                await self._record_whole(connection, books, seen)
            except Overtaken:
                with translated():
                    await connection.execute("ROLLBACK")
                raise
            return decisions
        with translated(committing=True):
            await self._record(connection, books, seen)
        return decisions

    async def _attempt_locked(self, items: Sequence[Item]) -> list[Decision]:
        """With the accounts locked from the first look to the commit."""
        connection = await self._connected()
        with translated():
            await connection.execute("BEGIN")
            books, seen = await self._load(connection, items, lock=True)
        decisions = _decide(books, items)
        await self._record_whole(connection, books, seen, begun=True)
        return decisions

    async def expire(self, accounts_max: int, leave_out: Collection[int] = ()) -> Swept:
        """Expires the holds that are due on at most so many accounts, those to ``leave_out`` aside.

        What another daemon is looking at, or deciding on under locks, is left to it. An account that is refused (its
        books contradict themselves, say) does not keep the others from theirs: then each has a commit of its own, and
        the result names it. What was not committed is due still.

        Raises:
            DatabaseUnavailable, CommitUnknown: try again later; what was committed is not due any more.
        """
        refused: dict[int, str] = {}
        holds = looked_at = 0
        size = accounts_max
        while looked_at < accounts_max:
            with self._under_watch():
                connection = await self._connected()
                self._moment = self._clock()
                with translated():
                    await connection.execute("BEGIN")
                    rows = await lock_due(connection, self._moment, size, {*leave_out, *refused})
                    if not rows:
                        await connection.execute("ROLLBACK")
                        break
                try:
                    holds += await self._expire_on(connection, rows)
                except (JournalRefused, InvariantBroken) as exc:
                    with translated():
                        await connection.execute("ROLLBACK")
                    if len(rows) > 1:
                        size = 1
                        continue
                    refused[rows[0]["account_id"]] = str(exc)
            looked_at += len(rows)
            if len(rows) < size or size == accounts_max:
                break
        return Swept(looked_at, holds, refused)

    async def _expire_on(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Expires what is due on these accounts, which are locked, and commits. How many holds it were."""
        assert self._moment is not None, "the caller has looked at the clock"
        books = Books(self._programs, self._security, self._moment)
        books.accounts = {row["account_id"]: account_of(row) for row in rows}
        with translated():
            await load_open_holds(connection, books, list(books.accounts))
        loaded = tuple(books.accounts.values())
        for account_id in books.accounts:
            books.expire_due(account_id)
        books.check_invariants(loaded)
        seen = Seen({row["account_id"]: seen_of(row) for row in rows}, {})
        await self._record_whole(connection, books, seen, begun=True)
        return books.holds_expired

    async def first_due(self) -> datetime | None:
        """When a hold may be due first; in the past while some are overdue. Raises DatabaseUnavailable."""
        with self._under_watch():
            return await first_due(await self._connected())

    async def prepare(self) -> None:
        """Connects ahead of the first batch, which need not wait for it then. Raises DatabaseUnavailable."""
        with self._under_watch():
            await self._connected()

    async def close(self) -> None:
        """Closes the connection, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close(timeout=2)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._settings, self._dsn, application="switch unit of work", planner=BY_INDEX
            )
            # An empty unit: asyncpg learns the types, and PostgreSQL plans. A batch would have to wait for that.
            with translated():
                await load_unit(self._connection, [], [], lock=False)
                await self._connection.fetchval(_RECORD, *_NOTHING)
        return self._connection

    def _drop(self) -> None:
        """Breaks the connection off; PostgreSQL then rolls back what was open and frees the locks."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _load(self, connection: Connection, items: Sequence[Item], *, lock: bool) -> tuple[Books, Seen]:
        """The books, and the rows that they come from."""
        lookups, keys = [item.pan_lookup for item in items], [item.key for item in items]
        rows = await load_unit(connection, lookups, keys, lock=lock)
        self._moment = self._clock()
        books = Books(self._programs, self._security, self._moment)
        seen = Seen({}, {})
        with_tombstones: set[int] = set()
        with_due: list[int] = []
        for row, item in zip(rows, items, strict=True):
            account_id = row["account_id"]
            if account_id is not None and item.pan_lookup not in books.cards:
                card = card_of(row)
                books.cards[item.pan_lookup] = card
                if account_id not in books.accounts:
                    books.accounts[account_id] = account_of(row)
                    seen.accounts[account_id] = seen_of(row)
                if row["day"] is not None:
                    books.usages[card.card_id] = usage_of(row)
                    if row["usage_place"] is not None:
                        seen.usages[card.card_id] = row["usage_place"]
                if row["tombstones"]:
                    with_tombstones.add(account_id)
                if (due := row["expiry_due"]) is not None and due <= self._moment:
                    with_due.append(account_id)
            if row["stored"] is not None:
                stored = stored_of(row["stored"])
                books.stored[stored.account_id, stored.key] = stored
        if with_tombstones:
            await load_tombstones(connection, books, items, with_tombstones)
        if with_due:
            await load_open_holds(connection, books, with_due)
        await load_history(connection, books, items)
        if any(item.request.kind is Kind.PRESENTMENT for item in items):
            await load_clearing(connection, books, items)
        await load_holds(connection, books, items)
        return books, seen

    async def _record_whole(self, connection: Connection, books: Books, seen: Seen, *, begun: bool = False) -> None:
        """Writes the batch in a transaction of several statements, which ``begun`` says is open already."""
        with translated():
            if not begun:
                await connection.execute("BEGIN")
            await self._record(connection, books, seen)
            if _has_more(books):
                await self._record_beside(connection, books)
        with translated(committing=True):
            await connection.execute("COMMIT")
        self.holds_expired += books.holds_expired

    async def _record_beside(self, connection: Connection, books: Books) -> None:
        await connection.fetchval(_RECORD_BESIDE, *beside_values(books))
        if books.undone:
            undone = [(one.account_id, one.key, one.since) for one in books.undone]
            await connection.fetchval(_UNDO_FUNDING, undone, books.now)

    async def _record(self, connection: Connection, books: Books, seen: Seen) -> None:
        await connection.fetchval(_RECORD, *unit_values(books, seen))


def unit_values(books: Books, seen: Seen) -> tuple[object, ...]:
    """What ``record_unit`` takes."""
    now = books.now
    entries = chain(books.bookings, books.accounts, now)
    beginnings, steps = _beginnings(entries, books.hold_steps)
    own, further = _usages(books, seen)
    return (
        [entry_row(chained) for chained in entries],
        [usage_row(account_id, usage, seen.usages.get(usage.card_id)) for account_id, usage in further],
        [hold_row(hold) for hold in beginnings],
        [hold_row(hold) for hold in steps],
        # In key order: two daemons that store the same messages of unknown cards must not wait for each other.
        [
            message_row(message, decision, item.request, now)
            for _, (message, decision, item) in sorted(books.new_messages.items(), key=lambda new: new[0])
        ],
        books.repeats,
        [amendment_row(message, books.unheard.get(ref, 0)) for ref, message in books.amended_messages.items()],
        [concern_row(concern, now) for concern in books.concerns],
        [(account_id, now + TOMBSTONE_LIFE) for account_id in books.accounts_with_new_tombstones],
        [version_row(account_id, account, own.get(account_id)) for account_id, account in seen.accounts.items()],
    )


def _beginnings(entries: Sequence[ChainedEntry], steps: Sequence[Hold]) -> tuple[list[Hold], list[Hold]]:
    """Purchases that begin in this batch and take no further step in it, and the steps of all others, in order."""
    begun = {
        (entry.account_id, entry.seq)
        for entry in (chained.entry for chained in entries)
        if entry.movement.hold_id == entry.seq
    }
    count = Counter([(hold.account_id, hold.hold_id) for hold in steps])
    beginnings: list[Hold] = []
    others: list[Hold] = []
    for hold in steps:
        purchase = (hold.account_id, hold.hold_id)
        (beginnings if purchase in begun and count[purchase] == 1 else others).append(hold)
    return beginnings, others


def _usages(books: Books, seen: Seen) -> tuple[dict[int, Usage], list[tuple[int, Usage]]]:
    """Changed usages that stand in their account's row, by account, and those that have rows of their own.

    The first card of an account that spends takes the account's row.
    """
    own: dict[int, Usage] = {}
    further: list[tuple[int, Usage]] = []
    for account_id, usage in books.changed_usages.values():
        first = own[account_id].card_id if account_id in own else seen.accounts[account_id].usage_card_id
        if first in (None, usage.card_id):
            own[account_id] = usage
        else:
            further.append((account_id, usage))
    return own, further


def beside_values(books: Books) -> tuple[object, ...]:
    """What ``record_beside`` takes."""
    now = books.now
    return (
        [item_row(step, now) for step in books.item_steps if step.before is None],
        [change_row(step, now) for step in books.item_steps if step.before is not None],
        [notice_row(notice, now) for notice in books.notices],
        [(account_id, books.next_due(account_id)) for account_id in books.open_holds_known],
    )


def _has_more(books: Books) -> bool:
    """Whether the batch has what ``record_beside`` writes."""
    return bool(books.item_steps or books.notices or books.open_holds_known or books.undone)


def _decide(books: Books, items: Sequence[Item]) -> list[Decision]:
    loaded = tuple(books.accounts.values())
    decisions = [books.decide(item) for item in items]
    books.check_invariants(loaded)
    return decisions


def chain(bookings: Sequence[Booking], accounts: Mapping[int, Account], now: datetime) -> list[ChainedEntry]:
    """The entries with their hashes. ``accounts`` still carry the head that was loaded."""
    heads: dict[int, bytes] = {}
    now_us = microseconds(now)
    chained: list[ChainedEntry] = []
    for booking in bookings:
        entry, cause, key, sent = booking.entry, booking.cause, booking.key, booking.transmitted_at
        head = heads.get(entry.account_id) or accounts[entry.account_id].head_hash
        digest = entry_hash(entry, cause, key, microseconds(sent), now_us, head)
        heads[entry.account_id] = digest
        chained.append(ChainedEntry(entry, cause, key, sent, now, head, digest))
    return chained
