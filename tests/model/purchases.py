"""Purchases and their clearing, kept by hand: what the house must agree with after the authorization.

It knows DOMAIN's facts and nothing of the issuer's code: no matching, no keys, no pockets. An event names the purchase or
the record that it is about directly, so there is nothing to find. Where DOMAIN does not decide what becomes of a purchase,
it says so (``Expected.undecided``): what the house has made of it is then taken over, and only what always holds is held
against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

__all__ = ["CHARGES", "RECORDS", "Event", "Expected", "Purchase", "Purchases", "Record"]

#: How long a hold stands ("default 7; card not present 10"), and how long at most if it is raised again and again.
STANDS = timedelta(days=7)
ONLINE = timedelta(days=10)
LONGEST = timedelta(days=60)

REQUESTS = frozenset({"authorise", "single", "increment"})
CHARGES = frozenset({"present", "extra"})
RECORDS = CHARGES | {"refund", "take_back", "charge_back", "represent"}


@dataclass(frozen=True)
class Event:
    """One thing that is told. ``number`` is its own name, ``about`` that of the event whose purchase it means.

    ``of`` names the record that a record takes back, or that comes again, or that is settled.
    """

    name: str
    number: int
    amount: int = 0
    about: int | None = None
    of: int | None = None
    final: bool = True  # a presentment after which nothing follows
    left: int | None = None  # what a partial reversal leaves
    sequence: int = 1
    sequence_count: int = 0
    copy_of: int | None = None  # the record that says the same in another file
    online: bool = False


@dataclass(frozen=True)
class Expected:
    """What the answer says and, of a record, what becomes of it."""

    reason: str = "advice_accepted"
    state: str | None = None  # matched, forced, in_doubt, noted, reversed, rejected
    purchase: int | None = None
    undecided: bool = False  # about ``purchase``


@dataclass
class Purchase:
    """What has been set aside, what has left the account for good (or, of a credit, come in), what has come back."""

    opened: datetime
    held: int = 0
    posted: int = 0
    refunded: int = 0
    told_by_messages: int = 0  # of posted: no record has told of it yet
    presented: bool = False
    expired: bool = False  # and nothing became of it since
    charged_beside: bool = False  # an additional charge was told of
    credit: bool = False
    single: bool = False
    raised: int = 0
    due: datetime | None = None

    @property
    def open(self) -> bool:
        return self.held > 0

    @property
    def spent(self) -> int:
        """What the network got of it, net."""
        return (-self.posted if self.credit else self.posted) - self.refunded

    def take_over(
        self, *, held: int, posted: int, refunded: int, presented: int, credit: bool, expires_at: datetime | None
    ) -> None:
        """What the house has made of it, where DOMAIN does not decide."""
        self.held, self.posted, self.refunded, self.credit = held, posted, refunded, credit
        self.told_by_messages, self.due = max(0, posted - presented), expires_at
        self.presented = self.presented or presented > 0


@dataclass
class Record:
    """A clearing record and what became of it."""

    event: Event
    state: str
    purchase: int | None = None

    @property
    def stands(self) -> bool:
        return self.state in ("matched", "forced")


@dataclass
class Purchases:
    """One account: its money, its purchases, by the number of what began them, and its records."""

    paid_in: int
    floor: int
    now: datetime
    purchases: dict[int, Purchase] = field(default_factory=dict)
    purchase_of: dict[int, int | None] = field(default_factory=dict)  # by event; None where it was declined
    records: dict[int, Record] = field(default_factory=dict)
    expiries: int = 0

    @property
    def posted(self) -> int:
        return self.paid_in - sum(purchase.spent for purchase in self.purchases.values())

    @property
    def held(self) -> int:
        return sum(purchase.held for purchase in self.purchases.values())

    @property
    def spendable(self) -> int:
        return self.posted - self.held - self.floor

    def expire(self) -> None:
        """Holds whose deadline has passed are released."""
        for purchase in self.purchases.values():
            if purchase.open and purchase.due is not None and purchase.due <= self.now:
                purchase.held = 0
                purchase.expired = not (purchase.posted or purchase.refunded)
                self.expiries += 1

    def tell(self, event: Event) -> Expected:
        """What must be answered, and become of a record; the account moves on."""
        if event.name in REQUESTS:
            self.expire()  # no purchase is declined for money that should be free by now
        if event.name in RECORDS:
            expected = self._record(event)
            self.records[event.number] = Record(event, expected.state or "", expected.purchase)
        else:
            expected = getattr(self, f"_{event.name}")(event)
        self.purchase_of[event.number] = expected.purchase
        return expected

    def about(self, event: Event) -> tuple[int | None, Purchase | None]:
        number = None if event.about is None else self.purchase_of.get(event.about)
        return number, None if number is None else self.purchases[number]

    def _begin(self, event: Event, **figures: int | bool) -> int:
        self.purchases[event.number] = Purchase(self.now, **figures)  # type: ignore[arg-type]  # figures and flags
        return event.number

    def _prolong(self, purchase: Purchase, *, online: bool = False) -> None:
        """The deadline of what was placed or raised now. What was promised stays."""
        later = min(self.now + (ONLINE if online else STANDS), purchase.opened + LONGEST)
        purchase.due = later if purchase.due is None else max(purchase.due, later)

    # ── messages

    def _authorise(self, event: Event) -> Expected:
        if event.amount > self.spendable:
            return Expected("insufficient_funds")
        number = self._begin(event, held=event.amount)
        self._prolong(self.purchases[number], online=event.online)
        return Expected("approved", purchase=number)

    def _single(self, event: Event) -> Expected:
        if event.amount > self.spendable:
            return Expected("insufficient_funds")
        begun = self._begin(event, posted=event.amount, told_by_messages=event.amount, single=True)
        return Expected("approved", purchase=begun)

    def _increment(self, event: Event) -> Expected:
        if event.amount > self.spendable:
            return Expected("insufficient_funds")
        number, purchase = self.about(event)
        if purchase is None or not (purchase.open or (purchase.expired and self.now < purchase.opened + LONGEST)):
            return Expected("original_not_found")
        purchase.expired = False
        purchase.held += event.amount
        purchase.raised += event.amount
        self._prolong(purchase)
        return Expected("approved", purchase=number)

    def _reverse(self, event: Event) -> Expected:
        """Takes back what is still set aside; what is cleared only a refund brings back."""
        number, purchase = self.about(event)
        assert purchase is not None
        if purchase.single:
            # Does a reversal after the clearing undo the single message, or what was cleared?
            undecided = purchase.presented or purchase.posted != purchase.told_by_messages
            if not undecided:
                purchase.posted = purchase.told_by_messages = min(purchase.posted, event.left or 0)
            return Expected("reversal_accepted", purchase=number, undecided=undecided)
        purchase.held = min(purchase.held, event.left or 0)
        purchase.expired = purchase.expired and bool(event.left)
        return Expected("reversal_accepted", purchase=number)

    def _stand_in(self, event: Event) -> Expected:
        number, purchase = self.about(event)
        if purchase is None:
            number = self._begin(event, held=event.amount)
            self._prolong(self.purchases[number])
            if event.about is not None:
                self.purchase_of[event.about] = number
            return Expected(purchase=number)
        if not purchase.open:
            return Expected()
        if purchase.charged_beside:
            # It is told late of the whole, of which a part is cleared already: how much of that was it?
            return Expected(purchase=number, undecided=True)
        left = max(0, event.amount + purchase.raised - purchase.posted)
        raised, purchase.held = left > purchase.held, left
        if raised:
            self._prolong(purchase)
        return Expected(purchase=number)

    def _decline(self, event: Event) -> Expected:
        number, purchase = self.about(event)
        if purchase is None or not purchase.open:
            return Expected()
        purchase.held = 0
        return Expected(purchase=number)

    def _advise(self, event: Event) -> Expected:
        """The money has moved, whatever became of the authorization."""
        number, purchase = self.about(event)
        if purchase is None:
            return Expected(purchase=self._begin(event, posted=event.amount, told_by_messages=event.amount))
        if purchase.presented:
            # Is it what a record has told of before, or more?
            return Expected(purchase=number, undecided=True)
        purchase.held = 0
        purchase.expired = False
        purchase.posted += event.amount
        purchase.told_by_messages += event.amount
        return Expected(purchase=number)

    # ── records

    def _record(self, event: Event) -> Expected:
        if event.name in ("take_back", "charge_back", "represent"):
            return self._about_a_record(event)
        if self._told_before(event):
            return Expected(state="in_doubt")
        return self._book(event)

    def _told_before(self, event: Event) -> bool:
        """Whether a record that stands, or is in doubt, has said this very thing in another file."""
        return any(
            (record.stands or record.state == "in_doubt") and self.saying(record.event) == self.saying(event)
            for record in self.records.values()
        )

    def saying(self, event: Event) -> tuple[object, ...]:
        """What two records have in common that say the same."""
        if event.copy_of is not None:
            return self.saying(self.records[event.copy_of].event)
        if event.of is not None:
            return event.name, *self.saying(self.records[event.of].event)
        return event.name, event.number

    def _book(self, event: Event, *, state: str | None = None) -> Expected:
        """A charge or a refund, on its purchase or by itself."""
        number, purchase = self.about(event)
        if event.name == "refund":
            if purchase is None or purchase.credit or not purchase.posted:
                begun = self._begin(event, posted=event.amount, credit=True)
                return Expected(state=state or "forced", purchase=begun)
            purchase.refunded += event.amount
            return Expected(state=state or "matched", purchase=number)
        if purchase is None:
            begun = self._begin(event, posted=event.amount, presented=True)
            return Expected(state=state or "forced", purchase=begun)
        told = 0 if event.name == "extra" else min(event.amount, purchase.told_by_messages)
        rest = event.amount - told
        purchase.told_by_messages -= told
        purchase.posted += rest
        if event.name == "present":  # an additional charge is none of what was set aside
            purchase.held = 0 if self._nothing_follows(event, number) else max(0, purchase.held - rest)
        purchase.presented, purchase.expired = True, False
        purchase.charged_beside |= event.name == "extra"
        return Expected(state=state or "matched", purchase=number)

    def _nothing_follows(self, event: Event, number: int | None) -> bool:
        """Whether it is the last of its purchase; of a series, which may come in any order, all have come then."""
        if not event.sequence_count:
            return event.final
        come = {
            record.event.sequence
            for record in self.records.values()
            if record.stands and record.event.sequence_count and record.purchase == number
        }
        return len(come | {event.sequence}) == event.sequence_count

    def _about_a_record(self, event: Event) -> Expected:
        """What is taken back is over, in whole or in part: nothing takes it back again."""
        record = None if event.of is None else self.records[event.of]
        wanted = {"take_back": CHARGES | {"refund"}, "charge_back": CHARGES, "represent": {"charge_back"}}[event.name]
        if record is None or record.event.name not in wanted:
            return Expected(state="in_doubt")
        if not record.stands:
            return Expected(state="noted" if event.name == "take_back" and self._was_reversed(record) else "in_doubt")
        assert record.purchase is not None
        purchase = self.purchases[record.purchase]
        expected = Expected(state="matched", purchase=record.purchase)
        if event.name == "charge_back":
            if self._told_before(event) or not purchase.posted:
                return Expected(state="in_doubt")  # once more, or the cardholder has it back already
            purchase.refunded += event.amount
            return expected
        there = purchase.posted if purchase.credit or record.event.name in CHARGES else event.amount
        if event.amount > there or (event.name == "take_back" and event.amount > record.event.amount):
            return Expected(state="matched", purchase=record.purchase, undecided=True)  # more than there is
        record.state = "reversed"
        if purchase.credit or record.event.name in CHARGES:
            purchase.posted -= event.amount
        else:
            self._charge_again(purchase, event.amount)
        return expected

    def _was_reversed(self, record: Record) -> bool:
        same = self.saying(record.event)
        return any(other.state == "reversed" and self.saying(other.event) == same for other in self.records.values())

    @staticmethod
    def _charge_again(purchase: Purchase, amount: int) -> None:
        """What had come back is paid again; what is beyond it is spent."""
        back = min(amount, purchase.refunded)
        purchase.refunded -= back
        purchase.posted += amount - back

    # ── people

    def settle(self, event: Event) -> Expected:
        """A person decides about the record ``of`` that is in doubt: ``bind`` (to ``about``), ``force`` or ``reject``."""
        assert event.of is not None
        record = self.records[event.of]
        if record.state != "in_doubt":
            return Expected(state=record.state, purchase=record.purchase)
        told = record.event
        if event.name == "reject":
            expected = Expected(state="rejected")
        elif event.name == "force":
            expected = self._by_itself(told)
        else:
            expected = self._bound(told, event)
        record.state, record.purchase = expected.state or "", expected.purchase
        self.purchase_of[told.number] = expected.purchase
        return expected

    def _by_itself(self, told: Event) -> Expected:
        credit = told.name in ("refund", "take_back", "charge_back")
        begun = self._begin(told, posted=told.amount, credit=credit, presented=not credit)
        return Expected(state="forced", purchase=begun)

    def _bound(self, told: Event, event: Event) -> Expected:
        number, purchase = self.about(event)
        assert purchase is not None
        if told.name == "take_back" or (purchase.credit and told.name == "represent"):
            # By how much less was posted, or as money that came back? Both bring back the same.
            return Expected(state="matched", purchase=number, undecided=True)
        if purchase.credit or (told.name in ("refund", "charge_back") and not purchase.posted):
            return Expected(state="in_doubt")  # that can't be meant
        if told.name == "represent":
            self._charge_again(purchase, told.amount)
        elif told.name == "charge_back":
            purchase.refunded += told.amount
        else:
            bound = replace(told, about=event.about)
            return self._book(bound, state="matched")
        return Expected(state="matched", purchase=number)
