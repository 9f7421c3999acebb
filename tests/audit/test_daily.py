"""The daily close: what agrees, what is counted, and what a superuser changed."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from switch.audit.daily import DailyClose
from switch.contracts.clearing import ClearingKind, Instruction, InstructionKind
from switch.contracts.errors import SwitchError
from switch.contracts.message import Kind, Operation, StandIn
from switch.journal import issuing
from tests.audit.support import DAY, at, closed, load, presented, tampered, tell
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database

BERLIN = ZoneInfo("Europe/Berlin")


async def a_day(counter: Counter) -> Client:
    """One client's 31 March: a load, and one of each kind of message."""
    counter.now = at("2025-03-31 09:00")
    client = await counter.client(10_000)
    bought = counter.request(client, Kind.AUTHORIZATION, 3_000)
    cleared = counter.request(client, Kind.AUTHORIZATION, 2_000, network="east")
    single = counter.request(client, Kind.FINANCIAL, 500)
    late = counter.request(client, Kind.AUTHORIZATION, 40)
    await tell(
        counter,
        client,
        bought,
        counter.undo(client, bought, replacement_amount_minor=1_000),
        cleared,
        # 1,900 of 2,000: the rest is set free.
        counter.request(
            client, Kind.FINANCIAL_ADVICE, 1_900, network="east", retrieval_reference=cleared.retrieval_reference
        ),
        single,
        counter.undo(client, single),
        counter.request(client, Kind.FINANCIAL, 70, operation=Operation.REFUND),
        counter.request(client, Kind.AUTHORIZATION, 99_999_999),
        counter.request(client, Kind.AUTHORIZATION_ADVICE, 250, stand_in=StandIn.APPROVED),
        late,
    )
    await tell(counter, client, late, withdraw=True)
    return client


def totals(report: DailyClose) -> dict[tuple[str, str], tuple[int, ...]]:
    return {
        (one.network, one.kind): (
            one.messages,
            one.approved,
            one.withdrawn,
            one.told_minor,
            one.booked_minor,
            one.freed_minor,
            one.differ,
        )
        for one in report.messages
    }


def test_a_day_of_every_kind_agrees(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        await a_day(counter)
        report = await closed(counter)

        assert totals(report) == {
            # messages, approved, withdrawn, told, booked, freed, differ
            ("east", "authorization"): (1, 1, 0, 2_000, 2_000, 0, 0),
            ("east", "financial_advice"): (1, 1, 0, 1_900, 1_900, 100, 0),
            ("west", "authorization"): (3, 1, 1, 3_040, 3_040, 0, 0),
            ("west", "authorization_advice"): (1, 1, 0, 250, 250, 0, 0),
            ("west", "financial"): (2, 2, 0, 570, 570, 0, 0),
            ("west", "reversal"): (2, 2, 0, 2_500, 2_500, 0, 0),
        }
        assert {(one.cause, one.kind): (one.entries, one.amount_minor) for one in report.booked} == {
            ("load", "load"): (1, 10_000),
            ("message", "hold"): (4, 5_290),
            ("message", "posting"): (2, 2_400),
            ("message", "posting_reversal"): (1, 500),
            ("message", "refund"): (1, 70),
            ("message", "release"): (2, 2_100),
            ("withdrawal", "release"): (1, 40),
        }
        assert [msgspec.structs.astuple(one) for one in report.settlement] == [
            ("east", "JPY", 1_900, 0, 1_900),
            ("west", "JPY", 500, 570, -70),
        ]
        (yen,) = report.positions
        assert (yen.accounts, yen.posted_minor, yen.held_minor, yen.available_minor) == (1, 8_170, 1_250, 6_920)
        assert yen.now_account_posted_minor == yen.now_journal_posted_minor == 8_170
        assert yen.now_account_held_minor == yen.now_journal_held_minor == yen.now_open_holds_minor == 1_250
        assert [msgspec.structs.astuple(one) for one in report.open_holds] == [("JPY", "0-1", 2, 1_250)]
        assert report.agrees and report.findings == []

    on(database, scenario)


def test_a_day_without_anything(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        report = await closed(counter)
        assert report.agrees
        assert (report.messages, report.positions, report.open_holds) == ([], [], [])

    on(database, scenario)


@pytest.mark.parametrize("role", ["switch_auditor", "switch_console", "switch_daemon"])
def test_a_role_that_may_only_read_is_enough(database: Database, role: str) -> None:
    async def scenario(counter: Counter) -> None:
        await a_day(counter)
        assert (await closed(counter, role=role)).agrees

    on(database, scenario)


def test_what_is_booked_later_does_not_change_the_day(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await a_day(counter)
        before = await closed(counter)
        counter.now = at("2025-04-01 00:00")
        await load(counter, client, 777, "next day")
        await tell(counter, client, counter.request(client, Kind.FINANCIAL_ADVICE, 50_000))
        after = await closed(counter)

        assert after.positions != before.positions, "the columns of now have gone on"
        now = [name for name in after.positions[0].__struct_fields__ if name.startswith("now_")]
        same = msgspec.structs.replace(after.positions[0], **{name: getattr(before.positions[0], name) for name in now})
        assert msgspec.structs.replace(after, positions=[same]) == before

    on(database, scenario)


# ── where a day ends


@pytest.mark.parametrize(
    ("moment", "zone", "day"),
    [
        ("2025-03-31 23:59:59.999", "Asia/Tokyo", date(2025, 3, 31)),
        ("2025-03-31 23:59:59.999999", "Asia/Tokyo", date(2025, 3, 31)),
        ("2025-04-01 00:00", "Asia/Tokyo", date(2025, 4, 1)),
        ("2025-03-31 00:00", "Asia/Tokyo", date(2025, 3, 31)),
        # 23 hours: clocks go forward on the 30th.
        ("2025-03-30 00:00", "Europe/Berlin", date(2025, 3, 30)),
        ("2025-03-30 23:59:59.999999", "Europe/Berlin", date(2025, 3, 30)),
        ("2025-03-31 00:00", "Europe/Berlin", date(2025, 3, 31)),
        # 25 hours: and back on the 26th.
        ("2025-10-26 00:00", "Europe/Berlin", date(2025, 10, 26)),
        ("2025-10-26 23:59:59.999999", "Europe/Berlin", date(2025, 10, 26)),
        ("2025-10-27 00:00", "Europe/Berlin", date(2025, 10, 27)),
    ],
)
def test_a_moment_falls_on_one_day(database: Database, moment: str, zone: str, day: date) -> None:
    async def scenario(counter: Counter) -> None:
        here = ZoneInfo(zone)
        counter.now = at(moment, here)
        client = await counter.client(1_000)
        await tell(counter, client, counter.request(client, Kind.AUTHORIZATION, 300))

        async def seen(on_day: date) -> tuple[list[int], list[int], list[int]]:
            report = await closed(counter, on_day, here)
            return (
                [one.messages for one in report.messages],
                [one.entries for one in report.booked],
                [one.held_minor for one in report.positions],
            )

        assert await seen(day - timedelta(days=1)) == ([], [], [0])
        assert await seen(day) == ([1], [1, 1], [300])
        assert await seen(day + timedelta(days=1)) == ([], [], [300])

    on(database, scenario)


def test_a_day_that_is_not_over_is_refused(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        root = await counter.root()
        today: date = await root.fetchval("SELECT (now() AT TIME ZONE 'Asia/Tokyo')::date")
        with pytest.raises(SwitchError, match="the day ends at"):
            await closed(counter, today + timedelta(days=1))

    on(database, scenario)


# ── holds and accounts that people look at


def test_open_holds_by_their_age_on_that_day(database: Database) -> None:
    ages = [0, 1, 2, 7, 8, 30, 31, 60, 61, 300]

    async def scenario(counter: Counter) -> None:
        # Each on an account of its own: a later request would let an older hold of the same account expire.
        for age in ages:
            counter.now = at(f"{DAY - timedelta(days=age)} 23:00" if age % 2 else f"{DAY - timedelta(days=age)} 00:00")
            client = await counter.client(10_000)
            await tell(counter, client, counter.request(client, Kind.AUTHORIZATION, 1_000 + age))
        counter.now = at("2025-04-02 00:00")
        client = await counter.client(10_000)
        ended = counter.request(client, Kind.AUTHORIZATION, 5)
        await tell(counter, client, ended, counter.undo(client, ended))

        assert [msgspec.structs.astuple(one) for one in (await closed(counter)).open_holds] == [
            ("JPY", "0-1", 2, 2_001),
            ("JPY", "2-7", 2, 2_009),
            ("JPY", "8-30", 2, 2_038),
            ("JPY", "31-60", 2, 2_091),
            ("JPY", ">60", 2, 2_361),
        ]

    on(database, scenario)


def test_a_hold_that_ended_since_was_open_then(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        counter.now = at("2025-03-31 20:00")
        client = await counter.client(10_000)
        bought = counter.request(client, Kind.AUTHORIZATION, 3_000)
        await tell(counter, client, bought)
        counter.now = at("2025-04-01 00:00")
        await tell(counter, client, counter.undo(client, bought))

        assert [(one.count, one.held_minor) for one in (await closed(counter)).open_holds] == [(1, 3_000)]
        assert (await closed(counter, date(2025, 4, 1))).open_holds == []

    on(database, scenario)


def test_accounts_below_zero_and_exceptions_are_told_and_are_no_findings(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        counter.now = at("2025-03-31 20:00")
        clients = [await counter.client(100) for _ in range(3)]
        for owed, client in enumerate(clients, 1):
            await tell(counter, client, counter.request(client, Kind.FINANCIAL_ADVICE, 100 + owed))
        counter.now = at("2025-04-01 00:00")
        await load(counter, clients[0], 1_000, "paid back")

        report = await closed(counter, details=2)

        assert [(one.account, one.available_minor) for one in report.negative] == [
            (clients[2].account_id, -3),
            (clients[1].account_id, -2),
        ]
        (yen,) = report.positions
        assert (yen.negative_accounts, yen.negative_minor) == (3, -6)
        assert [(one.kind, one.count) for one in report.exceptions] == [("below_floor", 3)]
        assert report.agrees

    on(database, scenario)


# ── after the authorization


def test_clearing_expiry_and_bonus_agree_and_are_told_apart(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        counter.now = at("2025-03-01 09:00")
        client = await counter.client(10_000)
        staff = await counter.staff()
        assert await issuing.load_account(staff, client.lookup, 300, "gift", counter.now, bonus=True)
        cleared, left = (counter.request(client, Kind.AUTHORIZATION, amount) for amount in (2_000, 700))
        await tell(counter, client, cleared, left)
        counter.now = at("2025-03-31 09:00")
        await tell(
            counter,
            client,
            presented(counter, client, 1_500, 1, retrieval_reference=cleared.retrieval_reference),
            presented(
                counter, client, 400, 2, retrieval_reference=cleared.retrieval_reference, operation=Operation.REFUND
            ),
            presented(counter, client, 1_500, 3, what=ClearingKind.CHARGEBACK, acquirer_reference="ARN1"),
            presented(counter, client, 60, 4, retrieval_reference="of nobody"),
        )
        assert (await counter.unit().expire(10)).holds >= 1

        report = await closed(counter)

        assert report.agrees, report.findings
        assert totals(report) == {("west", "presentment"): (4, 4, 0, 3_460, 3_460, 500, 0)}
        booked = {(one.cause, one.kind): one.amount_minor for one in report.booked}
        assert booked["expiry", "expiry"] == 700
        assert (booked["presentment", "chargeback"], booked["presentment", "refund"]) == (1_500, 400)
        assert [one.net_minor for one in report.settlement] == [1_500 + 60 - 400 - 1_500]
        await tampered(counter, "UPDATE account SET bonus_posted = bonus_posted + 1")
        assert {one.account for one in (await closed(counter)).findings} == {client.account_id}

    on(database, scenario)


def test_a_record_in_doubt_counts_on_the_day_on_which_a_person_settles_it(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        counter.now = at("2025-03-31 09:00")
        client = await counter.client(10_000)
        record = presented(counter, client, 900, 1, what=ClearingKind.CHARGEBACK)
        await tell(counter, client, record)
        before = await closed(counter)
        counter.now = at("2025-04-01 09:00")
        force = Instruction(kind=InstructionKind.FORCE, by="ann")
        assert record.clearing is not None
        await tell(
            counter,
            client,
            msgspec.structs.replace(record, clearing=msgspec.structs.replace(record.clearing, instruction=force)),
        )

        after, next_day = await closed(counter), await closed(counter, date(2025, 4, 1))

        assert before.agrees and after.agrees and next_day.agrees
        assert totals(before) == totals(after) == {("west", "presentment"): (1, 1, 0, 0, 0, 0, 0)}
        assert totals(next_day) == {("west", "presentment"): (0, 0, 0, 900, 900, 0, 0)}

    on(database, scenario)


# ── tampering: as a superuser who switched the triggers off

TAMPERINGS = [
    # (statement on one account, check that finds it, the entry, words of the finding)
    ("UPDATE account SET posted = posted + 1 WHERE account_id = $1", "accounts", 0, "the account says posted=8171"),
    ("UPDATE account SET held = held - 1 WHERE account_id = $1", "accounts", 0, "the account says"),
    ("UPDATE account SET seq = seq + 1 WHERE account_id = $1", "accounts", 0, "the account says"),
    ("DELETE FROM account WHERE account_id = $1", "accounts", 0, "no such account"),
    ("UPDATE journal_entry SET amount = amount + 1 WHERE account_id = $1 AND seq = 2", "accounts", 0, "by their sides"),
    ("UPDATE journal_entry SET amount = amount + 1 WHERE account_id = $1 AND seq = 2", "accounts", 2, "was hashed"),
    ("UPDATE journal_entry SET amount = amount + 1 WHERE account_id = $1 AND seq = 2", "messages", 2, "entries 3,001"),
    ("UPDATE journal_entry SET posted_delta = 0 WHERE account_id = $1 AND seq = 5", "accounts", 5, "balances"),
    ("UPDATE journal_entry SET debit = 'issuer.funding' WHERE account_id = $1 AND seq = 2", "accounts", 2, "hashed"),
    ("DELETE FROM journal_entry WHERE account_id = $1 AND seq = 2", "messages", 0, "tells 3,000 JPY, its entries 0"),
    ("DELETE FROM journal_entry WHERE account_id = $1 AND seq = 2", "accounts", 3, "missing"),
    ("DELETE FROM message_key WHERE account_id = $1 AND kind = 'financial_advice'", "messages", 5, "is not there"),
    ("UPDATE message_key SET moved = 1 WHERE account_id = $1 AND kind = 'authorization_advice'", "messages", 10, "tells 1 "),
    ("UPDATE message_key SET trace = '[]' WHERE account_id = $1 AND kind = 'reversal' AND amount = 3000", "messages", 3, "tells 0"),
    ("UPDATE hold SET held = held + 7 WHERE account_id = $1 AND state = 'open' AND held = 1000", "accounts", 0, "sum to 1257"),
    ("UPDATE journal_entry SET currency = 'USD' WHERE account_id = $1 AND seq = 1", "accounts", 1, "hashed"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "check", "seq", "words"), TAMPERINGS, ids=[f"{t[1]}-{t[0]}" for t in TAMPERINGS])
def test_tampering_is_found_and_named(database: Database, statement: str, check: str, seq: int, words: str) -> None:
    async def scenario(counter: Counter) -> None:
        client, honest = await a_day(counter), await a_day(counter)
        assert (await closed(counter)).agrees
        await tampered(counter, statement, client.account_id)

        report = await closed(counter)

        assert not report.agrees
        assert honest.account_id not in {finding.account for finding in report.findings}
        found = [one for one in report.findings if (one.check, one.account, one.seq) == (check, client.account_id, seq)]
        assert any(words in one.what for one in found), report.findings
        for one in found:
            assert (one.check == "messages") == bool(one.reference)

    on(database, scenario)


def test_money_moved_between_two_accounts_shows_though_the_sums_agree(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        one, other = await a_day(counter), await a_day(counter)
        await tampered(
            counter,
            "UPDATE account SET posted = posted + CASE account_id WHEN $1 THEN 5 ELSE -5 END WHERE account_id IN ($1, $2)",
            one.account_id,
            other.account_id,
        )
        report = await closed(counter)
        (yen,) = report.positions
        assert yen.now_account_posted_minor == yen.now_journal_posted_minor
        assert {finding.account for finding in report.findings} == {one.account_id, other.account_id}

    on(database, scenario)


def test_no_more_is_named_than_was_asked_for_and_all_is_counted(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        for _ in range(3):
            await a_day(counter)
        await tampered(counter, "UPDATE account SET posted = posted + 1")
        await tampered(counter, "UPDATE message_key SET moved = moved + 1 WHERE kind = 'financial'")
        report = await closed(counter, details=2)
        assert (report.contrary_messages, report.contrary_accounts) == (6, 3)
        assert [one.check for one in report.findings] == ["messages"] * 2 + ["accounts"] * 2

    on(database, scenario)
