"""Balances as they were: from the journal alone, as of any moment.

As of a moment, an account stands where its newest entry that was booked at or before it left it. The search walks
the primary key (account_id, seq) backwards and stops at the first hit, so it reads what has been booked on the
account since, and nothing else: no index on time is needed, and a late moment costs one look. Clocks of several
daemons may differ by a little, so that ``booked_at`` now and then falls back from one entry to the next; the newest
entry by ``seq`` decides, since the balances that it left include all entries before it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from switch.journal.connection import Connection, translated
from switch.journal.reads import AccountShown

__all__ = ["accounts_as_of", "accounts_of_program", "programs_of"]

_AS_OF = """
    SELECT a.account_id, a.currency, coalesce(e.posted_after, 0) AS posted, coalesce(e.held_after, 0) AS held,
           coalesce(e.posted_after - e.held_after, 0) AS available, coalesce(e.seq, 0) AS seq
      FROM unnest($1::bigint[], $2::timestamptz[]) WITH ORDINALITY AS w (account_id, moment, place)
      JOIN account a USING (account_id)
      LEFT JOIN LATERAL (
          SELECT j.seq, j.posted_after, j.held_after FROM journal_entry j
           WHERE j.account_id = w.account_id AND j.booked_at <= w.moment
           ORDER BY j.seq DESC LIMIT 1
      ) e ON true
     WHERE e.seq IS NOT NULL OR a.opened_at <= w.moment
     ORDER BY w.place
"""
#: An account belongs to the program of its first card. Which program a card is of never changes.
_PROGRAMS = """
    SELECT DISTINCT ON (account_id) account_id, program FROM card
     WHERE account_id = ANY ($1) ORDER BY account_id, card_id
"""
_OF_PROGRAM = """
    SELECT a.account_id FROM account a
      JOIN LATERAL (
          SELECT c.program FROM card c WHERE c.account_id = a.account_id ORDER BY c.card_id LIMIT 1
      ) c ON c.program = $1
     WHERE a.account_id > $3 AND a.currency = $2
     ORDER BY a.account_id LIMIT $4
"""


async def accounts_as_of(connection: Connection, wanted: Sequence[tuple[int, datetime]]) -> list[AccountShown]:
    """What ``reads.accounts`` would have said of each account at its moment; ``seq`` names the entry it stood
    after.

    Accounts that there were not yet are left out.
    """
    with translated():
        rows = await connection.fetch(
            _AS_OF, [account_id for account_id, _ in wanted], [moment for _, moment in wanted]
        )
    return [AccountShown(*row.values()) for row in rows]


async def programs_of(connection: Connection, account_ids: Sequence[int]) -> Mapping[int, str]:
    """The program of each account. Those without a card are left out."""
    with translated():
        rows = await connection.fetch(_PROGRAMS, account_ids)
    return {row["account_id"]: row["program"] for row in rows}


async def accounts_of_program(
    connection: Connection, program: str, currency: str, *, page_rows: int = 10_000
) -> AsyncIterator[list[int]]:
    """The ids of a program's accounts in a currency, in pages and in order, so that memory stays flat."""
    after = 0
    while True:
        with translated():
            rows = await connection.fetch(_OF_PROGRAM, program, currency, after, page_rows)
        if not rows:
            return
        after = rows[-1]["account_id"]
        yield [row["account_id"] for row in rows]
