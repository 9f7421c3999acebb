from __future__ import annotations

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from switch.network.arrival import Delivery
from tests.network.support import House, Served, approval, serving
from tests.network.test_liveness import closed_because


async def finished(served: Served) -> None:
    with trio.fail_after(5):
        await served.finished.wait()


@pytest.mark.parametrize("name", ["iso87_ascii", "iso87_binary"])
async def test_what_is_in_flight_is_answered_then_we_sign_off_and_close(name: str) -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, name) as served:
            peer = await served.signed_on()
            await peer.say(f11="000001")
            await peer.say(t="0120", f11="000002")
            arrivals = [await house.next(), await house.next()]
            served.drain.begin()
            # New work is refused meanwhile: requests with 91, so that the network stands in; advices by silence.
            await peer.say(f11="000003")
            assert await peer.hears_code() == ("000003", "91")
            await peer.say(t="0420", f11="000004")
            await peer.manage("sign_on", "000005")
            assert await peer.hears_code("0810") == ("000005", "91")
            assert not served.finished.is_set()
            assert [each.answer(approval()) for each in arrivals] == [Delivery.SENT] * 2
            assert await peer.hears_code("0110") == ("000001", "00")
            assert await peer.hears_code("0130") == ("000002", "00")
            sign_off = await peer.hears()
            assert (sign_off["t"], sign_off["70"]) == ("0800", "002")
            await peer.answer(sign_off)
            assert await peer.is_closed()
            await peer.stream.aclose()
            await finished(served)
    assert closed_because(logs) == ["drained"]
    assert house.waiting == 0


async def test_nobody_can_connect_to_a_program_that_stops() -> None:
    house = House()
    async with serving(house) as served:
        peer = await served.signed_on()
        await peer.say()
        arrival = await house.next()
        served.drain.begin()
        served.drain.begin()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(OSError, match="onnect"):
            await served.connect()
        arrival.drop()
        await peer.answer(await peer.hears())
        assert await peer.is_closed()


async def test_an_idle_listener_stops_at_once() -> None:
    async with serving(House()) as served:
        served.drain.begin()
        await finished(served)


async def test_a_session_that_was_not_signed_on_gets_no_sign_off() -> None:
    async with serving(House(), sign_on="optional") as served:
        peer = await served.connect()
        await peer.hears_nothing_more()
        served.drain.begin()
        assert await peer.is_closed()
        await peer.stream.aclose()
        await finished(served)


async def test_the_grace_is_bounded_and_a_peer_that_never_closes_too(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    async with serving(house, grace_seconds=30, echo_interval_seconds=0) as served:
        peer = await served.signed_on()
        await peer.say(t="0220", f11="000001")
        arrival = await house.next()
        served.drain.begin()
        await peer.hears_nothing_more()
        mock_clock.jump(31)
        assert (await peer.hears())["70"] == "002"
        mock_clock.jump(1.1)  # the sign-off is not answered
        assert await peer.is_closed()
        assert arrival.answer(approval()) is Delivery.GONE
        mock_clock.jump(1)  # nor does the peer close
        await finished(served)


async def test_an_arrival_that_is_at_the_door_when_the_drain_begins_is_still_served() -> None:
    house = House(room=0)
    async with serving(house) as served:
        peer = await served.signed_on()
        await peer.say(f11="000001")
        await trio.testing.wait_all_tasks_blocked()
        served.drain.begin()
        await trio.testing.wait_all_tasks_blocked()
        assert await house.approve_next() is Delivery.SENT
        assert await peer.hears_code() == ("000001", "00")
        assert (await peer.hears())["70"] == "002"
