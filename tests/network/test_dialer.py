from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from switch.network.dialer import run_dialer
from switch.network.drain import Drain
from switch.network.settings import DialerSettings
from switch.network.stats import NetworkStats
from tests.network.support import PATIENCE_SECONDS, House, Peer
from tests.wire.support import dialect


class Network:
    """A card network that waits to be called."""

    def __init__(self, listener: trio.SocketListener, stats: NetworkStats, drain: Drain, name: str) -> None:
        self.listener = listener
        self.stats = stats
        self.drain = drain
        self.name = name
        self.finished = trio.Event()

    async def answered_call(self) -> Peer:
        """The next connection, as far as a connection goes."""
        with trio.fail_after(PATIENCE_SECONDS):
            return Peer(await self.listener.accept(), self.name)

    async def signed_on_call(self) -> Peer:
        peer = await self.answered_call()
        sign_on = await peer.hears()
        assert (sign_on["t"], sign_on["70"]) == ("0800", "001")
        await peer.answer(sign_on)
        return peer


@asynccontextmanager
async def dialled(house: House, name: str = "iso87_ascii", **changes: Any) -> AsyncIterator[Network]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    network = Network(listener, NetworkStats(), Drain(5), name)
    pauses = {"reconnect_min_seconds": 0.01, "reconnect_max_seconds": 0.02, **changes}
    async with listener, trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            await run_dialer(
                DialerSettings(dialect=name, host="127.0.0.1", port=port, **pauses),
                house.intake,
                dialect=dialect(name),
                stats=network.stats,
                drain=network.drain,
                task_status=task_status,
            )
            network.finished.set()

        await nursery.start(run)
        try:
            yield network
        finally:
            nursery.cancel_scope.cancel()
    assert network.stats.sessions_open == 0
    assert network.stats.sessions_signed_on == 0


@pytest.mark.parametrize("name", ["iso87_ascii", "iso87_binary"])
async def test_it_connects_signs_on_and_serves(name: str) -> None:
    house = House()
    async with dialled(house, name) as network:
        peer = await network.signed_on_call()
        await peer.say(f11="000001")
        await house.approve_next()
        assert await peer.hears_code() == ("000001", "00")
        peer.stream.socket.close()


async def test_before_the_sign_on_is_accepted_requests_are_refused() -> None:
    house = House()
    async with dialled(house) as network:
        peer = await network.answered_call()
        await peer.hears()
        await peer.say(f11="000001")
        assert await peer.hears_code() == ("000001", "91")
        peer.stream.socket.close()
    assert house.waiting == 0


async def test_it_calls_again_when_the_session_ends_however_it_ends() -> None:
    house = House()
    with capture_logs() as logs:
        async with dialled(house) as network:
            (await network.signed_on_call()).reset()
            peer = await network.answered_call()
            await peer.answer(await peer.hears(), code="91")
            assert await peer.is_closed()
            peer.stream.socket.close()
            peer = await network.signed_on_call()
            await peer.stream.aclose()
            peer = await network.signed_on_call()
            await peer.say(f11="000001")
            await house.approve_next()
            assert await peer.hears_code() == ("000001", "00")
            peer.stream.socket.close()
            assert network.stats.sessions_opened == 4
    reasons = [each["reason"] for each in logs if each["event"] == "session_closed"]
    assert reasons[:3] == ["connection_lost", "sign_on_refused", "peer_closed"]


async def test_a_peer_that_is_away_is_dialled_until_it_is_there(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    (placeholder,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = placeholder.socket.getsockname()[1]
    await placeholder.aclose()
    stats, drain = NetworkStats(), Drain()
    settings = DialerSettings(dialect="iso87_ascii", host="127.0.0.1", port=port, reconnect_max_seconds=60)
    async with trio.open_nursery() as nursery:
        await nursery.start(
            functools.partial(
                run_dialer, settings, House().intake, dialect=dialect("iso87_ascii"), stats=stats, drain=drain
            )
        )
        with trio.fail_after(1000):
            while stats.connects_failed < 5:
                await trio.lowlevel.checkpoint()
                mock_clock.jump(0.01)
        (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
        async with listener:
            mock_clock.jump(60)
            with trio.fail_after(PATIENCE_SECONDS):
                stream = await listener.accept()
            peer = Peer(stream)
            assert (await peer.hears())["70"] == "001"
            stream.socket.close()
        drain.begin()
    assert stats.sessions_opened == 1


async def test_the_drain_signs_off_and_ends_the_dialling() -> None:
    async with dialled(House()) as network:
        peer = await network.signed_on_call()
        await peer.hears_nothing_more()
        network.drain.begin()
        sign_off = await peer.hears()
        assert sign_off["70"] == "002"
        await peer.answer(sign_off)
        assert await peer.is_closed()
        await peer.stream.aclose()
        with trio.fail_after(PATIENCE_SECONDS):
            await network.finished.wait()


async def test_the_drain_ends_a_pause_between_two_calls() -> None:
    async with dialled(House(), reconnect_min_seconds=3000, reconnect_max_seconds=3000) as network:
        peer = await network.answered_call()
        await peer.hears()
        peer.reset()
        with trio.fail_after(PATIENCE_SECONDS):
            while not (network.stats.sessions_opened and network.stats.sessions_open == 0):
                await trio.lowlevel.checkpoint()
            network.drain.begin()
            await network.finished.wait()
