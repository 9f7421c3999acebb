"""Bounds: how many sessions, how many in flight, how much waits for a peer that does not read."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from switch.network.arrival import Delivery
from switch.network.in_flight import InFlight
from switch.network.outbox import Outbox
from tests.network.support import House, approval, serving, until
from tests.network.test_liveness import closed_because
from tests.wire.support import purchase


async def test_connections_beyond_the_limit_are_closed_and_harm_nobody() -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, sessions_max=2) as served:
            first, second = await served.signed_on(), await served.signed_on()
            for _ in range(3):
                assert await (await served.connect()).is_closed()
            assert served.stats.sessions_refused == 3
            for peer in (first, second):
                await peer.say(f11="000001")
                await house.approve_next()
                assert await peer.hears_code() == ("000001", "00")
            first.reset()
            await until(lambda: served.stats.sessions_open == 1)
            await (await served.signed_on()).hears_nothing_more()
    assert [each["event"] for each in logs].count("session_refused") == 3


async def test_a_crowd_that_connects_at_once_stays_within_the_limit() -> None:
    async with serving(House(), sessions_max=5) as served:
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(served.connect)
        await until(lambda: served.stats.sessions_refused == 25)
        assert served.stats.sessions_open == 5


async def test_a_full_house_stops_the_reader_and_other_sessions_go_on() -> None:
    house = House(room=0)
    async with serving(house) as served:
        peer, other = await served.signed_on(), await served.signed_on()
        await peer.say(f11="000001")
        await until(lambda: house.blocked == 1)
        # The echo is not read while the reader waits at the intake.
        await peer.manage("echo", "000002")
        await other.hears_nothing_more()
        assert served.stats.frames_in == 2 + 1 + 1
        await house.approve_next()
        assert await peer.hears_code() == ("000001", "00")
        assert await peer.hears_code("0810") == ("000002", "00")


async def test_the_reader_stops_at_in_flight_max_and_goes_on_when_one_is_settled() -> None:
    house = House()
    async with serving(house, in_flight_max=2) as served:
        peer = await served.signed_on()
        for stan in ("000001", "000002"):
            await peer.say(f11=stan)
        arrivals = [await house.next(), await house.next()]
        assert served.stats.in_flight == 2
        await peer.say(f11="000003")
        await (await served.signed_on()).hears_nothing_more()
        assert house.waiting == 0
        assert arrivals[1].answer(approval()) is Delivery.SENT
        assert (await house.next()).request.stan == "000003"
        assert await peer.hears_code() == ("000002", "00")


async def test_the_deadline_frees_the_place_of_a_request(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    async with serving(house, in_flight_max=1) as served:
        peer = await served.signed_on()
        await peer.say(f11="000001")
        await house.next()
        await peer.say(f11="000002")
        mock_clock.jump(4)
        assert await peer.hears_code() == ("000001", "91")
        await house.approve_next()
        assert await peer.hears_code() == ("000002", "00")


async def test_a_peer_that_sends_and_never_reads_is_dropped(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    with capture_logs() as logs:
        async with serving(house, sign_on="optional", outbox_bytes_max=20_000) as served:
            slow, other = await served.connect(), await served.connect()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(house.approve_all)
                nursery.start_soon(flood, slow.stream, slow.frame(purchase()) * 100)
                # Either the outbox overflows, or the kernel takes no more and the writer's time-out passes.
                while served.stats.sessions_open == 2:
                    await other.hears_nothing_more()
                    mock_clock.jump(0.05)
                nursery.cancel_scope.cancel()
            await other.hears_nothing_more()
    assert closed_because(logs)[0] == "peer_not_reading"


async def flood(stream: trio.SocketStream, data: bytes) -> None:
    try:
        while True:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        return


async def test_outbox_joins_what_waits_and_knows_when_all_is_sent(autojump_clock: MockClock) -> None:
    outbox = Outbox(10)
    assert outbox.put(b"abc")
    assert outbox.put(b"defg")
    assert not outbox.put(b"hijk")  # 11 bytes
    assert await outbox.take() == b"abcdefg"
    assert not outbox.put(b"hijk")  # what is being sent still counts
    with trio.move_on_after(1) as waiting:
        await outbox.drained()
    assert waiting.cancelled_caught
    outbox.sent(7)
    await outbox.drained()
    assert outbox.put(b"hijk")
    outbox.finish()
    assert not outbox.put(b"l")
    assert await outbox.take() == b"hijk"
    assert await outbox.take() == b""


async def test_outbox_wakes_its_writer(autojump_clock: MockClock) -> None:
    outbox = Outbox(10)
    taken: list[bytes] = []

    async def write() -> None:
        while data := await outbox.take():
            taken.append(data)
            outbox.sent(len(data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        for piece in (b"a", b"b"):
            await trio.testing.wait_all_tasks_blocked()
            outbox.put(piece)
            outbox.send_now(None)
            await outbox.drained()
        outbox.finish()
    assert taken == [b"a", b"b"]
    assert outbox.waiting_bytes == 0


async def test_what_the_kernel_does_not_take_at_once_is_the_writers(autojump_clock: MockClock) -> None:
    outbox = Outbox(100)
    now: list[bytes] = []
    taken: list[bytes] = []
    hold = trio.Event()

    def two_bytes(data: bytes) -> int:
        now.append(data)
        return min(2, len(data))

    async def write() -> None:
        while data := await outbox.take():
            taken.append(data)
            await hold.wait()
            outbox.sent(len(data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        outbox.put(b"ab")
        outbox.send_now(two_bytes)
        assert (now, outbox.waiting_bytes) == ([b"ab"], 0)
        outbox.put(b"cd")
        outbox.put(b"efg")
        outbox.send_now(two_bytes)  # wakes the writer for the rest ...
        outbox.send_now(two_bytes)  # ... which is there to be sent until its turn comes
        await trio.testing.wait_all_tasks_blocked()
        assert (now, taken) == ([b"ab", b"cdefg", b"efg"], [b"g"])
        outbox.put(b"h")
        outbox.send_now(two_bytes)
        assert len(now) == 3, "nothing overtakes what the writer is sending"
        hold.set()
        await outbox.drained()
        outbox.put(b"ijk")
        outbox.send_now(two_bytes)
        outbox.send_now(two_bytes)  # the writer has been woken for nothing
        await trio.testing.wait_all_tasks_blocked()
        outbox.finish()
    assert taken == [b"g", b"h"]
    assert now[3:] == [b"ijk", b"k"]


async def test_in_flight_wakes_each_waiter_at_its_own_number(autojump_clock: MockClock) -> None:
    in_flight = InFlight()
    woken: list[int] = []

    async def wait(limit: int) -> None:
        await in_flight.below(limit)
        woken.append(limit)

    in_flight.add(3)
    async with trio.open_nursery() as nursery:
        for limit in (1, 3):
            nursery.start_soon(wait, limit)
        await trio.testing.wait_all_tasks_blocked()
        in_flight.remove()
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [3]
        in_flight.remove()
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [3]
        in_flight.remove()
    assert woken == [3, 1]
    with pytest.raises(AssertionError):
        in_flight.remove()
