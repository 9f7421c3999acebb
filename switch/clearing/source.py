"""The bytes of a clearing file: read once from front to back, hashed on the way, and never held.

Which format they are is told by their beginning.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import stat
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from switch.clearing.errors import ClearingFileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["LINE_BYTES_MAX", "FileFormat", "Source"]

#: No record of a neutral format comes near this; a longer line is another kind of file.
LINE_BYTES_MAX: Final = 16_384

_BUFFER_BYTES: Final = 262_144
_PEEK_BYTES: Final = 64

_COMPRESSED: Final = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


class FileFormat(StrEnum):
    """How a file is written. README.md beside this module describes each."""

    JSONL = "jsonl"
    CSV = "csv"
    IPM = "ipm"


class _Hashed(io.RawIOBase):
    """A file whose bytes go into a digest as they are read."""

    def __init__(self, path: Path, name: str) -> None:
        self._file = path.open("rb", buffering=0)
        self._name = name
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            count = self._file.readinto(view)
        except OSError as error:
            raise ClearingFileError(self._name, f"can't be read: {error.strerror}") from error
        if count:
            self.digest.update(view[:count])
        return count

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class Source:
    """A file that is open. A context manager; ``name`` is what errors call it.

    Raises:
        ClearingFileError: it can't be read, is no regular file, or is empty.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise ClearingFileError(self.name, "is no regular file")  # opening a pipe would wait for its other end
            self._raw = _Hashed(path, self.name)
        except OSError as error:
            raise ClearingFileError(self.name, f"can't be read: {error.strerror}") from error
        self.stream = io.BufferedReader(self._raw, _BUFFER_BYTES)
        self.size = os.fstat(self._raw.fileno()).st_size
        if not self.size:
            self.stream.close()
            raise ClearingFileError(self.name, "the file is empty")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()

    def digest(self) -> str:
        """SHA-256 of the whole file in hexadecimal. What has not been read yet is read now."""
        while self.stream.read(_BUFFER_BYTES):
            pass
        return self._raw.digest.hexdigest()

    def line(self) -> bytes | None:
        """The next line without its end (LF or CRLF, which the last one may lack); None at the end of the file.

        Raises:
            ClearingFileError: a line that is too long.
        """
        line = self.stream.readline(LINE_BYTES_MAX + 1)
        if len(line) > LINE_BYTES_MAX:
            raise ClearingFileError(self.name, f"a line of more than {LINE_BYTES_MAX} bytes")
        return line.rstrip(b"\r\n") if line else None

    def skip_line(self) -> bool:
        """Passes over a line without a look at it; False at the end of the file."""
        return bool(self.stream.readline(LINE_BYTES_MAX + 1))

    def skip_mark(self) -> None:
        """Passes over a byte order mark (UTF-8), if there is one."""
        if self.peek().startswith(codecs.BOM_UTF8):
            self.stream.read(len(codecs.BOM_UTF8))

    def peek(self, count: int = _PEEK_BYTES) -> bytes:
        """The next bytes, at most ``count``, which stay where they are."""
        return self.stream.peek(count)[:count]

    def detect(self) -> FileFormat:
        """The format that the file begins like.

        Raises:
            ClearingFileError: like none that we know. Compressed files are named as such.
        """
        head = self.peek()
        for magic, name in _COMPRESSED.items():
            if head.startswith(magic):
                raise ClearingFileError(self.name, f"the file is compressed ({name}): unpack it first")
        text = head.removeprefix(codecs.BOM_UTF8)
        if text.startswith(b"{"):
            return FileFormat.JSONL
        if text.startswith((b"header,", b'"header"')):
            return FileFormat.CSV
        if head[:2] == b"\0\0" and head[4:8] in (b"1644", "1644".encode("cp500")):
            return FileFormat.IPM
        raise ClearingFileError(self.name, f"begins like none of {', '.join(FileFormat)}")
