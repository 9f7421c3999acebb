"""How much, from where, or why not: one row a case."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.funding.breaker import Breaker, BreakerState
from switch.funding.policy import CardholderPolicy, NoPlan, Plan, Source, TopUpPolicy, TopUpUsage, WhyNot, plan

NOON = datetime(2026, 4, 1, 3, 0, tzinfo=UTC)  # noon in Tokyo
TODAY = date(2026, 4, 1)
CARD = Source(token="tok-card", provider="acme", currency="JPY")
BANK = Source(token="tok-bank", provider="bank", currency="JPY")
DOLLARS = Source(token="tok-usd", provider="acme", currency="USD")
AWAY = Breaker(state=BreakerState.OPEN, era=1, openings=1, until=NOON + timedelta(seconds=5))


def policy(**more: Any) -> TopUpPolicy:
    return TopUpPolicy(**{"currency": "JPY", **more})


def changed(source: Source, **more: Any) -> Source:
    return Source(token=source.token, provider=source.provider, currency=source.currency, **more)


ROWS: list[tuple[str, int, dict[str, Any], dict[str, Any], tuple[Source, ...], dict[str, Breaker], object]] = [
    # what, shortfall, policy, usage, sources, breakers, amount and source or why not
    ("exactly the shortfall", 1_250, {}, {}, (CARD, BANK), {}, (1_250, "tok-card")),
    ("one yen", 1, {}, {}, (CARD,), {}, (1, "tok-card")),
    ("not short", 0, {}, {}, (CARD,), {}, WhyNot.NOT_SHORT),
    ("not enabled", 1_250, {"enabled": False}, {}, (CARD,), {}, WhyNot.NOT_ENABLED),
    ("the minimum", 1_250, {"minimum_minor": 3_000}, {}, (CARD,), {}, (3_000, "tok-card")),
    ("the next step", 1_250, {"step_minor": 500}, {}, (CARD,), {}, (1_500, "tok-card")),
    ("on the step", 1_500, {"step_minor": 500}, {}, (CARD,), {}, (1_500, "tok-card")),
    ("minimum, then step", 10, {"minimum_minor": 700, "step_minor": 500}, {}, (CARD,), {}, (1_000, "tok-card")),
    ("at the cap of one", 1_250, {"top_up_max_minor": 1_250}, {}, (CARD,), {}, (1_250, "tok-card")),
    ("over it", 1_251, {"top_up_max_minor": 1_250}, {}, (CARD,), {}, WhyNot.OVER_TOP_UP_CAP),
    ("over it by the step", 1_250, {"top_up_max_minor": 1_400, "step_minor": 500}, {}, (CARD,), {}, WhyNot.OVER_TOP_UP_CAP),
    ("rounded up to more than a charge can be", 999_999_999_999, {"step_minor": 500}, {}, (CARD,), {}, WhyNot.OVER_TOP_UP_CAP),
    ("at the daily cap", 250, {"daily_max_minor": 1_000}, {"day_minor": 750}, (CARD,), {}, (250, "tok-card")),
    ("over the daily cap", 251, {"daily_max_minor": 1_000}, {"day_minor": 750}, (CARD,), {}, WhyNot.OVER_DAILY_CAP),
    ("yesterday's does not count", 251, {"daily_max_minor": 1_000}, {"day_minor": 750, "day": date(2026, 3, 31)}, (CARD,), {}, (251, "tok-card")),
    ("a clock behind opens no cap", 251, {"daily_max_minor": 1_000}, {"day_minor": 750, "day": date(2026, 4, 2)}, (CARD,), {}, WhyNot.OVER_DAILY_CAP),
    ("the last of the day", 1, {"daily_count_max": 3}, {"day_count": 2}, (CARD,), {}, (1, "tok-card")),
    ("one too many", 1, {"daily_count_max": 3}, {"day_count": 3}, (CARD,), {}, WhyNot.OVER_DAILY_COUNT),
    ("over the monthly cap", 1, {"monthly_max_minor": 9}, {"month_minor": 9}, (CARD,), {}, WhyNot.OVER_MONTHLY_CAP),
    ("last month's does not count", 1, {"monthly_max_minor": 9}, {"month_minor": 9, "day": date(2026, 3, 31)}, (CARD,), {}, (1, "tok-card")),
    ("this month's does", 1, {"monthly_max_minor": 9, "time_zone": "Pacific/Kiritimati"}, {"month_minor": 9}, (CARD,), {}, WhyNot.OVER_MONTHLY_CAP),
    ("none registered", 1, {}, {}, (), {}, WhyNot.NO_SOURCE),
    ("none in the currency", 1, {}, {}, (DOLLARS,), {}, WhyNot.NO_SOURCE),
    ("the first in the currency", 1, {}, {}, (DOLLARS, BANK), {}, (1, "tok-bank")),
    ("the first is blocked", 1, {}, {}, (changed(CARD, blocked=True), BANK), {}, (1, "tok-bank")),
    ("the first declined too often", 1, {}, {}, (changed(CARD, declines=3), BANK), {}, (1, "tok-bank")),
    ("not often enough to be left out", 1, {}, {}, (changed(CARD, declines=2), BANK), {}, (1, "tok-card")),
    ("all blocked", 1, {}, {}, (changed(CARD, blocked=True), changed(BANK, declines=9)), {}, WhyNot.SOURCES_BLOCKED),
    ("the first's provider is away", 1, {}, {}, (CARD, BANK), {"acme": AWAY}, (1, "tok-bank")),
    ("all providers are", 1, {}, {}, (CARD, BANK), {"acme": AWAY, "bank": AWAY}, WhyNot.PROVIDERS_AWAY),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_plans(row: tuple[Any, ...]) -> None:
    _, shortfall, rules, used, sources, breakers, expected = row
    usage = TopUpUsage(**{"day": TODAY, **used})
    made = plan(shortfall, policy(**rules), usage, sources, breakers, NOON)
    assert (made.reason if isinstance(made, NoPlan) else (made.amount_minor, made.source.token)) == expected


def test_the_day_begins_in_the_programs_zone() -> None:
    used = TopUpUsage(day=date(2026, 3, 31), day_minor=1_000, month_minor=1_000)
    rules = policy(daily_max_minor=1_000)
    before, after = (datetime(2026, 3, 31, 14, 59, 59, tzinfo=UTC), datetime(2026, 3, 31, 15, 0, tzinfo=UTC))
    assert plan(1, rules, used, (CARD,), {}, before) == NoPlan(WhyNot.OVER_DAILY_CAP, "1001 > 1000")
    assert isinstance(plan(1, rules, used, (CARD,), {}, after), Plan)


def test_a_provider_whose_pause_is_over_is_asked() -> None:
    made = plan(1, policy(), TopUpUsage(day=TODAY), (CARD,), {"acme": AWAY}, NOON + timedelta(seconds=5))
    assert isinstance(made, Plan)


def test_a_cardholder_can_be_stricter_not_looser() -> None:
    program = policy(minimum_minor=500, step_minor=100, daily_max_minor=5_000, monthly_max_minor=None)
    own = CardholderPolicy(minimum_minor=300, step_minor=250, daily_max_minor=9_000, monthly_max_minor=20_000)
    assert program.narrowed(own) == policy(
        minimum_minor=500, step_minor=500, daily_max_minor=5_000, monthly_max_minor=20_000
    )
    assert not program.narrowed(CardholderPolicy(enabled=False)).enabled
    assert program.narrowed(CardholderPolicy()) == program


CAPS = st.none() | st.integers(0, 5_000)
POLICIES = st.builds(
    TopUpPolicy,
    currency=st.just("JPY"),
    minimum_minor=st.integers(1, 2_000),
    step_minor=st.integers(1, 700),
    top_up_max_minor=CAPS,
    daily_max_minor=CAPS,
    daily_count_max=st.none() | st.integers(0, 5),
    monthly_max_minor=CAPS,
)
OWN = st.builds(
    CardholderPolicy, minimum_minor=st.integers(1, 2_000), step_minor=st.integers(1, 700), daily_max_minor=CAPS
)
USAGES = st.builds(
    TopUpUsage,
    day=st.just(TODAY),
    day_minor=st.integers(0, 3_000),
    day_count=st.integers(0, 5),
    month_minor=st.integers(0, 3_000),
)


@given(st.integers(-10, 4_000), POLICIES, OWN, USAGES)
def test_a_plan_covers_the_shortfall_and_breaks_no_cap(
    shortfall: int, rules: TopUpPolicy, own: CardholderPolicy, usage: TopUpUsage
) -> None:
    made = plan(shortfall, rules.narrowed(own), usage, (CARD,), {}, NOON)
    if isinstance(made, NoPlan):
        return
    assert made.amount_minor >= shortfall > 0
    assert made.amount_minor % rules.step_minor == 0 and made.amount_minor % own.step_minor == 0
    for most, value in (
        (rules.top_up_max_minor, made.amount_minor),
        (rules.daily_max_minor, usage.day_minor + made.amount_minor),
        (own.daily_max_minor, usage.day_minor + made.amount_minor),
        (rules.monthly_max_minor, usage.month_minor + made.amount_minor),
        (rules.daily_count_max, usage.day_count + 1),
    ):
        assert most is None or value <= most
    assert isinstance(plan(shortfall, rules, usage, (CARD,), {}, NOON), Plan), (
        "the cardholder's rules loosened something"
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"minimum_minor": 0}, "minimum_minor: at least 1"),
        ({"step_minor": 0}, "step_minor: at least 1"),
        ({"daily_max_minor": -1}, "daily_max_minor: at least 0"),
        ({"currency": "YEN"}, "currency"),
        ({"time_zone": "Mars/Olympus"}, "time_zone: 'Mars/Olympus' is unknown"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"declines_max": 0}, "declines_max"),
    ],
)
def test_policies_are_checked(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        policy(**change)
