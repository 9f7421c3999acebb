"""Holds expire: before a request is decided, and by the sweep."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from switch.contracts.message import Kind
from tests.journal.counter import Client, Counter, on, reasons
from tests.journal.server import Database

START = datetime(2026, 6, 15, 3, 0, tzinfo=UTC)  # noon in Tokyo
WEEK = timedelta(days=7)


async def held(counter: Counter, amount: int = 8_000) -> Client:
    """A client with a hold of ``amount`` out of 10,000, placed at START; it is the clock's time now that it is due."""
    counter.now = START
    client = await counter.client(10_000)
    (decision,) = await counter.unit().run([counter.item(client, counter.request(client, Kind.AUTHORIZATION, amount))])
    assert decision.reason.approves
    counter.now = START + WEEK
    return client


def test_a_unit_that_expires_and_is_overtaken_is_decided_again(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await held(counter)
        other, unit = await counter.connection(), counter.unit()
        async with other.transaction():
            await other.execute("UPDATE account SET seq = seq WHERE account_id = $1", client.account_id)
            item = counter.item(client, counter.request(client, Kind.AUTHORIZATION, 5_000))
            running = asyncio.ensure_future(unit.run([item]))
            await counter.until_one_waits()
        assert reasons(await running) == ["approved"]
        assert unit.overtaken == 1
        assert await counter.journal(client) == [("hold", 8_000), ("expiry", 8_000), ("hold", 5_000)]
        assert await counter.faults(client) == []

    on(database, scenario)
