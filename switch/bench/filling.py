"""Tables made full by PostgreSQL itself: for every entry a hold and a message with a real trace.

Half of the accounts are filler: made by INSERT … SELECT from the rows of one real message, with balances that fit their
entries, but with no card and no good chain. They lie between the accounts that get traffic, so that traffic meets all
pages of the indexes.

What is dear here is the write-ahead log. With wal_level = minimal, PostgreSQL writes none for rows of a table that was
truncated in the same transaction; it flushes the table itself at the commit. So each table is emptied, gets its own
rows back, and is filled, in one transaction. The messages are three quarters of the work and have a connection of their
own, the other tables share one. The indexes stay: rows come in their order, so that keeping them costs no more than
building them afterwards, which would read a table that may be larger than the memory once for each index.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from simulators.bench.frames import AMOUNT_MINOR
from switch.bench.stage import POSTGRES, Stage
from switch.journal.connection import Connection

__all__ = ["FILLING", "STRIDE", "Share", "Size", "Telling", "fill"]

#: Even account numbers have cards, odd ones are filler.
STRIDE = 2
#: The server's settings while it fills. fsync stays on: what is full has reached the disk.
FILLING: Mapping[str, str] = {
    **POSTGRES,
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "full_page_writes": "off",
    "autovacuum": "off",
}

_CHUNK_ROWS = 100_000

#: Told which share is done, 0 to 1.
Share = Callable[[float], None]


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """One database. ``entries`` includes the opening loads of the cards."""

    name: str
    entries: int
    cards: int

    @property
    def each(self) -> int:
        """How many entries, holds and messages a filler account gets. There are as many fillers as cards."""
        return max(0, (self.entries - self.cards) // self.cards)


class Telling:
    """Tells every tenth of something long."""

    def __init__(self, progress: Callable[[str], None], what: str) -> None:
        self._progress, self._what, self._told = progress, what, 0

    def __call__(self, share: float) -> None:
        tenths = int(share * 10)
        if tenths > self._told:
            self._told = tenths
            self._progress(f"{self._what}: {tenths * 10} %")


class _Filled(msgspec.Struct, frozen=True):
    """A table: which of its rows is the sample, and the columns that differ from it (a: account, s: number)."""

    name: str
    sample: str
    own: Mapping[str, str]


_KEY = "substr(sha256(int8send(a) || int8send(s)), 1, 16)"
_MESSAGES = _Filled(
    "message_key",
    "account_id > 0",
    {
        "account_id": "a",
        "key": _KEY,
        "card_id": "-a",
        "stan": "lpad(((a * 7919 + s) % 1000000)::text, 6, '0')",
        "retrieval_reference": "lpad((a * 104729 + s)::text, 12, '0')",
        "hold_id": "s",
    },
)
_ENTRIES = _Filled(
    "journal_entry",
    "kind = 'hold'",
    {
        "account_id": "a",
        "seq": "s",
        "held_after": f"s * {AMOUNT_MINOR}",
        "hold_id": "s",
        "cause_key": _KEY,
        "prev_hash": "sha256(int8send(a - s))",
        "hash": "sha256(int8send(a + s))",
    },
)
_HOLDS = _Filled("hold", "account_id > 0", {"account_id": "a", "hold_id": "s", "card_id": "-a"})


def fill(stage: Stage, size: Size, progress: Callable[[str], None]) -> None:
    """Adds filler accounts until the journal has ``size.entries`` entries, and leaves fresh statistics.

    The stage must have had an approval, and no daemon may be on it. Right with any settings of the server, quick with
    :data:`FILLING`.
    """
    if size.each:
        asyncio.run(_fill(stage, size, Telling(progress, f"{size.name}: {size.entries:,} entries, holds and messages")))
    progress(f"{size.name}: vacuum and analyze")
    stage.server.ask(stage.database, lambda connection: connection.execute("VACUUM (ANALYZE)"))


async def _fill(stage: Stage, size: Size, tell: Share) -> None:
    done = 0

    def more(rows: int) -> None:
        nonlocal done
        done += rows
        tell(done / (3 * size.cards * size.each))

    async def messages(connection: Connection) -> None:
        await _fill_table(connection, _MESSAGES, size, more)

    async def others(connection: Connection) -> None:
        await _add_accounts(connection, size)
        await _fill_table(connection, _ENTRIES, size, more)
        await _fill_table(connection, _HOLDS, size, more)

    # Where one fails, the end of the loop cancels the other.
    await asyncio.gather(*(stage.server.connected(stage.database, work) for work in (messages, others)))


async def _add_accounts(connection: Connection, size: Size) -> None:
    await connection.execute(
        "INSERT INTO account (account_id, currency, held, seq) OVERRIDING SYSTEM VALUE"
        " SELECT a, 'JPY', $2::bigint * $3::bigint, $2 FROM generate_series(1, $1::bigint, $4::bigint) a",
        size.cards * STRIDE,
        size.each,
        AMOUNT_MINOR,
        STRIDE,
    )


async def _fill_table(connection: Connection, table: _Filled, size: Size, more: Callable[[int], None]) -> None:
    """``more`` is told how many rows have come. Names and expressions are constants of this file or the catalogue's."""
    columns = await connection.fetchval(
        "SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        table.name,
    )
    values = ", ".join(table.own.get(column, f"sample.{column}") for column in columns)
    accounts = max(1, _CHUNK_ROWS // size.each)
    async with connection.transaction():
        # The journal refuses TRUNCATE, whoever asks: the triggers are for another day than this one.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(f"CREATE TEMP TABLE earlier ON COMMIT DROP AS TABLE {table.name}")
        await connection.execute(
            f"CREATE TEMP TABLE sample ON COMMIT DROP AS SELECT * FROM earlier WHERE {table.sample} LIMIT 1"  # noqa: S608 -- as said
        )
        await connection.execute(f"TRUNCATE {table.name}")
        await connection.execute(f"INSERT INTO {table.name} TABLE earlier")
        for first in range(0, size.cards, accounts):
            last = min(first + accounts, size.cards) - 1
            # The numbers are made for each account anew, which keeps the rows in the order of the accounts.
            await connection.execute(
                f"INSERT INTO {table.name} SELECT {values}"  # noqa: S608 -- as said
                " FROM sample, generate_series($1::bigint, $2::bigint, $3::bigint) a,"
                " LATERAL generate_series(1 + a - a, $4::bigint) s",
                first * STRIDE + 1,
                last * STRIDE + 1,
                STRIDE,
                size.each,
            )
            more((last - first + 1) * size.each)
