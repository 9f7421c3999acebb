"""What a card has spent stands in its account's row, if it is the first of the account's cards that has spent; the
others have rows of their own.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from switch.journal import migrate as module
from switch.journal.connection import Connection
from switch.journal.migrate import migrate, migrations
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database, Server


async def spent(counter: Counter, client: Client) -> dict[int, tuple[int, int]]:
    """Amount and count of each card of the client's account, over its life."""
    rows = await counter.table("limit_usage", client)
    return {row["card_id"]: (row["lifetime_minor"], row["lifetime_count"]) for row in rows}


async def both_wait(watcher: Connection) -> None:
    """Until two units of work wait for a lock."""
    async with asyncio.timeout(10):
        while True:
            waiting = await watcher.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'switch unit of work' AND wait_event_type = 'Lock'"
            )
            if waiting == 2:
                return
            await asyncio.sleep(0.01)


async def rows_of_their_own(counter: Counter, client: Client) -> list[int]:
    return [row["card_id"] for row in await counter.table("further_limit_usage", client)]


@pytest.mark.parametrize("together", [True, False])
def test_every_card_of_an_account_is_counted_by_itself(database: Database, together: bool) -> None:
    async def scenario(counter: Counter) -> None:
        first = await counter.client(10_000)
        second, third = await counter.further_card(first), await counter.client(10_000)
        unit = counter.unit()

        async def buy(*purchases: tuple[Client, int]) -> None:
            items = [counter.item(card, counter.request(card, amount_minor=amount)) for card, amount in purchases]
            for batch in [items] if together else [[item] for item in items]:
                assert all(decision.reason.approves for decision in await unit.run(batch))

        await buy((first, 100), (second, 200), (third, 400), (first, 50))
        assert await spent(counter, first) == {first.card_id: (150, 2), second.card_id: (200, 1)}
        await buy((second, 30), (first, 5), (second, 3))
        assert await spent(counter, first) == {first.card_id: (155, 3), second.card_id: (233, 3)}
        assert await spent(counter, third) == {third.card_id: (400, 1)}
        assert await rows_of_their_own(counter, first) == [second.card_id]
        assert await rows_of_their_own(counter, third) == []
        assert await counter.faults(first, third) == []

    on(database, scenario)


def test_what_expires_is_given_back_to_the_card_that_spent_it(postgres: Server) -> None:
    async def scenario(counter: Counter) -> None:
        counter.now = counter.clock()
        first = await counter.client(10_000)
        second = await counter.further_card(first)
        unit = counter.unit()
        for card, amount in ((first, 100), (second, 200), (second, 7)):
            await unit.run([counter.item(card, counter.request(card, amount_minor=amount))])
        reversed_one = counter.request(second, amount_minor=40)
        await unit.run([counter.item(second, reversed_one), counter.item(second, counter.undo(second, reversed_one))])
        assert await spent(counter, first) == {first.card_id: (100, 1), second.card_id: (207, 2)}

        counter.now += timedelta(days=30)
        swept = await unit.expire(10)
        assert (swept.holds, swept.refused) == (3, {})
        assert await spent(counter, first) == {first.card_id: (0, 0), second.card_id: (0, 0)}
        assert await rows_of_their_own(counter, first) == [second.card_id]

    on(postgres.migrated(), scenario)


def test_of_two_daemons_one_is_overtaken_where_both_see_an_account_that_nobody_has_spent_from(
    database: Database,
) -> None:
    """Each has another card of it, and wants its counters in the account's row."""

    async def scenario(counter: Counter) -> None:
        first = await counter.client(10_000)
        second = await counter.further_card(first)
        units = counter.unit(), counter.unit()
        lock = await counter.connection()
        async with lock.transaction():
            await lock.execute("SELECT FROM account WHERE account_id = $1 FOR UPDATE", first.account_id)
            running = [
                asyncio.ensure_future(unit.run([counter.item(card, counter.request(card, amount_minor=amount))]))
                for unit, card, amount in zip(units, (first, second), (100, 20), strict=True)
            ]
            await both_wait(await counter.root())
        for one in running:
            (decision,) = await one
            assert decision.reason.approves
        assert sum(unit.overtaken for unit in units) == 1
        assert await spent(counter, first) == {first.card_id: (100, 1), second.card_id: (20, 1)}
        assert len(await rows_of_their_own(counter, first)) == 1
        assert await counter.faults(first) == []

    on(database, scenario)


def test_counters_from_before_stay_what_they_are(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """0021 takes one card's of each account into the account's row."""

    async def work(database: Database) -> None:
        connection = await database.connect()
        with monkeypatch.context() as older:
            older.setattr(module, "migrations", lambda: migrations()[:20])
            await migrate(connection, lambda _: None)
        await connection.execute("INSERT INTO account (currency) SELECT 'JPY' FROM generate_series(1, 4)")
        await connection.execute(
            "INSERT INTO limit_usage SELECT a, a * 10 + n, date '2026-11-26' + n, 1, 2, a * 3, n, a * 5, n * 7"
            " FROM generate_series(1, 3) a, generate_series(1, a) n"
        )
        before = await connection.fetch("SELECT * FROM limit_usage ORDER BY card_id")
        await migrate(connection, lambda _: None)
        assert await connection.fetch("SELECT * FROM limit_usage ORDER BY card_id") == before
        owners = await connection.fetch("SELECT account_id, usage_card_id FROM account ORDER BY account_id")
        assert [tuple(row) for row in owners] == [(1, 11), (2, 21), (3, 31), (4, None)]
        further = await connection.fetch("SELECT card_id FROM further_limit_usage ORDER BY card_id")
        assert [row["card_id"] for row in further] == [22, 32, 33]
        await connection.close(timeout=2)

    asyncio.run(work(postgres.empty()))
