"""The tables of top-up: the same transitions as in Python, and doors that refuse what they must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from simulators.funding_source.faults import Fault, FaultKind
from switch.contracts.errors import JournalRefused
from switch.contracts.top_up import TopUpPolicy
from switch.funding.attempt import TRANSITIONS
from switch.funding.event import Tick
from switch.funding.store import Advance
from switch.journal.bridge import on_asyncio
from switch.journal.funding_rows import AttemptRow, MoveRow
from switch.journal.funding_sheet import Change
from switch.journal.funding_unit import FundingUnit
from tests.audit.support import DAY, at, closed
from tests.funding.desk import PACE, Desk, at_the_desk
from tests.issuer.support import CODES, a_program
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database


def test_the_database_knows_the_same_transitions(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        rows = await (await counter.root()).fetch("SELECT before, after FROM funding_transition")
        assert {(row["before"], row["after"]) for row in rows} == {
            ("" if before is None else str(before), str(after)) for before, after in TRANSITIONS
        }

    on(database, scenario)


async def booked(desk: Desk) -> tuple[Client, AttemptRow]:
    client = await desk.client(1_000)
    async with desk.daemon() as daemon:
        assert await daemon.ask(daemon.purchase(client)) == "approved"
    return client, (await desk.ended(client))[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row._replace(state="requested"),
        lambda row: row._replace(state="voided"),
        lambda row: row._replace(state="no such state"),
    ],
)
async def test_no_step_that_the_table_does_not_allow(
    database: Database, tmp_path: Path, change: Callable[[AttemptRow], AttemptRow]
) -> None:
    async with at_the_desk(database, tmp_path) as desk:
        client, row = await booked(desk)
        unit = FundingUnit(database.settings(), desk.programs, CODES, desk.counter.clock)
        with pytest.raises(JournalRefused, match="not allowed"):
            await on_asyncio(unit.move, row.account_id, row.message_key, lambda _: Change((change(row),)))
        await on_asyncio(unit.close)
        assert await desk.ended(client) == [row]
        await desk.check(client)


Chain = Callable[[AttemptRow], tuple[AttemptRow, ...]]
LATER = timedelta(seconds=1)


def at_last(row: AttemptRow, state: str) -> AttemptRow:
    return row._replace(state=state, moved_at=row.moved_at + LATER)


@pytest.mark.parametrize(
    "path",
    [
        lambda row: (at_last(row, "charged"), at_last(row, "voided")),
        lambda row: (at_last(row, "charged"), at_last(row, "sent")),
        lambda row: (at_last(row, "declined"), at_last(row, "booked")),
        lambda row: (at_last(row, "charged"), at_last(row, "booked"), at_last(row, "charged")),
    ],
    ids=["over the next one", "backwards", "past an end", "the third"],
)
async def test_each_of_several_steps_is_one_that_the_table_allows(
    database: Database, tmp_path: Path, path: Chain
) -> None:
    async with at_the_desk(database, tmp_path) as desk:
        client = await desk.client(1_000)
        assert await desk.dies_at("after:park", client)
        (row,) = await desk.attempts(client)
        unit = FundingUnit(database.settings(), desk.programs, CODES, desk.counter.clock)
        with pytest.raises(JournalRefused, match="not allowed"):
            await on_asyncio(unit.move, row.account_id, row.message_key, lambda _: Change(path(row)))
        await on_asyncio(unit.close)
        assert await desk.attempts(client) == [row]
        assert await desk.path(client) == ["requested", "sent"]
        await desk.go_on(client)


#: The second step after sent -> unknown: from where to where, and since when; and where the attempt is said to stand then.
BROKEN: dict[str, tuple[str, str, timedelta, str]] = {
    "it begins elsewhere": ("queried", "unknown", LATER, "unknown"),
    "it begins at another time": ("unknown", "queried", 2 * LATER, "queried"),
    "the attempt ends elsewhere": ("unknown", "queried", LATER, "unknown"),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_the_second_of_two_steps_begins_where_the_first_ended(
    database: Database, tmp_path: Path, broken: str
) -> None:
    """By the door itself: the switch makes no such steps."""
    async with at_the_desk(database, tmp_path) as desk:
        client = await desk.client(1_000)
        assert await desk.dies_at("after:park", client)
        (row,) = await desk.attempts(client)
        there = row.moved_at + LATER

        async def record(before: str, after: str, since: timedelta, state: str) -> None:
            attempt = row._replace(state=state, moved_at=there, wake_at=there)
            first = MoveRow(
                row.account_id, row.message_key, there, "sent", "unknown", "waiting", "no_answer", "", row.moved_at, 1
            )
            second = first._replace(before=before, after=after, cause="due", since=row.moved_at + since)
            connection = await database.connect("switch_daemon")
            try:
                await connection.execute("SET search_path = switch")
                await connection.execute("SELECT record_funding($1, $2)", [attempt], [first, second])
            finally:
                await connection.close()

        with pytest.raises(asyncpg.PostgresError, match="not allowed") as caught:
            await on_asyncio(record, *BROKEN[broken])
        assert caught.value.sqlstate == "SW001"
        assert await desk.path(client) == ["requested", "sent"]
        await on_asyncio(record, "unknown", "queried", LATER, "queried")
        assert await desk.path(client) == ["requested", "sent", "unknown", "queried"]
        await desk.go_on(client)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE funding_step SET note = 'fine'",
        "DELETE FROM funding_step",
        "TRUNCATE funding_step",
        "DELETE FROM funding_attempt",
        "TRUNCATE funding_attempt",
    ],
)
async def test_not_even_the_owner_changes_what_has_happened(database: Database, tmp_path: Path, statement: str) -> None:
    async with at_the_desk(database, tmp_path) as desk:
        await booked(desk)

        async def execute() -> None:
            connection = await desk.counter.connection()
            await connection.execute("SET ROLE switch_owner")
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await connection.execute(statement)

        await on_asyncio(execute)


async def test_nobody_takes_over_what_a_living_daemon_drives(database: Database, tmp_path: Path) -> None:
    """Only when its word is out, or when it hands its attempts over."""
    async with at_the_desk(database, tmp_path) as desk:
        client = await desk.client(1_000)
        units = [FundingUnit(database.settings(), desk.programs, CODES, desk.counter.clock) for _ in range(2)]
        first, second = units
        root = await on_asyncio(desk.counter.root)
        await on_asyncio(first.keep_driving, "one", 60.0, 10)
        await on_asyncio(second.keep_driving, "two", 60.0, 10)
        await on_asyncio(
            root.execute,
            "INSERT INTO funding_attempt SELECT $1, '\\x00', 'k', 1, 'acme', 'tok-1', 5, 'JPY', now(), 'requested',"
            " 'waiting', 0, 0, now(), '', 0, '', 'parked', now(), now(), 'one'",
            client.account_id,
        )
        assert await on_asyncio(second.keep_driving, "two", 60.0, 10) == []
        assert len(await on_asyncio(first.keep_driving, "one", 60.0, 10)) == 1
        await on_asyncio(first.keep_driving, "one", 0.0, 0)
        assert [row.owner for row in await on_asyncio(second.keep_driving, "two", 60.0, 10)] == ["two"]
        await on_asyncio(root.execute, "UPDATE funding_attempt SET wake_at = NULL WHERE key = 'k'")
        for unit in units:
            await on_asyncio(unit.close)


async def test_of_two_that_take_the_same_step_one_takes_it(database: Database, tmp_path: Path) -> None:
    busy = Fault(kind=FaultKind.BUSY, call="charge", count=1)
    async with at_the_desk(database, tmp_path, busy) as desk:
        client = await desk.client(1_000)
        assert await desk.dies_at("after:requested", client)
        (row,) = await desk.attempts(client)
        desk.counter.now = datetime.now(UTC) + timedelta(seconds=1)  # it is due
        units = [FundingUnit(database.settings(), desk.programs, CODES, desk.counter.clock) for _ in range(6)]

        async def all_at_once() -> None:
            await asyncio.gather(
                *(unit.move(row.account_id, row.message_key, Advance(Tick(), PACE, "")) for unit in units)
            )
            for unit in units:
                await unit.close()

        await on_asyncio(all_at_once)
        assert await desk.path(client) == ["requested", "sent", "requested", "sent"]
        desk.counter.now = None
        async with desk.daemon():
            await desk.ended(client)


async def test_daemons_share_a_cap(database: Database, tmp_path: Path) -> None:
    programs = {"plain": a_program(top_up=TopUpPolicy(currency="JPY", daily_count_max=1))}
    async with at_the_desk(database, tmp_path, programs=programs) as desk, desk.daemon() as one, desk.daemon() as two:
        client = await desk.client(1_000)
        arrivals = [await daemon.say(daemon.purchase(client)) for daemon in (one, two) * 4]
        for arrival in arrivals:
            await one.settled(arrival)
        assert sorted(str(answer.reason) for answer in desk.line.sent) == ["approved"] + ["insufficient_funds"] * 7
        assert len(await desk.ended(client)) == 1
        await desk.check(client)


async def test_a_purchase_that_waits_over_midnight_belongs_to_the_day_on_which_it_is_booked(
    database: Database, tmp_path: Path
) -> None:
    slow = Fault(kind=FaultKind.SLOW, call="charge", seconds=0.8)
    async with at_the_desk(database, tmp_path, slow) as desk, desk.daemon() as daemon:
        desk.counter.now = at("2025-03-31 23:59:59")
        client = await desk.client(1_000)
        await daemon.say(daemon.purchase(client))
        await desk.until(client, "sent")
        desk.counter.now = at("2025-04-01 00:00:01")
        (attempt,) = await desk.ended(client)
        assert attempt.state == "booked"

        async def told() -> list[tuple[int, int, bool]]:
            reports = [await closed(desk.counter, DAY), await closed(desk.counter, DAY + timedelta(days=1))]
            return [
                (
                    sum(one.told_minor for one in report.messages),
                    sum(one.booked_minor for one in report.messages),
                    report.agrees,
                )
                for report in reports
            ]

        assert await on_asyncio(told) == [(0, 0, True), (1_500, 1_500, True)]
