"""kill -9 of the daemon in the middle of the traffic, ten times."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from simulators.load import LoadSettings, run_load
from simulators.network import Habits
from tests.chaos.acquirer import booked_twice, differences, missing, network_to, new_cards
from tests.chaos.daemon import Daemon, running, until
from tests.house import House

KILLS = 10
ANSWERS_BETWEEN = 60


@pytest.mark.long
async def test_ten_kills_lose_no_approval_and_book_none_twice(house: House) -> None:
    cards = new_cards(house, 8)
    # Nobody stands in: whatever gets no answer is reversed, whether it arrived or not.
    habits = Habits(answer_timeout=3.0, retry_after=0.2, reconnect_after=0.05)
    load = LoadSettings(window=32, seconds=300, seed=7, cards=tuple(cards))
    with running(Daemon(house, "killed")) as daemon:
        async with network_to([daemon], cards, habits=habits, links=2) as network:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run_load, network, load)
                for _ in range(KILLS):
                    target = network.answered + ANSWERS_BETWEEN
                    await until(partial(network.has_answered, target))
                    daemon.kill()
                    await trio.to_thread.run_sync(daemon.start)
                nursery.cancel_scope.cancel()
            with trio.fail_after(30):
                await network.settled()
            counts = network.counts

            assert counts["unanswered"] > 0, "no kill met a message in flight"
            assert counts["0400 sent"] + counts["0420 sent"] > 0
            assert missing(house, network, cards) == []
            assert all(booked_twice(house, card) == [] for card in cards.values())
            assert differences(house, network, cards) == []
            assert house.faults() == []
        assert daemon.stop() == 0
