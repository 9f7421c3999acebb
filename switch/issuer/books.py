"""The books of one batch in memory: what was loaded, and what the batch has changed since.

Messages of one batch may touch the same account: each is decided on what the ones before it left. A repeat finds its
original and a reversal finds what it reverses even when both came in the same batch. Nothing here does I/O; the
journal loads the books, hands over message after message, and writes down what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from switch.contracts.errors import CommitUnknown, InvariantBroken
from switch.contracts.message import Answer, Kind, Request
from switch.contracts.reason import Reason
from switch.issuer.account import Account, Entry, Movement, book
from switch.issuer.card import Card
from switch.issuer.case import Case, Decision, SecurityCodePort, Step, View
from switch.issuer.clearing_item import ClearingItem, check_item_transition
from switch.issuer.decide import decide
from switch.issuer.expiry import expire
from switch.issuer.hold import Hold, HoldState, check_transition
from switch.issuer.matching import TOMBSTONE_LIFE, Candidate
from switch.issuer.program import Program
from switch.issuer.stored import MessageState, StoredMessage
from switch.issuer.top_up import load, shortfall, take_out, unspent
from switch.issuer.usage import Usage
from switch.issuer.withdrawal import decide_withdrawal

__all__ = ["Booking", "Books", "Concern", "Item", "ItemStep", "Notice", "Undone", "doubted"]


class Item(msgspec.Struct, frozen=True, gc=False):
    """One message of a batch.

    ``moments`` are those of the commits with this very message that came to be in doubt: what was decided at one of
    them was decided for this message, which is then no repeat of it.

    ``withdraw`` asks to take an approval back instead of deciding, since the answer to this message came too late.
    ``doubtful`` says that nobody knows whether it was booked: only what was decided at one of the ``moments`` is its
    own. ``counted_off`` says that an attempt before may have told already that one answer less was heard.

    ``top_up`` says that the answer may wait for a top-up, where the program has one: whoever asks looks at ``waits``.
    ``no_top_up`` says why it may not, for the trace of a purchase that is short.
    """

    request: Request
    key: bytes
    fingerprint: bytes
    pan_lookup: bytes
    response_code: Callable[[Reason], str]  # the dialect's map to DE39
    moments: tuple[datetime, ...] = ()
    withdraw: bool = False
    doubtful: bool = False
    counted_off: bool = False
    top_up: bool = False
    no_top_up: str = ""


def doubted(items: Sequence[Item], doubt: CommitUnknown) -> list[Item]:
    """The items, which know of one more commit that may have taken place."""
    assert doubt.moment is not None, "the unit of work tells when it decided"
    return [msgspec.structs.replace(item, moments=(*item.moments, doubt.moment)) for item in items]


class Booking(msgspec.Struct, frozen=True, gc=False):
    """A journal entry and what caused it: a message, by its key, or the deadline of the purchase that this began."""

    entry: Entry
    cause: str  # message, withdrawal, presentment, expiry, top_up
    key: bytes
    transmitted_at: datetime


class ItemStep(msgspec.Struct, frozen=True, gc=False):
    """A clearing record, new (``before`` is None) or with a step that it took, and the message that caused it."""

    before: ClearingItem | None
    after: ClearingItem
    item: Item


class Notice(msgspec.Struct, frozen=True, gc=False):
    """Something that the cardholder or the issuer's staff is to be told."""

    account_id: int
    key: bytes
    kind: str  # balance_negative, balance_recovered, hold_expired
    facts: dict[str, str | int]


class Undone(msgspec.Struct, frozen=True, gc=False):
    """A purchase that was reversed as a whole. The charge of a top-up for it is to be voided, if it was parked no
    earlier than ``since``.
    """

    account_id: int
    key: bytes  # of the message that began it
    since: datetime


class Concern(msgspec.Struct, frozen=True, gc=False):
    """Something for a person to look at."""

    account_id: int
    key: bytes
    kind: str
    decision: Decision


class Books:
    """Loaded state plus changes. After every :meth:`decide`, the balance is the fold of its entries."""

    def __init__(self, programs: Mapping[str, Program], security: SecurityCodePort, now: datetime) -> None:
        self._programs = programs
        self._security = security
        self.now = now
        self.cards: dict[bytes, Card] = {}  # by PAN look-up value: a card is there once for each number that came
        self.accounts: dict[int, Account] = {}
        self.usages: dict[int, Usage] = {}  # by card
        self.holds: dict[int, dict[int, Hold]] = {}  # by account, then hold
        self.stored: dict[tuple[int, bytes], StoredMessage] = {}
        self.candidates: dict[int, dict[bytes, Candidate]] = {}  # by card, then key, in the order decided
        self.tombstones: dict[int, dict[bytes, StoredMessage]] = {}  # by card, then key
        self.clearing_items: dict[int, dict[bytes, ClearingItem]] = {}  # by account, then key
        # Accounts all of whose open holds were loaded, because one may be due; with the program of each card.
        self.open_holds_known: dict[int, dict[int, str]] = {}
        # What the batch changed, for the journal to write down.
        self.bookings: list[Booking] = []
        self.changed_usages: dict[int, tuple[int, Usage]] = {}  # by card, with its account
        self.hold_steps: list[Hold] = []  # every state that a purchase took, in order: each step is checked again
        self.new_messages: dict[tuple[int, bytes], tuple[StoredMessage, Decision, Item]] = {}
        self.amended_messages: dict[tuple[int, bytes], StoredMessage] = {}
        self.repeats: list[tuple[int, bytes]] = []
        self.unheard: dict[tuple[int, bytes], int] = {}  # repeats to take off the count again
        self.accounts_with_new_tombstones: set[int] = set()
        self.concerns: list[Concern] = []
        self.item_steps: list[ItemStep] = []
        self.notices: list[Notice] = []
        self.undone: list[Undone] = []
        self.retraced: dict[tuple[int, bytes], tuple[Step, ...]] = {}  # of purchases that were parked
        self.holds_expired = 0

    def remember(self, message: StoredMessage, decided_at: datetime) -> None:
        """Takes a loaded message into the candidates, and into the tombstones if it is one."""
        self.candidates.setdefault(message.card_id, {})[message.key] = Candidate(message, decided_at)
        if message.state is MessageState.TOMBSTONE and self.now - decided_at <= TOMBSTONE_LIFE:
            self.tombstones.setdefault(message.card_id, {})[message.key] = message

    def decide(self, item: Item) -> Decision:
        """Decides one message and takes its changes into the books.

        Raises:
            InvariantBroken: the decision contradicts the books. The batch must not be committed.
        """
        if item.request.kind.is_request and (card := self.cards.get(item.pan_lookup)) is not None:
            # No purchase is declined for money that no longer is set aside.
            self.expire_due(card.account_id)
        case = self._case(item)
        decision = decide_withdrawal(case) if item.withdraw else decide(case)
        if not decision.answer.response_code:
            answer = msgspec.structs.replace(decision.answer, response_code=item.response_code(decision.answer.reason))
            decision = msgspec.structs.replace(decision, answer=answer)
        if item.top_up and shortfall(case, decision) is not None:
            return msgspec.structs.replace(decision, waits=True)
        if item.no_top_up and (missing := shortfall(case, decision)) is not None:
            step = Step("top_up", item.no_top_up, {"shortfall": missing})
            decision = msgspec.structs.replace(decision, trace=(*decision.trace, step))
        if not decision.waits:
            self._apply(item, case, decision)
        return decision

    # ── top-ups

    def short(self, item: Item, *, parked: bool = False) -> int | None:
        """What this purchase, which may be ``parked`` for a top-up, lacks as the books stand now."""
        case = self._case(item, account=self.accounts[self.cards[item.pan_lookup].account_id] if parked else None)
        return shortfall(case, decide(case))

    def settle_short(self, item: Item, step: Step, state: MessageState) -> Decision:
        """Declines a purchase that is short, for now (PARKED) or for good (ANSWERED); ``step`` says why."""
        case = self._case(item)
        decision = decide(case)
        answer = msgspec.structs.replace(decision.answer, response_code=item.response_code(decision.answer.reason))
        decision = msgspec.structs.replace(
            decision,
            answer=answer,
            trace=(*decision.trace, step),
            remember_as=state,
            waits=state is MessageState.PARKED,
        )
        self._apply(item, case, decision)
        return decision

    def book_topped_up(
        self, item: Item, parked: StoredMessage, amount_minor: int, load_key: bytes, step: Step
    ) -> Decision:
        """Decides a parked purchase again, with so much more to spend. Only an approval books anything for it, and its
        trace begins with ``step``, which tells of the top-up.

        The load has a key of its own: accounting meets it beside the provider's list, not beside the purchase.
        """
        self.expire_due(parked.account_id)
        account = self.accounts[parked.account_id]
        case = self._case(
            item,
            account=msgspec.structs.replace(
                account, posted_minor=account.posted_minor + amount_minor, seq=account.seq + 1
            ),
        )
        decision = decide(case)
        answer = msgspec.structs.replace(decision.answer, response_code=item.response_code(decision.answer.reason))
        if not decision.reason.approves:
            return msgspec.structs.replace(decision, answer=answer)
        self._book(account, (load(amount_minor),), "top_up", load_key, self.now)
        hold_id = None if decision.hold is None else decision.hold.hold_id
        settled = msgspec.structs.replace(
            parked, state=MessageState.ANSWERED, answer=answer, moved_minor=decision.moved_minor, hold_id=hold_id
        )
        trace = (step, *decision.trace)
        self.retraced[parked.account_id, parked.key] = trace
        decision = msgspec.structs.replace(decision, answer=answer, trace=trace, remember_as=None, resolved=settled)
        self._apply(item, self._case(item, account=self.accounts[parked.account_id]), decision)
        return decision

    def decline_parked(self, parked: StoredMessage, answer: Answer) -> None:
        """The purchase waits no longer; a repeat gets this answer. One that was reversed meanwhile stays so."""
        state = MessageState.ANSWERED if parked.state is MessageState.PARKED else parked.state
        self._amend(msgspec.structs.replace(parked, state=state, answer=answer))

    def credit_top_up(self, account_id: int, load_key: bytes, amount_minor: int) -> None:
        """Money that was taken, that no purchase can use and that could not be given back."""
        self._book(self.accounts[account_id], (load(amount_minor),), "top_up", load_key, self.now)

    def holds_top_up(self, account_id: int, amount_minor: int) -> bool:
        """Whether so much could go back to its source."""
        return unspent(self.accounts[account_id], amount_minor)

    def debit_top_up(self, account_id: int, load_key: bytes, amount_minor: int) -> None:
        """Money that was loaded and that its source is asked to take back: from here on nobody can spend it."""
        self._book(self.accounts[account_id], (take_out(amount_minor),), "top_up", load_key, self.now)

    def notify(self, account_id: int, key: bytes, kind: str, facts: dict[str, str | int]) -> None:
        """Something that somebody is to be told."""
        self._notify(account_id, key, kind, facts)

    # ── holds that are due

    def expire_due(self, account_id: int) -> None:
        """Releases the holds of an account whose deadline has passed, and gives them back to the limits.

        Without :attr:`open_holds_known` for the account nothing is due.
        """
        programs = self.open_holds_known.get(account_id)
        if not programs:
            return
        due = [
            hold
            for hold in self.holds.get(account_id, {}).values()
            if hold.state is HoldState.OPEN and hold.expires_at is not None and hold.expires_at <= self.now
        ]
        for hold in due:
            change = expire(self.accounts[account_id], hold)
            assert hold.expires_at is not None, "it is due"
            self._book(self.accounts[account_id], change.movements, "expiry", hold.begun_by, hold.expires_at)
            self._change_hold(change.hold)
            program = self._programs.get(programs.get(hold.card_id, ""))
            zone = UTC if program is None else program.zone
            usage = self.usages.get(hold.card_id)
            if usage is not None:
                spent_on, today = hold.opened_at.astimezone(zone).date(), self.now.astimezone(zone).date()
                usage = usage.given_back(hold.held_minor, 0 if change.hold.posted_minor else 1, spent_on, today)
                self.usages[hold.card_id] = usage
                self.changed_usages[hold.card_id] = (account_id, usage)
            self._notify(account_id, hold.begun_by, "hold_expired", {"amount": hold.held_minor, "hold": hold.hold_id})
        self.holds_expired += len(due)

    def next_due(self, account_id: int) -> datetime | None:
        """When the first of the account's open holds is due, once all of them are known."""
        return min(
            (
                hold.expires_at
                for hold in self.holds.get(account_id, {}).values()
                if hold.state is HoldState.OPEN and hold.expires_at is not None
            ),
            default=None,
        )

    def _notify(self, account_id: int, key: bytes, kind: str, facts: dict[str, str | int]) -> None:
        self.notices.append(Notice(account_id, key, kind, facts))

    def _case(self, item: Item, *, account: Account | None = None) -> Case:
        """With ``account`` the purchase is decided on that balance, as if it had come for the first time."""
        card = self.cards.get(item.pan_lookup)
        if card is None:
            view = View(stored=self.stored.get((0, item.key)))
        else:
            account_id, card_id = card.account_id, card.card_id
            request = item.request
            looks_back = item.withdraw or request.incremental or not request.kind.is_request
            candidates = self.candidates.get(card_id) if looks_back else None
            tombstones = self.tombstones.get(card_id)
            stored = self.stored.get((account_id, item.key))
            if stored is not None and item.doubtful and stored.decided_at not in item.moments:
                stored = None  # another copy of the message brought it about, and had an answer of its own
            if account is not None:
                stored = None
            view = View(
                card=card,
                account=account or self.accounts[account_id],
                usage=self.usages.get(card_id),
                program=self._programs.get(card.program),
                stored=stored,
                candidates=tuple(candidates.values()) if candidates else (),
                holds=self.holds.get(account_id, {}) if looks_back or tombstones else {},
                tombstones=tuple(tombstones.values()) if tombstones else (),
                clearing_items=tuple(self.clearing_items.get(account_id, {}).values())
                if item.request.kind is Kind.PRESENTMENT
                else (),
            )
        return Case(item.request, item.key, item.fingerprint, view, self._security, self.now)

    def _apply(self, item: Item, case: Case, decision: Decision) -> None:
        view = case.view
        account_id = 0 if view.account is None else view.account.account_id
        ref = (account_id, item.key)
        if decision.movements:
            if view.account is None:
                raise InvariantBroken("a decision moves money without an account")
            cause = "presentment" if item.request.kind is Kind.PRESENTMENT else "message"
            cause = "withdrawal" if item.withdraw else cause
            self._book(view.account, decision.movements, cause, item.key, item.request.transmitted_at)
        if decision.hold is not None:
            self._change_hold(decision.hold)
            self._note_undone(case, decision.hold)
        if decision.usage is not None and view.card is not None:
            self.usages[view.card.card_id] = decision.usage
            self.changed_usages[view.card.card_id] = (account_id, decision.usage)
        self._note_message(ref, item, case, decision)
        if decision.undone is not None:
            self._amend(msgspec.structs.replace(decision.undone, state=MessageState.REVERSED))
        if decision.tombstone_met is not None:
            self._amend(msgspec.structs.replace(decision.tombstone_met, state=MessageState.TOMBSTONE_MET))
            self.tombstones[decision.tombstone_met.card_id].pop(decision.tombstone_met.key)
        if decision.item is not None:
            self._step_item(None, decision.item, item)
        if decision.item_changed is not None:
            changed = decision.item_changed
            known = self.clearing_items.get(changed.account_id, {}).get(changed.key)
            self._step_item(known, changed, item)
        if decision.concern:
            self.concerns.append(Concern(account_id, item.key, decision.concern, decision))

    def _note_undone(self, case: Case, hold: Hold) -> None:
        """A purchase that was topped up may have to go back as it came, where the program says so."""
        program = case.view.program
        if hold.state is not HoldState.REVERSED or hold.credit or program is None or program.top_up is None:
            return
        if (within := program.top_up.void_within) is not None:
            self.undone.append(Undone(hold.account_id, hold.begun_by, self.now - within))

    def _note_message(self, ref: tuple[int, bytes], item: Item, case: Case, decision: Decision) -> None:
        """What is remembered of the message itself: a record of its own, one repeat more, or a withdrawal."""
        stored = case.view.stored
        if decision.repeat_of is not None and decision.repeat_of.decided_at in item.moments:
            # Nobody but us asked twice, so no answer was heard yet. Writing the row once more makes the answer wait
            # for a commit of its own: what a failed-over primary showed may not have been replicated.
            self._amend(decision.repeat_of)
        elif decision.repeat_of is not None:
            self.repeats.append(ref)
            repeat = msgspec.structs.replace(
                decision.repeat_of, repeats_answered=decision.repeat_of.repeats_answered + 1
            )
            self.stored[ref] = repeat
        elif decision.resolved is not None:
            self._amend(decision.resolved)
        elif item.withdraw and stored is not None and stored.approved:
            heard_less = 1 if stored.repeats_answered and not item.counted_off else 0
            if heard_less:
                self.unheard[ref] = self.unheard.get(ref, 0) + heard_less
                stored = msgspec.structs.replace(stored, repeats_answered=stored.repeats_answered - heard_less)
            if decision.remember_as is not None:
                self._amend(msgspec.structs.replace(stored, state=decision.remember_as, answer=decision.answer))
            elif heard_less:
                self._amend(stored)
        elif decision.remember_as is not None:
            self._store(item, case, decision)

    def _book(
        self, account: Account, movements: Iterable[Movement], cause: str, key: bytes, transmitted_at: datetime
    ) -> None:
        was_recovering = account.recovering
        for movement in movements:
            entry = book(account, movement)
            account = Account(
                account.account_id,
                account.currency,
                entry.posted_after,
                entry.held_after,
                account.floor_minor,
                entry.seq,
                account.head_hash,  # the journal chains the entries when it writes them
                entry.bonus_posted_after,
                entry.bonus_held_after,
            )
            self.bookings.append(Booking(entry, cause, key, transmitted_at))
        self.accounts[account.account_id] = account
        if account.recovering is not was_recovering:
            kind = "balance_negative" if account.recovering else "balance_recovered"
            facts: dict[str, str | int] = {"available": account.available_minor, "currency": account.currency}
            self._notify(account.account_id, key, kind, facts)

    def _step_item(self, before: ClearingItem | None, after: ClearingItem, item: Item) -> None:
        check_item_transition(None if before is None else before.state, after.state)
        self.clearing_items.setdefault(after.account_id, {})[after.key] = after
        self.item_steps.append(ItemStep(before, after, item))

    def _change_hold(self, hold: Hold) -> None:
        of_account = self.holds.setdefault(hold.account_id, {})
        before = of_account.get(hold.hold_id)
        check_transition(None if before is None else before.state, hold.state)
        hold.check_invariants()
        of_account[hold.hold_id] = hold
        self.hold_steps.append(hold)

    def _store(self, item: Item, case: Case, decision: Decision) -> None:
        request, card, account = item.request, case.view.card, case.view.account
        original = request.original
        assert decision.remember_as is not None
        message = StoredMessage(
            account_id=0 if account is None else account.account_id,
            key=item.key,
            fingerprint=item.fingerprint,
            network=request.network,
            kind=request.kind,
            operation=request.operation,
            card_id=0 if card is None else card.card_id,
            stan=request.stan,
            transmitted=request.transmitted,
            acquirer_id=request.acquirer_id,
            retrieval_reference=request.retrieval_reference,
            network_reference=request.network_reference,
            terminal_id=request.terminal_id,
            amount_minor=request.amount_minor,
            answer=decision.answer,
            decided_at=self.now,
            incremental=request.incremental,
            state=decision.remember_as,
            moved_minor=decision.moved_minor,
            hold_id=None if decision.hold is None else decision.hold.hold_id,
            credential_id=None if card is None or card.credential is None else card.credential.credential_id,
            original_stan="" if original is None else original.stan,
            original_transmitted="" if original is None else original.transmitted,
        )
        ref = (message.account_id, message.key)
        self.stored[ref] = message
        self.new_messages[ref] = (message, decision, item)
        if card is not None:
            self.remember(message, self.now)
            if message.state is MessageState.TOMBSTONE:
                self.accounts_with_new_tombstones.add(message.account_id)

    def _amend(self, message: StoredMessage) -> None:
        ref = (message.account_id, message.key)
        self.stored[ref] = message
        if message.card_id in self.candidates and message.key in self.candidates[message.card_id]:
            held = self.candidates[message.card_id][message.key]
            self.candidates[message.card_id][message.key] = Candidate(message, held.decided_at)
        new = self.new_messages.get(ref)
        if new is None:
            self.amended_messages[ref] = message
        else:  # It was stored by this very batch: write the newer state at once.
            self.new_messages[ref] = (message, new[1], new[2])

    def check_invariants(self, loaded: Iterable[Account]) -> None:
        """Balance = loaded balance + the entries of this batch, for every account. Raises InvariantBroken."""
        posted = {account.account_id: account.posted_minor for account in loaded}
        held = {account.account_id: account.held_minor for account in loaded}
        for booking in self.bookings:
            posted[booking.entry.account_id] += booking.entry.posted_delta
            held[booking.entry.account_id] += booking.entry.held_delta
        for account in self.accounts.values():
            if (account.posted_minor, account.held_minor) != (posted[account.account_id], held[account.account_id]):
                raise InvariantBroken(f"account {account.account_id}: the balance is not the sum of its entries")
