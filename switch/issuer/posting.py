"""A posting or refund that belongs to no purchase we know: it becomes one of its own."""

from __future__ import annotations

import msgspec

from switch.issuer.account import EntryKind, Movement, Side
from switch.issuer.case import Case, Decision, Step
from switch.issuer.change import Change, post
from switch.issuer.hold import HoldState
from switch.issuer.opening import new_purchase
from switch.issuer.outcome import booked

__all__ = ["post_alone"]


def post_alone(
    case: Case,
    step: Step,
    value: int,
    kind: EntryKind,
    *,
    concern: str = "",
    presented: bool = False,
    counts_in_limits: bool = True,
) -> Decision:
    """Posts ``value`` (minor units of the account) as a purchase of its own, or credits it where ``kind`` brings money
    back.

    ``presented`` says that a clearing record told of it; ``counts_in_limits`` False that it is no spending.
    """
    assert case.view.account is not None, "the caller has looked"
    credit = kind in (EntryKind.REFUND, EntryKind.CHARGEBACK)
    begun = new_purchase(case, approval_code=case.request.approval_code, credit=credit)
    begun = msgspec.structs.replace(begun, authorized_minor=value, presented_minor=value if presented else 0)
    if credit:
        movement = Movement(kind, Side.NETWORK, Side.AVAILABLE, value, begun.hold_id)
        change = Change((movement,), msgspec.structs.replace(begun, posted_minor=value, state=HoldState.POSTED))
    else:
        change = post(case.view.account, begun, value, kind=kind)
    count = 0 if credit or not counts_in_limits else 1
    return booked(
        case, step, change, count=count, moved_minor=value, concern=concern, counts_in_limits=counts_in_limits
    )
