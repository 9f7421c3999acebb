"""Sound messages, and what can be done to one.

A message is kept in pieces, as pyiso8583 wrote them: (element, length, data). The mutations work on pieces or on bytes;
the frame's own length is right afterwards, because :mod:`simulators.fuzz.hostile` does the damage to frames.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import accumulate
from typing import TypeAlias

import iso8583

from simulators.cards import TestCard
from simulators.messages import Act, Maker, Message, Terms
from switch.wire.codec import Codec
from switch.wire.dialect import Dialect
from switch.wire.inbound import ManagementFunction

__all__ = ["MUTATIONS", "SOUND", "Forge", "Pieces"]

Pieces: TypeAlias = list[tuple[str, bytes, bytes]]
Mutation: TypeAlias = Callable[[random.Random, Pieces, Pieces], bytes]

SOUND = "sound"
_RECENT_MAX = 64
_ECHO_EVERY = 30  # messages
_LENGTH_PUT_RIGHT = 0.8  # of damaged messages behind a header that tells it
_MUCH_MINOR = 1_000
_AMOUNT_MINOR_MAX = 3  # small, so that the cards last
_BITMAPS = ("p", "1")
_NASTY = bytes.fromhex("00 01 09 0a 20 2d 30 39 3a 3d 41 44 46 7f 80 99 a0 fa fe ff")


def joined(pieces: Pieces) -> bytes:
    """The payload that the pieces are."""
    return b"".join([part for _, length, data in pieces for part in (length, data)])


# ── bytes


def _bits(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    payload = bytearray(joined(pieces))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
    return bytes(payload)


def _bytes(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    payload = bytearray(joined(pieces))
    for _ in range(rng.choice((1, 1, 2, 4))):
        payload[rng.randrange(len(payload))] = rng.choice(_NASTY)
    return bytes(payload)


def _cut_short(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    payload = joined(pieces)
    return payload[: rng.randrange(1, len(payload))]


def _drawn_out(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    return joined(pieces) + rng.randbytes(rng.choice((1, 2, 8, 60)))


def _inserted(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    payload = joined(pieces)
    at = rng.randrange(len(payload) + 1)
    more = rng.randbytes(rng.randrange(1, 9)) if rng.random() < 0.5 else bytes([rng.choice(_NASTY)])
    return payload[:at] + more + payload[at:]


def _left_out(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    payload = joined(pieces)
    at = rng.randrange(len(payload))
    return payload[:at] + payload[at + rng.randrange(1, 9) :]


def _noise(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    """A sound beginning or none, then anything."""
    payload = joined(pieces)
    kept = rng.choice((0, 4, 20, len(payload) // 2))
    return payload[:kept] + rng.randbytes(max(1, len(payload) - kept))


def _spliced(rng: random.Random, pieces: Pieces, other: Pieces) -> bytes:
    one, two = joined(pieces), joined(other)
    at = rng.randrange(min(len(one), len(two)))
    return one[:at] + two[at:]


def _twice(_rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    return joined(pieces) * 2


# ── pieces


def _values(pieces: Pieces) -> list[int]:
    """Which pieces are elements, not message type or bitmap; those with content."""
    return [place for place, (key, _, data) in enumerate(pieces) if key.isdecimal() and key != "1" and data]


def _swapped(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    changed = list(pieces)
    one, two = rng.sample(_values(pieces), 2)
    changed[one], changed[two] = changed[two], changed[one]
    return joined(changed)


def _doubled(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    at = rng.choice(_values(pieces))
    return joined([*pieces[: at + 1], *pieces[at:]])


def _dropped(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    at = rng.choice(_values(pieces))
    return joined([*pieces[:at], *pieces[at + 1 :]])


def _bitmap_lies(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    at = rng.choice([place for place, (key, _, data) in enumerate(pieces) if key in _BITMAPS and data])
    key, length, data = pieces[at]
    for _ in range(rng.choice((1, 1, 2, 3))):
        bit = 1 << rng.randrange(64)
        if len(data) == 8:
            data = (int.from_bytes(data, "big") ^ bit).to_bytes(8, "big")
        else:
            # As text: digits of the dialect's own character set, so that only the bits lie.
            encoding = "ascii" if data.isalnum() and data.isascii() else "cp500"
            data = f"{int(data.decode(encoding), 16) ^ bit:016X}".encode(encoding)
    return joined([*pieces[:at], (key, length, data), *pieces[at + 1 :]])


def _length_lies(rng: random.Random, pieces: Pieces, other: Pieces) -> bytes:
    counted = [place for place, (_, length, _) in enumerate(pieces) if length]
    if not counted:
        return _bytes(rng, pieces, other)
    at = rng.choice(counted)
    key, length, data = pieces[at]
    lie = rng.choice(
        (
            length[:-1] + bytes([(length[-1] + rng.choice((-2, -1, 1, 2))) % 256]),
            bytes(len(length)),
            b"\xff" * len(length),
            b"9" * len(length),
            b"\x99" * len(length),
            rng.randbytes(len(length)),
        )
    )
    return joined([*pieces[:at], (key, lie, data), *pieces[at + 1 :]])


def _other_value(rng: random.Random, pieces: Pieces, other: Pieces) -> bytes:
    """An element of another message, where it has the same length: a sound message that means something else."""
    theirs = {key: data for key, _, data in other}
    places = [at for at in _values(pieces) if len(theirs.get(pieces[at][0], b"")) == len(pieces[at][2])]
    if not places:
        return joined(pieces)
    at = rng.choice(places)
    key, length, _ = pieces[at]
    return joined([*pieces[:at], (key, length, theirs[key]), *pieces[at + 1 :]])


def _other_digits(rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    """Other digits of the same number, in the amount above all."""
    amounts = [place for place, (key, _, _) in enumerate(pieces) if key == "4"]
    at = amounts[0] if amounts and rng.random() < 0.5 else rng.choice(_values(pieces))
    key, length, data = pieces[at]
    as_text = data.isdigit()
    digits = "".join(rng.choices("0123456789", k=len(data) * (1 if as_text else 2)))
    new = digits.encode() if as_text else bytes.fromhex(digits)
    return joined([*pieces[:at], (key, length, new), *pieces[at + 1 :]])


def _unharmed(_rng: random.Random, pieces: Pieces, _other: Pieces) -> bytes:
    return joined(pieces)


#: What is done to a payload, and how often. Without sound ones nobody would see whether the switch still approves.
MUTATIONS: Mapping[str, tuple[int, Mutation]] = {
    SOUND: (6, _unharmed),
    "bits": (22, _bits),
    "bytes": (12, _bytes),
    "cut short": (6, _cut_short),
    "drawn out": (4, _drawn_out),
    "inserted": (6, _inserted),
    "left out": (6, _left_out),
    "noise": (4, _noise),
    "spliced": (4, _spliced),
    "twice": (2, _twice),
    "elements swapped": (6, _swapped),
    "element doubled": (4, _doubled),
    "element dropped": (4, _dropped),
    "bitmap lies": (8, _bitmap_lies),
    "length lies": (8, _length_lies),
    "other value": (3, _other_value),
    "other digits": (3, _other_digits),
}

_ACTS: Mapping[Act, int] = {
    Act.AUTHORIZATION: 10,
    Act.PURCHASE: 4,
    Act.VERIFICATION: 1,
    Act.INQUIRY: 1,
    Act.INCREMENT: 1,
    Act.REVERSAL: 2,
    Act.STAND_IN_APPROVAL: 1,
    Act.FINANCIAL_ADVICE: 1,
}


class Forge:
    """An endless supply of messages, damaged in every way. The same seed and clock give the same ones.

    The cards must last: one whose balance is gone is declined whatever is sent, and shows nothing. So only the second
    half of them is told of in advices, which nobody can decline, and what was approved of a large amount is given back.

    """

    def __init__(
        self,
        maker: Maker,
        cards: Mapping[str, TestCard],
        rng: random.Random,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._maker = maker
        self._clock = clock
        self._aliases = tuple(cards)
        self._told_of = frozenset(self._aliases[len(cards) // 2 :])
        self._owed: deque[Message] = deque()
        self._rng = rng
        self._dialect: Dialect = maker.dialect
        self._codec = Codec(maker.dialect)
        self._recent: deque[Message] = deque(maxlen=_RECENT_MAX)
        self._recent_told: deque[Message] = deque(maxlen=_RECENT_MAX)
        self._acts = tuple(_ACTS)
        self._act_weights = tuple(accumulate(_ACTS.values()))
        self._mutations = tuple(MUTATIONS)
        self._weights = tuple(accumulate(weight for weight, _ in MUTATIONS.values()))
        self._last = self._pieces(self.message())
        self._total_length = _total_length(self._dialect)

    def payload(self) -> tuple[str, bytes]:
        """A payload, and the name of what was done to it."""
        if self._owed:
            return SOUND, joined(self._pieces(self._owed.popleft()))
        pieces = self._echo() if self._rng.randrange(_ECHO_EVERY) == 0 else self._pieces(self.message())
        (name,) = self._rng.choices(self._mutations, cum_weights=self._weights)
        payload = MUTATIONS[name][1](self._rng, pieces, self._last)
        self._last = pieces
        place = self._total_length
        if place is not None and len(payload) >= place.stop and self._rng.random() < _LENGTH_PUT_RIGHT:
            # A total length that is wrong would hide all other damage.
            payload = payload[: place.start] + len(payload).to_bytes(2, "big") + payload[place.stop :]
        return name, payload

    def message(self) -> Message:
        """What an acquirer may send; small amounts."""
        rng, maker = self._rng, self._maker
        (act,) = rng.choices(self._acts, cum_weights=self._act_weights)
        amount = rng.randint(1, _AMOUNT_MINOR_MAX)
        if self._recent:
            if act is Act.REVERSAL:
                return maker.reversal(rng.choice(self._recent), replacement_minor=0 if rng.random() < 0.2 else None)
            if act is Act.INCREMENT:
                return maker.increment(rng.choice(self._recent), amount)
        if self._recent_told:
            if act is Act.STAND_IN_APPROVAL:
                return maker.stand_in(rng.choice(self._recent_told), approved=rng.random() < 0.5)
            if act is Act.FINANCIAL_ADVICE:
                return maker.financial_advice(rng.choice(self._recent_told))
        if act not in {Act.PURCHASE, Act.VERIFICATION, Act.INQUIRY}:
            act = Act.AUTHORIZATION
        terms = Terms(
            partial=rng.random() < 0.1,
            cvv2="card" if rng.random() < 0.2 else None,
            # A stripe that is too short for a CVV, which nobody then demands of these cards.
            cvv="" if rng.random() < 0.2 else None,
            expiry=None if rng.random() < 0.2 else "",
        )
        money = act in {Act.AUTHORIZATION, Act.PURCHASE}
        made = maker.request(act, rng.choice(self._aliases), amount if money else 0, terms)
        if money:
            (self._recent_told if made.alias in self._told_of else self._recent).append(made)
        return made

    def give_back(self, approved: Mapping[str, str]) -> None:
        """``approved`` was: where that was much, a reversal of it comes next."""
        fields = {key: value for key, value in approved.items() if key not in _BITMAPS}
        at = self._dialect.elements
        amount = int(fields.get(at.amount, "0"))
        if amount <= _MUCH_MINOR or not {at.sequence_time, at.stan, at.retrieval_reference} <= fields.keys():
            return
        original = Message(
            act=Act.AUTHORIZATION,
            alias="",
            network=self._maker.network,
            purchase="",
            key="",
            amount_minor=amount,
            fields=fields,
        )
        self._owed.append(self._maker.reversal(original))

    def _echo(self) -> Pieces:
        stan = f"{self._rng.randrange(1, 1_000_000):06d}"
        return self._cut(self._codec.encode_management(ManagementFunction.ECHO, stan=stan, now=self._clock()))

    def _pieces(self, message: Message) -> Pieces:
        return self._cut(self._codec.encode(message.fields))

    def _cut(self, payload: bytes) -> Pieces:
        _, encoded = iso8583.decode(payload, self._dialect.spec)
        return [(key, parts["len"], parts["data"]) for key, parts in encoded.items()]


def _total_length(dialect: Dialect) -> slice | None:
    """Where the header tells how long the payload is; None where it does not."""
    at = 0
    for part in () if dialect.header is None else dialect.header.rules.parts:
        if part.holds == "total_length":
            return slice(at, at + part.bytes)
        at += part.bytes
    return None
