"""What can be wrong with bytes, or with fields that should become bytes.

::

    WireError
    ├── FramingError     the stream has lost its frame boundaries: close the connection
    ├── DecodeFailure    one payload is no message of the dialect: the session stays up
    ├── EncodeFailure    fields that the dialect can't express: a bug or a simulator's mistake
    └── FieldProblem     what a reader of one field found; leaves the codec as a DecodeFailure, with offset and answer

Each says what was needed and what was found. None carries card data: the content of a field is quoted only where the
field is not sensitive and too short to hold a PAN, else its length stands in for it.
"""

from __future__ import annotations

from switch.contracts.errors import SwitchError

__all__ = ["DecodeFailure", "EncodeFailure", "FieldProblem", "FramingError", "WireError"]


class WireError(SwitchError):
    """Bytes or fields that are no message."""


class FramingError(WireError):
    """A length prefix that can't be. Where the next frame begins is unknown, so the connection must be closed.

    ``frames`` are the payloads that were complete before it: they are sound and may still be answered.
    """

    def __init__(self, *, needed: str, found: str, frames: tuple[bytes, ...] = ()) -> None:
        super().__init__(f"framing: needed {needed}, found {found}")
        self.needed = needed
        self.found = found
        self.frames = frames

    def __repr__(self) -> str:
        return f"FramingError(needed={self.needed!r}, found={self.found!r})"


class DecodeFailure(WireError):
    """A payload that is no message of this dialect, or lacks what its message type must have.

    ``field`` is the data element ("2" … "128", "h" header, "t" message type, "p" and "1" bitmaps), ``offset`` its place
    in the payload in bytes (the payload's end for an absent one). ``answer`` is the payload to send back, when the
    message asked for an answer and enough of it could be read to address one; else None, and silence is right.
    """

    def __init__(self, *, field: str, offset: int, needed: str, found: str, answer: bytes | None = None) -> None:
        super().__init__(f"field {field} at byte {offset}: needed {needed}, found {found}")
        self.field = field
        self.offset = offset
        self.needed = needed
        self.found = found
        self.answer = answer


class EncodeFailure(WireError):
    """Fields that the dialect has no form for; ``field`` names the first one."""

    def __init__(self, *, field: str, problem: str) -> None:
        super().__init__(f"field {field}: {problem}")
        self.field = field
        self.problem = problem


class FieldProblem(WireError):
    """One field of a decoded message is absent or not what it must be. Inside this room only.

    A function that keeps one keeps a :meth:`copy`, which was never raised: the traceback of the first has the
    function's frame, and that would have the problem. Such a ring stays in memory until the garbage collector comes,
    and with it whatever the callers were about.
    """

    def __init__(self, field: str, *, needed: str, found: str) -> None:
        super().__init__(f"field {field}: needed {needed}, found {found}")
        self.field = field
        self.needed = needed
        self.found = found

    def copy(self) -> FieldProblem:
        """The same, without a traceback or a context."""
        return FieldProblem(self.field, needed=self.needed, found=self.found)
