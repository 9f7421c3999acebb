"""A client as a stock vendor writes one: a blocking socket, a two-byte length, and nothing of ours."""

from __future__ import annotations

import itertools
import random
import socket
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType

from tests.house import House, IssuedCard

__all__ = ["PlainClient", "purchase"]

_stans = itertools.count(random.SystemRandom().randrange(1, 900_000))


class PlainClient:
    """One connection. ``ask`` sends a payload and gives the next one back."""

    def __init__(self, house: House, dialect: str) -> None:
        self._socket = socket.create_connection(house.address(dialect), timeout=10)

    def __enter__(self) -> PlainClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, payload: bytes) -> bytes:
        self.send(payload)
        return self.receive()

    def send(self, payload: bytes) -> None:
        self._socket.sendall(struct.pack(">H", len(payload)) + payload)

    def receive(self) -> bytes:
        (length,) = struct.unpack(">H", self._exactly(2))
        return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._socket.recv(length - len(data))
            assert more, "the switch closed the connection"
            data += more
        return data


def purchase(card: IssuedCard, amount_minor: int, **more: str) -> Mapping[str, str]:
    """The fields of a 0100 in ISO 8583's own words, without a bitmap."""
    stan = f"{next(_stans):06d}"
    return {
        "t": "0100",
        "2": card.pan.reveal(),
        "3": "000000",
        "4": f"{amount_minor:012d}",
        "7": datetime.now(UTC).strftime("%m%d%H%M%S"),
        "11": stan,
        "12": "120000",
        "13": "0401",
        "14": card.expiry,
        "18": "5411",
        "22": "021",
        "25": "00",
        "32": "40000100001",
        "37": f"REF{stan}".ljust(12, "0"),
        "41": "TERM0001",
        "42": "SHOP00000000001",
        "43": "KONBINI".ljust(25) + "TOKYO".ljust(13) + "JP",
        "49": "392",
        **more,
    }
