"""What is asked of the kernel, seen on the sockets themselves."""

from __future__ import annotations

import socket

import pytest
import trio

from switch.network.settings import ListenerSettings
from switch.network.tcp import PeerAddress, peer_address, tune
from tests.network.support import House, serving
from tests.network.test_dialer import dialled

TCP = {
    "tcp_keepalive_idle_seconds": 7,
    "tcp_keepalive_interval_seconds": 3,
    "tcp_keepalive_probes": 2,
    "tcp_user_timeout_seconds": 12.5,
}


def options(stream: trio.SocketStream) -> list[int]:
    assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    return [stream.getsockopt(socket.IPPROTO_TCP, name) for name in names]  # type: ignore[misc]  # integers, without a buffer size


async def test_an_accepted_connection_has_its_options() -> None:
    house = House()
    async with serving(house, **TCP) as served:
        peer = await served.signed_on()
        await peer.say()
        session = (await house.next())._route
        assert options(session._stream._transport) == [7, 3, 2, 12_500]  # type: ignore[attr-defined]  # a look inside


async def test_a_dialled_connection_has_them_too() -> None:
    house = House()
    async with dialled(house, **TCP) as network:
        peer = await network.signed_on_call()
        await peer.say()
        session = (await house.next())._route
        assert options(session._stream._transport) == [7, 3, 2, 12_500]  # type: ignore[attr-defined]  # a look inside
        peer.stream.socket.close()


async def test_a_vanished_machine_is_noticed_by_default() -> None:
    house = House()
    async with serving(house) as served:
        stream = await served.stream()
        tune(stream, ListenerSettings(dialect="iso87_ascii", host="127.0.0.1", port=0))
        idle, interval, probes, user_timeout = options(stream)
        assert idle + interval * probes <= 120
        assert 0 < user_timeout <= 60_000


@pytest.mark.parametrize(("family", "source"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "127.0.0.1")])
async def test_an_ipv4_peer_goes_by_its_ipv4_address(family: socket.AddressFamily, source: str) -> None:
    with socket.socket(family) as listening:
        try:
            if family is socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listening.bind(("::" if family is socket.AF_INET6 else "127.0.0.1", 0))
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
        listening.listen()
        with socket.create_connection((source, listening.getsockname()[1])) as dialling:
            accepted = trio.SocketStream(trio.socket.from_stdlib_socket(listening.accept()[0]))
            async with accepted:
                assert peer_address(accepted) == PeerAddress(source, dialling.getsockname()[1])


def test_an_address_reads_as_one() -> None:
    assert str(PeerAddress("192.0.2.7", 1)) == "192.0.2.7:1"
    assert str(PeerAddress("2001:db8::7", 1)) == "[2001:db8::7]:1"
