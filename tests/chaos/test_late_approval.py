"""An approval that becomes durable after its deadline never reaches the wire, and does not keep the money."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from simulators.messages import as_repeat
from switch.wire.inbound import ManagementFunction
from tests.chaos.acquirer import link_to, maker_for
from tests.chaos.daemon import DIALECTS, Daemon, running, until
from tests.chaos.row_lock import locked_row
from tests.house import House

DEADLINE_SECONDS = 0.5


@pytest.fixture(scope="module")
def daemon(premises: tuple[House, object]) -> Iterator[Daemon]:
    with running(Daemon(premises[0], "late", deadline_seconds=DEADLINE_SECONDS)) as daemon:
        yield daemon


async def withdrawals_reach(daemon: Daemon, number: float) -> None:
    await until(lambda: daemon.metric("switch_approvals_withdrawn_total") >= number)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("mti", "kinds"), [("0100", ("hold", "release")), ("0200", ("posting", "posting_reversal"))])
async def test_past_the_deadline_91_goes_out_once_and_the_money_comes_back(
    daemon: Daemon, house: House, dialect: str, mti: str, kinds: tuple[str, str]
) -> None:
    card = house.new_card(balance_minor=10_000)
    maker = maker_for(card, dialect)
    request = maker.authorization("card", 1_000) if mti == "0100" else maker.purchase("card", 1_000)
    before = daemon.metric("switch_approvals_withdrawn_total")
    async with link_to(daemon, dialect) as link:
        with locked_row(house, card):
            answer = await link.ask(request.fields, 5)
            assert answer is not None and answer["39"] == "91"
            assert house.journal(card) == []
        await withdrawals_reach(daemon, before + 1)

        # An echo's answer would come after anything that the release of the row has set loose.
        assert await link.manage(ManagementFunction.ECHO, 5) == "00"
        assert list(link.strays) == []
        assert house.journal(card) == [(kinds[0], 1_000), (kinds[1], 1_000)]
        shown = house.shown(card)
        assert (shown.posted, shown.held, shown.available) == (10_000, 0, 10_000)

        again = await link.ask(as_repeat(request).fields, 5)
        assert again is not None and again["39"] == "91"
        assert again["t"] == mti[:2] + "10"
        assert len(house.journal(card)) == 2
    assert house.explained(card)[0]["state"] == "withdrawn"
    assert house.faults() == []


async def test_within_the_deadline_it_is_an_ordinary_approval(daemon: Daemon, house: House) -> None:
    card = house.new_card(balance_minor=10_000)
    request = maker_for(card).authorization("card", 1_000)
    answers: list[dict[str, str] | None] = []

    async def ask() -> None:
        answers.append(await link.ask(request.fields, 5))

    async with link_to(daemon) as link, trio.open_nursery() as nursery:
        with locked_row(house, card) as lock:
            nursery.start_soon(ask)
            await trio.sleep(DEADLINE_SECONDS / 5)
            assert answers == []
            lock.release()
    assert [answer and answer["39"] for answer in answers] == ["00"]
    assert house.journal(card) == [("hold", 1_000)]


async def test_a_repeat_in_flight_with_the_late_approval_is_answered_as_the_first(daemon: Daemon, house: House) -> None:
    """Both wait for the row, both get 91, and the approval is taken back once."""
    card = house.new_card(balance_minor=10_000)
    request = maker_for(card).authorization("card", 1_000)
    before = daemon.metric("switch_approvals_withdrawn_total")
    codes: list[str] = []

    async def ask(fields: dict[str, str]) -> None:
        answer = await link.ask(fields, 5)
        codes.append("none" if answer is None else answer["39"])

    async with link_to(daemon) as link:
        with locked_row(house, card):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, dict(request.fields))
                await trio.sleep(DEADLINE_SECONDS / 5)
                nursery.start_soon(ask, dict(as_repeat(request).fields))
        await withdrawals_reach(daemon, before + 1)
        assert await link.manage(ManagementFunction.ECHO, 5) == "00"
        assert list(link.strays) == []
    assert codes == ["91", "91"]
    assert house.shown(card).held == 0
    assert house.journal(card) == [("hold", 1_000), ("release", 1_000)]
    assert house.faults() == []
