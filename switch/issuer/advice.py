"""Booking an advice: somebody else decided, and tells what has happened.

An advice can't be refused. It is booked whatever the card's status or the balance (which may go negative) and
answered as accepted; what a person should look at becomes a *concern* in the exceptions.
"""

from __future__ import annotations

import msgspec

from switch.contracts.message import Kind, Operation, StandIn
from switch.issuer.account import EntryKind
from switch.issuer.case import Case, Decision, Seen, Step
from switch.issuer.change import Change, post, set_held
from switch.issuer.hold import Hold, HoldState
from switch.issuer.matching import Match, find_original, tombstone_fits
from switch.issuer.opening import hold_deadline, new_purchase
from switch.issuer.outcome import ACCEPTED, booked
from switch.issuer.posting import post_alone
from switch.issuer.rules import SPENDING, spending_amount
from switch.issuer.stored import MessageState

__all__ = ["decide_advice"]


def decide_advice(case: Case) -> Decision:
    """Books what an advice tells.

    An authorization advice (0120) holds what was approved, a financial advice (0220) posts what was spent.
    """
    request, view = case.request, case.view
    if view.account is None or view.card is None:
        return _noted(case, "card_known", "unknown_card")
    found = find_original(request, view.candidates, case.now)
    decision = _decide(case, found)
    if found.original is not None and found.original.state is MessageState.PARKED:
        # It waits for a top-up. The network has decided it, so whatever comes of that, it is not approved any more.
        return msgspec.structs.replace(decision, undone=found.original)
    return decision


def _decide(case: Case, found: Match) -> Decision:
    request = case.request
    value = spending_amount(case)
    if value is None:
        # It has happened, but in a currency that the account does not keep: only a person can say at what rate.
        return _noted(case, "currency", "currency_not_served")
    if found.ambiguous and request.kind is Kind.AUTHORIZATION_ADVICE:
        return _noted(case, "original", "ambiguous_original")
    if request.kind is Kind.AUTHORIZATION_ADVICE:
        return _stand_in(case, value, found)
    return _financial(case, value, found)


def _noted(case: Case, rule: str, concern: str) -> Decision:
    """Nothing can be booked; a person gets to see it."""
    request = case.request
    seen: Seen = {
        "amount": request.amount_minor,
        "currency": request.currency,
        "operation": request.operation,
        **_why(case),
    }
    return Decision(answer=ACCEPTED, trace=(Step(rule, concern, seen),), concern=concern)


def _why(case: Case) -> Seen:
    """Who decided for us and why, as far as the advice tells."""
    told = {"decided_by": case.request.stand_in_by, "because": case.request.stand_in_reason}
    return {name: text for name, text in told.items() if text}


def _stand_in(case: Case, value: int, found: Match) -> Decision:
    """The network stood in for us (STIP).

    Its approval folds into a hold that we placed too; its decline releases that.
    """
    hold = _hold_of(case, found)
    if hold is not None and hold.credit:
        hold = None  # a refund of the same reference: what the network approved is a purchase of its own
    step = Step(
        "stand_in",
        case.request.stand_in or StandIn.APPROVED,
        {
            "amount": value,
            "level": found.level,
            "hold": None if hold is None else hold.hold_id,
            "hold_state": None if hold is None else hold.state,
            **_why(case),
        },
    )
    if case.request.stand_in is StandIn.DECLINED:
        if hold is None or hold.state is not HoldState.OPEN:
            return Decision(answer=ACCEPTED, trace=(step,), remember_as=_before_its_request(found))
        if case.request.incremental:
            return _declined_increment(case, step, hold)
        concern = "declined_after_increment" if _increments(case, hold) else ""
        return _held(case, step, hold, 0, concern=concern)
    if case.request.operation is Operation.UNSUPPORTED:
        return _noted(case, "operation", "unsupported_advice")
    if case.request.operation not in SPENDING or value <= 0:
        # An approved verification, inquiry or refund authorization moves nothing.
        return Decision(answer=ACCEPTED, trace=(step,))
    if any(t.kind is Kind.REVERSAL and tombstone_fits(t, case.request) for t in case.view.tombstones):
        # The tombstone stays: the request itself may still arrive.
        return Decision(answer=ACCEPTED, trace=(step,), concern="advice_after_reversal")
    if hold is None:
        return msgspec.structs.replace(_new_hold(case, step, value), remember_as=_before_its_request(found))
    return _folded(case, step, hold, value)


def _folded(case: Case, step: Step, hold: Hold, value: int) -> Decision:
    """What the network approved, on the purchase that we know of."""
    incremental = case.request.incremental
    if not incremental:
        hold = _with_code(case, hold)
    if hold.state is HoldState.OPEN:
        if incremental:
            # Its amount comes on top of the hold, unless we raised it for the same increment.
            value = hold.held_minor + (0 if _raised_by_us(case, hold) else value)
        else:
            # It tells of the first authorization: what we have raised since stays, what has been posted of it is over.
            value = max(0, value + _increments(case, hold) - hold.posted_minor)
        return _held(case, step, hold, value)
    if hold.state is HoldState.WITHDRAWN and hold.posted_minor == 0:
        # We took our late approval back, the network approved meanwhile: the money is spent after all.
        return _held(case, step, hold, value, count=1)
    if hold.state is HoldState.EXPIRED and incremental and not _raised_by_us(case, hold):
        # The deadline of what came before it has passed: it opens the purchase again, as ours would.
        return _held(case, step, hold, value, count=1)
    concern = "advice_after_reversal" if hold.state is HoldState.REVERSED else f"advice_after_{hold.state}"
    return Decision(answer=ACCEPTED, trace=(step,), concern=concern)


def _financial(case: Case, value: int, found: Match) -> Decision:
    """The money has moved: post it, against the hold it belongs to where there is one."""
    hold = None if found.ambiguous else _hold_of(case, found)
    step = Step(
        "financial_advice",
        "posted",
        {
            "amount": value,
            "level": found.level,
            "ambiguous": found.ambiguous,
            "hold": None if hold is None else hold.hold_id,
            "hold_state": None if hold is None else hold.state,
            **_why(case),
        },
    )
    if case.request.stand_in is StandIn.DECLINED:
        # Nothing was spent. If we had booked it, a person has to see why.
        return Decision(
            answer=ACCEPTED,
            trace=(Step(step.rule, StandIn.DECLINED, step.seen),),
            remember_as=_before_what_it_names(case, found),
            concern="" if hold is None else "declined_financial_advice",
        )
    if value <= 0:
        return Decision(answer=ACCEPTED, trace=(step,))
    if hold is not None and (_tells_of_our_posting(case, found, hold, value) or _presented_before(case, hold, value)):
        told = Step(step.rule, "posted_before", step.seen)
        return booked(case, told, Change((), hold), moved_minor=0, concern="advice_of_posted")
    reversed_first = any(t.kind is Kind.REVERSAL and tombstone_fits(t, case.request) for t in case.view.tombstones)
    concern = "ambiguous_original" if found.ambiguous else "posting_after_reversal" if reversed_first else ""
    if case.request.operation is Operation.REFUND:
        return post_alone(case, step, value, EntryKind.REFUND, concern=concern)
    if case.request.operation not in SPENDING:
        return _noted(case, "operation", "unsupported_advice")
    if hold is None or hold.credit:
        posted = post_alone(case, step, value, EntryKind.POSTING, concern=concern)
        return msgspec.structs.replace(posted, remember_as=_before_what_it_names(case, found))
    before = hold.state
    # The hold was counted when it was placed, and given back when it ended without a posting.
    counted_anew = before not in (HoldState.OPEN, HoldState.POSTED)
    assert case.view.account is not None, "the purchase has one"
    change = post(case.view.account, _with_code(case, hold), value)
    decision = booked(case, step, change, count=int(counted_anew), moved_minor=value)
    if before is HoldState.OPEN or decision.concern:
        return decision
    # Presentments that follow a full reversal must still be charged, and a person told.
    return msgspec.structs.replace(decision, concern=f"posted_after_{before}")


def _tells_of_our_posting(case: Case, found: Match, hold: Hold | None, value: int) -> bool:
    """Whether the advice repeats, under a key of its own, a single message (0200) whose posting still stands."""
    original = found.original
    return (
        original is not None
        and hold is not None
        and original.kind is Kind.FINANCIAL
        and original.approved
        and original.operation is case.request.operation
        and original.moved_minor == value
        and hold.state is HoldState.POSTED
    )


def _presented_before(case: Case, hold: Hold, value: int) -> bool:
    """Whether the advice comes late: clearing records alone have posted the purchase, and as much as it tells of."""
    return (
        case.request.operation in SPENDING
        and not hold.credit
        and hold.state is HoldState.POSTED
        and value <= hold.presented_minor == hold.posted_minor
    )


def _with_code(case: Case, hold: Hold) -> Hold:
    """The purchase with the approval code that the merchant got: whoever stood in gave one, and it is presented."""
    return msgspec.structs.replace(hold, approval_code=case.request.approval_code or hold.approval_code)


def _before_its_request(found: Match) -> MessageState:
    """Where the request that the network decided for us has not come, its advice stands as a tombstone for it.

    Coming late, on another link, it must not place a second hold.
    """
    return MessageState.TOMBSTONE if found.original is None else MessageState.ANSWERED


def _before_what_it_names(case: Case, found: Match) -> MessageState:
    """The same for a financial advice, but only where DE90 names a request: else it tells of what nobody asked us.

    A single message that still comes must not be posted again, and an authorization not be held beside the posting.
    """
    original = case.request.original
    named = original is not None and original.mti[1:2] in ("1", "2")
    return _before_its_request(found) if named else MessageState.ANSWERED


def _hold_of(case: Case, found: Match) -> Hold | None:
    if found.original is None or found.original.hold_id is None:
        return None
    return case.view.holds.get(found.original.hold_id)


def _increments(case: Case, hold: Hold) -> int:
    """By how much approved increments have raised ``hold``."""
    return sum(
        candidate.message.moved_minor
        for candidate in case.view.candidates
        if candidate.message.incremental
        and candidate.message.hold_id == hold.hold_id
        and candidate.message.approved
        and candidate.message.state is not MessageState.REVERSED
    )


def _raised_by_us(case: Case, hold: Hold) -> int:
    """By how much we raised ``hold`` for the increment that the advice tells of; 0 where it never reached us."""
    for candidate in case.view.candidates:
        message = candidate.message
        if (
            message.kind is Kind.AUTHORIZATION
            and message.incremental
            and message.approved
            and message.hold_id == hold.hold_id
            and message.amount_minor == case.request.amount_minor
        ):
            return message.moved_minor
    return 0


def _declined_increment(case: Case, step: Step, hold: Hold) -> Decision:
    """Releases what we raised ``hold`` by. What had expired before that was not declined."""
    raised = _raised_by_us(case, hold)
    more = hold.authorized_minor - hold.posted_minor > raised
    end = HoldState.EXPIRED if more else HoldState.RELEASED
    return _held(case, step, hold, max(0, hold.held_minor - raised), end=end)


def _new_hold(case: Case, step: Step, value: int) -> Decision:
    return _held(case, step, new_purchase(case, approval_code=case.request.approval_code), value, count=1)


def _held(
    case: Case,
    step: Step,
    hold: Hold,
    value: int,
    *,
    count: int = 0,
    concern: str = "",
    end: HoldState = HoldState.RELEASED,
) -> Decision:
    """Sets what is held to ``value``; at zero the network has declined what we had approved."""
    assert case.view.account is not None, "the hold has one"
    if value > hold.held_minor:
        hold = msgspec.structs.replace(hold, expires_at=hold_deadline(case, hold, value))
    change = set_held(case.view.account, hold, value, end)
    return booked(case, step, change, count=count, concern=concern)
