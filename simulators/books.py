"""The acquirer's own books: what it believes about every card, from nothing but what it sent and what it was answered.

Theory of operation. A *purchase* is everything that shares one card and one retrieval reference: the authorization, its
increments, advices and reversals. A message that may have reached the issuer is *in doubt* until something is answered
that settles it: its own answer, the answer of a repeat, the answer of its reversal, or the answer of an advice that
replaces it. What is in doubt moves nothing in these books; a comparison names it.

::

    answered message            what it does to the purchase
    ─────────────────────────   ────────────────────────────────────────────────────────────────────────────────
    authorization, approved     held := approved amount (DE4 of a partial approval)
    increment, approved         held += amount
    purchase or cash, approved  posted := approved amount
    refund, approved            posted := -amount (a refund authorization moves nothing: its clearing will)
    stand-in approval           held := amount, unless it was reversed, released or posted before
    stand-in decline            held := 0
    financial advice            held := 0, posted += amount (a refund: a purchase of its own, posted -= amount)
    reversal                    held (a single message: posted) := DE95, or 0; more than there is changes nothing
    anything else than that     nothing

The books are pure. Rejections are not errors: an answer that contradicts an earlier one becomes a Difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from simulators.cards import TestCard
from simulators.messages import Act, AnswerCodes, Message

__all__ = ["Books", "Difference", "Figures", "Purchase", "State", "compare"]

_HOLDS = frozenset({Act.AUTHORIZATION, Act.CASH_AUTHORIZATION})
_POSTS = frozenset({Act.PURCHASE, Act.CASH_WITHDRAWAL})


class State(StrEnum):
    """Where a purchase stands, as far as the acquirer knows."""

    NOTHING = "nothing"  # nothing moved yet: declined, in doubt, or never sent
    OPEN = "open"
    POSTED = "posted"
    REVERSED = "reversed"
    RELEASED = "released"


class Purchase(msgspec.Struct):
    """One purchase. ``posted_minor`` counts what left the account: a refund is negative.

    Invariant: nothing is held unless the state is open.
    """

    alias: str
    state: State = State.NOTHING
    held_minor: int = 0
    posted_minor: int = 0
    single: bool = False  # began as a single message, so a reversal takes back the posting
    moved: dict[str, tuple[int, int]] = {}  # message key -> (amount asked, amount approved)
    doubts: dict[str, Message] = {}
    first: Message | None = None  # what began it: clearing names it by that


class Figures(msgspec.Struct, frozen=True):
    """The balance of one card's account in minor units."""

    posted_minor: int
    held_minor: int


class Difference(msgspec.Struct, frozen=True):
    """Something that the acquirer and the issuer do not agree on. ``expected`` is the acquirer's view."""

    alias: str
    figure: str  # "posted", "held", "available", "currency", "account", "doubt" or "answer"
    expected: str
    shown: str

    def __str__(self) -> str:
        return f"{self.alias}: {self.figure} should be {self.expected}, shown is {self.shown}"


class Books:
    """All cards' books. Opening balances come from the cards, or later from :meth:`open_at`.

    ``codes`` tells by network what a response code means; one that is not there speaks as in 1987.

    Call :meth:`sent` when a message may have left, :meth:`answered` for every answer, however late.
    """

    def __init__(self, cards: Mapping[str, TestCard], codes: Mapping[str, AnswerCodes] | None = None) -> None:
        self._meanings = dict(codes or {})
        self._usual = AnswerCodes()
        self._opening = {alias: (card.balance_minor, 0) for alias, card in cards.items()}
        self._currency = {alias: card.currency for alias, card in cards.items()}
        self._posted: Counter[str] = Counter(dict.fromkeys(cards, 0))
        self._held: Counter[str] = Counter(dict.fromkeys(cards, 0))
        self._codes: dict[str, str] = {}
        self.purchases: dict[str, Purchase] = {}
        self.touched: set[str] = set()
        self.contradictions: list[Difference] = []

    @property
    def aliases(self) -> frozenset[str]:
        """All cards that these books know."""
        return frozenset(self._currency)

    def open_at(self, alias: str, posted_minor: int, held_minor: int) -> None:
        """The account stood like this before the first message of these books."""
        self._opening[alias] = (posted_minor, held_minor)

    def currency(self, alias: str) -> str:
        """The currency of the card's account."""
        return self._currency[alias]

    def sent(self, message: Message) -> None:
        """``message`` may have reached the issuer. A repeat of it changes nothing."""
        if message.alias in self._currency:
            self.touched.add(message.alias)
        purchase = self.purchases.get(message.purchase)
        if purchase is None:
            purchase = self.purchases[message.purchase] = Purchase(message.alias, first=message)
        if message.key not in self._codes:
            purchase.doubts[message.key] = message

    def answered(self, message: Message, code: str, approved_minor: int | None = None) -> None:
        """``message`` was answered with DE39 ``code``; ``approved_minor`` is DE4 of the answer where it tells one.

        A reversal or advice that is not accepted is not settled: it stays in doubt, to be repeated.
        """
        purchase = self.purchases[message.purchase]
        known = self._codes.get(message.key)
        codes = self._meanings.get(message.network, self._usual)
        good = codes.accepted if message.act.must_be_accepted else codes.approvals
        # A repeat of what nobody could decide is decided afresh, and its approval counts.
        decided_now = known in codes.unavailable and code in good
        if known is not None and not decided_now:
            self._check_repeat(message, known, code, codes)
            return
        if message.key not in purchase.doubts and not decided_now:
            return  # too late: its reversal or an advice has settled it already
        if message.act.must_be_accepted and code not in good:
            return
        purchase.doubts.pop(message.key, None)
        self._codes[message.key] = code
        if code not in good:
            return
        held, posted = purchase.held_minor, purchase.posted_minor
        self._apply(purchase, message, message.amount_minor if approved_minor is None else approved_minor)
        self._held[purchase.alias] += purchase.held_minor - held
        self._posted[purchase.alias] -= purchase.posted_minor - posted

    def presented(self, purchase: Purchase, amount_minor: int, *, final: bool) -> None:
        """The purchase is cleared: ``amount_minor`` leaves the account, and what is held beyond it if it is final."""
        left = 0 if final else max(0, purchase.held_minor - amount_minor)
        self._held[purchase.alias] += left - purchase.held_minor
        self._posted[purchase.alias] -= amount_minor
        purchase.held_minor, purchase.posted_minor = left, purchase.posted_minor + amount_minor
        purchase.state = State.OPEN if left else State.POSTED

    def brought_back(self, purchase: Purchase, amount_minor: int) -> None:
        """A refund of the purchase is cleared."""
        self._posted[purchase.alias] += amount_minor
        purchase.posted_minor -= amount_minor

    def code(self, message: Message) -> str | None:
        """What ``message`` was answered with first, or None while it is in doubt."""
        return self._codes.get(message.key)

    def figures(self, alias: str) -> Figures:
        """What the card's account should show now."""
        posted, held = self._opening[alias]
        return Figures(posted + self._posted[alias], held + self._held[alias])

    def refused(self, message: Message, code: str) -> None:
        """``message`` can't be declined, and was. That is for :func:`compare` to tell."""
        wanted = " or ".join(sorted(self._meanings.get(message.network, self._usual).accepted))
        self.contradictions.append(Difference(message.alias, "answer", f"{wanted} ({message.act} {message.key})", code))

    def held(self, message: Message) -> int:
        """What is known to be held for the purchase that ``message`` belongs to."""
        purchase = self.purchases.get(message.purchase)
        return 0 if purchase is None else purchase.held_minor

    def doubts(self) -> Iterator[Message]:
        """Every message whose effect is unknown."""
        for purchase in self.purchases.values():
            yield from purchase.doubts.values()

    def strangers(self) -> list[str]:
        """Cards that were never issued and yet were approved for something that moves money."""
        return sorted(a for a in self._held | self._posted if a not in self._currency)

    def check_invariants(self) -> None:
        """Raises AssertionError unless totals are the sums over purchases and only open ones hold anything."""
        for alias in self._held:
            mine = [p for p in self.purchases.values() if p.alias == alias]
            assert self._held[alias] == sum(p.held_minor for p in mine), alias
            assert self._posted[alias] == -sum(p.posted_minor for p in mine), alias
        for purchase in self.purchases.values():
            assert purchase.held_minor >= 0
            assert purchase.state is State.OPEN or purchase.held_minor == 0

    def _check_repeat(self, message: Message, known: str, code: str, codes: AnswerCodes) -> None:
        """A repeat must hear what was said first. 91 is the exception: nothing had been decided then."""
        if code == known or code in codes.unavailable or known in codes.unavailable:
            return
        self.contradictions.append(
            Difference(message.alias, "answer", f"{known} ({message.act} {message.key})", f"{code} to its repeat")
        )

    def _apply(self, purchase: Purchase, message: Message, amount: int) -> None:
        """One approved or accepted message; the table in the module's header, row by row."""
        act = message.act
        if act in _HOLDS:
            purchase.held_minor, purchase.state = amount, State.OPEN
        elif act is Act.INCREMENT:
            purchase.held_minor += amount
        elif act in _POSTS:
            purchase.posted_minor, purchase.state, purchase.single = amount, State.POSTED, True
        elif act is Act.REFUND:
            purchase.posted_minor, purchase.state, purchase.single = -amount, State.POSTED, True
        elif act in (Act.FINANCIAL_ADVICE, Act.REFUND_ADVICE):
            if purchase.state is State.NOTHING:
                purchase.single = True
            purchase.held_minor = 0
            purchase.posted_minor += amount if act is Act.FINANCIAL_ADVICE else -amount
            purchase.state = State.POSTED
            purchase.doubts.clear()
        elif act in (Act.STAND_IN_APPROVAL, Act.STAND_IN_DECLINE):
            self._stand_in(purchase, act, amount)
        elif act is Act.REVERSAL:
            self._reverse(purchase, message)
            return
        purchase.moved[message.key] = (message.amount_minor, amount)

    def _stand_in(self, purchase: Purchase, act: Act, amount: int) -> None:
        """The network decided. It settles whatever the issuer had been asked about the same purchase before."""
        purchase.doubts.clear()
        if act is Act.STAND_IN_APPROVAL and purchase.state in (State.NOTHING, State.OPEN):
            purchase.held_minor, purchase.state = amount, State.OPEN
        elif act is Act.STAND_IN_DECLINE and purchase.state is State.OPEN:
            purchase.held_minor, purchase.state = 0, State.RELEASED

    def _reverse(self, purchase: Purchase, message: Message) -> None:
        """Takes the purchase back to DE95 or to nothing, which settles what was in doubt about the reversed message."""
        if message.replacement_minor is None:
            purchase.doubts = {key: m for key, m in purchase.doubts.items() if m.act is Act.REVERSAL}
        elif message.reverses is not None:
            purchase.doubts.pop(message.reverses, None)
        if purchase.state not in (State.OPEN, State.POSTED):
            if purchase.state is State.NOTHING:
                purchase.state = State.REVERSED
            return
        if purchase.state is State.POSTED and not purchase.single:
            return  # The authorization has been cleared; only a refund brings that money back.
        current = abs(purchase.posted_minor) if purchase.state is State.POSTED else purchase.held_minor
        final = self._final(purchase, message, current)
        if purchase.state is State.POSTED:
            purchase.posted_minor = final if purchase.posted_minor > 0 else -final
        else:
            purchase.held_minor = final
        if final == 0:
            purchase.state = State.REVERSED

    @staticmethod
    def _final(purchase: Purchase, message: Message, current: int) -> int:
        """What the reversal leaves. One of more, or of an amount that was never asked or approved, leaves all of it."""
        if message.replacement_minor:
            return min(message.replacement_minor, current)
        asked, approved = purchase.moved.get(message.reverses or "", (message.amount_minor, current))
        return 0 if message.amount_minor in (0, asked, approved, current) else current


def compare(books: Books, shown: Mapping[str, Mapping[str, object]]) -> list[Difference]:
    """Where the books and the issuer's accounts disagree; an empty list means they agree.

    ``shown`` maps each alias to what ``switch account show --json`` printed. Only cards that these books know are
    compared. A purchase in doubt is a difference too: nobody can claim agreement before everything is settled.
    """
    found = list(books.contradictions)
    doubts = [m for m in books.doubts() if m.act.moves_money]
    found += [Difference(m.alias, "doubt", f"an answer to {m.act} {m.key}", "none yet") for m in doubts]
    found += [
        Difference(alias, "account", "none: this card was never issued", "money moved") for alias in books.strangers()
    ]
    for alias in sorted(books.touched | (shown.keys() & books.aliases)):
        account = shown.get(alias)
        if account is None:
            found.append(Difference(alias, "account", "an account", "none"))
            continue
        figures = books.figures(alias)
        expected: dict[str, object] = {
            "currency": books.currency(alias),
            "posted": figures.posted_minor,
            "held": figures.held_minor,
            "available": figures.posted_minor - figures.held_minor,
        }
        found += [
            Difference(alias, figure, str(value), str(account.get(figure)))
            for figure, value in expected.items()
            if account.get(figure) != value
        ]
    return found
