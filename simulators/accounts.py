"""What the issuer's accounts say, asked as anybody would ask: by the command ``switch account show``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

from simulators.books import Books
from switch.contracts.errors import SwitchError

__all__ = ["AccountsUnknown", "open_books", "show_accounts"]

_SECONDS = 60


class AccountsUnknown(SwitchError):
    """``switch account show`` did not answer; the message ends with what it said."""


def show_accounts(config: Path) -> dict[str, Mapping[str, object]]:
    """Every test card's account by alias, from the switch that ``config`` sets up."""
    with as_file(files("simulators").joinpath("cards.toml")) as cards:
        command = ["account", "show", "--json", "--cards-file", str(cards), "--config", str(config)]
        done = subprocess.run(
            [sys.executable, "-m", "switch.cli", *command],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise AccountsUnknown(f"switch account show ended with {done.returncode}: {done.stderr.strip()}")
    shown: dict[str, Mapping[str, object]] = json.loads(done.stdout)
    return shown


def open_books(books: Books, shown: Mapping[str, Mapping[str, object]]) -> None:
    """Takes what the accounts show as the opening balances: the switch may have seen other traffic before."""
    for alias, account in shown.items():
        if alias in books.aliases:
            books.open_at(alias, int(str(account["posted"])), int(str(account["held"])))
