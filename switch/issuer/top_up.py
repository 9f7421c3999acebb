"""A purchase that is declined for nothing but missing money may wait for a top-up.

Plain purchases alone do: cash is not paid out on credit, and an increment's hold stays as it is. Where program and
terminal take a partial approval the purchase is approved in part, and nothing is topped up.
"""

from __future__ import annotations

from switch.contracts.message import Operation
from switch.contracts.reason import Reason
from switch.issuer.account import EntryKind, Movement, Side
from switch.issuer.case import Case, Decision

__all__ = ["load", "shortfall"]


def shortfall(case: Case, decision: Decision) -> int | None:
    """How much is missing, an account's debt included; None where this is not what the decision is about."""
    view, request = case.view, case.request
    program = view.program
    if (
        decision.reason is not Reason.INSUFFICIENT_FUNDS
        or decision.repeat_of is not None
        or program is None
        or program.top_up is None
        # An account keeps its currency, whatever becomes of its program's.
        or view.account is None
        or view.account.currency != program.top_up.currency
        or request.operation is not Operation.PURCHASE
        or request.incremental
    ):
        return None
    seen = decision.trace[-1].seen  # of the rule that declined: funds
    amount, spendable = seen["amount"], seen["spendable"]
    assert isinstance(amount, int) and isinstance(spendable, int), "funds saw both"
    return amount - spendable


def load(amount_minor: int) -> Movement:
    """What came from the cardholder's source, onto the balance."""
    return Movement(EntryKind.LOAD, Side.FUNDING, Side.AVAILABLE, amount_minor)
