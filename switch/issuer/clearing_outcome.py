"""What becomes of a clearing record, as a decision: booked, in doubt, or noted."""

from __future__ import annotations

import msgspec

from switch.contracts.clearing import Clearing
from switch.issuer.case import Case, Decision, Seen, Step
from switch.issuer.clearing_item import ClearingItem, ItemState
from switch.issuer.outcome import ACCEPTED
from switch.issuer.rules import spending_amount
from switch.issuer.stored import MessageState

__all__ = ["clearing_of", "in_doubt", "item_of", "kept", "noted", "step_of"]


def clearing_of(case: Case) -> Clearing:
    """The clearing part of the record."""
    clearing = case.request.clearing
    assert clearing is not None, "presentments carry their clearing part"
    return clearing


def step_of(case: Case, state: ItemState, why: str, seen: Seen) -> Step:
    """The line of the trace that says what became of the record, and what was seen."""
    request = case.request
    return Step(
        str(clearing_of(case).kind),
        str(state),
        {"why": why, "transaction_amount": request.amount_minor, "transaction_currency": request.currency, **seen},
    )


def kept(case: Case, decision: Decision, state: ItemState, why: str, confidence: int) -> Decision:
    """The decision with the clearing item that remembers it."""
    hold_id = None if decision.hold is None else decision.hold.hold_id
    return msgspec.structs.replace(decision, item=item_of(case, state, why, confidence, hold_id))


def in_doubt(case: Case, why: str, seen: Seen | None = None) -> Decision:
    """Nothing is booked: a person has to say."""
    decision = Decision(
        answer=ACCEPTED,
        trace=(step_of(case, ItemState.IN_DOUBT, why, seen or {}),),
        remember_as=MessageState.IN_DOUBT,
        concern=why,
    )
    return kept(case, decision, ItemState.IN_DOUBT, why, 0)


def noted(case: Case, why: str, *, concern: str = "") -> Decision:
    """There is nothing to book."""
    decision = Decision(answer=ACCEPTED, trace=(step_of(case, ItemState.NOTED, why, {}),), concern=concern)
    return kept(case, decision, ItemState.NOTED, why, 0)


def item_of(case: Case, state: ItemState, why: str, confidence: int, hold_id: int | None) -> ClearingItem:
    """The record with its outcome."""
    clearing, account = clearing_of(case), case.view.account
    return ClearingItem(
        account_id=0 if account is None else account.account_id,
        key=case.key,
        network=case.request.network,
        kind=clearing.kind,
        operation=case.request.operation,
        acquirer_reference=clearing.acquirer_reference,
        sequence=clearing.sequence,
        sequence_count=clearing.sequence_count,
        state=state,
        why=why,
        confidence=confidence,
        hold_id=hold_id,
        amount_minor=spending_amount(case) or 0,
    )
