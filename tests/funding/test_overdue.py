"""Attempts that stay open: a person hears of each once for each threshold, and the attempt stays as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trio

from simulators.funding_source.faults import Fault, FaultKind
from switch.contracts.top_up import TopUpPolicy
from switch.journal.bridge import on_asyncio
from switch.journal.funding_unit import FundingUnit
from tests.funding.desk import Desk, at_the_desk
from tests.issuer.support import CODES, a_program
from tests.journal.counter import Client
from tests.journal.server import Database

K = FaultKind
UNKNOWN = (Fault(kind=K.SILENT_AFTER, call="charge"), Fault(kind=K.UNKNOWN, call="query", count=6))
THRESHOLDS = (60, 3_600)


async def told(desk: Desk, client: Client) -> list[dict[str, Any]]:
    """What the notices say, in order."""
    rows = await on_asyncio(desk.counter.table, "notification", client)
    rows.sort(key=lambda row: row["notification_id"])
    return [row["facts"] for row in rows if row["kind"] == "funding_overdue"]


class Keeper:
    """Looks for overdue attempts at the moment that it is told."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.unit = FundingUnit(desk.counter.database.settings(), desk.programs, CODES, desk.counter.clock)

    async def finds(self, client: Client, at: datetime) -> list[tuple[str, int]]:
        self.desk.counter.now = at
        keys = {row.message_key for row in await self.desk.attempts(client)}
        rows = await on_asyncio(self.unit.alert_overdue, THRESHOLDS)
        return [(row.state, row.after_seconds) for row in rows if row.message_key in keys]


@asynccontextmanager
async def two_keepers(desk: Desk) -> AsyncIterator[tuple[Keeper, Keeper]]:
    keepers = Keeper(desk), Keeper(desk)
    try:
        yield keepers
    finally:
        with trio.CancelScope(shield=True):
            for keeper in keepers:
                await on_asyncio(keeper.unit.close)


async def test_each_threshold_is_told_of_once(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path, *UNKNOWN) as desk:
        client = await desk.client(1_000)
        assert await desk.dies_at("after:queried", client)
        (before,) = await desk.attempts(client)
        begun = before.parked_at
        async with two_keepers(desk) as (one, other):
            assert await one.finds(client, begun + timedelta(seconds=59)) == []
            assert await one.finds(client, begun + timedelta(seconds=75)) == [("queried", 60)]
            assert await other.finds(client, begun + timedelta(seconds=76)) == []
            assert await other.finds(client, begun + timedelta(hours=2)) == [("queried", 3_600)]
            assert await one.finds(client, begun + timedelta(days=9)) == []
        assert [facts["after_seconds"] for facts in await told(desk, client)] == list(THRESHOLDS)
        assert await desk.attempts(client) == [before]
        await desk.go_on(client)


async def test_after_a_silence_the_highest_alone_is_told(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path) as desk:
        client = await desk.client(1_000)
        assert await desk.dies_at("after:park", client)
        async with two_keepers(desk) as (one, _):
            assert await one.finds(client, datetime.now(UTC) + timedelta(days=2)) == [("sent", 3_600)]
            assert await one.finds(client, datetime.now(UTC) + timedelta(days=3)) == []
        assert await told(desk, client) == [{"state": "sent", "after_seconds": 3_600}]
        await desk.go_on(client)


async def test_a_void_counts_from_its_own_beginning(database: Database, tmp_path: Path) -> None:
    """Not from the purchase, which was parked long before it was reversed."""
    programs = {"plain": a_program(top_up=TopUpPolicy(currency="JPY", on_reversal="void"))}
    async with at_the_desk(database, tmp_path, programs=programs) as desk:
        client = await desk.client(1_000)
        reversed_at = datetime.now(UTC) + timedelta(hours=5)
        assert await desk.dies_undoing_at("after:void_requested", client, reversed_at=reversed_at)
        async with two_keepers(desk) as (one, _):
            assert await one.finds(client, reversed_at + timedelta(seconds=59)) == []
            assert await one.finds(client, reversed_at + timedelta(seconds=60)) == [("void_requested", 60)]
        await desk.go_on(client)


async def test_nothing_is_told_of_what_has_ended(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path) as desk:
        client = await desk.client(1_000)
        async with desk.daemon() as daemon:
            assert await daemon.ask(daemon.purchase(client)) == "approved"
        async with two_keepers(desk) as (one, _):
            assert await one.finds(client, datetime.now(UTC) + timedelta(days=2)) == []


async def test_a_daemon_looks_by_itself_and_counts(database: Database, tmp_path: Path) -> None:
    more: dict[str, Any] = {"budget_seconds": 0.3, "overdue_seconds": (1,)}
    async with at_the_desk(database, tmp_path, *UNKNOWN, **more) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        assert await daemon.ask(daemon.purchase(client)) == "insufficient_funds"
        with trio.fail_after(30):
            while not await told(desk, client):  # noqa: ASYNC110 -- a row tells nobody
                await trio.sleep(0.05)
        assert daemon.top_ups.stats.overdue[1] >= 1
        await desk.ended(client)
