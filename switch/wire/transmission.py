"""Times of a message: transmission (DE7, MMDDhhmmss in GMT, without a year) and local date and time in one field."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from switch.wire.errors import FieldProblem

__all__ = ["infer_transmitted_at", "local_text", "transmission_text"]

# Half a year: a DE7 further off than this belongs to the neighbouring year.
_SECONDS_MAX = 183 * 86_400


def infer_transmitted_at(text: str, received_at: datetime, field: str = "7") -> datetime:
    """The instant that ``text`` (ten digits of ``field``) names, in the year that puts it nearest to ``received_at``.

    Around New Year that is last year or next year. Raises :class:`FieldProblem` for what is no date and time, such as
    month 13, or 29 February with no leap year within half a year.
    """
    month, day = int(text[:2]), int(text[2:4])
    hour, minute, second = int(text[4:6]), int(text[6:8]), int(text[8:10])
    this_year = received_at.year
    for year in (this_year, this_year - 1, this_year + 1):
        try:
            candidate = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            # It may still be the 29 February of a neighbouring leap year.
            continue
        if abs((candidate - received_at).total_seconds()) <= _SECONDS_MAX:
            return candidate
    raise FieldProblem(field, needed="a date and time MMDDhhmmss", found=repr(text))


def transmission_text(moment: datetime) -> str:
    """``moment`` as DE7."""
    return moment.astimezone(UTC).strftime("%m%d%H%M%S")


def local_text(moment: datetime, zone: ZoneInfo) -> str:
    """``moment`` as YYMMDDhhmmss on the clocks of ``zone``."""
    return moment.astimezone(zone).strftime("%y%m%d%H%M%S")
