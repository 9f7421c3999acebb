"""The real unit of work and a real PostgreSQL against purchases kept by hand (``tests/model/purchases.py``)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from itertools import chain, permutations
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from switch.issuer.books import Item
from switch.issuer.case import Decision
from switch.journal import issuing
from tests.issuer.support import NOON
from tests.journal.counter import Counter
from tests.journal.server import Database
from tests.model.purchases import CHARGES, RECORDS, Event, Expected, Purchase, Purchases
from tests.model.records import Acquirer
from tests.model.sums import Row, account_row, check_books, holds, records

T = TypeVar("T")

amounts = st.sampled_from([1, 100, 500, 999, 1_000, 2_500]) | st.integers(1, 4_000)
picks = st.integers(0, 40)
#: What may be told about a purchase, or about a record of it, once it has begun.
LATER = [
    *("increment", "reverse", "reverse_in_part", "stand_in", "decline", "advise"),
    *("present", "present_in_part", "series", "extra", "refund", "take_back", "charge_back", "represent"),
    *("copy", "again"),
]
#: (name, amount, which earlier event, whether about an earlier one at all): what several are drawn of.
drafts = st.tuples(st.sampled_from(["authorise", "single", *LATER]), amounts, picks, st.booleans())
Draft = tuple[str, int, int, bool]
#: The account, its purchases by their id, its records by their file.
Tables = tuple[Row, dict[int, Row], dict[str, Row]]
#: What the house has made of a purchase, where DOMAIN does not say.
FIGURES = ("held", "posted", "refunded", "presented", "credit", "expires_at")
#: A record is matched by its retrieval reference for so long (``match_window_days`` of a program).
BELIEVED = timedelta(days=120)
#: How many presentments one authorization has, where it has several.
SERIES = 3


class Clearing(RuleBasedStateMachine):
    """One card. Each rule tells one thing, or several, and compares answers and tables with the model."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.counter = Counter(database)
        self.counter.now = NOON
        self.model = Purchases(0, 0, self.counter.now)
        self.numbers = 0
        self.hold_ids: dict[int, int] = {}  # by the number of what began the purchase
        self.begun_by: dict[int, str] = {}  # by number: what kind of event it was
        # Retrieval references of two purchases, since a person has said that a record means another one.
        self.two_purchases: set[str] = set()
        self.told: dict[int, int] = {}  # how many of a series have come

    def run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return self.runner.run(wait())

    def teardown(self) -> None:
        self.run(self.counter.close())
        self.runner.close()

    @initialize(
        opening=st.integers(0, 20_000), bonus=st.sampled_from([0, 300, 2_000]), floor=st.sampled_from([0, -300])
    )
    def open_account(self, opening: int, bonus: int, floor: int) -> None:
        self.client = self.run(self.counter.client(opening, floor_minor=floor))
        self.acquirer = Acquirer(self.counter, self.client)
        self.unit, self.other, self.sweeper = (self.counter.unit() for _ in range(3))
        self.model = Purchases(opening, floor, self.counter.clock())
        if bonus:
            self.load(bonus, True)

    # ── one thing

    @rule(amount=amounts, online=st.booleans())
    def authorise(self, amount: int, online: bool) -> None:
        self.one(("authorise", amount, 0, online))

    @rule(amount=amounts)
    def single_message(self, amount: int) -> None:
        self.one(("single", amount, 0, False))

    @rule(amount=amounts, pick=picks)
    def increment(self, amount: int, pick: int) -> None:
        self.one(("increment", amount, pick, True))

    @rule(amount=amounts, pick=picks, part=st.booleans())
    def reverse(self, amount: int, pick: int, part: bool) -> None:
        self.one(("reverse_in_part" if part else "reverse", amount, pick, True))

    @rule(amount=amounts, pick=picks, known=st.booleans(), approved=st.booleans())
    def stand_in(self, amount: int, pick: int, known: bool, approved: bool) -> None:
        self.one(("stand_in" if approved else "decline", amount, pick, known))

    @rule(amount=amounts, pick=picks, known=st.booleans())
    def financial_advice(self, amount: int, pick: int, known: bool) -> None:
        self.one(("advise", amount, pick, known))

    @rule(
        amount=amounts, pick=picks, known=st.booleans(), how=st.sampled_from(["present", "present_in_part", "series"])
    )
    def present(self, amount: int, pick: int, known: bool, how: str) -> None:
        self.one((how, amount, pick, known))

    @rule(pick=picks)
    def present_what_is_held(self, pick: int) -> None:
        """The usual case: the amount of the authorization."""
        self.one(("present", 0, pick, True))

    @rule(amount=amounts, pick=picks, known=st.booleans())
    def additional_charge(self, amount: int, pick: int, known: bool) -> None:
        self.one(("extra", amount, pick, known))

    @rule(amount=amounts, pick=picks, known=st.booleans())
    def refund(self, amount: int, pick: int, known: bool) -> None:
        self.one(("refund", amount, pick, known))

    @rule(
        amount=amounts, pick=picks, known=st.booleans(), how=st.sampled_from(["take_back", "charge_back", "represent"])
    )
    def record_about_a_record(self, amount: int, pick: int, known: bool, how: str) -> None:
        self.one((how, amount, pick, known))

    @rule(pick=picks, how=st.sampled_from(["take_back", "charge_back", "represent"]))
    def record_about_a_whole_record(self, pick: int, how: str) -> None:
        self.one((how, 0, pick, True))

    @rule(pick=picks, copied=st.booleans())
    def the_same_record_again(self, pick: int, copied: bool) -> None:
        self.one(("copy" if copied else "again", 0, pick, True))

    @rule(pick=picks, how=st.sampled_from(["bind", "bind", "force", "reject"]), to=picks)
    def settle(self, pick: int, how: str, to: int) -> None:
        """A person decides about a record in doubt; where there is none, about one that is in doubt no more."""
        records = self.model.records
        settleable = [number for number in records if self.can_be_settled(number, how)]
        doubtful = [number for number in settleable if records[number].state == "in_doubt"] or settleable
        bindable = [number for number in self.hold_ids if how == "bind"]
        if not doubtful or (how == "bind" and not bindable):
            return
        of = doubtful[pick % len(doubtful)]
        about = bindable[to % len(bindable)] if bindable else None
        self.numbers += 1
        event = Event(how, self.numbers, about=about, of=of)
        item = self.acquirer.instruction(event, None if about is None else self.hold_ids[about])
        before = self.model.about(records[of].event)[0]
        expected = self.model.settle(event)
        reference = self.acquirer.retrieval_reference(of)
        if reference and expected.purchase not in (None, before):
            self.two_purchases.add(reference)
        (decision,) = self.run(self.unit.run([item]))
        self.compare(event, expected, decision)

    # ── several, time, money

    @rule(amount=amounts, later=st.lists(st.tuples(st.sampled_from(LATER), amounts), min_size=1, max_size=6))
    def one_after_another(self, amount: int, later: list[tuple[str, int]]) -> None:
        """The life of one purchase, without the others between: each is about the newest that it can be about."""
        self.one(("authorise", amount, 0, False))
        for name, changed in later:
            self.one((name, changed, -1, True))

    @rule(several=st.lists(drafts, min_size=2, max_size=5))
    def batch(self, several: list[Draft]) -> None:
        """Several in one unit of work: each is decided on what the ones before it left."""
        told: list[tuple[Event, Expected, Item]] = []
        for draft in several:
            event = self.event(draft)
            if event is None:
                continue
            item = self.acquirer.item(event)
            told.append((event, self.tell(event), item))
            if told[-1][1].undecided:
                break  # what comes after it can't be foretold
        decisions = self.run(self.unit.run([item for *_, item in told])) if told else []
        for (event, expected, _), decision in zip(told, decisions, strict=True):
            self.compare(event, expected, decision)

    @rule(first=drafts, second=drafts)
    def at_once(self, first: Draft, second: Draft) -> None:
        """Two sessions and the sweep at once: what comes of it is what some order of them brings about.

        The sweep leaves an account alone that a session is deciding on.
        """
        told = [
            event for draft in (first, second) if (event := self.event(draft)) is not None and event.name != "again"
        ]
        self.begun_by |= {event.number: event.name for event in told}
        orders = [self.in_order(order) for order in chain(permutations([*told, None]), permutations(told))]
        if any(expected.undecided for _, by_number in orders for expected in by_number.values()):
            return
        items = [self.acquirer.item(event) for event in told]

        async def race() -> list[Decision]:
            sweep = asyncio.ensure_future(self.sweeper.expire(100))
            units = zip((self.unit, self.other), items, strict=False)
            decided = await asyncio.gather(*(unit.run([item]) for unit, item in units))
            assert not (await sweep).refused
            return [decision for (decision,) in decided]

        decisions = self.run(race())
        tables = self.run(self.tables())
        before = self.model, self.hold_ids
        for self.model, by_number in orders:
            self.hold_ids = dict(before[1])
            try:
                for event, decision in zip(told, decisions, strict=True):
                    self.compare(event, by_number[event.number], decision)
                self.check(tables)
            except (AssertionError, KeyError):
                continue
            return
        raise AssertionError(f"no order of {told} explains {[str(decision.reason) for decision in decisions]}")

    def in_order(self, order: Sequence[Event | None]) -> tuple[Purchases, dict[int, Expected]]:
        """What the events would bring about one after another; None is the sweep."""
        model = deepcopy(self.model)
        by_number: dict[int, Expected] = {}
        for event in order:
            if event is None:
                model.expire()
            else:
                by_number[event.number] = model.tell(event)
        return model, by_number

    @rule(hours=st.sampled_from([1, 24, 3 * 24, 7 * 24, 8 * 24, 30 * 24]))
    def time_passes(self, hours: int) -> None:
        """Not for so long that the references of a purchase would not be believed any more."""
        then = self.counter.clock() + timedelta(hours=hours)
        if then - NOON < BELIEVED:
            self.counter.now = self.model.now = then

    @rule()
    def sweep(self) -> None:
        """The job that releases what is due, on all accounts of the database."""
        while (swept := self.run(self.unit.expire(100))).accounts:
            assert not swept.refused
        self.model.expire()

    @rule(amount=amounts, bonus=st.booleans())
    def load(self, amount: int, bonus: bool) -> None:
        self.numbers += 1

        async def give() -> None:
            staff, reference = await self.counter.staff(), f"load {self.numbers}"
            for first in (True, False):  # and the same once more
                assert first == await issuing.load_account(
                    staff, self.client.lookup, amount, reference, self.counter.clock(), bonus=bonus
                )

        self.run(give())
        self.model.paid_in += amount

    # ── how

    def event(self, draft: Draft) -> Event | None:
        """What a draft means here, or None where nothing fits it yet."""
        name, amount, pick, known = draft
        self.numbers += 1
        number = self.numbers
        if name in ("take_back", "charge_back", "represent"):
            return self.about_a_record(name, number, amount, pick, known)
        if name in ("copy", "again"):
            return self.same_again(name, number, pick)
        plain = {"reverse_in_part": "reverse", "present_in_part": "present", "series": "present"}.get(name, name)
        about = self.pick(plain, pick) if known and name not in ("authorise", "single") else None
        if about is None and plain in ("increment", "reverse", "decline"):
            return None
        if plain == "reverse":
            return Event(plain, number, about=about, left=amount if name == "reverse_in_part" else None)
        if name == "series" and about is not None:
            purchase = self.model.purchase_of[about] or 0
            sequence = self.told[purchase] = self.told.get(purchase, 0) + 1
            if sequence > SERIES:
                return None
            return Event(
                plain, number, amount, about, final=sequence == SERIES, sequence=sequence, sequence_count=SERIES
            )
        if name == "present" and not amount:
            purchase_held = 0 if about is None else self.model.purchases[self.model.purchase_of[about] or 0].held
            amount = purchase_held or 1_000
        online = name == "authorise" and known
        return Event(plain, number, amount, about, final=name != "present_in_part", online=online)

    def pick(self, name: str, pick: int) -> int | None:
        """An earlier event whose purchase this can be about."""
        can = {
            "increment": {"authorise", "stand_in"},
            "reverse": {"authorise", "stand_in", "single"},
            "stand_in": {"authorise"},
            "decline": {"authorise", "stand_in"},
            "advise": {"authorise", "stand_in"},
        }.get(name, {"authorise", "stand_in", "single", "advise", "present", "extra"})
        found = [
            number
            for number, purchase in self.model.purchase_of.items()
            if self.begun_by[number] in can and (name == "stand_in" or purchase is not None)
            # What began nothing itself is not named, but what was declined and may have been stood in for.
            if purchase in (None, number) or self.begun_by[number] == "authorise"
            # A reversal of what we declined tells of that amount, and not of what the network approved in our place.
            if name != "reverse" or purchase == number
            if not (name in RECORDS and self.acquirer.retrieval_reference(number) in self.two_purchases)
            if not (purchase is not None and self.model.purchases[purchase].credit)
        ]
        return found[pick % len(found)] if found else None

    def about_a_record(self, name: str, number: int, amount: int, pick: int, known: bool) -> Event | None:
        if not known:
            return Event(name, number, amount or 1_000)
        wanted = {"represent": {"charge_back"}}.get(name, CHARGES | {"refund"})
        found = [of for of, record in self.model.records.items() if record.event.name in wanted and not self.twice(of)]
        if not found:
            return None
        of = found[pick % len(found)]
        whole = self.model.records[of].event.amount
        return Event(name, number, amount or whole, of=of)

    def twice(self, number: int) -> bool:
        """Whether two records that say the same stand, since a person said so: which of them is meant now?"""
        records = self.model.records
        same = self.model.saying(records[number].event)
        return any(
            record.stands and self.model.saying(record.event) == same
            for other, record in records.items()
            if other != number
        )

    def same_again(self, name: str, number: int, pick: int) -> Event | None:
        found = [
            of
            for of, record in self.model.records.items()
            if name == "again"
            or (
                record.event.name != "take_back"
                and not self.twice(of)
                and self.acquirer.retrieval_reference(of) not in self.two_purchases
            )
        ]
        if not found:
            return None
        of = found[pick % len(found)]
        if name == "again":
            return Event(name, number, of=of)
        told = self.model.records[of].event
        about = told.about
        if about is None and self.model.purchase_of[of] == of:
            about = of  # it began a purchase of its own
        return replace(told, number=number, about=about, copy_of=of)

    def can_be_settled(self, number: int, how: str) -> bool:
        record = self.model.records[number]
        if record.event.of is not None and self.model.records[record.event.of].event.name == "refund":
            return how == "reject"  # whether a reversal of a refund is a charge, its record does not say
        return True

    def one(self, draft: Draft) -> None:
        event = self.event(draft)
        if event is None:
            return
        item = self.acquirer.item(event)
        expected = self.tell(event)
        (decision,) = self.run(self.unit.run([item]))
        self.compare(event, expected, decision)

    def tell(self, event: Event) -> Expected:
        if event.name == "again":
            return Expected()
        self.begun_by[event.number] = event.name
        return self.model.tell(event)

    def compare(self, event: Event, expected: Expected, decision: Decision) -> None:
        assert decision.reason == expected.reason, event
        if event.name == "again":
            assert decision.repeat_of is not None and decision.hold is None and not decision.movements, event
        if expected.undecided:
            self.take_over(event, expected, decision)
        elif expected.purchase is not None and decision.hold is not None:
            hold_id = self.hold_ids.setdefault(expected.purchase, decision.hold.hold_id)
            assert hold_id == decision.hold.hold_id, event

    def take_over(self, event: Event, expected: Expected, decision: Decision) -> None:
        """DOMAIN does not say what becomes of a purchase here: from now on it is what the house has made of it."""
        model, (_, rows, items) = self.model, self.run(self.tables())
        if decision.hold is not None and decision.hold.hold_id not in self.hold_ids.values():
            self.hold_ids[event.number] = decision.hold.hold_id
            model.purchases[event.number] = Purchase(self.counter.clock())
            model.purchase_of[event.number] = event.number
        by_hold = {hold_id: number for number, hold_id in self.hold_ids.items()}
        for number in (expected.purchase, event.number):
            if number in self.hold_ids:
                figures = rows[self.hold_ids[number]]
                model.purchases[number].take_over(**{name: figures[name] for name in FIGURES})
        for told in (event.number, event.of):
            if told in model.records:
                row = items[self.acquirer.file_of(told)]
                model.records[told].state = row["state"]
                model.records[told].purchase = model.purchase_of[told] = by_hold.get(row["hold_id"])

    # ── what always holds

    @invariant()
    def the_books_agree(self) -> None:
        """With themselves, and with the model."""
        if self.numbers == 0:
            return
        tables = self.run(self.tables())
        check_books(*tables)
        self.check(tables)
        assert self.run(self.counter.faults(self.client)) == []

    def check(self, tables: Tables) -> None:
        """Holds the tables against the model, money, purchases and records."""
        model, (account, purchases, items) = self.model, tables
        assert (account["posted"], account["held"]) == (model.posted, model.held)
        assert account["expiries"] == model.expiries
        for number, purchase in model.purchases.items():
            row = purchases[self.hold_ids[number]]
            figures = (row["held"], row["posted"], row["refunded"], row["credit"])
            assert figures == (purchase.held, purchase.posted, purchase.refunded, purchase.credit), number
            assert not purchase.open or row["expires_at"] == purchase.due, number
        assert len(purchases) == len(model.purchases)
        states = {number: items[self.acquirer.file_of(number)]["state"] for number in model.records}
        assert states == {number: record.state for number, record in model.records.items()}

    async def tables(self) -> Tables:
        root, account_id = await self.counter.root(), self.client.account_id
        return (
            await account_row(root, account_id),
            await holds(root, account_id),
            await records(root, account_id),
        )


EXAMPLES = 60 if os.environ.get("CI") else 20


def test_clearing(database: Database) -> None:
    class OnThisDatabase(Clearing):
        def __init__(self) -> None:
            super().__init__(database)

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            print_blob=True,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_model_can_disagree(database: Database) -> None:
    """Were the model wrong about one unit of a purchase, the machine would say so, though the balance is right."""
    machine = Clearing(database)
    try:
        machine.open_account(5_000, 0, 0)
        machine.authorise(100, False)
        machine.present_what_is_held(0)
        machine.the_books_agree()
        (purchase,) = machine.model.purchases.values()
        purchase.posted += 1
        purchase.refunded += 1
        try:
            machine.the_books_agree()
        except AssertionError:
            return
        raise AssertionError("a wrong purchase went unnoticed")
    finally:
        machine.teardown()
