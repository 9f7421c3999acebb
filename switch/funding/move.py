"""The moves between an attempt's rows, and what each wants done. Which one is due, ``switch.funding.machine`` says."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

from switch.contracts.funding import Charge, Query, Void
from switch.funding.action import (
    Action,
    Alert,
    BookPurchase,
    CallCharge,
    CallQuery,
    CallVoid,
    DebitBalance,
    DeclinePurchase,
    TakeBack,
)
from switch.funding.attempt import Attempt, AttemptState, Cause, PurchaseState
from switch.funding.pace import Pace

__all__ = [
    "Step",
    "ask_balance",
    "ask_issuer",
    "charge_of",
    "doubt",
    "end",
    "give_back",
    "keep",
    "moved",
    "pass_on",
    "send_charge",
    "send_query",
    "send_void",
    "take_back",
]

_S = AttemptState
_NOTHING_TAKEN = frozenset({_S.DECLINED, _S.NOT_CHARGED})
_PROMISED = frozenset({Cause.ANSWERED, Cause.CALL_REFUSED, Cause.NOT_SENT})


class Step(NamedTuple):
    """The attempt as it is to be stored, and what is to be done."""

    attempt: Attempt
    actions: tuple[Action, ...] = ()

    def also(self, *actions: Action) -> Step:
        """The same with more to do."""
        return Step(self.attempt, (*self.actions, *actions))


def moved(attempt: Attempt, state: AttemptState, cause: Cause, now: datetime, *, wake_at: datetime | None) -> Attempt:
    """Another state, its cause, and when to look again."""
    return msgspec.structs.replace(attempt, state=state, cause=cause, moved_at=now, wake_at=wake_at)


def _called(attempt: Attempt, state: AttemptState, cause: Cause, now: datetime, silence_until: datetime) -> Attempt:
    """A state with a call under way, which gets the next number."""
    after = moved(attempt, state, cause, now, wake_at=silence_until)
    return msgspec.structs.replace(after, calls=attempt.calls + 1, tries=attempt.tries + 1)


def send_charge(attempt: Attempt, now: datetime, pace: Pace) -> Step:
    """The charge goes out once this row is stored."""
    after = _called(attempt, _S.SENT, Cause.DUE, now, now + pace.answer)
    return Step(after, (charge_of(after),))


def charge_of(sent: Attempt) -> CallCharge:
    """The call that a row which is ``sent`` says is under way."""
    charge = Charge(key=sent.key, source=sent.source, amount_minor=sent.amount_minor, currency=sent.currency)
    return CallCharge(sent.calls, charge)


def doubt(attempt: Attempt, cause: Cause, now: datetime, ask_at: datetime) -> Step:
    """Money may be taken; a query is due at ``ask_at``."""
    after = moved(attempt, _S.UNKNOWN, cause, now, wake_at=ask_at)
    # Tries count queries from here on; those of the charge are over.
    return Step(msgspec.structs.replace(after, tries=0) if attempt.state is _S.SENT else after)


def send_query(attempt: Attempt, now: datetime, pace: Pace) -> Step:
    """What became of the charge?"""
    after = _called(attempt, _S.QUERIED, Cause.DUE, now, now + pace.answer)
    query = Query(key=f"{attempt.key}.query.{after.calls}", charge_key=attempt.key)
    return Step(after, (CallQuery(after.calls, query), *_long_tried(after, pace)))


def ask_issuer(attempt: Attempt, cause: Cause, now: datetime, pace: Pace) -> Step:
    """The money is there: the purchase goes before the issuer's rules again."""
    after = moved(attempt, _S.CHARGED, cause, now, wake_at=now + pace.answer)
    return Step(after, (BookPurchase(attempt.charged_minor, attempt.currency),))


def ask_balance(attempt: Attempt) -> Step:
    """The purchase is reversed: is its money still there?"""
    return Step(attempt, (TakeBack(attempt.charged_minor, attempt.currency),))


def take_back(attempt: Attempt, now: datetime, pace: Pace) -> Step:
    """It is: it leaves the balance, and the charge is to be undone."""
    after, calls = send_void(attempt, Cause.REVERSED, now, pace)
    return Step(after, (DebitBalance(attempt.charged_minor, attempt.currency), *calls))


def keep(attempt: Attempt, now: datetime) -> Step:
    """It is not: the charge stands."""
    return Step(moved(attempt, AttemptState.BOOKED, Cause.SPENT, now, wake_at=None))


def give_back(attempt: Attempt, cause: Cause, now: datetime, pace: Pace) -> Step:
    """Money is taken that its purchase can't use. A purchase that still waits is declined in the same step."""
    declines = (DeclinePurchase(cause),) if attempt.waiting else ()
    purchase = PurchaseState.DECLINED if attempt.waiting else attempt.purchase
    fresh = msgspec.structs.replace(attempt, purchase=purchase, tries=0)
    after, calls = send_void(fresh, cause, now, pace)
    return Step(after, (*declines, *calls))


def send_void(attempt: Attempt, cause: Cause, now: datetime, pace: Pace) -> Step:
    """The charge is to be undone."""
    after = _called(attempt, _S.VOID_REQUESTED, cause, now, now + pace.answer + pace.pause(attempt.tries))
    void = Void(key=f"{attempt.key}.void", charge_key=attempt.key, reference=attempt.reference)
    return Step(after, (CallVoid(after.calls, void), *_long_tried(after, pace)))


def end(attempt: Attempt, state: AttemptState, cause: Cause, now: datetime) -> Step:
    """Nothing is left to do. A purchase that still waits is declined in the same step."""
    purchase = PurchaseState.DECLINED if attempt.waiting else attempt.purchase
    after = msgspec.structs.replace(moved(attempt, state, cause, now, wake_at=None), purchase=purchase, tries=0)
    return Step(after, (DeclinePurchase(cause),) if attempt.waiting else ())


def pass_on(over: Step) -> Step | None:
    """The same end without a decline, so that another source can be asked for the purchase.

    None where it is no such end: the purchase waited until now, and the provider has promised that nothing was taken
    and nothing will be.
    """
    attempt = over.attempt
    rest = tuple(action for action in over.actions if not isinstance(action, DeclinePurchase))
    if attempt.state not in _NOTHING_TAKEN or attempt.cause not in _PROMISED or len(rest) == len(over.actions):
        return None
    return Step(msgspec.structs.replace(attempt, purchase=PurchaseState.PASSED_ON), rest)


def _long_tried(attempt: Attempt, pace: Pace) -> tuple[Alert, ...]:
    again = attempt.tries == pace.alert_after_tries
    return (Alert(f"still {attempt.state} after {attempt.tries} tries"),) if again else ()
