"""Top-up is taken out of the programs, daemon by daemon, while a purchase waits for its money."""

from __future__ import annotations

from pathlib import Path

from simulators.funding_source.faults import Fault, FaultKind
from tests.funding.desk import at_the_desk
from tests.issuer.support import a_program
from tests.journal.server import Database

SLOW = Fault(kind=FaultKind.SLOW, call="charge", seconds=0.8)


async def test_a_repeat_on_a_daemon_that_tops_up_no_more_hears_what_the_first_copy_hears(
    database: Database, tmp_path: Path
) -> None:
    async with at_the_desk(database, tmp_path, SLOW) as desk, desk.daemon() as before:
        client = await desk.client(1_000)
        request = before.purchase(client)
        await before.say(request)
        await desk.until(client, "sent")
        desk.programs = {"plain": a_program()}
        async with desk.daemon() as after:
            assert await after.ask(request) == "approved"
            assert await after.ask(after.purchase(client)) == "insufficient_funds"
        assert [str(answer.reason) for answer in desk.line.sent[:2]] == ["approved", "approved"]
        assert len(await desk.ended(client)) == 1
        await desk.check(client)
