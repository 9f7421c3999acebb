"""Linux as ``systemd/README.md`` advises, for the time of a benchmark: ``switch bench --set-up``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from switch.bench.processes import meminfo_kib
from switch.bench.stage import SHARED_BUFFERS_MB, BenchFailed

__all__ = ["SYSCTLS", "huge_pages", "set_up"]

_PROC_SYS = Path("/proc/sys")
_HUGE_PAGES = "vm.nr_hugepages"
#: PostgreSQL shares more than its buffers: 2 to 4 % for what belongs to each, and some ten MB.
_MORE_SHARE, _MORE_MB = 1.06, 100

#: As in systemd/switch.sysctl.conf.
SYSCTLS = {"vm.dirty_writeback_centisecs": 5, "vm.dirty_expire_centisecs": 5}


@contextmanager
def set_up() -> Iterator[None]:
    """Has Linux write changed pages as they come, and set huge pages aside for PostgreSQL; afterwards all is as before.

    PostgreSQL has to start and to end inside. Raises BenchFailed where it isn't allowed: root's rights are needed.
    """
    before: dict[str, int] = {}
    try:
        try:
            for name in (*SYSCTLS, _HUGE_PAGES):
                value = int(_file(name).read_text())
                _file(name).write_text(str(SYSCTLS.get(name, value + huge_pages())))
                before[name] = value
        except OSError as exc:
            raise BenchFailed(f"{exc.filename}: {exc.strerror}; --set-up is for root, on Linux") from exc
        yield
    finally:
        for name, value in before.items():
            _file(name).write_text(str(value))


def _file(name: str) -> Path:
    return _PROC_SYS / name.replace(".", "/")


def huge_pages() -> int:
    """How many the bench's PostgreSQL needs. Where Linux finds fewer, PostgreSQL does without. Raises OSError."""
    return int((SHARED_BUFFERS_MB * _MORE_SHARE + _MORE_MB) * 1024 / meminfo_kib("Hugepagesize")) + 1
