"""State × fault → end state. The table stands in the room's README; this test makes it, and the two must be the same."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from switch.funding.attempt import AttemptState, Cause
from switch.funding.event import PurchaseRefused
from tests.funding.world import BUDGET_SECONDS, Moods, World

README = Path(__file__).parents[2] / "switch" / "funding" / "README.md"
BEGIN, END = "<!-- ends: begin -->", "<!-- ends: end -->"


def requested(world: World) -> None:
    assert world.attempt.state is AttemptState.REQUESTED


def sent(world: World) -> None:
    world.wait(0)
    world.do()


def sent_taken(world: World) -> None:
    sent(world)
    world.arrive(again=True)
    world.answers.clear()  # on its way to us, and the call itself may come again


def unknown(world: World) -> None:
    sent(world)
    world.lose()
    world.hear()


def unknown_late(world: World) -> None:
    sent(world)
    world.delay()
    world.hear()


def unknown_taken(world: World) -> None:
    sent(world)
    world.arrive(0, Moods(answer_lost=True))
    world.hear()


def queried(world: World) -> None:
    unknown(world)
    world.wait(0)
    world.do()


def queried_taken(world: World) -> None:
    unknown_taken(world)
    world.wait(0)
    world.do()


def charged(world: World) -> None:
    sent(world)
    world.arrive()
    world.hear()


def void_requested(world: World) -> None:
    charged(world)
    world.tell(PurchaseRefused(Cause.CARD_CHANGED))
    world.to_do = world.to_do[-1:]
    world.do()


def booked_then_reversed(world: World) -> None:
    charged(world)
    world.do()
    world.undo()


def taken_back(world: World) -> None:
    booked_then_reversed(world)
    world.wait(0)
    world.do()
    world.do()


def taken_back_done(world: World) -> None:
    taken_back(world)
    world.arrive(0, Moods(answer_lost=True))


def void_requested_done(world: World) -> None:
    void_requested(world)
    world.arrive(0, Moods(answer_lost=True))


STATES: dict[str, tuple[AttemptState, Callable[[World], None]]] = {
    "requested": (AttemptState.REQUESTED, requested),
    "sent, not there yet": (AttemptState.SENT, sent),
    "sent, taken": (AttemptState.SENT, sent_taken),
    "unknown, never arrived": (AttemptState.UNKNOWN, unknown),
    "unknown, still on its way": (AttemptState.UNKNOWN, unknown_late),
    "unknown, taken": (AttemptState.UNKNOWN, unknown_taken),
    "queried, never arrived": (AttemptState.QUERIED, queried),
    "queried, taken": (AttemptState.QUERIED, queried_taken),
    "charged": (AttemptState.CHARGED, charged),
    "void requested": (AttemptState.VOID_REQUESTED, void_requested),
    "void requested, voided": (AttemptState.VOID_REQUESTED, void_requested_done),
    "booked, reversed": (AttemptState.BOOKED, booked_then_reversed),
    "reversed, void requested": (AttemptState.VOID_REQUESTED, taken_back),
    "reversed, voided": (AttemptState.VOID_REQUESTED, taken_back_done),
}


def nothing(world: World) -> None:
    world.settle()


def daemon_dies(world: World) -> None:
    world.die()
    world.settle()


def calls_are_lost(world: World) -> None:
    """All that is on its way, and all that is sent within the next seconds."""
    for _ in range(3):
        while world.to_do:
            world.do()
        while world.on_the_way:
            world.lose()
        while world.answers:
            world.hear()
        world.wait(0.3)
    world.settle()


def answers_come_twice(world: World) -> None:
    for _ in range(100):
        if world.answers:
            world.hear(again=True)
        if not world.go_on():
            due = world.attempt.due_at
            if due is None:
                return
            world.wait(max(0.0, (due - world.now).total_seconds()))


def budget_spent(world: World) -> None:
    world.wait(BUDGET_SECONDS)
    world.settle()


def reversed_meanwhile(world: World) -> None:
    world.refuses = Cause.REVERSED
    world.tell(PurchaseRefused(Cause.REVERSED))
    world.settle()


def locked_meanwhile(world: World) -> None:
    world.refuses = Cause.CARD_CHANGED
    world.settle()


def provider_declines(world: World) -> None:
    world.settle(Moods(decline=True))


def wrong_amount(world: World) -> None:
    world.settle(Moods(off_by=100))


def void_refused(world: World) -> None:
    world.refuses = Cause.CARD_CHANGED
    world.settle(Moods(refuse=True))


FAULTS: dict[str, Callable[[World], None]] = {
    "no fault": nothing,
    "daemon dies": daemon_dies,
    "calls are lost": calls_are_lost,
    "answers twice": answers_come_twice,
    "declined": provider_declines,
    "wrong amount": wrong_amount,
    "budget spent": budget_spent,
    "reversed meanwhile": reversed_meanwhile,
    "locked meanwhile": locked_meanwhile,
    "locked, void refused": void_refused,
}


def end(state: str, fault: str) -> str:
    world = World()
    expected, go_there = STATES[state]
    go_there(world)
    assert world.attempt.state is expected
    FAULTS[fault](world)
    world.check_end()
    return world.attempt.state.replace("_", " ")


def table() -> str:
    head = f"| state | {' | '.join(FAULTS)} |"
    rows = [f"| {state} | {' | '.join(end(state, fault) for fault in FAULTS)} |" for state in STATES]
    return "\n".join([head, "|---" * (len(FAULTS) + 1) + "|", *rows])


def test_the_table_in_the_readme_is_what_the_machine_does(capsys: pytest.CaptureFixture[str]) -> None:
    made = table()
    with capsys.disabled():
        sys.stdout.write(
            f"\nstate × fault → end state (the books of provider and issuer agree in every cell)\n{made}\n"
        )
    _, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    assert rest.partition(END)[0].strip() == made


@pytest.mark.parametrize("state", STATES)
def test_a_row_survives_storage_at_every_state(state: str) -> None:
    world = World()
    STATES[state][1](world)
    before = copy.deepcopy(world)
    assert before.attempt == world.attempt
    world.attempt.check_invariants()
