"""The settings of one link: a port that listens, or a peer that is dialled. Part of the daemon's settings file.

Raises of ``__post_init__`` are ValueErrors whose text begins with the key: msgspec adds the table's path when it
decodes.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from switch.wire.framing import Framing

__all__ = ["DialerSettings", "DialerTls", "LinkSettings", "ListenerSettings", "ListenerTls", "Target"]


class ListenerTls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tls`` of a listener. Files are PEM; they are read again for new connections when they have changed."""

    certificate: Path  # ours, with the intermediate ones after it
    key: Path  # its private key, not encrypted, readable by us alone
    client_ca: Path | None = None  # a client must show a certificate of one of these authorities
    client_names: tuple[str, ...] = ()  # and one of these common or alternative names in it; empty: any
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    handshake_timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        if self.client_names and self.client_ca is None:
            raise ValueError("client_names: client_ca is needed, or nobody vouches for the name")
        _within("handshake_timeout_seconds", self.handshake_timeout_seconds, 0.01, 60)


class DialerTls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tls`` of a dialler, which always checks the peer's certificate and its name. Files as a listener's."""

    ca: Path | None = None  # the authorities that we trust; those of the system when left out
    server_name: str = ""  # that the certificate must have; the host that is dialled when left out
    certificate: Path | None = None  # ours, where the peer asks for one
    key: Path | None = None
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    handshake_timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        if (self.certificate is None) is not (self.key is None):
            missing, there = ("certificate", "key") if self.certificate is None else ("key", "certificate")
            raise ValueError(f"{missing}: is needed beside {there}")
        _within("handshake_timeout_seconds", self.handshake_timeout_seconds, 0.01, 60)


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What listening and dialling have in common. All times are in seconds."""

    dialect: str  # a folder in specs/
    network: str = ""  # whose idempotency keys these are; the dialect's name when left out
    host: str
    port: int
    framing: Framing | None = None  # None: the dialect's own
    sign_on: Literal["required", "optional"] = "required"
    initiate_sign_on: bool = False  # whether we sign on to the peer as well
    sign_on_timeout_seconds: float = (
        0.0  # for the first sign-on, where one is required; 0: a link may stand by for ever
    )
    echo_interval_seconds: float = 60.0  # of silence before we ask whether the peer lives; 0 turns echoes off
    echo_timeout_seconds: float = 10.0  # for an echo, a sign-on and a sign-off of ours
    echo_misses_max: int = 2  # so many echoes in a row without any traffic from the peer: it is dead
    frame_bytes_max: int = 8192
    partial_frame_timeout_seconds: float = 30.0  # from the first byte of a frame to its last
    send_timeout_seconds: float = 10.0  # for the peer to take what waits for it
    outbox_bytes_max: int = 1_048_576  # waiting for a peer that does not read; beyond it the peer is dropped
    in_flight_max: int = 1024  # messages of one session that the house has not settled; the reader stops there
    turn_seconds: float = (
        0.004  # of processor time for one session's messages, before others that have many have their turn
    )
    request_deadline_seconds: float = 4.0
    tcp_keepalive_idle_seconds: int = 30  # of silence before the kernel asks whether the peer's machine is there
    tcp_keepalive_interval_seconds: int = 10  # between two such questions
    tcp_keepalive_probes: int = 3  # unanswered ones that end the connection
    tcp_user_timeout_seconds: float = 30.0  # for the peer's machine to acknowledge what was sent; 0: the kernel's own

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        if not self.dialect:
            raise ValueError("dialect: a name is needed")
        if not self.network:
            # The only place where a frozen value is touched: before anybody else has seen it.
            msgspec.structs.force_setattr(self, "network", self.dialect)
        _within("sign_on_timeout_seconds", self.sign_on_timeout_seconds, 0, 86_400)
        _within("echo_interval_seconds", self.echo_interval_seconds, 0, 86_400)
        _within("echo_timeout_seconds", self.echo_timeout_seconds, 0.01, 3_600)
        _within("echo_misses_max", self.echo_misses_max, 1, 100)
        _within("frame_bytes_max", self.frame_bytes_max, 64, 65_535)
        _within("partial_frame_timeout_seconds", self.partial_frame_timeout_seconds, 0.01, 3_600)
        _within("send_timeout_seconds", self.send_timeout_seconds, 0.01, 3_600)
        _within("outbox_bytes_max", self.outbox_bytes_max, 1_024, 1 << 30)
        _within("in_flight_max", self.in_flight_max, 1, 1_000_000)
        _within("turn_seconds", self.turn_seconds, 0.000_1, 1)
        _within("request_deadline_seconds", self.request_deadline_seconds, 0.01, 60)
        _within("tcp_keepalive_idle_seconds", self.tcp_keepalive_idle_seconds, 1, 32_767)
        _within("tcp_keepalive_interval_seconds", self.tcp_keepalive_interval_seconds, 1, 32_767)
        _within("tcp_keepalive_probes", self.tcp_keepalive_probes, 1, 127)
        _within("tcp_user_timeout_seconds", self.tcp_user_timeout_seconds, 0, 86_400)

    @property
    def sign_on_required(self) -> bool:
        """Whether a request needs a sign-on before it."""
        return self.sign_on == "required"


class ListenerSettings(LinkSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[listener]]``: networks connect to us. Port 0 takes any free port."""

    allow: tuple[str, ...] = ()  # addresses and networks that may connect; empty: all
    sessions_max: int = 64  # further connections are closed at once
    sessions_per_peer_max: int = 0  # the same for each address; 0: no limit of its own
    tls: ListenerTls | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        super().__post_init__()
        if not self.host:
            raise ValueError("host: a name or an address is needed")
        _within("port", self.port, 0, 65_535)
        for text in self.allow:
            _check_network(text)
        _within("sessions_max", self.sessions_max, 1, 100_000)
        _within("sessions_per_peer_max", self.sessions_per_peer_max, 0, 100_000)


class Target(NamedTuple):
    """Where a dialler connects to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class DialerSettings(LinkSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[dialer]]``: we connect to a network, sign on, and connect again when the session ends.

    Either ``host`` and ``port``, or ``hosts``: the first is the primary, the others are tried in order when it fails.
    """

    host: str = ""
    port: int = 0
    hosts: tuple[str, ...] = ()  # "name:port", "192.0.2.7:port" or "[2001:db8::7]:port"
    initiate_sign_on: bool = True
    connect_timeout_seconds: float = 10.0
    reconnect_min_seconds: float = 0.5  # doubled with each failure; the pause is drawn at random up to that
    reconnect_max_seconds: float = 30.0
    reconnect_reset_seconds: float = 10.0  # a signed-on session that lived so long makes the next pause a short one
    tls: DialerTls | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        super().__post_init__()
        if self.hosts:
            if self.host or self.port:
                raise ValueError("hosts: stands in the place of host and port, not beside them")
            for text in self.hosts:
                _target(text)
        else:
            if not self.host:
                raise ValueError("host: a name or an address is needed")
            _within("port", self.port, 1, 65_535)
        _within("connect_timeout_seconds", self.connect_timeout_seconds, 0.01, 3_600)
        _within("reconnect_min_seconds", self.reconnect_min_seconds, 0.01, 3_600)
        _within("reconnect_max_seconds", self.reconnect_max_seconds, self.reconnect_min_seconds, 86_400)
        _within("reconnect_reset_seconds", self.reconnect_reset_seconds, 0, 86_400)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The primary first."""
        return tuple(_target(text) for text in self.hosts) or (Target(self.host, self.port),)


def _target(text: str) -> Target:
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"hosts: {text}: an IPv6 address stands in brackets")
    if not host or not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65_535):
        raise ValueError(f"hosts: {text}: a host, a colon and a port are needed")
    return Target(host, int(port))


def _check_network(text: str) -> None:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        # Its text quotes the value and says what is wrong: no network, or bits beyond the mask.
        raise ValueError(f"allow: {error}") from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError(f"allow: {text}: write it as IPv4; it holds for IPv6 sockets too")


def _within(key: str, value: float, least: float, most: float) -> None:
    # Written so that a NaN, which TOML can hold, is refused too.
    if not least <= value <= most:
        raise ValueError(f"{key}: between {least} and {most} needed, {value} found")
