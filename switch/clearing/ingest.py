"""Booking a clearing file: from its first record that is not booked yet to its last, each once, whatever breaks off.

::

    inspect       the whole file is read and checked; nothing is booked before that
    begin         the file is remembered by its own name; the same name with other contents is refused
    book          unit of work after unit of work, each one commit; meanwhile the next records are read
    advance       now and then, how far it is; always late, so what was booked beyond it is met again as a repeat
    end           every record is booked

A record's key is the file's name and its own number, so nothing is booked twice. A record that can't be booked at all
(a defect), or that was booked with other content before (read by another version of this program, say), fails alone:
the others go on, and the file stays unfinished.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec

from switch.clearing.file import FileSummary, records
from switch.contracts.errors import CommitUnknown, DatabaseUnavailable, InvariantBroken, SwitchError
from switch.contracts.message import Request
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan
from switch.issuer.books import Item, doubted
from switch.issuer.case import Decision
from switch.issuer.stored import fingerprint, idempotency_key
from switch.journal.clearing_files import ClearingFile, Outcome, advance_file, begin_file, outcomes
from switch.journal.connection import Connection
from switch.journal.unit import UnitOfWork

__all__ = ["FileReport", "Refused", "book_file"]

#: Records in one commit. More would gain little, and would keep a card's other messages waiting.
UNIT_RECORDS = 500
#: Units between two notes of how far the file is.
_ADVANCE_EVERY = 20
#: After so many records that can't be booked something is wrong with the program or the database, not with the records.
_REFUSED_MAX = 100
#: How often, and how long apart, the database is asked again when it is away.
_PATIENCE = 20
_RETRY_SECONDS = 0.5


class PanLookup(Protocol):
    """The part of the vault that finds a card by its number."""

    def lookup(self, pan: Pan) -> bytes:
        """32 bytes, the same for the same number."""
        ...


class Refused(msgspec.Struct, frozen=True):
    """A record that could not be booked, and why."""

    record: int
    error: str


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file. ``booked`` and ``repeated`` count what this run did; ``outcomes`` tell of the whole
    file.
    """

    file: ClearingFile
    booked: int
    repeated: int
    refused: list[Refused]
    outcomes: Sequence[Outcome]

    @property
    def complete(self) -> bool:
        """Whether every record of the file is booked."""
        return self.file.ended_at is not None


async def book_file(
    path: Path,
    summary: FileSummary,
    unit: UnitOfWork,
    connection: Connection,
    vault: PanLookup,
    *,
    unit_records: int = UNIT_RECORDS,
    progress: Callable[[int], None] = lambda _: None,
) -> FileReport:
    """Books what of the file is not booked yet. ``progress`` is told how many records are done.

    Raises:
        ClearingFileError: the file has changed since it was inspected.
        JournalRefused: another file came under this name before.
        DatabaseUnavailable, CommitUnknown: the database stayed away; run it again to go on.
        InvariantBroken: the books contradict themselves.
    """
    file = await begin_file(
        connection,
        network=summary.network,
        file_id=summary.file_id,
        digest=summary.digest,
        file_format=summary.format,
        name=path.name,
        business_day=summary.business_day,
        records=summary.records,
        totals=msgspec.json.encode(summary.totals),
        now=datetime.now(UTC),
    )
    run = _Run(unit, vault)
    if file.ended_at is None:
        await _book(run, path, summary, file.booked_to, connection, unit_records, progress)
        ended = None if run.refused else datetime.now(UTC)
        await advance_file(connection, file.network, file.file_id, run.whole_to(summary.records), ended)
        file = msgspec.structs.replace(file, booked_to=run.whole_to(summary.records), ended_at=ended)
    told = await outcomes(connection, file.network, file.file_id)
    return FileReport(file=file, booked=run.booked, repeated=run.repeated, refused=run.refused, outcomes=told)


async def _book(
    run: _Run,
    path: Path,
    summary: FileSummary,
    booked_to: int,
    connection: Connection,
    unit_records: int,
    progress: Callable[[int], None],
) -> None:
    source = records(path, summary, booked_to + 1)
    done, units = booked_to, 0
    # Reading the next records costs this process's time, booking the last ones mostly the database's.
    following = asyncio.ensure_future(asyncio.to_thread(run.items, source, unit_records))
    try:
        while items := await following:
            following = asyncio.ensure_future(asyncio.to_thread(run.items, source, unit_records))
            await run.book(items)
            done += len(items)
            units += 1
            if len(run.refused) >= _REFUSED_MAX:
                return
            progress(done)
            if units % _ADVANCE_EVERY == 0:
                await advance_file(connection, summary.network, summary.file_id, run.whole_to(done))
    finally:
        # The thread must be out of the file before anybody closes it.
        await asyncio.wait([following])
        if not following.cancelled() and (left := following.exception()) is not None and sys.exception() is None:
            raise left


class _Run:
    """One run over a file, and what it has done."""

    def __init__(self, unit: UnitOfWork, vault: PanLookup) -> None:
        self._unit = unit
        self._vault = vault
        self.booked = 0
        self.repeated = 0
        self.refused: list[Refused] = []

    def whole_to(self, done: int) -> int:
        """Up to which record everything is booked, once ``done`` have been tried."""
        return min((refused.record - 1 for refused in self.refused), default=done)

    def items(self, source: Iterator[Request], count: int) -> list[Item]:
        """The next records as the unit of work takes them. Blocks; belongs into a thread."""
        made = []
        for request in islice(source, count):
            lookup = self._vault.lookup(request.pan)
            made.append(Item(request, idempotency_key(request, lookup), fingerprint(request), lookup, _no_code))
        return made

    async def book(self, items: list[Item]) -> None:
        """One unit, again and again while the database is away or a commit is in doubt."""
        for attempt in range(_PATIENCE + 1):
            try:
                decisions = await self._unit.run(items)
            except CommitUnknown as exc:
                if attempt == _PATIENCE:
                    raise
                items = doubted(items, exc)
                await asyncio.sleep(_RETRY_SECONDS)
            except DatabaseUnavailable:
                if attempt == _PATIENCE:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
            except InvariantBroken:
                raise
            except Exception as exc:  # noqa: BLE001 one poisonous record must fail alone, whatever it broke
                await self._one_by_one(items, exc)
                return
            else:
                for item, decision in zip(items, decisions, strict=True):
                    self._count(item, decision)
                return

    def _count(self, item: Item, decision: Decision) -> None:
        if decision.reason is Reason.KEY_REUSED:
            self.refused.append(Refused(_number(item), "booked before, with other content"))
        elif decision.repeat_of is not None and decision.repeat_of.decided_at not in item.moments:
            self.repeated += 1
        else:
            self.booked += 1

    async def _one_by_one(self, items: list[Item], exc: Exception) -> None:
        if len(items) > 1:
            for item in items:
                await self.book([item])
            return
        # The text of an unforeseen error may quote data; the house's own never does.
        text = str(exc) if isinstance(exc, SwitchError) else ""
        self.refused.append(Refused(_number(items[0]), f"{type(exc).__name__}: {text}".rstrip(": ")))


def _number(item: Item) -> int:
    """Of the record, in its file."""
    clearing = item.request.clearing
    assert clearing is not None, "a record has its clearing part"
    return clearing.record


def _no_code(_reason: Reason) -> str:
    """Nobody is answered, so there is no response code."""
    return ""
