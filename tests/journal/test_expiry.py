"""Holds expire: before a request is decided, and by the sweep. The clock is the test's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.errors import CommitUnknown
from switch.contracts.message import Kind, Request
from switch.journal import issuing
from tests.issuer.support import a_program
from tests.journal.counter import Client, Counter, on, reasons
from tests.journal.due import START, TICK, WEEK, authorized, held, swept
from tests.journal.proxy import Plan, proxy
from tests.journal.server import Database


def presentment(
    counter: Counter, client: Client, authorization: Request, amount: int, record: int = 1, *, final: bool = True
) -> Request:
    """A clearing record of the purchase."""
    clearing = Clearing(
        kind=ClearingKind.PRESENTMENT, file_id=f"F{client.account_id}", record=record, final=final, sequence=record
    )
    reference = authorization.retrieval_reference
    return counter.request(client, Kind.PRESENTMENT, amount, stan="", retrieval_reference=reference, clearing=clearing)


async def due_at(counter: Counter, client: Client) -> datetime | None:
    """When the account looks for a hold that is due."""
    root = await counter.root()
    due: datetime | None = await root.fetchval(
        "SELECT expiry_due FROM account WHERE account_id = $1", client.account_id
    )
    return due


async def states(counter: Counter, client: Client) -> list[str]:
    return [row["state"] for row in await counter.table("hold", client)]


# ── before a request is decided


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION, Kind.FINANCIAL])
def test_a_request_finds_the_money_of_a_hold_that_is_due(database: Database, locked: bool, kind: Kind) -> None:
    async def scenario(counter: Counter) -> None:
        client, _ = await held(counter)
        unit = counter.unit()
        if locked:
            await counter.overtake(unit)
        early, due = (counter.item(client, counter.request(client, kind, 5_000)) for _ in range(2))

        counter.now = START + WEEK - TICK
        assert reasons(await unit.run([early])) == ["insufficient_funds"]
        assert await counter.journal(client) == [("hold", 8_000)]
        counter.now = START + WEEK
        assert reasons(await unit.run([due])) == ["approved"]

        took = "hold" if kind is Kind.AUTHORIZATION else "posting"
        assert await counter.journal(client) == [("hold", 8_000), ("expiry", 8_000), (took, 5_000)]
        assert await states(counter, client) == ["expired", "open" if kind is Kind.AUTHORIZATION else "posted"]
        (usage,) = await counter.table("limit_usage", client)
        assert (usage["lifetime_minor"], usage["lifetime_count"]) == (5_000, 1)
        assert await due_at(counter, client) == (START + 2 * WEEK if kind is Kind.AUTHORIZATION else None)
        assert unit.holds_expired == 1
        entries = await (await counter.root()).fetch(
            "SELECT cause, cause_key, transmitted_at, booked_at FROM journal_entry"
            " WHERE account_id = $1 AND kind = 'expiry'",
            client.account_id,
        )
        (hold,) = [row for row in await counter.table("hold", client) if row["state"] == "expired"]
        assert [tuple(entry) for entry in entries] == [
            ("expiry", bytes.fromhex(hold["begun_by"][2:]), START + WEEK, START + WEEK)
        ]
        assert await counter.faults(client) == []

    on(database, scenario)


def test_several_requests_of_a_batch_expire_once(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client, _ = await held(counter)
        items = [counter.item(client, counter.request(client, Kind.AUTHORIZATION, 4_000)) for _ in range(2)]
        assert reasons(await counter.unit().run([*items, items[0]])) == ["approved"] * 3
        assert await counter.journal(client) == [("hold", 8_000), ("expiry", 8_000), ("hold", 4_000), ("hold", 4_000)]
        assert await counter.faults(client) == []

    on(database, scenario)


def test_another_number_of_the_card_finds_it_too(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client, _ = await held(counter)
        credential = await counter.credential(client)
        item = counter.item(credential, counter.request(credential, Kind.AUTHORIZATION, 5_000))
        assert reasons(await counter.unit().run([item])) == ["approved"]
        assert await counter.faults(client) == []

    on(database, scenario)


def test_a_unit_that_expires_and_is_overtaken_is_decided_again(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client, _ = await held(counter)
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


@pytest.mark.parametrize("plan", [Plan.DROP_BEFORE, Plan.DROP_AFTER])
def test_a_request_whose_commit_is_in_doubt_expires_once(database: Database, plan: Plan) -> None:
    async def scenario(counter: Counter) -> None:
        client, _ = await held(counter)
        item = counter.item(client, counter.request(client, Kind.AUTHORIZATION, 5_000))
        async with proxy(database.dsn()) as middle:
            unit = counter.unit(dsn=middle.dsn)
            middle.plan = plan
            with pytest.raises(CommitUnknown):
                await unit.run([item])
            assert reasons(await unit.run([item])) == ["approved"]
            await unit.close()
        assert await counter.journal(client) == [("hold", 8_000), ("expiry", 8_000), ("hold", 5_000)]
        assert await counter.faults(client) == []

    on(database, scenario)


# ── the sweep


def test_the_sweep_expires_what_is_due_and_nothing_else(fresh: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client, _ = await held(counter, 3_000)
        counter.now = START + timedelta(days=1)
        await authorized(counter, client, 500)
        unit = counter.unit()

        counter.now = START + WEEK - TICK
        assert await swept(unit) == 0
        assert await unit.first_due() == START + WEEK
        counter.now = START + WEEK
        assert await swept(unit) == 1

        assert await counter.balance(client) == (10_000, 500)
        assert await states(counter, client) == ["expired", "open"]
        assert await due_at(counter, client) == await unit.first_due() == START + WEEK + timedelta(days=1)
        assert await swept(unit) == 0
        rows = await (await counter.root()).fetch(
            "SELECT kind, facts FROM notification WHERE account_id = $1", client.account_id
        )
        assert [(row["kind"], row["facts"]) for row in rows] == [("hold_expired", '{"amount":3000,"hold":2}')]
        assert await counter.faults(client) == []
        counter.now += timedelta(days=1)
        assert await swept(unit) == 1
        assert await unit.first_due() is None

    on(fresh, scenario)


def test_a_deadline_that_is_nobodys_any_more_is_put_right(fresh: Database) -> None:
    """The hold it was set for has ended before; the next is due later, or there is none."""

    async def scenario(counter: Counter) -> None:
        (one, first), (two, second) = [await held(counter, 3_000) for _ in range(2)]
        counter.now = START + timedelta(days=3)
        await authorized(counter, one, 500)
        unit = counter.unit()
        for client, request in ((one, first), (two, second)):
            await unit.run([counter.item(client, counter.undo(client, request))])
            assert await due_at(counter, client) == START + WEEK

        counter.now = START + WEEK
        done = await unit.expire(10)

        assert (done.accounts, done.holds) == (2, 0)
        assert await due_at(counter, one) == START + timedelta(days=10)
        assert await due_at(counter, two) is None
        assert await counter.faults(one, two) == []

    on(fresh, scenario)


def test_a_request_puts_it_right_too(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client, first = await held(counter, 3_000)
        unit = counter.unit()
        counter.now = START + timedelta(days=3)
        await unit.run([counter.item(client, counter.undo(client, first))])
        counter.now = START + WEEK
        await authorized(counter, client, 500)
        assert await due_at(counter, client) == START + 2 * WEEK
        assert await counter.journal(client) == [("hold", 3_000), ("release", 3_000), ("hold", 500)]
        assert await counter.faults(client) == []

    on(database, scenario)


def test_an_increment_moves_the_deadline(fresh: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client, first = await held(counter, 3_000)
        unit = counter.unit()
        counter.now = START + timedelta(days=5)
        more = counter.request(
            client, Kind.AUTHORIZATION, 500, incremental=True, retrieval_reference=first.retrieval_reference
        )
        await unit.run([counter.item(client, more)])

        counter.now = START + WEEK
        assert await swept(unit) == 0
        assert await due_at(counter, client) == START + timedelta(days=12)
        counter.now = START + timedelta(days=12)
        assert await swept(unit) == 1
        assert await counter.journal(client) == [("hold", 3_000), ("hold_increase", 500), ("expiry", 3_500)]
        assert await counter.faults(client) == []

    on(fresh, scenario)


def test_a_bonus_goes_back_to_its_pocket(fresh: Database) -> None:
    async def scenario(counter: Counter) -> None:
        counter.now = START
        client = await counter.client(1_000)
        await issuing.load_account(await counter.staff(), client.lookup, 600, "gift", START, bonus=True)
        await authorized(counter, client, 1_500)
        (account,) = await counter.table("account", client)
        assert (account["bonus_posted"], account["bonus_held"], account["held"]) == (600, 600, 1_500)

        counter.now = START + WEEK
        assert await swept(counter.unit()) == 1

        (account,) = await counter.table("account", client)
        assert (account["bonus_posted"], account["bonus_held"], account["held"]) == (600, 0, 0)
        assert sorted((await counter.journal(client))[-2:]) == [("expiry", 600), ("expiry", 900)]
        assert await counter.faults(client) == []

    on(fresh, scenario)


def test_limits_come_back_in_the_zone_of_the_cards_program(fresh: Database) -> None:
    """Two cards whose programs live in other zones: the 1st of July begins at another moment for each."""

    async def scenario(counter: Counter) -> None:
        programs = {
            name: a_program(name=name, time_zone=zone, hold_expiry={"default_days": 1, "rule": []})
            for name, zone in (("plain", "UTC"), ("tokyo", "Asia/Tokyo"))
        }
        unit = counter.unit(programs=programs)
        counter.now = datetime(2026, 6, 30, 15, 0, tzinfo=UTC)  # July in Tokyo alone
        clients = [await counter.client(10_000, program=name) for name in programs]
        await unit.run([counter.item(client, counter.request(client, Kind.AUTHORIZATION, 3_000)) for client in clients])
        counter.now += timedelta(days=1) - TICK
        await unit.run([counter.item(client, counter.request(client, Kind.FINANCIAL, 700)) for client in clients])
        counter.now += TICK
        assert await swept(unit) == 2

        usages = [(await counter.table("limit_usage", client))[0] for client in clients]
        # By UTC the hold was June's, so the 700 of July stand alone already; in Tokyo 3,000 of July have come back.
        assert [(usage["month_minor"], usage["month_count"], usage["lifetime_minor"]) for usage in usages] == [
            (700, 1, 700),
            (700, 1, 700),
        ]
        assert [usage["day"] for usage in usages] == ["2026-07-01", "2026-07-02"]
        assert await counter.faults(*clients) == []

    on(fresh, scenario)


# ── what was presented before, and after


def test_a_presentment_after_the_expiry_is_charged(fresh: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client, first = await held(counter, 3_000)
        unit = counter.unit()
        assert await swept(unit) == 1
        counter.now = START + timedelta(days=12)

        await unit.run([counter.item(client, presentment(counter, client, first, 2_500))])

        assert await counter.balance(client) == (7_500, 0)
        (hold,) = await counter.table("hold", client)
        assert (hold["state"], hold["posted"], hold["presented"]) == ("posted", 2_500, 2_500)
        (record,) = await counter.table("clearing_item", client)
        assert (record["state"], record["hold_id"]) == ("matched", hold["hold_id"])
        (usage,) = await counter.table("limit_usage", client)
        assert (usage["lifetime_minor"], usage["lifetime_count"]) == (2_500, 1)
        assert await counter.table("exception_item", client) == []
        assert await swept(unit) == 0
        assert await counter.faults(client) == []

    on(fresh, scenario)


def test_what_is_left_of_a_presented_hold_expires(fresh: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client, first = await held(counter, 3_000)
        unit = counter.unit()
        counter.now = START + timedelta(days=2)
        await unit.run([counter.item(client, presentment(counter, client, first, 1_000, final=False))])
        assert await counter.balance(client) == (9_000, 2_000)

        counter.now = START + WEEK
        assert await swept(unit) == 1
        assert await states(counter, client) == ["posted"]
        assert await counter.balance(client) == (9_000, 0)
        await unit.run([counter.item(client, presentment(counter, client, first, 2_000, 2))])

        assert await counter.balance(client) == (7_000, 0)
        assert await counter.journal(client) == [
            ("hold", 3_000),
            ("posting", 1_000),
            ("expiry", 2_000),
            ("posting", 2_000),
        ]
        assert await states(counter, client) == ["posted"]
        assert await counter.faults(client) == []

    on(fresh, scenario)


def test_a_presentment_of_a_hold_that_is_due_settles_it(fresh: Database) -> None:
    """It came late but before the sweep: what is held pays."""

    async def scenario(counter: Counter) -> None:
        client, first = await held(counter, 3_000)
        unit = counter.unit()
        await unit.run([counter.item(client, presentment(counter, client, first, 3_000))])
        assert await swept(unit) == 0
        assert await counter.journal(client) == [("hold", 3_000), ("posting", 3_000)]
        assert await due_at(counter, client) is None
        assert await counter.faults(client) == []

    on(fresh, scenario)
