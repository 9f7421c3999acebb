"""Load and hold become durable after the deadline: the network has heard 91, so the purchase is taken back.

What the charge brought stays on the balance, where the cardholder can spend it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from simulators.funding_source.faults import Fault, FaultKind
from switch.journal.bridge import on_asyncio
from tests.funding.desk import Desk, at_the_desk
from tests.journal.counter import Client
from tests.journal.server import Database

SLOW = Fault(kind=FaultKind.SLOW, call="charge", seconds=0.8)


@asynccontextmanager
async def row_held(desk: Desk, client: Client) -> AsyncIterator[None]:
    """The account's row is somebody else's meanwhile, who leaves it as it is."""
    holder = await on_asyncio(desk.counter.connection)
    await on_asyncio(holder.execute, "BEGIN")
    row = "SELECT 1 FROM account WHERE account_id = $1 FOR NO KEY UPDATE"
    await on_asyncio(holder.execute, row, client.account_id)
    try:
        yield
    finally:
        await on_asyncio(holder.execute, "ROLLBACK")


async def test_what_is_booked_too_late_is_taken_back(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path, SLOW) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request = daemon.purchase(client)
        arrival = await daemon.say(request, deadline_seconds=4.0)
        await desk.until(client, "sent")
        async with row_held(desk, client):
            with trio.fail_after(10):
                while not desk.stage.provider.books.charges:  # noqa: ASYNC110 -- a book tells nobody
                    await trio.sleep(0.01)
            await trio.sleep_until(arrival.deadline)
            arrival.expire()  # the link's part
        (attempt,) = await desk.ended(client)
        assert attempt.state == "booked"
        with trio.fail_after(10):
            while await desk.figures(client) != (1_500, 0):  # noqa: ASYNC110 -- a row tells nobody
                await trio.sleep(0.01)
        assert [str(answer.reason) for answer in desk.line.sent] == ["deadline_missed"]
        assert await daemon.ask(request) == "deadline_missed"
        assert await desk.figures(client) == (1_500, 0)
        await desk.check(client)
