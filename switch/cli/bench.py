"""``switch bench``: how fast, at what cost, and whether the books still agree."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import click
import msgspec

__all__ = ["bench"]

#: What a clearing record costs on disk, with its authorization, its line in the file, the log and the copies.
_RECORD_BYTES = 12_000
#: Files in memory would make fsync free: /tmp is memory on many systems, /var/tmp never.
_DISK = Path("/var/tmp")  # noqa: S108 - a directory of its own is made in it, for this user alone


@click.command()
@click.option("--rows", type=click.IntRange(10_000), help="How cost grows: up to so many journal entries. Takes long.")
@click.option(
    "--clearing",
    "records",
    type=click.IntRange(1_000),
    help="A clearing file of so many records, beside COPY.",
)
@click.option("--kills", type=click.IntRange(0), default=0, help="With --clearing: so many kill -9 in the middle.")
@click.option("--top-up", is_flag=True, help="Ordinary purchases beside top-ups, with a provider that is slow or dead.")
@click.option("--quick", is_flag=True, help="Every part, in less than a minute; the figures mean nothing.")
@click.option("--rounds", type=click.IntRange(1), help="How often the sides take turns (default 3).")
@click.option("--seconds", type=click.FloatRange(0.5), help="How long each phase lasts (default 4).")
@click.option(
    "--connections", type=click.IntRange(1), default=4, show_default=True, help="[database] connections of the daemon."
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Where a directory for the database is made, and removed (default /var/tmp). Not a file system in memory.",
)
@click.option(
    "--set-up",
    "sets_up",
    is_flag=True,
    help="As root: Linux as systemd/README.md advises while it runs (huge pages, early writing), then as before.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here.")
@click.option("--plot", "plot_file", type=click.Path(dir_okay=False, path_type=Path), help="Write an SVG here.")
def bench(
    rows: int | None,
    records: int | None,
    kills: int,
    top_up: bool,
    quick: bool,
    rounds: int | None,
    seconds: float | None,
    connections: int,
    data: Path | None,
    sets_up: bool,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Measure the whole switch beside pgbench doing the same work, in one run on this machine.

    Starts an embedded PostgreSQL with durable settings, the daemon and a load generator, each a process of its own, and
    removes them at the end. pgbench does one transaction per authorization on the same server; the sides take turns.
    Use --rows 10000000 to see how cost grows with the tables. A million rows (entries, each with a hold and a message)
    and their 100,000 cards are 2.2 GB and take about half a minute to fill on two cores; with the other databases, the
    traffic and the write-ahead log, about 4 GB of free disk for each million are asked for before anything begins.

    \b
    Exit codes: 0 measured and the books agree, 1 the books do not agree or a part failed.
    """  # noqa: D301 -- click wants the control character, not its escape
    _check_usage(rows, records, plot_file, top_up=top_up)
    try:
        from switch.bench.clearing import ClearingReport, clearing_table, run_clearing
        from switch.bench.growth import disk_bytes, growth_course, run_growth
        from switch.bench.plot import plot
        from switch.bench.report import GrowthReport, SpeedReport, table
        from switch.bench.set_up import set_up
        from switch.bench.speed import QUICK, Course, run_speed
        from switch.bench.stage import Server
        from switch.bench.top_up import run_top_up
        from switch.bench.top_up_report import QUICK_TOP_UP, TopUpCourse, TopUpReport, top_up_table
    except ModuleNotFoundError as exc:
        raise click.ClickException(f"`switch bench` needs {exc.name}: pip install 'issuer-switch[dev]'") from exc
    chosen = {name: value for name, value in (("rounds", rounds), ("seconds", seconds)) if value is not None}
    course = msgspec.structs.replace(QUICK if quick else Course(), **chosen)
    top_up_course = msgspec.structs.replace(QUICK_TOP_UP if quick else TopUpCourse(), **chosen)
    # A polite kill cleans up as Ctrl-C does: Python raises KeyboardInterrupt for both.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    base = data or (_DISK if _DISK.is_dir() else None)
    began = time.perf_counter()

    def progress(text: str) -> None:
        click.echo(f"{time.perf_counter() - began:7.1f} s  {text}", err=True)

    growth = None if rows is None else growth_course(course, rows)
    needed = 0 if growth is None else disk_bytes(growth)
    if records is not None:
        needed = records * _RECORD_BYTES
    report: SpeedReport | GrowthReport | ClearingReport | TopUpReport
    with (
        set_up() if sets_up else nullcontext(),
        Server(Path(tempfile.mkdtemp(prefix="issuer-switch-bench-", dir=base)), disk_bytes=needed) as server,
    ):
        if records is not None:
            report = run_clearing(server, records, kills, seed=8583, progress=progress)
            text, faults = clearing_table(report), report.faults
        elif top_up:
            report = run_top_up(server, top_up_course, connections=connections, progress=progress)
            text, faults = top_up_table(report), report.faults
        elif growth is None:
            report = run_speed(server, course, connections=connections, progress=progress)
            text, faults = table(report), report.books.faults
        else:
            report = run_growth(server, growth, connections=connections, progress=progress)
            text, faults = table(report), [fault for stage in report.stages for fault in stage.books.faults]
    click.echo(text)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    if plot_file is not None and isinstance(report, SpeedReport):
        plot_file.write_text(plot(report))
    if faults:
        click.echo(f"the books do not agree: {len(faults)} fault(s)", err=True)
        sys.exit(1)


def _check_usage(rows: int | None, records: int | None, plot_file: Path | None, *, top_up: bool) -> None:
    """Raises UsageError."""
    if rows is not None and plot_file is not None:
        raise click.UsageError("--plot draws throughput against latency: it goes without --rows")
    if records is not None and (rows is not None or plot_file is not None):
        raise click.UsageError("--clearing goes without --rows and --plot")
    if top_up and (rows is not None or records is not None or plot_file is not None):
        raise click.UsageError("--top-up goes without --rows, --clearing and --plot")
