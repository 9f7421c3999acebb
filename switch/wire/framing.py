"""Frames on a byte stream: a length in front of each payload. No I/O.

Three framings are spoken (the names are those of ``dialect.toml``):

=========== ===================================================== =============
``length2``  2-byte big-endian length                              0 … 65535
``ascii4``   4 ASCII digits                                        0 … 9999
``vap``      2-byte big-endian length, then two zero bytes         0 … 65535
=========== ===================================================== =============

The length counts the payload alone. A frame of length zero is a keep-alive poll and comes out as ``b""``; whether to
answer it is the session's business, not this module's.
"""

from __future__ import annotations

from enum import StrEnum

from switch.wire.errors import FramingError

__all__ = ["Framer", "Framing"]


class Framing(StrEnum):
    """How the length of a payload is written in front of it."""

    LENGTH2 = "length2"
    ASCII4 = "ascii4"
    VAP = "vap"

    @property
    def prefix_bytes(self) -> int:
        """The width of the prefix."""
        return 2 if self is Framing.LENGTH2 else 4

    @property
    def payload_bytes_max(self) -> int:
        """The longest payload that the prefix can tell."""
        return 9_999 if self is Framing.ASCII4 else 65_535


class Framer:
    """Cuts a byte stream into payloads, however the bytes arrive, and frames payloads for sending.

    Invariant: the buffer holds less than one frame, at most ``frame_bytes_max`` plus the prefix, because a length is
    judged the moment its prefix is complete. After a :class:`FramingError` every further :meth:`feed` raises it again.
    """

    def __init__(self, framing: Framing, frame_bytes_max: int) -> None:
        if not 1 <= frame_bytes_max <= framing.payload_bytes_max:
            raise ValueError(f"{framing} can tell lengths from 1 to {framing.payload_bytes_max}, not {frame_bytes_max}")
        self.framing = framing
        self.frame_bytes_max = frame_bytes_max
        self._prefix_bytes = framing.prefix_bytes
        self._buffer = bytearray()
        self._broken: FramingError | None = None

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an incomplete frame are waiting for the rest."""
        return len(self._buffer)

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """The payloads that are complete with ``data``; ``b""`` stands for a zero-length poll.

        Raises :class:`FramingError` on an impossible length; its ``frames`` are the payloads complete before it.
        """
        if self._broken is not None:
            raise FramingError(needed=self._broken.needed, found=self._broken.found)
        buffer = self._buffer
        buffer += data
        width = self._prefix_bytes
        frames: list[bytes] = []
        start = 0
        try:
            while len(buffer) - start >= width:
                end = start + width + self._length(bytes(buffer[start : start + width]))
                if end > len(buffer):
                    break
                frames.append(bytes(buffer[start + width : end]))
                start = end
        except FramingError as error:
            # A copy that was never raised: the traceback of this one has this frame, and would keep itself in memory.
            self._broken = FramingError(needed=error.needed, found=error.found)
            error.frames = tuple(frames)
            buffer.clear()
            raise
        # Cut once per call: cutting after each frame would move the tail of a large read again and again.
        del buffer[:start]
        return frames

    def encode(self, payload: bytes) -> bytes:
        """``payload`` with its prefix; ``encode(b"")`` is a poll.

        Raises :class:`FramingError` when the payload is longer than ``frame_bytes_max``.
        """
        length = len(payload)
        if length > self.frame_bytes_max:
            raise FramingError(needed=f"at most {self.frame_bytes_max} bytes", found=f"{length} bytes to send")
        if self.framing is Framing.LENGTH2:
            return length.to_bytes(2, "big") + payload
        if self.framing is Framing.VAP:
            return length.to_bytes(2, "big") + b"\x00\x00" + payload
        return b"%04d" % length + payload

    def _length(self, prefix: bytes) -> int:
        if self.framing is Framing.ASCII4:
            # isdigit is stricter than int(), which would take a sign, blanks and underscores.
            if not prefix.isdigit():
                raise FramingError(needed="4 ASCII digits", found=prefix.hex())
            length = int(prefix)
        else:
            length = int.from_bytes(prefix[:2], "big")
            if self.framing is Framing.VAP and prefix[2:] != b"\x00\x00":
                raise FramingError(needed="two zero bytes after the length", found=prefix[2:].hex())
        if length > self.frame_bytes_max:
            raise FramingError(needed=f"a length of at most {self.frame_bytes_max}", found=str(length))
        return length
