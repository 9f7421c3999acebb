"""A database that refuses to book: by a trigger of its own, so that the refusal is PostgreSQL's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import trio

from switch.journal.bridge import on_asyncio
from tests.journal.counter import Counter

__all__ = ["When", "lift", "refuse", "refusing"]

#: Only in the commit by which the money comes; or in any.
When = Literal["at once", "ever"]

_FUNCTION = """
    CREATE OR REPLACE FUNCTION switch.refuse_booking() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_ARGV[0] = 'ever' OR EXISTS (
            SELECT 1 FROM switch.funding_step s
             WHERE s.account_id = NEW.account_id AND s.message_key = NEW.message_key AND s.turn = NEW.turn
               AND s.after = 'charged' AND s.at = NEW.at
        ) THEN
            RAISE EXCEPTION 'no booking today';
        END IF;
        RETURN NEW;
    END $$
"""
_DROP = "DROP TRIGGER IF EXISTS refuses_booking ON switch.funding_step"
_CREATE = """
    CREATE TRIGGER refuses_booking BEFORE INSERT ON switch.funding_step
    FOR EACH ROW WHEN (NEW.after = 'booked' AND NEW.before = 'charged') EXECUTE FUNCTION switch.refuse_booking('{when}')
"""


async def refuse(counter: Counter, when: When) -> None:
    """From here on."""

    async def create() -> None:
        root = await counter.root()
        for statement in (_FUNCTION, _DROP, _CREATE.format(when=when)):
            await root.execute(statement)

    await on_asyncio(create)


async def lift(counter: Counter) -> None:
    """The database books as ever again."""

    async def drop() -> None:
        await (await counter.root()).execute(_DROP)

    await on_asyncio(drop)


@asynccontextmanager
async def refusing(counter: Counter, when: When | None = "at once") -> AsyncIterator[None]:
    """While this lasts; with None it books."""
    if when is not None:
        await refuse(counter, when)
    try:
        yield
    finally:
        if when is not None:
            with trio.CancelScope(shield=True):
                await lift(counter)
