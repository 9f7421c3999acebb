"""What a unit of work begins with: cards, accounts, what was spent, and earlier messages with the same keys."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from switch.journal.connection import Connection
from switch.journal.rows import Row

__all__ = ["load_unit"]

_LOCK = "SELECT lock_accounts($1)"
# LIMIT keeps each look-up apart, and by key, whatever the planner knows of the tables: it plans once for each
# connection, perhaps while they are empty. Counters that stand in the account's row are not looked for.
_LOAD = """
    SELECT i.item, c.card_id, c.program, c.expiry, c.service_code, c.status, c.locked,
           c.credential_id, c.credential_status, c.network,
           a.account_id, a.currency, a.posted, a.held, a.floor, a.seq, a.head_hash,
           a.bonus_posted, a.bonus_held, a.expiry_due, a.tombstone_until > now() AS tombstones,
           a.xmin::text::bigint AS version, a.ctid AS place, a.usage_card_id,
           CASE WHEN a.usage_card_id = c.card_id THEN a.usage_day ELSE u.day END AS day,
           CASE WHEN a.usage_card_id = c.card_id THEN a.day_minor ELSE u.day_minor END AS day_minor,
           CASE WHEN a.usage_card_id = c.card_id THEN a.day_count ELSE u.day_count END AS day_count,
           CASE WHEN a.usage_card_id = c.card_id THEN a.month_minor ELSE u.month_minor END AS month_minor,
           CASE WHEN a.usage_card_id = c.card_id THEN a.month_count ELSE u.month_count END AS month_count,
           CASE WHEN a.usage_card_id = c.card_id THEN a.lifetime_minor ELSE u.lifetime_minor END AS lifetime_minor,
           CASE WHEN a.usage_card_id = c.card_id THEN a.lifetime_count ELSE u.lifetime_count END AS lifetime_count,
           u.ctid AS usage_place, m.stored
      FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS i (pan_lookup, key, item)
      LEFT JOIN LATERAL (SELECT * FROM card_number n WHERE n.pan_lookup = i.pan_lookup LIMIT 1) c ON true
      LEFT JOIN LATERAL (SELECT x.*, x.xmin, x.ctid FROM account x WHERE x.account_id = c.account_id LIMIT 1) a ON true
      LEFT JOIN LATERAL (
          SELECT x.*, x.ctid FROM further_limit_usage x
           WHERE x.account_id = c.account_id AND x.card_id = c.card_id AND a.usage_card_id <> c.card_id LIMIT 1
      ) u ON true
      LEFT JOIN LATERAL (
          SELECT s AS stored FROM message_key s
           WHERE s.account_id = coalesce(c.account_id, 0) AND s.key = i.key LIMIT 1
      ) m ON true
"""
_by_item = itemgetter(0)


async def load_unit(
    connection: Connection, lookups: Sequence[bytes], keys: Sequence[bytes], *, lock: bool
) -> Sequence[Row]:
    """One row for each look-up value and key, in their order; without a card, most of it is None.

    ``lock`` locks the accounts before they are read, for the transaction that is open.
    """
    if lock:
        await connection.execute(_LOCK, lookups)
    rows: list[Row] = await connection.fetch(_LOAD, lookups, keys)
    # Mostly they are in order, since nothing but the items is gone through; PostgreSQL would sort them all the same.
    rows.sort(key=_by_item)
    return rows
