"""Everything a decision may look at, and everything it may say."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from switch.contracts.message import Answer, Balance, Request
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan, Secret
from switch.issuer.account import Account, Movement
from switch.issuer.card import Card
from switch.issuer.clearing_item import ClearingItem
from switch.issuer.hold import Hold
from switch.issuer.matching import Candidate
from switch.issuer.program import Program
from switch.issuer.stored import MessageState, StoredMessage
from switch.issuer.usage import Usage

__all__ = ["Case", "Decision", "SecurityCodePort", "Seen", "Step", "View"]

#: What a rule looked at: plain values, never card data.
Seen = dict[str, str | int | bool | None]


class SecurityCodePort(Protocol):
    """The card-verification keys, behind questions that are answered by yes or no (see ``switch.vault``)."""

    def cvv_matches(self, program: str, pan: Pan, expiry: str, service_code: str, code: Secret) -> bool:
        """CVV of the magnetic stripe, computed with the card's service code."""
        ...

    def icvv_matches(self, program: str, pan: Pan, expiry: str, code: Secret) -> bool:
        """iCVV of the chip's track 2 equivalent (service code 999)."""
        ...

    def cvv2_matches(self, program: str, pan: Pan, expiry: str, code: Secret) -> bool:
        """CVV2 (service code 000)."""
        ...


class View(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the books say, read under the account's lock. All None or empty where the card is unknown."""

    card: Card | None = None
    account: Account | None = None
    usage: Usage | None = None
    program: Program | None = None
    stored: StoredMessage | None = None  # the same key, seen before
    candidates: tuple[Candidate, ...] = ()  # loaded for reversals, advices and increments
    holds: dict[int, Hold] = {}  # the purchases that ``candidates`` and ``stored`` refer to
    tombstones: tuple[StoredMessage, ...] = ()  # reversals and stand-in advices that came before their original
    clearing_items: tuple[ClearingItem, ...] = ()  # presentments: earlier records with the same acquirer reference


class Case(msgspec.Struct, frozen=True, gc=False):
    """One message to decide, at the moment ``now`` (UTC)."""

    request: Request
    key: bytes
    fingerprint: bytes
    view: View
    security: SecurityCodePort
    now: datetime

    @property
    def today(self) -> date:
        """The day in the program's time zone."""
        return local_date(self.now, None if self.view.program is None else self.view.program.zone)


@lru_cache(maxsize=1024)
def local_date(moment: datetime, zone: ZoneInfo | None) -> date:
    """The day of ``moment`` in ``zone``, or in UTC.

    All messages of a batch have one moment, so it is worked out once a batch.
    """
    return moment.astimezone(zone or UTC).date()


class Step(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One rule's part in a decision: its name, ``pass`` or the reason it declined with, and the values it saw."""

    rule: str
    verdict: str
    seen: Seen


class Decision(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What to answer and what to book, with the reasons.

    ``hold`` is the purchase as it stands afterwards; a new one has the ``hold_id`` of its first entry. ``repeat_of``
    is the stored message whose answer is given again; then nothing is booked. ``remember_as`` None means that the
    message itself leaves no record (the same key is there already).
    """

    answer: Answer
    trace: tuple[Step, ...] = ()
    movements: tuple[Movement, ...] = ()
    hold: Hold | None = None
    usage: Usage | None = None
    moved_minor: int = 0
    remember_as: MessageState | None = MessageState.ANSWERED
    repeat_of: StoredMessage | None = None
    tombstone_met: StoredMessage | None = None
    undone: StoredMessage | None = None  # what is not to be approved, or taken back, any more: an increment, one parked
    concern: str = ""  # something for a person; goes into the exceptions with the message
    item: ClearingItem | None = None  # presentments: the clearing record, new
    item_changed: ClearingItem | None = None  # one that was there, in the state that it takes now
    resolved: StoredMessage | None = None  # a record in doubt that a person has settled
    waits: bool = False  # no answer yet: money may come by a top-up. Nothing is booked and nothing remembered

    @property
    def reason(self) -> Reason:
        """The answer's reason."""
        return self.answer.reason


def balances(account: Account) -> tuple[Balance, ...]:
    """Ledger and available balance for DE54. Available is what the next purchase may use, so the floor is taken off."""
    return (
        Balance(amount_type="01", currency=account.currency, amount_minor=account.posted_minor),
        Balance(
            amount_type="02",
            currency=account.currency,
            amount_minor=account.available_minor - account.floor_minor,
        ),
    )


def approval_code(key: bytes) -> str:
    """Six digits for DE38, derived from the message's key, so that deciding needs no randomness."""
    return f"{int.from_bytes(key[:8], 'big') % 1_000_000:06d}"
