"""Undoing a message, in part or in full (0400 and 0420).

A reversal can't be declined. It changes what is still there to undo and nothing else: a second reversal, a reversal
of a decline or of more than there is changes nothing. One that comes before its original leaves a tombstone, and the
original is declined when it arrives. One that comes after the deadline finds nothing set aside, and is remembered by
the purchase: what is presented all the same is charged, and a person told. What can't be told for sure is left to a
person.
"""

from __future__ import annotations

import msgspec

from switch.contracts.message import Answer, Kind, Request
from switch.contracts.reason import Reason
from switch.issuer.account import Account
from switch.issuer.case import Case, Decision, Seen, Step
from switch.issuer.change import Change, set_held, set_posted
from switch.issuer.hold import Hold, HoldState
from switch.issuer.matching import find_original, names_original
from switch.issuer.stored import MessageState, StoredMessage
from switch.issuer.usage import Usage

__all__ = ["decide_reversal", "is_part", "take_back"]

_ACCEPTED = Answer(reason=Reason.REVERSAL_ACCEPTED)


def decide_reversal(case: Case) -> Decision:
    """Finds the original and takes it back down to the replacement amount (DE95), or to nothing."""
    request, view = case.request, case.view
    found = find_original(request, view.candidates, case.now)
    original = found.original
    seen: Seen = {
        "level": found.level,
        "amount": request.amount_minor,
        "replacement": request.replacement_amount_minor,
        "original_stan": None if original is None else original.stan,
    }
    if view.account is None:
        return _unchanged("card_known", "unknown_card", seen, concern="unknown_card")
    if found.ambiguous:
        return _unchanged("original", "ambiguous", seen, concern="ambiguous_original")
    if found.contradicts:
        return Decision(
            answer=_ACCEPTED,
            trace=(Step("original", "references_contradict", seen),),
            remember_as=MessageState.TOMBSTONE,
            concern="references_contradict",
        )
    if original is None:
        # A tombstone must be able to meet its original; without any reference it could only ever guess.
        if names_original(request):
            return Decision(
                answer=_ACCEPTED,
                trace=(Step("original", "not_here_yet", seen),),
                remember_as=MessageState.TOMBSTONE,
            )
        return _unchanged("original", "not_found", seen, concern="reversal_without_reference")
    if original.state is MessageState.PARKED:
        # It waits for a top-up. Whatever the reversal leaves of it, it is not approved any more.
        return Decision(answer=_ACCEPTED, trace=(Step("original", "parked", seen),), undone=original)
    hold = None if original.hold_id is None else view.holds.get(original.hold_id)
    if hold is None:
        return _unchanged("original", "moved_nothing", seen)
    if original.state is MessageState.REVERSED:
        return _unchanged("original", "taken_back_before", seen)
    seen |= {"hold": hold.hold_id, "hold_state": hold.state, "held": hold.held_minor, "posted": hold.posted_minor}
    # An increment that was withdrawn is off the hold already: what is left belongs to the purchase that it raised.
    withdrawn_increment = original.incremental and original.state is MessageState.WITHDRAWN
    if withdrawn_increment or hold.state not in (HoldState.OPEN, HoldState.POSTED, HoldState.EXPIRED):
        return _unchanged("hold", "nothing_left", seen)
    # A clearing record, or a financial advice, posts on an authorization; a single message posts by itself.
    authorization = original.kind in (Kind.AUTHORIZATION, Kind.AUTHORIZATION_ADVICE) or _completed(original, request)
    if hold.state is HoldState.POSTED and (authorization or hold.presented_minor >= hold.posted_minor):
        # It has been cleared: the money has moved, so a refund would have to bring it back.
        return _unchanged("hold", "already_posted", seen, concern="reversal_after_posting")

    return _reversed(case, original, hold, seen)


def _completed(advice: StoredMessage, request: Request) -> bool:
    """Whether the reversal names an authorization that the financial advice named, and has completed."""
    named = request.original
    return (
        advice.kind is Kind.FINANCIAL_ADVICE
        and named is not None
        and named.mti[1:2] == "1"
        and named.stan == advice.original_stan != advice.stan
    )


def _reversed(case: Case, original: StoredMessage, hold: Hold, seen: Seen) -> Decision:
    """Takes back what the message asks for, of a purchase on which something stands or has expired."""
    account = case.view.account
    assert account is not None, "the purchase has one"
    final, refused = _final_amount(case, original, hold)
    if refused:
        return _unchanged("amount", refused, seen, concern=refused)
    part = is_part(original, hold) and _means_all_of(original, case)
    if hold.state is HoldState.EXPIRED:
        # The deadline has brought the money back. What is presented later must not look as if nobody had reversed it.
        remembered = {"authorized_minor": final} if final else {"state": HoldState.REVERSED}
        return Decision(
            answer=_ACCEPTED,
            trace=(Step("hold", "reversed_after_expiry", {**seen, "final": final}),),
            hold=msgspec.structs.replace(hold, **remembered),
            undone=original if part else None,
        )
    change, usage = take_back(case, hold, final, HoldState.EXPIRED if part else HoldState.REVERSED)
    return Decision(
        answer=_ACCEPTED,
        trace=(Step("amount", "taken_back", {**seen, "final": final}),),
        movements=change.movements,
        hold=change.hold,
        usage=usage,
        # A refund that was spent before it was reversed leaves a debt.
        concern="below_floor" if hold.credit and _left(account, hold, final) < account.floor_minor else "",
        undone=original if part else None,
    )


def _left(account: Account, refund: Hold, final_minor: int) -> int:
    """What is available after a refund was taken back down to ``final_minor``."""
    return account.available_minor - (refund.posted_minor - final_minor)


def is_part(original: StoredMessage, hold: Hold) -> bool:
    """Whether the message made only a part of the purchase: an increment, or one of several postings.

    Where only an increment is set aside any more, since what came before it has expired, it is a part all the same.
    """
    posted = hold.state is HoldState.POSTED
    whole = hold.posted_minor if posted else max(hold.held_minor, hold.authorized_minor - hold.posted_minor)
    return (original.incremental or posted) and whole > original.moved_minor


def _means_all_of(original: StoredMessage, case: Case) -> bool:
    """Whether the reversal takes back all that the message did."""
    request = case.request
    return not request.replacement_amount_minor and request.amount_minor in (0, original.amount_minor)


def _standing(hold: Hold) -> int:
    """What a reversal may lower: what is posted, set aside or, after the deadline, was approved."""
    if hold.state is HoldState.EXPIRED:
        return hold.authorized_minor
    return hold.posted_minor if hold.state is HoldState.POSTED else hold.held_minor


def take_back(case: Case, hold: Hold, final_minor: int, end: HoldState) -> tuple[Change, Usage | None]:
    """Lowers a purchase to ``final_minor``, and gives the difference back to the limits that still run."""
    posted = hold.state is HoldState.POSTED
    current = hold.posted_minor if posted else hold.held_minor
    account, card = case.view.account, case.view.card
    assert account is not None, "the purchase has one"
    change = set_posted(hold, final_minor, end) if posted else set_held(account, hold, final_minor, end)
    if card is None or hold.credit:
        return change, None
    program = case.view.program
    spent_on = (hold.opened_at if program is None else hold.opened_at.astimezone(program.zone)).date()
    usage = case.view.usage or Usage(card.card_id, case.today)
    over = change.hold.state not in (HoldState.OPEN, HoldState.POSTED)
    return change, usage.given_back(current - final_minor, 1 if over else 0, spent_on, case.today)


def _final_amount(case: Case, original: StoredMessage, hold: Hold) -> tuple[int, str]:
    """What should be left of the purchase, and why not, when that can't be told or there is nothing to take back.

    DE95 is the final amount. Without it the reversal is full, and DE4 repeats what was asked, approved or is still
    held.
    """
    request, account = case.request, case.view.account
    current = _standing(hold)
    if request.replacement_amount_minor:
        if account is not None and request.currency not in ("", account.currency):
            # DE95 is in the currency of DE49: what it leaves in the account's currency, only a person can say.
            return current, "currency_not_served"
        final = request.replacement_amount_minor
        return (final, "") if final < current else (current, "over_reversal")
    asked = request.amount_minor
    if is_part(original, hold) and _means_all_of(original, case):
        return max(0, current - original.moved_minor), ""
    if asked in (0, original.amount_minor, original.moved_minor, current):
        return 0, ""
    return (current, "over_reversal") if asked > current else (current, "partial_reversal_without_replacement")


def _unchanged(rule: str, verdict: str, seen: Seen, *, concern: str = "") -> Decision:
    return Decision(answer=_ACCEPTED, trace=(Step(rule, verdict, seen),), concern=concern)
