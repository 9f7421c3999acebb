"""Accounting's figures beside the journal's, from totals down to entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.audit.comparison import Comparison
from switch.contracts.errors import SwitchError
from switch.contracts.message import Kind
from tests.audit.support import at, compared, load, period, tell
from tests.audit.test_period_end import FIRST, LAST, and_on, half_a_year
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database, Server

TOTALS = "as_of,from,program,currency,measure,amount\n"
ACCOUNTS = "as_of,from,program,currency,account,measure,amount\n"
ENTRIES = "from,as_of,account,reference,amount\n"


def written(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text)
    return path


async def books(counter: Counter) -> tuple[Client, Client]:
    clients = await half_a_year(counter)
    await and_on(counter, *clients)
    return clients


async def keys(counter: Counter, client: Client) -> list[str]:
    rows = await (await counter.root()).fetch(
        "SELECT encode(cause_key, 'hex') AS key FROM journal_entry WHERE account_id = $1 ORDER BY seq",
        client.account_id,
    )
    return [row["key"] for row in rows]


def differing(comparison: Comparison) -> list[tuple[int, int | None, int | None]]:
    assert comparison.differing == len(comparison.differences)
    return [(one.line, one.accounting_minor, one.journal_minor) for one in comparison.differences]


def test_totals_that_agree_and_totals_that_do_not(database: Database, tmp_path: Path) -> None:
    async def scenario(counter: Counter) -> None:
        await books(counter)
        right = {
            "posted": 11_680,
            "unused": 11_800,
            "negative": -120,
            "held": 800,
            "available": 10_880,
            "issued": 4_000,
            "granted": 0,
            "recovered": 2_820,
        }
        lines = [f"{LAST},{FIRST},plain,JPY,{measure},{amount}\n" for measure, amount in right.items()]
        agreed = await compared(counter, written(tmp_path, "right.csv", TOTALS + "".join(lines)))
        assert (agreed.compared, agreed.differing, agreed.agrees) == (8, 0, True)

        lines = [f"{LAST},{FIRST},plain,JPY,{measure},{amount + 1}\n" for measure, amount in right.items()]
        wrong = await compared(counter, written(tmp_path, "wrong.csv", TOTALS + "".join(lines)))
        assert differing(wrong) == [(at, minor + 1, minor) for at, minor in enumerate(right.values(), 2)]
        hints = {one.measure: one.hint for one in wrong.differences}
        assert hints["recovered"] == "the journal: posting 4,120, posting_reversal -1,000, refund -300"
        assert "by account" in hints["posted"]

    on(database, scenario)


def test_a_program_without_such_accounts_has_nothing(database: Database, tmp_path: Path) -> None:
    async def scenario(counter: Counter) -> None:
        await books(counter)
        path = written(tmp_path, "usd.csv", TOTALS + f"{LAST},,plain,USD,posted,5\n{LAST},,plain,USD,held,0\n")
        assert differing(await compared(counter, path)) == [(2, 5, 0)]

    on(database, scenario)


def test_accounts_that_differ_are_missing_or_are_of_another_program(database: Database, tmp_path: Path) -> None:
    async def scenario(counter: Counter) -> None:
        one, other = await books(counter)
        right = f"{LAST},,plain,JPY,{one.account_id},posted,11800\n{LAST},,plain,JPY,{other.account_id},posted,-120\n"
        assert (await compared(counter, written(tmp_path, "right.csv", ACCOUNTS + right))).agrees

        lines = f"{LAST},,plain,JPY,{one.account_id},posted,11900\n{LAST},,plain,JPY,987654,posted,3\n"
        wrong = await compared(counter, written(tmp_path, "wrong.csv", ACCOUNTS + lines))
        assert [
            (d.line, d.account, d.accounting_minor, d.journal_minor, d.difference_minor) for d in wrong.differences
        ] == [
            (2, one.account_id, 11_900, 11_800, 100),
            (3, 987_654, 3, None, 3),
            (0, other.account_id, None, -120, 120),
        ]
        assert "no such account" in wrong.differences[1].hint

        elsewhere = f"{LAST},,plain,USD,{one.account_id},held,800\n"
        (foreign,) = (await compared(counter, written(tmp_path, "usd.csv", ACCOUNTS + elsewhere))).differences
        assert (foreign.accounting_minor, foreign.journal_minor) == (800, None)

    on(database, scenario)


@pytest.mark.parametrize(
    ("measure", "one", "other"),
    [
        ("held", 800, 0),
        ("available", 11_000, -120),
        ("unused", 11_800, 0),
        ("issued", 4_000, 0),
        ("recovered", 2_200, 620),
    ],
)
def test_every_measure_by_account(database: Database, tmp_path: Path, measure: str, one: int, other: int) -> None:
    async def scenario(counter: Counter) -> None:
        clients = await books(counter)
        lines = [
            f"{LAST},{FIRST},plain,JPY,{client.account_id},{measure},{amount}\n"
            for client, amount in zip(clients, (one, other), strict=True)
        ]
        assert (await compared(counter, written(tmp_path, "a.csv", ACCOUNTS + "".join(lines)))).agrees
        # What is 0 need not be listed.
        wanted = [line for line in lines if not line.endswith(",0\n")]
        assert (await compared(counter, written(tmp_path, "b.csv", ACCOUNTS + "".join(wanted)))).agrees

    on(database, scenario)


def test_down_to_the_entries_that_differ(database: Database, tmp_path: Path) -> None:
    async def scenario(counter: Counter) -> None:
        one, other = await books(counter)
        _opening, loaded, single, undone, reversal, refund, _hold, *_later = await keys(counter, one)
        head = f"{FIRST},{LAST},{one.account_id}"
        right = {loaded: 4_000, single: -2_500, undone: -1_000, reversal: 1_000, refund: 300}
        lines = "".join(f"{head},{key},{amount}\n" for key, amount in right.items())
        assert (await compared(counter, written(tmp_path, "right.csv", ENTRIES + lines))).agrees

        theirs = {loaded: 4_000, single: -2_600, reversal: 1_000, refund: 300, "ab" * 16: -7}
        lines = "".join(f"{head},{key.upper()},{amount}\n" for key, amount in theirs.items())
        wrong = await compared(counter, written(tmp_path, "wrong.csv", ENTRIES + lines))

        assert [(d.reference, d.seq, d.accounting_minor, d.journal_minor, d.hint) for d in wrong.differences] == [
            (single, 3, -2_600, -2_500, "posting"),
            (undone, 4, None, -1_000, "posting"),
            ("ab" * 16, None, -7, None, ""),
        ]
        assert {d.account for d in wrong.differences} == {one.account_id}
        assert wrong.compared == 5 and other.account_id != one.account_id

    on(database, scenario)


def test_entries_of_one_message_are_one_amount(database: Database, tmp_path: Path) -> None:
    """A clearing beyond its hold is booked as two postings: to accounting it is one."""

    async def scenario(counter: Counter) -> None:
        counter.now = at("2025-01-15 12:00")
        client = await counter.client(1_000)
        held = counter.request(client, Kind.AUTHORIZATION, 300)
        advice = counter.request(client, Kind.FINANCIAL_ADVICE, 450, retrieval_reference=held.retrieval_reference)
        await tell(counter, client, held, advice)
        opening, _, posting, beyond = await keys(counter, client)
        assert posting == beyond
        head = f"{FIRST},{LAST},{client.account_id}"
        lines = f"{head},{opening},1000\n{head},{posting},-450\n"
        assert (await compared(counter, written(tmp_path, "entries.csv", ENTRIES + lines))).agrees

    on(database, scenario)


def test_no_more_is_named_of_a_file_than_was_asked_for(database: Database, tmp_path: Path) -> None:
    async def scenario(counter: Counter) -> None:
        await books(counter)
        lines = "".join(f"{LAST},,plain,JPY,{measure},1\n" for measure in ("posted", "held", "available"))
        files = [written(tmp_path, name, TOTALS + lines) for name in ("a.csv", "b.csv")]
        found = await compared(counter, *files, details=2)
        assert (found.compared, found.differing) == (6, 6)
        assert [one.file for one in found.differences] == ["a.csv"] * 2 + ["b.csv"] * 2

    on(database, scenario)


def test_the_reports_own_figures_agree_with_it(database: Database, tmp_path: Path) -> None:
    async def scenario(counter: Counter) -> None:
        one, _ = await books(counter)
        await load(counter, one, 5, "one more")
        (plain,) = (await period(counter, FIRST, LAST)).programs
        lines = f"{LAST},{FIRST},plain,JPY,issued,{plain.issued_minor}\n{LAST},{FIRST},plain,JPY,unused,{plain.unused_minor}\n"
        assert (await compared(counter, written(tmp_path, "own.csv", TOTALS + lines))).agrees

    on(database, scenario)


BAD_FILES = [
    ("", "columns"),
    ("as_of,amount\n", "columns"),
    (TOTALS.replace("measure", "Measure"), "columns"),
    (TOTALS.replace("from", "program"), "columns"),
    (TOTALS + "2025-02-30,,plain,JPY,posted,1\n", "line 2: as_of"),
    (TOTALS + f"{LAST},,plain,JPY,posted,1.5\n", "line 2: amount"),
    (TOTALS + f"{LAST},,plain,JPY,posted,\n", "line 2: amount"),
    (TOTALS + f"{LAST},,plain,JPY,posted\n", "line 2: there are more or fewer"),
    (TOTALS + f"{LAST},,plain,JPY,posted,1,2\n", "line 2: there are more or fewer"),
    (TOTALS + f"{LAST},,plain,JPY,wealth,1\n", "line 2: measure"),
    (TOTALS + f"{LAST},,plain,JPY,issued,1\n", "line 2: from is missing"),
    (TOTALS + f"{LAST},2025-04-01,plain,JPY,issued,1\n", "line 2: from 2025-04-01 lies behind"),
    (TOTALS + f"{LAST},,elsewhere,JPY,posted,1\n", "line 2: the programs file has no program 'elsewhere'"),
    (TOTALS + "2999-12-30,,plain,JPY,posted,1\n", "the day ends at"),
    (ACCOUNTS + f"{LAST},,plain,JPY,one,posted,1\n", "line 2: account 'one'"),
    (ACCOUNTS + f"{LAST},,plain,JPY,7,posted,1\n" * 2, "line 3: account 7 is listed twice"),
    (ENTRIES + f"{FIRST},{LAST},7,xyz,1\n", "line 2: reference"),
    (ENTRIES + f",{LAST},7,ab,1\n", "line 2: from is missing"),
    (ENTRIES + f"{FIRST},{LAST},7,ab,1\n" * 2, "line 3: reference ab is listed twice"),
    (ENTRIES + f"{FIRST},{LAST},7,ab,1\n", "line 2: there is no account 7"),
]


@pytest.fixture(scope="module")
def empty(postgres: Server) -> Database:
    return postgres.migrated()


@pytest.mark.parametrize(("text", "words"), BAD_FILES)
def test_what_cannot_be_read_is_refused_with_its_place(empty: Database, tmp_path: Path, text: str, words: str) -> None:
    async def scenario(counter: Counter) -> None:
        with pytest.raises(SwitchError, match=words):
            await compared(counter, written(tmp_path, "bad.csv", text))

    on(empty, scenario)


def test_a_file_in_another_encoding_is_refused(empty: Database, tmp_path: Path) -> None:
    async def scenario(counter: Counter) -> None:
        path = tmp_path / "latin.csv"
        path.write_bytes((TOTALS + f"{LAST},,pl\xe4in,JPY,posted,1\n").encode("latin-1"))
        with pytest.raises(SwitchError, match="not UTF-8"):
            await compared(counter, path)

    on(empty, scenario)
