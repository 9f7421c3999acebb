"""The settings of one link: a port that listens, or a peer that is dialled. Part of the daemon's settings file.

Raises of ``__post_init__`` are ValueErrors whose text begins with the key: msgspec adds the table's path when it
decodes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from switch.wire.framing import Framing

__all__ = ["DialerSettings", "LinkSettings", "ListenerSettings"]


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What listening and dialling have in common. All times are in seconds."""

    dialect: str  # a folder in specs/
    network: str = ""  # whose idempotency keys these are; the dialect's name when left out
    host: str
    port: int
    framing: Framing | None = None  # None: the dialect's own
    sign_on: Literal["required", "optional"] = "required"
    initiate_sign_on: bool = False  # whether we sign on to the peer as well
    echo_interval_seconds: float = 60.0  # of silence before we ask whether the peer lives; 0 turns echoes off
    echo_timeout_seconds: float = 10.0  # for an echo, a sign-on and a sign-off of ours
    echo_misses_max: int = 2  # so many echoes in a row without any traffic from the peer: it is dead
    frame_bytes_max: int = 8192
    partial_frame_timeout_seconds: float = 30.0  # from the first byte of a frame to its last
    send_timeout_seconds: float = 10.0  # for the peer to take what waits for it
    outbox_bytes_max: int = 1_048_576  # waiting for a peer that does not read; beyond it the peer is dropped
    in_flight_max: int = 1024  # messages of one session that the house has not settled; the reader stops there
    request_deadline_seconds: float = 4.0

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        if not self.dialect:
            raise ValueError("dialect: a name is needed")
        if not self.network:
            # The only place where a frozen value is touched: before anybody else has seen it.
            msgspec.structs.force_setattr(self, "network", self.dialect)
        if not self.host:
            raise ValueError("host: a name or an address is needed")
        _within("echo_interval_seconds", self.echo_interval_seconds, 0, 86_400)
        _within("echo_timeout_seconds", self.echo_timeout_seconds, 0.01, 3_600)
        _within("echo_misses_max", self.echo_misses_max, 1, 100)
        _within("frame_bytes_max", self.frame_bytes_max, 64, 65_535)
        _within("partial_frame_timeout_seconds", self.partial_frame_timeout_seconds, 0.01, 3_600)
        _within("send_timeout_seconds", self.send_timeout_seconds, 0.01, 3_600)
        _within("outbox_bytes_max", self.outbox_bytes_max, 1_024, 1 << 30)
        _within("in_flight_max", self.in_flight_max, 1, 1_000_000)
        _within("request_deadline_seconds", self.request_deadline_seconds, 0.01, 60)

    @property
    def sign_on_required(self) -> bool:
        """Whether a request needs a sign-on before it."""
        return self.sign_on == "required"


class ListenerSettings(LinkSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[listener]]``: networks connect to us. Port 0 takes any free port."""

    sessions_max: int = 64  # further connections are closed at once

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        super().__post_init__()
        _within("port", self.port, 0, 65_535)
        _within("sessions_max", self.sessions_max, 1, 100_000)


class DialerSettings(LinkSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[dialer]]``: we connect to a network, sign on, and connect again when the session ends."""

    initiate_sign_on: bool = True
    connect_timeout_seconds: float = 10.0
    reconnect_min_seconds: float = 0.5  # doubled with each failure, and drawn at random up to that
    reconnect_max_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        super().__post_init__()
        _within("port", self.port, 1, 65_535)
        _within("connect_timeout_seconds", self.connect_timeout_seconds, 0.01, 3_600)
        _within("reconnect_min_seconds", self.reconnect_min_seconds, 0.01, 3_600)
        _within("reconnect_max_seconds", self.reconnect_max_seconds, self.reconnect_min_seconds, 86_400)


def _within(key: str, value: float, least: float, most: float) -> None:
    # Written so that a NaN, which TOML can hold, is refused too.
    if not least <= value <= most:
        raise ValueError(f"{key}: between {least} and {most} needed, {value} found")
