"""What a person pastes for a message: hexadecimal digits, base64 or bytes, with or without a length. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal, NamedTuple

from switch.wire.errors import FramingError
from switch.wire.framing import Framer, Framing

__all__ = ["FORMS", "FRAMINGS", "Pasted", "Unframed", "pasted_as", "unframed_as"]

FORMS = ("auto", "hex", "base64", "raw")
FRAMINGS = ("auto", "none", *(framing.value for framing in Framing))

_SPACES = re.compile(rb"[\s:,]+|0[xX](?=[0-9A-Fa-f]{2})|\\x")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")


class Pasted(NamedTuple):
    """One way to take the input."""

    form: Literal["hex", "base64", "raw"]
    data: bytes


class Unframed(NamedTuple):
    """One way to take the data: the message, the framing in front of it (empty: none), and what is odd about it."""

    framing: str
    payload: bytes
    odd: str


def pasted_as(text: bytes, form: str) -> list[Pasted]:
    """The ways to take ``text``, the likeliest first; none when it is not of the ``form`` that was told."""
    found: list[Pasted] = []
    if form in {"auto", "hex"}:
        digits = _SPACES.sub(b"", text)
        if _HEX.fullmatch(digits):
            found.append(Pasted("hex", bytes.fromhex(digits.decode("ascii"))))
    if form in {"auto", "base64"}:
        try:
            data = base64.b64decode(b"".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if data:
            found.append(Pasted("base64", data))
    if form in {"auto", "raw"} and text:
        found.append(Pasted("raw", text))
        line = text.rstrip(b"\r\n")
        # What a shell or an editor puts behind a line is no part of the message; where it is, that reads better.
        if line and line != text:
            found.append(Pasted("raw", line))
    return found


def unframed_as(data: bytes, framing: str) -> list[Unframed]:
    """The messages that ``data`` may hold: the whole, and what is behind a length that can be one."""
    found: list[Unframed] = []
    if framing in {"auto", "none"}:
        found.append(Unframed("", data, ""))
    for each in Framing:
        if framing in {each.value, "auto"}:
            found += _behind(data, each, wanted=framing != "auto")
    return found


def _behind(data: bytes, framing: Framing, *, wanted: bool) -> list[Unframed]:
    framer, width = Framer(framing, framing.payload_bytes_max), framing.prefix_bytes
    rest = data[width:]
    try:
        frames = framer.feed(data)
    except FramingError as error:
        frames = list(error.frames)
        if not frames:
            return [Unframed(framing.value, rest, "its length is none")] if wanted else []
    if not frames:
        if len(data) < width or not rest:
            return []
        return [Unframed(framing.value, rest, f"its length tells of more than the {len(rest)} bytes that are there")]
    first = frames[0]
    behind = len(rest) - len(first)
    if not first or (behind and not wanted):
        return []
    return [Unframed(framing.value, first, f"{behind} bytes behind it are not looked at" if behind else "")]
