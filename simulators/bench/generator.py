"""The load generator: ``python -m simulators.bench.generator HOST PORT LINKS``.

Reads one :class:`Order` a line (JSON) from stdin, carries it out, and writes one :class:`Outcome` a line to stdout;
ends with stdin. Its connections stay open from one order to the next. One thread, plain sockets: what arrives on a
link is cut into answers and, in a closed loop, as many requests go back over the same link in one system call.

A *closed loop* keeps ``window`` messages in flight; a latency counts from sending. An *open loop* sends at random
moments (a Poisson process of ``rate`` a second) whatever happens to the earlier ones; a latency counts from the
moment that the message was scheduled for, so that a stall shows in every message that it delayed.
"""

from __future__ import annotations

import gc
import math
import random
import select
import socket
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from simulators.bench.frames import AnswerShapes, Requests
from simulators.percentile import percentiles

__all__ = ["Generator", "Order", "Outcome"]

_READ_BYTES = 262_144
_DRAIN_SECONDS = 30.0
_STANS = 1_000_000


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One phase. ``rate`` makes it an open loop of at most ``window`` in flight; a closed loop has only ``window``."""

    window: int
    seconds: float
    warm_up_seconds: float = 0.0  # before that; neither counted nor measured
    rate: float | None = None
    first_card: int = 0
    cards: int = 1


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What happened. Rate and latencies leave the warm-up out, the counts and the CPU time cover all."""

    seconds: float
    measured: int  # answers after the warm-up
    per_second: float
    latency_ms: dict[str, float]  # p50, p90, p99, p99.9, max
    answered: int
    codes: dict[str, int]  # DE39 of all answers
    unanswered: int
    in_flight: float  # on average
    late_ms: dict[str, float]  # open loop: how late the generator itself was, p50 and p99
    cpu_us: float  # of the generator, per answer


class _Link:
    """One connection: what was read of an incomplete answer, what waits to be sent."""

    __slots__ = ("outgoing", "rest", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rest = b""
        self.outgoing = b""

    def send(self, data: bytes) -> None:
        """Sends what the socket takes; the rest waits for :meth:`flush`."""
        if self.outgoing:
            self.outgoing += data
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.outgoing = data[sent:]

    def flush(self) -> None:
        data, self.outgoing = self.outgoing, b""
        self.send(data)


class Generator:
    """Holds ``links`` connections to the switch (or to the echo responder).

    Raises:
        ConnectionError: the peer closed one.
        ValueError: the peer sent something that is no answer.
    """

    def __init__(self, host: str, port: int, links: int, *, seed: int) -> None:
        self._links: dict[socket.socket, _Link] = {}
        for _ in range(links):
            sock = socket.create_connection((host, port), timeout=10)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            self._links[sock] = _Link(sock)
        self._sockets = list(self._links)
        self._shapes = AnswerShapes()
        self._requests = Requests(seed=seed, run=time.time_ns() // 1000)
        self._rng = random.Random(seed)
        # When each message in flight began, by STAN; zero for the others.
        self._began = array("d", bytes(8 * _STANS))
        self._clear()

    def _clear(self) -> None:
        self._latencies = array("d")
        self._late = array("d")
        self._codes: Counter[bytes] = Counter()
        self._in_flight = 0
        self._start_counting(time.perf_counter())

    def _start_counting(self, now: float) -> None:
        """From here on it is measured how many messages are in flight on average."""
        self._flown = 0.0  # seconds that all of them have been in flight
        self._flown_from = self._counted_at = now

    def _count(self, change: int, now: float) -> None:
        """So many more are in flight."""
        self._flown += self._in_flight * (now - self._counted_at)
        self._counted_at = now
        self._in_flight += change

    def close(self) -> None:
        """Closes the connections."""
        for sock in self._sockets:
            sock.close()

    def run(self, order: Order) -> Outcome:
        """Carries out one order and waits for the last answers."""
        self._clear()
        self._requests.use_cards(order.first_card, order.cards)
        self._requests.set_time(time.time())
        gc.collect()
        cpu = time.process_time()
        started = time.perf_counter()
        begin = started + order.warm_up_seconds
        end = begin + order.seconds
        drive = self._closed if order.rate is None else self._open
        measured_from = drive(order, begin, end)
        ended = time.perf_counter()
        measured = len(self._latencies) - measured_from
        self._count(0, ended)
        in_flight = self._flown / (ended - self._flown_from)
        self._drain()
        answered = sum(self._codes.values())
        # What was answered while draining belongs to the latencies, but not to the rate.
        latencies = self._latencies[measured_from:]
        found = percentiles(latencies, (0.5, 0.9, 0.99, 0.999, 1.0))
        late = percentiles(self._late, (0.5, 0.99))
        return Outcome(
            seconds=ended - begin,
            measured=measured,
            per_second=measured / (ended - begin),
            latency_ms=_named(found),
            answered=answered,
            codes={code.decode(): count for code, count in self._codes.most_common()},
            unanswered=self._in_flight,
            in_flight=in_flight,
            late_ms=_named(late),
            cpu_us=(time.process_time() - cpu) * 1e6 / max(1, answered),
        )

    def _closed(self, order: Order, begin: float, end: float) -> int:
        requests, perf_counter = self._requests, time.perf_counter
        links = list(self._links.values())
        for number, link in enumerate(links):
            share = order.window // len(links) + (number < order.window % len(links))
            if share:
                self._send(link, share, perf_counter())
        measured_from = -1
        while True:
            ready = self._select(1.0)
            now = perf_counter()
            if measured_from < 0 and now >= begin:
                measured_from = len(self._latencies)
                self._start_counting(now)
            if now >= end:
                # What has arrived by now is left to the drain.
                return max(0, measured_from)
            requests.set_time(time.time())
            for link in ready:
                answered = self._take(link)
                if answered:
                    self._send(link, answered, perf_counter())

    def _send(self, link: _Link, count: int, now: float) -> None:
        requests, began = self._requests, self._began
        if count == 1:
            frame = requests.make()
            began[requests.stan] = now
            link.send(frame)
        else:
            frames = []
            for _ in range(count):
                frames.append(requests.make())
                began[requests.stan] = now
            link.send(b"".join(frames))
        self._count(count, now)

    def _open(self, order: Order, begin: float, end: float) -> int:
        assert order.rate is not None, "an open loop has a rate"
        rate, requests, began, perf_counter = order.rate, self._requests, self._began, time.perf_counter
        gap: Callable[[float], float] = self._rng.expovariate
        links = list(self._links.values())
        due = perf_counter() + gap(rate)
        turn = 0
        measured_from = -1
        while True:
            now = perf_counter()
            if measured_from < 0 and now >= begin:
                measured_from = len(self._latencies)
                self._late = array("d")
                self._start_counting(now)
            if now >= end:
                return max(0, measured_from)
            requests.set_time(time.time())
            while due <= now and self._in_flight < order.window:
                frame = requests.make()
                began[requests.stan] = due
                self._late.append(now - due)
                links[turn].send(frame)
                turn = (turn + 1) % len(links)
                self._count(1, now)
                due += gap(rate)
            for link in self._select(max(0.0, min(due, end) - perf_counter())):
                self._take(link)

    def _drain(self) -> None:
        """Takes the answers that are still on their way."""
        deadline = time.perf_counter() + _DRAIN_SECONDS
        while self._in_flight and time.perf_counter() < deadline:
            for link in self._select(0.1):
                self._take(link)

    def _select(self, seconds: float) -> list[_Link]:
        # select() and not epoll: its timeout has microseconds, and there are only a few links.
        writing: Sequence[socket.socket] = [link.sock for link in self._links.values() if link.outgoing]
        readable, writable, _ = select.select(self._sockets, writing, (), seconds)
        for sock in writable:
            self._links[sock].flush()
        return [self._links[sock] for sock in readable]

    def _take(self, link: _Link) -> int:
        """Reads one piece from the link; how many answers were complete with it."""
        piece = link.sock.recv(_READ_BYTES)
        if not piece:
            raise ConnectionError("the peer closed the connection")
        now = time.perf_counter()
        data = link.rest + piece if link.rest else piece
        began, latencies, codes, places = self._began, self._latencies, self._codes, self._shapes.places
        at, size, taken = 0, len(data), 0
        while size - at >= 2:
            end = at + 2 + (data[at] << 8 | data[at + 1])
            if end > size:
                break
            frame = data[at:end]
            stan_at, code_at = places(frame)
            stan = int(frame[stan_at : stan_at + 6])
            since = began[stan]
            if not since:
                raise ValueError(f"an answer with STAN {stan:06d}, which was not in flight")
            began[stan] = 0.0
            latencies.append(now - since)
            codes[frame[code_at : code_at + 2]] += 1
            taken += 1
            at = end
        link.rest = data[at:]
        self._count(-taken, now)
        return taken


def _named(seconds: dict[float, float]) -> dict[str, float]:
    """Percentiles in milliseconds by their names; nothing where there were no values."""
    return {
        "max" if share == 1 else f"p{share * 100:g}": value * 1e3
        for share, value in seconds.items()
        if not math.isnan(value)
    }


def main() -> None:
    """Orders on stdin, outcomes on stdout."""
    host, port, links = sys.argv[1:4]
    try:
        generator = Generator(host, int(port), int(links), seed=8583)
        gc.freeze()
        gc.disable()
        for line in sys.stdin:
            outcome = generator.run(msgspec.json.decode(line, type=Order))
            print(msgspec.json.encode(outcome).decode(), flush=True)
        generator.close()
    except (OSError, ValueError) as exc:
        sys.exit(f"load generator: {exc}")


if __name__ == "__main__":
    main()
