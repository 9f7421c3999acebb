"""Elements that say several things: subfields, original data elements, additional amounts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from switch.wire.description import HIDDEN, Line
from switch.wire.dialect import Dialect
from switch.wire.discretion import Discretion, printable
from switch.wire.errors import FieldProblem
from switch.wire.request_summary import REFERENCE
from switch.wire.rules import Carrier, Flag, Told
from switch.wire.wording import amount_text, date_text

__all__ = ["element_parts"]

_AMOUNT_TYPES = {"01": "ledger balance", "02": "available balance", "57": "original amount", "40": "cash-back"}
_TIME_FORMS = {10: "MMDDhhmmss", 12: "YYMMDDhhmmss", 6: "hhmmss", 14: "YYYYMMDDhhmmss"}


def element_parts(dialect: Dialect, key: str, fields: Mapping[str, str], discretion: Discretion) -> tuple[Line, ...]:
    """What stands in ``key`` of a message that was cut whole; empty where it is one value."""
    text = fields[key]
    parts: list[Line] = []
    if key in dialect.subfields:
        parts += _subfields(dialect, key, text, discretion)
    if key == dialect.original.field:
        parts += _original(dialect, text, discretion)
    if discretion.may_show(key):
        # What is made of digits that are masked would show them.
        if key == dialect.elements.balances and discretion.value(key, text) == printable(text):
            parts += _balances(text)
        parts += _carried(dialect, key, fields, discretion)
    elif dialect.carriers.cvv2 is not None and dialect.carriers.cvv2.field == key:
        parts.append(_cvv2(dialect.carriers.cvv2, fields))
    return tuple(parts)


def _subfields(dialect: Dialect, key: str, text: str, discretion: Discretion) -> Iterator[Line]:
    try:
        values = dialect.subfields[key].split(text)
    except FieldProblem as problem:
        said = f"field {problem.field}: needed {problem.needed}, found {problem.found}"
        yield Line(key="", name="subfields not readable", meaning=discretion.said(said))
        return
    for number, value in values.items():
        name = f"{key}.{number}"
        shown = discretion.value(name, value)
        yield Line(
            key=name,
            name=dialect.names.get(name, ""),
            value=shown,
            meaning=f"{len(value)} characters" if shown == HIDDEN else "",
            parts=tuple(_carried(dialect, name, {name: value}, discretion))
            if shown != HIDDEN
            else _secret(dialect, name, value),
        )


def _secret(dialect: Dialect, name: str, value: str) -> tuple[Line, ...]:
    carrier = dialect.carriers.cvv2
    return (_cvv2(carrier, {name: value}),) if carrier is not None and carrier.field == name else ()


def _cvv2(carrier: Carrier, fields: Mapping[str, str]) -> Line:
    given = bool(carrier.read(fields))
    return Line(key="", name="security code", value=HIDDEN if given else "", meaning="given" if given else "not given")


def _original(dialect: Dialect, text: str, discretion: Discretion) -> Iterator[Line]:
    rules = dialect.original
    time_end = 10 + rules.time_length
    time = text[10:time_end]
    acquirer_at, length = time_end, rules.acquirer_length
    if not length:
        told = text[time_end : time_end + 2]
        acquirer_at, length = time_end + 2, int(told) if told.isascii() and told.isdecimal() else 0
    if not (text.isascii() and text.isdecimal()) or len(text) != acquirer_at + length + rules.rest:
        return
    when = date_text(time, _TIME_FORMS.get(rules.time_length, ""))
    if when.startswith(("not ", "no such")):
        return
    for name, value, meaning in (
        ("original message type", text[:4], ""),
        ("original STAN", text[4:10], ""),
        ("original time", time, when),
        ("original acquirer", text[acquirer_at : acquirer_at + length], ""),
    ):
        unset = "filled with zeros: not told" if value and not value.strip("0") else meaning
        yield Line(key="", name=name, value=discretion.said(value), meaning=unset)


def _balances(text: str) -> Iterator[Line]:
    """Additional amounts: account type 2, amount type 2, currency 3, sign C or D, amount 12."""
    for at in range(0, len(text), 20):
        entry = text[at : at + 20]
        amount = amount_text(entry[8:], entry[4:7])
        if len(entry) != 20 or not amount or entry[7] not in "CD":
            yield Line(key="", name="additional amount", meaning="not account, type, currency, C or D, 12 digits")
            return
        kind = _AMOUNT_TYPES.get(entry[2:4], f"amount type {entry[2:4]}")
        yield Line(key="", name=kind, value=f"{'-' if entry[7] == 'D' else ''}{amount}")


def _carried(dialect: Dialect, key: str, fields: Mapping[str, str], discretion: Discretion) -> Iterator[Line]:
    """What the dialect reads out of the element: carriers, flags, stand-in codes, amounts."""
    for name, carrier in (
        ("merchant name", dialect.carriers.merchant_name),
        ("merchant country", dialect.carriers.merchant_country),
        (REFERENCE, dialect.carriers.network_reference),
        ("who stood in", dialect.stand_in.by),
        ("why they stood in", dialect.stand_in.reason),
        ("result of the CVV2 check", dialect.answer.cvv2_result),
    ):
        place = carrier.carrier if isinstance(carrier, Told) else carrier
        if carrier is None or place is None or place.field != key or (place == Carrier(field=key)):
            continue
        value = carrier.read(fields)
        if value:
            shown = discretion.reference(value) if name == REFERENCE else discretion.free(value)
            yield Line(key="", name=name, value=shown)
    at = dialect.elements
    for name, amount in (
        ("amount that shall be left", at.replacement_amount),
        ("amount asked for first", at.original_amount),
    ):
        if amount is not None and amount.field == key and amount.field in dialect.spec:
            value = amount.read(fields)
            if value and discretion.free(value) == value:
                yield Line(key="", name=name, value=amount_text(value, fields.get(at.currency, "")))
    for name, flag in (
        ("the terminal takes a partial approval", dialect.flags.partial_supported),
        ("raises an earlier hold", dialect.flags.incremental),
        ("asks for what is not served", dialect.flags.unsupported),
    ):
        if isinstance(flag, Flag) and flag.field == key and flag.read(fields):
            yield Line(key="", name=name, value="yes")
