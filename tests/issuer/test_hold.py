"""The life of a purchase: the table of transitions, in Python and in SQL, and what changes a hold."""

from __future__ import annotations

import re
from importlib import resources
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.contracts.errors import InvariantBroken
from switch.issuer.account import EntryKind, Movement, Side
from switch.issuer.change import Change, post, set_held, set_posted
from switch.issuer.hold import TRANSITIONS, Hold, HoldState, check_transition
from tests.issuer.support import NOON, an_account

O, P, R, L, W = HoldState.OPEN, HoldState.POSTED, HoldState.REVERSED, HoldState.RELEASED, HoldState.WITHDRAWN  # noqa: E741 one letter each keeps the table below a table

#: As the drawing in hold.py has it: from (row) to (column). x is allowed.
TABLE = """
              open  posted  reversed  released  expired  withdrawn
    -         x     x       .         .         .        .
    open      x     x       x         x         x        x
    posted    .     x       x         .         .        x
    reversed  .     x       .         .         .        .
    released  .     x       .         .         .        .
    expired   x     x       x         .         x        .
    withdrawn x     x       .         .         .        .
"""


def drawn() -> dict[tuple[HoldState | None, HoldState], bool]:
    header, *rows = [line.split() for line in TABLE.strip().splitlines()]
    return {
        (None if row[0] == "-" else HoldState(row[0]), HoldState(column)): mark == "x"
        for row in rows
        for column, mark in zip(header, row[1:], strict=True)
    }


@pytest.mark.parametrize(("before", "after"), list(product([None, *HoldState], HoldState)))
def test_every_pair_of_states(before: HoldState | None, after: HoldState) -> None:
    allowed = drawn()[before, after]
    assert ((before, after) in TRANSITIONS) == allowed
    if allowed:
        check_transition(before, after)
    else:
        with pytest.raises(InvariantBroken, match="cannot go from"):
            check_transition(before, after)


def test_the_database_has_the_same_table() -> None:
    sql = "\n".join(
        file.read_text()
        for file in sorted(resources.files("switch.journal.migrations").iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    )
    inserts = re.findall(r"INSERT INTO hold_transition VALUES(.*?);", sql, re.DOTALL)
    in_sql = {pair for insert in inserts for pair in re.findall(r"\('(\w*)', '(\w+)'\)", insert)}

    assert in_sql == {(str(before or ""), str(after)) for before, after in TRANSITIONS}


def a_hold(state: HoldState = O, held: int = 0, posted: int = 0, *, credit: bool = False) -> Hold:
    return Hold(3, 2, 7, state, held + posted, held, posted, credit, "5411", NOON)


@pytest.mark.parametrize(
    ("hold", "good"),
    [
        (a_hold(O, 5), True),
        (a_hold(O, 0), True),
        (a_hold(P, 0, 5), True),
        (a_hold(W, 0, 0), True),
        (a_hold(O, -1), False),
        (a_hold(P, 0, -1), False),
        *((a_hold(state, 1), False) for state in HoldState if state is not O),
    ],
)
def test_nothing_is_held_unless_the_state_is_open(hold: Hold, good: bool) -> None:
    if good:
        hold.check_invariants()
    else:
        with pytest.raises(InvariantBroken, match="account 3 hold 2"):
            hold.check_invariants()


@pytest.mark.parametrize(
    ("hold", "held", "movement", "state", "authorized"),
    [
        (a_hold(O, 100), 150, (EntryKind.HOLD_INCREASE, Side.AVAILABLE, Side.HELD, 50), O, 150),
        (a_hold(O, 100), 40, (EntryKind.RELEASE, Side.HELD, Side.AVAILABLE, 60), O, 40),
        (a_hold(O, 100), 0, (EntryKind.RELEASE, Side.HELD, Side.AVAILABLE, 100), R, 100),
        (a_hold(O, 100), 100, None, O, 100),
        (a_hold(W), 70, (EntryKind.HOLD, Side.AVAILABLE, Side.HELD, 70), O, 70),
        (a_hold(W), 0, None, R, 0),
    ],
)
def test_set_held(
    hold: Hold, held: int, movement: tuple[EntryKind, Side, Side, int] | None, state: HoldState, authorized: int
) -> None:
    change = set_held(an_account(10_000, held_minor=100), hold, held, R)

    assert change.movements == (() if movement is None else (Movement(*movement, 2),))
    assert (change.hold.held_minor, change.hold.state, change.hold.authorized_minor) == (held, state, authorized)
    change.hold.check_invariants()


@pytest.mark.parametrize(
    ("credit", "posted", "sides"),
    [
        (False, 40, (Side.NETWORK, Side.AVAILABLE)),
        (True, 40, (Side.AVAILABLE, Side.NETWORK)),  # a refund's reversal takes money out again
        (False, 0, (Side.NETWORK, Side.AVAILABLE)),
        (False, 100, None),
    ],
)
def test_set_posted(credit: bool, posted: int, sides: tuple[Side, Side] | None) -> None:
    change = set_posted(a_hold(P, 0, 100, credit=credit), posted, W)

    expected = () if sides is None else (Movement(EntryKind.POSTING_REVERSAL, *sides, 100 - posted, 2),)
    assert change.movements == expected
    assert (change.hold.posted_minor, change.hold.state) == (posted, P if posted else W)


@pytest.mark.parametrize(
    ("held", "amount", "movements"),
    [
        (100, 100, [("posting", Side.HELD, Side.NETWORK, 100)]),
        (100, 60, [("posting", Side.HELD, Side.NETWORK, 60), ("release", Side.HELD, Side.AVAILABLE, 40)]),
        (100, 130, [("posting", Side.HELD, Side.NETWORK, 100), ("posting", Side.AVAILABLE, Side.NETWORK, 30)]),
        (0, 30, [("posting", Side.AVAILABLE, Side.NETWORK, 30)]),
    ],
)
def test_posting_takes_from_what_is_held_first(
    held: int, amount: int, movements: list[tuple[str, Side, Side, int]]
) -> None:
    change = post(an_account(10_000, held_minor=held), a_hold(O, held), amount)

    assert [(str(m.kind), m.debit, m.credit, m.amount_minor) for m in change.movements] == movements
    assert (change.hold.state, change.hold.held_minor, change.hold.posted_minor) == (P, 0, amount)


amounts = st.integers(0, 10**12)


def figures(hold: Hold, change: Change) -> tuple[int, int]:
    """(held, posted) of the hold before plus what its movements did to it."""
    held, posted = hold.held_minor, hold.posted_minor
    for m in change.movements:
        assert m.amount_minor > 0 and m.hold_id == hold.hold_id
        held += m.amount_minor * ((m.credit is Side.HELD) - (m.debit is Side.HELD))
        out = m.amount_minor * ((m.credit is Side.NETWORK) - (m.debit is Side.NETWORK))
        posted += -out if hold.credit else out
    return held, posted


@given(held=amounts, wanted=amounts, end=st.sampled_from([R, L, W]))
def test_holds_agree_with_their_movements(held: int, wanted: int, end: HoldState) -> None:
    hold = a_hold(O, held)
    change = set_held(an_account(10_000, held_minor=held), hold, wanted, end)
    assert figures(hold, change) == (change.hold.held_minor, change.hold.posted_minor) == (wanted, 0)
    assert change.hold.state is (O if wanted else end)
    change.hold.check_invariants()
    check_transition(O, change.hold.state)


@given(posted=st.integers(1, 10**12), data=st.data(), credit=st.booleans())
def test_postings_agree_with_their_movements(posted: int, data: st.DataObject, credit: bool) -> None:
    hold = a_hold(P, 0, posted, credit=credit)
    left = data.draw(st.integers(0, posted))
    change = set_posted(hold, left, R)
    assert figures(hold, change) == (0, left) == (change.hold.held_minor, change.hold.posted_minor)


@given(held=amounts, amount=st.integers(1, 10**12))
def test_posting_leaves_nothing_on_hold(held: int, amount: int) -> None:
    hold = a_hold(O, held)
    change = post(an_account(10_000, held_minor=held), hold, amount)
    assert figures(hold, change) == (0, amount) == (change.hold.held_minor, change.hold.posted_minor)
