"""The machine among everything that surrounds it, each with books of its own: a provider, a network between, an issuer.

Nothing here knows the machine's rules. The provider keeps the contract and no more: it may be slow, hear a call
twice or late, decline, take a wrong amount, refuse a void. The driver may die at any moment; what it has stored is its row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from switch.contracts.funding import (
    Charge,
    ChargeAnswer,
    Charged,
    Declined,
    DeclineReason,
    NotCharged,
    Query,
    QueryAnswer,
    Unavailable,
    Unknown,
    Void,
    VoidAnswer,
    Voided,
    VoidRefusal,
    VoidRefused,
)
from switch.funding.action import (
    Alert,
    BookPurchase,
    CallCharge,
    CallQuery,
    CallVoid,
    CreditBalance,
    DebitBalance,
    DeclinePurchase,
    Notify,
    SetTimer,
    TakeBack,
)
from switch.funding.attempt import Attempt, AttemptState, Cause, PurchaseState
from switch.funding.event import (
    Booked,
    ChargeAnswered,
    Event,
    PurchaseRefused,
    PurchaseUndone,
    QueryAnswered,
    Recover,
    Tick,
    VoidAnswered,
)
from switch.funding.machine import Step, begin, step
from switch.funding.pace import Pace

T0 = datetime(2026, 4, 1, 3, 0, tzinfo=UTC)
AMOUNT = 1_250
PACE = Pace(answer_seconds=3, charge_tries_max=3, pause_first_seconds=0.25, pause_max_seconds=60, alert_after_tries=5)
BUDGET_SECONDS = 4

Call = CallCharge | CallQuery | CallVoid


def parked(now: datetime = T0) -> Step:
    return begin(
        key="attempt-1",
        provider="acme",
        source="tok-1",
        amount_minor=AMOUNT,
        currency="JPY",
        budget_until=now + timedelta(seconds=BUDGET_SECONDS),
        now=now,
    )


@dataclass
class Taken:
    amount_minor: int
    currency: str
    reference: str
    voided: bool = False
    void_refused: bool = False


class ModelProvider:
    """Honours keys, as the contract demands."""

    def __init__(self) -> None:
        self.taken: dict[str, Taken] = {}
        self.closed: dict[str, DeclineReason] = {}

    @property
    def holds_minor(self) -> int:
        return sum(one.amount_minor for one in self.taken.values() if not one.voided)

    def charge(self, charge: Charge, *, decline: bool = False, off_by: int = 0, currency: str = "JPY") -> ChargeAnswer:
        if charge.key in self.closed:
            return Declined(self.closed[charge.key])
        if charge.key not in self.taken:
            if decline:
                self.closed[charge.key] = DeclineReason.INSUFFICIENT_FUNDS
                return Declined(DeclineReason.INSUFFICIENT_FUNDS)
            self.taken[charge.key] = Taken(charge.amount_minor + off_by, currency, f"ref-{len(self.taken)}")
        one = self.taken[charge.key]
        return Charged(one.reference, one.amount_minor, one.currency)

    def query(self, query: Query, *, busy: bool = False) -> QueryAnswer:
        if busy:
            return Unknown("busy")
        one = self.taken.get(query.charge_key)
        if one is not None and not one.voided:
            return Charged(one.reference, one.amount_minor, one.currency)
        if one is None:
            self.closed.setdefault(query.charge_key, DeclineReason.KEY_CLOSED)
        return NotCharged()

    def void(self, void: Void, *, refuse: bool = False) -> VoidAnswer:
        one = self.taken.get(void.charge_key)
        if one is None:
            return VoidRefused(VoidRefusal.NO_SUCH_CHARGE)
        if one.void_refused or (refuse and not one.voided):
            one.void_refused = True
            return VoidRefused(VoidRefusal.TOO_LATE)
        one.voided = True
        return Voided(one.reference)


@dataclass
class Moods:
    """How the provider takes the next call that it hears."""

    decline: bool = False
    off_by: int = 0
    currency: str = "JPY"
    busy: bool = False
    refuse: bool = False
    answer_lost: bool = False


@dataclass
class OnTheWay:
    call: Call
    reached: bool = False  # the provider has heard it; a copy may come again


@dataclass
class World:
    now: datetime = T0
    provider: ModelProvider = field(default_factory=ModelProvider)
    # ── the issuer's books
    spent: list[int] = field(default_factory=list)
    credited: list[int] = field(default_factory=list)
    debited: list[int] = field(default_factory=list)
    declined: list[Cause] = field(default_factory=list)
    notices: list[Notify] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    refuses: Cause | None = None  # what the issuer will say when it is asked again
    spent_elsewhere: bool = False  # after the purchase was reversed
    states: list[AttemptState] = field(default_factory=list)
    # ── the driver, and what is between it and the provider
    to_do: list[Call | BookPurchase | TakeBack] = field(default_factory=list)
    timer: datetime | None = None
    on_the_way: list[OnTheWay] = field(default_factory=list)
    answers: list[Event] = field(default_factory=list)
    row: bytes = b""

    def __post_init__(self) -> None:
        self._commit(parked(self.now))

    @property
    def attempt(self) -> Attempt:
        return msgspec.msgpack.decode(self.row, type=Attempt)

    # ── the machine

    def tell(self, event: Event) -> None:
        self._commit(step(self.attempt, event, self.now, PACE))

    def _commit(self, made: Step) -> None:
        """The row and what belongs into its commit; then the rest is the driver's to do."""
        if not self.row or made.attempt.state is not self.attempt.state:
            self.states.append(made.attempt.state)
        self.row = msgspec.msgpack.encode(made.attempt)
        for action in made.actions:
            match action:
                case DeclinePurchase(cause):
                    self.declined.append(cause)
                case CreditBalance(amount_minor):
                    self.credited.append(amount_minor)
                case DebitBalance(amount_minor):
                    self.debited.append(amount_minor)
                case Notify():
                    self.notices.append(action)
                case Alert(text):
                    self.alerts.append(text)
                case SetTimer(at):
                    self.timer = at
                case _:
                    self.to_do.append(action)

    # ── the driver

    def do(self, number: int = 0) -> None:
        action = self.to_do.pop(number)
        if isinstance(action, BookPurchase):
            self._book(action)
        elif isinstance(action, TakeBack):
            self.tell(PurchaseUndone(unspent=not self.spent_elsewhere))
        else:
            self.on_the_way.append(OnTheWay(action))

    def _book(self, action: BookPurchase) -> None:
        """The issuer's unit of work: it holds the row, so nothing comes between the look and the commit."""
        if self.attempt.state is not AttemptState.CHARGED:
            return
        if self.refuses is not None:
            self.tell(PurchaseRefused(self.refuses))
            return
        self.tell(Booked())
        self.spent.append(action.amount_minor)

    def undo(self) -> None:
        """The network reverses the purchase that was approved; what the reversal's commit does to the row."""
        row = self.attempt
        if row.purchase is PurchaseState.APPROVED:
            reversed_row = msgspec.structs.replace(
                row, purchase=PurchaseState.REVERSED, cause=Cause.REVERSED, wake_at=self.now, moved_at=self.now
            )
            reversed_row.check_invariants()
            self.row = msgspec.msgpack.encode(reversed_row)

    def die(self) -> None:
        """The daemon, with all that it was about to do and to hear; another one reads the row."""
        self.to_do.clear()
        self.answers.clear()
        self.timer = None
        self.tell(Recover())

    # ── the network and the provider

    def arrive(self, number: int = 0, moods: Moods | None = None, *, again: bool = False) -> None:
        moods = moods or Moods()
        passing = self.on_the_way[number]
        passing.reached = True
        if not again:
            del self.on_the_way[number]
        call = passing.call
        event: Event
        match call:
            case CallCharge():
                told = self.provider.charge(
                    call.charge, decline=moods.decline, off_by=moods.off_by, currency=moods.currency
                )
                event = ChargeAnswered(call.call, told)
            case CallQuery():
                event = QueryAnswered(call.call, self.provider.query(call.query, busy=moods.busy))
            case CallVoid():
                event = VoidAnswered(call.call, self.provider.void(call.void, refuse=moods.refuse))
        self.answers.append(self._doubt(call) if moods.answer_lost else event)

    def lose(self, number: int = 0) -> None:
        """A call never arrives, and nobody can tell."""
        self.answers.append(self._doubt(self.on_the_way.pop(number).call))

    def delay(self, number: int = 0) -> None:
        """The adapter gives up on a call that may still arrive."""
        self.answers.append(self._doubt(self.on_the_way[number].call))
        self.on_the_way[number].reached = True

    def no_connection(self, number: int = 0) -> None:
        """A call never arrives, and the adapter is sure of it."""
        passing = self.on_the_way.pop(number)
        assert not passing.reached
        if isinstance(passing.call, CallCharge):
            self.answers.append(ChargeAnswered(passing.call.call, Unavailable("no connection")))
        else:
            self.answers.append(self._doubt(passing.call))

    def _doubt(self, call: Call) -> Event:
        match call:
            case CallCharge():
                return ChargeAnswered(call.call, Unknown("timeout"))
            case CallQuery():
                return QueryAnswered(call.call, Unknown("timeout"))
            case CallVoid():
                return VoidAnswered(call.call, Unknown("timeout"))

    def hear(self, number: int = 0, *, again: bool = False) -> None:
        event = self.answers[number]
        if not again:
            del self.answers[number]
        self.tell(event)

    # ── time and the end

    def go_on(self, moods: Moods | None = None) -> bool:
        """What comes next when nothing goes wrong; False when only time can bring something."""
        if self.answers:
            self.hear()
        elif self.on_the_way:
            self.arrive(0, moods)
        elif self.to_do:
            self.do()
        else:
            return False
        return True

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.tell(Tick())

    def settle(self, moods: Moods | None = None) -> None:
        """From here on nothing is lost any more."""
        for _ in range(200):
            while self.go_on(moods):
                pass
            due = self.attempt.due_at
            if due is None:
                return
            self.now = max(self.now, due)
            self.tell(Tick())
        raise AssertionError(f"no end: {self.attempt}")

    def fingerprint(self) -> str:
        """Two moments with the same one go on alike. Times count by how far off they are."""
        row = self.attempt
        due = [None if at is None else at - self.now for at in (row.wake_at, row.budget_until)]
        state = (row.state, row.purchase, row.calls, row.tries, row.charged_minor, due, self.provider.__dict__)
        counts = [len(one) for one in (self.spent, self.credited, self.debited, self.declined)]
        books = (counts, self.refuses, self.spent_elsewhere)
        return repr((state, books, self.to_do, self.on_the_way, self.answers))

    @property
    def loaded_minor(self) -> int:
        return sum(self.spent) + sum(self.credited) - sum(self.debited)

    def check_always(self) -> None:
        """What holds at every moment."""
        assert len(self.spent) + len(self.declined) <= 1
        assert len(self.credited) <= 1 and not (self.spent and self.credited and not self.debited)
        assert len(self.debited) <= len(self.spent)
        assert self.loaded_minor <= self.provider.holds_minor, "money on the balance that the provider has not taken"
        assert all(minor == AMOUNT for minor in (*self.spent, *self.debited))

    def check_end(self) -> None:
        """What holds when all is said: the provider's books and the issuer's agree to the yen."""
        assert self.attempt.ended
        self.check_always()
        assert len(self.spent) + len(self.declined) == 1, "the network has no answer"
        assert self.provider.holds_minor == self.loaded_minor
