"""Booking a clearing record: a presentment, a refund, an additional charge, a chargeback, and what takes one back.

What a network clears has happened and can't be declined: it is booked whatever the card's status, the balance or the
state of the purchase, and it is matched to that purchase where that can be told. Money that follows a full reversal
or an expiry is charged all the same. Only what can't be told stays in doubt until a person says (``switch clearing
exceptions``).
"""

from __future__ import annotations

from switch.contracts.clearing import ClearingKind
from switch.contracts.message import Operation
from switch.issuer.case import Case, Decision
from switch.issuer.charge import charge
from switch.issuer.clearing_outcome import clearing_of, in_doubt, noted
from switch.issuer.earlier_record import came_before
from switch.issuer.instruction import instructed
from switch.issuer.purchase_match import find_purchase
from switch.issuer.refund import refund
from switch.issuer.rules import SPENDING, spending_amount
from switch.issuer.taking_back import TAKES_BACK, about_a_record

__all__ = ["decide_presentment"]


def decide_presentment(case: Case) -> Decision:
    """Books one clearing record, or puts it in doubt.

    A record in doubt that comes again with a person's instruction is settled as that says.
    """
    clearing, operation = clearing_of(case), case.request.operation
    if clearing.instruction is not None:
        return instructed(case)
    if clearing.kind is ClearingKind.FEE:
        # Between networks and issuer: it may come without a card, and never touches a cardholder's balance.
        return noted(case, "fee")
    if case.view.account is None or case.view.card is None:
        return in_doubt(case, "unknown_card")
    value = spending_amount(case)
    if value is None:
        # It has happened, but in a currency that the account does not keep: only a person can say at what rate.
        return in_doubt(case, "currency_not_served")
    if value <= 0:
        return noted(case, "no_amount")
    if clearing.kind in TAKES_BACK:
        return about_a_record(case, value)
    if came_before(case):
        return in_doubt(case, "duplicate_record")
    found = find_purchase(case, value)
    if found.several:
        holds = ", ".join(map(str, found.several))
        return in_doubt(case, "ambiguous_purchase", {"level": found.level, "holds": holds})
    if clearing.kind is ClearingKind.PRESENTMENT and operation is Operation.REFUND:
        return refund(case, value, found)
    if operation not in SPENDING:
        return in_doubt(case, "unsupported_operation")
    return charge(case, value, found)
