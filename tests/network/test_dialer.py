from __future__ import annotations

import functools
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from switch.network.backoff import Backoff, Draw
from switch.network.dialer import run_dialer
from switch.network.drain import Drain
from switch.network.settings import DialerSettings
from switch.network.stats import NetworkStats
from tests.network.authority import SERVER, Authority
from tests.network.support import PATIENCE_SECONDS, House, Peer, until
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
async def dialled(
    house: House, name: str = "iso87_ascii", *, draw: Draw = random.uniform, **changes: Any
) -> AsyncIterator[Network]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    network = Network(listener, NetworkStats(), Drain(5), name)
    # A test has no time to wait until a session has lived a while.
    pauses = {"reconnect_min_seconds": 0.01, "reconnect_max_seconds": 0.02, "reconnect_reset_seconds": 0, **changes}
    if "hosts" not in pauses:
        pauses.update(host="127.0.0.1", port=port)
    async with listener, trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            await run_dialer(
                DialerSettings(dialect=name, **pauses),
                house.intake,
                dialect=dialect(name),
                stats=network.stats,
                drain=network.drain,
                draw=draw,
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


# ── pauses


def test_pauses_are_drawn_below_a_ceiling_that_doubles_up_to_a_bound() -> None:
    drawn: list[tuple[float, float]] = []

    def draw(least: float, most: float) -> float:
        drawn.append((least, most))
        return most / 3

    backoff = Backoff(0.5, 30, draw)
    assert backoff.pause_seconds() == 0.5 / 3
    for _ in range(8):
        backoff.failed()
        backoff.pause_seconds()
    backoff.succeeded()
    backoff.pause_seconds()
    assert drawn == [(0.0, most) for most in (0.5, 1, 2, 4, 8, 16, 30, 30, 30, 0.5)]
    for _ in range(10_000):
        backoff.failed()
    assert backoff.pause_seconds() == 10


@pytest.mark.parametrize(
    ("reset_seconds", "ceilings"),
    [
        pytest.param(0, [0.02, 0.04, 0.01, 0.01], id="a session that lived starts anew"),
        pytest.param(60, [0.02, 0.04, 0.08, 0.16], id="one that ends at once is a failure"),
    ],
)
async def test_how_the_pauses_grow_and_shrink(reset_seconds: float, ceilings: list[float]) -> None:
    drawn: list[float] = []

    def draw(least: float, most: float) -> float:
        assert least == 0
        drawn.append(most)
        return 0

    async with dialled(House(), draw=draw, reconnect_max_seconds=1, reconnect_reset_seconds=reset_seconds) as network:
        for _ in range(2):
            peer = await network.answered_call()
            await peer.answer(await peer.hears(), code="91")
            await peer.stream.aclose()
        for _ in range(2):
            peer = await network.signed_on_call()
            await peer.hears_nothing_more()
            await peer.stream.aclose()
        (await network.answered_call()).stream.socket.close()
    assert drawn[:4] == ceilings


# ── several hosts


async def call(listener: trio.SocketListener, *, answer: bool = True) -> Peer:
    with trio.fail_after(PATIENCE_SECONDS):
        peer = Peer(await listener.accept())
    sign_on = await peer.hears()
    if answer:
        await peer.answer(sign_on)
        await peer.hears_nothing_more()
    return peer


def at(listener: trio.SocketListener) -> str:
    return f"127.0.0.1:{listener.socket.getsockname()[1]}"


async def test_the_alternate_is_called_when_the_primary_fails_and_the_primary_again_after_that() -> None:
    house = House()
    listeners = [(await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] for _ in range(2)]
    primary, alternate = listeners
    hosts = (at(primary), at(alternate))
    async with primary, alternate, dialled(house, hosts=hosts, echo_timeout_seconds=0.1) as network:
        first = await call(primary)
        await first.stream.aclose()
        # A session that lived a while has ended: the primary is called again, not the alternate.
        second = await call(primary)
        await second.stream.aclose()
        # It takes the call and does not answer the sign-on: the alternate is called at once.
        deaf = await call(primary, answer=False)
        third = await call(alternate)
        deaf.stream.socket.close()
        # The primary's machine has gone altogether.
        port = primary.socket.getsockname()[1]
        await primary.aclose()
        await third.stream.aclose()
        fourth = await call(alternate)
        assert network.stats.connects_failed == 1
        await fourth.say(f11="000001")
        await house.approve_next()
        assert await fourth.hears_code() == ("000001", "00")
        # It is back: once the alternate's session ends, it comes first again.
        (primary,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
        await fourth.stream.aclose()
        async with primary:
            fifth = await call(primary)
            fifth.stream.socket.close()


async def test_a_primary_that_drops_every_session_does_not_keep_the_alternate_away() -> None:
    listeners = [(await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] for _ in range(2)]
    primary, alternate = listeners
    async with primary, alternate, dialled(House(), hosts=(at(primary), at(alternate)), reconnect_reset_seconds=60):
        flapping = await call(primary)
        await flapping.stream.aclose()
        (await call(alternate)).stream.socket.close()


# ── TLS


async def accepted(network: Network, context: ssl.SSLContext) -> Peer:
    """A TLS connection of the dialler. Raises BrokenResourceError when the handshake fails."""
    with trio.fail_after(PATIENCE_SECONDS):
        stream = trio.SSLStream(await network.listener.accept(), context, server_side=True)
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError:
            await stream.aclose()
            raise
    return Peer(stream, network.name)


async def test_it_dials_with_tls_and_shows_its_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    house = House()
    tls = authority.dialer(**authority.files("issuer.example"))
    with capture_logs() as logs:
        async with dialled(house, tls=tls) as network:
            peer = await accepted(network, authority.server(ask=True))
            assert ("DNS", "issuer.example") in peer.stream.getpeercert()["subjectAltName"]
            await peer.answer(await peer.hears())
            await peer.say(f11="000001")
            await house.approve_next()
            assert await peer.hears_code() == ("000001", "00")
            peer.stream.transport_stream.socket.close()
    (opened,) = [each for each in logs if each["event"] == "session_opened"]
    assert opened["tls"] == "TLSv1.3"
    assert opened["session"].endswith(f" {SERVER}")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("foreign", "certificate refused: unable to get local issuer certificate"),
        ("name", "certificate refused: Hostname mismatch, certificate is not valid for 'other.example'."),
        ("address", "certificate refused: IP address mismatch, certificate is not valid for '127.0.0.1'."),
    ],
)
async def test_a_peer_that_is_not_who_was_dialled_gets_no_session(tmp_path: Path, kind: str, error: str) -> None:
    authority = Authority(tmp_path)
    tls = {
        "foreign": authority.dialer(ca=Authority(tmp_path, "foreign").file),
        "name": authority.dialer(server_name="other.example"),
        "address": authority.dialer(server_name=""),  # then it is the host that is dialled
    }[kind]
    with capture_logs() as logs:
        async with dialled(House(), tls=tls) as network:
            with pytest.raises(trio.BrokenResourceError) as caught:
                await accepted(network, authority.server())
            assert "ALERT" in str(caught.value.__cause__)  # the peer's operator reads why
            assert network.stats.handshakes_failed == 1
            assert network.stats.sessions_opened == 0
    assert next(each["error"] for each in logs if each["event"] == "handshake_failed") == error


async def test_a_peer_that_wants_a_certificate_and_gets_none_is_named_in_the_log(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with capture_logs() as logs:
        async with dialled(House(), tls=authority.dialer()) as network:
            # trio's stream sends no alert, so the peer is the standard library in a thread.
            with trio.fail_after(PATIENCE_SECONDS):
                connection = await network.listener.accept()
                await trio.to_thread.run_sync(_refuse, connection.socket.fileno(), authority.server(ask=True))
            await until(lambda: network.stats.sessions_opened and not network.stats.sessions_open)
            await connection.aclose()
    closed = next(each for each in logs if each["event"] == "session_closed")
    assert (closed["reason"], closed["error"]) == ("connection_lost", "tlsv13 alert certificate required")


def _refuse(descriptor: int, context: ssl.SSLContext) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as plain:
        plain.settimeout(PATIENCE_SECONDS)
        with pytest.raises(ssl.SSLError), context.wrap_socket(plain, server_side=True):
            pass


async def test_a_peer_that_accepts_and_says_no_tls_is_given_up_in_time(tmp_path: Path) -> None:
    tls = Authority(tmp_path).dialer(handshake_timeout_seconds=0.05)
    with capture_logs() as logs:
        async with dialled(House(), tls=tls) as network:
            first = await network.answered_call()
            await until(lambda: network.stats.handshakes_failed == 1)
            first.stream.socket.close()
            (await network.answered_call()).stream.socket.close()
    assert next(each["error"] for each in logs if each["event"] == "handshake_failed") == "timeout"
