"""Whatever goes wrong, at the provider and with daemons, in whatever order: in the end the books agree to the yen."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
import trio

from simulators.funding_source.faults import Fault, FaultKind
from switch.funding.breaker import BreakerRules
from tests.funding.desk import Killed, at_the_desk
from tests.journal.server import Database

K = FaultKind
ROUNDS = 10
CLIENTS = 8
DEATH = 0.01  # at each of the points
KINDS = (K.SLOW, K.SILENT_BEFORE, K.SILENT_AFTER, K.ERROR_BEFORE, K.ERROR_AFTER, K.RESET_BEFORE, K.RESET_AFTER, K.BUSY,
         K.DUPLICATE, K.UNKNOWN, K.GARBLED)  # fmt: skip


def weather() -> list[Fault]:
    """Each so often; then it is over."""
    anywhere = [Fault(kind=kind, call="any", probability=0.05, count=12, seconds=0.3) for kind in KINDS]
    return [
        *anywhere,
        Fault(kind=K.DECLINE, call="charge", probability=0.1, count=10),
        Fault(kind=K.DECLINE, call="void", probability=0.3, count=10),
        Fault(kind=K.WRONG_AMOUNT, call="charge", probability=0.1, count=6, off_by_minor=7),
    ]


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_storm(database: Database, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 -- to run it again
    chance = random.Random(seed)
    deaths = 0

    def strike(_point: str) -> None:
        if chance.random() < DEATH:
            raise Killed

    async with at_the_desk(database, tmp_path, *weather()) as desk:
        desk.budget_seconds = 1.5
        patient = msgspec.structs.replace(desk.stage.settings, breaker=BreakerRules(failures_max=1_000))
        desk.stage = desk.stage._replace(settings=patient)
        clients = [await desk.client(1_000) for _ in range(CLIENTS)]
        rounds = 0
        while rounds < ROUNDS or (not deaths and rounds < 4 * ROUNDS):
            rounds += 1
            try:
                async with desk.daemon(strike) as daemon:
                    for client in clients:
                        request = daemon.purchase(client, chance.choice([200, 900, 1_500]))
                        await daemon.say(request)
                        if chance.random() < 0.2:
                            await daemon.say(desk.counter.undo(client, request))
                    await trio.sleep(chance.uniform(0.2, 2.0))
            except BaseExceptionGroup as group:
                if group.split(Killed)[1] is not None:
                    raise
                deaths += 1
        ends: dict[str, int] = {}
        async with desk.daemon():
            for client in clients:
                for attempt in await desk.ended(client) if await desk.attempts(client) else []:
                    ends[attempt.state] = ends.get(attempt.state, 0) + 1
                posted, held = await desk.figures(client)
                assert 0 <= held <= posted, "an approval without funds"
        print(f"{deaths} deaths, ends: {ends}")  # noqa: T201 -- what the storm came to
        assert deaths
        # Some came to a good end and some did not. How many kinds of the others there are is chance.
        assert "booked" in ends and len(ends) > 1
        await desk.check(*clients)
