"""EBCDIC code page 1047, which Python's standard library lacks; it has 037, 500 and 1140.

1047 has the characters of 037, six of them at other places. Importing this module makes ``"cp1047"`` an encoding
that Python knows, so that a dialect can name it like any other.
"""

from __future__ import annotations

import codecs

__all__ = ["NAME"]

NAME = "cp1047"

_MOVED = {0x5F: "^", 0xAD: "[", 0xB0: "¬", 0xBA: "Ý", 0xBB: "¨", 0xBD: "]"}
_DECODING = "".join(_MOVED.get(at, each) for at, each in enumerate(bytes(range(256)).decode("cp037")))
_ENCODING = codecs.charmap_build(_DECODING)


def _encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
    return codecs.charmap_encode(text, errors, _ENCODING)


def _decode(data: bytes, errors: str = "strict") -> tuple[str, int]:
    return codecs.charmap_decode(data, errors, _DECODING)


def _find(name: str) -> codecs.CodecInfo | None:
    if name != NAME:
        return None
    return codecs.CodecInfo(_encode, _decode, name=NAME)  # type: ignore[arg-type]  # any buffer; ours needs only bytes


codecs.register(_find)
