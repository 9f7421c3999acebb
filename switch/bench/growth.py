"""The course of ``switch bench --rows N``: the same load on small and on full tables.

Three databases on one server, a daemon on each, so that they can take turns: an empty journal with a thousand cards,
a tenth of N entries with as many cards, and N entries with a tenth of N cards. Traffic goes to all cards at random.

Full means full everywhere: for every entry a hold and a message with a real trace. Half of the accounts are filler:
made by INSERT … SELECT from the rows of one real message, with balances that fit their entries, but with no card and
no good chain. They lie between the accounts that get traffic, so that traffic meets all pages of the indexes. The
accounts with cards have good chains from their opening load on, and those are what is verified.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import msgspec

from simulators.bench.frames import AMOUNT_MINOR
from simulators.bench.generator import Order
from switch.bench.books import check_books
from switch.bench.cards import CardRange, issue_cards
from switch.bench.machine import describe_machine
from switch.bench.report import GrowthReport, GrowthStage
from switch.bench.speed import Course, Progress, median_load
from switch.bench.stage import POSTGRES, Measured, Server, Stage
from switch.journal.connection import Connection

__all__ = ["GrowthCourse", "Size", "fill", "growth_course", "run_growth"]

_CHUNK_ROWS = 100_000
_FILLERS = 2  # connections that fill at the same time
_STRIDE = 2  # even account numbers have cards, odd ones are filler
_SAMPLES = 10


class _Telling:
    """Tells every tenth of something long."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress, self._what, self._told = progress, what, 0

    def __call__(self, share: float) -> None:
        tenths = int(share * 10)
        if tenths > self._told:
            self._told = tenths
            self._progress(f"{self._what}: {tenths * 10} %")


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """One database. ``entries`` includes the opening loads of the cards."""

    name: str
    entries: int
    cards: int


class GrowthCourse(msgspec.Struct, frozen=True, kw_only=True):
    """Which sizes, how long, and how many messages the daemon's memory is watched over."""

    sizes: tuple[Size, ...]
    window: int
    rounds: int
    seconds: float
    warm_up_seconds: float
    memory_messages: int
    verify_entries: int


def growth_course(course: Course, rows: int) -> GrowthCourse:
    """The sizes up to ``rows`` entries: 10 million mean also 1 million entries, and 1 million cards."""
    return GrowthCourse(
        sizes=(
            Size(name="empty", entries=0, cards=1000),
            Size(name="a tenth", entries=rows // 10, cards=1000),
            Size(name="full", entries=rows, cards=max(1000, rows // 10)),
        ),
        window=256,
        rounds=course.rounds,
        seconds=course.seconds,
        warm_up_seconds=course.warm_up_seconds,
        memory_messages=max(10_000, rows // 10),
        verify_entries=course.verify_entries,
    )


def run_growth(server: Server, course: GrowthCourse, *, connections: int, progress: Progress) -> GrowthReport:
    """Fills, measures in turns, and watches the daemon's memory. Raises BenchFailed."""
    started = time.perf_counter()
    machine = describe_machine(server.directory, server.version())
    with ExitStack() as stack:
        stages = []
        for number, size in enumerate(course.sizes):
            stage = Stage(server, f"bench_{number}", connections=connections)
            stage.prepare()
            cards = CardRange(first=0, count=size.cards, stride=_STRIDE)
            issue_cards(stage, cards, _Telling(progress, f"{size.name}: {size.cards:,} cards"))
            stack.enter_context(stage)
            _drive(stage, size, window=64, seconds=course.seconds, warm_up_seconds=0)
            fill(stage, size, progress)
            stages.append((size, stage))
        closed: dict[str, list[Measured]] = {size.name: [] for size in course.sizes}
        opened: dict[str, list[Measured]] = {size.name: [] for size in course.sizes}
        times = {"seconds": course.seconds, "warm_up_seconds": course.warm_up_seconds}
        for number in range(1, course.rounds + 1):
            for size, stage in _turned(stages, number):
                one = _drive(stage, size, window=course.window, **times)
                closed[size.name].append(one)
                progress(f"round {number} of {course.rounds}: {size.name}: {one.outcome.per_second:,.0f}/s")
        loads = {name: median_load(name, measured, window=course.window) for name, measured in closed.items()}
        empty = loads[course.sizes[0].name].per_second
        for number in range(1, course.rounds + 1):
            for size, stage in _turned(stages, number):
                progress(f"round {number} of {course.rounds}: {size.name}: open loop at 50 %")
                opened[size.name].append(_drive(stage, size, window=100_000, rate=empty / 2, **times))
        memory = _watch_memory(stages[0][1], stages[0][0], course, progress)
        progress("books")
        return GrowthReport(
            machine=machine,
            postgres_settings=dict(POSTGRES),
            connections=connections,
            stages=[
                GrowthStage(
                    name=size.name,
                    entries=size.entries,
                    cards=size.cards,
                    closed=loads[size.name],
                    open=median_load(size.name, opened[size.name], window=100_000, rate=empty / 2),
                    throughput_to_empty=loads[size.name].per_second / empty,
                    memory=stage.memory(),
                    books=check_books(stage, entries_max=course.verify_entries),
                )
                for size, stage in stages
            ],
            memory_mib=memory,
            memory_growth=memory[-1][1] / memory[0][1] - 1 if memory[0][1] else 0.0,
            seconds=time.perf_counter() - started,
        )


def _turned(stages: list[tuple[Size, Stage]], number: int) -> list[tuple[Size, Stage]]:
    """Another one begins each round, so that none always follows the same."""
    first = number % len(stages)
    return stages[first:] + stages[:first]


def _drive(
    stage: Stage, size: Size, *, window: int, seconds: float, warm_up_seconds: float, rate: float | None = None
) -> Measured:
    return stage.measure(
        Order(window=window, seconds=seconds, warm_up_seconds=warm_up_seconds, rate=rate, cards=size.cards)
    )


def _watch_memory(stage: Stage, size: Size, course: GrowthCourse, progress: Progress) -> list[tuple[int, float]]:
    """The daemon's resident memory after every tenth of the messages. It has long been warm when this begins."""
    done = 0
    found = [(0, stage.memory().resident_mib)]
    while done < course.memory_messages:
        target = min(course.memory_messages, course.memory_messages * len(found) // _SAMPLES)
        while done < target:
            done += _drive(
                stage, size, window=course.window, seconds=course.seconds, warm_up_seconds=0
            ).outcome.answered
        found.append((done, stage.memory().resident_mib))
        progress(f"memory: {found[-1][1]:.0f} MiB after {done:,} of {course.memory_messages:,} messages")
    return found


# ── filling ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def fill(stage: Stage, size: Size, progress: Progress) -> None:
    """Adds filler accounts until the journal has ``size.entries`` entries. The stage must have had an approval."""
    each = (size.entries - size.cards) // size.cards
    if each < 1:
        return
    accounts = max(1, _CHUNK_ROWS // each)
    starts = range(0, size.cards, accounts)
    tell = _Telling(progress, f"{size.name}: {size.entries:,} entries, holds and messages")

    def one(start: int) -> None:
        stage.server.ask(stage.database, lambda connection: _fill(connection, start, accounts, size.cards, each))

    with ThreadPoolExecutor(_FILLERS) as pool:
        try:
            for number, _ in enumerate(pool.map(one, starts), 1):
                tell(number / len(starts))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    progress(f"{size.name}: vacuum and analyze")
    stage.server.ask(stage.database, lambda connection: connection.execute("VACUUM (ANALYZE)"))


async def _fill(connection: Connection, start: int, accounts: int, most: int, each: int) -> None:
    first, last = start * _STRIDE + 1, min(start + accounts, most) * _STRIDE - 1
    key = "substr(sha256(int8send(a) || int8send(s)), 1, 16)"
    own: Mapping[str, Mapping[str, str]] = {
        "journal_entry": {
            "account_id": "a",
            "seq": "s",
            "held_after": f"s * {AMOUNT_MINOR}",
            "hold_id": "s",
            "cause_key": key,
            "prev_hash": "sha256(int8send(a - s))",
            "hash": "sha256(int8send(a + s))",
        },
        "hold": {"account_id": "a", "hold_id": "s", "card_id": "-a"},
        "message_key": {
            "account_id": "a",
            "key": key,
            "card_id": "-a",
            "stan": "lpad(((a * 7919 + s) % 1000000)::text, 6, '0')",
            "retrieval_reference": "lpad((a * 104729 + s)::text, 12, '0')",
            "hold_id": "s",
        },
    }
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO account (account_id, currency, held, seq) OVERRIDING SYSTEM VALUE"
            " SELECT a, 'JPY', $3::bigint * $4::bigint, $3 FROM generate_series($1::bigint, $2::bigint, 2) a",
            first,
            last,
            each,
            AMOUNT_MINOR,
        )
        for table, values in own.items():
            names = await connection.fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped"
                " ORDER BY attnum",
                f"switch.{table}",
            )
            columns = ", ".join(values.get(row["attname"], f"sample.{row['attname']}") for row in names)
            template = "kind = 'hold'" if table == "journal_entry" else "account_id > 0"
            # Column names come from the catalogue, expressions from above: nothing of it is input.
            statement = (
                f"INSERT INTO {table} SELECT {columns} FROM generate_series($1::bigint, $2::bigint, 2) a,"  # noqa: S608 - as said
                f" generate_series(1, $3::bigint) s, (SELECT * FROM {table} WHERE {template} LIMIT 1) sample"
            )
            await connection.execute(statement, first, last, each)
