"""What people and programs may ask of the books. Nothing here writes or locks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from switch.issuer.account import Side
from switch.journal.chain import GENESIS, ChainedEntry, entry_hash, microseconds
from switch.journal.connection import Connection, translated
from switch.journal.rows import Row, chained_entry_of

__all__ = [
    "AccountShown",
    "CardFound",
    "CardShown",
    "CredentialShown",
    "Fault",
    "NoticeShown",
    "account_of_card",
    "accounts",
    "cards",
    "credentials",
    "entries",
    "explain",
    "negative_accounts",
    "notices",
    "programs_in_use",
    "verify",
]


#: The sides of the bonus pocket, as the journal spells them.
_BONUS_SIDES = frozenset({str(Side.BONUS_AVAILABLE), str(Side.BONUS_HELD)})


class NoticeShown(msgspec.Struct, frozen=True):
    """Something that the cardholder or the issuer's staff is to be told, as the commit that was the reason wrote
    it.
    """

    account: int
    kind: str
    facts: dict[str, Any]
    key: str  # of the message or job that caused it, in hex
    raised_at: datetime


class AccountShown(msgspec.Struct, frozen=True):
    """A balance in minor units. ``available`` may be below zero after an advice."""

    account: int
    currency: str
    posted: int
    held: int
    available: int
    seq: int


class CardFound(NamedTuple):
    """Where a card number leads. ``credential_id`` is None for the card's own number."""

    account_id: int
    card_id: int
    credential_id: int | None


class CredentialShown(msgspec.Struct, frozen=True):
    """A further number of a card as a person may see it."""

    credential: int
    card: int
    number: str  # masked
    network: str | None  # None: good on all of them
    expiry: str
    status: str
    added_at: datetime


class CardShown(msgspec.Struct, frozen=True):
    """A card as a person may see it."""

    card: int
    account: int
    number: str  # masked
    program: str
    expiry: str
    status: str
    locked: bool
    issued_at: datetime
    credentials: list[CredentialShown]


class Fault(msgspec.Struct, frozen=True):
    """Something that the journal or the balances contradict. ``seq`` 0 means the account's row itself."""

    account: int
    seq: int
    what: str


async def accounts(connection: Connection, account_ids: list[int] | None = None) -> list[AccountShown]:
    """Balances of the named accounts, or of all."""
    with translated():
        rows = await connection.fetch(
            "SELECT account_id, currency, posted, held, posted - held AS available, seq FROM account"
            " WHERE $1::bigint[] IS NULL OR account_id = ANY ($1) ORDER BY account_id",
            account_ids,
        )
    return [AccountShown(*row.values()) for row in rows]


async def negative_accounts(connection: Connection) -> list[tuple[AccountShown, datetime]]:
    """Accounts below their floor, and since when; those that are there longest first. Nothing can be spent on
    them.
    """
    with translated():
        rows = await connection.fetch(
            "SELECT account_id, currency, posted, held, posted - held AS available, seq, negative_since FROM account"
            " WHERE negative_since IS NOT NULL ORDER BY negative_since, account_id"
        )
    return [(AccountShown(*list(row.values())[:6]), row["negative_since"]) for row in rows]


async def notices(connection: Connection, account_id: int | None = None, limit: int = 1000) -> list[NoticeShown]:
    """The newest notices of an account, or of all, newest first."""
    with translated():
        rows = await connection.fetch(
            "SELECT account_id, kind, facts, key, raised_at FROM notification"
            " WHERE $1::bigint IS NULL OR account_id = $1 ORDER BY notification_id DESC LIMIT $2",
            account_id,
            limit,
        )
    return [
        NoticeShown(
            row["account_id"], row["kind"], msgspec.json.decode(row["facts"]), row["key"].hex(), row["raised_at"]
        )
        for row in rows
    ]


async def account_of_card(connection: Connection, pan_lookup: bytes) -> CardFound | None:
    """Where a card number leads, the card's own or a credential's, by its look-up value."""
    with translated():
        row = await connection.fetchrow(
            "SELECT account_id, card_id, credential_id FROM card_number WHERE pan_lookup = $1 LIMIT 1", pan_lookup
        )
    return None if row is None else CardFound(*row.values())


async def credentials(connection: Connection, card_id: int | None = None) -> list[CredentialShown]:
    """All further numbers of cards, or those of the one."""
    with translated():
        rows = await connection.fetch(
            "SELECT credential_id, card_id, pan_masked, nullif(network, ''), expiry, status, added_at FROM credential"
            " WHERE $1::bigint IS NULL OR card_id = $1 ORDER BY credential_id",
            card_id,
        )
    return [CredentialShown(*row.values()) for row in rows]


async def cards(connection: Connection, card_id: int | None = None) -> list[CardShown]:
    """All cards, or the one, each with its credentials."""
    of_card: dict[int, list[CredentialShown]] = defaultdict(list)
    for credential in await credentials(connection, card_id):
        of_card[credential.card].append(credential)
    with translated():
        rows = await connection.fetch(
            "SELECT card_id AS card, account_id AS account, pan_masked AS number, program, expiry, status, locked,"
            " issued_at FROM card WHERE $1::bigint IS NULL OR card_id = $1 ORDER BY card_id",
            card_id,
        )
    return [CardShown(**dict(row), credentials=of_card[row["card"]]) for row in rows]


async def programs_in_use(connection: Connection) -> set[str]:
    """Names of the programs that cards refer to."""
    with translated():
        return {row["program"] for row in await connection.fetch("SELECT DISTINCT program FROM card")}


async def entries(connection: Connection, account_id: int, *, page_rows: int = 1000) -> AsyncIterator[ChainedEntry]:
    """The account's journal from its first entry on, in pages, so that memory stays flat.

    Raises ValueError where an entry names a kind or a side that there is not.
    """
    async for row in _entry_rows(connection, account_id, page_rows):
        yield chained_entry_of(row)


async def _entry_rows(connection: Connection, account_id: int, page_rows: int = 1000) -> AsyncIterator[Row]:
    after = 0
    while True:
        with translated():
            rows = await connection.fetch(
                "SELECT * FROM journal_entry WHERE account_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                account_id,
                after,
                page_rows,
            )
        for row in rows:
            yield row
        if len(rows) < page_rows:
            return
        after = rows[-1]["seq"]


async def explain(connection: Connection, *, account_id: int | None, key: bytes | None) -> list[dict[str, Any]]:
    """The decided messages of an account (newest first) or the one with the key, each with its trace."""
    with translated():
        rows = await connection.fetch(
            "SELECT m.*, c.pan_masked, k.pan_masked AS credential_masked FROM message_key m"
            " LEFT JOIN card c USING (card_id) LEFT JOIN credential k USING (credential_id)"
            " WHERE ($1::bigint IS NULL OR m.account_id = $1) AND ($2::bytea IS NULL OR m.key = $2)"
            " ORDER BY m.decided_at DESC, m.key LIMIT 1000",
            account_id,
            key,
        )
    return [_explained(row) for row in rows]


def _explained(row: Any) -> dict[str, Any]:  # a Record; its columns are named here
    return {
        "key": row["key"].hex(),
        "account": row["account_id"] or None,
        "card": row["pan_masked"],
        "credential": row["credential_masked"],  # the number that it came with, where it was not the card's own
        "network": row["network"],
        "mti": row["mti"],
        "operation": row["operation"],
        "stan": row["stan"],
        "transmitted": row["transmitted"],
        "retrieval_reference": row["retrieval_reference"],
        "terminal": row["terminal_id"],
        "merchant": row["merchant_name"],
        "mcc": row["mcc"],
        "amount": row["amount"],
        "currency": row["currency"],
        "state": row["state"],
        "reason": row["reason"],
        "response_code": row["response_code"],
        "hold": row["hold_id"],
        "repeats_answered": row["repeats_answered"],
        "decided_at": row["decided_at"].isoformat(),
        "trace": [
            {"rule": rule, "verdict": verdict, "seen": seen}
            for rule, verdict, seen in msgspec.json.decode(row["trace"])
        ],
    }


async def verify(connection: Connection, account_id: int, shown: AccountShown) -> list[Fault]:
    """Recomputes one account's chain and balances from its journal, and compares the holds with it.

    Reads in one snapshot only if the caller opened one (REPEATABLE READ); ``shown`` must come from the same.
    """
    faults: list[Fault] = []
    head, posted, held, seq = GENESIS, 0, 0, 0
    bonus_posted, bonus_held = 0, 0
    async for row in _entry_rows(connection, account_id):
        seq += 1
        if row["seq"] != seq:
            faults.append(Fault(account_id, row["seq"], f"expected entry {seq}: entries are missing"))
            seq = row["seq"]
        posted, held = posted + row["posted_delta"], held + row["held_delta"]
        for side, sign in ((row["credit"], row["amount"]), (row["debit"], -row["amount"])):
            bonus_posted += sign if side in _BONUS_SIDES else 0
            bonus_held += sign if side == Side.BONUS_HELD else 0
        if (posted, held) != (row["posted_after"], row["held_after"]):
            faults.append(Fault(account_id, seq, "the balances are not the ones before plus the entry"))
            posted, held = row["posted_after"], row["held_after"]
        if row["prev_hash"] != head:
            faults.append(Fault(account_id, seq, "does not continue the entry before it"))
        if _rehashed(row) != row["hash"]:
            faults.append(Fault(account_id, seq, "its contents are not what was hashed"))
        head = row["hash"]
    if (shown.posted, shown.held, shown.seq) != (posted, held, seq):
        faults.append(
            Fault(
                account_id,
                0,
                f"the account says posted={shown.posted} held={shown.held} seq={shown.seq},"
                f" the journal posted={posted} held={held} seq={seq}",
            )
        )
    with translated():
        row = await connection.fetchrow(
            "SELECT head_hash, bonus_posted, bonus_held, expiry_due FROM account WHERE account_id = $1", account_id
        )
        open_holds, open_bonus, first_due = await connection.fetchrow(
            "SELECT coalesce(sum(held), 0)::bigint, coalesce(sum(held_bonus), 0)::bigint,"
            " min(expires_at) FILTER (WHERE state = 'open') FROM hold WHERE account_id = $1",
            account_id,
        )
    stored_head, stored_posted, stored_held, due = (None, 0, 0, None) if row is None else row.values()
    if (stored_posted, stored_held, open_bonus) != (bonus_posted, bonus_held, bonus_held):
        faults.append(
            Fault(
                account_id,
                0,
                f"the account says bonus posted={stored_posted} held={stored_held} (holds: {open_bonus}),"
                f" the journal posted={bonus_posted} held={bonus_held}",
            )
        )
    if stored_head != head:
        faults.append(Fault(account_id, 0, "the head of the chain is not the newest entry"))
    if open_holds != held:
        faults.append(Fault(account_id, 0, f"open holds sum to {open_holds}, the journal holds {held}"))
    if first_due is not None and (due is None or due > first_due):
        faults.append(Fault(account_id, 0, f"a hold is due at {first_due}, the account looks for one at {due}"))
    return faults


def _rehashed(row: Row) -> bytes | None:
    """The hash that the row should have; None where it holds what no entry can (then something was changed)."""
    try:
        chained = chained_entry_of(row)
        return entry_hash(
            chained.entry,
            chained.cause,
            chained.cause_key,
            microseconds(chained.transmitted_at),
            microseconds(chained.booked_at),
            chained.prev_hash,
        )
    except ValueError:
        return None
