"""Numbers of cards: each is used once, whoever brings it when; what staff sees of them; what finding them costs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from switch.contracts.errors import JournalRefused
from switch.journal import issuing, reads
from switch.journal.connection import BY_INDEX, connect
from switch.journal.unit_load import load_unit
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database

# ── a number is one thing


def test_a_number_that_is_in_use_is_refused(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        credential, card = await counter.two_numbers()
        other = await counter.client(0)
        root = await counter.root()
        accounts = await root.fetchval("SELECT count(*) FROM account")
        for lookup in (credential.lookup, card.lookup, other.lookup):
            with pytest.raises(JournalRefused, match="23505"):
                await counter.credential(card, pan_lookup=lookup)
            with pytest.raises(JournalRefused, match="23505"):
                await counter.client(0, pan_lookup=lookup)
        for table, lookup in (("card", credential.lookup), ("credential", card.lookup)):
            with pytest.raises(asyncpg.UniqueViolationError):
                await root.execute(
                    f"UPDATE {table} SET pan_lookup = $1 WHERE card_id = $2",
                    lookup,
                    card.card_id,
                )
        assert await root.fetchval("SELECT count(*) FROM account") == accounts
        assert len(await reads.credentials(root, card.card_id)) == 1

    on(database, scenario)


ADD = "SELECT add_credential(next_credential_id(), $2, $1, 'x', 'x', '3106', '201', 'active', '')"
OPEN = "SELECT open_account('JPY', 0, next_card_id() + $2 * 0, $1, 'x', 'x', 'plain', '3012', '101', 'active', false)"


@pytest.mark.parametrize(("first", "second"), [(ADD, OPEN), (OPEN, ADD), (ADD, ADD), (OPEN, OPEN)])
@pytest.mark.parametrize("commits", [True, False])
def test_two_that_bring_one_number_at_once(database: Database, first: str, second: str, commits: bool) -> None:
    async def scenario(counter: Counter) -> None:
        card = await counter.client(0)
        lookup = (await counter.client(0)).lookup[::-1]
        one, other = await counter.connection("switch_issuing"), await counter.connection("switch_issuing")
        transaction = one.transaction()
        await transaction.start()
        await one.execute(first, lookup, card.card_id)
        running = asyncio.ensure_future(other.execute(second, lookup, card.card_id))
        await counter.until_one_waits(application="test as switch_issuing")
        if commits:
            await transaction.commit()
            with pytest.raises(asyncpg.UniqueViolationError):
                await running
        else:
            await transaction.rollback()
            await running
        root = await counter.root()
        assert await root.fetchval("SELECT count(*) FROM card_number WHERE pan_lookup = $1", lookup) == 1

    on(database, scenario)


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
def test_numbers_are_not_stored_on_an_old_snapshot(database: Database, isolation: Any) -> None:
    async def scenario(counter: Counter) -> None:
        card = await counter.client(0)
        staff = await counter.staff()
        with pytest.raises(asyncpg.InvalidTransactionStateError, match="READ COMMITTED"):
            async with staff.transaction(isolation=isolation):
                await staff.execute(ADD, card.lookup[::-1], card.card_id)

    on(database, scenario)


def test_a_credential_needs_a_card(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        card = await counter.client(0)
        with pytest.raises(JournalRefused, match="23503"):
            await counter.credential(replace(card, card_id=2**40))

    on(database, scenario)


# ── staff


def test_a_reference_loads_a_card_once_whichever_number_names_it(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        credential, card = await counter.two_numbers(0)
        staff = await counter.staff()
        loads = [
            await issuing.load_account(staff, by.lookup, 500, reference, counter.clock())
            for by, reference in ((credential, "one"), (card, "one"), (card, "two"), (credential, "two"))
        ]
        assert loads == [True, False, True, False]
        assert await counter.balance(card) == (1_000, 0)
        assert await counter.faults(card) == []

    on(database, scenario)


def test_reading(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        card = await counter.client(10_000)
        anywhere = await counter.credential(card)
        restricted = await counter.credential(card, network="west", status="blocked", expiry="2905")
        stranger = await counter.credential(await counter.client(0))
        unit = counter.unit()
        for by in (card, anywhere):
            await unit.run([counter.item(by, counter.request(by))])

        console = await counter.connection("switch_console")
        shown = await reads.credentials(console, card.card_id)
        assert [(one.credential, one.card, one.number, one.network, one.expiry, one.status) for one in shown] == [
            (anywhere.credential_id, card.card_id, anywhere.number.masked, None, "3106", "active"),
            (restricted.credential_id, card.card_id, restricted.number.masked, "west", "2905", "blocked"),
        ]
        everybody = await reads.credentials(console)
        assert set(shown) < set(everybody)
        assert stranger.credential_id in {one.credential for one in everybody}
        (one_card,) = await reads.cards(console, card.card_id)
        assert one_card.credentials == shown and one_card in await reads.cards(console)
        newest, oldest = await reads.explain(console, account_id=card.account_id, key=None)
        assert (oldest["card"], oldest["credential"]) == (card.number.masked, None)
        assert (newest["card"], newest["credential"]) == (card.number.masked, anywhere.number.masked)
        daemon = await counter.connection("switch_daemon")
        assert await reads.account_of_card(daemon, anywhere.lookup) == (
            card.account_id,
            card.card_id,
            anywhere.credential_id,
        )

    on(database, scenario)


# ── what it costs


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("lock", [False, True])
def test_a_card_s_own_number_costs_no_look_at_the_credentials(database: Database, analyzed: bool, lock: bool) -> None:
    async def scenario(counter: Counter) -> None:
        credential, card = await counter.two_numbers()
        for _ in range(20):
            await counter.credential(await counter.client(0))
        if analyzed:
            await (await counter.root()).execute("ANALYZE")
        own, further = await looks(counter, card, lock), await looks(counter, credential, lock)
        times = 20 if lock else 10
        assert own == {"card": times, "credential": 0}
        # A number that is no card's own is looked for there, then among the credentials, then its card is fetched.
        assert further == {"card": 2 * times, "credential": times}

    on(database, scenario)


async def looks(counter: Counter, by: Client, lock: bool) -> dict[str, int]:
    """How often load_unit looks into the tables by an index, for ten messages; it must never walk them."""
    daemon = await connect(counter.database.settings(), planner=BY_INDEX)
    try:
        async with daemon.transaction():
            keys = [bytes([number]) * 16 for number in range(10)]
            await load_unit(daemon, [by.lookup] * 10, keys, lock=lock)
            # Of this connection alone: it has not reported its counts yet.
            rows = await daemon.fetch(
                "SELECT relname, seq_scan, idx_scan FROM pg_stat_xact_user_tables"
                " WHERE schemaname = 'switch' AND relname IN ('card', 'credential')"
            )
    finally:
        await daemon.close(timeout=2)
    assert [row["seq_scan"] for row in rows] == [0, 0]
    return {row["relname"]: row["idx_scan"] for row in rows}
