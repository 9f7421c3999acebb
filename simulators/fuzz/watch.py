"""What else is looked at: a session that behaves, and the memory of the daemon."""

from __future__ import annotations

import subprocess
import sys
from array import array
from functools import partial
from pathlib import Path

import msgspec
import trio

from simulators.fuzz.healthy import Order, Seen
from simulators.percentile import percentiles

__all__ = ["Bystander", "Latency", "resident_bytes"]

_START_SECONDS = 30.0
_SHARES = (0.5, 0.99, 1.0)


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Of answered purchases, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Bystander:
    """The process of a healthy session, as the run sees it."""

    def __init__(self, order: Order) -> None:
        self.problems: list[str] = []
        self._command = [sys.executable, "-m", "simulators.fuzz.healthy", msgspec.json.encode(order).decode()]
        self._latencies = array("d")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until it is cancelled; it has started when its first purchase is through, well or not."""
        async with trio.open_nursery() as nursery:
            run = partial(trio.run_process, self._command, stdout=subprocess.PIPE, check=False)
            process: trio.Process = await nursery.start(run)
            with trio.move_on_after(_START_SECONDS) as patience:
                rest, begun = b"", False
                assert process.stdout is not None
                async for data in process.stdout:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._note(msgspec.json.decode(line, type=Seen))
                    if lines and not begun:
                        begun, patience.deadline = True, float("inf")
                        task_status.started()
            self.problems.append("the healthy session's process ended")
            if not begun:
                task_status.started()
            nursery.cancel_scope.cancel()

    def _note(self, seen: Seen) -> None:
        if seen.problem:
            self.problems.append(seen.problem)
        else:
            self._latencies.append(seen.seconds)

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
