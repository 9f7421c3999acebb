"""JSON Lines: one object a line, its ``type`` says which."""

from __future__ import annotations

from typing import Final

import msgspec

from switch.clearing.lines import LineFile
from switch.clearing.neutral import Header, Record, Trailer

__all__ = ["JsonlFile"]

_HEADER: Final = msgspec.json.Decoder(Header)
_LINE: Final[msgspec.json.Decoder[Header | Record | Trailer]] = msgspec.json.Decoder(Header | Record | Trailer)


class JsonlFile(LineFile):
    """One pass over a file of JSON Lines."""

    def decode_header(self, lines: list[bytes]) -> Header:
        return _HEADER.decode(lines[0])

    def decode(self, line: bytes) -> Header | Record | Trailer:
        return _LINE.decode(line)
