"""The machine against everything that can happen around it, in any order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from switch.funding.action import BookPurchase
from switch.funding.attempt import Cause
from switch.funding.event import PurchaseRefused, Recover
from tests.funding.world import Moods, World

PICK = st.integers(0, 5)
MOODS = st.builds(
    Moods,
    decline=st.booleans(),
    off_by=st.sampled_from((0, 0, 0, 1, -1)),
    busy=st.booleans(),
    refuse=st.booleans(),
    answer_lost=st.booleans(),
)


class Funding(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize()
    def the_charge_is_due(self) -> None:
        self.world.wait(0)

    @rule(steps=st.integers(1, 4), moods=MOODS)
    def all_goes_on(self, steps: int, moods: Moods) -> None:
        """The usual next thing, a few times: without it most examples would get nowhere."""
        for _ in range(steps):
            self.world.go_on(moods)

    @precondition(lambda self: self.world.to_do)
    @rule(pick=PICK)
    def the_driver_does(self, pick: int) -> None:
        self.world.do(pick % len(self.world.to_do))

    @precondition(lambda self: any(isinstance(action, BookPurchase) for action in self.world.to_do))
    @rule()
    def the_driver_asks_the_issuer_twice(self) -> None:
        """A queue that was thought to have lost it."""
        found = [action for action in self.world.to_do if isinstance(action, BookPurchase)]
        self.world.to_do.append(found[0])

    @precondition(lambda self: self.world.on_the_way)
    @rule(pick=PICK, moods=MOODS, again=st.booleans())
    def a_call_arrives(self, pick: int, moods: Moods, again: bool) -> None:
        self.world.arrive(pick % len(self.world.on_the_way), moods, again=again)

    @precondition(lambda self: self.world.on_the_way)
    @rule(pick=PICK)
    def a_call_is_lost(self, pick: int) -> None:
        self.world.lose(pick % len(self.world.on_the_way))

    @precondition(lambda self: self.world.on_the_way)
    @rule(pick=PICK)
    def a_call_is_given_up_but_arrives_later(self, pick: int) -> None:
        self.world.delay(pick % len(self.world.on_the_way))

    @precondition(lambda self: any(not one.reached for one in self.world.on_the_way))
    @rule(pick=PICK)
    def there_is_no_connection(self, pick: int) -> None:
        fresh = [number for number, one in enumerate(self.world.on_the_way) if not one.reached]
        self.world.no_connection(fresh[pick % len(fresh)])

    @precondition(lambda self: self.world.answers)
    @rule(pick=PICK, again=st.booleans())
    def an_answer_comes(self, pick: int, again: bool) -> None:
        self.world.hear(pick % len(self.world.answers), again=again)

    @rule(seconds=st.sampled_from((0.0, 0.1, 0.1, 0.3, 0.3, 0.3, 0.5, 0.5, 3.0, 5.0, 90.0)))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule()
    def the_daemon_dies(self) -> None:
        self.world.die()

    @rule()
    def another_daemon_takes_over_while_this_one_lives(self) -> None:
        self.world.tell(Recover())

    @precondition(lambda self: len(self.world.states) > 2)
    @rule(cause=st.sampled_from((Cause.REVERSED, Cause.CARD_CHANGED, Cause.LIMIT_REACHED, Cause.STILL_SHORT)))
    def the_issuer_will_refuse(self, cause: Cause) -> None:
        self.world.refuses = cause

    @precondition(lambda self: len(self.world.states) > 2)
    @rule()
    def the_network_reverses(self) -> None:
        self.world.refuses = Cause.REVERSED
        self.world.tell(PurchaseRefused(Cause.REVERSED))

    @rule(spent=st.booleans())
    def the_network_reverses_what_was_approved(self, spent: bool) -> None:
        self.world.spent_elsewhere = spent
        self.world.undo()

    @invariant()
    def nothing_is_spent_that_is_not_there(self) -> None:
        self.world.check_always()

    def teardown(self) -> None:
        self.world.settle()
        self.world.check_end()


TestFunding = Funding.TestCase
TestFunding.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
