"""What the report at the end of a period asks of the books: where a program's accounts stood, and what moved them
there.

Both ends are found as in ``switch.journal.asof``: the newest entry at or before the moment. What lies between them
by ``seq`` is what moved in the period, so opening and movements give the closing balance whatever the clocks did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from switch.journal.connection import Connection, translated

__all__ = [
    "AccountMovement",
    "Balances",
    "Movements",
    "PeriodFigures",
    "ProgramPeriod",
    "ReferenceTotal",
    "account_movements",
    "period_figures",
    "references",
]


class ProgramPeriod(msgspec.Struct, frozen=True):
    """A program and the moments between which its period lies."""

    program: str
    opening: datetime
    closing: datetime


class Balances(msgspec.Struct, frozen=True):
    """The accounts of a program and currency. Balances below zero are debts: they lower no other account's
    balance.
    """

    program: str
    currency: str
    accounts: int
    opening_minor: int  # posted, all accounts
    posted_minor: int
    held_minor: int
    unused_minor: int  # posted, of the accounts where it is above zero
    unused_less_holds_minor: int  # available, likewise
    negative_accounts: int  # by posted
    negative_minor: int
    negative_less_holds_minor: int  # by available
    bonus_minor: int  # of posted: value that the issuer gave


class Movements(msgspec.Struct, frozen=True):
    """Entries of one kind between two sides."""

    program: str
    currency: str
    kind: str
    debit: str
    credit: str
    entries: int
    amount_minor: int
    posted_minor: int
    held_minor: int


class PeriodFigures(msgspec.Struct, frozen=True):
    """By program and currency."""

    balances: list[Balances]
    movements: list[Movements]


class AccountMovement(msgspec.Struct, frozen=True):
    """What entries of one kind did to an account's posted balance in its period."""

    account: int
    kind: str
    posted_minor: int


class ReferenceTotal(msgspec.Struct, frozen=True):
    """The entries that one message or job caused on an account in a period, together."""

    reference: str  # the cause's key, in hex
    seq: int  # of the first of them
    kinds: str
    posted_minor: int


_FIGURES = """
    WITH owner AS (
        SELECT o.account_id, w.program, w.opening, w.closing
          FROM (SELECT DISTINCT ON (account_id) account_id, program FROM card ORDER BY account_id, card_id) o
          JOIN unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS w (program, opening, closing) USING (program)
    ), edge AS (
        SELECT e.account_id,
               max(ARRAY[seq, posted_after, held_after]) FILTER (WHERE e.booked_at <= o.opening) AS opening,
               max(ARRAY[seq, posted_after, held_after]) FILTER (WHERE e.booked_at <= o.closing) AS closing
          FROM journal_entry e JOIN owner o USING (account_id)
         GROUP BY e.account_id
    ), stand AS MATERIALIZED (
        SELECT account_id, o.program, a.currency, a.opened_at <= o.closing OR e.closing IS NOT NULL AS counts,
               coalesce(e.opening[1], 0) AS o_seq, coalesce(e.opening[2], 0) AS o_posted,
               coalesce(e.closing[1], 0) AS c_seq, coalesce(e.closing[2], 0) AS c_posted,
               coalesce(e.closing[3], 0) AS c_held
          FROM account a JOIN owner o USING (account_id) LEFT JOIN edge e USING (account_id)
    ), balances AS (
        SELECT program, currency, count(*) FILTER (WHERE counts) AS accounts, sum(o_posted) AS opening_minor,
               sum(c_posted) AS posted_minor, sum(c_held) AS held_minor,
               sum(greatest(c_posted, 0)) AS unused_minor,
               sum(greatest(c_posted - c_held, 0)) AS unused_less_holds_minor,
               count(*) FILTER (WHERE c_posted < 0) AS negative_accounts, sum(least(c_posted, 0)) AS negative_minor,
               sum(least(c_posted - c_held, 0)) AS negative_less_holds_minor
          FROM stand GROUP BY program, currency ORDER BY program, currency
    ), moved AS (
        SELECT s.program, s.currency, e.seq > s.o_seq AS in_period, e.kind, e.debit, e.credit, count(*) AS entries,
               sum(e.amount) AS amount_minor, sum(e.posted_delta) AS posted_minor, sum(e.held_delta) AS held_minor
          FROM journal_entry e JOIN stand s ON s.account_id = e.account_id AND e.seq <= s.c_seq
         GROUP BY 1, 2, 3, 4, 5, 6
    ), movements AS (
        SELECT program, currency, kind, debit, credit, entries, amount_minor, posted_minor, held_minor
          FROM moved WHERE in_period ORDER BY program, currency, kind, debit, credit
    ), bonus AS (
        SELECT program, currency, sum(CASE WHEN credit LIKE 'bonus.%' THEN amount_minor ELSE 0 END
                                      - CASE WHEN debit LIKE 'bonus.%' THEN amount_minor ELSE 0 END) AS bonus_minor
          FROM moved GROUP BY program, currency
    )
    SELECT 'balances', to_json(x)::text
      FROM (SELECT b.*, coalesce(o.bonus_minor, 0) AS bonus_minor
              FROM balances b LEFT JOIN bonus o USING (program, currency) ORDER BY program, currency) x
    UNION ALL SELECT 'movements', to_json(m)::text FROM movements m
"""
_EDGES = """
    SELECT w.account_id, coalesce(o.seq, 0) AS o_seq, coalesce(c.seq, 0) AS c_seq
      FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS w (account_id, opening, closing)
      LEFT JOIN LATERAL (
          SELECT j.seq FROM journal_entry j
           WHERE j.account_id = w.account_id AND j.booked_at <= w.opening ORDER BY j.seq DESC LIMIT 1
      ) o ON true
      LEFT JOIN LATERAL (
          SELECT j.seq FROM journal_entry j
           WHERE j.account_id = w.account_id AND j.booked_at <= w.closing ORDER BY j.seq DESC LIMIT 1
      ) c ON true
"""
_ACCOUNT_MOVEMENTS = f"""
    WITH edge AS MATERIALIZED ({_EDGES})
    SELECT e.account_id, e.kind, sum(e.posted_delta)::bigint
      FROM edge x JOIN journal_entry e ON e.account_id = x.account_id AND e.seq > x.o_seq AND e.seq <= x.c_seq
     GROUP BY e.account_id, e.kind ORDER BY e.account_id, e.kind
"""  # noqa: S608 -- constants of this module
_REFERENCES = f"""
    WITH edge AS MATERIALIZED ({_EDGES})
    SELECT encode(e.cause_key, 'hex'), min(e.seq), string_agg(DISTINCT e.kind, ', ' ORDER BY e.kind),
           sum(e.posted_delta)::bigint
      FROM edge x JOIN journal_entry e ON e.account_id = x.account_id AND e.seq > x.o_seq AND e.seq <= x.c_seq
     GROUP BY e.cause_key HAVING bool_or(e.posted_delta <> 0) ORDER BY 2
"""  # noqa: S608 -- constants of this module


async def period_figures(connection: Connection, periods: Iterable[ProgramPeriod]) -> PeriodFigures:
    """The balances and movements of the programs, each in its own period. Two passes over the journal."""
    listed = list(periods)
    with translated():
        rows = await connection.fetch(
            _FIGURES,
            [one.program for one in listed],
            [one.opening for one in listed],
            [one.closing for one in listed],
        )
    return PeriodFigures(
        [msgspec.json.decode(text, type=Balances) for what, text in rows if what == "balances"],
        [msgspec.json.decode(text, type=Movements) for what, text in rows if what == "movements"],
    )


async def account_movements(
    connection: Connection, wanted: Sequence[tuple[int, datetime, datetime]]
) -> list[AccountMovement]:
    """What moved the posted balance of each account between its two moments, by kind."""
    accounts, openings, closings = (list(column) for column in zip(*wanted, strict=True)) if wanted else ([], [], [])
    with translated():
        rows = await connection.fetch(_ACCOUNT_MOVEMENTS, accounts, openings, closings)
    return [AccountMovement(*row.values()) for row in rows]


async def references(
    connection: Connection, account_id: int, opening: datetime, closing: datetime
) -> list[ReferenceTotal]:
    """What moved the posted balance of one account between two moments, by what caused it."""
    with translated():
        rows = await connection.fetch(_REFERENCES, [account_id], [opening], [closing])
    return [ReferenceTotal(*row.values()) for row in rows]
