"""A network that wants to be connected to: dial, sign on, serve, and dial again."""

from __future__ import annotations

import random

import structlog
import trio

from switch.network.arrival import Intake
from switch.network.drain import Drain
from switch.network.link import Link
from switch.network.session import Session
from switch.network.settings import DialerSettings
from switch.network.stats import NetworkStats
from switch.wire.dialect import Dialect

__all__ = ["run_dialer"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

# Doubling stops mattering long before this, and keeps the power small.
_DOUBLINGS_MAX = 16


async def run_dialer(
    settings: DialerSettings,
    intake: Intake,
    *,
    dialect: Dialect,
    stats: NetworkStats | None = None,
    drain: Drain | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keeps one session with the peer until the drain is through; returns then.

    A peer that is away is normal: it is dialled again, with growing pauses. Raises ConfigurationError when the dialect
    can't do what the settings ask for. InvariantBroken of the intake comes through, in an exception group.
    """
    link = Link(settings, intake, dialect=dialect, stats=stats, drain=drain)
    async with trio.open_nursery() as watcher:
        watcher.start_soon(link.deadlines.run)
        task_status.started()
        await _keep_connected(link, settings)
        watcher.cancel_scope.cancel()


async def _keep_connected(link: Link, settings: DialerSettings) -> None:
    failures = 0
    while not link.drain.begun:
        stream = await _connect(link, settings)
        useful = False
        if stream is not None:
            session = Session(link, stream)
            await session.run()
            useful = session.was_signed_on or not settings.initiate_sign_on
        failures = 0 if useful else failures + 1
        with link.drain.cuts_short():
            await trio.sleep(_pause_seconds(settings, failures))


async def _connect(link: Link, settings: DialerSettings) -> trio.SocketStream | None:
    """The connection, or None when the peer is away or the program stops."""
    stream = None
    error = "TimeoutError"
    with link.drain.cuts_short(), trio.move_on_after(settings.connect_timeout_seconds):
        try:
            stream = await trio.open_tcp_stream(settings.host, settings.port)
        except OSError as failure:
            error = type(failure).__name__
    if stream is None and not link.drain.begun:
        link.stats.connects_failed += 1
        log.warning("connect_failed", network=settings.network, host=settings.host, port=settings.port, error=error)
    return stream


def _pause_seconds(settings: DialerSettings, failures: int) -> float:
    """Up to twice the last pause, and at least half of that: many dialers must not come back in step."""
    ceiling = min(settings.reconnect_max_seconds, settings.reconnect_min_seconds * 2.0 ** min(failures, _DOUBLINGS_MAX))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311 spreads load; nothing secret comes of it
