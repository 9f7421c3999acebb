"""Chip data (DE55) told tag by tag. Pure."""

from __future__ import annotations

from switch.wire.description import HIDDEN, Line
from switch.wire.discretion import Discretion
from switch.wire.emv import TAGS
from switch.wire.tlv import DataObject, read_tlv
from switch.wire.wording import amount_text, currency_letters, date_text

__all__ = ["chip_lines"]

# Bits 8 and 7 of tag 9F27 (EMV book 3 table 15).
_CRYPTOGRAMS = {0x00: "AAC: declined", 0x40: "TC: approved offline", 0x80: "ARQC: asks the issuer"}


def chip_lines(key: str, digits: str, discretion: Discretion) -> tuple[Line, ...]:
    """The data objects in ``digits`` (hexadecimal), and where reading stopped."""
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        return (Line(key="", name="", meaning="not hexadecimal digits"),)
    objects, problem = read_tlv(data)
    currency = next((_digits(each.value) for each in objects if each.tag == "5F2A"), "")[-3:]
    lines = [_line(key, each, currency, discretion) for each in objects]
    if problem is not None:
        said = f"at byte {problem.offset} of it: needed {problem.needed}, found {problem.found}"
        lines.append(Line(key="", name="not readable as TLV", meaning=discretion.said(said)))
    return tuple(lines)


def _line(key: str, each: DataObject, currency: str, discretion: Discretion) -> Line:
    known = TAGS.get(each.tag)
    name = known.name if known is not None else "not known here"
    parts = tuple(_line(key, part, currency, discretion) for part in each.parts)
    length = f"{len(each.value)} bytes"
    if known is None or not discretion.may_show_tag(each.tag):
        # A template's value is its parts.
        value = "" if parts else HIDDEN
        return Line(key=f"{key}.{each.tag}", name=name, value=value, meaning=length, parts=parts)
    value = each.value.hex().upper()
    meaning = ""
    if known.form == "text":
        value = each.value.decode("latin-1")
    elif known.form == "amount":
        meaning = amount_text(value, currency)
    elif known.form == "currency":
        meaning = currency_letters(value[-3:])
    elif known.form == "date":
        meaning = date_text(value, "YYMMDD")
    elif known.form == "cryptogram":
        meaning = _CRYPTOGRAMS.get(each.value[0] & 0xC0, "")
    shown = discretion.free(value)
    # A meaning made of digits would show them.
    meaning = meaning if shown == value else ""
    return Line(key=f"{key}.{each.tag}", name=name, value=shown, meaning=meaning, parts=parts)


def _digits(value: bytes) -> str:
    return value.hex().upper()
