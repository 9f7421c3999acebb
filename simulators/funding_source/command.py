"""``switch funding-source``: the provider of automatic top-ups, simulated, on the command line."""

from __future__ import annotations

import secrets
import signal
import ssl
import sys
import time
from pathlib import Path

import click
import msgspec
import trio

from simulators.funding_source.books import BOOKS_FILE, Books, Entry, read_entries, summary
from simulators.funding_source.faults import Faults, Script, load_script
from simulators.funding_source.provider import Account, Provider
from simulators.funding_source.server import serve_provider
from switch.contracts.errors import ConfigurationError

__all__ = ["funding_source"]

EXIT_CONNECTION = 3
KEY_FILE = "funding-source.key"
_KEY_BYTES = 32

_data = click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The directory with its books; a second start goes on with them.",
)


@click.group()
def funding_source() -> None:
    """A provider that cards are topped up from: takes money, gives it back, and misbehaves as a script says.

    It speaks the JSON contract of switch/funding/README.md and keeps its own books.
    """


@funding_source.command()
@_data
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65_535), help="0: any free port.")
@click.option("--key-id", default="switch", show_default=True, help="The name of the signature key.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"32 bytes in hex, for HMAC-SHA-256.  [default: {KEY_FILE} in the directory, drawn at the first start]",
)
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML file with [[fault]] tables, as above.",
)
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM: https.")
@click.option("--certificate-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its key, PEM.")
@click.option("--control", is_flag=True, help="Let a test change the faults and read the books over HTTP, unsigned.")
@click.option(
    "--no-sync",
    is_flag=True,
    help="Don't force each deed to disk. For measurements only: the books are not safe from a power cut.",
)
def run(
    data: Path,
    host: str,
    port: int,
    key_id: str,
    key_file: Path | None,
    script: Path | None,
    certificate: Path | None,
    certificate_key: Path | None,
    control: bool,
    no_sync: bool,
) -> None:
    """Serve until SIGINT or SIGTERM. The first line on stdout is JSON and tells the address.

    \b
    A script's rules are tried in their order at every call:
      seed = 7
      [[fault]]
      call = "charge"            or query, void, any
      kind = "silent_after"      or decline, slow, silent_before, error_before, error_after, reset_before,
                                 reset_after, busy, duplicate, wrong_amount, unknown, garbled
      probability = 0.1          left out: always
      count = 3                  left out: for ever
      seconds = 0.5              of slow
      off_by_minor = 100         of wrong_amount
    """  # noqa: D301 - click's paragraph mark is a real backspace
    if (certificate is None) is not (certificate_key is None):
        raise click.UsageError("--certificate and --certificate-key belong together")
    data.mkdir(parents=True, exist_ok=True)
    account = Account(key_id, _secret(key_file or data / KEY_FILE, draw=key_file is None))
    faults = Faults(Script() if script is None else load_script(script))
    tls = None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            tls.load_cert_chain(certificate, certificate_key)
        except OSError:
            raise ConfigurationError(f"{certificate}: no certificate with this key can be read from it") from None

    with Books(data / BOOKS_FILE, sync=not no_sync) as books:
        provider = Provider(books, account, faults, time.time)
        bound = True
        try:
            trio.run(_serve, provider, host, port, tls, control, str(key_file or data / KEY_FILE))
        except* OSError as group:
            click.echo(f"switch funding-source: {host}:{port}: {group.exceptions[0]}", err=True)
            bound = False
    if not bound:
        # Not within except*, from which Pythons before 3.11.4 raise a group instead of SystemExit.
        sys.exit(EXIT_CONNECTION)


@funding_source.command()
@_data
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs: every entry, and the sums.")
def books(data: Path, as_json: bool) -> None:
    """Show what was charged, declined and voided, whether the provider runs or not."""
    path = data / BOOKS_FILE
    if not path.is_file():
        raise click.UsageError(f"{path}: there are no books")
    entries = read_entries(path)
    sums = summary(entries)
    if as_json:
        click.echo(msgspec.json.encode({"entries": entries, "summary": sums}))
        return
    for entry in entries:
        click.echo(_line(entry))
    for currency, money in sums.money.items():
        click.echo(
            f"{currency}: taken {money.taken_minor:,}, returned {money.returned_minor:,}, kept {money.kept_minor:,}"
        )


async def _serve(
    provider: Provider, host: str, port: int, tls: ssl.SSLContext | None, control: bool, key_file: str
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def serve(*, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
                await serve_provider(provider, host, port, tls=tls, control=control, task_status=task_status)

            bound: int = await nursery.start(serve)
            shown = f"[{host}]" if ":" in host else host
            ready = {
                "event": "ready",
                "url": f"{'http' if tls is None else 'https'}://{shown}:{bound}",
                "host": host,
                "port": bound,
                "key_file": key_file,
                "control": control,
            }
            click.echo(msgspec.json.encode(ready))
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break


def _secret(path: Path, *, draw: bool) -> bytes:
    """Raises ConfigurationError naming the file, never what is in it."""
    if draw and not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(_KEY_BYTES) + "\n", encoding="ascii")
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        raise ConfigurationError(f"key file {path}: {_KEY_BYTES} bytes in hex can't be read from it") from None
    if len(secret) != _KEY_BYTES:
        raise ConfigurationError(f"key file {path}: {_KEY_BYTES} bytes needed, {len(secret)} found")
    return secret


def _line(entry: Entry) -> str:
    amount = f"{entry.amount_minor:,} {entry.currency}" if entry.amount_minor else ""
    return f"{entry.at}  {entry.deed:<13} {entry.key:<40} {amount:>16}  {entry.reference or entry.reason}".rstrip()
