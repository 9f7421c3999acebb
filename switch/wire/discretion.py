"""What of one message may be shown to a person. Pure.

Rules, each for a way in which card data could be seen:

- The PAN is shown as BIN and last four. Sensitive elements (those of any dialect, and where this one keeps card data)
  are not shown at all; digits elsewhere that could be a PAN are masked (``switch.wire.masking``).
- Whatever the message is found to hold as PAN, track data or PIN block is taken out of every text that is made of it.
- In a message that can't be cut into elements, the elements before the fault may have slipped: what is taken for a
  terminal's name may be a piece of track 2. So values are shown only where the PAN is found in its place, with a check
  digit that fits; up to the first sensitive element whose length is told by the message; and without any piece of PAN
  or track longer than what a mask shows. Elements may slip and yet come out even, so such pieces are looked for in
  every message, but for digits of a fixed length: an amount may look like a piece of a number full of zeros.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from switch.contracts.secret import Pan, mask_pan
from switch.wire.description import HIDDEN
from switch.wire.dialect import Dialect
from switch.wire.emv import TAGS
from switch.wire.masking import redact
from switch.wire.tlv import DataObject, read_tlv

__all__ = ["Discretion", "printable"]

# What stands in front of all that varies. What is taken for a second bitmap may be the card number.
_STRUCTURE = frozenset({"h", "t", "p"})
_PIECE = 8  # digits of a PAN in a row; a mask shows six
_SHORT = 12
_SECRET_MIN = 8  # a shorter secret would be found everywhere
# Packed, there may be other digits in front: the card number is the last 12 to 19 of them.
# The month tells track 2 from an amount owed (DE54 writes a D before it).
_TRACK = re.compile(r"(?<![0-9])([0-9]{12,}+)(?:[=D]([0-9]{2}(?:0[1-9]|1[0-2])[0-9]{3,26})|\^)")


def _known_pans(dialect: Dialect, fields: Mapping[str, str], tracks: Iterable[re.Match[str]]) -> frozenset[str]:
    """Card numbers that stand where this dialect has one, or in front of track data anywhere in the payload."""
    at = dialect.elements
    found = {text for key in ("2", "34", at.pan, at.track2) if _is_pan(text := fields.get(key, ""))}
    for match in tracks:
        ends = {match.group(1)[-length:] for length in range(12, 20)}
        found.update(end for end in ends if Pan(end).passes_luhn())
    found.update(_chip_pans(fields.get("55", "")))
    return frozenset(found)


def _tracks(fields: Mapping[str, str], payload: bytes) -> list[re.Match[str]]:
    """What looks like track data, however it is written."""
    texts = [payload.decode("latin-1"), payload.decode("cp500"), payload.hex().upper(), *fields.values()]
    return [match for text in texts for match in _TRACK.finditer(text)]


def _is_pan(text: str) -> bool:
    return 12 <= len(text) <= 19 and text.isascii() and text.isdecimal()


def _chip_pans(digits: str) -> Iterator[str]:
    try:
        objects, _ = read_tlv(bytes.fromhex(digits))
    except ValueError:
        return
    yield from _pans_of(objects)


def _pans_of(objects: tuple[DataObject, ...]) -> Iterator[str]:
    for each in objects:
        if each.tag in {"5A", "57", "9F6B"}:
            number = re.match("[0-9]*", each.value.hex().upper())
            if number is not None and _is_pan(number.group()):
                yield number.group()
        yield from _pans_of(each.parts)


class Discretion:
    """The rules applied to one message.

    ``fields`` are its elements as far as they could be read; ``behind`` may know more, from behind the fault.
    ``whole``: every byte of it belongs to an element.
    """

    def __init__(
        self,
        dialect: Dialect,
        fields: Mapping[str, str],
        behind: Mapping[str, str],
        payload: bytes,
        *,
        whole: bool,
    ) -> None:
        self._dialect = dialect
        self._whole = whole
        tracks = _tracks({**behind, **fields}, payload)
        self._pans = _known_pans(dialect, {**behind, **fields}, tracks)
        # Pieces of these may stand anywhere in a message whose elements have slipped.
        self._masks = {form: mask_pan(pan) for pan in sorted(self._pans, key=len)[::-1] for form in _forms(pan)}
        self._pieces = frozenset(
            form
            for digits in self._pans.union(*((match.group(1)[-19:], match.group(2) or "") for match in tracks))
            for form in _pieces(digits)
        )
        self._secrets = frozenset(
            text
            for source in (fields, behind)
            for key in ("35", "36", "45", "52", dialect.elements.track2, dialect.elements.pin)
            if len(text := source.get(key, "")) >= _SECRET_MIN
        )
        self._pan_keys = {"2", dialect.elements.pan}
        self.withheld = ""
        self._open_keys = self._open(fields)

    def _open(self, fields: Mapping[str, str]) -> frozenset[str]:
        """The elements whose values may be looked at at all."""
        mti = fields.get("t", "")
        if not (len(mti) == 4 and mti.isascii() and mti.isdecimal()):
            self.withheld = "what stands in its place is no message type, so anything may stand anywhere"
            return frozenset()
        if self._whole:
            return frozenset(fields)
        at, management = self._dialect.elements, self._dialect.management
        number = fields.get(at.pan)
        if number is None and mti not in {management.request, management.repeat, management.response}:
            self.withheld = "no card number where it should be: the elements may have slipped"
            return _STRUCTURE
        if number is not None and not (_is_pan(number) and Pan(number).passes_luhn()):
            self.withheld = "the card number fails its check digit: the elements may have slipped"
            return _STRUCTURE
        open_keys: list[str] = []
        for key in fields:
            open_keys.append(key)
            if key in self._dialect.sensitive_fields and self._dialect.spec[key]["len_type"]:
                self.withheld = f"the length of field {key} may be what is wrong: nothing behind it is shown"
                break
        return frozenset(open_keys)

    def may_show(self, key: str) -> bool:
        """Whether the value of an element or subfield may be shown in any form but a PAN's mask."""
        element = key.partition(".")[0]
        return (
            element in self._open_keys
            and element not in self._dialect.sensitive_fields
            and element not in self._pan_keys
        )

    def value(self, key: str, text: str) -> str:
        """The value of an element or subfield as it may be shown."""
        element = key.partition(".")[0]
        if element in self._pan_keys and element in self._open_keys and _is_pan(text):
            return mask_pan(text)
        if not self.may_show(key) or self._may_have_slipped(element, text):
            return HIDDEN
        if key == self._reference_key and self._whole:
            return self.reference(text)
        safe = self.said(redact({key: text})[key])
        return safe if self._dialect.content.get(key) == "n" and self._dialect.fixed_length(key) else self._cut_up(safe)

    @property
    def _reference_key(self) -> str:
        carrier = self._dialect.carriers.network_reference
        return "" if carrier is None else carrier.field

    def _may_have_slipped(self, element: str, text: str) -> bool:
        """Whether a text may be as long as it is for want of a good length; a short one can't hold much."""
        return not self._whole and bool(self._dialect.spec[element]["len_type"]) and len(text) > _SHORT

    def reference(self, text: str) -> str:
        """The network's own number of the purchase: as many digits as a card number has, and told from one by Luhn."""
        return self.free(text) if len(text) > 19 or not _is_pan(text) or Pan(text).passes_luhn() else self.said(text)

    def free(self, text: str) -> str:
        """A value that belongs to no element of its own, such as that of a tag."""
        return self._cut_up(self.said(redact({"": text})[""]))

    def may_show_tag(self, tag: str) -> bool:
        """Whether the value of a chip data object may be shown."""
        known = TAGS.get(tag)
        return known is not None and known.form not in {"hidden", "template"}

    def may_split_chip_data(self, key: str) -> bool:
        """Whether ``key`` is chip data and nothing else by this dialect, so that its tags may be told one by one."""
        at, cvv2 = self._dialect.elements, self._dialect.carriers.cvv2
        taken = {at.pan, at.track2, at.pin, "" if cvv2 is None else cvv2.field.partition(".")[0]}
        return key == "55" and key in self._open_keys and self._whole and key not in taken

    def said(self, text: str) -> str:
        """Any text that is made of the message, without its secrets, and with nothing that a terminal obeys."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        for form, mask in self._masks.items():
            text = text.replace(form, mask)
        return printable(text if self._whole else self._cut_up(text))

    def _cut_up(self, text: str) -> str:
        return _without(text, self._pieces)

    def found(self, field: str, text: str) -> str:
        """What an error says was found in ``field``. A quotation is kept where the value itself may be shown."""
        if text.startswith(("'", '"')) and not self.may_show(field):
            return "something else"
        return self.said(text)


def printable(text: str) -> str:
    """``text`` with nothing in it that a terminal obeys."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


def _forms(digits: str) -> tuple[str, str, str]:
    """How digits look in text or packed, and in the hexadecimal digits of ASCII or EBCDIC text."""
    return digits, digits.encode().hex(), digits.encode("cp500").hex().upper()


def _pieces(digits: str) -> Iterator[str]:
    for at in range(len(digits) - _PIECE + 1):
        piece = digits[at : at + _PIECE]
        if len(set(piece)) > 1:
            yield from _forms(piece)


def _without(text: str, pieces: frozenset[str]) -> str:
    """``text`` with stars for every one of ``pieces``, which overlap."""
    hidden: set[int] = set()
    for length in (_PIECE, 2 * _PIECE):
        for at in range(len(text) - length + 1):
            if text[at : at + length] in pieces:
                hidden.update(range(at, at + length))
    return "".join("*" if at in hidden else each for at, each in enumerate(text)) if hidden else text
