"""What may be done to a purchase, as movements and the purchase that they leave.

**Pockets.** A balance may hold bonus value beside the cardholder's money (``switch.issuer.account``). Bonus is spent
first, since it is what runs out; what comes back goes the way it came, the money first, until the money is whole
again and then the bonus. So a purchase remembers how much of it the bonus paid and got back, and a refund weeks later
still finds the right pocket.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from switch.issuer.account import Account, EntryKind, Movement, Side
from switch.issuer.hold import Hold, HoldState

__all__ = ["Change", "bring_back", "charge_again", "post", "post_beside", "set_held", "set_posted"]


class Change(NamedTuple):
    """``movements`` in the order in which they are booked; ``hold`` as it stands after them."""

    movements: tuple[Movement, ...]
    hold: Hold

    @property
    def available_delta(self) -> int:
        """By how much they change what is available."""
        return sum(
            movement.amount_minor * ((movement.credit in _AVAILABLE) - (movement.debit in _AVAILABLE))
            for movement in self.movements
        )


_AVAILABLE = frozenset({Side.AVAILABLE, Side.BONUS_AVAILABLE})
_BONUS_SIDE = {Side.AVAILABLE: Side.BONUS_AVAILABLE, Side.HELD: Side.BONUS_HELD}


def _moved(
    kind: EntryKind, debit: Side, credit: Side, money_minor: int, bonus_minor: int, hold_id: int
) -> tuple[Movement, ...]:
    """One movement for each pocket that has a part; the account's sides are those of the pocket."""
    if not bonus_minor:
        return (Movement(kind, debit, credit, money_minor, hold_id),) if money_minor else ()
    bonus = Movement(kind, _BONUS_SIDE.get(debit, debit), _BONUS_SIDE.get(credit, credit), bonus_minor, hold_id)
    return (bonus, Movement(kind, debit, credit, money_minor, hold_id)) if money_minor else (bonus,)


def _bonus_part(account: Account, amount_minor: int) -> int:
    """How much of a new spending the bonus pays."""
    bonus = account.bonus_available_minor
    return min(amount_minor, bonus) if bonus > 0 else 0


def _bonus_back(hold: Hold, amount_minor: int, bonus_max_minor: int) -> int:
    """How much of what comes back for a posting the bonus gets: what is left once the money is whole again."""
    money_paid = hold.posted_minor - hold.posted_bonus_minor
    money_came_back = hold.refunded_minor - hold.refunded_bonus_minor
    return min(max(0, amount_minor - max(0, money_paid - money_came_back)), bonus_max_minor)


def _ended(hold: Hold, posted_minor: int, otherwise: HoldState) -> HoldState:
    """How a purchase ends on which nothing is held any more."""
    return HoldState.POSTED if posted_minor or hold.refunded_minor else otherwise


def set_held(
    account: Account, hold: Hold, held_minor: int, when_empty: HoldState, kind: EntryKind = EntryKind.RELEASE
) -> Change:
    """Raises or lowers what is set aside to ``held_minor``; at zero the purchase ends in the state ``when_empty``, or
    as posted where something was posted on it before. ``kind`` is what a lowering is booked as.

    What was approved follows, but for what an expiry releases, and for a purchase that is over.
    """
    difference = held_minor - hold.held_minor
    movements: tuple[Movement, ...] = ()
    bonus = 0
    if difference > 0:
        rise = EntryKind.HOLD_INCREASE if hold.state is HoldState.OPEN else EntryKind.HOLD
        bonus = _bonus_part(account, difference)
        movements = _moved(rise, Side.AVAILABLE, Side.HELD, difference - bonus, bonus, hold.hold_id)
    elif difference < 0:
        bonus = -max(0, -difference - (hold.held_minor - hold.held_bonus_minor))
        movements = _moved(kind, Side.HELD, Side.AVAILABLE, -difference + bonus, -bonus, hold.hold_id)
    ended = _ended(hold, hold.posted_minor, when_empty) if hold.state is HoldState.OPEN else when_empty
    authorized = hold.authorized_minor
    if hold.state is HoldState.WITHDRAWN:
        authorized = held_minor
    elif kind is not EntryKind.EXPIRY and (held_minor or when_empty is HoldState.EXPIRED):
        authorized += difference
    return Change(
        movements,
        msgspec.structs.replace(
            hold,
            held_minor=held_minor,
            held_bonus_minor=hold.held_bonus_minor + bonus,
            authorized_minor=authorized,
            state=HoldState.OPEN if held_minor else ended,
        ),
    )


def set_posted(hold: Hold, posted_minor: int, when_empty: HoldState) -> Change:
    """Takes back a posting down to ``posted_minor``; at zero the purchase ends in the state ``when_empty``.

    What is still held on it stays, and keeps it open.
    """
    amount = hold.posted_minor - posted_minor
    debit, credit = (Side.AVAILABLE, Side.NETWORK) if hold.credit else (Side.NETWORK, Side.AVAILABLE)
    bonus = _bonus_back(hold, amount, max(0, hold.posted_bonus_minor - hold.refunded_bonus_minor))
    # Of the part that the bonus paid, a refund may have brought back more than is posted any longer: that is settled.
    settled_bonus = max(0, hold.posted_bonus_minor - bonus - posted_minor)
    return Change(
        _moved(EntryKind.POSTING_REVERSAL, debit, credit, amount - bonus, bonus, hold.hold_id),
        msgspec.structs.replace(
            hold,
            posted_minor=posted_minor,
            posted_bonus_minor=hold.posted_bonus_minor - bonus - settled_bonus,
            refunded_bonus_minor=hold.refunded_bonus_minor - settled_bonus,
            state=HoldState.OPEN if hold.held_minor else _ended(hold, posted_minor, when_empty),
        ),
    )


def post(
    account: Account,
    hold: Hold,
    amount_minor: int,
    *,
    final: bool = True,
    kind: EntryKind = EntryKind.POSTING,
) -> Change:
    """Posts ``amount_minor``, from what is held as far as that goes, and releases what is held beyond it if it is
    final.

    The amount may be more than was held: it has been spent, so it is taken from the available balance.
    """
    held_bonus = min(amount_minor, hold.held_bonus_minor)
    held_money = min(amount_minor - held_bonus, hold.held_minor - hold.held_bonus_minor)
    beyond = amount_minor - held_bonus - held_money
    beyond_bonus = _bonus_part(account, beyond)
    left_bonus = hold.held_bonus_minor - held_bonus
    left = hold.held_minor - held_bonus - held_money
    movements = [
        *_moved(kind, Side.HELD, Side.NETWORK, held_money, held_bonus, hold.hold_id),
        *_moved(kind, Side.AVAILABLE, Side.NETWORK, beyond - beyond_bonus, beyond_bonus, hold.hold_id),
    ]
    if final:
        movements += _moved(EntryKind.RELEASE, Side.HELD, Side.AVAILABLE, left - left_bonus, left_bonus, hold.hold_id)
        left = left_bonus = 0
    return Change(
        tuple(movements),
        msgspec.structs.replace(
            hold,
            held_minor=left,
            held_bonus_minor=left_bonus,
            posted_minor=hold.posted_minor + amount_minor,
            posted_bonus_minor=hold.posted_bonus_minor + held_bonus + beyond_bonus,
            state=HoldState.OPEN if left else HoldState.POSTED,
        ),
    )


def post_beside(account: Account, hold: Hold, amount_minor: int, kind: EntryKind) -> Change:
    """Posts ``amount_minor`` on the purchase from the available balance. What is held stays as it is.

    Of a purchase that was reversed, declined or withdrawn nothing is approved but this.
    """
    bonus = _bonus_part(account, amount_minor)
    over = hold.state in (HoldState.REVERSED, HoldState.RELEASED, HoldState.WITHDRAWN)
    return Change(
        _moved(kind, Side.AVAILABLE, Side.NETWORK, amount_minor - bonus, bonus, hold.hold_id),
        msgspec.structs.replace(
            hold,
            authorized_minor=(0 if over else hold.authorized_minor) + amount_minor,
            posted_minor=hold.posted_minor + amount_minor,
            posted_bonus_minor=hold.posted_bonus_minor + bonus,
            state=HoldState.OPEN if hold.held_minor else HoldState.POSTED,
        ),
    )


def bring_back(hold: Hold, amount_minor: int, kind: EntryKind) -> Change:
    """Credits ``amount_minor`` for a purchase that was posted (a refund, a chargeback), to the pockets that paid.

    What the purchase posted stays as it is; ``refunded_minor`` says what has come back. Beyond what it posted, all goes
    to the money.
    """
    bonus = _bonus_back(hold, amount_minor, max(0, hold.posted_bonus_minor - hold.refunded_bonus_minor))
    return Change(
        _moved(kind, Side.NETWORK, Side.AVAILABLE, amount_minor - bonus, bonus, hold.hold_id),
        msgspec.structs.replace(
            hold,
            refunded_minor=hold.refunded_minor + amount_minor,
            refunded_bonus_minor=hold.refunded_bonus_minor + bonus,
        ),
    )


def charge_again(account: Account, hold: Hold, amount_minor: int, kind: EntryKind) -> Change:
    """Takes back what :func:`bring_back` credited, from the pockets that it went to, what came last first.

    Where the bonus has been spent meanwhile, the money pays for it, and the purchase is one that the money paid. What
    is beyond all that came back is posted on it, and clearing has told of that.
    """
    returned = min(amount_minor, hold.refunded_minor)
    more_than_paid = max(0, hold.refunded_minor - hold.posted_minor)
    stays = hold.refunded_minor - returned
    bonus_due = min(hold.refunded_bonus_minor, max(0, returned - more_than_paid, hold.refunded_bonus_minor - stays))
    bonus_there = max(0, account.bonus_available_minor)
    bonus = min(bonus_due, bonus_there)
    beyond = amount_minor - returned
    beyond_bonus = min(beyond, bonus_there - bonus)
    bonus_moved = bonus + beyond_bonus
    return Change(
        _moved(kind, Side.AVAILABLE, Side.NETWORK, amount_minor - bonus_moved, bonus_moved, hold.hold_id),
        msgspec.structs.replace(
            hold,
            posted_minor=hold.posted_minor + beyond,
            posted_bonus_minor=max(0, hold.posted_bonus_minor - (bonus_due - bonus)) + beyond_bonus,
            presented_minor=hold.presented_minor + beyond,
            refunded_minor=stays,
            refunded_bonus_minor=hold.refunded_bonus_minor - bonus_due,
            state=HoldState.OPEN if hold.held_minor else HoldState.POSTED,
        ),
    )
