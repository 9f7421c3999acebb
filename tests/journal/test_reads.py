"""What may be asked of the books, loading money, and tampering that shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from switch.contracts.errors import InvariantBroken, JournalRefused
from switch.contracts.message import Kind
from switch.contracts.reason import Reason
from switch.journal import issuing, reads
from switch.journal.chain import entry_hash, microseconds
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database

AT = datetime(2026, 6, 15, 3, tzinfo=UTC)


# ── loading


def test_the_same_reference_loads_the_same_account_once(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        one, other = await counter.client(0), await counter.client(0)
        staff = await counter.staff()
        assert await issuing.load_account(staff, one.lookup, 500, "bank-1", AT)
        assert not await issuing.load_account(staff, one.lookup, 500, "bank-1", AT)
        with pytest.raises(JournalRefused, match="with 500 and not 999"):
            await issuing.load_account(staff, one.lookup, 999, "bank-1", AT)
        assert await issuing.load_account(staff, one.lookup, 7, "bank-2", AT)
        assert await issuing.load_account(staff, other.lookup, 500, "bank-1", AT)
        assert await counter.balance(one) == (507, 0)
        assert await counter.balance(other) == (500, 0)
        assert await counter.faults(one, other) == []

    on(database, scenario)


@pytest.mark.parametrize("amount", [0, -1])
def test_a_load_is_above_zero(database: Database, amount: int) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(100)
        staff = await counter.staff()
        with pytest.raises(InvariantBroken):
            await issuing.load_account(staff, client.lookup, amount, "wrong", AT)
        assert await counter.balance(client) == (100, 0)
        assert await issuing.load_account(staff, client.lookup, 1, "wrong", AT), "the connection still works"

    on(database, scenario)


def test_a_load_needs_a_card(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        with pytest.raises(LookupError):
            await issuing.load_account(await counter.staff(), b"?" * 32, 1, "x", AT)

    on(database, scenario)


def test_a_number_is_issued_once(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(0)
        root = await counter.root()
        accounts = await root.fetchval("SELECT count(*) FROM account")
        with pytest.raises(JournalRefused, match="23505"):
            await counter.client(0, pan_lookup=client.lookup)
        assert await root.fetchval("SELECT count(*) FROM account") == accounts, "and no account is left behind"

    on(database, scenario)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "lost", "locked": None}, Reason.CARD_LOST),
        ({"status": None, "locked": True}, Reason.CARD_LOCKED),
        ({"status": None, "locked": None}, Reason.APPROVED),
    ],
)
def test_a_changed_card_counts_from_the_next_message_on(
    database: Database, change: dict[str, Any], reason: Reason
) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        assert await issuing.change_card(await counter.staff(), client.card_id, **change)
        (decision,) = await counter.unit().run([counter.item(client, counter.request(client))])
        assert decision.reason is reason
        assert not await issuing.change_card(await counter.staff(), 2**40, **change)

    on(database, scenario)


# ── reading


async def history(counter: Counter) -> Client:
    """A client with six entries: load, hold, release, posting, hold, refund."""
    client = await counter.client(10_000)
    unit = counter.unit()
    first = counter.request(client, Kind.AUTHORIZATION, 3_000, merchant_name="SHOP, TOKYO")
    for request in (
        first,
        counter.undo(client, first, replacement_amount_minor=1_000),
        counter.request(client, Kind.FINANCIAL, 500),
        counter.request(client, Kind.AUTHORIZATION, 99_999),
        counter.request(client, Kind.AUTHORIZATION, 200),
        counter.request(client, Kind.FINANCIAL_ADVICE, 30),
    ):
        await unit.run([counter.item(client, request)])
    return client


@pytest.mark.parametrize("page_rows", [1, 2, 6, 7])
def test_entries_come_in_order_whatever_the_page(database: Database, page_rows: int) -> None:
    async def scenario(counter: Counter) -> None:
        client = await history(counter)
        root = await counter.root()
        found = [entry async for entry in reads.entries(root, client.account_id, page_rows=page_rows)]
        assert [str(each.entry.movement.kind) for each in found] == [
            "load",
            "hold",
            "release",
            "posting",
            "hold",
            "posting",
        ]
        assert [each.entry.seq for each in found] == [1, 2, 3, 4, 5, 6]
        assert (found[-1].entry.posted_after, found[-1].entry.held_after) == await counter.balance(client)

    on(database, scenario)


def test_explain_tells_every_message_newest_first_with_its_trace(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await history(counter)
        console = await counter.connection("switch_console")
        told = await reads.explain(console, account_id=client.account_id, key=None)
        assert [(each["mti"], each["reason"]) for each in told] == [
            ("0220", "advice_accepted"),
            ("0100", "approved"),
            ("0100", "insufficient_funds"),
            ("0200", "approved"),
            ("0400", "reversal_accepted"),
            ("0100", "approved"),
        ]
        declined = told[2]
        assert declined["trace"][-1]["rule"] == "funds"
        assert declined["trace"][-1]["verdict"] == "insufficient_funds"
        assert declined["trace"][-1]["seen"]["spendable"] == 8_500
        assert told[-1]["merchant"] == "SHOP, TOKYO"
        assert told[-1]["card"] == client.number.masked
        assert client.number.reveal() not in repr(told)
        (one,) = await reads.explain(console, account_id=None, key=bytes.fromhex(told[3]["key"]))
        assert one == told[3]
        assert await reads.explain(console, account_id=client.account_id, key=b"x" * 16) == []

    on(database, scenario)


def test_accounts_and_cards(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await history(counter)
        console = await counter.connection("switch_console")
        (shown,) = await reads.accounts(console, [client.account_id])
        assert msgspec.structs.asdict(shown) == {
            "account": client.account_id,
            "currency": "JPY",
            "posted": 9_470,
            "held": 1_200,
            "available": 8_270,
            "seq": 6,
        }
        (card,) = await reads.cards(console, client.card_id)
        assert (card.account, card.number, card.status) == (client.account_id, client.number.masked, "active")
        assert shown in await reads.accounts(console) and card in await reads.cards(console)
        daemon = await counter.connection("switch_daemon")
        assert await reads.account_of_card(daemon, client.lookup) == (client.account_id, client.card_id, None)
        assert await reads.account_of_card(daemon, b"?" * 32) is None
        assert "plain" in await reads.programs_in_use(daemon)

    on(database, scenario)


# ── tampering: as a superuser who switched the triggers off

TAMPERINGS = [
    # (statement, {seq: a word of the fault}); seq 0 is the account's own row
    ("UPDATE journal_entry SET amount = amount + 1 WHERE account_id = $1 AND seq = 3", {3: "not what was hashed"}),
    (
        "UPDATE journal_entry SET booked_at = booked_at - interval '1 us' WHERE account_id = $1 AND seq = 2",
        {2: "hashed"},
    ),
    (
        "UPDATE journal_entry SET transmitted_at = transmitted_at + interval '1 h' WHERE account_id = $1 AND seq = 6",
        {6: "hashed"},
    ),
    ("UPDATE journal_entry SET cause = 'withdrawal' WHERE account_id = $1 AND seq = 4", {4: "hashed"}),
    ("UPDATE journal_entry SET cause_key = 'other' WHERE account_id = $1 AND seq = 4", {4: "hashed"}),
    ("UPDATE journal_entry SET hold_id = NULL WHERE account_id = $1 AND seq = 4", {4: "hashed"}),
    ("UPDATE journal_entry SET kind = 'posting' WHERE account_id = $1 AND seq = 5", {5: "hashed"}),
    ("UPDATE journal_entry SET debit = 'issuer.funding' WHERE account_id = $1 AND seq = 5", {5: "hashed"}),
    ("UPDATE journal_entry SET currency = 'USD' WHERE account_id = $1 AND seq = 1", {1: "hashed"}),
    ("UPDATE journal_entry SET posted_delta = 0 WHERE account_id = $1 AND seq = 4", {4: "balances"}),
    ("UPDATE journal_entry SET posted_after = 0 WHERE account_id = $1 AND seq = 4", {4: "balances", 5: "balances"}),
    ("UPDATE journal_entry SET held_after = 5 WHERE account_id = $1 AND seq = 2", {2: "balances", 3: "balances"}),
    ("UPDATE journal_entry SET hash = sha256('x') WHERE account_id = $1 AND seq = 3", {3: "hashed", 4: "continue"}),
    ("UPDATE journal_entry SET prev_hash = sha256('x') WHERE account_id = $1 AND seq = 3", {3: "continue"}),
    ("DELETE FROM journal_entry WHERE account_id = $1 AND seq = 1", {2: "missing"}),
    ("DELETE FROM journal_entry WHERE account_id = $1 AND seq IN (3, 4)", {5: "missing"}),
    ("DELETE FROM journal_entry WHERE account_id = $1 AND seq = 6", {0: "the account says"}),
    ("DELETE FROM journal_entry WHERE account_id = $1", {0: "the account says"}),
    (
        # A copy of the newest entry after itself.
        "INSERT INTO journal_entry SELECT (jsonb_populate_record(e, jsonb_build_object('seq', 7))).* FROM journal_entry e WHERE account_id = $1 AND seq = 6",
        {7: "continue", 0: "the account says"},
    ),
    ("UPDATE account SET posted = posted + 1 WHERE account_id = $1", {0: "the account says posted=9471"}),
    ("UPDATE account SET held = held - 1 WHERE account_id = $1", {0: "the account says"}),
    ("UPDATE account SET seq = seq + 1 WHERE account_id = $1", {0: "the account says"}),
    ("UPDATE account SET head_hash = sha256('x') WHERE account_id = $1", {0: "head of the chain"}),
    (
        "UPDATE hold SET held = held - 1 WHERE account_id = $1 AND state = 'open' AND held = 200",
        {0: "open holds sum to 1199"},
    ),
    ("DELETE FROM hold WHERE account_id = $1", {0: "open holds sum to 0"}),
]
BEYOND_THE_WORDS = [
    ("UPDATE journal_entry SET kind = 'gift' WHERE account_id = $1 AND seq = 4", {4: "hashed"}),
    ("UPDATE journal_entry SET debit = 'nobody' WHERE account_id = $1 AND seq = 4", {4: "hashed"}),
    ("UPDATE journal_entry SET cause = repeat('x', 256) WHERE account_id = $1 AND seq = 4", {4: "hashed"}),
]


async def tampered(counter: Counter, statement: str, expected: dict[int, str]) -> None:
    client, honest = await history(counter), await history(counter)
    assert await counter.faults(client, honest) == []
    root = await counter.connection()
    await root.execute("SET session_replication_role = replica")
    assert await root.execute(statement, client.account_id) not in ("UPDATE 0", "DELETE 0")

    faults = await counter.faults(client, honest)

    assert {fault.account for fault in faults} == {client.account_id}
    for seq, word in expected.items():
        assert any(fault.seq == seq and word in fault.what for fault in faults), (seq, word, faults)


@pytest.mark.parametrize(("statement", "expected"), TAMPERINGS, ids=[each[0][:90] for each in TAMPERINGS])
def test_tampering_shows_at_its_place(database: Database, statement: str, expected: dict[int, str]) -> None:
    on(database, lambda counter: tampered(counter, statement, expected))


@pytest.mark.parametrize(("statement", "expected"), BEYOND_THE_WORDS, ids=[each[0][:90] for each in BEYOND_THE_WORDS])
def test_tampering_with_unknown_words_shows_at_its_place(
    database: Database, statement: str, expected: dict[int, str]
) -> None:
    on(database, lambda counter: tampered(counter, statement, expected))


def test_a_chain_that_was_rewritten_to_its_end_shows_at_the_head(database: Database) -> None:
    """Somebody who recomputes all hashes after a change must change the account's head as well; seals are for that."""

    async def scenario(counter: Counter) -> None:
        client = await history(counter)
        root = await counter.connection()
        await root.execute("SET session_replication_role = replica")
        rows = [each async for each in reads.entries(root, client.account_id)]
        last = rows[-1]
        forged = entry_hash(
            last.entry,
            "load",
            last.cause_key,
            microseconds(last.transmitted_at),
            microseconds(last.booked_at),
            last.prev_hash,
        )
        await root.execute(
            "UPDATE journal_entry SET cause = 'load', hash = $2 WHERE account_id = $1 AND seq = 6",
            client.account_id,
            forged,
        )
        (fault,) = await counter.faults(client)
        assert (fault.account, fault.seq) == (client.account_id, 0)
        assert "head of the chain" in fault.what

    on(database, scenario)
