"""How much a card has spent in the running day, the running month and its whole life.

A counter belongs to a period in the program's time zone. When the period has passed the counter is empty, so nothing
has to run at midnight. A reversal gives back only to periods that still run.
"""

from __future__ import annotations

from datetime import date

import msgspec

__all__ = ["Usage"]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Amounts in minor units of the account's currency, counts in approved purchases."""

    card_id: int
    day: date
    day_minor: int = 0
    day_count: int = 0
    month_minor: int = 0
    month_count: int = 0
    lifetime_minor: int = 0
    lifetime_count: int = 0

    def on(self, today: date) -> Usage:
        """The same usage with the counters of passed periods emptied.

        A ``today`` before the stored day (another daemon's clock is ahead, or the clock went back) keeps the later
        day: a limit must not open because of a clock.
        """
        if today <= self.day:
            return self
        same_month = (today.year, today.month) == (self.day.year, self.day.month)
        return Usage(
            card_id=self.card_id,
            day=today,
            day_minor=0,
            day_count=0,
            month_minor=self.month_minor if same_month else 0,
            month_count=self.month_count if same_month else 0,
            lifetime_minor=self.lifetime_minor,
            lifetime_count=self.lifetime_count,
        )

    def spent(self, amount_minor: int, count: int, today: date) -> Usage:
        """After ``count`` approved purchases of ``amount_minor`` in all."""
        current = self.on(today)
        return Usage(
            card_id=self.card_id,
            day=current.day,
            day_minor=current.day_minor + amount_minor,
            day_count=current.day_count + count,
            month_minor=current.month_minor + amount_minor,
            month_count=current.month_count + count,
            lifetime_minor=current.lifetime_minor + amount_minor,
            lifetime_count=current.lifetime_count + count,
        )

    def given_back(self, amount_minor: int, count: int, spent_on: date, today: date) -> Usage:
        """After a reversal of what was spent on the day ``spent_on``. No counter falls below zero."""
        current = self.on(today)
        same_day = spent_on == current.day
        same_month = (spent_on.year, spent_on.month) == (current.day.year, current.day.month)
        return Usage(
            card_id=self.card_id,
            day=current.day,
            day_minor=max(0, current.day_minor - amount_minor) if same_day else current.day_minor,
            day_count=max(0, current.day_count - count) if same_day else current.day_count,
            month_minor=max(0, current.month_minor - amount_minor) if same_month else current.month_minor,
            month_count=max(0, current.month_count - count) if same_month else current.month_count,
            lifetime_minor=max(0, current.lifetime_minor - amount_minor),
            lifetime_count=max(0, current.lifetime_count - count),
        )
