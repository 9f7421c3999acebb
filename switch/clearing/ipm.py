"""An IPM-like file: messages in the manner of ISO 8583:1993, between a file header and a file trailer.

pyiso8583 cuts a message into its fields, and the layouts of ``switch.wire`` do the same faster for messages that look
alike. cardutil, the library for such files, is what our simulator writes them with; reading with another program than
the one that writes lets each find the other's mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Final

import iso8583

from switch.clearing.errors import ClearingFileError, ElementProblem
from switch.clearing.ipm_fields import field_table
from switch.clearing.ipm_message import Fields, digits, digits_value, private_data, record_of
from switch.clearing.source import Source
from switch.clearing.tally import Tally
from switch.clearing.vbs import VariableRecords
from switch.contracts.message import Request
from switch.wire.layout import PayloadLayouts

__all__ = ["IpmFile"]

_FILE_MESSAGE: Final = "1644"
_HEADER: Final = "697"
_TRAILER: Final = "695"
_REJECT: Final = "699"
_ENCODINGS: Final = ("latin-1", "cp500")


class IpmFile:
    """One pass over such a file. Making one reads the header; ``network`` is whose file it is, which it doesn't tell.

    Raises:
        ClearingFileError: the file does not begin with a file header.
    """

    def __init__(self, source: Source, network: str) -> None:
        self._source = source
        self.network = network
        self.tally = Tally()
        self.skipped = 0
        self._records = VariableRecords(source)
        self._message = 0
        self._last_number = 0
        self._amounts = 0
        first = self._records.read()
        if first is None:
            raise self._error("the file ends before its header")
        self._message = 1
        self._encoding = self._encoding_of(first)
        self._fields = field_table(self._encoding)
        self._layouts = PayloadLayouts(self._fields)
        fields = self._decode(first)
        try:
            self.file_id, self.business_day = self._read_header(fields)
        except ElementProblem as found:
            problem = found
        else:
            return
        raise self._error(problem.problem, problem.element)

    def requests(self, start: int) -> Iterator[Request]:
        """The records from number ``start`` on. Messages that are no clearing records have no number.

        Raises:
            ClearingFileError: at the first thing that is wrong; what came before it was sound.
        """
        moment = datetime.combine(self.business_day, time(), UTC)
        number = 0
        while True:
            raw = self._records.read()
            if raw is None:
                raise self._error("the file ends without a file trailer")
            self._message += 1
            if raw[:4] == self._file_message:
                if self._is_trailer(raw, whole=start == 1):
                    return
                continue
            number += 1
            if number < start:
                continue
            fields = self._decode(raw)
            try:
                self._check_number(fields)
                record = record_of(
                    fields, network=self.network, file_id=self.file_id, number=number, file_moment=moment
                )
            except ElementProblem as found:
                problem = found
            else:
                request = record.request
                self._amounts += request.amount_minor
                self.tally.add(request.amount_minor, request.currency, credit=record.credit)
                yield request
                continue
            raise self._error(problem.problem, problem.element)

    def _encoding_of(self, first: bytes) -> str:
        for encoding in _ENCODINGS:
            self._file_message = _FILE_MESSAGE.encode(encoding)
            if first.startswith(self._file_message):
                return encoding
        raise self._error(f"needed {_FILE_MESSAGE} in Latin-1 or EBCDIC", "MTI")

    def _decode(self, raw: bytes) -> Fields:
        fields = self._layouts.decode(raw)
        if fields is not None:
            return fields
        try:
            fields, encoded = iso8583.decode(raw, self._fields)
        except iso8583.DecodeError as error:
            element, problem = error.field, error.msg
        else:
            self._layouts.saw(raw, fields, encoded)
            return fields
        # Raised out here so that the library's error, which holds the message, is not its context.
        names = {"t": "MTI", "p": "bitmap", "1": "bitmap"}
        raise self._error(problem[:1].lower() + problem[1:], names.get(element, f"DE{element}"))

    def _read_header(self, fields: Fields) -> tuple[str, date]:
        if fields.get("24") != _HEADER:
            raise ElementProblem("DE24", f"needed {_HEADER}, a file header")
        self._check_number(fields)
        file_id = _file_id(fields)
        try:
            return file_id, date(2000 + int(file_id[3:5]), int(file_id[5:7]), int(file_id[7:9]))
        except ValueError:
            raise ElementProblem("PDS0105", "needed a date (YYMMDD) in positions 4 to 9") from None

    def _is_trailer(self, raw: bytes, *, whole: bool) -> bool:
        """Whether this message of the kind 1644 is the trailer, which is then checked; what else it says is left."""
        fields = self._decode(raw)
        function = fields.get("24", "")
        try:
            self._check_number(fields)
            if function == _TRAILER:
                self._check_trailer(fields, whole=whole)
            else:
                self._pass_over(fields)
        except ElementProblem as found:
            problem = found
        else:
            if function == _TRAILER and self._records.read() is not None:
                self._message += 1
                raise self._error("something stands behind the file trailer")
            return function == _TRAILER
        raise self._error(problem.problem, problem.element)

    def _pass_over(self, fields: Fields) -> None:
        """A message that is no clearing record: addenda, positions, notices. The trailer's sums include it."""
        function = fields.get("24", "")
        if function == _HEADER:
            raise ElementProblem("DE24", "a second file header: one file at a time")
        if function == _REJECT:
            raise ElementProblem("DE24", "the network rejects a file that we sent: this is none to book")
        self.skipped += 1
        if fields.get("4"):
            self._amounts += digits_value(fields, "4", 12)

    def _check_trailer(self, fields: Fields, *, whole: bool) -> None:
        private = private_data(fields)
        if _file_id(fields) != self.file_id:
            raise ElementProblem("PDS0105", "is not that of the header")
        count, amounts = private.get("0306", ""), private.get("0301", "")
        if not (count.isdecimal() and count.isascii() and len(count) <= 8 and int(count) == self._message):
            raise ElementProblem(
                "PDS0306", f"the trailer says otherwise than the file, which has {self._message} messages"
            )
        if not (amounts.isdecimal() and amounts.isascii() and len(amounts) <= 16):
            raise ElementProblem("PDS0301", "needed at most 16 digits")
        if whole and int(amounts) != self._amounts % 10**16:
            raise ElementProblem("PDS0301", f"the amounts add up to {self._amounts}, the trailer says otherwise")

    def _check_number(self, fields: Fields) -> None:
        """DE71: 1 in the header, then ever greater."""
        number = int(digits(fields, "71", 8))
        if number <= self._last_number or (self._last_number == 0 and number != 1 and self._message == 1):
            raise ElementProblem("DE71", f"needed {'1' if self._message == 1 else f'more than {self._last_number}'}")
        self._last_number = number

    def _error(self, problem: str, element: str = "") -> ClearingFileError:
        place = f"message {self._message}" if self._message else ""
        return ClearingFileError(self._source.name, problem, place=place, element=element)


def _file_id(fields: Fields) -> str:
    """PDS 0105: file type 3, date 6, member 11, sequence number 5; all digits."""
    text = private_data(fields).get("0105", "")
    if len(text) != 25 or not (text.isdecimal() and text.isascii()):
        raise ElementProblem("PDS0105", "needed 25 digits")
    return text
