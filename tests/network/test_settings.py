from __future__ import annotations

import re
from math import nan
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from switch.contracts.errors import ConfigurationError
from switch.network.listener import serve_listener
from switch.network.settings import DialerSettings, DialerTls, ListenerSettings
from switch.wire.framing import Framing
from tests.network.support import House
from tests.wire.support import dialect


class File(msgspec.Struct, forbid_unknown_fields=True):
    listener: list[ListenerSettings] = []
    dialer: list[DialerSettings] = []


def read(text: str) -> File:
    return msgspec.toml.decode(text, type=File, dec_hook=lambda _, value: Path(value))


def test_what_is_left_out_has_its_default() -> None:
    file = read(
        """
        [[listener]]
        dialect = "iso87_ascii"
        host = "0.0.0.0"
        port = 8583

        [[dialer]]
        dialect = "iso87_binary"
        network = "blue"
        host = "switch.example"
        port = 9000
        framing = "vap"
        sign_on = "optional"
        """
    )
    listener, dialer = file.listener[0], file.dialer[0]
    assert listener.network == "iso87_ascii"
    assert listener.sign_on_required
    assert not listener.initiate_sign_on
    assert listener.framing is None
    assert (listener.sessions_max, listener.in_flight_max, listener.request_deadline_seconds) == (64, 1024, 4.0)
    assert dialer.network == "blue"
    assert dialer.initiate_sign_on
    assert not dialer.sign_on_required
    assert dialer.framing is Framing.VAP


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("sesions_max = 3", "unknown field `sesions_max`"),
        ("port = 70000", "port: between 0 and 65535 needed, 70000 found"),
        ("sessions_max = 0", "sessions_max: between 1"),
        ("request_deadline_seconds = 0", "request_deadline_seconds: between"),
        ("request_deadline_seconds = nan", "request_deadline_seconds: between"),
        ("echo_interval_seconds = -1", "echo_interval_seconds: between 0"),
        ("sign_on_timeout_seconds = -1", "sign_on_timeout_seconds: between 0"),
        ("echo_misses_max = 0", "echo_misses_max: between 1"),
        ("frame_bytes_max = 63", "frame_bytes_max: between 64"),
        ("in_flight_max = 0", "in_flight_max: between 1"),
        ('sign_on = "maybe"', "Invalid enum value 'maybe'"),
        ('framing = "nac"', "Invalid enum value 'nac'"),
        ('allow = ["10.0.0.0/33"]', "allow: '10.0.0.0/33' does not appear to be an IPv4 or IPv6 network"),
        ('allow = ["10.0.0.1/8"]', "allow: 10.0.0.1/8 has host bits set"),
        ('allow = ["acquirer.example"]', "allow: 'acquirer.example' does not appear"),
        ('allow = ["::ffff:10.0.0.0/104"]', "allow: ::ffff:10.0.0.0/104: write it as IPv4"),
        ("sessions_per_peer_max = -1", "sessions_per_peer_max: between 0"),
        ("tcp_keepalive_idle_seconds = 0", "tcp_keepalive_idle_seconds: between 1"),
        ("tcp_keepalive_interval_seconds = 40000", "tcp_keepalive_interval_seconds: between 1 and 32767"),
        ("tcp_keepalive_probes = 128", "tcp_keepalive_probes: between 1 and 127"),
        ("tcp_user_timeout_seconds = -1", "tcp_user_timeout_seconds: between 0"),
        ('tls = { certificate = "a" }', "missing required field `key`"),
        ('tls = { certificate = "a", key = "b", colour = "red" }', "unknown field `colour`"),
        ('tls = { certificate = "a", key = "b", minimum_version = "1.1" }', "Invalid enum value '1.1'"),
        ('tls = { certificate = "a", key = "b", client_names = ["c"] }', "client_names: client_ca is needed"),
        ('tls = { certificate = "a", key = "b", handshake_timeout_seconds = 0 }', "handshake_timeout_seconds: betw"),
        ('host = ""', "host: a name or an address is needed"),
    ],
)
def test_a_mistake_names_its_key_and_place(line: str, problem: str) -> None:
    rows = {"dialect": '"iso87_ascii"', "host": '"127.0.0.1"', "port": "1"}
    key, value = line.split(" = ", 1)
    rows[key] = value
    text = "[[listener]]\n" + "\n".join(f"{key} = {value}" for key, value in rows.items())
    with pytest.raises(msgspec.ValidationError, match=r"\$\.listener\[0\]") as caught:
        read(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"port": 0},
        {"reconnect_min_seconds": 5, "reconnect_max_seconds": 4},
        {"connect_timeout_seconds": nan},
        {"reconnect_reset_seconds": -1},
        {"dialect": ""},
    ],
)
def test_a_dialer_checks_its_own(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(changes))):
        DialerSettings(**{"dialect": "iso87_ascii", "host": "127.0.0.1", "port": 1, **changes})


def test_a_dialer_has_one_host_or_several() -> None:
    one = DialerSettings(dialect="iso87_ascii", host="2001:db8::7", port=9000)
    several = DialerSettings(dialect="iso87_ascii", hosts=("a.example:1", "192.0.2.7:65535", "[2001:db8::7]:9000"))
    assert one.targets == (("2001:db8::7", 9000),)
    assert several.targets == (("a.example", 1), ("192.0.2.7", 65_535), ("2001:db8::7", 9000))
    assert [str(target) for target in several.targets] == list(several.hosts)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, "host: a name or an address is needed"),
        ({"host": "a"}, "port: between 1"),
        ({"host": "a", "port": 1, "hosts": ("b:2",)}, "hosts: stands in the place of host and port"),
        ({"hosts": ("a",)}, "hosts: a: a host, a colon and a port"),
        ({"hosts": ("a:1", ":2")}, "hosts: :2: a host"),
        ({"hosts": ("a:0",)}, "hosts: a:0: a host"),
        ({"hosts": ("a:70000",)}, "hosts: a:70000: a host"),
        ({"hosts": ("a:٣",)}, "hosts: a:٣: a host"),
        ({"hosts": ("2001:db8::7:9000",)}, "hosts: 2001:db8::7:9000: an IPv6 address stands in brackets"),
    ],
)
def test_where_to_dial_is_checked(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        DialerSettings(dialect="iso87_ascii", **changes)


@pytest.mark.parametrize(("key", "missing"), [("certificate", "key"), ("key", "certificate")])
def test_a_dialer_s_certificate_and_key_go_together(key: str, missing: str) -> None:
    with pytest.raises(ValueError, match=f"^{missing}: is needed beside {key}"):
        DialerTls(**{key: Path("file")})


async def test_what_the_dialect_can_not_do_is_told_at_the_start() -> None:
    settings = ListenerSettings(
        dialect="iso87_ascii", host="127.0.0.1", port=0, framing=Framing.ASCII4, frame_bytes_max=20_000
    )
    with pytest.raises(ConfigurationError, match="frame_bytes_max"):
        await serve_listener(settings, House().intake, dialect=dialect("iso87_ascii"))


async def test_a_port_that_is_taken_is_an_error_at_the_start() -> None:
    (taken,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with taken:
        port = taken.socket.getsockname()[1]
        settings = ListenerSettings(dialect="iso87_ascii", host="127.0.0.1", port=port)
        with pytest.raises(OSError, match="in use"):
            await serve_listener(settings, House().intake, dialect=dialect("iso87_ascii"))
