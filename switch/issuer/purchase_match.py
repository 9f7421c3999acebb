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
    approval_code_alone    60         DE38 is the same, within the window
    place_and_amount       40         an open hold of the very amount at the same terminal and acquirer, in the window
    ====================  ==========  ==========================================================================

Where a level finds several purchases, the approval code, then the amount, then being open narrow them down; what is
still several is ambiguous, and for a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import msgspec

from switch.contracts.message import Kind, Request
from switch.issuer.case import Case
from switch.issuer.clearing_item import ItemState
from switch.issuer.hold import Hold, HoldState
from switch.issuer.stored import StoredMessage

__all__ = ["PurchaseMatch", "find_purchase"]

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


def find_purchase(case: Case, amount_minor: int) -> PurchaseMatch:
    """The purchase that the clearing record in ``case`` settles, changes or brings back.

    ``amount_minor`` is in the account's currency. Credits that stand alone are no purchases.
    """
    request, view = case.request, case.view
    told = [
        (candidate.message, hold)
        for candidate in view.candidates
        if candidate.message.hold_id is not None and candidate.message.network == request.network
        if (hold := view.holds.get(candidate.message.hold_id)) is not None and not hold.credit
    ]
    recent = timedelta(days=120 if view.program is None else view.program.clearing.match_window_days)
    in_window = [(message, hold) for message, hold in told if case.now - hold.opened_at <= recent]
    levels: tuple[tuple[str, Iterable[Hold]], ...] = (
        ("network_reference", _fitting(told, lambda m, _: _same(request.network_reference, m.network_reference))),
        ("acquirer_reference", _of_earlier_records(case)),
        ("retrieval_reference", _fitting(in_window, lambda m, h: _by_retrieval_reference(request, m, h))),
        (
            "approval_code",
            _fitting(
                in_window,
                lambda m, h: (
                    _same(request.approval_code, h.approval_code)
                    and (amount_minor in (h.held_minor, h.authorized_minor) or _same_place(request, m))
                ),
            ),
        ),
        ("approval_code_alone", _fitting(in_window, lambda _, h: _same(request.approval_code, h.approval_code))),
        (
            "place_and_amount",
            _fitting(in_window, lambda m, h: _by_place_and_amount(request, m, h, amount_minor)),
        ),
    )
    for level, hits in levels:
        holds = list({hold.hold_id: hold for hold in hits}.values())
        if holds:
            return _choose(request, holds, level, amount_minor)
    return PurchaseMatch()


def _fitting(told: Sequence[tuple[StoredMessage, Hold]], fits: Callable[[StoredMessage, Hold], bool]) -> list[Hold]:
    return [hold for message, hold in told if fits(message, hold)]


def _of_earlier_records(case: Case) -> list[Hold]:
    """The purchases of earlier records with the same acquirer reference."""
    reference = case.request.clearing.acquirer_reference if case.request.clearing is not None else ""
    return [
        hold
        for item in case.view.clearing_items
        if _same(reference, item.acquirer_reference) and item.hold_id is not None
        if item.state in (ItemState.MATCHED, ItemState.FORCED, ItemState.REVERSED)
        if (hold := case.view.holds.get(item.hold_id)) is not None and not hold.credit
    ]


def _same(wanted: str, found: str) -> bool:
    return bool(wanted) and wanted == found


def _differ(one: str, other: str) -> bool:
    return bool(one) and bool(other) and one != other


def _same_place(request: Request, message: StoredMessage) -> bool:
    return _same(request.terminal_id, message.terminal_id) and not _differ(request.acquirer_id, message.acquirer_id)


def _by_retrieval_reference(request: Request, message: StoredMessage, hold: Hold) -> bool:
    return (
        _same(request.retrieval_reference, message.retrieval_reference)
        # A retrieval reference is unique only for its acquirer.
        and not _differ(request.acquirer_id, message.acquirer_id)
        and not _differ(request.network_reference, message.network_reference)
        and not _differ(request.approval_code, hold.approval_code)
    )


def _by_place_and_amount(request: Request, message: StoredMessage, hold: Hold, amount_minor: int) -> bool:
    return (
        hold.state is HoldState.OPEN
        and amount_minor == hold.held_minor
        and message.kind is not Kind.PRESENTMENT
        and _same(request.terminal_id, message.terminal_id)
        and _same(request.acquirer_id, message.acquirer_id)
        and not _differ(request.approval_code, hold.approval_code)
        and not _differ(request.retrieval_reference, message.retrieval_reference)
        and not _differ(request.network_reference, message.network_reference)
    )


def _choose(request: Request, holds: list[Hold], level: str, amount_minor: int) -> PurchaseMatch:
    narrower: tuple[Callable[[Hold], bool], ...] = (
        lambda hold: _same(request.approval_code, hold.approval_code),
        lambda hold: amount_minor in (hold.held_minor, hold.authorized_minor),
        lambda hold: hold.state is HoldState.OPEN,
    )
    for fits in narrower:
        if len(holds) > 1:
            holds = [hold for hold in holds if fits(hold)] or holds
    if len(holds) > 1:
        return PurchaseMatch(level=level, several=tuple(sorted(hold.hold_id for hold in holds)))
    return PurchaseMatch(hold=holds[0], level=level, confidence=_CONFIDENCE[level])
