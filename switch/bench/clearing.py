"""The course of ``switch bench --clearing N``: a file of N records, killed now and then, beside PostgreSQL's COPY.

Nine in ten records settle an authorization that was booked before, most of the very amount; the rest come without
one. ``switch clearing ingest`` runs as an operator runs it, as a process of its own; where it is killed (``kill
-9``, at moments drawn at random), it is started again. At the end every record must be booked once and the sums
must be the file's.

COPY then takes the same rows (entries, stored messages, clearing records) into empty tables with the same columns,
keys and indexes: what no program that keeps the journal could be quicker than.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from simulators.bench.frames import DIALECT, card_number
from simulators.clearing_files import Entry, FileHead, Purchase, presentment, write
from switch.bench.cards import CardRange, issue_cards
from switch.bench.filling import Telling
from switch.bench.machine import Machine, describe_machine
from switch.bench.processes import cpu_seconds, memory_of
from switch.bench.report import machine_lines
from switch.bench.speed import Progress
from switch.bench.stage import BenchFailed, Server, Stage
from switch.contracts.message import Kind, Operation, Request
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan
from switch.daemon.settings import load_programs, load_security_codes, load_vault
from switch.issuer.books import Item
from switch.issuer.stored import fingerprint, idempotency_key
from switch.journal.connection import Connection
from switch.journal.unit import UnitOfWork

__all__ = ["ClearingReport", "clearing_table", "run_clearing"]

_UNIT = 500
_LOOK_SECONDS = 0.25
_CARDS_MAX = 100_000
_ALONE_ONE_IN = 10
_ROWS = {
    "journal_entry": "cause = 'presentment'",
    "message_key": "kind = 'presentment'",
    "clearing_item": "true",
}


class ClearingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. ``seconds`` are those of all runs over the file together, its checks and starts
    included.
    """

    machine: Machine
    postgres_settings: dict[str, str]
    records: int
    cards: int
    authorizations_per_second: float  # booked before, in units of work of 500
    kills: int
    seconds: float
    records_per_second: float
    cpu_us_per_record: float  # of the command; PostgreSQL's is beside it
    postgres_cpu_us_per_record: float
    memory_mib: list[float]  # of the command, every tenth of its looks; the peak of each run stays below the most
    memory_growth: float  # from the second tenth to the last
    copy_seconds: float
    copy_rows_per_second: float  # records whose rows COPY took in a second
    copy_ratio: float
    faults: list[str]
    total_seconds: float


def run_clearing(server: Server, records: int, kills: int, *, seed: int, progress: Progress) -> ClearingReport:
    """Raises BenchFailed when a run ends otherwise than it must; what disagrees at the end is in the report."""
    began = time.perf_counter()
    machine = describe_machine(server.directory, server.version())
    stage = Stage(server, "bench_clearing", connections=1)
    stage.prepare()
    cards = max(10, min(_CARDS_MAX, records // 10))
    issue_cards(stage, CardRange(first=0, count=cards), Telling(progress, f"{cards:,} cards"))
    authorized = asyncio.run(_authorize(stage, records, cards, Telling(progress, "authorizations")))
    path = server.directory / "clearing.jsonl"
    head = FileHead(file_id=f"BENCH-{records}", network=DIALECT, business_day=date(2026, 11, 25))
    with path.open("wb", buffering=1 << 20) as file:
        write(file, "jsonl", head, _entries(records, cards))
    progress(f"file of {path.stat().st_size / 1e6:.0f} MB written")
    server.checkpoint()
    runs = _Runs(stage, path, records, progress)
    postgres = server.cpu_seconds()
    runs.all(kills, random.Random(seed))  # noqa: S311 -- repeatable moments; nothing secret
    postgres = server.cpu_seconds() - postgres
    progress("copying the same rows")
    copied = server.ask(stage.database, lambda connection: _copy(connection, server.directory))
    faults = server.ask(stage.database, lambda connection: _faults(connection, records))
    memory = _tenths(runs.memory)
    return ClearingReport(
        machine=machine,
        postgres_settings=server.told_settings(),
        records=records,
        cards=cards,
        authorizations_per_second=authorized,
        kills=runs.killed,
        seconds=runs.seconds,
        records_per_second=records / runs.seconds,
        cpu_us_per_record=runs.cpu * 1e6 / records,
        postgres_cpu_us_per_record=postgres * 1e6 / records,
        memory_mib=memory,
        memory_growth=memory[-1] / memory[min(1, len(memory) - 1)] - 1,
        copy_seconds=copied,
        copy_rows_per_second=records / copied,
        copy_ratio=copied / runs.seconds,
        faults=faults,
        total_seconds=time.perf_counter() - began,
    )


def clearing_table(report: ClearingReport) -> str:
    """For people."""
    memory = ", ".join(f"{mib:.0f}" for mib in report.memory_mib)
    lines = [
        *machine_lines(report.machine, report.postgres_settings),
        "",
        f"{report.records:,} records on {report.cards:,} cards in {report.seconds:.1f} s with {report.kills} kills",
        f"that is {report.records_per_second:,.0f} records a second",
        f"CPU per record: {report.cpu_us_per_record:.0f} us, PostgreSQL {report.postgres_cpu_us_per_record:.0f} us",
        f"COPY of the same rows: {report.copy_rows_per_second:,.0f} records a second; ratio {report.copy_ratio:.3f}",
        f"memory in MiB, by tenths: {memory}; from the second to the last {report.memory_growth * 100:+.1f} %",
        f"(their authorizations had been booked at {report.authorizations_per_second:,.0f} a second)",
        "books: " + ("agree, every record is booked once" if not report.faults else f"{len(report.faults)} FAULTS"),
        *(f"  {fault}" for fault in report.faults),
        f"{report.total_seconds:.0f} s in all",
    ]
    return "\n".join(lines)


# ── what is cleared


def _amount(number: int) -> int:
    return 100 + number * 7919 % 900


def _is_alone(number: int) -> bool:
    return number % _ALONE_ONE_IN == 0


def _reference(number: int) -> str:
    return f"{number:012d}"


async def _authorize(stage: Stage, records: int, cards: int, tell: Telling) -> float:
    """Books the authorizations; how many a second."""
    settings = stage.settings
    programs = load_programs(settings.programs)
    vault = load_vault(settings.vault)
    unit = UnitOfWork(
        settings.database, programs, load_security_codes(settings.vault, programs), lambda: datetime.now(UTC)
    )
    lookups = [vault.lookup(Pan(card_number(card))) for card in range(cards)]
    now, booked, began = datetime.now(UTC), 0, time.perf_counter()
    try:
        for start in range(0, records, _UNIT):
            items = [
                _item(number, number % cards, lookups[number % cards], now)
                for number in range(start, min(start + _UNIT, records))
                if not _is_alone(number)
            ]
            decisions = await unit.run(items)
            if not all(decision.reason is Reason.APPROVED for decision in decisions):
                raise BenchFailed("an authorization that clearing needs was declined")
            booked += len(items)
            tell(min(1.0, (start + _UNIT) / records))
    finally:
        await unit.close()
    return booked / (time.perf_counter() - began)


def _item(number: int, card: int, lookup: bytes, now: datetime) -> Item:
    request = Request(
        network=DIALECT,
        dialect=DIALECT,
        kind=Kind.AUTHORIZATION,
        mti="0100",
        repeat=False,
        operation=Operation.PURCHASE,
        pan=Pan(card_number(card)),
        amount_minor=_amount(number),
        currency="JPY",
        stan=f"{number % 1_000_000:06d}",
        transmitted=f"{now:%m%d%H%M%S}",
        transmitted_at=now,
        acquirer_id="40000100001",
        retrieval_reference=_reference(number),
        terminal_id="TERM0001",
        mcc="5411",
        expiry="3012",
    )
    return Item(request, idempotency_key(request, lookup), fingerprint(request), lookup, lambda _reason: "00")


def _entries(records: int, cards: int) -> Iterator[Entry]:
    """Most of the very amount; one in 25 less, one in 25 more."""
    now = datetime.now(UTC).replace(microsecond=0)
    for number in range(records):
        purchase = Purchase(
            pan=Pan(card_number(number % cards)),
            amount=_amount(number),
            currency="JPY",
            purchased_at=now,
            retrieval_reference=_reference(number),
            acquirer_id="40000100001",
            terminal_id="TERM0001",
            mcc="5411",
        )
        yield presentment(purchase, _cleared(number), acquirer_reference=f"74000016329{number:012d}")


def _cleared(number: int) -> int:
    return _amount(number) + {1: -10, 2: 10}.get(number % 25, 0)


# ── the runs


class _Runs:
    """``switch clearing ingest`` until the file is booked."""

    def __init__(self, stage: Stage, path: Path, records: int, progress: Progress) -> None:
        self._stage, self._path, self._records, self._progress = stage, path, records, progress
        self.seconds = 0.0
        self.cpu = 0.0
        self.killed = 0
        self.memory: list[float] = []

    def all(self, kills: int, dice: random.Random) -> None:
        """As many killed ones as can be, then one to the end."""
        # As long as the file would take where it is quick: a kill that comes after its end is none.
        expected = self._records / 4_000
        for number in range(kills):
            after = dice.uniform(0.5, 1.5) * expected / (kills + 1)
            if self._one(after):
                self._progress(f"kill {number + 1} came after the end of the file")
                return
            self.killed += 1
            self._progress(f"killed after {after:.1f} s ({self.killed} of {kills})")
        if not self._one(None):
            raise BenchFailed("the last run over the file did not end as it must")

    def _one(self, kill_after: float | None) -> bool:
        """One run; whether it came to its end."""
        command = [sys.executable, "-m", "switch.cli", "clearing", "ingest", str(self._path), "--json"]
        began = time.perf_counter()
        with self._path.with_suffix(".out").open("wb") as out:
            process = subprocess.Popen(
                [*command, "--config", str(self._stage.config)], stdout=out, stderr=subprocess.STDOUT
            )
            told = began
            cpu = 0.0
            while process.poll() is None:
                with suppress(OSError):
                    cpu = cpu_seconds(process.pid)
                    self.memory.append(memory_of(process.pid).resident_mib)
                if kill_after is not None and time.perf_counter() - began > kill_after:
                    process.kill()
                if time.perf_counter() - told > 15:
                    told = time.perf_counter()
                    self._progress(f"booking for {told - began:.0f} s, {self.memory[-1]:.0f} MiB")
                time.sleep(_LOOK_SECONDS)
        self.seconds += time.perf_counter() - began
        self.cpu += cpu
        if process.returncode == 0:
            return True
        if kill_after is None or process.returncode > 0:
            raise BenchFailed(f"clearing ingest: {self._path.with_suffix('.out').read_text()[-500:]}")
        return False


def _tenths(figures: list[float]) -> list[float]:
    """The median of every tenth of the series."""
    size = max(1, len(figures) // 10)
    return [statistics.median(figures[start : start + size]) for start in range(0, size * 10, size) if figures[start:]]


# ── what is compared


async def _copy(connection: Connection, directory: Path) -> float:
    """Seconds that COPY takes for the rows that the records have become."""
    seconds = 0.0
    for table, rows in _ROWS.items():  # all constants of this module
        path = directory / f"{table}.copy"
        with path.open("wb") as out:
            await connection.copy_from_query(f"SELECT * FROM {table} WHERE {rows}", output=out, format="binary")  # noqa: S608 -- constants of this module
        await connection.execute(f"CREATE TABLE copy_of_{table} (LIKE {table} INCLUDING ALL)")
        began = time.perf_counter()
        with path.open("rb") as source:
            await connection.copy_to_table(f"copy_of_{table}", source=source, format="binary")
        seconds += time.perf_counter() - began
        path.unlink()
    return seconds


async def _faults(connection: Connection, records: int) -> list[str]:
    """What is not as the file says."""
    faults = []
    booked, distinct, states = await connection.fetchrow(
        "SELECT count(*), count(DISTINCT record),"
        " count(DISTINCT state) FILTER (WHERE state NOT IN ('matched', 'forced')) FROM clearing_item"
    )
    if (booked, distinct, states) != (records, records, 0):
        faults.append(f"{booked} records are kept, {distinct} different ones, of {records}; {states} states are odd")
    posted, held = await connection.fetchrow(
        "SELECT coalesce(sum(posted_delta) FILTER (WHERE cause = 'presentment'), 0)::bigint,"
        " coalesce(sum(held_delta), 0)::bigint FROM journal_entry"
    )
    expected = -sum(_cleared(number) for number in range(records))
    if (posted, held) != (expected, 0):
        faults.append(f"{posted} were posted of {expected}, {held} are still held")
    mismatched = await connection.fetchval(
        "SELECT count(*) FROM account a JOIN (SELECT account_id, sum(posted_delta) AS posted, sum(held_delta) AS held"
        " FROM journal_entry GROUP BY account_id) j USING (account_id)"
        " WHERE (a.posted, a.held) IS DISTINCT FROM (j.posted, j.held)"
    )
    if mismatched:
        faults.append(f"{mismatched} balances are not the sums of their journals")
    open_holds = await connection.fetchval("SELECT count(*) FROM hold WHERE state = 'open'")
    if open_holds:
        faults.append(f"{open_holds} holds are still open")
    return faults
