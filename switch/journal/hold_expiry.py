"""Holds whose deadline has passed, as the database knows them.

``account.expiry_due`` is never later than the first deadline of the account's open holds. It may be earlier, where that
hold has ended since: who looks at all open holds sets it right.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from switch.issuer.books import Books
from switch.journal.connection import Connection, translated
from switch.journal.rows import Row, hold_of, usage_of

__all__ = ["DueHolds", "Swept", "due_holds", "first_due", "load_open_holds", "lock_due"]

_LOCK_DUE = "SELECT * FROM lock_due($1, $2)"
_OPEN_HOLDS = """
    SELECT h AS hold, c.program, u.usage
      FROM hold h JOIN card c USING (card_id) LEFT JOIN LATERAL (
           SELECT x AS usage FROM limit_usage x WHERE x.account_id = h.account_id AND x.card_id = h.card_id LIMIT 1
           ) u ON true
     WHERE h.account_id = ANY ($1) AND h.state = 'open'
"""
_DUE = """
    SELECT a.currency, count(DISTINCT h.account_id) AS accounts, count(*) AS holds, sum(h.held)::bigint AS amount,
           min(h.expires_at) AS oldest
      FROM account a JOIN hold h USING (account_id)
     WHERE a.expiry_due <= $1 AND h.state = 'open' AND h.expires_at <= $1
     GROUP BY a.currency ORDER BY a.currency
"""


class Swept(msgspec.Struct, frozen=True):
    """What one unit of work did for accounts on which holds may be due."""

    accounts: int  # looked at
    holds: int  # expired
    refused: dict[int, str] = {}  # by account: why its holds could not be expired


class DueHolds(msgspec.Struct, frozen=True):
    """Holds of one currency that are due and have not expired yet."""

    currency: str
    accounts: int
    holds: int
    amount: int  # minor units
    oldest: datetime  # deadline


async def lock_due(
    connection: Connection, now: datetime, accounts_max: int, leave_out: Collection[int]
) -> Sequence[Row]:
    """Rows of at most so many accounts on which holds may be due, locked; what others have locked is passed over."""
    rows = await connection.fetch(_LOCK_DUE, now, accounts_max + len(leave_out))
    return [row for row in rows if row["account_id"] not in leave_out][:accounts_max]


async def load_open_holds(connection: Connection, books: Books, accounts: Sequence[int]) -> None:
    """All that is open on these accounts: one may be due, and the next is then known."""
    for account_id in accounts:
        books.open_holds_known[account_id] = {}
    for row in await connection.fetch(_OPEN_HOLDS, accounts):
        hold = hold_of(row["hold"])
        books.holds.setdefault(hold.account_id, {})[hold.hold_id] = hold
        books.open_holds_known[hold.account_id][hold.card_id] = row["program"]
        if row["usage"] is not None and hold.card_id not in books.usages:
            books.usages[hold.card_id] = usage_of(row["usage"])


async def first_due(connection: Connection) -> datetime | None:
    """When, of all accounts, a hold may be due first. One look into an index."""
    with translated():
        due: datetime | None = await connection.fetchval("SELECT min(expiry_due) FROM account")
    return due


async def due_holds(connection: Connection, now: datetime) -> list[DueHolds]:
    """What is due at ``now``, by currency."""
    with translated():
        return [DueHolds(*row.values()) for row in await connection.fetch(_DUE, now)]
