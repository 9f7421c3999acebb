"""Where other vendors' clients are that pip alone can't install among the test requirements: `make peers` puts them there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["PEERS", "missing"]

PEERS = Path(os.environ.get("SWITCH_TEST_PEERS", Path(sys.prefix) / "peers"))


def missing(what: str, remedy: str) -> NoReturn:
    """Skips on a machine that lacks a client; where SWITCH_TEST_PEERS names a folder of them, that is a failure."""
    text = f"{what} is not installed ({remedy})"
    if "SWITCH_TEST_PEERS" in os.environ:
        pytest.fail(text)
    pytest.skip(text)
