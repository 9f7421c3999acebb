"""Holds that are due: the tests of their expiry begin with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from switch.contracts.message import Kind, Request
from switch.journal.unit import UnitOfWork
from tests.journal.counter import Client, Counter

__all__ = ["START", "TICK", "WEEK", "authorized", "held", "swept"]

START = datetime(2026, 6, 15, 3, 0, tzinfo=UTC)  # noon in Tokyo
WEEK = timedelta(days=7)
TICK = timedelta(microseconds=1)


async def authorized(counter: Counter, client: Client, amount: int = 8_000, **changes: object) -> Request:
    """A hold of ``amount``."""
    request = counter.request(client, Kind.AUTHORIZATION, amount, **changes)
    (decision,) = await counter.unit().run([counter.item(client, request)])
    assert decision.reason.approves
    return request


async def held(counter: Counter, amount: int = 8_000) -> tuple[Client, Request]:
    """A client with a hold out of 10,000, placed at START; it is the moment in which the hold is due."""
    counter.now = START
    client = await counter.client(10_000)
    request = await authorized(counter, client, amount)
    counter.now = START + WEEK
    return client, request


async def swept(unit: UnitOfWork) -> int:
    """Everything that is due now, in one unit. How many holds it were."""
    done = await unit.expire(1_000)
    assert done.refused == {}
    return done.holds
