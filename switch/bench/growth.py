"""The course of ``switch bench --rows N``: the same load on small and on full tables.

Three databases on one server, a daemon on each, so that they can take turns: an empty journal with a thousand cards,
a tenth of N entries with as many cards, and N entries with a tenth of N cards. Traffic goes to all cards at random.

Full means full everywhere: for every entry a hold and a message with a real trace (:mod:`switch.bench.filling`). The
accounts with cards have good chains from their opening load on, and those are what is verified; their cards have been
used before, since how long a first purchase takes is another question.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import msgspec

from simulators.bench.generator import Order
from switch.bench.books import check_books
from switch.bench.cards import CardRange, issue_cards
from switch.bench.filling import FILLING, STRIDE, Size, Telling, fill
from switch.bench.machine import describe_machine
from switch.bench.report import DiskSize, GrowthReport, GrowthStage
from switch.bench.speed import Course, Progress, median_load
from switch.bench.stage import POSTGRES, Measured, Server, Stage
from switch.journal.connection import Connection

__all__ = ["GrowthCourse", "disk_bytes", "growth_course", "run_growth"]

_SAMPLES = 10
_SAMPLE_SECONDS = 0.5
_CARDS_PER_WARM_UP_MESSAGE = 3
# What the disk must have, as measured: an entry with its hold and message, and a card with its account and a filler
# account, all with their indexes. A message of the traffic costs a little more (limits, versions of rows) and is in the
# write-ahead log too, which keeps at most max_wal_size. The rest is for what a cluster and its files begin with.
_ENTRY_BYTES, _CARD_BYTES, _MESSAGE_BYTES, _LOGGED_BYTES = 2_250, 2_100, 2_500, 4_000
_WAL_BYTES_MAX, _REST_BYTES = 8 * 2**30, 500_000_000
_PER_SECOND_MAX = 10_000  # messages, while it is measured: more than two cores have ever done


class GrowthCourse(msgspec.Struct, frozen=True, kw_only=True):
    """Which sizes, how long, and how many messages the daemon's memory is watched over."""

    sizes: tuple[Size, ...]
    window: int
    rounds: int
    seconds: float
    warm_up_seconds: float
    memory_messages: int
    verify_entries: int
    wal_segments: int


def growth_course(course: Course, rows: int) -> GrowthCourse:
    """The sizes up to ``rows`` entries: 10 million mean also 1 million entries, and 1 million cards."""
    return GrowthCourse(
        sizes=(
            Size(name="empty", entries=0, cards=1000),
            Size(name="a tenth", entries=rows // 10, cards=1000),
            Size(name="full", entries=rows, cards=max(1000, rows // 10)),
        ),
        window=max(course.windows),  # where the switch does most
        rounds=course.rounds,
        seconds=course.seconds,
        warm_up_seconds=course.warm_up_seconds,
        memory_messages=max(10_000, rows // 10),
        verify_entries=course.verify_entries,
        wal_segments=course.wal_segments,
    )


def disk_bytes(course: GrowthCourse) -> int:
    """How much free disk the course needs, about."""
    phases = (1 + 2 * course.rounds) * len(course.sizes)
    messages = course.memory_messages + phases * (course.seconds + course.warm_up_seconds) * _PER_SECOND_MAX
    tables = sum(size.entries * _ENTRY_BYTES + size.cards * _CARD_BYTES for size in course.sizes)
    wal = min(messages * _LOGGED_BYTES, _WAL_BYTES_MAX)
    return int(tables + messages * _MESSAGE_BYTES + wal) + _REST_BYTES


def run_growth(server: Server, course: GrowthCourse, *, connections: int, progress: Progress) -> GrowthReport:
    """Fills, measures in turns, and watches the daemon's memory. Raises BenchFailed."""
    started = time.perf_counter()
    machine = describe_machine(server.directory, server.version())
    stages = _filled(server, course, connections, progress)
    disk = {size.name: _disk_size(stage) for size, stage in stages}
    with ExitStack() as stack:
        for _, stage in stages:
            stack.enter_context(stage)
        for size, stage in stages:
            _warm_up(stage, size, course, progress)
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
            postgres_settings=server.told_settings(),
            connections=connections,
            daemon_nice=stages[0][1].nice,
            stages=[
                GrowthStage(
                    name=size.name,
                    entries=size.entries,
                    cards=size.cards,
                    closed=loads[size.name],
                    open=median_load(size.name, opened[size.name], window=100_000, rate=empty / 2),
                    throughput_to_empty=loads[size.name].per_second / empty,
                    disk=disk[size.name],
                    memory=stage.memory(),
                    books=check_books(stage, entries_max=course.verify_entries),
                )
                for size, stage in stages
            ],
            memory_mib=memory,
            memory_growth=memory[-1][1] / memory[0][1] - 1 if memory[0][1] else 0.0,
            seconds=time.perf_counter() - started,
        )


def _filled(server: Server, course: GrowthCourse, connections: int, progress: Progress) -> list[tuple[Size, Stage]]:
    """The databases, full and with nobody on them, on a server that has the settings to measure with again.

    The checkpoint of all that was filled is over by then: none of it falls into the measurement.
    """
    server.restart(FILLING)
    stages = []
    for number, size in enumerate(course.sizes):
        stage = Stage(server, f"bench_{number}", connections=connections)
        stage.prepare()
        cards = CardRange(first=0, count=size.cards, stride=STRIDE, used=True)
        issue_cards(stage, cards, Telling(progress, f"{size.name}: {size.cards:,} cards"))
        with stage:
            # A few real messages, for the fill to take one as its sample.
            _drive(stage, size, window=1, seconds=_SAMPLE_SECONDS, warm_up_seconds=0)
        fill(stage, size, progress)
        stages.append((size, stage))
    progress("checkpoint and restart")
    server.restart(POSTGRES)
    progress("write-ahead log and buffers")
    server.provide_wal(course.wal_segments)
    server.touch_buffers()
    return stages


def _disk_size(stage: Stage) -> DiskSize:
    async def work(connection: Connection) -> DiskSize:
        row = await connection.fetchrow(
            "SELECT sum(pg_table_size(oid))::bigint, sum(pg_indexes_size(oid))::bigint FROM pg_class"
            " WHERE relnamespace = 'switch'::regnamespace AND relkind = 'r'"
        )
        return DiskSize(tables_bytes=row[0], indexes_bytes=row[1])

    return stage.server.ask(stage.database, work)


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


def _warm_up(stage: Stage, size: Size, course: GrowthCourse, progress: Progress) -> None:
    """Until traffic has met most pages of the indexes.

    The first change of a page after a checkpoint puts all of it into the write-ahead log. Where a million cards take
    turns, every message of the first minute meets pages that nobody has met; a server that runs for longer than that
    between its checkpoints does not go on like this.
    """
    telling, done = Telling(progress, f"{size.name}: warm-up"), 0
    target = max(1, size.cards // _CARDS_PER_WARM_UP_MESSAGE)
    while done < target:
        done += _drive(stage, size, window=course.window, seconds=course.seconds, warm_up_seconds=0).outcome.answered
        telling(min(1.0, done / target))


def _watch_memory(stage: Stage, size: Size, course: GrowthCourse, progress: Progress) -> list[tuple[int, float]]:
    """The daemon's resident memory after every tenth of the messages. It has long been warm when this begins."""
    done, began = 0, time.perf_counter()
    found = [(0, stage.memory().resident_mib)]
    while done < course.memory_messages:
        target = min(course.memory_messages, course.memory_messages * len(found) // _SAMPLES)
        while done < target:
            done += _drive(
                stage, size, window=course.window, seconds=course.seconds, warm_up_seconds=0
            ).outcome.answered
        found.append((done, stage.memory().resident_mib))
        left = (time.perf_counter() - began) / done * max(0, course.memory_messages - done)
        progress(
            f"memory: {found[-1][1]:.0f} MiB after {done:,} of {course.memory_messages:,} messages,"
            f" about {left:.0f} s left"
        )
    return found
