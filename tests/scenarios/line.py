"""The acquirer's end of one plain TCP connection: one message at a time, payloads as they are on the wire.

It signs on where the listener of `switch dev` wants that, which is everywhere but in the generic dialects of 1987.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from types import TracebackType

from switch.contracts.reason import Reason
from switch.wire.codec import Codec
from switch.wire.dialect import load_dialect, specs_root
from switch.wire.framing import Framer
from switch.wire.inbound import ManagementFunction

__all__ = ["Line", "codec_of", "takes_traffic_at_once"]

_PATIENCE_SECONDS = 10.0


def takes_traffic_at_once(dialect: str) -> bool:
    """Whether `switch dev` lets stock clients just connect."""
    return dialect.startswith("iso87_")


@cache
def codec_of(dialect: str) -> Codec:
    return Codec(load_dialect(specs_root() / dialect))


class Line:
    """A connection for a block of code."""

    def __init__(self, address: tuple[str, int], codec: Codec, *, sign_on: bool = True) -> None:
        self.codec = codec
        self._framer = Framer(codec.dialect.framing, 4_096)
        self._socket = socket.create_connection(address, timeout=_PATIENCE_SECONDS)
        if sign_on and not takes_traffic_at_once(codec.dialect.name):
            sign_on_now = codec.encode_management(ManagementFunction.SIGN_ON, stan="000001", now=datetime.now(UTC))
            answer = codec.decode_fields(self.ask_payload(sign_on_now))
            assert answer["39"] == codec.dialect.management_response_code(Reason.APPROVED)

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, fields: Mapping[str, str]) -> bytes:
        """Sends one message and gives the payload that comes back."""
        return self.ask_payload(self.codec.encode(fields))

    def ask_payload(self, payload: bytes) -> bytes:
        self._socket.sendall(self._framer.encode(payload))
        while True:
            data = self._socket.recv(4_096)
            assert data, "the switch closed the connection"
            came = self._framer.feed(data)
            if came:
                (answer,) = came
                return answer
