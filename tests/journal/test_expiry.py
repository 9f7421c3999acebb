"""Holds expire: before a request is decided, and by the sweep. The clock is the test's."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.errors import CommitUnknown
from switch.contracts.message import Kind, Request
from switch.journal import issuing
from switch.journal.hold_expiry import due_holds
from switch.journal.unit import UnitOfWork
from tests.issuer.support import a_program
from tests.journal.counter import Client, Counter, on, reasons
from tests.journal.proxy import Plan, proxy
from tests.journal.server import Database

START = datetime(2026, 6, 15, 3, 0, tzinfo=UTC)  # noon in Tokyo
WEEK = timedelta(days=7)
TICK = timedelta(microseconds=1)


@pytest.fixture
def fresh(database: Database) -> Database:
    """Where nobody else's holds are due: what other tests have left is not looked for."""

    async def forget(counter: Counter) -> None:
        await (await counter.root()).execute("UPDATE account SET expiry_due = NULL WHERE expiry_due IS NOT NULL")

    on(database, forget)
    return database


async def authorized(counter: Counter, client: Client, amount: int = 8_000, **changes: object) -> Request:
    """A hold of ``amount``."""
    request = counter.request(client, Kind.AUTHORIZATION, amount, **changes)
    (decision,) = await counter.unit().run([counter.item(client, request)])
    assert decision.reason.approves
    return request


async def held(counter: Counter, amount: int = 8_000) -> tuple[Client, Request]:
    """A client with a hold out of 10,000, placed at START; it is the moment in which the hold is due."""
    counter.now = START
    client = await counter.client(10_000)
    request = await authorized(counter, client, amount)
    counter.now = START + WEEK
    return client, request


def presentment(
    counter: Counter, client: Client, authorization: Request, amount: int, record: int = 1, *, final: bool = True
) -> Request:
    """A clearing record of the purchase."""
    clearing = Clearing(
        kind=ClearingKind.PRESENTMENT, file_id=f"F{client.account_id}", record=record, final=final, sequence=record
    )
    reference = authorization.retrieval_reference
    return counter.request(client, Kind.PRESENTMENT, amount, stan="", retrieval_reference=reference, clearing=clearing)


async def swept(unit: UnitOfWork) -> int:
    """Everything that is due now, in one unit. How many holds it were."""
    done = await unit.expire(1_000)
    assert done.refused == {}
    return done.holds


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


# ── several at once


async def placed(counter: Counter, accounts: int) -> list[Client]:
    """Clients with two holds each, all of them due now."""
    counter.now = START
    clients = [await counter.client(10_000) for _ in range(accounts)]
    items = [
        counter.item(client, counter.request(client, Kind.AUTHORIZATION, amount))
        for client in clients
        for amount in (1_000, 200)
    ]
    assert {str(decision.reason) for decision in await counter.unit().run(items)} == {"approved"}
    counter.now = START + WEEK
    return clients


def test_two_sweeps_at_once_share_the_work(fresh: Database) -> None:
    async def scenario(counter: Counter) -> None:
        clients = await placed(counter, 200)
        units = [counter.unit() for _ in range(2)]

        async def sweep(unit: UnitOfWork) -> int:
            holds = 0
            while (done := await unit.expire(7)).accounts:
                assert done.refused == {}
                holds += done.holds
            return holds

        by_each = await asyncio.gather(*map(sweep, units))
        # One may have ended while the other held the last few.
        assert sum(by_each) == 400 and all(by_each), by_each
        assert [unit.holds_expired for unit in units] == by_each
        for client in clients:
            assert Tally(await counter.journal(client)) == Tally(
                [("hold", 1_000), ("hold", 200), ("expiry", 1_000), ("expiry", 200)]
            )
            assert await counter.balance(client) == (10_000, 0)
        assert await counter.faults(*clients) == []

    on(fresh, scenario)


def test_what_another_has_locked_is_left_to_it(fresh: Database) -> None:
    async def scenario(counter: Counter) -> None:
        one, _ = await held(counter)
        two, _ = await held(counter)
        other = await counter.connection()
        async with other.transaction():
            await other.execute("SELECT 1 FROM account WHERE account_id = $1 FOR UPDATE", one.account_id)
            assert await swept(counter.unit()) == 1
        assert await counter.balance(one) == (10_000, 8_000)
        assert await counter.balance(two) == (10_000, 0)

    on(fresh, scenario)


def test_sweeps_and_requests_at_once_agree(fresh: Database) -> None:
    """Whoever comes first expires; the money is spent once."""

    async def scenario(counter: Counter) -> None:
        clients = [(await held(counter))[0] for _ in range(20)]
        sweeps, requests = counter.unit(), counter.unit()

        async def sweep() -> None:
            for _ in range(10):
                await sweeps.expire(3)

        async def spend() -> list[str]:
            said: list[str] = []
            for client in clients:
                item = counter.item(client, counter.request(client, Kind.AUTHORIZATION, 5_000))
                said += reasons(await requests.run([item]))
            return said

        _, said = await asyncio.gather(sweep(), spend())
        assert said == ["approved"] * 20
        for client in clients:
            assert await counter.journal(client) == [("hold", 8_000), ("expiry", 8_000), ("hold", 5_000)]
        assert await counter.faults(*clients) == []

    on(fresh, scenario)


# ── what breaks


@pytest.mark.parametrize("plan", [Plan.DROP_BEFORE, Plan.DROP_AFTER, Plan.HANG_AFTER])
def test_a_sweep_whose_commit_is_in_doubt_is_just_run_again(fresh: Database, plan: Plan) -> None:
    async def scenario(counter: Counter) -> None:
        client, _ = await held(counter)
        async with proxy(fresh.dsn()) as middle:
            unit = counter.unit(dsn=middle.dsn, seconds=0.5 if plan is Plan.HANG_AFTER else 10)
            middle.plan = plan
            with pytest.raises(CommitUnknown):
                await unit.expire(10)
            assert await swept(unit) == (1 if plan is Plan.DROP_BEFORE else 0)
            await unit.close()
        assert await counter.journal(client) == [("hold", 8_000), ("expiry", 8_000)]
        assert await counter.faults(client) == []

    on(fresh, scenario)


def test_a_sweep_that_is_cancelled_leaves_nothing_locked(fresh: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client, _ = await held(counter)
        unit = counter.unit()
        other = await counter.connection()
        async with other.transaction():
            await other.execute("LOCK TABLE hold IN EXCLUSIVE MODE")
            running = asyncio.ensure_future(unit.expire(10))
            await counter.until_one_waits()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert await counter.journal(client) == [("hold", 8_000)]
        assert await swept(unit) == 1

    on(fresh, scenario)


async def cooked(counter: Counter, client: Client) -> None:
    """Somebody has changed the balance past the journal."""
    await (await counter.root()).execute(
        "UPDATE account SET held = 0, posted = posted - 8000 WHERE account_id = $1", client.account_id
    )


async def unchained(counter: Counter, client: Client) -> None:
    """Somebody has changed the head of the chain: the next entry would continue something else, and is refused."""
    await (await counter.root()).execute(
        "CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$"
        f" BEGIN IF NEW.account_id = {client.account_id} THEN RAISE EXCEPTION 'refused for a test'; END IF;"
        " RETURN NEW; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON journal_entry FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()"
    )


@pytest.mark.parametrize("spoil", [cooked, unchained])
def test_an_account_that_is_refused_keeps_no_other_from_its_money(
    fresh: Database, spoil: Callable[[Counter, Client], Awaitable[None]]
) -> None:
    async def scenario(counter: Counter) -> None:
        bad, *good = [(await held(counter))[0] for _ in range(5)]
        await spoil(counter, bad)
        before = await counter.snapshot(bad)
        unit = counter.unit()

        first = await unit.expire(3)
        second = await unit.expire(3, first.refused)

        assert list(first.refused) == [bad.account_id]
        assert (first.accounts, first.holds) == (3, 2)
        assert (second.accounts, second.holds, second.refused) == (2, 2, {})
        assert await counter.snapshot(bad) == before
        for client in good:
            assert await counter.balance(client) == (10_000, 0)
        assert await counter.faults(*good) == []
        assert await unit.first_due() == START + WEEK, "it is overdue still, and the metric says so"

    on(fresh, scenario)


# ── what is shown


def test_what_is_due_is_summed_by_currency(fresh: Database) -> None:
    async def scenario(counter: Counter) -> None:
        clients = await placed(counter, 2)
        root = await counter.root()
        assert await due_holds(root, START + WEEK - TICK) == []
        (due,) = await due_holds(root, START + WEEK)
        assert (due.currency, due.accounts, due.holds, due.amount, due.oldest) == ("JPY", 2, 4, 2_400, START + WEEK)
        counter.now = START + WEEK
        await authorized(counter, clients[0], 50)
        (due,) = await due_holds(await counter.connection("switch_issuing"), START + WEEK)
        assert (due.accounts, due.holds, due.amount) == (1, 2, 1_200)

    on(fresh, scenario)


def test_verify_finds_a_hold_that_would_never_expire(fresh: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client, _ = await held(counter)
        root = await counter.root()
        for wrong in ("NULL", "expiry_due + interval '1 second'"):
            await root.execute(f"UPDATE account SET expiry_due = {wrong} WHERE account_id = $1", client.account_id)
            (fault,) = await counter.faults(client)
            assert "a hold is due at 2026-06-22 03:00:00+00:00" in fault.what
            await root.execute(
                "UPDATE account SET expiry_due = $2 WHERE account_id = $1", client.account_id, START + WEEK
            )
        assert await counter.faults(client) == []

    on(fresh, scenario)
