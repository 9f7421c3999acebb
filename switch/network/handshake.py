"""From an accepted or dialled TCP connection to one that is ready for messages."""

from __future__ import annotations

import structlog
import trio

from switch.network.certificates import certificate_names
from switch.network.connection import Connection, failure_text
from switch.network.link import Link
from switch.network.plain import PlainStream
from switch.network.tcp import PeerAddress
from switch.network.tls import TlsStream

__all__ = ["shake_hands"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_NAME_CHARACTERS_MAX = 64


async def shake_hands(
    link: Link, stream: trio.SocketStream, peer: PeerAddress, *, server_name: str | None = None
) -> Connection | None:
    """The connection after TLS, where the link has it; ``server_name`` is whom we dial.

    None when there is no session with this peer: that is logged, counted, and the peer is told where TLS can. The
    caller closes the stream.
    """
    label = link.label(peer)
    if link.certificates is None:
        return Connection(PlainStream(stream), label)
    tls = TlsStream(stream, link.certificates.current(), server_name=server_name)
    error = "timeout"
    with link.drain.cuts_short(), trio.move_on_after(link.certificates.handshake_timeout_seconds):
        try:
            await tls.handshake()
            error = ""
        except (trio.BrokenResourceError, trio.ClosedResourceError) as failure:
            error = failure_text(failure)
    names = [] if error else certificate_names(tls.peer_certificate)
    if not error and link.certificates.client_names and link.certificates.client_names.isdisjoint(names):
        error = f"client_names: {_shown(names)} is not among them"
    if not error:
        return Connection(tls, f"{label} {_shown(names)}" if names else label, tls.version)
    if link.drain.begun:
        return None
    link.stats.handshakes_failed += 1
    left_out = link.meter.due(peer.host, trio.current_time())
    if left_out is not None:
        log.warning("handshake_failed", session=label, error=error, left_out=left_out)
    await tls.give_up()
    return None


def _shown(names: list[str]) -> str:
    """The first name, fit for a log line: whoever signed it did not think of our logs."""
    name = names[0] if names else "a certificate without a name"
    return "".join(each if each.isprintable() else "?" for each in name[:_NAME_CHARACTERS_MAX])
