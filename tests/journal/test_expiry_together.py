"""Sweeps beside sweeps and requests, sweeps that break off, accounts that are refused, and what is shown of it all."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Awaitable, Callable

import pytest

from switch.contracts.errors import CommitUnknown
from switch.contracts.message import Kind
from switch.journal.hold_expiry import due_holds
from switch.journal.unit import UnitOfWork
from tests.journal.counter import Client, Counter, on, reasons
from tests.journal.due import START, TICK, WEEK, authorized, held, swept
from tests.journal.proxy import Plan, proxy
from tests.journal.server import Database

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
