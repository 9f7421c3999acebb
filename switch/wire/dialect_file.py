"""``dialect.toml``: read, joined with the dialect it extends, and checked.

Every complaint is a ConfigurationError that names file, table and key. What the checked tables mean stands in
``switch.wire.rules`` and ``switch.wire.field_table``; the guide for writers is ``specs/README.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from switch.contracts.errors import ConfigurationError
from switch.contracts.message import EntryMode, Kind, Operation
from switch.contracts.reason import Reason
from switch.wire.dialect_layers import read_layers
from switch.wire.field_table import FieldRow, row_problem, text_encoding_problem
from switch.wire.framing import Framing
from switch.wire.header import HeaderRules, header_problems
from switch.wire.rules import (
    AnswerRules,
    Carrier,
    Carriers,
    ChannelRow,
    Elements,
    Flag,
    Flags,
    LocalTime,
    ManagementRules,
    MessageRow,
    OriginalRules,
    Part,
    Scope,
    SimulatorRules,
    StandInRules,
    Told,
)
from switch.wire.specs_folder import FILE_NAME
from switch.wire.subfields import SubfieldRules, subfield_problems
from switch.wire.track2 import Track2Layout

__all__ = ["DialectFile", "read_dialect_file", "value_references"]

_CODE_LENGTH_MAX = 8

_T = TypeVar("_T")


class DialectFile(msgspec.Struct, frozen=True, kw_only=True):
    """The checked tables of a dialect."""

    description: str
    framing: Framing
    text_encoding: str  # of the rows that name none
    hook: str  # the path of a program, or empty
    header: HeaderRules | None
    fields: dict[str, FieldRow]
    subfields: dict[str, SubfieldRules]  # by element
    messages: dict[str, MessageRow]
    management: ManagementRules
    response_codes: dict[str, str]  # by the value of Reason; complete
    elements: Elements
    original: OriginalRules
    local_time: LocalTime | None
    scope: Scope
    operations: dict[str, Operation]
    entry_modes: dict[str, EntryMode]
    countries: dict[str, str]
    channels: tuple[ChannelRow, ...]
    stand_in: StandInRules
    carriers: Carriers
    flags: Flags
    track2: Track2Layout
    answer: AnswerRules
    simulator: SimulatorRules


def read_dialect_file(folder: Path) -> DialectFile:
    """Read ``folder/dialect.toml`` and check it.

    Raises ConfigurationError naming file, table and key.
    """
    path = folder / FILE_NAME
    raw = read_layers(folder)
    unknown = sorted(set(raw) - set(DialectFile.__struct_fields__))
    if unknown:
        raise ConfigurationError(f"{path}: {unknown[0]}: unknown key")
    tables = DialectFile(
        description=_convert(path, "description", raw.get("description"), str),
        framing=_convert(path, "framing", raw.get("framing", Framing.LENGTH2), Framing),
        text_encoding=_convert(path, "text_encoding", raw.get("text_encoding", "ascii"), str),
        hook=_convert(path, "hook", raw.get("hook", ""), str),
        header=_convert(path, "[header]", raw["header"], HeaderRules) if "header" in raw else None,
        fields=_rows(path, "fields", raw, FieldRow),
        subfields=_rows(path, "subfields", {"subfields": {}, **raw}, SubfieldRules),
        messages=_rows(path, "messages", raw, MessageRow),
        management=_convert(path, "[management]", raw.get("management"), ManagementRules),
        response_codes=_rows(path, "response_codes", raw, str),
        elements=_convert(path, "[elements]", raw.get("elements", {}), Elements),
        original=_convert(path, "[original]", raw.get("original", {}), OriginalRules),
        local_time=_local_time(path, raw.get("local_time")),
        scope=_convert(path, "[scope]", raw.get("scope", {}), Scope),
        operations=_rows(path, "operations", raw, Operation),
        entry_modes=_rows(path, "entry_modes", raw, EntryMode),
        countries=_convert(path, "[countries]", raw.get("countries", {}), dict[str, str]),
        channels=_convert(path, "[[channels]]", raw.get("channels", []), tuple[ChannelRow, ...]),
        stand_in=_convert(path, "[stand_in]", raw.get("stand_in"), StandInRules),
        carriers=_convert(path, "[carriers]", raw.get("carriers", {}), Carriers),
        flags=_convert(path, "[flags]", raw.get("flags", {}), Flags),
        track2=_convert(path, "[track2]", raw.get("track2", {}), Track2Layout),
        answer=_convert(path, "[answer]", raw.get("answer"), AnswerRules),
        simulator=_convert(path, "[simulator]", raw.get("simulator", {}), SimulatorRules),
    )
    for where, what in _problems(tables):
        raise ConfigurationError(f"{path}: {where}: {what}")
    return tables


def _convert(path: Path, where: str, value: object, to: type[_T]) -> _T:
    if value is None:
        raise ConfigurationError(f"{path}: {where}: missing")
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{path}: {where}: {error}") from None


def _local_time(path: Path, value: object) -> LocalTime | None:
    if value is None:
        return None
    row = _convert(path, "[local_time]", value, LocalTime)
    try:
        ZoneInfo(row.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigurationError(f"{path}: [local_time] zone: {row.zone!r} is no time zone") from None
    return row


def _rows(path: Path, table: str, raw: dict[str, object], row: type[_T]) -> dict[str, _T]:
    """A table whose keys the dialect chooses, converted row by row so that an error can name the key."""
    rows = _convert(path, f"[{table}]", raw.get(table), dict[str, object])
    return {key: _convert(path, f"[{table}] {key}", value, row) for key, value in rows.items()}


def _problems(tables: DialectFile) -> Iterator[tuple[str, str]]:
    """What types can't say: (where, what is wrong)."""
    for key, row in tables.fields.items():
        problem = row_problem(key, row)
        if problem is not None:
            yield f"[fields] {key}", problem
    for key in ("h", "t", "p", "1"):
        if key not in tables.fields:
            yield f"[fields] {key}", "missing"
    yield from _layout_problems(tables)
    yield from _element_problems(tables)
    yield from _reason_problems(tables)
    yield from _message_problems(tables)
    for where, key in _field_references(tables):
        if key not in tables.fields:
            yield where, f"names field {key}, which [fields] lacks"
    for where, key in value_references(tables):
        if key not in tables.fields and not _is_subfield(tables, key):
            yield where, f"names field {key}, which [fields] lacks"
    yield from _code_problems(tables)
    try:
        tables.simulator.merchant_text("NAME", "CITY", "JP")
    except (ValueError, LookupError):
        yield "[simulator] merchant", "no form of name, city and country"


def _code_problems(tables: DialectFile) -> Iterator[tuple[str, str]]:
    """Of the tables whose keys are codes that stand in a message."""
    for table, codes, element in (
        ("operations", tables.operations, tables.elements.operation),
        ("entry_modes", tables.entry_modes, tables.elements.entry_mode),
    ):
        for code in codes:
            if not (code.isascii() and code.isalnum() and element.length in (None, len(code))):
                yield f"[{table}] {code}", f"not {element.length or 'some'} letters or digits"
    for code, country in tables.countries.items():
        if not (len(country) == 2 and country.isascii() and country.isalpha() and country.isupper()):
            yield f"[countries] {code}", f"{country!r} is no ISO 3166 alpha-2 code"
    for name in ("by", "reason"):
        told: Told | None = getattr(tables.stand_in, name)
        # What is no known code is told as it is, so it must be too short to be anything else than a code.
        if told is not None and (told.carrier.length or _fixed_length(tables, told.carrier.field)) > _CODE_LENGTH_MAX:
            yield f"[stand_in] {name}", f"longer than a code ({_CODE_LENGTH_MAX} characters)"


def _fixed_length(tables: DialectFile, key: str) -> int:
    return tables.fields[key].max_len if key in tables.fields else 0


#: Elements without which a message can't be answered or matched.
_NEEDED_ELEMENTS = ("pan", "amount", "sequence_time", "stan", "response_code", "approval_code")


def _element_problems(tables: DialectFile) -> Iterator[tuple[str, str]]:
    for name in _NEEDED_ELEMENTS:
        key = getattr(tables.elements, name)
        if not key:
            yield f"[elements] {name}", "missing: no dialect does without it"
        elif key not in tables.fields:
            yield f"[fields] {key}", f"missing: [elements] {name} is there"
    elements = tables.elements
    for where, carrier in (
        ("[carriers] cvv2", tables.carriers.cvv2),
        ("[answer] cvv2_result", tables.answer.cvv2_result),
        ("[answer] original_amount", tables.answer.original_amount),
        ("[elements] replacement_amount", elements.replacement_amount),
        ("[elements] original_amount", elements.original_amount),
    ):
        if carrier is not None and carrier.at < 0:
            yield where, "at counts from the end of the field: only what is read alone may stand there"
    for name in ("amount", "billing_amount", "transmission", "sequence_time", "stan"):
        key = getattr(elements, name)
        if key in tables.fields and tables.fields[key].content != "n":
            yield f"[fields] {key}", f"not of class n: [elements] {name} is there"
    for name, key, length in (
        ("transmission", elements.transmission, 10),
        ("sequence_time", elements.sequence_time, tables.original.time_length),
    ):
        row = tables.fields.get(key)
        if row is not None and not (row.len_type == 0 and _digits(row) == length):
            yield f"[fields] {key}", f"not {length} digits, fixed: [elements] {name} is there"
    if elements.replacement_amount.field == elements.amount and elements.original_amount is None:
        yield "[elements] original_amount", "missing: replacement_amount takes the amount's own field"


def _digits(row: FieldRow) -> int:
    """How many digits a field of class n can hold."""
    packed = row.data_enc == "b" and row.len_count == "bytes"
    return row.max_len * 2 if packed else row.max_len


def _layout_problems(tables: DialectFile) -> Iterator[tuple[str, str]]:
    """Of what lies around and inside the fields: text encoding, header, subfields."""
    encoding_problem = text_encoding_problem(tables.text_encoding)
    if encoding_problem is not None:
        yield "text_encoding", encoding_problem
    if tables.header is not None:
        header = tables.fields["h"]
        for key, what in header_problems(tables.header, header.max_len):
            yield f"[header] {key}", what
        if header.data_enc != "b" or header.len_type:
            yield "[fields] h", "must be raw bytes of fixed length where there is a [header]"
        if tables.header.reject is not None:
            for key in tables.header.reject.bare:
                if key not in tables.fields:
                    yield "[header.reject] bare", f"names field {key}, which [fields] lacks"
    for element, rules in tables.subfields.items():
        for key, what in subfield_problems(element, rules, tables.fields.get(element)):
            yield f"[subfields] {element}" + (f" {key}" if key else ""), what


def _is_subfield(tables: DialectFile, key: str) -> bool:
    element, _, number = key.partition(".")
    return element in tables.subfields and number in tables.subfields[element].rows


def _reason_problems(tables: DialectFile) -> Iterator[tuple[str, str]]:
    key = tables.elements.response_code
    length = tables.fields[key].max_len
    for reason in Reason:
        if reason.value not in tables.response_codes:
            yield f"[response_codes] {reason.value}", f"missing: every reason needs its DE{key}"
    for table, codes in (
        ("response_codes", tables.response_codes),
        ("management.response_codes", tables.management.response_codes),
    ):
        for reason_text, code in codes.items():
            if reason_text not in set(Reason):
                yield f"[{table}] {reason_text}", "unknown key: no such reason"
            if not (len(code) == length and code.isascii() and code.isalnum()):
                yield f"[{table}] {reason_text}", f"not {length} letters or digits"


def _message_problems(tables: DialectFile) -> Iterator[tuple[str, str]]:
    management = tables.management
    used: dict[str, str] = {management.request: "[management] request", management.repeat: "[management] repeat"}
    mtis = [("[management] response", management.response), *((where, mti) for mti, where in used.items())]
    for mti, row in tables.messages.items():
        where = f"[messages] {mti}"
        if row.kind is Kind.PRESENTMENT:
            yield where, "kind: presentments come in clearing files, not in messages"
        mtis += [(where, mti), (where, row.response), *([(where, row.repeat)] if row.repeat else [])]
        for request in (mti, row.repeat):
            if request and request in used:
                yield where, f"{request} stands in {used[request]} too"
            used[request] = where
    for where, mti in mtis:
        if not (len(mti) == 4 and mti.isascii() and mti.isdecimal()):
            yield where, f"{mti!r} is no message type of four digits"


def _field_references(tables: DialectFile) -> Iterator[tuple[str, str]]:
    """Where a table names a field, and which."""
    for mti, row in tables.messages.items():
        yield from ((f"[messages] {mti}", key) for key in (*row.needs, *row.carries))
    yield "[management] code_field", tables.management.code_field
    yield from (("[management] echoed", key) for key in tables.management.echoed)
    yield from (("[answer] echoed", key) for key in tables.answer.echoed)
    # Elements in their usual places may be absent from [fields]: such a network does not have them.
    if tables.original != OriginalRules():
        yield "[original] field", tables.original.field
    if tables.local_time is not None:
        yield "[local_time] field", tables.local_time.field
    usual = Elements()
    for table, rules in (
        ("elements", {name: row for name, row in _named(tables.elements) if row != getattr(usual, name)}),
        ("answer", dict(_named(tables.answer))),
    ):
        for name, value in rules.items():
            yield from ((f"[{table}] {name}", key) for key in _fields_of(value))


def value_references(tables: DialectFile) -> Iterator[tuple[str, str]]:
    """Where a table names the place of a value that is only read, and which field or subfield that is."""
    for table, rules in (("carriers", tables.carriers), ("flags", tables.flags), ("stand_in", tables.stand_in)):
        for name, value in _named(rules):
            yield from ((f"[{table}] {name}", key) for key in _fields_of(value))


def _named(rules: msgspec.Struct) -> Iterator[tuple[str, object]]:
    return ((name, getattr(rules, name)) for name in rules.__struct_fields__)


def _fields_of(row: object) -> Iterator[str]:
    """The fields that one value of a table names."""
    if isinstance(row, Told):
        row = row.carrier
    if isinstance(row, str) and row:
        yield row
    elif isinstance(row, Carrier | Flag | Part):
        yield row.field
    if isinstance(row, Carrier) and row.when is not None and row.when.field:
        yield row.when.field
