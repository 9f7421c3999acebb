"""What belongs to a message by nothing but DE90 is found in the tables: each message comes in a batch of its own."""

from __future__ import annotations

from typing import Any

import pytest

from switch.contracts.message import Kind, Request, StandIn
from tests.issuer.support import original_of
from tests.journal.counter import Client, Counter, on
from tests.journal.server import Database

ADVICE_OF = {Kind.AUTHORIZATION: Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL: Kind.FINANCIAL_ADVICE}
REVERSED_BY: dict[str, dict[str, Any]] = {
    "original elements": {"retrieval_reference": ""},
    "both": {},
    "retrieval reference": {"original": None},
}
CELLS = [
    (came, by)
    for came in ("never", "late", "declined")
    for by in REVERSED_BY
    if (came, by) != ("never", "retrieval reference")
]


async def told(counter: Counter, client: Client, request: Request) -> str:
    (decision,) = await counter.unit().run([counter.item(client, request)])
    return str(decision.reason)


def advice(counter: Counter, client: Client, request: Request, kind: Kind, **changes: Any) -> Request:
    return counter.request(client, kind, request.amount_minor, original=original_of(request), **changes)


@pytest.mark.parametrize("kind", ADVICE_OF)
@pytest.mark.parametrize(("came", "by"), CELLS)
def test_a_reversal_of_the_request_takes_back_what_the_advice_booked(
    database: Database, came: str, by: str, kind: Kind
) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(1_000 if came == "declined" else 10_000)
        before = await counter.balance(client)
        request = counter.request(client, kind, 3_000)
        if came == "declined":
            assert await told(counter, client, request) == "insufficient_funds"
        assert await told(counter, client, advice(counter, client, request, ADVICE_OF[kind])) == "advice_accepted"
        if came == "late":
            assert await told(counter, client, request) == "approved"
        assert await counter.balance(client) != before
        undo = counter.undo(client, request, **REVERSED_BY[by])
        assert await told(counter, client, undo) == "reversal_accepted"
        assert await counter.balance(client) == before
        if came == "never":
            assert await told(counter, client, request) == "decided_earlier"
        assert await counter.balance(client) == before
        assert await counter.faults(client) == []

    on(database, scenario)


def test_a_stand_in_approval_after_the_reversal_of_its_request_holds_nothing(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        request = counter.request(client, Kind.AUTHORIZATION, 3_000)
        await told(counter, client, counter.undo(client, request, retrieval_reference=""))
        await told(counter, client, advice(counter, client, request, Kind.AUTHORIZATION_ADVICE))
        assert await counter.balance(client) == (10_000, 0)
        assert await told(counter, client, request) == "reversed_earlier"

    on(database, scenario)


@pytest.mark.parametrize(("amount", "reason"), [(3_000, "approved"), (3_001, "decided_earlier")])
def test_an_authorization_after_the_financial_advice_that_names_it_is_not_held(
    database: Database, amount: int, reason: str
) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        request = counter.request(client, Kind.AUTHORIZATION, amount)
        completes = counter.request(client, Kind.FINANCIAL_ADVICE, 3_000, original=original_of(request))
        await told(counter, client, completes)
        assert await told(counter, client, request) == reason
        assert await counter.balance(client) == (7_000, 0)

    on(database, scenario)


def test_a_second_advice_of_the_same_request_is_of_the_same_purchase(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        request = counter.request(client, Kind.AUTHORIZATION, 3_000)
        for how, held in ((StandIn.APPROVED, 3_000), (StandIn.APPROVED, 3_000), (StandIn.DECLINED, 0)):
            await told(counter, client, advice(counter, client, request, Kind.AUTHORIZATION_ADVICE, stand_in=how))
            assert await counter.balance(client) == (10_000, held)

    on(database, scenario)


def test_another_number_of_the_card_finds_it_and_another_card_does_not(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        card, credential = await counter.two_numbers(10_000)
        stranger = await counter.client(10_000)
        request = counter.request(card, Kind.AUTHORIZATION, 3_000)
        await told(counter, card, advice(counter, card, request, Kind.AUTHORIZATION_ADVICE))
        for client, held in ((stranger, 3_000), (credential, 0)):
            await told(counter, client, counter.undo(client, request, retrieval_reference=""))
            assert await counter.balance(card) == (10_000, held)

    on(database, scenario)


@pytest.mark.parametrize("shares", [{"retrieval_reference": "RAISED"}, {"network_reference": "RAISED"}])
@pytest.mark.parametrize(("told_of", "incremental"), [(3_000, False), (500, True)])
def test_what_raised_the_purchase_is_known_too(
    database: Database, told_of: int, incremental: bool, shares: dict[str, str]
) -> None:
    """An advice of the first authorization, or of the increment that we had approved, takes and adds nothing."""

    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        request = counter.request(client, Kind.AUTHORIZATION, 3_000, **shares)
        await told(counter, client, request)
        await told(counter, client, counter.request(client, Kind.AUTHORIZATION, 500, incremental=True, **shares))
        assert await counter.balance(client) == (10_000, 3_500)
        named = {"original": original_of(request), "incremental": incremental}
        await told(counter, client, counter.request(client, Kind.AUTHORIZATION_ADVICE, told_of, **named))
        assert await counter.balance(client) == (10_000, 3_500)

    on(database, scenario)
