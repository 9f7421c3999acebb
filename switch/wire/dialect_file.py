"""``dialect.toml``: read, joined with the dialect it extends, and checked.

Every complaint is a ConfigurationError that names file, table and key. What the checked tables mean stands in
``switch.wire.rules`` and ``switch.wire.field_table``; the guide for writers is ``specs/README.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from switch.contracts.errors import ConfigurationError
from switch.contracts.message import EntryMode, Operation
from switch.contracts.reason import Reason
from switch.wire.field_table import FieldRow, row_problem
from switch.wire.framing import Framing
from switch.wire.rules import (
    AnswerRules,
    Carriers,
    ChannelRow,
    Flags,
    ManagementRules,
    MessageRow,
    StandInRules,
)
from switch.wire.track2 import Track2Layout

__all__ = ["FILE_NAME", "DialectFile", "read_dialect_file"]

FILE_NAME = "dialect.toml"

_T = TypeVar("_T")


class DialectFile(msgspec.Struct, frozen=True, kw_only=True):
    """The checked tables of a dialect."""

    description: str
    framing: Framing
    fields: dict[str, FieldRow]
    messages: dict[str, MessageRow]
    management: ManagementRules
    response_codes: dict[str, str]  # by the value of Reason; complete
    operations: dict[str, Operation]  # by DE3[0:2]
    entry_modes: dict[str, EntryMode]  # by DE22[0:2]
    channels: tuple[ChannelRow, ...]
    stand_in: StandInRules
    carriers: Carriers
    flags: Flags
    track2: Track2Layout
    answer: AnswerRules


def read_dialect_file(folder: Path) -> DialectFile:
    """Read ``folder/dialect.toml`` and check it.

    Raises ConfigurationError naming file, table and key.
    """
    path = folder / FILE_NAME
    raw = _read_raw(folder, ())
    unknown = sorted(set(raw) - set(DialectFile.__struct_fields__))
    if unknown:
        raise ConfigurationError(f"{path}: {unknown[0]}: unknown key")
    tables = DialectFile(
        description=_convert(path, "description", raw.get("description"), str),
        framing=_convert(path, "framing", raw.get("framing", Framing.LENGTH2), Framing),
        fields=_rows(path, "fields", raw, FieldRow),
        messages=_rows(path, "messages", raw, MessageRow),
        management=_convert(path, "[management]", raw.get("management"), ManagementRules),
        response_codes=_rows(path, "response_codes", raw, str),
        operations=_rows(path, "operations", raw, Operation),
        entry_modes=_rows(path, "entry_modes", raw, EntryMode),
        channels=_convert(path, "[[channels]]", raw.get("channels", []), tuple[ChannelRow, ...]),
        stand_in=_convert(path, "[stand_in]", raw.get("stand_in"), StandInRules),
        carriers=_convert(path, "[carriers]", raw.get("carriers", {}), Carriers),
        flags=_convert(path, "[flags]", raw.get("flags", {}), Flags),
        track2=_convert(path, "[track2]", raw.get("track2", {}), Track2Layout),
        answer=_convert(path, "[answer]", raw.get("answer"), AnswerRules),
    )
    for where, problem in _problems(tables):
        raise ConfigurationError(f"{path}: {where}: {problem}")
    return tables


def _read_raw(folder: Path, seen: tuple[str, ...]) -> dict[str, object]:
    """The file's tables, laid over those of the dialect that it extends."""
    path = folder / FILE_NAME
    try:
        raw = msgspec.toml.decode(path.read_bytes(), type=dict[str, object])
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    base = raw.pop("extends", None)
    if base is None:
        return raw
    if not isinstance(base, str) or not base.isidentifier():
        raise ConfigurationError(f"{path}: extends: not the name of a dialect")
    if base in (*seen, folder.name):
        raise ConfigurationError(f"{path}: extends: {base} extends this dialect in turn")
    return _laid_over(_read_raw(folder.parent / base, (*seen, folder.name)), raw)


def _laid_over(below: dict[str, object], above: dict[str, object]) -> dict[str, object]:
    """Tables are joined key by key; anything else, lists too, replaces what it covers."""
    joined = dict(below)
    for key, value in above.items():
        covered = joined.get(key)
        if isinstance(covered, dict) and isinstance(value, dict):
            joined[key] = _laid_over(covered, value)
        else:
            joined[key] = value
    return joined


def _convert(path: Path, where: str, value: object, to: type[_T]) -> _T:
    if value is None:
        raise ConfigurationError(f"{path}: {where}: missing")
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{path}: {where}: {error}") from None


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
    for key in ("h", "t", "p", "1", "2", "11", "39"):
        if key not in tables.fields:
            yield f"[fields] {key}", "missing"
    yield from _reason_problems(tables)
    yield from _message_problems(tables)
    for where, key in _field_references(tables):
        if key not in tables.fields:
            yield where, f"names field {key}, which [fields] lacks"
    for table, codes in (("operations", tables.operations), ("entry_modes", tables.entry_modes)):
        for code in codes:
            if not (len(code) == 2 and code.isascii() and code.isdecimal()):
                yield f"[{table}] {code}", "not two digits"


def _reason_problems(tables: DialectFile) -> Iterator[tuple[str, str]]:
    length = tables.fields["39"].max_len
    for reason in Reason:
        if reason.value not in tables.response_codes:
            yield f"[response_codes] {reason.value}", "missing: every reason needs its DE39"
    for reason_text, code in tables.response_codes.items():
        if reason_text not in set(Reason):
            yield f"[response_codes] {reason_text}", "unknown key: no such reason"
        if not (len(code) == length and code.isascii() and code.isalnum()):
            yield f"[response_codes] {reason_text}", f"not {length} letters or digits"


def _message_problems(tables: DialectFile) -> Iterator[tuple[str, str]]:
    management = tables.management
    used: dict[str, str] = {management.request: "[management] request", management.repeat: "[management] repeat"}
    mtis = [("[management] response", management.response), *((where, mti) for mti, where in used.items())]
    for mti, row in tables.messages.items():
        where = f"[messages] {mti}"
        mtis += [(where, mti), (where, row.response), *([(where, row.repeat)] if row.repeat else [])]
        for request in (mti, row.repeat):
            if request and request in used:
                yield where, f"{request} stands in {used[request]} too"
            used[request] = where
    for where, mti in mtis:
        if not (len(mti) == 4 and mti.isascii() and mti.isdecimal()):
            yield where, f"{mti!r} is no message type of four digits"


def _field_references(tables: DialectFile) -> Iterator[tuple[str, str]]:
    for mti, row in tables.messages.items():
        yield from ((f"[messages] {mti}", key) for key in row.needs)
    yield "[management] code_field", tables.management.code_field
    yield from (("[management] echoed", key) for key in tables.management.echoed)
    yield from (("[answer] echoed", key) for key in tables.answer.echoed)
    for name in tables.carriers.__struct_fields__:
        carrier = getattr(tables.carriers, name)
        if carrier is not None:
            yield f"[carriers] {name}", carrier.field
    for name in tables.flags.__struct_fields__:
        flag = getattr(tables.flags, name)
        if flag is not None:
            yield f"[flags] {name}", flag.field
    if tables.answer.cvv2_result is not None:
        yield "[answer] cvv2_result", tables.answer.cvv2_result.field
