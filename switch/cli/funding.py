"""``switch funding``: what cardholders registered for automatic top-up, and what became of every attempt."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from switch.cli.common import card_number, config_option, json_option, print_json, with_database
from switch.contracts.errors import ConfigurationError, SwitchError
from switch.contracts.funding import NotCharged, Voided, VoidRefusal, VoidRefused
from switch.contracts.top_up import CardholderPolicy
from switch.daemon.settings import Settings, load_programs, load_vault
from switch.funding.by_hand import why_not_kept
from switch.funding.event import Event, QueryAnswered, VoidAnswered
from switch.funding.settlement import ADVICE, Difference, SettlementLine, compare, read_settlement, totals
from switch.funding.store import Advance, attempt_of, load_key
from switch.journal import funding_rows, reads
from switch.journal.connection import Connection
from switch.journal.funding_rows import AttemptRow, SourceRow
from switch.journal.funding_sheet import Change, Purchase
from switch.journal.funding_unit import FundingUnit
from switch.vault.security_code import SecurityCodes

__all__ = ["funding"]

_card_option = click.option("--card", "number", required=True, help="A card number, or - to read it from stdin.")


@click.group()
def funding() -> None:
    """Sources for automatic top-up, attempts to charge them, and the provider's settlement list.

    A program tops up when it has a [program.top_up] table, a daemon when its settings have a [[funding.provider]].
    Amounts are minor units.
    """


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@funding.command()
@config_option
@_card_option
@click.option("--provider", required=True, help="As [[funding.provider]] names it.")
@click.option("--token", required=True, help="What the provider gave for the registered card. No card number.")
@click.option("--currency", default="JPY", show_default=True)
@click.option("--preference", default=1, show_default=True, type=click.IntRange(1, 1_000), help="1 is asked first.")
@click.option("--blocked/--not-blocked", default=False, show_default=True, help="Whether it is left out.")
def source(config: Path, number: str, provider: str, token: str, currency: str, preference: int, blocked: bool) -> None:
    """Register a source for a card's account, or change it. Declines in a row are counted anew then."""
    pan = card_number(number)
    if token.isdigit():
        raise click.UsageError("--token: a provider's token is needed; digits alone could be a card number")

    async def work(settings: Settings, connection: Connection) -> int:
        known = [one.name for one in settings.funding.provider]
        if provider not in known:
            raise SwitchError(f"{config}: [[funding.provider]] names {', '.join(known) or 'none'}, not {provider}")
        found = await reads.account_of_card(connection, load_vault(settings.vault).lookup(pan))
        if found is None:
            raise SwitchError(f"there is no card {pan.masked}")
        await funding_rows.put_source(
            connection,
            found.account_id,
            provider,
            token,
            currency,
            preference=preference,
            blocked=blocked,
            at=datetime.now(UTC),
        )
        return found.account_id

    account_id = with_database(config, work, issuing=True)
    click.echo(f"account {account_id}: {provider}, preference {preference}{', blocked' if blocked else ''}")


@funding.command()
@config_option
@_card_option
@json_option
def sources(config: Path, number: str, as_json: bool) -> None:
    """Show a card's sources in their order of preference."""
    pan = card_number(number)

    async def work(settings: Settings, connection: Connection) -> tuple[SourceRow, ...]:
        found = await reads.account_of_card(connection, load_vault(settings.vault).lookup(pan))
        if found is None:
            raise SwitchError(f"there is no card {pan.masked}")
        return (await funding_rows.load_sources(connection, [found.account_id]))[found.account_id]

    rows = with_database(config, work)
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    for row in rows:
        state = "blocked" if row.blocked else f"{row.declines} declines in a row"
        click.echo(f"{row.preference:>4}  {row.provider:<16} {row.token:<32} {row.currency}  {state}")


@funding.command()
@config_option
@_card_option
@click.option("--enabled/--disabled", default=True, help="Whether anything is charged at all.")
@click.option("--minimum", "minimum_minor", default=1, help="Of one top-up.")
@click.option("--step", "step_minor", default=1, help="A top-up is a multiple of it.")
@click.option("--top-up-max", "top_up_max_minor", type=int, help="Of one top-up.")
@click.option("--daily-max", "daily_max_minor", type=int)
@click.option("--daily-count-max", type=int)
@click.option("--monthly-max", "monthly_max_minor", type=int)
def wishes(config: Path, number: str, **said: int | None) -> None:
    """Set what the cardholder allows, all of it anew. It can only be stricter than the program."""
    pan = card_number(number)
    try:
        policy = msgspec.convert(said, CardholderPolicy)
    except msgspec.ValidationError as exc:
        raise click.UsageError(str(exc)) from None

    async def work(settings: Settings, connection: Connection) -> None:
        found = await reads.account_of_card(connection, load_vault(settings.vault).lookup(pan))
        if found is None:
            raise SwitchError(f"there is no card {pan.masked}")
        await funding_rows.put_wishes(connection, found.account_id, msgspec.json.encode(policy), datetime.now(UTC))

    with_database(config, work, issuing=True)
    print_json(policy)


# ── attempts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@funding.command()
@config_option
@click.option("--all", "ended_too", is_flag=True, help="Those that have ended, too: of the last 31 days.")
@json_option
def attempts(config: Path, ended_too: bool, as_json: bool) -> None:
    """List attempts that have not ended, the oldest first."""

    async def work(_settings: Settings, connection: Connection) -> list[AttemptRow]:
        where = "parked_at > now() - interval '31 days'" if ended_too else "wake_at IS NOT NULL"
        return await funding_rows.attempts_of(connection, where)

    rows = with_database(config, work)
    if as_json:
        print_json([_shown(row) for row in rows])
        return
    for row in rows:
        click.echo(
            f"{row.parked_at:%Y-%m-%d %H:%M:%S}  {row.state:<15} {row.amount:>12,} {row.currency}"
            f"  account {row.account_id}  {row.provider}  {row.key}"
        )


@funding.command()
@config_option
@click.argument("key")
@json_option
def show(config: Path, key: str, as_json: bool) -> None:
    """Show the attempt with this charge KEY, with every step that it took."""

    async def work(_settings: Settings, connection: Connection) -> tuple[AttemptRow, list[funding_rows.StepShown]]:
        row = await _attempt(connection, key)
        return row, list(await funding_rows.steps_of(connection, row))

    row, steps = with_database(config, work)
    if as_json:
        print_json({**_shown(row), "steps": [one._asdict() for one in steps]})
        return
    for name, value in _shown(row).items():
        click.echo(f"{name:<14} {value}")
    for one in steps:
        moved = f"{one.before or '(parked)'} -> {one.after}"
        click.echo(f"  {one.at:%H:%M:%S.%f}  {moved:<34} {one.cause:<14} purchase {one.purchase}  {one.note}".rstrip())


@funding.command()
@config_option
@click.argument("key")
def retry(config: Path, key: str) -> None:
    """Let a daemon take the attempt up again within seconds: it queries, or voids, at once.

    A purchase that still waits for it is declined.
    """

    async def work(_settings: Settings, connection: Connection) -> bool:
        row = await _attempt(connection, key)
        return await funding_rows.release(connection, row.account_id, row.message_key)

    if not with_database(config, work, issuing=True):
        raise SwitchError("the attempt has ended: there is nothing left to do")
    click.echo("a daemon takes it up again")


@funding.command()
@config_option
@click.argument("key")
@click.option(
    "--as",
    "outcome",
    required=True,
    type=click.Choice(["not-charged", "voided", "kept"]),
    help="not-charged: nothing was taken. voided: it was given back. kept: it can't be given back, credit the balance.",
)
@click.option("--by", required=True, help="Who says so; it stands in the step.")
@click.option(
    "--force", is_flag=True, help="With kept: the void was not answered, and the provider has refused it for good."
)
def settle(config: Path, key: str, outcome: str, by: str, force: bool) -> None:
    """End an attempt by the provider's own word, which a person has: by telephone, or from its list.

    While a void is under way nothing is kept: its answer comes within seconds. One that nobody answered may have been
    carried out, so that the money would be there twice: --force says that the provider has refused it for good.
    """
    if force and outcome != "kept":
        raise click.UsageError("--force: only with --as kept")
    refusal = ""

    async def work(settings: Settings, connection: Connection) -> tuple[str, str]:
        row = await _attempt(connection, key)
        event: Event = QueryAnswered(row.calls, NotCharged())
        if outcome != "not-charged":
            answer = Voided(row.reference) if outcome == "voided" else VoidRefused(VoidRefusal.TOO_LATE)
            event = VoidAnswered(row.calls, answer)
        note = f"settled by {by}" + (", the void in doubt" if force else "")
        step = Advance(event, settings.funding.pace, "", note=note)

        def settled(purchase: Purchase) -> Change | None:
            nonlocal refusal
            attempt, now = attempt_of(purchase.attempt), purchase.books.now
            refusal = why_not_kept(attempt, now, forced=force) if outcome == "kept" else ""
            return None if refusal else step(purchase)

        unit = FundingUnit(
            settings.database,
            load_programs(settings.programs),
            SecurityCodes({}),  # nobody shows one here
            lambda: datetime.now(UTC),
            dsn=settings.database.issuing_dsn,
        )
        try:
            await unit.move(row.account_id, row.message_key, settled, turn=row.turn)
        finally:
            await unit.close()
        return row.state, (await _attempt(connection, key)).state

    before, after = with_database(config, work, issuing=True)
    if refusal:
        raise SwitchError(refusal)
    if before == after:
        raise SwitchError(f"an attempt that is {before} can't be settled so")
    click.echo(f"{before} -> {after}")


@funding.command()
@config_option
@click.option("--provider", required=True)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Also name attempts since then (UTC) that it lacks.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def reconcile(config: Path, provider: str, since: datetime | None, file: Path, as_json: bool) -> None:
    """Compare a provider's settlement list, CSV or JSON, with our attempts.

    CSV has a header. Each line is one charge; the key is the charge's, as `switch funding attempts --all` shows it:

    \b
      key,result,amount_minor,currency
      a1b2….65f,charged,1234,JPY        result: charged, or voided when it was given back

    Without --since only what is listed is looked at. A difference is told with what both say and what it means.
    Exit codes: 0 both agree, 1 something differs, 2 no such provider, or the list can't be read.
    """  # noqa: D301 -- click wants the control character, not its escape
    try:
        lines = read_settlement(file.read_text(encoding="utf-8"), str(file))
    except UnicodeDecodeError:
        raise click.UsageError(f"{file}: it is no text in UTF-8") from None
    except ConfigurationError as exc:
        raise click.UsageError(str(exc)) from None

    async def work(settings: Settings, connection: Connection) -> list[Difference]:
        rows = await funding_rows.attempts_of(
            connection,
            "provider = $1 AND (key = ANY ($2) OR parked_at >= $3)",
            provider,
            [line.key for line in lines],
            datetime.max.replace(tzinfo=UTC) if since is None else since.replace(tzinfo=UTC),
        )
        known = [one.name for one in settings.funding.provider]
        if not rows and provider not in known:  # one that was taken out of the settings still has its attempts
            raise click.UsageError(f"[[funding.provider]] names {', '.join(known) or 'none'}, not {provider}")
        return compare(lines, {row.key: row for row in rows})

    differences = with_database(config, work)
    if as_json:
        print_json(differences)
    else:
        _show_reconciled(lines, differences, complete=since is not None)
    if differences:
        sys.exit(1)


def _show_reconciled(lines: list[SettlementLine], differences: list[Difference], *, complete: bool) -> None:
    listed = ", ".join(f"{minor:,} {what}" for what, minor in totals(lines).items())
    click.echo(f"{len(lines):,} listed{f' ({listed})' if listed else ''}, {len(differences):,} differ")
    for one in differences:
        account = f"account {one.account}" if one.account else "no account"
        click.echo(f"{one.key}  {account}  ours: {one.ours or 'unknown'}  theirs: {one.theirs or 'not listed'}")
        click.echo(f"    {one.finding}: {ADVICE[one.finding]}")
    if not complete:
        click.echo("Attempts that the list lacks were not looked for: --since DATE does.")


async def _attempt(connection: Connection, key: str) -> AttemptRow:
    rows = await funding_rows.attempts_of(connection, "key = $1", key)
    if not rows:
        raise SwitchError(f"there is no attempt {key}")
    return rows[0]


def _shown(row: AttemptRow) -> dict[str, object]:
    shown = row._asdict()
    shown["message_key"] = row.message_key.hex()
    shown["ended"] = row.wake_at is None
    shown["load_key"] = load_key(row.key).hex()  # in the journal, where the money was loaded
    return shown
