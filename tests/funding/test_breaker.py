"""The breaker as transcripts: a moment, what happens, what is let through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.contracts.funding import Charged, Declined, DeclineReason, Unavailable, Unknown
from switch.funding.breaker import Breaker, BreakerRules, BreakerState, admit, allows, answered, report

T0 = datetime(2026, 4, 1, tzinfo=UTC)
RULES = BreakerRules(failures_max=3, pause_first_seconds=1, pause_max_seconds=5, probe_seconds=10)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


class Line:
    """One provider's breaker over time."""

    def __init__(self) -> None:
        self.breaker = Breaker()

    def ask(self, seconds: float) -> int | None:
        assert allows(self.breaker, at(seconds)) is (admit(self.breaker, at(seconds), RULES).ticket is not None)
        self.breaker, ticket = admit(self.breaker, at(seconds), RULES)
        return ticket

    def tell(self, seconds: float, ticket: int, success: bool) -> BreakerState:
        self.breaker = report(self.breaker, ticket, success=success, now=at(seconds), rules=RULES)
        return self.breaker.state

    def call(self, seconds: float, success: bool) -> str:
        ticket = self.ask(seconds)
        return "refused" if ticket is None else str(self.tell(seconds, ticket, success))


def test_a_dead_provider_and_its_return() -> None:
    line = Line()
    story = [
        (0.0, False, "closed"),
        (0.1, False, "closed"),
        (0.2, False, "open"),
        (0.3, False, "refused"),
        (1.1, False, "refused"),
        (1.2, False, "open"),  # the probe failed: two seconds now
        (3.1, True, "refused"),
        (3.2, False, "open"),  # four
        (7.2, False, "open"),  # five, the longest
        (12.1, True, "refused"),
        (12.2, True, "closed"),
        (12.3, False, "closed"),  # it starts afresh
        (12.3, False, "closed"),
        (12.4, True, "closed"),
        (12.5, False, "closed"),
        (12.5, False, "closed"),
        (12.5, False, "open"),
        (13.5, False, "open"),  # and with the short pause
    ]
    assert [(seconds, success, line.call(seconds, success)) for seconds, success, _ in story] == story


def test_one_probe_at_a_time_and_a_lost_one_is_replaced() -> None:
    line = Line()
    for _ in range(3):
        line.call(0, False)
    probe = line.ask(1)
    assert probe is not None
    assert [line.ask(1), line.ask(10.9)] == [None, None]
    second = line.ask(11)
    assert second is not None
    assert line.tell(11.5, probe, True) is BreakerState.HALF_OPEN  # its time is over
    assert line.tell(11.6, second, True) is BreakerState.CLOSED


def test_calls_that_began_before_it_opened_say_nothing_any_more() -> None:
    line = Line()
    tickets = [line.ask(0) for _ in range(10)]
    assert None not in tickets
    states = [line.tell(0.5, ticket, False) for ticket in tickets if ticket is not None]
    assert [str(state) for state in states] == ["closed", "closed", *["open"] * 8]
    assert line.breaker.until == at(1.5)  # not moved by the seven that came after
    assert line.tell(0.6, tickets[0] or 0, True) is BreakerState.OPEN


def test_a_decline_is_an_answer() -> None:
    assert answered(Charged("r", 1, "JPY")) and answered(Declined(DeclineReason.REFUSED))
    assert not answered(Unknown("x")) and not answered(Unavailable("x"))


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(("ask", "ok", "fail")), st.integers(0, 3)), max_size=60))
def test_an_open_one_lets_nobody_through_and_any_closes_again(story: list[tuple[float, str, int]]) -> None:
    line, now, tickets = Line(), 0.0, [0]
    for pause, deed, pick in story:
        now += pause
        before = line.breaker
        if deed == "ask":
            ticket = line.ask(now)
            if before.state is not BreakerState.CLOSED and before.until is not None and at(now) < before.until:
                assert ticket is None
            tickets += [] if ticket is None else [ticket]
        else:
            line.tell(now, tickets[-1 - pick % len(tickets)], deed == "ok")
        assert (line.breaker.until is None) is (line.breaker.state is BreakerState.CLOSED)
    now += 1_000
    assert line.call(now, True) == "closed"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"failures_max": 0}, "failures_max: between 1"),
        ({"pause_first_seconds": float("nan")}, "pause_first_seconds"),
        ({"pause_first_seconds": 9.0, "pause_max_seconds": 8.0}, "pause_max_seconds: between 9.0"),
        ({"probe_seconds": 0}, "probe_seconds"),
    ],
)
def test_rules_are_checked(change: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        BreakerRules(**change)  # type: ignore[arg-type]  # wrong values on purpose
