"""Bringing a database to the schema that this version needs, and checking that it is there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources

import msgspec

from switch.contracts.errors import ConfigurationError
from switch.journal.connection import Connection, translated

__all__ = ["Migration", "check_schema", "migrate", "migrations"]

#: One migration at a time, whoever starts it: the key of an advisory lock (the letters "switch" as a number).
_LOCK = 0x737769746368

#: Made for the whole server, so they may be there already (another database of the same server uses them too).
_ROLES = {
    "switch_owner": "NOLOGIN",
    "switch_daemon": "LOGIN",
    "switch_issuing": "LOGIN",
    "switch_console": "LOGIN",
    "switch_auditor": "LOGIN",
}


class Migration(msgspec.Struct, frozen=True):
    """One SQL file. ``digest`` is stored with it, so that a file that was changed afterwards is noticed."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> tuple[Migration, ...]:
    """All migrations that this version brings, in order."""
    found = []
    for file in resources.files("switch.journal.migrations").iterdir():
        if file.name.endswith(".sql"):
            number = int(file.name[:4])
            found.append(Migration(number, file.name[:-4], file.read_text()))
    return tuple(sorted(found, key=lambda migration: migration.number))


async def migrate(connection: Connection, progress: Callable[[str], None]) -> int:
    """Applies what is missing, each file in a transaction of its own; returns how many were applied.

    ``connection`` is a role that may create roles and objects (the server's administrator).

    Raises:
        ConfigurationError: the database is newer than this version, or an applied file was changed.
        JournalRefused, DatabaseUnavailable: as PostgreSQL says.
    """
    with translated():
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        try:
            for role, login in _ROLES.items():
                # The names are constants of this module; CREATE ROLE takes no parameters.
                await connection.execute(
                    f"DO $$ BEGIN CREATE ROLE {role} {login};"
                    " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
                )
            database = await connection.fetchval("SELECT quote_ident(current_database())")
            await connection.execute("GRANT switch_owner TO CURRENT_USER")
            await connection.execute(f"GRANT CREATE ON DATABASE {database} TO switch_owner")
            await connection.execute("CREATE SCHEMA IF NOT EXISTS switch AUTHORIZATION switch_owner")
            await connection.execute("SET search_path = switch")
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration ("
                " number integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now())"
            )
            await connection.execute("ALTER TABLE schema_migration OWNER TO switch_owner")
            await connection.execute(
                "GRANT SELECT ON schema_migration TO switch_daemon, switch_issuing, switch_console, switch_auditor"
            )
            applied = await _applied(connection)
            missing = _missing(applied)
            for migration in missing:
                progress(f"applying {migration.name}")
                async with connection.transaction():
                    await connection.execute("SET LOCAL ROLE switch_owner")
                    await connection.execute("SET LOCAL search_path = switch")
                    await connection.execute(migration.sql)
                    await connection.execute(
                        "INSERT INTO schema_migration (number, name, digest) VALUES ($1, $2, $3)",
                        migration.number,
                        migration.name,
                        migration.digest,
                    )
            return len(missing)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def check_schema(connection: Connection) -> None:
    """Raises ConfigurationError unless the database has exactly the schema of this version."""
    with translated():
        there = await connection.fetchval("SELECT to_regclass('switch.schema_migration') IS NOT NULL")
        missing = _missing(await _applied(connection)) if there else migrations()
    if missing:
        raise ConfigurationError(
            f"the database lacks {len(missing)} migration(s), first {missing[0].name}: run `switch migrate`"
        )


async def _applied(connection: Connection) -> dict[int, str]:
    rows = await connection.fetch("SELECT number, digest FROM switch.schema_migration ORDER BY number")
    return {row["number"]: row["digest"] for row in rows}


def _missing(applied: dict[int, str]) -> tuple[Migration, ...]:
    known = {migration.number: migration for migration in migrations()}
    newer = sorted(set(applied) - set(known))
    if newer:
        raise ConfigurationError(f"the database has migration {newer[-1]}, which is newer than this version knows")
    for number, digest in applied.items():
        if known[number].digest != digest:
            raise ConfigurationError(f"migration {known[number].name} was changed after it was applied")
    return tuple(migration for number, migration in known.items() if number not in applied)
