"""Cards, an acquirer, a provider and the daemon of the day: what a test does to them, step by step and in real time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from simulators.funding_source.faults import Fault, Faults, Script
from simulators.messages import Act, Message, as_repeat
from simulators.network import Habits
from switch.contracts.top_up import TopUpPolicy
from switch.funding.breaker import BreakerRules
from switch.funding.pace import Pace
from switch.journal import issuing
from switch.journal.bridge import on_asyncio
from tests.funding import refusal
from tests.funding.acquirer import Acquirer
from tests.funding.desk import Daemon, Desk, Killed, at_the_desk
from tests.funding.three_books import disagreements
from tests.issuer.support import a_program
from tests.journal.counter import Client
from tests.journal.server import Database

__all__ = ["BALANCE", "Street", "street"]

BALANCE = 1_000
CARDS = 2
# A machine that is too busy for these limits makes silence of an answer, and the books must agree all the same.
_LIMITS = {"connect_seconds": 0.15, "answer_seconds": 0.45}
_PACE = Pace(answer_seconds=0.6, pause_first_seconds=0.02, pause_max_seconds=0.1)
_SETTLE_SECONDS = 60.0


@dataclass
class Street:
    """Purchases are told and not waited for, unless it is said."""

    desk: Desk
    clients: list[Client]
    outside: trio.Nursery
    habits: Habits
    told: list[Message] = field(default_factory=list)
    taken_back: set[str] = field(default_factory=set)
    dies_at: str = ""  # the point where the daemon dies when it comes there
    deaths: int = 0
    kill: trio.Event = field(default_factory=trio.Event)
    dead: trio.Event = field(default_factory=trio.Event)
    acquirer: Acquirer | None = None

    # ── the acquirer

    async def buy(self, card: int, amount_minor: int, *, single: bool = False, wait: bool = False) -> None:
        network = self._acquirer
        make = network.single if single else network.purchase
        message = make(self.clients[card], amount_minor)
        self.told.append(message)
        await self._tell(message, wait=wait)

    async def reverse(self, which: int) -> None:
        """Any purchase, whatever has become of it: also one that waits for its money."""
        message = self.told[which % len(self.told)]
        self.taken_back.add(message.purchase)
        await self._tell(self._acquirer.reversal(message))

    async def repeat(self, which: int) -> None:
        """Unless the acquirer gave it up: what it takes back it does not ask for again."""
        message = self.told[which % len(self.told)]
        books = self._acquirer.books
        open_ones = {one.key for one in books.doubts() if one.act is not Act.REVERSAL}
        given_up = message.key not in open_ones and books.code(message) is None
        if message.purchase not in self.taken_back and not given_up and not self._unanswered(message):
            await self._tell(as_repeat(message))

    def _unanswered(self, message: Message) -> bool:
        return message.purchase in self._acquirer.network._stored

    async def _tell(self, message: Message, *, wait: bool = False) -> None:
        if wait:
            await self._acquirer.network.request(message)
        else:
            self._acquirer.network.submit(message, lambda _outcome: None)
            await trio.lowlevel.checkpoint()

    @property
    def _acquirer(self) -> Acquirer:
        assert self.acquirer is not None, "it comes with the first daemon"
        return self.acquirer

    # ── everything around

    async def lock(self, card: int, *, locked: bool) -> None:
        async def change() -> None:
            card_id = self.clients[card].card_id
            assert await issuing.change_card(await self.desk.counter.staff(), card_id, status=None, locked=locked)

        await on_asyncio(change)

    def next_faults(self, *faults: Fault) -> None:
        """Of the provider's; those that were to come are forgotten."""
        self.desk.stage.provider.faults = Faults(Script(fault=faults))

    async def refuse_at_once(self, *, refuses: bool) -> None:
        """Whether the money that has come may be spent in the commit that tells of it."""
        if refuses:
            await refusal.refuse(self.desk.counter, "at once")
        else:
            await refusal.lift(self.desk.counter)

    async def overdrawn(self) -> list[str]:
        """Balances below zero: nobody stands in here, so each is an approval without funds."""
        figures = [await self.desk.figures(client) for client in self.clients]
        return [f"{posted} posted, {held} held" for posted, held in figures if held > posted]

    async def settle(self) -> list[str]:
        """Until nothing is under way; then what the three books do not agree on."""
        with trio.fail_after(_SETTLE_SECONDS):
            while True:
                await self._acquirer.network.settled()
                rows = [row for client in self.clients for row in await self.desk.attempts(client)]
                if all(row.wake_at is None for row in rows):
                    break
                await trio.sleep(0.02)
        return await disagreements(self.desk, self._acquirer, self.clients)

    async def ends(self) -> list[str]:
        return [str(row.state) for client in self.clients for row in await self.desk.attempts(client)]

    # ── daemons

    async def one_dies(self) -> None:
        """At once, wherever it stands; another one comes."""
        dead = self.dead
        self.kill.set()
        await dead.wait()

    def _fault(self, here: str) -> None:
        if here == self.dies_at:
            self.dies_at = ""
            raise Killed

    async def daemons(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """One after the other."""
        while True:
            self.kill, self.dead = trio.Event(), trio.Event()
            try:
                async with self.desk.daemon(self._fault) as daemon:
                    await self._meet(daemon)
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    await self._killed()
            except* Killed:
                pass  # and nothing else: where the street closes meanwhile, that goes on
            self.deaths += 1
            self.dead.set()

    async def _killed(self) -> None:
        await self.kill.wait()
        raise Killed

    async def _meet(self, daemon: Daemon) -> None:
        if self.acquirer is None:
            self.acquirer = Acquirer(daemon, self.clients, BALANCE, self.habits)
            await self.outside.start(self.acquirer.network.run)
        else:
            self.acquirer.moves_to(daemon)


@asynccontextmanager
async def street(
    database: Database, directory: Path, *, budget_seconds: float, patience_seconds: float, faults: Sequence[Fault] = ()
) -> AsyncIterator[Street]:
    """``patience_seconds`` is the acquirer's: what it hears nothing of until then, it takes back."""
    habits = Habits(answer_timeout=patience_seconds, retry_after=0.05, reconnect_after=0.02)
    programs = {"plain": a_program(top_up=TopUpPolicy(currency="JPY", declines_max=100))}
    limits = {**_LIMITS, "breaker": BreakerRules(failures_max=1_000)}
    more = {"budget_seconds": budget_seconds, "lease_seconds": 0.3, "pace": _PACE, "programs": programs}
    async with (
        at_the_desk(database, directory, *faults, provider=limits, **more) as desk,
        trio.open_nursery() as outside,
    ):
        clients = [await desk.client(BALANCE) for _ in range(CARDS)]
        made = Street(desk, clients, outside, habits)
        await outside.start(made.daemons)
        try:
            yield made
        finally:
            with trio.CancelScope(shield=True):
                await refusal.lift(desk.counter)
        outside.cancel_scope.cancel()
