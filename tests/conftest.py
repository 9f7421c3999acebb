"""What every test shares: how much Hypothesis tries, and that a failing example can be run again."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

from tests.summary import PROPERTY, Cells, lines

# No deadline: a test that starts a daemon or shares two cores with another worker is slow now and then.
settings.register_profile("default", deadline=None, print_blob=True)
# CI tries more, with fresh random examples each time; the blob that it prints runs the failing one again anywhere.
settings.register_profile(
    "ci",
    deadline=None,
    print_blob=True,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture
def cells(record_property: Callable[[str, object], None]) -> Cells:
    """For a table at the end of the run."""
    return lambda row, column, value: record_property(PROPERTY, (row, column, value))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What daemons that died came to, in the output of every run."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ())]
    shown = list(lines(one for one in reports if one.when == "call"))
    if shown:
        terminalreporter.section(
            "state × fault → end state: the daemon dies there, another one goes on, three books agree"
        )
        for line in shown:
            terminalreporter.write_line(line)
