"""Several numbers for one card: one account, one balance, one set of limits, whichever number a message comes with."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.contracts.errors import JournalRefused
from switch.contracts.message import Channel, EntryMode, Kind, StandIn
from switch.contracts.reason import Reason
from switch.contracts.secret import Secret
from switch.journal import issuing
from tests.issuer.support import CODES, a_program
from tests.journal.counter import Client, Counter, on, reasons
from tests.journal.server import Database

EITHER_WAY = pytest.mark.parametrize("swapped", [False, True], ids=["by the credential", "by the card's own number"])


# ── one card


def test_a_purchase_with_a_credential_is_the_card_s(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        credential, card = await counter.two_numbers()
        (decision,) = await counter.unit().run(
            [counter.item(credential, counter.request(credential, amount_minor=3_000))]
        )

        assert decision.reason is Reason.APPROVED
        assert await counter.balance(card) == (10_000, 3_000)
        (hold,) = await counter.table("hold", card)
        (usage,) = await counter.table("limit_usage", card)
        (message,) = await counter.table("message_key", card)
        assert hold["card_id"] == usage["card_id"] == message["card_id"] == card.card_id
        assert message["credential_id"] == credential.credential_id
        assert await counter.faults(card) == []

    on(database, scenario)


def test_the_card_s_own_number_names_no_credential(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        _, card = await counter.two_numbers()
        (decision,) = await counter.unit().run([counter.item(card, counter.request(card))])
        (message,) = await counter.table("message_key", card)
        assert message["credential_id"] is None
        assert decision.trace[1].seen == {"status": "active"}

    on(database, scenario)


@EITHER_WAY
def test_in_one_batch_both_numbers_spend_one_balance(database: Database, swapped: bool) -> None:
    async def scenario(counter: Counter) -> None:
        first, second = await counter.two_numbers(swapped=swapped)
        items = [counter.item(by, counter.request(by, amount_minor=6_000)) for by in (first, second, first)]
        assert reasons(await counter.unit().run(items)) == ["approved", "insufficient_funds", "insufficient_funds"]
        assert await counter.balance(first) == (10_000, 6_000)
        assert await counter.faults(first) == []

    on(database, scenario)


@settings(max_examples=15, deadline=None)
@given(
    purchases=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6_000), st.integers(0, 2)), min_size=1, max_size=24)
)
def test_units_that_decide_on_all_numbers_at_once_spend_one_balance(
    database: Database, purchases: list[tuple[int, int, int]]
) -> None:
    """As several daemons do. Each purchase: by which number, how much, in which unit of work."""

    async def scenario(counter: Counter) -> None:
        card = await counter.client(10_000)
        numbers = (card, await counter.credential(card), await counter.credential(card))
        approved: list[int] = []

        async def one_daemon(which: int) -> None:
            unit = counter.unit()
            for number, amount, of_unit in purchases:
                if of_unit == which:
                    by = numbers[number]
                    (decision,) = await unit.run([counter.item(by, counter.request(by, amount_minor=amount))])
                    if decision.reason is Reason.APPROVED:
                        approved.append(amount)

        await asyncio.gather(*(one_daemon(which) for which in range(3)))

        assert await counter.balance(card) == (10_000, sum(approved))
        assert sum(approved) <= 10_000
        assert approved, "the first one always has the money"
        assert sorted(await counter.journal(card)) == [("hold", amount) for amount in sorted(approved)]
        assert await counter.faults(card) == []

    on(database, scenario)


def test_two_units_that_meet_on_one_account_decide_one_after_the_other(database: Database) -> None:
    """The one has read the account by the card's number when the other books with the credential."""

    async def scenario(counter: Counter) -> None:
        credential, card = await counter.two_numbers()
        root = await counter.root()
        slow, quick = counter.unit(), counter.unit()
        slow_item = counter.item(card, counter.request(card, amount_minor=7_000))
        reached, go_on = asyncio.Event(), asyncio.Event()
        record = slow._record

        async def wait_before_recording(*arguments: Any) -> None:
            reached.set()
            await go_on.wait()
            await record(*arguments)

        slow._record = wait_before_recording  # type: ignore[method-assign]  # between reading and booking
        running = asyncio.ensure_future(slow.run([slow_item]))
        await reached.wait()
        by_credential = counter.item(credential, counter.request(credential, amount_minor=7_000))
        assert reasons(await quick.run([by_credential])) == ["approved"]
        go_on.set()

        assert reasons(await running) == ["insufficient_funds"]
        assert slow.overtaken == 1
        assert await counter.balance(card) == (10_000, 7_000)
        assert await root.fetchval("SELECT count(*) FROM hold WHERE account_id = $1", card.account_id) == 1

    on(database, scenario)


@EITHER_WAY
def test_limits_count_all_numbers(database: Database, swapped: bool) -> None:
    programs = {"plain": a_program(limits={"daily": {"amount_minor": 5_000, "count": 2}})}

    async def scenario(counter: Counter) -> None:
        first, second = await counter.two_numbers(swapped=swapped)
        unit = counter.unit(programs=programs)
        told = []
        for by, amount in ((first, 3_000), (second, 2_001), (second, 1_000), (first, 1_000)):
            told += reasons(await unit.run([counter.item(by, counter.request(by, amount_minor=amount))]))
        assert told == ["approved", "over_amount_limit", "approved", "over_count_limit"]

    on(database, scenario)


# ── messages that belong together, by different numbers


@EITHER_WAY
def test_a_reversal_by_another_number_takes_the_purchase_back_once(database: Database, swapped: bool) -> None:
    async def scenario(counter: Counter) -> None:
        first, second = await counter.two_numbers(swapped=swapped)
        purchase = counter.request(first, amount_minor=3_000)
        unit = counter.unit()
        await unit.run([counter.item(first, purchase)])
        for by in (second, first, second):
            undo = counter.undo(by, purchase)
            assert reasons(await unit.run([counter.item(by, undo)])) == ["reversal_accepted"]
        assert await counter.balance(first) == (10_000, 0)
        assert await counter.journal(first) == [("hold", 3_000), ("release", 3_000)]
        assert await counter.faults(first) == []

    on(database, scenario)


@EITHER_WAY
@pytest.mark.parametrize("together", [False, True])
def test_a_reversal_by_another_number_may_come_first(database: Database, swapped: bool, together: bool) -> None:
    async def scenario(counter: Counter) -> None:
        first, second = await counter.two_numbers(swapped=swapped)
        purchase = counter.request(first, amount_minor=3_000)
        items = [counter.item(second, counter.undo(second, purchase)), counter.item(first, purchase)]
        unit = counter.unit()
        told = await unit.run(items) if together else [*await unit.run(items[:1]), *await unit.run(items[1:])]
        assert reasons(told) == ["reversal_accepted", "reversed_earlier"]
        assert await counter.balance(first) == (10_000, 0)

    on(database, scenario)


@EITHER_WAY
def test_increments_advices_and_postings_find_the_purchase_by_another_number(database: Database, swapped: bool) -> None:
    async def scenario(counter: Counter) -> None:
        first, second = await counter.two_numbers(swapped=swapped)
        purchase = counter.request(first, amount_minor=3_000)
        same: dict[str, Any] = {"retrieval_reference": purchase.retrieval_reference}
        unit = counter.unit()
        for by, request, held in (
            (first, purchase, 3_000),
            (second, counter.request(second, Kind.AUTHORIZATION, 500, incremental=True, **same), 3_500),
            # The network had stood in for the first, and tells of it late: no second hold.
            (
                second,
                counter.request(second, Kind.AUTHORIZATION_ADVICE, 3_000, stand_in=StandIn.APPROVED, **same),
                3_500,
            ),
            (second, counter.request(second, Kind.FINANCIAL_ADVICE, 3_500, **same), 0),
        ):
            (decision,) = await unit.run([counter.item(by, request)])
            assert decision.reason.approves
            assert (await counter.balance(first))[1] == held
        assert await counter.balance(first) == (6_500, 0)
        assert len(await counter.table("hold", first)) == 1
        assert await counter.faults(first) == []

    on(database, scenario)


@EITHER_WAY
def test_a_repeat_comes_with_the_number_of_its_message(database: Database, swapped: bool) -> None:
    """The same elements with another number are another message: the key is made of the number that was presented."""

    async def scenario(counter: Counter) -> None:
        first, second = await counter.two_numbers(swapped=swapped)
        request = counter.request(first, amount_minor=3_000)
        repeat = msgspec.structs.replace(request, repeat=True, mti="0101")
        other = msgspec.structs.replace(request, pan=second.number)
        unit = counter.unit()
        (answered,) = await unit.run([counter.item(first, request)])
        (again,) = await unit.run([counter.item(first, repeat)])
        assert again.answer == answered.answer and again.repeat_of is not None
        (anew,) = await unit.run([counter.item(second, other)])
        assert anew.repeat_of is None
        assert await counter.balance(first) == (10_000, 6_000)

    on(database, scenario)


# ── what belongs to the number


def test_expiry_service_code_and_security_codes_are_those_of_the_number_presented(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        credential, card = await counter.two_numbers()
        unit = counter.unit()
        codes = {  # the stripe's and the printed one, by number
            by: (
                CODES.cvv("plain", by.number, expiry, service_code),
                CODES.cvv("plain", by.number, expiry, "000"),
                expiry,
            )
            for by, expiry, service_code in ((credential, "3106", "201"), (card, "3012", "101"))
        }

        async def told(by: Client, cvv: Secret | None, cvv2: Secret | None, expiry: str) -> str:
            request = counter.request(
                by,
                amount_minor=1,
                cvv=cvv,
                cvv2=cvv2,
                expiry=expiry,
                entry_mode=EntryMode.MAGNETIC_STRIPE,
                channel=Channel.IN_STORE,
            )
            return reasons(await unit.run([counter.item(by, request)]))[0]

        for by, other in ((credential, card), (card, credential)):
            cvv, cvv2, expiry = codes[by]
            wrong_cvv, wrong_cvv2, wrong_expiry = codes[other]
            assert await told(by, cvv, cvv2, expiry) == "approved"
            assert await told(by, None, None, wrong_expiry) == "expiry_mismatch"
            if wrong_cvv != cvv:  # three digits may be alike by chance
                assert await told(by, wrong_cvv, None, expiry) == "cvv_failed"
            if wrong_cvv2 != cvv2:
                assert await told(by, None, wrong_cvv2, expiry) == "cvv2_mismatch"

    on(database, scenario)


@pytest.mark.parametrize(
    ("of_card", "of_credential", "network", "by_card", "by_credential"),
    [
        ({}, {}, "west", "approved", "approved"),
        ({}, {"status": "lost"}, "west", "approved", "card_lost"),
        ({}, {"status": "closed"}, "west", "approved", "card_closed"),
        ({}, {"expiry": "2001"}, "west", "approved", "expired_card"),
        ({"expiry": "2001"}, {}, "west", "expired_card", "approved"),
        ({"status": "stolen"}, {"status": "lost"}, "west", "card_stolen", "card_stolen"),
        ({"locked": True}, {}, "west", "card_locked", "card_locked"),
        ({}, {"network": "west"}, "west", "approved", "approved"),
        ({}, {"network": "west"}, "east", "approved", "product_not_allowed"),
    ],
)
def test_status_expiry_and_network_of_either(
    database: Database,
    of_card: dict[str, Any],
    of_credential: dict[str, Any],
    network: str,
    by_card: str,
    by_credential: str,
) -> None:
    async def scenario(counter: Counter) -> None:
        card = await counter.client(10_000, **of_card)
        credential = await counter.credential(card, **of_credential)
        items = [counter.item(by, counter.request(by, network=network)) for by in (card, credential)]
        assert reasons(await counter.unit().run(items)) == [by_card, by_credential]

    on(database, scenario)


def test_a_changed_credential_counts_from_the_next_message_on(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        credential, card = await counter.two_numbers()
        other = await counter.credential(card)
        staff = await counter.staff()
        assert credential.credential_id is not None
        assert await issuing.change_credential(staff, credential.credential_id, status="blocked")
        unit = counter.unit()
        told = [reasons(await unit.run([counter.item(by, counter.request(by))])) for by in (credential, other, card)]
        assert told == [["card_blocked"], ["approved"], ["approved"]]
        assert await issuing.change_credential(staff, credential.credential_id, status="active")
        assert reasons(await unit.run([counter.item(credential, counter.request(credential))])) == ["approved"]
        assert not await issuing.change_credential(staff, 2**40, status="blocked")
        with pytest.raises(JournalRefused, match="23514"):
            await issuing.change_credential(staff, credential.credential_id, status="gone")

    on(database, scenario)


def test_a_decision_on_the_credential_as_it_was_is_not_booked(database: Database) -> None:
    async def scenario(counter: Counter) -> None:
        credential, card = await counter.two_numbers()
        unit = counter.unit()
        staff = await counter.staff()
        transaction = staff.transaction()
        await transaction.start()
        await staff.fetchval("SELECT change_credential($1, 'blocked')", credential.credential_id)
        running = asyncio.ensure_future(unit.run([counter.item(credential, counter.request(credential))]))
        await counter.until_one_waits()
        await transaction.commit()
        assert reasons(await running) == ["card_blocked"]
        assert unit.overtaken == 1
        assert await counter.journal(card) == []

    on(database, scenario)
