"""``switch serve`` as a process of its own, which a test may kill, and a PostgreSQL that outlives it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import trio

from switch.daemon.embedded import EmbeddedPostgres
from tests.house import House

__all__ = ["DIALECTS", "Daemon", "database", "free_port", "running", "until", "wait_until"]

DIALECTS = ("iso87_ascii", "iso87_binary")
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.02


class Daemon:
    """One daemon on a house's database, with ports, a settings file and a log of its own; they stay over a restart.

    ``deadline_seconds`` is how long a request may wait for its answer.
    """

    def __init__(self, house: House, name: str, *, deadline_seconds: float = 2.0, sign_on: str = "required") -> None:
        self.house = house
        self.deadline_seconds = deadline_seconds
        self.ports: Mapping[str, int] = {dialect: free_port() for dialect in DIALECTS}
        self.operations_port = free_port()
        self.config = house.directory / f"{name}.toml"
        self.log = house.directory / f"{name}.log"
        self.said = house.directory / f"{name}.out"
        self._process: subprocess.Popen[bytes] | None = None
        lines = ["[operations]", f"port = {self.operations_port}", "[log]", f'file = "{self.log.name}"']
        for dialect in DIALECTS:
            lines += [
                "[[listener]]",
                f'dialect = "{dialect}"',
                'host = "127.0.0.1"',
                f"port = {self.ports[dialect]}",
                f'sign_on = "{sign_on}"',
                f"request_deadline_seconds = {deadline_seconds}",
            ]
        common = house.config.read_text().partition("[operations]")[0]
        self.config.write_text(common + "\n".join(lines) + "\n")

    def set(self, table: str, line: str) -> None:
        """Adds a line to a table of the settings file."""
        self.config.write_text(self.config.read_text().replace(table, f"{table}\n{line}", 1))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> Daemon:
        """Starts it and does not wait."""
        with self.said.open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "switch.cli", "serve", "--config", str(self.config)], stdout=said, stderr=said
            )
        return self

    def start(self) -> Daemon:
        """Starts it and waits until it is ready."""
        self.launch()
        wait_until(lambda: not self.alive or self.page("/readyz")[0] == 200, "the daemon is ready")
        assert self.alive, f"the daemon did not start: {self.said.read_text()}"
        return self

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def ended(self, seconds: float = 30.0) -> int:
        """Waits for its end; the exit code."""
        assert self._process is not None
        code = self._process.wait(seconds)
        self._process = None
        return code

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.ask_to_stop()
        return self.ended()

    def kill(self) -> None:
        """kill -9, as a power cut would end it. Nothing is done for one that has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of an operations page; status 0 where nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.operations_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """A metric without labels."""
        for line in self.page("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise KeyError(name)


@contextmanager
def database(directory: Path) -> Iterator[tuple[House, EmbeddedPostgres]]:
    """A migrated database with the test cards in it, and no daemon yet. Gone at the end."""
    house = House(directory)
    postgres = EmbeddedPostgres(directory)
    try:
        house.start()
        house.stop()
        postgres.start()
        yield house, postgres
    finally:
        house.stop()
        postgres.destroy()


@contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    """The daemon for a block of code; whatever became of it there, it does not outlive the block."""
    try:
        yield daemon.start()
    finally:
        daemon.kill()


def free_port() -> int:
    """A port that nobody listens on now. It lies below those that the kernel gives to connections that dial out."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = 10_000 + int.from_bytes(os.urandom(4), "big") % (lowest - 10_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(so: Callable[[], bool], what: str, seconds: float = _PATIENCE_SECONDS) -> None:
    """Asks another process again and again; it has no event to wait for."""
    end = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(_POLL_SECONDS)


async def until(so: Callable[[], bool], seconds: float = 20.0) -> None:
    """As :func:`wait_until`, while other tasks go on."""
    with trio.fail_after(seconds):
        while not so():  # noqa: ASYNC110 what it asks is in another process, or in a simulator without an event for it
            await trio.sleep(_POLL_SECONDS)
