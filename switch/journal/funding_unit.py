"""The unit of work of a top-up: parking a purchase, and every step of its attempt.

::

    load      the books, the attempt, the parked message: nothing is locked
    work      a pure function is shown both, changes the books in memory and says what the attempt becomes
    record    one statement, so one commit: account and attempt must stand where they were read

Each statement is a round trip, and a purchase that waits has only seconds. Where another writer was quicker, all is
done once more under the locks of account and attempt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from switch.contracts.errors import InvariantBroken
from switch.issuer.books import Books, Item
from switch.issuer.case import Decision, Step
from switch.issuer.program import Program
from switch.issuer.stored import MessageState, StoredMessage
from switch.journal.connection import Connection, Overtaken, translated
from switch.journal.funding_rows import (
    AttemptRow,
    MoveRow,
    OverdueRow,
    SourceRow,
    UsageRow,
    alert_overdue,
    attempts_of,
    load_attempts,
    load_sources,
    load_usage,
)
from switch.journal.rows import Row, account_of, stored_of, trace_json
from switch.journal.unit import UnitOfWork, beside_values, unit_values

__all__ = ["Change", "FundingUnit", "Parked", "Purchase", "Short"]

T = TypeVar("T")

_LOCK = "SELECT lock_funding($1, $2)"
_LOOK = """
    SELECT f AS attempt, m AS message,
           a.account_id, a.currency, a.posted, a.held, a.floor, a.seq, a.head_hash, a.bonus_posted, a.bonus_held,
           a.xmin::text::bigint AS version,
           -- The network has decided the purchase itself meanwhile, or was told so by the acquirer. Each look-up has an
           -- index of its own: an account's messages are many.
           EXISTS (
               SELECT 1 FROM message_key x
                WHERE x.account_id = m.account_id AND x.retrieval_reference = m.retrieval_reference
                  AND x.retrieval_reference <> '' AND x.card_id = m.card_id AND x.network = m.network
                  AND x.kind IN ('authorization_advice', 'financial_advice') AND x.decided_at >= m.decided_at
           ) OR EXISTS (
               SELECT 1 FROM message_key x
                WHERE x.account_id = m.account_id AND x.network_reference = m.network_reference
                  AND x.network_reference <> '' AND x.card_id = m.card_id AND x.network = m.network
                  AND x.kind IN ('authorization_advice', 'financial_advice') AND x.decided_at >= m.decided_at
           ) OR EXISTS (
               SELECT 1 FROM message_key x
                WHERE x.account_id = m.account_id AND x.original_stan = m.stan AND x.original_stan <> ''
                  AND x.original_transmitted = m.transmitted AND x.original_transmitted <> ''
                  AND x.card_id = m.card_id AND x.network = m.network
                  AND x.kind IN ('authorization_advice', 'financial_advice') AND x.decided_at >= m.decided_at
           ) AS advised
      FROM funding_attempt f
      JOIN message_key m ON m.account_id = f.account_id AND m.key = f.message_key
      JOIN account a ON a.account_id = f.account_id
     WHERE f.account_id = $1 AND f.message_key = $2 AND f.turn = $3
"""
_RECORD_STEP = "SELECT record_funding($1, $2)"
# The account first, as everywhere: its lock is what others wait for.
_RECORD_ALL = """SELECT record_unit($1, $2, $3, $4, $5, $6, $7, $8, $9), record_beside($10, $11, $12, $13),
    record_funding($14, $15), retrace_topped_up($16)
"""


class Short(NamedTuple):
    """A purchase that lacks money, and what could be charged for it."""

    item: Item
    account_id: int
    card_id: int
    program: Program
    shortfall_minor: int
    sources: tuple[SourceRow, ...]
    usage: UsageRow
    now: datetime
    asked: tuple[AttemptRow, ...] = ()  # for this purchase, before


class Purchase(NamedTuple):
    """An attempt and the parked purchase, as they were read."""

    attempt: AttemptRow
    message: StoredMessage
    advised: bool  # the network decided the purchase itself meanwhile
    books: Books
    short: Short | None = None  # what another source could be asked for, where that was to be loaded


class Change(NamedTuple):
    """What an attempt becomes, and the one that is made in its place."""

    attempt: AttemptRow
    note: str = ""
    following: AttemptRow | None = None


class Parked(NamedTuple):
    """What came of a purchase that may have to wait: a decision that is booked; or an attempt, its own (``new``) or
    one that another copy of the message waits for.
    """

    decision: Decision | None
    attempt: AttemptRow | None = None
    new: bool = False

    @property
    def decided(self) -> Decision:
        """Of a purchase without an attempt."""
        assert self.decision is not None, "without an attempt it is decided"
        return self.decision


#: Says what is charged, with a step for the trace, or in that step why nothing is.
Planner = Callable[[Short], tuple[AttemptRow | None, Step]]


class FundingUnit(UnitOfWork):
    """A unit of work that also keeps attempts."""

    async def park(self, item: Item, plan: Planner) -> Parked:
        """Decides a request again: it is booked, declined, or parked with an attempt.

        Raises as :meth:`UnitOfWork.run`.
        """
        return await self._without_locks(partial(self._park, item, plan), partial(self._lock_of, item))

    async def move(
        self,
        account_id: int,
        key: bytes,
        work: Callable[[Purchase], Change | None],
        item: Item | None = None,
        *,
        turn: int = 1,
        with_sources: bool = False,
    ) -> None:
        """One step of an attempt: ``work`` makes it; with None nothing is written. It may be called twice, and the
        second call counts. ``item`` is the purchase itself, where it is to be decided, or where another source may be
        asked for it (``with_sources``).

        Raises as :meth:`UnitOfWork.run`, and InvariantBroken where there is no such attempt.
        """
        await self._without_locks(
            partial(self._move, account_id, key, turn, work, item, with_sources), partial(self._lock, account_id, key)
        )

    async def keep_driving(self, owner: str, seconds: float, attempts_max: int) -> list[AttemptRow]:
        """Says that ``owner`` lives, takes over what others have left, and gives all of its attempts that have not
        ended. With 0 seconds it hands them all over.
        """
        with self._under_watch():
            connection = await self._connected()
            with translated():
                await connection.execute("SELECT keep_driving($1, $2)", owner, seconds)
                if not seconds:
                    return []
                await connection.execute("SELECT claim_funding($1, $2)", owner, attempts_max)
            return await attempts_of(connection, "owner = $1 AND wake_at IS NOT NULL", owner)

    async def alert_overdue(self, thresholds: Sequence[int]) -> list[OverdueRow]:
        """What nobody was told of yet; see :func:`switch.journal.funding_rows.alert_overdue`."""
        if not thresholds:
            return []
        with self._under_watch():
            return await alert_overdue(await self._connected(), thresholds, self._clock())

    async def _without_locks(
        self,
        work: Callable[[Connection, bool], Awaitable[T]],
        lock: Callable[[Connection], Awaitable[None]],
    ) -> T:
        """Runs ``work``; where another writer came between, once more in a transaction that begins with ``lock``."""
        with self._under_watch():
            connection = await self._connected()
            try:
                return await work(connection, False)
            except (Overtaken, InvariantBroken):
                # What two statements read, with another writer between them, may contradict itself.
                self.overtaken += 1
            with translated():
                await connection.execute("BEGIN")
            await lock(connection)
            result = await work(connection, True)
            with translated(committing=True):
                await connection.execute("COMMIT")
            return result

    async def _lock(self, account_id: int, key: bytes, connection: Connection) -> None:
        with translated():
            await connection.execute(_LOCK, account_id, key)

    async def _lock_of(self, item: Item, connection: Connection) -> None:
        with translated():
            await self._load(connection, [item], lock=True)

    async def _park(self, item: Item, plan: Planner, connection: Connection, locked: bool) -> Parked:
        with translated():
            books, versions = await self._load(connection, [item], lock=False)
        loaded = tuple(books.accounts.values())
        decision = books.decide(item)
        attempt: AttemptRow | None = None
        if decision.waits:
            account_id = books.cards[item.pan_lookup].account_id
            if known := await load_attempts(connection, account_id, item.key):
                return Parked(None, known[-1])
            missing = books.short(item)
            assert missing is not None, "the books say that it is short"
            attempt, step = plan(await self._short(connection, books, item, missing))
            decision = books.settle_short(item, step, MessageState.ANSWERED if attempt is None else MessageState.PARKED)
        books.check_invariants(loaded)
        moves = [] if attempt is None else [_move(attempt, None, "")]
        with translated(committing=not locked):
            await self._record_all(connection, books, versions, [] if attempt is None else [attempt], moves)
        return Parked(decision) if attempt is None else Parked(decision, attempt, new=True)

    async def _move(
        self,
        account_id: int,
        key: bytes,
        turn: int,
        work: Callable[[Purchase], Change | None],
        item: Item | None,
        with_sources: bool,
        connection: Connection,
        locked: bool,
    ) -> None:
        known = None
        with translated():
            if item is not None:
                known = await self._load(connection, [item], lock=False)
            row = await connection.fetchrow(_LOOK, account_id, key, turn)
        if row is None:
            raise InvariantBroken(f"account {account_id}: no funding attempt for the message {key.hex()}")
        books, versions = self._books_of(row) if known is None else known
        attempt = AttemptRow(*row["attempt"].values())
        stored = books.stored[account_id, key] = stored_of(row["message"])
        loaded = tuple(books.accounts.values())
        short = None
        if with_sources and item is not None and (missing := books.short(item, parked=True)) is not None:
            asked = await load_attempts(connection, account_id, key)
            short = (await self._short(connection, books, item, missing))._replace(asked=tuple(asked))
        change = work(Purchase(attempt, stored, row["advised"], books, short))
        if change is None:
            return
        books.check_invariants(loaded)
        attempts, moves = [change.attempt], [_move(change.attempt, attempt, change.note)]
        if change.following is not None:
            attempts.append(change.following)
            moves.append(_move(change.following, None, ""))
        with translated(committing=not locked):
            if not (books.bookings or books.amended_messages or books.notices or change.following):
                await connection.fetchval(_RECORD_STEP, attempts, moves)
                return
            # Without entries, a charge that shares its caps, or a look at all open holds, the account stays as it is:
            # nobody who looked at it meanwhile has to decide again.
            changes_account = books.bookings or change.following or books.open_holds_known
            await self._record_all(connection, books, versions if changes_account else [], attempts, moves)

    def _books_of(self, row: Row) -> tuple[Books, list[tuple[int, int]]]:
        """With the account alone: for a step that decides no purchase."""
        self._moment = self._clock()
        books = Books(self._programs, self._security, self._moment)
        books.accounts[row["account_id"]] = account_of(row)
        return books, [(row["account_id"], row["version"])]

    async def _record_all(
        self,
        connection: Connection,
        books: Books,
        versions: Sequence[tuple[int, int]],
        attempts: Sequence[AttemptRow],
        moves: Sequence[MoveRow],
    ) -> None:
        traces = [(*ref, trace_json(trace)) for ref, trace in books.retraced.items()]
        await connection.fetchval(
            _RECORD_ALL, *unit_values(books, versions), *beside_values(books), attempts, moves, traces
        )
        self.holds_expired += books.holds_expired

    async def _short(self, connection: Connection, books: Books, item: Item, missing: int) -> Short:
        card = books.cards[item.pan_lookup]
        program = self._programs[card.program]
        assert program.top_up is not None, "the books say that it is short"
        return Short(
            item,
            card.account_id,
            card.card_id,
            program,
            missing,
            await load_sources(connection, card.account_id),
            await load_usage(connection, card.account_id, books.now, program.top_up.time_zone, item.key),
            books.now,
        )


def _move(after: AttemptRow, before: AttemptRow | None, note: str) -> MoveRow:
    """The step between two rows."""
    return MoveRow(
        after.account_id,
        after.message_key,
        after.moved_at,
        "" if before is None else before.state,
        after.state,
        after.purchase,
        after.cause,
        note,
        None if before is None else before.moved_at,
        after.turn,
    )
