"""A network's day is cleared: what was approved is presented, some of it lower, higher or in parts, and some comes
back.

The file is written from the network's own books, which go on with what it tells. What is in doubt waits for another
day.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from simulators.books import Books, State
from simulators.books import Purchase as Kept
from simulators.cards import TestCard
from simulators.clearing_files import Entry, Purchase, parts, presentment, refund
from simulators.messages import Message
from switch.contracts.secret import Pan
from switch.wire.dialect import Dialect

__all__ = ["cleared"]

#: How often, in a hundred, a presentment is lower, higher or comes in two parts, and how often goods come back at once.
_LOWER, _HIGHER, _PARTS, _REFUND = 8, 6, 6, 5


def cleared(
    books: Books, dialect: Dialect, cards: Mapping[str, TestCard], *, seed: int, reference_head: str
) -> Iterator[Entry]:
    """The records of one network's file, for every purchase of it that is open and free of doubt.

    ``books`` follow record by record. ``reference_head`` keeps acquirer references of several files apart.
    """
    dice = random.Random(seed)
    for number, kept in enumerate(_presentable(books, dialect.name)):
        assert kept.first is not None, "seen by the one who chose them"
        purchase = _told(kept.first, kept.held_minor, dialect, cards)
        reference = f"{reference_head}{number:08d}"
        chance = dice.randrange(100)
        entries = [presentment(purchase)]
        if chance < _LOWER:
            entries = [presentment(purchase, max(1, kept.held_minor - dice.randrange(1, 100)))]
        elif chance < _LOWER + _HIGHER:
            entries = [presentment(purchase, kept.held_minor + dice.randrange(1, 100))]
        elif chance < _LOWER + _HIGHER + _PARTS and kept.held_minor > 1:
            first = dice.randrange(1, kept.held_minor)
            entries = parts(purchase, [first, kept.held_minor - first])
        for entry in entries:
            books.presented(kept, entry.amount, final=entry is entries[-1])
            yield msgspec.structs.replace(entry, acquirer_reference=reference)
        if dice.randrange(100) < _REFUND:
            back = refund(purchase, dice.randrange(1, kept.posted_minor + 1))
            books.brought_back(kept, back.amount)
            yield msgspec.structs.replace(back, acquirer_reference=f"9{reference[1:]}")


def _presentable(books: Books, network: str) -> list[Kept]:
    return [
        kept
        for kept in books.purchases.values()
        if kept.first is not None and kept.first.network == network and kept.alias in books.aliases
        if kept.state is State.OPEN and kept.held_minor > 0 and not kept.doubts
    ]


def _told(first: Message, amount_minor: int, dialect: Dialect, cards: Mapping[str, TestCard]) -> Purchase:
    """What the network knows of an authorization, from the message that began it."""
    at, fields = dialect.elements, first.fields
    return Purchase(
        pan=Pan(fields[at.pan]),
        amount=amount_minor,
        currency=cards[first.alias].currency,
        purchased_at=datetime.now(UTC).replace(microsecond=0),
        retrieval_reference=fields[at.retrieval_reference],
        acquirer_id=fields.get(at.acquirer, "").lstrip("0"),
        terminal_id=fields.get(at.terminal, "").strip(),
        merchant_id=fields.get(at.merchant, "").strip(),
        mcc=fields.get(at.mcc, ""),
    )
