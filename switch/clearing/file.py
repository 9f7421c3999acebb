"""The door to a clearing file: look at it whole, then take its records.

Both functions block while they read, so the caller gives them a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Final, Protocol

import msgspec

from switch.clearing.comma import CsvFile
from switch.clearing.errors import ClearingFileError
from switch.clearing.ipm import IpmFile
from switch.clearing.jsonl import JsonlFile
from switch.clearing.source import FileFormat, Source
from switch.clearing.tally import Tally, Totals
from switch.contracts.message import Request

__all__ = ["PROGRESS_EVERY", "ClearingFileError", "FileFormat", "FileSummary", "inspect", "records"]

#: How many records lie between two calls of ``progress``.
PROGRESS_EVERY: Final = 10_000


class FileSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a sound file is. ``network`` and ``file_id`` name it; the same name with another ``digest`` is another file.

    ``records`` counts clearing records, which are numbered from 1 without gaps; ``skipped`` is how many other messages
    an IPM-like file has (addenda and the like). ``totals`` are by currency: see ``switch.clearing.tally``.
    """

    file_id: str
    network: str
    business_day: date
    format: FileFormat
    digest: str  # SHA-256 of the content, hexadecimal
    size: int  # in bytes
    records: int
    skipped: int
    totals: Mapping[str, Totals]


def inspect(
    path: Path,
    file_format: FileFormat | None = None,
    *,
    network: str = "",
    progress: Callable[[int], None] | None = None,
) -> FileSummary:
    """Reads the whole file and checks everything that can be checked without knowing the cards.

    ``file_format`` is told by the content where it is not given. ``network`` is whose file it is, as the settings name
    it: an IPM-like file doesn't say and needs it, of another it must be what the file says. ``progress`` is called with
    the number of records so far, now and then.

    Raises:
        ClearingFileError: the file can't be read, or anything in it is not as its format and its trailer say.
    """
    with Source(path) as source:
        chosen = file_format or source.detect()
        reader = _open(source, chosen, network)
        for number, _ in enumerate(reader.requests(1), 1):
            if progress is not None and number % PROGRESS_EVERY == 0:
                progress(number)
        return FileSummary(
            file_id=reader.file_id,
            network=reader.network,
            business_day=reader.business_day,
            format=chosen,
            digest=source.digest(),
            size=source.size,
            records=reader.tally.count,
            skipped=reader.skipped,
            totals=reader.tally.totals,
        )


def records(path: Path, summary: FileSummary, start: int = 1) -> Iterator[Request]:
    """The file's records from number ``start`` on; ``summary`` is what ``inspect`` said of it.

    Records before ``start`` are passed over without decoding. One past the last gives nothing.

    Raises:
        ClearingFileError: the file is not what it was. Another size or name is seen before the first record, other
            content at the latest behind the last one: keep files where nobody writes to them.
        ValueError: no record can have the number ``start``.
    """
    if not 1 <= start <= summary.records + 1:
        raise ValueError(f"record {start} of {summary.records}")
    with Source(path) as source:
        reader = _open(source, summary.format, summary.network)
        if source.size != summary.size or reader.file_id != summary.file_id:
            raise ClearingFileError(source.name, "is another file than the one that was inspected")
        yield from reader.requests(start)
        if source.digest() != summary.digest:
            raise ClearingFileError(source.name, "has changed since it was inspected")


class _Reader(Protocol):
    """One pass over a file of one format. The header has been read; the tally is complete behind the last request."""

    file_id: str
    network: str
    business_day: date
    skipped: int
    tally: Tally

    def requests(self, start: int) -> Iterator[Request]: ...


def _open(source: Source, file_format: FileFormat, network: str) -> _Reader:
    if file_format is FileFormat.IPM:
        if not network:
            raise ClearingFileError(source.name, "an IPM file does not name its network: say which it is")
        return IpmFile(source, network)
    reader = JsonlFile(source) if file_format is FileFormat.JSONL else CsvFile(source)
    if network and reader.network != network:
        raise ClearingFileError(source.name, f"is not of {network}", place="line 1", element="network")
    return reader
