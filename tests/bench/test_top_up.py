"""`switch bench --top-up` in its shortest form: every part runs, and the books of both sides agree. No figure is judged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from switch.bench.top_up_report import TopUpReport


def test_ordinary_purchases_are_measured_beside_top_ups(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "switch.cli", "bench", "--top-up", "--quick", "--json", str(figures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = msgspec.json.decode(figures.read_bytes(), type=TopUpReport)

    for loads in (report.closed, report.half):
        assert [load.name for load in loads] == ["alone", "slow", "dead"]
        alone, slow, dead = loads
        assert not alone.short_codes and alone.ratio == 1
        assert slow.short_codes["00"]
        assert "00" not in dead.short_codes, "nothing is approved on doubt"
        assert all(load.per_second > 0 and load.cores.daemon > 0 for load in loads)
    assert report.faults == []
    assert report.charges >= sum(load.short_codes["00"] for load in (report.closed[1], report.half[1]))
    assert "all books agree" in done.stdout


def test_it_goes_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "switch.cli", "bench", "--top-up", "--rows", "10000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--top-up goes without --rows" in done.stderr
