"""``python -m simulators.demo``: a switch, an acquirer network, real traffic, a crash, and books that must agree.

The switch is a process of its own with a real PostgreSQL, started by ``switch dev`` on a directory that is thrown away.
Only its command line and its sockets are used. What is printed at the end is computed: the acquirer's books against the
accounts, card by card, a provider's against the attempts to top up, and the hash chains of the journal. Exit code 0
when everything agrees, else 1.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import IO

import click
import trio

from simulators.books import Difference, compare
from simulators.cards import load_cards
from simulators.clearing_day import cleared
from simulators.clearing_files import FORMATS, Entry, FileHead, write
from simulators.demo_top_up import TopUps
from simulators.link import LinkRefused
from simulators.load import LoadResult, LoadSettings, run_load
from simulators.network import AcquirerNetwork, Endpoint, Habits
from simulators.scenarios import SCENARIOS
from simulators.stage import Played, play
from switch.contracts.errors import SwitchError
from switch.wire.dialect import load_dialect, specs_root

__all__ = ["main"]

_START_SECONDS = 45.0
_STOP_SECONDS = 20.0
_LINKS = 2  # per dialect
_WINDOW = 32


class DemoFailed(SwitchError):
    """The switch did not start, stop or answer as it must."""


class Screen:
    """Prints what a person reads: titles, facts, verdicts; colours only on a terminal."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty()
        self._started = time.perf_counter()

    def title(self, text: str) -> None:
        print(f"\n{self._in('1', text)}", flush=True)

    def say(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def verdict(self, good: bool, text: str) -> bool:
        """One judged line; gives back ``good``."""
        mark = self._in("32", "ok  ") if good else self._in("31", "FAIL")
        print(f"  {mark} {text}", flush=True)
        return good

    def seconds(self) -> float:
        """Since the demo began."""
        return time.perf_counter() - self._started

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text


class Daemon:
    """``switch dev`` on one directory, as a child process. PostgreSQL outlives a kill, as a real server would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "switch.toml"
        self.listeners: dict[str, tuple[str, int]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    async def start(self) -> None:
        """Starts it and waits for its ready line. Raises DemoFailed with what it said when there is none."""
        if self._errors is None:
            # Kept open for the process that writes to it; Python closes it with this object.
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - see above
        self._process = await trio.to_thread.run_sync(self._spawn)
        line = b""
        with trio.move_on_after(_START_SECONDS):
            line = await trio.to_thread.run_sync(self._first_line, abandon_on_cancel=True)
        try:
            ready = json.loads(line)
            self.config = Path(ready["config"])
            self.listeners = {one["dialect"]: (one["host"], one["port"]) for one in ready["listeners"]}
        except (ValueError, KeyError, TypeError) as exc:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip()
            raise DemoFailed(f"the switch did not get ready: {said[-2000:] or 'it said nothing'}") from exc

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "switch.cli", "dev", "--data", str(self.directory), "--port-base", "0"]
        # A session of its own: Ctrl-C on the terminal reaches the demo, which then stops the switch in order.
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True)

    def _first_line(self) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        return self._process.stdout.readline()

    async def kill(self) -> None:
        """kill -9: no farewell, no flush, no clean-up."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGINT, as Ctrl-C sends it; the exit code. Killed after a while when it does not obey."""
        return await self._end(signal.SIGINT)

    @property
    def running(self) -> bool:
        """Whether there is a process that has not been ended."""
        return self._process is not None

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        assert process is not None and process.stdout is not None
        process.send_signal(number)
        code: int | None = None
        with trio.move_on_after(_STOP_SECONDS):
            code = await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        if code is None:
            process.kill()
            code = await trio.to_thread.run_sync(process.wait)
        process.stdout.close()
        return code

    async def ask(self, *arguments: str) -> tuple[int, object]:
        """Runs a ``switch`` command on the same settings: exit code and the JSON that it printed."""
        done = await self._run(*arguments, "--json")
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError as exc:
            said = done.stderr.decode(errors="replace").strip()
            raise DemoFailed(f"switch {' '.join(arguments)} printed no JSON: {said[-500:]}") from exc

    async def tell(self, *arguments: str, stdin: str = "") -> int:
        """Runs a ``switch`` command on the same settings: its exit code."""
        return (await self._run(*arguments, stdin=stdin)).returncode

    async def _run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "switch.cli", *arguments, "--config", str(self.config)]
        return await trio.run_process(
            command, stdin=stdin.encode(), capture_stdout=True, capture_stderr=True, check=False
        )

    def remove(self) -> None:
        """Throws the data away, also where the database lives outside of the directory (as root)."""
        if self._errors is not None:
            self._errors.close()
        database = self.directory / "postgresql"
        for place in (database / "run", database):
            if place.is_symlink():
                target = place.resolve()
                shutil.rmtree(target, ignore_errors=True)
                target.with_name(f"{target.name}.home").unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)


class Demo:
    """One performance."""

    def __init__(self, screen: Screen, daemon: Daemon, *, messages: int, seed: int) -> None:
        self.screen = screen
        self.daemon = daemon
        self.top_ups = TopUps(daemon.directory)
        self.messages = messages
        self.seed = seed
        self.good = True

    def judge(self, good: bool, text: str) -> None:
        self.good = self.screen.verdict(good, text) and self.good

    async def run(self) -> bool:
        """The whole story; True when everything agreed."""
        screen, daemon = self.screen, self.daemon
        screen.title("1. A switch starts: PostgreSQL, schema, test cards, listeners")
        async with trio.open_nursery() as providers:
            await providers.start(self.top_ups.run)
            await self._story()
            providers.cancel_scope.cancel()
        screen.title("8. Ctrl-C: the switch stops")
        code = await daemon.stop()
        self.judge(code == 0, f"stopped in order (exit code {code})")
        return self.good

    async def _story(self) -> None:
        """From the first start to the last comparison."""
        screen, daemon = self.screen, self.daemon
        await daemon.start()
        cards = load_cards()
        for dialect, (host, port) in daemon.listeners.items():
            screen.say(f"{dialect:<14} {host}:{port}   {load_dialect(specs_root() / dialect).description}")
        screen.say(f"{len(cards)} test cards in {len({card.program for card in cards.values()})} programs")

        endpoints = [
            Endpoint(load_dialect(specs_root() / dialect), host, port, _LINKS)
            for dialect, (host, port) in daemon.listeners.items()
        ]
        habits = Habits(answer_timeout=8.0, stand_in_max_minor=2_000, retry_after=0.2, reconnect_after=0.1)
        network = AcquirerNetwork(endpoints, cards, seed=self.seed, habits=habits)
        async with trio.open_nursery() as nursery:
            await nursery.start(network.run)
            await self._scenarios(network)
            result = await self._load_and_crash(network)
            await self._catch_up(network)
            await self._compare(network)
            await self._top_up(network)
            await self._clear(network)
            await network.sign_off()
            nursery.cancel_scope.cancel()
        self._table(network, result)

    async def _scenarios(self, network: AcquirerNetwork) -> None:
        screen = self.screen
        screen.title(
            f"2. {len(SCENARIOS)} scenarios over {len(network.endpoints)} dialects, as far as each can say them"
        )
        played: dict[str, list[Played]] = {}
        for endpoint in network.endpoints:
            for scenario in SCENARIOS:
                result = await play(network, endpoint.dialect.name, scenario)
                if not result.skipped:
                    played.setdefault(scenario.name, []).append(result)
        for name, results in played.items():
            codes = " ".join(step.got for step in results[0].steps)
            good = all(result.passed for result in results)
            self.judge(good, f"{name:<30}{codes:<16.40}  {results[0].scenario.title}")
            for problem in (f"{result.dialect}: {text}" for result in results for text in result.problems):
                screen.say(f"     {problem}")

    async def _load_and_crash(self, network: AcquirerNetwork) -> LoadResult:
        screen, daemon = self.screen, self.daemon
        screen.title(f"3. {self.messages} more messages of every kind, seed {self.seed}; kill -9 in the middle")
        settings = LoadSettings(count=self.messages, window=_WINDOW, seed=self.seed)
        results: list[LoadResult] = []

        async def load() -> None:
            results.append(await run_load(network, settings))

        crash_at = network.counts["answered"] + self.messages // 2
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load)
            while network.counts["answered"] < crash_at and not results:  # noqa: ASYNC110 - an event per answer costs more
                await trio.sleep(0.005)
            before = network.counts["unanswered"]
            await daemon.kill()
            screen.say(f"kill -9 after {network.counts['answered']:,} answers")
            await trio.sleep(0.5)
            lost = network.counts["unanswered"] - before
            screen.say(f"{lost} messages were in flight and got no answer; the network stands in for small purchases")
            began = time.perf_counter()
            await daemon.start()
            for dialect, (host, port) in daemon.listeners.items():
                network.moved(dialect, host, port)
            screen.say(f"started again on the same data in {time.perf_counter() - began:.1f} s; the links come back")
        result = results[0]
        screen.say(
            f"sent {result.sent:,}, answered {result.answered:,}, in doubt or not sent {result.unanswered:,},"
            f" stood in for {result.stood_in:,}"
        )
        return result

    async def _catch_up(self, network: AcquirerNetwork) -> None:
        self.screen.title("4. The network's store and forward: what the switch could not hear, it hears now")
        with trio.move_on_after(30.0):
            await network.settled()
        counts = network.counts
        self.screen.say("sent: " + ", ".join(f"{counts[f'{mti} sent']} x {mti}" for mti in _forwarded(counts)))
        self.judge(network.stored == 0, f"nothing left to forward ({counts['forwarded']} told and acknowledged)")

    async def _compare(self, network: AcquirerNetwork) -> None:
        self.screen.title("5. Do the books agree?")
        await self._agree(network)

    async def _agree(self, network: AcquirerNetwork) -> None:
        """The acquirer's books against the accounts, card by card, and the chains of the journal."""
        screen, books = self.screen, network.books
        books.check_invariants()
        with as_file(files("simulators").joinpath("cards.toml")) as path:
            code, shown = await self.daemon.ask("account", "show", "--cards-file", str(path))
        if code != 0 or not isinstance(shown, dict):
            raise DemoFailed(f"account show ended with {code}")
        differences: list[Difference] = compare(books, shown)
        posted = sum(abs(purchase.posted_minor) for purchase in books.purchases.values())
        held = sum(books.figures(alias).held_minor for alias in books.aliases)
        text = f"{len(shown)} accounts against {len(books.purchases):,} purchases in the acquirer's own books"
        self.judge(not differences, f"{text}: {'they agree' if not differences else f'{len(differences)} differences'}")
        if not differences:
            screen.say(f"     {posted:,} minor units posted, {held:,} held, and not one more or less on either side")
        for difference in differences[:20]:
            screen.say(f"     {difference}")
        code, verified = await self.daemon.ask("journal", "verify")
        entries = verified.get("entries") if isinstance(verified, dict) else None
        self.judge(code == 0, f"the hash chains of all accounts hold over {entries} journal entries")

    async def _top_up(self, network: AcquirerNetwork) -> None:
        self.screen.title("6. Automatic top-up: what a purchase lacks is charged to what the cardholder registered")
        async for good, text in self.top_ups.play(network, self.daemon):
            self.judge(good, text)

    async def _clear(self, network: AcquirerNetwork) -> None:
        """Every network sends its clearing file; one of them comes twice."""
        screen = self.screen
        screen.title("7. Clearing: each network's file presents what was approved")
        for number, endpoint in enumerate(network.endpoints):
            dialect = endpoint.dialect
            form = FORMATS[number % 2]  # the two neutral ones; an IPM-like file has no use for these networks
            head = FileHead(file_id=f"DEMO-{dialect.name}", network=dialect.name, business_day=_today())
            entries = cleared(
                network.books,
                dialect,
                network.cards,
                seed=self.seed,
                reference_head=f"{number:07d}{self.seed:08d}"[-15:],
            )
            path = self.daemon.directory / f"{dialect.name}.{form}"
            records = await trio.to_thread.run_sync(_write, path, form, head, list(entries))
            for again in (False, True) if number == 0 else (False,):
                code, told = await self.daemon.ask("clearing", "ingest", str(path))
                booked = told["booked"] if isinstance(told, dict) else None
                text = f"{dialect.name:<18} {records:>4} records, {booked} booked"
                good = code == 0 and booked == (0 if again else records)
                self.judge(good, f"{text}: the same file again books nothing" if again else text)
        await self._agree(network)

    def _table(self, network: AcquirerNetwork, result: LoadResult) -> None:
        screen = self.screen
        screen.title("What happened")
        sent = {key[:4]: count for key, count in sorted(network.counts.items()) if key.endswith(" sent")}
        screen.say("messages sent    " + "  ".join(f"{mti} {count}" for mti, count in sent.items() if mti.isdigit()))
        screen.say("answers (DE39)   " + "  ".join(f"{code} {n}" for code, n in sorted(network.codes.items())))
        screen.say("under load       " + "  ".join(f"{act} {count}" for act, count in result.acts.items()))
        screen.say("latency, ms      " + "  ".join(f"{name} {value:.0f}" for name, value in result.latency_ms.items()))
        screen.say(f"links lost       {network.counts['links lost']}, and held again")


def _forwarded(counts: Mapping[str, int]) -> list[str]:
    """The message types among ``counts`` that store and forward sends."""
    mtis = (key.removesuffix(" sent") for key in counts if key.endswith(" sent"))
    return sorted(mti for mti in mtis if mti[1:] in {"120", "121", "400", "420", "421"})


def _today() -> date:
    return datetime.now(UTC).date()


def _write(path: Path, form: str, head: FileHead, entries: list[Entry]) -> int:
    with path.open("wb") as file:
        return write(file, form, head, entries)


async def _perform(screen: Screen, directory: Path, keep: bool, build: Callable[[Daemon], Demo]) -> bool:
    daemon = Daemon(directory)
    try:
        return await build(daemon).run()
    finally:
        with trio.CancelScope(shield=True):
            if not daemon.running and daemon.config.exists() and not await _database_stopped(directory):
                await daemon.start()  # a killed switch leaves its PostgreSQL running; only a switch stops it again
            if daemon.running:
                await daemon.stop()
            if keep:
                screen.say(f"the data stay in {directory}")
            else:
                await trio.to_thread.run_sync(daemon.remove)


async def _database_stopped(directory: Path) -> bool:
    """Whether no PostgreSQL runs on the directory: a running one keeps its postmaster.pid."""
    return not await trio.Path(directory / "postgresql" / "cluster" / "postmaster.pid").exists()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--messages", default=800, show_default=True, type=click.IntRange(100), help="How many under load.")
@click.option("--seed", default=8583, show_default=True, help="Of the traffic.")
@click.option("--keep", is_flag=True, help="Keep the data directory to look around in.")
def main(messages: int, seed: int, keep: bool) -> None:
    """Start a switch and an acquirer network, let them work, crash the switch, and compare the books."""
    screen = Screen()
    directory = Path(tempfile.mkdtemp(prefix="issuer-switch-demo-"))
    good, failed = False, 0
    try:
        good = trio.run(
            _perform, screen, directory, keep, lambda daemon: Demo(screen, daemon, messages=messages, seed=seed)
        )
    except* (SwitchError, LinkRefused) as group:
        problem: BaseException = group
        while isinstance(problem, BaseExceptionGroup):
            problem = problem.exceptions[0]
        screen.verdict(False, str(problem))
        failed = 1
    except* KeyboardInterrupt:
        screen.say("interrupted; everything has been stopped and thrown away")
        failed = 130
    if failed:
        sys.exit(failed)
    print()
    verdict = "books agree" if good else "something does not agree: see FAIL above"
    screen.verdict(good, f"{verdict}; {screen.seconds():.0f} s in all")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
