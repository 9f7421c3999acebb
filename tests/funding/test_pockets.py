"""Which money a topped-up purchase spends, bonus first, and which pocket gets what comes back for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from switch.contracts.clearing import ClearingKind
from switch.contracts.message import Kind, Operation, Request
from switch.journal import issuing
from switch.journal.bridge import on_asyncio
from tests.funding.desk import Desk, at_the_desk
from tests.journal.counter import Client
from tests.journal.records import a_record, an_arn, presenting
from tests.journal.server import Database


async def with_bonus(desk: Desk) -> Client:
    """600 of the cardholder's own and 400 of bonus: a purchase of 1,500 lacks 500."""
    client = await desk.client(600)

    async def give() -> None:
        staff = await desk.counter.staff()
        assert await issuing.load_account(staff, client.lookup, 400, "gift", datetime.now(UTC), bonus=True)

    await on_asyncio(give)
    return client


async def bought(desk: Desk, client: Client, kind: Kind = Kind.AUTHORIZATION) -> Request:
    request = desk.counter.request(client, kind, 1_500)
    async with desk.daemon() as daemon:
        assert await daemon.ask(request) == "approved"
    return request


async def tell(desk: Desk, client: Client, request: Request) -> None:
    unit = desk.counter.unit(programs=desk.programs)
    await on_asyncio(unit.run, [desk.counter.item(client, request)])


async def pockets(desk: Desk, client: Client) -> dict[str, int]:
    """What the account has: the cardholder's money and the bonus, each with what is held of it."""
    (row,) = await on_asyncio(desk.counter.table, "account", client)
    return {
        "money": row["posted"] - row["bonus_posted"],
        "money_held": row["held"] - row["bonus_held"],
        "bonus": row["bonus_posted"],
        "bonus_held": row["bonus_held"],
    }


async def test_bonus_and_money_are_spent_and_the_purchase_remembers_it(database: Database, tmp_path: Path) -> None:
    async with at_the_desk(database, tmp_path) as desk:
        client = await with_bonus(desk)
        await bought(desk, client)
        (attempt,) = await desk.ended(client)
        assert attempt.amount == 500
        assert await pockets(desk, client) == {"money": 1_100, "money_held": 1_100, "bonus": 400, "bonus_held": 400}
        (hold,) = await on_asyncio(desk.counter.table, "hold", client)
        assert (hold["held"], hold["held_bonus"]) == (1_500, 400)
        await desk.check(client)


@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION, Kind.FINANCIAL])
@pytest.mark.parametrize(
    ("left", "money", "bonus"),
    [(0, 1_100, 400), (300, 1_100, 100), (900, 600, 0)],
    ids=["as a whole", "all of the money", "a part of the money"],
)
async def test_a_reversal_makes_the_money_whole_first(
    database: Database, tmp_path: Path, kind: Kind, left: int, money: int, bonus: int
) -> None:
    """What came from the source is the cardholder's money, and comes back as that."""
    async with at_the_desk(database, tmp_path) as desk:
        client = await with_bonus(desk)
        request = await bought(desk, client, kind)
        changes: dict[str, Any] = {"replacement_amount_minor": left} if left else {}
        await tell(desk, client, desk.counter.undo(client, request, **changes))
        now = await pockets(desk, client)
        assert (now["money"] - now["money_held"], now["bonus"] - now["bonus_held"]) == (money, bonus)
        await desk.check(client)


@pytest.mark.parametrize(
    ("refunded", "money", "bonus"),
    [(1_500, 1_100, 400), (1_200, 1_100, 100), (500, 500, 0)],
)
@pytest.mark.parametrize("back", [ClearingKind.PRESENTMENT, ClearingKind.CHARGEBACK], ids=["refund", "chargeback"])
async def test_a_refund_after_clearing_still_finds_the_pockets(
    database: Database, tmp_path: Path, back: ClearingKind, refunded: int, money: int, bonus: int
) -> None:
    async with at_the_desk(database, tmp_path) as desk:
        client = await with_bonus(desk)
        request = await bought(desk, client)
        reference = an_arn()
        await tell(desk, client, presenting(desk.counter, client, request, 1_500, acquirer_reference=reference))
        assert await pockets(desk, client) == {"money": 0, "money_held": 0, "bonus": 0, "bonus_held": 0}
        operation = Operation.REFUND if back is ClearingKind.PRESENTMENT else Operation.PURCHASE
        named: dict[str, Any] = {"kind": back, "acquirer_reference": reference}
        if back is ClearingKind.PRESENTMENT:
            named |= {"acquirer_reference": an_arn(), "retrieval_reference": request.retrieval_reference}
        record = a_record(desk.counter, client, refunded, operation=operation, **named)
        await tell(desk, client, record)
        assert await pockets(desk, client) == {"money": money, "money_held": 0, "bonus": bonus, "bonus_held": 0}
        await desk.check(client)
