"""Withdrawing an approval that nobody heard, and several units of work on the same accounts at once."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest

from switch.contracts.message import Kind, Operation
from switch.contracts.reason import Reason
from tests.issuer.support import a_program
from tests.journal.counter import Counter, on, reasons
from tests.journal.server import Database


@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION, Kind.FINANCIAL])
def test_a_withdrawn_approval_gives_money_and_limits_back(database: Database, kind: Kind) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        item = counter.item(client, counter.request(client, kind, 3_000))
        unit = counter.unit()
        await unit.run([item])

        (decision,) = await unit.run([msgspec.structs.replace(item, withdraw=True)])

        assert decision.reason is Reason.DEADLINE_MISSED
        assert await counter.balance(client) == (10_000, 0)
        (usage,) = await counter.table("limit_usage", client)
        assert (usage["day_minor"], usage["lifetime_count"]) == (0, 0)
        (hold,) = await counter.table("hold", client)
        assert hold["state"] == "withdrawn"
        causes = [row["cause"] for row in await counter.table("journal_entry", client)]
        assert sorted(causes) == ["load", "message", "withdrawal"]
        (repeat,) = await unit.run(
            [msgspec.structs.replace(item, request=msgspec.structs.replace(item.request, repeat=True))]
        )
        assert repeat.answer == decision.answer
        assert await counter.faults(client) == []

    on(database, scenario)


def test_an_approval_that_a_repeat_has_heard_is_not_withdrawn(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        item = counter.item(client, counter.request(client, Kind.AUTHORIZATION, 3_000))
        unit = counter.unit()
        (first,) = await unit.run([item])
        await unit.run([item])
        (row,) = await counter.table("message_key", client)
        assert row["repeats_answered"] == 1

        (decision,) = await unit.run([msgspec.structs.replace(item, withdraw=True)])

        assert decision.answer == first.answer
        assert await counter.balance(client) == (10_000, 3_000)

    on(database, scenario)


def test_a_repeat_and_a_withdrawal_at_once_agree(database: Database) -> None:
    """Whoever gets the lock first decides; the network hears the approval exactly when the money stays on hold."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(100_000)
        units = counter.unit(), counter.unit()
        for _ in range(10):
            item = counter.item(client, counter.request(client, Kind.AUTHORIZATION, 1_000))
            await units[0].run([item])
            held = (await counter.account(client)).held
            (repeat,), (late,) = await asyncio.gather(
                units[0].run([item]), units[1].run([msgspec.structs.replace(item, withdraw=True)])
            )
            stays = (await counter.account(client)).held == held
            assert stays == repeat.reason.approves == late.reason.approves

    on(database, scenario)


def test_a_withdrawal_of_what_never_became_durable_changes_nothing(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        before = await counter.snapshot(client)
        item = counter.item(client, counter.request(client), withdraw=True)
        assert reasons(await counter.unit().run([item])) == ["deadline_missed"]
        assert await counter.snapshot(client) == before

    on(database, scenario)


# ── several units at once


def test_units_that_meet_on_accounts_in_opposite_orders_do_not_deadlock(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        clients = [await counter.client(100_000) for _ in range(6)]
        strangers = [await counter.client(0) for _ in range(3)]
        dice = random.Random(8583)
        spent = {client.account_id: 0 for client in clients}

        async def session(number: int) -> None:
            unit = counter.unit()
            for _ in range(8):
                order = dice.sample(clients, k=5)
                if number % 2:
                    order.reverse()
                items = [
                    counter.item(client, counter.request(client, Kind.FINANCIAL, dice.randrange(1, 50)))
                    for client in order
                ]
                # Unknown cards have no account to lock; their rows must not make units wait in a circle either.
                shared = [
                    msgspec.structs.replace(
                        counter.item(each, counter.request(each, stan=f"9{n:05d}", retrieval_reference="")),
                        pan_lookup=bytes([n]) * 32,
                    )
                    for n, each in enumerate(dice.sample(strangers, k=3))
                ]
                decisions = await unit.run(items + shared)
                for client, decision in zip(order, decisions, strict=False):
                    assert decision.reason is Reason.APPROVED
                    spent[client.account_id] += decision.moved_minor

        await asyncio.gather(*(session(number) for number in range(4)))

        for client in clients:
            assert await counter.balance(client) == (100_000 - spent[client.account_id], 0)
        assert await counter.faults(*clients) == []

    on(database, scenario)


def test_exactly_as_many_approvals_as_the_limit_allows(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000_000)
        program = a_program(limits={"daily": {"count": 7}})
        units = [counter.unit(programs={"plain": program}) for _ in range(4)]
        batches = [
            [counter.item(client, counter.request(client, Kind.AUTHORIZATION, 10)) for _ in range(4)] for _ in units
        ]
        answers = await asyncio.gather(*(unit.run(batch) for unit, batch in zip(units, batches, strict=True)))
        approved = [decision for batch in answers for decision in batch if decision.reason is Reason.APPROVED]
        assert len(approved) == 7
        assert len(await counter.journal(client)) == 7
        assert await counter.balance(client) == (1_000_000, 70)

    on(database, scenario)


def test_the_same_message_on_two_sessions_is_booked_once(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        units = [counter.unit() for _ in range(3)]
        item = counter.item(client, counter.request(client, Kind.FINANCIAL, 400, operation=Operation.REFUND))
        answers = await asyncio.gather(*(unit.run([item]) for unit in units))
        assert len({repr(decision.answer) for (decision,) in answers}) == 1
        assert await counter.journal(client) == [("refund", 400)]
        (row,) = await counter.table("message_key", client)
        assert row["repeats_answered"] == 2

    on(database, scenario)
