"""The form that is hashed: every column matters, and no two rows share a form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.issuer.account import Entry, EntryKind, Movement, Side
from switch.journal.chain import GENESIS, entry_hash, microseconds

ENTRY = Entry(Movement(EntryKind.HOLD, Side.AVAILABLE, Side.HELD, 100, 5), 3, "JPY", 5, 0, 100, 1_000, 100)
ARGUMENTS: dict[str, Any] = {
    "entry": ENTRY,
    "cause": "message",
    "cause_key": b"k" * 16,
    "transmitted_us": 1,
    "booked_us": 2,
    "prev_hash": GENESIS,
}


def moved(**changes: Any) -> Entry:
    return msgspec.structs.replace(ENTRY, movement=msgspec.structs.replace(ENTRY.movement, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"cause": "load"},
        {"cause_key": b"l" * 16},
        {"transmitted_us": 2},
        {"booked_us": 3},
        {"prev_hash": b"x" * 32},
        {"entry": moved(kind=EntryKind.HOLD_INCREASE)},
        {"entry": moved(debit=Side.NETWORK)},
        {"entry": moved(credit=Side.NETWORK)},
        {"entry": moved(amount_minor=101)},
        {"entry": moved(hold_id=6)},
        {"entry": moved(hold_id=None)},
        {"entry": msgspec.structs.replace(ENTRY, account_id=4)},
        {"entry": msgspec.structs.replace(ENTRY, currency="USD")},
        {"entry": msgspec.structs.replace(ENTRY, seq=6)},
        {"entry": msgspec.structs.replace(ENTRY, posted_delta=1)},
        {"entry": msgspec.structs.replace(ENTRY, held_delta=101)},
        {"entry": msgspec.structs.replace(ENTRY, posted_after=1_001)},
        {"entry": msgspec.structs.replace(ENTRY, held_after=101)},
        # Texts with their lengths in front do not run into each other.
        {"cause": "messagek", "cause_key": b"k" * 15},
    ],
)
def test_every_column_is_in_the_hash(changes: dict[str, Any]) -> None:
    assert entry_hash(**{**ARGUMENTS, **changes}) != entry_hash(**ARGUMENTS)


def test_the_form_is_fixed_for_ever() -> None:
    """Journals that were written yesterday must verify tomorrow: a change of the form needs another version byte."""
    assert entry_hash(**ARGUMENTS).hex() == FIXED


FIXED = "7ca0b147a67acf41a83a6375e4d208f300a9e438d0014ad51466aed920f18d7b"


texts = st.text(max_size=8)
keys = st.binary(max_size=16)


@given(st.tuples(texts, keys), st.tuples(texts, keys))
def test_different_causes_have_different_hashes(one: tuple[str, bytes], other: tuple[str, bytes]) -> None:
    hashes = [
        entry_hash(**{**ARGUMENTS, "cause": cause, "cause_key": key})
        for cause, key in ((one[0], one[1]), (other[0], other[1]))
    ]
    assert (hashes[0] == hashes[1]) == (one == other)


@given(st.integers(0, 2**52))
def test_microseconds_are_exact(us: int) -> None:
    assert microseconds(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)) == us
