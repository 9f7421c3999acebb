"""A port that networks connect to."""

from __future__ import annotations

import errno
from typing import NamedTuple

import structlog
import trio

from switch.network.arrival import Intake
from switch.network.drain import Drain
from switch.network.link import Link
from switch.network.session import Session
from switch.network.settings import ListenerSettings
from switch.network.stats import NetworkStats
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
    task_status: trio.TaskStatus[ListenerAddress] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listens and serves until the drain is through; returns then. Cancelling it closes everything at once.

    ``task_status.started`` is told the address, so start it with ``await nursery.start(functools.partial(...))``.

    Raises OSError when the port can't be had, ConfigurationError when the dialect can't do what the settings ask for.
    InvariantBroken of the intake comes through, in an exception group.
    """
    link = Link(settings, intake, dialect=dialect, stats=stats, drain=drain)
    try:
        listeners = await trio.open_tcp_listeners(settings.port, host=settings.host)
    except OSError as error:
        # The system's own text does not say which of several ports it was.
        raise OSError(error.errno, f"{settings.host}:{settings.port}: {error.strerror}") from error
    address = ListenerAddress(*listeners[0].socket.getsockname()[:2])
    async with trio.open_nursery() as watcher:
        watcher.start_soon(link.deadlines.run)
        async with trio.open_nursery() as sessions:
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    accepting.start_soon(_accept, link, settings, listener, sessions)
                log.info("listener_opened", network=settings.network, host=address.host, port=address.port)
                task_status.started(address)
            log.info("listener_closed", network=settings.network, sessions=link.sessions_open)
        watcher.cancel_scope.cancel()


async def _accept(
    link: Link, settings: ListenerSettings, listener: trio.SocketListener, sessions: trio.Nursery
) -> None:
    """Accepts until the drain begins. Leaving closes the port, so that nobody connects to a program that stops."""
    with link.drain.cuts_short():
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno in _OUT_OF_RESOURCES:
                        log.warning("accept_deferred", network=settings.network, error=errno.errorcode[error.errno])
                        await trio.sleep(_ACCEPT_RETRY_SECONDS)
                    elif error.errno not in _PEER_GONE:
                        raise
                    continue
                if link.sessions_open >= settings.sessions_max:
                    link.stats.sessions_refused += 1
                    log.warning("session_refused", network=settings.network, sessions_max=settings.sessions_max)
                    await trio.aclose_forcefully(stream)
                    continue
                sessions.start_soon(Session(link, stream).run)
