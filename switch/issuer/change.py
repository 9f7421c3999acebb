"""What may be done to a purchase, as movements and the purchase that they leave."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from switch.issuer.account import EntryKind, Movement, Side
from switch.issuer.hold import Hold, HoldState

__all__ = ["Change", "post", "set_held", "set_posted"]


class Change(NamedTuple):
    """``movements`` in the order in which they are booked; ``hold`` as it stands after them."""

    movements: tuple[Movement, ...]
    hold: Hold


def set_held(hold: Hold, held_minor: int, when_empty: HoldState) -> Change:
    """Raises or lowers what is set aside to ``held_minor``; at zero the purchase ends in the state ``when_empty``."""
    difference = held_minor - hold.held_minor
    movements: tuple[Movement, ...] = ()
    if difference > 0:
        kind = EntryKind.HOLD_INCREASE if hold.state is HoldState.OPEN else EntryKind.HOLD
        movements = (Movement(kind, Side.AVAILABLE, Side.HELD, difference, hold.hold_id),)
    elif difference < 0:
        movements = (Movement(EntryKind.RELEASE, Side.HELD, Side.AVAILABLE, -difference, hold.hold_id),)
    return Change(
        movements,
        msgspec.structs.replace(
            hold,
            held_minor=held_minor,
            authorized_minor=hold.authorized_minor + max(0, difference),
            state=HoldState.OPEN if held_minor else when_empty,
        ),
    )


def set_posted(hold: Hold, posted_minor: int, when_empty: HoldState) -> Change:
    """Takes back a posting down to ``posted_minor``; at zero the purchase ends in the state ``when_empty``."""
    amount = hold.posted_minor - posted_minor
    debit, credit = (Side.AVAILABLE, Side.NETWORK) if hold.credit else (Side.NETWORK, Side.AVAILABLE)
    return Change(
        (Movement(EntryKind.POSTING_REVERSAL, debit, credit, amount, hold.hold_id),) if amount else (),
        msgspec.structs.replace(
            hold, posted_minor=posted_minor, state=HoldState.POSTED if posted_minor else when_empty
        ),
    )


def post(hold: Hold, amount_minor: int) -> Change:
    """Posts ``amount_minor``, from what is held as far as that goes, and releases what is held beyond it.

    The amount may be more than was held: it has been spent, so it is taken from the available balance.
    """
    from_held = min(amount_minor, hold.held_minor)
    beyond = amount_minor - from_held
    left = hold.held_minor - from_held
    movements: list[Movement] = []
    if from_held:
        movements.append(Movement(EntryKind.POSTING, Side.HELD, Side.NETWORK, from_held, hold.hold_id))
    if beyond:
        movements.append(Movement(EntryKind.POSTING, Side.AVAILABLE, Side.NETWORK, beyond, hold.hold_id))
    if left:
        movements.append(Movement(EntryKind.RELEASE, Side.HELD, Side.AVAILABLE, left, hold.hold_id))
    return Change(
        tuple(movements),
        msgspec.structs.replace(
            hold, held_minor=0, posted_minor=hold.posted_minor + amount_minor, state=HoldState.POSTED
        ),
    )
