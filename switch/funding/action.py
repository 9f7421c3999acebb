"""What the machine wants done, as data.

Two kinds, which the driver keeps apart:

- *Inside*: written in the same commit as the attempt's new row. They can't be lost and can't happen twice.
- *Outside*: done after that commit, and lost when the daemon dies in between. The machine asks for them again when it
  is told to recover, or when their time is over; so each of them can bear to be done twice.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from switch.contracts.funding import Charge, Query, Void
from switch.funding.attempt import Cause

__all__ = [
    "Action",
    "Alert",
    "BookPurchase",
    "CallCharge",
    "CallQuery",
    "CallVoid",
    "CreditBalance",
    "DebitBalance",
    "DeclinePurchase",
    "InsideAction",
    "Notice",
    "Notify",
    "OutsideAction",
    "SetTimer",
    "TakeBack",
]


class Notice(StrEnum):
    """What the cardholder is told about the money."""

    TOPPED_UP = "topped_up"
    DECLINED = "declined"  # by their own source
    RETURNED = "returned"  # taken, not needed, and given back to the source
    CREDITED = "credited"  # taken, not needed, and now on the balance


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class DeclinePurchase(msgspec.Struct, frozen=True, gc=False):
    """The purchase is declined; the network hears it when the commit is there. The policy turns causes into reasons."""

    cause: Cause


class CreditBalance(msgspec.Struct, frozen=True, gc=False):
    """A load of money that was taken and can't be given back."""

    amount_minor: int
    currency: str


class DebitBalance(msgspec.Struct, frozen=True, gc=False):
    """What was loaded leaves the balance before its void is asked for."""

    amount_minor: int
    currency: str


class Notify(msgspec.Struct, frozen=True, gc=False):
    """Something for the cardholder's outbox."""

    notice: Notice
    amount_minor: int
    currency: str


class Alert(msgspec.Struct, frozen=True, gc=False):
    """A person has to look: the provider contradicts itself, or does not answer for long."""

    text: str


# ── outside ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class CallCharge(msgspec.Struct, frozen=True, gc=False):
    """To be answered with ChargeAnswered under the same number."""

    call: int
    charge: Charge


class CallQuery(msgspec.Struct, frozen=True, gc=False):
    """To be answered with QueryAnswered under the same number."""

    call: int
    query: Query


class CallVoid(msgspec.Struct, frozen=True, gc=False):
    """To be answered with VoidAnswered under the same number."""

    call: int
    void: Void


class BookPurchase(msgspec.Struct, frozen=True, gc=False):
    """The parked purchase goes to the issuer's rules again, with so much more to spend.

    An approval books load and hold, and steps the attempt with Booked, in one commit that holds the attempt's row; a
    refusal steps it with PurchaseRefused. Whoever finds the row no longer ``charged`` does neither.
    """

    amount_minor: int
    currency: str


class TakeBack(msgspec.Struct, frozen=True, gc=False):
    """The purchase is reversed: look whether its money is still on the balance, and step the attempt with
    PurchaseUndone in the commit that holds both rows.
    """

    amount_minor: int
    currency: str


class SetTimer(msgspec.Struct, frozen=True, gc=False):
    """Tell the machine the time at this moment. The row's ``due_at`` says the same to every other daemon."""

    at: datetime


InsideAction = DeclinePurchase | CreditBalance | DebitBalance | Notify | Alert
OutsideAction = CallCharge | CallQuery | CallVoid | BookPurchase | TakeBack | SetTimer
Action = InsideAction | OutsideAction
