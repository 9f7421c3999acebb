"""Ordinary purchases beside two hundred top-ups in flight. Figures are printed, never asserted: a machine may be busy."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog
import trio

from simulators.funding_source.books import BOOKS_FILE, read_entries, summary
from switch.funding.settings import ProviderSettings
from switch.journal.bridge import asyncio_loop, on_asyncio
from tests.funding.desk import SHORT, Daemon, Desk
from tests.funding.stage import provider_settings
from tests.journal.counter import Client, Counter
from tests.journal.server import Database

SECONDS = 4.0
WINDOW = 32  # ordinary purchases in flight
TOP_UPS = 200


async def _ordinary(daemon: Daemon, client: Client, until: float, count: list[int]) -> None:
    while trio.current_time() < until:
        arrival = await daemon.say(daemon.purchase(client, 1))
        await daemon.settled(arrival)
        count[0] += 1


async def _short(daemon: Daemon, client: Client, until: float, count: list[int]) -> None:
    while trio.current_time() < until:
        arrival = await daemon.say(daemon.purchase(client, 100), deadline_seconds=8)
        await daemon.settled(arrival)
        count[0] += 1


async def _measure(daemon: Daemon, plain: list[Client], short: list[Client]) -> tuple[float, float]:
    ordinary, topped = [0], [0]
    until = trio.current_time() + SECONDS
    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for client in short:
            nursery.start_soon(_short, daemon, client, until, topped)
        for client in plain:
            nursery.start_soon(_ordinary, daemon, client, until, ordinary)
    return ordinary[0] / SECONDS, topped[0] / (time.perf_counter() - started)


class _Elsewhere(NamedTuple):
    """The simulator as a process of its own: it forces each deed to disk, and must not stop the daemon for that."""

    settings: ProviderSettings
    books: Path

    @property
    def kept_minor(self) -> int:
        money = summary(read_entries(self.books)).money if self.books.exists() else {}
        return sum(one.kept_minor for one in money.values())


@contextmanager
def _provider(directory: Path, fault: str) -> Iterator[_Elsewhere]:
    script = directory / "faults.toml"
    script.write_text(f'[[fault]]\ncall = "any"\n{fault}\n')
    command = [sys.executable, "-m", "switch.cli", "funding-source", "run", "--data", str(directory), "--script"]
    with subprocess.Popen([*command, str(script)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            key = Path(told["key_file"])
            yield _Elsewhere(provider_settings(directory, told["port"], key_file=key, **SHORT), directory / BOOKS_FILE)
        finally:
            process.terminate()


@pytest.fixture
def _quiet() -> Iterator[None]:
    """A daemon writes its log in batches; a line on the terminal for each message would be all that is measured."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.long
@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize(
    ("provider", "fault"),
    [("answers in 300 ms", 'kind = "slow"\nseconds = 0.3'), ("is dead", 'kind = "reset_before"')],
)
async def test_ordinary_purchases_go_on(database: Database, tmp_path: Path, provider: str, fault: str) -> None:
    with _provider(tmp_path, fault) as elsewhere:
        async with asyncio_loop():
            counter = Counter(database)
            desk = Desk(counter, elsewhere)  # type: ignore[arg-type] # what the desk needs of a stage
            async with desk.daemon() as daemon:
                plain = [await desk.client(1_000_000, source=False) for _ in range(WINDOW)]
                short = [await desk.client(0) for _ in range(TOP_UPS)]
                alone, _ = await _measure(daemon, plain, [])
                beside, topped = await _measure(daemon, plain, short)
                print(  # noqa: T201 the figures that a person reads
                    f"\nprovider {provider}: {alone:.0f} ordinary a second alone, {beside:.0f} beside {topped:.0f}"
                    f" that are short a second ({TOP_UPS} in flight)"
                )
                if provider != "is dead":  # what a dead one was asked for stays open until it lives again
                    for client in short:
                        await desk.ended(client)
                await desk.check(*short)
                assert beside > 0
            await on_asyncio(counter.close)
