"""What the issuer's tests share: values to start from, and a desk where messages are told one after another.

Every builder takes changes by name, so that a test shows what matters to it and nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.message import Kind, Operation, OriginalElements, Request
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan, Secret
from switch.issuer.account import Account
from switch.issuer.books import Books, Item
from switch.issuer.card import Card, CardStatus
from switch.issuer.case import Case, Decision, View
from switch.issuer.hold import Hold
from switch.issuer.program import Program
from switch.issuer.stored import StoredMessage, fingerprint, idempotency_key
from switch.issuer.usage import Usage
from switch.vault.security_code import SecurityCodes

LOOKUP = bytes(range(32))
NOON = datetime(2026, 6, 15, 3, 0, tzinfo=UTC)  # noon in Tokyo
MTI = {
    Kind.AUTHORIZATION: "0100",
    Kind.FINANCIAL: "0200",
    Kind.AUTHORIZATION_ADVICE: "0120",
    Kind.FINANCIAL_ADVICE: "0220",
    Kind.REVERSAL: "0400",
    Kind.PRESENTMENT: "",
}
#: The published test key, so that a right code can be told from a wrong one.
CODES = SecurityCodes({"plain": Secret("12345678" * 4)})


def pan(body: str = "4" + "0" * 14) -> Pan:
    """The number whose check digit fits."""
    return next(made for digit in "0123456789" if (made := Pan(body + digit)).passes_luhn())


PAN = pan()


def a_request(kind: Kind = Kind.AUTHORIZATION, amount_minor: int = 1_000, /, **changes: Any) -> Request:
    """A purchase in yen; DE7 and DE11 alone make its key."""
    plain: dict[str, Any] = {
        "network": "west",
        "dialect": "iso87_ascii",
        "kind": kind,
        "mti": MTI[kind],
        "repeat": False,
        "operation": Operation.PURCHASE,
        "pan": PAN,
        "amount_minor": amount_minor,
        "currency": "JPY",
        "stan": "000001",
        "transmitted": "0615030000",
        "transmitted_at": NOON,
    }
    if kind is Kind.PRESENTMENT:
        plain |= {
            "stan": "",
            "transmitted": "",
            "clearing": Clearing(kind=ClearingKind.PRESENTMENT, file_id="F", record=1),
        }
    return Request(**{**plain, **changes})


def original_of(request: Request, **changes: str) -> OriginalElements:
    """DE90 of a message that undoes ``request``."""
    plain = {
        "mti": request.mti,
        "stan": request.stan,
        "transmitted": request.transmitted,
        "acquirer_id": request.acquirer_id,
    }
    return OriginalElements(**{**plain, **changes})


def a_card(**changes: Any) -> Card:
    plain: dict[str, Any] = {
        "card_id": 7,
        "account_id": 3,
        "program": "plain",
        "expiry": "3012",
        "service_code": "101",
        "status": CardStatus.ACTIVE,
        "locked": False,
    }
    return Card(**{**plain, **changes})


def an_account(posted_minor: int = 10_000, /, **changes: Any) -> Account:
    plain: dict[str, Any] = {
        "account_id": 3,
        "currency": "JPY",
        "posted_minor": posted_minor,
        "held_minor": 0,
        "floor_minor": 0,
        "seq": 1,
        "head_hash": bytes(32),
    }
    return Account(**{**plain, **changes})


def a_program(**changes: Any) -> Program:
    """As it is read from a file: nested tables are dicts, and wrong ones raise msgspec.ValidationError."""
    return msgspec.convert({"name": "plain", "currency": "JPY", **changes}, Program)


def a_case(
    request: Request | None = None,
    *,
    card: Card | None = None,
    account: Account | None = None,
    program: Program | None = None,
    usage: Usage | None = None,
    now: datetime = NOON,
    **view: Any,
) -> Case:
    """A case of a known card; pass ``view`` parts (candidates, holds, tombstones, stored) by name."""
    request = request or a_request()
    seen = View(
        card=card or a_card(),
        account=account or an_account(),
        program=program or a_program(),
        usage=usage,
        **view,
    )
    return Case(request, idempotency_key(request, LOOKUP), fingerprint(request), seen, CODES, now)


def of_unknown_card(request: Request | None = None) -> Case:
    request = request or a_request()
    return Case(request, idempotency_key(request, LOOKUP), fingerprint(request), View(), CODES, NOON)


class Desk:
    """One card's books, kept over many messages; ``tell`` gives each a STAN of its own unless it has one."""

    def __init__(
        self,
        balance_minor: int = 10_000,
        *,
        card: Card | None = None,
        floor_minor: int = 0,
        program: Program | None = None,
    ) -> None:
        program = program or a_program()
        self.card = card or a_card()
        self.loaded = an_account(balance_minor, floor_minor=floor_minor)
        self.books = Books({program.name: program}, CODES, NOON)
        self.books.cards[LOOKUP] = self.card
        self.books.accounts[self.loaded.account_id] = self.loaded
        self._stans = itertools.count(1)

    def request(self, kind: Kind = Kind.AUTHORIZATION, amount_minor: int = 1_000, /, **changes: Any) -> Request:
        """A message with the next STAN and, unless it is told otherwise, the same as retrieval reference."""
        stan = f"{next(self._stans):06d}"
        return a_request(kind, amount_minor, **{"stan": stan, "retrieval_reference": f"RRN{stan}", **changes})

    def undo(self, request: Request, **changes: Any) -> Request:
        """A reversal of ``request``: its references, its amount, a STAN of its own."""
        plain: dict[str, Any] = {
            "retrieval_reference": request.retrieval_reference,
            "original": original_of(request),
            "operation": request.operation,
            "currency": request.currency,
        }
        return self.request(Kind.REVERSAL, request.amount_minor, **{**plain, **changes})

    def item(self, request: Request, *, lookup: bytes = LOOKUP, **changes: Any) -> Item:
        return Item(
            request,
            idempotency_key(request, lookup),
            fingerprint(request),
            lookup,
            lambda reason: f"<{reason}>",
            **changes,
        )

    def tell(self, request: Request, *, at: datetime | None = None, **changes: Any) -> Decision:
        """Decides one message, and checks that balance and holds still agree with the entries."""
        if at is not None:
            self.books.now = at
        decision = self.books.decide(self.item(request, **changes))
        self.books.check_invariants([self.loaded])
        assert self.held == sum(hold.held_minor for hold in self.holds())
        return decision

    def ask(self, kind: Kind = Kind.AUTHORIZATION, amount_minor: int = 1_000, /, **changes: Any) -> Decision:
        """``tell`` with a fresh request."""
        return self.tell(self.request(kind, amount_minor, **changes))

    @property
    def account(self) -> Account:
        return self.books.accounts[self.loaded.account_id]

    @property
    def posted(self) -> int:
        return self.account.posted_minor

    @property
    def held(self) -> int:
        return self.account.held_minor

    @property
    def balance(self) -> tuple[int, int]:
        """(posted, held)"""
        return self.posted, self.held

    @property
    def usage(self) -> Usage:
        return self.books.usages[self.card.card_id]

    def holds(self) -> Iterable[Hold]:
        return self.books.holds.get(self.loaded.account_id, {}).values()

    @property
    def hold(self) -> Hold:
        """The only purchase there is."""
        (hold,) = self.holds()
        return hold

    @property
    def concerns(self) -> list[str]:
        return [concern.kind for concern in self.books.concerns]

    @property
    def entries(self) -> list[tuple[str, int]]:
        """(kind, amount) of every entry."""
        return [(str(b.entry.movement.kind), b.entry.movement.amount_minor) for b in self.books.bookings]

    def stored(self, request: Request) -> StoredMessage:
        return self.books.stored[self.loaded.account_id, idempotency_key(request, LOOKUP)]


def verdict(decision: Decision) -> str:
    """What the last rule said."""
    return str(decision.trace[-1].verdict)


APPROVED = Reason.APPROVED
