"""The counters of spending: periods that pass, a clock that goes back, and what a reversal gives back."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.issuer.usage import Usage

DAY = date(2026, 6, 15)
FULL = Usage(7, DAY, 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("today", "day", "counters"),
    [
        (date(2026, 6, 15), date(2026, 6, 15), (1, 2, 3, 4, 5, 6)),
        (date(2026, 6, 16), date(2026, 6, 16), (0, 0, 3, 4, 5, 6)),
        (date(2026, 6, 30), date(2026, 6, 30), (0, 0, 3, 4, 5, 6)),
        (date(2026, 7, 1), date(2026, 7, 1), (0, 0, 0, 0, 5, 6)),
        (date(2027, 6, 15), date(2027, 6, 15), (0, 0, 0, 0, 5, 6)),  # the same month of another year
        (date(2026, 6, 14), date(2026, 6, 15), (1, 2, 3, 4, 5, 6)),  # the clock went back
        (date(2025, 12, 31), date(2026, 6, 15), (1, 2, 3, 4, 5, 6)),
    ],
)
def test_counters_of_passed_periods_are_empty(today: date, day: date, counters: tuple[int, ...]) -> None:
    assert FULL.on(today) == Usage(7, day, *counters)


@pytest.mark.parametrize(
    ("today", "counters"),
    [
        (date(2026, 6, 15), (11, 3, 13, 5, 15, 7)),
        (date(2026, 6, 16), (10, 1, 13, 5, 15, 7)),
        (date(2026, 7, 1), (10, 1, 10, 1, 15, 7)),
        (date(2026, 6, 1), (11, 3, 13, 5, 15, 7)),  # a clock that went back counts on the later day
    ],
)
def test_spending(today: date, counters: tuple[int, ...]) -> None:
    assert FULL.spent(10, 1, today) == Usage(7, max(today, DAY), *counters)


@pytest.mark.parametrize(
    ("spent_on", "today", "counters"),
    [
        (DAY, DAY, (90, 9, 190, 19, 290, 29)),
        (DAY - timedelta(1), DAY, (100, 10, 190, 19, 290, 29)),  # yesterday's limit does not run any more
        (date(2026, 5, 31), DAY, (100, 10, 200, 20, 290, 29)),  # nor last month's
        (DAY, DAY + timedelta(1), (0, 0, 190, 19, 290, 29)),
        (DAY, date(2026, 7, 1), (0, 0, 0, 0, 290, 29)),
        (date(2025, 6, 15), DAY, (100, 10, 200, 20, 290, 29)),
    ],
)
def test_a_reversal_gives_back_to_periods_that_still_run(
    spent_on: date, today: date, counters: tuple[int, ...]
) -> None:
    usage = Usage(7, DAY, 100, 10, 200, 20, 300, 30)
    assert usage.given_back(10, 1, spent_on, today) == Usage(7, max(today, DAY), *counters)


days = st.dates(date(2025, 12, 1), date(2026, 3, 1))
amounts = st.integers(0, 10**9)
counts = st.integers(0, 3)
steps = st.lists(st.tuples(st.booleans(), amounts, counts, days, days), max_size=12)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counters as spending makes them: a day is part of its month, a month of the life."""
    usage = Usage(7, draw(days))
    for _ in range(draw(st.integers(0, 4))):
        usage = usage.spent(draw(amounts), draw(counts), draw(days))
    return usage


@given(usages(), steps)
def test_no_counter_is_ever_negative_and_days_never_go_back(
    usage: Usage, steps: list[tuple[bool, int, int, date, date]]
) -> None:
    for spends, amount, count, spent_on, today in steps:
        before = usage
        usage = usage.spent(amount, count, today) if spends else usage.given_back(amount, count, spent_on, today)
        assert usage.day == max(before.day, today)
        counters = msgspec.structs.astuple(usage)[2:]
        assert min(counters) >= 0
        assert usage.card_id == 7


@given(usages(), amounts, counts, days)
def test_given_back_on_the_same_day_undoes_spent(usage: Usage, amount: int, count: int, today: date) -> None:
    spent = usage.spent(amount, count, today)
    assert spent.given_back(amount, count, spent.day, today) == usage.on(today)


@given(usages(), days)
def test_looking_twice_is_looking_once(usage: Usage, today: date) -> None:
    assert usage.on(today).on(today) == usage.on(today)


@given(usages(), amounts, days, days)
def test_only_time_and_reversals_lower_a_counter(usage: Usage, amount: int, today: date, later: date) -> None:
    spent = usage.spent(amount, 1, today)
    assert spent.lifetime_minor == usage.lifetime_minor + amount
    assert spent.day_minor >= amount and spent.month_minor >= spent.day_minor
    assert spent.on(later).lifetime_count == usage.lifetime_count + 1
