"""The hash chain of one account's journal.

Every entry's hash covers all of its columns and the hash of the entry before it, so a changed, removed or inserted
row shows at every entry after it. The form that is hashed is fixed: a version byte, then the numbers as 8-byte big-
endian integers, then the texts, each with its length in front, so that no two different rows have the same form.

Cutting off a chain's tail, or deleting a whole account, does not show in the chain alone; seals over all heads, kept
outside the database, are for that.
"""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime, timedelta

import msgspec

from switch.issuer.account import Entry

__all__ = ["GENESIS", "ChainedEntry", "entry_hash", "microseconds"]

#: What the first entry of an account continues.
GENESIS = bytes(32)

_VERSION = 1
_NUMBERS = struct.Struct(">B10q")
_NO_HOLD = -1  # ``hold_id`` is a positive seq, so this stands for NULL
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class ChainedEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry as it stands in the journal, with what caused it and its place in the chain."""

    entry: Entry
    cause: str  # "message", "withdrawal" or "load"
    cause_key: bytes
    transmitted_at: datetime
    booked_at: datetime
    prev_hash: bytes
    hash: bytes


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 in UTC: what PostgreSQL's timestamptz keeps, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def entry_hash(
    entry: Entry, cause: str, cause_key: bytes, transmitted_us: int, booked_us: int, prev_hash: bytes
) -> bytes:
    """SHA-256 (32 bytes) over every column of the row but the hash itself."""
    movement = entry.movement
    hold_id = movement.hold_id
    numbers = _NUMBERS.pack(
        _VERSION,
        entry.account_id,
        entry.seq,
        movement.amount_minor,
        entry.posted_delta,
        entry.held_delta,
        entry.posted_after,
        entry.held_after,
        _NO_HOLD if hold_id is None else hold_id,
        transmitted_us,
        booked_us,
    )
    texts = (
        movement.kind.encode(),
        movement.debit.encode(),
        movement.credit.encode(),
        entry.currency.encode(),
        cause.encode(),
        cause_key,
        prev_hash,
    )
    lengths = bytes(map(len, texts))  # each is shorter than 256 bytes; bytes() refuses a longer one
    return hashlib.sha256(b"".join((numbers, lengths, *texts))).digest()
