"""Booking a clearing record: a presentment, a refund, an additional charge, a chargeback, and what takes one back.

What a network clears has happened and can't be declined: it is booked whatever the card's status, the balance or the
state of the purchase, and it is matched to that purchase where that can be told. Money that follows a full reversal
or an expiry is charged all the same. Only what can't be told stays in doubt until a person says (``switch clearing
exceptions``).
"""

from __future__ import annotations

import msgspec

from switch.contracts.clearing import Clearing, ClearingKind, InstructionKind
from switch.contracts.message import Kind, Operation
from switch.issuer.account import EntryKind
from switch.issuer.case import Case, Decision, Seen, Step
from switch.issuer.change import Change, bring_back, charge_again, post, set_posted
from switch.issuer.clearing_item import ClearingItem, ItemState
from switch.issuer.hold import Hold, HoldState
from switch.issuer.outcome import ACCEPTED, booked
from switch.issuer.posting import post_alone
from switch.issuer.purchase_match import PurchaseMatch, find_purchase
from switch.issuer.rules import SPENDING, spending_amount
from switch.issuer.stored import MessageState, StoredMessage

__all__ = ["decide_presentment"]

#: What a record takes back: the kinds of records that may stand under its acquirer reference.
_TAKES_BACK = {
    ClearingKind.PRESENTMENT_REVERSAL: (ClearingKind.PRESENTMENT, ClearingKind.ADDITIONAL_CHARGE),
    ClearingKind.CHARGEBACK: (ClearingKind.PRESENTMENT, ClearingKind.ADDITIONAL_CHARGE),
    ClearingKind.CHARGEBACK_REVERSAL: (ClearingKind.CHARGEBACK,),
}


def decide_presentment(case: Case) -> Decision:
    """Books one clearing record, or puts it in doubt.

    A record in doubt that comes again with a person's instruction is settled as that says.
    """
    clearing = _clearing(case)
    if clearing.instruction is not None:
        return _instructed(case)
    if case.view.account is None or case.view.card is None:
        return _in_doubt(case, "unknown_card")
    if clearing.kind is ClearingKind.FEE:
        return _noted(case, "fee")
    value = spending_amount(case)
    if value is None:
        # It has happened, but in a currency that the account does not keep: only a person can say at what rate.
        return _in_doubt(case, "currency_not_served")
    if value <= 0:
        return _noted(case, "no_amount")
    if clearing.kind in _TAKES_BACK:
        return _about_a_record(case, value)
    if _came_before(case):
        return _in_doubt(case, "duplicate_record")
    found = find_purchase(case, value)
    if found.several:
        return _in_doubt(
            case, "ambiguous_purchase", {"level": found.level, "holds": ", ".join(map(str, found.several))}
        )
    if clearing.kind is ClearingKind.PRESENTMENT and case.request.operation is Operation.REFUND:
        return _refund(case, value, found)
    if case.request.operation not in SPENDING:
        return _in_doubt(case, "unsupported_operation")
    return _charge(case, value, found)


def _clearing(case: Case) -> Clearing:
    clearing = case.request.clearing
    assert clearing is not None, "presentments carry their clearing part"
    return clearing


# ── purchases ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _charge(case: Case, value: int, found: PurchaseMatch) -> Decision:
    """A presentment or an additional charge, on its purchase or by itself."""
    clearing, hold = _clearing(case), found.hold
    additional = clearing.kind is ClearingKind.ADDITIONAL_CHARGE
    kind = EntryKind.ADDITIONAL_CHARGE if additional else EntryKind.POSTING
    if hold is None:
        step = _step(case, ItemState.FORCED, "no_authorization", {"amount": value, "level": found.level})
        decision = post_alone(case, step, value, kind, concern="posted_without_authorization", presented=True)
        return _kept(case, decision, ItemState.FORCED, "no_authorization", 0)
    seen: Seen = {
        "amount": value,
        "level": found.level,
        "confidence": found.confidence,
        "hold": hold.hold_id,
        "hold_state": hold.state,
        "held": hold.held_minor,
        "posted": hold.posted_minor,
        "final": _is_final(clearing),
    }
    account = case.view.account
    assert account is not None, "checked at the door"
    # What a single message or a financial advice has posted is not charged again: the record only tells of it.
    told_before = 0 if additional else min(value, max(0, hold.posted_minor - hold.presented_minor))
    rest = value - told_before
    if rest:
        change = post(account, hold, rest, final=_is_final(clearing) and not additional, kind=kind)
        concern = _charge_concern(case, hold, rest, told_before, additional=additional)
    else:
        change, concern = Change((), hold), _told_concern(hold, value)
    told = msgspec.structs.replace(change.hold, presented_minor=hold.presented_minor + value)
    change = Change(change.movements, told)
    # The hold was counted when it was placed, and given back when it ended without a posting.
    counted_anew = hold.state not in (HoldState.OPEN, HoldState.POSTED)
    step = _step(case, ItemState.MATCHED, found.level, {**seen, "told_before": told_before})
    decision = booked(case, step, change, count=int(counted_anew), moved_minor=rest, concern=concern)
    return _kept(case, decision, ItemState.MATCHED, found.level, found.confidence)


def _is_final(clearing: Clearing) -> bool:
    """Whether nothing follows: what is still held may go."""
    if clearing.sequence_count:
        return clearing.sequence >= clearing.sequence_count
    return clearing.final


def _charge_concern(case: Case, hold: Hold, rest: int, told_before: int, *, additional: bool) -> str:
    """What is unusual about posting ``rest`` on the purchase, in one word; empty when nothing is."""
    if hold.state in (HoldState.REVERSED, HoldState.RELEASED, HoldState.WITHDRAWN):
        # Presentments that follow a full reversal must still be charged, and a person told.
        return f"posted_after_{hold.state}"
    if told_before:
        return "presented_more_than_posted"
    if additional or hold.state is HoldState.EXPIRED:
        return ""  # presented late: that is what a table of deadlines must expect
    program = case.view.program
    covered = hold.held_minor if hold.state is HoldState.OPEN else max(0, hold.authorized_minor - hold.posted_minor)
    usual = 0 if program is None else program.clearing.over_capture_allowed(covered, case.request.mcc)
    return "over_capture" if rest > covered + usual else ""


def _told_concern(hold: Hold, value: int) -> str:
    return "presented_less_than_posted" if hold.presented_minor + value < hold.posted_minor else ""


# ── refunds ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _refund(case: Case, value: int, found: PurchaseMatch) -> Decision:
    """Money back: to the pockets that paid, where the purchase is known and posted; else to the money, and flagged."""
    hold = found.hold
    if hold is None or not hold.posted_minor:
        authorized = _refund_authorization(case)
        why = "refund_authorization" if authorized is not None else "no_purchase"
        state = ItemState.FORCED if authorized is None else ItemState.MATCHED
        concern = "refund_without_purchase" if authorized is None else ""
        step = _step(case, state, why, {"amount": value, "level": found.level})
        decision = post_alone(case, step, value, EntryKind.REFUND, concern=concern, presented=True)
        return _kept(case, decision, state, why, 0 if authorized is None else 90)
    left = max(0, hold.posted_minor - hold.refunded_minor)
    change = bring_back(hold, value, EntryKind.REFUND)
    step = _step(
        case,
        ItemState.MATCHED,
        found.level,
        {"amount": value, "level": found.level, "hold": hold.hold_id, "refundable": left},
    )
    concern = "refund_exceeds_purchase" if value > left else ""
    decision = booked(case, step, change, moved_minor=value, concern=concern, counts_in_limits=False)
    return _kept(case, decision, ItemState.MATCHED, found.level, found.confidence)


def _refund_authorization(case: Case) -> StoredMessage | None:
    """The approved refund authorization that this record clears, by the references that name it."""
    request = case.request
    for candidate in case.view.candidates:
        message = candidate.message
        if (
            message.kind is Kind.AUTHORIZATION
            and message.operation is Operation.REFUND
            and message.approved
            and message.network == request.network
            and (
                (request.network_reference and request.network_reference == message.network_reference)
                or (request.retrieval_reference and request.retrieval_reference == message.retrieval_reference)
            )
        ):
            return message
    return None


# ── records about records ─────────────────────────────────────────────────────────────────────────────────────────────


def _same_reference(case: Case, kinds: tuple[ClearingKind, ...]) -> list[ClearingItem]:
    reference = _clearing(case).acquirer_reference
    return [
        item
        for item in case.view.clearing_items
        if reference and item.acquirer_reference == reference and item.network == case.request.network
        if item.kind in kinds and item.key != case.key
    ]


def _came_before(case: Case) -> bool:
    """Whether another record said this very thing already: same kind, acquirer reference and place in the sequence."""
    clearing = _clearing(case)
    return any(
        item.sequence == clearing.sequence and item.state in (ItemState.MATCHED, ItemState.FORCED, ItemState.IN_DOUBT)
        for item in _same_reference(case, (clearing.kind,))
    )


def _about_a_record(case: Case, value: int) -> Decision:
    """Takes back, or charges back, what an earlier record under the same acquirer reference has booked."""
    clearing = _clearing(case)
    named = _same_reference(case, _TAKES_BACK[clearing.kind])
    items = [item for item in named if item.state in (ItemState.MATCHED, ItemState.FORCED)]
    if len(items) > 1:
        items = [item for item in items if item.sequence == clearing.sequence] or items
    if len(items) > 1:
        items = [item for item in items if item.amount_minor == value] or items
    if not items:
        over = any(item.state is ItemState.REVERSED for item in named)
        return _noted(case, "taken_back_before") if over else _in_doubt(case, "no_such_record")
    if len(items) > 1:
        return _in_doubt(case, "ambiguous_record")
    if clearing.kind is not ClearingKind.PRESENTMENT_REVERSAL and _came_before(case):
        return _in_doubt(case, "duplicate_record")
    item = items[0]
    hold = None if item.hold_id is None else case.view.holds.get(item.hold_id)
    if hold is None:
        return _in_doubt(case, "no_such_record")
    match clearing.kind:
        case ClearingKind.PRESENTMENT_REVERSAL:
            return _take_back(case, value, item, hold)
        case ClearingKind.CHARGEBACK:
            change, concern = bring_back(hold, value, EntryKind.CHARGEBACK), ""
            if value > hold.posted_minor - hold.refunded_minor:
                concern = "chargeback_exceeds_purchase"
        case _:
            assert case.view.account is not None, "checked at the door"
            change = charge_again(case.view.account, hold, value, EntryKind.CHARGEBACK_REVERSAL)
            concern = "" if value <= hold.refunded_minor else "represented_more_than_charged_back"
    step = _step(case, ItemState.MATCHED, "acquirer_reference", {"amount": value, "hold": hold.hold_id})
    decision = booked(case, step, change, moved_minor=value, concern=concern, counts_in_limits=False)
    return _kept(case, decision, ItemState.MATCHED, "acquirer_reference", 95)


def _take_back(case: Case, value: int, item: ClearingItem, hold: Hold) -> Decision:
    """The acquirer takes a record of its own back. It takes back what that booked: in part only where it says so."""
    seen: Seen = {"amount": value, "hold": hold.hold_id, "booked": item.amount_minor}
    taken = min(value, item.amount_minor)
    refunded = item.kind is ClearingKind.PRESENTMENT and not hold.credit and _was_refund(case, item)
    if refunded:
        assert case.view.account is not None, "checked at the door"
        change = charge_again(case.view.account, hold, taken, EntryKind.POSTING_REVERSAL)
    else:
        change = set_posted(hold, hold.posted_minor - min(taken, hold.posted_minor), HoldState.REVERSED)
        presented = max(0, change.hold.presented_minor - taken)
        change = Change(change.movements, msgspec.structs.replace(change.hold, presented_minor=presented))
    concern = "" if value == item.amount_minor else "reversal_of_another_amount"
    step = _step(case, ItemState.MATCHED, "acquirer_reference", seen)
    decision = booked(
        case, step, change, moved_minor=taken, concern=concern, counts_in_limits=not refunded and not hold.credit
    )
    decision = _kept(case, decision, ItemState.MATCHED, "acquirer_reference", 95)
    whole = taken == item.amount_minor
    return msgspec.structs.replace(
        decision, item_changed=msgspec.structs.replace(item, state=ItemState.REVERSED) if whole else None
    )


def _was_refund(case: Case, item: ClearingItem) -> bool:
    """Whether the record brought money back on a purchase: its message says so."""
    return any(
        candidate.message.key == item.key and candidate.message.operation is Operation.REFUND
        for candidate in case.view.candidates
    )


# ── doubt ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _instructed(case: Case) -> Decision:
    """A person has decided about a record in doubt. Anything else that is asked changes nothing, and says so."""
    clearing, stored, account = _clearing(case), case.view.stored, case.view.account
    instruction = clearing.instruction
    assert instruction is not None, "the caller has looked"
    if stored is None or stored.state is not MessageState.IN_DOUBT:
        return Decision(
            answer=ACCEPTED, trace=(Step("instruction", "not_in_doubt", {"by": instruction.by}),), remember_as=None
        )
    seen: Seen = {"by": instruction.by, "agreed_by": instruction.agreed_by, "hold": instruction.hold_id}
    if instruction.kind is InstructionKind.REJECT:
        step = Step("instruction", ItemState.REJECTED, seen)
        return _resolved(case, stored, Decision(answer=ACCEPTED, trace=(step,)), ItemState.REJECTED, "instruction")
    value = spending_amount(case)
    if account is None or value is None:
        refusal = "unknown_card" if account is None else "currency_not_served"
        return Decision(answer=ACCEPTED, trace=(Step("instruction", refusal, seen),), remember_as=None)
    hold = None if instruction.hold_id is None else case.view.holds.get(instruction.hold_id)
    if instruction.kind is InstructionKind.BIND and (hold is None or hold.credit):
        return Decision(answer=ACCEPTED, trace=(Step("instruction", "no_such_purchase", seen),), remember_as=None)
    decision = _as_told(case, value, hold)
    state = ItemState.FORCED if hold is None else ItemState.MATCHED
    decision = msgspec.structs.replace(
        decision, concern="", trace=(Step("instruction", instruction.kind, seen), *decision.trace)
    )
    return _resolved(case, stored, decision, state, "instruction")


#: Records that bring money back without being refunds, and what that is booked as.
_CREDITS = {
    ClearingKind.CHARGEBACK: EntryKind.CHARGEBACK,
    ClearingKind.PRESENTMENT_REVERSAL: EntryKind.REFUND,
}


def _as_told(case: Case, value: int, hold: Hold | None) -> Decision:
    """Books the record on the purchase that a person named, or by itself where they named none."""
    clearing, account = _clearing(case), case.view.account
    assert account is not None, "the caller has looked"
    step = _step(case, ItemState.FORCED if hold is None else ItemState.MATCHED, "instruction", {"amount": value})
    credit = _CREDITS.get(clearing.kind)
    if credit is not None and hold is None:
        return post_alone(case, step, value, credit, presented=True)
    if credit is not None and hold is not None:
        return booked(case, step, bring_back(hold, value, credit), moved_minor=value, counts_in_limits=False)
    if clearing.kind is ClearingKind.CHARGEBACK_REVERSAL and hold is not None:
        change = charge_again(account, hold, value, EntryKind.CHARGEBACK_REVERSAL)
        return booked(case, step, change, moved_minor=value, counts_in_limits=False)
    match = PurchaseMatch() if hold is None else PurchaseMatch(hold=hold, level="instruction", confidence=100)
    if case.request.operation is Operation.REFUND:
        return _refund(case, value, match)
    return _charge(case, value, match)


def _resolved(case: Case, stored: StoredMessage, decision: Decision, state: ItemState, why: str) -> Decision:
    """The stored record leaves its doubt."""
    rejected = state is ItemState.REJECTED
    hold_id = None if decision.hold is None else decision.hold.hold_id
    message = msgspec.structs.replace(
        stored,
        state=MessageState.REJECTED if rejected else MessageState.ANSWERED,
        hold_id=hold_id,
        moved_minor=decision.moved_minor,
    )
    item = _item(case, state, why, 0 if rejected else 100, hold_id)
    return msgspec.structs.replace(decision, remember_as=None, resolved=message, item=None, item_changed=item)


def _in_doubt(case: Case, why: str, seen: Seen | None = None) -> Decision:
    decision = Decision(
        answer=ACCEPTED,
        trace=(_step(case, ItemState.IN_DOUBT, why, seen or {}),),
        remember_as=MessageState.IN_DOUBT,
        concern=why,
    )
    return _kept(case, decision, ItemState.IN_DOUBT, why, 0)


def _noted(case: Case, why: str) -> Decision:
    return _kept(
        case, Decision(answer=ACCEPTED, trace=(_step(case, ItemState.NOTED, why, {}),)), ItemState.NOTED, why, 0
    )


def _step(case: Case, state: ItemState, why: str, seen: Seen) -> Step:
    request, clearing = case.request, _clearing(case)
    return Step(
        str(clearing.kind),
        str(state),
        {"why": why, "transaction_amount": request.amount_minor, "transaction_currency": request.currency, **seen},
    )


def _kept(case: Case, decision: Decision, state: ItemState, why: str, confidence: int) -> Decision:
    """The decision with the clearing item that remembers it."""
    hold_id = None if decision.hold is None else decision.hold.hold_id
    return msgspec.structs.replace(decision, item=_item(case, state, why, confidence, hold_id))


def _item(case: Case, state: ItemState, why: str, confidence: int, hold_id: int | None) -> ClearingItem:
    clearing, account = _clearing(case), case.view.account
    return ClearingItem(
        account_id=0 if account is None else account.account_id,
        key=case.key,
        network=case.request.network,
        kind=clearing.kind,
        acquirer_reference=clearing.acquirer_reference,
        sequence=clearing.sequence,
        state=state,
        why=why,
        confidence=confidence,
        hold_id=hold_id,
        amount_minor=spending_amount(case) or 0,
    )
