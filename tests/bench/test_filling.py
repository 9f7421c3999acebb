"""Full tables are what they were when they were empty, only full; and a disk that is too small is noticed at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from simulators.bench.generator import Order
from switch.bench import cards as bulk
from switch.bench.books import check_books
from switch.bench.cards import CardRange, issue_cards
from switch.bench.filling import FILLING, STRIDE, Size, fill
from switch.bench.growth import disk_bytes, growth_course
from switch.bench.speed import QUICK, Course
from switch.bench.stage import POSTGRES, BenchFailed, Server, Stage
from switch.daemon.settings import load_vault
from switch.journal.connection import Connection

SIZE = Size(name="full", entries=20_000, cards=40)

CATALOGUE = """
    SELECT 'table', c.relname, c.relpersistence::text, array_to_string(c.reloptions, ' '), c.relowner::regrole::text
      FROM pg_class c WHERE c.relnamespace = 'switch'::regnamespace AND c.relkind = 'r'
    UNION ALL
    SELECT 'index', c.relname, pg_get_indexdef(c.oid), i.indisvalid::text, i.indisready::text
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'switch'::regnamespace
    UNION ALL
    SELECT 'constraint', o.conname, pg_get_constraintdef(o.oid), o.convalidated::text, o.conrelid::regclass::text
      FROM pg_constraint o WHERE o.connamespace = 'switch'::regnamespace
    UNION ALL
    SELECT 'trigger', t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text, t.tgrelid::regclass::text
      FROM pg_trigger t WHERE NOT t.tgisinternal
"""


class _Filled(msgspec.Struct):
    stage: Stage
    before: list[tuple[object, ...]]  # the catalogue
    real: dict[str, int]  # rows of real messages and cards


async def _catalogue(connection: Connection) -> list[tuple[object, ...]]:
    return sorted(map(tuple, await connection.fetch(CATALOGUE)), key=str)


async def _rows(connection: Connection) -> dict[str, int]:
    tables = ("account", "card", "journal_entry", "hold", "message_key")
    return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("filling")) as running:
        yield running


@pytest.fixture(scope="module")
def filled(server: Server) -> _Filled:
    server.restart(FILLING)
    stage = Stage(server, "filled", connections=1)
    stage.prepare()
    before = server.ask("filled", _catalogue)
    issue_cards(stage, CardRange(first=0, count=SIZE.cards, stride=STRIDE), lambda _: None)
    with stage:
        stage.measure(Order(window=1, seconds=0.2, warm_up_seconds=0, cards=SIZE.cards))
    real = server.ask("filled", _rows)
    fill(stage, SIZE, lambda _: None)
    server.restart(POSTGRES)
    return _Filled(stage, before, real)


def test_indexes_constraints_and_triggers_are_what_they_were(server: Server, filled: _Filled) -> None:
    after = server.ask("filled", _catalogue)

    assert after == filled.before
    assert {row[0] for row in after} == {"table", "index", "constraint", "trigger"}


def test_every_table_has_the_promised_rows(server: Server, filled: _Filled) -> None:
    added = SIZE.cards * SIZE.each
    assert added + SIZE.cards == SIZE.entries
    assert filled.real["journal_entry"] == SIZE.cards + filled.stage.approved
    assert server.ask("filled", _rows) == {
        "account": filled.real["account"] + SIZE.cards,
        "card": SIZE.cards,
        "journal_entry": filled.real["journal_entry"] + added,
        "hold": filled.real["hold"] + added,
        "message_key": filled.real["message_key"] + added,
    }


def test_filler_lies_between_the_accounts_that_get_traffic(server: Server, filled: _Filled) -> None:
    async def accounts(connection: Connection) -> tuple[list[int], list[int]]:
        everyone = await connection.fetch("SELECT account_id FROM account ORDER BY 1")
        carded = await connection.fetch("SELECT account_id FROM card ORDER BY 1")
        return [row[0] for row in everyone], [row[0] for row in carded]

    everyone, carded = server.ask("filled", accounts)

    assert everyone == list(range(1, 2 * SIZE.cards + 1))
    assert carded == everyone[1::2]


def test_statistics_are_fresh_and_pages_known_to_be_visible(server: Server, filled: _Filled) -> None:
    async def work(connection: Connection) -> None:
        counted = await _rows(connection)
        for row in await connection.fetch(
            "SELECT relname, reltuples, relpages, relallvisible FROM pg_class WHERE relname = ANY ($1)", list(counted)
        ):
            # An estimate, where a table has more pages than ANALYZE looks at.
            assert row["reltuples"] == pytest.approx(counted[row["relname"]], rel=0.02)
            assert row["relallvisible"] == row["relpages"] > 0

    server.ask("filled", work)


def test_the_books_of_full_tables_agree_and_the_daemon_goes_on(filled: _Filled) -> None:
    before = filled.stage.approved
    with filled.stage as stage:
        stage.measure(Order(window=4, seconds=0.2, warm_up_seconds=0, cards=SIZE.cards))
        books = check_books(stage, entries_max=1_000)

    assert books.faults == []
    assert books.approved > before > 0


def test_nothing_to_fill_is_no_fault(server: Server) -> None:
    stage = Stage(server, "empty", connections=1)
    stage.prepare()
    told: list[str] = []

    fill(stage, Size(name="empty", entries=0, cards=5), told.append)

    assert told == ["empty: vacuum and analyze"]
    assert server.ask("empty", _rows)["account"] == 0


def test_cards_of_several_chunks(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_CHUNK", 7)
    stage = Stage(server, "cards", connections=1)
    stage.prepare()
    shares: list[float] = []

    issue_cards(stage, CardRange(first=3, count=20, stride=2), shares.append)

    found = server.ask(
        "cards",
        lambda connection: connection.fetch(
            "SELECT card_id, account_id, pan_lookup, pan_sealed, posted FROM card JOIN account USING (account_id)"
            " ORDER BY card_id"
        ),
    )
    assert [(row["card_id"], row["account_id"]) for row in found] == [(n, 2 * n) for n in range(4, 24)]
    vault = load_vault(stage.settings.vault)
    for row in found:
        assert vault.lookup(vault.decrypt(row["pan_sealed"], row["card_id"])) == row["pan_lookup"]
        assert row["posted"] == bulk.BALANCE_MINOR
    assert shares == [pytest.approx(share) for share in (7 / 20, 14 / 20, 1.0)]


def test_cards_that_have_been_used_have_no_first_purchase(server: Server) -> None:
    stage = Stage(server, "used", connections=1)
    stage.prepare()
    issue_cards(stage, CardRange(first=0, count=5, used=True), lambda _: None)
    state = """
        SELECT (SELECT count(*) FROM limit_usage) AS rows, (SELECT sum(lifetime_count) FROM limit_usage) AS purchases,
               count(a.expiry_due) AS deadlines, min(a.expiry_due) AS due, sum(a.seq) AS entries
          FROM account a
    """
    (before,) = server.ask("used", lambda connection: connection.fetch(state))

    with stage:
        approved = stage.measure(Order(window=4, seconds=0.2, warm_up_seconds=0, cards=5)).outcome.answered
        books = check_books(stage, entries_max=1_000)

    (after,) = server.ask("used", lambda connection: connection.fetch(state))
    assert books.faults == []
    assert (before["rows"], before["purchases"], before["deadlines"], before["entries"]) == (5, 0, 5, 5)
    assert (after["rows"], after["purchases"], after["deadlines"]) == (5, approved, 5)
    assert after["due"] == before["due"]
    assert after["entries"] == approved + 5


def test_too_little_disk_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    directory = tmp_path / "bench"
    directory.mkdir()
    server = Server(directory, disk_bytes=2**62)

    with pytest.raises(BenchFailed, match=r"about 46116860\d\d\.\d GB of disk are needed, .* GB are free in /"), server:
        pytest.fail("it was entered")

    assert not server.postgres.log_path.exists()
    assert list(tmp_path.iterdir()) == []


def test_the_disk_estimate_fits_what_the_tables_take(server: Server, filled: _Filled) -> None:
    taken = server.ask("filled", lambda connection: connection.fetchval("SELECT pg_database_size('filled')"))
    bare = server.ask("filled", lambda connection: connection.fetchval("SELECT pg_database_size('template1')"))
    course = growth_course(QUICK, 10_000)
    bigger = msgspec.structs.replace(
        course, sizes=(*course.sizes[:-1], msgspec.structs.replace(course.sizes[-1], entries=10_000 + SIZE.entries))
    )
    estimated = disk_bytes(bigger) - disk_bytes(course)

    assert 0.8 < (taken - bare) / estimated < 1.2, "an entry costs something else than growth.py says"
    assert disk_bytes(growth_course(Course(), 10**7)) > 9 * disk_bytes(growth_course(Course(), 10**6)) / 10
