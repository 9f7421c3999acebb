"""What one payload turned out to be: a request, a management message, or an answer to something that we sent."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from switch.contracts.message import Request

__all__ = ["Inbound", "Management", "ManagementFunction", "Reject"]


class ManagementFunction(StrEnum):
    """What a network management message (0800) is for, from its DE70."""

    SIGN_ON = "sign_on"
    SIGN_OFF = "sign_off"
    ECHO = "echo"
    KEY_CHANGE = "key_change"
    OTHER = "other"  # a code that the dialect does not name


class Management(msgspec.Struct, frozen=True, kw_only=True):
    """A network management message."""

    function: ManagementFunction
    code: str  # DE70
    stan: str  # DE11


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """Word that the peer could not read a message of ours, which it sent back."""

    code: str  # the peer's; packed digits as they came
    mti: str  # of our message; empty where it can't be read here either
    stan: str  # its DE11, likewise
    answer: bytes | None  # what the dialect's policy sends, or None: nothing

    def __repr__(self) -> str:
        return f"Reject(code={self.code!r}, mti={self.mti!r}, stan={self.stan!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # msgspec's own would show the answer's bytes.
        return [("code", self.code), ("mti", self.mti), ("stan", self.stan)]


class Inbound(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A decoded payload.

    ``fields`` holds the raw elements (with "t", "p" and, where there is one, "1"), card data included: it goes back
    into the codec for the answer, or through ``masking.redact`` to anywhere else. ``repr`` shows none of it. At most
    one of ``request``, ``management`` and ``reject`` is set; fields and MTI of a reject are those of our own message.
    """

    fields: dict[str, str]
    mti: str
    request: Request | None = None
    management: Management | None = None
    reject: Reject | None = None

    @property
    def is_answer(self) -> bool:
        """Whether this answers a message of ours (0810, 0110, …), matched by its DE11 and DE39."""
        return self.request is None and self.management is None and self.reject is None

    def __repr__(self) -> str:
        return f"Inbound(mti={self.mti!r}, stan={self.fields.get('11', '')!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # msgspec's own would show the fields to any tool that prints locals; its signature has Any.
        return [("mti", self.mti), ("stan", self.fields.get("11", ""))]
