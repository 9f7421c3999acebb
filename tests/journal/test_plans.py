"""However small the tables were when PostgreSQL last looked at them, the books are looked up by key: a plan that walks a
table that was small would be kept while it grows.
"""

from __future__ import annotations

import re

import pytest

from switch.journal import clearing_load, funding_rows, funding_unit, history, hold_expiry, tombstones
from switch.journal.connection import BY_INDEX
from tests.journal.counter import Counter, on
from tests.journal.server import Database, Server

STATEMENTS = {
    "candidates": history._CANDIDATES,
    "advices on a hold": history._ADVICES_ON_HOLD,
    "holds": history._HOLDS,
    "tombstones": tombstones._TOMBSTONES,
    "records by reference": clearing_load._BY_REFERENCE,
    "records by purchase": clearing_load._BY_PURCHASE,
    "clearing items": clearing_load._ITEMS,
    "open holds": hold_expiry._OPEN_HOLDS,
    "parked purchase": funding_unit._LOOK,
    "means for a purchase": funding_rows._MEANS,
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_young_tables_are_looked_up_by_key(database: Database, name: str) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        await counter.unit().run([counter.item(client, counter.request(client)) for _ in range(3)])
        root = await counter.root()
        await root.execute("ANALYZE")
        for setting, value in {**BY_INDEX, "plan_cache_mode": "force_generic_plan"}.items():
            await root.execute(f"SET {setting} = {value}")
        await root.execute(f"PREPARE looked AS {STATEMENTS[name]}")
        parameters = len(set(re.findall(r"\$\d", STATEMENTS[name])))
        rows = await root.fetch(f"EXPLAIN EXECUTE looked ({', '.join(['NULL'] * parameters)})")
        plan = "\n".join(row[0] for row in rows)

        assert "Seq Scan" not in plan and "Bitmap" not in plan, plan
        # Every look into a table says which account (or card) it is about.
        looks = re.findall(r"Scan using \w+ on \w+.*\n\s+(?:Index Cond: .*)", plan)
        assert len(looks) == plan.count("Scan using"), plan
        assert all("account_id" in look or "card_id" in look for look in looks), plan

    on(database, scenario)


def test_what_was_read_is_not_looked_up_again_when_it_is_written(database: Database) -> None:
    """An account is looked up once for each message, and with it what its card has spent; record_unit finds it by its place."""

    async def scenario(counter: Counter) -> None:
        clients = [await counter.client(10_000) for _ in range(3)]
        unit, root = counter.unit(), await counter.root()

        async def looks() -> dict[str, int]:
            assert unit._connection is not None
            await unit._connection.execute("SELECT pg_stat_force_next_flush()")
            rows = await root.fetch(
                "SELECT indexrelname, idx_scan FROM pg_stat_user_indexes"
                " WHERE indexrelname IN ('account_pkey', 'further_limit_usage_pkey')"
            )
            return {row["indexrelname"]: row["idx_scan"] for row in rows}

        await unit.run([counter.item(client, counter.request(client)) for client in clients])
        before = await looks()
        await unit.run([counter.item(client, counter.request(client)) for client in clients])
        after = await looks()
        assert {name: after[name] - before[name] for name in after} == {
            "account_pkey": 3,
            "further_limit_usage_pkey": 0,
        }

    on(database, scenario)


def test_what_is_planned_over_empty_tables_does_not_walk_them_later(postgres: Server) -> None:
    """A daemon that starts on a new database has planned before the first card is there."""

    async def scenario(counter: Counter) -> None:
        root, unit = await counter.root(), counter.unit()
        await root.execute("ANALYZE")
        await unit.prepare()
        firsts = [await counter.client(10_000) for _ in range(30)]
        clients = [*firsts, *[await counter.further_card(client) for client in firsts]]
        await unit.run([counter.item(client, counter.request(client)) for client in clients])

        async def read() -> dict[str, int]:
            assert unit._connection is not None
            await unit._connection.execute("SELECT pg_stat_force_next_flush()")
            rows = await root.fetch("SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes")
            return {row["indexrelname"]: row["idx_tup_read"] for row in rows}

        before = await read()
        await unit.run([counter.item(client, counter.request(client)) for client in clients[-5:]])
        after = await read()
        read_of = {name: after[name] - before[name] for name in after}
        assert (read_of["card_pan_lookup_key"], read_of["message_key_pkey"]) == (5, 0)
        assert read_of["further_limit_usage_pkey"] == 5
        # Once when it is read, and for a further card once more when it is written. An account may have the entry of an
        # older version of its row, from before its first hold had a deadline.
        assert read_of["account_pkey"] in range(10, 21)

    on(postgres.migrated(), scenario)


def test_analyze_does_not_keep_a_processor_busy(database: Database) -> None:
    """It samples 300 rows for each of the target that the most wanted column has, and sorts them by every wanted column."""

    async def scenario(counter: Counter) -> None:
        root = await counter.root()
        rows = await root.fetch(
            "SELECT attrelid::regclass::text AS table, attname, coalesce(attstattarget, -1) AS target FROM pg_attribute"
            " WHERE attrelid IN ('account'::regclass, 'hold'::regclass, 'journal_entry'::regclass, 'message_key'::regclass)"
            " AND attnum > 0 AND NOT attisdropped"
        )
        assert {row["table"] for row in rows} == {"account", "hold", "journal_entry", "message_key"}
        # -1 is PostgreSQL's default of 100.
        assert [(row["table"], row["attname"]) for row in rows if row["target"] not in range(11)] == []

    on(database, scenario)
