"""The header in front of a message: ``[header]`` of ``dialect.toml``, and what follows from it. Pure.

::

    payload  = header ∥ message type ∥ bitmaps ∥ elements
    rejected = reject header ∥ the payload that was rejected, its own header first

A header is a row of parts. Some hold what can be checked (lengths, formats) and some an address: an answer goes back
with destination and source exchanged and everything else as it came, but for the total length. A network that could not
read what we sent sends it back behind a *reject header*, told by its length, which says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec

__all__ = ["Header", "HeaderPart", "HeaderProblem", "HeaderRules", "RejectRules", "header_problems"]

_Hex = Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{2})*$")]
_Policy = Literal["log", "answer_bare"]


class HeaderPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of the header; the parts follow each other without a gap.

    ``holds``: what the switch must know about. ``any_of``: the contents that are taken, as hexadecimal digits; the
    first is what we send. A part with neither is sent as zeros and comes back in an answer as it was.
    """

    bytes: Annotated[int, msgspec.Meta(ge=1, le=255)]
    desc: str
    holds: Literal["", "header_length", "total_length", "destination", "source"] = ""
    any_of: tuple[_Hex, ...] = ()


class RejectRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[header.reject]``: how a reject header is told, and what is done about one.

    ``log``: nothing is sent; the network acts as if we had not answered, and tells so in an advice.
    ``answer_bare``: a rejected answer is sent once more with the elements of ``bare`` alone. It says the same (the same
    DE39), so nothing is booked or undone over it. What is bare already is not sent again.
    """

    bytes_min: Annotated[int, msgspec.Meta(ge=2, le=255)]  # header lengths from here on are reject headers
    code_at: Annotated[int, msgspec.Meta(ge=1, le=254)]
    code_bytes: Annotated[int, msgspec.Meta(ge=1, le=8)]  # packed digits
    policy: _Policy = "log"
    policies: dict[str, _Policy] = {}  # by reject code, where it differs
    bare: tuple[str, ...] = ()


class HeaderRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[header]``. The stations stand in the messages that we start."""

    parts: Annotated[tuple[HeaderPart, ...], msgspec.Meta(min_length=1)]
    our_station: _Hex = ""
    their_station: _Hex = ""
    reject: RejectRules | None = None

    @property
    def bytes(self) -> int:
        """How long the header is."""
        return sum(part.bytes for part in self.parts)


def header_problems(rules: HeaderRules, h_bytes: int) -> Iterator[tuple[str, str]]:
    """What types can't say: (key, what is wrong). ``h_bytes`` is the length of the field "h"."""
    if rules.bytes != h_bytes:
        yield "parts", f"are {rules.bytes} bytes, and [fields] h has {h_bytes}"
    held: dict[str, HeaderPart] = {}
    for part in rules.parts:
        if part.holds and held.setdefault(part.holds, part) is not part:
            yield "parts", f"two hold the {part.holds}"
        if any(len(content) != 2 * part.bytes for content in part.any_of):
            yield "parts", f"any_of of {part.desc}: not {part.bytes} bytes"
    for name, size in (("header_length", 1), ("total_length", 2)):
        if name in held and held[name].bytes != size:
            yield "parts", f"the {name} must have {size} bytes"
    yield from _station_problems(rules, held)
    if rules.reject is not None:
        yield from _reject_problems(rules.bytes, rules.reject, held)


def _station_problems(rules: HeaderRules, held: Mapping[str, HeaderPart]) -> Iterator[tuple[str, str]]:
    bytes_of = {name: held[name].bytes for name in ("destination", "source") if name in held}
    if len(bytes_of) == 1 or len(set(bytes_of.values())) > 1:
        yield "parts", "destination and source must both be there, and be equally long"
    for name, holder in (("our_station", "source"), ("their_station", "destination")):
        station = getattr(rules, name)
        if station and len(station) != 2 * bytes_of.get(holder, 0):
            yield name, f"not the {2 * bytes_of.get(holder, 0)} digits of a {holder}"


def _reject_problems(
    header_bytes: int, reject: RejectRules, held: Mapping[str, HeaderPart]
) -> Iterator[tuple[str, str]]:
    if "header_length" not in held:
        yield "reject", "can't be told without a part that holds the header_length"
    if reject.bytes_min <= header_bytes or reject.bytes_min < reject.code_at + reject.code_bytes:
        yield "reject.bytes_min", "must be longer than the header, and hold the reject code"
    for code in reject.policies:
        if len(code) != 2 * reject.code_bytes:
            yield f"reject.policies {code}", f"not the {2 * reject.code_bytes} digits of a reject code"


class HeaderProblem(NamedTuple):
    """What is wrong with a header. ``offset`` in bytes; ``readable``: the message behind it begins where it should."""

    offset: int
    needed: str
    found: str
    readable: bool


class Header:
    """A dialect's header rules, laid out for use.

    Headers are handed around as field "h" has them: hexadecimal digits.
    """

    def __init__(self, rules: HeaderRules) -> None:
        self.rules = rules
        self.bytes = rules.bytes
        self.reject = rules.reject
        #: In front of messages that we start, but for the total length.
        self.ours = ""
        self._checks: list[tuple[slice, frozenset[bytes], HeaderPart]] = []
        self._own_length_at: int | None = None
        self._total_length: slice | None = None
        stations = {"destination": rules.their_station, "source": rules.our_station}
        places: dict[str, slice] = {}
        at = 0
        for part in rules.parts:
            place = slice(at, at + part.bytes)
            at += part.bytes
            sent = (part.any_of[0] if part.any_of else stations.get(part.holds, "")).upper() or "00" * part.bytes
            if part.holds == "header_length":
                self._own_length_at = place.start
                sent = f"{self.bytes:02X}"
            elif part.holds == "total_length":
                self._total_length = place
            elif part.holds:
                places[part.holds] = slice(2 * place.start, 2 * place.stop)  # in digits
            if part.any_of:
                self._checks.append((place, frozenset(map(bytes.fromhex, part.any_of)), part))
            self.ours += sent
        pair = sorted(places.values(), key=lambda place: int(place.start))
        self._pair = (pair[0], pair[1]) if pair else None

    def turned(self, header: str) -> str:
        """The header of an answer to a message with ``header``: destination and source exchanged."""
        if self._pair is None:
            return header
        first, second = self._pair
        return (
            header[: first.start]
            + header[second]
            + header[first.stop : second.start]
            + header[first]
            + header[second.stop :]
        )

    def finished(self, payload: bytes) -> bytes:
        """``payload`` with its total length in the header."""
        place = self._total_length
        if place is None:
            return payload
        return payload[: place.start] + len(payload).to_bytes(2, "big") + payload[place.stop :]

    def problem(self, payload: bytes) -> HeaderProblem | None:
        """What is wrong with the header of ``payload``, or None."""
        own_at, total = self._own_length_at, self._total_length
        if own_at is not None and payload[own_at : own_at + 1] != bytes((self.bytes,)):
            found = payload[own_at : own_at + 1].hex() or "nothing"
            return HeaderProblem(own_at, f"a header length of {self.bytes}", found, readable=False)
        if len(payload) < self.bytes:
            return HeaderProblem(len(payload), f"{self.bytes} bytes of header", f"{len(payload)}", readable=False)
        for place, contents, part in self._checks:
            if payload[place] not in contents:
                needed = f"{part.desc} {' or '.join(sorted(each.hex() for each in contents))}"
                return HeaderProblem(place.start, needed, payload[place].hex(), readable=False)
        if total is not None and int.from_bytes(payload[total], "big") != len(payload):
            needed = f"a total length of {len(payload)}"
            return HeaderProblem(total.start, needed, str(int.from_bytes(payload[total], "big")), readable=True)
        return None

    # ── rejects

    def is_reject(self, payload: bytes) -> bool:
        """Whether ``payload`` begins with a reject header."""
        if self.reject is None or self._own_length_at is None or len(payload) <= self._own_length_at:
            return False
        return payload[self._own_length_at] >= self.reject.bytes_min

    def reject_problem(self, payload: bytes) -> HeaderProblem | None:
        """What is wrong with a reject header, or None."""
        assert self._own_length_at is not None
        length, total = payload[self._own_length_at], self._total_length
        if len(payload) < length:
            needed = f"the {length} bytes of a reject header"
            return HeaderProblem(len(payload), needed, f"{len(payload)}", readable=False)
        if total is not None and int.from_bytes(payload[total], "big") != len(payload):
            found = str(int.from_bytes(payload[total], "big"))
            return HeaderProblem(total.start, f"a total length of {len(payload)}", found, readable=False)
        return None

    def rejected(self, payload: bytes) -> tuple[str, bytes]:
        """The reject code, and the payload that was rejected."""
        assert self.reject is not None
        assert self._own_length_at is not None
        code = payload[self.reject.code_at : self.reject.code_at + self.reject.code_bytes].hex().upper()
        return code, payload[payload[self._own_length_at] :]
