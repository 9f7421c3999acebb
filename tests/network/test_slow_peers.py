"""Peers that are slow, silent or gone: each ends by its own time-out, while a healthy one beside it is served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from tests.network.support import House, Peer, Served, serving, until
from tests.network.test_limits import flood
from tests.network.test_liveness import closed_because
from tests.wire.support import purchase


class Healthy:
    """A session that answers echoes and asks."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._asked = 0

    async def is_served(self) -> None:
        """Five requests, one by one."""
        for _ in range(5):
            self._asked += 1
            stan = f"{self._asked:06d}"
            await self.peer.say(f11=stan)
            message = await self.peer.hears()
            while message["t"] == "0800":
                await self.peer.answer(message)
                message = await self.peer.hears()
            assert (message["t"], message["11"], message["39"]) == ("0110", stan, "00")


@asynccontextmanager
async def beside(served: Served, house: House) -> AsyncIterator[Healthy]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.approve_all)
        yield Healthy(await served.connect())
        nursery.cancel_scope.cancel()


async def test_a_peer_that_reads_nothing() -> None:
    house = House()
    with capture_logs() as logs:
        async with (
            serving(house, sign_on="optional", send_timeout_seconds=0.2, in_flight_max=1000) as served,
            beside(served, house) as healthy,
        ):
            slow = await served.connect()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood, slow.stream, slow.frame(purchase()) * 100)
                while served.stats.sessions_open == 2:
                    await healthy.is_served()
                nursery.cancel_scope.cancel()
            await healthy.is_served()
    assert closed_because(logs)[0] == "peer_not_reading"


async def test_a_peer_that_sends_a_byte_a_minute(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    with capture_logs() as logs:
        # Echoes off: what ends it must not be a silence.
        async with (
            serving(house, sign_on="optional", echo_interval_seconds=0, partial_frame_timeout_seconds=150) as served,
            beside(served, house) as healthy,
        ):
            slow = await served.connect()
            for byte in slow.frame(purchase())[:3]:
                assert served.stats.sessions_open == 2
                await slow.send(bytes([byte]))
                await healthy.is_served()
                mock_clock.jump(60)
                await healthy.is_served()
            # 150 seconds after the first byte, and not after the last.
            assert await slow.is_closed()
            await healthy.is_served()
    assert closed_because(logs)[0] == "partial_frame"


async def test_a_peer_that_has_vanished(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    with capture_logs() as logs:
        async with serving(house, sign_on="optional") as served, beside(served, house) as healthy:
            vanished = await served.signed_on()
            for seconds in (60, 10, 10):
                mock_clock.jump(seconds)
                await healthy.is_served()
            # Nothing has come from it since, neither an answer nor an end: it reads only now what was sent meanwhile.
            assert [(await vanished.hears())["70"] for _ in range(2)] == ["301", "301"]
            assert await vanished.is_closed()
            assert served.stats.echoes_missed == 2
    assert closed_because(logs)[0] == "peer_dead"


async def test_five_hundred_idle_sessions_cost_a_healthy_one_nothing_and_end_when_they_are_silent(
    mock_clock: MockClock,
) -> None:
    mock_clock.rate = 0.2  # slow machines need longer for five hundred
    house = House()
    with capture_logs() as logs:
        async with (
            serving(house, sign_on="optional", sessions_max=501, sessions_per_peer_max=501) as served,
            beside(served, house) as healthy,
        ):
            idle = [await served.connect() for _ in range(500)]
            await until(lambda: served.stats.sessions_open == 501)
            assert await (await served.connect()).is_closed()
            await healthy.is_served()
            mock_clock.jump(60)
            # Half of them answer the echo; the others are asked once more, and are gone after that.
            for peer in idle[:250]:
                await peer.answer(await peer.hears())
            await healthy.is_served()
            for _ in range(2):
                mock_clock.jump(10)
                await healthy.is_served()
            await until(lambda: served.stats.sessions_open == 251)
            for peer in idle[:250:50]:
                await peer.hears_nothing_more()
            await healthy.is_served()
    assert closed_because(logs)[:250] == ["peer_dead"] * 250


async def test_a_peer_that_never_signs_on(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    async with (
        serving(house, sign_on_timeout_seconds=30, echo_interval_seconds=0) as served,
        beside(served, house) as healthy,
    ):
        await healthy.peer.sign_on()
        idle = await served.connect()
        await idle.manage("echo", "000001")
        assert await idle.hears_code("0810") == ("000001", "00")
        mock_clock.jump(29)
        await idle.hears_nothing_more()
        mock_clock.jump(1)
        assert await idle.is_closed()
        # One that has been signed on may sign off and stay.
        await healthy.is_served()
        await healthy.peer.manage("sign_off", "000002")
        assert await healthy.peer.hears_code("0810") == ("000002", "00")
        mock_clock.jump(60)
        await healthy.peer.sign_on()
        await healthy.is_served()
        assert served.stats.sessions_closed == {"never_signed_on": 1}


@pytest.mark.parametrize("name", ["iso87_ascii", "iso87_binary"])
@pytest.mark.parametrize("frame_bytes_max", [8192, 65_535])
async def test_a_length_of_65535(name: str, frame_bytes_max: int) -> None:
    """Beyond the limit it ends the session at once, without waiting for the bytes; within, it is a frame like others."""
    house = House()
    with capture_logs() as logs:
        async with (
            serving(house, name, sign_on="optional", frame_bytes_max=frame_bytes_max) as served,
            beside(served, house) as healthy,
        ):
            peer = await served.connect()
            if frame_bytes_max < 65_535:
                await peer.send(b"\xff\xff")
                assert await peer.is_closed()
                assert served.stats.framing_failures == 1
            else:
                await peer.send(b"\xff\xff" + b"\x00" * 65_535)
                await peer.hears_nothing_more()
                assert served.stats.decode_failures == 1
            await healthy.is_served()
    assert (closed_because(logs)[0] == "framing_error") is (frame_bytes_max < 65_535)
