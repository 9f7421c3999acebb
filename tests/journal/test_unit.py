"""The unit of work against a real PostgreSQL: batches, failures inside a batch, time limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
import pytest

from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, InvariantBroken, JournalRefused
from switch.contracts.message import Kind, Operation, StandIn
from switch.contracts.reason import Reason
from switch.issuer.books import Item
from switch.journal.unit import UnitOfWork
from tests.journal.counter import Client, Counter, on, reasons
from tests.journal.proxy import proxy
from tests.journal.server import Database


def test_a_batch_is_durable_when_it_returns(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        request = counter.request(client, Kind.AUTHORIZATION, 3_000, mcc="5411", merchant_name="SHOP, TOKYO")
        (decision,) = await counter.unit().run([counter.item(client, request)])

        assert decision.reason is Reason.APPROVED
        assert await counter.balance(client) == (10_000, 3_000)
        assert await counter.journal(client) == [("hold", 3_000)]
        (hold,) = await counter.table("hold", client)
        assert (hold["state"], hold["held"], hold["hold_id"], hold["mcc"]) == ("open", 3_000, 2, "5411")
        (usage,) = await counter.table("limit_usage", client)
        assert (usage["day_minor"], usage["lifetime_count"]) == (3_000, 1)
        (message,) = await counter.table("message_key", client)
        assert (message["stan"], message["reason"], message["hold_id"]) == (request.stan, "approved", 2)
        assert message["answer"]["approval_code"] == decision.answer.approval_code
        assert [step[0] for step in message["trace"]][-1] == "funds"
        assert await counter.faults(client) == []

    on(database, scenario)


def test_an_empty_batch_does_no_harm(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        assert await counter.unit().run([]) == []

    on(database, scenario)


def test_the_first_batch_of_a_prepared_unit_has_nothing_to_learn(database: Database) -> None:
    async def statements(unit: UnitOfWork) -> set[str]:
        assert unit._connection is not None
        return {row[0] for row in await unit._connection.fetch("SELECT statement FROM pg_prepared_statements")}

    async def scenario(counter: Counter) -> None:
        client, unit = await counter.client(10_000), counter.unit()
        await unit.prepare()
        known = await statements(unit)
        request = counter.request(client, Kind.AUTHORIZATION, 3_000)
        assert reasons(await unit.run([counter.item(client, request)])) == ["approved"]
        # Its own look at them is the one that is new.
        assert {text for text in await statements(unit) - known if "pg_prepared_statements" not in text} == set()
        assert len(await counter.table("journal_entry", client)) == 2

    on(database, scenario)


def many_messages(counter: Counter, clients: list[Client]) -> tuple[list[Item], list[Item]]:
    """A day at the counter, on few accounts: a batch that begins purchases, and one that goes on with them."""
    begins: list[list[Item]] = []
    goes_on: list[list[Item]] = []
    for client in clients:
        first = counter.request(client, Kind.AUTHORIZATION, 3_000)
        second = counter.request(client, Kind.AUTHORIZATION, 900)
        cash = counter.request(client, Kind.FINANCIAL, 2_000, operation=Operation.CASH_WITHDRAWAL)
        too_much = counter.request(client, Kind.AUTHORIZATION, 99_999)
        early = counter.request(client, Kind.AUTHORIZATION, 700)
        more = counter.request(
            client, Kind.AUTHORIZATION, 50, incremental=True, retrieval_reference=second.retrieval_reference
        )
        declined = counter.request(
            client,
            Kind.AUTHORIZATION_ADVICE,
            900,
            stand_in=StandIn.DECLINED,
            retrieval_reference=second.retrieval_reference,
        )
        presented = counter.request(client, Kind.FINANCIAL_ADVICE, 1_000, retrieval_reference=first.retrieval_reference)
        one = [
            first,
            msgspec.structs.replace(first, repeat=True, mti="0101"),
            second,
            too_much,
            msgspec.structs.replace(too_much, repeat=True),
            cash,
            counter.undo(client, early),
            early,
            more,
            counter.request(client, Kind.FINANCIAL, 400, operation=Operation.REFUND),
            msgspec.structs.replace(first, amount_minor=1),  # the same key, other content
        ]
        two = [
            counter.undo(client, first, replacement_amount_minor=1_000),
            counter.undo(client, cash),
            counter.undo(client, cash),
            declined,
            presented,
            counter.request(client, Kind.FINANCIAL_ADVICE, 20_000),
        ]
        begins.append([counter.item(client, request) for request in one])
        goes_on.append([counter.item(client, request) for request in two])
    # Accounts take turns, so that each is touched again and again within the batch.
    return [item for turn in zip(*begins, strict=True) for item in turn], [
        item for turn in zip(*goes_on, strict=True) for item in turn
    ]


async def same_as_one_by_one(counter: Counter, *sizes: str) -> None:
    """Runs batches on three accounts and their messages singly on three others, and compares every table."""
    counter.now = counter.clock()
    together = [await counter.client(10_000) for _ in range(3)]
    singly = [await counter.client(10_000) for _ in range(3)]
    twin = {client.lookup: other for client, other in zip(together, singly, strict=True)}
    begins, goes_on = many_messages(counter, together)
    unit = counter.unit()
    for batch in [begins, goes_on] if sizes == ("two",) else [begins + goes_on]:
        for item, answer in zip(batch, await counter.unit().run(batch), strict=True):
            other = twin[item.pan_lookup]
            request = msgspec.structs.replace(item.request, pan=other.number)
            (alone,) = await unit.run([counter.item(other, request)])
            assert alone.reason is answer.reason
    for client, other in zip(together, singly, strict=True):
        assert await comparable(counter, client) == await comparable(counter, other)
    assert await counter.faults(*together, *singly) == []


async def comparable(counter: Counter, client: Client) -> dict[str, list[str]]:
    """The account's rows without what names the account, the card or comes from their ids."""
    own = {"account_id", "card_id", "key", "cause_key", "prev_hash", "hash", "head_hash", "answer", "trace"}
    own |= {"begun_by", "approval_code", "usage_card_id"}
    tables = await counter.snapshot(client)
    return {
        name: sorted(repr({column: value for column, value in row.items() if column not in own}) for row in rows)
        for name, rows in tables.items()
    }


def test_a_batch_leaves_what_its_messages_leave_one_by_one(database: Database) -> None:
    on(database, lambda counter: same_as_one_by_one(counter, "two"))


def test_a_purchase_may_begin_and_end_in_one_batch(database: Database) -> None:
    on(database, lambda counter: same_as_one_by_one(counter, "one"))


def test_the_same_batches_again_book_nothing(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        clients = [await counter.client(10_000) for _ in range(2)]
        batches = many_messages(counter, clients)
        unit = counter.unit()
        first = [await unit.run(batch) for batch in batches]
        entries = [await counter.table("journal_entry", client) for client in clients]

        again = [await unit.run(batch) for batch in batches]

        for one, other in zip(first, again, strict=True):
            assert [d.answer for d in other] == [d.answer for d in one]
        assert [await counter.table("journal_entry", client) for client in clients] == entries

    on(database, scenario)


def test_an_answer_survives_storage(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(700)
        request = counter.request(client, Kind.AUTHORIZATION, 1_000, partial_supported=True)
        item = counter.item(client, request)
        (first,) = await counter.unit().run([item])
        (again,) = await counter.unit().run([item])
        assert first.reason is Reason.APPROVED_PARTIALLY
        assert again.answer == first.answer
        assert again.answer.balances == first.answer.balances != ()

    on(database, scenario)


def test_a_message_of_an_unknown_card_is_remembered(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(0)
        stranger = msgspec.structs.replace(counter.item(client, counter.request(client)), pan_lookup=b"?" * 32)
        unit = counter.unit()
        (first,) = await unit.run([stranger])
        (again,) = await unit.run([stranger])
        assert first.reason is again.reason is Reason.UNKNOWN_CARD
        assert again.repeat_of is not None

    on(database, scenario)


# ── a batch that fails leaves nothing

Failure = Callable[[Counter, Client], Awaitable[Item]]


async def poisonous_code_map(counter: Counter, client: Client) -> Item:
    """The dialect's map has a defect."""

    def forgets(reason: Reason) -> str:
        raise KeyError(reason)

    return msgspec.structs.replace(counter.item(client, counter.request(client)), response_code=forgets)


async def text_that_postgres_refuses(counter: Counter, client: Client) -> Item:
    return counter.item(client, counter.request(client, merchant_name="NUL\0"))


async def number_beyond_bigint(counter: Counter, client: Client) -> Item:
    return counter.item(client, counter.request(client, Kind.FINANCIAL_ADVICE, 2**63))


@pytest.mark.parametrize(
    ("poison", "error"),
    [
        (poisonous_code_map, KeyError),
        (text_that_postgres_refuses, JournalRefused),
        (number_beyond_bigint, Exception),
    ],
)
def test_a_failing_batch_leaves_nothing_and_the_next_one_works(
    database: Database, poison: Failure, error: type[Exception]
) -> None:
    async def scenario(counter: Counter) -> None:
        good, bad = await counter.client(10_000), await counter.client(10_000)
        before = [await counter.snapshot(client) for client in (good, bad)]
        item = counter.item(good, counter.request(good, Kind.AUTHORIZATION, 3_000))
        unit = counter.unit(seconds=5)

        with pytest.raises(error):
            await unit.run([item, await poison(counter, bad)])

        assert [await counter.snapshot(client) for client in (good, bad)] == before
        assert reasons(await unit.run([item])) == ["approved"]
        assert await counter.balance(good) == (10_000, 3_000)

    on(database, scenario)


def test_books_that_do_not_add_up_stop_the_batch(database: Database) -> None:
    """A hold that was tampered with: more would be released than the account holds."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        request = counter.request(client, Kind.AUTHORIZATION, 3_000)
        unit = counter.unit()
        await unit.run([counter.item(client, request)])
        await (await counter.root()).execute("UPDATE hold SET held = 3001 WHERE account_id = $1", client.account_id)
        before = await counter.snapshot(client)
        with pytest.raises(InvariantBroken, match=f"account {client.account_id}"):
            await unit.run([counter.item(client, counter.undo(client, request))])
        assert await counter.snapshot(client) == before

    on(database, scenario)


# ── waiting


@pytest.mark.parametrize("locked", [False, True])
def test_a_unit_that_waits_too_long_gives_up_and_is_booked_once(database: Database, locked: bool) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        root = await counter.root()
        item = counter.item(client, counter.request(client, Kind.AUTHORIZATION, 3_000))
        unit = counter.unit(seconds=0.3)
        if locked:
            await counter.overtake(unit)
        transaction = root.transaction()
        await transaction.start()
        await root.execute("SELECT 1 FROM account WHERE account_id = $1 FOR UPDATE", client.account_id)

        # Without locks it waits in the statement that commits, and the server may still do it.
        with pytest.raises(DatabaseUnavailable if locked else CommitUnknown, match="too long") as doubt:
            await unit.run([item])

        await transaction.rollback()
        if locked:
            assert await counter.balance(client) == (10_000, 0)
        moments = () if locked else (doubt.value.moment,)
        assert reasons(await unit.run([msgspec.structs.replace(item, moments=moments)])) == ["approved"]
        (row,) = await counter.table("message_key", client)
        assert row["repeats_answered"] == 0
        assert await counter.journal(client) == [("hold", 3_000)]

    on(database, scenario)


def test_a_unit_gives_up_when_its_own_time_has_passed(database: Database) -> None:
    """One timer watches all units of a connection: it must neither cut a young one off nor forget an old one."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        root = await counter.root()
        unit = counter.unit(seconds=0.4)
        await unit.run([counter.item(client, counter.request(client))])  # sets the timer
        await asyncio.sleep(0.25)
        transaction = root.transaction()
        await transaction.start()
        await root.execute("SELECT 1 FROM account WHERE account_id = $1 FOR UPDATE", client.account_id)
        running = asyncio.ensure_future(unit.run([counter.item(client, counter.request(client))]))
        await asyncio.sleep(0.25)  # the timer has gone off
        assert not running.done()
        with pytest.raises(CommitUnknown, match="too long"):
            await running
        await transaction.rollback()

    on(database, scenario)


def test_a_cancelled_unit_frees_its_locks(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        item = counter.item(client, counter.request(client, Kind.AUTHORIZATION, 3_000))
        reached = asyncio.Event()

        def never(reason: Reason) -> str:
            reached.set()
            raise asyncio.CancelledError(str(reason))

        unit = counter.unit()
        with pytest.raises(asyncio.CancelledError):
            await unit.run([msgspec.structs.replace(item, response_code=never)])
        assert reached.is_set()
        # Another unit gets the lock at once, long before any time limit.
        assert reasons(await counter.unit(seconds=5).run([item])) == ["approved"]

    on(database, scenario)


def test_no_server_is_a_normal_state(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        item = counter.item(client, counter.request(client))
        unit = counter.unit(dsn=database.dsn().replace("port=5432", "port=5999"))
        with pytest.raises(DatabaseUnavailable):
            await unit.run([item])

    on(database, scenario)


# ── somebody else is quicker


def test_a_batch_that_was_overtaken_is_decided_again_on_what_the_other_left(database: Database) -> None:
    """At a new moment, too: two messages of one card get their day in the order in which they are booked."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        root = await counter.root()
        asked: list[datetime] = []

        def clock() -> datetime:
            asked.append(datetime.now(UTC))
            return asked[-1]

        counter.clock = clock  # type: ignore[method-assign]  # a clock that tells when it is looked at
        unit = counter.unit()
        transaction = root.transaction()
        await transaction.start()
        await root.execute("UPDATE card SET locked = true WHERE card_id = $1", client.card_id)
        await root.execute("UPDATE account SET seq = seq WHERE account_id = $1", client.account_id)
        running = asyncio.ensure_future(unit.run([counter.item(client, counter.request(client))]))
        await counter.until_one_waits()
        assert len(asked) == 1
        await transaction.commit()
        assert reasons(await running) == ["card_locked"]
        assert len(asked) == 2
        assert unit.overtaken == 1
        assert await root.fetchval("SELECT decided_at FROM message_key WHERE card_id = $1", client.card_id) == asked[1]

    on(database, scenario)


def test_after_a_meeting_the_next_batches_lock_and_later_ones_do_not(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000_000)
        async with proxy(database.dsn()) as middle:
            unit = counter.unit(dsn=middle.dsn)
            await unit.run([counter.item(client, counter.request(client))])
            assert middle.begins == 0
            await counter.overtake(unit)
            begins = []
            for _ in range(20):
                await unit.run([counter.item(client, counter.request(client))])
                begins.append(middle.begins)
            assert unit.overtaken == 1
            await unit.close()
        assert begins[:2] == [2, 3], "the batch that was overtaken locked too"
        assert begins[-2] == begins[-1]
        assert len(await counter.journal(client)) == 21

    on(database, scenario)


def test_only_the_tombstones_that_may_fit_are_loaded(database: Database) -> None:
    """Reversals of what never was make as many as their sender likes: they must not cost the messages after them."""

    async def scenario(counter: Counter) -> None:
        client, other = await counter.client(10_000), await counter.client(10_000)
        unit = counter.unit()
        lost = [counter.request(client, Kind.AUTHORIZATION, 100) for _ in range(50)]
        by_reference = counter.request(client, Kind.AUTHORIZATION, 100)
        by_network = counter.request(client, Kind.AUTHORIZATION, 100, network_reference="NET1", retrieval_reference="")
        by_original = counter.request(client, Kind.AUTHORIZATION, 100, retrieval_reference="")
        undone = (
            *(counter.undo(client, request) for request in lost),
            counter.undo(client, by_reference, original=None),
            counter.undo(client, by_network, network_reference="NET1", original=None),
            counter.undo(client, by_original),
        )
        await unit.run([counter.item(client, request) for request in undone])

        connection = await counter.connection("switch_daemon")
        for request in (by_reference, by_network, by_original):
            books, _ = await unit._load(connection, [counter.item(client, request)], lock=False)
            assert sum(map(len, books.tombstones.values())) == 1
        stranger = counter.request(client, Kind.AUTHORIZATION, 100)
        books, _ = await unit._load(connection, [counter.item(client, stranger)], lock=False)
        assert books.tombstones == {}

        late = [by_original, stranger, by_network, by_reference, counter.request(other, Kind.AUTHORIZATION, 100)]
        owners = [client] * 4 + [other]
        decisions = await unit.run([counter.item(*pair) for pair in zip(owners, late, strict=True)])
        assert reasons(decisions) == [
            "reversed_earlier",
            "approved",
            "reversed_earlier",
            "reversed_earlier",
            "approved",
        ]
        assert await counter.balance(client) == (10_000, 100)

    on(database, scenario)
