"""Reading what earlier messages of a card a reversal, an advice or an increment may mean, and the purchases they moved.

Which of them it is, and by what, says ``switch.issuer.matching``; here all are brought that share an element with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from switch.contracts.message import Kind
from switch.issuer.books import Books, Item
from switch.issuer.stored import StoredMessage
from switch.journal.clearing_load import bound_purchases
from switch.journal.connection import Connection
from switch.journal.rows import hold_of, stored_of

__all__ = ["load_history", "load_holds"]

# OFFSET 0 keeps each look-up by key apart: joined freely, a table that was small when PostgreSQL last counted its rows
# would be walked, and such a plan is kept while the table grows.
_CANDIDATES = """
    WITH wanted AS (
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
                   AS w (account_id, card_id, retrieval_reference, stan, network_reference, terminal_id, amount)
    ), found AS (
        SELECT m.* FROM wanted w, LATERAL (
            SELECT x.account_id, x.key, x.card_id, x.stan, x.retrieval_reference, x.network_reference
              FROM message_key x
             WHERE x.account_id = w.account_id AND x.retrieval_reference = w.retrieval_reference
               AND x.retrieval_reference <> '' AND x.card_id = w.card_id OFFSET 0
        ) m WHERE w.retrieval_reference <> ''
        UNION
        SELECT m.* FROM wanted w, LATERAL (
            SELECT x.account_id, x.key, x.card_id, x.stan, x.retrieval_reference, x.network_reference
              FROM message_key x
             WHERE x.account_id = w.account_id AND x.stan = w.stan AND x.stan <> '' AND x.card_id = w.card_id OFFSET 0
        ) m WHERE w.stan <> ''
        UNION
        SELECT m.* FROM wanted w, LATERAL (
            SELECT x.account_id, x.key, x.card_id, x.stan, x.retrieval_reference, x.network_reference
              FROM message_key x
             WHERE x.account_id = w.account_id AND x.network_reference = w.network_reference
               AND x.network_reference <> '' AND x.card_id = w.card_id OFFSET 0
        ) m WHERE w.network_reference <> ''
        UNION
        SELECT m.* FROM wanted w, LATERAL (
            SELECT x.account_id, x.key, x.card_id, x.stan, x.retrieval_reference, x.network_reference
              FROM message_key x
             WHERE x.account_id = w.account_id AND x.terminal_id = w.terminal_id AND x.amount = w.amount
               AND x.stan <> '' AND x.hold_id IS NOT NULL AND x.card_id = w.card_id
               AND x.decided_at > now() - interval '1 day' OFFSET 0
        ) m WHERE w.terminal_id <> ''
    ), named AS (
        SELECT w.account_id, w.card_id, w.stan FROM wanted w WHERE w.stan <> ''
        UNION
        SELECT f.account_id, f.card_id, f.stan FROM found f WHERE f.stan <> ''
    ), known AS (
        SELECT f.account_id, f.key FROM found f
        UNION
        -- An advice of the network's may share nothing with its request but that its DE90 names it.
        SELECT m.* FROM named n, LATERAL (
            SELECT x.account_id, x.key FROM message_key x
             WHERE x.account_id = n.account_id AND x.original_stan = n.stan AND x.original_stan <> ''
               AND x.card_id = n.card_id AND x.kind <> 'reversal' OFFSET 0
        ) m
        UNION
        -- What raised a purchase that was found by its STAN has the purchase's reference.
        SELECT m.* FROM wanted w JOIN found f USING (account_id, card_id, stan), LATERAL (
            SELECT x.account_id, x.key FROM message_key x
             WHERE x.account_id = f.account_id AND x.retrieval_reference = f.retrieval_reference
               AND x.retrieval_reference <> '' AND x.card_id = f.card_id OFFSET 0
        ) m WHERE w.stan <> '' AND f.retrieval_reference NOT IN ('', w.retrieval_reference)
        UNION
        SELECT m.* FROM wanted w JOIN found f USING (account_id, card_id, stan), LATERAL (
            SELECT x.account_id, x.key FROM message_key x
             WHERE x.account_id = f.account_id AND x.network_reference = f.network_reference
               AND x.network_reference <> '' AND x.card_id = f.card_id OFFSET 0
        ) m WHERE w.stan <> '' AND f.network_reference NOT IN ('', w.network_reference)
    )
    SELECT m.* FROM known k, LATERAL (
        SELECT x.* FROM message_key x WHERE x.account_id = k.account_id AND x.key = k.key OFFSET 0
    ) m ORDER BY m.decided_at, m.hold_id
"""
_ADVICES_ON_HOLD = """
    SELECT m.* FROM unnest($1::bigint[], $2::bytea[]) AS w (account_id, key), LATERAL (
        SELECT x.* FROM message_key x WHERE x.account_id = w.account_id AND x.key = w.key OFFSET 0
    ) late, LATERAL (
        SELECT x.* FROM message_key x WHERE x.account_id = w.account_id AND x.hold_id = late.hold_id
           AND x.kind IN ('authorization_advice', 'financial_advice', 'presentment')
           AND x.decided_at >= late.decided_at OFFSET 0
    ) m
"""
_HOLDS = """
    SELECT h.* FROM unnest($1::bigint[], $2::bigint[]) AS w (account_id, hold_id), LATERAL (
        SELECT x.* FROM hold x WHERE x.account_id = w.account_id AND x.hold_id = w.hold_id OFFSET 0
    ) h
"""


async def load_history(connection: Connection, books: Books, items: Sequence[Item]) -> None:
    """Originals that reversals, advices and increments may mean, and the purchases that those moved."""
    wanted: list[tuple[int, int, str, str, str, str, int]] = []
    for item in items:
        request, card = item.request, books.cards.get(item.pan_lookup)
        if card is None or item.withdraw or (request.kind.is_request and not request.incremental):
            continue
        if request.kind is Kind.PRESENTMENT:
            continue
        original_stan = "" if request.original is None else request.original.stan
        bare = not (request.retrieval_reference or original_stan or request.network_reference)
        wanted.append(
            (
                card.account_id,
                card.card_id,
                request.retrieval_reference,
                original_stan,
                request.network_reference,
                request.terminal_id if bare else "",
                request.amount_minor,
            )
        )
    if wanted:
        for row in await connection.fetch(_CANDIDATES, *map(list, zip(*wanted, strict=True))):
            books.remember(stored_of(row), row["decided_at"])
    if withdrawn := _withdrawn(books, items):
        # No index finds these: withdrawals are too rare for one. The account's messages are walked.
        refs = [message.account_id for message in withdrawn], [message.key for message in withdrawn]
        for row in await connection.fetch(_ADVICES_ON_HOLD, *refs):
            books.remember(stored_of(row), row["decided_at"])


async def load_holds(connection: Connection, books: Books, items: Sequence[Item]) -> None:
    """The purchases that what was loaded has moved."""
    withdrawn = _withdrawn(books, items)
    tombstones = [message for of_card in books.tombstones.values() for message in of_card.values()]
    candidates = [candidate.message for of_card in books.candidates.values() for candidate in of_card.values()]
    holds = {
        (message.account_id, message.hold_id)
        for message in (*candidates, *withdrawn, *tombstones)
        if message.hold_id is not None
    }
    holds |= {
        (record.account_id, record.hold_id)
        for of_account in books.clearing_items.values()
        for record in of_account.values()
        if record.hold_id is not None
    }
    holds |= bound_purchases(books, items)
    holds -= {(account_id, hold_id) for account_id, known in books.holds.items() for hold_id in known}
    if holds:
        accounts, ids = zip(*holds, strict=True)
        for row in await connection.fetch(_HOLDS, accounts, ids):
            hold = hold_of(row)
            books.holds.setdefault(hold.account_id, {})[hold.hold_id] = hold


def _withdrawn(books: Books, items: Sequence[Item]) -> list[StoredMessage]:
    """The late approvals that the batch is to take back."""
    return [
        message
        for item in items
        if item.withdraw and item.pan_lookup in books.cards
        if (message := books.stored.get((books.cards[item.pan_lookup].account_id, item.key))) is not None
        if message.hold_id is not None
    ]
