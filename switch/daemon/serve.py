"""Running the switch: builds the rooms, joins them, and takes them down in order.

Start: files are read and checked, ``/livez`` answers, the database is waited for, its schema is checked; then the
listeners open, and only then is the program ready. Stop (SIGTERM or SIGINT): no new connections or messages, what is
in flight is answered, sessions sign off and close, late approvals are taken back, the logs are written out.
"""

from __future__ import annotations

import gc
import resource
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus

import msgspec
import structlog
import trio

from switch.contracts.errors import ConfigurationError, DatabaseUnavailable
from switch.daemon.logs import FLUSH_SECONDS, flush_logs
from switch.daemon.metrics import Metrics
from switch.daemon.operations import serve_operations
from switch.daemon.settings import (
    Settings,
    check_funding,
    check_links,
    load_dialects,
    load_programs,
    load_security_codes,
    load_vault,
)
from switch.funding.driver import TopUps
from switch.issuer.program import Program
from switch.journal.bridge import asyncio_loop, on_asyncio
from switch.journal.connection import connect
from switch.journal.funding_rows import without_provider
from switch.journal.funding_unit import FundingUnit
from switch.journal.migrate import check_schema
from switch.journal.reads import programs_in_use
from switch.journal.unit import UnitOfWork
from switch.network.dialer import run_dialer
from switch.network.drain import Drain
from switch.network.listener import serve_listener
from switch.network.postman import Postman
from switch.network.stats import NetworkStats
from switch.network.turns import Turns
from switch.processing.batch import BatchLoop, ProcessingStats
from switch.processing.expiry import HoldExpiryJob
from switch.processing.withdrawals import Withdrawals

__all__ = ["Ready", "serve"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_DATABASE_RETRY_SECONDS = 1.0
_WITHDRAWAL_GRACE_SECONDS = 5.0
_CLOSE_SECONDS = 2.0


class ListenerReady(msgspec.Struct, frozen=True):
    """An open port."""

    dialect: str
    network: str
    host: str
    port: int


class Ready(msgspec.Struct, frozen=True):
    """What is open, once everything is."""

    listeners: tuple[ListenerReady, ...]
    operations_url: str


class _Rooms:
    """Everything that one daemon is made of, built from the settings before anything runs.

    Raises ConfigurationError when a file that the settings name is not usable.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.programs = load_programs(settings.programs)
        self.dialects = load_dialects(settings)
        vault = load_vault(settings.vault)
        security = load_security_codes(settings.vault, self.programs)
        check_links(settings)
        check_funding(settings)
        self.drain = Drain(settings.drain_seconds)
        self.turns = Turns()
        self.postman = Postman()
        self.withdrawals = Withdrawals()
        self.top_ups: TopUps | None = None
        self.funding_units: list[FundingUnit] = []
        if settings.funding.provider:
            # One more than work: it says that this daemon lives.
            self.funding_units = [
                FundingUnit(settings.database, self.programs, security, _now)
                for _ in range(settings.funding.connections + 1)
            ]
            self.top_ups = TopUps(settings.funding, self.funding_units, _now, self.withdrawals.add)
        self.loop = BatchLoop(
            settings.processing, vault, self.withdrawals, ProcessingStats(), self.top_ups, postman=self.postman
        )
        self.expiry = HoldExpiryJob(settings.expiry, _now)
        # Two more than there are workers: the withdrawals and the expiry of holds have their own.
        self.units = [
            UnitOfWork(settings.database, self.programs, security, _now)
            for _ in range(settings.database.connections + 2)
        ]
        self.networks: dict[str, NetworkStats] = {}
        self.metrics = Metrics(self.loop, self.withdrawals, self.expiry, self.units, self.networks, self.top_ups)
        self.ready = False

    def network(self, name: str) -> NetworkStats:
        """The counters of a network, shared by all its links."""
        return self.networks.setdefault(name, NetworkStats())


async def serve(settings: Settings, on_ready: Callable[[Ready], None]) -> None:
    """Runs until SIGTERM or SIGINT, then drains; a second signal ends at once.

    Raises:
        ConfigurationError: before anything is open.
        InvariantBroken: the books contradict themselves; the process must end (in an exception group).
    """
    # A core dump would hold card numbers and keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Messages are freed by reference counting. The default threshold would walk the young objects of every batch
    # several times for the few cycles that tasks and exceptions leave.
    gc.set_threshold(50_000, 20, 50)
    rooms = _Rooms(settings)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with asyncio_loop(), trio.open_nursery() as background:
            background.start_soon(_watch_signals, signals, rooms.drain, background.cancel_scope)
            background.start_soon(_flush_logs)
            # First of all, so that monitoring sees a daemon that waits for its database as alive and not ready.
            url = await _open_operations(rooms, background)
            try:
                if await _wait_for_database(rooms):
                    await _work(rooms, url, on_ready)
            finally:
                with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                    for unit in (*rooms.units, *rooms.funding_units):
                        await on_asyncio(unit.close)
            background.cancel_scope.cancel()
    log.info("stopped")
    flush_logs()


async def _work(rooms: _Rooms, operations_url: str, on_ready: Callable[[Ready], None]) -> None:
    """From the first worker to the last withdrawal: what lies further out in the nest ends later."""
    async with trio.open_nursery() as undoing:
        undoing.start_soon(rooms.withdrawals.run, rooms.units[0])
        undoing.start_soon(rooms.expiry.run, rooms.units[1])
        undoing.start_soon(rooms.loop.clerk.run)
        if rooms.top_ups is not None:
            await undoing.start(rooms.top_ups.run)
        async with trio.open_nursery() as workers:
            for unit in rooms.units[2:]:
                workers.start_soon(rooms.loop.run, unit)
            async with trio.open_nursery() as links:
                listeners = await _open_links(rooms, links)
                rooms.ready = True
                gc.collect()
                gc.freeze()  # what start-up made stays for good
                log.info(
                    "ready", listeners=len(listeners), dialers=len(rooms.settings.dialer), operations=operations_url
                )
                on_ready(Ready(listeners, operations_url))
                await rooms.drain.wait()
                rooms.ready = False
                rooms.expiry.close()
                log.info("draining", seconds=rooms.settings.drain_seconds)
            # Every session has ended: nothing more comes in, and what waits is decided.
            rooms.loop.close()
        rooms.loop.clerk.close()
        if rooms.top_ups is not None:
            rooms.top_ups.close()
        rooms.withdrawals.close()
        undoing.cancel_scope.deadline = trio.current_time() + _WITHDRAWAL_GRACE_SECONDS
    if rooms.withdrawals.depth:
        log.error("withdrawals_lost", waiting=rooms.withdrawals.depth)


async def _open_links(rooms: _Rooms, links: trio.Nursery) -> tuple[ListenerReady, ...]:
    opened = []
    for listener in rooms.settings.listener:
        address = await links.start(
            partial(
                serve_listener,
                listener,
                rooms.loop.intake,
                dialect=rooms.dialects[listener.dialect],
                stats=rooms.network(listener.network),
                drain=rooms.drain,
                turns=rooms.turns,
                postman=rooms.postman,
            )
        )
        opened.append(ListenerReady(listener.dialect, listener.network, address.host, address.port))
    for dialer in rooms.settings.dialer:
        await links.start(
            partial(
                run_dialer,
                dialer,
                rooms.loop.intake,
                dialect=rooms.dialects[dialer.dialect],
                stats=rooms.network(dialer.network),
                drain=rooms.drain,
                turns=rooms.turns,
                postman=rooms.postman,
            )
        )
    return tuple(opened)


async def _open_operations(rooms: _Rooms, background: trio.Nursery) -> str:
    text = "text/plain; charset=utf-8"
    host, port = await background.start(
        partial(
            serve_operations,
            rooms.settings.operations.host,
            rooms.settings.operations.port,
            {
                "/livez": lambda: (HTTPStatus.OK, text, b"alive\n"),
                "/readyz": lambda: (
                    (HTTPStatus.OK, text, b"ready\n")
                    if rooms.ready
                    else (HTTPStatus.SERVICE_UNAVAILABLE, text, b"not ready\n")
                ),
                "/metrics": lambda: (HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", rooms.metrics.text()),
            },
        )
    )
    return f"http://{host}:{port}"


async def _wait_for_database(rooms: _Rooms) -> bool:
    """Waits until the database answers, fits, and has a connection for each unit of work.

    False when the program is told to stop meanwhile.
    """
    while not rooms.drain.begun:
        try:
            await on_asyncio(_check_database, rooms.settings, rooms.programs)
            for unit in rooms.units:
                await on_asyncio(unit.prepare)
            return True
        except DatabaseUnavailable as exc:
            log.warning("waiting_for_database", error=str(exc))
            with trio.move_on_after(_DATABASE_RETRY_SECONDS):
                await rooms.drain.wait()
    return False


async def _check_database(settings: Settings, programs: dict[str, Program]) -> None:
    connection = await connect(settings.database, application="switch start")
    try:
        await check_schema(connection)
        missing = sorted(await programs_in_use(connection) - set(programs))
        left = await without_provider(connection, [provider.name for provider in settings.funding.provider])
    finally:
        await connection.close(timeout=2)
    if missing:
        raise ConfigurationError(f"{settings.programs}: cards refer to unknown program(s) {', '.join(missing)}")
    for provider, attempts in left.items():
        # Money may be taken that nobody can give back: no top-up is turned off before its attempts have ended.
        log.error("top_ups_without_provider", provider=provider, attempts=attempts)


async def _watch_signals(signals: AsyncIterator[int], drain: Drain, everything: trio.CancelScope) -> None:
    async for number in signals:
        if drain.begun:
            log.warning("stopping_at_once", signal=signal.Signals(number).name)
            everything.cancel()
        else:
            log.info("stopping", signal=signal.Signals(number).name)
            drain.begin()


async def _flush_logs() -> None:
    while True:
        await trio.sleep(FLUSH_SECONDS)
        flush_logs()


def _now() -> datetime:
    return datetime.now(UTC)
