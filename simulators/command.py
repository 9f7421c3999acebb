"""``switch acquirer``: the acquirer network simulator on the command line.

Exit codes of test tools: 0 everything as it should be, 1 something was not, 2 usage, 3 no connection.
"""

from __future__ import annotations

import random
import sys
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec
import trio

from simulators.accounts import open_books, show_accounts
from simulators.books import compare
from simulators.cards import load_cards
from simulators.fuzz.command import fuzz_command
from simulators.link import LinkRefused
from simulators.load import MIX, LoadResult, LoadSettings, run_load
from simulators.network import AcquirerNetwork, Endpoint, Habits
from simulators.scenarios import SCENARIOS, Scenario
from simulators.stage import Played, learn_opening, play
from switch.contracts.errors import ConfigurationError, SwitchError
from switch.wire.dialect import Dialect, dialect_names, load_dialect, specs_root

__all__ = ["acquirer", "with_network"]

_LOOK_SECONDS, _ALONE_SECONDS = 0.5, 30.0

T = TypeVar("T")

EXIT_MISMATCH = 1
EXIT_CONNECTION = 3


@click.group()
def acquirer() -> None:
    """An acquirer network that talks to a switch: scripted scenarios, load, or damaged messages.

    It keeps its own books from what it sent and what it was answered, and uses the test cards of simulators/cards.toml.

    \b
    Exit codes: 0 pass, 1 mismatch, 2 usage, 3 no connection.
    """  # noqa: D301 - click's paragraph mark is a real backspace


def _dialect(_context: click.Context, _parameter: click.Parameter, name: str) -> Dialect:
    if name not in dialect_names():
        raise click.BadParameter(f"no dialect {name!r}: there are {', '.join(dialect_names())}")
    return load_dialect(specs_root() / name)


_host = click.option("--host", default="127.0.0.1", show_default=True, help="Where the switch listens.")
_dialect_option = click.option(
    "--dialect", default="iso87_ascii", show_default=True, callback=_dialect, help="What that listener speaks."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@acquirer.command()
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="SWITCH_CONFIG",
    show_envvar=True,
    help="A switch's settings file: plays over each of its listeners.",
)
@_host
@click.option("--port", type=click.IntRange(1, 65_535), help="The listener's port; then --config is not read.")
@_dialect_option
@click.option("--scenario", "names", multiple=True, default=("all",), show_default=True, help="A name; repeatable.")
@click.option("--list", "list_them", is_flag=True, help="List the scenarios and stop.")
@click.option("--timeout", default=10.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds per answer.")
@_json
def run(
    config: Path | None,
    host: str,
    port: int | None,
    dialect: Dialect,
    names: tuple[str, ...],
    list_them: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Play scripted scenarios and compare every answer (DE39) and what is left on the cards.

    \b
    switch acquirer run --port 8583                              every scenario
    switch acquirer run --port 8584 --dialect iso87_binary --scenario reversal-first
    switch acquirer run --config play/switch.toml                over every listener with a fixed port

    Scenarios may be run again and again on the same data.
    """  # noqa: D301 - click's paragraph mark is a real backspace
    if list_them:
        for scenario in SCENARIOS:
            click.echo(f"{scenario.name:<28} {scenario.title}")
        return
    scenarios = _chosen(names)
    endpoints = (Endpoint(dialect, host, port),) if port is not None else _configured(config)

    async def body(network: AcquirerNetwork) -> list[Played]:
        found: list[Played] = []
        for scenario in scenarios:
            await learn_opening(network, endpoints[0].dialect.name, scenario)
        for endpoint in endpoints:
            name = endpoint.dialect.name
            for scenario in scenarios:
                found.append(await play(network, name, scenario))
                if not as_json:
                    _show(found[-1])
        await network.settled()
        return found

    played = with_network(endpoints, body, Habits(answer_timeout=timeout))
    failed = [one for one in played if not one.passed]
    if as_json:
        click.echo(msgspec.json.encode([_as_json(one) for one in played]))
    else:
        skipped = sum(bool(one.skipped) for one in played)
        count = len(played) - skipped
        click.echo(f"{count - len(failed)} of {count} scenarios passed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(EXIT_MISMATCH if failed else 0)


@acquirer.command()
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="SWITCH_CONFIG",
    show_envvar=True,
    help="The switch's settings file: at the end every account is compared with these books.",
)
@_host
@click.option("--port", type=click.IntRange(1, 65_535), default=8583, show_default=True, help="The listener's port.")
@_dialect_option
@click.option("--window", type=click.IntRange(1, 100_000), help="Most in flight.  [default: 32; with --rate 10000]")
@click.option("--links", default=1, show_default=True, type=click.IntRange(1, 1_000), help="Sessions to hold.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many messages.  [default: 10000]")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so many seconds.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Open loop: messages per second.")
@click.option("--seed", type=int, help="Same seed, same traffic; drawn and printed when left out.")
@click.option(
    "--mix", "weights", multiple=True, metavar="ACT=WEIGHT", help=f"Instead of the usual mix of {', '.join(MIX)}."
)
@click.option("--timeout", default=10.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds per answer.")
@_json
def load(
    *,
    config: Path | None,
    host: str,
    port: int,
    dialect: Dialect,
    window: int | None,
    links: int,
    count: int | None,
    seconds: float | None,
    rate: float | None,
    seed: int | None,
    weights: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> None:
    """Send many messages and measure.

    Without --rate a closed loop: WINDOW messages are in flight, each answer sends the next. With --rate an open loop:
    messages leave on schedule, and latency counts from the schedule, so that a stall shows in all it delayed.

    \b
    switch acquirer load --port 8583 --window 64 --links 8 --count 50000
    switch acquirer load --port 8583 --rate 500 --seconds 30 --mix authorization=90 --mix reversal=10

    Whatever is not answered is reversed, and the reversals are repeated until they are answered. Exit code 1 when a
    message went unanswered, an answer contradicted an earlier one, or (with --config) an account disagrees: nothing
    else may use the test cards meanwhile.
    """  # noqa: D301 - click's paragraph mark is a real backspace
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    if not as_json:
        click.echo(f"seed {seed}")
    try:
        settings = LoadSettings(
            window=window,
            count=10_000 if count is None and seconds is None else count,
            seconds=seconds,
            rate=rate,
            seed=seed,
            mix=_mix(weights),
        )
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc

    opening = None if config is None else show_accounts(config)

    async def body(network: AcquirerNetwork) -> tuple[LoadResult, list[str]]:
        if opening is not None:
            open_books(network.books, opening)
        result = await run_load(network, settings)
        await network.settled()
        if config is None:
            return result, [str(one) for one in network.books.contradictions]
        shown = await trio.to_thread.run_sync(show_accounts, config)
        return result, [str(one) for one in compare(network.books, shown)]

    endpoint = Endpoint(dialect, host, port, links)
    result, contradictions = with_network((endpoint,), body, Habits(answer_timeout=timeout), seed=seed)
    if as_json:
        click.echo(msgspec.json.encode(msgspec.to_builtins(result) | {"contradictions": contradictions}))
    else:
        _show_load(result, contradictions)
        if config is not None and not contradictions:
            click.echo("the books agree with every account")
    sys.exit(EXIT_MISMATCH if result.unanswered or contradictions else 0)


acquirer.add_command(fuzz_command(_dialect_option))


def with_network(
    endpoints: tuple[Endpoint, ...],
    body: Callable[[AcquirerNetwork], Awaitable[T]],
    habits: Habits,
    *,
    seed: int = 1,
) -> T:
    """Runs ``body`` on a network that is up. Exits with 3 when the switch can't be reached."""

    async def main() -> T:
        network = AcquirerNetwork(endpoints, load_cards(), seed=seed, habits=habits)
        async with trio.open_nursery() as nursery:
            await nursery.start(network.run)
            nursery.start_soon(_give_up_alone, network)
            result = await body(network)
            await network.sign_off()
            nursery.cancel_scope.cancel()
        return result

    try:
        return trio.run(main)
    except* (LinkRefused, SwitchGone) as group:
        problem: BaseException = group
        while isinstance(problem, BaseExceptionGroup):
            problem = problem.exceptions[0]
        click.echo(f"switch acquirer: {problem}", err=True)
    sys.exit(EXIT_CONNECTION)


class SwitchGone(SwitchError):
    """No link came back for a long time."""


async def _give_up_alone(network: AcquirerNetwork) -> None:
    """Says when the last link is lost, and ends the command when none has come back after a while."""
    alone_since: float | None = None
    while True:
        await trio.sleep(_LOOK_SECONDS)
        if any(network.live_links(endpoint.dialect.name) for endpoint in network.endpoints):
            alone_since = None
        elif alone_since is None:
            alone_since = trio.current_time()
            click.echo(f"switch acquirer: no link is left; trying again for {_ALONE_SECONDS:.0f} s", err=True)
        elif trio.current_time() - alone_since > _ALONE_SECONDS:
            raise SwitchGone(f"the switch has not come back; {network.stored} message(s) wait for it")


def _chosen(names: tuple[str, ...]) -> tuple[Scenario, ...]:
    known = {scenario.name: scenario for scenario in SCENARIOS}
    unknown = [name for name in names if name != "all" and name not in known]
    if unknown:
        raise click.UsageError(f"no scenario {unknown[0]!r}; --list lists them")
    return SCENARIOS if "all" in names else tuple(known[name] for name in names)


def _configured(config: Path | None) -> tuple[Endpoint, ...]:
    """The listeners of a settings file. A port of 0 was chosen at start, so only `switch dev`'s first line tells it."""
    if config is None:
        raise click.UsageError("give --port, or a settings file with --config")
    try:
        listeners = tomllib.loads(config.read_text(encoding="utf-8")).get("listener", [])
        found = tuple(
            Endpoint(load_dialect(specs_root() / one["dialect"]), one.get("host", "127.0.0.1"), one["port"])
            for one in listeners
            if one["port"]
        )
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigurationError(f"{config}: its listeners can't be read: {exc}") from exc
    if not found:
        raise click.UsageError(f"{config} has no listener with a fixed port: give --port")
    return found


def _mix(weights: tuple[str, ...]) -> dict[str, float]:
    if not weights:
        return dict(MIX)
    mix: dict[str, float] = {}
    for text in weights:
        act, _, weight = text.partition("=")
        try:
            mix[act] = float(weight)
        except ValueError:
            raise click.UsageError(f"--mix {text}: ACT=WEIGHT is needed, as in reversal=10") from None
    return mix


def _show(played: Played) -> None:
    mark = "skip" if played.skipped else "pass" if played.passed else "FAIL"
    said = " ".join(step.got for step in played.steps)
    if played.skipped:
        said = f"the network carries no {', '.join(sorted(played.skipped))}"
    click.echo(f"{mark}  {played.dialect:<16} {played.scenario.name:<28} {said}")
    for problem in played.problems:
        click.echo(f"      {problem}")


def _as_json(played: Played) -> dict[str, object]:
    return {
        "scenario": played.scenario.name,
        "dialect": played.dialect,
        "passed": played.passed,
        "skipped": sorted(played.skipped),
        "steps": [msgspec.to_builtins(step) for step in played.steps],
        "problems": list(played.problems),
    }


def _show_load(result: LoadResult, contradictions: list[str]) -> None:
    click.echo(f"sent {result.sent:,}, answered {result.answered:,} in {result.seconds:.2f} s")
    click.echo(f"{result.answers_per_second:,.0f} answers per second")
    latencies = "  ".join(f"{name} {value:.1f}" for name, value in result.latency_ms.items())
    click.echo(f"latency in ms, from {result.latency_from}: {latencies}")
    click.echo("codes: " + "  ".join(f"{code} {count:,}" for code, count in result.codes.items()))
    click.echo("acts: " + "  ".join(f"{act} {count:,}" for act, count in result.acts.items()))
    if result.unanswered:
        click.echo(f"unanswered: {result.unanswered:,} (stood in for {result.stood_in:,})")
    for line in contradictions:
        click.echo(f"contradiction: {line}")
