"""The life of one approved purchase, from the hold to its end.

Theory of operation. A purchase begins when a message moves money: an authorization sets an amount aside (``open``), a
single message posts it at once (``posted``). ``held_minor`` is what is still set aside, ``posted_minor`` what has
left the account for good. A refund that belongs to no purchase that we know is a purchase with ``credit = True``: its
posting brings money in.

::

                 ┌── increment, partial reversal, stand-in amount ──┐
                 │   a presentment after which others follow        │
                 ▼                                                  │
    (start) ──▶ open ───────────────────────────────────────────────┘
       │         ├── full reversal ─────────────────▶ reversed ─┐
       │         ├── the network declined it ───────▶ released ─┤   a presentment or financial advice tells
       │         ├── the deadline has passed ───────▶ expired ──┤   of money that has moved: it posts
       │         ├── our approval came too late ────▶ withdrawn ┤   whatever came before
       │         │        │  ▲                                  │
       │         │        └──┴─ a stand-in approval opens it again
       │         └── presentment, advice ───┐                   │
       └── single message, ditto alone ────▶ posted ◀───────────┘
                                              └── reversal or withdrawal of the posting ──▶ reversed, withdrawn

After the deadline an increment opens the purchase again, for its own amount. A reversal moves nothing then: a full one
makes the purchase ``reversed``, so that a presentment shows what it follows; what a partial one leaves is all that was
approved from then on.

What is left of a hold on which something was posted before ends as ``posted``, whatever ends it; and so does a posting
that is taken back after money has come back for it.

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
    EXPIRED = "expired"
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
        (_S.OPEN, _S.EXPIRED),
        (_S.OPEN, _S.WITHDRAWN),
        (_S.POSTED, _S.POSTED),
        (_S.POSTED, _S.REVERSED),
        (_S.POSTED, _S.WITHDRAWN),
        (_S.REVERSED, _S.POSTED),
        (_S.RELEASED, _S.POSTED),
        (_S.EXPIRED, _S.OPEN),
        (_S.EXPIRED, _S.POSTED),
        (_S.EXPIRED, _S.REVERSED),
        (_S.EXPIRED, _S.EXPIRED),
        (_S.WITHDRAWN, _S.OPEN),
        (_S.WITHDRAWN, _S.POSTED),
    }
)


class Hold(msgspec.Struct, frozen=True, gc=False):
    """One purchase.

    Invariants: no figure is negative, nothing is held unless the state is open, nothing has come back unless it is
    open or posted, and the bonus parts are not more than what they are parts of.
    """

    account_id: int
    hold_id: int  # the ``seq`` of the journal entry that began it
    card_id: int
    state: HoldState
    authorized_minor: int  # what was approved in all, and charged in addition; less what was taken back in part
    held_minor: int
    posted_minor: int
    credit: bool  # a refund: the posting brings money in
    mcc: str
    opened_at: datetime  # UTC; decides which limit periods a reversal gives back to
    begun_by: bytes = b""  # the key of the message that began it
    approval_code: str = ""  # DE38: what a presentment may name it by
    expires_at: datetime | None = None  # when what is held is released; None where nothing was ever held
    presented_minor: int = 0  # of ``posted_minor``: what presentments have told of
    refunded_minor: int = 0  # what refunds and chargebacks have brought back
    held_bonus_minor: int = 0  # of ``held_minor``
    posted_bonus_minor: int = 0  # of ``posted_minor``
    refunded_bonus_minor: int = 0  # of ``refunded_minor``

    @property
    def bonus_spent_minor(self) -> int:
        """What of it the bonus pocket pays."""
        return self.held_bonus_minor + self.posted_bonus_minor

    def check_invariants(self) -> None:
        """Raises InvariantBroken when the figures contradict the state."""
        if (
            not 0 <= self.held_bonus_minor <= self.held_minor
            or not 0 <= self.posted_bonus_minor <= self.posted_minor
            or self.presented_minor < 0
            or not 0 <= self.refunded_bonus_minor <= self.refunded_minor
            or (self.held_minor > 0 and self.state is not HoldState.OPEN)
            or (self.refunded_minor > 0 and self.state not in (HoldState.OPEN, HoldState.POSTED))
        ):
            raise InvariantBroken(
                f"account {self.account_id} hold {self.hold_id}: state {self.state} with held={self.held_minor}"
                f" posted={self.posted_minor}"
            )


def check_transition(before: HoldState | None, after: HoldState) -> None:
    """Raises InvariantBroken unless the table allows it (``before`` is None for a new hold)."""
    if (before, after) not in TRANSITIONS:
        raise InvariantBroken(f"a hold cannot go from {before} to {after}")
