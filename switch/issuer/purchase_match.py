"""Which purchase does a clearing record belong to?

No single element is reliable, so they are tried in an order of trust, and the first level that finds anything
decides. Each has a confidence, which is a rank for people and no probability:

    ====================  ==========  ==========================================================================
    level                 confidence  fits when
    ====================  ==========  ==========================================================================
    network_reference     100         the network's own id of the purchase is the same
    acquirer_reference     95         an earlier record with the same acquirer reference (ARN) was matched
    retrieval_reference    90         DE37 is the same; acquirers and approval codes do not contradict
    approval_code          80         DE38 is the same, within the window of days, and so is the amount or the place
    approval_code_alone    60         DE38 is the same, within the window; acquirers do not contradict
    place_and_amount       40         a presentment, and an open hold of the very amount at the same terminal and
                                      acquirer, in the window
    ====================  ==========  ==========================================================================

A purchase that has another id of the network than the record is another one, whatever else they share. Where a level
finds several purchases, the approval code, then the amount, then being open (for a refund: being posted) narrow them
down (an additional charge has an amount of its own); what is still several is ambiguous, and for a person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec

from switch.contracts.clearing import ClearingKind
from switch.contracts.message import Operation, Request
from switch.issuer.case import Case
from switch.issuer.hold import Hold, HoldState
from switch.issuer.stored import StoredMessage

__all__ = ["PurchaseMatch", "find_purchase", "names_surely"]

_CONFIDENCE = {
    "network_reference": 100,
    "acquirer_reference": 95,
    "retrieval_reference": 90,
    "approval_code": 80,
    "approval_code_alone": 60,
    "place_and_amount": 40,
}


class PurchaseMatch(msgspec.Struct, frozen=True, gc=False):
    """``hold`` is None when nothing fits or when ``several`` do (their ids)."""

    hold: Hold | None = None
    level: str = "none"
    confidence: int = 0
    several: tuple[int, ...] = ()


class _Purchase(NamedTuple):
    """A purchase and all that is known to have been said about it."""

    hold: Hold
    messages: Sequence[StoredMessage]


def find_purchase(case: Case, amount_minor: int) -> PurchaseMatch:
    """The purchase that the clearing record in ``case`` settles, changes or brings back.

    ``amount_minor`` is in the account's currency. Credits that stand alone are no purchases.
    """
    request, view = case.request, case.view
    purchases = [known for known in _purchases(case) if not _of_another_id(request, known)]
    window = timedelta(days=120 if view.program is None else view.program.clearing.match_window_days)
    recent = [known for known in purchases if case.now - known.hold.opened_at <= window]
    by_code = [known for known in recent if _same_code(request, known)]
    levels: tuple[tuple[str, list[Hold]], ...] = (
        (
            "network_reference",
            _holds(purchases, lambda m: _same(request.network_reference, m.network_reference)),
        ),
        ("acquirer_reference", _of_earlier_records(case)),
        (
            "retrieval_reference",
            [known.hold for known in recent if any(_by_retrieval_reference(request, known, m) for m in known.messages)],
        ),
        (
            "approval_code",
            [
                known.hold
                for known in by_code
                if amount_minor in _amounts(request, known.hold)
                or any(_same_place(request, message) for message in known.messages)
            ],
        ),
        ("approval_code_alone", _holds(by_code, lambda m: not _differ(request.acquirer_id, m.acquirer_id))),
        ("place_and_amount", [known.hold for known in recent if _by_place_and_amount(request, known, amount_minor)]),
    )
    for level, holds in levels:
        if holds:
            return _choose(request, holds, level, amount_minor)
    return PurchaseMatch()


def names_surely(request: Request, message: StoredMessage) -> bool:
    """Whether ``message`` alone shows that a reference of the record names a purchase: nothing else need be sought."""
    return (
        message.hold_id is not None
        and message.operation is not Operation.REFUND
        and message.network == request.network
        and (
            _same(request.network_reference, message.network_reference)
            or (
                _same(request.retrieval_reference, message.retrieval_reference)
                and not _differ(request.acquirer_id, message.acquirer_id)
                and not _differ(request.network_reference, message.network_reference)
                and request.approval_code in ("", message.answer.approval_code)
            )
        )
    )


def _purchases(case: Case) -> list[_Purchase]:
    """The purchases of the card that messages of the same network have moved."""
    messages: dict[int, list[StoredMessage]] = {}
    for candidate in case.view.candidates:
        message = candidate.message
        if message.hold_id is not None and message.network == case.request.network:
            messages.setdefault(message.hold_id, []).append(message)
    return [
        _Purchase(hold, messages[hold_id])
        for hold_id in sorted(messages)
        if (hold := case.view.holds.get(hold_id)) is not None and not hold.credit
    ]


def _holds(purchases: Sequence[_Purchase], fits: Callable[[StoredMessage], bool]) -> list[Hold]:
    return [known.hold for known in purchases if any(map(fits, known.messages))]


def _of_earlier_records(case: Case) -> list[Hold]:
    """The purchases of earlier records with the same acquirer reference, those that were taken back among them."""
    request = case.request
    reference = request.clearing.acquirer_reference if request.clearing is not None else ""
    ids = {
        item.hold_id
        for item in case.view.clearing_items
        if _same(reference, item.acquirer_reference) and item.network == request.network and item.hold_id is not None
    }
    return [hold for hold_id in sorted(ids) if (hold := case.view.holds.get(hold_id)) is not None and not hold.credit]


def _same(wanted: str, found: str) -> bool:
    return bool(wanted) and wanted == found


def _differ(one: str, other: str) -> bool:
    return bool(one) and bool(other) and one != other


def _of_another_id(request: Request, known: _Purchase) -> bool:
    ids = {message.network_reference for message in known.messages if message.network_reference}
    return bool(request.network_reference and ids) and request.network_reference not in ids


def _same_code(request: Request, known: _Purchase) -> bool:
    return _same(request.approval_code, known.hold.approval_code) or any(
        _same(request.approval_code, message.answer.approval_code) for message in known.messages
    )


def _same_place(request: Request, message: StoredMessage) -> bool:
    return _same(request.terminal_id, message.terminal_id) and not _differ(request.acquirer_id, message.acquirer_id)


def _by_retrieval_reference(request: Request, known: _Purchase, message: StoredMessage) -> bool:
    return (
        _same(request.retrieval_reference, message.retrieval_reference)
        # A retrieval reference is unique only for its acquirer.
        and not _differ(request.acquirer_id, message.acquirer_id)
        # A refund has an approval code of its own.
        and (
            request.operation is Operation.REFUND
            or not _differ(request.approval_code, known.hold.approval_code)
            or _same_code(request, known)
        )
    )


def _by_place_and_amount(request: Request, known: _Purchase, amount_minor: int) -> bool:
    hold, clearing = known.hold, request.clearing
    return (
        clearing is not None
        and clearing.kind is ClearingKind.PRESENTMENT
        and request.operation is not Operation.REFUND
        and hold.state is HoldState.OPEN
        and amount_minor == hold.held_minor
        and not _differ(request.approval_code, hold.approval_code)
        and any(_same_place(request, m) and _same(request.acquirer_id, m.acquirer_id) for m in known.messages)
        and not any(_differ(request.retrieval_reference, m.retrieval_reference) for m in known.messages)
    )


def _amounts(request: Request, hold: Hold) -> set[int]:
    """What a record of this purchase would tell of, if it told of all that is left."""
    if _is_additional(request):
        return set()
    if request.operation is Operation.REFUND:
        return {hold.posted_minor, hold.posted_minor - hold.refunded_minor} - {0}
    left = {hold.held_minor, hold.posted_minor - hold.presented_minor, hold.authorized_minor - hold.presented_minor}
    return left - {0}


def _is_additional(request: Request) -> bool:
    return request.clearing is not None and request.clearing.kind is ClearingKind.ADDITIONAL_CHARGE


def _is_wanted(request: Request, hold: Hold) -> bool:
    """Whether the purchase stands as one would expect where such a record comes."""
    if request.operation is Operation.REFUND:
        return hold.posted_minor > 0
    return hold.state is HoldState.OPEN or (_is_additional(request) and hold.state is HoldState.POSTED)


def _choose(request: Request, holds: Sequence[Hold], level: str, amount_minor: int) -> PurchaseMatch:
    narrower: tuple[Callable[[Hold], bool], ...] = (
        lambda hold: _same(request.approval_code, hold.approval_code),
        lambda hold: amount_minor in _amounts(request, hold),
        lambda hold: _is_wanted(request, hold),
    )
    for fits in narrower:
        if len(holds) > 1:
            holds = [hold for hold in holds if fits(hold)] or holds
    if len(holds) > 1:
        return PurchaseMatch(level=level, several=tuple(hold.hold_id for hold in holds))
    return PurchaseMatch(hold=holds[0], level=level, confidence=_CONFIDENCE[level])
