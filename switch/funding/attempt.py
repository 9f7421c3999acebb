"""One attempt to top an account up for one parked purchase: its states, their table, and what must always hold.

Theory of operation. The commit that parks a purchase stores an attempt. What is due next is in its row (``wake_at``,
``budget_until``), so that any daemon can go on with it. ``state`` is about the money at the provider, ``purchase``
about the purchase that waits for it; when the purchase can wait no longer it is declined at once, and the money goes on
to a safe end by itself.

::

    (parked)
        ▼      due       ┌── declined by the provider ───────────▶ declined
    requested ────────▶ sent                                          ▲
        ▲ │               │ │ no answer, or one that proves nothing   │ (also from unknown and queried, when the
        │ │               │ ▼                                         │  charge's own answer comes late)
        │ │               │ unknown ◀──── still unknown ───┐          │
        │ │               │ │   └────────── due ───────▶ queried ──▶ not charged
        │ │               │ │                              │
        └─│── not sent ───┤ └──────────┬───────────────────┘
          │               │            │ charged
          │               ▼            ▼
          │             the money is taken ── exactly what was asked for, ──▶ charged ── the issuer approved ──▶ booked
          │                      │            and the purchase waits             │
          │                      │ otherwise                                     │ the purchase can't be approved
          │                      ▼                                               │
          │                void requested ◀──────────────────────────────────────┘
          │                  │         └── refused: the money goes to the balance ──▶ credited
          │                  └──────────── voided ──▶ voided
          └── not sent so often, or the purchase waits no longer ──▶ declined

    booked ── all of its purchase is reversed, and the program ──▶ booked, with something due
                voids then                                           │         └── the money is spent ──▶ booked
                                                                     └── it leaves the balance ──▶ void requested

``declined`` and ``not charged`` end the attempt alone, and not the purchase, where another source can be asked in time:
the next attempt begins in the same commit (``passed on``). So at most one attempt for a purchase may take money for it.

A provider that says *charged* after it has said *declined* or *not charged* is believed about the money (an edge to
``void requested``, with an alert), because that is what has to be given back.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from switch.contracts.errors import InvariantBroken

__all__ = ["ENDS", "TRANSITIONS", "Attempt", "AttemptState", "Cause", "PurchaseState", "check_transition"]


class AttemptState(StrEnum):
    """Where the money stands; see the drawing above."""

    REQUESTED = "requested"  # no call is under way, and none has reached the provider
    SENT = "sent"  # a charge is, or may be, under way
    UNKNOWN = "unknown"  # it may have taken money; the next query has its time
    QUERIED = "queried"  # a query is, or may be, under way
    CHARGED = "charged"  # the money is taken, and the purchase goes back to the issuer's rules
    BOOKED = "booked"  # loaded and held, in one commit
    DECLINED = "declined"
    NOT_CHARGED = "not_charged"
    VOID_REQUESTED = "void_requested"
    VOIDED = "voided"
    CREDITED = "credited"


class PurchaseState(StrEnum):
    """Where the purchase stands that the attempt is made for. It leaves ``waiting`` once, and ``approved`` once."""

    WAITING = "waiting"
    APPROVED = "approved"
    DECLINED = "declined"
    PASSED_ON = "passed_on"  # the next attempt is made for it: nothing was taken by this one, and nothing will be
    REVERSED = "reversed"  # as a whole, after it was approved, where the program then voids the charge


class Cause(StrEnum):
    """What moved an attempt: it stands in the row of every transition."""

    PARKED = "parked"
    DUE = "due"
    NOT_SENT = "not_sent"
    ANSWERED = "answered"
    CALL_REFUSED = "call_refused"  # declined for a fault of our call, and none of the source's
    NO_ANSWER = "no_answer"  # none in time, or one that proves nothing
    RECOVERED = "recovered"  # the daemon that drove it has gone
    BUDGET_SPENT = "budget_spent"
    WRONG_AMOUNT = "wrong_amount"
    CONTRADICTION = "contradiction"  # the provider has said the opposite before
    BOOKED = "booked"
    # ── why the issuer no longer approves the purchase
    REVERSED = "reversed"
    CARD_CHANGED = "card_changed"  # locked, blocked, closed
    LIMIT_REACHED = "limit_reached"
    STILL_SHORT = "still_short"  # other purchases spent what the shortfall was reckoned from
    TOO_LATE = "too_late"
    # ── why the charge of a purchase that was reversed stands
    SPENT = "spent"


_S = AttemptState
TRANSITIONS: frozenset[tuple[AttemptState | None, AttemptState]] = frozenset(
    {
        (None, _S.REQUESTED),
        (_S.REQUESTED, _S.SENT),
        (_S.REQUESTED, _S.DECLINED),
        (_S.REQUESTED, _S.CHARGED),  # only when "not sent" was not true
        (_S.REQUESTED, _S.VOID_REQUESTED),  # likewise
        (_S.SENT, _S.SENT),  # the purchase is declined meanwhile, here and in the next two
        (_S.UNKNOWN, _S.UNKNOWN),
        (_S.QUERIED, _S.QUERIED),
        (_S.SENT, _S.REQUESTED),
        (_S.SENT, _S.UNKNOWN),
        (_S.SENT, _S.DECLINED),
        (_S.SENT, _S.CHARGED),
        (_S.SENT, _S.VOID_REQUESTED),
        (_S.UNKNOWN, _S.QUERIED),
        (_S.UNKNOWN, _S.CHARGED),
        (_S.UNKNOWN, _S.NOT_CHARGED),
        (_S.UNKNOWN, _S.DECLINED),
        (_S.UNKNOWN, _S.VOID_REQUESTED),
        (_S.QUERIED, _S.UNKNOWN),
        (_S.QUERIED, _S.CHARGED),
        (_S.QUERIED, _S.NOT_CHARGED),
        (_S.QUERIED, _S.DECLINED),
        (_S.QUERIED, _S.VOID_REQUESTED),
        (_S.CHARGED, _S.CHARGED),  # the issuer is asked again
        (_S.CHARGED, _S.BOOKED),
        (_S.CHARGED, _S.VOID_REQUESTED),
        (_S.BOOKED, _S.BOOKED),  # the purchase is reversed; or it was, and the money is spent
        (_S.BOOKED, _S.VOID_REQUESTED),
        (_S.VOID_REQUESTED, _S.VOID_REQUESTED),  # another try
        (_S.VOID_REQUESTED, _S.VOIDED),
        (_S.VOID_REQUESTED, _S.CREDITED),
        (_S.DECLINED, _S.VOID_REQUESTED),  # only when the provider contradicts itself
        (_S.NOT_CHARGED, _S.VOID_REQUESTED),  # likewise
    }
)

ENDS: frozenset[AttemptState] = frozenset({_S.BOOKED, _S.DECLINED, _S.NOT_CHARGED, _S.VOIDED, _S.CREDITED})
"""States in which nothing is left to do; but see ``booked`` in the drawing."""

_MAY_WAIT = frozenset({_S.REQUESTED, _S.SENT, _S.UNKNOWN, _S.QUERIED, _S.CHARGED})
_MUST_WAIT = frozenset({_S.REQUESTED, _S.CHARGED})
_MAY_BE_REVERSED = frozenset({_S.BOOKED, _S.VOID_REQUESTED, _S.VOIDED, _S.CREDITED})
_TAKEN = frozenset({_S.CHARGED, _S.BOOKED, _S.VOID_REQUESTED, _S.VOIDED, _S.CREDITED})


class Attempt(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One row.

    Invariants: an approved purchase is booked, and what is booked is approved, or was until it was reversed; what is
    passed on has taken nothing, but by contradiction; booked money is exactly what was asked for; what was taken is
    known from ``charged`` on and unknown before; a waiting purchase stands where it can still be approved; an end has
    nothing due, unless its purchase was reversed.
    """

    key: str  # the charge's idempotency key; the other calls' keys begin with it
    provider: str
    source: str  # the provider's token
    amount_minor: int
    currency: str  # of the amount and of the account
    budget_until: datetime  # UTC; the purchase waits no longer
    state: AttemptState
    purchase: PurchaseState = PurchaseState.WAITING
    calls: int = 0  # to the outside, in all; an answer names its call
    tries: int = 0  # calls of the kind that is tried now
    wake_at: datetime | None  # UTC; when the machine looks again if nothing has come before
    reference: str = ""  # the provider's name of the charge
    charged_minor: int = 0  # what the provider has taken, by its own words
    charged_currency: str = ""
    cause: Cause
    moved_at: datetime  # UTC

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.wake_at is None

    @property
    def waiting(self) -> bool:
        """Whether the purchase still waits."""
        return self.purchase is PurchaseState.WAITING

    @property
    def due_at(self) -> datetime | None:
        """When the machine wants to hear the time: a row whose time has passed belongs to whoever sees it."""
        times = [at for at in (self.wake_at, self.budget_until if self.waiting else None) if at is not None]
        return min(times, default=None)

    def check_invariants(self) -> None:
        """Raises InvariantBroken when the row contradicts itself."""
        exact = (self.charged_minor, self.charged_currency) == (self.amount_minor, self.currency)
        approved, was_reversed = self.purchase is PurchaseState.APPROVED, self.purchase is PurchaseState.REVERSED
        good = (
            self.amount_minor > 0
            and (not approved or self.state is _S.BOOKED)
            and (self.state is not _S.BOOKED or approved or was_reversed)
            and (self.purchase is not PurchaseState.PASSED_ON or self.state not in (*_MAY_WAIT, _S.BOOKED))
            and (not was_reversed or (exact and self.state in _MAY_BE_REVERSED))
            and (not self.waiting or self.state in _MAY_WAIT)
            and (self.waiting or self.state not in _MUST_WAIT)
            and (self.charged_minor > 0) is (self.state in _TAKEN)
            and (exact or self.state not in (_S.CHARGED, _S.BOOKED))
            and (self.state is not _S.CREDITED or self.charged_currency == self.currency)
            and ((self.wake_at is None) is (self.state in ENDS) or (self.state is _S.BOOKED and was_reversed))
        )
        if not good:
            raise InvariantBroken(
                f"funding attempt {self.key}: state {self.state}, purchase {self.purchase}, asked for"
                f" {self.amount_minor} {self.currency}, charged {self.charged_minor} {self.charged_currency},"
                f" wake_at {self.wake_at}"
            )


def check_transition(before: AttemptState | None, after: AttemptState) -> None:
    """Raises InvariantBroken unless the table allows it (``before`` is None for a new attempt)."""
    if (before, after) not in TRANSITIONS:
        raise InvariantBroken(f"a funding attempt cannot go from {before} to {after}")
