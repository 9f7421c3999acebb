"""64 requests at once on 8 sessions against one card: exactly as many are approved as its limit or its balance allows."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack

import trio

from simulators.messages import Maker, Message
from tests.chaos.acquirer import link_to, maker_for
from tests.chaos.daemon import DIALECTS, Daemon, running
from tests.house import House, IssuedCard

REQUESTS, SESSIONS = 64, 8


async def codes_of_a_rush(daemon: Daemon, card: IssuedCard, amount_minor: int) -> Counter[str]:
    """DE39 of 64 purchases that are sent together, eight over each session, half of the sessions in each dialect."""
    codes: Counter[str] = Counter()

    async def buy(message: Message, number: int) -> None:
        answer = await links[number % SESSIONS].ask(message.fields, 20)
        codes["none" if answer is None else answer["39"]] += 1

    makers: list[Maker] = [maker_for(card, dialect) for dialect in DIALECTS]
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(link_to(daemon, DIALECTS[i % 2])) for i in range(SESSIONS)]
        async with trio.open_nursery() as nursery:
            for number in range(REQUESTS):
                message = makers[number % 2].authorization("card", amount_minor)
                nursery.start_soon(buy, message, number)
    return codes


async def test_a_count_limit_of_three_approves_three(house: House) -> None:
    card = house.new_card("small_limits", 100_000)
    with running(Daemon(house, "count", deadline_seconds=15)) as daemon:
        codes = await codes_of_a_rush(daemon, card, 100)

    assert codes == {"00": 3, "65": REQUESTS - 3}
    assert house.journal(card) == [("hold", 100)] * 3
    assert (house.shown(card).held, house.shown(card).available) == (300, 99_700)
    assert house.faults() == []


async def test_an_amount_limit_of_ten_thousand_approves_two_of_five_thousand(house: House) -> None:
    card = house.new_card("small_limits", 100_000)
    with running(Daemon(house, "amount", deadline_seconds=15)) as daemon:
        codes = await codes_of_a_rush(daemon, card, 5_000)

    assert codes == {"00": 2, "61": REQUESTS - 2}
    assert house.journal(card) == [("hold", 5_000)] * 2
    assert house.faults() == []


async def test_a_balance_for_seventeen_approves_seventeen(house: House) -> None:
    card = house.new_card("no_partial", 17 * 300 + 299)
    with running(Daemon(house, "balance", deadline_seconds=15)) as daemon:
        codes = await codes_of_a_rush(daemon, card, 300)

    assert codes == {"00": 17, "51": REQUESTS - 17}
    assert house.journal(card) == [("hold", 300)] * 17
    assert house.shown(card).available == 299
    assert house.faults() == []
