"""Where all accounts stood at a moment, and whether each stands now where its journal and its holds put it.

The statement passes over journal, accounts and holds, and comes back with a few rows, so Python's memory stays flat;
PostgreSQL's is ``work_mem``, and its disk beyond that. What an entry does is worked out from its sides and amount
again: a side belongs to the account when its name ends in ``.available`` or ``.held``, and to the bonus when it begins
so.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

import msgspec

from switch.journal.connection import Connection, translated

__all__ = ["ContraryAccount", "CurrencyPosition", "NegativeAccount", "OpenHolds", "Positions", "all_positions"]

T = TypeVar("T", bound=msgspec.Struct)

#: What an entry does to each figure, told by its sides and amount alone.
_POSTED_BY_SIDES = """(amount * ((credit LIKE '%.available' OR credit LIKE '%.held')::integer
                               - (debit LIKE '%.available' OR debit LIKE '%.held')::integer))"""
_HELD_BY_SIDES = "(amount * ((credit LIKE '%.held')::integer - (debit LIKE '%.held')::integer))"
_BONUS_BY_SIDES = "(amount * ((credit LIKE 'bonus.%')::integer - (debit LIKE 'bonus.%')::integer))"
_BONUS_HELD_BY_SIDES = "(amount * ((credit = 'bonus.held')::integer - (debit = 'bonus.held')::integer))"


class CurrencyPosition(msgspec.Struct, frozen=True):
    """All accounts of a currency: as of the closing moment by the journal, and now by account and by journal."""

    currency: str
    accounts: int
    posted_minor: int
    held_minor: int
    available_minor: int
    negative_accounts: int
    negative_minor: int  # the available balances below zero, added up
    now_account_posted_minor: int
    now_journal_posted_minor: int
    now_account_held_minor: int
    now_journal_held_minor: int
    now_open_holds_minor: int
    contrary_accounts: int


class NegativeAccount(msgspec.Struct, frozen=True):
    """An account whose available balance is below zero."""

    account: int
    currency: str
    posted_minor: int
    held_minor: int
    available_minor: int


class ContraryAccount(msgspec.Struct, frozen=True):
    """An account that does not stand where its entries, its sides or its open holds put it; all figures are of
    now.
    """

    account: int
    currency: str
    there: bool  # False: entries without an account
    seq: int
    posted_minor: int
    held_minor: int
    journal_entries: int
    journal_posted_minor: int
    journal_held_minor: int
    sides_posted_minor: int
    sides_held_minor: int
    open_holds_minor: int


class OpenHolds(msgspec.Struct, frozen=True):
    """What was set aside as of the closing moment. ``bucket`` 0 is the youngest."""

    currency: str
    bucket: int
    count: int
    held_minor: int


class Positions(msgspec.Struct, frozen=True):
    """What one pass over journal, accounts and holds tells."""

    currencies: list[CurrencyPosition]
    negative: list[NegativeAccount]
    contrary: list[ContraryAccount]
    holds: list[OpenHolds]


# One pass over the journal finds both where every account stands now and where it stood: the newest of its rows as an
# array, compared by seq first. A second one, of accounts that held something, finds which holds were open.
_POSITIONS = f"""
    WITH book AS (
        SELECT account_id, min(currency) AS currency, max(currency) AS other_currency, count(*) AS entries,
               sum(posted_delta) AS posted, sum(held_delta) AS held,
               sum{_POSTED_BY_SIDES} AS sides_posted, sum{_HELD_BY_SIDES} AS sides_held,
               sum{_BONUS_BY_SIDES} AS bonus_posted, sum{_BONUS_HELD_BY_SIDES} AS bonus_held,
               max(ARRAY[seq, posted_after, held_after]) AS newest,
               max(ARRAY[seq, posted_after, held_after]) FILTER (WHERE booked_at <= $1) AS closing
          FROM journal_entry GROUP BY account_id
    ), open AS (
        SELECT account_id, sum(held) AS held, sum(held_bonus) AS bonus FROM hold WHERE held <> 0 GROUP BY account_id
    ), joined AS (
        SELECT account_id, coalesce(a.currency, b.currency) AS currency, a.account_id IS NOT NULL AS there,
               coalesce(a.opened_at <= $1, false) OR b.closing IS NOT NULL AS counts,
               coalesce(closing[1], 0) AS c_seq, coalesce(closing[2], 0) AS c_posted, coalesce(closing[3], 0) AS c_held,
               coalesce(a.seq, 0) AS seq, coalesce(a.posted, 0) AS posted, coalesce(a.held, 0) AS held,
               coalesce(b.entries, 0) AS j_entries, coalesce(b.posted, 0) AS j_posted, coalesce(b.held, 0) AS j_held,
               coalesce(sides_posted, 0) AS s_posted, coalesce(sides_held, 0) AS s_held,
               coalesce(a.bonus_posted, 0) AS bonus_posted, coalesce(a.bonus_held, 0) AS bonus_held,
               coalesce(b.bonus_posted, 0) AS s_bonus_posted, coalesce(b.bonus_held, 0) AS s_bonus_held,
               coalesce(newest, '{{0,0,0}}') AS newest, coalesce(b.currency, a.currency) AS j_currency,
               coalesce(b.other_currency, a.currency) AS j_other_currency
          FROM account a FULL JOIN book b USING (account_id)
    ), stand AS MATERIALIZED (
        SELECT j.*, c_posted - c_held AS c_available, coalesce(o.held, 0) AS open_held,
               NOT j.there OR j_currency <> j.currency OR j_other_currency <> j.currency
               OR j_entries <> j.seq OR j_posted <> j.posted OR j_held <> j.held
               OR s_posted <> j.posted OR s_held <> j.held OR coalesce(o.held, 0) <> j.held
               OR newest <> ARRAY[j.seq, j.posted, j.held]
               OR s_bonus_posted <> j.bonus_posted OR s_bonus_held <> j.bonus_held
               OR coalesce(o.bonus, 0) <> j.bonus_held AS contrary
          FROM joined j LEFT JOIN open o USING (account_id)
    ), opened AS (
        SELECT e.account_id, e.hold_id, s.currency, min(e.booked_at) AS opened_at, sum(e.held_delta) AS held
          FROM journal_entry e JOIN stand s USING (account_id)
         WHERE s.c_held <> 0 AND e.seq <= s.c_seq AND e.held_delta <> 0
         GROUP BY e.account_id, e.hold_id, s.currency HAVING sum(e.held_delta) <> 0
    ), currency_position AS (
        SELECT currency, count(*) FILTER (WHERE counts) AS accounts,
               sum(c_posted) AS posted_minor, sum(c_held) AS held_minor, sum(c_available) AS available_minor,
               count(*) FILTER (WHERE c_available < 0) AS negative_accounts,
               coalesce(sum(c_available) FILTER (WHERE c_available < 0), 0) AS negative_minor,
               sum(posted) AS now_account_posted_minor, sum(j_posted) AS now_journal_posted_minor,
               sum(held) AS now_account_held_minor, sum(j_held) AS now_journal_held_minor,
               sum(open_held) AS now_open_holds_minor, count(*) FILTER (WHERE contrary) AS contrary_accounts
          FROM stand GROUP BY currency ORDER BY currency
    ), negative AS (
        SELECT account_id AS account, currency, c_posted AS posted_minor, c_held AS held_minor,
               c_available AS available_minor
          FROM stand WHERE c_available < 0 ORDER BY c_available, account_id LIMIT $3
    ), contrary AS (
        SELECT account_id AS account, currency, there, seq, posted AS posted_minor, held AS held_minor,
               j_entries AS journal_entries, j_posted AS journal_posted_minor, j_held AS journal_held_minor,
               s_posted AS sides_posted_minor, s_held AS sides_held_minor, open_held AS open_holds_minor
          FROM stand WHERE contrary ORDER BY account_id LIMIT $3
    ), open_holds AS (
        SELECT currency, cardinality($2::timestamptz[]) - width_bucket(opened_at, $2::timestamptz[]) AS bucket,
               count(*) AS count, sum(held) AS held_minor
          FROM opened GROUP BY 1, 2 ORDER BY 1, 2
    )
    SELECT 'currency', to_json(c)::text FROM currency_position c
    UNION ALL SELECT 'negative', to_json(n)::text FROM negative n
    UNION ALL SELECT 'contrary', to_json(x)::text FROM contrary x
    UNION ALL SELECT 'holds', to_json(h)::text FROM open_holds h
"""  # noqa: S608 -- constants of this module


async def all_positions(connection: Connection, closing: datetime, ages: Iterable[datetime], limit: int) -> Positions:
    """Where all accounts stood at ``closing``, and whether they stand now where the journal puts them.

    ``ages`` part the open holds: one that was opened at or after the latest is in bucket 0, one from before the
    earliest in the last. At most ``limit`` accounts of each sort are named.
    """
    with translated():
        rows = await connection.fetch(_POSITIONS, closing, sorted(ages), limit)
    return Positions(
        _decoded(rows, "currency", CurrencyPosition),
        _decoded(rows, "negative", NegativeAccount),
        _decoded(rows, "contrary", ContraryAccount),
        _decoded(rows, "holds", OpenHolds),
    )


def _decoded(rows: Iterable[tuple[str, str]], what: str, kind: type[T]) -> list[T]:
    return [msgspec.json.decode(text, type=kind) for name, text in rows if name == what]
