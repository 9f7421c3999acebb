"""The database's own rules for clearing records: their steps, and who may do what to their tables."""

from __future__ import annotations

from itertools import product
from typing import Any

import asyncpg
import msgspec
import pytest

from switch.contracts.clearing import InstructionKind
from switch.issuer.books import ItemStep
from switch.issuer.clearing_item import CLEARING_TRANSITIONS, ItemState
from switch.journal.clearing_rows import change_row, item_row
from tests.journal.counter import Counter, on
from tests.journal.records import a_record, in_doubt, said
from tests.journal.server import Database


def test_the_database_has_the_same_table_of_steps(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        rows = await (await counter.root()).fetch("SELECT before, after FROM clearing_transition")
        stored = {(ItemState(row["before"]) if row["before"] else None, ItemState(row["after"])) for row in rows}
        assert stored == CLEARING_TRANSITIONS

    on(database, scenario)


def test_the_database_refuses_a_step_that_the_table_does_not_allow(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(50_000)
        daemon, root = await counter.connection("switch_daemon"), await counter.root()
        for number, (before, after) in enumerate(product([None, *ItemState], ItemState)):
            made = counter.item(client, a_record(counter, client, 1, file_id=f"STEP-{number}"))
            (decision,) = await counter.unit().run([made])
            assert decision.item is not None
            if before is None:
                await root.execute("ALTER TABLE clearing_item DISABLE TRIGGER items_stay")
                await root.execute("DELETE FROM clearing_item WHERE key = $1", made.key)
                await root.execute("ALTER TABLE clearing_item ENABLE TRIGGER items_stay")
            else:
                await root.execute("UPDATE clearing_item SET state = $2 WHERE key = $1", made.key, before)
            stands = msgspec.structs.replace(decision.item, state=before or after)
            step = ItemStep(None if before is None else stands, msgspec.structs.replace(stands, state=after), made)
            new = [item_row(step, counter.clock())] if before is None else []
            changes = [] if before is None else [change_row(step, counter.clock())]
            record = daemon.fetchval("SELECT record_beside($1, $2, '{}', '{}')", new, changes)
            if (before, after) in CLEARING_TRANSITIONS:
                await record
            else:
                with pytest.raises(asyncpg.PostgresError) as refused:
                    await record
                assert refused.value.sqlstate == "SW001", f"{before} -> {after}"

    on(database, scenario)


TABLES = ("clearing_file", "clearing_item", "clearing_step", "clearing_proposal", "notification")


@pytest.mark.parametrize("role", ["switch_daemon", "switch_issuing", "switch_console", "switch_auditor"])
@pytest.mark.parametrize("table", [*TABLES, "clearing_transition"])
def test_no_role_writes_the_tables_of_clearing_by_itself(database: Database, role: str, table: str) -> None:
    async def scenario(counter: Counter) -> None:
        connection = await counter.connection(role)
        await connection.fetchval(f"SELECT count(*) FROM {table}")
        for verb in (f"INSERT INTO {table} DEFAULT VALUES", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(verb)

    on(database, scenario)


@pytest.mark.parametrize("role", ["switch_console", "switch_auditor"])
def test_who_only_looks_opens_no_door(database: Database, role: str) -> None:
    async def scenario(counter: Counter) -> None:
        connection = await counter.connection(role)
        for call in (
            "record_beside('{}', '{}', '{}', '{}')",
            "lock_due(now(), 1)",
            "advance_clearing_file('n', 'f', 1, now())",
            "propose_clearing(0, '', 'reject', NULL, 'ann', 'ann', now())",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT {call}")

    on(database, scenario)


def test_the_daemon_begins_no_file_and_proposes_nothing(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        daemon = await counter.connection("switch_daemon")
        for call in (
            "advance_clearing_file('n', 'f', 1, now())",
            "propose_clearing(0, '', 'reject', NULL, 'ann', 'ann', now())",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await daemon.execute(f"SELECT {call}")

    on(database, scenario)


def test_even_the_superuser_is_refused_to_take_anything_away(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(50)
        record, (hold_id, _) = await in_doubt(counter, client, 10)
        await counter.unit().run([counter.item(client, said(record, InstructionKind.BIND, hold_id))])
        await counter.unit().run([counter.item(client, a_record(counter, client, 100))])
        root = await counter.root()
        await begin_a_file(root)
        refused = [f"DELETE FROM {table}" for table in TABLES if table != "clearing_proposal"]
        refused += [f"TRUNCATE {table}" for table in TABLES if table != "clearing_proposal"]
        refused += ["UPDATE clearing_step SET by = 'nobody'", "UPDATE notification SET kind = 'nothing'"]
        for verb in refused:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await root.execute(verb)

    on(database, scenario)


async def begin_a_file(root: Any) -> None:
    await root.execute(
        "SELECT begin_clearing_file('west', 'A-FILE', 'digest', 'neutral', 'a', '2026-06-15', 1, '{}', now())"
    )
