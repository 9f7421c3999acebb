"""The scripts are sound, and a switch that answers otherwise is told so."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from simulators.cards import load_cards, strangers
from simulators.network import AcquirerNetwork, Endpoint, Habits
from simulators.scenarios import SCENARIOS, Scenario, Step
from simulators.stage import Played, additional_amounts, lacking, play
from switch.contracts.reason import Reason
from tests.simulators.responder import Fields, Responder, accepting, answer_to, dialect, maker

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


async def test_what_the_network_can_t_carry_is_skipped_and_says_why(nursery: trio.Nursery) -> None:
    name = "iso93_contactless"
    switch = Responder(accepting(name), name)
    await nursery.start(switch.run)
    endpoint = Endpoint(dialect(name), "127.0.0.1", switch.port)
    network = AcquirerNetwork([endpoint], load_cards(), habits=Habits(answer_timeout=2))
    await nursery.start(network.run)

    cash = await play(network, name, BY_NAME["cash"])
    web = await play(network, name, BY_NAME["purchase-online"])

    assert cash.skipped == {"cash_withdrawal", "atm"} and cash.passed
    assert web.skipped == {"ecommerce", "cvv2"}
    assert switch.received == [], "not even the balance is asked for"
    nursery.cancel_scope.cancel()


def test_a_network_of_1987_carries_every_scenario() -> None:
    assert [scenario.name for scenario in SCENARIOS if lacking(maker(), scenario)] == []


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(s.name for s in SCENARIOS).items() if count > 1] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scripts_refer_to_what_is_there(scenario: Scenario) -> None:
    labels: set[str] = set()
    cards = {**load_cards(), **strangers()}
    touched: set[str] = set()
    for step in scenario.steps:
        assert step.of == "" or step.of in labels, step
        assert (step.card in cards) != bool(step.of), step
        assert step.expect is not None or step.deaf or step.do == "prepare", step
        labels.add(step.label)
        touched |= {step.card} if step.card else set()
    assert set(scenario.moves) <= touched
    if any(step.expect is not None and step.expect.approves for step in scenario.steps):
        assert set(scenario.moves) == touched, "what is approved must be accounted for"


def test_every_decline_reason_has_a_scenario() -> None:
    played = {step.expect for scenario in SCENARIOS for step in scenario.steps}
    # What no network can cause by a message of its own, and fraud rules, which do not exist yet.
    elsewhere = {
        Reason.NOT_SIGNED_ON,
        Reason.UNAVAILABLE,
        Reason.DEADLINE_MISSED,
        Reason.SYSTEM_ERROR,
        Reason.FRAUD_SUSPECTED,
    }
    assert set(Reason) - elsewhere - played == set()


def balances(posted: int, held: int) -> str:
    return f"0001392C{posted:012d}0002392C{posted - held:012d}"


async def played(nursery: trio.Nursery, scenario: Scenario, codes: list[str], told: list[tuple[int, int]]) -> Played:
    """Plays against a switch that answers requests with ``codes`` and inquiries with ``told`` (posted, held)."""
    answers, inquiries = iter(codes), iter(told)

    def script(fields: Fields) -> Fields | None:
        if fields["3"].startswith("30") and fields["t"] == "0100":
            return answer_to(fields, "00", f54=balances(*next(inquiries)))
        return answer_to(fields, next(answers))

    switch = Responder(script)
    await nursery.start(switch.run)
    endpoint = Endpoint(dialect(), "127.0.0.1", switch.port)
    network = AcquirerNetwork([endpoint], load_cards(), habits=Habits(answer_timeout=2))
    await nursery.start(network.run)
    return await play(network, "iso87_ascii", scenario)


@pytest.mark.parametrize(
    ("name", "codes", "told", "complaints"),
    [
        ("purchase", ["00"], [(9_000, 100), (9_000, 1_300)], []),
        ("purchase", ["51"], [(9_000, 100), (9_000, 100)], ["expected 00 (approved), got 51", "our books", "DE54"]),
        ("purchase", ["00"], [(9_000, 100), (9_000, 2_500)], ["the switch's DE54 says (0, 2400)"]),
        ("reversal-first", ["00", "05"], [(5, 0), (5, 0)], []),
        ("reversal-first", ["00", "00"], [(5, 0), (5, 0)], ["expected 05 (reversed_earlier), got 00", "our books"]),
        ("reversal-late", ["00", "00"], [(5, 0), (5, 0)], []),
        ("key-reused", ["00", "94"], [(5, 0), (5, 100)], []),
        ("declined-lost", ["41"], [], []),
        ("declined-lost", ["43"], [], ["expected 41 (card_lost), got 43"]),
        ("inquiry", [], [(1_000_000, 0)] * 3, []),
        ("inquiry", [], [(1_000_000, 0), (1_000_001, 0), (1_000_000, 0)], ["our books say"]),
    ],
)
async def test_play(
    nursery: trio.Nursery, name: str, codes: list[str], told: list[tuple[int, int]], complaints: list[str]
) -> None:
    result = await played(nursery, BY_NAME[name], codes, told)
    assert len(result.problems) == len(complaints), result.problems
    for problem, complaint in zip(result.problems, complaints, strict=True):
        assert complaint in problem
    assert result.passed is (not complaints)
    nursery.cancel_scope.cancel()


async def test_a_partial_approval_must_name_its_amount(nursery: trio.Nursery) -> None:
    scenario = Scenario(
        name="partial",
        title="",
        steps=(Step(do="authorize", card="plain-low", amount=5_000, expect=Reason.APPROVED_PARTIALLY, approved=3_000),),
    )
    result = await played(nursery, scenario, ["10"], [])
    assert "approved 5000, expected 3000" in result.problems[0]
    nursery.cancel_scope.cancel()


def test_additional_amounts() -> None:
    assert additional_amounts("0001392C0000000010000002840D000000000005") == {"01": ("JPY", 1_000), "02": ("USD", -5)}
    assert additional_amounts("") == {}
