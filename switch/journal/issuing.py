"""What the issuer's staff does to the books: opening accounts with cards, giving cards further numbers, changing both,
loading money.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from switch.contracts.errors import JournalRefused
from switch.issuer.account import EntryKind, Movement, Side, book
from switch.issuer.books import Notice
from switch.journal.chain import ChainedEntry, entry_hash, microseconds
from switch.journal.clearing_rows import notice_row
from switch.journal.connection import Connection, translated
from switch.journal.rows import account_of, entry_row, seen_of, version_row
from switch.journal.unit_load import load_unit

__all__ = [
    "NewCard",
    "NewCredential",
    "add_credential",
    "change_card",
    "change_credential",
    "load_account",
    "next_card_id",
    "next_credential_id",
    "open_account",
]


class NewCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card to issue, with an account of its own."""

    card_id: int
    pan_lookup: bytes
    pan_sealed: bytes
    pan_masked: str
    program: str
    currency: str
    floor_minor: int
    expiry: str
    service_code: str
    status: str
    locked: bool


class NewCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A further number for a card. ``network`` is empty where it shall be good on all of them."""

    credential_id: int
    card_id: int
    pan_lookup: bytes
    pan_sealed: bytes
    pan_masked: str
    expiry: str
    service_code: str
    status: str
    network: str


async def next_card_id(connection: Connection) -> int:
    """An id for a card to issue: it is part of what seals the card number, so it comes first."""
    with translated():
        card_id: int = await connection.fetchval("SELECT next_card_id()")
    return card_id


async def open_account(connection: Connection, card: NewCard) -> int:
    """Opens an account in ``card.currency`` and issues its card; returns the account's id.

    Raises JournalRefused when the number is a card's or a credential's already.
    """
    with translated():
        account_id: int = await connection.fetchval(
            "SELECT open_account($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            card.currency,
            card.floor_minor,
            card.card_id,
            card.pan_lookup,
            card.pan_sealed,
            card.pan_masked,
            card.program,
            card.expiry,
            card.service_code,
            card.status,
            card.locked,
        )
    return account_id


async def change_card(connection: Connection, card_id: int, *, status: str | None, locked: bool | None) -> bool:
    """Sets status, lock or both; False when there is no such card."""
    with translated():
        changed: bool = await connection.fetchval("SELECT change_card($1, $2, $3)", card_id, status, locked)
    return changed


async def next_credential_id(connection: Connection) -> int:
    """An id for a credential to add: it too is part of what seals the number."""
    with translated():
        credential_id: int = await connection.fetchval("SELECT next_credential_id()")
    return credential_id


async def add_credential(connection: Connection, credential: NewCredential) -> None:
    """Gives a card a further number.

    Raises JournalRefused when the number is a card's or a credential's already, or there is no such card.
    """
    with translated():
        await connection.execute(
            "SELECT add_credential($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            credential.credential_id,
            credential.card_id,
            credential.pan_lookup,
            credential.pan_sealed,
            credential.pan_masked,
            credential.expiry,
            credential.service_code,
            credential.status,
            credential.network,
        )


async def change_credential(connection: Connection, credential_id: int, *, status: str) -> bool:
    """Sets the status; False when there is no such credential."""
    with translated():
        changed: bool = await connection.fetchval("SELECT change_credential($1, $2)", credential_id, status)
    return changed


async def load_account(
    connection: Connection, pan_lookup: bytes, amount_minor: int, reference: str, now: datetime, *, bonus: bool = False
) -> bool:
    """Credits money that came in outside the networks, or with ``bonus`` value that the issuer gives. The same
    reference loads the same card once, whichever of its numbers names it. An account below its floor is recovered by it
    first.

    Returns False when the reference was booked before. Raises JournalRefused, also when it was booked with
    another amount, and InvariantBroken for an amount that is not above zero.
    """
    with translated():
        own_lookup: bytes | None = await connection.fetchval(
            "SELECT c.pan_lookup FROM card_number n JOIN card c USING (card_id) WHERE n.pan_lookup = $1 LIMIT 1",
            pan_lookup,
        )
        if own_lookup is None:
            raise LookupError("there is no such card")
        key = hashlib.blake2b(f"load\x1f{reference}".encode(), key=own_lookup, digest_size=16).digest()
        async with connection.transaction():
            (row,) = await load_unit(connection, [own_lookup], [key], lock=True)
            account = account_of(row)
            booked = await connection.fetchval(
                "SELECT amount FROM journal_entry WHERE account_id = $1 AND cause = 'load' AND cause_key = $2",
                account.account_id,
                key,
            )
            if booked is not None and booked != amount_minor:
                raise JournalRefused(f"this reference was loaded before, with {booked} and not {amount_minor}")
            if booked is not None:
                return False
            movement = (
                Movement(EntryKind.BONUS, Side.PROMOTION, Side.BONUS_AVAILABLE, amount_minor)
                if bonus
                else Movement(EntryKind.LOAD, Side.FUNDING, Side.AVAILABLE, amount_minor)
            )
            entry = book(account, movement)
            now_us = microseconds(now)
            digest = entry_hash(entry, "load", key, now_us, now_us, account.head_hash)
            chained = ChainedEntry(entry, "load", key, now, now, account.head_hash, digest)
            await connection.fetchval(
                "SELECT record_unit($1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', $2)",
                [entry_row(chained)],
                [version_row(account.account_id, seen_of(row))],
            )
            available = entry.posted_after - entry.held_after
            if account.recovering and available >= account.floor_minor:
                facts: dict[str, str | int] = {"available": available, "currency": account.currency}
                notice = Notice(account.account_id, key, "balance_recovered", facts)
                await connection.fetchval("SELECT record_beside('{}', '{}', $1, '{}')", [notice_row(notice, now)])
    return True
