"""What else is looked at: sessions that behave, and the memory of the daemon."""

from __future__ import annotations

import time
from array import array
from pathlib import Path

import msgspec
import trio

from simulators.link import Link, LinkRefused, connect
from simulators.messages import Maker
from simulators.percentile import percentiles
from switch.contracts.reason import Reason
from switch.wire.codec import Codec

__all__ = ["Healthy", "Latency", "resident_bytes"]

_ANSWER_SECONDS = 10.0
_SHARES = (0.5, 0.99, 1.0)


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Of answered purchases, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Healthy:
    """One purchase after the other at a steady pace, on sessions of its own, while others misbehave."""

    def __init__(self, maker: Maker, codec: Codec, alias: str, *, pace_seconds: float) -> None:
        self.problems: list[str] = []
        self._maker, self._codec, self._alias = maker, codec, alias
        self._pace = pace_seconds
        self._latencies = array("d")

    async def run(self, host: str, port: int, *, sign_on: bool) -> None:
        """Until it is cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                link = await connect(nursery, self._codec, host, port, sign_on=sign_on, name="healthy")
                await self._purchases(link)
                nursery.cancel_scope.cancel()
        except* LinkRefused:
            self.problems.append("a healthy session could not be opened")

    async def _purchases(self, link: Link) -> None:
        while not link.closed.is_set():
            message = self._maker.authorization(self._alias, 1)
            started = time.perf_counter()
            answer = await link.ask(message.fields, _ANSWER_SECONDS)
            seconds = time.perf_counter() - started
            dialect = self._codec.dialect
            code = "no answer" if answer is None else answer.get(dialect.elements.response_code, "no code")
            if code == dialect.response_code(Reason.APPROVED):
                self._latencies.append(seconds)
            else:
                self.problems.append(f"a healthy purchase got {code}")
            await trio.sleep(max(0.0, self._pace - seconds))
        self.problems.append("a healthy session was closed")

    def taken(self) -> Latency:
        """The latencies since the last call."""
        latencies, self._latencies = self._latencies, array("d")
        if not latencies:
            return Latency(count=0, p50_ms=0.0, p99_ms=0.0, max_ms=0.0)
        p50, p99, highest = (1e3 * percentiles(latencies, _SHARES)[share] for share in _SHARES)
        return Latency(count=len(latencies), p50_ms=p50, p99_ms=p99, max_ms=highest)


def resident_bytes(pid: int) -> int:
    """What a process holds in memory (Linux). Raises OSError when there is no such process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")
