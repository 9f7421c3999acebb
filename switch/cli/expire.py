"""``switch clearing expire``: holds whose deadline has passed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from switch.cli.common import config_option, json_option, print_json, with_database
from switch.daemon.settings import Settings, load_programs
from switch.journal.connection import Connection
from switch.journal.hold_expiry import DueHolds, due_holds
from switch.journal.unit import UnitOfWork
from switch.vault.security_code import SecurityCodes

__all__ = ["expire"]


class _Report(msgspec.Struct, frozen=True):
    """What was due, and what became of it."""

    dry_run: bool
    due: list[DueHolds]
    holds: int = 0  # expired by this run; the daemons expire some too
    refused: dict[int, str] = {}  # by account


@click.command()
@config_option
@click.option("--dry-run", is_flag=True, help="Only show what is due.")
@json_option
def expire(config: Path, dry_run: bool, as_json: bool) -> None:
    """Expire holds whose deadline has passed.

    The daemons do so by themselves, every [expiry] interval_seconds; this may run beside them. A presentment that comes
    later is charged all the same.

    \b
    Exit codes: 0 nothing is due any more, 1 an account's holds could not be expired.
    """  # noqa: D301 -- click wants the control character, not its escape

    async def work(settings: Settings, connection: Connection) -> _Report:
        due = await due_holds(connection, datetime.now(UTC))
        if not as_json:
            _show_due(due)
        return _Report(True, due) if dry_run else await _expire(settings, due, quiet=as_json)

    report = with_database(config, work, issuing=True)
    if as_json:
        print_json(report)
    elif not dry_run:
        click.echo(f"{report.holds:,} expired")
        for account_id, why in report.refused.items():
            click.echo(f"account {account_id} was left as it is: {why}", err=True)
    if report.refused:
        sys.exit(1)


def _show_due(due: list[DueHolds]) -> None:
    if not due:
        click.echo("nothing is due")
    for one in due:
        click.echo(
            f"{one.currency}  {one.amount:>18,}  in {one.holds:,} holds of {one.accounts:,} accounts,"
            f" the oldest due since {one.oldest:%Y-%m-%d %H:%M:%S}"
        )


async def _expire(settings: Settings, due: list[DueHolds], *, quiet: bool) -> _Report:
    unit = UnitOfWork(
        settings.database,
        load_programs(settings.programs),
        SecurityCodes({}),  # nobody shows one here
        lambda: datetime.now(UTC),
        dsn=settings.database.issuing_dsn,
    )
    accounts_max, holds, refused = settings.expiry.accounts_max, 0, dict[int, str]()
    hidden = quiet or not sys.stderr.isatty()
    accounts = sum(one.accounts for one in due)
    try:
        with click.progressbar(length=accounts, label="expiring", file=sys.stderr, hidden=hidden) as bar:
            while True:
                swept = await unit.expire(accounts_max, refused)
                holds += swept.holds
                refused |= swept.refused
                bar.update(swept.accounts)
                if swept.accounts < accounts_max:
                    return _Report(False, due, holds, refused)
    finally:
        await unit.close()
