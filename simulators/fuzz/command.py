"""``switch acquirer fuzz``: damaged messages for a switch, and whether it holds."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import click
import msgspec
import trio

from simulators.cards import load_cards
from simulators.fuzz.hostile import Target
from simulators.fuzz.run import FuzzResult, FuzzSettings, run_fuzz
from simulators.fuzz.watch import Latency
from switch.wire.dialect import Dialect

__all__ = ["fuzz_command"]

EXIT_MISMATCH, EXIT_CONNECTION = 1, 3


def fuzz_command(dialect_option: Callable[[Callable[..., None]], Callable[..., None]]) -> click.Command:
    """The command, with the group's own way to name a dialect."""

    @click.command("fuzz")
    @click.option("--host", default="127.0.0.1", show_default=True, help="Where the switch listens.")
    @click.option(
        "--port", type=click.IntRange(1, 65_535), default=8583, show_default=True, help="The listener's port."
    )
    @dialect_option
    @click.option("--count", type=click.IntRange(min=1), default=100_000, show_default=True, help="Frames to send.")
    @click.option("--seed", type=int, help="Same seed, same damage; drawn and printed when left out.")
    @click.option("--sessions", type=click.IntRange(1, 34), default=4, show_default=True, help="Hostile sessions.")
    @click.option("--batch", type=click.IntRange(1, 1_000), default=200, show_default=True, help="Frames per write.")
    @click.option(
        "--rate", type=click.FloatRange(min=0, min_open=True), help="Frames per second.  [default: unbounded]"
    )
    @click.option(
        "--nice",
        "niceness",
        type=click.IntRange(0, 19),
        default=0,
        show_default=True,
        help="How far the hostile sessions step back where they share processors with the daemon.",
    )
    @click.option("--sign-on", is_flag=True, help="Sign on first, where the listener demands it.")
    @click.option("--pid", type=click.IntRange(min=1), help="The daemon's process, to look at its memory.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    def fuzz(
        *,
        host: str,
        port: int,
        dialect: Dialect,
        count: int,
        seed: int | None,
        sessions: int,
        batch: int,
        rate: float | None,
        niceness: int,
        sign_on: bool,
        pid: int | None,
        as_json: bool,
    ) -> None:
        """Send damaged messages and judge every approval by what was really sent.

        \b
        switch acquirer fuzz --port 8583 --count 1000000 --pid PID
        switch acquirer fuzz --port 8585 --dialect iso87_bcd --seed 7 --rate 500

        Bits and bytes, lengths, bitmaps, swapped, doubled and missing elements, spliced and broken frames, noise. A
        healthy session buys beside them, first alone; both latencies are told. For test switches only: it spends from
        the test cards load-0 to load-19 and plain-9, and leaves advices and reversals behind.

        Exit code 1 when something was approved that no sound message asked for, the switch fell silent, closed a sound
        stream or grew by more than 32 MiB; 3 when it can't be reached, or no longer.
        """  # noqa: D301 - click's paragraph mark is a real backspace
        seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
        if not as_json:
            click.echo(f"seed {seed}")
        settings = FuzzSettings(
            count=count, seed=seed, sessions=sessions, batch_frames=batch, rate=rate, niceness=niceness, pid=pid
        )
        target = Target(host=host, port=port, sign_on=sign_on)
        found: FuzzResult | None = None
        try:
            found = trio.run(run_fuzz, dialect, target, load_cards(), settings, lambda text: click.echo(text, err=True))
        except* OSError as group:
            click.echo(f"switch acquirer fuzz: {_first(group)}", err=True)
        if found is None:
            sys.exit(EXIT_CONNECTION)
        if as_json:
            click.echo(msgspec.json.encode(found))
        else:
            _show(found)
        sys.exit(EXIT_MISMATCH if found.problem_count else 0)

    return fuzz


def _first(group: BaseExceptionGroup[OSError]) -> BaseException:
    problem: BaseException = group
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem


def _show(result: FuzzResult) -> None:
    click.echo(f"{result.frames:,} frames in {result.seconds:.1f} s: {result.frames_per_second:,.0f} a second")
    click.echo("done to them: " + _counts(result.damage))
    click.echo(f"still a sound message: {result.asked:,}, of which unanswered: {result.silent:,}")
    click.echo("answers: " + _counts(result.answers))
    click.echo("approved after: " + _counts(result.approved_after))
    click.echo(f"connections: {result.connections:,}")
    click.echo(f"healthy session alone:  {_latency(result.healthy_alone)}")
    click.echo(f"healthy session beside: {_latency(result.healthy_beside)}")
    if result.resident_mib_warm is not None and result.resident_mib_end is not None:
        click.echo(f"memory: {result.resident_mib_warm:.1f} MiB warm, {result.resident_mib_end:.1f} MiB at the end")
    for problem in result.problems:
        click.echo(f"problem: {problem}")
    click.echo(f"problems: {result.problem_count}")


def _counts(counts: dict[str, int]) -> str:
    return "  ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _latency(latency: Latency) -> str:
    return (
        f"p50 {latency.p50_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms, most {latency.max_ms:.1f} ms of {latency.count:,}"
    )
