"""Records about earlier records: what takes one back, a chargeback, and a chargeback's reversal.

They name the earlier record by its acquirer reference. A record that was taken back is over, whatever the amount was:
nothing takes it back again.
"""

from __future__ import annotations

import msgspec

from switch.contracts.clearing import ClearingKind
from switch.contracts.message import Operation
from switch.issuer.account import EntryKind
from switch.issuer.case import Case, Decision, Seen
from switch.issuer.change import Change, bring_back, charge_again, set_posted
from switch.issuer.clearing_item import ClearingItem, ItemState
from switch.issuer.clearing_outcome import clearing_of, in_doubt, kept, noted, step_of
from switch.issuer.earlier_record import came_before, same_reference
from switch.issuer.hold import Hold, HoldState
from switch.issuer.outcome import booked

__all__ = ["TAKES_BACK", "about_a_record", "taken_back"]

#: What each of these kinds may name.
TAKES_BACK = {
    ClearingKind.PRESENTMENT_REVERSAL: (ClearingKind.PRESENTMENT, ClearingKind.ADDITIONAL_CHARGE),
    ClearingKind.CHARGEBACK: (ClearingKind.PRESENTMENT, ClearingKind.ADDITIONAL_CHARGE),
    ClearingKind.CHARGEBACK_REVERSAL: (ClearingKind.CHARGEBACK,),
}


def about_a_record(case: Case, value: int) -> Decision:
    """Books what the record does to the earlier one that it names; in doubt where that can't be told."""
    clearing = clearing_of(case)
    if clearing.kind is not ClearingKind.PRESENTMENT_REVERSAL and case.request.operation is Operation.REFUND:
        return in_doubt(case, "unsupported_operation")  # nobody charges a refund back
    named = same_reference(case, TAKES_BACK[clearing.kind])
    # Which one is told apart among all of them: where the part that is named is over, no other part is meant.
    named = [item for item in named if item.sequence == clearing.sequence] or named
    named = [item for item in named if item.amount_minor == value] or named
    items = [item for item in named if item.stands]
    if len(items) > 1:
        return in_doubt(case, "ambiguous_record")
    if not items and clearing.kind is ClearingKind.PRESENTMENT_REVERSAL and _any_reversed(named):
        return _over(case)
    hold = None if not items or items[0].hold_id is None else case.view.holds.get(items[0].hold_id)
    if hold is None:
        return in_doubt(case, "no_such_record")
    if clearing.kind is ClearingKind.CHARGEBACK:
        return _charged_back(case, value, hold)
    return _taken_back(case, value, items[0], hold)


def _any_reversed(items: list[ClearingItem]) -> bool:
    return any(item.state is ItemState.REVERSED for item in items)


def _over(case: Case) -> Decision:
    """What was reversed already is not reversed again. The network counts it twice, though, so a person is told."""
    return noted(case, "taken_back_before", concern="taken_back_before")


def _charged_back(case: Case, value: int, hold: Hold) -> Decision:
    """We took the money back from the acquirer: it goes to the pockets that paid."""
    if came_before(case):
        return in_doubt(case, "duplicate_record")
    if hold.credit or not hold.posted_minor:
        return in_doubt(case, "nothing_posted")
    left = max(0, hold.posted_minor - hold.refunded_minor)
    seen: Seen = {"amount": value, "hold": hold.hold_id, "refundable": left}
    decision = booked(
        case,
        step_of(case, ItemState.MATCHED, "acquirer_reference", seen),
        bring_back(hold, value, EntryKind.CHARGEBACK),
        moved_minor=value,
        concern="chargeback_exceeds_purchase" if value > left else "",
        counts_in_limits=False,
    )
    return kept(case, decision, ItemState.MATCHED, "acquirer_reference", 95)


def _taken_back(case: Case, value: int, item: ClearingItem, hold: Hold) -> Decision:
    """The acquirer takes a record of its own back, or presents again what we had charged back.

    What is taken back is what the record booked, in part only where the reversal says so. What is presented again is
    charged whatever the chargeback was.
    """
    again = clearing_of(case).kind is ClearingKind.CHARGEBACK_REVERSAL
    amount = value if again else min(value, item.amount_minor)
    if not again and (hold.credit or case.request.operation is not Operation.REFUND):
        amount = min(amount, hold.posted_minor)
    over = msgspec.structs.replace(item, state=ItemState.REVERSED)
    if not amount:
        # Reversals by message have taken it all.
        return msgspec.structs.replace(_over(case), item_changed=over)
    change = taken_back(case, amount, hold)
    if change is None:
        return in_doubt(case, "more_than_charged_back")
    if item.kind is ClearingKind.ADDITIONAL_CHARGE:
        # It had come on top of what was approved.
        approved = max(0, change.hold.authorized_minor - amount)
        change = Change(change.movements, msgspec.structs.replace(change.hold, authorized_minor=approved))
    concern = ""
    if again and value > item.amount_minor:
        concern = "represented_more_than_charged_back"
    elif not again and not value == item.amount_minor == amount:
        concern = "reversal_of_another_amount"
    elif not hold.credit and change.hold.refunded_minor > change.hold.posted_minor:
        concern = "came_back_twice"  # by a refund or chargeback, and now by the reversal
    decision = booked(
        case,
        step_of(
            case,
            ItemState.MATCHED,
            "acquirer_reference",
            {"amount": value, "hold": hold.hold_id, "booked": item.amount_minor, "taken_back": amount},
        ),
        change,
        moved_minor=amount,
        concern=concern,
        counts_in_limits=_gives_back_to_limits(case),
    )
    decision = kept(case, decision, ItemState.MATCHED, "acquirer_reference", 95)
    return msgspec.structs.replace(decision, item_changed=over)


def _gives_back_to_limits(case: Case) -> bool:
    """Only a purchase counted in the limits, neither a refund nor a chargeback."""
    reversal = clearing_of(case).kind is ClearingKind.PRESENTMENT_REVERSAL
    return reversal and case.request.operation is not Operation.REFUND


def taken_back(case: Case, amount_minor: int, hold: Hold) -> Change | None:
    """What takes ``amount_minor`` back that an earlier record, of the kind that the one in hand takes back, has booked
    on ``hold``; None where so much is not there.
    """
    kind, account = clearing_of(case).kind, case.view.account
    assert account is not None, "checked at the door"
    of_purchase = _gives_back_to_limits(case)
    if not hold.credit and not of_purchase:
        again = kind is ClearingKind.CHARGEBACK_REVERSAL
        return charge_again(
            account,
            hold,
            amount_minor,
            EntryKind.CHARGEBACK_REVERSAL if again else EntryKind.POSTING_REVERSAL,
        )
    if hold.credit is of_purchase or amount_minor > hold.posted_minor:
        return None
    change = set_posted(hold, hold.posted_minor - amount_minor, HoldState.REVERSED)
    presented = max(0, hold.presented_minor - amount_minor)
    return Change(change.movements, msgspec.structs.replace(change.hold, presented_minor=presented))
