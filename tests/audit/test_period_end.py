"""The end of a period: unused balances, what was issued and recovered, and the same figures whenever it is asked."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import pytest

from switch.audit.period_end import PeriodEnd
from switch.contracts.errors import SwitchError
from switch.contracts.message import Kind, Operation
from switch.journal import issuing
from tests.audit.support import PROGRAMS, at, load, period, tampered, tell
from tests.issuer.support import a_program
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database

FIRST, LAST = date(2024, 10, 1), date(2025, 3, 31)


async def half_a_year(counter: Counter) -> tuple[Client, Client]:
    """Two clients: 10,000 and 500 before the period; loads, purchases, a refund and a reversal in it; a debt at its end."""
    counter.now = at("2024-09-30 23:59:59.999999")
    one, other = await counter.client(10_000), await counter.client(500)
    counter.now = at("2024-10-01 00:00")
    await load(counter, one, 4_000, "first of the period")
    counter.now = at("2025-01-15 12:00")
    single = counter.request(one, Kind.FINANCIAL, 2_500)
    undone = counter.request(one, Kind.FINANCIAL, 1_000)
    await tell(
        counter,
        one,
        single,
        undone,
        counter.undo(one, undone),
        counter.request(one, Kind.FINANCIAL, 300, operation=Operation.REFUND),
        counter.request(one, Kind.AUTHORIZATION, 800),
    )
    counter.now = at("2025-03-31 23:59:59.999999")
    await tell(counter, other, counter.request(other, Kind.FINANCIAL_ADVICE, 620))
    return one, other


async def and_on(counter: Counter, *clients: Client) -> None:
    """From the very next midnight on."""
    counter.now = at("2025-04-01 00:00")
    for client in clients:
        await load(counter, client, 9_999, "next period")
        bought = counter.request(client, Kind.AUTHORIZATION, 111)
        await tell(counter, client, bought, counter.undo(client, bought))


def figures(one: PeriodEnd) -> dict[str, int]:
    return {name: value for name, value in msgspec.structs.asdict(one).items() if isinstance(value, int)}


EXPECTED = {
    "accounts": 2,
    "unused_minor": 11_800,
    "unused_less_holds_minor": 11_000,
    "held_minor": 800,
    "negative_accounts": 1,
    "negative_minor": -120,
    "negative_less_holds_minor": -120,
    "bonus_minor": 0,
    "opening_minor": 10_500,
    "issued_minor": 4_000,
    "granted_minor": 0,
    "recovered_minor": 2_820,  # 2,500 + 1,000 - 1,000 - 300 + 620
    "closing_minor": 11_680,
    "difference_minor": 0,
}


def test_the_figures_of_half_a_year(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        await and_on(counter, *await half_a_year(counter))
        report = await period(counter, FIRST, LAST)
        (plain,) = report.programs
        assert figures(plain) == EXPECTED
        assert (plain.program, plain.currency, plain.zone) == ("plain", "JPY", "Asia/Tokyo")
        assert (plain.opening, plain.closing) == (at("2024-09-30 23:59:59.999999"), at("2025-03-31 23:59:59.999999"))
        assert {(one.kind, str(one.purpose)): (one.entries, one.amount_minor) for one in plain.movements} == {
            ("hold", "set_aside"): (1, 800),
            ("load", "issued"): (1, 4_000),
            ("posting", "recovered"): (3, 4_120),
            ("posting_reversal", "recovered"): (1, 1_000),
            ("refund", "recovered"): (1, 300),
        }
        assert report.agrees

    on(database, scenario)


def test_what_is_booked_later_changes_no_figure(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        clients = await half_a_year(counter)
        before = await period(counter, FIRST, LAST)
        await and_on(counter, *clients)
        counter.now = at("2025-05-05 12:00")
        await counter.client(70_000)
        assert await period(counter, FIRST, LAST) == before

    on(database, scenario)


def test_periods_join_without_a_gap(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        await and_on(counter, *await half_a_year(counter))
        whole = (await period(counter, date(2024, 9, 1), date(2025, 4, 30))).programs[0]
        parts = [
            (await period(counter, first, last)).programs[0]
            for first, last in (
                (date(2024, 9, 1), date(2024, 9, 30)),
                (FIRST, LAST),
                (date(2025, 4, 1), date(2025, 4, 30)),
            )
        ]
        assert [one.opening_minor for one in parts[1:]] == [one.closing_minor for one in parts[:-1]]
        assert (whole.opening_minor, whole.closing_minor) == (parts[0].opening_minor, parts[-1].closing_minor)
        assert whole.issued_minor == sum(one.issued_minor for one in parts) == 10_500 + 4_000 + 2 * 9_999
        assert whole.recovered_minor == sum(one.recovered_minor for one in parts)

    on(database, scenario)


def test_value_that_the_issuer_gave_is_told_apart(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        counter.now = at("2025-03-01 12:00")
        client = await counter.client(1_000)
        staff = await counter.staff()
        assert await issuing.load_account(staff, client.lookup, 300, "gift", counter.now, bonus=True)
        # Bonus is spent first.
        await tell(counter, client, counter.request(client, Kind.FINANCIAL, 120))
        counter.now = at("2025-04-01 00:00")
        assert await issuing.load_account(staff, client.lookup, 50, "another", counter.now, bonus=True)

        (plain,) = (await period(counter, FIRST, LAST)).programs

        assert (plain.issued_minor, plain.granted_minor, plain.recovered_minor) == (1_000, 300, 120)
        assert (plain.unused_minor, plain.bonus_minor, plain.difference_minor) == (1_180, 180, 0)
        (later,) = (await period(counter, date(2025, 4, 1), date(2025, 4, 30))).programs
        assert (later.opening_minor, later.granted_minor, later.bonus_minor) == (1_180, 50, 230)

    on(database, scenario)


def test_every_program_has_its_own_midnight(database: Database) -> None:
    berlin = a_program(name="berlin", currency="EUR", time_zone="Europe/Berlin")

    async def scenario(counter: Counter) -> None:
        counter.now = at("2025-03-31 12:00")
        there = await counter.client(0, program="berlin", currency="EUR")
        here = await counter.client(0)
        for moment in ("2025-03-31 23:30", "2025-04-01 06:30", "2025-04-01 07:00"):  # the last is midnight in Berlin
            counter.now = at(moment)
            for client in (here, there):
                await load(counter, client, 100, moment)
        programs = {**PROGRAMS, "berlin": berlin}

        report = await period(counter, LAST, LAST, programs=programs)

        assert {one.program: (one.currency, one.issued_minor, one.unused_minor) for one in report.programs} == {
            "plain": ("JPY", 100, 100),
            "berlin": ("EUR", 200, 200),
        }
        (only,) = (await period(counter, LAST, LAST, "berlin", programs=programs)).programs
        assert only == next(one for one in report.programs if one.program == "berlin")
        with pytest.raises(SwitchError, match="'berlin'"):
            await period(counter, LAST, LAST)
        with pytest.raises(SwitchError, match="'nowhere'"):
            await period(counter, LAST, LAST, "nowhere", programs=programs)

    on(database, scenario)


def test_a_period_that_is_not_over_is_refused(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        today = await (await counter.root()).fetchval("SELECT (now() AT TIME ZONE 'Asia/Tokyo')::date")
        with pytest.raises(SwitchError, match="the day ends at"):
            await period(counter, FIRST, today + timedelta(days=1))

    on(database, scenario)


@pytest.mark.parametrize(
    ("statement", "seen"),
    [
        ("UPDATE journal_entry SET posted_after = posted_after + 9 WHERE seq = 2 AND posted_after < 0", (9, ())),
        ("UPDATE journal_entry SET posted_delta = 3990 WHERE kind = 'load' AND amount = 4000", (10, ())),
        ("UPDATE journal_entry SET kind = 'gift' WHERE kind = 'load' AND amount = 4000", (4_000, ("gift",))),
    ],
)
def test_figures_that_contradict_each_other_are_a_finding(
    database: Database, statement: str, seen: tuple[int, tuple[str, ...]]
) -> None:
    async def scenario(counter: Counter) -> None:
        await half_a_year(counter)
        await tampered(counter, statement)
        report = await period(counter, FIRST, LAST)
        assert not report.agrees
        assert [(one.difference_minor, one.unknown_kinds) for one in report.programs] == [seen]

    on(database, scenario)
