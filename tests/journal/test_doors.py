"""record_unit checks everything again: what a defect or an intruder in the daemon's place may not write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from switch.contracts.message import Kind
from switch.issuer.account import Account, EntryKind, Movement, Side, book
from switch.issuer.hold import TRANSITIONS, Hold, HoldState
from switch.journal.chain import ChainedEntry, entry_hash, microseconds
from switch.journal.connection import Connection
from switch.journal.rows import Place, account_of, entry_row, hold_row
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database

AT = datetime(2026, 6, 15, 3, tzinfo=UTC)


async def record(connection: Connection, **parts: list[Any]) -> None:
    """Calls the door with the parts that are given, the others empty; the versions are those of the entries' accounts."""
    names = (
        "entries",
        "usages",
        "beginnings",
        "holds",
        "messages",
        "repeats",
        "amendments",
        "concerns",
        "tombstones",
        "versions",
    )
    assert parts.keys() <= set(names)
    parts.setdefault("versions", await versions(connection, *{row[0] for row in parts.get("entries", [])}))
    parts["versions"] = [version if len(version) > 3 else (*version, *[None] * 8) for version in parts["versions"]]
    await connection.execute(
        "SELECT record_unit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", *(parts.get(name, []) for name in names)
    )


async def versions(connection: Connection, *account_ids: int) -> list[tuple[int, int, Place]]:
    """Of accounts, as load_unit tells them."""
    rows = await connection.fetch(
        "SELECT account_id, xmin::text::bigint, ctid FROM account WHERE account_id = ANY ($1)", account_ids
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def loaded(counter: Counter, client: Client) -> Account:
    row = await (await counter.root()).fetchrow("SELECT * FROM account WHERE account_id = $1", client.account_id)
    assert row is not None
    return account_of(row)


def entry(account: Account, amount: int = 100) -> ChainedEntry:
    """A good entry that continues the account's journal."""
    booked = book(account, Movement(EntryKind.LOAD, Side.FUNDING, Side.AVAILABLE, amount))
    now = microseconds(AT)
    digest = entry_hash(booked, "load", b"k" * 16, now, now, account.head_hash)
    return ChainedEntry(booked, "load", b"k" * 16, AT, AT, account.head_hash, digest)


def after(account: Account, chained: ChainedEntry) -> Account:
    return msgspec.structs.replace(
        account,
        posted_minor=chained.entry.posted_after,
        held_minor=chained.entry.held_after,
        seq=chained.entry.seq,
        head_hash=chained.hash,
    )


def test_good_entries_are_written_and_the_account_follows(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon = await counter.connection("switch_daemon")
        account = await loaded(counter, client)
        one = entry(account)
        two = entry(after(account, one), 23)
        # The order within the array does not matter, the sequence does.
        await record(daemon, entries=[entry_row(two), entry_row(one)])
        assert await loaded(counter, client) == after(after(account, one), two)
        assert await counter.faults(client) == []

    on(database, scenario)


@pytest.mark.parametrize("moves", [True, False])
def test_an_account_that_has_changed_since_it_was_read_refuses_the_batch(database: Database, moves: bool) -> None:
    """Also where the batch moves no money on it: what it was decided on is not true any more."""

    async def scenario(counter: Counter) -> None:
        client, other = await counter.client(1_000), await counter.client(1_000)
        daemon = await counter.connection("switch_daemon")
        seen = await versions(daemon, client.account_id, other.account_id)
        account = await loaded(counter, client)
        await (await counter.staff()).execute("SELECT change_card($1, NULL, true)", client.card_id)
        before = [await counter.snapshot(each) for each in (client, other)]
        good = entry(await loaded(counter, other))
        entries = [entry_row(entry(account))] if moves else []
        with pytest.raises(asyncpg.PostgresError) as refused:
            await record(daemon, entries=[*entries, entry_row(good)], versions=seen)
        assert refused.value.sqlstate == "SW002"
        assert [await counter.snapshot(each) for each in (client, other)] == before
        await record(daemon, entries=entries, versions=await versions(daemon, client.account_id))

    on(database, scenario)


def test_an_account_that_lies_elsewhere_now_refuses_the_batch(database: Database) -> None:
    """VACUUM FULL writes tables anew and changes no version. Nor is another account taken that lies there now."""

    async def scenario(counter: Counter) -> None:
        client, other = await counter.client(1_000), await counter.client(1_000)
        daemon, root = await counter.connection("switch_daemon"), await counter.root()
        good = [entry_row(entry(await loaded(counter, client)))]
        for _ in range(3):  # leaves versions behind that VACUUM FULL takes away
            await root.execute("UPDATE account SET seq = seq WHERE account_id = $1", client.account_id)
        ((_, version, place),) = await versions(daemon, client.account_id)
        ((_, _, others),) = await versions(daemon, other.account_id)
        for wrong in (others, (place[0], place[1] + 1_000), (place[0] + 1_000, 1)):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await record(daemon, entries=good, versions=[(client.account_id, version, wrong)])
            assert refused.value.sqlstate == "SW002"
        await root.execute(
            "UPDATE account SET seq = seq WHERE account_id IN ($1, $2)", client.account_id, other.account_id
        )
        one, two = await versions(daemon, client.account_id, other.account_id)
        assert one[1] == two[1]
        with pytest.raises(asyncpg.PostgresError) as refused:  # of one version, in each other's places
            await record(daemon, versions=[(*one[:2], two[2]), (*two[:2], one[2])])
        assert refused.value.sqlstate == "SW002"

        ((_, version, place),) = await versions(daemon, client.account_id)
        await root.execute("VACUUM FULL account")
        ((_, same, new_place),) = await versions(daemon, client.account_id)
        assert same == version and new_place != place
        with pytest.raises(asyncpg.PostgresError) as refused:
            await record(daemon, entries=good, versions=[(client.account_id, version, place)])
        assert refused.value.sqlstate == "SW002"
        await record(daemon, entries=good, versions=[(client.account_id, version, new_place)])

    on(database, scenario)


def test_further_usages_are_stored_wherever_they_lie(database: Database) -> None:
    """By their place where they are there still, by their key where not; new ones beside them."""

    async def scenario(counter: Counter) -> None:
        clients = [await counter.client(1_000) for _ in range(3)]
        daemon, root = await counter.connection("switch_daemon"), await counter.root()

        async def places() -> dict[int, Place]:
            return {row[0]: row[1] for row in await root.fetch("SELECT card_id, ctid FROM further_limit_usage")}

        async def store(figure: int, known: dict[int, Place], *some: Client) -> None:
            await record(
                daemon,
                usages=[
                    (one.account_id, one.card_id, AT.date(), *[figure + number] * 6, known.get(one.card_id))
                    for number, one in enumerate(some)
                ],
            )
            for number, one in enumerate(some):
                stored = await root.fetchrow("SELECT * FROM further_limit_usage WHERE card_id = $1", one.card_id)
                assert stored is not None
                assert tuple(stored.values()) == (one.account_id, one.card_id, AT.date(), *[figure + number] * 6)

        first, second, third = clients
        for one in clients:
            with pytest.raises(asyncpg.PostgresError) as refused:  # it is the account's first card
                await store(10, {}, one)
            assert refused.value.sqlstate == "SW001"
            await root.execute(
                "UPDATE account SET usage_card_id = -1, usage_day = $2 WHERE account_id = $1", one.account_id, AT.date()
            )
        await store(10, {}, first)
        await store(20, await places(), first, second)  # the second one is new
        stale = await places()
        await store(30, stale, first, second)
        await store(40, stale, first, second)  # they have moved on
        crossed = {first.card_id: stale[second.card_id], second.card_id: stale[first.card_id]}
        await store(50, crossed, third, second, first)
        now = await places()
        crossed = {
            first.card_id: now[second.card_id],
            second.card_id: now[first.card_id],
            third.card_id: now[third.card_id],
        }
        await store(60, crossed, third, second, first)  # in each other's places
        assert len(await places()) == 3

    on(database, scenario)


def test_an_account_keeps_the_counters_of_one_card(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon, root = await counter.connection("switch_daemon"), await counter.root()

        async def count(card_id: int, figure: int) -> None:
            (version,) = await versions(daemon, client.account_id)
            await record(daemon, versions=[(*version, card_id, AT.date(), *[figure] * 6)])

        await count(client.card_id, 1)
        await count(client.card_id, 2)
        await record(daemon, versions=await versions(daemon, client.account_id))  # leaves them as they are
        with pytest.raises(asyncpg.PostgresError) as refused:
            await count(client.card_id + 1, 3)
        assert refused.value.sqlstate == "SW001"
        with pytest.raises(asyncpg.CheckViolationError):
            await count(client.card_id, -1)
        (version,) = await versions(daemon, client.account_id)
        with pytest.raises(asyncpg.NotNullViolationError):
            await record(daemon, versions=[(*version, client.card_id, AT.date(), *[4] * 5, None)])
        await record(daemon, versions=[(*version, None, AT.date(), *[5] * 6)])  # nobody's
        with pytest.raises(asyncpg.PostgresError) as refused:
            await record(daemon, usages=[(client.account_id, client.card_id, AT.date(), *[6] * 6, None)])
        assert refused.value.sqlstate == "SW001"
        rows = await root.fetch("SELECT * FROM limit_usage WHERE account_id = $1", client.account_id)
        stored = [tuple(row.values()) for row in rows]
        assert stored == [(client.account_id, client.card_id, AT.date(), *[2] * 6)]

    on(database, scenario)


def test_every_batch_changes_the_version_of_its_accounts(database: Database) -> None:
    """A decline too: whoever has read the account before it must look again."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon = await counter.connection("switch_daemon")
        first = await versions(daemon, client.account_id)
        (decision,) = await counter.unit().run([counter.item(client, counter.request(client, amount_minor=99_999))])
        assert not decision.reason.approves
        assert await versions(daemon, client.account_id) != first

    on(database, scenario)


@pytest.mark.parametrize("given", [True, False])
def test_entries_of_an_account_that_was_not_read_are_refused(database: Database, given: bool) -> None:
    async def scenario(counter: Counter) -> None:
        client, other = await counter.client(1_000), await counter.client(1_000)
        daemon = await counter.connection("switch_daemon")
        good = [entry_row(entry(await loaded(counter, client)))]
        with pytest.raises(asyncpg.PostgresError) as refused:
            await record(daemon, entries=good, versions=await versions(daemon, other.account_id) if given else [])
        assert refused.value.sqlstate == "SW001"

    on(database, scenario)


Spoil = Callable[[Account, ChainedEntry], list[ChainedEntry]]


def changed(chained: ChainedEntry, **changes: Any) -> ChainedEntry:
    return msgspec.structs.replace(chained, entry=msgspec.structs.replace(chained.entry, **changes))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda a, e: [changed(e, seq=e.entry.seq + 1)], id="a gap in the sequence"),
        pytest.param(lambda a, e: [e, changed(entry(after(a, e)), seq=e.entry.seq + 2)], id="a gap inside the batch"),
        pytest.param(lambda a, e: [msgspec.structs.replace(e, prev_hash=b"x" * 32)], id="another chain"),
        pytest.param(lambda a, e: [changed(e, posted_after=e.entry.posted_after + 1)], id="money from nowhere"),
        pytest.param(lambda a, e: [changed(e, posted_delta=e.entry.posted_delta - 1)], id="money that vanishes"),
        pytest.param(lambda a, e: [changed(e, held_after=1)], id="held from nowhere"),
        pytest.param(lambda a, e: [changed(e, currency="USD")], id="another currency"),
        pytest.param(
            lambda a, e: [e, changed(entry(after(a, e)), currency="USD")], id="a second currency in the batch"
        ),
        pytest.param(lambda a, e: [changed(e, account_id=2**40)], id="an account that is not there"),
    ],
)
def test_entries_that_do_not_continue_the_journal_are_refused(database: Database, spoil: Spoil) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        other = await counter.client(1_000)
        daemon = await counter.connection("switch_daemon")
        account = await loaded(counter, client)
        before = [await counter.snapshot(each) for each in (client, other)]
        bad = spoil(account, entry(account))
        good = entry(await loaded(counter, other))
        with pytest.raises(asyncpg.PostgresError) as refused:
            await record(daemon, entries=[entry_row(each) for each in (*bad, good)])
        assert refused.value.sqlstate == "SW001"
        assert [await counter.snapshot(each) for each in (client, other)] == before, "the good one too"

    on(database, scenario)


@pytest.mark.parametrize(
    ("spoil", "sqlstate"),
    [
        (lambda a, e: [changed(e, seq=a.seq)], "SW001"),  # a place that is taken
        (lambda a, e: [changed(e, movement=msgspec.structs.replace(e.entry.movement, amount_minor=0))], "23514"),
        (
            lambda a, e: [
                changed(e, movement=msgspec.structs.replace(e.entry.movement, credit=e.entry.movement.debit))
            ],
            "23514",
        ),
        (lambda a, e: [changed(e, held_delta=-1, held_after=-1)], "23514"),
    ],
)
def test_entries_that_are_none_are_refused(database: Database, spoil: Spoil, sqlstate: str) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon = await counter.connection("switch_daemon")
        account = await loaded(counter, client)
        with pytest.raises(asyncpg.PostgresError) as refused:
            await record(daemon, entries=[entry_row(each) for each in spoil(account, entry(account))])
        assert refused.value.sqlstate == sqlstate
        assert await loaded(counter, client) == account

    on(database, scenario)


def test_every_step_of_a_purchase_is_allowed_or_refused_as_the_table_says(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon, root = await counter.connection("switch_daemon"), await counter.root()
        for number, (before, after_) in enumerate(
            [(before, after_) for before in (None, *HoldState) for after_ in HoldState], start=100
        ):
            if before is not None:
                await root.execute("INSERT INTO hold SELECT ($1::hold).*", hold_row(a_hold(client, number, before)))
            step = [hold_row(a_hold(client, number, after_))]
            if (before, after_) in TRANSITIONS:
                await record(daemon, holds=step)
                stands: str | None = str(after_)
            else:
                with pytest.raises(asyncpg.PostgresError) as refused:
                    await record(daemon, holds=step)
                assert refused.value.sqlstate == "SW001"
                stands = None if before is None else str(before)
            state = await root.fetchval(
                "SELECT state FROM hold WHERE account_id = $1 AND hold_id = $2", client.account_id, number
            )
            assert state == stands, f"{before} -> {after_}"

    on(database, scenario)


@pytest.mark.parametrize("state", HoldState)
def test_a_purchase_begins_as_the_table_says(database: Database, state: HoldState) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon, root = await counter.connection("switch_daemon"), await counter.root()
        account = await loaded(counter, client)
        number = account.seq + 1
        begins = {
            "entries": [entry_row(beginning(account))],
            "beginnings": [hold_row(a_hold(client, number, state))],
        }
        if (None, state) in TRANSITIONS:
            await record(daemon, **begins)
        else:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await record(daemon, **begins)
            assert refused.value.sqlstate == "SW001"
            assert await loaded(counter, client) == account
        stored = await root.fetchval("SELECT state FROM hold WHERE account_id = $1", client.account_id)
        assert stored == (str(state) if (None, state) in TRANSITIONS else None)

    on(database, scenario)


def beginning(account: Account) -> ChainedEntry:
    """The next entry, which begins a purchase: that has its number."""
    chained = entry(account)
    return changed(chained, movement=msgspec.structs.replace(chained.entry.movement, hold_id=chained.entry.seq))


@pytest.mark.parametrize("last", HoldState)
def test_a_purchase_that_its_batch_begins_takes_its_steps_from_nothing(database: Database, last: HoldState) -> None:
    """Its first entry has its number, and says that it is new: it is not looked for."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon, root = await counter.connection("switch_daemon"), await counter.root()
        for steps in ([last], [HoldState.OPEN, last]):
            account = await loaded(counter, client)
            number = account.seq + 1
            begins = [entry_row(beginning(account))]
            holds = [hold_row(a_hold(client, number, state)) for state in steps]
            if all(pair in TRANSITIONS for pair in zip([None, *steps], steps, strict=False)):
                await record(daemon, entries=begins, holds=holds)
                stands: str | None = str(last)
            else:
                with pytest.raises(asyncpg.PostgresError) as refused:
                    await record(daemon, entries=begins, holds=holds)
                assert refused.value.sqlstate == "SW001"
                stands = None
            state = await root.fetchval(
                "SELECT state FROM hold WHERE account_id = $1 AND hold_id = $2", client.account_id, number
            )
            assert state == stands, f"{steps}"

    on(database, scenario)


@pytest.mark.parametrize("way", ["beginnings", "holds"])
def test_a_purchase_that_is_there_can_not_begin_again(database: Database, way: str) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon, root = await counter.connection("switch_daemon"), await counter.root()
        account = await loaded(counter, client)
        number = account.seq + 1
        hold = hold_row(a_hold(client, number, HoldState.OPEN))
        await root.execute("INSERT INTO hold SELECT ($1::hold).*", hold)
        with pytest.raises(asyncpg.UniqueViolationError, match="hold_pkey"):
            await record(daemon, entries=[entry_row(beginning(account))], **{way: [hold]})
        assert await loaded(counter, client) == account

    on(database, scenario)


def a_hold(client: Client, hold_id: int, state: HoldState, held: int = 0) -> Hold:
    return Hold(client.account_id, hold_id, client.card_id, state, 10, held, 0, False, "", AT)


def test_nothing_is_held_by_a_purchase_that_is_not_open(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon = await counter.connection("switch_daemon")
        with pytest.raises(asyncpg.CheckViolationError):
            await record(daemon, holds=[hold_row(a_hold(client, 5, HoldState.POSTED, held=1))])

    on(database, scenario)


@pytest.mark.parametrize("known", [True, False])
def test_a_message_is_stored_once(database: Database, known: bool) -> None:
    """Under an account's lock a second row is a defect. Messages of unknown cards have no lock: the first row wins."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon, root = await counter.connection("switch_daemon"), await counter.root()
        request = counter.request(client, Kind.AUTHORIZATION, 100)
        item = counter.item(client, request)
        if not known:
            item = msgspec.structs.replace(item, pan_lookup=b"!" * 32)
        await counter.unit().run([item])
        row = await root.fetchrow("SELECT * FROM message_key WHERE key = $1", item.key)
        assert row is not None and (row["account_id"] != 0) == known
        again = tuple(row.values())
        if known:
            with pytest.raises(asyncpg.UniqueViolationError, match="message_key_pkey"):
                await record(daemon, messages=[again])
        else:
            await record(daemon, messages=[again])
        assert await root.fetchval("SELECT count(*) FROM message_key WHERE key = $1", item.key) == 1

    on(database, scenario)


def test_the_time_to_look_for_tombstones_never_shrinks(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        daemon, root = await counter.connection("switch_daemon"), await counter.root()
        for until in (AT, AT + timedelta(days=1), AT - timedelta(days=1)):
            await record(daemon, tombstones=[(client.account_id, until)])
        stands = await root.fetchval("SELECT tombstone_until FROM account WHERE account_id = $1", client.account_id)
        assert stands == AT + timedelta(days=1)

    on(database, scenario)
