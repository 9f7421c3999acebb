"""A clearing record as the issuer keeps it: what became of it.

::

    (start) ──┬──▶ matched ◀──┬── bound to a purchase by a person
              ├──▶ forced  ◀──┤   posted by itself, by a person
              ├──▶ in_doubt ──┴── rejected
              ├──▶ noted                                     nothing to book
              │
        matched, forced ──▶ reversed                         taken back; a chargeback: presented again

The same table stands in the database (``clearing_transition``), where ``record_beside`` checks every step again.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from switch.contracts.clearing import ClearingKind
from switch.contracts.errors import InvariantBroken
from switch.contracts.message import Operation

__all__ = ["CLEARING_TRANSITIONS", "ClearingItem", "ItemState", "check_item_transition"]


class ItemState(StrEnum):
    """What became of a clearing record; see the drawing above."""

    MATCHED = "matched"  # it belongs to a purchase that we know
    FORCED = "forced"  # it belongs to none, and was booked by itself
    IN_DOUBT = "in_doubt"  # a person has to say
    NOTED = "noted"  # there was nothing to book
    REJECTED = "rejected"  # a person said that it is not booked
    REVERSED = "reversed"


_S = ItemState
CLEARING_TRANSITIONS: frozenset[tuple[ItemState | None, ItemState]] = frozenset(
    {
        (None, _S.MATCHED),
        (None, _S.FORCED),
        (None, _S.IN_DOUBT),
        (None, _S.NOTED),
        (_S.IN_DOUBT, _S.MATCHED),
        (_S.IN_DOUBT, _S.FORCED),
        (_S.IN_DOUBT, _S.REJECTED),
        (_S.MATCHED, _S.REVERSED),
        (_S.FORCED, _S.REVERSED),
    }
)


class ClearingItem(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One clearing record and its outcome. ``level`` and ``confidence`` (0-100) say how its purchase was found."""

    account_id: int  # 0 where no card was found
    key: bytes  # of the stored message
    network: str
    kind: ClearingKind
    operation: Operation
    acquirer_reference: str
    sequence: int
    sequence_count: int  # how many presentments there will be; 0 when not told
    state: ItemState
    why: str  # in one word: the match level, or what is in doubt
    confidence: int
    hold_id: int | None
    amount_minor: int  # what it tells of, in the account's currency; 0 where it does not say

    @property
    def stands(self) -> bool:
        """Whether it was booked, and was not taken back."""
        return self.state in (ItemState.MATCHED, ItemState.FORCED)


def check_item_transition(before: ItemState | None, after: ItemState) -> None:
    """Raises InvariantBroken unless the table allows it (``before`` is None for a new record)."""
    if (before, after) not in CLEARING_TRANSITIONS:
        raise InvariantBroken(f"a clearing record cannot go from {before} to {after}")
