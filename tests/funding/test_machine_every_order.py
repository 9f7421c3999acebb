"""Every order of a few happenings, not a sample: from each moment that can be reached the end is right.

Hypothesis finds long stories (``test_machine_model``); this finds each short one.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from datetime import timedelta

from switch.funding.attempt import AttemptState, Cause, PurchaseState
from switch.funding.event import PurchaseRefused, Recover
from tests.funding.world import Moods, World

DEPTH, MOMENTS = (6, 5_000) if os.environ.get("CI") else (5, 1_500)

Happening = Callable[[World], None]

MOODS = (
    Moods(),
    Moods(answer_lost=True),
    Moods(decline=True),
    Moods(off_by=1),
    Moods(busy=True),
    Moods(refuse=True),
    Moods(refuse=True, answer_lost=True),
)


def happenings(world: World) -> Iterator[Happening]:
    """What may happen next."""
    for number in range(len(world.to_do)):
        yield lambda w, n=number: w.do(n)
    for number, passing in enumerate(world.on_the_way):
        for moods in MOODS:
            yield lambda w, n=number, m=moods: w.arrive(n, m)
        yield lambda w, n=number: w.arrive(n, again=True)
        yield lambda w, n=number: w.lose(n)
        if not passing.reached:
            yield lambda w, n=number: w.delay(n)
            yield lambda w, n=number: w.no_connection(n)
    for number in range(len(world.answers)):
        yield lambda w, n=number: w.hear(n)
        yield lambda w, n=number: w.hear(n, again=True)
    due = world.attempt.due_at
    if due is not None:
        yield lambda w, s=(due - world.now) / timedelta(seconds=1): w.wait(max(0.0, s))
    if world.attempt.waiting:
        yield lambda w, s=(world.attempt.budget_until - world.now) / timedelta(seconds=1): w.wait(max(0.0, s))
    if not world.attempt.ended:
        yield lambda w: w.die()
        yield lambda w: w.tell(Recover())
    if world.refuses is None:
        yield reverse
        yield lock
    if world.attempt.purchase is PurchaseState.APPROVED:
        yield lambda w: w.undo()


def reverse(world: World) -> None:
    world.refuses = Cause.REVERSED
    world.tell(PurchaseRefused(Cause.REVERSED))


def lock(world: World) -> None:
    world.refuses = Cause.CARD_CHANGED


def test_every_short_story_ends_well() -> None:
    start = World()
    start.wait(0)  # the charge is due
    seen, moments = set(), [start]
    ends: set[AttemptState] = set()
    for _ in range(DEPTH):
        later = []
        for world in moments:
            for happening in happenings(world):
                after = copy.deepcopy(world)
                happening(after)
                after.check_always()
                mark = after.fingerprint()
                if mark not in seen:
                    seen.add(mark)
                    later.append(after)
                    ends.add(end_of(after))
        moments = later
    assert ends == {
        AttemptState.BOOKED,
        AttemptState.DECLINED,
        AttemptState.NOT_CHARGED,
        AttemptState.VOIDED,
        AttemptState.CREDITED,
    }
    assert len(seen) > MOMENTS


def end_of(world: World) -> AttemptState:
    last = copy.deepcopy(world)
    last.settle()
    last.check_end()
    return last.attempt.state
