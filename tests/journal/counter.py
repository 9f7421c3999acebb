"""A counter of the bank, as tests of the books see it: cards with accounts, messages, and what stands in the tables after.

Async throughout: a test runs its coroutine by :func:`on`, which gives it a counter and closes its connections.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from switch.contracts.message import Kind, Request
from switch.contracts.secret import Pan
from switch.issuer.books import Item
from switch.issuer.case import Decision
from switch.issuer.program import Program
from switch.issuer.stored import fingerprint, idempotency_key
from switch.journal import issuing, reads
from switch.journal.connection import Connection
from switch.journal.unit import UnitOfWork
from tests.issuer.support import CODES, a_program, a_request, original_of, pan
from tests.journal.server import Database

__all__ = ["Client", "Counter", "on"]

T = TypeVar("T")
_cards = itertools.count(1)
_stans = itertools.count(1)
PROGRAM = a_program(partial_approval=True)


@dataclass(frozen=True)
class Client:
    """A card with an account of its own, as one of its numbers shows it."""

    number: Pan
    lookup: bytes
    card_id: int
    account_id: int
    credential_id: int | None = None  # None: the card's own number


class Counter:
    """Opens cards, runs units of work and looks into the tables, all on one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._open: list[Connection] = []
        self._units: list[UnitOfWork] = []
        self._root: Connection | None = None
        self._staff: Connection | None = None
        self.now: datetime | None = None  # None: the clock on the wall

    async def close(self) -> None:
        for unit in self._units:
            await unit.close()
        for connection in self._open:
            if not connection.is_closed():
                await connection.close(timeout=2)

    async def connection(self, role: str = "postgres") -> Connection:
        """A connection of its own, closed at the end."""
        connection = await self.database.connect(role)
        self._open.append(connection)
        return connection

    async def root(self) -> Connection:
        """The superuser's connection."""
        if self._root is None:
            self._root = await self.connection()
        return self._root

    async def staff(self) -> Connection:
        """The issuing role's."""
        if self._staff is None:
            self._staff = await self.connection("switch_issuing")
        return self._staff

    def clock(self) -> datetime:
        return self.now or datetime.now(UTC)

    def unit(self, *, dsn: str = "", seconds: float = 15.0, programs: dict[str, Program] | None = None) -> UnitOfWork:
        """A unit of work with a connection of its own."""
        unit = UnitOfWork(
            self.database.settings(dsn=dsn, seconds=seconds),
            programs or {"plain": PROGRAM},
            CODES,
            self.clock,
        )
        self._units.append(unit)
        return unit

    async def client(self, balance_minor: int = 10_000, *, floor_minor: int = 0, **changes: Any) -> Client:
        """A new card with an opening balance."""
        number = pan(f"4{next(_cards):014d}")
        lookup = hashlib.sha256(number.reveal().encode()).digest()
        staff = await self.staff()
        card = issuing.NewCard(
            card_id=await issuing.next_card_id(staff),
            pan_lookup=lookup,
            pan_sealed=b"sealed",
            pan_masked=number.masked,
            program="plain",
            currency="JPY",
            floor_minor=floor_minor,
            expiry="3012",
            service_code="101",
            status="active",
            locked=False,
        )
        card = msgspec.structs.replace(card, **changes)
        account_id = await issuing.open_account(staff, card)
        if balance_minor:
            assert await issuing.load_account(staff, lookup, balance_minor, "opening", self.clock())
        return Client(number, lookup, card.card_id, account_id)

    async def further_card(self, client: Client) -> Client:
        """One more card of the client's account."""
        number = pan(f"5{next(_cards):014d}")
        lookup = hashlib.sha256(number.reveal().encode()).digest()
        card_id = await (await self.root()).fetchval(
            "INSERT INTO card (account_id, pan_lookup, pan_sealed, pan_masked, program, expiry, service_code, status)"
            " SELECT account_id, $2, pan_sealed, $3, program, expiry, service_code, status FROM card WHERE card_id = $1"
            " RETURNING card_id",
            client.card_id,
            lookup,
            number.masked,
        )
        return Client(number, lookup, card_id, client.account_id)

    async def credential(self, client: Client, **changes: Any) -> Client:
        """A further number of the client's card."""
        number = pan(f"35{next(_cards):013d}")
        staff = await self.staff()
        credential = issuing.NewCredential(
            credential_id=await issuing.next_credential_id(staff),
            card_id=client.card_id,
            pan_lookup=hashlib.sha256(number.reveal().encode()).digest(),
            pan_sealed=b"sealed",
            pan_masked=number.masked,
            expiry="3106",
            service_code="201",
            status="active",
            network="",
        )
        credential = msgspec.structs.replace(credential, **changes)
        await issuing.add_credential(staff, credential)
        return Client(number, credential.pan_lookup, client.card_id, client.account_id, credential.credential_id)

    async def two_numbers(self, balance_minor: int = 10_000, *, swapped: bool = False) -> tuple[Client, Client]:
        """A new card by a credential and by its own number, or the other way round."""
        card = await self.client(balance_minor)
        credential = await self.credential(card)
        return (card, credential) if swapped else (credential, card)

    # ── messages

    def request(
        self, client: Client, kind: Kind = Kind.AUTHORIZATION, amount: int = 1_000, /, **changes: Any
    ) -> Request:
        """A message of the client's, with a STAN that no other test uses and a retrieval reference of the same."""
        stan = f"{next(_stans):06d}"
        return a_request(
            kind,
            amount,
            **{"pan": client.number, "stan": stan, "retrieval_reference": f"RRN{stan}", **changes},
        )

    def undo(self, client: Client, request: Request, **changes: Any) -> Request:
        """A full reversal."""
        plain: dict[str, Any] = {
            "retrieval_reference": request.retrieval_reference,
            "original": original_of(request),
        }
        return self.request(client, Kind.REVERSAL, request.amount_minor, **{**plain, **changes})

    def item(self, client: Client, request: Request, **changes: Any) -> Item:
        """As the batch loop makes it."""
        return Item(
            request,
            idempotency_key(request, client.lookup),
            fingerprint(request),
            client.lookup,
            lambda reason: f"<{reason}>"[:40],
            **changes,
        )

    # ── what stands in the tables

    async def account(self, client: Client) -> reads.AccountShown:
        return (await reads.accounts(await self.root(), [client.account_id]))[0]

    async def balance(self, client: Client) -> tuple[int, int]:
        """(posted, held)"""
        shown = await self.account(client)
        return shown.posted, shown.held

    async def journal(self, client: Client) -> list[tuple[str, int]]:
        """(kind, amount) of every entry after the opening load."""
        root = await self.root()
        movements = [chained.entry.movement async for chained in reads.entries(root, client.account_id)]
        return [(str(m.kind), m.amount_minor) for m in movements if m.kind != "load"]

    async def faults(self, *clients: Client) -> list[reads.Fault]:
        root = await self.root()
        async with root.transaction(isolation="repeatable_read", readonly=True):
            found: list[reads.Fault] = []
            for shown in await reads.accounts(root, [client.account_id for client in clients]):
                found += await reads.verify(root, shown.account, shown)
        return found

    async def table(self, name: str, client: Client) -> list[dict[str, Any]]:
        """The account's rows, without what only tells the time."""
        rows = await (await self.root()).fetch(
            f"SELECT to_jsonb(t) - 'opened_at' - 'decided_at' - 'raised_at' - 'exception_id' AS row FROM {name} t"
            " WHERE account_id = $1 ORDER BY to_jsonb(t)::text",
            client.account_id,
        )
        return [msgspec.json.decode(row["row"]) for row in rows]

    async def snapshot(self, client: Client) -> dict[str, list[dict[str, Any]]]:
        """Everything that the database knows about the account."""
        names = ("account", "hold", "limit_usage", "journal_entry", "message_key", "exception_item")
        return {name: await self.table(name, client) for name in names}

    async def overtake(self, unit: UnitOfWork) -> None:
        """Lets another writer be quicker than ``unit`` once, on a new client's account: it locks for a while then."""
        client = await self.client(10_000)
        other = await self.connection()
        async with other.transaction():
            await other.execute("UPDATE account SET seq = seq WHERE account_id = $1", client.account_id)
            running = asyncio.ensure_future(unit.run([self.item(client, self.request(client))]))
            await self.until_one_waits()
        await running

    async def until_one_waits(self, application: str = "switch unit of work") -> int:
        """Waits until a backend of a unit of work (or another) waits for a lock, and gives its process id."""
        watcher = await self.connection()
        async with asyncio.timeout(10):
            while True:
                pid: int | None = await watcher.fetchval(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = $1 AND wait_event_type = 'Lock'",
                    application,
                )
                if pid is not None:
                    return pid
                await asyncio.sleep(0.01)


def on(database: Database, work: Callable[[Counter], Awaitable[T]]) -> T:
    """Runs a test's coroutine on an asyncio loop of its own."""

    async def run() -> T:
        counter = Counter(database)
        try:
            return await work(counter)
        finally:
            await counter.close()

    return asyncio.run(run())


def reasons(decisions: Sequence[Decision]) -> list[str]:
    return [str(decision.reason) for decision in decisions]
