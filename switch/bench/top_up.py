"""The course of ``switch bench --top-up``: what top-ups cost the ordinary purchases beside them.

Five processes share the machine: PostgreSQL, the daemon, the provider (which forces nothing to disk), the generator
of ordinary purchases, and one of purchases that are short. Ordinary purchases are driven alone and beside the others,
in turns: in a closed loop, which takes all that the machine has, and at half of what the closed loop came to.

Beside a provider that is slow, so many short purchases are kept in flight all the time: for each that is answered the
next one comes at once. Beside a dead one they come as often as the slow one's were answered; more can't be in flight,
since each is declined at once. At the end the provider lives again, every attempt ends, and the books must agree.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable

import msgspec

from simulators.bench.generator import Order
from switch.bench.books import check_books
from switch.bench.cards import CardRange, issue_cards
from switch.bench.machine import describe_machine
from switch.bench.processes import cpu_seconds
from switch.bench.provider import Mood, ProviderProcess
from switch.bench.stage import POSTGRES, BenchFailed, GeneratorProcess, Server, Stage
from switch.bench.top_up_report import Cores, Phase, TopUpCourse, TopUpReport, median_beside
from switch.journal.connection import Connection

__all__ = ["run_top_up"]

Progress = Callable[[str], None]

_PROGRAMS = "programs-top-up.toml"
_UNLIMITED = 100_000
_SETTLE_SECONDS = 90.0
_SETTLE_CARDS = 8
_SHORT_MIN = 20.0  # a second: a breaker opens soon
_MOODS: tuple[Mood, ...] = ("slow", "dead")


def run_top_up(server: Server, course: TopUpCourse, *, connections: int, progress: Progress) -> TopUpReport:
    """Raises BenchFailed when a part broke; what disagrees at the end is in the report."""
    began = time.perf_counter()
    machine = describe_machine(server.directory, server.version())
    server.provide_wal(course.wal_segments)
    server.touch_buffers()
    _write_programs(server)
    with (
        (server.directory / "provider.stderr").open("wb") as errors,
        ProviderProcess(server.directory / "provider", errors, slow_seconds=course.slow_seconds) as provider,
    ):
        stage = Stage(server, "bench_top_up", connections=connections, programs=_PROGRAMS, more=provider.settings)
        stage.prepare()
        progress("cards")
        short = CardRange(first=course.cards, count=course.cards_short, balance_minor=0)
        for cards in (CardRange(first=0, count=course.cards), short):
            issue_cards(stage, cards, lambda _: None)
        server.ask(stage.database, lambda connection: _register(connection, short))
        with stage, stage.another_generator() as beside:
            run = _Run(stage, course, short, provider, beside, progress)
            run.warm_up()
            run.rounds()
            progress("every attempt comes to its end")
            run.settle()
            progress("books")
            books = check_books(stage, entries_max=course.verify_entries)
            charges, faults = run.compare()
        return TopUpReport(
            machine=machine,
            postgres_settings=dict(POSTGRES),
            connections=connections,
            daemon_nice=stage.nice,
            course=course,
            closed=[median_beside(name, None, seen) for name, seen in run.closed.items()],
            half=[median_beside(name, run.half_rate, seen) for name, seen in run.half.items()],
            books=books,
            charges=charges,
            faults=[*books.faults, *faults],
            seconds=time.perf_counter() - began,
        )


def _write_programs(server: Server) -> None:
    """The programs of `switch dev`; the one of the benchmark's cards tops up."""
    text = (server.directory / "programs.toml").read_text()
    head, mark, rest = text.partition("[program.limits]")
    if 'name = "plain"' not in head or head.count("[[program]]") != 1:
        raise BenchFailed("programs.toml: the program plain is not the first one")
    (server.directory / _PROGRAMS).write_text(f'{head}[program.top_up]\ncurrency = "JPY"\n\n{mark}{rest}')


async def _register(connection: Connection, cards: CardRange) -> None:
    """A source for each card."""
    accounts = cards.accounts()
    await connection.execute(
        "INSERT INTO funding_source SELECT id, $3, 'tok-' || id, 'JPY', 1, false, now() - interval '1 minute'"
        " FROM generate_series($1::bigint, $2::bigint) id",
        accounts[0],
        accounts[-1],
        ProviderProcess.name,
    )
    await connection.execute("ANALYZE funding_source")


class _Run:
    """The phases of one run."""

    def __init__(
        self,
        stage: Stage,
        course: TopUpCourse,
        short: CardRange,
        provider: ProviderProcess,
        beside: GeneratorProcess,
        progress: Progress,
    ) -> None:
        self.stage, self.course, self.short, self.progress = stage, course, short, progress
        self.provider, self.beside = provider, beside
        self.closed: dict[str, list[Phase]] = {"alone": [], "slow": [], "dead": []}
        self.half: dict[str, list[Phase]] = {"alone": [], "slow": [], "dead": []}
        self.half_rate = 0.0

    def warm_up(self) -> None:
        """The daemon's caches, connections and prepared statements; one top-up at least."""
        self.progress("warm-up")
        self.stage.measure(self._ordinary(None))
        self.revive()

    def rounds(self) -> None:
        """Closed loop and half of it; alone, beside a slow provider, beside a dead one."""
        for number in range(1, self.course.rounds + 1):
            self._round(number, self.closed, None)
            self.half_rate = self.half_rate or self.closed["alone"][0].ordinary.per_second / 2
            self._round(number, self.half, self.half_rate)

    def _round(self, number: int, seen: dict[str, list[Phase]], rate: float | None) -> None:
        self.stage.server.checkpoint()
        what = "closed loop" if rate is None else f"{rate:,.0f}/s"
        alone = [self._phase(rate, None)]
        shorts = self._short(None)
        for mood in _MOODS:
            self.provider.be(mood)
            beside = self._phase(rate, shorts)
            assert beside.short is not None
            # As many as the slow provider's were answered; a dead one's are declined at once.
            shorts = self._short(max(_SHORT_MIN, beside.short.per_second))
            self.revive()
            alone.append(self._phase(rate, None))
            # The machine's mood changes, and tables grow: what comes just before and just after is the measure.
            around = statistics.mean(one.ordinary.per_second for one in alone[-2:])
            seen[mood].append(msgspec.structs.replace(beside, ratio=beside.ordinary.per_second / around))
        seen["alone"] += alone
        figures = ", ".join(
            f"{name} {statistics.median(one.ordinary.per_second for one in seen[name]):,.0f}/s" for name in seen
        )
        self.progress(f"round {number} of {self.course.rounds}, {what}, medians: {figures}")

    def _ordinary(self, rate: float | None) -> Order:
        course = self.course
        return Order(
            window=course.window if rate is None else _UNLIMITED,
            rate=rate,
            seconds=course.seconds,
            warm_up_seconds=course.warm_up_seconds,
            cards=course.cards,
        )

    def _short(self, rate: float | None) -> Order:
        course = self.course
        return Order(
            window=course.in_flight,
            rate=rate,
            warm_up_seconds=course.ahead_seconds + course.warm_up_seconds,
            seconds=course.seconds,
            first_card=self.short.first,
            cards=self.short.count,
        )

    def _phase(self, rate: float | None, short: Order | None) -> Phase:
        """Raises BenchFailed."""
        if short is not None:
            self.beside.begin(short)
            time.sleep(self.course.ahead_seconds)
        before, began = self._spent(), time.perf_counter()
        ordinary = self.stage.measure(self._ordinary(rate)).outcome
        seconds = time.perf_counter() - began
        cores = [(now - then) / seconds for now, then in zip(self._spent(), before, strict=True)]
        told = None
        if short is not None:
            # A dead provider's first purchases wait for longer than a short phase takes.
            told = self.beside.finish(none_measured=True)
            self.stage.count(told)
        daemon, postgres, provider, generators = cores
        return Phase(ordinary, told, Cores(daemon=daemon, postgres=postgres, provider=provider, generators=generators))

    def _spent(self) -> tuple[float, float, float, float]:
        return (
            cpu_seconds(self.stage.daemon_pid),
            self.stage.server.cpu_seconds(),
            cpu_seconds(self.provider.pid),
            cpu_seconds(self.stage.generator.pid) + cpu_seconds(self.beside.pid),
        )

    def revive(self) -> None:
        """The provider answers again, and is asked again. Raises BenchFailed when that takes too long."""
        self.provider.be("well")
        deadline = time.monotonic() + _SETTLE_SECONDS
        probe = msgspec.structs.replace(self._short(20.0), window=_SETTLE_CARDS, seconds=0.5, warm_up_seconds=0.1)
        while time.monotonic() < deadline:
            self.beside.begin(probe)
            told = self.beside.finish(none_measured=True)
            self.stage.count(told)
            if told.codes.get("00", 0) > told.answered / 2:
                return
        raise BenchFailed("the provider answers, and no purchase is topped up")

    def settle(self) -> None:
        """Waits until no attempt is open. Raises BenchFailed when one stays so."""

        async def work(connection: Connection) -> int:
            left = -1
            deadline = time.monotonic() + _SETTLE_SECONDS
            while left and time.monotonic() < deadline:
                left = await connection.fetchval("SELECT count(*) FROM funding_attempt WHERE wake_at IS NOT NULL")
                await asyncio.sleep(0.2 if left else 0.0)
            return left

        if left := self.stage.server.ask(self.stage.database, work):
            raise BenchFailed(f"{left} attempts have not ended: {self.stage.said()}")

    def compare(self) -> tuple[int, list[str]]:
        """The charges that the provider kept, and what the journal says otherwise."""

        async def work(connection: Connection) -> tuple[int, int]:
            row = await connection.fetchrow(
                "SELECT count(*), coalesce(sum(amount), 0)::bigint FROM journal_entry WHERE cause = 'top_up'"
            )
            return row[0], row[1]

        theirs, ours = self.provider.kept(), self.stage.server.ask(self.stage.database, work)
        if ours == theirs:
            return theirs[0], []
        return theirs[0], [
            f"the provider kept {theirs[0]} charges of {theirs[1]}, {ours[0]} loads of {ours[1]} are booked"
        ]
