"""What the clearing records of a batch may mean: the purchases of their cards, and earlier records.

Where a record's references find nothing, the account's own purchases are looked through, by approval code and by
amount. No index serves that on purpose: it would cost every authorization something, and clearing can wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from switch.contracts.message import Kind, Request
from switch.issuer.books import Books, Item
from switch.issuer.card import Card
from switch.issuer.purchase_match import names_surely
from switch.issuer.rules import amount_in
from switch.issuer.stored import StoredMessage
from switch.journal.clearing_rows import item_of
from switch.journal.connection import Connection
from switch.journal.rows import stored_of

__all__ = ["bound_purchases", "load_clearing"]

# OFFSET 0 keeps each look-up by key apart: as in switch.journal.history.
_BY_REFERENCE = """
    WITH wanted AS (
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
                   AS w (account_id, card_id, retrieval_reference, network_reference)
    ), found AS (
        SELECT m.* FROM wanted w, LATERAL (
            SELECT x.account_id, x.key FROM message_key x
             WHERE x.account_id = w.account_id AND x.retrieval_reference = w.retrieval_reference
               AND x.retrieval_reference <> '' AND x.card_id = w.card_id OFFSET 0
        ) m WHERE w.retrieval_reference <> ''
        UNION
        SELECT m.* FROM wanted w, LATERAL (
            SELECT x.account_id, x.key FROM message_key x
             WHERE x.account_id = w.account_id AND x.network_reference = w.network_reference
               AND x.network_reference <> '' AND x.card_id = w.card_id OFFSET 0
        ) m WHERE w.network_reference <> ''
    )
    SELECT m.* FROM found f, LATERAL (
        SELECT x.* FROM message_key x WHERE x.account_id = f.account_id AND x.key = f.key OFFSET 0
    ) m ORDER BY m.decided_at, m.hold_id
"""
_ITEMS = """
    SELECT i.* FROM unnest($1::bigint[], $2::text[]) AS w (account_id, acquirer_reference), LATERAL (
        SELECT x.* FROM clearing_item x
         WHERE x.account_id = w.account_id AND x.acquirer_reference = w.acquirer_reference
           AND x.acquirer_reference <> '' OFFSET 0
    ) i
    UNION ALL
    SELECT i.* FROM unnest($3::bigint[], $4::bytea[]) AS w (account_id, key), LATERAL (
        SELECT x.* FROM clearing_item x WHERE x.account_id = w.account_id AND x.key = w.key OFFSET 0
    ) i
    UNION ALL
    -- One of several presentments: the others have acquirer references of their own.
    SELECT i.* FROM unnest($5::bigint[]) AS w (account_id), LATERAL (
        SELECT x.* FROM clearing_item x
         WHERE x.account_id = w.account_id AND x.sequence_count > 1 AND x.hold_id IS NOT NULL OFFSET 0
    ) i
"""
_BY_PURCHASE = """
    SELECT m.*
      FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])
               AS w (account_id, card_id, approval_code, amount),
      LATERAL (
        SELECT x.begun_by FROM hold x
         WHERE x.account_id = w.account_id AND x.card_id = w.card_id AND x.opened_at > $5
           AND (x.approval_code = w.approval_code AND w.approval_code <> '' OR x.state = 'open' AND x.held = w.amount)
        OFFSET 0
      ) h,
      LATERAL (
        SELECT x.* FROM message_key x WHERE x.account_id = w.account_id AND x.key = h.begun_by OFFSET 0
      ) m
"""

#: No program looks further back (``ClearingRules.match_window_days``).
_WINDOW = timedelta(days=400)


async def load_clearing(connection: Connection, books: Books, items: Sequence[Item]) -> None:
    """Earlier records under the same acquirer reference, and the messages that the records of the batch may belong
    to.
    """
    records = [item for item in items if item.request.kind is Kind.PRESENTMENT]
    known = [(item, card) for item in records if (card := books.cards.get(item.pan_lookup)) is not None]
    await _load_items(connection, books, records)
    if not known:
        return
    wanted = [
        (card.account_id, card.card_id, item.request.retrieval_reference, item.request.network_reference)
        for item, card in known
    ]
    named: dict[int, list[StoredMessage]] = {}
    for row in await connection.fetch(_BY_REFERENCE, *map(list, zip(*wanted, strict=True))):
        message = stored_of(row)
        books.remember(message, row["decided_at"])
        named.setdefault(message.card_id, []).append(message)
    loose = [
        (card.account_id, card.card_id, item.request.approval_code, _amount(books, card, item.request))
        for item, card in known
        # What is found for a record must not depend on the others in its batch, so each is looked at by itself.
        if not any(names_surely(item.request, message) for message in named.get(card.card_id, ()))
    ]
    if loose:
        columns = map(list, zip(*loose, strict=True))
        for row in await connection.fetch(_BY_PURCHASE, *columns, books.now - _WINDOW):
            books.remember(stored_of(row), row["decided_at"])


def _amount(books: Books, card: Card, request: Request) -> int | None:
    """In the currency in which the account's holds are."""
    return amount_in(request, books.accounts[card.account_id].currency)


async def _load_items(connection: Connection, books: Books, records: Sequence[Item]) -> None:
    referenced, own, parts = [], [], set()
    for item in records:
        card, clearing = books.cards.get(item.pan_lookup), item.request.clearing
        account_id = 0 if card is None else card.account_id
        if clearing is not None and clearing.acquirer_reference and account_id:
            referenced.append((account_id, clearing.acquirer_reference))
        if clearing is not None and clearing.instruction is not None:
            own.append((account_id, item.key))
        if clearing is not None and clearing.sequence_count > 1 and account_id:
            parts.add(account_id)
    if not (referenced or own or parts):
        return
    columns = [
        [account_id for account_id, _ in referenced],
        [reference for _, reference in referenced],
        [account_id for account_id, _ in own],
        [key for _, key in own],
        sorted(parts),
    ]
    for row in await connection.fetch(_ITEMS, *columns):
        record = item_of(row)
        books.clearing_items.setdefault(record.account_id, {})[record.key] = record


def bound_purchases(books: Books, items: Sequence[Item]) -> set[tuple[int, int]]:
    """Account and hold of the purchases that people's instructions name."""
    bound = set()
    for item in items:
        card, clearing = books.cards.get(item.pan_lookup), item.request.clearing
        instruction = None if clearing is None else clearing.instruction
        if card is not None and instruction is not None and instruction.hold_id is not None:
            bound.add((card.account_id, instruction.hold_id))
    return bound
