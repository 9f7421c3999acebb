"""The real unit of work and a real PostgreSQL against a simple account kept by hand (``tests/model/account.py``)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from itertools import permutations
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from switch.contracts.message import Answer
from switch.issuer.case import Decision
from tests.journal.counter import Counter
from tests.journal.server import Database
from tests.model.account import APPROVALS, Account, Expected, Operation
from tests.model.messages import Network

T = TypeVar("T")

amounts = st.sampled_from([1, 100, 500, 999, 1_000, 2_500]) | st.integers(1, 4_000)
picks = st.integers(0, 40)
#: (name, amount, which earlier message, flag): what several messages are drawn of.
TOLD = [
    "authorise",
    "single",
    "refund",
    "increment",
    "reverse",
    "reverse_in_part",
    "reverse_before",
    "late",
    "stand_in",
    "stand_in_decline",
    "advise",
    "repeat",
]
in_a_batch = st.tuples(st.sampled_from(TOLD), amounts, picks, st.booleans())
#: Withdrawals come from the house itself, each as a unit of its own.
sessions = st.tuples(st.sampled_from([*TOLD, "withdraw"]), amounts, picks, st.booleans())
Draft = tuple[str, int, int, bool]


class Accounts(RuleBasedStateMachine):
    """One card. Each rule tells one message, or several, and compares answers and tables with the model."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.counter = Counter(database)
        self.model = Account(0, 0)
        self.numbers = 0
        self.answers: dict[int, Answer] = {}
        self.early: list[Operation] = []  # reversed before they were told

    def run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return self.runner.run(wait())

    def teardown(self) -> None:
        self.run(self.counter.close())
        self.runner.close()

    @initialize(opening=st.integers(0, 8_000), floor=st.sampled_from([0, 0, -300, 200]))
    def open_account(self, opening: int, floor: int) -> None:
        self.client = self.run(self.counter.client(opening, floor_minor=floor))
        self.network = Network(self.counter, self.client)
        self.units = [self.counter.unit() for _ in range(3)]
        self.model = Account(opening, floor)

    # ── one message

    @rule(amount=amounts, partial=st.booleans())
    def authorise(self, amount: int, partial: bool) -> None:
        self.one(("authorise", amount, 0, partial))

    @rule(amount=amounts, partial=st.booleans())
    def single_message(self, amount: int, partial: bool) -> None:
        self.one(("single", amount, 0, partial))

    @rule(amount=amounts)
    def refund(self, amount: int) -> None:
        self.one(("refund", amount, 0, False))

    @rule(amount=amounts, pick=picks)
    def increment(self, amount: int, pick: int) -> None:
        self.one(("increment", amount, pick, False))

    @rule(pick=picks)
    def repeat(self, pick: int) -> None:
        self.one(("repeat", 0, pick, False))

    @rule(pick=picks)
    def reverse(self, pick: int) -> None:
        self.one(("reverse", 0, pick, False))

    @rule(pick=picks, final=amounts)
    def reverse_in_part(self, pick: int, final: int) -> None:
        self.one(("reverse_in_part", final, pick, False))

    @rule(pick=picks)
    def reverse_twice(self, pick: int) -> None:
        self.one(("reverse", 0, pick, False))
        self.one(("reverse", 0, pick, False))

    @rule(amount=amounts, flag=st.booleans())
    def reverse_before_the_original(self, amount: int, flag: bool) -> None:
        self.one(("reverse_before", amount, 0, flag))

    @precondition(lambda self: self.early)
    @rule(pick=picks)
    def tell_the_reversed_original(self, pick: int) -> None:
        self.one(("late", 0, pick, False))

    @rule(amount=amounts, pick=picks, known=st.booleans())
    def stand_in_approval(self, amount: int, pick: int, known: bool) -> None:
        self.one(("stand_in", amount, pick, known))

    @rule(pick=picks)
    def stand_in_decline(self, pick: int) -> None:
        self.one(("stand_in_decline", 0, pick, True))

    @rule(amount=amounts, pick=picks, known=st.booleans())
    def financial_advice(self, amount: int, pick: int, known: bool) -> None:
        self.one(("advise", amount, pick, known))

    @rule(pick=picks)
    def withdraw(self, pick: int) -> None:
        self.one(("withdraw", 0, pick, False))

    # ── several

    @rule(several=st.lists(in_a_batch, min_size=2, max_size=6))
    def batch(self, several: list[Draft]) -> None:
        """Several messages in one unit of work: each is decided on what the ones before it left."""
        told: list[tuple[Operation, Expected]] = []
        before = self.row()
        for draft in several:
            operation = self.operation(draft, self.model)
            if operation is not None:
                self.network.item(operation)  # written now: a later one may name it
                told.append((operation, self.model.tell(operation)))
        decisions = self.run(self.together([operation for operation, _ in told]))
        for (operation, expected), decision in zip(told, decisions, strict=True):
            self.compare(operation, expected, decision)
        self.unmoved([expected for _, expected in told], before)

    @rule(several=st.lists(sessions, min_size=2, max_size=3))
    def at_once(self, several: list[Draft]) -> None:
        """Several sessions at once: the answers are those of the same messages in some order."""
        drawn = [self.operation(draft, self.model) for draft in several]
        told = self.decided_in_any_order([operation for operation in drawn if operation is not None])
        items = [self.network.item(operation) for operation in told]

        async def race() -> list[Decision]:
            units = zip(self.units, items, strict=False)
            return [decision for (decision,) in await asyncio.gather(*(unit.run([item]) for unit, item in units))]

        decisions = self.run(race())
        row = self.row()
        for order in permutations(range(len(told))):
            model = self.model.copy()
            expected = {place: model.tell(told[place]) for place in order}
            fits = all(
                decision.reason == expected[place].reason
                and (expected[place].same_as is not None or decision.answer.approved_minor == expected[place].approved)
                for place, decision in enumerate(decisions)
            )
            if fits and (model.posted, model.held) == (row["posted"], row["held"]):
                self.model = model
                for place in order:
                    self.compare(told[place], expected[place], decisions[place])
                return
        raise AssertionError(f"no order of {told} explains {[str(d.reason) for d in decisions]} and {row}")

    # ── how

    def operation(self, draft: Draft, model: Account) -> Operation | None:
        """The operation that a draft means here, or None where nothing fits it yet."""
        name, amount, pick, flag = draft
        self.numbers += 1
        number = self.numbers
        match name:
            case "authorise" | "single":
                return Operation(name, number, amount, partial=flag)
            case "refund":
                return Operation(name, number, amount)
            case "reverse_before":
                later = Operation("single" if flag else "authorise", number, amount)
                self.network.prepare(later)
                self.early.append(later)
                self.numbers += 1
                return Operation("reverse", self.numbers, about=number)
            case "late":
                return self.early.pop(pick % len(self.early)) if self.early else None
            case "stand_in" | "advise" if not flag:
                return Operation(name, number, amount)
        about = self.pick(name, pick, model)
        if about is None:
            return None
        final = amount if name == "reverse_in_part" else None
        plain = "reverse" if name == "reverse_in_part" else name
        return Operation(plain, number, amount if final is None else 0, about=about, final=final)

    def pick(self, name: str, pick: int, model: Account) -> int | None:
        """An earlier message that this one can be about."""
        begins = {"authorise", "single", "refund", "stand_in", "advise"}
        can = {
            "repeat": begins | {"increment", "reverse", "stand_in_decline"},
            "withdraw": {"authorise", "single", "refund", "increment"},
            "reverse": begins | {"increment"},
            "reverse_in_part": {"authorise", "single", "refund", "stand_in"},
            "increment": {"authorise", "single", "stand_in"},
            "stand_in": {"authorise", "single"},
            "stand_in_decline": {"authorise", "single", "stand_in"},
            "advise": {"authorise", "stand_in"},
        }[name]
        found = [
            number
            for number, message in model.messages.items()
            if message.operation.name in can and not self.left_out(name, number, model)
        ]
        return found[pick % len(found)] if found else None

    def left_out(self, name: str, number: int, model: Account) -> bool:
        """What DOMAIN does not decide."""
        message = model.messages[number]
        purchase = None if message.purchase is None else model.purchases[message.purchase]
        if purchase is None:
            return False
        if name in ("reverse", "reverse_in_part") and message.moved == 0 and message.operation.name != "stand_in":
            # Its amount is what we declined, not what the network approved in our place.
            return message.reason not in APPROVALS
        if name == "reverse_in_part" and purchase.state == "posted" and purchase.advised:
            return True  # of which of several presentments?
        if name == "reverse" and message.operation.name == "single" and purchase.advised:
            return True  # withdrawn, stood in for, and perhaps presented: whose is what stands?
        if name == "withdraw" and (purchase.refused or purchase.state not in ("open", "posted")):
            return True  # ended already: whether a repeat hears the approval is a question of its own
        # How much of a hold that the network told of is still a late increment's, nobody can say.
        return name == "withdraw" and message.operation.name == "increment" and purchase.advised

    def decided_in_any_order(self, told: Sequence[Operation]) -> list[Operation]:
        """Without those that what comes before them may turn into something that DOMAIN does not decide."""
        out: set[int] = set()
        for order in permutations(told):
            model = self.model.copy()
            for operation in order:
                name = operation.name if operation.final is None else "reverse_in_part"
                if operation.about in model.messages and self.left_out(name, operation.about, model):
                    out.add(operation.number)
                model.tell(operation)
        return [operation for operation in told if operation.number not in out]

    def one(self, draft: Draft) -> None:
        operation = self.operation(draft, self.model)
        if operation is None:
            return
        before = self.row()
        item = self.network.item(operation)
        expected = self.model.tell(operation)
        (decision,) = self.run(self.units[0].run([item]))
        self.compare(operation, expected, decision)
        self.unmoved([expected], before)

    async def together(self, operations: Sequence[Operation]) -> list[Decision]:
        """One batch."""
        return await self.units[0].run([self.network.item(operation) for operation in operations])

    def compare(self, operation: Operation, expected: Expected, decision: Decision) -> None:
        assert decision.reason == expected.reason, operation
        if expected.same_as is not None:
            assert decision.answer == self.answers[expected.same_as], operation
        else:
            assert decision.answer.approved_minor == expected.approved, operation
        if operation.name == "withdraw":
            assert operation.about is not None
            if expected.same_as is None and self.model.messages[operation.about].withdrawn:
                self.answers[operation.about] = decision.answer
        elif operation.name != "repeat":
            self.answers[operation.number] = decision.answer

    def row(self) -> dict[str, Any]:
        """The account as it stands in its table; how long to look for tombstones is no part of the balance."""
        (row,) = self.run(self.counter.table("account", self.client))
        row.pop("tombstone_until")
        return row

    def unmoved(self, expected: Sequence[Expected], before: dict[str, Any]) -> None:
        """A rejection leaves the account's row byte-identical, and so does a repeat."""
        approved = {"approved", "approved_partially", "advice_accepted", "reversal_accepted", "deadline_missed"}
        if all(each.reason not in approved or each.same_as is not None for each in expected):
            assert self.row() == before

    # ── what always holds

    @invariant()
    def balances_agree_with_the_model(self) -> None:
        if self.numbers == 0:
            return
        row = self.row()
        assert (row["posted"], row["held"]) == (self.model.posted, self.model.held)

    @invariant()
    def the_books_add_up(self) -> None:
        """Conservation by the sides, held = the open holds, balance = the journal, and the chain verifies."""
        if self.numbers == 0:
            return
        sums = self.run(self.sums())
        assert sums["held"] == sums["open_holds"] == sums["held_deltas"]
        assert sums["posted"] == sums["posted_deltas"] == sums["paid_in"] - sums["paid_out"]
        assert self.run(self.counter.faults(self.client)) == []

    async def sums(self) -> dict[str, int]:
        root = await self.counter.root()
        row = await root.fetchrow(
            "SELECT a.posted, a.held,"
            " (SELECT coalesce(sum(held), 0) FROM hold WHERE account_id = $1 AND state = 'open') AS open_holds,"
            " coalesce(sum(e.posted_delta), 0) AS posted_deltas, coalesce(sum(e.held_delta), 0) AS held_deltas,"
            " coalesce(sum(e.amount) FILTER (WHERE e.debit IN ('network.settlement', 'issuer.funding')), 0) AS paid_in,"
            " coalesce(sum(e.amount) FILTER (WHERE e.credit IN ('network.settlement', 'issuer.funding')), 0) AS paid_out"
            " FROM account a LEFT JOIN journal_entry e USING (account_id) WHERE a.account_id = $1"
            " GROUP BY a.posted, a.held",
            self.client.account_id,
        )
        assert row is not None
        return {name: int(value) for name, value in row.items()}


EXAMPLES = 60 if os.environ.get("CI") else 25


def test_accounts(database: Database) -> None:
    class OnThisDatabase(Accounts):
        def __init__(self) -> None:
            super().__init__(database)

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            print_blob=True,
            # Shrinking drives thousands of transactions: minutes. The blob runs the failing steps again as they were.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_model_can_disagree(database: Database) -> None:
    """Were the model wrong about money by one unit, the machine would say so at the first step."""

    class Greedy(Accounts):
        def one(self, draft: Draft) -> None:
            super().one((draft[0], draft[1], draft[2], draft[3]))
            self.model.opening += 1

    machine = Greedy(database)
    try:
        machine.open_account(5_000, 0)
        machine.authorise(100, False)
        try:
            machine.balances_agree_with_the_model()
        except AssertionError:
            return
        raise AssertionError("a wrong balance went unnoticed")
    finally:
        machine.teardown()
