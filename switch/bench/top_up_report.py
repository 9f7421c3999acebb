"""What ``switch bench --top-up`` measures and writes: its course, the figures of one run, and a table for people."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from simulators.bench.generator import Outcome
from switch.bench.books import BooksChecked
from switch.bench.machine import Machine
from switch.bench.report import daemon_line, machine_lines

__all__ = ["QUICK_TOP_UP", "Beside", "Cores", "Phase", "TopUpCourse", "TopUpReport", "median_beside", "top_up_table"]


class TopUpCourse(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, and for how long."""

    window: int = 512  # ordinary purchases in flight
    in_flight: int = 200  # short ones
    slow_seconds: float = 0.3
    cards: int = 1_000
    cards_short: int = 4_000
    rounds: int = 3
    seconds: float = 4.0
    warm_up_seconds: float = 1.0
    ahead_seconds: float = 2.0  # that the short ones begin before the ordinary ones
    verify_entries: int = 50_000
    wal_segments: int = 60


QUICK_TOP_UP = TopUpCourse(
    window=16,
    in_flight=20,
    cards=50,
    cards_short=100,
    rounds=1,
    seconds=0.7,
    warm_up_seconds=0.2,
    ahead_seconds=0.5,
    verify_entries=5_000,
    wal_segments=2,
)


class Cores(msgspec.Struct, frozen=True, kw_only=True):
    """How many cores each kept busy. The generators' is both together."""

    daemon: float
    postgres: float
    provider: float
    generators: float


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """Ordinary purchases with others or without: medians over the rounds."""

    name: str  # alone, slow, dead
    rate: float | None  # that was to be sent; None in a closed loop
    per_second: float
    rounds: list[float]
    ratio: float  # to alone, the median of the rounds' own ratios
    ratios: list[float]
    latency_ms: dict[str, float]
    short_per_second: float  # answers to purchases that were short
    top_ups_per_second: float  # of them, approvals
    in_flight: float  # short purchases, on average
    short_latency_ms: dict[str, float]
    short_codes: dict[str, int]
    cores: Cores


class TopUpReport(msgspec.Struct, frozen=True, kw_only=True):
    """``switch bench --top-up``."""

    machine: Machine
    postgres_settings: dict[str, str]
    connections: int
    daemon_nice: int
    course: TopUpCourse
    closed: list[Beside]
    half: list[Beside]
    books: BooksChecked
    charges: int  # that stand in the provider's books
    faults: list[str]
    seconds: float


class Phase(msgspec.Struct, frozen=True):
    """One phase."""

    ordinary: Outcome
    short: Outcome | None
    cores: Cores
    ratio: float = 1.0  # to alone, just before and just after


def median_beside(name: str, rate: float | None, seen: Sequence[Phase]) -> Beside:
    """The rounds of one load as one: the median of every figure by itself."""
    median = statistics.median
    rounds = [one.ordinary.per_second for one in seen]
    ratios = [one.ratio for one in seen]
    shorts = [one.short for one in seen if one.short is not None]
    codes: dict[str, int] = {}
    for short in shorts:
        for code, count in short.codes.items():
            codes[code] = codes.get(code, 0) + count
    approved = [short.per_second * short.codes.get("00", 0) / max(1, short.answered) for short in shorts]
    return Beside(
        name=name,
        rate=rate,
        per_second=median(rounds),
        rounds=rounds,
        ratio=median(ratios),
        ratios=ratios,
        latency_ms=_medians([one.ordinary.latency_ms for one in seen]),
        short_per_second=median([short.per_second for short in shorts] or [0.0]),
        top_ups_per_second=median(approved or [0.0]),
        in_flight=median([short.in_flight for short in shorts] or [0.0]),
        short_latency_ms=_medians([short.latency_ms for short in shorts]),
        short_codes=codes,
        cores=Cores(
            daemon=median(one.cores.daemon for one in seen),
            postgres=median(one.cores.postgres for one in seen),
            provider=median(one.cores.provider for one in seen),
            generators=median(one.cores.generators for one in seen),
        ),
    )


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    names = set.intersection(*(set(one) for one in rounds)) if rounds else set()
    return {name: statistics.median(one[name] for one in rounds) for name in sorted(names)}


def top_up_table(report: TopUpReport) -> str:
    """For people."""
    course = report.course
    what = (
        f"ordinary purchases, {course.window} in flight, beside {course.in_flight} that are short and a provider that"
    )
    columns = (("", 16), ("ordinary/s", 11), ("ratio", 7), ("p99 ms", 8), ("short/s", 9), ("top-ups/s", 11))
    head = "".join(f"{name:>{width}}" for name, width in (*columns, ("in flight", 10), ("p99 ms", 8)))
    lines = [
        *machine_lines(report.machine, report.postgres_settings),
        daemon_line(report.connections, report.daemon_nice),
        "",
        f"{what} answers in {course.slow_seconds * 1e3:.0f} ms, or is dead",
        "",
        f"{head}   cores: daemon, PostgreSQL, provider, generators",
    ]
    for kind, loads in (("closed", report.closed), ("half", report.half)):
        for load in loads:
            cores = load.cores
            p99 = load.short_latency_ms.get("p99")
            lines.append(
                f"{kind + ' ' + load.name:>16}{load.per_second:>11,.0f}{load.ratio:>7.2f}{load.latency_ms['p99']:>8.1f}"
                f"{load.short_per_second:>9,.0f}{load.top_ups_per_second:>11,.0f}{load.in_flight:>10.0f}"
                f"{'' if p99 is None else f'{p99:.0f}':>8}"
                f"   {cores.daemon:.2f}, {cores.postgres:.2f}, {cores.provider:.2f}, {cores.generators:.2f}"
            )
    return "\n".join(
        [
            *lines,
            "",
            f"books: {report.charges:,} charges stand at the provider, "
            + ("and all books agree" if not report.faults else f"{len(report.faults)} FAULTS"),
            "the provider forces nothing to disk (--no-sync): in the field its disk is not ours",
            *(f"  {fault}" for fault in report.faults),
            f"{report.seconds:.0f} s in all",
        ]
    )
