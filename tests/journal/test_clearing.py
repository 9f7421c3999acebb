"""Clearing records through the real unit of work: batches in any order, restarts, doubt, several importers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from switch.contracts.clearing import ClearingKind
from switch.contracts.errors import CommitUnknown
from switch.contracts.message import Kind, Operation, Request, StandIn
from switch.issuer.books import doubted
from switch.journal import issuing
from tests.journal.counter import Client, Counter, on, reasons
from tests.journal.proxy import Plan, proxy
from tests.journal.records import a_record, an_arn, items, presenting
from tests.journal.server import Database


def test_a_presentment_settles_its_authorization(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        bought = counter.request(client, Kind.AUTHORIZATION, 3_000)
        unit = counter.unit()
        await unit.run([counter.item(client, bought)])
        record = presenting(counter, client, bought, 2_500)
        assert reasons(await unit.run([counter.item(client, record)])) == ["advice_accepted"]

        assert await counter.journal(client) == [("hold", 3_000), ("posting", 2_500), ("release", 500)]
        assert await counter.balance(client) == (7_500, 0)
        assert await items(counter, client) == [("matched", "retrieval_reference", 2_500)]
        assert await counter.faults(client) == []

    on(database, scenario)


# ── several importers


def test_two_importers_of_one_record_book_it_once(database: Database) -> None:
    """The slower one is refused, decides again under locks, and finds the record booked."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        bought = counter.request(client, Kind.AUTHORIZATION, 3_000)
        one, other = counter.unit(), counter.unit()
        await one.run([counter.item(client, bought)])
        item = counter.item(client, presenting(counter, client, bought))
        lock = await counter.connection()
        async with lock.transaction():
            await lock.execute("SELECT 1 FROM account WHERE account_id = $1 FOR UPDATE", client.account_id)
            both = [asyncio.ensure_future(unit.run([item])) for unit in (one, other)]
            await counter.until_one_waits()
        ((first,), (second,)) = await asyncio.gather(*both)

        assert [first.repeat_of is None, second.repeat_of is None].count(True) == 1
        assert await counter.journal(client) == [("hold", 3_000), ("posting", 3_000)]
        assert await items(counter, client) == [("matched", "retrieval_reference", 3_000)]

    on(database, scenario)


def test_a_record_whose_account_changes_meanwhile_is_decided_again(database: Database) -> None:
    """Its unit takes several statements, so the transaction that was refused must end before the next begins."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        unit = counter.unit()
        item = counter.item(client, a_record(counter, client))
        lock = await counter.connection()
        async with lock.transaction():
            await lock.execute("UPDATE account SET seq = seq WHERE account_id = $1", client.account_id)
            running = asyncio.ensure_future(unit.run([item]))
            await counter.until_one_waits()
        assert reasons(await running) == ["advice_accepted"]

        assert unit.overtaken == 1
        assert await counter.journal(client) == [("posting", 3_000)]

    on(database, scenario)


# ── several records in one batch


async def both_ways(
    counter: Counter, story: Callable[[Client], list[Request]], *, balance: int = 50_000
) -> tuple[Client, Client]:
    """Runs a story in one batch on one card, and message by message on another; every table must say the same.

    What only names the account, or comes of its ids, is left out.
    """
    counter.now = counter.clock()
    together, singly = await counter.client(balance), await counter.client(balance)
    await counter.unit().run([counter.item(together, request) for request in story(together)])
    for request in story(singly):
        await counter.unit().run([counter.item(singly, request)])
    for name in ("account", "hold", "limit_usage", "journal_entry", "message_key", "clearing_item", "clearing_step"):
        assert await comparable(counter, name, together) == await comparable(counter, name, singly), name
    assert await counter.faults(together, singly) == []
    return together, singly


async def comparable(counter: Counter, name: str, client: Client) -> list[dict[str, Any]]:
    own = {"account_id", "card_id", "key", "cause_key", "prev_hash", "hash", "head_hash", "answer", "trace"}
    own |= {"begun_by", "approval_code", "record", "acquirer_reference", "at", "booked_at", "retrieval_reference"}
    own |= {"stan", "fingerprint", "request", "original_stan", "usage_card_id"}
    rows = await counter.table(name, client)
    kept = [{column: value for column, value in row.items() if column not in own} for row in rows]
    return sorted(kept, key=lambda row: msgspec.json.encode(row, order="sorted"))


def test_a_purchase_s_whole_life_in_one_batch(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        def story(client: Client) -> list[Request]:
            bought = counter.request(client, Kind.AUTHORIZATION, 10_000)
            reference, arn = {"retrieval_reference": bought.retrieval_reference}, [an_arn() for _ in range(4)]
            first = presenting(counter, client, bought, 4_000, acquirer_reference=arn[0], final=False)
            second = presenting(counter, client, bought, 6_500, acquirer_reference=arn[1])
            return [
                bought,
                first,
                first,  # the same record once more
                second,
                a_record(counter, client, 4_000, kind=ClearingKind.PRESENTMENT_REVERSAL, acquirer_reference=arn[0]),
                a_record(counter, client, 4_000, kind=ClearingKind.PRESENTMENT_REVERSAL, acquirer_reference=arn[0]),
                a_record(counter, client, 1_000, operation=Operation.REFUND, acquirer_reference=arn[2], **reference),
                a_record(counter, client, 5_500, kind=ClearingKind.CHARGEBACK, acquirer_reference=arn[1]),
                a_record(counter, client, 5_500, kind=ClearingKind.CHARGEBACK_REVERSAL, acquirer_reference=arn[1]),
                a_record(
                    counter, client, 300, kind=ClearingKind.ADDITIONAL_CHARGE, acquirer_reference=arn[3], **reference
                ),
                a_record(counter, client, 9, kind=ClearingKind.CHARGEBACK, acquirer_reference=an_arn()),
            ]

        client, _ = await both_ways(counter, story)
        assert await counter.balance(client) == (50_000 - 6_500 + 1_000 - 300, 0)
        assert [(state, amount) for state, _, amount in await items(counter, client)] == [
            ("reversed", 4_000),
            ("matched", 6_500),
            ("matched", 4_000),
            ("noted", 4_000),
            ("matched", 1_000),
            ("reversed", 5_500),
            ("matched", 5_500),
            ("matched", 300),
            ("in_doubt", 9),
        ]
        assert len(await counter.table("clearing_step", client)) == 2

    on(database, scenario)


def test_parts_in_any_order_and_each_with_a_reference_of_its_own(database: Database) -> None:
    """The others are found by their purchase, in the batch and in the database."""

    async def scenario(counter: Counter) -> None:
        def story(client: Client) -> list[Request]:
            bought = counter.request(client, Kind.AUTHORIZATION, 10_000)
            parts = [
                presenting(counter, client, bought, 2_000, sequence=sequence, sequence_count=3)
                for sequence in (3, 1, 2)
            ]
            return [bought, *parts]

        client, _ = await both_ways(counter, story)
        assert await counter.balance(client) == (44_000, 0)
        assert [kind for kind, _ in await counter.journal(client)] == ["hold", *["posting"] * 3, "release"]

    on(database, scenario)


def test_what_a_record_belongs_to_does_not_depend_on_its_batch(database: Database) -> None:
    """The first names its purchase by the retrieval reference; the second's is new, and only the code is the same."""

    async def scenario(counter: Counter) -> None:
        def story(client: Client) -> list[Request]:
            return [counter.request(client, Kind.AUTHORIZATION, amount) for amount in (3_000, 2_000)]

        async def settle(client: Client, *, at_once: bool) -> None:
            one, two = story(client)
            _, second = await counter.unit().run([counter.item(client, request) for request in (one, two)])
            records = [
                presenting(counter, client, one),
                a_record(counter, client, 2_000, retrieval_reference="NEW", approval_code=second.answer.approval_code),
            ]
            batches = [records] if at_once else [[record] for record in records]
            for batch in batches:
                await counter.unit().run([counter.item(client, record) for record in batch])

        for at_once in (True, False):
            client = await counter.client(50_000)
            await settle(client, at_once=at_once)
            assert await items(counter, client) == [
                ("matched", "retrieval_reference", 3_000),
                ("matched", "approval_code", 2_000),
            ]
            assert await counter.balance(client) == (45_000, 0)

    on(database, scenario)


def test_a_purchase_abroad_without_references_is_found_by_what_is_held(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(50_000)
        abroad: dict[str, Any] = {
            "currency": "USD",
            "billing_currency": "JPY",
            "billing_amount_minor": 3_000,
            "acquirer_id": "9",
            "terminal_id": "T-1",
        }
        unit = counter.unit()
        bought = counter.request(client, Kind.AUTHORIZATION, 1_999, **abroad)
        await unit.run([counter.item(client, bought)])
        await unit.run([counter.item(client, a_record(counter, client, 1_999, **abroad))])
        assert await counter.balance(client) == (47_000, 0)
        assert await items(counter, client) == [("matched", "place_and_amount", 3_000)]

    on(database, scenario)


def test_a_stand_in_s_approval_code_is_presented(database: Database) -> None:
    """The network's answer was heard, not ours: the record carries its code."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(50_000)
        bought = counter.request(client, Kind.AUTHORIZATION, 3_000)
        stood_in = counter.request(
            client,
            Kind.AUTHORIZATION_ADVICE,
            3_000,
            retrieval_reference=bought.retrieval_reference,
            approval_code="STIP01",
            stand_in=StandIn.APPROVED,
        )
        unit = counter.unit()
        for request in (bought, stood_in, presenting(counter, client, bought, approval_code="STIP01")):
            await unit.run([counter.item(client, request)])
        assert await counter.balance(client) == (47_000, 0)
        assert await items(counter, client) == [("matched", "retrieval_reference", 3_000)]

    on(database, scenario)


def test_two_cards_of_one_account_do_not_settle_each_other_s_purchases(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        one, other = await counter.client(50_000), await counter.client(50_000)
        root = await counter.root()
        await root.execute("UPDATE card SET account_id = $1 WHERE card_id = $2", one.account_id, other.card_id)
        bought = counter.request(one, Kind.AUTHORIZATION, 3_000)
        unit = counter.unit()
        await unit.run([counter.item(one, bought)])
        await unit.run([counter.item(other, presenting(counter, other, bought))])
        assert await counter.balance(one) == (47_000, 3_000)
        assert [state for state, _, _ in await items(counter, one)] == ["forced"]

    on(database, scenario)


# ── the named loss


@pytest.mark.parametrize("batches", [1, 3])
def test_a_presentment_after_a_full_reversal_with_another_amount_is_charged(database: Database, batches: int) -> None:
    """A Japanese prepaid issuer lost money from October 2023 to December 2024, since it did not charge these."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(50_000)
        bought = counter.request(client, Kind.AUTHORIZATION, 10_000, acquirer_id="9")
        record = presenting(counter, client, bought, 8_000, acquirer_id="9")
        all_of_it = [bought, counter.undo(client, bought), record]
        unit = counter.unit()
        for batch in [all_of_it] if batches == 1 else [[request] for request in all_of_it]:
            await unit.run([counter.item(client, request) for request in batch])

        assert await counter.balance(client) == (42_000, 0)
        assert await counter.journal(client) == [("hold", 10_000), ("release", 10_000), ("posting", 8_000)]
        assert [row["kind"] for row in await counter.table("exception_item", client)] == ["posted_after_reversed"]
        (usage,) = await counter.table("limit_usage", client)
        assert (usage["day_minor"], usage["day_count"]) == (8_000, 1)

    on(database, scenario)


# ── restarts and doubt


@pytest.mark.parametrize("plan", [Plan.DROP_BEFORE, Plan.DROP_AFTER])
def test_a_commit_in_doubt_books_each_record_once(database: Database, plan: Plan) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(50_000)
        bought = counter.request(client, Kind.AUTHORIZATION, 3_000)
        await counter.unit().run([counter.item(client, bought)])
        records = [presenting(counter, client, bought, amount) for amount in (3_000, 200)]
        batch = [counter.item(client, record) for record in records]
        async with proxy(database.dsn()) as middle:
            unit = counter.unit(dsn=middle.dsn)
            middle.plan = plan
            with pytest.raises(CommitUnknown) as doubt:
                await unit.run(batch)
            assert len(await items(counter, client)) == (0 if plan is Plan.DROP_BEFORE else 2)
            await unit.run(doubted(batch, doubt.value))
            await unit.close()
        assert await counter.journal(client) == [("hold", 3_000), ("posting", 3_000), ("posting", 200)]
        assert [state for state, _, _ in await items(counter, client)] == ["matched", "matched"]
        assert await counter.faults(client) == []

    on(database, scenario)


def test_a_file_that_comes_again_another_day_books_nothing(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(50_000)
        file = [counter.item(client, a_record(counter, client, amount)) for amount in (100, 200, 300)]
        await counter.unit().run(file)
        before = await counter.balance(client), await counter.journal(client), await items(counter, client)
        decisions = await counter.unit().run(file)
        assert all(decision.repeat_of is not None for decision in decisions)
        assert (await counter.balance(client), await counter.journal(client), await items(counter, client)) == before

    on(database, scenario)


@pytest.mark.parametrize("same_batch", [True, False])
def test_a_record_s_place_with_other_content_is_put_before_a_person(database: Database, same_batch: bool) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(50_000)
        record = a_record(counter, client, 100)
        two = [counter.item(client, record), counter.item(client, msgspec.structs.replace(record, amount_minor=999))]
        unit = counter.unit()
        for batch in [two] if same_batch else [[item] for item in two]:
            decisions = await unit.run(batch)
        assert reasons(decisions)[-1] == "key_reused"
        assert await counter.journal(client) == [("posting", 100)]
        kinds = {row["kind"] for row in await counter.table("exception_item", client)}
        assert kinds == {"posted_without_authorization", "key_reused"}

    on(database, scenario)


# ── debts and bonus


def test_an_account_that_fell_below_its_floor_recovers_by_loads(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        await counter.unit().run([counter.item(client, a_record(counter, client, 1_500))])
        root, staff = await counter.root(), await counter.staff()
        since = "SELECT negative_since FROM account WHERE account_id = $1"
        first = await root.fetchval(since, client.account_id)
        assert first is not None
        assert reasons(
            await counter.unit().run([counter.item(client, counter.request(client, Kind.AUTHORIZATION, 1))])
        ) == ["insufficient_funds"]
        await counter.unit().run([counter.item(client, a_record(counter, client, 100))])
        await issuing.load_account(staff, client.lookup, 300, "a first load", counter.clock())
        assert await root.fetchval(since, client.account_id) == first, "it owes since then, whatever came meanwhile"
        await issuing.load_account(staff, client.lookup, 300, "a second load", counter.clock())
        assert await root.fetchval(since, client.account_id) is None
        rows = await root.fetch(
            "SELECT kind, facts ->> 'available' AS available FROM notification WHERE account_id = $1"
            " ORDER BY notification_id",
            client.account_id,
        )
        assert [tuple(row) for row in rows] == [("balance_negative", "-500"), ("balance_recovered", "0")]

    on(database, scenario)


def test_bonus_pays_first_and_gets_back_last_weeks_later(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        await issuing.load_account(await counter.staff(), client.lookup, 400, "a gift", counter.clock(), bonus=True)
        bought = counter.request(client, Kind.AUTHORIZATION, 900)
        reference, arn = {"retrieval_reference": bought.retrieval_reference}, an_arn()
        said_: list[tuple[Request, tuple[int, int]]] = [
            (bought, (500, 0)),
            (presenting(counter, client, bought, 900, acquirer_reference=arn), (500, 0)),
            (a_record(counter, client, 450, operation=Operation.REFUND, **reference), (950, 0)),
            (a_record(counter, client, 200, operation=Operation.REFUND, **reference), (1_000, 150)),
            (a_record(counter, client, 250, kind=ClearingKind.CHARGEBACK, acquirer_reference=arn), (1_000, 400)),
            (a_record(counter, client, 250, kind=ClearingKind.CHARGEBACK_REVERSAL, acquirer_reference=arn), (1_000, 150)),
            (a_record(counter, client, 250, kind=ClearingKind.CHARGEBACK, acquirer_reference=arn), (1_000, 400)),
        ]  # fmt: skip
        root = await counter.root()
        for request, pockets in said_:
            await counter.unit().run([counter.item(client, request)])
            row = await root.fetchrow(
                "SELECT posted - held - (bonus_posted - bonus_held) AS money, bonus_posted - bonus_held AS bonus"
                " FROM account WHERE account_id = $1",
                client.account_id,
            )
            assert tuple(row) == pockets
        assert await counter.faults(client) == []

    on(database, scenario)
