"""The life of one approved purchase, from the hold to its end.

Theory of operation. A purchase begins when a message moves money: an authorization sets an amount aside (``open``), a
single message posts it at once (``posted``). ``held_minor`` is what is still set aside, ``posted_minor`` what has
left the account for good. A refund that arrives as a single message is a purchase with ``credit = True``: its posting
brings money in.

::

                 ┌── increment, partial reversal, stand-in amount ──┐
                 ▼                                                  │
    (start) ──▶ open ───────────────────────────────────────────────┘
       │         ├── full reversal ─────────────────▶ reversed ─┐
       │         ├── the network declined it ───────▶ released ─┤   a financial advice tells of money that
       │         ├── our approval came too late ────▶ withdrawn ┤   has moved: it posts whatever came before
       │         │        │  ▲                                  │
       │         │        └──┴─ a stand-in approval opens it again
       │         └── financial advice ──┐                       │
       └── single message ─────────────▶ posted ◀───────────────┘
                                          └── reversal or withdrawal of the posting ──▶ reversed, withdrawn

The same table stands in the database (``hold_transition``), where ``record_unit`` checks every step again.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from switch.contracts.errors import InvariantBroken

__all__ = ["TRANSITIONS", "Hold", "HoldState", "check_transition"]


class HoldState(StrEnum):
    """Where a purchase stands; see the drawing above."""

    OPEN = "open"
    POSTED = "posted"
    REVERSED = "reversed"
    RELEASED = "released"
    WITHDRAWN = "withdrawn"


_S = HoldState
TRANSITIONS: frozenset[tuple[HoldState | None, HoldState]] = frozenset(
    {
        (None, _S.OPEN),
        (None, _S.POSTED),
        (_S.OPEN, _S.OPEN),
        (_S.OPEN, _S.POSTED),
        (_S.OPEN, _S.REVERSED),
        (_S.OPEN, _S.RELEASED),
        (_S.OPEN, _S.WITHDRAWN),
        (_S.POSTED, _S.POSTED),
        (_S.POSTED, _S.REVERSED),
        (_S.POSTED, _S.WITHDRAWN),
        (_S.REVERSED, _S.POSTED),
        (_S.RELEASED, _S.POSTED),
        (_S.WITHDRAWN, _S.OPEN),
        (_S.WITHDRAWN, _S.POSTED),
    }
)


class Hold(msgspec.Struct, frozen=True, gc=False):
    """One purchase.

    Invariants: ``held_minor >= 0``, ``posted_minor >= 0``, and nothing is held unless the state is open.
    """

    account_id: int
    hold_id: int  # the ``seq`` of the journal entry that began it
    card_id: int
    state: HoldState
    authorized_minor: int  # what was approved in all, increments included
    held_minor: int
    posted_minor: int
    credit: bool  # a refund: the posting brings money in
    mcc: str
    opened_at: datetime  # UTC; decides which limit periods a reversal gives back to

    def check_invariants(self) -> None:
        """Raises InvariantBroken when the figures contradict the state."""
        if self.held_minor < 0 or self.posted_minor < 0 or (self.held_minor > 0 and self.state is not HoldState.OPEN):
            raise InvariantBroken(
                f"account {self.account_id} hold {self.hold_id}: state {self.state} with held={self.held_minor}"
                f" posted={self.posted_minor}"
            )


def check_transition(before: HoldState | None, after: HoldState) -> None:
    """Raises InvariantBroken unless the table allows it (``before`` is None for a new hold)."""
    if (before, after) not in TRANSITIONS:
        raise InvariantBroken(f"a hold cannot go from {before} to {after}")
