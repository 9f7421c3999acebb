"""When a person may say that the money of a charge is kept."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest

from switch.contracts.funding import Unknown, VoidRefusal, VoidRefused
from switch.funding.attempt import Attempt, AttemptState, Cause
from switch.funding.by_hand import why_not_kept
from switch.funding.event import Recover, Tick, VoidAnswered
from switch.funding.machine import step
from tests.funding.test_ends import STATES
from tests.funding.world import PACE, World


def standing(name: str) -> Attempt:
    world = World()
    STATES[name][1](world)
    return world.attempt


def voiding() -> Attempt:
    return standing("void requested")


def unanswered() -> Attempt:
    attempt = voiding()
    return step(attempt, VoidAnswered(attempt.calls, Unknown("silence")), attempt.moved_at, PACE).attempt


def again() -> Attempt:
    attempt = unanswered()
    assert attempt.wake_at is not None
    return step(attempt, Tick(), attempt.wake_at, PACE).attempt


def recovered() -> Attempt:
    attempt = unanswered()
    return step(attempt, Recover(), attempt.moved_at, PACE).attempt


def denied() -> Attempt:
    attempt = voiding()
    refused = VoidAnswered(attempt.calls, VoidRefused(VoidRefusal.NO_SUCH_CHARGE))
    return step(attempt, refused, attempt.moved_at, PACE).attempt


UNDER_WAY = {"first": voiding, "again": again, "recovered": recovered}
IN_DOUBT = {"unanswered": unanswered, "denied": denied}


def due(attempt: Attempt) -> datetime:
    assert attempt.wake_at is not None
    return attempt.wake_at


@pytest.mark.parametrize("forced", [True, False])
@pytest.mark.parametrize("which", UNDER_WAY)
def test_nobody_overrules_a_void_that_is_under_way(which: str, forced: bool) -> None:
    attempt = UNDER_WAY[which]()
    assert attempt.cause is not Cause.NO_ANSWER
    for now in (attempt.moved_at, due(attempt) - timedelta(microseconds=1)):
        assert "under way" in why_not_kept(attempt, now, forced=forced)


@pytest.mark.parametrize("which", UNDER_WAY | IN_DOUBT)
def test_a_void_in_doubt_takes_more_than_a_word(which: str) -> None:
    attempt = (UNDER_WAY | IN_DOUBT)[which]()
    assert "may have been carried out" in why_not_kept(attempt, due(attempt), forced=False)
    assert why_not_kept(attempt, due(attempt), forced=True) == ""


def test_how_often_it_was_asked_is_told() -> None:
    assert "(once)" in why_not_kept(unanswered(), unanswered().moved_at, forced=False)
    twice = msgspec.structs.replace(unanswered(), tries=2)
    assert "(2 times)" in why_not_kept(twice, twice.moved_at, forced=False)


@pytest.mark.parametrize(
    "name", [name for name, (state, _) in STATES.items() if state is not AttemptState.VOID_REQUESTED]
)
def test_other_states_are_the_machines_to_refuse(name: str) -> None:
    attempt = standing(name)
    assert why_not_kept(attempt, attempt.moved_at, forced=False) == ""
