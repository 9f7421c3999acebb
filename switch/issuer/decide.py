"""The one door into the issuer: ``decide(case) -> Decision``, total and pure."""

from __future__ import annotations

from switch.contracts.message import Answer, Kind
from switch.contracts.reason import Reason
from switch.issuer.advice import decide_advice
from switch.issuer.case import Case, Decision, Seen, Step
from switch.issuer.presentment import decide_presentment
from switch.issuer.purchase import decide_request
from switch.issuer.reversal import decide_reversal
from switch.issuer.stored import MessageState

__all__ = ["decide"]


def decide(case: Case) -> Decision:
    """Decides one message.

    A message whose key is stored already is a repeat, whatever its MTI: it gets the stored answer, declines included,
    and changes nothing. The same key with other content is answered 94 and shown to a person.
    """
    stored, clearing = case.view.stored, case.request.clearing
    instructed = clearing is not None and clearing.instruction is not None
    if stored is not None and not instructed:
        if stored.fingerprint == case.fingerprint and stored.state is MessageState.PARKED:
            # Who can't wait for the top-up hears that nobody can tell now.
            return Decision(
                answer=Answer(reason=Reason.UNAVAILABLE),
                trace=(Step("idempotency_key", "parked", {"repeat": case.request.repeat}),),
                remember_as=None,
                waits=True,
            )
        if stored.fingerprint == case.fingerprint:
            seen: Seen = {"answered": str(stored.answer.reason), "repeat": case.request.repeat}
            return Decision(
                answer=stored.answer,
                trace=(Step("idempotency_key", "repeat", seen),),
                remember_as=None,
                repeat_of=stored,
            )
        # It leaves no record of its own, so what it asked or told of is shown here: it may be an advice.
        told: Seen = {
            "repeat": case.request.repeat,
            "operation": case.request.operation,
            "amount": case.request.amount_minor,
            "currency": case.request.currency,
            "amount_before": stored.amount_minor,
        }
        return Decision(
            answer=Answer(reason=Reason.KEY_REUSED),
            trace=(Step("idempotency_key", Reason.KEY_REUSED, told),),
            remember_as=None,
            concern=Reason.KEY_REUSED,
        )
    match case.request.kind:
        case Kind.AUTHORIZATION | Kind.FINANCIAL:
            return decide_request(case)
        case Kind.AUTHORIZATION_ADVICE | Kind.FINANCIAL_ADVICE:
            return decide_advice(case)
        case Kind.REVERSAL:
            return decide_reversal(case)
        case Kind.PRESENTMENT:
            return decide_presentment(case)
