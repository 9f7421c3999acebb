"""`switch bench --clearing`: a file is booked once although its run is killed, and the command says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from switch.bench.clearing import ClearingReport


def test_a_file_is_booked_once_although_its_runs_are_killed(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [
        sys.executable,
        "-m",
        "switch.cli",
        "bench",
        "--clearing",
        "4000",
        "--kills",
        "2",
        "--json",
        str(figures),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = msgspec.json.decode(figures.read_bytes(), type=ClearingReport)

    assert report.faults == []
    assert report.records == 4_000
    assert "agree, every record is booked once" in done.stdout
    assert report.copy_seconds > 0 and report.memory_mib
