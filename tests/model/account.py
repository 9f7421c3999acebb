"""A simple account, kept by hand: what the house must agree with.

It knows DOMAIN's facts and nothing of the issuer's code: no matching, no keys, no rules. An operation names the message that
it is about directly, so there is nothing to find.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

__all__ = ["Account", "Expected", "Operation", "Purchase"]


@dataclass(frozen=True)
class Operation:
    """One message. ``number`` is its own name, ``about`` the message that it undoes, repeats, raises or folds into."""

    name: str
    number: int
    amount: int = 0
    about: int | None = None
    partial: bool = False  # the terminal can take a part
    final: int | None = None  # what a partial reversal leaves
    online: bool = False  # goods are sent later, so the hold stands longer


@dataclass(frozen=True)
class Expected:
    """What the answer says. ``same_as`` names the message whose answer is given again."""

    reason: str
    approved: int | None = None
    same_as: int | None = None


@dataclass
class Purchase:
    """What one message and those about it have set aside and posted."""

    held: int = 0
    posted: int = 0  # what has left the account; negative for a refund
    state: str = "open"  # open, posted, ended, withdrawn
    advised: bool = False  # the network told of it, too
    refused: bool = False  # the network declined it in our place


@dataclass
class Message:
    """What was answered, and what moved."""

    operation: Operation
    reason: str
    moved: int = 0
    purchase: int | None = None  # the number of the message that began it
    answered_again: int = 0  # answers beyond the first one that were not too late
    relied_on: bool = False
    withdrawn: bool = False
    undone: bool = False  # a part of a purchase that was taken back alone


ACCEPTED = "advice_accepted"
REVERSED = "reversal_accepted"
APPROVALS = {"approved", "approved_partially", ACCEPTED, REVERSED}


class Account:
    """Money, purchases, and every message that was told."""

    def __init__(self, opening: int, floor: int) -> None:
        self.opening = opening
        self.floor = floor
        self.purchases: dict[int, Purchase] = {}
        self.messages: dict[int, Message] = {}
        self.reversed_before: set[int] = set()

    def copy(self) -> Account:
        return copy.deepcopy(self)

    @property
    def posted(self) -> int:
        return self.opening - sum(purchase.posted for purchase in self.purchases.values())

    @property
    def held(self) -> int:
        return sum(purchase.held for purchase in self.purchases.values())

    @property
    def spendable(self) -> int:
        return self.posted - self.held - self.floor

    def tell(self, operation: Operation) -> Expected:
        """What must be answered; the account moves on."""
        if operation.name == "repeat":
            return self._repeat(operation)
        if operation.name == "withdraw":
            return self._withdraw(operation)
        expected, moved, purchase = self._decide(operation)
        self.messages[operation.number] = Message(operation, expected.reason, moved, purchase)
        return expected

    def about(self, operation: Operation) -> Purchase | None:
        """The purchase that the message it names belongs to; None where that moved nothing."""
        message = self.messages.get(-1 if operation.about is None else operation.about)
        return None if message is None or message.purchase is None else self.purchases[message.purchase]

    def _decide(self, operation: Operation) -> tuple[Expected, int, int | None]:
        name, number = operation.name, operation.number
        if number in self.reversed_before:
            # Its reversal came first: a request is declined, an advice is accepted and holds nothing.
            return Expected(ACCEPTED if name == "stand_in" else "reversed_earlier"), 0, None
        match name:
            case "authorise" | "single":
                return self._spend(operation)
            case "refund":
                self.purchases[number] = Purchase(posted=-operation.amount, state="posted")
                return Expected("approved"), operation.amount, number
            case "increment":
                return self._increment(operation)
            case "reverse":
                return self._reverse(operation)
            case "stand_in":
                return self._stand_in(operation)
            case "stand_in_decline":
                purchase = self.about(operation)
                if purchase is None or purchase.state != "open":
                    return Expected(ACCEPTED), 0, None
                purchase.held, purchase.state, purchase.refused = 0, "ended", True
                return Expected(ACCEPTED), 0, self._root(operation)
            case "advise":
                return self._advise(operation)
        raise AssertionError(name)

    def _root(self, operation: Operation) -> int | None:
        assert operation.about is not None
        return self.messages[operation.about].purchase

    def _spend(self, operation: Operation) -> tuple[Expected, int, int | None]:
        approved = operation.amount
        if approved > self.spendable:
            if not operation.partial or self.spendable <= 0:
                return Expected("insufficient_funds"), 0, None
            approved = self.spendable
        held, posted = (approved, 0) if operation.name == "authorise" else (0, approved)
        self.purchases[operation.number] = Purchase(held, posted, "open" if held else "posted")
        if approved < operation.amount:
            return Expected("approved_partially", approved), approved, operation.number
        return Expected("approved"), approved, operation.number

    def _increment(self, operation: Operation) -> tuple[Expected, int, int | None]:
        if operation.amount > self.spendable:
            return Expected("insufficient_funds"), 0, None
        purchase = self.about(operation)
        if purchase is None or purchase.state != "open":
            return Expected("original_not_found"), 0, None
        purchase.held += operation.amount
        return Expected("approved"), operation.amount, self._root(operation)

    def _reverse(self, operation: Operation) -> tuple[Expected, int, int | None]:
        """Takes back what is still there. It can't be declined, and it can't take more than there is."""
        accepted = Expected(REVERSED), 0, None
        assert operation.about is not None
        if operation.about not in self.messages:
            self.reversed_before.add(operation.about)
            return accepted
        original, purchase = self.messages[operation.about], self.about(operation)
        name = original.operation.name
        if purchase is None or purchase.state not in ("open", "posted") or original.undone:
            return accepted
        if purchase.state == "posted" and name in ("authorise", "stand_in", "increment"):
            return accepted  # cleared: only a refund brings it back
        if name == "increment" and original.withdrawn:
            return accepted
        there = purchase.held if purchase.state == "open" else abs(purchase.posted)
        left = 0
        if operation.final is not None:
            left = operation.final
            if left >= there:
                return accepted
        elif (name == "increment" or purchase.state == "posted") and original.moved < there:
            # Only a part of what stands is this message's: an increment, or one of several presentments.
            original.undone, left = True, there - original.moved
        self._lower(purchase, left, "ended")
        return accepted

    @staticmethod
    def _lower(purchase: Purchase, left: int, end: str) -> None:
        if purchase.state == "open":
            purchase.held = left
        else:
            purchase.posted = -left if purchase.posted < 0 else left
        if left == 0:
            purchase.state = end

    def _stand_in(self, operation: Operation) -> tuple[Expected, int, int | None]:
        purchase = self.about(operation)
        if purchase is None:
            self.purchases[operation.number] = Purchase(held=operation.amount, advised=True)
            if operation.about is not None:
                # What we declined, the network approved: whatever is told of the request from now on means this.
                self.messages[operation.about].purchase = operation.number
            return Expected(ACCEPTED), operation.amount, operation.number
        if purchase.state in ("open", "withdrawn"):
            raised = self._raised(self._root(operation)) if purchase.state == "open" else 0
            purchase.held, purchase.state, purchase.advised = operation.amount + raised, "open", True
            self._relied_on(operation)
            return Expected(ACCEPTED), 0, self._root(operation)
        return Expected(ACCEPTED), 0, None

    def _raised(self, number: int | None) -> int:
        """By how much increments that still stand have raised the purchase: the network told of its beginning only."""
        return sum(
            message.moved
            for message in self.messages.values()
            if message.operation.name == "increment"
            and message.purchase == number
            and message.reason in APPROVALS
            and not message.withdrawn
            and not message.undone
        )

    def _advise(self, operation: Operation) -> tuple[Expected, int, int | None]:
        """The money has moved: whatever came before, it is posted."""
        purchase = self.about(operation)
        if purchase is None:
            self.purchases[operation.number] = Purchase(posted=operation.amount, state="posted", advised=True)
            if operation.about is not None:
                self.messages[operation.about].purchase = operation.number
            return Expected(ACCEPTED), operation.amount, operation.number
        purchase.advised = True
        purchase.held, purchase.state = 0, "posted"
        purchase.posted += operation.amount
        self._relied_on(operation)
        return Expected(ACCEPTED), operation.amount, self._root(operation)

    def _relied_on(self, operation: Operation) -> None:
        """The network counts on the approval that it names: nobody takes that back as unheard any more."""
        assert operation.about is not None
        self.messages[operation.about].relied_on = True

    def _repeat(self, operation: Operation) -> Expected:
        assert operation.about is not None
        message = self.messages[operation.about]
        message.answered_again += 1
        return Expected(message.reason, same_as=operation.about)

    def _withdraw(self, operation: Operation) -> Expected:
        """91 was sent in the place of one answer, and the approval became durable all the same."""
        assert operation.about is not None
        message = self.messages[operation.about]
        if message.withdrawn or message.reason not in APPROVALS:
            return Expected("deadline_missed")
        if message.answered_again:
            message.answered_again -= 1
            return Expected(message.reason, same_as=operation.about)
        if message.relied_on:
            return Expected(message.reason, same_as=operation.about)
        message.withdrawn, message.reason = True, "deadline_missed"
        purchase = self.about(operation)
        if purchase is None or purchase.state not in ("open", "posted"):
            return Expected("deadline_missed")
        cleared = purchase.state == "posted" and message.operation.name in ("authorise", "increment")
        if cleared or message.undone:
            return Expected("deadline_missed")  # cleared or reversed meanwhile
        there = purchase.held if purchase.state == "open" else abs(purchase.posted)
        self._lower(purchase, there - min(message.moved, there), "withdrawn")
        return Expected("deadline_missed")
