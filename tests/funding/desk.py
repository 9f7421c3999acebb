"""Daemons that top up, for tests: batch loop, driver, adapter and simulator by sockets, and a real PostgreSQL.

A daemon runs in the test's process, so that a fault point can end it; what it leaves is in the database alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import trio

from simulators.funding_source.faults import Fault
from switch.contracts.message import Answer, Kind, Request
from switch.contracts.secret import Pan
from switch.contracts.top_up import TopUpPolicy
from switch.funding.driver import TopUps
from switch.funding.pace import Pace
from switch.funding.settings import FundingSettings
from switch.journal import funding_rows, issuing
from switch.journal.bridge import asyncio_loop, on_asyncio
from switch.journal.funding_unit import FundingUnit
from switch.network.arrival import Arrival
from switch.network.listener import ListenerAddress, serve_listener
from switch.network.settings import ListenerSettings
from switch.network.stats import NetworkStats
from switch.processing.batch import BatchLoop, BatchSettings, ProcessingStats
from switch.processing.withdrawals import Withdrawals
from switch.wire.dialect import load_dialect, specs_root
from switch.wire.inbound import Inbound
from tests.funding.stage import HOST, Stage, staged
from tests.issuer.support import CODES, a_program
from tests.journal.counter import Client, Counter
from tests.journal.server import Database

LEASE = 0.6
PACE = Pace(answer_seconds=1.6, pause_first_seconds=0.05, pause_max_seconds=0.3)
SHORT = {"connect_seconds": 0.4, "answer_seconds": 1.3}
DIALECT = load_dialect(specs_root() / "iso87_ascii")


class Killed(BaseException):
    """The daemon is dead."""


class Line:
    """A session that only writes down what it sends."""

    def __init__(self) -> None:
        self.label = "test"
        self.stats = NetworkStats()
        self.gone = False
        self.sent: list[Answer] = []
        self.unsettled: dict[int, trio.Event] = {}

    def send_answer(self, _inbound: Inbound, answer: Answer) -> bool:
        self.sent.append(answer)
        return True

    def settled(self, arrival: Arrival) -> None:
        self.unsettled[id(arrival)].set()


class Lookup:
    """The numbers of this test's clients."""

    def __init__(self) -> None:
        self.by_number: dict[str, bytes] = {}

    def lookup(self, pan: Pan) -> bytes:
        return self.by_number[pan.reveal()]


@dataclass
class Desk:
    """The database, the provider, and the daemons between them."""

    counter: Counter
    stage: Stage
    budget_seconds: float = 6.0
    lease_seconds: float = LEASE
    pace: Pace = PACE
    budget_answer: Literal["declined", "unavailable"] = "declined"
    programs: dict[str, Any] = field(default_factory=dict)
    overdue_seconds: tuple[int, ...] = ()
    next_source_seconds: float = 0.5
    lookup: Lookup = field(default_factory=Lookup)
    line: Line = field(default_factory=Line)

    def __post_init__(self) -> None:
        if not self.programs:
            self.programs = {"plain": a_program(top_up=TopUpPolicy(currency="JPY"))}

    @asynccontextmanager
    async def daemon(self, fault: Callable[[str], None] | None = None, *, dsn: str = "") -> AsyncIterator[Daemon]:
        """``dsn`` is the way of the top-ups alone."""
        settings = FundingSettings(
            provider=(self.stage.settings,),
            budget_seconds=self.budget_seconds,
            budget_answer=self.budget_answer,
            pace=self.pace,
            lease_seconds=self.lease_seconds,
            overdue_seconds=self.overdue_seconds,
            next_source_seconds=self.next_source_seconds,
        )
        database, programs = self.counter.database.settings(), self.programs
        ways = ["", dsn, dsn, dsn]
        units = [FundingUnit(database, programs, CODES, self.counter.clock, dsn=way) for way in ways]
        withdrawals = Withdrawals()
        more = {} if fault is None else {"fault": fault}
        top_ups = TopUps(settings, units[1:], self.counter.clock, withdrawals.add, **more)
        loop = BatchLoop(BatchSettings(), self.lookup, withdrawals, ProcessingStats(), top_ups)
        listener = ListenerSettings(dialect=DIALECT.name, host=HOST, port=0, request_deadline_seconds=8.0)
        try:
            async with trio.open_nursery() as nursery:
                address = await nursery.start(partial(serve_listener, listener, loop.intake, dialect=DIALECT))
                await nursery.start(top_ups.run)
                nursery.start_soon(loop.run, units[0])
                nursery.start_soon(loop.clerk.run)
                nursery.start_soon(withdrawals.run, self.counter.unit(programs=programs))
                yield Daemon(self, loop, top_ups, address)
                top_ups.close()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                for unit in units:
                    await on_asyncio(unit.close)

    def arrival(self, request: Request, *, deadline_seconds: float = 8.0) -> Arrival:
        """As it comes in by the line."""
        seconds = deadline_seconds if request.kind.is_request else float("inf")
        arrival = Arrival(
            inbound=None,  # type: ignore[arg-type] -- the line does not look at it
            request=request,
            dialect=DIALECT,
            route=self.line,
            received_at=datetime.now(UTC),
            received_monotonic=0.0,
            deadline=trio.current_time() + seconds,
        )
        self.line.unsettled[id(arrival)] = trio.Event()
        return arrival

    async def dies_at(self, point: str, client: Client, *, time: int = 1) -> bool:
        """A daemon gets a purchase and dies there, when it is there for the so many-th time; whether it came that far."""
        left = time

        def fault(here: str) -> None:
            nonlocal left
            left -= here == point
            if left == 0:
                raise Killed

        try:
            async with self.daemon(fault) as daemon:
                await daemon.say(daemon.purchase(client))
                await trio.sleep(10)
        except BaseExceptionGroup as group:
            if group.split(Killed)[1] is not None:
                raise
            return True
        return False

    async def go_on(self, client: Client) -> None:
        """By the clock on the wall, a daemon brings to an end what was left."""
        self.counter.now = None
        async with self.daemon():
            await self.ended(client)

    async def dies_undoing_at(self, point: str, client: Client, *, reversed_at: datetime | None = None) -> bool:
        """A daemon approves a purchase, hears its reversal and dies there; whether it came that far."""
        reversing = False

        def fault(here: str) -> None:
            if reversing and here == point:
                raise Killed

        try:
            async with self.daemon(fault) as daemon:
                request = daemon.purchase(client)
                assert await daemon.ask(request) == "approved"
                reversing, self.counter.now = True, reversed_at
                assert await daemon.ask(self.counter.undo(client, request)) == "reversal_accepted"
                await trio.sleep(10)
        except BaseExceptionGroup as group:
            if group.split(Killed)[1] is not None:
                raise
            return True
        return False

    async def client(self, balance_minor: int = 1_000, *, source: bool = True) -> Client:
        """A card whose holder has registered a source."""
        client = await on_asyncio(self.counter.client, balance_minor)
        self.lookup.by_number[client.number.reveal()] = client.lookup
        if source:
            await self.register(client, self.token(client))
        return client

    @staticmethod
    def token(client: Client) -> str:
        """What the client's first source is called."""
        return f"tok-{client.account_id}"

    async def register(self, client: Client, token: str = "tok-1", **more: Any) -> None:
        async def put() -> None:
            plain: dict[str, Any] = {"preference": 1, "blocked": False, "at": datetime.now(UTC)}
            staff = await self.counter.staff()
            await funding_rows.put_source(staff, client.account_id, "acme", token, "JPY", **{**plain, **more})

        await on_asyncio(put)

    async def lock(self, client: Client) -> None:
        async def change() -> None:
            assert await issuing.change_card(await self.counter.staff(), client.card_id, status=None, locked=True)

        await on_asyncio(change)

    async def attempts(self, client: Client) -> list[funding_rows.AttemptRow]:
        async def ask() -> list[funding_rows.AttemptRow]:
            return await funding_rows.attempts_of(await self.counter.root(), "account_id = $1", client.account_id)

        return await on_asyncio(ask)

    async def ended(self, client: Client) -> list[funding_rows.AttemptRow]:
        """The client's attempts, once all have ended."""
        with trio.fail_after(30):
            while True:
                rows = await self.attempts(client)
                if rows and all(row.wake_at is None for row in rows):
                    return rows
                await trio.sleep(0.05)

    async def until(self, client: Client, *states: str) -> None:
        """Waits until the client's newest attempt stands in one of these states."""
        with trio.fail_after(30):
            while not (rows := await self.attempts(client)) or rows[-1].state not in states:  # noqa: ASYNC110 -- a row tells nobody
                await trio.sleep(0.01)

    async def notices(self, client: Client) -> list[str]:
        """Their kinds, in order."""
        rows = await on_asyncio(self.counter.table, "notification", client)
        return [row["kind"] for row in sorted(rows, key=lambda row: row["notification_id"])]

    async def path(self, client: Client) -> list[str]:
        """The states that the client's only attempt went through, by its steps."""
        rows = await on_asyncio(self.counter.table, "funding_step", client)
        return [row["after"] for row in sorted(rows, key=lambda row: row["step_id"])]

    async def figures(self, client: Client) -> tuple[int, int]:
        """(posted, held)"""
        return await on_asyncio(self.counter.balance, client)

    async def check(self, *clients: Client) -> None:
        """No book contradicts itself, and what the provider has kept is on the accounts, to the yen."""
        assert await on_asyncio(self.counter.faults, *clients) == []

        async def loaded() -> int:
            total: int = await (await self.counter.root()).fetchval(
                "SELECT coalesce(sum(posted_delta), 0)::bigint FROM journal_entry WHERE cause = 'top_up'"
                " AND account_id = ANY ($1)",
                [client.account_id for client in clients],
            )
            return total

        assert await on_asyncio(loaded) == self.stage.kept_minor


@dataclass
class Daemon:
    """One daemon; ``say`` is what a network does."""

    desk: Desk
    loop: BatchLoop
    top_ups: TopUps
    address: ListenerAddress  # for networks that come by a socket

    async def say(self, request: Request, *, deadline_seconds: float = 8.0) -> Arrival:
        """Hands a message over and goes on at once."""
        arrival = self.desk.arrival(request, deadline_seconds=deadline_seconds)
        await self.loop.intake(arrival)
        return arrival

    async def settled(self, arrival: Arrival) -> None:
        """Waits until it is answered, or dropped."""
        await self.desk.line.unsettled[id(arrival)].wait()

    async def ask(self, request: Request, *, deadline_seconds: float = 8.0) -> str:
        """The reason of the answer; ``silence`` where none comes."""
        before = len(self.desk.line.sent)
        arrival = await self.say(request, deadline_seconds=deadline_seconds)
        with trio.move_on_after(deadline_seconds + 2):
            await self.settled(arrival)
        sent = self.desk.line.sent[before:]
        return str(sent[-1].reason) if sent else "silence"

    def purchase(self, client: Client, amount: int = 1_500, **changes: Any) -> Request:
        return self.desk.counter.request(client, Kind.AUTHORIZATION, amount, **changes)


@asynccontextmanager
async def at_the_desk(
    database: Database, directory: Path, *faults: Fault, provider: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[Desk]:
    """Everything but daemons, which come and go. ``provider`` has settings of the provider."""
    async with asyncio_loop(), staged(directory, *faults, **(provider or SHORT)) as stage:
        counter = Counter(database)
        try:
            yield Desk(counter, stage, **more)
        finally:
            with trio.CancelScope(shield=True):
                await on_asyncio(counter.close)
