"""A purchase as it begins."""

from __future__ import annotations

from datetime import datetime

from switch.issuer.case import Case
from switch.issuer.expiry import LONGEST, HoldExpiry
from switch.issuer.hold import Hold, HoldState

__all__ = ["hold_deadline", "new_purchase"]

_PUBLIC = HoldExpiry()


def new_purchase(case: Case, *, approval_code: str = "", credit: bool = False) -> Hold:
    """A purchase of which nothing is held or posted yet. Its id is the seq of the entry that comes next.

    It stands in the state that a stand-in approval may open, so that whatever comes first is allowed.
    """
    account, card = case.view.account, case.view.card
    assert account is not None and card is not None, "a purchase begins on an account"
    return Hold(
        account_id=account.account_id,
        hold_id=account.seq + 1,
        card_id=card.card_id,
        state=HoldState.WITHDRAWN,
        authorized_minor=0,
        held_minor=0,
        posted_minor=0,
        credit=credit,
        mcc=case.request.mcc,
        opened_at=case.now,
        begun_by=case.key,
        approval_code=approval_code,
    )


def hold_deadline(case: Case, hold: Hold, amount_minor: int) -> datetime:
    """When ``hold`` will expire (UTC) if it is placed at, or raised to, ``amount_minor`` now, by the program's table.

    A deadline that was promised stays: nothing that comes later makes it earlier. And however often a purchase is
    raised, what it began with is not locked up for longer than the longest deadline.
    """
    table = _PUBLIC if case.view.program is None else case.view.program.hold_expiry
    later = min(table.deadline(case.request, amount_minor, case.now), hold.opened_at + LONGEST)
    return later if hold.expires_at is None else max(later, hold.expires_at)
