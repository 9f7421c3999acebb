"""A counter with a clock that a test sets, and the reports of its books as the auditor's role sees them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from switch.audit.comparison import Comparison, compare
from switch.audit.daily import DailyClose, close_day
from switch.audit.period_end import PeriodReport, period_report
from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.message import Kind, Request
from switch.issuer.case import Decision
from switch.issuer.program import Program
from switch.journal import issuing
from switch.journal.connection import Connection
from tests.issuer.support import a_program
from tests.journal.counter import Client, Counter

__all__ = ["DAY", "TOKYO", "at", "closed", "compared", "load", "period", "presented", "tampered", "tell"]

TOKYO = ZoneInfo("Asia/Tokyo")
DAY = date(2025, 3, 31)
SETTLING = timedelta(seconds=15)
PROGRAMS: Mapping[str, Program] = {"plain": a_program(partial_approval=True)}


def at(text: str, zone: ZoneInfo = TOKYO) -> datetime:
    """``2025-03-31 23:59:59.999`` in the zone, as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


async def tell(counter: Counter, client: Client, *requests: Request, withdraw: bool = False) -> list[Decision]:
    """The messages, one after the other, on a unit of work of their own."""
    unit = counter.unit()
    return [(await unit.run([counter.item(client, request, withdraw=withdraw)]))[0] for request in requests]


async def load(counter: Counter, client: Client, amount_minor: int, reference: str) -> None:
    """At the counter's moment."""
    assert await issuing.load_account(await counter.staff(), client.lookup, amount_minor, reference, counter.clock())


async def closed(
    counter: Counter, day: date = DAY, zone: ZoneInfo = TOKYO, *, role: str = "switch_auditor", details: int = 20
) -> DailyClose:
    connection = await counter.connection(role)
    return await close_day(connection, day, zone, settling=SETTLING, details=details, progress=_quiet)


async def period(
    counter: Counter,
    first: date,
    last: date,
    *names: str,
    programs: Mapping[str, Program] = PROGRAMS,
    role: str = "switch_auditor",
) -> PeriodReport:
    connection = await counter.connection(role)
    return await period_report(connection, programs, names, first, last, settling=SETTLING, progress=_quiet)


async def compared(
    counter: Counter, *paths: Path, programs: Mapping[str, Program] = PROGRAMS, details: int = 20
) -> Comparison:
    connection = await counter.connection("switch_auditor")
    return await compare(connection, programs, paths, settling=SETTLING, details=details, progress=_quiet)


async def tampered(counter: Counter, statement: str, *values: object) -> None:
    """As a superuser who switched the triggers off."""
    connection: Connection = await counter.connection()
    await connection.execute("SET session_replication_role = replica")
    assert await connection.execute(statement, *values) not in ("UPDATE 0", "DELETE 0", "INSERT 0 0")


def presented(counter: Counter, client: Client, amount: int, record: int, **changes: Any) -> Request:
    """A clearing record."""
    clearing = Clearing(
        kind=changes.pop("what", ClearingKind.PRESENTMENT),
        file_id="F1",
        record=record,
        acquirer_reference=changes.pop("acquirer_reference", f"ARN{record}"),
        final=changes.pop("final", True),
    )
    return counter.request(client, Kind.PRESENTMENT, amount, clearing=clearing, stan="", transmitted="", **changes)


def _quiet(_step: str) -> None:
    """Progress that nobody reads."""
