"""A unit without locks reads in several statements: what others commit between them must not decide anything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from switch.contracts.errors import InvariantBroken
from switch.contracts.message import Kind
from switch.journal.unit import UnitOfWork
from tests.issuer.support import CODES
from tests.journal.counter import PROGRAM, Counter, on, reasons
from tests.journal.server import Database


def clock_that_first(does: Callable[[], None]) -> Callable[[], datetime]:
    """A clock during whose first look ``does`` happens: a unit looks between its first statement and its second."""
    waiting = [does]

    def clock() -> datetime:
        if waiting:
            thread = threading.Thread(target=waiting.pop())
            thread.start()
            thread.join()
        return datetime.now(UTC)

    return clock


def test_a_hold_that_grows_between_two_reads_is_read_again(database: Database) -> None:
    """The balance is from before the increment, the hold from after it: taken together they contradict each other."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        first = counter.request(client, Kind.AUTHORIZATION, 3_000)
        await counter.unit().run([counter.item(client, first)])
        more = counter.request(
            client, Kind.AUTHORIZATION, 500, incremental=True, retrieval_reference=first.retrieval_reference
        )

        def increment() -> None:
            on(database, lambda other: other.unit().run([other.item(client, more)]))

        unit = UnitOfWork(database.settings(), {"plain": PROGRAM}, CODES, clock_that_first(increment))
        decisions = await unit.run([counter.item(client, counter.undo(client, first))])
        await unit.close()

        assert reasons(decisions) == ["reversal_accepted"]
        assert unit.overtaken == 1
        assert await counter.journal(client) == [("hold", 3_000), ("hold_increase", 500), ("release", 3_500)]
        assert await counter.faults(client) == []

    on(database, scenario)


def test_books_that_contradict_themselves_under_locks_too_stop_the_unit(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        first = counter.request(client, Kind.AUTHORIZATION, 3_000)
        unit = counter.unit()
        await unit.run([counter.item(client, first)])
        await (await counter.root()).execute("UPDATE hold SET held = 5000 WHERE account_id = $1", client.account_id)
        before = await counter.snapshot(client)
        with pytest.raises(InvariantBroken):
            await unit.run([counter.item(client, counter.undo(client, first))])
        assert await counter.snapshot(client) == before

    on(database, scenario)
