"""Rows of the funding tables, columns in the tables' order, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from switch.journal.connection import Connection, translated

__all__ = [
    "AttemptRow",
    "Means",
    "MoveRow",
    "OverdueRow",
    "SourceRow",
    "StepShown",
    "UsageRow",
    "alert_overdue",
    "attempts_of",
    "load_means",
    "load_sources",
    "open_by_state",
    "put_source",
    "put_wishes",
    "release",
    "steps_of",
    "without_provider",
]


class AttemptRow(NamedTuple):
    """A row of ``funding_attempt``."""

    account_id: int
    message_key: bytes
    key: str
    card_id: int
    provider: str
    source: str
    amount: int
    currency: str
    budget_until: datetime
    state: str
    purchase: str
    calls: int
    tries: int
    wake_at: datetime | None
    reference: str
    charged: int
    charged_currency: str
    cause: str
    moved_at: datetime
    parked_at: datetime
    owner: str
    turn: int = 1  # which attempt for its purchase


class MoveRow(NamedTuple):
    """A value of the type ``funding_move``."""

    account_id: int
    message_key: bytes
    at: datetime
    before: str  # empty for a new attempt
    after: str
    purchase: str
    cause: str
    note: str
    since: datetime | None  # when the attempt came to where this step begins; None for a new one
    turn: int


class SourceRow(NamedTuple):
    """What a cardholder registered, and how often in a row it was declined since it was registered or changed."""

    provider: str
    token: str
    currency: str
    preference: int
    blocked: bool
    declines: int


class UsageRow(NamedTuple):
    """What attempts took, or may still take, on a day and in its month; and what the cardholder allows."""

    day_minor: int
    day_count: int
    month_minor: int
    wishes: str | None  # JSON; None where the cardholder has said nothing


class Means(NamedTuple):
    """Of an account with a purchase that is short."""

    attempts: tuple[AttemptRow, ...]  # for this purchase; the last one is what it waits for
    sources: tuple[SourceRow, ...]  # in their order of preference
    usage: UsageRow  # but for this purchase


class OverdueRow(NamedTuple):
    """An attempt that is open still, so long after its charge or void was begun."""

    message_key: bytes
    provider: str
    state: str
    after_seconds: int


class StepShown(NamedTuple):
    """A step of an attempt, for people."""

    at: datetime
    before: str
    after: str
    purchase: str
    cause: str
    note: str


_COLUMNS = ", ".join(AttemptRow._fields)
_ATTEMPTS = f"""
    SELECT f.*
      FROM unnest($1::bigint[], $3::bytea[]) AS w (account_id, message_key), LATERAL (
        SELECT {", ".join(f"x.{name}" for name in AttemptRow._fields)} FROM funding_attempt x
         WHERE x.account_id = w.account_id AND x.message_key = w.message_key OFFSET 0
    ) f
     ORDER BY f.turn
"""  # noqa: S608 our own names
# A decline of the source counts (not one for a fault of our call); what follows the newest success counts.
_SOURCES = """
    SELECT s.account_id, s.provider, s.token, s.currency, s.preference, s.blocked, (
               SELECT count(*)::integer FROM funding_attempt a
                WHERE a.account_id = s.account_id AND a.provider = s.provider AND a.source = s.token
                  AND a.state = 'declined' AND a.cause = 'answered' AND a.parked_at > s.changed_at
                  AND a.parked_at > coalesce((
                          SELECT max(b.parked_at) FROM funding_attempt b
                           WHERE b.account_id = s.account_id AND b.provider = s.provider AND b.source = s.token
                             AND b.charged > 0
                      ), '-infinity')
           ) AS declines
      FROM unnest($1::bigint[]) AS w (account_id)
     CROSS JOIN LATERAL (SELECT x.* FROM funding_source x WHERE x.account_id = w.account_id OFFSET 0) s
     ORDER BY s.account_id, s.preference, s.provider, s.token
"""
_USAGE = """
    SELECT w.account_id, u.day_minor, u.day_count, u.month_minor,
           (SELECT x.wishes FROM funding_wish x WHERE x.account_id = w.account_id)
      FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS w (account_id, time_zone, message_key), LATERAL (
        SELECT coalesce(sum(a.amount) FILTER (
                   WHERE a.parked_at >= date_trunc('day', $4::timestamptz, w.time_zone)), 0)::bigint AS day_minor,
               count(*) FILTER (
                   WHERE a.parked_at >= date_trunc('day', $4::timestamptz, w.time_zone))::integer AS day_count,
               coalesce(sum(a.amount), 0)::bigint AS month_minor
          FROM funding_attempt a
         WHERE a.account_id = w.account_id AND a.parked_at >= date_trunc('month', $4::timestamptz, w.time_zone)
           AND a.state NOT IN ('declined', 'not_charged', 'voided') AND a.message_key <> w.message_key
    ) u
"""
# Three questions in one round trip.
_MEANS = f"""
    SELECT ARRAY(SELECT a FROM ({_ATTEMPTS}) a) AS attempts,
           ARRAY(SELECT s FROM ({_SOURCES}) s) AS sources,
           ARRAY(SELECT u FROM ({_USAGE}) u) AS usages
"""  # noqa: S608 our own statements
_BY_STATE = "SELECT state, count(*) FROM funding_attempt WHERE wake_at IS NOT NULL GROUP BY state"
_WITHOUT_PROVIDER = """
    SELECT provider, count(*) FROM funding_attempt
     WHERE wake_at IS NOT NULL AND provider <> ALL ($1) GROUP BY provider ORDER BY provider
"""
_STEPS = """
    SELECT at, before, after, purchase, cause, note FROM funding_step
     WHERE account_id = $1 AND message_key = $2 AND turn = $3 ORDER BY step_id
"""


async def alert_overdue(connection: Connection, thresholds: Sequence[int], now: datetime) -> list[OverdueRow]:
    """Attempts that have passed one of the thresholds, in seconds, each once for each of them; and their notices."""
    with translated():
        rows = await connection.fetch("SELECT * FROM alert_funding($1, $2)", thresholds, now)
    return [OverdueRow(*row.values()) for row in rows]


async def load_means(
    connection: Connection, purchases: Mapping[int, tuple[str, bytes]], now: datetime
) -> dict[int, Means]:
    """By account, for one purchase of each: ``purchases`` has the account's time zone, in which ``now`` has its day and
    month, and the purchase's key.
    """
    zones, keys = [zone for zone, _ in purchases.values()], [key for _, key in purchases.values()]
    with translated():
        (row,) = await connection.fetch(_MEANS, list(purchases), zones, keys, now)
    attempts: dict[int, list[AttemptRow]] = {account_id: [] for account_id in purchases}
    sources: dict[int, list[SourceRow]] = {account_id: [] for account_id in purchases}
    for one in row["attempts"]:
        attempt = AttemptRow(*one)
        attempts[attempt.account_id].append(attempt)
    for account_id, *source in row["sources"]:
        sources[account_id].append(SourceRow(*source))
    return {
        account_id: Means(tuple(attempts[account_id]), tuple(sources[account_id]), UsageRow(*usage))
        for account_id, *usage in row["usages"]
    }


async def load_sources(connection: Connection, account_ids: Sequence[int]) -> dict[int, tuple[SourceRow, ...]]:
    """The sources of each account, in their order of preference."""
    found: dict[int, list[SourceRow]] = {account_id: [] for account_id in account_ids}
    with translated():
        for account_id, *row in await connection.fetch(_SOURCES, list(found)):
            found[account_id].append(SourceRow(*row))
    return {account_id: tuple(rows) for account_id, rows in found.items()}


async def attempts_of(connection: Connection, where: str, *values: object) -> list[AttemptRow]:
    """Attempts, the oldest first. ``where`` is written by the caller's code, never by a person."""
    with translated():
        rows = await connection.fetch(
            f"SELECT {_COLUMNS} FROM funding_attempt WHERE {where} ORDER BY parked_at",  # noqa: S608 as said above
            *values,
        )
    return [AttemptRow(*row.values()) for row in rows]


async def open_by_state(connection: Connection) -> dict[str, int]:
    """How many attempts have not ended, by state."""
    with translated():
        return {row["state"]: row["count"] for row in await connection.fetch(_BY_STATE)}


async def without_provider(connection: Connection, providers: Sequence[str]) -> dict[str, int]:
    """How many attempts have not ended and belong to none of these providers: nobody can end them."""
    with translated():
        return {row["provider"]: row["count"] for row in await connection.fetch(_WITHOUT_PROVIDER, providers)}


async def steps_of(connection: Connection, attempt: AttemptRow) -> Sequence[StepShown]:
    """Every step of an attempt, in order."""
    with translated():
        rows = await connection.fetch(_STEPS, attempt.account_id, attempt.message_key, attempt.turn)
    return [StepShown(*row.values()) for row in rows]


async def put_source(
    connection: Connection,
    account_id: int,
    provider: str,
    token: str,
    currency: str,
    *,
    preference: int,
    blocked: bool,
    at: datetime,
) -> None:
    """Registers a source, or changes one; its declines are counted anew."""
    with translated():
        await connection.execute(
            "SELECT put_funding_source($1, $2, $3, $4, $5, $6, $7)",
            account_id,
            provider,
            token,
            currency,
            preference,
            blocked,
            at,
        )


async def put_wishes(connection: Connection, account_id: int, wishes: bytes, at: datetime) -> None:
    """What the cardholder allows from now on, as JSON."""
    with translated():
        await connection.execute("SELECT put_funding_wish($1, $2, $3)", account_id, wishes.decode(), at)


async def release(connection: Connection, account_id: int, message_key: bytes) -> bool:
    """Lets any daemon take the attempt over; False where there is none that has not ended."""
    with translated():
        released: bool = await connection.fetchval("SELECT release_funding($1, $2)", account_id, message_key)
    return released
