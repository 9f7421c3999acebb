"""``switch dev``, ``serve``, ``migrate`` and ``check-config``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import trio

from switch.cli.common import config_option, json_option, print_json
from switch.contracts.errors import ConfigurationError, InvariantBroken
from switch.daemon.logs import configure_logging
from switch.daemon.serve import Ready, serve
from switch.daemon.settings import (
    Settings,
    check_funding,
    check_links,
    load_dialects,
    load_programs,
    load_security_codes,
    load_settings,
    load_vault,
)
from switch.journal.connection import connect
from switch.journal.migrate import migrate
from switch.network.settings import ListenerSettings

if TYPE_CHECKING:
    from switch.daemon.dev import DevelopmentSwitch

__all__ = ["check_config", "dev", "migrate_command", "serve_command"]


@click.command()
@click.option(
    "--data",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Where everything is kept; made when it is missing, gone on with when it is there.",
)
@click.option(
    "--port-base",
    type=click.IntRange(0, 60_000),
    help="The first listener's port (default 8583; operations are 1000 above it). 0 takes any free ports.",
)
def dev(directory: Path, port_base: int | None) -> None:
    """Run a whole switch in one directory: PostgreSQL, schema, test cards, daemon. Until Ctrl-C.

    The first line on stdout is JSON and tells where everything listens. Each dialect in specs/ gets a listener; the
    test cards stand in simulators/cards.toml. Logs go to DIR/switch.log. Development keys: never for real cards.
    """
    try:
        from switch.daemon.dev import DevelopmentSwitch
    except ModuleNotFoundError as exc:
        raise ConfigurationError(
            f"`switch dev` needs {exc.name}, which production does not: pip install 'issuer-switch[dev]'"
        ) from exc
    development = DevelopmentSwitch(directory, port_base=port_base)
    development.start_database()
    try:
        settings = development.write_files()
        configure_logging("info", development.log_file)
        asyncio.run(development.prepare_database(settings))
        _run(settings, partial(_say_ready, development))
    finally:
        development.stop_database()


def _say_ready(development: DevelopmentSwitch, ready: Ready) -> None:
    line = {
        "event": "ready",
        "config": str(development.config),
        "listeners": [{"dialect": one.dialect, "host": one.host, "port": one.port} for one in ready.listeners],
        "database": development.dsn,
        "ops": ready.operations_url,
        "console": None,
    }
    click.echo(msgspec.json.encode(line).decode())


@click.command("serve")
@config_option
def serve_command(config: Path) -> None:
    """Run the daemon until SIGTERM or SIGINT; then finish what is in flight, sign off and end.

    Waits for the database if it is away. Logs are JSON lines on stderr or in the file of [log].
    """
    settings = load_settings(config)
    configure_logging(settings.log.level, settings.log.file)
    _run(settings, lambda ready: None)


def _run(settings: Settings, on_ready: Callable[[Ready], None]) -> None:
    """Runs the daemon.

    Books that contradict themselves end it with exit code 1 and a named reason, not with approvals; so does what a
    person can mend. Anything else is a defect and shows its traceback.
    """
    try:
        trio.run(serve, settings, on_ready)
    except BaseExceptionGroup as group:
        leaves = _leaves(group)
        said = "; ".join(str(leaf) for leaf in leaves)
        if any(isinstance(leaf, InvariantBroken) for leaf in leaves):
            raise InvariantBroken(said) from None
        if all(isinstance(leaf, (ConfigurationError, OSError)) for leaf in leaves):
            raise ConfigurationError(said) from None
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for exc in group.exceptions:
        found += _leaves(exc) if isinstance(exc, BaseExceptionGroup) else [exc]
    return found


@click.command("migrate")
@config_option
def migrate_command(config: Path) -> None:
    """Bring the database to the schema of this version.

    Uses [database] owner_dsn: a role that may create roles and a schema. Safe to run again; two at once wait for
    each other. Each step is one transaction.
    """
    settings = load_settings(config)
    if not settings.database.owner_dsn:
        raise ConfigurationError("database.owner_dsn is needed to migrate")

    async def run() -> int:
        connection = await connect(settings.database, settings.database.owner_dsn, application="switch migrate")
        try:
            return await migrate(connection, click.echo)
        finally:
            await connection.close(timeout=2)

    applied = asyncio.run(run())
    click.echo(f"{applied} migration(s) applied" if applied else "the schema is up to date")


@click.command("check-config")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def check_config(file: Path, as_json: bool) -> None:
    """Check a settings FILE and everything that it names: programs, dialects, keys, certificates. Starts nothing."""
    settings = load_settings(file)
    programs = load_programs(settings.programs)
    dialects = load_dialects(settings)
    load_vault(settings.vault)
    load_security_codes(settings.vault, programs)
    check_links(settings)
    check_funding(settings)
    if as_json:
        print_json({"ok": True, "programs": sorted(programs), "dialects": sorted(dialects)})
        return
    click.echo(f"{file}: good")
    click.echo(f"  programs   {', '.join(sorted(programs))}")
    click.echo(f"  dialects   {', '.join(sorted(dialects))}")
    for listener in settings.listener:
        click.echo(
            f"  listens    {listener.host}:{listener.port}  {listener.dialect}, sign-on {listener.sign_on}, "
            f"{_listener_tls(listener)}, {'from ' + ', '.join(listener.allow) if listener.allow else 'from anywhere'}"
        )
    for dialer in settings.dialer:
        targets = ", then ".join(str(target) for target in dialer.targets)
        click.echo(f"  dials      {targets}  {dialer.dialect}, {'TLS' if dialer.tls is not None else 'no TLS'}")
    topping_up = sorted(name for name, program in programs.items() if program.top_up is not None)
    for provider in settings.funding.provider:
        click.echo(f"  tops up    {', '.join(topping_up) or 'no program'}, from {provider.name} at {provider.url}")


def _listener_tls(listener: ListenerSettings) -> str:
    if listener.tls is None:
        return "no TLS"
    return "TLS" if listener.tls.client_ca is None else "mutual TLS"
