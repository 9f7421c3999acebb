"""A dialect: everything in which one network's messages differ from another's, read from data and frozen.

A dialect is a folder of ``specs/`` with a ``dialect.toml``. It is loaded once at start; the codec looks everything up
in it and decides nothing by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from switch.contracts.message import EntryMode, Kind, Operation
from switch.contracts.reason import Reason
from switch.wire.dialect_file import DialectFile, read_dialect_file, value_references
from switch.wire.field_table import FieldRow, FieldTable
from switch.wire.framing import Framing
from switch.wire.header import Header
from switch.wire.hook import Hook, load_hook
from switch.wire.inbound import ManagementFunction
from switch.wire.masking import SENSITIVE_FIELDS
from switch.wire.rules import (
    AnswerRules,
    Carriers,
    ChannelRules,
    Elements,
    Flags,
    LocalTime,
    ManagementRules,
    OriginalRules,
    Scope,
    SimulatorRules,
    StandInRules,
)
from switch.wire.specs_folder import dialect_names, specs_root
from switch.wire.subfields import Subfields
from switch.wire.track2 import Track2Layout

__all__ = ["Dialect", "MessageRule", "dialect_names", "load_dialect", "specs_root"]


@dataclass(frozen=True, slots=True)
class MessageRule:
    """What one MTI is."""

    mti: str
    kind: Kind
    repeat: bool  # an x1 MTI
    response: str
    needs: tuple[str, ...]  # fields without which it is a format error
    carries: Mapping[str, str]  # fields that say the same in any such message


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dialect:
    """One network's messages. Nothing in it changes after loading."""

    name: str
    description: str
    framing: Framing
    spec: FieldTable  # pyiso8583's specification
    content: Mapping[str, str]  # the class of each field and subfield: n, a, an, ans, b, z, xn
    names: Mapping[str, str]  # what a person calls each field and subfield
    header: Header | None
    subfields: Mapping[str, Subfields]  # by element
    subfields_read: tuple[tuple[str, str], ...]  # of those, what carriers, flags and stand-in name: ("62", "2")
    hook: Hook | None
    messages: Mapping[str, MessageRule]  # by MTI, repeats included
    management: ManagementRules
    management_functions: Mapping[str, ManagementFunction]  # by the code in its field
    response_codes: Mapping[Reason, str]
    management_response_codes: Mapping[Reason, str]
    elements: Elements
    original: OriginalRules
    local_time: LocalTime | None
    scope: Scope
    operations: Mapping[str, Operation]
    entry_modes: Mapping[str, EntryMode]
    countries: Mapping[str, str]  # to ISO 3166 alpha-2; empty where the network uses that itself
    channels: ChannelRules
    stand_in: StandInRules
    stand_in_approved: frozenset[str]
    carriers: Carriers
    flags: Flags
    track2: Track2Layout
    answer: AnswerRules
    simulator: SimulatorRules
    sensitive_fields: frozenset[str]  # never shown, never stored: those of any dialect and this one's CVV2 carrier

    def response_code(self, reason: Reason) -> str:
        """The response code that says ``reason`` to this network."""
        return self.response_codes[reason]

    def management_response_code(self, reason: Reason) -> str:
        """The response code that says ``reason`` in the answer to a management message."""
        return self.management_response_codes[reason]

    def fixed_length(self, key: str) -> int:
        """How many characters a field or subfield of fixed length holds; 0 for one whose length varies."""
        element, dot, number = key.partition(".")
        return self.subfields[element].length(number) if dot else self.spec.fixed_length(key)

    def __repr__(self) -> str:
        return f"Dialect({self.name})"


def load_dialect(folder: Path) -> Dialect:
    """Read, check and freeze the dialect in ``folder``; the folder's name is the dialect's.

    Raises ConfigurationError naming file, table and key.
    """
    tables = read_dialect_file(folder)
    text_encoding = tables.text_encoding
    return Dialect(
        name=folder.name,
        description=tables.description,
        framing=tables.framing,
        spec=FieldTable({key: row.specification(text_encoding) for key, row in tables.fields.items()}),
        content={key: row.content for key, row in _rows(tables)},
        names={key: row.desc for key, row in _rows(tables)},
        header=Header(tables.header) if tables.header is not None else None,
        subfields={key: Subfields(key, rules, text_encoding) for key, rules in tables.subfields.items()},
        subfields_read=_subfields_read(tables),
        hook=load_hook(Path(tables.hook)) if tables.hook else None,
        messages=_message_rules(tables),
        management=tables.management,
        management_functions=_management_functions(tables.management),
        response_codes={reason: tables.response_codes[reason.value] for reason in Reason},
        management_response_codes={
            reason: tables.management.response_codes.get(reason.value, tables.response_codes[reason.value])
            for reason in Reason
        },
        elements=tables.elements,
        original=tables.original,
        local_time=tables.local_time,
        scope=tables.scope,
        operations=tables.operations,
        entry_modes=tables.entry_modes,
        countries=tables.countries,
        channels=ChannelRules(tables.channels),
        stand_in=tables.stand_in,
        stand_in_approved=frozenset(tables.stand_in.approved),
        carriers=tables.carriers,
        flags=tables.flags,
        track2=tables.track2,
        answer=tables.answer,
        simulator=tables.simulator,
        sensitive_fields=_sensitive_fields(tables),
    )


def _sensitive_fields(tables: DialectFile) -> frozenset[str]:
    """Fields that nobody may see: those of any dialect, and where this one keeps card data.

    Masking trusts DE90 and DE95 to hold no PAN because of what they are in 1987; here they may be something else.
    """
    elements, cvv2 = tables.elements, tables.carriers.cvv2
    return SENSITIVE_FIELDS.union(
        {elements.pan, elements.track2, elements.pin} - {"", "2"},
        {cvv2.field.partition(".")[0]} if cvv2 is not None else (),
        {"90"} - {tables.original.field},
        {"95"} - {elements.replacement_amount.field},
    )


def _rows(tables: DialectFile) -> Iterator[tuple[str, FieldRow]]:
    """The row of each field and subfield."""
    yield from tables.fields.items()
    for element, rules in tables.subfields.items():
        yield from ((f"{element}.{number}", row) for number, row in rules.rows.items())


def _subfields_read(tables: DialectFile) -> tuple[tuple[str, str], ...]:
    named = dict.fromkeys(key.partition(".") for _, key in value_references(tables))
    return tuple((element, number) for element, dot, number in named if dot)


def _message_rules(tables: DialectFile) -> dict[str, MessageRule]:
    rules: dict[str, MessageRule] = {}
    for mti, row in tables.messages.items():
        rules[mti] = MessageRule(mti, row.kind, False, row.response, row.needs, row.carries)
        if row.repeat:
            rules[row.repeat] = MessageRule(row.repeat, row.kind, True, row.response, row.needs, row.carries)
    return rules


def _management_functions(rules: ManagementRules) -> dict[str, ManagementFunction]:
    by_function = {
        ManagementFunction.SIGN_ON: rules.sign_on,
        ManagementFunction.SIGN_OFF: rules.sign_off,
        ManagementFunction.ECHO: rules.echo,
        ManagementFunction.KEY_CHANGE: rules.key_change,
    }
    return {code: function for function, codes in by_function.items() for code in codes}
