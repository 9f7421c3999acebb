"""The connection breaks while PostgreSQL commits. The daemon asks the keys, and answers what was booked.

A deferred trigger on the journal makes every COMMIT wait for an advisory lock that the test holds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest
import trio

from tests.chaos.acquirer import link_to, maker_for
from tests.chaos.daemon import Daemon, running, until
from tests.house import House, IssuedCard

GATE = 8583
_TRIGGER = f"""
    CREATE SCHEMA IF NOT EXISTS test_gate;
    CREATE OR REPLACE FUNCTION test_gate.wait() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL; END $$;
    DROP TRIGGER IF EXISTS gate ON switch.journal_entry;
    CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON switch.journal_entry
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION test_gate.wait();
"""
_WAITING = f"""
    SELECT pid FROM pg_stat_activity JOIN pg_locks USING (pid)
     WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted AND query ~ 'COMMIT|record_unit'
"""


class Gate:
    """Commits wait until :meth:`open`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._closed, self._wanted_open = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._hold()))
        self._thread.start()
        assert self._closed.wait(20)

    def open(self) -> None:
        self._wanted_open.set()
        self._thread.join(20)

    async def _hold(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            await connection.execute(_TRIGGER)
            await connection.execute(f"SELECT pg_advisory_lock({GATE})")
            self._closed.set()
            await asyncio.to_thread(self._wanted_open.wait, 30)
        finally:
            await connection.close()


@contextmanager
def closed_gate(house: House) -> Iterator[Gate]:
    gate = Gate(house.ready["database"])
    try:
        yield gate
    finally:
        gate.open()


def waiting_commits(house: House) -> list[int]:
    async def read(connection: asyncpg.Connection[asyncpg.Record]) -> list[int]:
        return [row["pid"] for row in await connection.fetch(_WAITING)]

    return house.ask(read, dsn=house.ready["database"])


async def a_commit_waits(house: House) -> int:
    await until(lambda: waiting_commits(house) != [])
    return waiting_commits(house)[0]


def terminate(house: House, pid: int) -> None:
    async def end(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        await connection.execute(f"SELECT pg_terminate_backend({pid})")

    house.ask(end, dsn=house.ready["database"])


@pytest.fixture
def card(house: House) -> IssuedCard:
    return house.new_card(balance_minor=1_000)


@pytest.mark.parametrize("mti", ["0100", "0220"])
async def test_a_commit_that_takes_place_after_the_daemon_gave_up_is_found_by_its_key(
    house: House, card: IssuedCard, mti: str
) -> None:
    daemon = Daemon(house, f"doubt_{mti}", deadline_seconds=8)
    daemon.set("[database]", "unit_timeout_seconds = 0.5")
    maker = maker_for(card)
    request = maker.authorization("card", 600)
    message = request if mti == "0100" else maker.financial_advice(request)
    # An advice is met with silence: the network repeats it, and the repeat finds the key.
    patience_seconds = 10.0 if mti == "0100" else 2.0
    codes: list[str] = []

    async def ask() -> None:
        answer = await link.ask(message.fields, patience_seconds)
        codes.append("none" if answer is None else answer["39"])

    with running(daemon):
        async with link_to(daemon) as link:
            async with trio.open_nursery() as nursery:
                with closed_gate(house) as gate:
                    nursery.start_soon(ask)
                    await a_commit_waits(house)
                    await until(lambda: daemon.metric("switch_commits_in_doubt_total") > 0)
                    # The daemon has broken the connection off; the server commits as soon as it may.
                    gate.open()
            if mti == "0220":
                await until(lambda: house.journal(card) != [])
                again = await link.ask({**message.fields, "t": "0221"}, 5)
                assert again is not None and again["39"] == "00"
        assert daemon.stop() == 0
    kind = "hold" if mti == "0100" else "posting"
    assert codes == (["00"] if mti == "0100" else ["none"])
    assert house.journal(card) == [(kind, 600)]
    assert house.faults() == []


async def test_a_commit_that_was_cut_off_is_done_again(house: House, card: IssuedCard) -> None:
    codes: list[str] = []

    async def ask() -> None:
        answer = await link.ask(maker_for(card).authorization("card", 600).fields, 10)
        codes.append("none" if answer is None else answer["39"])

    with running(Daemon(house, "cut_off", deadline_seconds=8)) as daemon:
        async with link_to(daemon) as link, trio.open_nursery() as nursery:
            with closed_gate(house):
                nursery.start_soon(ask)
                terminate(house, await a_commit_waits(house))
                await until(lambda: daemon.metric("switch_commits_in_doubt_total") > 0)
        assert daemon.stop() == 0
    assert codes == ["00"]
    assert house.journal(card) == [("hold", 600)]
    assert house.shown(card).available == 400
    assert house.faults() == []


async def test_a_doubt_that_outlasts_the_deadline_is_answered_91_and_what_was_booked_is_withdrawn(
    house: House, card: IssuedCard
) -> None:
    daemon = Daemon(house, "long_doubt", deadline_seconds=1.5)
    daemon.set("[database]", "unit_timeout_seconds = 0.3")
    with running(daemon):
        async with link_to(daemon) as link:
            with closed_gate(house) as gate:
                answer = await link.ask(maker_for(card).authorization("card", 600).fields, 5)
                assert answer is not None and answer["39"] == "91"
                gate.open()
            await until(lambda: daemon.metric("switch_approvals_withdrawn_total") > 0)
            assert list(link.strays) == []
        assert daemon.stop() == 0
    assert house.journal(card) == [("hold", 600), ("release", 600)]
    assert house.shown(card).available == 1_000
    assert house.faults() == []
