"""How ``switch reconcile`` lays its reports out for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from switch.audit.comparison import Comparison
from switch.audit.daily import DailyClose
from switch.audit.period_end import PeriodEnd, PeriodReport

__all__ = ["print_comparison", "print_day", "print_period"]

Cell = str | int


def print_day(report: DailyClose) -> None:
    """The daily close."""
    click.secho(f"{report.day} in {report.zone}", bold=True)
    _table(
        "messages",
        ("network", "kind", "cur", "messages", "approved", "withdrawn", "told", "booked", "freed", "differ"),
        (
            (
                one.network or "(no message)",
                one.kind,
                one.currency,
                one.messages,
                one.approved,
                one.withdrawn,
                one.told_minor,
                one.booked_minor,
                one.freed_minor,
                one.differ,
            )
            for one in report.messages
        ),
    )
    _table(
        "booked",
        ("cause", "kind", "cur", "entries", "amount", "posted", "held"),
        (
            (one.cause, one.kind, one.currency, one.entries, one.amount_minor, one.posted_minor, one.held_minor)
            for one in report.booked
        ),
    )
    _table(
        "settlement",
        ("network", "cur", "to network", "from network", "net to pay"),
        (
            (one.network or "(no message)", one.currency, one.to_network_minor, one.from_network_minor, one.net_minor)
            for one in report.settlement
        ),
    )
    _table(
        "accounts at the end of the day",
        ("cur", "accounts", "posted", "held", "available", "below zero", "by"),
        (
            (
                one.currency,
                one.accounts,
                one.posted_minor,
                one.held_minor,
                one.available_minor,
                one.negative_accounts,
                one.negative_minor,
            )
            for one in report.positions
        ),
    )
    _table(
        "open holds at the end of the day",
        ("cur", "days", "holds", "held"),
        ((one.currency, one.days, one.count, one.held_minor) for one in report.open_holds),
    )
    _table("exceptions of the day", ("kind", "count"), ((one.kind, one.count) for one in report.exceptions))
    _negative(report)
    _table(
        "accounts and journal now",
        ("cur", "posted", "in journal", "held", "in journal", "open holds", "contrary"),
        (
            (
                one.currency,
                one.now_account_posted_minor,
                one.now_journal_posted_minor,
                one.now_account_held_minor,
                one.now_journal_held_minor,
                one.now_open_holds_minor,
                one.contrary_accounts,
            )
            for one in report.positions
        ),
    )
    _findings(report)


def _negative(report: DailyClose) -> None:
    _table(
        "accounts below zero",
        ("account", "cur", "posted", "held", "available"),
        (
            (str(one.account), one.currency, one.posted_minor, one.held_minor, one.available_minor)
            for one in report.negative
        ),
    )
    _and_more(sum(one.negative_accounts for one in report.positions) - len(report.negative))


def _findings(report: DailyClose) -> None:
    click.echo()
    if report.agrees:
        click.echo("all agrees")
        return
    click.secho(
        f"{report.contrary_messages} messages and {report.contrary_accounts} accounts are contradicted", bold=True
    )
    for check, total in (("messages", report.contrary_messages), ("accounts", report.contrary_accounts)):
        told = [one for one in report.findings if one.check == check]
        for one in told:
            place = f" entry {one.seq}" if one.seq else ""
            reference = f" (key {one.reference})" if one.reference else ""
            click.echo(f"  account {one.account}{place}: {one.what}{reference}")
        _and_more(total - len({(one.account, one.reference) for one in told}))


def print_period(report: PeriodReport) -> None:
    """The end of a period."""
    for one in report.programs:
        _program(report, one)
    if not report.programs:
        click.echo("no accounts")


def _program(report: PeriodReport, one: PeriodEnd) -> None:
    click.secho(f"{one.program}  {one.currency}  {report.first} to {report.last}, midnight in {one.zone}", bold=True)
    rows: list[tuple[str, int]] = [
        ("accounts", one.accounts),
        ("unused balance", one.unused_minor),
        ("unused less holds", one.unused_less_holds_minor),
        ("held", one.held_minor),
        (f"below zero ({one.negative_accounts} accounts)", one.negative_minor),
        ("opening", one.opening_minor),
        ("issued", one.issued_minor),
        ("granted", one.granted_minor),
        ("recovered", -one.recovered_minor),
        ("closing", one.closing_minor),
        ("of which bonus", one.bonus_minor),
    ]
    for name, value in rows:
        click.echo(f"  {name:<28} {value:>20,}")
    _table(
        "movements",
        ("kind", "debit", "credit", "counts as", "entries", "amount"),
        ((each.kind, each.debit, each.credit, each.purpose, each.entries, each.amount_minor) for each in one.movements),
    )
    if one.difference_minor:
        click.echo(
            f"  CONTRADICTION: the closing balance is {one.difference_minor:+,} from what opening and movements make"
        )
    if one.unknown_kinds:
        click.echo(f"  CONTRADICTION: entries of kinds that this version does not know: {', '.join(one.unknown_kinds)}")
    click.echo()


def print_comparison(comparison: Comparison) -> None:
    """What differs from accounting."""

    def side(minor: int | None) -> str:
        return "-" if minor is None else f"{minor:,}"

    _table(
        "differences (accounting less journal)",
        ("file", "line", "what", "accounting", "journal", "difference", "hint"),
        (
            (
                one.file,
                str(one.line or "-"),
                " ".join(
                    part
                    for part in (
                        one.program,
                        one.currency,
                        one.measure,
                        "" if one.account is None else f"account {one.account}",
                        f"entry {one.seq}" if one.seq else "",
                        one.reference,
                    )
                    if part
                ),
                side(one.accounting_minor),
                side(one.journal_minor),
                f"{one.difference_minor:+,}",
                one.hint,
            )
            for one in comparison.differences
        ),
        left=(0, 2, 6),
    )
    _and_more(comparison.differing - len(comparison.differences))
    click.echo(f"{comparison.compared} figures compared: {comparison.differing or 'none'} differ")


def _and_more(count: int) -> None:
    if count > 0:
        click.echo(f"  and {count:,} more")


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[Cell]], left: Sequence[int] = ()) -> None:
    """Numbers to the right, texts to the left; nothing at all where there are no rows."""
    lines = list(rows)
    if not lines:
        return
    cells = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in line] for line in lines]
    to_left = [at in left or (not left and isinstance(lines[0][at], str)) for at in range(len(header))]
    widths = [max(len(name), *(len(line[at]) for line in cells)) for at, name in enumerate(header)]
    click.echo(f"\n  {title}")
    for line in (header, *cells):
        parts = (
            f"{cell:<{width}}" if is_left else f"{cell:>{width}}"
            for cell, width, is_left in zip(line, widths, to_left, strict=True)
        )
        click.echo("    " + "  ".join(parts).rstrip())
