"""Clearing files and their records as the database knows them: beginning, progress, what became of a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from switch.contracts.errors import JournalRefused
from switch.journal.connection import Connection, translated

__all__ = ["ClearingFile", "Outcome", "advance_file", "begin_file", "clearing_files", "outcomes"]


class ClearingFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that has been begun. ``ended_at`` is None until every record of it is booked."""

    network: str
    file_id: str
    digest: str
    format: str
    name: str
    business_day: date
    records: int
    totals: dict[str, Any]  # by currency: what its trailer says
    booked_to: int  # every record up to this one is booked; more may be
    begun_at: datetime
    ended_at: datetime | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How many records of one sort became what, and the sum of their amounts in the cardholders' currency."""

    kind: str
    operation: str
    state: str
    why: str
    currency: str  # the purchase's (DE49)
    records: int
    amount: int  # in the account's currency
    transaction_amount: int  # DE4, in ``currency``


_COLUMNS = "network, file_id, digest, format, name, business_day, records, totals, booked_to, begun_at, ended_at"


def _file_of(row: Any) -> ClearingFile:  # a Record; its columns are named above
    columns = dict(row)
    columns["totals"] = msgspec.json.decode(columns["totals"])
    return ClearingFile(**columns)


async def clearing_files(connection: Connection, *, unfinished: bool = False, limit: int = 1000) -> list[ClearingFile]:
    """Files that have been begun, newest first; ``unfinished`` only those that are not booked whole."""
    with translated():
        rows = await connection.fetch(
            f"SELECT {_COLUMNS} FROM clearing_file WHERE NOT $1 OR ended_at IS NULL"  # noqa: S608 -- the columns are a constant
            " ORDER BY begun_at DESC LIMIT $2",
            unfinished,
            limit,
        )
    return [_file_of(row) for row in rows]


async def begin_file(
    connection: Connection,
    *,
    network: str,
    file_id: str,
    digest: str,
    file_format: str,
    name: str,
    business_day: date,
    records: int,
    totals: bytes,
    now: datetime,
) -> ClearingFile:
    """Remembers a file by its own name; where it is there already, says how far it is.

    Raises JournalRefused when the network sent another file under this name: nothing of that may be booked.
    """
    with translated():
        await connection.fetchval(
            "SELECT begin_clearing_file($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            network,
            file_id,
            digest,
            file_format,
            name,
            business_day,
            records,
            totals.decode(),
            now,
        )
        row = await connection.fetchrow(
            f"SELECT {_COLUMNS} FROM clearing_file WHERE network = $1 AND file_id = $2",  # noqa: S608 -- the columns are a constant
            network,
            file_id,
        )
    found = _file_of(row)
    if found.digest != digest:
        raise JournalRefused(
            f"{network} sent another file under the name {file_id} before ({found.name}, begun {found.begun_at:%F %T})",
            plain=(file_id,),
        )
    return found


async def advance_file(
    connection: Connection, network: str, file_id: str, booked_to: int, ended_at: datetime | None = None
) -> None:
    """Says that every record up to ``booked_to`` is booked. It never goes back, and is late rather than early."""
    with translated():
        await connection.execute("SELECT advance_clearing_file($1, $2, $3, $4)", network, file_id, booked_to, ended_at)


async def outcomes(connection: Connection, network: str, file_id: str) -> Sequence[Outcome]:
    """What became of a file's records, by sort."""
    with translated():
        rows = await connection.fetch(
            "SELECT kind, operation, state, why, transaction_currency AS currency, count(*) AS records,"
            " sum(amount)::bigint AS amount, sum(transaction_amount)::bigint AS transaction_amount"
            " FROM clearing_item WHERE network = $1 AND file_id = $2"
            " GROUP BY kind, operation, state, why, transaction_currency ORDER BY 1, 2, 3, 4, 5",
            network,
            file_id,
        )
    return [Outcome(**dict(row)) for row in rows]
