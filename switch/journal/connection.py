"""One connection to PostgreSQL, on the asyncio side, and the one place where its errors become the house's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import msgspec

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, JournalRefused

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

__all__ = ["BY_INDEX", "Connection", "DatabaseSettings", "Overtaken", "connect", "translated"]


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[database]`` in the settings."""

    dsn: str  # the daemon's role; no password in it
    issuing_dsn: str = ""  # for ``switch card`` and ``switch account load``; defaults to dsn
    owner_dsn: str = ""  # for ``switch migrate``
    password_file: Path | None = None
    connections: int = 4  # batches that may be under way at once: one is decided while PostgreSQL works on the others
    connect_timeout_seconds: float = 2.0
    unit_timeout_seconds: float = 15.0

    def __post_init__(self) -> None:
        if self.connections < 1:
            raise ValueError("connections is at least 1")
        if "password" in self.dsn.lower() or "password" in self.issuing_dsn.lower():
            raise ValueError("a password goes into password_file, not into a dsn")


#: SQLSTATEs that mean "not now": shutting down, starting up, standby, too many clients, connection trouble.
_AWAY = frozenset({"57P01", "57P02", "57P03", "25006", "53300", "08000", "08001", "08003", "08004", "08006", "08007"})


#: SQLSTATEs that mean "somebody else was quicker": record_unit's own, serialization failure, deadlock.
_OVERTAKEN = frozenset({"SW002", "40001", "40P01"})


class Overtaken(JournalRefused):
    """Another transaction has changed what this one was going to change; nothing was committed. Try again."""


@contextmanager
def translated(*, committing: bool = False) -> Iterator[None]:
    """Maps what asyncpg and the sockets raise.

    Raises:
        CommitUnknown: the connection broke and ``committing``: nobody knows whether the commit took place.
        DatabaseUnavailable: PostgreSQL is away, and nothing was committed.
        JournalRefused: PostgreSQL refused the statement; nothing was committed. The message names the SQLSTATE and its
            text but no parameter. Overtaken, one of these, says that trying again may help.
    """
    away = CommitUnknown if committing else DatabaseUnavailable
    try:
        yield
    except asyncpg.PostgresError as exc:
        if exc.sqlstate in _AWAY or isinstance(exc, asyncpg.PostgresConnectionError):
            raise away(f"{type(exc).__name__} ({exc.sqlstate})") from exc
        refused = Overtaken if exc.sqlstate in _OVERTAKEN else JournalRefused
        raise refused(f"{exc.sqlstate}: {exc.args[0] if exc.args else type(exc).__name__}") from exc
    except (TimeoutError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, EOFError) as exc:
        # asyncpg loses its place in the protocol where a server goes away in the middle of a reply.
        raise away(f"{type(exc).__name__}: {exc}") from exc


#: For connections that only ever touch a few rows by key. Fresh tables have no statistics, and a plan that was made
#: while they were empty (a scan, a hash join) would be kept while they grow; by index, the cost stays what it is.
BY_INDEX: Mapping[str, str] = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # A bitmap of a whole small index, kept for all rows of the other side, is a scan by another name.
    "enable_bitmapscan": "off",
    "enable_material": "off",
    # What was looked up for one row is hardly ever wanted by another, and remembering it costs more than looking it up.
    "enable_memoize": "off",
    # By key, a plan for some values is as good for others; none has to be made anew.
    "plan_cache_mode": "force_generic_plan",
}


async def connect(
    settings: DatabaseSettings,
    dsn: str = "",
    *,
    application: str = "switch",
    planner: Mapping[str, str] = MappingProxyType({}),
) -> Connection:
    """A new connection with the schema set. Raises DatabaseUnavailable."""
    with translated():
        password = None if settings.password_file is None else settings.password_file.read_text().strip()
        return await asyncpg.connect(
            dsn or settings.dsn,
            password=password,
            timeout=settings.connect_timeout_seconds,
            # By default a statement is forgotten after five minutes, and some batch waits for it to be planned anew.
            max_cached_statement_lifetime=0,
            server_settings={
                "application_name": application,
                "search_path": "switch",
                "timezone": "UTC",
                # JIT costs milliseconds of planning and gains nothing on statements of this size.
                "jit": "off",
                **planner,
            },
        )
