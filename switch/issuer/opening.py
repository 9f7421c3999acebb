"""A purchase as it begins."""

from __future__ import annotations

from datetime import datetime

from switch.issuer.case import Case
from switch.issuer.expiry import HoldExpiry
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


def hold_deadline(case: Case, amount_minor: int) -> datetime:
    """When the hold that is placed, or raised, now will expire (UTC), by the program's table."""
    table = _PUBLIC if case.view.program is None else case.view.program.hold_expiry
    return table.deadline(case.request, amount_minor, case.now)
