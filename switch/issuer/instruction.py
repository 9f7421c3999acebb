"""Settling a clearing record in doubt as a person says: on the purchase that they name, by itself, or not at all."""

from __future__ import annotations

import msgspec

from switch.contracts.clearing import ClearingKind, InstructionKind
from switch.contracts.message import Operation
from switch.issuer.account import EntryKind
from switch.issuer.case import Case, Decision, Seen, Step
from switch.issuer.change import bring_back
from switch.issuer.charge import charge
from switch.issuer.clearing_item import ItemState
from switch.issuer.clearing_outcome import clearing_of, item_of, step_of
from switch.issuer.hold import Hold
from switch.issuer.outcome import ACCEPTED, booked
from switch.issuer.posting import post_alone
from switch.issuer.purchase_match import PurchaseMatch
from switch.issuer.refund import refund_alone, refund_on_purchase
from switch.issuer.rules import spending_amount
from switch.issuer.stored import MessageState
from switch.issuer.taking_back import TAKES_BACK, taken_back

__all__ = ["instructed"]


def instructed(case: Case) -> Decision:
    """Carries the instruction out. What can't be carried out changes nothing, and the trace says why."""
    stored, instruction = case.view.stored, clearing_of(case).instruction
    assert instruction is not None, "the caller has looked"
    seen: Seen = {"by": instruction.by, "agreed_by": instruction.agreed_by, "hold": instruction.hold_id}
    if stored is None or stored.state is not MessageState.IN_DOUBT:
        return _refused("not_in_doubt", seen)
    if instruction.kind is InstructionKind.REJECT:
        rejected = Decision(answer=ACCEPTED, trace=(Step("instruction", ItemState.REJECTED, seen),))
        return _resolved(case, rejected, ItemState.REJECTED)
    value = spending_amount(case)
    if case.view.account is None:
        return _refused("unknown_card", seen)
    if value is None or value <= 0:
        return _refused("currency_not_served", seen)
    if instruction.kind is InstructionKind.FORCE:
        decision, state = _by_itself(case, value), ItemState.FORCED
    else:
        hold = None if instruction.hold_id is None else case.view.holds.get(instruction.hold_id)
        if hold is None:
            return _refused("no_such_purchase", seen)
        bound = _on_purchase(case, value, hold)
        if isinstance(bound, str):
            return _refused(bound, seen)
        decision, state = bound, ItemState.MATCHED
    trace = (Step("instruction", instruction.kind, seen), *decision.trace)
    return _resolved(case, msgspec.structs.replace(decision, concern="", trace=trace), state)


def _refused(why: str, seen: Seen) -> Decision:
    return Decision(answer=ACCEPTED, trace=(Step("instruction", why, seen),), remember_as=None)


def _by_itself(case: Case, value: int) -> Decision:
    """A purchase, or a credit, of its own."""
    kind, of_refund = clearing_of(case).kind, case.request.operation is Operation.REFUND
    if kind not in TAKES_BACK:
        book = refund_alone if of_refund else charge
        return book(case, value, PurchaseMatch())
    if kind is ClearingKind.CHARGEBACK_REVERSAL:
        entry, counts = EntryKind.CHARGEBACK_REVERSAL, False
    elif of_refund:
        entry, counts = EntryKind.POSTING, False  # the refund is taken back
    else:
        entry = EntryKind.CHARGEBACK if kind is ClearingKind.CHARGEBACK else EntryKind.REFUND
        counts = False
    step = step_of(case, ItemState.FORCED, "instruction", {"amount": value})
    return post_alone(case, step, value, entry, presented=True, counts_in_limits=counts)


def _on_purchase(case: Case, value: int, hold: Hold) -> Decision | str:
    """On the purchase that the person named, or why that can't be."""
    kind, of_refund = clearing_of(case).kind, case.request.operation is Operation.REFUND
    step = step_of(case, ItemState.MATCHED, "instruction", {"amount": value, "hold": hold.hold_id})
    if kind in (ClearingKind.PRESENTMENT_REVERSAL, ClearingKind.CHARGEBACK_REVERSAL):
        change = taken_back(case, value, hold)
        if change is None:
            return "more_than_posted"
        counts = kind is ClearingKind.PRESENTMENT_REVERSAL and not of_refund
        return booked(case, step, change, moved_minor=value, counts_in_limits=counts)
    if hold.credit:
        return "no_such_purchase"
    match = PurchaseMatch(hold=hold, level="instruction", confidence=100)
    if kind is ClearingKind.CHARGEBACK or of_refund:
        if not hold.posted_minor:
            return "nothing_posted"
        if kind is not ClearingKind.CHARGEBACK:
            return refund_on_purchase(case, value, hold, match)
        change = bring_back(hold, value, EntryKind.CHARGEBACK)
        return booked(case, step, change, moved_minor=value, counts_in_limits=False)
    return charge(case, value, match)


def _resolved(case: Case, decision: Decision, state: ItemState) -> Decision:
    """The stored record leaves its doubt."""
    stored = case.view.stored
    assert stored is not None, "it is in doubt"
    rejected = state is ItemState.REJECTED
    hold_id = None if decision.hold is None else decision.hold.hold_id
    message = msgspec.structs.replace(
        stored,
        state=MessageState.REJECTED if rejected else MessageState.ANSWERED,
        hold_id=hold_id,
        moved_minor=decision.moved_minor,
    )
    item = item_of(case, state, "instruction", 0 if rejected else 100, hold_id)
    return msgspec.structs.replace(decision, remember_as=None, resolved=message, item=None, item_changed=item)
