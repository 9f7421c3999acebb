"""Days and where they end."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.audit.moments import end_of, parse_day, parse_moment, refuse_unfinished, span_of, zone_named
from switch.contracts.errors import SwitchError

TOKYO, BERLIN = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin")
MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("day", "zone", "last"),
    [
        (date(2026, 3, 31), TOKYO, "2026-03-31T14:59:59.999999+00:00"),
        (date(2026, 9, 30), TOKYO, "2026-09-30T14:59:59.999999+00:00"),
        (date(2025, 12, 31), TOKYO, "2025-12-31T14:59:59.999999+00:00"),
        (date(2025, 3, 29), BERLIN, "2025-03-29T22:59:59.999999+00:00"),
        (date(2025, 3, 30), BERLIN, "2025-03-30T21:59:59.999999+00:00"),
        (date(2025, 10, 26), BERLIN, "2025-10-26T22:59:59.999999+00:00"),
        # Midnight itself is skipped there: the day begins at one o'clock.
        (date(2025, 9, 6), ZoneInfo("America/Santiago"), "2025-09-07T03:59:59.999999+00:00"),
    ],
)
def test_a_day_ends_a_microsecond_before_the_next(day: date, zone: ZoneInfo, last: str) -> None:
    assert end_of(day, zone) == datetime.fromisoformat(last)
    assert end_of(day, zone).astimezone(zone).date() == day
    assert (end_of(day, zone) + MICROSECOND).astimezone(zone).date() == day + timedelta(days=1)


@pytest.mark.parametrize(("day", "hours"), [(date(2025, 3, 30), 23), (date(2025, 10, 26), 25), (date(2025, 6, 1), 24)])
def test_a_day_is_as_long_as_its_clocks_say(day: date, hours: int) -> None:
    opening, closing = span_of(day, day, BERLIN)
    assert closing - opening == timedelta(hours=hours)


@given(
    day=st.dates(date(1990, 1, 1), date(2037, 12, 30)),
    zone=st.sampled_from(["Asia/Tokyo", "Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe"]),
)
def test_days_follow_each_other_without_a_gap(day: date, zone: str) -> None:
    here = ZoneInfo(zone)
    today, tomorrow = span_of(day, day, here), span_of(day + timedelta(days=1), day + timedelta(days=1), here)
    assert today.closing == tomorrow.opening
    assert today.closing.tzinfo is UTC


def test_a_period_ends_after_it_begins() -> None:
    with pytest.raises(SwitchError, match="before it"):
        span_of(date(2026, 4, 1), date(2026, 3, 31), TOKYO)


def test_moments_as_people_write_them() -> None:
    assert parse_day("2026-03-31") == date(2026, 3, 31)
    assert parse_moment("2026-03-31") == date(2026, 3, 31)
    assert parse_moment("2026-03-31T12:00:00+09:00") == datetime(2026, 3, 31, 3, tzinfo=UTC)
    assert parse_moment("2026-03-31T12:00:00.5Z") == datetime(2026, 3, 31, 12, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("2026-02-30", "not a day"),
        ("yesterday", "not a day"),
        ("", "not a day"),
        ("9999-12-31", "not a day"),
        ("0001-01-01", "not a day"),
        ("2026-03-31T12:00:00", "offset"),
        ("2026-03-31T25:00:00Z", "no moment"),
        ("0001-01-01T00:00:00+14:00", "no moment"),
    ],
)
def test_what_is_neither_day_nor_moment_is_refused(text: str, word: str) -> None:
    with pytest.raises(SwitchError, match=word):
        parse_moment(text)


def test_an_unknown_zone_is_refused() -> None:
    assert zone_named("Asia/Tokyo") == TOKYO
    for name in ("Asia/Nowhere", "../etc/passwd", "", "Europe"):
        with pytest.raises(SwitchError, match="unknown"):
            zone_named(name)


def test_a_day_is_reported_once_all_that_belongs_to_it_is_committed() -> None:
    closing, settling = end_of(date(2026, 3, 31), TOKYO), timedelta(seconds=15)
    with pytest.raises(SwitchError, match="2026-04-01 00:00 JST"):
        refuse_unfinished(closing, TOKYO, closing + settling - MICROSECOND, settling)
    refuse_unfinished(closing, TOKYO, closing + settling, settling)
