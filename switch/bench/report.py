"""What ``switch bench`` writes: the figures of one run as one JSON value, and as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from switch.bench.books import BooksChecked
from switch.bench.machine import Machine
from switch.bench.processes import Memory

__all__ = [
    "Codec",
    "DiskSize",
    "GrowthReport",
    "GrowthStage",
    "HotCard",
    "Load",
    "PeerLoad",
    "SpeedReport",
    "daemon_line",
    "machine_lines",
    "table",
]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """A closed or open loop against the switch: medians over the rounds. CPU in microseconds per message, all cores."""

    name: str
    window: int
    rate: float | None  # open loop: how many a second were to be sent
    per_second: float
    rounds: list[float]  # answers per second of each round
    latency_ms: dict[str, float]  # p50, p90, p99, p99.9, max
    generator_late_ms: dict[str, float]  # open loop: how late the generator itself was
    daemon_cpu_us: float
    postgres_cpu_us: float
    generator_cpu_us: float
    codes: dict[str, int]


class PeerLoad(msgspec.Struct, frozen=True, kw_only=True):
    """pgbench: medians over the rounds. CPU of PostgreSQL alone, per transaction."""

    name: str
    form: str
    clients: int
    per_second: float
    rounds: list[float]
    latency_ms: dict[str, float]  # p50, p99
    postgres_cpu_us: float


class Codec(msgspec.Struct, frozen=True, kw_only=True):
    """pyiso8583 on the same message, CPU microseconds, measured in the same run."""

    decode_us: float
    encode_us: float


class HotCard(msgspec.Struct, frozen=True, kw_only=True):
    """All traffic on one account, against pgbench on one row."""

    switch: list[Load]
    pgbench: list[PeerLoad]
    ratio: float


class SpeedReport(msgspec.Struct, frozen=True, kw_only=True):
    """``switch bench``. Ratios are medians over the rounds; above 1 the switch is quicker."""

    machine: Machine
    postgres_settings: dict[str, str]
    connections: int
    daemon_nice: int
    trace_bytes: int
    windows: list[Load]
    pgbench: list[PeerLoad]
    pgbench_pipelined: list[PeerLoad]
    best_window: int
    best_clients: int
    ratio: float
    ratio_pipelined: float
    window_1_median_to_pgbench: float  # median latency at window 1 / median latency of one pgbench client
    open_loop_maxima: list[float]  # per second, in each round of the open loops: what their rates are a share of
    open_loop: list[Load]
    half_load_p99_ms: list[float]  # of each phase at 50 % of the maximum
    one_client_ms: list[float]  # median latency of one pgbench client, beside each of these phases
    half_load_p99_to_pgbench: float  # the medians of these two
    pgbench_half_load: PeerLoad  # at 50 % of its own maximum, from schedule: what the machine gives anybody
    pgbench_half_load_p99_to_pgbench: float
    codec: Codec
    daemon_cpu_to_codec: float  # at the best window
    hot_card: HotCard
    declined: Load
    generator_ceiling: list[Load]  # against the echo responder
    memory_begin: Memory
    memory_end: Memory
    books: BooksChecked
    seconds: float


class DiskSize(msgspec.Struct, frozen=True, kw_only=True):
    """Of one database when its measurement began: all tables of the switch (TOAST included), and their indexes."""

    tables_bytes: int
    indexes_bytes: int


class GrowthStage(msgspec.Struct, frozen=True, kw_only=True):
    """One size of the tables."""

    name: str
    entries: int
    cards: int
    closed: Load
    open: Load
    throughput_to_empty: float
    disk: DiskSize
    memory: Memory
    books: BooksChecked


#: Seconds; older pages than that come in bursts that show in the latencies.
_EXPIRE_MAX = 1.0


class GrowthReport(msgspec.Struct, frozen=True, kw_only=True):
    """``switch bench --rows``. ``memory_mib`` is the daemon's resident memory after so many messages."""

    machine: Machine
    postgres_settings: dict[str, str]
    connections: int
    daemon_nice: int
    stages: list[GrowthStage]
    memory_mib: list[tuple[int, float]]
    memory_growth: float  # from the first value, after the warm-up, to the last: 0.1 is 10 %
    seconds: float


def machine_lines(machine: Machine, settings: dict[str, str]) -> Iterator[str]:
    """Where it was measured."""
    yield f"{machine.cores} cores of {machine.cpu}, {machine.memory_gib:.0f} GiB, {machine.system}"
    yield f"{machine.python}, PostgreSQL {machine.postgresql}, write and flush of 8 kB {machine.flush_us:.0f} us"
    yield f"load average before: {machine.load_before:.1f}"
    if machine.writeback_seconds is not None and machine.expire_seconds is not None:
        hint = ": in bursts that commits wait for, see --set-up and systemd/switch.sysctl.conf"
        yield (
            f"Linux writes changed pages of files every {machine.writeback_seconds:g} s, when they are"
            f" {machine.expire_seconds:g} s old{hint if machine.expire_seconds > _EXPIRE_MAX else ''}"
        )
    if settings.get("huge_pages_status") == "off":
        yield "PostgreSQL's buffers are not in huge pages, see --set-up and systemd/README.md"
    yield "PostgreSQL: " + ", ".join(f"{name} {value}" for name, value in settings.items())


def daemon_line(connections: int, nice: int) -> str:
    """How the daemon ran."""
    return f"daemon with {connections} connection(s), nice {nice}"


def table(report: SpeedReport | GrowthReport) -> str:
    """For people."""
    lines = _speed(report) if isinstance(report, SpeedReport) else _growth(report)
    daemon = daemon_line(report.connections, report.daemon_nice)
    return "\n".join((*machine_lines(report.machine, report.postgres_settings), daemon, *lines))


def _loads(title: str, loads: Sequence[Load]) -> Iterator[str]:
    yield ""
    yield (
        f"{title:<24} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9}   CPU us: {'daemon':>7}"
        f" {'PostgreSQL':>10} {'generator':>9}"
    )
    for load in loads:
        latency = load.latency_ms
        yield (
            f"  {load.name:<22} {load.per_second:>8,.0f} {latency['p50']:>8.2f} {latency['p99']:>8.2f}"
            f" {latency['p99.9']:>9.2f}           {load.daemon_cpu_us:>7.0f} {load.postgres_cpu_us:>10.0f}"
            f" {load.generator_cpu_us:>9.1f}"
        )


def _peers(title: str, loads: Sequence[PeerLoad]) -> Iterator[str]:
    yield ""
    yield f"{title:<24} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8}             CPU us:         {'PostgreSQL':>10}"
    for load in loads:
        latency = load.latency_ms
        yield (
            f"  {load.name:<22} {load.per_second:>8,.0f} {latency['p50']:>8.2f} {latency['p99']:>8.2f}"
            f"                             {load.postgres_cpu_us:>10.0f}"
        )


def _books(books: BooksChecked) -> Iterator[str]:
    verdict = "agree" if not books.faults else f"{len(books.faults)} FAULTS"
    yield (
        f"books: {books.approved:,} approvals, {books.held_minor:,} held of {books.expected_minor:,} expected;"
        f" {books.entries_recomputed:,} entries of {books.accounts_recomputed:,} accounts recomputed: {verdict}"
    )
    yield from (f"  {fault}" for fault in books.faults[:10])


def _speed(report: SpeedReport) -> Iterator[str]:
    yield from _loads("authorizations, closed", report.windows)
    yield from _peers("pgbench, statements", report.pgbench)
    yield from _peers("pgbench, pipelined", report.pgbench_pipelined)
    yield from _loads("open loop, from schedule", report.open_loop)
    maxima = ", ".join(f"{maximum:,.0f}" for maximum in report.open_loop_maxima)
    yield f"  shares of what the switch did at window {report.best_window} in the same round: {maxima}"
    yield f"  p99 of the phases at 50 %: {_told(report.half_load_p99_ms)} ms"
    yield f"  one pgbench client's median beside them: {_told(report.one_client_ms)} ms"
    yield from _peers("pgbench, from schedule", [report.pgbench_half_load])
    yield from _loads("one hot card", report.hot_card.switch)
    yield from _peers("pgbench, one hot row", report.hot_card.pgbench)
    yield from _loads("declined only", [report.declined])
    yield from _loads("generator against echo", report.generator_ceiling)
    codec = report.codec
    yield ""
    yield "what it shows                                               figure     wanted"
    rows = (
        (f"switch at window {report.best_window} / pgbench at {report.best_clients} clients", report.ratio, ">= 1.0"),
        ("switch / pgbench pipelined, which can't look", report.ratio_pipelined, ""),
        ("one hot card / pgbench on one hot row", report.hot_card.ratio, ">= 0.5"),
        ("daemon's CPU / pyiso8583's decode + encode", report.daemon_cpu_to_codec, "<= 4"),
        ("median at window 1 / median of one pgbench client", report.window_1_median_to_pgbench, "<= 3"),
        ("p99 at 50 % of maximum / that median", report.half_load_p99_to_pgbench, "<= 15"),
        ("p99 of pgbench at 50 % of its own / that median", report.pgbench_half_load_p99_to_pgbench, ""),
    )
    for text, figure, wanted in rows:
        yield f"  {text:<55} {figure:>8.2f}     {wanted}"
    yield (
        f"pyiso8583: decode {codec.decode_us:.1f} us, encode {codec.encode_us:.1f} us;"
        f" daemon's memory {report.memory_begin.resident_mib:.0f} MiB after the warm-up,"
        f" {report.memory_end.resident_mib:.0f} at the end, peak {report.memory_end.peak_mib:.0f}"
    )
    yield from _books(report.books)
    yield f"{report.seconds:.0f} s in all"


def _told(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _growth(report: GrowthReport) -> Iterator[str]:
    yield from _loads("closed loop", [stage.closed for stage in report.stages])
    yield from _loads("open loop", [stage.open for stage in report.stages])
    yield ""
    for stage in report.stages:
        yield (
            f"{stage.name}: {stage.entries:,} entries, {stage.cards:,} cards,"
            f" tables {stage.disk.tables_bytes / 1e9:.2f} GB, indexes {stage.disk.indexes_bytes / 1e9:.2f} GB:"
            f" {stage.throughput_to_empty:.2f} of the empty one's throughput (wanted >= 0.85),"
            f" daemon {stage.memory.resident_mib:.0f} MiB"
        )
        yield from _books(stage.books)
    yield "daemon's memory after messages: " + ", ".join(f"{n:,}: {mib:.0f} MiB" for n, mib in report.memory_mib)
    yield f"growth after the warm-up: {report.memory_growth * 100:+.1f} % (wanted <= 10 %)"
    yield f"{report.seconds:.0f} s in all"
