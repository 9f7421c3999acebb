"""Taking back an approval that nobody heard.

The deadline had passed and 91 was sent; then the approval became durable all the same.

The network counts the request as not approved, so the money must not stay set aside. The stored answer becomes 91 as
well, so that a repeat hears what the network heard first. If, however, the network counts on the approval by now (it
was heard, or a stand-in, a financial advice or a presentment was booked on it), nothing is taken back.

Who has heard it: the message that brought it about was answered once, and ``repeats_answered`` times more. Each answer
that came too late, the first one's or a repeat's, comes here and takes itself off the count; the one that finds no
other left takes the approval back. So a late answer to a repeat leaves an approval that was heard the first time.
"""

from __future__ import annotations

from switch.contracts.message import Answer, Kind
from switch.contracts.reason import Reason
from switch.issuer.case import Case, Decision, Step
from switch.issuer.hold import HoldState
from switch.issuer.reversal import is_part, take_back
from switch.issuer.stored import MessageState

__all__ = ["decide_withdrawal"]

_ADVICES = frozenset({Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE, Kind.PRESENTMENT})
_MISSED = Answer(reason=Reason.DEADLINE_MISSED)


def decide_withdrawal(case: Case) -> Decision:
    """``case.view.stored`` is the late approval, or None when it never became durable (then there is nothing to do)."""
    stored = case.view.stored
    if stored is None or not stored.approved:
        return Decision(answer=_MISSED, trace=(Step("withdrawal", "nothing_stored", {}),), remember_as=None)
    if stored.repeats_answered:
        # All answers were one more than the repeats', and this one was not heard: so many may have been.
        step = Step("withdrawal", "heard", {"times": stored.repeats_answered})
        return Decision(answer=stored.answer, trace=(step,), remember_as=None)
    hold = None if stored.hold_id is None else case.view.holds.get(stored.hold_id)
    reversed_since = stored.state is MessageState.REVERSED
    if hold is None or reversed_since or hold.state not in (HoldState.OPEN, HoldState.POSTED):
        step = Step("withdrawal", "withdrawn", {"hold": stored.hold_id, "taken_back": 0})
        return Decision(answer=_MISSED, trace=(step,), remember_as=MessageState.WITHDRAWN)
    # The caller brings the advices that came for this purchase after the approval. What was posted on an authorization
    # was posted by one of them.
    if any(c.message.hold_id == hold.hold_id and c.message.kind in _ADVICES for c in case.view.candidates):
        step = Step("withdrawal", "network_counts_on_it", {"hold": stored.hold_id})
        return Decision(answer=stored.answer, trace=(step,), remember_as=None)
    current = hold.posted_minor if hold.state is HoldState.POSTED else hold.held_minor
    taken = min(stored.moved_minor, current)
    # What had expired before a late increment was heard.
    end = HoldState.EXPIRED if is_part(stored, hold) else HoldState.WITHDRAWN
    change, usage = take_back(case, hold, current - taken, end)
    step = Step("withdrawal", "withdrawn", {"hold": hold.hold_id, "taken_back": taken})
    return Decision(
        answer=_MISSED,
        trace=(step,),
        movements=change.movements,
        hold=change.hold,
        usage=usage,
        remember_as=MessageState.WITHDRAWN,
    )
