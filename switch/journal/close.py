"""What the daily close asks of a day: its messages beside what was booked for them, and what is to be settled.

Each statement passes over whole tables and comes back with a few rows, so Python's memory stays flat. ``opening <
moment <= closing`` is the day. No statement knows a list of kinds or sides, so a new one is counted as soon as it is
booked: a side belongs to the account when its name ends in ``.available`` or ``.held``.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from switch.contracts.reason import Reason
from switch.journal.connection import Connection, translated

__all__ = [
    "BookedTotal",
    "ContraryMessage",
    "ExceptionCount",
    "MessageTotal",
    "Settlement",
    "booked_totals",
    "contrary_messages",
    "exception_counts",
    "message_totals",
    "settlements",
]

#: Money that is set free without having moved.
_FREED = "(debit LIKE '%.held' AND credit LIKE '%.available')"


class MessageTotal(msgspec.Struct, frozen=True):
    """Messages of one kind from one network, in the account's currency (the message's own, where the card is
    unknown).

    What the stored messages tell stands beside what the journal booked for them.
    """

    network: str
    kind: str
    currency: str
    messages: int
    approved: int
    withdrawn: int
    told_minor: int  # put on hold, posted or credited; of reversals: taken back
    booked_minor: int
    freed_minor: int  # set free beside: what a presentment left over, or a lower stand-in amount
    differ: int  # messages of which both say something else


class ContraryMessage(msgspec.Struct, frozen=True):
    """A message and its entries that tell different stories. ``network`` is empty where there is no message at
    all.
    """

    account: int
    key: str
    network: str
    kind: str
    currency: str
    told_minor: int
    booked_minor: int
    seq: int  # of the first entry; 0 without one


class BookedTotal(msgspec.Struct, frozen=True):
    """Entries of one kind and cause."""

    cause: str
    kind: str
    currency: str
    entries: int
    amount_minor: int
    posted_minor: int
    held_minor: int


class Settlement(msgspec.Struct, frozen=True):
    """What the day's postings leave to be settled with a network. ``net_minor`` above zero: the issuer pays."""

    network: str  # empty where no message tells it
    currency: str
    to_network_minor: int
    from_network_minor: int
    net_minor: int


class ExceptionCount(msgspec.Struct, frozen=True):
    """How often a kind of exception was raised."""

    kind: str
    count: int


# A message and its entries are decided at the same moment, so a day's messages meet a day's entries; a clearing record
# in doubt meets them on the day on which a person settled it, and a purchase that waited for a top-up on the day on
# which that was booked. ``moved`` tells what a message put on hold, posted or credited. A reversal moves nothing by
# itself: what it took back stands in its trace. What became of the message later (a withdrawal, the expiry of its hold)
# has its key too, but is booked for another cause.
_MET = f"""
    WITH settled AS (
        SELECT account_id, key, at FROM clearing_step WHERE before = 'in_doubt'
        UNION ALL
        SELECT account_id, message_key, at FROM funding_step WHERE after = 'booked' AND before <> 'booked'
    ), told AS (
        SELECT m.account_id, m.key, m.network, m.kind, m.state, m.reason, coalesce(a.currency, m.currency) AS currency,
               m.decided_at > $1 AS of_day,
               CASE WHEN s.at > $2 THEN 0
                    WHEN m.kind <> 'reversal' THEN m.moved
                    WHEN m.trace->0->>1 = 'taken_back' THEN
                        (CASE m.trace->0->2->>'hold_state' WHEN 'posted' THEN m.trace->0->2->>'posted'
                              ELSE m.trace->0->2->>'held' END)::bigint - (m.trace->0->2->>'final')::bigint
                    ELSE 0 END AS told
          FROM message_key m LEFT JOIN account a USING (account_id) LEFT JOIN settled s USING (account_id, key)
         WHERE m.decided_at > $1 AND m.decided_at <= $2 OR s.at > $1 AND s.at <= $2
    ), booked AS (
        SELECT account_id, cause_key AS key, min(currency) AS currency, min(seq) AS seq,
               sum(amount) AS amount, coalesce(sum(amount) FILTER (WHERE {_FREED}), 0) AS freed
          FROM journal_entry
         WHERE booked_at > $1 AND booked_at <= $2 AND cause IN ('message', 'presentment')
         GROUP BY account_id, cause_key
    ), met AS (
        SELECT account_id, key, coalesce(network, '') AS network, coalesce(kind, '') AS kind, state, reason,
               coalesce(of_day, false) AS of_day, coalesce(t.currency, b.currency) AS currency,
               coalesce(told, 0) AS told,
               coalesce(CASE kind WHEN 'reversal' THEN amount ELSE amount - freed END, 0) AS booked,
               coalesce(CASE kind WHEN 'reversal' THEN 0 ELSE freed END, 0) AS freed, coalesce(seq, 0) AS seq
          FROM told t FULL JOIN booked b USING (account_id, key)
    )
"""  # noqa: S608 -- constants of this module
_MESSAGE_TOTALS = f"""{_MET}
    SELECT network, kind, currency, count(*) FILTER (WHERE of_day) AS messages,
           count(*) FILTER (WHERE of_day AND reason = ANY ($3)) AS approved,
           count(*) FILTER (WHERE of_day AND state = 'withdrawn') AS withdrawn,
           sum(told)::bigint AS told_minor, sum(booked)::bigint AS booked_minor, sum(freed)::bigint AS freed_minor,
           count(*) FILTER (WHERE told <> booked OR network = '') AS differ
      FROM met GROUP BY network, kind, currency ORDER BY network, kind, currency
"""  # noqa: S608 -- constants of this module
_CONTRARY_MESSAGES = f"""{_MET}
    SELECT account_id, encode(key, 'hex') AS key, network, kind, currency, told::bigint, booked::bigint, seq
      FROM met WHERE told <> booked OR network = '' ORDER BY account_id, seq, key LIMIT $3
"""  # noqa: S608 -- constants of this module
_BOOKED_TOTALS = """
    SELECT cause, kind, currency, count(*) AS entries, sum(amount)::bigint AS amount_minor,
           sum(posted_delta)::bigint AS posted_minor, sum(held_delta)::bigint AS held_minor
      FROM journal_entry WHERE booked_at > $1 AND booked_at <= $2
     GROUP BY cause, kind, currency ORDER BY cause, kind, currency
"""
_SETTLEMENTS = """
    WITH sides AS (
        SELECT account_id, cause_key, currency,
               coalesce(sum(amount) FILTER (WHERE credit LIKE 'network.%'), 0) AS to_network,
               coalesce(sum(amount) FILTER (WHERE debit LIKE 'network.%'), 0) AS from_network
          FROM journal_entry
         WHERE booked_at > $1 AND booked_at <= $2 AND (credit LIKE 'network.%' OR debit LIKE 'network.%')
         GROUP BY account_id, cause_key, currency
    )
    SELECT coalesce(m.network, '') AS network, s.currency, sum(to_network)::bigint AS to_network_minor,
           sum(from_network)::bigint AS from_network_minor, sum(to_network - from_network)::bigint AS net_minor
      FROM sides s LEFT JOIN message_key m ON m.account_id = s.account_id AND m.key = s.cause_key
     GROUP BY 1, 2 ORDER BY 1, 2
"""
_EXCEPTIONS = """
    SELECT kind, count(*) FROM exception_item WHERE raised_at > $1 AND raised_at <= $2 GROUP BY kind ORDER BY kind
"""


async def message_totals(connection: Connection, opening: datetime, closing: datetime) -> list[MessageTotal]:
    """The day's messages by network, kind and currency."""
    approving = [reason.value for reason in Reason if reason.approves]
    with translated():
        rows = await connection.fetch(_MESSAGE_TOTALS, opening, closing, approving)
    return [MessageTotal(*row.values()) for row in rows]


async def contrary_messages(
    connection: Connection, opening: datetime, closing: datetime, limit: int
) -> list[ContraryMessage]:
    """Messages whose entries tell something else, and entries of messages that are not there; at most ``limit``."""
    with translated():
        rows = await connection.fetch(_CONTRARY_MESSAGES, opening, closing, limit)
    return [ContraryMessage(*row.values()) for row in rows]


async def booked_totals(connection: Connection, opening: datetime, closing: datetime) -> list[BookedTotal]:
    """The day's entries by cause and kind, loads and all."""
    with translated():
        rows = await connection.fetch(_BOOKED_TOTALS, opening, closing)
    return [BookedTotal(*row.values()) for row in rows]


async def settlements(connection: Connection, opening: datetime, closing: datetime) -> list[Settlement]:
    """What the day's entries put on the networks' side."""
    with translated():
        rows = await connection.fetch(_SETTLEMENTS, opening, closing)
    return [Settlement(*row.values()) for row in rows]


async def exception_counts(connection: Connection, opening: datetime, closing: datetime) -> list[ExceptionCount]:
    """What was raised for people on the day."""
    with translated():
        rows = await connection.fetch(_EXCEPTIONS, opening, closing)
    return [ExceptionCount(*row.values()) for row in rows]
