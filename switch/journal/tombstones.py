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

_TOMBSTONES = """
    WITH wanted AS (
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[])
                   AS w (account_id, retrieval_reference, network_reference, stan)
    ), found AS (
        SELECT m.account_id, m.key FROM wanted w JOIN message_key m USING (account_id, retrieval_reference)
         WHERE m.retrieval_reference <> '' AND w.retrieval_reference <> '' AND m.state = 'tombstone'
        UNION
        SELECT m.account_id, m.key FROM wanted w JOIN message_key m USING (account_id, network_reference)
         WHERE m.network_reference <> '' AND w.network_reference <> '' AND m.state = 'tombstone'
        UNION
        SELECT m.account_id, m.key
          FROM wanted w JOIN message_key m ON m.account_id = w.account_id AND m.original_stan = w.stan
         WHERE w.stan <> '' AND m.state = 'tombstone'
    )
    SELECT m.* FROM message_key m JOIN found USING (account_id, key) WHERE m.decided_at > $5 ORDER BY m.decided_at
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
    columns = map(list, zip(*wanted, strict=True))
    for row in await connection.fetch(_TOMBSTONES, *columns, books.now - TOMBSTONE_LIFE):
        message = stored_of(row)
        books.tombstones.setdefault(message.card_id, {})[message.key] = message
