"""Scenarios as tables: one row a step, readable by a card person, played over a real socket against real books.

::

    Story("a full reversal gives everything back", (
        #   what happens                   DE39    posted     held   the rule that decided
        Row(authorize("pay", 30_000),      "00",  100_000,  30_000,  "funds: pass"),
        Row(reverse("pay"),                "00",  100_000,       0,  "amount: taken_back"),
    ), journal="hold 30_000, release 30_000")

What a clearing file says (the verbs of ``clearing_steps``) is answered to nobody: DE39 is ``--``, and the rule that of the
record.

Every story has a fresh card. After each step the answer is checked whole (also that it says nothing which the row does not
expect) and so is the balance; at the end the journal, what was raised for a person, and the stored traces.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from zlib import crc32

import pytest
from _pytest.mark import ParameterSet

from simulators.cards import TestCard
from simulators.messages import Maker, Message
from simulators.stage import original_amount
from switch.contracts import currency
from switch.contracts.message import Kind
from switch.contracts.reason import Reason
from tests.house import House, IssuedCard
from tests.scenarios.line import Line, codec_of
from tests.scenarios.steps import Do, Stage, Trace

__all__ = ["DIALECTS", "Dialect", "Row", "Story", "lacking", "maker_for", "play", "told"]


@dataclass(frozen=True)
class Dialect:
    """A dialect that every story is played in, as far as its network can carry it.

    ``codes``: where its DE39 departs from the 1987 table, by reason. A dialect with another table altogether (three
    digits in 1993) is checked against its own, which tests/wire holds to the standard.
    """

    name: str
    codes: Mapping[str, str] = field(default_factory=dict)


DIALECTS = (
    Dialect("iso87_ascii"),
    Dialect("iso87_binary"),
    Dialect("iso87_bcd"),
    Dialect("base1", {"cvv2_mismatch": "N7"}),
    Dialect("iso93_contactless"),
)

#: A row's DE39 when nothing is sent, or when something happens inside the house.
QUIET = "--"

_ECHOED = ("2", "3", "7", "11", "12", "13", "32", "37", "41", "42", "49")
_AMOUNT_TYPES = {"01": "ledger", "02": "available", "57": "original"}


@dataclass(frozen=True)
class Row:
    """One step: what happens, DE39, the balance after it (minor units), and the last step of the trace.

    ``seen`` are values that this last step must have recorded. ``amount`` is the answer's DE4 where it is not the request's,
    ``de44`` the CVV2 result, ``de54`` the additional amounts in words. What is not named must not be there.
    """

    do: Do
    code: str
    posted: int
    held: int
    rule: str = ""
    seen: Mapping[str, Any] = field(default_factory=dict)  # JSON values, as the trace stores them
    amount: int | None = None
    de44: str = ""
    de54: str = ""


@dataclass(frozen=True)
class Story:
    """A scenario. ``journal`` lists kind and amount of its entries, ``concerns`` what a person is shown, both in order."""

    name: str
    rows: tuple[Row, ...]
    journal: str = ""
    concerns: str = ""
    program: str = "plain"
    balance: int = 100_000
    status: str = "active"
    locked: bool = False
    expiry: str = "3012"
    floor: int = 0


def told(*stories: Story) -> Callable[[Any], Any]:  # pytest's decorators are untyped in the same way
    """Every story in every dialect where CI is set, else in the first and in one more; skipped where the network can't
    carry something that it tells of.
    """

    def row(dialect: Dialect, story: Story) -> ParameterSet:
        missing = lacking(dialect, story)
        why = f"{dialect.name} carries no {', '.join(sorted(missing))}"
        marks = [pytest.mark.skip(reason=why)] if missing else []
        return pytest.param(dialect, story, id=f"{dialect.name}: {story.name}", marks=marks)

    return pytest.mark.parametrize(("dialect", "story"), [row(d, s) for s in stories for d in _played(s)])


def _played(story: Story) -> tuple[Dialect, ...]:
    """In which dialects a story is played here. Which one it is beside the first hangs on its name alone."""
    if os.environ.get("CI"):
        return DIALECTS
    first, *others = DIALECTS
    return first, others[crc32(story.name.encode()) % len(others)]


def lacking(dialect: Dialect, story: Story) -> frozenset[str]:
    """What of a story the dialect's network can't carry, as its data say (see ``Maker.lacks``)."""
    maker = _capability(dialect.name)
    return frozenset[str]().union(*(row.do.lacks(maker) for row in story.rows if row.do.act is None))


@cache
def _capability(dialect: str) -> Maker:
    return Maker(codec_of(dialect).dialect, {}, seed=0)


def play(house: House, dialect: Dialect, story: Story) -> None:
    """Plays one story and checks everything about it."""
    card = house.new_card(
        story.program,
        story.balance,
        status=story.status,
        locked=story.locked,
        expiry=story.expiry,
        floor_minor=story.floor,
    )
    stage = Stage(house, card, maker_for(card, dialect.name))
    with Line(house.address(dialect.name), codec_of(dialect.name)) as line:
        for number, row in enumerate(story.rows, 1):
            where = f"step {number}, {row.do.text}"
            if row.do.act is not None:
                _check_rule(row, row.do.act(stage))
            else:
                _say(stage, line, dialect, row, where)
            shown = house.shown(card)
            assert (shown.posted, shown.held) == (row.posted, row.held), where
            assert shown.available == row.posted - row.held, where
    _check_books(stage, story)
    _check_traces(stage, story)


def maker_for(card: IssuedCard, dialect: str) -> Maker:
    """The acquirer's hand for this one card."""
    known = TestCard(
        alias="card",
        pan=card.pan,
        expiry=card.expiry,
        service_code=card.service_code,
        cvv2=card.cvv2,
        program=card.program,
        currency=card.currency,
        balance_minor=0,
        status="active",
        locked=False,
    )
    return Maker(codec_of(dialect).dialect, {"card": known}, seed=secrets.randbits(32))


# ── one step


def _with_codes(fields: Mapping[str, str], card: IssuedCard) -> dict[str, str]:
    """Track 2 is written with the card's codes in words, because a table can't know them: CVV, ICVV or BAD."""
    track2 = fields.get("35", "")
    codes = {"CVV": card.cvv.reveal(), "ICVV": card.icvv.reveal()}
    codes["BAD"] = next(code for code in ("111", "222", "333") if code not in codes.values())
    for word in ("ICVV", "CVV", "BAD"):
        if track2.endswith(word):
            return {**fields, "35": track2.removesuffix(word) + codes[word]}
    return dict(fields)


def _say(stage: Stage, line: Line, dialect: Dialect, row: Row, where: str) -> None:
    message = row.do.message(stage)
    if row.do.label:
        stage.said[row.do.label] = message
    if not row.do.is_sent:
        return
    payload = line.ask(_with_codes(message.fields, stage.card))
    if row.do.label:
        stage.answers[row.do.label] = payload
    answer = line.codec.decode_fields(payload)
    assert answer["39"] == _expected_code(dialect, stage, message, row), where
    _check_answer(message, answer, row, stage, where)
    if row.do.repeats and row.code != "94":
        first = stage.answers[row.do.repeats]
        # A 0420 that repeats a 0400 is answered 0430 where that was answered 0410; all the rest is the same bytes.
        retyped = line.codec.encode({**line.codec.decode_fields(first), "t": answer["t"]})
        assert payload == (retyped if answer["t"] != line.codec.decode_fields(first)["t"] else first), where


def _expected_code(dialect: Dialect, stage: Stage, message: Message, row: Row) -> str:
    """The row's DE39 as the dialect writes it."""
    of = stage.maker.dialect
    reason = row.rule.partition(": ")[2]
    if len(of.response_code(Reason.APPROVED)) == len(row.code):
        return dialect.codes.get(reason, row.code)
    if row.do.repeats and row.code != "94":
        return codec_of(dialect.name).decode_fields(stage.answers[row.do.repeats])["39"]
    kind = of.messages[message.fields["t"]].kind
    if reason in set(Reason) and kind.is_request:
        return of.response_code(Reason(reason))
    if row.code == "00" and not kind.is_request:
        return of.response_code(Reason.REVERSAL_ACCEPTED if kind is Kind.REVERSAL else Reason.ADVICE_ACCEPTED)
    return of.response_code(_REASONS_1987[row.code])


_REASONS_1987 = {
    "00": Reason.APPROVED,
    "10": Reason.APPROVED_PARTIALLY,
    "30": Reason.FORMAT_ERROR,
    "94": Reason.KEY_REUSED,
}


def _check_answer(message: Message, answer: Mapping[str, str], row: Row, stage: Stage, where: str) -> None:
    asked, of = message.fields, stage.maker.dialect
    mti = asked["t"]
    # x100 is answered x110, x120 by x130; a repeat's answer has the type of the first one's.
    assert answer["t"] == f"{mti[:2]}{int(mti[2]) + 1}0", where
    if row.code == "30":
        return  # a format error echoes only what could be read
    for key in _ECHOED:
        assert answer.get(key) == asked.get(key), f"{where}: DE{key}"
    amount = asked.get("4") if row.amount is None else f"{row.amount:012d}"
    assert answer.get("4") == amount, f"{where}: DE4"
    is_approval = mti[1:3] in ("10", "20") and row.code in ("00", "10")
    code = answer.get("38", "")
    assert (len(code) == 6 and code.isdecimal()) if is_approval else code == "", f"{where}: DE38 {code!r}"
    # Blanks stand for checks that are not made here.
    assert answer.get("44", "").strip() == row.de44, f"{where}: DE44"
    told = _amounts(answer.get("54", ""), stage.card.currency)
    place = of.answer.original_amount
    if place is not None and place.field in answer and place.field not in asked:
        # What 1987 tells among the additional amounts has a field of its own.
        assert told == "", where
        told = f"original {original_amount(of, answer):_}"
    assert told == row.de54, f"{where}: DE54"


def _amounts(text: str, of_currency: str) -> str:
    """DE54 in words: entries of account type 2, amount type 2, currency 3, sign 1, amount 12."""
    assert len(text) % 20 == 0
    words = []
    for start in range(0, len(text), 20):
        entry = text[start : start + 20]
        assert entry[:2] == "00" and entry[4:7] == currency.numeric(of_currency) and entry[7] in "CD"
        amount = int(entry[8:]) * (1 if entry[7] == "C" else -1)
        words.append(f"{_AMOUNT_TYPES[entry[2:4]]} {amount:_}")
    return ", ".join(words)


# ── what is left


def _check_books(stage: Stage, story: Story) -> None:
    entries = [f"{kind} {amount:_}" for kind, amount in stage.house.journal(stage.card)]
    assert ", ".join(entries) == story.journal
    assert ", ".join(stage.house.concerns(stage.card)) == story.concerns


def _check_traces(stage: Stage, story: Story) -> None:
    """Each message that was decided is stored with its trace; a repeat leaves only a count."""
    explained = stage.house.explained(stage.card)
    stored = {(m["stan"], m["transmitted"]): m for m in explained if m["stan"]}
    repeated: dict[str, int] = {}
    for row in story.rows:
        if row.do.repeats:
            repeated[row.do.repeats] = repeated.get(row.do.repeats, 0) + 1
    decided = 0
    for row in story.rows:
        if not (row.do.label and row.do.is_sent) or row.code in ("30", QUIET):
            continue
        decided += 1
        fields = stage.said[row.do.label].fields
        message = stored[fields["11"], fields[stage.maker.dialect.elements.sequence_time]]
        _check_rule(row, message["trace"])
        assert message["response_code"] is not None and message["repeats_answered"] == repeated.get(row.do.label, 0)
        # What came before the last step was passed, or the pipeline would have ended there.
        assert all(step["verdict"] == "pass" for step in message["trace"][:-1]), row.do.text
    assert len(stored) == decided, "a message was stored that the story does not tell of"
    told = {record.key.hex() for record in stage.records.values() if record.account_id}
    assert {m["key"] for m in explained if not m["stan"]} == told, "other clearing records are stored than were told"


def _check_rule(row: Row, trace: Trace | None) -> None:
    """The last step of a decision, and what it saw; without a decision the row names none."""
    if trace is None:
        assert row.rule == "", row.do.text
        return
    last = trace[-1]
    assert f"{last['rule']}: {last['verdict']}" == row.rule, row.do.text
    assert {key: last["seen"].get(key) for key in row.seen} == row.seen, row.do.text
