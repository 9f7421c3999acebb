"""Booking what can't be refused: an advice, a presentment. The limits follow, and a person hears what is unusual."""

from __future__ import annotations

from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.issuer.card import CardStatus
from switch.issuer.case import Case, Decision, Step
from switch.issuer.change import Change
from switch.issuer.hold import HoldState
from switch.issuer.usage import Usage

__all__ = ["ACCEPTED", "booked"]

ACCEPTED = Answer(reason=Reason.ADVICE_ACCEPTED)


def booked(
    case: Case,
    step: Step,
    change: Change,
    *,
    count: int = 0,
    moved_minor: int | None = None,
    concern: str = "",
    counts_in_limits: bool = True,
) -> Decision:
    """The decision that books ``change``.

    What it takes from the available balance counts in the limits (with ``count`` purchases), what it brings back is
    given back to them; not so for credits, which are no spending. Without a ``concern`` of the caller's, a balance
    below the floor or a card that is not active is one.
    """
    account, card = case.view.account, case.view.card
    assert account is not None and card is not None
    delta = change.available_delta
    spent = -delta if counts_in_limits and not change.hold.credit else 0
    before = case.view.usage or Usage(card.card_id, case.today)
    usage: Usage | None = None
    if spent < 0:
        opened, program = change.hold.opened_at, case.view.program
        spent_on = (opened if program is None else opened.astimezone(program.zone)).date()
        ended = change.hold.state not in (HoldState.OPEN, HoldState.POSTED)
        usage = before.given_back(-spent, 1 if ended else 0, spent_on, case.today)
    elif spent or count:
        usage = before.spent(spent, count, case.today)
    available = account.available_minor + delta
    if not concern and available < account.floor_minor and delta < 0:
        concern = "below_floor"
    elif not concern and spent > 0 and card.standing is not CardStatus.ACTIVE:
        concern = "card_not_active"
    return Decision(
        answer=ACCEPTED,
        trace=(step,),
        movements=change.movements,
        hold=change.hold,
        usage=usage,
        moved_minor=max(0, spent) if moved_minor is None else moved_minor,
        concern=concern,
    )
