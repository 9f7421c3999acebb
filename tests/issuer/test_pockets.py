"""Two pockets: bonus is spent first and comes back last, and each pocket gets back what it paid and no more."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.issuer.account import Account, EntryKind, Side, book
from switch.issuer.change import Change, bring_back, charge_again, post, set_held, set_posted
from switch.issuer.hold import Hold, HoldState, check_transition
from tests.issuer.support import NOON, an_account

_BONUS = {Side.BONUS_AVAILABLE, Side.BONUS_HELD}
_OWN = {Side.AVAILABLE, Side.HELD, *_BONUS}


class Purse:
    """An account with both pockets and one purchase. ``money_out`` and ``bonus_out`` add up what its movements did."""

    def __init__(self, money: int, bonus: int) -> None:
        self.account = an_account(money + bonus, bonus_posted_minor=bonus)
        self.hold = Hold(3, 2, 7, HoldState.WITHDRAWN, 0, 0, 0, False, "5411", NOON)
        self.money_out = self.bonus_out = 0

    def take(self, change: Change) -> None:
        """Books the change, and checks that the purchase says what its movements did."""
        before = self.hold
        for movement in change.movements:
            self._book_one(movement.kind, movement.debit, movement.credit, movement.amount_minor)
            for side, sign in ((movement.debit, 1), (movement.credit, -1)):
                if side in _OWN:
                    amount = sign * movement.amount_minor
                    self.bonus_out += amount if side in _BONUS else 0
                    self.money_out += 0 if side in _BONUS else amount
        self.hold = change.hold
        if self.hold != before:
            check_transition(before.state, self.hold.state)
        self.hold.check_invariants()
        assert self.hold.held_minor == self.account.held_minor
        assert self.hold.held_bonus_minor == self.account.bonus_held_minor
        assert self.money_out + self.bonus_out == self.hold.posted_minor - self.hold.refunded_minor

    def _book_one(self, kind: EntryKind, debit: Side, credit: Side, amount: int) -> None:
        entry = book(
            self.account, msgspec.structs.replace(_ANY, kind=kind, debit=debit, credit=credit, amount_minor=amount)
        )
        self.account = msgspec.structs.replace(
            self.account,
            posted_minor=entry.posted_after,
            held_minor=entry.held_after,
            bonus_posted_minor=entry.bonus_posted_after,
            bonus_held_minor=entry.bonus_held_after,
        )

    def other(self, amount: int) -> None:
        """Another purchase spends bonus, as much as there is of it."""
        spent = min(amount, self.account.bonus_available_minor)
        if spent:
            self._book_one(EntryKind.POSTING, Side.BONUS_AVAILABLE, Side.NETWORK, spent)

    def given(self, amount: int) -> None:
        self._book_one(EntryKind.BONUS, Side.PROMOTION, Side.BONUS_AVAILABLE, amount)

    @property
    def pockets(self) -> tuple[int, int]:
        """What is available: (money, bonus)."""
        bonus = self.account.bonus_available_minor
        return self.account.available_minor - bonus, bonus

    def do(self, line: str) -> None:
        """One line of a table."""
        verb, amount = line.rsplit(" ", 1)
        number = int(amount.replace(",", ""))
        {
            "hold": lambda: self.take(set_held(self.account, self.hold, self.hold.held_minor + number, HoldState.OPEN)),
            "lower to": lambda: self.take(set_held(self.account, self.hold, number, HoldState.REVERSED)),
            "post": lambda: self.take(post(self.account, self.hold, number)),
            "post a part of": lambda: self.take(post(self.account, self.hold, number, final=False)),
            "reverse the posting to": lambda: self.take(set_posted(self.hold, number, HoldState.REVERSED)),
            "refund": lambda: self.take(bring_back(self.hold, number, EntryKind.REFUND)),
            "charge again": lambda: self.take(
                charge_again(self.account, self.hold, number, EntryKind.CHARGEBACK_REVERSAL)
            ),
            "spend elsewhere": lambda: self.other(number),
            "a gift of": lambda: self.given(number),
        }[verb]()


_ANY = post(an_account(), Hold(3, 2, 7, HoldState.OPEN, 1, 0, 0, False, "", NOON), 1).movements[0]

TABLES = {
    "bonus first, and back last": """
        step                     money   bonus
        hold 1,000               9,400   0
        lower to 600             9,800   0
        lower to 300             10,000  100
        lower to 0               10,000  400
    """,
    "a part is posted, the rest comes back": """
        step                     money   bonus
        hold 1,000               9,400   0
        post a part of 300       9,400   0
        lower to 0               10,000  100
    """,
    "more is posted than was held": """
        step                     money   bonus
        hold 300                 10,000  100
        post 1,000               9,400   0
    """,
    "a refund weeks later, after another bonus came and went": """
        step                     money   bonus
        hold 1,000               9,400   0
        post 1,000               9,400   0
        a gift of 250            9,400   250
        refund 700               10,000  350
        refund 300               10,000  650
        refund 50                10,050  650
    """,
    "an additional charge after a refund": """
        step                     money   bonus
        post 1,000               9,400   0
        refund 800               10,000  200
        post 500                 9,700   0
        refund 700               10,000  400
    """,
    "a posting is reversed after a refund": """
        step                     money   bonus
        post 1,000               9,400   0
        refund 500               9,900   0
        reverse the posting to 500   10,000  400
    """,
    "all of a posting is reversed after a refund: the bonus gets back what it paid, and the rest is money": """
        step                     money   bonus
        post 1,000               9,400   0
        refund 900               10,000  300
        reverse the posting to 0     10,900  400
    """,
    "charged again, the bonus still there": """
        step                     money   bonus
        post 1,000               9,400   0
        refund 1,000             10,000  400
        charge again 300         10,000  100
        charge again 700         9,400   0
        refund 1,000             10,000  400
    """,
    "charged again, the bonus spent meanwhile": """
        step                     money   bonus
        post 1,000               9,400   0
        refund 1,000             10,000  400
        spend elsewhere 400      10,000  0
        charge again 1,000       9,000   0
        refund 1,000             10,000  0
    """,
    "charged again for more than came back": """
        step                     money   bonus
        post 1,000               9,400   0
        refund 200               9,600   0
        charge again 500         9,100   0
        refund 1,300             10,000  400
    """,
}


@pytest.mark.parametrize("name", TABLES)
def test_pockets(name: str) -> None:
    """Ten thousand of money, and a bonus of 400."""
    purse = Purse(10_000, 400)
    _, *rows = [re.split(r"\s{2,}", line.strip()) for line in TABLES[name].strip().splitlines()]
    for line, money, bonus in rows:
        purse.do(line)
        assert [line, *(f"{pocket:,}" for pocket in purse.pockets)] == [line, money, bonus]


amounts = st.integers(1, 1_500)
steps = st.lists(
    st.tuples(
        st.sampled_from(
            (
                *("hold", "lower to", "post", "post a part of", "reverse the posting to"),
                *("refund", "charge again", "spend elsewhere", "a gift of"),
            )
        ),
        amounts,
    ),
    max_size=10,
)


def bounded(purse: Purse, verb: str, amount: int, *, sane: bool) -> int | None:
    """The amount that the step may have; None where the step can't be taken now. ``sane``: nothing comes back twice."""
    hold = purse.hold
    net = hold.posted_minor - hold.refunded_minor
    if verb == "hold":
        return amount if hold.state in (HoldState.OPEN, HoldState.WITHDRAWN) else None
    if verb == "lower to":
        return min(amount, hold.held_minor - 1) if hold.held_minor else None
    if verb == "reverse the posting to":
        if not hold.posted_minor:
            return None
        least = hold.posted_minor - max(0, net) if sane else 0
        return max(least, hold.posted_minor - amount)
    if verb == "refund":
        most = max(0, net) if sane else amount
        return min(amount, most) or None if hold.posted_minor else None
    if verb == "charge again":
        return amount if hold.refunded_minor else None
    return amount


@settings(max_examples=400)
@given(st.integers(0, 2_000), st.integers(0, 1_000), steps, st.booleans())
def test_whatever_happens_the_pockets_agree_with_the_purchase(
    money: int, bonus: int, told: list[tuple[str, int]], sane: bool
) -> None:
    purse = Purse(money, bonus)
    for verb, amount in told:
        if (number := bounded(purse, verb, amount, sane=sane)) is not None:
            purse.do(f"{verb} {number}")
        hold = purse.hold
        assert purse.bonus_out == hold.posted_bonus_minor - hold.refunded_bonus_minor >= 0
        if sane:
            assert purse.money_out >= 0, "never more came back than was paid"


@settings(max_examples=200)
@given(st.integers(0, 2_000), st.integers(0, 1_000), steps, st.lists(amounts, max_size=4))
def test_all_that_was_paid_comes_back_to_where_it_came_from(
    money: int, bonus: int, told: list[tuple[str, int]], parts: list[int]
) -> None:
    """Whatever happened before, and in however many parts it comes back."""
    purse = Purse(money, bonus)
    purse.do("post 1")
    for verb, amount in told:
        if (number := bounded(purse, verb, amount, sane=True)) is not None:
            purse.do(f"{verb} {number}")
    if purse.hold.held_minor:
        purse.do("lower to 0")
    for part in [*parts, 10**9]:
        if number := min(part, purse.hold.posted_minor - purse.hold.refunded_minor):
            purse.do(f"refund {number}")
    assert (purse.money_out, purse.bonus_out) == (0, 0)


@given(st.integers(0, 500), st.integers(1, 1_500))
def test_the_money_is_whole_before_the_bonus_gets_anything(bonus: int, back: int) -> None:
    purse = Purse(10_000, bonus)
    purse.do("post 1500")
    purse.do(f"refund {back}")
    assert purse.pockets == (10_000 - max(0, 1_500 - bonus - back), max(0, back - (1_500 - bonus)))


def test_an_account_without_bonus_has_one_pocket() -> None:
    """The second pocket costs those nothing that have none: one movement where there was one."""
    account: Account = an_account(10_000)
    hold = Hold(3, 2, 7, HoldState.OPEN, 500, 500, 0, False, "", NOON)
    account = msgspec.structs.replace(account, held_minor=500)
    changes: list[Callable[[], Change]] = [
        lambda: post(account, hold, 500),
        lambda: set_held(account, hold, 200, HoldState.REVERSED),
        lambda: bring_back(msgspec.structs.replace(hold, posted_minor=500), 100, EntryKind.REFUND),
    ]
    for change in changes:
        (movement,) = change().movements
        assert not {movement.debit, movement.credit} & _BONUS
