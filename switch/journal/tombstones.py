"""Reading the tombstones that may fit the messages of a batch.

A tombstone is a reversal or a stand-in advice that came before its original. Whoever sends reversals of what never was
makes thousands of them, so not all that an account has are read, but those that share an element by which the issuer
tells that they mean a message (``switch.issuer.matching.tombstone_fits``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from switch.issuer.books import Books, Item
from switch.issuer.matching import TOMBSTONE_LIFE
from switch.journal.connection import Connection
from switch.journal.rows import stored_of

__all__ = ["load_tombstones"]

# OFFSET 0 keeps each look-up by key apart: as in switch.journal.history.
_TOMBSTONES = """
    WITH wanted AS (
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[])
                   AS w (account_id, retrieval_reference, network_reference, stan)
    ), found AS (
        SELECT m.* FROM wanted w, LATERAL (
            SELECT x.account_id, x.key FROM message_key x
             WHERE x.account_id = w.account_id AND x.retrieval_reference = w.retrieval_reference
               AND x.retrieval_reference <> '' AND x.state = 'tombstone' OFFSET 0
        ) m WHERE w.retrieval_reference <> ''
        UNION
        SELECT m.* FROM wanted w, LATERAL (
            SELECT x.account_id, x.key FROM message_key x
             WHERE x.account_id = w.account_id AND x.network_reference = w.network_reference
               AND x.network_reference <> '' AND x.state = 'tombstone' OFFSET 0
        ) m WHERE w.network_reference <> ''
        UNION
        SELECT m.* FROM wanted w, LATERAL (
            SELECT x.account_id, x.key FROM message_key x
             WHERE x.account_id = w.account_id AND x.original_stan = w.stan
               AND x.original_stan <> '' AND x.state = 'tombstone' OFFSET 0
        ) m WHERE w.stan <> ''
    )
    SELECT m.* FROM found f, LATERAL (
        SELECT x.* FROM message_key x
         WHERE x.account_id = f.account_id AND x.key = f.key AND x.decided_at > $5 OFFSET 0
    ) m ORDER BY m.decided_at
"""


async def load_tombstones(
    connection: Connection, books: Books, items: Sequence[Item], accounts: Collection[int]
) -> None:
    """Takes them into ``books``, for the messages of ``items`` on ``accounts``."""
    wanted: list[tuple[int, str, str, str]] = []
    for item in items:
        request, card = item.request, books.cards.get(item.pan_lookup)
        if card is not None and card.account_id in accounts:
            wanted.append((card.account_id, request.retrieval_reference, request.network_reference, request.stan))
            if (original := request.original) is not None and not request.kind.is_request:
                wanted.append((card.account_id, "", "", original.stan))  # a reversal named the same message
    columns = map(list, zip(*wanted, strict=True))
    for row in await connection.fetch(_TOMBSTONES, *columns, books.now - TOMBSTONE_LIFE):
        message = stored_of(row)
        books.tombstones.setdefault(message.card_id, {})[message.key] = message
