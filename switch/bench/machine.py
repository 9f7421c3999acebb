"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

__all__ = ["Machine", "describe_machine"]

_SYNCS = 40


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """``flush_us`` is the median of writing 8 kB and waiting for the disk (fdatasync), where the database lies.

    ``writeback_seconds`` and ``expire_seconds``: how often Linux writes changed pages of files to the disk, and how old
    those are (``vm.dirty_*_centisecs``); None on other systems. A commit waits behind what is written at once.
    """

    cores: int
    cpu: str
    memory_gib: float
    system: str
    python: str
    postgresql: str
    load_before: float  # one-minute load average when the benchmark began
    flush_us: float
    writeback_seconds: float | None
    expire_seconds: float | None


def describe_machine(data: Path, postgresql: str) -> Machine:
    """``data``: a directory on the disk that the database uses."""
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu=_cpu_model(),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        postgresql=postgresql,
        load_before=os.getloadavg()[0],
        flush_us=_flush_us(data),
        writeback_seconds=_vm_seconds("dirty_writeback_centisecs"),
        expire_seconds=_vm_seconds("dirty_expire_centisecs"),
    )


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the architecture must do
    return platform.machine()


def _vm_seconds(name: str) -> float | None:
    try:
        return int((Path("/proc/sys/vm") / name).read_text()) / 100
    except OSError:
        return None  # not Linux


def _flush_us(data: Path) -> float:
    page = bytes(8192)
    taken = []
    with tempfile.TemporaryFile(dir=data) as file:
        for _ in range(_SYNCS):
            started = time.perf_counter()
            file.seek(0)
            file.write(page)
            file.flush()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6
