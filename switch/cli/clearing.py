"""``switch clearing``: files in, and what of them a person has to decide."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from switch.clearing.file import FileFormat, FileSummary, inspect
from switch.clearing.ingest import FileReport, book_file
from switch.cli.common import config_option, json_option, print_json, with_database
from switch.cli.person import Person, by_option, os_user
from switch.contracts.clearing import Instruction, InstructionKind
from switch.contracts.errors import SwitchError
from switch.daemon.settings import Settings, load_programs, load_security_codes, load_vault
from switch.issuer.books import Item
from switch.issuer.clearing_item import ItemState
from switch.journal import exceptions as queue
from switch.journal.clearing_files import ClearingFile, Outcome, clearing_files, outcomes
from switch.journal.connection import Connection
from switch.journal.unit import UnitOfWork

__all__ = ["clearing"]


@click.group()
def clearing() -> None:
    """Book clearing files, look after records in doubt.

    A file is checked whole before anything of it is booked. Every record is booked once, however often the file comes
    or a run is broken off: run the same command again, and it goes on where it stopped.
    """


@clearing.command()
@config_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "file_format", type=click.Choice([str(f) for f in FileFormat]), help="Else the file tells.")
@click.option("--network", default="", help="Whose file it is, as the settings name it. IPM files do not say.")
@click.option("--check", is_flag=True, help="Only check the file; nothing is booked.")
@json_option
def ingest(config: Path, file: Path, file_format: str | None, network: str, check: bool, as_json: bool) -> None:
    """Check FILE and book its records.

    \b
    Exit codes: 0 every record is booked, 1 the file is refused or a record could not be booked.
    """  # noqa: D301 -- click wants the control character, not its escape
    chosen = None if file_format is None else FileFormat(file_format)
    quiet = as_json or not sys.stderr.isatty()
    with click.progressbar(length=file.stat().st_size, label="checking", file=sys.stderr, hidden=quiet) as bar:
        summary = inspect(file, chosen, network=network)
        bar.update(file.stat().st_size)
    if check:
        _show_summary(summary, as_json)
        return

    async def work(settings: Settings, connection: Connection) -> FileReport:
        unit = _unit(settings)
        try:
            with click.progressbar(length=summary.records, label="booking", file=sys.stderr, hidden=quiet) as bar:
                done = 0

                def progress(records: int) -> None:
                    nonlocal done
                    bar.update(records - done)
                    done = records

                vault = load_vault(settings.vault)
                return await book_file(file, summary, unit, connection, vault, progress=progress)
        finally:
            await unit.close()

    report = with_database(config, work, issuing=True)
    if as_json:
        print_json(report)
    else:
        _show_report(report)
    if not report.complete:
        sys.exit(1)


def _unit(settings: Settings) -> UnitOfWork:
    """A unit of work of this command's own, beside the daemons'."""
    programs = load_programs(settings.programs)
    security = load_security_codes(settings.vault, programs)
    dsn = settings.database.issuing_dsn
    return UnitOfWork(settings.database, programs, security, lambda: datetime.now(UTC), dsn=dsn)


def _show_summary(summary: FileSummary, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    click.echo(
        f"{summary.network} {summary.file_id}  business day {summary.business_day}  {summary.format}"
        f"  {summary.records:,} records: sound"
    )
    for currency, total in summary.totals.items():
        click.echo(f"  {currency}  debit {total.debit_minor:>18,}  credit {total.credit_minor:>18,}")


def _show_report(report: FileReport) -> None:
    file = report.file
    state = "booked" if report.complete else "NOT booked whole: run the same command again"
    click.echo(f"{file.network} {file.file_id}  business day {file.business_day}  {file.records:,} records: {state}")
    click.echo(f"  by this run: {report.booked:,} booked, {report.repeated:,} were booked before")
    _show_outcomes(report.outcomes)
    for refused in report.refused[:20]:
        click.echo(f"  record {refused.record} could not be booked: {refused.error}", err=True)
    if len(report.refused) > 20:
        click.echo(f"  ... and {len(report.refused) - 20} more", err=True)


def _show_outcomes(found: Iterable[Outcome]) -> None:
    for one in found:
        click.echo(
            f"  {one.state:<9} {one.why:<24} {one.kind:<20} {one.operation:<16} {one.records:>9,}"
            f"  {one.transaction_amount:>16,} {one.currency}"
        )


@clearing.command()
@config_option
@click.option("--unfinished", is_flag=True, help="Only files that are not booked whole.")
@json_option
def files(config: Path, unfinished: bool, as_json: bool) -> None:
    """List the files that have been begun, newest first."""
    found = with_database(config, lambda _, connection: clearing_files(connection, unfinished=unfinished))
    if as_json:
        print_json(found)
        return
    for file in found:
        click.echo(_file_line(file))


def _file_line(file: ClearingFile) -> str:
    state = f"booked {file.ended_at:%F %T}" if file.ended_at else f"booked to record {file.booked_to:,}"
    return f"{file.begun_at:%F %T}  {file.network:<18} {file.file_id:<24} {file.records:>9,} records  {state}"


@clearing.command()
@config_option
@click.argument("network")
@click.argument("file_id")
@json_option
def report(config: Path, network: str, file_id: str, as_json: bool) -> None:
    """Tell what became of the records of a file: matched, forced, in doubt, noted."""
    found = with_database(config, lambda _, connection: outcomes(connection, network, file_id))
    if not found:
        raise SwitchError(f"nothing is booked of a file {file_id} of {network}")
    if as_json:
        print_json(found)
        return
    _show_outcomes(found)


@clearing.group("exceptions")
def exceptions_group() -> None:
    """Records in doubt: list and show them, and say what becomes of each.

    Where the settings ask for two people ([clearing] two_person = true), the first one's word is kept as a proposal,
    and the same command by another one carries it out. Two people have two logins to the database, or, where they share
    the product's own, two users on this machine; two names do not make them.
    """


@exceptions_group.command("list")
@config_option
@click.option("--all", "everything", is_flag=True, help="Those that people have settled, too.")
@json_option
def list_exceptions(config: Path, everything: bool, as_json: bool) -> None:
    """List records in doubt, oldest first."""
    found = with_database(config, lambda _, connection: queue.exceptions(connection, everything=everything))
    if as_json:
        print_json(found)
        return
    for one in found:
        asked = f"  ({one.proposal.kind} proposed by {_whose(one.proposal)})" if one.proposal else ""
        click.echo(
            f"{one.id}  {one.why:<22} {one.kind:<20} {one.amount:>12,} {one.currency}  {one.card or 'unknown card'}"
            f"  {one.network} {one.file} record {one.record}  {one.state}{asked}"
        )


@exceptions_group.command("show")
@config_option
@click.argument("record_id")
@json_option
def show_exception(config: Path, record_id: str, as_json: bool) -> None:
    """Show the record RECORD_ID, and the purchases of its card that it might belong to."""
    key = _key(record_id)

    async def work(_: Settings, connection: Connection) -> tuple[queue.ExceptionShown, list[dict[str, object]]]:
        found = await queue.exceptions(connection, key=key)
        if not found:
            raise SwitchError(f"there is no record {record_id}")
        account = found[0].account
        return found[0], [] if account is None else await queue.purchases_of(connection, account)

    one, purchases = with_database(config, work)
    if as_json:
        print_json({"record": one, "purchases": purchases})
        return
    click.secho(f"{one.kind} of {one.amount:,} {one.currency}: {one.why} ({one.state})", bold=True)
    click.echo(
        f"  card {one.card or 'unknown'}  account {one.account or '-'}  {one.network} {one.file} record {one.record}"
    )
    click.echo(f"  purchased {one.purchased_at:%F %T}  acquirer reference {one.acquirer_reference or '-'}")
    click.echo("  " + "  ".join(f"{name}={value}" for name, value in one.told.items()))
    for bought in purchases:
        click.echo(
            f"  purchase {bought['hold']:>6}  {bought['opened_at']:%F %T}  {bought['state']:<9}"
            f" authorized {bought['authorized']:>11,}  held {bought['held']:>11,}  posted {bought['posted']:>11,}"
            f"  code {bought['approval_code'] or '-':<6}  {bought['merchant'] or bought['terminal'] or ''}"
        )


@exceptions_group.command()
@config_option
@click.argument("record_id")
@click.argument("purchase", type=click.IntRange(1, 2**63 - 1))
@by_option
def bind(config: Path, record_id: str, purchase: int, by: str) -> None:
    """Book the record RECORD_ID on PURCHASE (its number as `show` tells)."""
    _settle(config, record_id, Instruction(kind=InstructionKind.BIND, by=by, hold_id=purchase))


@exceptions_group.command()
@config_option
@click.argument("record_id")
@by_option
def force(config: Path, record_id: str, by: str) -> None:
    """Book the record RECORD_ID by itself: it belongs to no purchase that we know."""
    _settle(config, record_id, Instruction(kind=InstructionKind.FORCE, by=by))


@exceptions_group.command()
@config_option
@click.argument("record_id")
@by_option
def reject(config: Path, record_id: str, by: str) -> None:
    """Do not book the record RECORD_ID: it goes back to the network by other ways."""
    _settle(config, record_id, Instruction(kind=InstructionKind.REJECT, by=by))


def _key(record_id: str) -> bytes:
    try:
        key = bytes.fromhex(record_id)
    except ValueError:
        key = b""
    if len(key) != 16:
        raise click.BadParameter("a record is named by its id, 32 hexadecimal digits", param_hint="RECORD_ID")
    return key


def _settle(config: Path, record_id: str, instruction: Instruction) -> None:
    key = _key(record_id)

    async def work(settings: Settings, connection: Connection) -> str:
        shown = await queue.exceptions(connection, key=key)
        if not shown:
            raise SwitchError(f"there is no record {record_id}")
        if shown[0].state != ItemState.IN_DOUBT:
            # A proposal would stand there for ever.
            raise SwitchError("nothing was changed: not in doubt")
        said = instruction
        if settings.clearing.two_person:
            person = Person(instruction.by, await queue.login(connection), os_user())
            proposal = shown[0].proposal
            if proposal is None or (proposal.kind, proposal.hold) != (instruction.kind, instruction.hold_id):
                doubt = await queue.in_doubt(connection, key, instruction)
                assert doubt is not None, "it was there a moment ago"
                await queue.propose(connection, doubt, instruction, person.ran_by, datetime.now(UTC))
                return f"proposed by {instruction.by}: another person must say the same"
            if person.is_same(Person(proposal.by, proposal.login, proposal.ran_by)):
                return f"proposed before, by {_whose(proposal)}: another person must say the same"
            said = msgspec.structs.replace(instruction, by=proposal.by, agreed_by=instruction.by)
        return await _carry_out(settings, connection, key, said)

    click.echo(with_database(config, work, issuing=True))


def _whose(proposal: queue.Proposal) -> str:
    return f"{proposal.by} (database login {proposal.login or 'unknown'})"


async def _carry_out(settings: Settings, connection: Connection, key: bytes, instruction: Instruction) -> str:
    doubt = await queue.in_doubt(connection, key, instruction)
    assert doubt is not None, "it was there a moment ago"
    unit = _unit(settings)
    try:
        (decision,) = await unit.run(
            [Item(doubt.request, doubt.key, doubt.fingerprint, doubt.pan_lookup, lambda _reason: "")]
        )
    finally:
        await unit.close()
    if decision.resolved is None:
        raise SwitchError(f"nothing was changed: {decision.trace[0].verdict.replace('_', ' ')}")
    moved = decision.moved_minor
    on = "" if decision.hold is None else f" on purchase {decision.hold.hold_id}"
    return f"{instruction.kind}: {moved:,} booked{on}" if moved else f"{instruction.kind}: nothing is booked"
