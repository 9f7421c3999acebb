"""A purchase that comes in the very moment the driver ends, whichever way it ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from switch.contracts.message import Kind
from switch.funding.scribe import Scribe
from tests.funding.desk import Daemon, Killed, at_the_desk
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


def closed(daemon: Daemon) -> None:
    daemon.top_ups.close()


def killed(_daemon: Daemon) -> None:
    raise Killed


@pytest.mark.parametrize("end", [closed, killed])
async def test_a_purchase_at_the_end_does_no_harm_and_is_answered_by_who_lives(
    database: Database, tmp_path: Path, end: Callable[[Daemon], None]
) -> None:
    async with at_the_desk(database, tmp_path) as desk:
        client = await desk.client(1_000)
        request = desk.counter.request(client, Kind.AUTHORIZATION, 1_500)
        arrival, item = desk.arrival(request), desk.counter.item(client, request)
        ending: list[AtTheLast] = []
        try:
            async with desk.daemon() as daemon:
                ending.append(AtTheLast(2, partial(daemon.top_ups.take, arrival, item)))
                trio.lowlevel.add_instrument(ending[0])
                end(daemon)
                with trio.fail_after(30):
                    await desk.line.unsettled[id(arrival)].wait()
        except* Killed:
            pass
        finally:
            trio.lowlevel.remove_instrument(ending[0])
        assert ending[0].raised is None
        if end is closed:
            assert [str(answer.reason) for answer in desk.line.sent] == ["unavailable"]
