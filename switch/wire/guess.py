"""Which dialect a message is of, where nobody says: all are tried, and the one that makes most of it is taken. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from switch.wire.describe import Describer
from switch.wire.description import Description
from switch.wire.pasted import Pasted, unframed_as

__all__ = ["Guess", "Other", "Reading", "guess"]


class Reading(NamedTuple):
    """One way to read the input."""

    description: Description
    form: str  # hex, base64 or raw
    framing: str  # in front of it; empty: none
    odd: str  # about the framing
    framing_fits: bool  # it is none, or the dialect's own


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect that was tried as well, and how far it came."""

    dialect: str
    equal: bool  # it makes as much of the message as the one that was taken
    says: str


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken, why, and what else was tried."""

    reading: Reading
    why: str
    others: tuple[Other, ...]


def guess(
    pasted: Iterable[Pasted], describers: Sequence[Describer], framing: str, received_at: datetime
) -> Guess | None:
    """The best reading of ``pasted`` by any of ``describers``; None where there is nothing to read.

    Of equals the first wins, so the order of the describers is that of preference.
    """
    pasted = tuple(pasted)
    best: list[Reading] = []
    for describer in describers:
        readings = list(_readings(pasted, describer, framing, received_at))
        if readings:
            best.append(max(readings, key=_rank))
    if not best:
        return None
    taken = max(best, key=_rank)
    others = tuple(_other(each, taken) for each in sorted(best, key=_rank, reverse=True) if each is not taken)
    return Guess(reading=taken, why=_why(taken, others), others=others)


def _readings(pasted: Iterable[Pasted], describer: Describer, framing: str, received_at: datetime) -> Iterable[Reading]:
    own = describer.dialect.framing.value
    for each in pasted:
        for unframed in unframed_as(each.data, framing):
            description = describer.describe(unframed.payload, received_at)
            yield Reading(description, each.form, unframed.framing, unframed.odd, unframed.framing in {"", own})


def _rank(reading: Reading) -> tuple[bool, bool, bool, float, bool, bool]:
    """What makes a reading better: taken by the switch, whole, of a known type, far and sound, with a good framing."""
    it = reading.description
    far = 1.0 if it.whole or it.problem is None else it.problem.offset / max(it.message_bytes, 1)
    return it.problem is None, it.whole, it.known, far * it.sound, not reading.odd, reading.framing_fits


def _why(taken: Reading, others: tuple[Other, ...]) -> str:
    it = taken.description
    if it.problem is None:
        why = "every byte of it can be read"
    elif it.whole:
        why = "every byte of it belongs to an element"
    else:
        why = f"it can be read furthest, to byte {it.problem.offset} of {it.message_bytes}"
    equals = [other.dialect for other in others if other.equal]
    return why + (f"; so it is with {', '.join(equals)}" if equals else "")


def _other(reading: Reading, taken: Reading) -> Other:
    it = reading.description
    # What is found there is not told: by another dialect's layout it may be anything, card data too.
    says = "every byte of it can be read"
    if it.problem is not None:
        says = f"field {it.problem.field} at byte {it.problem.offset}: needed {it.problem.needed}"
    return Other(dialect=it.dialect, equal=_rank(reading) == _rank(taken), says=says)
