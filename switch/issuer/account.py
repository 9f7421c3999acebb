"""The balance of one account and the movements that change it.

Two figures make a balance: ``posted`` (what the cardholder owns) and ``held`` (what open authorizations set aside);
``available = posted - held``. A movement names the side that gives and the side that receives, as double entry does;
what it does to the two figures follows from the sides alone, so no caller can get it wrong:

    ======================  ======================  ========  ======
    debit                   credit                  posted    held
    ======================  ======================  ========  ======
    cardholder.available    cardholder.held                   +
    cardholder.held         cardholder.available              -
    cardholder.held         network.settlement      -         -
    cardholder.available    network.settlement      -
    network.settlement      cardholder.available    +
    issuer.funding          cardholder.available    +
    cardholder.available    issuer.funding          -
    issuer.promotion        bonus.available         +
    ======================  ======================  ========  ======

A balance may have a second pocket, the *bonus*: value that the issuer gave. ``bonus.available`` and ``bonus.held``
are its sides and count in both figures as the cardholder's own do; ``bonus_posted`` and ``bonus_held`` say how much
of the two is bonus. Which pocket pays, and which gets back, is said in ``switch.issuer.change``.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from switch.contracts.errors import InvariantBroken

__all__ = ["Account", "Entry", "EntryKind", "Movement", "Side", "book"]


class EntryKind(StrEnum):
    """What a journal entry is for."""

    HOLD = "hold"
    HOLD_INCREASE = "hold_increase"
    RELEASE = "release"
    EXPIRY = "expiry"  # a release, because the deadline has passed
    POSTING = "posting"
    POSTING_REVERSAL = "posting_reversal"
    ADDITIONAL_CHARGE = "additional_charge"
    REFUND = "refund"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"
    LOAD = "load"
    LOAD_REVERSAL = "load_reversal"  # money that goes back to where it was loaded from
    BONUS = "bonus"  # a load of the bonus pocket


class Side(StrEnum):
    """One side of a movement.

    The ``cardholder`` and ``bonus`` sides belong to the account, the others to its counterparties.
    """

    AVAILABLE = "cardholder.available"
    HELD = "cardholder.held"
    BONUS_AVAILABLE = "bonus.available"
    BONUS_HELD = "bonus.held"
    NETWORK = "network.settlement"
    FUNDING = "issuer.funding"
    PROMOTION = "issuer.promotion"


_HELD = frozenset({Side.HELD, Side.BONUS_HELD})
_BONUS = frozenset({Side.BONUS_AVAILABLE, Side.BONUS_HELD})
_OWN = frozenset({Side.AVAILABLE, Side.HELD, *_BONUS})


class Movement(msgspec.Struct, frozen=True, gc=False):
    """``amount_minor`` (> 0) moves from the debit side to the credit side.

    ``hold_id`` names the purchase it belongs to.
    """

    kind: EntryKind
    debit: Side
    credit: Side
    amount_minor: int
    hold_id: int | None = None


class Account(msgspec.Struct, frozen=True, gc=False):
    """The current balance.

    Invariants: ``held_minor >= bonus_held_minor >= 0`` and ``bonus_posted_minor >= bonus_held_minor``. Available may be
    below the floor only through what can't be refused: advices and clearing.
    """

    account_id: int
    currency: str
    posted_minor: int
    held_minor: int
    floor_minor: int
    seq: int  # of the newest journal entry
    head_hash: bytes  # of the newest journal entry
    bonus_posted_minor: int = 0  # of ``posted_minor``
    bonus_held_minor: int = 0  # of ``held_minor``

    @property
    def bonus_available_minor(self) -> int:
        """What of the available balance is bonus."""
        return self.bonus_posted_minor - self.bonus_held_minor

    @property
    def recovering(self) -> bool:
        """Below the floor: nothing may be spent until loads have brought it back."""
        return self.available_minor < self.floor_minor

    @property
    def available_minor(self) -> int:
        """What a request may still use, before the floor is taken off."""
        return self.posted_minor - self.held_minor


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A movement with its place in the account's journal and the balances it leaves."""

    movement: Movement
    account_id: int
    currency: str
    seq: int
    posted_delta: int
    held_delta: int
    posted_after: int
    held_after: int
    bonus_posted_after: int = 0
    bonus_held_after: int = 0


def book(account: Account, movement: Movement) -> Entry:
    """The journal entry that ``movement`` makes on ``account``.

    Raises:
        InvariantBroken: the amount is not positive, neither or no side is the account's, or more would be taken from
            the held figure, or from the bonus, than is there. The rules never ask for that; if they do, the process
            must stop rather than book it.
    """
    amount = movement.amount_minor
    debit, credit = movement.debit, movement.credit
    posted_delta = (amount if credit in _OWN else 0) - (amount if debit in _OWN else 0)
    held_delta = (amount if credit in _HELD else 0) - (amount if debit in _HELD else 0)
    held_after = account.held_minor + held_delta
    bonus_posted, bonus_held = account.bonus_posted_minor, account.bonus_held_minor
    if debit in _BONUS or credit in _BONUS:
        bonus_posted += (amount if credit in _BONUS else 0) - (amount if debit in _BONUS else 0)
        bonus_held += (amount if credit is Side.BONUS_HELD else 0) - (amount if debit is Side.BONUS_HELD else 0)
    if (
        amount <= 0
        or debit is credit
        or (posted_delta == 0 and held_delta == 0)
        or not 0 <= bonus_held <= bonus_posted
        or held_after < bonus_held
    ):
        raise InvariantBroken(
            f"account {account.account_id}: {movement.kind} of {amount} from {debit} to {credit}"
            f" cannot be booked on posted={account.posted_minor} held={account.held_minor}"
        )
    return Entry(
        movement=movement,
        account_id=account.account_id,
        currency=account.currency,
        seq=account.seq + 1,
        posted_delta=posted_delta,
        held_delta=held_delta,
        posted_after=account.posted_minor + posted_delta,
        held_after=held_after,
        bonus_posted_after=bonus_posted,
        bonus_held_after=bonus_held,
    )
