"""What top-ups ask of the journal, and the sheet on which a batch of it is worked out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, TypeAlias

from switch.contracts.errors import InvariantBroken
from switch.issuer.books import Books, Item
from switch.issuer.case import Decision, Step
from switch.issuer.program import Program
from switch.issuer.stored import StoredMessage
from switch.journal.funding_rows import AttemptRow, MoveRow, SourceRow, UsageRow
from switch.journal.rows import Row, Seen, account_of, seen_of, stored_of

__all__ = ["Change", "Move", "Order", "Park", "Parked", "Path", "Planner", "Purchase", "Result", "Sheet", "Short"]

#: What an attempt becomes step by step in one commit: the last row is stored, and of every step one that tells of it.
Path: TypeAlias = tuple[AttemptRow, ...]


class Short(NamedTuple):
    """A purchase that lacks money, and what could be charged for it."""

    item: Item
    account_id: int
    card_id: int
    program: Program
    shortfall_minor: int
    sources: tuple[SourceRow, ...]
    usage: UsageRow
    now: datetime
    asked: tuple[AttemptRow, ...] = ()  # for this purchase, before


class Purchase(NamedTuple):
    """An attempt and the parked purchase, as they were read."""

    attempt: AttemptRow
    message: StoredMessage
    advised: bool  # the network decided the purchase itself meanwhile
    books: Books
    short: Short | None = None  # what another source could be asked for, where that was to be loaded


class Change(NamedTuple):
    """What an attempt becomes, and the one that is made in its place."""

    path: Path
    note: str = ""  # of the last step
    following: Path = ()


class Parked(NamedTuple):
    """What came of a purchase that may have to wait: a decision that is booked; or an attempt, its own (``new``) or
    one that another copy of the message waits for.
    """

    decision: Decision | None
    attempt: AttemptRow | None = None
    new: bool = False

    @property
    def decided(self) -> Decision:
        """Of a purchase without an attempt."""
        assert self.decision is not None, "without an attempt it is decided"
        return self.decision


#: Says what is charged, with a step for the trace, or in that step why nothing is.
Planner = Callable[[Short], tuple[Path, Step]]


class Park(NamedTuple):
    """Decide a request again: it is booked, declined, or parked with an attempt."""

    item: Item
    plan: Planner


class Move(NamedTuple):
    """One step of an attempt, or several at once: ``work`` makes them; with None nothing is written. It may be called
    several times, and the last call counts. ``item`` is the purchase itself, where it is to be decided, or where
    another source may be asked for it (``with_sources``).
    """

    account_id: int
    key: bytes  # of the parked message
    work: Callable[[Purchase], Change | None]
    item: Item | None = None
    turn: int = 1
    with_sources: bool = False


Order: TypeAlias = Park | Move
Result: TypeAlias = Parked | Exception | None


class Sheet:
    """What a batch looks at, and what it makes of it, on its way into one commit."""

    def __init__(self, books: Books, seen: Seen) -> None:
        self.books = books
        self.attempts: list[AttemptRow] = []  # as they become
        self.moves: list[MoveRow] = []
        self.decided: set[int] = set()  # accounts whose balance something was decided on
        self._seen = seen
        self._purchases: dict[tuple[int, bytes, int], tuple[AttemptRow, StoredMessage, bool]] = {}
        self._begun: set[int] = set()  # accounts that an order of the batch is about

    def show(self, row: Row) -> None:
        """A row of an attempt and its parked purchase. An account that was loaded before stays as it was then."""
        attempt, stored = AttemptRow(*row["attempt"].values()), stored_of(row["message"])
        account_id = row["account_id"]
        if account_id not in self.books.accounts:
            self.books.accounts[account_id] = account_of(row)
            self._seen.accounts[account_id] = seen_of(row)
        self.books.stored[account_id, stored.key] = stored
        self._purchases[account_id, stored.key, attempt.turn] = attempt, stored, row["advised"]

    def begin(self, order: Order) -> bool:
        """Whether the order may be carried out in this batch: what one reads of an account, no other has changed."""
        if isinstance(order, Move):
            account_id = order.account_id
        elif (card := self.books.cards.get(order.item.pan_lookup)) is not None:
            account_id = card.account_id
        else:
            self.decided.add(0)  # a number that nobody's card has: there is no account
            return True
        if account_id in self._begun:
            return False
        self._begun.add(account_id)
        if isinstance(order, Park):
            self.decided.add(account_id)
        return True

    def move(self, order: Move, short: Short | None = None) -> None:
        """Raises InvariantBroken where there is no such attempt."""
        found = self._purchases.get((order.account_id, order.key, order.turn))
        if found is None:
            raise InvariantBroken(f"account {order.account_id}: no funding attempt for the message {order.key.hex()}")
        attempt, stored, advised = found
        change = order.work(Purchase(attempt, stored, advised, self.books, short))
        if change is None:
            return
        self.follow(change.path, attempt, change.note)
        if change.following:
            self.follow(change.following)
            self.decided.add(order.account_id)  # its charge shares the caps of the account

    def follow(self, path: Path, before: AttemptRow | None = None, note: str = "") -> None:
        """To be recorded; without ``before`` the attempt is new."""
        self.attempts.append(path[-1])
        for after in path:
            self.moves.append(_move(after, before, note if after is path[-1] else ""))
            before = after

    def seen_that_counts(self) -> Seen:
        """What was seen, but of the accounts only those that must not have changed. Without entries, one that nothing
        was decided on, and whose open holds were not all looked at, stays as it is: nobody who looked at it meanwhile
        has to decide again.
        """
        booked = {booking.entry.account_id for booking in self.books.bookings}
        booked.update(account_id for account_id, _ in self.books.changed_usages.values())
        accounts = {
            account_id: version
            for account_id, version in self._seen.accounts.items()
            if account_id in booked or account_id in self.decided or account_id in self.books.open_holds_known
        }
        return self._seen._replace(accounts=accounts)


def _move(after: AttemptRow, before: AttemptRow | None, note: str) -> MoveRow:
    """The step between two rows."""
    return MoveRow(
        after.account_id,
        after.message_key,
        after.moved_at,
        "" if before is None else before.state,
        after.state,
        after.purchase,
        after.cause,
        note,
        None if before is None else before.moved_at,
        after.turn,
    )
