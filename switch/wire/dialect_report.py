"""A dialect in tables that a person can read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from switch.wire.dialect_file import DialectFile
from switch.wire.field_table import FieldRow, FieldTable
from switch.wire.rules import Carrier, Flag, Part, Told

__all__ = ["TABLES", "Table", "dialect_tables"]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """``title`` is the table's name in ``dialect.toml``."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def dialect_tables(tables: DialectFile, only: str = "") -> list[Table]:
    """The tables of a dialect that say something; only the one named, where one is."""
    found = [TABLES[name](tables) for name in TABLES if only in {"", name}]
    return [table for table in found if table.rows]


def _table(title: str, columns: str, rows: Iterable[tuple[str, ...]]) -> Table:
    return Table(title=title, columns=tuple(columns.split(", ")), rows=tuple(rows))


def _header(tables: DialectFile) -> Table:
    rows: list[tuple[str, ...]] = []
    at = 0
    for part in tables.header.parts if tables.header is not None else ():
        rows.append((str(at), str(part.bytes), part.desc, part.holds.replace("_", " "), " ".join(part.any_of)))
        at += part.bytes
    reject = None if tables.header is None else tables.header.reject
    if reject is not None:
        said = f"code of {reject.code_bytes} bytes at {reject.code_at}; policy {reject.policy}"
        rows.append(("0", f"{reject.bytes_min}+", "(a reject header)", said, ""))
    return _table("header", "at, bytes, part, holds, taken", rows)


def _messages(tables: DialectFile) -> Table:
    rows = [
        (mti, row.repeat or "-", row.response, _words(row.kind), " ".join(row.needs) or "-", _pairs(row.carries))
        for mti, row in tables.messages.items()
    ]
    return _table("messages", "type, repeat, answer, kind, needs, sent with", rows)


def _management(tables: DialectFile) -> Table:
    it = tables.management
    rows = [
        ("type, repeat, answer", f"{it.request} {it.repeat} {it.response}"),
        ("code in field", it.code_field),
        *((_words(name), " ".join(getattr(it, name))) for name in ("sign_on", "sign_off", "echo", "key_change")),
        ("echoed", " ".join(it.echoed)),
        *((f"answer {_words(reason)}", code) for reason, code in it.response_codes.items()),
    ]
    return _table("management", "what, value", [row for row in rows if row[1]])


def _elements(tables: DialectFile) -> Table:
    rows = []
    for name in tables.elements.__struct_fields__:
        place = _place(getattr(tables.elements, name))
        key = place.partition(" ")[0]
        if place and key in tables.fields:
            rows.append((_words(name), place, tables.fields[key].desc))
        else:
            rows.append((_words(name), "-", "not in this network's messages"))
    return _table("elements", "what, field, which is", rows)


def _carriers(tables: DialectFile) -> Table:
    places: list[tuple[str, object]] = [
        *((_words(name), getattr(tables.carriers, name)) for name in tables.carriers.__struct_fields__),
        *((_words(name), getattr(tables.flags, name)) for name in tables.flags.__struct_fields__),
        ("who stood in", tables.stand_in.by),
        ("why they stood in", tables.stand_in.reason),
        ("CVV2 result, in answers", tables.answer.cvv2_result),
        ("original amount, in answers", tables.answer.original_amount),
    ]
    return _table("carriers", "what, where", [(name, _place(value)) for name, value in places if value is not None])


def _codes(
    title: str, columns: str, rows: Callable[[DialectFile], Mapping[str, object]]
) -> Callable[[DialectFile], Table]:
    return lambda tables: _table(title, columns, [(code, _words(value)) for code, value in rows(tables).items()])


def _countries(tables: DialectFile) -> Table:
    return _table("countries", "code, ISO 3166", list(tables.countries.items()))


def _channels(tables: DialectFile) -> Table:
    rows = [
        (
            _words(row.channel),
            " ".join(row.mccs) or "-",
            " ".join(map(_words, row.operations)) or "-",
            " ".join(map(_words, row.entry_modes)) or "-",
            " ".join(row.conditions) or "-",
        )
        for row in tables.channels
    ]
    return _table("channels", "channel, merchant categories, operations, entry modes, conditions", rows)


def _rules(tables: DialectFile) -> Table:
    """What is said once."""
    original, track2, scope = tables.original, tables.track2, tables.scope
    rows = [
        ("scope: channels", " ".join(map(_words, scope.channels))),
        ("scope: entry modes", ", ".join(map(_words, scope.entry_modes))),
        ("approved for us, in advices", " ".join(tables.stand_in.approved)),
        (
            "original data elements",
            (
                f"field {original.field}: message type 4, STAN 6, time {original.time_length}, "
                f"acquirer {original.acquirer_length or 'with 2 digits of length'}, {original.rest} more"
            ),
        ),
        ("track 2", f"CVV of {track2.cvv_length} digits, {track2.cvv_at} behind the service code"),
        (
            "local time",
            "" if tables.local_time is None else f"field {tables.local_time.field}, {tables.local_time.zone}",
        ),
        ("answers echo", " ".join(tables.answer.echoed)),
        ("simulators write the merchant as", tables.simulator.merchant),
    ]
    return _table("rules", "what, value", [row for row in rows if row[1]])


def _stand_in(tables: DialectFile) -> Table:
    rows = [
        (name, code, text)
        for name, told in (("by", tables.stand_in.by), ("reason", tables.stand_in.reason))
        if told is not None
        for code, text in told.texts.items()
    ]
    return _table("stand_in", "what, code, text", rows)


def _response_codes(tables: DialectFile) -> Table:
    reasons: dict[str, list[str]] = {}
    for reason, code in tables.response_codes.items():
        reasons.setdefault(code, []).append(_words(reason))
    return _table("response_codes", "code, says", [(code, ", ".join(reasons[code])) for code in sorted(reasons)])


def _fields(tables: DialectFile) -> Table:
    return _table("fields", "field, class, form, name", _field_rows(tables.fields, tables.text_encoding, ""))


def _subfields(tables: DialectFile) -> Table:
    rows: list[tuple[str, ...]] = []
    for element, rules in tables.subfields.items():
        rows.append((element, "b", f"a bitmap of {rules.bitmap_bytes} bytes, then", tables.fields[element].desc))
        rows += _field_rows(rules.rows, tables.text_encoding, f"{element}.")
    return _table("subfields", "subfield, class, form, name", rows)


def _field_rows(rows: Mapping[str, FieldRow], text_encoding: str, prefix: str) -> list[tuple[str, ...]]:
    spec = FieldTable({key: row.specification(text_encoding) for key, row in rows.items()})
    order = sorted(rows, key=lambda key: (key.isdecimal(), int(key) if key.isdecimal() else "htp".find(key)))
    return [
        (f"{prefix}{key}", rows[key].content, spec.describe(key) if rows[key].max_len else "none", rows[key].desc)
        for key in order
    ]


TABLES: Mapping[str, Callable[[DialectFile], Table]] = {
    "header": _header,
    "messages": _messages,
    "management": _management,
    "elements": _elements,
    "carriers": _carriers,
    "operations": _codes("operations", "code, operation", lambda tables: tables.operations),
    "entry_modes": _codes("entry_modes", "code, entry mode", lambda tables: tables.entry_modes),
    "channels": _channels,
    "countries": _countries,
    "rules": _rules,
    "stand_in": _stand_in,
    "response_codes": _response_codes,
    "fields": _fields,
    "subfields": _subfields,
}
"""The tables by name, in the order in which they are read."""


def _place(value: object) -> str:
    """Where a value travels, in a few words; the field is the first one."""
    if isinstance(value, Told):
        value = value.carrier
    if isinstance(value, str):
        return value
    if isinstance(value, Flag):
        signs = [value.equals] if isinstance(value.equals, str) else list(value.equals)
        return f"{value.field} at {value.at} says {' or '.join(signs)}"
    if not isinstance(value, Carrier | Part):
        return ""
    said = value.field
    if value.at or value.length is not None:
        said += f" at {value.at}" + ("" if value.length is None else f", {value.length} long")
    if isinstance(value, Carrier):
        said += f", up to {value.until!r}" if value.until else ""
        if value.when is not None:
            said += f", when {value.when.field or 'it'} at {value.when.at} says {value.when.equals}"
    return said


def _pairs(values: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items()) or "-"


def _words(name: object) -> str:
    return str(name).replace("_", " ")
