"""The acquirer's books as transcripts: one row per step, with what the card has moved after it (posted, held)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from simulators.books import Books, compare
from simulators.cards import load_cards
from simulators.messages import Act, Message, as_advice, as_repeat
from tests.simulators.responder import maker

CARD = "plain-0"
OPENING = 1_000_000
NO_ANSWER = None

# A row: label, verb, of (an earlier label), amount, DE39 (None: no answer yet), posted and held after it.
# "10>3000" is a partial approval of 3000.
Row = tuple[str, str, str, int | None, str | None, tuple[int, int]]


class Ledger:
    """Makes the messages of a transcript and books them."""

    def __init__(self) -> None:
        self.books = Books(load_cards())
        self.maker = maker()
        self.messages: dict[str, Message] = {}

    def make(self, verb: str, of: str, amount: int | None) -> Message:
        m, first = self.maker, self.messages.get(of)
        if first is None:
            act = Act(verb)
            return m.request(act, CARD, amount or 0)
        match verb:
            case "increment":
                return m.increment(first, amount or 0)
            case "stand in":
                return m.stand_in(first, approved=True, amount_minor=amount)
            case "stand in declined":
                return m.stand_in(first, approved=False)
            case "post":
                return m.financial_advice(first, amount_minor=amount)
            case "post refund":
                return m.financial_advice(first, amount_minor=amount, refund=True)
            case "reverse":
                return m.reversal(first, amount_minor=amount)
            case "reverse to":
                return m.reversal(first, replacement_minor=amount)
            case "repeat":
                return as_repeat(first)
            case "again":
                return first
            case "as 0420":
                return as_advice(first)
        raise AssertionError(verb)

    def play(self, rows: Sequence[Row]) -> None:
        for label, verb, of, amount, code, expected in rows:
            if verb == "prepare":
                self.messages[label] = self.maker.authorization(CARD, amount or 0)
                continue
            message = self.make(verb, of, amount)
            self.messages.setdefault(label, message)
            if verb != "again":
                self.books.sent(message)
            if code is not None:
                answer, _, approved = code.partition(">")
                self.books.answered(message, answer, int(approved) if approved else None)
            figures = self.books.figures(CARD)
            assert (figures.posted_minor - OPENING, figures.held_minor) == expected, (label, verb)
            self.books.check_invariants()


STORIES: dict[str, list[Row]] = {
    "an authorization is held": [("a", "authorization", "", 500, "00", (0, 500))],
    "a decline moves nothing": [("a", "authorization", "", 500, "51", (0, 0))],
    "91 is not an approval": [("a", "authorization", "", 500, "91", (0, 0))],
    "a repeat of what nobody could decide is decided afresh": [
        ("a", "authorization", "", 500, "91", (0, 0)),
        ("b", "repeat", "a", None, "00", (0, 500)),
        ("c", "repeat", "a", None, "00", (0, 500)),
    ],
    "a partial approval holds what DE4 says": [("a", "authorization", "", 5000, "10>3000", (0, 3000))],
    "a single message is posted": [("a", "purchase", "", 700, "00", (-700, 0))],
    "cash is posted": [("a", "cash withdrawal", "", 700, "00", (-700, 0))],
    "a refund comes in": [("a", "refund", "", 700, "00", (700, 0))],
    "a refund authorization moves nothing": [("a", "refund authorization", "", 700, "00", (0, 0))],
    "an inquiry moves nothing": [("a", "inquiry", "", 0, "00", (0, 0))],
    "a verification moves nothing": [("a", "verification", "", 0, "85", (0, 0))],
    "an increment raises, a declined one does not": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("i", "increment", "a", 200, "00", (0, 700)),
        ("j", "increment", "a", 900, "51", (0, 700)),
        ("r", "reverse", "a", None, "00", (0, 0)),
    ],
    "no answer: in doubt until the reversal is answered": [
        ("a", "authorization", "", 500, NO_ANSWER, (0, 0)),
        ("r", "reverse", "a", None, NO_ANSWER, (0, 0)),
        ("r", "as 0420", "r", None, "00", (0, 0)),
    ],
    "the late approval is heard before the reversal is answered": [
        ("a", "authorization", "", 500, NO_ANSWER, (0, 0)),
        ("r", "reverse", "a", None, NO_ANSWER, (0, 0)),
        ("late", "again", "a", None, "00", (0, 500)),
        ("r2", "repeat", "r", None, "00", (0, 0)),
    ],
    "the late approval is heard after the reversal is answered": [
        ("a", "authorization", "", 500, NO_ANSWER, (0, 0)),
        ("r", "reverse", "a", None, "00", (0, 0)),
        ("late", "again", "a", None, "00", (0, 0)),
    ],
    "a reversal that is answered 91 has settled nothing": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("r", "reverse", "a", None, "91", (0, 500)),
        ("r2", "repeat", "r", None, "00", (0, 0)),
    ],
    "a partial reversal leaves DE95": [
        ("a", "authorization", "", 30, "00", (0, 30)),
        ("r", "reverse to", "a", 10, "00", (0, 10)),
        ("c", "post", "a", 10, "00", (-10, 0)),
    ],
    "a second reversal changes nothing": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("r", "reverse", "a", None, "00", (0, 0)),
        ("s", "reverse", "a", None, "00", (0, 0)),
    ],
    "more than is held changes nothing": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("r", "reverse to", "a", 900, "00", (0, 500)),
        ("s", "reverse", "a", 5000, "00", (0, 500)),
        ("t", "reverse", "a", 100, "00", (0, 500)),
    ],
    "a partial approval is reversed by what was asked": [
        ("a", "authorization", "", 5000, "10>3000", (0, 3000)),
        ("r", "reverse", "a", None, "00", (0, 0)),
    ],
    "a partial approval is reversed by what was approved": [
        ("a", "authorization", "", 5000, "10>3000", (0, 3000)),
        ("r", "reverse", "a", 3000, "00", (0, 0)),
    ],
    "a reversed decline": [
        ("a", "authorization", "", 500, "51", (0, 0)),
        ("r", "reverse", "a", None, "00", (0, 0)),
    ],
    "the reversal comes first": [
        ("a", "prepare", "", 500, None, (0, 0)),
        ("r", "reverse", "a", None, "00", (0, 0)),
        ("b", "repeat", "a", None, "05", (0, 0)),
    ],
    "a posting is reversed in part and in full": [
        ("a", "purchase", "", 900, "00", (-900, 0)),
        ("r", "reverse to", "a", 400, "00", (-400, 0)),
        ("s", "reverse", "a", None, "00", (0, 0)),
    ],
    "a refund is reversed": [
        ("a", "refund", "", 900, "00", (900, 0)),
        ("r", "reverse", "a", None, "00", (0, 0)),
    ],
    "a cleared authorization can't be reversed": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("c", "post", "a", 500, "00", (-500, 0)),
        ("r", "reverse", "a", None, "00", (-500, 0)),
    ],
    "a lower presentment releases the rest": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("c", "post", "a", 450, "00", (-450, 0)),
    ],
    "a presentment after a full reversal is charged": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("r", "reverse", "a", None, "00", (0, 0)),
        ("c", "post", "a", 480, "00", (-480, 0)),
    ],
    "a forced posting can be reversed": [
        ("a", "prepare", "", 500, None, (0, 0)),
        ("c", "post", "a", 500, "00", (-500, 0)),
        ("r", "reverse", "c", None, "00", (0, 0)),
    ],
    "a refund advice comes in beside the purchase": [
        ("a", "purchase", "", 500, "00", (-500, 0)),
        ("c", "post refund", "a", 200, "00", (-300, 0)),
    ],
    "a stand-in approval of what never arrived": [
        ("a", "prepare", "", 500, None, (0, 0)),
        ("s", "stand in", "a", None, "00", (0, 500)),
    ],
    "a stand-in approval of what was lost settles the doubt": [
        ("a", "authorization", "", 500, NO_ANSWER, (0, 0)),
        ("s", "stand in", "a", None, "00", (0, 500)),
        ("late", "again", "a", None, "00", (0, 500)),
    ],
    "a stand-in approval folds into the hold": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("s", "stand in", "a", 450, "00", (0, 450)),
    ],
    "a stand-in approval after 91": [
        ("a", "authorization", "", 500, "91", (0, 0)),
        ("s", "stand in", "a", None, "00", (0, 500)),
    ],
    "a stand-in decline releases": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("s", "stand in declined", "a", None, "00", (0, 0)),
        ("t", "stand in", "a", None, "00", (0, 0)),
    ],
    "a stand-in approval after the reversal changes nothing": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("r", "reverse", "a", None, "00", (0, 0)),
        ("s", "stand in", "a", None, "00", (0, 0)),
    ],
    "a lost increment is taken back to what was held": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("i", "increment", "a", 500, NO_ANSWER, (0, 500)),
        ("r", "reverse to", "i", 500, "00", (0, 500)),
    ],
    "repeats move nothing": [
        ("a", "authorization", "", 500, "00", (0, 500)),
        ("b", "repeat", "a", None, "00", (0, 500)),
        ("c", "post", "a", 500, "00", (-500, 0)),
        ("d", "repeat", "c", None, "00", (-500, 0)),
        ("e", "repeat", "a", None, "00", (-500, 0)),
    ],
}


@pytest.mark.parametrize("story", STORIES)
def test_story(story: str) -> None:
    ledger = Ledger()
    ledger.play(STORIES[story])
    figures = ledger.books.figures(CARD)
    account = shown(figures.posted_minor, figures.held_minor)
    assert compare(ledger.books, {CARD: account}) == []
    # And the comparison can fail: a single yen is seen.
    assert compare(ledger.books, {CARD: shown(figures.posted_minor + 1, figures.held_minor)}) != []
    assert compare(ledger.books, {CARD: shown(figures.posted_minor, figures.held_minor + 1)}) != []


def shown(posted: int, held: int, currency: str = "JPY") -> dict[str, object]:
    return {"account": 1, "currency": currency, "posted": posted, "held": held, "available": posted - held, "seq": 9}


def test_what_is_in_doubt_is_a_difference() -> None:
    ledger = Ledger()
    ledger.play([("a", "authorization", "", 500, NO_ANSWER, (0, 0))])
    found = compare(ledger.books, {CARD: shown(OPENING, 0)})
    assert [(one.alias, one.figure) for one in found] == [(CARD, "doubt")]


def test_an_unanswered_inquiry_is_no_difference() -> None:
    ledger = Ledger()
    ledger.play([("a", "inquiry", "", 0, NO_ANSWER, (0, 0))])
    assert compare(ledger.books, {CARD: shown(OPENING, 0)}) == []


def test_a_repeat_that_hears_something_else_is_a_difference() -> None:
    ledger = Ledger()
    ledger.play([("a", "authorization", "", 500, "51", (0, 0)), ("b", "repeat", "a", None, "00", (0, 0))])
    found = compare(ledger.books, {CARD: shown(OPENING, 0)})
    assert [(one.figure, one.shown) for one in found] == [("answer", "00 to its repeat")]


def test_a_card_that_was_used_must_be_shown() -> None:
    ledger = Ledger()
    ledger.play([("a", "authorization", "", 500, "51", (0, 0))])
    assert [one.figure for one in compare(ledger.books, {})] == ["account"]


def test_cards_that_were_not_used_are_compared_too() -> None:
    assert [one.figure for one in compare(Books(load_cards()), {"plain-1": shown(OPENING - 5, 0)})] == [
        "posted",
        "available",
    ]


def test_the_currency_is_compared() -> None:
    assert [one.figure for one in compare(Books(load_cards()), {CARD: shown(OPENING, 0, "USD")})] == ["currency"]


def test_an_approval_for_a_card_that_was_never_issued_is_a_difference() -> None:
    books = Books({alias: card for alias, card in load_cards().items() if alias != CARD})
    message = maker().authorization(CARD, 100)
    books.sent(message)
    books.answered(message, "00")
    assert [(one.alias, one.figure) for one in compare(books, {})] == [(CARD, "account")]


def test_a_later_opening_balance_replaces_the_files() -> None:
    books = Books(load_cards())
    books.open_at(CARD, 123, 23)
    assert compare(books, {CARD: shown(123, 23)}) == []


def test_a_refused_reversal_is_a_difference() -> None:
    books = Books(load_cards())
    message = maker().reversal(maker().authorization(CARD, 100))
    books.sent(message)
    books.refused(message, "12")
    assert {one.figure for one in compare(books, {CARD: shown(OPENING, 0)})} == {"answer", "doubt"}
