"""What can happen in a scenario: the verbs of the tables.

A verb makes a :class:`Do`. The first word after a verb is the *label* that later steps call it by; verbs that follow an
earlier message take that message's label first. ``.but(…)`` changes elements before the message is sent (None leaves one
out), ``.unsent()`` makes it and keeps it back: the request that got lost, or that arrives later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from simulators.clearing_files import Entry
from simulators.messages import Act, Change, Maker, Message, Terms, as_repeat
from switch.contracts.message import Kind
from switch.daemon.settings import load_settings, load_vault
from switch.journal import issuing
from switch.journal.connection import Connection
from tests.house import House, IssuedCard

__all__ = ["Do", "Record", "Stage", "Trace", "spoken"]

#: The steps of a decision as they are stored: rule, verdict, and the values that were seen.
Trace: TypeAlias = "Sequence[Mapping[str, Any]]"


@dataclass(frozen=True)
class Record:
    """A clearing record that was told: what it said, in which file, and under which key it is stored."""

    entry: Entry
    file: Path
    key: bytes
    account_id: int  # 0 where its card is unknown


@dataclass
class Stage:
    """Where a scenario plays: the switch, one card, an acquirer that makes messages, and what was said so far."""

    house: House
    card: IssuedCard
    maker: Maker
    said: dict[str, Message] = field(default_factory=dict)  # by label
    answers: dict[str, bytes] = field(default_factory=dict)  # payloads, by label
    records: dict[str, Record] = field(default_factory=dict)  # what clearing files said, by label


@dataclass(frozen=True)
class Do:
    """One thing that happens. ``make`` gives the message; ``act`` does something inside the house instead.

    Where what it does is a decision, ``act`` returns the trace of that.
    """

    text: str
    label: str = ""
    make: Callable[[Stage], Message] | None = None
    act: Callable[[Stage], Trace | None] | None = None
    changes: Mapping[str, Change] = field(default_factory=dict)
    asks: tuple[Act, Terms | None] | None = None  # what it takes a network to carry; None: what came before
    is_sent: bool = True
    repeats: str = ""  # the label of the message that this repeats

    def but(self, changes: Mapping[str, Change]) -> Do:
        """The same with other elements, by their names in a dialect; None leaves one out."""
        return replace(self, changes={**self.changes, **changes}, text=f"{self.text} but {', '.join(changes)}")

    def unsent(self) -> Do:
        """Made and not sent."""
        return replace(self, is_sent=False, text=f"{self.text}, unsent")

    def message(self, stage: Stage) -> Message:
        """The message with its changes."""
        assert self.make is not None
        return stage.maker.changed(self.make(stage), self.changes)

    def lacks(self, maker: Maker) -> frozenset[str]:
        """What of it the maker's network can't carry."""
        act, terms = self.asks or (Act.REVERSAL, None)
        return maker.lacks(act, terms, self.changes)


def spoken(mti: str) -> Change:
    """A message type of 1987 as the network has it: 0101 is 1101 in 1993."""
    return lambda maker: maker.mti(Kind.REVERSAL)[0] + mti[1:]


# ── what a cardholder does

_CARD = "card"  # the alias under which the maker knows the scenario's card


def _request(act: Act, label: str, amount: int, terms: Terms | None, mti: str) -> Do:
    return Do(
        f"{mti} {label}: {act} {amount}",
        label,
        lambda stage: stage.maker.request(act, _CARD, amount, terms),
        asks=(act, terms),
    )


def authorize(label: str, amount: int, terms: Terms | None = None) -> Do:
    """0100 purchase."""
    return _request(Act.AUTHORIZATION, label, amount, terms, "0100")


def buy(label: str, amount: int, terms: Terms | None = None) -> Do:
    """0200 purchase."""
    return _request(Act.PURCHASE, label, amount, terms, "0200")


def withdraw(label: str, amount: int, terms: Terms | None = None) -> Do:
    """0200 at a cash machine."""
    return _request(Act.CASH_WITHDRAWAL, label, amount, terms or Terms(mcc="6011"), "0200")


def authorize_cash(label: str, amount: int, terms: Terms | None = None) -> Do:
    """0100 at a cash machine."""
    return _request(Act.CASH_AUTHORIZATION, label, amount, terms or Terms(mcc="6011"), "0100")


def refund(label: str, amount: int) -> Do:
    """0200 refund."""
    return _request(Act.REFUND, label, amount, None, "0200")


def authorize_refund(label: str, amount: int) -> Do:
    """0100 refund: asks, moves nothing."""
    return _request(Act.REFUND_AUTHORIZATION, label, amount, None, "0100")


def inquire(label: str) -> Do:
    """0100 balance inquiry."""
    return _request(Act.INQUIRY, label, 0, None, "0100")


def verify(label: str, terms: Terms | None = None) -> Do:
    """0100 of amount zero."""
    return _request(Act.VERIFICATION, label, 0, terms, "0100")


# ── what follows


def increment(of: str, label: str, amount: int, terms: Terms | None = None) -> Do:
    """0100 that raises the hold of ``of``."""
    return Do(
        f"0100 {label}: increment of {of} by {amount}",
        label,
        lambda stage: stage.maker.increment(stage.said[of], amount, terms),
        asks=(Act.INCREMENT, terms),
    )


def reverse(of: str, label: str = "reversal", *, amount: int | None = None, left: int | None = None) -> Do:
    """0400; ``amount`` is DE4 where it is not the original's, ``left`` the final amount (DE95)."""
    return Do(
        f"0400 {label}: reversal of {of} amount={amount} left={left}",
        label,
        lambda stage: stage.maker.reversal(stage.said[of], amount_minor=amount, replacement_minor=left),
    )


def advise_reversal(of: str, label: str = "reversal", *, amount: int | None = None, left: int | None = None) -> Do:
    """0420: the same, told by a store-and-forward queue."""
    return reverse(of, label, amount=amount, left=left).but({"t": spoken("0420")})


def stand_in(of: str, label: str = "stand-in", *, amount: int | None = None) -> Do:
    """0120: the network approved ``of`` for us."""
    return Do(
        f"0120 {label}: stand-in approval of {of} amount={amount}",
        label,
        lambda stage: stage.maker.stand_in(stage.said[of], approved=True, amount_minor=amount),
    )


def stand_in_decline(of: str, label: str = "stand-in") -> Do:
    """0120: the network declined ``of`` for us."""
    return Do(
        f"0120 {label}: stand-in decline of {of}",
        label,
        lambda stage: stage.maker.stand_in(stage.said[of], approved=False),
    )


def post(of: str, label: str = "advice", *, amount: int | None = None) -> Do:
    """0220: the money of ``of`` has moved."""
    return Do(
        f"0220 {label}: financial advice of {of} amount={amount}",
        label,
        lambda stage: stage.maker.financial_advice(stage.said[of], amount_minor=amount),
    )


def post_refund(of: str, label: str = "advice", *, amount: int | None = None) -> Do:
    """0220: a refund of ``of`` has happened."""
    return Do(
        f"0220 {label}: refund advice of {of} amount={amount}",
        label,
        lambda stage: stage.maker.financial_advice(stage.said[of], amount_minor=amount, refund=True),
    )


def send(of: str) -> Do:
    """What was made and kept back arrives now."""
    return Do(f"{of} arrives", of, lambda stage: stage.said[of])


def repeat(of: str) -> Do:
    """The same message under its x1 type; its answer must be the first one, byte for byte."""

    def make(stage: Stage) -> Message:
        return as_repeat(stage.said[of])

    return Do(f"repeat of {of}", make=make, repeats=of)


def send_again(of: str) -> Do:
    """The same message under the same type, as a peer does that does not know x1."""
    return Do(f"{of} once more", make=lambda stage: stage.said[of], repeats=of)


def as_advice(of: str) -> Do:
    """The reversal ``of``, which nobody answered, once more as a 0420."""
    return Do(f"{of} as a 0420", make=lambda stage: stage.said[of], repeats=of).but({"t": spoken("0420")})


def tamper(of: str, changes: Mapping[str, Change]) -> Do:
    """The key of ``of`` with other content."""
    return Do(f"{of} tampered with", make=lambda stage: stage.said[of]).but(changes)


# ── what happens inside the house


def lock() -> Do:
    """The cardholder locks the card."""
    return Do("the card is locked", act=lambda stage: stage.house.change_card(stage.card, locked=True))


def unlock() -> Do:
    """The cardholder opens it again."""
    return Do("the card is unlocked", act=lambda stage: stage.house.change_card(stage.card, locked=False))


def status(name: str) -> Do:
    """The issuer sets the card's status."""
    return Do(f"the card is {name}", act=lambda stage: stage.house.change_card(stage.card, status=name))


def load(amount: int, *, bonus: bool = False) -> Do:
    """Money comes in outside the networks, or bonus value that the issuer gives."""

    def act(stage: Stage) -> None:
        lookup = load_vault(load_settings(stage.house.config).vault).lookup(stage.card.pan)
        reference = f"load {datetime.now(UTC).isoformat()}"
        stage.house.ask(lambda c: issuing.load_account(c, lookup, amount, reference, datetime.now(UTC), bonus=bonus))

    return Do(f"{amount} {'of bonus ' if bonus else ''}are loaded", act=act)


def bonus_left(amount: int) -> Do:
    """Nothing happens: of what is available, so much is bonus."""

    def act(stage: Stage) -> None:
        async def work(connection: Connection) -> int:
            left: int = await connection.fetchval(
                "SELECT bonus_posted - bonus_held FROM account WHERE account_id = $1", stage.card.account_id
            )
            return left

        assert stage.house.ask(work) == amount, "bonus"

    return Do(f"{amount} of bonus are left", act=act)


def new_day() -> Do:
    """The day's counters are empty, as after midnight. The clock's part in it is tested where a clock can be set."""
    return _emptied("a new day", "day_minor = 0, day_count = 0")


def new_month() -> Do:
    """The day's and the month's counters are empty."""
    return _emptied("a new month", "day_minor = 0, day_count = 0, month_minor = 0, month_count = 0")


def _emptied(text: str, assignments: str) -> Do:
    def act(stage: Stage) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(
                f"UPDATE account SET {assignments} WHERE account_id = $1",  # the two texts above
                stage.card.account_id,
            )

        stage.house.ask(work, dsn=stage.house.ready["database"])

    return Do(text, act=act)
