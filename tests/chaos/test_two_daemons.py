"""Two daemons on one database, with traffic of the same cards and even of the same purchases through both."""

from __future__ import annotations

from collections import Counter

import trio

from simulators.load import LoadSettings, run_load
from simulators.messages import as_repeat
from tests.chaos.acquirer import booked_twice, differences, link_to, maker_for, missing, network_to, new_cards
from tests.chaos.daemon import Daemon, running
from tests.house import House


async def test_the_books_agree(house: House) -> None:
    cards = new_cards(house, 3)
    load = LoadSettings(window=48, count=900, seed=5, cards=tuple(cards))
    with running(Daemon(house, "east")) as east, running(Daemon(house, "west")) as west:
        async with network_to([east, west], cards, links=2) as network:
            await run_load(network, load)
            with trio.fail_after(30):
                await network.settled()

            assert all(daemon.metric("switch_batches_total") > 10 for daemon in (east, west))
            assert missing(house, network, cards) == []
            assert all(booked_twice(house, card) == [] for card in cards.values())
            assert differences(house, network, cards) == []
            assert house.faults() == []
        assert (east.stop(), west.stop()) == (0, 0)


async def test_one_limit_holds_over_both(house: House) -> None:
    card = house.new_card("small_limits", 100_000)
    codes: Counter[str] = Counter()
    with running(Daemon(house, "left")) as left, running(Daemon(house, "right")) as right:
        async with link_to(left) as one, link_to(right) as other, trio.open_nursery() as nursery:
            maker = maker_for(card)

            async def buy(number: int) -> None:
                answer = await (one, other)[number % 2].ask(maker.authorization("card", 100).fields, 10)
                codes["none" if answer is None else answer["39"]] += 1

            for number in range(32):
                nursery.start_soon(buy, number)
    assert codes == {"00": 3, "65": 29}
    assert house.journal(card) == [("hold", 100)] * 3


async def test_a_card_and_its_credential_spend_one_balance(house: House) -> None:
    card = house.new_card(balance_minor=1_000)
    credential = house.new_credential(card)
    codes: Counter[str] = Counter()
    with running(Daemon(house, "plastic")) as plastic, running(Daemon(house, "contactless")) as contactless:
        async with (
            link_to(plastic) as one,
            link_to(contactless, "iso87_binary") as other,
            trio.open_nursery() as nursery,
        ):
            makers = ((one, maker_for(card)), (other, maker_for(credential, "iso87_binary")))

            async def buy(number: int) -> None:
                link, maker = makers[number % 2]
                answer = await link.ask(maker.authorization("card", 100).fields, 10)
                codes["none" if answer is None else answer["39"]] += 1

            for number in range(32):
                nursery.start_soon(buy, number)
    assert codes == {"00": 10, "51": 22}
    assert house.journal(card) == [("hold", 100)] * 10
    shown = house.shown(card)
    assert (shown.posted, shown.held, shown.available) == (1_000, 1_000, 0)
    assert house.faults() == []


async def test_a_repeat_through_the_other_daemon_gets_the_same_answer(house: House) -> None:
    card = house.new_card(balance_minor=1_000)
    request = maker_for(card).authorization("card", 600)
    with running(Daemon(house, "first")) as first, running(Daemon(house, "second")) as second:
        async with link_to(first) as one, link_to(second) as other:
            answer = await one.ask(request.fields, 10)
            again = await other.ask(as_repeat(request).fields, 10)
    assert answer is not None and again is not None
    assert answer["39"] == "00"
    assert {**again, "t": answer["t"]} == answer
    assert house.journal(card) == [("hold", 600)]
