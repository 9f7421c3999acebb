"""One card on two networks that have nothing in common: its number over ``iso87_ascii``, a credential over
``iso93_contactless``, both at once, and one balance, one set of limits and one set of books behind them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from simulators.messages import AnswerCodes, Maker, Message, as_repeat
from switch.contracts.reason import Reason
from tests.house import House, IssuedCard
from tests.scenarios.clearing_steps import InFile, charge_back, present
from tests.scenarios.line import Line, codec_of
from tests.scenarios.steps import Stage, Trace
from tests.scenarios.transcript import maker_for

CARD, TAP = "iso87_ascii", "iso93_contactless"
NETWORKS = (CARD, TAP)
CODES: Mapping[str, AnswerCodes] = {name: AnswerCodes.of(codec_of(name).dialect) for name in NETWORKS}
LINES = 3  # sessions per network


@dataclass(frozen=True)
class Wallet:
    """A card and a telephone: one account, by a number of its own on each network."""

    house: House
    card: IssuedCard
    telephone: IssuedCard

    @property
    def makers(self) -> Mapping[str, Maker]:
        return {CARD: maker_for(self.card, CARD), TAP: maker_for(self.telephone, TAP)}

    @property
    def balance(self) -> tuple[int, int]:
        shown = self.house.shown(self.card)
        assert self.house.shown(self.telephone) == shown
        return shown.posted, shown.held


@pytest.fixture
def wallet(house: House) -> Callable[..., Wallet]:
    def issue(program: str = "no_partial", balance_minor: int = 100_000) -> Wallet:
        card = house.new_card(program, balance_minor)
        return Wallet(house, card, house.new_credential(card, network=TAP))

    return issue


def ask(house: House, message: Message) -> dict[str, str]:
    codec = codec_of(message.network)
    with Line(house.address(message.network), codec) as line:
        return codec.decode_fields(line.ask(message.fields))


def code(house: House, message: Message) -> str:
    return ask(house, message)["39"]


def says(network: str, reason: Reason) -> str:
    return codec_of(network).dialect.response_code(reason)


def rush(house: House, told: Mapping[str, Sequence[Message]]) -> list[tuple[Message, str]]:
    """Sends all messages at once, over several sessions of each network; each with the code of its answer."""

    def one_session(network: str, messages: Sequence[Message]) -> list[tuple[Message, str]]:
        codec = codec_of(network)
        with Line(house.address(network), codec) as line:
            return [(message, codec.decode_fields(line.ask(message.fields))["39"]) for message in messages]

    sessions = [(network, messages[i::LINES]) for network, messages in told.items() for i in range(LINES)]
    with ThreadPoolExecutor(len(sessions)) as pool:
        return [outcome for outcomes in pool.map(one_session, *zip(*sessions, strict=True)) for outcome in outcomes]


def approved(outcomes: Sequence[tuple[Message, str]]) -> list[Message]:
    return [message for message, said in outcomes if said in CODES[message.network].approvals]


# ── one balance


def test_what_one_network_holds_the_other_can_t_spend(house: House, wallet: Callable[..., Wallet]) -> None:
    mine = wallet(balance_minor=10_000)
    by_card, by_tap = mine.makers[CARD], mine.makers[TAP]
    first = by_tap.authorization("card", 7_000)

    assert code(house, first) == says(TAP, Reason.APPROVED)
    assert code(house, by_card.authorization("card", 3_001)) == says(CARD, Reason.INSUFFICIENT_FUNDS)
    assert code(house, by_card.purchase("card", 3_000)) == says(CARD, Reason.APPROVED)
    assert code(house, by_tap.authorization("card", 1)) == says(TAP, Reason.INSUFFICIENT_FUNDS)
    assert code(house, by_tap.reversal(first, replacement_minor=6_999)) == says(TAP, Reason.REVERSAL_ACCEPTED)
    assert code(house, by_card.authorization("card", 1)) == says(CARD, Reason.APPROVED)

    assert mine.balance == (7_000, 7_000)
    assert house.journal(mine.card) == [("hold", 7_000), ("posting", 3_000), ("release", 1), ("hold", 1)]


def test_a_purchase_of_one_network_is_not_known_to_the_other(house: House, wallet: Callable[..., Wallet]) -> None:
    """The same retrieval reference, STAN and amount on both: two purchases, and a reversal undoes its own."""
    mine = wallet()
    by_card, by_tap = mine.makers[CARD], mine.makers[TAP]
    tapped = by_tap.authorization("card", 4_000)
    alike = by_card.changed(
        by_card.authorization("card", 4_000),
        {"retrieval_reference": tapped.fields["37"], "stan": tapped.fields["11"], "7": tapped.fields["7"]},
    )

    assert code(house, tapped) == says(TAP, Reason.APPROVED)
    assert code(house, by_card.reversal(alike)) == says(CARD, Reason.REVERSAL_ACCEPTED)
    assert mine.balance == (100_000, 4_000), "the tap stays"
    assert code(house, alike) == says(CARD, Reason.REVERSED_EARLIER)
    assert code(house, as_repeat(tapped)) == says(TAP, Reason.APPROVED)
    assert code(house, by_tap.reversal(tapped)) == says(TAP, Reason.REVERSAL_ACCEPTED)
    assert mine.balance == (100_000, 0)


def test_each_network_knows_its_own_number_alone(house: House, wallet: Callable[..., Wallet]) -> None:
    mine = wallet()
    stolen_over_the_air = maker_for(mine.telephone, CARD)

    assert ask(house, stolen_over_the_air.authorization("card", 500))["39"] not in CODES[CARD].approvals
    assert mine.balance == (100_000, 0)


def test_the_lock_holds_on_both(house: House, wallet: Callable[..., Wallet]) -> None:
    mine = wallet()
    house.change_card(mine.card, locked=True)
    assert [code(house, mine.makers[name].authorization("card", 500)) for name in NETWORKS] == ["62", "104"]
    house.change_card(mine.card, locked=False)
    assert [code(house, mine.makers[name].authorization("card", 500)) for name in NETWORKS] == ["00", "000"]
    assert mine.balance == (100_000, 1_000)


def test_each_network_clears_what_came_over_it(house: House, wallet: Callable[..., Wallet]) -> None:
    """The same retrieval reference and amount on both: each file settles its own network's purchase."""
    mine = wallet()
    stages = {CARD: Stage(house, mine.card, mine.makers[CARD]), TAP: Stage(house, mine.telephone, mine.makers[TAP])}
    tapped = stages[TAP].maker.authorization("card", 4_000)
    alike = {"retrieval_reference": tapped.fields["37"]}
    bought = stages[CARD].maker.changed(stages[CARD].maker.authorization("card", 4_000), alike)
    for name, message in ((TAP, tapped), (CARD, bought)):
        stages[name].said["pay"] = message
        assert code(house, message) == says(name, Reason.APPROVED)
    assert mine.balance == (100_000, 8_000)

    trace = book(stages[TAP], present("pay", amount=3_000))
    assert trace[-1]["verdict"] == "matched"
    assert mine.balance == (97_000, 4_000), "the purchase by card stays open"
    book(stages[CARD], present("pay"))
    assert mine.balance == (93_000, 0)

    book(stages[CARD], charge_back("record"))
    assert mine.balance == (97_000, 0)
    foreign = book(stages[TAP], charge_back("record").telling(acquirer_reference=told_by(stages[CARD])))
    assert foreign[-1]["verdict"] == "in_doubt", "the other network's acquirer reference is not known here"
    assert mine.balance == (97_000, 0)
    assert [kind for kind, _ in house.journal(mine.card)] == [
        *("hold", "hold", "posting", "release", "posting", "chargeback"),
    ]
    assert house.concerns(mine.card) == ["no_such_record"]


def book(stage: Stage, record: InFile) -> Trace:
    """What became of a clearing record."""
    assert record.act is not None
    trace = record.act(stage)
    assert trace is not None
    return trace


def told_by(stage: Stage) -> str:
    return stage.records["record"].entry.acquirer_reference


# ── both at once


@pytest.mark.parametrize("seed", [8583, 1993])
def test_both_at_once_share_the_balance(house: House, wallet: Callable[..., Wallet], seed: int) -> None:
    """60 purchases of random amounts, more than there is: what was approved is what is held and posted, to the yen."""
    rng = random.Random(seed)
    mine = wallet(balance_minor=20_000)
    told = {
        name: [
            (maker.authorization if rng.random() < 0.6 else maker.purchase)("card", rng.randint(1, 1_500))
            for _ in range(30)
        ]
        for name, maker in mine.makers.items()
    }

    outcomes = rush(house, told)

    good = approved(outcomes)
    bad = [message for message, _ in outcomes if message not in good]
    assert {message.network for message in good} == set(NETWORKS) and bad
    assert {said for _, said in outcomes} == {"00", "51", "000", "116"}
    held = sum(message.amount_minor for message in good if message.fields["t"][1:] == "100")
    spent = sum(message.amount_minor for message in good if message.fields["t"][1:] == "200")
    assert mine.balance == (20_000 - spent, held)
    # What was left only ever became less, so it is less than anything that was declined.
    assert 0 <= 20_000 - spent - held < min(message.amount_minor for message in bad)
    assert house.faults() == []


def test_both_at_once_share_the_limits(house: House, wallet: Callable[..., Wallet]) -> None:
    """Three purchases a day: three of forty are approved, whichever network they came over."""
    mine = wallet("small_limits")
    outcomes = rush(
        house, {name: [maker.authorization("card", 100) for _ in range(20)] for name, maker in mine.makers.items()}
    )

    assert len(approved(outcomes)) == 3
    assert {said for message, said in outcomes if message not in approved(outcomes)} == {"65", "123"}
    assert house.journal(mine.card) == [("hold", 100)] * 3
    assert mine.balance == (100_000, 300)


def test_both_at_once_with_repeats_and_reversals(house: House, wallet: Callable[..., Wallet]) -> None:
    """Every message is sent twice, and half of what was approved is taken back while the other network spends."""
    mine = wallet(balance_minor=1_000_000)
    first = {name: [maker.authorization("card", 100 + i) for i in range(12)] for name, maker in mine.makers.items()}
    outcomes = rush(house, {name: [*messages, *map(as_repeat, messages)] for name, messages in first.items()})
    assert len(approved(outcomes)) == 48

    makers = mine.makers
    kept = {name: messages[::2] for name, messages in first.items()}
    undone = {name: [makers[name].reversal(message) for message in messages[1::2]] for name, messages in first.items()}
    more = {name: [makers[name].purchase("card", 1_000) for _ in range(6)] for name in NETWORKS}
    again = {name: [*undone[name], *map(as_repeat, undone[name]), *more[name]] for name in NETWORKS}
    for message, said in rush(house, again):
        codes = CODES[message.network]
        assert said in (codes.accepted if message.act.must_be_accepted else codes.approvals)

    held = sum(message.amount_minor for messages in kept.values() for message in messages)
    assert mine.balance == (1_000_000 - 12 * 1_000, held)
    kinds = [kind for kind, _ in house.journal(mine.card)]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"hold": 24, "release": 12, "posting": 12}
    assert house.concerns(mine.card) == []
    assert house.faults() == []
