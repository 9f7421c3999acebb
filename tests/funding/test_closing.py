"""A purchase that comes in the very moment the driver ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from switch.contracts.message import Kind
from switch.funding.scribe import Scribe
from tests.funding.desk import at_the_desk
from tests.journal.server import Database


class AtTheLast(trio.abc.Instrument):
    """Does it where the last of the driver's own tasks has ended, and the driver has not gone on yet."""

    def __init__(self, tasks: int, deed: Callable[[], None]) -> None:
        self._left = tasks
        self._deed = deed
        self.raised: Exception | None = None

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self._left -= task.name.endswith(Scribe.run.__qualname__)
        if not self._left:
            self._left = -1
            try:
                self._deed()
            except Exception as exc:  # noqa: BLE001 -- trio would only log it
                self.raised = exc


async def test_a_purchase_at_the_end_is_answered(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request = desk.counter.request(client, Kind.AUTHORIZATION, 1_500)
        arrival, item = desk.arrival(request), desk.counter.item(client, request)
        last = AtTheLast(2, partial(daemon.top_ups.take, arrival, item))
        trio.lowlevel.add_instrument(last)
        try:
            daemon.top_ups.close()
            with trio.fail_after(10):
                await desk.line.unsettled[id(arrival)].wait()
        finally:
            trio.lowlevel.remove_instrument(last)
        assert last.raised is None
        assert [str(answer.reason) for answer in desk.line.sent] == ["unavailable"]
