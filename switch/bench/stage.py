"""The processes of a benchmark: one PostgreSQL, daemons on databases of it, a load generator for each."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, TypeVar

import asyncpg
import msgspec

from simulators.bench.frames import DIALECT
from simulators.bench.generator import Order, Outcome
from switch.bench.processes import Memory, cpu_seconds, favour, memory_of, touch_shared_memory
from switch.contracts.errors import SwitchError
from switch.daemon.dev import DevelopmentSwitch
from switch.daemon.embedded import EmbeddedPostgres
from switch.daemon.settings import Settings, load_settings
from switch.journal.connection import Connection, connect, translated
from switch.journal.migrate import migrate

__all__ = [
    "NICE",
    "POSTGRES",
    "SHARED_BUFFERS_MB",
    "BenchFailed",
    "GeneratorProcess",
    "Measured",
    "Server",
    "Stage",
    "child",
]

T = TypeVar("T")

_START_SECONDS, _STOP_SECONDS = 30.0, 20.0
_LINKS = 8
#: The daemon's, as in systemd/switch.service. Whoever runs the bench needs the right to give it (root, or ulimit -e).
NICE = -5
#: A quarter of the memory, as PostgreSQL's manual advises for a start; no less than 256 MB.
SHARED_BUFFERS_MB = max(256, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 // 2**20)
#: fsync, synchronous_commit and full_page_writes stay on, as in production. These sizes are what a production server on
#: such a machine would have; both sides of the comparison run on the same server.
POSTGRES = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": f"{SHARED_BUFFERS_MB}MB",
    "max_wal_size": "8GB",
    "min_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "max_connections": "100",
}


class BenchFailed(SwitchError):
    """A part of the benchmark did not start, broke, or sent what it must not."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One phase: what the generator saw, and what it cost. CPU in microseconds per answered message, all cores."""

    outcome: Outcome
    daemon_cpu_us: float
    postgres_cpu_us: float


def child(*command: str, errors: IO[bytes]) -> subprocess.Popen[str]:
    """A process with pipes for stdin and stdout, out of reach of the terminal's Ctrl-C: who started it ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
    )


class Server:
    """The embedded PostgreSQL, and what all its databases share. A context manager: it leaves nothing behind.

    ``directory`` must lie on a disk: a file system in memory makes fsync free, and every figure a lie. ``disk_bytes``
    is what all databases together will need: better refused at once than found out when the disk is full.
    """

    def __init__(self, directory: Path, *, disk_bytes: int = 0) -> None:
        self.directory = directory
        self.postgres = EmbeddedPostgres(directory, settings=POSTGRES)
        self._disk_bytes = disk_bytes
        self._touched = False

    def __enter__(self) -> Server:
        try:
            self._check_disk()
            self.postgres.start()
            # Keys, programs and their settings are those of `switch dev`.
            DevelopmentSwitch(self.directory, port_base=0).write_files()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.postgres.destroy()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _check_disk(self) -> None:
        place = self.postgres.disk
        free = shutil.disk_usage(place).free
        if free < self._disk_bytes:
            raise BenchFailed(
                f"about {self._disk_bytes / 1e9:.1f} GB of disk are needed, {free / 1e9:.1f} GB are free in {place}"
            )

    def restart(self, settings: Mapping[str, str]) -> None:
        """Starts PostgreSQL anew with other settings, with everything on disk."""
        # Stopping writes a checkpoint too, but has a deadline.
        self.checkpoint()
        self.postgres.stop()
        self.postgres = EmbeddedPostgres(self.directory, settings=settings)
        self._touched = False
        self.postgres.start()

    def provide_wal(self, segments: int) -> None:
        """Makes so many segments of the write-ahead log that are ready to be used, as a server has that runs for long.

        A new server makes each when it needs it: it writes 16 MB of zeros and flushes them, and all commits wait.
        """

        async def work(connection: Connection) -> None:
            for _ in range(segments):
                await connection.execute("SELECT pg_logical_emit_message(false, 'bench', '')")
                await connection.execute("SELECT pg_switch_wal()")
            await connection.execute("CHECKPOINT")

        self.ask("postgres", work)

    def touch_buffers(self) -> None:
        """Has PostgreSQL's buffers in memory, as those of a server that runs for long.

        Of a new server's, Linux makes each page when it is first used, and clears it: a process that takes new buffers
        all the time waits 20 us for each. Where that is not allowed, the figures have it: :meth:`told_settings` tells.
        """
        pid = self.postgres.pid
        if pid is None:
            raise BenchFailed("PostgreSQL has ended")
        self._touched = touch_shared_memory(pid)

    def checkpoint(self) -> None:
        """Now, so that none falls into the next phases; and what was used of the write-ahead log is ready again."""
        self.ask("postgres", lambda connection: connection.execute("CHECKPOINT"))

    def vacuum(self, database: str) -> None:
        """Now, so that what the phases before left behind, on either side, is not cleaned up in the next ones."""
        self.ask(database, lambda connection: connection.execute("VACUUM (ANALYZE)"))

    def version(self) -> str:
        """Of PostgreSQL, in words."""
        version: str = self.ask("postgres", lambda connection: connection.fetchval("SHOW server_version"))
        return version

    def told_settings(self) -> dict[str, str]:
        """:data:`POSTGRES`, whether the buffers lie in huge pages (``unknown`` before PostgreSQL 17), and whether they
        had all been touched.
        """
        status: str = self.ask(
            "postgres",
            lambda connection: connection.fetchval(
                "SELECT coalesce(current_setting('huge_pages_status', true), 'unknown')"
            ),
        )
        return {**POSTGRES, "huge_pages_status": status, "buffers": "touched" if self._touched else "as new"}

    def ask(self, database: str, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Runs ``work`` as the database's administrator. Raises JournalRefused and DatabaseUnavailable."""
        return asyncio.run(self.connected(database, work))

    async def connected(self, database: str, work: Callable[[Connection], Awaitable[T]]) -> T:
        """The same inside an asyncio loop, so that several connections can work at once."""
        # Bulk work takes as long as it takes.
        with translated():
            connection = await asyncpg.connect(
                self.postgres.dsn("postgres", database), server_settings={"search_path": "switch", "jit": "off"}
            )
            try:
                return await work(connection)
            finally:
                await connection.close(timeout=5)

    def cpu_seconds(self) -> float:
        """Of all PostgreSQL processes, ended ones included."""
        pid = self.postgres.pid
        if pid is None:
            raise BenchFailed("PostgreSQL has ended")
        return cpu_seconds(pid)


class GeneratorProcess:
    """The load generator, connected to a port. A context manager."""

    def __init__(self, host: str, port: int, errors: IO[bytes]) -> None:
        self._process = child("simulators.bench.generator", host, str(port), str(_LINKS), errors=errors)

    @property
    def pid(self) -> int:
        """The generator's process id."""
        return self._process.pid

    def run(self, order: Order) -> Outcome:
        """Carries out an order. Raises BenchFailed when the generator broke or a message got no answer."""
        self.begin(order)
        return self.finish()

    def begin(self, order: Order) -> None:
        """Hands an order over and does not wait; :meth:`finish` does. Raises BenchFailed when the generator broke."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(order).decode() + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise BenchFailed("the load generator has ended") from exc

    def finish(self, *, none_measured: bool = False) -> Outcome:
        """What came of the order. Raises BenchFailed when the generator broke or a message got no answer; also when
        none came in the measured time, unless that is fine.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchFailed("the load generator has ended")
        outcome = msgspec.json.decode(line, type=Outcome)
        if outcome.unanswered or not (outcome.measured or none_measured):
            raise BenchFailed(f"{outcome.unanswered} messages got no answer, {outcome.answered} did")
        return outcome

    def __enter__(self) -> GeneratorProcess:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process, 0.0)


class Stage:
    """A database with the switch's schema, a daemon on it, and a generator that drives it.

    A context manager that can be entered again: daemon and generator live inside it, the database outlives it.
    ``connections`` is the daemon's setting: batches that may be under way at once. ``programs`` names another file than
    that of `switch dev`; ``more`` is added to the settings.
    """

    def __init__(
        self, server: Server, database: str, *, connections: int, programs: str = "programs.toml", more: str = ""
    ) -> None:
        self.server = server
        self.database = database
        self.config = server.directory / f"{database}.toml"
        self.approved = 0  # approvals that the generator has seen on this stage
        self.nice = 0  # the daemon's priority beside PostgreSQL: NICE, where that is allowed
        self.late = 0  # answers 91: what was booked for them is withdrawn a little later
        self._connections = connections
        self._programs = programs
        self._more = more
        self._errors_path = server.directory / f"{database}.stderr"
        self._errors: IO[bytes] | None = None
        self._daemon: subprocess.Popen[str] | None = None
        self._generator: GeneratorProcess | None = None

    @property
    def settings(self) -> Settings:
        """The daemon's, read from its file."""
        return load_settings(self.config)

    def prepare(self) -> None:
        """Makes the database and brings it to the schema."""
        self.server.ask("postgres", lambda connection: connection.execute(f"CREATE DATABASE {self.database}"))
        self.config.write_text(self._settings_text(*_free_ports()))

        async def run() -> None:
            settings = self.settings.database
            connection = await connect(settings, settings.owner_dsn, application="switch bench")
            try:
                await migrate(connection, lambda _: None)
            finally:
                await connection.close(timeout=5)

        asyncio.run(run())

    def _settings_text(self, port: int, operations_port: int) -> str:
        """As `switch dev` writes them, for one listener and this database."""
        base = load_settings(self.server.directory / "switch.toml")
        keys = "\n".join(f'{name} = "{path}"' for name, path in base.vault.security_code_keys.items())
        dsn = self.server.postgres.dsn
        return f"""\
programs = "{self._programs}"
[database]
dsn = "{dsn("switch_daemon", self.database)}"
issuing_dsn = "{dsn("switch_issuing", self.database)}"
owner_dsn = "{dsn("postgres", self.database)}"
connections = {self._connections}
[vault]
pan_lookup_key = "keys/pan-lookup.key"
pan_data_keys = {{ 1 = "keys/pan-data-1.key" }}
pan_data_key_current = 1
[vault.security_code_keys]
{keys}
[operations]
port = {operations_port}
[[listener]]
dialect = "{DIALECT}"
host = "127.0.0.1"
port = {port}
sign_on = "optional"
echo_interval_seconds = 0
[log]
file = "{self.database}.log"
{self._more}"""

    def __enter__(self) -> Stage:
        try:
            settings = self.settings
            self._errors = errors = self._errors_path.open("ab")
            self._daemon = child("switch.cli", "serve", "--config", str(self.config), errors=errors)
            self.nice = favour(self._daemon.pid, NICE)
            self._wait_ready(f"http://127.0.0.1:{settings.operations.port}/readyz")
            self._generator = GeneratorProcess("127.0.0.1", settings.listener[0].port, errors)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._generator is not None:
            self._generator.__exit__()
        if self._daemon is not None:
            self._daemon.terminate()
            _end(self._daemon, _STOP_SECONDS)
        if self._errors is not None:
            self._errors.close()
        self._generator = self._daemon = self._errors = None

    def _wait_ready(self, url: str) -> None:
        assert self._daemon is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._daemon.poll() is None:
            try:
                with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - the address is ours and http
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise BenchFailed(f"the daemon did not get ready: {self.said()}")

    def said(self) -> str:
        """The last lines that daemon and generator wrote on stderr."""
        return "\n".join(self._errors_path.read_text(errors="replace").splitlines()[-10:])

    @property
    def generator(self) -> GeneratorProcess:
        """The load generator that drives the daemon."""
        assert self._generator is not None, "the stage has been entered"
        return self._generator

    def another_generator(self) -> GeneratorProcess:
        """One more, with connections of its own. Its approvals are to be added with :meth:`count`."""
        assert self._errors is not None, "the stage has been entered"
        return GeneratorProcess("127.0.0.1", self.settings.listener[0].port, self._errors)

    def count(self, outcome: Outcome) -> None:
        """Remembers what a generator saw, for :func:`switch.bench.books.check_books`."""
        self.approved += outcome.codes.get("00", 0)
        self.late += outcome.codes.get("91", 0)

    @property
    def daemon_pid(self) -> int:
        """The daemon's process id."""
        assert self._daemon is not None, "the stage has been entered"
        return self._daemon.pid

    def memory(self) -> Memory:
        """Of the daemon."""
        return memory_of(self.daemon_pid)

    def measure(self, order: Order) -> Measured:
        """Drives the daemon and looks at the processes before and after.

        Raises BenchFailed when a message got no answer or a process broke.
        """
        daemon, postgres = cpu_seconds(self.daemon_pid), self.server.cpu_seconds()
        try:
            outcome = self.generator.run(order)
        except BenchFailed as exc:
            raise BenchFailed(f"{exc}: {self.said()}") from exc
        self.count(outcome)
        return Measured(
            outcome=outcome,
            daemon_cpu_us=(cpu_seconds(self.daemon_pid) - daemon) * 1e6 / outcome.answered,
            postgres_cpu_us=(self.server.cpu_seconds() - postgres) * 1e6 / outcome.answered,
        )


def _free_ports() -> tuple[int, int]:
    """Two ports that are free now. The daemon takes them a moment later; if somebody was quicker, it says so."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _end(process: subprocess.Popen[str], seconds: float) -> None:
    """Waits for the end of a process, and makes it end where it takes too long."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        process.stdin.close()
        process.stdout.close()
