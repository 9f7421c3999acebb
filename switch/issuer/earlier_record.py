"""Earlier records under the same acquirer reference (ARN)."""

from __future__ import annotations

from switch.contracts.clearing import ClearingKind
from switch.contracts.message import Operation
from switch.issuer.case import Case
from switch.issuer.clearing_item import ClearingItem, ItemState
from switch.issuer.clearing_outcome import clearing_of

__all__ = ["came_before", "same_reference"]


def same_reference(case: Case, kinds: tuple[ClearingKind, ...]) -> list[ClearingItem]:
    """Other records of these kinds under the reference: of refunds where the record in hand is of one, else of none."""
    request, reference = case.request, clearing_of(case).acquirer_reference
    refund = request.operation is Operation.REFUND
    return [
        item
        for item in case.view.clearing_items
        if reference and item.acquirer_reference == reference and item.network == request.network
        if item.kind in kinds and item.key != case.key and (item.operation is Operation.REFUND) is refund
    ]


def came_before(case: Case) -> bool:
    """Whether another record said this very thing already: same kind, reference and place in the sequence."""
    clearing = clearing_of(case)
    return any(
        item.sequence == clearing.sequence and (item.stands or item.state is ItemState.IN_DOUBT)
        for item in same_reference(case, (clearing.kind,))
    )
