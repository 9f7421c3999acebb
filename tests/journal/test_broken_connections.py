"""The connection breaks: before the commit, while committing, and nobody knows. Nothing is booked twice or lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable
from switch.contracts.message import Kind
from switch.contracts.reason import Reason
from switch.issuer.stored import MessageState
from switch.journal.connection import translated
from tests.journal.counter import Counter, on, reasons
from tests.journal.proxy import Plan, proxy
from tests.journal.server import Database


@pytest.mark.parametrize("locked", [False, True])
def test_a_backend_killed_before_the_commit_booked_nothing(database: Database, locked: bool) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        unit = counter.unit()
        if locked:
            await counter.overtake(unit)
        before = await counter.snapshot(client)
        root = await counter.root()
        item = counter.item(client, counter.request(client, Kind.AUTHORIZATION, 3_000))
        transaction = root.transaction()
        await transaction.start()
        await root.execute("SELECT 1 FROM account WHERE account_id = $1 FOR UPDATE", client.account_id)
        running = asyncio.ensure_future(unit.run([item]))
        pid = await counter.until_one_waits()

        assert await root.fetchval("SELECT pg_terminate_backend($1)", pid)
        # Without locks it waits in the statement that commits, so nobody can tell whether it did.
        with pytest.raises(DatabaseUnavailable if locked else CommitUnknown):
            await running
        await transaction.rollback()

        assert await counter.snapshot(client) == before
        assert reasons(await unit.run([item])) == ["approved"], "the next run opens a connection of its own"
        assert await counter.journal(client) == [("hold", 3_000)]

    on(database, scenario)


def test_an_idle_connection_that_was_killed_costs_one_batch_at_most(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        unit = counter.unit()
        await unit.run([counter.item(client, counter.request(client))])
        root = await counter.root()
        # The second argument waits until they are gone.
        gone = await root.fetch(
            "SELECT pg_terminate_backend(pid, 5000) AS gone FROM pg_stat_activity"
            " WHERE application_name = 'switch unit of work' AND datname = current_database()"
        )
        assert [row["gone"] for row in gone] == [True]
        item = counter.item(client, counter.request(client))
        try:
            (decision,) = await unit.run([item])
        except DatabaseUnavailable:
            (decision,) = await unit.run([item])
        assert decision.reason is Reason.APPROVED
        assert await counter.journal(client) == [("hold", 1_000)] * 2

    on(database, scenario)


@pytest.mark.parametrize("plan", [Plan.DROP_BEFORE, Plan.DROP_AFTER, Plan.HANG_AFTER])
@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION, Kind.FINANCIAL_ADVICE])
@pytest.mark.parametrize("locked", [False, True])
def test_a_commit_in_doubt_is_resolved_by_the_keys_and_booked_once(
    database: Database, plan: Plan, kind: Kind, locked: bool
) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        items = [counter.item(client, counter.request(client, kind, amount)) for amount in (3_000, 200)]
        async with proxy(database.dsn()) as middle:
            unit = counter.unit(dsn=middle.dsn, seconds=0.5 if plan is Plan.HANG_AFTER else 10)
            if locked:
                await counter.overtake(unit)
            commits = middle.commits
            middle.plan = plan

            with pytest.raises(CommitUnknown) as doubt:
                await unit.run(items)

            there = len(await counter.journal(client))
            assert there == (0 if plan is Plan.DROP_BEFORE else 2)
            assert doubt.value.moment is not None
            resumed = [msgspec.structs.replace(item, moments=(doubt.value.moment,)) for item in items]
            decisions = await unit.run(resumed)

            assert middle.commits - commits == 2, (
                "the answer to a message that was booked waits for a commit of its own"
            )
            await unit.close()
        assert all(decision.reason.approves for decision in decisions)
        assert [amount for _, amount in await counter.journal(client)] == [3_000, 200]
        assert await counter.faults(client) == []
        rows = await counter.table("message_key", client)
        assert [row["repeats_answered"] for row in rows] == [0, 0], "nobody but us asked twice"
        again = await counter.unit().run(items)
        assert [decision.answer for decision in again] == [decision.answer for decision in decisions]

    on(database, scenario)


def test_doubt_twice_in_a_row_is_resolved_too(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        item = counter.item(client, counter.request(client, Kind.FINANCIAL, 3_000))
        async with proxy(database.dsn()) as middle:
            unit = counter.unit(dsn=middle.dsn)
            for plan in (Plan.DROP_BEFORE, Plan.DROP_AFTER, Plan.DROP_AFTER):
                middle.plan = plan
                with pytest.raises(CommitUnknown) as doubt:
                    await unit.run([item])
                assert doubt.value.moment is not None
                item = msgspec.structs.replace(item, moments=(*item.moments, doubt.value.moment))
            assert reasons(await unit.run([item])) == ["approved"]
            await unit.close()
        assert await counter.journal(client) == [("posting", 3_000)]
        assert await counter.balance(client) == (7_000, 0)

    on(database, scenario)


def test_a_withdrawal_in_doubt_takes_back_once(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        item = counter.item(client, counter.request(client, Kind.FINANCIAL, 3_000))
        await counter.unit().run([item])
        late = msgspec.structs.replace(item, withdraw=True)
        async with proxy(database.dsn()) as middle:
            unit = counter.unit(dsn=middle.dsn)
            middle.plan = Plan.DROP_AFTER
            with pytest.raises(CommitUnknown):
                await unit.run([late])
            assert reasons(await unit.run([late])) == ["deadline_missed"]
            await unit.close()
        assert await counter.journal(client) == [("posting", 3_000), ("posting_reversal", 3_000)]

    on(database, scenario)


def test_a_resumed_request_after_its_withdrawal_stays_withdrawn(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        item = counter.item(client, counter.request(client, Kind.AUTHORIZATION, 3_000))
        unit = counter.unit()
        await unit.run([item])
        await unit.run([msgspec.structs.replace(item, withdraw=True)])
        assert reasons(await unit.run([msgspec.structs.replace(item, moments=(datetime.now(UTC),))])) == [
            "deadline_missed"
        ]
        (row,) = await counter.table("message_key", client)
        assert (row["state"], row["reason"]) == (MessageState.WITHDRAWN, "deadline_missed")
        assert await counter.balance(client) == (10_000, 0)

    on(database, scenario)


def test_the_proxy_itself_lets_everything_else_through(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        async with proxy(database.dsn()) as middle:
            unit = counter.unit(dsn=middle.dsn)
            for _ in range(3):
                assert reasons(await unit.run([counter.item(client, counter.request(client))])) == ["approved"]
            assert middle.commits == 3
            await unit.close()

    on(database, scenario)


@pytest.mark.parametrize(("committing", "expected"), [(False, DatabaseUnavailable), (True, CommitUnknown)])
def test_a_client_that_lost_its_place_in_the_protocol_has_lost_its_server(
    committing: bool, expected: type[Exception]
) -> None:
    with pytest.raises(expected), translated(committing=committing):
        raise asyncpg.InternalClientError("got result for unknown protocol state")
