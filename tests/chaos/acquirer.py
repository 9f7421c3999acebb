"""The acquirer network of these tests: cards of their own, every outcome kept, and the comparison with the books."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
import trio

from simulators.books import Difference, compare
from simulators.cards import TestCard
from simulators.link import Link, open_link
from simulators.messages import Maker, Message
from simulators.network import AcquirerNetwork, Endpoint, Habits, Outcome
from switch.journal import reads
from switch.journal.connection import Connection
from switch.wire.codec import Codec
from switch.wire.dialect import Dialect, load_dialect, specs_root
from tests.chaos.daemon import DIALECTS, Daemon
from tests.house import House, IssuedCard

__all__ = [
    "CODECS",
    "Answered",
    "Witness",
    "as_test_card",
    "booked_twice",
    "differences",
    "link_to",
    "maker_for",
    "missing",
    "network_to",
    "new_cards",
]

_DIALECTS: Mapping[str, Dialect] = {name: load_dialect(specs_root() / name) for name in DIALECTS}
CODECS: Mapping[str, Codec] = {name: Codec(dialect) for name, dialect in _DIALECTS.items()}


class Answered(NamedTuple):
    """What became of a message, and after how many seconds."""

    outcome: Outcome
    seconds: float


class Witness(AcquirerNetwork):
    """An acquirer network that keeps what became of every message, with the time that it took."""

    witnessed: list[Answered]

    def submit(self, message: Message, done: Callable[[Outcome], None]) -> None:
        started = trio.current_time()

        def keep(outcome: Outcome) -> None:
            self.witnessed.append(Answered(outcome, trio.current_time() - started))
            done(outcome)

        super().submit(message, keep)

    @property
    def answered(self) -> int:
        """How many messages have been answered."""
        return sum(one.outcome.code is not None for one in self.witnessed)

    def has_answered(self, count: int) -> bool:
        """Whether so many messages have been answered."""
        return self.answered >= count

    def heard(self, *, since: int = 0) -> set[str | None]:
        """The DE39 of requests, from the ``since``th outcome on."""
        return {one.outcome.code for one in self.witnessed[since:] if not one.outcome.message.act.must_be_accepted}


def as_test_card(alias: str, card: IssuedCard, balance_minor: int) -> TestCard:
    """An issued card as the simulators know cards."""
    return TestCard(
        alias=alias,
        pan=card.pan,
        expiry=card.expiry,
        service_code=card.service_code,
        cvv2=card.cvv2,
        program=card.program,
        currency=card.currency,
        balance_minor=balance_minor,
        status="active",
        locked=False,
    )


def new_cards(house: House, count: int, balance_minor: int = 10_000_000) -> dict[str, IssuedCard]:
    """Cards by alias."""
    return {f"card-{number}": house.new_card(balance_minor=balance_minor) for number in range(count)}


@asynccontextmanager
async def network_to(
    daemons: Sequence[Daemon],
    cards: Mapping[str, IssuedCard],
    *,
    balance_minor: int = 10_000_000,
    habits: Habits | None = None,
    links: int = 1,
    seed: int = 1,
) -> AsyncIterator[Witness]:
    """A network with ``links`` sessions to every listener of every daemon, for a block of code."""
    endpoints = [
        Endpoint(_DIALECTS[dialect], "127.0.0.1", daemon.ports[dialect], links)
        for daemon in daemons
        for dialect in DIALECTS
    ]
    known = {alias: as_test_card(alias, card, balance_minor) for alias, card in cards.items()}
    witness = Witness(endpoints, known, seed=seed, habits=habits)
    witness.witnessed = []
    async with trio.open_nursery() as nursery:
        await nursery.start(witness.run)
        yield witness
        nursery.cancel_scope.cancel()


def maker_for(card: IssuedCard, dialect: str = "iso87_ascii", *, seed: int = 1) -> Maker:
    """Makes messages of this card, whose alias is ``card``."""
    return Maker(_DIALECTS[dialect], {"card": as_test_card("card", card, 0)}, seed=seed)


@asynccontextmanager
async def link_to(daemon: Daemon, dialect: str = "iso87_ascii") -> AsyncIterator[Link]:
    """One signed-on session."""
    async with open_link(CODECS[dialect], "127.0.0.1", daemon.ports[dialect]) as link:
        yield link


# ── the issuer's books against the acquirer's ────────────────────────────────────────────────────────────────────────


def differences(house: House, network: AcquirerNetwork, cards: Mapping[str, IssuedCard]) -> list[Difference]:
    """Where the network's books and the issuer's accounts disagree."""
    network.books.check_invariants()
    return compare(network.books, {alias: msgspec.to_builtins(house.shown(card)) for alias, card in cards.items()})


def missing(house: House, network: Witness, cards: Mapping[str, IssuedCard]) -> list[str]:
    """Approvals of authorizations and purchases that the network saw and no journal entry was caused by."""
    booked: set[tuple[str, str, str]] = set()
    for alias, card in cards.items():
        keys = {cause_key for cause_key, _ in _causes(house, card)}
        for message in house.explained(card):
            if message["key"] in keys:
                booked.add((alias, message["stan"], message["transmitted"]))
    seen = [
        one.outcome.message
        for one in network.witnessed
        if one.outcome.approved
        and (one.outcome.approved_minor or 0) > 0
        and one.outcome.message.fields["t"] in _HOLDING
    ]
    assert seen, "the network saw no approval at all"
    return [repr(m) for m in seen if (m.alias, m.fields["11"], m.fields["7"]) not in booked]


_HOLDING = ("0100", "0200")


def booked_twice(house: House, card: IssuedCard) -> list[tuple[str, str]]:
    """(key of a message, kind of entry) that stand in the card's journal more than once."""
    causes = _causes(house, card)
    return sorted({cause for cause in causes if causes.count(cause) > 1})


def _causes(house: House, card: IssuedCard) -> list[tuple[str, str]]:
    async def read(connection: Connection) -> list[tuple[str, str]]:
        return [
            (chained.cause_key.hex(), str(chained.entry.movement.kind))
            async for chained in reads.entries(connection, card.account_id)
            if chained.cause == "message"
        ]

    return house.ask(read)
