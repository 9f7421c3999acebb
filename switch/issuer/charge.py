"""Charging what was spent: a presentment or an additional charge, on its purchase or by itself."""

from __future__ import annotations

import msgspec

from switch.contracts.clearing import ClearingKind
from switch.contracts.message import Operation
from switch.issuer.account import EntryKind
from switch.issuer.case import Case, Decision
from switch.issuer.change import Change, post, post_beside
from switch.issuer.clearing_item import ItemState
from switch.issuer.clearing_outcome import clearing_of, kept, step_of
from switch.issuer.hold import Hold, HoldState
from switch.issuer.outcome import booked
from switch.issuer.posting import post_alone
from switch.issuer.purchase_match import PurchaseMatch

__all__ = ["charge"]


def charge(case: Case, value: int, found: PurchaseMatch) -> Decision:
    """Posts ``value`` on the purchase that was found: a presentment from what is held as far as that goes, and the rest
    of it is released when nothing follows; an additional charge beside it, since nothing was set aside for that.
    Without a purchase it is posted by itself, and a person is told.
    """
    hold, account = found.hold, case.view.account
    assert account is not None, "checked at the door"
    additional = clearing_of(case).kind is ClearingKind.ADDITIONAL_CHARGE
    kind = EntryKind.ADDITIONAL_CHARGE if additional else EntryKind.POSTING
    if hold is None:
        step = step_of(case, ItemState.FORCED, "no_authorization", {"amount": value, "level": found.level})
        decision = post_alone(case, step, value, kind, concern="posted_without_authorization", presented=True)
        return kept(case, decision, ItemState.FORCED, "no_authorization", 0)
    final = not additional and _nothing_follows(case, hold)
    # What a single message or a financial advice has posted is not charged again: the record only tells of it.
    told_before = 0 if additional else min(value, max(0, hold.posted_minor - hold.presented_minor))
    rest = value - told_before
    change = post_beside(account, hold, rest, kind) if additional else post(account, hold, rest, final=final)
    change = Change(
        change.movements, msgspec.structs.replace(change.hold, presented_minor=hold.presented_minor + value)
    )
    step = step_of(
        case,
        ItemState.MATCHED,
        found.level,
        {
            "amount": value,
            "level": found.level,
            "confidence": found.confidence,
            "hold": hold.hold_id,
            "hold_state": hold.state,
            "held": hold.held_minor,
            "posted": hold.posted_minor,
            "final": final,
            "told_before": told_before,
        },
    )
    decision = booked(
        case,
        step,
        change,
        # The hold was counted when it was placed, and given back when it ended without a posting.
        count=0 if hold.state in (HoldState.OPEN, HoldState.POSTED) else 1,
        moved_minor=rest,
        concern=_concern(case, hold, value, told_before, final=final, additional=additional),
    )
    return kept(case, decision, ItemState.MATCHED, found.level, found.confidence)


def _nothing_follows(case: Case, hold: Hold) -> bool:
    """Whether this is the last presentment of the purchase. Where their count is told, they may come in any order."""
    clearing = clearing_of(case)
    if not clearing.sequence_count:
        return clearing.final
    come = {
        item.sequence
        for item in case.view.clearing_items
        if item.kind is ClearingKind.PRESENTMENT
        and item.operation is not Operation.REFUND
        and item.hold_id == hold.hold_id
        and item.stands
        and item.sequence_count > 1  # a presentment by itself is number one, too
        and item.sequence <= clearing.sequence_count
    }
    return len(come | {clearing.sequence}) >= clearing.sequence_count


def _concern(case: Case, hold: Hold, value: int, told_before: int, *, final: bool, additional: bool) -> str:
    """What is unusual about it, in one word; empty when nothing is."""
    rest = value - told_before
    if hold.state in (HoldState.REVERSED, HoldState.RELEASED, HoldState.WITHDRAWN):
        # Presentments that follow a full reversal must still be charged, and a person told.
        return f"posted_after_{hold.state}"
    if told_before and rest:
        return "presented_more_than_posted"
    if told_before:
        return "presented_less_than_posted" if final and hold.presented_minor + value < hold.posted_minor else ""
    if additional:
        return ""
    # A presentment after the deadline is nothing unusual: that is what a table of deadlines must expect.
    covered = max(0, hold.authorized_minor - hold.posted_minor)
    program = case.view.program
    usual = 0 if program is None else program.clearing.over_capture_allowed(covered, case.request.mcc)
    return "over_capture" if rest > covered + usual else ""
