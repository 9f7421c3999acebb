"""Do the books hold what the generator saw? A switch that is quick and loses money is worth nothing."""

from __future__ import annotations

import asyncio
import random

import msgspec

from simulators.bench.frames import AMOUNT_MINOR
from switch.bench.stage import Stage
from switch.journal import reads
from switch.journal.connection import Connection

__all__ = ["BooksChecked", "check_books"]

_WITHDRAWAL_SECONDS = 10
_MISMATCHED = """
    SELECT count(*) FROM account a LEFT JOIN (
        SELECT account_id, sum(posted_delta) AS posted, sum(held_delta) AS held, count(*) AS entries
          FROM journal_entry GROUP BY account_id
    ) j USING (account_id)
     WHERE (a.posted, a.held, a.seq)
           IS DISTINCT FROM (coalesce(j.posted, 0), coalesce(j.held, 0), coalesce(j.entries, 0))
"""
# Filler accounts have no card; nothing but the generator's approvals can have held money on the others.
_HELD = """
    SELECT coalesce(sum(h.held), 0)::bigint, count(*) FILTER (WHERE h.state = 'open') FROM hold h
     WHERE EXISTS (SELECT FROM card c WHERE c.account_id = h.account_id)
"""


class BooksChecked(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared. ``faults`` is empty when everything agrees."""

    approved: int  # by the generator's count
    held_minor: int  # by the books
    expected_minor: int
    accounts_recomputed: int  # their chains and balances, entry by entry
    entries_recomputed: int
    faults: list[str]


def check_books(stage: Stage, *, entries_max: int) -> BooksChecked:
    """Compares in one snapshot: approvals with holds, every balance with the sum of its journal, chains of a sample.

    The sample is drawn from the accounts with cards until it has ``entries_max`` entries.
    """

    async def work(connection: Connection) -> BooksChecked:
        if stage.late:
            await _wait_for_withdrawals(connection, stage.approved)
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        faults = []
        mismatched = await connection.fetchval(_MISMATCHED)
        if mismatched:
            faults.append(f"{mismatched} balances are not the sums of their journals")
        held, holds = await connection.fetchrow(_HELD)
        expected = stage.approved * AMOUNT_MINOR
        if (held, holds) != (expected, stage.approved):
            faults.append(f"{stage.approved} approvals of {AMOUNT_MINOR}, but {holds} holds of {held} in all")
        rows = await connection.fetch(
            "SELECT account_id, seq FROM account WHERE seq > 1 AND EXISTS"
            " (SELECT FROM card c WHERE c.account_id = account.account_id)"
        )
        random.shuffle(rows)
        chosen: list[int] = []
        entries = 0
        for row in rows:
            if chosen and entries + row["seq"] > entries_max:
                continue
            chosen.append(row["account_id"])
            entries += row["seq"]
        for shown in await reads.accounts(connection, chosen):
            found = await reads.verify(connection, shown.account, shown)
            faults += [f"account {fault.account} entry {fault.seq}: {fault.what}" for fault in found]
        return BooksChecked(
            approved=stage.approved,
            held_minor=held,
            expected_minor=expected,
            accounts_recomputed=len(chosen),
            entries_recomputed=entries,
            faults=faults[:100],
        )

    return stage.server.ask(stage.database, work)


async def _wait_for_withdrawals(connection: Connection, approved: int) -> None:
    """Approvals that came after their deadline were answered 91; the daemon takes them back in its own time."""
    for _ in range(_WITHDRAWAL_SECONDS * 2):
        if (await connection.fetchrow(_HELD))["count"] <= approved:
            return
        await asyncio.sleep(0.5)
