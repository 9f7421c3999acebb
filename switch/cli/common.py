"""What several commands share: the settings option, a connection, the output form, reading a card number."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from switch.contracts.errors import DatabaseUnavailable
from switch.contracts.secret import Pan
from switch.daemon.settings import Settings, load_settings
from switch.journal.connection import Connection, connect

__all__ = ["card_number", "config_option", "json_option", "print_json", "with_database"]

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """``--config FILE``, or the environment variable SWITCH_CONFIG."""
    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="SWITCH_CONFIG",
        required=True,
        show_envvar=True,
        help="The settings file.",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``: for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def print_json(value: object) -> None:
    """One JSON value on stdout, indented, amounts as integers of minor units."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    click.echo(text.decode())


def with_database(config: Path, work: Callable[[Settings, Connection], Awaitable[T]], *, issuing: bool = False) -> T:
    """Runs ``work`` on a connection: the issuing role's where something is to be changed, else the daemon's."""
    settings = load_settings(config)

    async def run() -> T:
        dsn = settings.database.issuing_dsn if issuing else ""
        try:
            connection = await connect(settings.database, dsn, application="switch command")
        except DatabaseUnavailable as exc:
            raise DatabaseUnavailable(f"the database can't be reached, is it running? ({exc})") from exc
        try:
            return await work(settings, connection)
        finally:
            await connection.close(timeout=2)

    return asyncio.run(run())


def card_number(text: str) -> Pan:
    """A card number from the command line, or from stdin where ``-`` stands: it then shows in no process list."""
    digits = (sys.stdin.readline() if text == "-" else text).strip().replace(" ", "")
    if not (digits.isascii() and digits.isdigit() and 12 <= len(digits) <= 19):
        raise click.BadParameter("a card number has 12 to 19 digits")
    return Pan(digits)
