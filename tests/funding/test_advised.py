"""A purchase that waits for its money, and an advice by which the network has decided it meanwhile.

However the advice names the purchase, and whatever the clocks of two daemons say, it is spent once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulators.funding_source.faults import Fault, FaultKind
from switch.contracts.message import Kind, Operation, Request, StandIn
from switch.contracts.top_up import TopUpPolicy
from tests.funding.desk import at_the_desk
from tests.issuer.support import a_program, original_of
from tests.journal.server import Database

# So much that it would pay for the purchase a second time.
ROUNDED_UP = {"plain": a_program(top_up=TopUpPolicy(currency="JPY", step_minor=5_000))}
SLOW = Fault(kind=FaultKind.SLOW, call="charge", seconds=0.8)

NAMED_BY: dict[str, Any] = {
    # only DE90: the network gave the advice a retrieval reference of its own
    "original elements": lambda request: {"original": original_of(request)},
    "retrieval reference": lambda request: {"retrieval_reference": request.retrieval_reference},
}
STANDS_IN = {Kind.AUTHORIZATION_ADVICE: {"stand_in": StandIn.APPROVED}, Kind.FINANCIAL_ADVICE: {}}


@pytest.mark.parametrize("clock_behind_seconds", [0, 2])
@pytest.mark.parametrize("kind", STANDS_IN)
@pytest.mark.parametrize("named_by", NAMED_BY)
async def test_what_the_network_decided_meanwhile_is_not_booked_again(
    database: Database, tmp_path: Path, named_by: str, kind: Kind, clock_behind_seconds: int
) -> None:
    async with at_the_desk(database, tmp_path, SLOW, programs=ROUNDED_UP) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request: Request = daemon.purchase(client)
        waiting = await daemon.say(request)
        await desk.until(client, "sent")
        advice = desk.counter.request(client, kind, 1_500, **STANDS_IN[kind], **NAMED_BY[named_by](request))
        if clock_behind_seconds:
            # The daemon that gets the advice is another one, and its clock is behind.
            desk.counter.now = datetime.now(UTC) - timedelta(seconds=clock_behind_seconds)
        assert await daemon.ask(advice) == "advice_accepted"
        desk.counter.now = None
        (attempt,) = await desk.ended(client)
        assert attempt.state == "voided"
        await daemon.settled(waiting)
        assert str(desk.line.sent[-1].reason) == "insufficient_funds"
        posted, held = await desk.figures(client)
        assert posted - held == 1_000 - 1_500
        await desk.check(client)


async def test_what_the_network_decided_before_its_turn_and_named_by_de90_is_approved_as_it_was(
    database: Database, tmp_path: Path
) -> None:
    """An 0220 that nothing but DE90 ties to its 0100: it has booked the purchase, and nothing is topped up for it."""
    async with at_the_desk(database, tmp_path, programs=ROUNDED_UP) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request: Request = daemon.purchase(client)
        named = {"original": original_of(request)}
        advice = desk.counter.request(client, Kind.FINANCIAL_ADVICE, 1_500, **named)
        assert await daemon.ask(advice) == "advice_accepted"
        assert await daemon.ask(request) == "approved"
        assert await desk.attempts(client) == []
        posted, held = await desk.figures(client)
        assert posted - held == 1_000 - 1_500
        await desk.check(client)


#: What keeps the advice from standing for the purchase that it names.
NOT_QUITE: dict[str, dict[str, Any]] = {
    "of another operation": {"operation": Operation.CASH_WITHDRAWAL},
    "from another terminal": {"terminal_id": "ELSEWHERE"},
}


@pytest.mark.parametrize("differs", NOT_QUITE)
async def test_what_the_network_decided_before_its_turn_and_named_by_de90_is_not_topped_up(
    database: Database, tmp_path: Path, differs: str
) -> None:
    async with at_the_desk(database, tmp_path, programs=ROUNDED_UP) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request: Request = daemon.purchase(client, terminal_id="TERM0001")
        named = {"terminal_id": "TERM0001", "original": original_of(request)}
        advice = desk.counter.request(client, Kind.FINANCIAL_ADVICE, 1_500, **{**named, **NOT_QUITE[differs]})
        assert await daemon.ask(advice) == "advice_accepted"
        assert await daemon.ask(request) == "insufficient_funds"
        (attempt,) = await desk.ended(client)
        assert attempt.state == "voided"
        posted, held = await desk.figures(client)
        assert posted - held == 1_000 - 1_500
        await desk.check(client)


async def test_what_the_network_decided_before_its_turn_is_not_booked_again(database: Database, tmp_path: Path) -> None:
    """The purchase came first, and was overtaken by its 0220 while it waited to be parked."""
    async with at_the_desk(database, tmp_path, programs=ROUNDED_UP) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request: Request = daemon.purchase(client)
        reference = {"retrieval_reference": request.retrieval_reference}
        advice = desk.counter.request(client, Kind.FINANCIAL_ADVICE, 1_500, **reference)
        assert await daemon.ask(advice) == "advice_accepted"
        assert await daemon.ask(request) == "insufficient_funds"
        (attempt,) = await desk.ended(client)
        assert attempt.state == "voided"
        posted, held = await desk.figures(client)
        assert posted - held == 1_000 - 1_500
        await desk.check(client)
