"""``switch reconcile``: the daily close, the figures at the end of a period, and accounting's beside ours."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import msgspec

from switch.audit.comparison import Comparison, compare
from switch.audit.daily import DailyClose, close_day
from switch.audit.moments import parse_day, zone_named
from switch.audit.period_end import PeriodEnd, PeriodReport, period_report
from switch.cli import reconcile_text as text
from switch.cli.common import config_option, json_option, print_json, with_database
from switch.contracts.errors import SwitchError
from switch.daemon.settings import Settings, load_programs
from switch.journal.connection import Connection

__all__ = ["reconcile"]


class _DayFirst(click.Group):
    """``reconcile 2026-03-31`` is ``reconcile day 2026-03-31``: what is no command's name is the day's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["day", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DayFirst, subcommand_metavar="DAY|COMMAND [ARGS]...")
def reconcile() -> None:
    """Compare the day's messages, the journal and the balances: `switch reconcile 2026-03-31`.

    Reads only, in one snapshot, while the switch works. Exit code 0: all agrees; 1: something contradicts (or the
    report can't be made, which one line on stderr says). Amounts are minor units.
    """


_details = click.option(
    "--details", type=click.IntRange(0, 1_000_000), default=20, show_default=True, help="How many findings to name."
)


def _progress() -> Callable[[str], None]:
    """Steps of long work, for a person who waits."""
    return (lambda step: click.echo(f"reading: {step}", err=True)) if sys.stderr.isatty() else (lambda _: None)


def _settling(settings: Settings) -> timedelta:
    return timedelta(seconds=settings.database.unit_timeout_seconds)


@reconcile.command("day")
@click.argument("day")
@config_option
@click.option("--zone", help="The zone of the day. [default: the one that most programs have]")
@_details
@json_option
def day_command(day: str, config: Path, zone: str | None, details: int, as_json: bool) -> None:
    """Close a day; `switch reconcile DAY` is enough.

    \b
    messages    by network, kind and currency: what they tell, and what the journal booked for them
    booked      all entries of the day by cause and kind; settlement: what they leave to pay to each network
    accounts    as of the end of the day: balances, open holds by age, accounts below zero
    now         every account beside its journal, the sides of its entries, and its open holds

    A contradiction is a finding (exit code 1). Exceptions, old holds and balances below zero are only counted.
    """  # noqa: D301 -- click wants the control character, not its escape
    wanted = parse_day(day)
    named = None if zone is None else zone_named(zone)

    async def work(settings: Settings, connection: Connection) -> DailyClose:
        return await close_day(
            connection,
            wanted,
            named or _usual_zone(settings),
            settling=_settling(settings),
            details=details,
            progress=_progress(),
        )

    report = with_database(config, work)
    if as_json:
        print_json(report)
    else:
        text.print_day(report)
    sys.exit(0 if report.agrees else 1)


def _usual_zone(settings: Settings) -> ZoneInfo:
    """Networks don't know programs, so a day of theirs has one end: where most programs have it, or the first ones
    do.
    """
    programs = load_programs(settings.programs).values()
    return Counter(program.zone for program in programs).most_common(1)[0][0]


@reconcile.command("period-end")
@click.argument("day")
@config_option
@click.option("--from", "first", required=True, help="The first day of the period.")
@click.option("--program", "names", multiple=True, help="A program; may be repeated. [default: all]")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a line for each program and currency to this file.",
)
@json_option
def period_end(
    day: str, config: Path, first: str, names: tuple[str, ...], csv_file: Path | None, as_json: bool
) -> None:
    """Report unused balances at the end of DAY, with what was issued and recovered since --from.

    By program and currency, as of midnight in the program's zone, from the journal: the same figures whenever it is
    asked. Holds count both ways: `unused` has what is set aside, `unused less holds` has not. Accounts below zero
    stand apart. Exit code 1 when opening balance and movements do not give the closing balance.
    """
    begin, end = parse_day(first), parse_day(day)

    async def work(settings: Settings, connection: Connection) -> PeriodReport:
        programs = load_programs(settings.programs)
        return await period_report(
            connection, programs, names, begin, end, settling=_settling(settings), progress=_progress()
        )

    report = with_database(config, work)
    if csv_file is not None:
        _write_csv(csv_file, report)
    if as_json:
        print_json(report)
    else:
        text.print_period(report)
    sys.exit(0 if report.agrees else 1)


def _write_csv(path: Path, report: PeriodReport) -> None:
    columns = [name for name in msgspec.structs.fields(PeriodEnd) if name.name not in ("movements", "unknown_kinds")]
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["from", "as_of", *(column.name for column in columns)])
            for one in report.programs:
                values = [getattr(one, column.name) for column in columns]
                writer.writerow([report.first, report.last, *(_cell(value) for value in values)])
    except OSError as exc:
        raise SwitchError(f"{path}: {exc.strerror}") from exc


def _cell(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else value


@reconcile.command("compare")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE..."
)
@config_option
@_details
@json_option
def compare_command(files: tuple[Path, ...], config: Path, details: int, as_json: bool) -> None:
    """Compare figures that accounting gives, as CSV with a header, with the journal's. Exit code 1 when one differs.

    \b
    as_of,program,currency,measure,amount           totals
    as_of,program,currency,account,measure,amount   by account: all that are not 0
    from,as_of,account,reference,amount             what moved an account's posted balance: all of it, signed

    as_of is a day, its end is meant; a column `from`, the first day, is needed for issued, granted and recovered.
    Measures: posted, unused (without accounts below zero), negative (those), held, available, issued, granted,
    recovered. A reference is the key in hex, as in `switch journal entries`. Amounts are minor units.
    """  # noqa: D301 -- click wants the control character, not its escape

    async def work(settings: Settings, connection: Connection) -> Comparison:
        return await compare(
            connection,
            load_programs(settings.programs),
            files,
            settling=_settling(settings),
            details=details,
            progress=_progress(),
        )

    comparison = with_database(config, work)
    if as_json:
        print_json(comparison)
    else:
        text.print_comparison(comparison)
    sys.exit(0 if comparison.agrees else 1)
