"""BER-TLV (ISO/IEC 8825-1, as EMV book 3 annex B uses it): tag, length, value. Pure, and total over any bytes."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DataObject", "TlvProblem", "read_tlv"]

_TAG_BYTES_MAX = 4
_LENGTH_BYTES_MAX = 4
#: Templates in EMV are two or three deep. Deeper ones are shown as they are.
_DEPTH_MAX = 4


class DataObject(NamedTuple):
    """One data object. ``tag`` in hexadecimal digits; ``parts`` are what a constructed one holds."""

    tag: str
    value: bytes
    parts: tuple[DataObject, ...]


class TlvProblem(NamedTuple):
    """Where reading stopped, in bytes from the beginning, and why."""

    offset: int
    needed: str
    found: str


def read_tlv(data: bytes) -> tuple[tuple[DataObject, ...], TlvProblem | None]:
    """The data objects in ``data`` as far as they can be read, and what stopped it, or None."""
    return _read(data, 0)


def _read(data: bytes, depth: int) -> tuple[tuple[DataObject, ...], TlvProblem | None]:
    found: list[DataObject] = []
    at = 0
    while at < len(data):
        # Zero bytes between data objects are padding (annex B1).
        if data[at] == 0x00:
            at += 1
            continue
        tag_end = _tag_end(data, at)
        if tag_end is None:
            return tuple(found), TlvProblem(at, "a tag", "one that does not end")
        length, value_at = _length(data, tag_end)
        if length is None:
            return tuple(found), TlvProblem(tag_end, f"the length of tag {data[at:tag_end].hex().upper()}", "none")
        value = data[value_at : value_at + length]
        tag = data[at:tag_end].hex().upper()
        if len(value) < length:
            return tuple(found), TlvProblem(value_at, f"{length} bytes of tag {tag}", f"{len(value)}")
        parts: tuple[DataObject, ...] = ()
        if data[at] & 0x20 and depth < _DEPTH_MAX:
            inner, problem = _read(value, depth + 1)
            if problem is None:
                parts = inner
        found.append(DataObject(tag, value, parts))
        at = value_at + length
    return tuple(found), None


def _tag_end(data: bytes, at: int) -> int | None:
    """Where the tag at ``at`` ends: five low bits set say that bytes follow, each but the last with its high bit."""
    if data[at] & 0x1F != 0x1F:
        return at + 1
    for end in range(at + 1, min(len(data), at + _TAG_BYTES_MAX)):
        if not data[end] & 0x80:
            return end + 1
    return None


def _length(data: bytes, at: int) -> tuple[int | None, int]:
    """The length at ``at`` and where the value begins; None for what is no definite length."""
    if at >= len(data):
        return None, at
    first = data[at]
    if first < 0x80:
        return first, at + 1
    width = first & 0x7F
    digits = data[at + 1 : at + 1 + width]
    if not 1 <= width <= _LENGTH_BYTES_MAX or len(digits) < width:
        return None, at
    return int.from_bytes(digits, "big"), at + 1 + width
