from __future__ import annotations

from math import nan
from typing import Any

import msgspec
import pytest
import trio

from switch.contracts.errors import ConfigurationError
from switch.network.listener import serve_listener
from switch.network.settings import DialerSettings, ListenerSettings
from switch.wire.framing import Framing
from tests.network.support import House
from tests.wire.support import dialect


class File(msgspec.Struct, forbid_unknown_fields=True):
    listener: list[ListenerSettings] = []
    dialer: list[DialerSettings] = []


def read(text: str) -> File:
    return msgspec.toml.decode(text, type=File)


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
        ("echo_misses_max = 0", "echo_misses_max: between 1"),
        ("frame_bytes_max = 63", "frame_bytes_max: between 64"),
        ("in_flight_max = 0", "in_flight_max: between 1"),
        ('sign_on = "maybe"', "Invalid enum value 'maybe'"),
        ('framing = "nac"', "Invalid enum value 'nac'"),
        ('host = ""', "host: a name or an address is needed"),
    ],
)
def test_a_mistake_names_its_key_and_place(line: str, problem: str) -> None:
    rows = {"dialect": '"iso87_ascii"', "host": '"127.0.0.1"', "port": "1"}
    key, value = line.split(" = ")
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
        {"dialect": ""},
    ],
)
def test_a_dialer_checks_its_own(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(changes))):
        DialerSettings(**{"dialect": "iso87_ascii", "host": "127.0.0.1", "port": 1, **changes})


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
