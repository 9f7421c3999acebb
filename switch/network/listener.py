"""A port that networks connect to."""

from __future__ import annotations

import errno
from typing import NamedTuple

import structlog
import trio

from switch.network.admission import Admission, Refusal
from switch.network.arrival import Intake
from switch.network.drain import Drain
from switch.network.handshake import shake_hands
from switch.network.link import Link
from switch.network.postman import Postman
from switch.network.session import Session
from switch.network.settings import ListenerSettings
from switch.network.stats import NetworkStats
from switch.network.tcp import PeerAddress, peer_address, tune
from switch.network.turns import Turns
from switch.wire.dialect import Dialect

__all__ = ["ListenerAddress", "serve_listener"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_ACCEPT_RETRY_SECONDS = 0.1

# The process or the machine is out of descriptors or memory: that passes when a session closes, so accepting goes on
# later.
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

# The one connection to be accepted was gone before it was (accept(2) lists these as "to be treated like EAGAIN").
_PEER_GONE = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EPERM,
    }
)


class ListenerAddress(NamedTuple):
    """Where a listener really listens: the port is never 0."""

    host: str
    port: int


async def serve_listener(
    settings: ListenerSettings,
    intake: Intake,
    *,
    dialect: Dialect,
    stats: NetworkStats | None = None,
    drain: Drain | None = None,
    turns: Turns | None = None,
    postman: Postman | None = None,
    task_status: trio.TaskStatus[ListenerAddress] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listens and serves until the drain is through; returns then. Cancelling it closes everything at once.

    ``task_status.started`` is told the address, so start it with ``await nursery.start(functools.partial(...))``.

    Raises OSError when the port can't be had, ConfigurationError when the dialect can't do what the settings ask for
    or ``tls`` names unusable files.
    InvariantBroken of the intake comes through, in an exception group.
    """
    link = Link(settings, intake, dialect=dialect, stats=stats, drain=drain, turns=turns, postman=postman)
    try:
        listeners = await trio.open_tcp_listeners(settings.port, host=settings.host)
    except OSError as error:
        # The system's own text does not say which of several ports it was.
        raise OSError(error.errno, f"{settings.host}:{settings.port}: {error.strerror}") from error
    admission = Admission(settings)
    address = ListenerAddress(*listeners[0].socket.getsockname()[:2])
    async with trio.open_nursery() as watcher:
        watcher.start_soon(link.deadlines.run)
        watcher.start_soon(link.postman.run)
        async with trio.open_nursery() as sessions:
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    accepting.start_soon(_accept, link, admission, listener, sessions)
                log.info("listener_opened", network=settings.network, host=address.host, port=address.port)
                task_status.started(address)
            log.info("listener_closed", network=settings.network, sessions=link.sessions_open)
        watcher.cancel_scope.cancel()


async def _accept(link: Link, admission: Admission, listener: trio.SocketListener, sessions: trio.Nursery) -> None:
    """Accepts until the drain begins. Leaving closes the port, so that nobody connects to a program that stops.

    Nothing here waits for a peer: what it may hold up (TLS, messages) happens in a task of its own.
    """
    network = link.settings.network
    with link.drain.cuts_short():
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno in _OUT_OF_RESOURCES:
                        log.warning("accept_deferred", network=network, error=errno.errorcode[error.errno])
                        await trio.sleep(_ACCEPT_RETRY_SECONDS)
                    elif error.errno not in _PEER_GONE:
                        raise
                    continue
                try:
                    peer = peer_address(stream)
                    refusal = admission.refusal(peer.host)
                    if refusal is None:
                        tune(stream, link.settings)
                except OSError:
                    # It has gone again already. There was nobody to serve or to refuse.
                    await trio.aclose_forcefully(stream)
                    continue
                if refusal is None:
                    admission.enter(peer.host)
                    sessions.start_soon(_serve, link, admission, stream, peer)
                else:
                    _note_refusal(link, peer, refusal)
                    await trio.aclose_forcefully(stream)


async def _serve(link: Link, admission: Admission, stream: trio.SocketStream, peer: PeerAddress) -> None:
    """One connection, in the place that it has taken."""
    try:
        connection = await shake_hands(link, stream, peer)
        if connection is not None:
            await Session(link, connection).run()
    finally:
        admission.leave(peer.host)
        await trio.aclose_forcefully(stream)


def _note_refusal(link: Link, peer: PeerAddress, refusal: Refusal) -> None:
    if refusal is Refusal.ADDRESS:
        link.stats.addresses_refused += 1
    else:
        link.stats.sessions_refused += 1
    left_out = link.meter.due(peer.host, trio.current_time())
    if left_out is not None:
        log.warning(
            "session_refused",
            network=link.settings.network,
            peer=str(peer),
            reason=refusal.value,
            left_out=left_out,
        )
