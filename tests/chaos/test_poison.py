"""One message of a batch that PostgreSQL refuses fails alone."""

from __future__ import annotations

import pytest
import trio

from tests.chaos.acquirer import link_to, maker_for
from tests.chaos.daemon import DIALECTS, Daemon, running
from tests.chaos.row_lock import locked_row
from tests.house import POISON, House


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_message_that_postgresql_refuses_fails_alone(house: House, dialect: str) -> None:
    """The first message holds the batch loop at a locked row, so the others form one batch."""
    house.refuse_poison()
    card, others = house.new_card(), [house.new_card() for _ in range(5)]
    codes: dict[str, str] = {}

    async def ask(name: str, fields: dict[str, str]) -> None:
        answer = await link.ask(fields, 10)
        codes[name] = "none" if answer is None else answer["39"]

    with running(Daemon(house, f"poison_{dialect}", deadline_seconds=8)) as daemon:
        async with link_to(daemon, dialect) as link:
            with locked_row(house, card) as lock:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ask, "first", dict(maker_for(card, dialect).authorization("card", 100).fields))
                    await trio.sleep(0.2)
                    for number, other in enumerate(others):
                        fields = dict(maker_for(other, dialect, seed=number + 2).authorization("card", 100).fields)
                        if number == 2:
                            fields["43"] = POISON.ljust(38) + "JP"
                        nursery.start_soon(ask, f"card {number}", fields)
                    await trio.sleep(0.2)
                    assert codes == {}
                    lock.release()
        assert daemon.stop() == 0
    assert codes.pop("card 2") == "96"
    assert codes == dict.fromkeys(["first", "card 0", "card 1", "card 3", "card 4"], "00")
    assert [house.journal(other) for other in others] == [[("hold", 100)]] * 2 + [[]] + [[("hold", 100)]] * 2
    assert house.faults() == []
