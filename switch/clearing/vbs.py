"""The records of an IPM-like file: each behind its length, with or without blocks of 1014 bytes.

As the documentation of the public library cardutil describes it: four bytes, big-endian, then so many bytes of record;
a length of zero ends the file. A *blocked* file is that stream cut into pieces of 1012 bytes, with two fill bytes
(0x40) behind each, and its last block filled up with more of them.
"""

from __future__ import annotations

from typing import Final

from switch.clearing.errors import ClearingFileError
from switch.clearing.source import Source

__all__ = ["RECORD_BYTES_MAX", "VariableRecords"]

#: cardutil's own limit.
RECORD_BYTES_MAX: Final = 6_000

_FILL: Final = b"\x40"
_BLOCK_BYTES: Final = 1014
_DATA_BYTES: Final = 1012
_READ_BLOCKS: Final = 64
_LENGTH_BYTES: Final = 4


class VariableRecords:
    """The records of a source, one after the other. Whether it is blocked shows at its first blocks' ends."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = bytearray()
        self._at = 0
        # 0x40 is a blank in EBCDIC, so one pair may be chance; and one damaged block must not hide the others.
        head = source.peek(_READ_BLOCKS * _BLOCK_BYTES)
        ends = [head[end : end + 2] == _FILL * 2 for end in range(_DATA_BYTES, len(head), _BLOCK_BYTES)]
        self.blocked = source.size % _BLOCK_BYTES == 0 and 2 * sum(ends) > len(ends)

    def read(self) -> bytes | None:
        """The next record, or None where a length of zero ends the file.

        Raises:
            ClearingFileError: the file is cut off, damaged, or goes on behind its end.
        """
        length = int.from_bytes(self._take(_LENGTH_BYTES), "big")
        if length > RECORD_BYTES_MAX:
            raise ClearingFileError(self._source.name, f"a record of {length} bytes, more than {RECORD_BYTES_MAX}")
        if length == 0:
            self._check_end()
            return None
        return self._take(length)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) - self._at < count:
            if not self._fill():
                raise ClearingFileError(self._source.name, "the file is cut off: no record of length zero ends it")
        start = self._at
        self._at += count
        return bytes(self._buffer[start : self._at])

    def _fill(self) -> bool:
        """Reads more; False at the end of the file."""
        data = self._source.stream.read(_READ_BLOCKS * _BLOCK_BYTES)
        del self._buffer[: self._at]
        self._at = 0
        if not self.blocked:
            self._buffer += data
            return bool(data)
        for start in range(0, len(data), _BLOCK_BYTES):
            end = start + _BLOCK_BYTES
            if data[end - 2 : end] != _FILL * 2:
                raise ClearingFileError(
                    self._source.name, f"a block of {_BLOCK_BYTES} bytes without its two fill bytes"
                )
            self._buffer += data[start : end - 2]
        return bool(data)

    def _check_end(self) -> None:
        """Behind the end a blocked file is filled up: this block, and a whole one where a writer rounds up so."""
        while len(self._buffer) - self._at <= 2 * _DATA_BYTES and self._fill():
            pass
        rest = self._buffer[self._at :]
        if len(rest) > (2 * _DATA_BYTES if self.blocked else 0) or rest.strip(_FILL):
            raise ClearingFileError(self._source.name, "something stands behind the record of length zero")
