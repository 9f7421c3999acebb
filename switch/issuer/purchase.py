"""Deciding a request: an authorization (0100) or a single message (0200)."""

from __future__ import annotations

import msgspec

from switch.contracts.message import ORIGINAL_AMOUNT, Answer, Balance, Kind, Operation
from switch.contracts.reason import Reason
from switch.issuer.account import EntryKind, Movement, Side
from switch.issuer.case import Case, Decision, Seen, Step, approval_code, balances
from switch.issuer.change import post, set_held
from switch.issuer.hold import HoldState
from switch.issuer.matching import find_original, tombstone_fits
from switch.issuer.opening import hold_deadline, new_purchase
from switch.issuer.program import DEFAULT_PIPELINE
from switch.issuer.rules import RULES, spending_amount
from switch.issuer.stored import StoredMessage
from switch.issuer.usage import Usage

__all__ = ["decide_request"]

#: Without a card there is no program; the first rule then says so and ends the pipeline.
_NO_PROGRAM = DEFAULT_PIPELINE[:1]


def decide_request(case: Case) -> Decision:
    """Runs the program's pipeline; the first decline ends it. An approval books what it approves.

    What came first for this very message, its reversal or the advice of the network that stood in for it, has decided.
    """
    for tombstone in case.view.tombstones:
        if tombstone_fits(tombstone, case.request):
            return _overtaken(case, tombstone)

    program = case.view.program
    trace: list[Step] = []
    approved_minor: int | None = None
    for name in _NO_PROGRAM if program is None else program.pipeline:
        verdict = RULES[name](case)
        trace.append(Step(name, verdict.decline or "pass", verdict.seen))
        if verdict.decline is not None:
            return Decision(answer=_declined(case, verdict.decline, trace), trace=tuple(trace))
        approved_minor = verdict.approved_minor
    return _approve(case, tuple(trace), approved_minor)


def _overtaken(case: Case, tombstone: StoredMessage) -> Decision:
    """The request comes after its own reversal, or after its stand-in advice: nothing is held for it any more.

    Declines with ``REVERSED_EARLIER``, or with ``DECIDED_EARLIER`` where the network declined, the purchase has ended
    since, or the advice told of less. A purchase that the network approved is approved here too: the advice has booked
    it.
    """
    seen: Seen = {"stan": tombstone.stan}
    if tombstone.kind is Kind.REVERSAL:
        step = Step("reversal_first", Reason.REVERSED_EARLIER, seen)
        return Decision(answer=Answer(reason=Reason.REVERSED_EARLIER), trace=(step,), tombstone_met=tombstone)
    hold = None if tombstone.hold_id is None else case.view.holds.get(tombstone.hold_id)
    seen |= {"hold": tombstone.hold_id, "hold_state": None if hold is None else hold.state}
    enough = case.request.amount_minor <= tombstone.amount_minor
    if enough and hold is not None and hold.state in (HoldState.OPEN, HoldState.POSTED):
        return Decision(
            answer=Answer(reason=Reason.APPROVED, approval_code=approval_code(case.key)),
            trace=(Step("stand_in_first", "pass", seen),),
            tombstone_met=tombstone,
        )
    step = Step("stand_in_first", Reason.DECIDED_EARLIER, seen)
    return Decision(answer=Answer(reason=Reason.DECIDED_EARLIER), trace=(step,), tombstone_met=tombstone)


def _declined(case: Case, reason: Reason, trace: list[Step]) -> Answer:
    account = case.view.account
    return Answer(
        reason=reason,
        cvv2_result=_cvv2_result(trace),
        # A terminal that knows how much is left can offer to split the purchase.
        balances=balances(account) if reason is Reason.INSUFFICIENT_FUNDS and account is not None else (),
    )


def _cvv2_result(trace: list[Step] | tuple[Step, ...]) -> str:
    """The letter for additional response data (DE44): M match, N no match, empty when no CVV2 was checked."""
    for step in trace:
        if step.rule == "security_code":
            return {"match": "M", "no_match": "N"}.get(str(step.seen["cvv2"]), "")
    return ""


def _approve(case: Case, trace: tuple[Step, ...], approved_minor: int | None) -> Decision:
    """What an approval does: see each branch."""
    request = case.request
    account, card = case.view.account, case.view.card
    assert account is not None and card is not None
    code = approval_code(case.key)
    cvv2 = _cvv2_result(trace)
    match request.operation:
        case Operation.BALANCE_INQUIRY:
            answer = Answer(reason=Reason.APPROVED, approval_code=code, balances=balances(account), cvv2_result=cvv2)
            return Decision(answer=answer, trace=trace)
        case Operation.ACCOUNT_VERIFICATION:
            # "account verified (zero amount): 00 or 85" by the dialect's map.
            answer = Answer(reason=Reason.ACCOUNT_VERIFIED, approval_code=code, cvv2_result=cvv2)
            return Decision(answer=answer, trace=trace)
        case Operation.REFUND if request.kind is Kind.AUTHORIZATION:
            # A refund authorization is approved now and credited when its clearing arrives.
            answer = Answer(reason=Reason.APPROVED, approval_code=code, cvv2_result=cvv2)
            return Decision(answer=answer, trace=trace)
        case Operation.REFUND:
            value = spending_amount(case)
            assert value is not None, "the currency rule passed"
            movement = Movement(EntryKind.REFUND, Side.NETWORK, Side.AVAILABLE, value, account.seq + 1)
            begun = new_purchase(case, approval_code=code, credit=True)
            return Decision(
                answer=Answer(reason=Reason.APPROVED, approval_code=code, cvv2_result=cvv2),
                trace=trace,
                movements=(movement,),
                hold=msgspec.structs.replace(begun, state=HoldState.POSTED, authorized_minor=value, posted_minor=value),
                moved_minor=value,
            )
        case _:
            assert approved_minor is not None, "funds came last and passed"
            if request.incremental:
                return _increase(case, trace, approved_minor, code)
            return _spend(case, trace, approved_minor, code, cvv2)


def _spend(case: Case, trace: tuple[Step, ...], approved_minor: int, code: str, cvv2: str) -> Decision:
    """An authorization sets the approved amount aside; a single message posts it at once."""
    account = case.view.account
    assert account is not None
    begun = new_purchase(case, approval_code=code)
    if case.request.kind is Kind.AUTHORIZATION:
        begun = msgspec.structs.replace(begun, expires_at=hold_deadline(case, begun, approved_minor))
        change = set_held(account, begun, approved_minor, HoldState.OPEN)
    else:
        change = post(account, msgspec.structs.replace(begun, authorized_minor=approved_minor), approved_minor)
    partial = approved_minor < (spending_amount(case) or 0)
    asked = Balance(amount_type=ORIGINAL_AMOUNT, currency=case.request.currency, amount_minor=case.request.amount_minor)
    answer = Answer(
        reason=Reason.APPROVED_PARTIALLY if partial else Reason.APPROVED,
        approval_code=code,
        approved_minor=approved_minor if partial else None,
        # A partial approval tells the original amount in DE54 beside what it approved in DE4.
        balances=(asked,) if partial else (),
        cvv2_result=cvv2,
    )
    return Decision(
        answer=answer,
        trace=trace,
        movements=change.movements,
        hold=change.hold,
        usage=_spent(case, approved_minor, 1),
        moved_minor=approved_minor,
    )


def _increase(case: Case, trace: tuple[Step, ...], amount_minor: int, code: str) -> Decision:
    """Raises the hold of an earlier authorization, or opens one that has expired again, for this amount alone: the
    deadline of the rest has passed. Without either it declines with ``ORIGINAL_NOT_FOUND``.
    """
    found = find_original(case.request, case.view.candidates, case.now)
    original = found.original
    hold = case.view.holds.get(original.hold_id) if original is not None and original.hold_id is not None else None
    state = None if hold is None else hold.state
    seen: Seen = {"level": found.level, "hold": None if hold is None else hold.hold_id, "hold_state": state}
    step = Step("increment", Reason.ORIGINAL_NOT_FOUND, {**seen, "ambiguous": found.ambiguous})
    not_found = Decision(answer=Answer(reason=Reason.ORIGINAL_NOT_FOUND), trace=(*trace, step))
    if hold is None or state not in (HoldState.OPEN, HoldState.EXPIRED) or case.request.kind is not Kind.AUTHORIZATION:
        return not_found
    raised_minor = hold.held_minor + amount_minor
    deadline = hold_deadline(case, hold, raised_minor)
    if deadline <= case.now:
        return not_found  # it began longer ago than any hold may stand
    hold = msgspec.structs.replace(hold, expires_at=deadline)
    limit = None if case.view.program is None else case.view.program.limits.per_purchase_minor
    if limit is not None and hold.authorized_minor + amount_minor > limit:
        seen |= {"amount": hold.authorized_minor + amount_minor, "limit": limit}
        step = Step("increment", Reason.OVER_AMOUNT_LIMIT, seen)
        return Decision(answer=Answer(reason=Reason.OVER_AMOUNT_LIMIT), trace=(*trace, step))
    account = case.view.account
    assert account is not None, "the hold has one"
    change = set_held(account, hold, raised_minor, HoldState.OPEN)
    return Decision(
        answer=Answer(reason=Reason.APPROVED, approval_code=code),
        trace=(*trace, Step("increment", "pass", seen)),
        movements=change.movements,
        hold=change.hold,
        # The purchase was counted when it began, and given back when it expired.
        usage=_spent(case, amount_minor, 1 if state is HoldState.EXPIRED else 0),
        moved_minor=amount_minor,
    )


def _spent(case: Case, amount_minor: int, count: int) -> Usage:
    card = case.view.card
    assert card is not None
    usage = case.view.usage or Usage(card.card_id, case.today)
    return usage.spent(amount_minor, count, case.today)
