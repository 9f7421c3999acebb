"""``switch account``: balances and loads."""

from __future__ import annotations

import secrets
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import click
import msgspec

from switch.audit.moments import end_of, parse_moment, zone_named
from switch.cli.common import card_number, config_option, json_option, print_json, with_database
from switch.contracts.errors import SwitchError
from switch.contracts.secret import Pan
from switch.daemon.settings import Settings, load_programs, load_vault
from switch.issuer.program import Program
from switch.journal import asof, issuing, reads
from switch.journal.connection import Connection

__all__ = ["account"]

#: What DE4 can carry: nothing larger could ever be spent, and a slip of the keyboard stays far from what bigint holds.
_LOAD_MAX = 999_999_999_999


@click.group()
def account() -> None:
    """Show balances and load money.

    All amounts are minor units (JPY 5000 is five thousand yen, USD 5000 fifty dollars).
    """


@account.command()
@config_option
@click.option("--card", "number", help="A card number, or - to read it from stdin.")
@click.option("--account", "account_id", type=click.IntRange(1, 2**63 - 1), help="An account id.")
@click.option(
    "--cards-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with [[card]] tables, as simulators/cards.toml: prints an object by alias.",
)
@click.option("--as-of", "as_of", help="A moment, as 2026-03-31T12:00:00+09:00, or a day, as 2026-03-31: its end.")
@click.option("--zone", help="The zone of the day. [default: that of the account's program]")
@json_option
def show(
    config: Path,
    number: str | None,
    account_id: int | None,
    cards_file: Path | None,
    as_of: str | None,
    zone: str | None,
    as_json: bool,
) -> None:
    """Show a balance: posted (owned), held (set aside by open authorizations), available (posted - held).

    With --as-of, the balance is made of the journal alone: it is the one after the newest entry that was booked at
    or before the moment. Entries are booked when they are decided, a little before they are committed, so a
    moment's balance is final once every unit of work that had begun by then has ended ([database]
    unit_timeout_seconds).
    """
    if sum(choice is not None for choice in (number, account_id, cards_file)) != 1:
        raise click.UsageError("give one of --card, --account, --cards-file")
    if zone is not None and as_of is None:
        raise click.UsageError("--zone belongs to --as-of")
    when = None if as_of is None else AsOf(parse_moment(as_of), None if zone is None else zone_named(zone))
    if cards_file is not None:
        _show_file(config, cards_file, when, as_json)
        return
    pan = None if number is None else card_number(number)

    async def work(settings: Settings, connection: Connection) -> reads.AccountShown:
        wanted = account_id
        if pan is not None:
            found = await reads.account_of_card(connection, load_vault(settings.vault).lookup(pan))
            if found is None:
                raise SwitchError(f"there is no card {pan.masked}")
            wanted = found[0]
        assert wanted is not None, "checked above"
        accounts = await reads.accounts(connection, [wanted])
        if not accounts:
            raise SwitchError(f"there is no account {wanted}")
        if when is not None:
            accounts = await _as_of(settings, connection, [wanted], when)
        if not accounts:
            raise SwitchError(f"there was no account {wanted} yet")
        return accounts[0]

    shown = with_database(config, work)
    if as_json:
        print_json(shown)
        return
    click.echo(f"account {shown.account}  {shown.currency}  (after entry {shown.seq})")
    for name in ("posted", "held", "available"):
        click.echo(f"  {name:<10} {getattr(shown, name):>15,}")


class AsOf(NamedTuple):
    """A moment, or a day whose end is meant: in the zone that was named, else in the account's program's."""

    wanted: date | datetime
    zone: ZoneInfo | None


async def _as_of(
    settings: Settings, connection: Connection, account_ids: list[int], when: AsOf
) -> list[reads.AccountShown]:
    programs = load_programs(settings.programs)
    owners = await asof.programs_of(connection, account_ids)

    def moment(account_id: int) -> datetime:
        if isinstance(when.wanted, datetime):
            return when.wanted
        return end_of(when.wanted, when.zone or _zone_of(programs, owners.get(account_id)))

    wanted = [(account_id, moment(account_id)) for account_id in account_ids]
    now = datetime.now(UTC)
    for _, asked in wanted:
        if asked > now:
            raise SwitchError(f"{asked.isoformat()} lies ahead: nobody knows that balance yet")
    return await asof.accounts_as_of(connection, wanted)


def _zone_of(programs: dict[str, Program], name: str | None) -> ZoneInfo:
    if name is None or name not in programs:
        raise SwitchError(
            f"the zone of the day is not known, name it by --zone: no program {name!r} in the programs file"
        )
    return programs[name].zone


def _show_file(config: Path, cards_file: Path, when: AsOf | None, as_json: bool) -> None:
    listed = {one["alias"]: Pan(one["pan"]) for one in tomllib.loads(cards_file.read_text())["card"]}

    async def work(settings: Settings, connection: Connection) -> dict[str, reads.AccountShown]:
        vault = load_vault(settings.vault)
        owners = {alias: await reads.account_of_card(connection, vault.lookup(pan)) for alias, pan in listed.items()}
        # One statement for all balances, so that they belong to the same moment.
        ids = [owner.account_id for owner in owners.values() if owner is not None]
        found = await (reads.accounts(connection, ids) if when is None else _as_of(settings, connection, ids, when))
        accounts = {one.account: one for one in found}
        return {
            alias: accounts[owner.account_id]
            for alias, owner in owners.items()
            if owner is not None and owner.account_id in accounts
        }

    shown = with_database(config, work)
    if as_json:
        print_json(shown)
        return
    for alias, one in shown.items():
        click.echo(f"{alias:<24} {one.currency}  posted {one.posted:>14,}  held {one.held:>12,}  seq {one.seq}")


@account.command()
@config_option
@click.option("--account", "account_id", type=click.IntRange(1, 2**63 - 1), help="Only this account's.")
@json_option
def notices(config: Path, account_id: int | None, as_json: bool) -> None:
    """List what cardholders and staff are to be told, newest first: balances below the floor, recovered, holds
    expired.
    """
    found = with_database(config, lambda _, connection: reads.notices(connection, account_id))
    if as_json:
        print_json(found)
        return
    for one in found:
        facts = "  ".join(f"{name}={value}" for name, value in one.facts.items())
        click.echo(f"{one.raised_at:%F %T}  account {one.account:>8}  {one.kind:<20} {facts}")


@account.command("list")
@config_option
@click.option("--negative", is_flag=True, help="Only accounts below their floor, longest first.")
@json_option
def list_accounts(config: Path, negative: bool, as_json: bool) -> None:
    """List balances."""
    if negative:
        _list_negative(config, as_json)
        return
    accounts = with_database(config, lambda _, connection: reads.accounts(connection))
    if as_json:
        print_json(accounts)
        return
    for one in accounts:
        click.echo(
            f"{one.account:>8}  {one.currency}  posted {one.posted:>14,}  held {one.held:>12,}"
            f"  available {one.available:>14,}  seq {one.seq}"
        )


def _list_negative(config: Path, as_json: bool) -> None:
    below = with_database(config, lambda _, connection: reads.negative_accounts(connection))
    if as_json:
        print_json([{**msgspec.structs.asdict(one), "negative_since": since} for one, since in below])
        return
    for one, since in below:
        click.echo(
            f"{one.account:>8}  {one.currency}  available {one.available:>14,}  below its floor since {since:%F %T}"
        )


@account.command()
@config_option
@click.option("--card", "number", required=True, help="A card number, or - to read it from stdin.")
@click.option("--amount", "amount_minor", type=click.IntRange(1, _LOAD_MAX), required=True, help="Minor units.")
@click.option("--reference", help="Loads once however often it is repeated. Without it, a new one is drawn.")
@click.option("--bonus", is_flag=True, help="Value that the issuer gives. It is spent before the cardholder's money.")
def load(config: Path, number: str, amount_minor: int, reference: str | None, bonus: bool) -> None:
    """Credit money that came in outside the networks.

    An account below its floor is recovered by it first: nothing can be spent until it is above again.
    """
    pan = card_number(number)
    name = reference or f"load-{secrets.token_hex(8)}"

    async def work(settings: Settings, connection: Connection) -> bool:
        lookup = load_vault(settings.vault).lookup(pan)
        if await reads.account_of_card(connection, lookup) is None:
            raise SwitchError(f"there is no card {pan.masked}")
        return await issuing.load_account(connection, lookup, amount_minor, name, datetime.now(UTC), bonus=bonus)

    if with_database(config, work, issuing=True):
        click.echo(f"{pan.masked}: loaded {amount_minor:,} (reference {name})")
    else:
        click.echo(f"{pan.masked}: reference {name} was loaded before; nothing changed")
