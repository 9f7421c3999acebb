"""Limits at midnight in the program's zone, against a real PostgreSQL: a clock that is set, and what a row of the day says.

What comes back after midnight is given back to the day of the purchase, not to today; what is presented late counts today.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.message import Kind, Request
from switch.contracts.reason import Reason
from tests.issuer.support import a_program
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database

Said = dict[str, Request]
Make = Callable[[Counter, Client, Said], Request | None]


@dataclass(frozen=True)
class At:
    """One step: the moment on the program's clock, what happens, how it is decided, and the counters after it."""

    moment: str
    make: Make
    reason: Reason | None
    day: int
    month: int
    lifetime: int


@dataclass(frozen=True)
class Days:
    """A story on a clock. The limits: 10,000 a day, 15,000 a month, 20,000 in the card's life."""

    name: str
    zone: str
    rows: tuple[At, ...]


def authorize(label: str, amount: int) -> Make:
    def make(counter: Counter, client: Client, said: Said) -> Request:
        said[label] = counter.request(client, Kind.AUTHORIZATION, amount)
        return said[label]

    return make


def reverse(label: str) -> Make:
    return lambda counter, client, said: counter.undo(client, said[label])


def present(label: str) -> Make:
    def make(counter: Counter, client: Client, said: Said) -> Request:
        first = said[label]
        clearing = Clearing(kind=ClearingKind.PRESENTMENT, file_id=f"late {first.stan}", record=1)
        return counter.request(
            client,
            Kind.PRESENTMENT,
            first.amount_minor,
            retrieval_reference=first.retrieval_reference,
            clearing=clearing,
        )

    return make


def sweep(_counter: Counter, _client: Client, _said: Said) -> None:
    """The deadlines are looked at."""


OVER, YES = Reason.OVER_AMOUNT_LIMIT, Reason.APPROVED

# fmt: off
STORIES = (
    Days("the day ends at midnight in Tokyo", "Asia/Tokyo", (
        #  the program's clock     what happens               decided                     day   month  lifetime
        At("2029-05-10 09:00:00", authorize("one", 10_000),   YES,                     10_000, 10_000, 10_000),
        At("2029-05-10 23:59:59", authorize("over", 1),       OVER,                    10_000, 10_000, 10_000),
        At("2029-05-11 00:00:00", authorize("two", 5_000),    YES,                      5_000, 15_000, 15_000),
        At("2029-05-11 00:00:01", authorize("over", 1),       OVER,                     5_000, 15_000, 15_000),
    )),

    Days("the month ends at midnight in Tokyo, when it is still the last day of it in London", "Asia/Tokyo", (
        At("2029-05-30 12:00:00", authorize("one", 10_000),   YES,                     10_000, 10_000, 10_000),
        At("2029-05-31 12:00:00", authorize("two", 5_000),    YES,                      5_000, 15_000, 15_000),
        At("2029-05-31 23:59:59", authorize("over", 1),       OVER,                     5_000, 15_000, 15_000),
        At("2029-06-01 00:00:00", authorize("three", 5_000),  YES,                      5_000,  5_000, 20_000),
        At("2029-06-02 00:00:00", authorize("over", 1),       OVER,                     5_000,  5_000, 20_000),
    )),

    Days("New Year in New York", "America/New_York", (
        At("2028-12-31 23:59:59", authorize("one", 10_000),   YES,                     10_000, 10_000, 10_000),
        At("2029-01-01 00:00:00", authorize("two", 10_000),   YES,                     10_000, 10_000, 20_000),
    )),

    Days("a reversal on the same day gives back to the day", "Asia/Tokyo", (
        At("2029-05-10 12:00:00", authorize("one", 10_000),   YES,                     10_000, 10_000, 10_000),
        At("2029-05-10 23:59:59", reverse("one"),             Reason.REVERSAL_ACCEPTED,     0,      0,      0),
        At("2029-05-10 23:59:59", authorize("two", 10_000),   YES,                     10_000, 10_000, 10_000),
    )),

    Days("a reversal after midnight gives nothing back to the new day", "Asia/Tokyo", (
        At("2029-05-10 12:00:00", authorize("one", 10_000),   YES,                     10_000, 10_000, 10_000),
        At("2029-05-11 00:00:00", authorize("two", 4_000),    YES,                      4_000, 14_000, 14_000),
        At("2029-05-11 00:00:01", reverse("one"),             Reason.REVERSAL_ACCEPTED, 4_000,  4_000,  4_000),
        At("2029-05-11 00:00:02", authorize("over", 6_001),   OVER,                     4_000,  4_000,  4_000),
        At("2029-05-11 00:00:03", authorize("three", 6_000),  YES,                     10_000, 10_000, 10_000),
    )),

    Days("a reversal after the month gives back to the card's life alone", "Asia/Tokyo", (
        At("2029-05-31 12:00:00", authorize("one", 10_000),   YES,                     10_000, 10_000, 10_000),
        At("2029-06-01 00:00:00", authorize("two", 4_000),    YES,                      4_000,  4_000, 14_000),
        At("2029-06-01 00:00:01", reverse("one"),             Reason.REVERSAL_ACCEPTED, 4_000,  4_000,  4_000),
    )),

    Days("a week later it expires, which gives back to month and life; presented late, it counts today", "Asia/Tokyo", (
        At("2029-05-10 12:00:00", authorize("one", 10_000),   YES,                     10_000, 10_000, 10_000),
        At("2029-05-17 11:59:59", sweep,                      None,                    10_000, 10_000, 10_000),
        At("2029-05-17 12:00:00", sweep,                      None,                         0,      0,      0),
        At("2029-05-18 09:00:00", authorize("two", 6_000),    YES,                      6_000,  6_000,  6_000),
        At("2029-05-18 10:00:00", present("one"),             Reason.ADVICE_ACCEPTED,  16_000, 16_000, 16_000),
        At("2029-05-18 11:00:00", authorize("over", 1),       OVER,                    16_000, 16_000, 16_000),
    )),
)
# fmt: on


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_limits_on_a_clock(database: Database, story: Days) -> None:
    zone = ZoneInfo(story.zone)
    limits = {
        "daily": {"amount_minor": 10_000},
        "monthly": {"amount_minor": 15_000},
        "lifetime": {"amount_minor": 20_000},
    }
    program = a_program(time_zone=story.zone, limits=limits)

    async def scenario(counter: Counter) -> None:
        client = await counter.client(100_000)
        unit, said = counter.unit(programs={"plain": program}), Said()
        for row in story.rows:
            counter.now = datetime.fromisoformat(row.moment).replace(tzinfo=zone).astimezone(UTC)
            where = f"{row.moment} {story.zone}"
            request = row.make(counter, client, said)
            if request is None:
                await unit.expire(100)
            else:
                (decision,) = await unit.run([counter.item(client, request)])
                assert decision.reason is row.reason, where
            (usage,) = await counter.table("limit_usage", client)
            assert usage["lifetime_minor"] == row.lifetime, where
            today = counter.now.astimezone(zone).date().isoformat()
            if usage["day"] == today:
                assert (usage["day_minor"], usage["month_minor"]) == (row.day, row.month), where
        assert await counter.faults(client) == []

    on(database, scenario)
