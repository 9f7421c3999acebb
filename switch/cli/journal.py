"""``switch journal``: entries, verification, explanations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from switch.cli.common import card_number, config_option, json_option, print_json, with_database
from switch.contracts.errors import SwitchError
from switch.contracts.secret import Pan
from switch.daemon.settings import Settings, load_vault
from switch.journal import reads
from switch.journal.chain import ChainedEntry
from switch.journal.connection import Connection, translated

__all__ = ["journal"]


@click.group()
def journal() -> None:
    """Read the journal, check its chain, and ask why a message was answered as it was."""


async def _account_id(settings: Settings, connection: Connection, pan: Pan | None, account_id: int | None) -> int:
    if account_id is not None:
        if not await reads.accounts(connection, [account_id]):
            raise SwitchError(f"there is no account {account_id}")
        return account_id
    assert pan is not None, "the command asked for one of them"
    found = await reads.account_of_card(connection, load_vault(settings.vault).lookup(pan))
    if found is None:
        raise SwitchError(f"there is no card {pan.masked}")
    return found[0]


def _one_of(number: str | None, account_id: int | None) -> Pan | None:
    if (number is None) == (account_id is None):
        raise click.UsageError("give either --card or --account")
    return None if number is None else card_number(number)


@journal.command()
@config_option
@click.option("--card", "number", help="A card number, or - to read it from stdin.")
@click.option("--account", "account_id", type=click.IntRange(1, 2**63 - 1), help="An account id.")
@json_option
def entries(config: Path, number: str | None, account_id: int | None, as_json: bool) -> None:
    """Print an account's journal, oldest first. With --json, one object a line."""
    pan = _one_of(number, account_id)

    async def work(settings: Settings, connection: Connection) -> None:
        wanted = await _account_id(settings, connection, pan, account_id)
        async for chained in reads.entries(connection, wanted):
            _print_entry(chained, as_json)

    with_database(config, work)


def _print_entry(chained: ChainedEntry, as_json: bool) -> None:
    entry, movement = chained.entry, chained.entry.movement
    if as_json:
        import msgspec

        line = {
            "account": entry.account_id,
            "seq": entry.seq,
            "kind": movement.kind,
            "debit": movement.debit,
            "credit": movement.credit,
            "amount": movement.amount_minor,
            "currency": entry.currency,
            "posted_after": entry.posted_after,
            "held_after": entry.held_after,
            "hold": movement.hold_id,
            "cause": chained.cause,
            "cause_key": chained.cause_key.hex(),
            "transmitted_at": chained.transmitted_at,
            "booked_at": chained.booked_at,
            "hash": chained.hash.hex(),
        }
        click.echo(msgspec.json.encode(line).decode())
        return
    hold = "" if movement.hold_id is None else f"hold {movement.hold_id}"
    click.echo(
        f"{entry.seq:>6}  {chained.booked_at:%Y-%m-%d %H:%M:%S.%f}  {movement.kind:<16} {movement.amount_minor:>12,}"
        f" {entry.currency}  posted {entry.posted_after:>13,}  held {entry.held_after:>11,}  {hold:<10}"
        f" {chained.cause} {chained.cause_key.hex()}"
    )


@journal.command()
@config_option
@click.option("--account", "account_id", type=click.IntRange(1, 2**63 - 1), help="Only this account.")
@json_option
def verify(config: Path, account_id: int | None, as_json: bool) -> None:
    """Recompute every chain and balance from the journal. Exit code 1 when anything contradicts.

    All of it is read in one snapshot, so it can run while the switch works.
    """

    async def work(settings: Settings, connection: Connection) -> tuple[int, int, list[reads.Fault]]:
        faults: list[reads.Fault] = []
        entries_seen = 0
        with translated():
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        shown = await reads.accounts(connection, None if account_id is None else [account_id])
        if account_id is not None and not shown:
            raise SwitchError(f"there is no account {account_id}")
        with click.progressbar(
            shown, label="verifying", file=sys.stderr, hidden=as_json or not sys.stderr.isatty()
        ) as bar:
            for one in bar:
                entries_seen += one.seq
                faults += await reads.verify(connection, one.account, one)
        return len(shown), entries_seen, faults

    checked, entries_seen, faults = with_database(config, work)
    if as_json:
        print_json({"accounts": checked, "entries": entries_seen, "faults": faults})
    else:
        for fault in faults:
            place = f"entry {fault.seq}" if fault.seq else "balance"
            click.echo(f"account {fault.account} {place}: {fault.what}")
        click.echo(f"{checked} accounts, {entries_seen} entries: {len(faults) or 'no'} faults")
    if faults:
        sys.exit(1)


@journal.command()
@config_option
@click.option("--card", "number", help="All messages of a card (a number, or - for stdin).")
@click.option("--account", "account_id", type=click.IntRange(1, 2**63 - 1), help="All messages of an account.")
@click.option("--key", help="The message with this key (hex, as in the log and in `journal entries`).")
@json_option
def explain(config: Path, number: str | None, account_id: int | None, key: str | None, as_json: bool) -> None:
    """Tell why messages were answered as they were: rule by rule, the values seen and the verdict. Newest first."""
    if sum(choice is not None for choice in (number, account_id, key)) != 1:
        raise click.UsageError("give one of --card, --account, --key")
    pan = None if number is None else card_number(number)
    try:
        key_bytes = None if key is None else bytes.fromhex(key)
    except ValueError as exc:
        raise click.BadParameter("a key is hexadecimal", param_hint="--key") from exc

    async def work(settings: Settings, connection: Connection) -> list[dict[str, Any]]:
        wanted = None
        if key_bytes is None:
            wanted = await _account_id(settings, connection, pan, account_id)
        return await reads.explain(connection, account_id=wanted, key=key_bytes)

    messages = with_database(config, work)
    if as_json:
        print_json(messages)
        return
    if not messages:
        raise SwitchError("nothing is stored that fits")
    for message in messages:
        _print_message(message)


def _print_message(message: dict[str, Any]) -> None:
    click.secho(
        f"{message['decided_at']}  {message['mti']} {message['operation']} {message['amount']:,} "
        f"{message['currency']} at {message['merchant'] or message['terminal'] or '?'}: "
        f"{message['reason']} ({message['response_code']})",
        bold=True,
    )
    credential = f" by {message['credential']}" if message["credential"] else ""
    click.echo(
        f"    card {message['card']}{credential}  network {message['network']}  STAN {message['stan']}"
        f"  RRN {message['retrieval_reference'] or '-'}  state {message['state']}  key {message['key']}"
    )
    for step in message["trace"]:
        values = "  ".join(f"{name}={value}" for name, value in step["seen"].items())
        mark = "ok" if step["verdict"] == "pass" else step["verdict"]
        click.echo(f"    {step['rule']:<18} {mark:<22} {values}")
