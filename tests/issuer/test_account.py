"""What a movement does to a balance, and what may never be booked."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.contracts.errors import InvariantBroken
from switch.issuer.account import Account, Entry, EntryKind, Movement, Side, book
from tests.issuer.support import an_account

#: The table of the module's docstring: (debit, credit) -> what an amount of 1 does to (posted, held).
EFFECTS = {
    (Side.AVAILABLE, Side.HELD): (0, +1),
    (Side.HELD, Side.AVAILABLE): (0, -1),
    (Side.HELD, Side.NETWORK): (-1, -1),
    (Side.AVAILABLE, Side.NETWORK): (-1, 0),
    (Side.NETWORK, Side.AVAILABLE): (+1, 0),
    (Side.FUNDING, Side.AVAILABLE): (+1, 0),
    (Side.PROMOTION, Side.BONUS_AVAILABLE): (+1, 0),
    (Side.BONUS_AVAILABLE, Side.BONUS_HELD): (0, +1),
    (Side.BONUS_HELD, Side.BONUS_AVAILABLE): (0, -1),
    (Side.BONUS_HELD, Side.NETWORK): (-1, -1),
    (Side.BONUS_AVAILABLE, Side.NETWORK): (-1, 0),
    (Side.NETWORK, Side.BONUS_AVAILABLE): (+1, 0),
}
OWN = {Side.AVAILABLE, Side.HELD, Side.BONUS_AVAILABLE, Side.BONUS_HELD}
#: An account that has enough of everything for any movement of 100.
RICH = {"held_minor": 500, "bonus_posted_minor": 400, "bonus_held_minor": 200}


def movement(debit: Side, credit: Side, amount: int = 100) -> Movement:
    return Movement(EntryKind.POSTING, debit, credit, amount, 1)


def after(account: Account, entry: Entry) -> Account:
    return msgspec.structs.replace(
        account,
        posted_minor=entry.posted_after,
        held_minor=entry.held_after,
        seq=entry.seq,
        bonus_posted_minor=entry.bonus_posted_after,
        bonus_held_minor=entry.bonus_held_after,
    )


@pytest.mark.parametrize(("debit", "credit"), EFFECTS)
def test_the_table_of_sides(debit: Side, credit: Side) -> None:
    posted, held = EFFECTS[debit, credit]
    account = an_account(10_000, seq=41, **RICH)

    entry = book(account, movement(debit, credit))

    assert (entry.posted_delta, entry.held_delta) == (100 * posted, 100 * held)
    assert (entry.posted_after, entry.held_after) == (10_000 + 100 * posted, 500 + 100 * held)
    assert (entry.account_id, entry.currency, entry.seq) == (3, "JPY", 42)


@pytest.mark.parametrize(("debit", "credit"), list(product(Side, Side)))
def test_one_side_at_least_is_the_accounts_and_none_pays_itself(debit: Side, credit: Side) -> None:
    account = an_account(10_000, **RICH)
    between = {debit, credit} in ({Side.AVAILABLE, Side.BONUS_AVAILABLE}, {Side.HELD, Side.BONUS_HELD})
    if debit is credit or between or not {debit, credit} & OWN:
        with pytest.raises(InvariantBroken, match="account 3"):
            book(account, movement(debit, credit))
    else:
        book(account, movement(debit, credit))


@pytest.mark.parametrize("amount", [0, -1])
def test_an_amount_is_above_zero(amount: int) -> None:
    with pytest.raises(InvariantBroken):
        book(an_account(), movement(Side.FUNDING, Side.AVAILABLE, amount))


@pytest.mark.parametrize("credit", [Side.AVAILABLE, Side.NETWORK])
def test_no_more_leaves_the_held_figure_than_is_held(credit: Side) -> None:
    account = an_account(10_000, held_minor=100)
    assert book(account, movement(Side.HELD, credit, 100)).held_after == 0
    with pytest.raises(InvariantBroken):
        book(account, movement(Side.HELD, credit, 101))


def test_available_may_go_below_zero() -> None:
    assert book(an_account(10), movement(Side.AVAILABLE, Side.NETWORK, 11)).posted_after == -1
    assert book(an_account(10), movement(Side.AVAILABLE, Side.HELD, 11)).held_after == 11


movements = st.lists(
    st.tuples(st.sampled_from(sorted(EFFECTS)), st.integers(1, 10**12)).map(lambda m: movement(*m[0], m[1])),
    max_size=20,
)


@given(st.integers(-(10**12), 10**12), movements)
def test_money_is_conserved(opening: int, moved: list[Movement]) -> None:
    """Whatever the account gains or loses, its counterparties lose or gain: the four sides always sum to the opening."""
    account = an_account(opening, seq=0)
    outside = 0
    booked = 0
    for each in moved:
        try:
            entry = book(account, each)
        except InvariantBroken:
            limits = {
                Side.HELD: account.held_minor - account.bonus_held_minor,
                Side.BONUS_HELD: account.bonus_held_minor,
                Side.BONUS_AVAILABLE: account.bonus_available_minor,
            }
            assert each.amount_minor > limits[each.debit]
            continue
        booked += 1
        assert entry.posted_after - entry.posted_delta == account.posted_minor
        assert entry.held_after - entry.held_delta == account.held_minor
        account = after(account, entry)
        outside += each.amount_minor * ((each.credit not in OWN) - (each.debit not in OWN))
        assert account.posted_minor + outside == opening
        assert account.held_minor >= 0
        assert account.available_minor + account.held_minor == account.posted_minor
        assert account.seq == booked
