"""Days and the moments at which they end.

A day is a calendar day in a zone: 23 or 25 hours long where clocks change. It ends a microsecond before the next
one begins (PostgreSQL keeps microseconds), so that "at or before" holds for every moment alike: an entry of
00:00:00 belongs to the day that begins.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from switch.contracts.errors import SwitchError

__all__ = ["Span", "end_of", "parse_day", "parse_moment", "refuse_unfinished", "span_of", "zone_named"]

_MICROSECOND = timedelta(microseconds=1)


class Span(NamedTuple):
    """What came after ``opening``, up to and including ``closing``. Both UTC."""

    opening: datetime
    closing: datetime


def end_of(day: date, zone: ZoneInfo) -> datetime:
    """The last moment of ``day`` in ``zone``, in UTC."""
    following = day + timedelta(days=1)
    midnight = datetime(following.year, following.month, following.day, tzinfo=zone)
    # Through UTC: arithmetic within one zone would ignore that its clocks change.
    return midnight.astimezone(UTC) - _MICROSECOND


def span_of(first: date, last: date, zone: ZoneInfo) -> Span:
    """From the beginning of ``first`` to the end of ``last``. Raises SwitchError when they are the wrong way
    round.
    """
    if first > last:
        raise SwitchError(f"the period begins on {first} and ends on {last}, before it")
    return Span(end_of(first - timedelta(days=1), zone), end_of(last, zone))


def parse_day(text: str) -> date:
    """``2026-03-31``. Raises SwitchError."""
    try:
        day = date.fromisoformat(text)
        _ = day - timedelta(days=1), day + timedelta(days=1)
    except (ValueError, OverflowError) as exc:
        raise SwitchError(f"{text!r} is not a day: write it as 2026-03-31") from exc
    return day


def parse_moment(text: str) -> date | datetime:
    """A day, or a moment with its offset from UTC (``2026-03-31T23:59:59+09:00``). Raises SwitchError."""
    if len(text) <= len("2026-03-31"):
        return parse_day(text)
    try:
        moment = datetime.fromisoformat(text)
        in_utc = None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise SwitchError(
            f"{text!r} is no moment: write 2026-03-31T12:00:00+09:00, or a day (its end is meant)"
        ) from exc
    if in_utc is None:
        raise SwitchError(f"{text!r} lacks its offset from UTC: write {text}+09:00, or {text}Z")
    return in_utc


def zone_named(name: str) -> ZoneInfo:
    """Raises SwitchError where the time zone database has no such zone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise SwitchError(f"time zone {name!r} is unknown") from exc


def refuse_unfinished(closing: datetime, zone: ZoneInfo, now: datetime, settling: timedelta) -> None:
    """Raises SwitchError while something that belongs before ``closing`` may still be booked.

    ``settling`` is how long a unit of work may take: what it decided before midnight may be committed after.
    """
    if now < closing + settling:
        when = (closing + _MICROSECOND).astimezone(zone)
        raise SwitchError(
            f"the day ends at {when:%Y-%m-%d %H:%M %Z} and its figures are final {settling.total_seconds():g} s later"
        )
