"""CPU time, memory and priority of processes, from outside. Linux's /proc; zero figures where there is none."""

from __future__ import annotations

import mmap
import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import msgspec

__all__ = ["Memory", "cpu_seconds", "favour", "meminfo_kib", "memory_of", "touch_shared_memory", "tree_of"]

_TICKS = os.sysconf("SC_CLK_TCK")
#: How shared memory without a file is named in /proc/PID/maps, in pages of the usual size and in huge ones.
_SMALL_PAGES, _HUGE_PAGES = " /dev/zero (deleted)", " /anon_hugepage (deleted)"
_MADV_POPULATE_WRITE = 23  # madvise(2); Python's mmap has no name for it


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


def favour(pid: int, nice: int) -> int:
    """Gives the leader of a session a priority, as far as that is allowed. Returns what counts beside other sessions.

    Where Linux shares processors out between sessions first (autogroup, sched(7)), that is the priority of its session.
    """
    session = Path(f"/proc/{pid}/autogroup")  # "/autogroup-59 nice 0"
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    # BlockingIOError: without root's rights only ten may be changed a second, by whomever.
    with suppress(FileNotFoundError, PermissionError, BlockingIOError):
        session.write_text(str(nice))
    with suppress(FileNotFoundError):  # Linux built without autogroup
        switched_on = int(Path("/proc/sys/kernel/sched_autogroup_enabled").read_text())
        # Empty for a process that belongs to no such session.
        if switched_on and (words := session.read_text().split()):
            return int(words[-1])
    return os.getpriority(os.PRIO_PROCESS, pid)


def touch_shared_memory(pid: int) -> bool:
    """Has Linux back all memory that a process shares with its children with pages, as if each had been used once.

    False where there is none, where it would be more than half of what is free, and where it is not allowed: that needs
    root's rights (CAP_CHECKPOINT_RESTORE) and Linux 5.14.
    """
    touched = False
    try:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if not line.endswith((_SMALL_PAGES, _HUGE_PAGES)):
                continue
            place = line.partition(" ")[0]
            begin, end = (int(address, 16) for address in place.split("-"))
            if line.endswith(_SMALL_PAGES) and end - begin > meminfo_kib("MemAvailable") * 1024 / 2:
                return False
            with (
                Path(f"/proc/{pid}/map_files/{place}").open("r+b") as file,
                mmap.mmap(file.fileno(), end - begin) as memory,
            ):
                memory.madvise(_MADV_POPULATE_WRITE)
            touched = True
    except OSError:
        return False
    return touched


def meminfo_kib(name: str) -> int:
    """A line of /proc/meminfo, say ``MemAvailable``: what Linux could hand out without swapping. Raises OSError."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
