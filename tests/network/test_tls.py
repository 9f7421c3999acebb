"""TLS on listeners. The peers are trio's own TLS stream, so that ours is never tested against itself alone."""

from __future__ import annotations

import ssl
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from switch.network.arrival import Delivery
from switch.network.tls import TlsStream
from tests.network.authority import SERVER, Authority
from tests.network.support import PATIENCE_SECONDS, House, Peer, Served, approval, serving, until
from tests.network.test_liveness import closed_because
from tests.wire.support import purchase


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def connect(served: Served, context: ssl.SSLContext) -> Peer:
    stream = trio.SSLStream(await served.stream(), context, server_hostname=SERVER)  # closed with the listener
    with trio.fail_after(PATIENCE_SECONDS):
        await stream.do_handshake()
    return Peer(stream, served.name)


async def serves(house: House, peer: Peer, stan: str = "000077") -> None:
    await peer.say(f11=stan)
    await house.approve_next()
    assert await peer.hears_code() == (stan, "00")


def events(logs: list[MutableMapping[str, Any]], name: str) -> list[MutableMapping[str, Any]]:
    return [each for each in logs if each["event"] == name]


# ── messages


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_over_tls(authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.client()
    context.minimum_version = context.maximum_version = version
    house = House()
    with capture_logs() as logs:
        async with serving(house, tls=authority.listener()) as served:
            peer = await connect(served, context)
            await peer.sign_on()
            await serves(house, peer)
        assert not peer.stream.session.has_ticket
    (opened,) = events(logs, "session_opened")
    assert opened["tls"] == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]


async def test_an_old_version_is_refused_where_the_new_one_is_demanded(authority: Authority) -> None:
    context = authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(House(), tls=authority.listener(minimum_version="1.3")) as served:
        with pytest.raises(trio.BrokenResourceError) as caught:
            await connect(served, context)
        assert "PROTOCOL_VERSION" in str(caught.value.__cause__)
        (await connect(served, authority.client())).stream.transport_stream.socket.close()


async def test_one_byte_and_fifty_frames_at_a_time(authority: Authority) -> None:
    house = House()
    async with serving(house, tls=authority.listener(), sign_on="optional") as served:
        peer = await connect(served, authority.client())
        for byte in peer.frame(purchase(f11="000001")):
            await peer.send(bytes([byte]))
        stans = [f"{number:06d}" for number in range(2, 52)]
        await peer.send(b"".join(peer.frame(purchase(f11=stan)) for stan in stans))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.approve_all)
            assert [await peer.hears_code() for _ in range(51)] == [(stan, "00") for stan in ["000001", *stans]]
            nursery.cancel_scope.cancel()


async def test_bytes_that_are_no_tls_after_the_handshake_end_that_session_alone(authority: Authority) -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, tls=authority.listener(), sign_on="optional") as served:
            good, bad = await connect(served, authority.client()), await connect(served, authority.client())
            await bad.stream.transport_stream.send_all(b"\x17\x03\x03\x00\x20" + b"x" * 32)
            with pytest.raises(trio.BrokenResourceError) as caught, trio.fail_after(PATIENCE_SECONDS):
                await bad.stream.receive_some()
            assert "ALERT_BAD_RECORD_MAC" in str(caught.value.__cause__)
            await serves(house, good)
    (closed, *_) = events(logs, "session_closed")
    assert (closed["reason"], closed["error"]) == ("connection_lost", "decryption failed or bad record mac")


# ── who may come in


async def test_with_a_client_authority_the_certificate_names_the_session(authority: Authority) -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, tls=authority.listener(client_ca=authority.file)) as served:
            by_common_name = await connect(served, authority.client("acquirer.example", common_name="Blue\nNetwork"))
            by_alternative = await connect(served, authority.client("acquirer.example"))
            for peer in (by_common_name, by_alternative):
                await peer.sign_on()
                await serves(house, peer)
    labels = [each["session"] for each in events(logs, "session_opened")]
    assert labels[0].endswith(" Blue?Network") and labels[1].endswith(" acquirer.example")
    assert all(" 127.0.0.1:" in label for label in labels)


@pytest.mark.parametrize(
    ("kind", "alert", "error"),
    [
        ("none", "CERTIFICATE_REQUIRED", "peer did not return a certificate"),
        ("foreign", "UNKNOWN_CA", "certificate refused: unable to get local issuer certificate"),
    ],
)
async def test_without_the_right_certificate_there_is_no_session_and_both_sides_know_why(
    authority: Authority, tmp_path: Path, kind: str, alert: str, error: str
) -> None:
    context = authority.client()
    if kind == "foreign":
        files = Authority(tmp_path, "foreign").files("acquirer.example")
        context.load_cert_chain(files["certificate"], files["key"])
    house = House()
    with capture_logs() as logs:
        async with serving(house, tls=authority.listener(client_ca=authority.file)) as served:
            good = await connect(served, authority.client("acquirer.example"))
            # In TLS 1.3 the client's handshake is over before the server has looked at its certificate.
            refused = await connect(served, context)
            await refused.manage("sign_on")
            with pytest.raises(trio.BrokenResourceError) as caught, trio.fail_after(PATIENCE_SECONDS):
                await refused.stream.receive_some()
            assert alert in str(caught.value.__cause__)
            assert served.stats.handshakes_failed == 1
            assert served.stats.sessions_opened == 1
            await good.sign_on()
            await serves(house, good)
    (failed,) = events(logs, "handshake_failed")
    assert " 127.0.0.1:" in failed["session"] and failed["error"] == error


async def test_only_named_clients_of_the_authority_get_a_session(authority: Authority) -> None:
    tls = authority.listener(client_ca=authority.file, client_names=("blue.example",))
    with capture_logs() as logs:
        async with serving(House(), tls=tls) as served:
            await (await connect(served, authority.client("blue.example"))).sign_on()
            assert await (await connect(served, authority.client("red.example"))).is_closed()
            assert served.stats.sessions_opened == 1
    (failed,) = events(logs, "handshake_failed")
    assert failed["error"] == "client_names: red.example is not among them"


# ── handshakes that fail


async def test_plain_text_on_a_tls_port(authority: Authority) -> None:
    with capture_logs() as logs:
        async with serving(House(), tls=authority.listener()) as served:
            stream = await served.stream()
            # Far more than was read before it failed: closing over the rest would reset the connection.
            with trio.fail_after(PATIENCE_SECONDS):
                await stream.send_all(b"GET / HTTP/1.1\r\n" * 250_000)
                assert await stream.receive_some() == b""
            await until(lambda: served.stats.handshakes_failed == 1)
            assert served.stats.sessions_opened == 0
    assert events(logs, "handshake_failed")[0]["error"] not in {"", "timeout", "unexpected eof while reading"}


async def test_a_peer_that_never_finishes_its_handshake_keeps_nobody_waiting_and_gives_its_place_back(
    authority: Authority, mock_clock: MockClock
) -> None:
    mock_clock.rate = 1.0
    house = House()
    with capture_logs() as logs:
        async with serving(house, tls=authority.listener(), sessions_max=3) as served:
            early = await connect(served, authority.client())
            silent, halfway = await served.stream(), await served.stream()
            await halfway.send_all(b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a client's hello
            assert await (await served.connect()).is_closed()  # no place is left
            assert served.stats.sessions_refused == 1
            await early.sign_on()
            await serves(house, early)
            mock_clock.jump(5)
            for stream in (silent, halfway):
                with trio.fail_after(PATIENCE_SECONDS):
                    assert await stream.receive_some() == b""
                stream.socket.close()
            assert served.stats.handshakes_failed == 2
            mock_clock.jump(1)
            await until(lambda: served.stats.sessions_open == 1)
            late = await connect(served, authority.client())
            await late.sign_on()
            await serves(house, late)
            await serves(house, early)
    assert [each["error"] for each in events(logs, "handshake_failed")] == ["timeout", "timeout"]


async def test_the_drain_does_not_wait_for_a_handshake(authority: Authority) -> None:
    async with serving(House(), tls=authority.listener(handshake_timeout_seconds=60)) as served:
        silent = await served.stream()
        await trio.testing.wait_all_tasks_blocked()
        served.drain.begin()
        with trio.fail_after(PATIENCE_SECONDS):
            await served.finished.wait()
            assert await silent.receive_some() == b""
        assert served.stats.handshakes_failed == 0


async def test_a_scanner_fills_the_counter_and_not_the_log(authority: Authority) -> None:
    with capture_logs() as logs:
        async with serving(House(), tls=authority.listener()) as served:
            for number in range(1, 21):
                (await served.stream()).socket.close()
                await until(lambda number=number: served.stats.handshakes_failed == number)
    assert len(events(logs, "handshake_failed")) == 3


# ── parting


async def test_a_peer_that_says_goodbye_gets_the_answers_in_flight_and_a_goodbye(authority: Authority) -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, tls=authority.listener(), sign_on="optional") as served:
            stream = TlsStream(await served.stream(), authority.client(), server_name=SERVER)
            await stream.handshake()
            peer = Peer(stream)
            await peer.say(f11="000001")
            arrival = await house.next()
            await stream.send_eof()
            await trio.testing.wait_all_tasks_blocked()
            assert arrival.answer(approval()) is Delivery.SENT
            assert await peer.hears_code() == ("000001", "00")
            assert await stream.receive_some() == b""
            stream._engine.unwrap()  # raises where the other goodbye is missing
            await until(lambda: served.stats.sessions_open == 0)
    assert closed_because(logs) == ["peer_closed"]


async def test_a_drained_session_ends_with_a_goodbye(authority: Authority) -> None:
    with capture_logs() as logs:
        async with serving(House(), tls=authority.listener()) as served:
            peer = await connect(served, authority.client())
            await peer.sign_on()
            served.drain.begin()
            await peer.answer(await peer.hears())
            with trio.fail_after(PATIENCE_SECONDS):
                assert await peer.stream.receive_some() == b""  # trio's stream raises where the goodbye is missing
                await peer.stream.aclose()
                await served.finished.wait()
    assert closed_because(logs) == ["drained"]


async def test_a_goodbye_that_crosses_with_data_still_waits_for_the_peer_s_own_end(authority: Authority) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        theirs = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        stream = TlsStream(await listener.accept(), authority.server(), server_name=None)
        peer = trio.SSLStream(theirs, authority.client(), server_hostname=SERVER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.handshake)
            nursery.start_soon(peer.do_handshake)
        await peer.send_all(b"one" * 100)
        assert await stream.receive_some(3) == b"one"
        await stream.send_all(b"answer")
        await stream.send_eof()
        ended = trio.Event()

        async def listen() -> None:
            assert await stream.receive_some() == b""
            ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            with trio.fail_after(PATIENCE_SECONDS):
                # More than fits into the buffers: it goes nowhere unless somebody reads.
                await peer.send_all(b"two" * 2_000_000)
            assert not ended.is_set()
            assert await peer.receive_some() == b"answer"
            assert await peer.receive_some() == b""
            await theirs.aclose()
        await stream.aclose()


async def test_an_end_without_a_goodbye_is_an_end_and_leaves_our_direction_open(authority: Authority) -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, tls=authority.listener(), sign_on="optional") as served:
            peer = await connect(served, authority.client())
            await peer.say(f11="000001")
            arrival = await house.next()
            await peer.stream.transport_stream.send_eof()
            await trio.testing.wait_all_tasks_blocked()
            assert arrival.answer(approval()) is Delivery.SENT
            assert await peer.hears_code() == ("000001", "00")
            await until(lambda: served.stats.sessions_open == 0)
    assert closed_because(logs) == ["peer_closed"]


# ── files that change


def serial(peer: Peer) -> object:
    return peer.stream.getpeercert()["serialNumber"]


async def test_a_new_certificate_is_for_new_connections_and_a_broken_one_for_none(authority: Authority) -> None:
    house = House()
    tls = authority.listener()
    with capture_logs() as logs:
        async with serving(house, tls=tls) as served:
            first, second = await connect(served, authority.client()), await connect(served, authority.client())
            assert serial(first) == serial(second)
            authority.files(SERVER)
            third = await connect(served, authority.client())
            assert serial(third) != serial(first)
            tls.key.write_text("no key")
            for _ in range(2):
                assert serial(await connect(served, authority.client())) == serial(third)
            authority.files(SERVER)
            assert serial(await connect(served, authority.client())) != serial(third)
            await first.sign_on()
            await serves(house, first)
            assert (served.stats.certificates_reloaded, served.stats.certificate_reloads_failed) == (2, 1)
    (failed,) = events(logs, "certificate_reload_failed")
    assert str(tls.key) in failed["error"] and "no private key" in failed["error"]


async def test_an_authority_that_is_taken_away_lets_nobody_in_any_more(authority: Authority, tmp_path: Path) -> None:
    tls = authority.listener(client_ca=authority.file)
    context = authority.client("acquirer.example")
    async with serving(House(), tls=tls) as served:
        await (await connect(served, context)).sign_on()
        authority.file.write_bytes(Authority(tmp_path, "other").file.read_bytes())
        assert await (await connect(served, context)).is_closed()
        assert served.stats.sessions_opened == 1
