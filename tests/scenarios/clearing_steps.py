"""What clearing does, days after a purchase: further verbs of the tables.

Each record is written into a file of its own (or several into one: :func:`in_one_file`) as the network would write it,
from what the network said and was answered, and is read and booked by the switch's own reader. The format goes by the
dialect; what an IPM-like file can't say goes in JSON Lines.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from simulators import clearing_files
from simulators.clearing_files import Entry, FileHead, Purchase
from simulators.messages import Act, Message
from switch.clearing.file import inspect
from switch.clearing.ingest import FileReport, book_file
from switch.contracts.clearing import Instruction, InstructionKind
from switch.contracts.currency import letters
from switch.contracts.secret import Pan
from switch.daemon.settings import Settings, load_programs, load_security_codes, load_settings, load_vault
from switch.issuer.books import Item
from switch.issuer.case import Decision
from switch.journal import exceptions as queue
from switch.journal.connection import Connection
from switch.journal.unit import UnitOfWork
from tests.house import House, new_pan
from tests.scenarios.line import codec_of
from tests.scenarios.steps import Do, Record, Stage, Trace

__all__ = ["InFile"]

T = TypeVar("T")

_FORMATS = {
    "iso87_ascii": "jsonl",
    "iso87_binary": "csv",
    "iso87_bcd": "ipm",
    "base1": "ipm",
    "iso93_contactless": "csv",
}
_OPERATIONS = {
    Act.CASH_AUTHORIZATION: "cash_withdrawal",
    Act.CASH_WITHDRAWAL: "cash_withdrawal",
    Act.REFUND_AUTHORIZATION: "refund",
    Act.REFUND: "refund",
    Act.REFUND_ADVICE: "refund",
}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class InFile(Do):
    """Records that come in one file: each with its label, and how the network makes it."""

    entries: tuple[tuple[str, Callable[[Stage], Entry]], ...] = ()

    def telling(self, **changes: Any) -> InFile:
        """The same, but its records tell something else of the purchase, or of themselves; "" is not told."""

        def changed(stage: Stage, make: Callable[[Stage], Entry]) -> Entry:
            entry = make(stage)
            of_purchase = {name: value for name, value in changes.items() if name in Purchase.__struct_fields__}
            own = {name: value for name, value in changes.items() if name not in of_purchase}
            purchase = msgspec.structs.replace(entry.purchase, **of_purchase)
            return msgspec.structs.replace(entry, purchase=purchase, **own)

        entries = tuple((label, partial(changed, make=make)) for label, make in self.entries)
        return _in_file(f"{self.text} telling {', '.join(changes)}", *entries)


def _in_file(text: str, *entries: tuple[str, Callable[[Stage], Entry]]) -> InFile:
    return InFile(text, act=lambda stage: _send(stage, entries), entries=entries)


# ── what a network says


def present(of: str, label: str = "record", *, amount: int | None = None, final: bool | None = None) -> InFile:
    """The purchase ``of`` is presented: as it was approved, or with another amount. Not ``final``: more will follow."""
    return _in_file(
        f"{label}: presentment of {of} amount={amount} final={final}",
        (
            label,
            lambda stage: clearing_files.presentment(
                _purchase(stage, of), amount, acquirer_reference=_reference(), final=final
            ),
        ),
    )


def present_part(of: str, amount: int, number: int, of_count: int, label: str = "") -> InFile:
    """Part ``number`` of ``of_count``. All parts have one acquirer reference."""

    def make(stage: Stage) -> Entry:
        return clearing_files.presentment(
            _purchase(stage, of),
            amount,
            acquirer_reference=_reference_of(stage.said[of].key),
            sequence=number,
            sequence_count=of_count,
        )

    return _in_file(f"part {number} of {of_count} of {of}: {amount}", (label or f"part {number}", make))


def present_alone(label: str, amount: int, pan: Callable[[Stage], Pan] | None = None) -> InFile:
    """A presentment of a purchase that was never authorised."""

    def make(stage: Stage) -> Entry:
        stage.said[f"{label}, never sent"] = stage.maker.purchase("card", amount)
        purchase = _purchase(stage, f"{label}, never sent")
        if pan is not None:
            purchase = msgspec.structs.replace(purchase, pan=pan(stage))
        return clearing_files.presentment(purchase, acquirer_reference=_reference())

    return _in_file(f"{label}: presentment of {amount} without authorization", (label, make))


def present_unknown(label: str, amount: int) -> InFile:
    """A presentment of a card that is not ours, as far as we know."""
    return present_alone(label, amount, lambda _: new_pan())


def present_refund(of: str, label: str = "refund", *, amount: int | None = None) -> InFile:
    """Goods of the purchase ``of`` came back."""
    return _in_file(
        f"{label}: refund of {of} amount={amount}",
        (
            label,
            lambda stage: clearing_files.refund(_purchase(stage, of), amount, acquirer_reference=_reference()),
        ),
    )


def present_refund_alone(label: str, amount: int) -> InFile:
    """A refund that names no purchase of ours."""
    ((_, make),) = present_alone(label, amount).entries
    return _in_file(
        f"{label}: refund of {amount} without purchase",
        (label, lambda stage: msgspec.structs.replace(make(stage), operation="refund")),
    )


def additional_charge(of: str, label: str, amount: int) -> InFile:
    """Something more than the purchase ``of``, after the fact."""

    def make(stage: Stage) -> Entry:
        entry = clearing_files.additional_charge(_purchase(stage, of), amount)
        return msgspec.structs.replace(entry, acquirer_reference=_reference())

    return _in_file(f"{label}: additional charge to {of}: {amount}", (label, make))


def fee(of: str, label: str, amount: int) -> InFile:
    """A fee of the network for the purchase ``of``."""
    return _in_file(f"{label}: fee for {of}", (label, lambda stage: clearing_files.fee(_purchase(stage, of), amount)))


def take_back(of: str, label: str = "taken back", *, amount: int | None = None) -> InFile:
    """The acquirer takes its record ``of`` back."""
    return _about(of, label, amount, clearing_files.taken_back)


def charge_back(of: str, label: str = "chargeback", *, amount: int | None = None) -> InFile:
    """The record ``of`` was charged back to the acquirer."""
    return _about(of, label, amount, clearing_files.chargeback)


def represent(of: str, label: str = "represented", *, amount: int | None = None) -> InFile:
    """The acquirer presents again what the record ``of`` had charged back."""
    return _about(of, label, amount, clearing_files.represented)


def tell_again(of: str, label: str = "again") -> InFile:
    """The record ``of`` once more, in another file."""
    return _about(of, label, None, lambda entry: entry)


def _about(of: str, label: str, amount: int | None, make: Callable[[Entry], Entry]) -> InFile:
    def told(stage: Stage) -> Entry:
        entry = make(stage.records[of].entry)
        return entry if amount is None else msgspec.structs.replace(entry, amount=amount)

    return _in_file(f"{label} after {of} amount={amount}", (label, told))


def in_one_file(*several: InFile) -> InFile:
    """The records of several verbs in one file, so that they are decided in one batch. The row tells of the last one."""
    return _in_file("; ".join(one.text for one in several), *(entry for one in several for entry in one.entries))


def send_file_again(of: str) -> Do:
    """The file of the record ``of`` comes a second time, as it was."""

    def act(stage: Stage) -> None:
        report = _book(stage, stage.records[of].file)
        assert (report.complete, report.booked, report.repeated) == (True, 0, 0)

    return Do(f"the file of {of} once more", act=act)


# ── what the issuer does


def expire(of: str) -> Do:
    """The deadline of ``of`` has passed, and the sweep finds it."""

    def act(stage: Stage) -> None:
        _pass_deadline(stage, of)

        async def sweep(settings: Settings, connection: Connection) -> None:
            # A daemon may be at it already; then its commit is waited for.
            while await connection.fetchval(
                "SELECT expiry_due <= now() FROM account WHERE account_id = $1", stage.card.account_id
            ):
                await _with_unit(settings, lambda unit: unit.expire(100))

        _at_the_desk(stage.house, sweep)

    return Do(f"{of} expires", act=act)


def overdue(of: str, following: Do) -> Do:
    """The deadline of ``of`` has passed, and ``following`` comes before any sweep."""

    def make(stage: Stage) -> Message:
        _pass_deadline(stage, of)
        assert following.make is not None
        return following.make(stage)

    return replace(following, make=make, text=f"{of} is overdue; {following.text}")


def bind(record: str, to: str) -> Do:
    """A person says: ``record`` belongs to the purchase that ``to`` began."""

    def act(stage: Stage) -> Trace:
        return _settle(stage, record, Instruction(kind=InstructionKind.BIND, by="ann", hold_id=_hold_id(stage, to)))

    return Do(f"{record} is bound to {to}", act=act)


def force(record: str) -> Do:
    """A person says: ``record`` is booked by itself."""
    return Do(
        f"{record} is forced",
        act=lambda stage: _settle(stage, record, Instruction(kind=InstructionKind.FORCE, by="ann")),
    )


def reject(record: str) -> Do:
    """A person says: ``record`` is not booked."""
    return Do(
        f"{record} is rejected",
        act=lambda stage: _settle(stage, record, Instruction(kind=InstructionKind.REJECT, by="ann")),
    )


# ── the network's hand


def _purchase(stage: Stage, of: str) -> Purchase:
    """What the network knows of ``of``: its own message, and the answer where there was one."""
    maker, message = stage.maker, stage.said[of]
    at, fields = maker.dialect.elements, message.fields
    answer: Mapping[str, str] = {}
    if of in stage.answers:
        answer = codec_of(maker.network).decode_fields(stage.answers[of])
    currency = letters(fields[at.currency])
    assert currency is not None
    return Purchase(
        pan=stage.card.pan,
        amount=int(answer.get(at.amount) or message.amount_minor),  # less than was asked, in a partial approval
        currency=currency,
        purchased_at=datetime.now(UTC).replace(microsecond=0),
        operation=_OPERATIONS.get(message.act, "purchase"),
        approval_code=answer.get(at.approval_code) or fields.get(at.approval_code, ""),
        retrieval_reference=fields.get(at.retrieval_reference, ""),
        network_reference=fields.get(maker.field_of("network_reference"), ""),
        acquirer_id=fields.get(at.acquirer, ""),
        terminal_id=fields.get(at.terminal, "").strip(),
        merchant_id=fields.get(at.merchant, "").strip(),
        mcc=fields.get(at.mcc, ""),
    )


def _reference() -> str:
    """An acquirer reference (23 digits) that no other record has."""
    return f"7{os.getpid() % 10**6:06d}{next(_numbers):016d}"


@cache
def _reference_of(_message_key: str) -> str:
    """The acquirer reference of all parts of one purchase."""
    return _reference()


def _send(stage: Stage, entries: tuple[tuple[str, Callable[[Stage], Entry]], ...]) -> Trace:
    """Writes the records into a file and books it; gives the stored trace of the last one."""
    network, number = stage.maker.network, next(_numbers)
    made = [(label, make(stage)) for label, make in entries]
    file_format = _FORMATS[network]
    if file_format == "ipm" and any(
        entry.sequence_count or entry.final is not None or entry.kind == "additional_charge" for _, entry in made
    ):
        file_format = "jsonl"
    head = FileHead.ipm(network, datetime.now(UTC).date(), number, member=str(os.getpid()))
    path = stage.house.directory / f"{network}-{number}.{file_format}"
    with path.open("wb") as file:
        clearing_files.write(file, file_format, head, [entry for _, entry in made])
    report = _book(stage, path)
    assert (report.complete, report.booked, report.repeated, report.refused) == (True, len(made), 0, [])
    trace: Trace = ()
    for record, (label, entry) in enumerate(made, 1):
        row = stage.house.ask(partial(_stored, network=network, file_id=head.file_id, record=record))
        stage.records[label] = Record(entry, path, row["key"], row["account_id"])
        trace = [
            {"rule": rule, "verdict": verdict, "seen": seen}
            for rule, verdict, seen in msgspec.json.decode(row["trace"])
        ]
    return trace


async def _stored(connection: Connection, *, network: str, file_id: str, record: int) -> Any:
    return await connection.fetchrow(
        "SELECT i.key, i.account_id, m.trace FROM clearing_item i JOIN message_key m USING (account_id, key)"
        " WHERE i.network = $1 AND i.file_id = $2 AND i.record = $3",
        network,
        file_id,
        record,
    )


def _book(stage: Stage, path: Path) -> FileReport:
    async def work(settings: Settings, connection: Connection) -> FileReport:
        summary = inspect(path, network=stage.maker.network)
        vault = load_vault(settings.vault)
        return await _with_unit(settings, lambda unit: book_file(path, summary, unit, connection, vault))

    return _at_the_desk(stage.house, work)


# ── the issuer's desk


@cache
def _settings(config: Path) -> Settings:
    return load_settings(config)


def _at_the_desk(house: House, work: Callable[[Settings, Connection], Awaitable[T]]) -> T:
    settings = _settings(house.config)
    return house.ask(lambda connection: work(settings, connection))


async def _with_unit(settings: Settings, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    """A unit of work of its own beside the daemon's, as the commands have one."""
    programs = load_programs(settings.programs)
    security = load_security_codes(settings.vault, programs)
    dsn = settings.database.issuing_dsn
    unit = UnitOfWork(settings.database, programs, security, lambda: datetime.now(UTC), dsn=dsn)
    try:
        return await work(unit)
    finally:
        await unit.close()


def _settle(stage: Stage, label: str, instruction: Instruction) -> Trace:
    async def work(settings: Settings, connection: Connection) -> Decision:
        doubt = await queue.in_doubt(connection, stage.records[label].key, instruction)
        assert doubt is not None
        item = Item(doubt.request, doubt.key, doubt.fingerprint, doubt.pan_lookup, lambda _reason: "")
        (decision,) = await _with_unit(settings, lambda unit: unit.run([item]))
        return decision

    decision = _at_the_desk(stage.house, work)
    return [{"rule": step.rule, "verdict": step.verdict, "seen": step.seen} for step in decision.trace]


def _hold_id(stage: Stage, of: str) -> int:
    """The purchase that the message ``of`` began."""
    fields = stage.said[of].fields
    at = stage.maker.dialect.elements
    stan, reference = fields[at.stan], fields[at.retrieval_reference]

    async def work(connection: Connection) -> int:
        hold_id: int = await connection.fetchval(
            "SELECT hold_id FROM message_key WHERE account_id = $1 AND stan = $2 AND retrieval_reference = $3",
            stage.card.account_id,
            stan,
            reference,
        )
        return hold_id

    return stage.house.ask(work)


def _pass_deadline(stage: Stage, of: str) -> None:
    """As if the days had passed: nobody but a superuser can do that."""
    account_id, hold_id = stage.card.account_id, _hold_id(stage, of)

    async def work(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(
                "UPDATE hold SET expires_at = now() - interval '1 second' WHERE account_id = $1 AND hold_id = $2",
                account_id,
                hold_id,
            )
            await connection.execute(
                "UPDATE account SET expiry_due = now() - interval '1 second' WHERE account_id = $1", account_id
            )

    stage.house.ask(work, dsn=stage.house.ready["database"])
