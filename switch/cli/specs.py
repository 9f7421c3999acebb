"""``switch specs``: the dialects, and what a message says."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from switch.cli.common import json_option, print_json
from switch.cli.described import print_described
from switch.cli.grid import print_grid
from switch.contracts.errors import ConfigurationError, SwitchError
from switch.daemon.settings import load_settings
from switch.wire.codec import Codec
from switch.wire.describe import Describer
from switch.wire.dialect import Dialect, dialect_names, load_dialect, specs_root
from switch.wire.dialect_file import DialectFile, read_dialect_file
from switch.wire.dialect_layers import lineage
from switch.wire.dialect_report import TABLES, dialect_tables
from switch.wire.errors import WireError
from switch.wire.guess import Guess, guess
from switch.wire.inbound import ManagementFunction
from switch.wire.pasted import FORMS, FRAMINGS, pasted_as

__all__ = ["specs"]

_INPUT_BYTES_MAX = 1 << 19  # the longest frame in hexadecimal digits, with a blank behind each


class _Place(NamedTuple):
    """A dialect's folder, and whether it came with the program."""

    folder: Path
    private: bool


@click.group()
def specs() -> None:
    """Look at the dialects, check one of your own, and read messages.

    \b
    switch specs list                                    which dialects there are
    switch specs show base1 --table fields               one of them, table by table
    switch specs check ./private/ours                    is what I have written right?
    switch specs describe - < message.hex                what does this message say?

    A dialect is a folder with a dialect.toml; specs/README.md is the guide for writing one. Private ones are found in
    the folder `specs` of the settings file, or in --specs DIR, before those that came with the program.
    """  # noqa: D301 -- click wants the control character, not its escape


def _places(config: Path | None, folder: Path | None) -> dict[str, _Place]:
    """The dialects by name, private ones first."""
    private = folder
    if private is None and config is not None:
        private = load_settings(config).specs
    found: dict[str, _Place] = {}
    if private is not None:
        found = {name: _Place(private / name, True) for name in dialect_names(private)}
    for name in dialect_names():
        found.setdefault(name, _Place(specs_root() / name, False))
    return found


def _place(places: dict[str, _Place], name: str) -> _Place:
    if name not in places:
        raise ConfigurationError(f"there is no dialect of that name; there is {', '.join(sorted(places))}")
    return places[name]


_config = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="SWITCH_CONFIG",
    show_envvar=True,
    help="The settings file, for the private dialects that it names.",
)
_specs = click.option(
    "--specs",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with private dialects, instead of the one in the settings.",
)


@specs.command("list")
@_config
@_specs
@json_option
def list_command(config: Path | None, folder: Path | None, as_json: bool) -> None:
    """List the dialects: framing, whether private or not, what they are laid over, what they are."""
    rows = []
    for name, place in sorted(_places(config, folder).items()):
        tables = read_dialect_file(place.folder)
        rows.append(
            {
                "dialect": name,
                "framing": tables.framing.value,
                "origin": "private" if place.private else "comes along",
                "extends": [base.name for base in lineage(place.folder)[1:]],
                "description": tables.description,
                "folder": str(place.folder),
            }
        )
    if as_json:
        print_json(rows)
        return
    columns = ("dialect", "framing", "origin", "extends", "description")
    print_grid(columns, [tuple(_cell(row[name]) for name in columns) for row in rows])


def _cell(value: object) -> str:
    return (" ".join(value) or "-") if isinstance(value, list) else str(value)


@specs.command()
@click.argument("name")
@click.option("--table", "only", type=click.Choice(list(TABLES)), default=None, help="Only this table.")
@_config
@_specs
@json_option
def show(name: str, only: str | None, config: Path | None, folder: Path | None, as_json: bool) -> None:
    """Show the dialect NAME (or the one in a folder) in tables, with what it takes from those it is laid over.

    With --json, the tables of dialect.toml as they are after laying them over each other, defaults included; with
    --table as well, the rows of that table.
    """
    place = _named(name, config, folder)
    tables = read_dialect_file(place.folder)
    ancestry = lineage(place.folder)
    if as_json:
        print_json(
            {
                "dialect": place.folder.name,
                "folder": str(place.folder),
                "extends": [base.name for base in ancestry[1:]],
                **(msgspec.to_builtins(tables) if only is None else _rows_of(tables, only)),
            }
        )
        return
    if only is None:
        click.secho(f"{place.folder.name}: {tables.description}", bold=True)
        click.echo(f"  from       {', over '.join(str(base) for base in ancestry)}")
        click.echo(f"  framing    {tables.framing.value}")
        click.echo(f"  text       {tables.text_encoding}")
        if tables.hook:
            click.echo(f"  hook       {tables.hook}")
    for table in dialect_tables(tables, only or ""):
        click.echo()
        click.secho(f"[{table.title}]", bold=True)
        print_grid(table.columns, table.rows)


def _rows_of(tables: DialectFile, only: str) -> dict[str, list[dict[str, str]]]:
    return {
        table.title: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        for table in dialect_tables(tables, only)
    }


def _named(name: str, config: Path | None, folder: Path | None) -> _Place:
    """The dialect of a name, or in a folder: whatever looks like a path is one."""
    as_folder = Path(name)
    if "/" in name or name in {".", ".."}:
        return _Place(as_folder.resolve(), True)
    places = _places(config, folder)
    if name not in places and as_folder.is_dir():
        return _Place(as_folder.resolve(), True)
    return _place(places, name)


@specs.command()
@click.argument("name", metavar="FOLDER|NAME")
@_config
@_specs
@json_option
def check(name: str, config: Path | None, folder: Path | None, as_json: bool) -> None:
    """Check a dialect as the daemon does at its start, and try it: an echo is written and read again.

    The first thing that is wrong is named with file, table and key, and the exit code is 1. The dialect's hook, where
    it has one, is loaded: it is a program, so check only folders that you trust.
    """
    place = _named(name, config, folder)
    try:
        dialect = load_dialect(place.folder)
        _try_out(dialect, place.folder)
    except ConfigurationError as error:
        if not as_json:
            raise
        print_json({"ok": False, "dialect": place.folder.name, "folder": str(place.folder), "problem": str(error)})
        sys.exit(1)
    if as_json:
        print_json({"ok": True, "dialect": dialect.name, "folder": str(place.folder), "problem": None})
        return
    click.echo(
        f"{dialect.name}: good ({len(dialect.messages)} message types, {len(dialect.spec)} fields, "
        f"{sum(1 for key in dialect.content if '.' in key)} subfields, {len(set(dialect.response_codes.values()))} "
        f"response codes)"
    )


def _try_out(dialect: Dialect, folder: Path) -> None:
    """An echo to the network and back. Raises ConfigurationError."""
    codec = Codec(dialect)
    now = datetime.now(UTC)
    try:
        echo = codec.encode_management(ManagementFunction.ECHO, stan="000001", now=now)
        inbound = codec.decode(echo, network=dialect.name, received_at=now)
        codec.encode_management_answer(inbound)
    except WireError as error:
        raise ConfigurationError(f"{folder}/dialect.toml: [management]: an echo can't be exchanged: {error}") from None


@specs.command()
@click.argument("message", nargs=-1)
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the message from this file.",
)
@click.option("--dialect", "name", help="The dialect. Without it, all are tried.")
@click.option("--form", type=click.Choice(FORMS), default="auto", show_default=True, help="What the input is made of.")
@click.option(
    "--framing",
    type=click.Choice(FRAMINGS),
    default="auto",
    show_default=True,
    help="The length in front of the message; none: there is none.",
)
@_config
@_specs
@json_option
def describe(
    message: tuple[str, ...],
    file: Path | None,
    name: str | None,
    form: str,
    framing: str,
    config: Path | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Tell what a MESSAGE says, element by element, and what the switch would take it for.

    \b
    switch specs describe 0800822000000000000004000000000000000615030405000009301
    switch specs describe - < message.hex                hexadecimal digits, blanks as you like
    switch specs describe --file message.bin             the bytes themselves
    switch specs describe --dialect base1 --framing vap --json --file message.bin

    Hexadecimal digits, base64 and raw bytes are told apart, with or without the length in front. Card numbers are
    masked, and what nobody may see (track data, PIN blocks, security codes, chip data with either) is not shown. But
    what stands on a command line is seen in the list of processes and kept by the shell: real messages belong in a file
    or on stdin.

    A message that is none is told as far as it can be read, with the field, the place, what was needed and what was
    found; the exit code is then 1.
    """  # noqa: D301 -- click wants the control character, not its escape
    text = _input(message, file)
    places = _places(config, folder)
    chosen = [_place(places, name)] if name is not None else [places[each] for each in sorted(places)]
    describers = [Describer(load_dialect(place.folder)) for place in chosen]
    pasted = pasted_as(text, form)
    found = guess(pasted, describers, framing, datetime.now(UTC)) if pasted else None
    if found is None:
        raise SwitchError("the input is no message" if form == "auto" else f"the input is no message in {form}")
    if as_json:
        print_json(_as_json(found, guessed=name is None))
    else:
        print_described(found, guessed=name is None)
    if found.reading.description.problem is not None:
        sys.exit(1)


def _input(message: tuple[str, ...], file: Path | None) -> bytes:
    if bool(message) == (file is not None):
        raise click.UsageError("give a MESSAGE, or - for stdin, or --file")
    if file is not None:
        try:
            with file.open("rb") as opened:
                text = opened.read(_INPUT_BYTES_MAX + 1)
        except OSError as error:
            raise SwitchError(f"{file}: {error.strerror}") from None
    elif message == ("-",):
        text = sys.stdin.buffer.read(_INPUT_BYTES_MAX + 1)
    else:
        text = " ".join(message).encode()
    if len(text) > _INPUT_BYTES_MAX:
        raise SwitchError("the input is longer than any message")
    return text


def _as_json(found: Guess, *, guessed: bool) -> dict[str, object]:
    reading = found.reading
    return {
        "form": reading.form,
        "framing": reading.framing or None,
        "framing_odd": reading.odd,
        "guessed": guessed,
        "why": found.why if guessed else "",
        **msgspec.to_builtins(reading.description),
        "others": msgspec.to_builtins(found.others),
    }
