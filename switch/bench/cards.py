"""Cards in bulk: thousands at once by COPY, each with an account, an opening load and a good chain.

Copied by the database's administrator; the rows are the ones that :mod:`switch.journal.issuing` would have written.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from simulators.bench.frames import EXPIRY, card_number
from switch.bench.stage import Stage
from switch.contracts.secret import Pan
from switch.daemon.settings import load_vault
from switch.issuer.account import Account, EntryKind, Movement, Side, book
from switch.journal.chain import GENESIS, ChainedEntry, entry_hash, microseconds
from switch.journal.connection import Connection
from switch.journal.rows import entry_row
from switch.vault.pan import NONCE_BYTES, PanVault

__all__ = ["BALANCE_MINOR", "CardRange", "issue_cards"]

#: What every card has to spend: no benchmark gets to its end.
BALANCE_MINOR = 10**12
_CHUNK = 20_000
_ACCOUNT_COLUMNS = ("account_id", "currency", "posted", "seq", "head_hash", "expiry_due", "usage_card_id", "usage_day")
_CARD_COLUMNS = (
    "card_id",
    "account_id",
    "pan_lookup",
    "pan_sealed",
    "pan_masked",
    "program",
    "expiry",
    "service_code",
    "status",
    "locked",
)


class CardRange(msgspec.Struct, frozen=True, kw_only=True):
    """Cards ``first`` to ``first + count - 1``. Card n has the id n + 1 and the account ``(n + 1) * stride``.

    A stride above 1 leaves account numbers free between them, for accounts that make the tables full. With ``used``
    they are as after the purchases of an earlier day: a card's limits have been counted, and its account knows when to
    look for holds that are due. What the first purchase of all costs is then not measured.
    """

    first: int
    count: int
    stride: int = 1
    locked: bool = False
    used: bool = False
    balance_minor: int = BALANCE_MINOR  # 0: an account without any entry

    def accounts(self) -> range:
        """Their account ids."""
        return range((self.first + 1) * self.stride, (self.first + self.count + 1) * self.stride, self.stride)


def issue_cards(stage: Stage, cards: CardRange, progress: Callable[[float], None]) -> None:
    """Issues them; ``progress`` gets the share that is done."""
    vault = load_vault(stage.settings.vault)

    async def work(connection: Connection) -> None:
        every = range(cards.first, cards.first + cards.count)
        chunks = [every[start : start + _CHUNK] for start in range(0, cards.count, _CHUNK)]
        # For the foreign key's trigger, which would look up every card's account once more.
        await connection.execute("SET session_replication_role = replica")
        # The next rows are made while PostgreSQL stores the ones before.
        made = asyncio.create_task(asyncio.to_thread(_rows, vault, cards, chunks[0]))
        for number, chunk in enumerate(chunks, 1):
            rows = await made
            if number < len(chunks):
                made = asyncio.create_task(asyncio.to_thread(_rows, vault, cards, chunks[number]))
            await _copy(connection, rows)
            progress((chunk[-1] + 1 - cards.first) / cards.count)
        for table, column in (("account", "account_id"), ("card", "card_id")):
            # Both names are constants; the sequence goes on after the last id that was given by hand.
            await connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), (SELECT max({column}) FROM {table}))"  # noqa: S608 - constants, as said
            )
        await connection.execute("ANALYZE account, card, journal_entry")

    stage.server.ask(stage.database, work)


class _Rows(msgspec.Struct, frozen=True):
    """Of the three tables, columns in the order of the constants above, or of the table."""

    accounts: list[tuple[object, ...]]
    cards: list[tuple[object, ...]]
    entries: list[tuple[object, ...]]


def _rows(vault: PanVault, cards: CardRange, numbers: range) -> _Rows:
    now = datetime.now(UTC)
    now_us = microseconds(now)
    yesterday, due = now.date() - timedelta(days=1), now + timedelta(days=1)
    rows = _Rows([], [], [])
    for number in numbers:
        card_id, account_id = number + 1, (number + 1) * cards.stride
        pan = Pan(card_number(number))
        lookup = vault.lookup(pan)
        seq, head = 0, GENESIS
        if cards.balance_minor:
            key = hashlib.blake2b(b"load\x1fbenchmark", key=lookup, digest_size=16).digest()
            fresh = Account(account_id, "JPY", 0, 0, 0, 0, GENESIS)
            entry = book(fresh, Movement(EntryKind.LOAD, Side.FUNDING, Side.AVAILABLE, cards.balance_minor))
            seq, head = entry.seq, entry_hash(entry, "load", key, now_us, now_us, GENESIS)
            rows.entries.append(entry_row(ChainedEntry(entry, "load", key, now, now, GENESIS, head)))
        used = (due, card_id, yesterday) if cards.used else (None, None, None)
        rows.accounts.append((account_id, "JPY", cards.balance_minor, seq, head, *used))
        sealed = vault.encrypt(pan, card_id, secrets.token_bytes(NONCE_BYTES))
        rows.cards.append(
            (card_id, account_id, lookup, sealed, pan.masked, "plain", EXPIRY, "101", "active", cards.locked)
        )
    return rows


async def _copy(connection: Connection, rows: _Rows) -> None:
    async with connection.transaction():
        await connection.copy_records_to_table("account", records=rows.accounts, columns=_ACCOUNT_COLUMNS)
        await connection.copy_records_to_table("card", records=rows.cards, columns=_CARD_COLUMNS)
        await connection.copy_records_to_table("journal_entry", records=rows.entries)
