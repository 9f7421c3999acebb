"""`switch journal`: entries, explanations, and a verification that sees what a superuser did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
import trio

from simulators.messages import Message
from tests.chaos.acquirer import link_to, maker_for
from tests.chaos.daemon import Daemon, running
from tests.cli.command import switch
from tests.house import House, IssuedCard


@pytest.fixture(scope="module")
def daemon(premises: tuple[House, object]) -> Iterator[Daemon]:
    with running(Daemon(premises[0], "journal")) as daemon:
        yield daemon


@pytest.fixture
def card(house: House, daemon: Daemon) -> IssuedCard:
    """A load, an approved authorization, a declined one and a reversal."""
    card = house.new_card(balance_minor=1_000)
    maker = maker_for(card)

    async def shop() -> None:
        async with link_to(daemon) as link:

            async def ask(message: Message, code: str) -> None:
                answer = await link.ask(message.fields, 10)
                assert answer is not None and answer["39"] == code

            first = maker.authorization("card", 700)
            await ask(first, "00")
            await ask(maker.authorization("card", 700), "51")
            await ask(maker.reversal(first, replacement_minor=200), "00")

    trio.run(shop)
    return card


def as_superuser(house: House, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(house.ready["database"])
        try:
            async with connection.transaction():
                # Switches the triggers off, as only a superuser can.
                await connection.execute("SET LOCAL session_replication_role = replica")
                for statement in statements:
                    await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def test_entries_for_people_and_for_programs(house: House, card: IssuedCard) -> None:
    human = switch("journal", "entries", "--card", card.pan.reveal(), config=house.config)
    machine = switch("journal", "entries", "--account", str(card.account_id), "--json", config=house.config)

    import json

    lines = [json.loads(line) for line in machine.out.splitlines()]
    assert [(one["seq"], one["kind"], one["amount"]) for one in lines] == [
        (1, "load", 1_000),
        (2, "hold", 700),
        (3, "release", 500),
    ]
    assert [(one["posted_after"], one["held_after"]) for one in lines] == [(1_000, 0), (1_000, 700), (1_000, 200)]
    assert lines[1]["cause"] == "message" and len(lines[1]["cause_key"]) == 32
    assert [line.split()[3] for line in human.out.splitlines()] == ["load", "hold", "release"]
    assert lines[1]["cause_key"] in human.out


def test_explanations_tell_rule_by_rule(house: House, card: IssuedCard) -> None:
    machine = switch("journal", "explain", "--card", card.pan.reveal(), "--json", config=house.config)
    human = switch("journal", "explain", "--card", card.pan.reveal(), config=house.config)

    reversal, declined, approved = machine.json
    assert [one["reason"] for one in machine.json] == ["reversal_accepted", "insufficient_funds", "approved"]
    assert (declined["response_code"], approved["response_code"], reversal["response_code"]) == ("51", "00", "00")
    refusing = [step for step in declined["trace"] if step["verdict"] != "pass"]
    assert [step["rule"] for step in refusing] == ["funds"]
    assert refusing[0]["seen"]["spendable"] == 300
    assert "insufficient_funds (51)" in human.out and "spendable=300" in human.out
    one = switch("journal", "explain", "--key", declined["key"], "--json", config=house.config)
    assert one.json == [declined]


def test_a_key_that_is_none(house: House) -> None:
    assert switch("journal", "explain", "--key", "xyz", config=house.config).code == 2
    assert (
        switch("journal", "explain", "--key", "00" * 16, config=house.config).complaint == "nothing is stored that fits"
    )


def test_verify_finds_sound_books_sound(house: House, card: IssuedCard) -> None:
    human = switch("journal", "verify", config=house.config)
    machine = switch("journal", "verify", "--json", config=house.config)

    assert human.code == 0 and human.out.endswith(": no faults\n")
    assert machine.json["faults"] == [] and machine.json["accounts"] > 50
    one = switch("journal", "verify", "--account", str(card.account_id), config=house.config)
    assert one.out == "1 accounts, 3 entries: no faults\n"


TAMPERINGS = {
    "an amount": ("UPDATE switch.journal_entry SET amount = 1 WHERE account_id = {} AND seq = 2", "entry 2"),
    "a balance after": (
        "UPDATE switch.journal_entry SET posted_after = 9 WHERE account_id = {} AND seq = 2",
        "entry 2",
    ),
    "a cause": ("UPDATE switch.journal_entry SET cause_key = 'x' WHERE account_id = {} AND seq = 3", "entry 3"),
    "a time": ("UPDATE switch.journal_entry SET booked_at = now() WHERE account_id = {} AND seq = 3", "entry 3"),
    "a hash": ("UPDATE switch.journal_entry SET hash = prev_hash WHERE account_id = {} AND seq = 2", "entry 2"),
    "an entry that is gone": ("DELETE FROM switch.journal_entry WHERE account_id = {} AND seq = 2", "entry 3"),
    "a tail that is gone": ("DELETE FROM switch.journal_entry WHERE account_id = {} AND seq = 3", "balance"),
    "the account's balance": ("UPDATE switch.account SET posted = posted + 1 WHERE account_id = {}", "balance"),
    "the account's hold": ("UPDATE switch.hold SET held = held + 1 WHERE account_id = {}", "balance"),
    "the head of the chain": ("UPDATE switch.account SET head_hash = '\\x00' WHERE account_id = {}", "balance"),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_verify_names_what_a_superuser_changed(house: House, card: IssuedCard, what: str) -> None:
    statement, place = TAMPERINGS[what]
    tables = ("journal_entry", "account", "hold")
    keep = [
        f"CREATE TABLE public.kept_{t} AS SELECT * FROM switch.{t} WHERE account_id = {card.account_id}" for t in tables
    ]
    as_superuser(house, *keep, statement.format(card.account_id))
    try:
        verified = switch("journal", "verify", config=house.config)
        machine = switch("journal", "verify", "--account", str(card.account_id), "--json", config=house.config)
    finally:
        restore = [
            f"DELETE FROM switch.{t} WHERE account_id = {card.account_id};"
            f"INSERT INTO switch.{t} OVERRIDING SYSTEM VALUE SELECT * FROM public.kept_{t}; DROP TABLE public.kept_{t}"
            for t in tables
        ]
        as_superuser(house, *restore)

    assert verified.code == 1
    assert f"account {card.account_id} {place}: " in verified.out
    assert {fault["account"] for fault in machine.json["faults"]} == {card.account_id}
    assert machine.code == 1
    assert switch("journal", "verify", config=house.config).code == 0


@pytest.mark.parametrize("role", ["switch_daemon", "switch_issuing"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE switch.journal_entry SET amount = 1",
        "DELETE FROM switch.journal_entry",
        "TRUNCATE switch.journal_entry",
        "INSERT INTO switch.journal_entry SELECT * FROM switch.journal_entry LIMIT 1",
        "UPDATE switch.account SET posted = 1",
        "DELETE FROM switch.message_key",
    ],
)
def test_the_daemon_s_own_role_may_change_nothing_directly(house: House, role: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(house.ready["database"].replace("postgres@", f"{role}@"))
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())
