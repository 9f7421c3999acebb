"""Plays scenarios against a switch, through the acquirer network, and says where they went otherwise than told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from simulators.messages import Act, Maker, Message, Terms, as_repeat
from simulators.network import AcquirerNetwork, Outcome
from simulators.scenarios import Scenario, Step
from switch.contracts import currency
from switch.contracts.message import ORIGINAL_AMOUNT, EntryMode
from switch.wire.dialect import Dialect

__all__ = ["Played", "StepResult", "additional_amounts", "lacking", "learn_opening", "original_amount", "play"]


class StepResult(msgspec.Struct, frozen=True):
    """One step. ``problem`` is empty when it went as told."""

    text: str
    expected: str
    got: str
    problem: str


class Played(msgspec.Struct, frozen=True):
    """One scenario played over one dialect."""

    scenario: Scenario
    dialect: str
    steps: tuple[StepResult, ...]
    problems: tuple[str, ...]  # of the steps, and of what the scenario left on the cards
    skipped: frozenset[str] = frozenset()  # what the scenario needs and the network can't carry

    @property
    def passed(self) -> bool:
        """Whether everything went as told."""
        return not self.problems


_ACTS = {
    "authorize": Act.AUTHORIZATION,
    "prepare": Act.AUTHORIZATION,
    "purchase": Act.PURCHASE,
    "withdraw": Act.CASH_WITHDRAWAL,
    "refund": Act.REFUND,
    "authorize refund": Act.REFUND_AUTHORIZATION,
    "inquire": Act.INQUIRY,
    "verify": Act.VERIFICATION,
}

# What a following step is, where the network must be able to carry more for it than for what it follows.
_FOLLOWING_ACTS = {
    "increment": Act.INCREMENT,
    "stand in": Act.STAND_IN_APPROVAL,
    "stand in declined": Act.STAND_IN_DECLINE,
    "post": Act.FINANCIAL_ADVICE,
    "post refund": Act.REFUND_ADVICE,
    "reverse": Act.REVERSAL,
}

_FOLLOWING: Mapping[str, Callable[[Maker, Message, Step], Message]] = {
    "increment": lambda maker, of, step: maker.increment(of, step.amount or 0, step.terms),
    "stand in": lambda maker, of, step: maker.stand_in(of, approved=True, amount_minor=step.amount),
    "stand in declined": lambda maker, of, step: maker.stand_in(of, approved=False, amount_minor=step.amount),
    "post": lambda maker, of, step: maker.financial_advice(of, amount_minor=step.amount),
    "post refund": lambda maker, of, step: maker.financial_advice(of, amount_minor=step.amount, refund=True),
    "reverse": lambda maker, of, step: maker.reversal(of, amount_minor=step.amount, replacement_minor=step.left),
    "repeat": lambda _maker, of, _step: as_repeat(of),
    "send": lambda _maker, of, _step: of,
    "tamper": lambda maker, of, step: maker.changed(of, {"amount": f"{step.amount:012d}"}),
}


async def play(network: AcquirerNetwork, dialect: str, scenario: Scenario) -> Played:
    """Plays ``scenario`` over the links of ``dialect``. Nothing else may use its cards meanwhile.

    What it leaves on each card is compared three ways: the scenario's ``moves``, our books, and the balances that the
    switch tells to an inquiry (DE54) before and after.
    """
    maker = network.makers[dialect]
    missing = lacking(maker, scenario)
    if missing:
        return Played(scenario, dialect, (), (), missing)
    before = {alias: network.books.figures(alias) for alias in scenario.moves}
    told_before = {alias: await _told(network, dialect, alias) for alias in scenario.moves}
    messages: dict[str, Message] = {}
    results: list[StepResult] = []
    for step in scenario.steps:
        message = _message(maker, step, messages)
        if step.label:
            messages[step.label] = message
        if step.do != "prepare":
            results.append(await _do(network, step, message))
    problems = [f"{result.text}: {result.problem}" for result in results if result.problem]
    for alias, moved in scenario.moves.items():
        after = network.books.figures(alias)
        got = (after.posted_minor - before[alias].posted_minor, after.held_minor - before[alias].held_minor)
        if got != moved:
            problems.append(f"{alias}: posted and held should move by {moved}, our books say {got}")
        then, now = told_before[alias], await _told(network, dialect, alias)
        if then is not None and now is not None and (now[0] - then[0], now[1] - then[1]) != moved:
            told = (now[0] - then[0], now[1] - then[1])
            problems.append(f"{alias}: posted and held should move by {moved}, the switch's DE54 says {told}")
    return Played(scenario, dialect, tuple(results), tuple(problems))


def lacking(maker: Maker, scenario: Scenario) -> frozenset[str]:
    """What ``scenario`` needs and the maker's network can't carry; empty when it can be played there."""
    needed = [maker.lacks(_act(step), _terms(step), step.extra) for step in scenario.steps]
    return frozenset().union(*needed)


def _act(step: Step) -> Act:
    return _ACTS.get(step.do) or _FOLLOWING_ACTS.get(step.do, Act.AUTHORIZATION)


def _terms(step: Step) -> Terms | None:
    """What a step is done with; a cash machine has its own merchant category."""
    return Terms(mcc="6011") if step.terms is None and _act(step) is Act.CASH_WITHDRAWAL else step.terms


async def learn_opening(network: AcquirerNetwork, dialect: str, scenario: Scenario) -> None:
    """Asks the switch for the balances that ``scenario`` will compare, unless our books have begun on that card.

    For data that has been used before: the opening balance of cards.toml is no longer what the account shows.
    """
    for alias in {step.card for step in scenario.steps if step.shows_balance} - network.books.touched:
        told = await _told(network, dialect, alias)
        if told is not None:
            network.books.open_at(alias, *told)


async def _told(network: AcquirerNetwork, dialect: str, alias: str) -> tuple[int, int] | None:
    """Posted and held as the switch tells them to a balance inquiry; None where the card gets no answer to one."""
    maker = network.makers[dialect]
    terms = Terms(entry_mode=EntryMode.CHIP)
    if maker.lacks(Act.INQUIRY, terms):
        terms = Terms()
    answer = await network.ask_raw(dialect, maker.inquiry(alias, terms).fields)
    shown = additional_amounts("" if answer is None else answer.get(maker.dialect.elements.balances, ""))
    if not {"01", "02"} <= shown.keys():
        return None
    posted, available = shown["01"][1], shown["02"][1]
    return posted, posted - available


def _message(maker: Maker, step: Step, messages: Mapping[str, Message]) -> Message:
    following = _FOLLOWING.get(step.do)
    if following is not None:
        return following(maker, messages[step.of], step)
    return maker.request(_act(step), step.card, step.amount or 0, _terms(step), extra=step.extra)


async def _do(network: AcquirerNetwork, step: Step, message: Message) -> StepResult:
    fields = message.fields
    text = f"{fields['t']} {step.do} {message.amount_minor if step.amount is None else step.amount} {message.alias}"
    if step.deaf or step.do == "tamper":
        # Outside the books: they hear nothing of a lost answer, and a forged message is none of theirs.
        if step.deaf:
            network.books.sent(message)
        answer = await network.ask_raw(message.network, fields)
        maker = network.makers[message.network]
        code = None if answer is None else answer.get(maker.dialect.elements.response_code, "")
        outcome = Outcome(message=message, code=code, codes=maker.codes)
    else:
        outcome = await network.request(message)
    if step.expect is None:
        return StepResult(text, "-", outcome.code or "no answer", "")
    dialect = network.makers[message.network].dialect
    expected = dialect.response_code(step.expect)
    got = outcome.code or "no answer"
    problem = "" if got == expected else f"expected {expected} ({step.expect}), got {got}"
    if not problem and step.approved is not None:
        problem = _partial_problem(step, outcome, dialect)
    if not problem and step.shows_balance:
        problem = _balance_problem(network, outcome, dialect)
    return StepResult(text, expected, got, problem)


def _partial_problem(step: Step, outcome: Outcome, dialect: Dialect) -> str:
    """A partial approval names the approved amount, and beside it the one that was asked for."""
    if outcome.approved_minor != step.approved:
        return f"approved {outcome.approved_minor}, expected {step.approved}"
    told = original_amount(dialect, outcome.fields)
    return "" if told == step.amount else f"the answer tells {told} as the original amount"


def original_amount(dialect: Dialect, answer: Mapping[str, str]) -> int | None:
    """What an answer says was asked for: in a field of its own, or as amount type 57 among the additional amounts."""
    place = dialect.answer.original_amount
    if place is not None:
        text = answer.get(place.field, "")[place.at : place.at + 12]
        return int(text) if text else None
    told = additional_amounts(answer.get(dialect.elements.balances, "")).get(ORIGINAL_AMOUNT)
    return None if told is None else told[1]


def _balance_problem(network: AcquirerNetwork, outcome: Outcome, dialect: Dialect) -> str:
    alias = outcome.message.alias
    figures = network.books.figures(alias)
    letters = network.books.currency(alias)
    shown = additional_amounts(outcome.fields.get(dialect.elements.balances, ""))
    expected = {"01": (letters, figures.posted_minor), "02": (letters, figures.posted_minor - figures.held_minor)}
    return "" if shown == expected else f"DE54 shows {shown}, our books say {expected}"


def additional_amounts(text: str) -> dict[str, tuple[str | None, int]]:
    """DE54 by amount type: currency letters and amount, negative for D. 20 characters per entry."""
    found: dict[str, tuple[str | None, int]] = {}
    for start in range(0, len(text), 20):
        entry = text[start : start + 20]
        amount = int(entry[8:20])
        found[entry[2:4]] = (currency.letters(entry[4:7]), -amount if entry[7] == "D" else amount)
    return found
