"""Records that wait for a person, through the real unit of work: unknown cards, and instructions that come at once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from switch.contracts.clearing import ClearingKind, Instruction, InstructionKind
from switch.contracts.errors import JournalRefused
from switch.issuer.books import Item
from switch.journal import exceptions
from tests.issuer.support import pan
from tests.journal.counter import Client, Counter, on
from tests.journal.records import a_record, in_doubt, items, said
from tests.journal.server import Database

# ── cards that nobody knows


def test_a_record_of_an_unknown_card_is_stored_once_by_two_importers(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        nobody = Client(pan("4" + "9" * 14), bytes(31) + b"?", 0, 0)
        same = [counter.item(nobody, a_record(counter, nobody, amount)) for amount in (100, 200)]
        one, other = counter.unit(), counter.unit()
        await asyncio.gather(one.run([*same, same[0]]), other.run(same[::-1]))
        root = await counter.root()
        keys = [item.key for item in same]
        rows = await root.fetch("SELECT key, state, why FROM clearing_item WHERE key = ANY ($1)", keys)
        assert [(row["state"], row["why"]) for row in rows] == [("in_doubt", "unknown_card")] * 2
        decisions = await counter.unit().run(same)
        assert all(decision.repeat_of is not None for decision in decisions)
        # A person can only reject it.
        said = Instruction(kind=InstructionKind.REJECT, by="ann", agreed_by="bob")
        doubt = await exceptions.in_doubt(root, keys[0], said)
        assert doubt is not None
        await exceptions.propose(await counter.staff(), doubt, said, "ann", counter.clock())
        (decision,) = await counter.unit().run(
            [Item(doubt.request, doubt.key, doubt.fingerprint, doubt.pan_lookup, lambda _: "")]
        )
        assert decision.resolved is not None
        (step,) = await root.fetch("SELECT * FROM clearing_step WHERE key = $1", keys[0])
        assert (step["before"], step["after"], step["by"], step["agreed_by"]) == ("in_doubt", "rejected", "ann", "bob")
        assert step["login"] == "switch_daemon"

    on(database, scenario)


def test_a_fee_needs_no_card(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        nobody = Client(pan("4" + "8" * 14), bytes(31) + b"!", 0, 0)
        item = counter.item(nobody, a_record(counter, nobody, 100, kind=ClearingKind.FEE))
        await counter.unit().run([item])
        row = await (await counter.root()).fetchrow("SELECT * FROM clearing_item WHERE key = $1", item.key)
        assert (row["account_id"], row["state"]) == (0, "noted")
        assert (
            await (await counter.root()).fetchval("SELECT count(*) FROM exception_item WHERE key = $1", item.key) == 0
        )

    on(database, scenario)


# ── a person decides


@pytest.mark.parametrize("kind", list(InstructionKind))
def test_two_people_at_once_settle_a_record_once(database: Database, kind: InstructionKind) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(50_000)
        record, (hold_id, _) = await in_doubt(counter, client)
        item = counter.item(client, said(record, kind, hold_id))
        both = await asyncio.gather(counter.unit().run([item]), counter.unit().run([item]))
        assert [decision.resolved is not None for (decision,) in both].count(True) == 1
        posted = 50_000 if kind is InstructionKind.REJECT else 47_000
        held = 3_000 if kind is InstructionKind.BIND else 6_000
        assert await counter.balance(client) == (posted, held)
        (step,) = await counter.table("clearing_step", client)
        after = {"bind": "matched", "force": "forced", "reject": "rejected"}[kind]
        assert (step["before"], step["after"], step["by"]) == ("in_doubt", after, "ann")
        (message,) = [row for row in await counter.table("message_key", client) if row["kind"] == "presentment"]
        assert message["state"] == ("rejected" if kind is InstructionKind.REJECT else "answered")
        assert (message["moved"], message["hold_id"] is None) == (50_000 - posted, kind is InstructionKind.REJECT)

    on(database, scenario)


def test_a_record_that_is_settled_while_it_is_read_is_read_again(database: Database) -> None:
    """The message is read first and the record after it, in another statement."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(50_000)
        record, _ = await in_doubt(counter, client)
        item = counter.item(client, said(record, InstructionKind.FORCE))
        unit, other = counter.unit(), await counter.connection()
        async with other.transaction():
            await other.execute("LOCK TABLE clearing_item IN ACCESS EXCLUSIVE MODE")
            running = asyncio.ensure_future(unit.run([item]))
            await counter.until_one_waits()
            await other.execute("UPDATE clearing_item SET state = 'rejected' WHERE key = $1", item.key)
            await other.execute("UPDATE message_key SET state = 'rejected' WHERE key = $1", item.key)
            await other.execute("UPDATE account SET seq = seq WHERE account_id = $1", client.account_id)
        (decision,) = await running
        assert decision.resolved is None
        assert unit.overtaken == 1
        assert await counter.balance(client) == (50_000, 6_000)

    on(database, scenario)


def test_a_record_is_settled_and_taken_back_in_one_batch(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(50_000)
        record, (hold_id, _) = await in_doubt(counter, client)
        assert record.clearing is not None
        reversal = a_record(
            counter,
            client,
            3_000,
            kind=ClearingKind.PRESENTMENT_REVERSAL,
            acquirer_reference=record.clearing.acquirer_reference,
        )
        batch = [said(record, InstructionKind.BIND, hold_id), reversal]
        await counter.unit().run([counter.item(client, request) for request in batch])
        steps = await counter.table("clearing_step", client)
        assert sorted((step["before"], step["after"]) for step in steps) == [
            ("in_doubt", "matched"),
            ("matched", "reversed"),
        ]
        assert [state for state, _, _ in await items(counter, client)] == ["reversed", "matched"]
        assert await counter.balance(client) == (50_000, 3_000)

    on(database, scenario)


@pytest.mark.parametrize(
    ("asked_by", "refusal"),
    [
        ((), "nobody has asked"),
        (("ann", "force", "switch_issuing"), "nobody has asked"),  # for something else
        (("cid", "reject", "switch_issuing"), "nobody has asked"),  # another one
        (("ann", "reject", "dan"), "one person"),
        (("ann", "reject", "switch_issuing"), ""),
    ],
)
def test_the_database_believes_in_two_people_only_where_there_are_two(
    database: Database, asked_by: tuple[str, str, str], refusal: str
) -> None:
    """Whatever a program says: the proposal is there, and it was made with another login than this one."""

    async def scenario(counter: Counter) -> None:
        root = await counter.root()
        await root.execute(
            "DO $$ BEGIN CREATE ROLE dan LOGIN IN ROLE switch_issuing; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        client = await counter.client(50_000)
        record, _ = await in_doubt(counter, client)
        asked = counter.item(client, said(record, InstructionKind.REJECT))
        if asked_by:
            name, kind, login = asked_by
            instruction = Instruction(kind=InstructionKind(kind), by=name)
            doubt = await exceptions.in_doubt(root, asked.key, instruction)
            assert doubt is not None
            await exceptions.propose(await counter.connection(login), doubt, instruction, "ann", counter.clock())
        request = asked.request
        assert request.clearing is not None and request.clearing.instruction is not None
        both = msgspec.structs.replace(request.clearing.instruction, agreed_by="bob")
        clearing = msgspec.structs.replace(request.clearing, instruction=both)
        item = counter.item(client, msgspec.structs.replace(request, clearing=clearing))
        unit = counter.unit(dsn=database.dsn("dan"))
        if refusal:
            with pytest.raises(JournalRefused, match=refusal):
                await unit.run([item])
            assert await counter.table("clearing_step", client) == []
        else:
            await unit.run([item])
            (step,) = await counter.table("clearing_step", client)
            assert (step["by"], step["agreed_by"], step["login"]) == ("ann", "bob", "dan")

    on(database, scenario)
