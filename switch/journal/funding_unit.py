"""The unit of work of top-ups: purchases to be parked, and steps of their attempts, many in one commit.

::

    load      the books, the attempts, the parked messages: nothing is locked
    work      a pure function is shown each, changes the books in memory and says what the attempt becomes
    record    one statement, so one commit: accounts and attempts must stand where they were read

Each statement is a round trip, and a purchase that waits has only seconds. Where another writer was quicker, or one of
many is refused, they are done in halves, down to the one that it is about, which is done once more under the locks of
account and attempt. So what is wrong with one keeps no other from its step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, InvariantBroken
from switch.issuer.books import Books, Item
from switch.issuer.stored import MessageState
from switch.journal.connection import Connection, Overtaken, translated
from switch.journal.funding_rows import (
    AttemptRow,
    Means,
    OverdueRow,
    alert_overdue,
    attempts_of,
    load_means,
)
from switch.journal.funding_sheet import Change, Move, Order, Park, Parked, Planner, Purchase, Result, Sheet, Short
from switch.journal.rows import Seen, trace_json
from switch.journal.unit import UnitOfWork, beside_values, unit_values

__all__ = ["FundingUnit"]

_LOCK = "SELECT lock_funding($1, $2)"
# OFFSET 0 keeps each look-up by key apart, as in switch.journal.history.
_LOOK = """
    SELECT f.attempt, m.message,
           a.account_id, a.currency, a.posted, a.held, a.floor, a.seq, a.head_hash, a.bonus_posted, a.bonus_held,
           a.xmin::text::bigint AS version, a.ctid AS place, a.usage_card_id,
           -- The network has decided the purchase itself, or was told so by the acquirer: since it was parked, or
           -- before, while it waited for its turn; references come again after days at the earliest. Each look-up has
           -- an index of its own: an account's messages are many.
           EXISTS (
               SELECT 1 FROM message_key x
                WHERE x.account_id = m.account_id AND x.retrieval_reference = m.retrieval_reference
                  AND x.retrieval_reference <> '' AND x.card_id = m.card_id AND x.network = m.network
                  AND x.kind IN ('authorization_advice', 'financial_advice')
                  AND x.decided_at >= m.decided_at - interval '1 day'
           ) OR EXISTS (
               SELECT 1 FROM message_key x
                WHERE x.account_id = m.account_id AND x.network_reference = m.network_reference
                  AND x.network_reference <> '' AND x.card_id = m.card_id AND x.network = m.network
                  AND x.kind IN ('authorization_advice', 'financial_advice')
                  AND x.decided_at >= m.decided_at - interval '1 day'
           ) OR EXISTS (
               SELECT 1 FROM message_key x
                WHERE x.account_id = m.account_id AND x.original_stan = m.stan AND x.original_stan <> ''
                  AND x.original_transmitted = m.transmitted AND x.original_transmitted <> ''
                  AND x.card_id = m.card_id AND x.network = m.network
                  AND x.kind IN ('authorization_advice', 'financial_advice')
                  AND x.decided_at >= m.decided_at - interval '1 day'
           ) AS advised
      FROM unnest($1::bigint[], $2::bytea[], $3::integer[]) AS w (account_id, key, turn)
     CROSS JOIN LATERAL (
           SELECT x AS attempt FROM funding_attempt x
            WHERE x.account_id = w.account_id AND x.message_key = w.key AND x.turn = w.turn OFFSET 0
           ) f
     CROSS JOIN LATERAL (
           SELECT x AS message, x.* FROM message_key x
            WHERE x.account_id = w.account_id AND x.key = w.key OFFSET 0
           ) m
     CROSS JOIN LATERAL (SELECT x.*, x.xmin, x.ctid FROM account x WHERE x.account_id = w.account_id OFFSET 0) a
"""
_RECORD_STEP = "SELECT record_funding($1, $2)"
# The account first, as everywhere: its lock is what others wait for.
_RECORD_ALL = """SELECT record_unit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10), record_beside($11, $12, $13, $14),
    record_funding($15, $16), retrace_topped_up($17)
"""


_Done: TypeAlias = Parked | Literal["later"] | None  # later: another order of the batch is on the same account


class FundingUnit(UnitOfWork):
    """A unit of work that also keeps attempts."""

    async def carry_out(self, orders: Sequence[Order]) -> list[Result]:
        """In as few commits as possible; the results come in their order, every one durable.

        A result is what came of a Park, None for a Move, or what :meth:`park` and :meth:`move` raise.
        """
        results: list[Result] = [None] * len(orders)
        todo = [list(range(len(orders)))]
        while todo:
            places = todo.pop()
            try:
                done = await self._attempt_orders([orders[place] for place in places])
            except (DatabaseUnavailable, CommitUnknown) as exc:
                for place in places:
                    results[place] = exc
            except Exception as exc:  # noqa: BLE001 -- what is wrong with one order must not stop the others
                if len(places) == 1:
                    results[places[0]] = exc
                    continue
                middle = len(places) // 2
                todo += [places[middle:], places[:middle]]
            else:
                later = []
                for place, one in zip(places, done, strict=True):
                    if one == "later":
                        later.append(place)
                    else:
                        results[place] = one
                if later:
                    todo.append(later)
        return results

    async def park(self, item: Item, plan: Planner) -> Parked:
        """One :class:`Park`. Raises as :meth:`UnitOfWork.run`."""
        (result,) = await self.carry_out([Park(item, plan)])
        if isinstance(result, Exception):
            raise result
        assert result is not None, "a Park has a result"
        return result

    async def move(
        self,
        account_id: int,
        key: bytes,
        work: Callable[[Purchase], Change | None],
        item: Item | None = None,
        *,
        turn: int = 1,
    ) -> None:
        """One :class:`Move`. Raises as :meth:`UnitOfWork.run`, and InvariantBroken where there is no such attempt."""
        (result,) = await self.carry_out([Move(account_id, key, work, item, turn=turn)])
        if isinstance(result, Exception):
            raise result

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

    async def _attempt_orders(self, orders: Sequence[Order]) -> list[_Done]:
        """Without locks. Where another writer came between, an order that is alone is carried out once more in a
        transaction that begins with its locks; of several, Overtaken is raised.
        """
        with self._under_watch():
            connection = await self._connected()
            try:
                return await self._carry_out(connection, orders, locked=False)
            except (Overtaken, InvariantBroken):
                # What two statements read, with another writer between them, may contradict itself.
                self.overtaken += 1
            if len(orders) == 1:
                with translated():
                    await connection.execute("BEGIN")
                    await self._lock(connection, orders[0])
                done = await self._carry_out(connection, orders, locked=True)
                with translated(committing=True):
                    await connection.execute("COMMIT")
                return done
        raise Overtaken("another writer was quicker on one of several")

    async def _lock(self, connection: Connection, order: Order) -> None:
        if isinstance(order, Park):
            await self._load(connection, [order.item], lock=True)
        else:
            await connection.execute(_LOCK, order.account_id, order.key)

    async def _carry_out(self, connection: Connection, orders: Sequence[Order], *, locked: bool) -> list[_Done]:
        with translated():
            sheet = await self._sheet(connection, orders)
        books = sheet.books
        loaded = tuple(books.accounts.values())
        done: list[_Done] = []
        lacking: list[tuple[int, Order]] = []  # another source, or the first one, may be asked for them
        for place, order in enumerate(orders):
            if not sheet.begin(order):
                done.append("later")
            elif isinstance(order, Move):
                done.append(None)
                if order.with_sources and _missing(books, order) is not None:
                    lacking.append((place, order))
                else:
                    sheet.move(order)
            else:
                decision = books.decide(order.item)
                done.append(Parked(decision))
                if decision.waits:
                    lacking.append((place, order))
        for place, parked in await self._with_sources(connection, sheet, lacking):
            done[place] = parked
        books.check_invariants(loaded)
        with translated(committing=not locked):
            await self._record_sheet(connection, sheet)
        return done

    async def _sheet(self, connection: Connection, orders: Sequence[Order]) -> Sheet:
        """With the books of all accounts that the orders are about, the attempts and the parked messages."""
        items = [order.item for order in orders if order.item is not None]
        moves = [order for order in orders if isinstance(order, Move)]
        if items:
            books, seen = await self._load(connection, items, lock=False)
        else:
            self._moment = self._clock()
            books, seen = Books(self._programs, self._security, self._moment), Seen({}, {})
        sheet = Sheet(books, seen)
        if moves:
            accounts, keys = [one.account_id for one in moves], [one.key for one in moves]
            turns = [one.turn for one in moves]
            for row in await connection.fetch(_LOOK, accounts, keys, turns):
                sheet.show(row)
        return sheet

    async def _with_sources(
        self, connection: Connection, sheet: Sheet, lacking: Sequence[tuple[int, Order]]
    ) -> list[tuple[int, Parked | None]]:
        """What comes of purchases that are short, each with its place: those that come, and those whose source may not
        have been the last one.
        """
        if not lacking:
            return []
        books = sheet.books
        purchases = {_account_of(books, order): (self._zone(books, order), _item_of(order).key) for _, order in lacking}
        means = await load_means(connection, purchases, books.now)
        done: list[tuple[int, Parked | None]] = []
        for place, order in lacking:
            account_id = _account_of(books, order)
            found = means[account_id]
            if isinstance(order, Move):
                sheet.move(order, self._short(books, order, found))
                done.append((place, None))
            elif found.attempts:  # perhaps of a program that tops up no more
                sheet.decided.discard(account_id)
                done.append((place, Parked(None, found.attempts[-1])))
            else:
                done.append((place, _park(sheet, order, self._short(books, order, found))))
        return done

    def _zone(self, books: Books, order: Order) -> str:
        policy = self._programs[books.cards[_item_of(order).pan_lookup].program].top_up
        return "UTC" if policy is None else policy.time_zone

    def _short(self, books: Books, order: Order, means: Means) -> Short:
        item, missing = _item_of(order), _missing(books, order)
        assert missing is not None, "the books say that it is short"
        card = books.cards[item.pan_lookup]
        return Short(
            item,
            card.account_id,
            card.card_id,
            self._programs[card.program],
            missing,
            means.sources,
            means.usage,
            books.now,
            means.attempts,
        )

    async def _record_sheet(self, connection: Connection, sheet: Sheet) -> None:
        books = sheet.books
        if not sheet.moves and not sheet.decided:
            return
        if not (sheet.decided or books.bookings or books.amended_messages or books.notices):
            await connection.fetchval(_RECORD_STEP, sheet.attempts, sheet.moves)
            return
        await connection.fetchval(
            _RECORD_ALL,
            *unit_values(books, sheet.seen_that_counts()),
            *beside_values(books),
            sheet.attempts,
            sheet.moves,
            [(*ref, trace_json(trace)) for ref, trace in books.retraced.items()],
        )
        self.holds_expired += books.holds_expired


def _park(sheet: Sheet, order: Park, short: Short) -> Parked:
    path, step = order.plan(short)
    decision = sheet.books.settle_short(order.item, step, MessageState.PARKED if path else MessageState.ANSWERED)
    if not path:
        return Parked(decision)
    sheet.follow(path)
    return Parked(decision, path[-1], new=True)


def _item_of(order: Order) -> Item:
    assert order.item is not None, "who asks for sources has the purchase"
    return order.item


def _account_of(books: Books, order: Order) -> int:
    return books.cards[_item_of(order).pan_lookup].account_id


def _missing(books: Books, order: Order) -> int | None:
    return books.short(_item_of(order), parked=isinstance(order, Move))
