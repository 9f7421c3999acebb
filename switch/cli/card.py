"""``switch card``: issuing and looking after cards."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import click

from switch.cli.common import card_number, config_option, json_option, print_json, with_database
from switch.contracts.errors import ConfigurationError, SwitchError
from switch.contracts.secret import Pan
from switch.daemon.issue import Issued, issue_card
from switch.daemon.settings import Settings, load_programs, load_vault
from switch.issuer.card import CardStatus
from switch.journal import issuing, reads
from switch.journal.connection import Connection
from switch.vault.pan import PanVault

__all__ = [
    "bin_option",
    "card",
    "card_of_number",
    "credential_line",
    "expiry_option",
    "number_option",
    "number_to_issue",
    "reveal_option",
    "service_code_option",
    "status_option",
]

# What a new number needs, a card's own as a credential's.
number_option = click.option("--number", help="The new number, or - to read it from stdin. Without it, one is drawn.")
bin_option = click.option("--bin", "bin_digits", default="", help="First digits of a number to be drawn (6 to 8).")
expiry_option = click.option("--expiry", required=True, help="YYMM.")
service_code_option = click.option(
    "--service-code", default="201", show_default=True, help="As on the magnetic stripe."
)
status_option = click.option(
    "--status", type=click.Choice([str(s) for s in CardStatus]), default="active", show_default=True
)
reveal_option = click.option("--reveal", is_flag=True, help="Print the whole number, once. Keep it out of logs.")


@click.group()
def card() -> None:
    """Issue, show, lock and unlock cards, and give them further numbers.

    Where a command asks for a card, any of its numbers will do.
    """


@card.command()
@config_option
@click.option("--program", required=True, help="One of the programs in the settings.")
@number_option
@bin_option
@expiry_option
@service_code_option
@status_option
@click.option(
    "--floor",
    "floor_minor",
    type=click.IntRange(-(10**15), 10**15),
    default=0,
    show_default=True,
    help="Lowest available balance.",
)
@reveal_option
@json_option
def issue(
    config: Path,
    program: str,
    number: str | None,
    bin_digits: str,
    expiry: str,
    service_code: str,
    status: str,
    floor_minor: int,
    reveal: bool,
    as_json: bool,
) -> None:
    """Issue a card with an account of its own, in the program's currency and with balance 0."""
    pan = number_to_issue(number, bin_digits, expiry, service_code)

    async def work(settings: Settings, connection: Connection) -> Issued:
        programs = load_programs(settings.programs)
        if program not in programs:
            raise ConfigurationError(f"there is no program {program}; there is {', '.join(sorted(programs))}")
        vault = load_vault(settings.vault)
        if await reads.account_of_card(connection, vault.lookup(pan)) is not None:
            raise SwitchError(f"{pan.masked} is issued already")
        return await issue_card(
            connection,
            vault,
            pan,
            program=program,
            currency=programs[program].currency,
            expiry=expiry,
            service_code=service_code,
            status=status,
            floor_minor=floor_minor,
        )

    account_id, card_id = with_database(config, work, issuing=True)
    shown = pan.reveal() if reveal else pan.masked
    if as_json:
        print_json({"card": card_id, "account": account_id, "number": shown})
    else:
        click.echo(f"card {card_id} ({shown}) issued on account {account_id}")


def number_to_issue(number: str | None, bin_digits: str, expiry: str, service_code: str) -> Pan:
    """The number that was given or is drawn, when all that goes with it has the right shape.

    Raises click.UsageError naming the option that has not.
    """
    if number is None and not (bin_digits.isdigit() and 6 <= len(bin_digits) <= 8):
        raise click.UsageError("give --number, or --bin with 6 to 8 digits to draw one")
    pan = card_number(number) if number is not None else _draw(bin_digits)
    if not re.fullmatch(r"\d\d(0[1-9]|1[0-2])", expiry):
        raise click.BadParameter("expiry is YYMM, as 3012", param_hint="--expiry")
    if not re.fullmatch(r"\d{3}", service_code):
        raise click.BadParameter("a service code has three digits", param_hint="--service-code")
    if not pan.passes_luhn():
        raise click.BadParameter("the card number fails its check digit", param_hint="--number")
    return pan


def _draw(bin_digits: str) -> Pan:
    """A number under the BIN with a random account part and the check digit that fits."""
    body = bin_digits + "".join(str(secrets.randbelow(10)) for _ in range(15 - len(bin_digits)))
    return next(pan for digit in "0123456789" if (pan := Pan(body + digit)).passes_luhn())


@card.command("list")
@config_option
@json_option
def list_cards(config: Path, as_json: bool) -> None:
    """List all cards, numbers masked."""
    _print_cards(with_database(config, lambda _, connection: reads.cards(connection)), as_json)


@card.command()
@config_option
@click.option("--card", "number", required=True, help="The card number, or - to read it from stdin.")
@json_option
def show(config: Path, number: str, as_json: bool) -> None:
    """Show one card with its credentials."""
    pan = card_number(number)

    async def work(settings: Settings, connection: Connection) -> list[reads.CardShown]:
        found = await card_of_number(connection, load_vault(settings.vault), pan)
        return await reads.cards(connection, found.card_id)

    cards = with_database(config, work)
    _print_cards(cards, as_json)
    if not as_json:
        for one in cards[0].credentials:
            click.echo(f"        {credential_line(one)}")


@card.command()
@config_option
@click.option("--card", "number", required=True, help="The card number, or - to read it from stdin.")
def lock(config: Path, number: str) -> None:
    """Lock a card, as its cardholder would: purchases are declined until it is unlocked, with any of its numbers."""
    _change(config, number, locked=True)


@card.command()
@config_option
@click.option("--card", "number", required=True, help="The card number, or - to read it from stdin.")
def unlock(config: Path, number: str) -> None:
    """Take the cardholder's lock off again."""
    _change(config, number, locked=False)


@card.command("status")
@config_option
@click.option("--card", "number", required=True, help="The card number, or - to read it from stdin.")
@click.argument("status", type=click.Choice([str(s) for s in CardStatus]))
def set_status(config: Path, number: str, status: str) -> None:
    """Set the issuer's STATUS of a card, with all of its numbers. It takes the card's own number."""
    _change(config, number, status=status)


def _change(config: Path, number: str, *, status: str | None = None, locked: bool | None = None) -> None:
    pan = card_number(number)

    async def work(settings: Settings, connection: Connection) -> None:
        found = await card_of_number(connection, load_vault(settings.vault), pan)
        if status is not None and found.credential_id is not None:
            # Whoever reports a lost telephone must not find the card in their pocket dead.
            raise SwitchError(
                f"{pan.masked} is a credential: `switch card credential status` sets its status;"
                " that of the card takes the card's own number"
            )
        await issuing.change_card(connection, found.card_id, status=status, locked=locked)

    with_database(config, work, issuing=True)
    what = f"status {status}" if status is not None else ("locked" if locked else "unlocked")
    click.echo(f"{pan.masked}: {what}")


async def card_of_number(connection: Connection, vault: PanVault, pan: Pan) -> reads.CardFound:
    """Where one of the card's numbers leads. Raises SwitchError when there is no such card."""
    found = await reads.account_of_card(connection, vault.lookup(pan))
    if found is None:
        raise SwitchError(f"there is no card {pan.masked}")
    return found


def _print_cards(cards: list[reads.CardShown], as_json: bool) -> None:
    if as_json:
        print_json(cards)
        return
    for one in cards:
        lock_mark = "  locked" if one.locked else ""
        click.echo(
            f"{one.card:>6}  {one.number:<19}  account {one.account:<6} {one.program:<14} {one.expiry}  "
            f"{one.status}{lock_mark}"
        )


def credential_line(one: reads.CredentialShown) -> str:
    """One credential, for people."""
    where = "any network" if one.network is None else f"only {one.network}"
    return f"credential {one.credential:<6} {one.number:<19}  {where:<24} {one.expiry}  {one.status}"
