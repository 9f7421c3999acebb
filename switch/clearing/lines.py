"""A file of lines: a header, records that count up from 1, a trailer, and nothing behind it.

What a line says is the format's to tell (``jsonl``, ``comma``); the order, the numbers and the totals are the same in
both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

import msgspec

from switch.clearing.errors import ClearingFileError, ElementProblem
from switch.clearing.neutral import Header, Record, Trailer, problem_of, request_of, total_problem
from switch.clearing.source import Source
from switch.clearing.tally import Tally, is_credit
from switch.contracts.message import Operation, Request

__all__ = ["LineFile"]

_CUT_OFF: Final = "the file ends before its trailer"


class LineFile(ABC):
    """One pass over such a file. Making one reads the header.

    Raises:
        ClearingFileError: the file does not begin with a header that the format allows.
    """

    #: How many lines stand before the first record.
    head_lines = 1

    def __init__(self, source: Source) -> None:
        self._source = source
        self._line = 0
        self.tally = Tally()
        self.skipped = 0
        source.skip_mark()
        header = self._read_header()
        self.file_id = header.file_id
        self.network = header.network
        self.business_day = header.business_day

    @abstractmethod
    def decode_header(self, lines: list[bytes]) -> Header:
        """The header that the first ``head_lines`` lines are. Raises what ``decode`` does."""

    @abstractmethod
    def decode(self, line: bytes) -> Header | Record | Trailer:
        """What a line says. Raises ElementProblem, msgspec's errors or UnicodeDecodeError."""

    def requests(self, start: int) -> Iterator[Request]:
        """The records from number ``start`` on; those before it are passed over undecoded, and not in the totals.

        Raises:
            ClearingFileError: at the first thing that is wrong; what came before it was sound.
        """
        for _ in range(start - 1):
            if not self._source.skip_line():
                raise self._error(_CUT_OFF)
            self._line += 1
        number = start
        while True:
            entry, request = self._read()
            if isinstance(entry, Trailer):
                return self._finish(entry, number - 1, whole=start == 1)
            if request is None or isinstance(entry, Header):
                raise self._error("a second header")
            if entry.record != number:
                raise self._error(f"needed {number}, since records count up by one, found {entry.record}", "record")
            self.tally.add(
                entry.amount, entry.currency, credit=is_credit(entry.kind, refund=entry.operation is Operation.REFUND)
            )
            yield request
            number += 1

    def _read_header(self) -> Header:
        lines = [self._take_line() for _ in range(self.head_lines)]
        self._line = 1
        try:
            header = self.decode_header(lines)
        except ElementProblem as found:
            problem = found
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            problem = problem_of(error)
        else:
            self._line = self.head_lines
            return header
        # Raised out here so that the library's error, which may quote the line, is not its context.
        raise self._error(problem.problem, problem.element)

    def _read(self) -> tuple[Header | Record | Trailer, Request | None]:
        """The next line, and the request of a record."""
        line = self._take_line()
        try:
            entry = self.decode(line)
            request = request_of(entry, self.file_id, self.network) if isinstance(entry, Record) else None
        except ElementProblem as found:
            problem = found
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            problem = problem_of(error)
        else:
            return entry, request
        raise self._error(problem.problem, problem.element)

    def _take_line(self) -> bytes:
        line = self._source.line()
        if line is None:
            raise self._error(_CUT_OFF)
        self._line += 1
        return line

    def _finish(self, trailer: Trailer, count: int, *, whole: bool) -> None:
        """Checks the trailer. Totals are known only where all records were read."""
        if trailer.records != count:
            raise self._error(f"the trailer says {trailer.records}, the file has {count}", "records")
        problem = total_problem(trailer, self.tally.totals) if whole else None
        if problem is not None:
            raise self._error(problem.problem, problem.element)
        if self._source.line() is not None:
            self._line += 1
            raise self._error("something stands behind the trailer")

    def _error(self, problem: str, element: str = "") -> ClearingFileError:
        place = f"line {self._line}" if self._line else ""
        return ClearingFileError(self._source.name, problem, place=place, element=element)
