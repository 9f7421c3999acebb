"""When the lines of decided messages are written: in the next turn, and all of them in the end."""

from __future__ import annotations

from types import SimpleNamespace as Some
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan
from switch.issuer.case import Decision
from switch.network.arrival import Delivery
from switch.processing.clerk import Clerk, Told

WORDS = ("mti", "stan", "transmitted", "retrieval_reference", "currency")


def told(stan: str) -> Told:
    request = Some(**dict.fromkeys(WORDS, "x") | {"stan": stan}, pan=Pan("4" + "1" * 15), amount_minor=100)
    arrival: Any = Some(session="blue#1")
    item: Any = Some(request=request, key=b"key")
    decision = Decision(answer=Answer(reason=Reason.APPROVED, response_code="00"))
    return Told(arrival, item, decision, Delivery.SENT, 1, 2, 3, 4)


async def test_lines_are_written_in_the_next_turn_in_the_order_of_the_batches() -> None:
    clerk = Clerk()
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clerk.run)
            await trio.testing.wait_all_tasks_blocked()
            clerk.take([told("1"), told("2")])
            clerk.take([told("3")])
            assert lines == []
            await trio.testing.wait_all_tasks_blocked()
            assert [line["stan"] for line in lines] == ["1", "2", "3"]
            assert (lines[0]["reason"], lines[0]["code"], lines[0]["delivery"]) == ("approved", "00", "sent")
            assert [lines[0][name] for name in ("queue_us", "unit_us", "total_us", "batch")] == [1, 2, 3, 4]
            clerk.close()


async def test_what_was_taken_before_the_end_is_written() -> None:
    clerk = Clerk()
    with capture_logs() as lines:
        clerk.take([told("1")])
        clerk.close()
        await clerk.run()
    assert [line["stan"] for line in lines] == ["1"]


@pytest.mark.parametrize("rounds", [0, 1])
async def test_an_end_by_force_loses_no_line(rounds: int) -> None:
    clerk = Clerk()
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clerk.run)
            for _ in range(rounds):
                await trio.testing.wait_all_tasks_blocked()
            clerk.take([told("1")])
            nursery.cancel_scope.cancel()
    assert [line["stan"] for line in lines] == ["1"]
