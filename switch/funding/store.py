"""Between the machine and the books: what a purchase is parked with, and steps of the machine as changes of the books.

Pure, but for what the unit of work does around it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.contracts.top_up import CardholderPolicy
from switch.funding.action import (
    Alert,
    BookPurchase,
    CreditBalance,
    DebitBalance,
    DeclinePurchase,
    Notify,
    SetTimer,
)
from switch.funding.attempt import Attempt, AttemptState, Cause, PurchaseState
from switch.funding.breaker import Breaker
from switch.funding.event import Booked, Event, PurchaseRefused, PurchaseUndone, Tick
from switch.funding.machine import begin, step
from switch.funding.move import Step, pass_on
from switch.funding.pace import Pace
from switch.funding.policy import NoPlan, Source, TopUpUsage, plan
from switch.issuer import case
from switch.issuer.books import Item
from switch.issuer.case import Decision
from switch.issuer.stored import MessageState
from switch.journal.funding_rows import AttemptRow
from switch.journal.funding_sheet import Change, Path, Purchase, Short

__all__ = ["Advance", "Planning", "attempt_of", "load_key"]

_CAUSES: Mapping[Reason, Cause] = {
    Reason.REVERSED_EARLIER: Cause.REVERSED,
    Reason.INSUFFICIENT_FUNDS: Cause.STILL_SHORT,
    Reason.OVER_AMOUNT_LIMIT: Cause.LIMIT_REACHED,
    Reason.OVER_COUNT_LIMIT: Cause.LIMIT_REACHED,
    Reason.CARD_LOCKED: Cause.CARD_CHANGED,
    Reason.CARD_BLOCKED: Cause.CARD_CHANGED,
    Reason.CARD_LOST: Cause.CARD_CHANGED,
    Reason.CARD_STOLEN: Cause.CARD_CHANGED,
    Reason.CARD_CLOSED: Cause.CARD_CHANGED,
}


_decode_wishes = msgspec.json.Decoder(CardholderPolicy).decode


def load_key(charge_key: str) -> bytes:
    """The cause's key of the entry that loads what this charge took."""
    return hashlib.blake2b(charge_key.encode(), digest_size=16).digest()


def attempt_of(row: AttemptRow) -> Attempt:
    """The machine's value of a row."""
    return Attempt(
        key=row.key,
        provider=row.provider,
        source=row.source,
        amount_minor=row.amount,
        currency=row.currency,
        budget_until=row.budget_until,
        state=AttemptState(row.state),
        purchase=PurchaseState(row.purchase),
        calls=row.calls,
        tries=row.tries,
        wake_at=row.wake_at,
        reference=row.reference,
        charged_minor=row.charged,
        charged_currency=row.charged_currency,
        cause=Cause(row.cause),
        moved_at=row.moved_at,
    )


def _moved(row: AttemptRow, after: Attempt) -> AttemptRow:
    return row._replace(
        state=after.state,
        purchase=after.purchase,
        calls=after.calls,
        tries=after.tries,
        wake_at=after.wake_at,
        reference=after.reference,
        charged=after.charged_minor,
        charged_currency=after.charged_currency,
        cause=after.cause,
        moved_at=after.moved_at,
    )


class Planning:
    """What is charged for one purchase that is short; for :meth:`FundingUnit.park`.

    The attempt begins as ``sent``: the charge goes out after the commit that makes it. Its key is in ``uncalled`` from
    here on, until whoever calls takes it out, so that a commit in doubt leaves no doubt about the call. Where the
    budget is spent already it begins as ``requested``, and the next Tick ends it.
    """

    def __init__(
        self,
        owner: str,
        providers: Collection[str],
        breakers: Mapping[str, Breaker],
        budget: timedelta,
        pace: Pace,
        uncalled: set[str],
    ) -> None:
        self._owner = owner
        self._pace = pace
        self._uncalled = uncalled
        self._providers = providers
        self._breakers = breakers
        self._budget = budget

    def __call__(self, short: Short) -> tuple[Path, case.Step]:
        policy, now = short.program.top_up, short.now
        assert policy is not None, "the books say that it may be topped up"
        if short.usage.wishes is not None:
            policy = policy.narrowed(_decode_wishes(short.usage.wishes))
        asked = {(attempt.provider, attempt.source) for attempt in short.asked}
        sources = tuple(
            Source(
                token=row.token,
                provider=row.provider,
                currency=row.currency,
                blocked=row.blocked,
                declines=row.declines,
            )
            for row in short.sources
            if row.provider in self._providers and (row.provider, row.token) not in asked
        )
        today = now.astimezone(ZoneInfo(policy.time_zone)).date()
        usage = TopUpUsage(
            day=today,
            day_minor=short.usage.day_minor,
            day_count=short.usage.day_count,
            month_minor=short.usage.month_minor,
        )
        made = plan(short.shortfall_minor, policy, usage, sources, self._breakers, now)
        seen: case.Seen = {"shortfall": short.shortfall_minor}
        if isinstance(made, NoPlan):
            return (), case.Step("top_up", made.reason, {**seen, "detail": made.detail})
        turn = len(short.asked) + 1
        key = f"{short.item.key.hex()}.{int(now.timestamp() * 1_000_000):x}" + (f".{turn}" if turn > 1 else "")
        begun = begin(
            key=key,
            provider=made.source.provider,
            source=made.source.token,
            amount_minor=made.amount_minor,
            currency=made.source.currency,
            budget_until=short.asked[-1].budget_until if short.asked else now + self._budget,
            now=now,
        ).attempt
        row = AttemptRow(
            account_id=short.account_id,
            message_key=short.item.key,
            key=begun.key,
            card_id=short.card_id,
            provider=begun.provider,
            source=begun.source,
            amount=begun.amount_minor,
            currency=begun.currency,
            budget_until=begun.budget_until,
            state=begun.state,
            purchase=begun.purchase,
            calls=begun.calls,
            tries=begun.tries,
            wake_at=begun.wake_at,
            reference="",
            charged=0,
            charged_currency="",
            cause=begun.cause,
            moved_at=begun.moved_at,
            parked_at=now,
            owner=self._owner,
            turn=turn,
        )
        path: Path = (row,)
        sent = step(begun, Tick(), now, self._pace).attempt
        if sent.state is AttemptState.SENT:
            path = row, _moved(row, sent)
            self._uncalled.add(row.key)
        seen |= {"amount": made.amount_minor, "provider": begun.provider}
        return path, case.Step("top_up", MessageState.PARKED, seen)


class Advance:
    """One step of an attempt; for :meth:`FundingUnit.move`.

    ``event`` None asks whether the purchase of ``item`` can be approved, now that the money is there; or, where it was
    approved and reversed, whether that money is still there. With ``item`` and an event by which the money comes, the
    purchase is decided at once: two steps of the machine in one commit, each with a row of its own. ``owner`` is who
    believes to drive the attempt; empty where a person settles it. With ``planning`` another source is asked after a
    decline, while ``next_source`` of the budget is left. ``budget_answer`` is given instead of the decline where the
    budget is spent. Afterwards ``made`` has what the machine said (of two steps, the last attempt, and what is left to
    do of both), and

    - ``lost``: another daemon drives the attempt; nothing was done.
    - ``again``: something had to be done first; tell the event once more.
    - ``moved``: the attempt is another than before.
    - ``following``: the rows of the attempt that was begun with the next source, in place of a decline.
    - ``decision``: the purchase is approved, or was before.
    - ``declined``: it was declined in this step; the answer to give.
    - ``alerts``: for a person.
    """

    def __init__(
        self,
        event: Event | None,
        pace: Pace,
        owner: str,
        item: Item | None = None,
        *,
        budget_answer: Answer | None = None,
        note: str = "",
        planning: Planning | None = None,
        next_source: timedelta = timedelta(0),
    ) -> None:
        self._event = event
        self._budget_answer = budget_answer
        self._pace = pace
        self._owner = owner
        self._item = item
        self._note = note
        self._planning = planning
        self._next_source = next_source
        self._forget()

    def _forget(self) -> None:
        self.made: Step | None = None
        self.lost = False
        self.again = False
        self.moved = False
        self.following: Path = ()
        self.decision: Decision | None = None
        self.declined: Answer | None = None
        self.alerts: list[str] = []

    def __call__(self, purchase: Purchase) -> Change | None:
        self._forget()  # where another writer was quicker, it is called once more
        row = purchase.attempt
        if self._owner and row.owner != self._owner:
            self.lost = True
            return None
        attempt = attempt_of(row)
        now = purchase.books.now
        if self._item is not None and attempt.state is AttemptState.BOOKED:
            self.decision = Decision(answer=purchase.message.answer)  # by a commit that was in doubt
        if attempt.waiting and purchase.message.state is not MessageState.PARKED:
            # Reversed meanwhile: that comes before whatever else has happened.
            event: Event = PurchaseRefused(Cause.REVERSED)
            self.again = self._event is not None
        elif self._event is None:
            asked = self._ask_issuer(purchase, attempt, now)
            if asked is None:
                self.made = Step(attempt)
                return None
            event = asked
        else:
            event = self._event
        made = self._passed_on(purchase, step(attempt, event, now, self._pace), now)
        path: Path = (_moved(row, made.attempt),)
        if self._item is not None and any(isinstance(action, BookPurchase) for action in made.actions):
            made = self._booked_at_once(purchase, made, now)
            path = *path, _moved(row, made.attempt)
        self.made = made
        self._inside(purchase, made)
        self.moved = made.attempt != attempt
        if not self.moved:
            self.again = False
            return None
        note = "; ".join([*([self._note] if self._note else []), *self.alerts])
        return Change(path, note, self.following)

    def _booked_at_once(self, purchase: Purchase, charged: Step, now: datetime) -> Step:
        """The purchase goes before the issuer's rules in the commit by which its money comes."""
        asked = self._ask_issuer(purchase, charged.attempt, now)
        assert asked is not None, "it is charged"
        rest = [action for action in charged.actions if not isinstance(action, BookPurchase | SetTimer)]
        after = step(charged.attempt, asked, now, self._pace)
        return Step(after.attempt, (*rest, *after.actions))

    def _passed_on(self, purchase: Purchase, made: Step, now: datetime) -> Step:
        """Instead of a decline, the end of this attempt alone: where the next source can be asked in time."""
        if self._planning is None or purchase.short is None or purchase.advised:
            return made
        if now + self._next_source > made.attempt.budget_until or (passed := pass_on(made)) is None:
            return made
        self.following, _ = self._planning(purchase.short)
        return passed if self.following else made

    def _ask_issuer(self, purchase: Purchase, attempt: Attempt, now: datetime) -> Event | None:
        if attempt.state is AttemptState.BOOKED:
            if attempt.ended:
                return None
            return PurchaseUndone(purchase.books.holds_top_up(purchase.attempt.account_id, attempt.charged_minor))
        assert self._item is not None, "only who has the purchase asks for it"
        if attempt.state is not AttemptState.CHARGED:
            return None
        if now >= attempt.budget_until:
            return PurchaseRefused(Cause.BUDGET_SPENT)
        if purchase.advised:
            return PurchaseRefused(Cause.TOO_LATE)
        step = case.Step(
            "top_up",
            "charged",
            {"attempt": attempt.key, "amount": attempt.charged_minor, "provider": attempt.provider},
        )
        decision = purchase.books.book_topped_up(
            self._item, purchase.message, attempt.charged_minor, load_key(attempt.key), step
        )
        if not decision.reason.approves:
            return PurchaseRefused(_CAUSES.get(decision.reason, Cause.TOO_LATE))
        self.decision = decision
        return Booked()

    def _inside(self, purchase: Purchase, made: Step) -> None:
        """What belongs into the step's own commit."""
        books, row = purchase.books, purchase.attempt
        for action in made.actions:
            match action:
                case DeclinePurchase(cause):
                    answer = purchase.message.answer
                    if cause is Cause.BUDGET_SPENT and self._budget_answer is not None:
                        answer = self._budget_answer
                    books.decline_parked(purchase.message, answer)
                    self.declined = answer
                case CreditBalance(amount_minor=credited):
                    books.credit_top_up(row.account_id, load_key(row.key), credited)
                case DebitBalance(amount_minor=debited):
                    books.debit_top_up(row.account_id, load_key(row.key), debited)
                case Notify(notice, amount_minor, currency):
                    facts: dict[str, str | int] = {"amount": amount_minor, "currency": currency}
                    books.notify(row.account_id, row.message_key, f"funding_{notice}", facts)
                case Alert(text):
                    self.alerts.append(text)
                    books.notify(row.account_id, row.message_key, "funding_alert", {"text": text})
                case _:
                    pass  # outside: the driver's
