"""The funding provider of a benchmark: ``switch funding-source`` as a process of its own, with its books.

In the field it is another company's machine. Here it stands on the disk that PostgreSQL commits to, so it does not
force its deeds there (``--no-sync``): that would be charged to the switch.
"""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path
from typing import IO, Literal

import msgspec

from simulators.funding_source.books import BOOKS_FILE, Deed, read_entries
from switch.bench.stage import BenchFailed, child

__all__ = ["Mood", "ProviderProcess"]

Mood = Literal["well", "slow", "dead"]
_END_SECONDS = 10.0


class _Ready(msgspec.Struct):
    url: str
    key_file: str


class ProviderProcess:
    """A context manager. Answers at once, ``slow_seconds`` later, or resets every connection, as its mood is."""

    name = "bench"

    def __init__(self, directory: Path, errors: IO[bytes], *, slow_seconds: float) -> None:
        self._books = directory / BOOKS_FILE
        self._slow_seconds = slow_seconds
        self._process = child(
            "switch.cli", "funding-source", "run", "--data", str(directory), "--control", "--no-sync", errors=errors
        )
        assert self._process.stdout is not None
        try:
            self._ready = msgspec.json.decode(self._process.stdout.readline(), type=_Ready)
        except BaseException as exc:
            self.__exit__()
            if isinstance(exc, msgspec.MsgspecError):
                raise BenchFailed("the provider did not start") from exc
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def settings(self) -> str:
        """``[[funding.provider]]`` for the daemon."""
        return f"""\
[[funding.provider]]
name = "{self.name}"
url = "{self._ready.url}"
key_id = "switch"
key_file = "{self._ready.key_file}"
"""

    def be(self, mood: Mood) -> None:
        """From the next call on."""
        faults: dict[Mood, list[dict[str, object]]] = {
            "well": [],
            "slow": [{"kind": "slow", "seconds": self._slow_seconds}],
            "dead": [{"kind": "reset_before"}],
        }
        script = msgspec.json.encode({"fault": faults[mood]})
        request = urllib.request.Request(f"{self._ready.url}/control/script", script, method="POST")  # noqa: S310 - the address is ours and http
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - as said
            pass

    def kept(self) -> tuple[int, int]:
        """How many charges stand in its books, and how much they took in all."""
        entries = read_entries(self._books)
        returned = {entry.key for entry in entries if entry.deed is Deed.VOIDED}
        kept = [entry.amount_minor for entry in entries if entry.deed is Deed.CHARGED and entry.key not in returned]
        return len(kept), sum(kept)

    def __enter__(self) -> ProviderProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
