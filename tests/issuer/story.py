"""Stories of one purchase as a table: what the network says, line by line, and how the books stand after it.

::

    step                posted    held   purchase   a person is told
    authorize 10,000    50,000  10,000   open       -
    reverse             50,000       0   reversed   -
    present 8,000       42,000       0   posted     posted_after_reversed

All lines of a story are of one card, and tell of one purchase: they share its references. ``posted`` and ``held`` are the
account's, ``purchase`` is the state of the first purchase, and the last column has what the line put before a person.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.message import Kind, Operation, Request, StandIn
from switch.issuer.case import Decision
from switch.issuer.clearing_item import ClearingItem
from switch.issuer.program import Program
from tests.issuer.support import NOON, Desk

__all__ = ["Story", "a_record", "told"]

REFERENCE = "RRN-1"
_LINE = re.compile(
    r"(?P<verb>[a-z -]+?)"
    r"(?: (?P<amount>[\d,]+))?"
    r"(?: part (?P<sequence>\d+)/(?P<count>\d+))?"
    r"(?P<more>, more follow)?"
    r"(?: as (?P<arn>\S+))?"
)


def a_record(desk: Desk, amount: int, /, **changes: Any) -> Request:
    """A clearing record, the next of its file. What belongs to its clearing part may be named beside the rest."""
    parts: dict[str, Any] = {"kind": ClearingKind.PRESENTMENT, "file_id": "F", "record": _next_record(desk)}
    parts |= {name: changes.pop(name) for name in list(changes) if name in Clearing.__struct_fields__}
    plain: dict[str, Any] = {"stan": "", "transmitted": "", "retrieval_reference": "", "clearing": Clearing(**parts)}
    return desk.request(Kind.PRESENTMENT, amount, **{**plain, **changes})


def _next_record(desk: Desk) -> int:
    return 1 + sum(request.clearing is not None for request in requests(desk))


def requests(desk: Desk) -> list[Request]:
    return [item.request for _, _, item in desk.books.new_messages.values()]


class Story:
    """One card, one purchase, and what is said about it."""

    def __init__(self, balance: int = 50_000, *, program: Program | None = None) -> None:
        self.desk = Desk(balance, program=program)
        self.begun: Request | None = None
        self.newest: Request
        self.days = 0

    def say(self, line: str) -> Decision | None:
        """One line of the table's first column."""
        match = _LINE.fullmatch(line)
        assert match is not None, f"no such line: {line!r}"
        verb = match["verb"]
        amount = int((match["amount"] or "0").replace(",", ""))
        arn = match["arn"] or "ARN-1"
        if verb.endswith("raise"):
            return self._about_a_raise(verb, amount)
        match verb:
            case "authorize" | "pay":
                kind = Kind.AUTHORIZATION if verb == "authorize" else Kind.FINANCIAL
                return self._message(kind, amount)
            case "complete":
                return self._message(Kind.FINANCIAL_ADVICE, amount)
            case "stand in":
                return self._message(Kind.AUTHORIZATION_ADVICE, amount, stand_in=StandIn.APPROVED)
            case "credit":
                return self._message(Kind.FINANCIAL, amount, operation=Operation.REFUND)
            case "reverse" | "reverse to":
                assert self.begun is not None, "there is nothing to reverse"
                return self.desk.tell(self.desk.undo(self.begun, replacement_amount_minor=amount or None))
            case "days pass":
                self.days += amount
                self.desk.books.now = NOON + timedelta(days=self.days)
                self.desk.books.open_holds_known = {3: {7: "plain"}}
                self.desk.books.expire_due(3)
                return None
        clearing: dict[str, Any] = {"acquirer_reference": arn, "final": not match["more"]}
        if match["count"]:
            clearing |= {"sequence": int(match["sequence"]), "sequence_count": int(match["count"])}
        kinds: dict[str, tuple[ClearingKind, Operation]] = {
            "present": (ClearingKind.PRESENTMENT, Operation.PURCHASE),
            "refund": (ClearingKind.PRESENTMENT, Operation.REFUND),
            "charge in addition": (ClearingKind.ADDITIONAL_CHARGE, Operation.PURCHASE),
            "take back": (ClearingKind.PRESENTMENT_REVERSAL, Operation.PURCHASE),
            "take the refund back": (ClearingKind.PRESENTMENT_REVERSAL, Operation.REFUND),
            "charge back": (ClearingKind.CHARGEBACK, Operation.PURCHASE),
            "present again": (ClearingKind.CHARGEBACK_REVERSAL, Operation.PURCHASE),
        }
        clearing["kind"], operation = kinds[verb]
        return self.desk.tell(
            a_record(self.desk, amount, operation=operation, retrieval_reference=REFERENCE, **clearing)
        )

    def _about_a_raise(self, verb: str, amount: int) -> Decision:
        """An increment, or what becomes of the newest one."""
        match verb:
            case "raise":
                return self._message(Kind.AUTHORIZATION, amount, incremental=True)
            case "stand in for a raise":
                return self._message(Kind.AUTHORIZATION_ADVICE, amount, stand_in=StandIn.APPROVED, incremental=True)
            case "decline the raise":
                return self._message(Kind.AUTHORIZATION_ADVICE, amount, stand_in=StandIn.DECLINED, incremental=True)
            case "withdraw the raise":
                return self.desk.tell(self.newest, withdraw=True)
        assert verb == "reverse the raise"
        return self.desk.tell(self.desk.undo(self.newest))

    def _message(self, kind: Kind, amount: int, **changes: Any) -> Decision:
        request = self.desk.request(kind, amount, retrieval_reference=REFERENCE, **changes)
        self.begun, self.newest = self.begun or request, request
        return self.desk.tell(request)

    def row(self, line: str) -> list[str]:
        """Says the line, and gives the whole row that it makes."""
        before = len(self.desk.books.concerns)
        self.say(line)
        self.check()
        first = min(self.desk.holds(), key=lambda hold: hold.hold_id, default=None)
        raised = ", ".join(self.desk.concerns[before:])
        state = "-" if first is None else str(first.state)
        return [line, f"{self.desk.posted:,}", f"{self.desk.held:,}", state, raised or "-"]

    def check(self) -> None:
        """What left the account is what its purchases posted and did not get back; nothing is held by an ended one."""
        net = sum((h.posted_minor - h.refunded_minor) * (-1 if h.credit else 1) for h in self.desk.holds())
        assert self.desk.loaded.posted_minor - self.desk.posted == net
        bonus = sum(h.posted_bonus_minor - h.refunded_bonus_minor for h in self.desk.holds())
        assert self.desk.loaded.bonus_posted_minor - self.desk.account.bonus_posted_minor == bonus

    @property
    def items(self) -> list[ClearingItem]:
        return list(self.desk.books.clearing_items.get(3, {}).values())


def told(table: str, balance: int = 50_000, *, program: Program | None = None) -> Story:
    """Tells the story of ``table``, and compares every row. Gives the story, for more to be said."""
    story = Story(balance, program=program)
    _, *rows = [re.split(r"\s{2,}", line.strip()) for line in table.strip().splitlines()]
    for expected in rows:
        assert story.row(expected[0]) == expected
    return story
