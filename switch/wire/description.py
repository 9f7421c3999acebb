"""One message told to a person: what :mod:`switch.wire.describe` makes of a payload. Nothing in it is secret."""

from __future__ import annotations

import msgspec

__all__ = ["HIDDEN", "Description", "Line", "Problem"]

HIDDEN = "***"
"""Stands for a value that is not shown."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One element, or a part of one.

    ``key`` is "h", "t", "p", an element ("4"), a subfield ("62.2"), a tag ("55.9F02") or empty. ``offset`` counts bytes
    of the message; None where it is not known, as inside an element.
    """

    key: str
    name: str
    value: str = ""
    meaning: str = ""
    offset: int | None = None
    parts: tuple[Line, ...] = ()


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why the switch does not take it; the words are those of :class:`switch.wire.errors.DecodeFailure`."""

    field: str
    name: str
    offset: int
    needed: str
    found: str
    answered: bool  # with a format error; False: it gets no answer

    def __str__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        return f"field {self.field}{name} at byte {self.offset}: needed {self.needed}, found {self.found}"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """A message as one dialect reads it."""

    dialect: str
    message_bytes: int
    mti: str  # empty where it could not be read
    meaning: str  # of the message type
    lines: tuple[Line, ...]
    read_as: dict[str, str]  # what the switch takes it for; empty where there is a problem
    problem: Problem | None
    withheld: str  # why values are not shown that would be in a sound message; mostly empty
    whole: bool  # every byte belongs to an element
    known: bool  # its message type is one of the dialect's
    sound: float  # the share of elements that hold what their class allows; 1 is all
