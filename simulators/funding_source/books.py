"""The provider's books: a file of JSON lines that only grows, forced to disk before anybody hears of a deed.

Without ``sync`` a deed is only handed to the system: it outlives the process, not a power cut.
"""

from __future__ import annotations

import os
from collections import Counter
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from switch.contracts.errors import ConfigurationError

__all__ = ["BOOKS_FILE", "Books", "Deed", "Entry", "Money", "Summary", "read_entries", "summary"]

BOOKS_FILE = "funding-source.jsonl"


class Deed(StrEnum):
    """What a line tells."""

    CHARGED = "charged"
    DECLINED = "declined"
    CLOSED = "closed"  # a query came first: the key will never take money
    VOIDED = "voided"
    VOID_REFUSED = "void_refused"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line. ``key`` is the charge's, also in lines about voids."""

    deed: Deed
    key: str
    at: str  # UTC, ISO 8601
    source: str = ""
    asked_minor: int = 0
    amount_minor: int = 0  # what was taken; another amount than asked for only by a fault
    currency: str = ""
    reference: str = ""
    reason: str = ""
    void_key: str = ""


class Money(msgspec.Struct, frozen=True):
    """In one currency."""

    taken_minor: int
    returned_minor: int
    kept_minor: int


class Summary(msgspec.Struct, frozen=True):
    """What was taken, given back and kept, and how often each deed stands there."""

    money: dict[str, Money]
    deeds: dict[str, int]


class Books:
    """Open for adding. What a crash left of a last line was never told to anybody, and is cut off."""

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        self.path = path
        self._sync = sync
        self.charges: dict[str, Entry] = {}  # by charge key, and so the next ones
        self.refused: dict[str, Entry] = {}  # declined or closed
        self.voids: dict[str, Entry] = {}  # voided, or refused for good
        entries, length = _read(path)
        for entry in entries:
            self._keep(entry)
        self._file = path.open("ab")
        self._file.truncate(length)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, entry: Entry) -> None:
        """Raises OSError, after which the books must not be used."""
        self._file.write(msgspec.json.encode(entry) + b"\n")
        self._file.flush()
        if self._sync:
            os.fsync(self._file.fileno())
        self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        match entry.deed:
            case Deed.CHARGED:
                self.charges[entry.key] = entry
            case Deed.DECLINED | Deed.CLOSED:
                self.refused[entry.key] = entry
            case Deed.VOIDED | Deed.VOID_REFUSED:
                self.voids[entry.key] = entry


def read_entries(path: Path) -> list[Entry]:
    """All whole lines. Raises ConfigurationError."""
    return _read(path)[0]


def summary(entries: list[Entry]) -> Summary:
    """By currency and by deed."""
    taken: Counter[str] = Counter()
    returned: Counter[str] = Counter()
    for entry in entries:
        if entry.deed is Deed.CHARGED:
            taken[entry.currency] += entry.amount_minor
        elif entry.deed is Deed.VOIDED:
            returned[entry.currency] += entry.amount_minor
    money = {
        currency: Money(minor, returned[currency], minor - returned[currency])
        for currency, minor in sorted(taken.items())
    }
    return Summary(money, dict(Counter(entry.deed.value for entry in entries)))


def _read(path: Path) -> tuple[list[Entry], int]:
    """The entries, and how many bytes they take."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    whole = data[: data.rfind(b"\n") + 1]
    entries = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            entries.append(msgspec.json.decode(line, type=Entry))
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"{path}: line {number}: {error}") from None
    return entries, len(whole)
