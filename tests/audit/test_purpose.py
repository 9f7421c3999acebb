"""Every kind of entry counts to a total, and says so in the table."""

from __future__ import annotations

from itertools import permutations

from switch.audit.purpose import PURPOSES, Purpose, purpose_of
from switch.issuer.account import Account, EntryKind, Movement, Side, book


def test_every_kind_of_entry_is_classified() -> None:
    assert set(EntryKind) - set(PURPOSES) == set(), "give the new kind its line in PURPOSES"


def test_a_kind_that_is_not_known_says_so() -> None:
    assert purpose_of("gift") is Purpose.UNKNOWN
    assert purpose_of("unknown") is Purpose.UNKNOWN


def test_the_name_of_a_side_tells_whose_it_is() -> None:
    """The statements of ``switch.journal.close`` go by the names' endings: they must say what ``book`` does."""
    account = Account(1, "JPY", 1_000, 500, 0, 1, b"", bonus_posted_minor=400, bonus_held_minor=200)
    for debit, credit in permutations(Side, 2):
        own = [side.endswith((".available", ".held")) for side in (debit, credit)]
        held = [side.endswith(".held") for side in (debit, credit)]
        bonus = [side.startswith("bonus.") for side in (debit, credit)]
        if own[1] - own[0] == held[1] - held[0] == 0:
            continue  # it moves neither figure, so it is never booked
        entry = book(account, Movement(EntryKind.LOAD, debit, credit, 10))
        assert entry.posted_delta == 10 * (own[1] - own[0]), (debit, credit)
        assert entry.held_delta == 10 * (held[1] - held[0]), (debit, credit)
        assert entry.bonus_posted_after - 400 == 10 * (bonus[1] - bonus[0]), (debit, credit)
