"""Running the switch: builds the rooms, joins them, and takes them down in order.

Start: files are read and checked, the database is waited for, its schema is checked; then the listeners open, and
only then is the program ready. Stop (SIGTERM or SIGINT): no new connections or messages, what is in flight is
answered, sessions sign off and close, late approvals are taken back, the logs are written out.
"""

from __future__ import annotations

import gc
import resource
import signal
from collections.abc import AsyncIterator, Callable, Sequence
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
    load_dialects,
    load_programs,
    load_security_codes,
    load_vault,
)
from switch.issuer.program import Program
from switch.journal.bridge import asyncio_loop, on_asyncio
from switch.journal.connection import connect
from switch.journal.migrate import check_schema
from switch.journal.reads import programs_in_use
from switch.journal.unit import UnitOfWork
from switch.network.dialer import run_dialer
from switch.network.drain import Drain
from switch.network.listener import serve_listener
from switch.network.stats import NetworkStats
from switch.processing.batch import BatchLoop, ProcessingStats
from switch.processing.withdrawals import Withdrawals
from switch.wire.dialect import Dialect

__all__ = ["Ready", "serve"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_DATABASE_RETRY_SECONDS = 1.0
_WITHDRAWAL_GRACE_SECONDS = 5.0


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


class _State:
    """What ``/readyz`` tells."""

    def __init__(self) -> None:
        self.ready = False


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
    programs = load_programs(settings.programs)
    dialects = load_dialects(settings)
    vault = load_vault(settings.vault)
    security = load_security_codes(settings.vault, programs)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with asyncio_loop():
            drain = Drain(settings.drain_seconds)
            async with trio.open_nursery() as watch:
                watch.start_soon(_watch_signals, signals, drain, watch.cancel_scope)
                if not await _wait_for_database(settings, programs, drain):
                    watch.cancel_scope.cancel()
                    return
                withdrawals = Withdrawals()
                loop = BatchLoop(settings.processing, vault, withdrawals, ProcessingStats())
                units = [
                    UnitOfWork(settings.database, programs, security, _now)
                    for _ in range(settings.database.connections + 1)
                ]
                try:
                    await _run(settings, dialects, drain, loop, withdrawals, units, on_ready)
                finally:
                    with trio.move_on_after(2, shield=True):
                        for unit in units:
                            await on_asyncio(unit.close)
                watch.cancel_scope.cancel()
    log.info("stopped")
    flush_logs()


async def _run(
    settings: Settings,
    dialects: dict[str, Dialect],
    drain: Drain,
    loop: BatchLoop,
    withdrawals: Withdrawals,
    units: Sequence[UnitOfWork],
    on_ready: Callable[[Ready], None],
) -> None:
    """The life of the rooms, from the first worker to the last withdrawal."""
    state = _State()
    networks: dict[str, NetworkStats] = {}
    metrics = Metrics(loop, withdrawals, networks)
    async with trio.open_nursery() as background:
        background.start_soon(_flush_logs)
        url = await _open_operations(settings, background, state, metrics)
        async with trio.open_nursery() as undoing:
            undoing.start_soon(withdrawals.run, units[0])
            async with trio.open_nursery() as workers:
                for unit in units[1:]:
                    workers.start_soon(loop.run, unit)
                async with trio.open_nursery() as links:
                    listeners = []
                    for listener in settings.listener:
                        address = await links.start(
                            partial(
                                serve_listener,
                                listener,
                                loop.intake,
                                dialect=dialects[listener.dialect],
                                stats=networks.setdefault(listener.network, NetworkStats()),
                                drain=drain,
                            )
                        )
                        listeners.append(ListenerReady(listener.dialect, listener.network, address.host, address.port))
                    for dialer in settings.dialer:
                        await links.start(
                            partial(
                                run_dialer,
                                dialer,
                                loop.intake,
                                dialect=dialects[dialer.dialect],
                                stats=networks.setdefault(dialer.network, NetworkStats()),
                                drain=drain,
                            )
                        )
                    state.ready = True
                    log.info("ready", listeners=len(listeners), dialers=len(settings.dialer), operations=url)
                    gc.collect()
                    gc.freeze()  # what start-up made stays for good
                    on_ready(Ready(tuple(listeners), url))
                    await drain.wait()
                    state.ready = False
                    log.info("draining", seconds=settings.drain_seconds)
                # Every session has ended: nothing more comes in, and what waits is decided.
                loop.close()
            withdrawals.close()
            undoing.cancel_scope.deadline = trio.current_time() + _WITHDRAWAL_GRACE_SECONDS
        if withdrawals.depth:
            log.error("withdrawals_lost", waiting=withdrawals.depth)
        background.cancel_scope.cancel()


async def _open_operations(settings: Settings, background: trio.Nursery, state: _State, metrics: Metrics) -> str:
    text = "text/plain; charset=utf-8"
    host, port = await background.start(
        partial(
            serve_operations,
            settings.operations.host,
            settings.operations.port,
            {
                "/livez": lambda: (HTTPStatus.OK, text, b"alive\n"),
                "/readyz": lambda: (
                    (HTTPStatus.OK, text, b"ready\n")
                    if state.ready
                    else (HTTPStatus.SERVICE_UNAVAILABLE, text, b"not ready\n")
                ),
                "/metrics": lambda: (HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", metrics.text()),
            },
        )
    )
    return f"http://{host}:{port}"


async def _wait_for_database(settings: Settings, programs: dict[str, Program], drain: Drain) -> bool:
    """Waits until the database answers, and checks that it fits. False when the program is told to stop meanwhile."""
    while not drain.begun:
        try:
            await on_asyncio(_check_database, settings, programs)
            return True
        except DatabaseUnavailable as exc:
            log.warning("waiting_for_database", error=str(exc))
            with trio.move_on_after(_DATABASE_RETRY_SECONDS):
                await drain.wait()
    return False


async def _check_database(settings: Settings, programs: dict[str, Program]) -> None:
    connection = await connect(settings.database, application="switch start")
    try:
        await check_schema(connection)
        missing = sorted(await programs_in_use(connection) - set(programs))
    finally:
        await connection.close(timeout=2)
    if missing:
        raise ConfigurationError(f"{settings.programs}: cards refer to unknown program(s) {', '.join(missing)}")


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
