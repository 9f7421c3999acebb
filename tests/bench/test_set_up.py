"""``switch bench --set-up``: for real where that is allowed, and all as before afterwards."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from switch.bench.set_up import SYSCTLS, huge_pages, set_up
from switch.bench.stage import SHARED_BUFFERS_MB, BenchFailed

_FILES = {name: Path("/proc/sys") / name.replace(".", "/") for name in (*SYSCTLS, "vm.nr_hugepages")}
_ALLOWED = all(os.access(file, os.W_OK) for file in _FILES.values())


def _values() -> dict[str, int]:
    return {name: int(file.read_text()) for name, file in _FILES.items()}


@pytest.mark.skipif(not _ALLOWED, reason="needs root's rights")
def test_linux_is_set_up_and_then_as_before() -> None:
    before = _values()
    with suppress(ZeroDivisionError), set_up():
        within = _values()
        raise ZeroDivisionError
    assert {name: within[name] for name in SYSCTLS} == SYSCTLS
    # As many as Linux finds: in a memory that is full of pieces, not all.
    assert before["vm.nr_hugepages"] < within["vm.nr_hugepages"] <= before["vm.nr_hugepages"] + huge_pages()
    assert _values() == before


def test_huge_pages_hold_the_buffers_and_what_belongs_to_them() -> None:
    (line,) = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("Hugepagesize:")]
    assert 1.05 < huge_pages() * int(line.split()[1]) / 1024 / SHARED_BUFFERS_MB < 1.6


@pytest.mark.skipif(_ALLOWED, reason="needs an ordinary user")
def test_an_ordinary_user_is_told() -> None:
    with pytest.raises(BenchFailed, match="--set-up is for root"), set_up():
        pass


def test_it_is_what_the_file_for_operators_says() -> None:
    text = (Path(__file__).parents[2] / "systemd" / "switch.sysctl.conf").read_text()
    for name, value in SYSCTLS.items():
        assert f"\n{name} = {value}\n" in text
    assert "vm.nr_hugepages = " in text
