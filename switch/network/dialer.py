"""A network that wants to be connected to: dial, sign on, serve, and dial again.

Theory of operation: an attempt goes through the hosts in order, the primary first, until one of them gives a session
that is signed on (where we sign on) and lives a while. When that session ends, or when no host gave one, there is a
pause, and the next attempt begins with the primary again. The pause grows while attempts fail.
"""

from __future__ import annotations

import random

import structlog
import trio

from switch.network.arrival import Intake
from switch.network.backoff import Backoff, Draw
from switch.network.connection import failure_text
from switch.network.drain import Drain
from switch.network.handshake import shake_hands
from switch.network.link import Link
from switch.network.postman import Postman
from switch.network.session import Session
from switch.network.settings import DialerSettings, Target
from switch.network.stats import NetworkStats
from switch.network.tcp import peer_address, tune
from switch.network.turns import Turns
from switch.wire.dialect import Dialect

__all__ = ["run_dialer"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


async def run_dialer(
    settings: DialerSettings,
    intake: Intake,
    *,
    dialect: Dialect,
    stats: NetworkStats | None = None,
    drain: Drain | None = None,
    turns: Turns | None = None,
    postman: Postman | None = None,
    draw: Draw = random.uniform,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keeps one session with the peer until the drain is through; returns then.

    A peer that is away is normal: it is dialled again, with growing pauses, for which ``draw`` gives the random
    numbers. Raises ConfigurationError when the dialect can't do what the settings ask for or ``tls`` names unusable
    files. InvariantBroken of the intake comes through, in an exception group.
    """
    link = Link(settings, intake, dialect=dialect, stats=stats, drain=drain, turns=turns, postman=postman)
    async with trio.open_nursery() as watcher:
        watcher.start_soon(link.deadlines.run)
        watcher.start_soon(link.postman.run)
        task_status.started()
        await _keep_connected(link, settings, draw)
        watcher.cancel_scope.cancel()


async def _keep_connected(link: Link, settings: DialerSettings, draw: Draw) -> None:
    backoff = Backoff(settings.reconnect_min_seconds, settings.reconnect_max_seconds, draw)
    while not link.drain.begun:
        if await _attempt(link, settings):
            backoff.succeeded()
        else:
            backoff.failed()
        with link.drain.cuts_short():
            await trio.sleep(backoff.pause_seconds())


async def _attempt(link: Link, settings: DialerSettings) -> bool:
    """Whether one of the hosts gave a session worth the name. Returns when that has ended."""
    for target in settings.targets:
        if link.drain.begun:
            break
        if await _call(link, settings, target):
            return True
    return False


async def _call(link: Link, settings: DialerSettings, target: Target) -> bool:
    """One session with one host, or none. Whether it was signed on and lived a while."""
    stream = await _connect(link, settings, target)
    if stream is None:
        return False
    try:
        try:
            peer = peer_address(stream)
            tune(stream, settings)
        except OSError as failure:
            _note_failure(link, target, failure_text(failure))
            return False
        server_name = settings.tls.server_name if settings.tls is not None else ""
        connection = await shake_hands(link, stream, peer, server_name=server_name or target.host)
        if connection is None:
            return False
        began_at = trio.current_time()
        session = Session(link, connection)
        await session.run()
        lived = trio.current_time() - began_at >= settings.reconnect_reset_seconds
        return lived and (session.was_signed_on or not settings.initiate_sign_on)
    finally:
        await trio.aclose_forcefully(stream)


async def _connect(link: Link, settings: DialerSettings, target: Target) -> trio.SocketStream | None:
    """The connection, or None when the peer is away or the program stops."""
    stream = None
    error = "TimeoutError"
    with link.drain.cuts_short(), trio.move_on_after(settings.connect_timeout_seconds):
        try:
            stream = await trio.open_tcp_stream(target.host, target.port)
        except OSError as failure:
            error = type(failure).__name__
    if stream is None and not link.drain.begun:
        _note_failure(link, target, error)
    return stream


def _note_failure(link: Link, target: Target, error: str) -> None:
    link.stats.connects_failed += 1
    log.warning("connect_failed", network=link.settings.network, host=target.host, port=target.port, error=error)
