"""Money back by a clearing record, to the pockets that paid where the purchase is known."""

from __future__ import annotations

import msgspec

from switch.contracts.message import Kind, Operation
from switch.issuer.account import EntryKind, Movement, Side
from switch.issuer.case import Case, Decision, Seen
from switch.issuer.change import Change, bring_back
from switch.issuer.clearing_item import ItemState
from switch.issuer.clearing_outcome import in_doubt, kept, step_of
from switch.issuer.hold import Hold
from switch.issuer.outcome import booked
from switch.issuer.posting import post_alone
from switch.issuer.purchase_match import PurchaseMatch
from switch.issuer.stored import StoredMessage

__all__ = ["refund", "refund_alone", "refund_on_purchase"]


def refund(case: Case, value: int, found: PurchaseMatch) -> Decision:
    """Credits ``value``, unless a single message or a financial advice has credited it before."""
    credited = _credited_by_messages(case)
    if len(credited) > 1:
        credited = [hold for hold in credited if _untold(hold) == value] or credited
    if len(credited) > 1:
        return in_doubt(case, "ambiguous_purchase", {"holds": ", ".join(str(hold.hold_id) for hold in credited)})
    if credited:
        return _told(case, value, credited[0])
    if found.hold is None or not found.hold.posted_minor:
        return refund_alone(case, value, found)
    return refund_on_purchase(case, value, found.hold, found)


def refund_on_purchase(case: Case, value: int, hold: Hold, found: PurchaseMatch) -> Decision:
    """To the pockets that paid for the purchase. More than is left of it goes to the money, and is flagged."""
    left = max(0, hold.posted_minor - hold.refunded_minor)
    seen: Seen = {"amount": value, "level": found.level, "hold": hold.hold_id, "refundable": left}
    decision = booked(
        case,
        step_of(case, ItemState.MATCHED, found.level, seen),
        bring_back(hold, value, EntryKind.REFUND),
        moved_minor=value,
        concern="refund_exceeds_purchase" if value > left else "",
        counts_in_limits=False,
    )
    return kept(case, decision, ItemState.MATCHED, found.level, found.confidence)


def refund_alone(case: Case, value: int, found: PurchaseMatch) -> Decision:
    """To the money, since the purchase is not known or was not presented yet. Flagged unless it was authorized."""
    authorized = _authorization(case)
    why, state, concern = "no_purchase", ItemState.FORCED, "refund_without_purchase"
    if authorized is not None:
        why, state = "refund_authorization", ItemState.MATCHED
        concern = "refund_exceeds_authorization" if case.request.amount_minor > authorized.amount_minor else ""
        concern = "refund_cleared_again" if _cleared_before(case) else concern
    seen: Seen = {
        "amount": value,
        "level": found.level,
        "hold": None if found.hold is None else found.hold.hold_id,
        "hold_state": None if found.hold is None else found.hold.state,
    }
    step = step_of(case, state, why, seen)
    decision = post_alone(case, step, value, EntryKind.REFUND, concern=concern, presented=True)
    return kept(case, decision, state, why, 0 if authorized is None else 90)


def _told(case: Case, value: int, hold: Hold) -> Decision:
    """The record tells of a credit that stands already, perhaps of more than that."""
    told_before = min(value, _untold(hold))
    rest = value - told_before
    more = (Movement(EntryKind.REFUND, Side.NETWORK, Side.AVAILABLE, rest, hold.hold_id),) if rest else ()
    after = msgspec.structs.replace(
        hold, posted_minor=hold.posted_minor + rest, presented_minor=hold.presented_minor + value
    )
    seen: Seen = {"amount": value, "hold": hold.hold_id, "posted": hold.posted_minor, "told_before": told_before}
    concern = "presented_more_than_posted" if rest else ""
    concern = "presented_less_than_posted" if after.presented_minor < after.posted_minor else concern
    step = step_of(case, ItemState.MATCHED, "refund_message", seen)
    decision = booked(case, step, Change(more, after), moved_minor=rest, concern=concern)
    return kept(case, decision, ItemState.MATCHED, "refund_message", 90)


def _untold(hold: Hold) -> int:
    """What was posted on it that no clearing record has told of."""
    return hold.posted_minor - hold.presented_minor


def _refunds(case: Case, *kinds: Kind) -> list[StoredMessage]:
    """Approved refund messages with the references of the record."""
    request = case.request
    return [
        message
        for message in (candidate.message for candidate in case.view.candidates)
        if message.kind in kinds
        and message.operation is Operation.REFUND
        and message.approved
        and message.network == request.network
        and (
            (request.network_reference and request.network_reference == message.network_reference)
            or (request.retrieval_reference and request.retrieval_reference == message.retrieval_reference)
        )
    ]


def _credited_by_messages(case: Case) -> list[Hold]:
    """Credits that single messages and advices have posted, and no clearing record has told of in full."""
    ids = {message.hold_id for message in _refunds(case, Kind.FINANCIAL, Kind.FINANCIAL_ADVICE)} - {None}
    holds = (case.view.holds.get(hold_id) for hold_id in sorted(id_ for id_ in ids if id_ is not None))
    return [hold for hold in holds if hold is not None and hold.credit and _untold(hold) > 0]


def _authorization(case: Case) -> StoredMessage | None:
    """The refund authorization that this record clears: the one that approved most, where there are several."""
    return max(_refunds(case, Kind.AUTHORIZATION), key=lambda message: message.amount_minor, default=None)


def _cleared_before(case: Case) -> bool:
    """Whether a record has cleared the refund authorization already."""
    return any(message.hold_id is not None for message in _refunds(case, Kind.PRESENTMENT))
