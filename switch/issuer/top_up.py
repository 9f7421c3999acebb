"""A purchase that is declined for nothing but missing money may wait for a top-up.

Plain purchases alone do: cash is not paid out on credit, and an increment's hold stays as it is. Where program and
terminal take a partial approval the purchase is approved in part, and nothing is topped up.
"""

from __future__ import annotations

from switch.contracts.message import Operation
from switch.contracts.reason import Reason
from switch.issuer.account import Account, EntryKind, Movement, Side
from switch.issuer.case import Case, Decision

__all__ = ["load", "shortfall", "take_out", "unspent"]


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


def take_out(amount_minor: int) -> Movement:
    """The same money on its way back to the source."""
    return Movement(EntryKind.LOAD_REVERSAL, Side.AVAILABLE, Side.FUNDING, amount_minor)


def unspent(account: Account, amount_minor: int) -> bool:
    """Whether so much of the cardholder's own money is there and belongs to no purchase.

    Bonus never came from a source; and what an overdraft would give is not there.
    """
    own = account.available_minor - account.bonus_available_minor
    return own - max(0, account.floor_minor) >= amount_minor
