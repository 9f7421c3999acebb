"""What always holds of one account's books after the authorization, read from the tables alone."""

from __future__ import annotations

from typing import Any

from switch.journal.connection import Connection

__all__ = ["Row", "account_row", "check_books", "holds", "records"]

_ACCOUNT = """
    SELECT a.*,
           (SELECT min(h.expires_at) FROM hold h WHERE h.account_id = $1 AND h.state = 'open') AS first_due,
           (SELECT coalesce(sum(h.held), 0) FROM hold h WHERE h.account_id = $1 AND h.state = 'open') AS open_holds,
           (SELECT coalesce(sum(h.held_bonus), 0) FROM hold h WHERE h.account_id = $1) AS open_bonus,
           (SELECT count(*) FROM message_key m WHERE m.account_id = $1 AND m.kind = 'presentment') AS messages,
           (SELECT count(*) FROM notification n WHERE n.account_id = $1 AND n.kind = 'hold_expired') AS expiries,
           e.*
      FROM account a,
           LATERAL (
               SELECT coalesce(sum(posted_delta), 0) AS posted_deltas, coalesce(sum(held_delta), 0) AS held_deltas,
                      coalesce(sum(amount) FILTER (WHERE debit IN ('network.settlement', 'issuer.funding',
                                                                   'issuer.promotion')), 0) AS came_in,
                      coalesce(sum(amount) FILTER (WHERE credit IN ('network.settlement', 'issuer.funding',
                                                                    'issuer.promotion')), 0) AS went_out,
                      coalesce(sum(amount) FILTER (WHERE credit LIKE 'bonus.%'), 0)
                      - coalesce(sum(amount) FILTER (WHERE debit LIKE 'bonus.%'), 0) AS bonus_fold,
                      coalesce(sum(amount) FILTER (WHERE credit = 'bonus.held'), 0)
                      - coalesce(sum(amount) FILTER (WHERE debit = 'bonus.held'), 0) AS bonus_held_fold,
                      coalesce(sum(amount) FILTER (WHERE credit = 'network.settlement'), 0)
                      - coalesce(sum(amount) FILTER (WHERE debit = 'network.settlement'), 0) AS network_net
                 FROM journal_entry WHERE account_id = $1
           ) e
     WHERE a.account_id = $1
"""
_HOLDS = """
    SELECT h.*, e.*
      FROM hold h,
           LATERAL (
               SELECT coalesce(sum(amount) FILTER (WHERE credit = 'network.settlement'), 0)
                      - coalesce(sum(amount) FILTER (WHERE debit = 'network.settlement'), 0) AS network_net,
                      coalesce(sum(held_delta), 0) AS held_fold,
                      coalesce(sum(amount) FILTER (WHERE credit = 'bonus.held'), 0)
                      - coalesce(sum(amount) FILTER (WHERE debit = 'bonus.held'), 0) AS bonus_held_fold,
                      coalesce(sum(amount) FILTER (WHERE credit = 'network.settlement' AND debit LIKE 'bonus.%'), 0)
                      - coalesce(sum(amount) FILTER (WHERE debit = 'network.settlement' AND credit LIKE 'bonus.%'), 0)
                      AS bonus_paid
                 FROM journal_entry j WHERE j.account_id = h.account_id AND j.hold_id = h.hold_id
           ) e
     WHERE h.account_id = $1
"""
_RECORDS = """
    SELECT i.file_id, i.state, i.hold_id, h.hold_id IS NOT NULL AS hold_there, m.hold_id AS message_hold_id
      FROM clearing_item i
      JOIN message_key m USING (account_id, key)
      LEFT JOIN hold h ON h.account_id = i.account_id AND h.hold_id = i.hold_id
     WHERE i.account_id = $1
"""
Row = dict[str, Any]


async def account_row(connection: Connection, account_id: int) -> Row:
    """The account, with what its other tables sum to."""
    row = await connection.fetchrow(_ACCOUNT, account_id)
    assert row is not None
    return dict(row)


async def holds(connection: Connection, account_id: int) -> dict[int, Row]:
    """The purchases by their id, each with what its entries sum to."""
    return {row["hold_id"]: dict(row) for row in await connection.fetch(_HOLDS, account_id)}


async def records(connection: Connection, account_id: int) -> dict[str, Row]:
    """The clearing records by the file they came in; each file has one."""
    rows = await connection.fetch(_RECORDS, account_id)
    by_file = {row["file_id"]: dict(row) for row in rows}
    assert len(by_file) == len(rows), "a record is there twice"
    return by_file


def check_books(account: Row, purchases: dict[int, Row], items: dict[str, Row]) -> None:
    """Conservation, projections, pockets, debts and deadlines."""
    assert account["posted"] == account["posted_deltas"] == account["came_in"] - account["went_out"]
    assert account["held"] == account["held_deltas"] == account["open_holds"]
    assert account["bonus_posted"] == account["bonus_fold"]
    assert account["bonus_held"] == account["bonus_held_fold"] == account["open_bonus"]
    assert 0 <= account["bonus_held"] <= account["bonus_posted"]
    below = account["posted"] - account["held"] < account["floor"]
    assert (account["negative_since"] is not None) == below
    due, first = account["expiry_due"], account["first_due"]
    assert first is None or (due is not None and due <= first), "a hold would stand beyond its deadline"
    assert account["network_net"] == sum(_spent(row) for row in purchases.values()), "money of no purchase"
    for row in purchases.values():
        assert row["network_net"] == _spent(row), row
        assert row["held"] == row["held_fold"] and row["held_bonus"] == row["bonus_held_fold"], row
        assert (row["state"] == "open") == (row["held"] > 0), row
        assert row["bonus_paid"] >= 0, f"more bonus came back than was paid: {row}"
    assert account["messages"] == len(items), "a record has no state"
    for item in items.values():
        booked = item["state"] in ("matched", "forced", "reversed")
        assert booked <= (item["hold_id"] is not None), item
        assert item["hold_id"] is None or item["hold_there"], item
        assert item["state"] in ("in_doubt", "noted", "rejected") or item["message_hold_id"] == item["hold_id"], item


def _spent(row: Row) -> int:
    """What the network got for a purchase, net."""
    spent: int = (-row["posted"] if row["credit"] else row["posted"]) - row["refunded"]
    return spent
