"""Who may do what: privileges keep the daemon out, triggers even the owner."""

from __future__ import annotations

import asyncpg
import pytest

from switch.contracts.message import Kind
from tests.journal.counter import Counter, on
from tests.journal.server import Database

ROLES = ("switch_daemon", "switch_issuing", "switch_console", "switch_auditor")
DENIED = asyncpg.InsufficientPrivilegeError


async def tables(counter: Counter) -> list[str]:
    rows = await (await counter.root()).fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'switch' ORDER BY tablename"
    )
    return [row["tablename"] for row in rows]


@pytest.mark.parametrize("role", ROLES)
def test_no_role_writes_to_any_table(database: Database, role: str) -> None:
    async def scenario(counter: Counter) -> None:
        connection = await counter.connection(role)
        root = await counter.root()
        names = await tables(counter)
        assert {"account", "card", "credential", "hold", "journal_entry", "message_key", "further_limit_usage"} <= set(
            names
        )
        for name in names:
            column = await root.fetchval(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = 'switch' AND table_name = $1 AND is_identity = 'NO'"
                " ORDER BY ordinal_position LIMIT 1",
                name,
            )
            for statement in (
                f"INSERT INTO {name} DEFAULT VALUES",
                f"UPDATE {name} SET {column} = {column}",
                f"DELETE FROM {name}",
                f"TRUNCATE {name}",
            ):
                with pytest.raises(DENIED):
                    await connection.execute(statement)

    on(database, scenario)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_reads_sealed_card_numbers(database: Database, role: str) -> None:
    async def scenario(counter: Counter) -> None:
        await counter.credential(await counter.client())
        connection = await counter.connection(role)
        for table in ("card", "credential"):
            for what in ("pan_sealed", "*", table):
                with pytest.raises(DENIED):
                    await connection.execute(f"SELECT {what} FROM {table}")
            assert await connection.fetchval(f"SELECT pan_masked FROM {table} LIMIT 1")

    on(database, scenario)


@pytest.mark.parametrize(
    ("role", "sees"),
    [("switch_daemon", True), ("switch_issuing", True), ("switch_console", False), ("switch_auditor", False)],
)
def test_who_may_look_a_number_up(database: Database, role: str, sees: bool) -> None:
    async def scenario(counter: Counter) -> None:
        await counter.credential(await counter.client())
        connection = await counter.connection(role)
        for relation in ("card", "credential", "card_number"):
            statement = f"SELECT pan_lookup FROM {relation} LIMIT 1"
            if sees:
                assert await connection.fetchval(statement)
            else:
                with pytest.raises(DENIED):
                    await connection.execute(statement)

    on(database, scenario)


DAEMON = {
    "lock_accounts",
    "record_unit",
    "record_beside",
    "lock_due",
    "lock_funding",
    "record_funding",
    "keep_driving",
    "claim_funding",
    "undo_funding",
    "alert_funding",
    "retrace_topped_up",
}
ISSUING = DAEMON | {
    "open_account",
    "next_card_id",
    "change_card",
    "add_credential",
    "next_credential_id",
    "change_credential",
    "begin_clearing_file",
    "advance_clearing_file",
    "propose_clearing",
    "release_funding",
    "put_funding_source",
    "put_funding_wish",
}


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("switch_daemon", DAEMON),
        ("switch_issuing", ISSUING),
        ("switch_console", set()),
        ("switch_auditor", set()),
    ],
)
def test_who_may_call_which_door(database: Database, role: str, allowed: set[str]) -> None:
    async def scenario(counter: Counter) -> None:
        rows = await (await counter.root()).fetch(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'switch'::regnamespace"
            " AND has_function_privilege($1, oid, 'EXECUTE')",
            role,
        )
        assert {row["proname"] for row in rows} == allowed

    on(database, scenario)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_makes_anything_in_the_schema_or_becomes_the_owner(database: Database, role: str) -> None:
    async def scenario(counter: Counter) -> None:
        connection = await counter.connection(role)
        for statement in ("CREATE TABLE mine ()", "SET ROLE switch_owner", "ALTER TABLE account OWNER TO CURRENT_USER"):
            with pytest.raises((DENIED, asyncpg.InvalidSchemaNameError)):
                await connection.execute(statement)

    on(database, scenario)


def test_a_stranger_sees_nothing(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        root = await counter.root()
        await root.execute("DO $$ BEGIN CREATE ROLE stranger LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        connection = await counter.connection("stranger")
        with pytest.raises((DENIED, asyncpg.UndefinedTableError)):
            await connection.execute("SELECT 1 FROM switch.account")

    on(database, scenario)


@pytest.mark.parametrize("who", ["switch_owner", "postgres"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal_entry SET amount = amount + 1",
        "UPDATE journal_entry SET amount = amount",
        "DELETE FROM journal_entry",
        "TRUNCATE journal_entry",
        "TRUNCATE journal_entry, account CASCADE",
        "DELETE FROM message_key",
        "TRUNCATE message_key",
        "UPDATE exception_item SET kind = 'fine'",
        "DELETE FROM exception_item",
        "TRUNCATE exception_item",
        "MERGE INTO journal_entry j USING account a ON j.account_id = a.account_id WHEN MATCHED THEN DELETE",
        "INSERT INTO journal_entry SELECT * FROM journal_entry ON CONFLICT (account_id, seq) DO UPDATE SET amount = 1",
    ],
)
def test_the_owner_cannot_change_what_is_written(database: Database, statement: str, who: str) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(100)
        await counter.unit().run([counter.item(client, counter.request(client, Kind.FINANCIAL_ADVICE, 300))])
        before = await counter.snapshot(client)
        assert before["exception_item"] and before["journal_entry"] and before["message_key"]
        connection = await counter.connection()
        if who != "postgres":
            await connection.execute(f"SET ROLE {who}")
        with pytest.raises(DENIED, match="append-only"):
            await connection.execute(statement)
        assert await counter.snapshot(client) == before

    on(database, scenario)
