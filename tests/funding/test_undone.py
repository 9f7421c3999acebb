"""The reversal of a purchase that was topped up: the money stays on the balance, or goes back to where it came from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from simulators.funding_source.faults import Fault, FaultKind
from switch.contracts.message import Kind
from switch.contracts.top_up import TopUpPolicy
from switch.issuer.top_up import unspent
from switch.journal import issuing
from switch.journal.bridge import on_asyncio
from switch.journal.close import MessageTotal, message_totals
from tests.funding.desk import Daemon, Desk, at_the_desk
from tests.issuer.support import a_program, an_account
from tests.journal.counter import Client
from tests.journal.server import Database

K = FaultKind


def times(kind: FaultKind, call: str = "void", count: int | None = 1, **more: object) -> Fault:
    return Fault(kind=kind, call=call, count=count, **more)  # type: ignore[arg-type]  # the row's own fields


def programs(**more: Any) -> dict[str, Any]:
    return {"plain": a_program(top_up=TopUpPolicy(**{"currency": "JPY", "on_reversal": "void", **more}))}


async def reversed_purchase(desk: Desk, daemon: Daemon, client: Client, **changes: Any) -> None:
    request = desk.counter.request(client, changes.pop("kind", Kind.AUTHORIZATION), 1_500)
    assert await daemon.ask(request) == "approved"
    assert await daemon.ask(desk.counter.undo(client, request, **changes)) == "reversal_accepted"


ROWS: dict[str, tuple[tuple[Fault, ...], str, tuple[int, int], list[str]]] = {
    # what goes wrong with the void; how the attempt ends; posted and held afterwards; what the cardholder hears
    "nothing": ((), "voided", (1_000, 0), ["funding_topped_up", "funding_returned"]),
    "refused": ((times(K.DECLINE),), "credited", (1_500, 0), ["funding_topped_up", "funding_credited"]),
    "silent, voided": ((times(K.SILENT_AFTER),), "voided", (1_000, 0), ["funding_topped_up", "funding_returned"]),
    "silent, not voided": ((times(K.SILENT_BEFORE),), "voided", (1_000, 0), ["funding_topped_up", "funding_returned"]),
    "unknown, then refused": (
        (times(K.UNKNOWN, count=2), times(K.DECLINE)),
        "credited", (1_500, 0), ["funding_topped_up", "funding_credited"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION, Kind.FINANCIAL])
@pytest.mark.parametrize("row", ROWS)
async def test_the_charge_is_voided(database: Database, tmp_path: Path, row: str, kind: Kind) -> None:
    faults, end, figures, told = ROWS[row]
    async with at_the_desk(database, tmp_path, *faults, programs=programs()) as desk, desk.daemon() as daemon:
        client, began = await desk.client(1_000), datetime.now(UTC)
        await reversed_purchase(desk, daemon, client, kind=kind)
        await desk.until(client, end)
        (attempt,) = await desk.ended(client)
        assert (attempt.purchase, attempt.amount) == ("reversed", 500)
        assert await desk.figures(client) == figures
        assert await desk.notices(client) == told
        assert (await desk.path(client))[3:6] == ["booked", "booked", "void_requested"]
        await desk.check(client)

        async def day() -> list[MessageTotal]:
            return await message_totals(await desk.counter.root(), began, datetime.now(UTC))

        counted = [(one.kind, one.messages, one.told_minor, one.booked_minor) for one in await on_asyncio(day)]
        assert counted == [(kind.value, 1, 1_500, 1_500), ("reversal", 1, 1_500, 1_500)], "each is counted once"


async def test_nobody_can_spend_it_while_its_void_is_asked_for(database: Database, tmp_path: Path) -> None:
    slow = times(K.SLOW, seconds=0.8)
    once = programs(daily_count_max=1)
    async with at_the_desk(database, tmp_path, slow, programs=once) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        await reversed_purchase(desk, daemon, client)
        await desk.until(client, "void_requested")
        assert await daemon.ask(daemon.purchase(client, 1_001)) == "insufficient_funds"
        assert await daemon.ask(daemon.purchase(client, 1_000)) == "approved"
        await desk.until(client, "voided")
        assert await desk.figures(client) == (1_000, 1_000)
        await desk.check(client)


async def test_money_that_was_spent_meanwhile_is_kept(database: Database, tmp_path: Path) -> None:
    """The daemon that reverses has no top-ups of its own: nobody is quicker than the next purchase."""
    async with at_the_desk(database, tmp_path, programs=programs(daily_count_max=1)) as desk:
        client = await desk.client(1_000)
        unit = desk.counter.unit(programs=desk.programs)
        async with desk.daemon() as daemon:
            request = daemon.purchase(client)
            assert await daemon.ask(request) == "approved"
        items = [
            desk.counter.item(client, desk.counter.undo(client, request)),
            desk.counter.item(client, desk.counter.request(client, Kind.AUTHORIZATION, 1_001)),
        ]
        decisions = await on_asyncio(unit.run, items)
        assert [str(decision.reason) for decision in decisions] == ["reversal_accepted", "approved"]
        assert [row.purchase for row in await desk.attempts(client)] == ["reversed"]
        async with desk.daemon():
            (attempt,) = await desk.ended(client)
        assert (attempt.state, attempt.cause) == ("booked", "spent")
        assert await desk.figures(client) == (1_500, 1_001)
        await desk.check(client)


async def test_bonus_is_no_money_that_could_go_back(database: Database, tmp_path: Path) -> None:
    """What the bonus paid comes back as bonus; the void takes the cardholder's money, and nothing but."""
    async with at_the_desk(database, tmp_path, programs=programs()) as desk:
        client = await desk.client(600)

        async def bonus() -> None:
            staff = await desk.counter.staff()
            await issuing.load_account(staff, client.lookup, 400, "gift", datetime.now(UTC), bonus=True)

        await on_asyncio(bonus)
        async with desk.daemon() as daemon:
            await reversed_purchase(desk, daemon, client)
            await desk.until(client, "voided")
            (account,) = await on_asyncio(desk.counter.table, "account", client)
            assert [account[name] for name in ("posted", "held", "bonus_posted", "bonus_held")] == [1_000, 0, 400, 0]
            await desk.check(client)


@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        ({"on_reversal": "keep"}, {}),
        ({}, {"replacement_amount_minor": 100}),
        ({"void_within_hours": 1}, {}),
    ],
    ids=["by setting", "in part", "too late"],
)
async def test_the_money_is_kept(
    database: Database, tmp_path: Path, policy: dict[str, Any], changes: dict[str, Any]
) -> None:
    async with at_the_desk(database, tmp_path, programs=programs(**policy)) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request = daemon.purchase(client)
        assert await daemon.ask(request) == "approved"
        if "void_within_hours" in policy:
            desk.counter.now = datetime.now(UTC) + timedelta(hours=1, seconds=1)
        assert await daemon.ask(desk.counter.undo(client, request, **changes)) == "reversal_accepted"
        await trio.testing.wait_all_tasks_blocked(0.1)
        (attempt,) = await desk.ended(client)
        assert (attempt.state, attempt.purchase) == ("booked", "approved")
        assert (await desk.figures(client))[0] == 1_500
        await desk.check(client)


@pytest.mark.parametrize(("hours", "end"), [(48, "voided"), (24, "booked")])
async def test_a_late_reversal_of_an_expired_hold_is_a_reversal(
    database: Database, tmp_path: Path, hours: int, end: str
) -> None:
    """The expiry alone keeps the charge, since a presentment may come. Once the purchase is reversed, none is owed."""
    table: dict[str, Any] = {"default_days": 1, "rule": []}
    policy = TopUpPolicy(currency="JPY", on_reversal="void", void_within_hours=hours)
    expiring = {"plain": a_program(top_up=policy, hold_expiry=table)}
    async with at_the_desk(database, tmp_path, programs=expiring) as desk, desk.daemon() as daemon:
        client = await desk.client(1_000)
        request = daemon.purchase(client)
        assert await daemon.ask(request) == "approved"
        desk.counter.now = datetime.now(UTC) + timedelta(days=1, seconds=1)
        swept = await on_asyncio(desk.counter.unit(programs=expiring).expire, 1_000)
        assert swept.refused == {}
        assert await desk.figures(client) == (1_500, 0)
        (attempt,) = await desk.ended(client)
        assert (attempt.state, attempt.purchase) == ("booked", "approved")

        assert await daemon.ask(desk.counter.undo(client, request)) == "reversal_accepted"
        await desk.until(client, end)
        await trio.testing.wait_all_tasks_blocked(0.1)
        (attempt,) = await desk.ended(client)
        assert attempt.state == end
        assert await desk.figures(client) == (1_000 if end == "voided" else 1_500, 0)
        (hold,) = await on_asyncio(desk.counter.table, "hold", client)
        assert hold["state"] == "reversed"
        await desk.check(client)


#: Where the daemon dies after it has heard the reversal, and how it ends when the void is accepted, and refused.
POINTS: dict[str, tuple[str, str]] = {
    "before:takeback": ("voided", "credited"),
    "after:void_requested": ("voided", "credited"),
    "before:callvoid": ("voided", "credited"),
    "answered:callvoid": ("voided", "credited"),
    "before:voidanswered": ("voided", "credited"),
    "after:voided": ("voided", "-"),
    "after:credited": ("-", "credited"),
}


CELLS = [(point, end) for point, ends in POINTS.items() for end in ends if end != "-"]


@pytest.mark.parametrize(("point", "end"), CELLS)
async def test_it_dies(database: Database, tmp_path: Path, point: str, end: str) -> None:
    faults = [times(K.DECLINE)] if end == "credited" else []
    async with at_the_desk(database, tmp_path, *faults, programs=programs()) as desk:
        client = await desk.client(1_000)
        assert await desk.dies_undoing_at(point, client), f"nobody came to {point}"
        async with desk.daemon():
            (attempt,) = await desk.ended(client)
        assert attempt.state == end
        assert await desk.figures(client) == (1_500 if end == "credited" else 1_000, 0)
        await desk.check(client)


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({}, True),
        ({"held_minor": 1}, False),
        ({"bonus_posted_minor": 1}, False),
        ({"held_minor": 1, "bonus_posted_minor": 1, "bonus_held_minor": 1}, True),
        ({"floor_minor": 1}, False),
        ({"floor_minor": -100, "held_minor": 1}, False),
    ],
)
def test_what_is_there_to_go_back(changes: dict[str, int], there: bool) -> None:
    assert unspent(an_account(500, **changes), 500 - changes.get("bonus_held_minor", 0)) is there
