"""The books of the tests that top up for real."""

from __future__ import annotations

import pytest

from tests.journal.conftest import database, postgres

__all__ = ["database", "postgres"]


def pytest_configure(config: pytest.Config) -> None:
    """As in the chaos tests: a test that needs long says so."""
    config.addinivalue_line("markers", "long: takes more than ten seconds; `-m 'not long'` leaves it out")
