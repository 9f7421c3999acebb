"""The balance as of any past moment is what `account show` said then."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.contracts.clearing import ClearingKind
from switch.contracts.message import Kind, Operation, Request, StandIn
from switch.journal import asof, reads
from switch.journal.reads import AccountShown
from tests.audit.support import TOKYO, at, closed, load, presented, tampered, tell
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database, Server

MICROSECOND = timedelta(microseconds=1)

#: What comes next: what it is, its amount, which earlier message it is about, and how much later it is decided.
STEPS = [
    "authorise", "single", "refund", "increment", "reverse", "reverse_in_part", "stand_in", "decline", "advise", "withdraw",
    "repeat", "load", "present", "present_part", "bring_back", "take_back", "charge_back", "expire",
]  # fmt: skip
CLEARED: dict[str, dict[str, Any]] = {
    "present": {},
    "present_part": {"final": False},
    "bring_back": {"operation": Operation.REFUND},
    "take_back": {"what": ClearingKind.PRESENTMENT_REVERSAL},
    "charge_back": {"what": ClearingKind.CHARGEBACK},
}
ABOUT_PURCHASES = {"increment", "stand_in", "decline", "advise"}
pauses = st.sampled_from(
    [timedelta(0), MICROSECOND, timedelta(milliseconds=1), timedelta(seconds=40), timedelta(days=1, hours=5)]
)
steps = st.tuples(st.sampled_from(STEPS), st.integers(1, 4_000), st.integers(0, 20), pauses, st.integers(0, 1))


class Told:
    """Two accounts, what was told of them, and what `account show` said after each message."""

    def __init__(self, counter: Counter, clients: list[Client]) -> None:
        self.counter = counter
        self.clients = clients
        self.requests: list[list[Request]] = [[] for _ in clients]
        self.records = 0
        self.said: dict[datetime, list[AccountShown]] = {}

    async def step(self, what: str, amount: int, pick: int, which: int) -> None:
        client, earlier = self.clients[which], self.requests[which]
        if what == "load":
            await load(self.counter, client, amount, f"load-{len(self.said)}-{pick}-{self.counter.clock()}")
            return
        if what == "expire":
            await self.counter.unit().expire(1_000)
            return
        about = earlier[pick % len(earlier)] if earlier else None
        request = self.request(what, client, amount, about)
        if request is not None:
            if request is not about:
                earlier.append(request)
            await tell(self.counter, client, request, withdraw=what == "withdraw")

    def request(self, what: str, client: Client, amount: int, about: Request | None) -> Request | None:
        """A message that begins something, or one about an earlier message."""
        new = self.counter.request
        match what:
            case "authorise":
                return new(client, Kind.AUTHORIZATION, amount)
            case "single":
                return new(client, Kind.FINANCIAL, amount)
            case "refund":
                return new(client, Kind.FINANCIAL, amount, operation=Operation.REFUND)
        if about is None or (about.operation is Operation.REFUND and what in ABOUT_PURCHASES):
            return None
        same = {"retrieval_reference": about.retrieval_reference}
        match what:
            case "increment":
                return new(client, Kind.AUTHORIZATION, amount, incremental=True, **same)
            case "stand_in":
                return new(client, Kind.AUTHORIZATION_ADVICE, amount, stand_in=StandIn.APPROVED, **same)
            case "decline":
                return new(client, Kind.AUTHORIZATION_ADVICE, amount, stand_in=StandIn.DECLINED, **same)
            case "advise":
                return new(client, Kind.FINANCIAL_ADVICE, amount, **same)
            case "repeat":
                return about
        if what in CLEARED:
            return self.record(client, amount, about, **CLEARED[what])
        return None if about.clearing is not None else self.undoing(what, client, about)

    def undoing(self, what: str, client: Client, about: Request) -> Request:
        """A message is undone by its network; an approval that nobody heard, by the house."""
        if what == "withdraw":
            return about
        final = max(1, about.amount_minor // 2) if what == "reverse_in_part" else None
        return self.counter.undo(client, about, replacement_amount_minor=final)

    def record(self, client: Client, amount: int, about: Request, **changes: Any) -> Request | None:
        """A clearing record for a purchase, or about a record."""
        if "what" in changes:
            if about.clearing is None:
                return None
            changes["acquirer_reference"] = about.clearing.acquirer_reference
        self.records += 1
        return presented(
            self.counter, client, amount, self.records, retrieval_reference=about.retrieval_reference, **changes
        )

    async def look(self) -> None:
        """What is shown at one moment is what was shown last at it."""
        root = await self.counter.root()
        self.said[self.counter.clock()] = await reads.accounts(root, [client.account_id for client in self.clients])


@pytest.fixture(scope="module")
def shared(postgres: Server) -> Database:
    return postgres.migrated()


@settings(max_examples=40)
@given(several=st.lists(steps, min_size=1, max_size=25))
def test_as_of_any_moment_is_what_account_show_said_then(
    shared: Database, several: list[tuple[str, int, int, timedelta, int]]
) -> None:
    async def scenario(counter: Counter) -> None:
        counter.now = at("2025-03-31 23:59:58")
        opened = [await counter.client(9_000), await counter.client(500)]
        told = Told(counter, opened)
        await told.look()
        for what, amount, pick, pause, which in several:
            counter.now += pause
            await told.step(what, amount, pick, which)
            await told.look()

        auditor = await counter.connection("switch_auditor")
        moments = list(told.said)
        for moment, until in zip(moments, [*moments[1:], moments[-1] + timedelta(days=400)], strict=True):
            # From the moment itself to just before the next one.
            for asked in {moment, until - MICROSECOND} if until > moment else {moment}:
                wanted = [(client.account_id, asked) for client in opened]
                assert await asof.accounts_as_of(auditor, wanted) == told.said[moment], asked
        before = [(client.account_id, moments[0] - MICROSECOND) for client in opened]
        assert await asof.accounts_as_of(auditor, before) == []
        # And what the messages told of each day is what was booked.
        mine = {client.account_id for client in opened}
        for day in sorted({moment.astimezone(TOKYO).date() for moment in moments}):
            report = await closed(counter, day, details=10_000)
            assert [finding for finding in report.findings if finding.account in mine] == []

    on(shared, scenario)


def test_an_account_without_entries_is_there_from_its_opening_on(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(0)
        root = await counter.root()
        opened = await root.fetchval("SELECT opened_at FROM account WHERE account_id = $1", client.account_id)
        shown = await asof.accounts_as_of(root, [(client.account_id, opened)])
        assert shown == [AccountShown(client.account_id, "JPY", 0, 0, 0, 0)] == await reads.accounts(root)
        assert await asof.accounts_as_of(root, [(client.account_id, opened - MICROSECOND)]) == []

    on(database, scenario)


def test_each_account_has_its_own_moment_and_they_come_in_the_order_asked(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        counter.now = at("2025-03-31 12:00")
        one, other = await counter.client(1_000), await counter.client(2_000)
        counter.now = at("2025-04-01 12:00")
        await load(counter, one, 10, "a")
        await load(counter, other, 20, "b")
        root = await counter.root()
        wanted = [(other.account_id, at("2025-04-01 12:00")), (one.account_id, at("2025-03-31 18:00"))]
        assert [(each.account, each.posted) for each in await asof.accounts_as_of(root, wanted)] == [
            (other.account_id, 2_020),
            (one.account_id, 1_000),
        ]

    on(database, scenario)


def test_where_clocks_disagree_the_newest_entry_by_number_decides(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        counter.now = at("2025-03-31 12:00:02")
        client = await counter.client(1_000)
        counter.now = at("2025-03-31 12:00:01")  # another machine, a second behind
        await load(counter, client, 10, "a")
        root = await counter.root()

        async def as_of(text: str) -> list[tuple[int, int]]:
            found = await asof.accounts_as_of(root, [(client.account_id, at(text))])
            return [(one.posted, one.seq) for one in found]

        assert await as_of("2025-03-31 12:00:00.999999") == []
        assert await as_of("2025-03-31 12:00:01") == [(1_010, 2)]
        assert await as_of("2025-03-31 12:00:02") == [(1_010, 2)]

    on(database, scenario)


def test_the_search_goes_backwards_along_the_primary_key(database: Database) -> None:
    """No scan, no sort: it reads what was booked since the moment, and one entry more."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000)
        root = await counter.root()
        await tampered(
            counter,
            "INSERT INTO journal_entry SELECT a + e.account_id, s, e.kind, e.debit, e.credit, e.amount, e.currency,"
            " e.posted_delta, e.held_delta, e.posted_after, e.held_after, e.hold_id, e.cause, e.cause_key,"
            " e.transmitted_at, e.booked_at + s * interval '1 s', e.prev_hash, e.hash"
            " FROM journal_entry e, generate_series(1, 50) a, generate_series(1, 200) s",
        )
        await root.execute("ANALYZE journal_entry")
        plan = await root.fetch(
            f"EXPLAIN {asof._AS_OF.replace('$1', f'ARRAY[{client.account_id}]').replace('$2', 'ARRAY[now()]')}"
        )
        text = "\n".join(row[0] for row in plan)
        assert "Index Scan Backward using journal_entry_pkey" in text
        assert "Seq Scan on journal_entry" not in text

    on(database, scenario)
