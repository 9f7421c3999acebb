"""CPU time and memory of processes, read from outside. Linux's /proc; zero figures where there is none."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import msgspec

__all__ = ["Memory", "cpu_seconds", "memory_of", "tree_of"]

_TICKS = os.sysconf("SC_CLK_TCK")


class Memory(msgspec.Struct, frozen=True):
    """Resident memory in MiB: now, and the most there ever was."""

    resident_mib: float
    peak_mib: float


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the program's name (which may hold anything); None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def tree_of(pid: int) -> list[int]:
    """``pid`` and all processes below it."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").glob("[0-9]*"):
        if stat := _stat(int(entry.name)):
            children[int(stat[1])].append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children[found[-1]]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, of all below it, and of those below it that have ended."""
    total = 0
    for one in tree_of(pid):
        if stat := _stat(one):
            # utime, stime, cutime, cstime: fields 14 to 17 of the file, which begins with two that are cut off.
            total += sum(map(int, stat[11:15]))
    return total / _TICKS


def memory_of(pid: int) -> Memory:
    """Of a process and all below it, summed. Peaks need not have come at the same moment."""
    sums = {"VmRSS:": 0, "VmHWM:": 0}
    for one in tree_of(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                name, _, rest = line.partition("\t")
                if name in sums:
                    sums[name] += int(rest.split()[0])
    return Memory(sums["VmRSS:"] / 1024, sums["VmHWM:"] / 1024)
