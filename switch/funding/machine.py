"""What an attempt does next. Pure and total: an attempt, an event and the time give the next attempt and what to do.

The states and their table are drawn in ``switch.funding.attempt``; which actions belong into the commit and which come
after it, in ``switch.funding.action``. The rules that keep the money safe:

- A call goes out only after the commit that says so, so a row that is ``requested`` has no call under way.
- Only a provider's final word (charged, declined, not charged, voided, refused) decides where the money is. Silence and
  doubt lead to a query; a query that finds nothing closes the key, so a charge that was still on its way takes nothing.
- Money that is taken is in one of three places at the end: spent (``booked``), back (``voided``), on the balance
  (``credited``). Only ``Booked`` approves a purchase, only from ``charged``; and ``charged`` means exactly what was
  asked for.
- Money that is to go back is on no balance: what was never loaded, or what leaves the balance in the step that asks for
  the void. Only a refusal loads it (again).
- Answers may come late, twice, or to a daemon that did not ask. Word of taken money always counts. An answer that
  tells of no effect counts for its own call alone (``call``).
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from switch.contracts.errors import InvariantBroken
from switch.contracts.funding import (
    Charge,
    ChargeAnswer,
    Charged,
    Declined,
    DeclineReason,
    NotCharged,
    QueryAnswer,
    Unavailable,
    Unknown,
    VoidAnswer,
    Voided,
    VoidRefusal,
    VoidRefused,
)
from switch.funding.action import (
    Alert,
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
    PurchaseUndone,
    QueryAnswered,
    Recover,
    Tick,
    VoidAnswered,
)
from switch.funding.move import (
    Step,
    ask_balance,
    ask_issuer,
    doubt,
    end,
    give_back,
    keep,
    moved,
    send_charge,
    send_query,
    send_void,
    take_back,
)
from switch.funding.pace import Pace

__all__ = ["Step", "begin", "step"]

_S = AttemptState
_DOUBTFUL = frozenset({_S.SENT, _S.UNKNOWN, _S.QUERIED})
_KEY_CHARACTERS_MAX = 100
# Declines that are no word of the source's owner: nothing to tell the cardholder, and nothing against the source.
_OURS = frozenset({DeclineReason.KEY_CLOSED, DeclineReason.REJECTED})
_NOTHING_TAKEN = frozenset({_S.DECLINED, _S.NOT_CHARGED})


def begin(
    *, key: str, provider: str, source: str, amount_minor: int, currency: str, budget_until: datetime, now: datetime
) -> Step:
    """An attempt for the commit that parks its purchase. A Tick, also one in that commit, sends the charge: after it.

    Raises ValueError for what no provider could be asked: better while nothing is stored than when it is sent.
    """
    Charge(key=key, source=source, amount_minor=amount_minor, currency=currency)
    if len(key) > _KEY_CHARACTERS_MAX:
        raise ValueError(f"key: at most {_KEY_CHARACTERS_MAX} characters, since queries and voids add to it")
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
        case PurchaseUndone(unspent):
            return _undone(attempt, unspent, now, pace)


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
            return send_charge(attempt, now, pace)
        case _S.SENT:
            return doubt(attempt, Cause.NO_ANSWER, now, now)
        case _S.UNKNOWN:
            return send_query(attempt, now, pace)
        case _S.QUERIED:
            return doubt(attempt, Cause.NO_ANSWER, now, now + pace.pause(attempt.tries))
        case _S.CHARGED:
            return ask_issuer(attempt, Cause.DUE, now, pace)
        case _S.VOID_REQUESTED:
            return send_void(attempt, Cause.DUE, now, pace)
        case _S.BOOKED:
            return ask_balance(attempt)
    raise InvariantBroken(f"funding attempt {attempt.key}: {attempt.state} has something due")


def _recover(attempt: Attempt, now: datetime, pace: Pace) -> Step:
    """What was outside is taken for lost, and asked for again; timers too."""
    if attempt.ended:
        return Step(attempt)
    if attempt.waiting and now >= attempt.budget_until:
        return _refused(attempt, Cause.BUDGET_SPENT, now, pace)
    if attempt.state in (_S.SENT, _S.QUERIED):
        return doubt(attempt, Cause.RECOVERED, now, now)
    if attempt.state is _S.CHARGED:
        return ask_issuer(attempt, Cause.RECOVERED, now, pace)
    if attempt.state is _S.VOID_REQUESTED:
        return send_void(attempt, Cause.RECOVERED, now, pace)
    if attempt.state is _S.BOOKED:
        return ask_balance(attempt)
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
        return give_back(taken, Cause.CONTRADICTION, now, pace).also(
            Alert("charged after it was told that nothing was")
        )
    if not exact:
        asked = f"{attempt.amount_minor} {attempt.currency}"
        return give_back(taken, Cause.WRONG_AMOUNT, now, pace).also(
            Alert(f"{asked} asked for, {told.amount_minor} {told.currency} charged")
        )
    if attempt.waiting and now < attempt.budget_until:
        return ask_issuer(taken, Cause.ANSWERED, now, pace)
    return give_back(taken, Cause.BUDGET_SPENT, now, pace)


def _declined(attempt: Attempt, told: Declined, now: datetime) -> Step:
    if attempt.state in _DOUBTFUL:
        over = end(attempt, _S.DECLINED, Cause.CALL_REFUSED if told.reason in _OURS else Cause.ANSWERED, now)
        if told.reason is DeclineReason.REJECTED:
            over = over.also(Alert("the provider does not take our call for a valid one"))
        if not attempt.waiting or told.reason in _OURS:
            return over
        return over.also(Notify(Notice.DECLINED, attempt.amount_minor, attempt.currency))
    if attempt.charged_minor:
        return _contradicted(attempt, f"declined ({told.reason}) after it was charged")
    return Step(attempt)  # told before, or found the key closed by our query


def _not_sent(attempt: Attempt, call: int, now: datetime, pace: Pace) -> Step:
    if attempt.state is not _S.SENT or call != attempt.calls:
        return Step(attempt)
    again_at = now + pace.pause(attempt.tries)
    if not attempt.waiting or again_at >= attempt.budget_until or attempt.tries >= pace.charge_tries_max:
        return end(attempt, _S.DECLINED, Cause.NOT_SENT, now)
    return Step(moved(attempt, _S.REQUESTED, Cause.NOT_SENT, now, wake_at=again_at))


def _not_charged(attempt: Attempt, call: int, now: datetime) -> Step:
    if attempt.state in (_S.UNKNOWN, _S.QUERIED):
        return end(attempt, _S.NOT_CHARGED, Cause.ANSWERED, now)
    if attempt.state is _S.VOID_REQUESTED and call == attempt.calls:
        # Nothing is taken any more: a person's word, since the machine asks nothing here.
        return _voided(attempt, now)
    if attempt.charged_minor and attempt.state is not _S.VOIDED:
        return _contradicted(attempt, "not charged after it was charged")
    return Step(attempt)


def _voided(attempt: Attempt, now: datetime) -> Step:
    if attempt.state is _S.VOID_REQUESTED:
        return end(attempt, _S.VOIDED, Cause.ANSWERED, now).also(
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
        return end(attempt, _S.CREDITED, Cause.ANSWERED, now).also(
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
        return doubt(attempt, Cause.NO_ANSWER, now, now)
    again_at = now + pace.pause(attempt.tries)
    if asked_in is _S.QUERIED:
        return doubt(attempt, Cause.NO_ANSWER, now, again_at)
    return Step(moved(attempt, _S.VOID_REQUESTED, Cause.NO_ANSWER, now, wake_at=again_at))


# ── what became of the purchase ──────────────────────────────────────────────────────────────────────────────────────


def _booked(attempt: Attempt, now: datetime) -> Step:
    if attempt.state is not _S.CHARGED:
        raise InvariantBroken(f"funding attempt {attempt.key}: its purchase was booked while it is {attempt.state}")
    after = msgspec.structs.replace(
        moved(attempt, _S.BOOKED, Cause.BOOKED, now, wake_at=None), purchase=PurchaseState.APPROVED
    )
    return Step(after, (Notify(Notice.TOPPED_UP, attempt.charged_minor, attempt.currency),))


def _refused(attempt: Attempt, cause: Cause, now: datetime, pace: Pace) -> Step:
    """The purchase, which waits, is declined now. The money goes on by itself."""
    if attempt.state is _S.REQUESTED:
        return end(attempt, _S.DECLINED, cause, now)
    if attempt.state is _S.CHARGED:
        return give_back(attempt, cause, now, pace)
    declined = msgspec.structs.replace(attempt, purchase=PurchaseState.DECLINED, cause=cause, moved_at=now)
    return Step(declined, (DeclinePurchase(cause),))


def _undone(attempt: Attempt, unspent: bool, now: datetime, pace: Pace) -> Step:
    """The row of a purchase that was reversed has something due until this was said."""
    if attempt.state is not _S.BOOKED or attempt.ended:
        return Step(attempt)
    return take_back(attempt, now, pace) if unspent else keep(attempt, now)


def _contradicted(attempt: Attempt, text: str) -> Step:
    """The provider says what can't be; the money stays where it was believed to be, and a person looks."""
    return Step(attempt, (Alert(text),))
