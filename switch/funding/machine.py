"""What an attempt does next. Pure and total: an attempt, an event and the time give the next attempt and what to do.

The states and their table are drawn in ``switch.funding.attempt``; which actions belong into the commit and which come
after it, in ``switch.funding.action``. The rules that keep the money safe:

- A call goes out only after the commit that says so, so a row that is ``requested`` has no call under way.
- Only a provider's final word (charged, declined, not charged, voided, refused) decides where the money is. Silence and
  doubt lead to a query; a query that finds nothing closes the key, so a charge that was still on its way takes nothing.
- Money that is taken is in one of three places at the end: spent (``booked``), back (``voided``), on the balance
  (``credited``). Only ``Booked`` approves a purchase, only from ``charged``; and ``charged`` means exactly what was
  asked for.
- Answers may come late, twice, or to a daemon that did not ask. Word of taken money always counts. An answer that
  tells of no effect counts for its own call alone (``call``).
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

from switch.contracts.errors import InvariantBroken
from switch.contracts.funding import (
    Charge,
    ChargeAnswer,
    Charged,
    Declined,
    NotCharged,
    Query,
    QueryAnswer,
    Unavailable,
    Unknown,
    Void,
    VoidAnswer,
    Voided,
    VoidRefusal,
    VoidRefused,
)
from switch.funding.action import (
    Action,
    Alert,
    BookPurchase,
    CallCharge,
    CallQuery,
    CallVoid,
    CreditBalance,
    DeclinePurchase,
    Notice,
    Notify,
    SetTimer,
)
from switch.funding.attempt import Attempt, AttemptState, Cause, PurchaseState, check_transition
from switch.funding.event import (
    Booked,
    ChargeAnswered,
    Event,
    PurchaseRefused,
    QueryAnswered,
    Recover,
    Tick,
    VoidAnswered,
)
from switch.funding.pace import Pace

__all__ = ["Step", "begin", "step"]

_S = AttemptState
_DOUBTFUL = frozenset({_S.SENT, _S.UNKNOWN, _S.QUERIED})
_NOTHING_TAKEN = frozenset({_S.DECLINED, _S.NOT_CHARGED})


class Step(NamedTuple):
    """The attempt as it is to be stored, and what is to be done."""

    attempt: Attempt
    actions: tuple[Action, ...] = ()

    def also(self, *actions: Action) -> Step:
        """The same with more to do."""
        return Step(self.attempt, (*self.actions, *actions))


def begin(
    *, key: str, provider: str, source: str, amount_minor: int, currency: str, budget_until: datetime, now: datetime
) -> Step:
    """An attempt for the commit that parks its purchase. The first Tick after that commit sends the charge."""
    attempt = Attempt(
        key=key,
        provider=provider,
        source=source,
        amount_minor=amount_minor,
        currency=currency,
        budget_until=budget_until,
        state=_S.REQUESTED,
        wake_at=now,
        cause=Cause.PARKED,
        moved_at=now,
    )
    attempt.check_invariants()
    return Step(attempt, (SetTimer(now),))


def step(attempt: Attempt, event: Event, now: datetime, pace: Pace) -> Step:
    """The next attempt and what to do.

    An event that has nothing to say in this state gives the same attempt and no action. Raises InvariantBroken when the
    purchase was booked without money for it, or when a row contradicts itself.
    """
    after = _answer(attempt, event, now, pace)
    if after.attempt != attempt:
        check_transition(attempt.state, after.attempt.state)
        after.attempt.check_invariants()
        if (due := after.attempt.due_at) is not None and due != attempt.due_at:
            after = after.also(SetTimer(due))
    return after


def _answer(attempt: Attempt, event: Event, now: datetime, pace: Pace) -> Step:
    match event:
        case Tick():
            return _tick(attempt, now, pace)
        case Recover():
            return _recover(attempt, now, pace)
        case ChargeAnswered(call, answer):
            return _on_charge(attempt, call, answer, now, pace)
        case QueryAnswered(call, answer):
            return _on_query(attempt, call, answer, now, pace)
        case VoidAnswered(call, answer):
            return _on_void(attempt, call, answer, now, pace)
        case Booked():
            return _booked(attempt, now)
        case PurchaseRefused(cause):
            return _refused(attempt, cause, now, pace) if attempt.waiting else Step(attempt)


def _on_charge(attempt: Attempt, call: int, answer: ChargeAnswer, now: datetime, pace: Pace) -> Step:
    match answer:
        case Charged():
            return _charged(attempt, answer, now, pace)
        case Declined():
            return _declined(attempt, answer, now)
        case Unavailable():
            return _not_sent(attempt, call, now, pace)
        case Unknown():
            return _no_answer(attempt, _S.SENT, call, now, pace)


def _on_query(attempt: Attempt, call: int, answer: QueryAnswer, now: datetime, pace: Pace) -> Step:
    match answer:
        case Charged():
            return _charged(attempt, answer, now, pace)
        case NotCharged():
            return _not_charged(attempt, call, now)
        case Unknown():
            return _no_answer(attempt, _S.QUERIED, call, now, pace)


def _on_void(attempt: Attempt, call: int, answer: VoidAnswer, now: datetime, pace: Pace) -> Step:
    match answer:
        case Voided():
            return _voided(attempt, now)
        case VoidRefused(reason):
            return _void_refused(attempt, reason, call, now, pace)
        case Unknown():
            return _no_answer(attempt, _S.VOID_REQUESTED, call, now, pace)


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tick(attempt: Attempt, now: datetime, pace: Pace) -> Step:
    if attempt.waiting and now >= attempt.budget_until:
        return _refused(attempt, Cause.BUDGET_SPENT, now, pace)
    due = attempt.due_at
    if attempt.wake_at is None or due is None:
        return Step(attempt)
    if now < attempt.wake_at:
        # A timer that went off early, by another clock, is set again: its moment must not be missed.
        return Step(attempt, (SetTimer(due),))
    match attempt.state:
        case _S.REQUESTED:
            return _send_charge(attempt, now, pace)
        case _S.SENT:
            return _doubt(attempt, Cause.NO_ANSWER, now, now)
        case _S.UNKNOWN:
            return _send_query(attempt, now, pace)
        case _S.QUERIED:
            return _doubt(attempt, Cause.NO_ANSWER, now, now + pace.pause(attempt.tries))
        case _S.CHARGED:
            return _ask_issuer(attempt, Cause.DUE, now, pace)
        case _S.VOID_REQUESTED:
            return _send_void(attempt, Cause.DUE, now, pace)
    raise InvariantBroken(f"funding attempt {attempt.key}: {attempt.state} has something due")


def _recover(attempt: Attempt, now: datetime, pace: Pace) -> Step:
    """What was outside is taken for lost, and asked for again; timers too."""
    if attempt.ended:
        return Step(attempt)
    if attempt.waiting and now >= attempt.budget_until:
        return _refused(attempt, Cause.BUDGET_SPENT, now, pace)
    if attempt.state in (_S.SENT, _S.QUERIED):
        return _doubt(attempt, Cause.RECOVERED, now, now)
    if attempt.state is _S.CHARGED:
        return _ask_issuer(attempt, Cause.RECOVERED, now, pace)
    if attempt.state is _S.VOID_REQUESTED:
        return _send_void(attempt, Cause.RECOVERED, now, pace)
    assert attempt.due_at is not None
    return Step(attempt, (SetTimer(attempt.due_at),))


# ── what a call came to ──────────────────────────────────────────────────────────────────────────────────────────────


def _charged(attempt: Attempt, told: Charged, now: datetime, pace: Pace) -> Step:
    """The provider has taken money: here, wherever the attempt stands."""
    if attempt.charged_minor:
        known = Charged(attempt.reference, attempt.charged_minor, attempt.charged_currency)
        return Step(attempt) if told == known else _contradicted(attempt, "charged twice under one key")
    exact = (told.amount_minor, told.currency) == (attempt.amount_minor, attempt.currency)
    taken = msgspec.structs.replace(
        attempt,
        reference=told.reference,
        charged_minor=told.amount_minor,
        charged_currency=told.currency,
        tries=0,
    )
    if attempt.state in _NOTHING_TAKEN:
        return _give_back(taken, Cause.CONTRADICTION, now, pace).also(
            Alert("charged after it was told that nothing was")
        )
    if not exact:
        asked = f"{attempt.amount_minor} {attempt.currency}"
        return _give_back(taken, Cause.WRONG_AMOUNT, now, pace).also(
            Alert(f"{asked} asked for, {told.amount_minor} {told.currency} charged")
        )
    if attempt.waiting and now < attempt.budget_until:
        return _ask_issuer(taken, Cause.ANSWERED, now, pace)
    return _give_back(taken, Cause.BUDGET_SPENT, now, pace)


def _declined(attempt: Attempt, told: Declined, now: datetime) -> Step:
    if attempt.state in _DOUBTFUL:
        end = _end(attempt, _S.DECLINED, Cause.ANSWERED, now)
        notice = Notify(Notice.DECLINED, attempt.amount_minor, attempt.currency)
        return end.also(notice) if attempt.waiting else end
    if attempt.charged_minor:
        return _contradicted(attempt, f"declined ({told.reason}) after it was charged")
    return Step(attempt)  # told before, or found the key closed by our query


def _not_sent(attempt: Attempt, call: int, now: datetime, pace: Pace) -> Step:
    if attempt.state is not _S.SENT or call != attempt.calls:
        return Step(attempt)
    again_at = now + pace.pause(attempt.tries)
    if not attempt.waiting or again_at >= attempt.budget_until or attempt.tries >= pace.charge_tries_max:
        return _end(attempt, _S.DECLINED, Cause.NOT_SENT, now)
    return Step(_moved(attempt, _S.REQUESTED, Cause.NOT_SENT, now, wake_at=again_at))


def _not_charged(attempt: Attempt, call: int, now: datetime) -> Step:
    if attempt.state in (_S.UNKNOWN, _S.QUERIED):
        return _end(attempt, _S.NOT_CHARGED, Cause.ANSWERED, now)
    if attempt.state is _S.VOID_REQUESTED and call == attempt.calls:
        # Nothing is taken any more: a person's word, since the machine asks nothing here.
        return _voided(attempt, now)
    if attempt.charged_minor and attempt.state is not _S.VOIDED:
        return _contradicted(attempt, "not charged after it was charged")
    return Step(attempt)


def _voided(attempt: Attempt, now: datetime) -> Step:
    if attempt.state is _S.VOID_REQUESTED:
        return _end(attempt, _S.VOIDED, Cause.ANSWERED, now).also(
            Notify(Notice.RETURNED, attempt.charged_minor, attempt.charged_currency)
        )
    return Step(attempt) if attempt.state is _S.VOIDED else _contradicted(attempt, "voided without having to be")


def _void_refused(attempt: Attempt, reason: VoidRefusal, call: int, now: datetime, pace: Pace) -> Step:
    if attempt.state is _S.CREDITED:
        return Step(attempt)
    if attempt.state is not _S.VOID_REQUESTED:
        return _contradicted(attempt, f"void refused ({reason}) after something else was told")
    if reason is not VoidRefusal.NO_SUCH_CHARGE and attempt.charged_currency == attempt.currency:
        amount, currency = attempt.charged_minor, attempt.charged_currency
        return _end(attempt, _S.CREDITED, Cause.ANSWERED, now).also(
            CreditBalance(amount, currency), Notify(Notice.CREDITED, amount, currency)
        )
    # Money that the provider denies can't be credited, nor can money of another currency: a person settles it.
    again = _no_answer(attempt, _S.VOID_REQUESTED, call, now, pace)
    return again.also(Alert(f"void refused ({reason}); nothing credited"))


def _no_answer(attempt: Attempt, asked_in: AttemptState, call: int, now: datetime, pace: Pace) -> Step:
    """A call in doubt. Its question is asked (again) by and by; one that is not the last call says nothing."""
    if attempt.state is not asked_in or call != attempt.calls:
        return Step(attempt)
    if asked_in is _S.SENT:
        return _doubt(attempt, Cause.NO_ANSWER, now, now)
    again_at = now + pace.pause(attempt.tries)
    if asked_in is _S.QUERIED:
        return _doubt(attempt, Cause.NO_ANSWER, now, again_at)
    return Step(_moved(attempt, _S.VOID_REQUESTED, Cause.NO_ANSWER, now, wake_at=again_at))


# ── what became of the purchase ──────────────────────────────────────────────────────────────────────────────────────


def _booked(attempt: Attempt, now: datetime) -> Step:
    if attempt.state is not _S.CHARGED:
        raise InvariantBroken(f"funding attempt {attempt.key}: its purchase was booked while it is {attempt.state}")
    after = msgspec.structs.replace(
        _moved(attempt, _S.BOOKED, Cause.BOOKED, now, wake_at=None), purchase=PurchaseState.APPROVED
    )
    return Step(after, (Notify(Notice.TOPPED_UP, attempt.charged_minor, attempt.currency),))


def _refused(attempt: Attempt, cause: Cause, now: datetime, pace: Pace) -> Step:
    """The purchase, which waits, is declined now. The money goes on by itself."""
    if attempt.state is _S.REQUESTED:
        return _end(attempt, _S.DECLINED, cause, now)
    if attempt.state is _S.CHARGED:
        return _give_back(attempt, cause, now, pace)
    declined = msgspec.structs.replace(attempt, purchase=PurchaseState.DECLINED, cause=cause, moved_at=now)
    return Step(declined, (DeclinePurchase(cause),))


# ── moves ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _moved(attempt: Attempt, state: AttemptState, cause: Cause, now: datetime, *, wake_at: datetime | None) -> Attempt:
    return msgspec.structs.replace(attempt, state=state, cause=cause, moved_at=now, wake_at=wake_at)


def _called(attempt: Attempt, state: AttemptState, cause: Cause, now: datetime, silence_until: datetime) -> Attempt:
    moved = _moved(attempt, state, cause, now, wake_at=silence_until)
    return msgspec.structs.replace(moved, calls=attempt.calls + 1, tries=attempt.tries + 1)


def _send_charge(attempt: Attempt, now: datetime, pace: Pace) -> Step:
    after = _called(attempt, _S.SENT, Cause.DUE, now, now + pace.answer)
    charge = Charge(
        key=attempt.key, source=attempt.source, amount_minor=attempt.amount_minor, currency=attempt.currency
    )
    return Step(after, (CallCharge(after.calls, charge),))


def _doubt(attempt: Attempt, cause: Cause, now: datetime, ask_at: datetime) -> Step:
    after = _moved(attempt, _S.UNKNOWN, cause, now, wake_at=ask_at)
    # Tries count queries from here on; those of the charge are over.
    return Step(msgspec.structs.replace(after, tries=0) if attempt.state is _S.SENT else after)


def _send_query(attempt: Attempt, now: datetime, pace: Pace) -> Step:
    after = _called(attempt, _S.QUERIED, Cause.DUE, now, now + pace.answer)
    query = Query(key=f"{attempt.key}.query.{after.calls}", charge_key=attempt.key)
    return Step(after, (CallQuery(after.calls, query), *_long_tried(after, pace)))


def _ask_issuer(attempt: Attempt, cause: Cause, now: datetime, pace: Pace) -> Step:
    after = _moved(attempt, _S.CHARGED, cause, now, wake_at=now + pace.answer)
    return Step(after, (BookPurchase(attempt.charged_minor, attempt.currency),))


def _give_back(attempt: Attempt, cause: Cause, now: datetime, pace: Pace) -> Step:
    """Money is taken that its purchase can't use. A purchase that still waits is declined in the same step."""
    declines = (DeclinePurchase(cause),) if attempt.waiting else ()
    fresh = msgspec.structs.replace(attempt, purchase=PurchaseState.DECLINED, tries=0)
    after, calls = _send_void(fresh, cause, now, pace)
    return Step(after, (*declines, *calls))


def _send_void(attempt: Attempt, cause: Cause, now: datetime, pace: Pace) -> Step:
    after = _called(attempt, _S.VOID_REQUESTED, cause, now, now + pace.answer + pace.pause(attempt.tries))
    void = Void(key=f"{attempt.key}.void", charge_key=attempt.key, reference=attempt.reference)
    return Step(after, (CallVoid(after.calls, void), *_long_tried(after, pace)))


def _end(attempt: Attempt, state: AttemptState, cause: Cause, now: datetime) -> Step:
    after = msgspec.structs.replace(
        _moved(attempt, state, cause, now, wake_at=None), purchase=PurchaseState.DECLINED, tries=0
    )
    return Step(after, (DeclinePurchase(cause),) if attempt.waiting else ())


def _long_tried(attempt: Attempt, pace: Pace) -> tuple[Alert, ...]:
    again = attempt.tries == pace.alert_after_tries
    return (Alert(f"still {attempt.state} after {attempt.tries} tries"),) if again else ()


def _contradicted(attempt: Attempt, text: str) -> Step:
    """The provider says what can't be; the money stays where it was believed to be, and a person looks."""
    return Step(attempt, (Alert(text),))
