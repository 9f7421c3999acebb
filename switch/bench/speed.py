"""The course of ``switch bench``: switch and pgbench in turns, then the special cases.

The machine's mood changes within minutes, so both sides take turns in short rounds, and every figure is the median of
its rounds. Between the sides nothing but the load changes: same server, same settings, same disk.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import iso8583
import msgspec

from simulators.bench.frames import bench_codec, sample_fields
from simulators.bench.generator import Order
from switch.bench.books import check_books
from switch.bench.cards import CardRange, issue_cards
from switch.bench.machine import describe_machine
from switch.bench.peer import Form, Peer, PeerMeasured
from switch.bench.report import Codec, HotCard, Load, PeerLoad, SpeedReport
from switch.bench.stage import GeneratorProcess, Measured, Server, Stage, child

#: An open loop sends whatever is in flight; this only keeps STANs apart.
_UNLIMITED = 100_000

_L = TypeVar("_L", Load, PeerLoad)

__all__ = ["QUICK", "Course", "Progress", "median_load", "run_speed"]

#: Told what is being measured, for the person who waits.
Progress = Callable[[str], None]


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often. A phase of the switch lasts warm-up plus ``seconds``, one of pgbench the same."""

    windows: tuple[int, ...] = (1, 8, 64, 256, 1000)
    clients: tuple[int, ...] = (1, 4, 8, 16, 32)
    clients_pipelined: tuple[int, ...] = (4, 8, 16)
    clients_hot: tuple[int, ...] = (1, 8)
    windows_hot: tuple[int, ...] = (64, 256)
    rounds: int = 3
    seconds: float = 4.0
    seconds_open: float = 5.0
    seconds_half: float = 2.5
    halves: int = 2  # phases of so many seconds at half of the maximum, before 80 % and after it, in each round
    warm_up_seconds: float = 1.0
    cards: int = 1000
    cards_locked: int = 100
    verify_entries: int = 200_000
    wal_segments: int = 240


#: Every part, shortly: proves that the command works; its figures mean nothing.
QUICK = Course(
    clients=(1, 8),
    clients_pipelined=(8,),
    clients_hot=(1,),
    windows_hot=(64,),
    rounds=1,
    seconds=0.7,
    seconds_open=1.0,
    seconds_half=1.0,
    halves=1,
    warm_up_seconds=0.3,
    verify_entries=5_000,
    wal_segments=4,
)


def run_speed(server: Server, course: Course, *, connections: int, progress: Progress) -> SpeedReport:
    """Runs it all on an entered server. Raises BenchFailed."""
    started = time.perf_counter()
    machine = describe_machine(server.directory, server.version())
    stage = Stage(server, "bench", connections=connections)
    progress("write-ahead log and buffers")
    server.provide_wal(course.wal_segments)
    server.touch_buffers()
    progress("database, schema and cards")
    stage.prepare()
    cards = CardRange(first=0, count=course.cards)
    locked = CardRange(first=course.cards, count=course.cards_locked, locked=True)
    for one in (cards, locked):
        issue_cards(stage, one, lambda _: None)
    with stage:
        run = _Run(stage, course, cards, locked, progress)
        progress("warm-up")
        run.switch(64, seconds=course.warm_up_seconds * 2)
        run.peer.prepare()
        memory_begin = stage.memory()
        run.rounds()
        windows = [median_load(f"window {window}", run.measured[window], window=window) for window in course.windows]
        peers = _peer_loads(run.by_clients["statements"])
        pipelined = _peer_loads(run.by_clients["pipelined"])
        best, best_peer = _best(windows), _best(peers)
        one_client = min(peers, key=lambda load: load.clients)
        opened = run.open_loop(best, best_peer)
        half_p99, one_client_ms = statistics.median(opened.half_p99_ms), statistics.median(opened.one_client_ms)
        hot = run.hot()
        declined = run.declined(best.window)
        memory_end = stage.memory()
        ceiling = _ceiling(stage, course, sorted({course.windows[0], best.window}), progress)
        progress("books")
        books = check_books(stage, entries_max=course.verify_entries)
        codec = Codec(decode_us=statistics.median(run.decode_us), encode_us=statistics.median(run.encode_us))
        return SpeedReport(
            machine=machine,
            postgres_settings=server.told_settings(),
            connections=connections,
            daemon_nice=stage.nice,
            trace_bytes=run.peer.trace_bytes,
            windows=windows,
            pgbench=peers,
            pgbench_pipelined=pipelined,
            best_window=best.window,
            best_clients=best_peer.clients,
            ratio=best.per_second / best_peer.per_second,
            ratio_pipelined=best.per_second / _best(pipelined).per_second,
            window_1_median_to_pgbench=windows[0].latency_ms["p50"] / one_client.latency_ms["p50"],
            open_loop_maxima=opened.maxima,
            open_loop=opened.loads,
            half_load_p99_ms=opened.half_p99_ms,
            one_client_ms=opened.one_client_ms,
            half_load_p99_to_pgbench=half_p99 / one_client_ms,
            pgbench_half_load=opened.peer_half,
            pgbench_half_load_p99_to_pgbench=opened.peer_half.latency_ms["p99"] / one_client_ms,
            codec=codec,
            daemon_cpu_to_codec=best.daemon_cpu_us / (codec.decode_us + codec.encode_us),
            hot_card=hot,
            declined=declined,
            generator_ceiling=ceiling,
            memory_begin=memory_begin,
            memory_end=memory_end,
            books=books,
            seconds=time.perf_counter() - started,
        )


class OpenLoop(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the open loops. ``maxima``: what the switch did in a closed loop just before, round by round.

    ``half_p99_ms``: of each phase at 50 %; ``one_client_ms``: the median of one pgbench client right after each.
    """

    maxima: list[float]
    loads: list[Load]
    half_p99_ms: list[float]
    one_client_ms: list[float]
    peer_half: PeerLoad


class _Run:
    """The phases of one run, and what they measured."""

    def __init__(self, stage: Stage, course: Course, cards: CardRange, locked: CardRange, progress: Progress) -> None:
        self.stage, self.course, self.cards, self.locked, self.progress = stage, course, cards, locked, progress
        self.peer = Peer(stage)
        self.measured: dict[int, list[Measured]] = {}
        self.by_clients: dict[Form, dict[int, list[PeerMeasured]]] = {"statements": {}, "pipelined": {}}
        self.decode_us: list[float] = []
        self.encode_us: list[float] = []

    def switch(
        self,
        window: int,
        *,
        seconds: float | None = None,
        rate: float | None = None,
        first_card: int = 0,
        cards: int | None = None,
    ) -> Measured:
        order = Order(
            window=window,
            rate=rate,
            seconds=self.course.seconds if seconds is None else seconds,
            warm_up_seconds=self.course.warm_up_seconds,
            first_card=first_card,
            cards=self.cards.count if cards is None else cards,
        )
        return self.stage.measure(order)

    def pgbench(
        self, clients: int, form: Form, accounts: range, *, rate: float | None = None, seconds: float | None = None
    ) -> PeerMeasured:
        seconds = self.course.seconds if seconds is None else seconds
        seconds = max(1, round(seconds + self.course.warm_up_seconds))  # pgbench takes whole ones
        return self.peer.measure(
            clients=clients,
            form=form,
            seconds=seconds,
            warm_up_seconds=min(self.course.warm_up_seconds, seconds / 2),
            accounts=accounts,
            rate=rate,
        )

    def rounds(self) -> None:
        """Switch, pgbench, switch, pgbench, …: each window and each number of clients once a round."""
        course, accounts = self.course, self.cards.accounts()
        peers: list[tuple[int, Form]] = [(clients, "statements") for clients in course.clients]
        peers += [(clients, "pipelined") for clients in course.clients_pipelined]
        for number in range(1, course.rounds + 1):
            left: list[int] = list(course.windows)
            for place, (clients, form) in enumerate(peers):
                # The windows are spread over the round as evenly as their number allows.
                while left and (len(course.windows) - len(left)) * len(peers) <= place * len(course.windows):
                    self._window(number, left.pop(0))
                text = f"round {number} of {course.rounds}: pgbench, {form}, {clients} clients"
                one = self.pgbench(clients, form, accounts)
                self.by_clients[form].setdefault(clients, []).append(one)
                self.progress(f"{text}: {one.per_second:,.0f}/s")
            for window in left:
                self._window(number, window)

    def _window(self, number: int, window: int) -> None:
        # Beside every phase of the switch, so that both saw the machine in the same mood.
        decode_us, encode_us = _codec_us()
        self.decode_us.append(decode_us)
        self.encode_us.append(encode_us)
        one = self.switch(window)
        self.measured.setdefault(window, []).append(one)
        text = f"round {number} of {self.course.rounds}: switch, window {window}"
        self.progress(f"{text}: {one.outcome.per_second:,.0f}/s")

    def open_loop(self, best: Load, best_peer: PeerLoad) -> OpenLoop:
        """The switch at 25, 50 and 80 % of its maximum, in turns with pgbench at 50 % of its own and with one client.

        What the maximum is, each round measures anew: where the machine has become slower since the rounds before, half
        of what it did then would be more than half of what it can do now. A figure is wanted of 50 %, and one stall of
        the machine spoils the p99 of the phase that it falls into: so these are many and short. Beside each of them
        runs the one client that they are compared with.
        """
        course = self.course
        maxima: list[float] = []
        measured: dict[int, list[Measured]] = {25: [], 50: [], 80: []}
        peer_half: list[PeerMeasured] = []
        half_p99_ms: list[float] = []
        one_client_ms: list[float] = []
        accounts = self.cards.accounts()
        halves = [50] * course.halves
        for number in range(1, course.rounds + 1):
            text = f"open loop, round {number} of {course.rounds}"
            self.progress(f"{text}: vacuum, checkpoint and warm-up")
            self.stage.server.vacuum(self.stage.database)
            self.stage.server.checkpoint()
            # The first change of a page after a checkpoint puts all of it into the write-ahead log: not counted.
            self.switch(best.window)
            maximum = self.switch(best.window).outcome.per_second
            maxima.append(maximum)
            for percent in (25, *halves, 80, *halves):
                seconds = course.seconds_half if percent == 50 else course.seconds_open
                one = self.switch(_UNLIMITED, seconds=seconds, rate=maximum * percent / 100)
                measured[percent].append(one)
                p50, p99 = one.outcome.latency_ms["p50"], one.outcome.latency_ms["p99"]
                self.progress(f"{text}: {percent} % of {maximum:,.0f}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
                if percent == 50:
                    half_p99_ms.append(p99)
                    alone = self.pgbench(1, "statements", accounts, seconds=course.seconds_half / 2)
                    one_client_ms.append(alone.latency_ms["p50"])
            peer_maximum = self.pgbench(best_peer.clients, "statements", accounts).per_second
            peer_half.append(self.pgbench(best_peer.clients, "statements", accounts, rate=peer_maximum / 2))
        loads = [
            median_load(f"{percent} %", found, window=_UNLIMITED, rate=statistics.median(maxima) * percent / 100)
            for percent, found in measured.items()
        ]
        (half,) = _peer_loads({best_peer.clients: peer_half})
        return OpenLoop(
            maxima=maxima,
            loads=loads,
            half_p99_ms=half_p99_ms,
            one_client_ms=one_client_ms,
            peer_half=msgspec.structs.replace(half, name=f"50 %, {half.name}"),
        )

    def hot(self) -> HotCard:
        """All traffic on the first card, against pgbench on its one row; in turns, as the rounds."""
        course = self.course
        ours: dict[int, list[Measured]] = {}
        theirs: dict[int, list[PeerMeasured]] = {}
        for number in range(1, course.rounds + 1):
            self.progress(f"hot card, round {number} of {course.rounds}")
            for window in course.windows_hot:
                ours.setdefault(window, []).append(self.switch(window, cards=1))
            for clients in course.clients_hot:
                theirs.setdefault(clients, []).append(self.pgbench(clients, "statements", self.cards.accounts()[:1]))
        switch = [median_load(f"window {window}", measured, window=window) for window, measured in ours.items()]
        pgbench = _peer_loads(theirs)
        return HotCard(switch=switch, pgbench=pgbench, ratio=_best(switch).per_second / _best(pgbench).per_second)

    def declined(self, window: int) -> Load:
        """Only locked cards."""
        self.progress("declined only")
        one = self.switch(window, first_card=self.locked.first, cards=self.locked.count)
        return median_load(f"window {window}", [one], window=window)


def _ceiling(stage: Stage, course: Course, windows: Iterable[int], progress: Progress) -> list[Load]:
    """What the generator does when answers cost next to nothing."""
    progress("the generator's own ceiling")
    loads = []
    with (stage.server.directory / "echo.stderr").open("wb") as errors:
        echo = child("simulators.bench.echo", errors=errors)
        try:
            assert echo.stdout is not None
            with GeneratorProcess("127.0.0.1", int(echo.stdout.readline()), errors) as generator:
                for window in windows:
                    order = Order(
                        window=window,
                        seconds=min(course.seconds, 2.0),
                        warm_up_seconds=course.warm_up_seconds / 2,
                        cards=course.cards,
                    )
                    outcome = generator.run(order)
                    measured = Measured(outcome=outcome, daemon_cpu_us=0.0, postgres_cpu_us=0.0)
                    loads.append(median_load(f"window {window}", [measured], window=window))
        finally:
            echo.kill()
            echo.communicate()
    return loads


def _codec_us(times: int = 400, repeats: int = 5) -> tuple[float, float]:
    """pyiso8583's decode and encode of the generator's message: CPU microseconds, the median of the repeats."""
    codec = bench_codec()
    spec = codec.dialect.spec
    payload = codec.encode(sample_fields())
    decoded, _ = iso8583.decode(payload, spec)
    decode_us, encode_us = [], []
    for _ in range(repeats):
        begin = time.process_time()
        for _ in range(times):
            iso8583.decode(payload, spec)
        middle = time.process_time()
        for _ in range(times):
            iso8583.encode(decoded, spec)
        decode_us.append((middle - begin) * 1e6 / times)
        encode_us.append((time.process_time() - middle) * 1e6 / times)
    return statistics.median(decode_us), statistics.median(encode_us)


def median_load(name: str, measured: Sequence[Measured], *, window: int, rate: float | None = None) -> Load:
    """The rounds of one load as one: the median of every figure by itself."""
    outcomes = [one.outcome for one in measured]
    codes: dict[str, int] = {}
    for outcome in outcomes:
        for code, count in outcome.codes.items():
            codes[code] = codes.get(code, 0) + count
    return Load(
        name=name,
        window=window,
        rate=rate,
        per_second=statistics.median(one.per_second for one in outcomes),
        rounds=[one.per_second for one in outcomes],
        latency_ms=_medians([one.latency_ms for one in outcomes]),
        generator_late_ms=_medians([one.late_ms for one in outcomes]),
        daemon_cpu_us=statistics.median(one.daemon_cpu_us for one in measured),
        postgres_cpu_us=statistics.median(one.postgres_cpu_us for one in measured),
        generator_cpu_us=statistics.median(one.cpu_us for one in outcomes),
        codes=codes,
    )


def _peer_loads(by_clients: dict[int, list[PeerMeasured]]) -> list[PeerLoad]:
    return [
        PeerLoad(
            name=f"{clients} client{'s' if clients > 1 else ''}",
            form=rounds[0].form,
            clients=clients,
            per_second=statistics.median(one.per_second for one in rounds),
            rounds=[one.per_second for one in rounds],
            latency_ms=_medians([one.latency_ms for one in rounds]),
            postgres_cpu_us=statistics.median(one.postgres_cpu_us for one in rounds),
        )
        for clients, rounds in by_clients.items()
    ]


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _best(loads: Sequence[_L]) -> _L:
    return max(loads, key=lambda load: load.per_second)
