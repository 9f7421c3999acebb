"""What is asked of the kernel for each connection, and who is at its other end."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

import trio

from switch.network.settings import LinkSettings

__all__ = ["PeerAddress", "peer_address", "tune"]


class PeerAddress(NamedTuple):
    """An IP address and a port. An IPv4 peer of an IPv6 socket (``::ffff:192.0.2.7``) goes by its IPv4 address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def peer_address(stream: trio.SocketStream) -> PeerAddress:
    """Raises OSError when the peer has gone already."""
    host, port = stream.socket.getpeername()[:2]
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        host = str(address.ipv4_mapped)
    return PeerAddress(host, port)


def tune(stream: trio.SocketStream, settings: LinkSettings) -> None:
    """Keep-alive, and a limit for what is sent and never acknowledged (tcp(7)). Raises OSError when the peer has gone.

    Keep-alive finds a machine that has vanished while nothing is sent, also where echoes are switched off.
    TCP_USER_TIMEOUT finds one that vanished with our bytes on their way: without it the kernel would go on sending
    them for a quarter of an hour. It holds for unanswered keep-alive probes too.
    """
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, settings.tcp_keepalive_idle_seconds),
        (socket.TCP_KEEPINTVL, settings.tcp_keepalive_interval_seconds),
        (socket.TCP_KEEPCNT, settings.tcp_keepalive_probes),
        (socket.TCP_USER_TIMEOUT, round(settings.tcp_user_timeout_seconds * 1000)),
    ):
        stream.setsockopt(socket.IPPROTO_TCP, option, value)
