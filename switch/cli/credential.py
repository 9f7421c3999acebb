"""``switch card credential``: further numbers of a card."""

from __future__ import annotations

from pathlib import Path

import click

from switch.cli.card import (
    bin_option,
    card_of_number,
    credential_line,
    expiry_option,
    number_option,
    number_to_issue,
    reveal_option,
    service_code_option,
    status_option,
)
from switch.cli.common import card_number, config_option, json_option, print_json, with_database
from switch.contracts.errors import ConfigurationError, SwitchError
from switch.contracts.secret import Pan
from switch.daemon.issue import add_credential
from switch.daemon.settings import Settings, load_vault
from switch.issuer.card import CardStatus
from switch.journal import issuing, reads
from switch.journal.connection import Connection

__all__ = ["credential"]


@click.group()
def credential() -> None:
    """Give cards further numbers, list them and set their status.

    A credential is a number that differs from the card's own, as the contactless number that a second network uses. It
    leads to the same account, limits and balance. Its purchases are approved when the card is active and not locked,
    the credential is active, and the network is one that it is good on.
    """


@credential.command()
@config_option
@click.option("--card", "card_digits", required=True, help="A number of the card, or - to read it from stdin.")
@number_option
@bin_option
@expiry_option
@service_code_option
@click.option("--network", default="", help="The one network, of those in the settings, that it is good on.")
@status_option
@reveal_option
@json_option
def add(
    config: Path,
    card_digits: str,
    number: str | None,
    bin_digits: str,
    expiry: str,
    service_code: str,
    network: str,
    status: str,
    reveal: bool,
    as_json: bool,
) -> None:
    """Give a card a further number. Where both numbers come from stdin, the card's is the first line."""
    card_pan = card_number(card_digits)
    pan = number_to_issue(number, bin_digits, expiry, service_code)

    async def work(settings: Settings, connection: Connection) -> tuple[int, int]:
        networks = {link.network for link in (*settings.listener, *settings.dialer)}
        if network and network not in networks:
            raise ConfigurationError(f"there is no network {network}; there is {', '.join(sorted(networks))}")
        vault = load_vault(settings.vault)
        card_id = (await card_of_number(connection, vault, card_pan)).card_id
        if await reads.account_of_card(connection, vault.lookup(pan)) is not None:
            raise SwitchError(f"{pan.masked} is issued already")
        return card_id, await add_credential(
            connection,
            vault,
            pan,
            card_id,
            expiry=expiry,
            service_code=service_code,
            status=status,
            network=network,
        )

    card_id, credential_id = with_database(config, work, issuing=True)
    shown = pan.reveal() if reveal else pan.masked
    if as_json:
        print_json({"credential": credential_id, "card": card_id, "number": shown, "network": network or None})
    else:
        click.echo(f"credential {credential_id} ({shown}) added to card {card_id}")


@credential.command("list")
@config_option
@click.option("--card", "number", help="Only those of the card with this number; - reads it from stdin.")
@json_option
def list_credentials(config: Path, number: str | None, as_json: bool) -> None:
    """List credentials, numbers masked."""
    pan = None if number is None else card_number(number)

    async def work(settings: Settings, connection: Connection) -> list[reads.CredentialShown]:
        if pan is None:
            return await reads.credentials(connection)
        found = await card_of_number(connection, load_vault(settings.vault), pan)
        return await reads.credentials(connection, found.card_id)

    credentials = with_database(config, work)
    if as_json:
        print_json(credentials)
        return
    for one in credentials:
        click.echo(f"card {one.card:>6}  {credential_line(one)}")


@credential.command("status")
@config_option
@click.option("--credential", "credential_id", type=click.IntRange(1, 2**63 - 1), help="Its id, as `list` tells.")
@click.option("--number", help="Its number, or - to read it from stdin.")
@click.argument("status", type=click.Choice([str(s) for s in CardStatus]))
def set_status(config: Path, credential_id: int | None, number: str | None, status: str) -> None:
    """Set the issuer's STATUS of a credential: of this number alone, whatever the card's is."""
    if (credential_id is None) == (number is None):
        raise click.UsageError("give one of --credential, --number")
    pan = None if number is None else card_number(number)

    async def work(settings: Settings, connection: Connection) -> int:
        wanted = credential_id if pan is None else await _credential_of(settings, connection, pan)
        assert wanted is not None, "checked above"
        if not await issuing.change_credential(connection, wanted, status=status):
            raise SwitchError(f"there is no credential {wanted}")
        return wanted

    click.echo(f"credential {with_database(config, work, issuing=True)}: status {status}")


async def _credential_of(settings: Settings, connection: Connection, pan: Pan) -> int:
    found = await card_of_number(connection, load_vault(settings.vault), pan)
    if found.credential_id is None:
        raise SwitchError(f"{pan.masked} is a card's own number: `switch card status` sets its status")
    return found.credential_id
