"""A payload told to a person, element by element, with nothing in it that nobody may see. Pure.

Theory of operation. The payload is cut by pyiso8583, since that says where every element begins, also in front of a
fault. Whether the switch would take the message, and what it would take it for, the codec says, so that both never
differ. What may be shown of it is decided in one place (:mod:`switch.wire.discretion`), and every text goes through it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import iso8583

from switch.contracts.secret import Pan
from switch.wire.chip_data import chip_lines
from switch.wire.codec import Codec
from switch.wire.description import Description, Line, Problem
from switch.wire.dialect import Dialect
from switch.wire.discretion import Discretion, printable
from switch.wire.element_parts import element_parts
from switch.wire.errors import DecodeFailure, FieldProblem
from switch.wire.header import Header
from switch.wire.inbound import Inbound
from switch.wire.meaning import Meanings
from switch.wire.mti import mti_meaning
from switch.wire.request_summary import REFERENCE, request_summary
from switch.wire.soundness import Soundness

__all__ = ["Describer"]

_FIRST = {"h": -4, "t": -3, "p": -2, "1": -1}


class _Cut(NamedTuple):
    """A payload cut into elements, as far as that goes."""

    fields: dict[str, str]
    offsets: dict[str, int]
    whole: bool


class Describer:
    """Describes payloads of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._codec = Codec(dialect, layouts_max=0)
        self._soundness = Soundness(dialect)
        self._meanings = Meanings(dialect)
        self._lenient_spec = dialect.spec.lenient()
        management = dialect.management
        self._known = {management.request, management.repeat, management.response}
        self._known.update(*((mti, rule.response) for mti, rule in dialect.messages.items()))

    def describe(self, payload: bytes, received_at: datetime) -> Description:
        """What ``payload`` says, whatever the bytes are. ``received_at`` is UTC and gives DE7 its year."""
        header = self.dialect.header
        if header is not None and header.is_reject(payload) and header.reject_problem(payload) is None:
            return self._rejected(payload, header, received_at)
        return self._described(payload, received_at)

    def _described(self, payload: bytes, received_at: datetime) -> Description:
        cut = self._cut(payload)
        header = self.dialect.header
        misread = None if header is None else header.problem(payload)
        if misread is not None and not misread.readable:
            # What stands behind it, or whether anything does, is not known.
            cut = _Cut({key: text for key, text in cut.fields.items() if key == "h"}, cut.offsets, whole=False)
        behind = self._cut(payload, lenient=True).fields if not cut.whole else {}
        discretion = Discretion(self.dialect, cut.fields, behind, payload, whole=cut.whole)
        inbound, problem = self._judged(payload, cut, received_at, discretion)
        mti = cut.fields.get("t", "")
        return Description(
            dialect=self.dialect.name,
            message_bytes=len(payload),
            mti=discretion.value("t", mti) if mti else "",
            meaning=mti_meaning(mti),
            lines=tuple(self._lines(cut, discretion)),
            read_as={} if inbound is None else self._read_as(inbound, discretion),
            problem=problem,
            withheld=discretion.withheld,
            whole=cut.whole,
            known=mti in self._known,
            sound=self._sound_share(cut.fields),
        )

    # ── reading

    def _cut(self, payload: bytes, *, lenient: bool = False) -> _Cut:
        spec = self._lenient_spec if lenient else self.dialect.spec
        faulty = ""
        try:
            fields, encoded = iso8583.decode(payload, spec)
        except iso8583.DecodeError as error:
            fields, encoded = error.doc_dec, error.doc_enc
            # What was cut, with bytes left over, is sound in itself; what could not be read is not there.
            faulty = "" if error.msg.startswith("Extra data") else error.field
            whole = False
        else:
            whole = True
        offsets: dict[str, int] = {}
        at = 0
        for key, parts in encoded.items():
            offsets[key] = at
            at += len(parts["len"]) + len(parts["data"])
        if not lenient:
            fields.pop(faulty, None)
        return _Cut(self._hooked(fields) if whole else fields, offsets, whole)

    def _hooked(self, fields: dict[str, str]) -> dict[str, str]:
        hook = self.dialect.hook
        if hook is None:
            return fields
        try:
            return hook.decoded(fields.copy())
        except FieldProblem:
            # The codec finds the same and says so.
            return fields

    def _judged(
        self, payload: bytes, cut: _Cut, received_at: datetime, discretion: Discretion
    ) -> tuple[Inbound | None, Problem | None]:
        """What the switch takes it for, or why it doesn't."""
        try:
            inbound = self._codec.decode(payload, network=self.dialect.name, received_at=received_at)
            if inbound.is_answer:
                # The switch looks at few elements of an answer to its own messages; a person wants to know.
                self._soundness.check(inbound.fields)
        except DecodeFailure as error:
            return None, self._problem(error.field, error.offset, error.needed, error.found, discretion, error.answer)
        except FieldProblem as error:
            offset = cut.offsets.get(error.field.partition(".")[0], len(payload))
            return None, self._problem(error.field, offset, error.needed, error.found, discretion, None)
        return inbound, None

    def _problem(
        self, field: str, offset: int, needed: str, found: str, discretion: Discretion, answer: bytes | None
    ) -> Problem:
        return Problem(
            field=field,
            name=self.dialect.names.get(field, ""),
            offset=offset,
            needed=needed,
            found=discretion.found(field, found),
            answered=answer is not None,
        )

    def _sound_share(self, fields: Mapping[str, str]) -> float:
        """The share of elements of digits or text that hold such; tells likely dialects from unlikely ones."""
        judged = sound = 0
        for key, text in fields.items():
            content = self.dialect.content.get(key, "b")
            if content != "b" and text:
                judged += 1
                sound += (text.isascii() and text.isdecimal()) if content == "n" else text.isprintable()
        return sound / judged if judged else 0.0

    # ── telling

    def _lines(self, cut: _Cut, discretion: Discretion) -> Iterator[Line]:
        for key in sorted(cut.fields, key=_place):
            yield self._line(key, cut, discretion)

    def _line(self, key: str, cut: _Cut, discretion: Discretion) -> Line:
        text = cut.fields[key]
        name = discretion.said(self.dialect.names.get(key, "not in this dialect"))
        place = cut.offsets.get(key)
        if not text:
            return Line(key=discretion.said(key), name=name, meaning="empty", offset=place)
        parts: tuple[Line, ...] = ()
        value = discretion.value(key, text)
        if key == "h" and self.dialect.header is not None:
            value, parts = "", tuple(_header_lines(self.dialect.header, text, discretion))
        elif discretion.may_split_chip_data(key):
            value, parts = "", chip_lines(key, text, discretion)
        elif cut.whole:
            parts = element_parts(self.dialect, key, cut.fields, discretion)
            value = "" if parts and key in self.dialect.subfields else value
        return Line(
            key=discretion.said(key),
            name=name,
            value=value,
            meaning=self._meaning(key, cut, discretion, in_full=discretion.value(key, text) == printable(text)),
            offset=place,
            parts=parts,
        )

    def _meaning(self, key: str, cut: _Cut, discretion: Discretion, *, in_full: bool) -> str:
        """What the element means, where all of its value is seen; else how long it is."""
        at, text = self.dialect.elements, cut.fields[key]
        if in_full:
            return discretion.said(self._meanings.meaning(key, cut.fields))
        said = [f"{len(text)} characters"]
        if cut.whole and key in {"2", at.pan} and text.isascii() and text.isdecimal():
            return "check digit fits" if Pan(text).passes_luhn() else "check digit does not fit"
        if cut.whole and key == at.track2:
            said.append(self._meanings.meaning(key, cut.fields))
        return ", ".join(said)

    def _read_as(self, inbound: Inbound, discretion: Discretion) -> dict[str, str]:
        if inbound.request is not None:
            summary = request_summary(inbound.request)
        elif inbound.management is not None:
            summary = {"message": "management", "function": inbound.management.function.value.replace("_", " ")}
        elif inbound.reject is not None:
            summary = {"message": "a message of ours that was rejected", "reject code": inbound.reject.code}
        else:
            code = inbound.fields.get(self.dialect.elements.response_code, "")
            meaning = self._meanings.meaning(self.dialect.elements.response_code, inbound.fields)
            summary = {"message": "an answer to a message of ours", "answer": f"{code}: {meaning}" if code else "none"}
        reference = summary.pop(REFERENCE, "")
        told = {name: discretion.free(text) for name, text in summary.items()}
        return {**told, REFERENCE: discretion.reference(reference)} if reference else told

    def _rejected(self, payload: bytes, header: Header, received_at: datetime) -> Description:
        """Our own message, which came back behind a reject header."""
        code, ours = header.rejected(payload)
        inner = self._described(ours, received_at)
        first = Line(
            key="h",
            name="Reject Header",
            value=code,
            meaning=f"reject code; the message that was rejected begins at byte {len(payload) - len(ours)}",
            offset=0,
        )
        return Description(
            dialect=inner.dialect,
            message_bytes=len(payload),
            mti=inner.mti,
            meaning=f"rejected: {inner.meaning}",
            lines=(first, *inner.lines),
            read_as={"message": "a message of ours that the network could not read", "reject code": code},
            problem=inner.problem,
            withheld=inner.withheld,
            whole=inner.whole,
            known=inner.known,
            sound=inner.sound,
        )


def _header_lines(header: Header, text: str, discretion: Discretion) -> Iterator[Line]:
    at = 0
    for part in header.rules.parts:
        digits = text[2 * at : 2 * (at + part.bytes)]
        value = discretion.value("h", digits)
        meaning = ""
        if part.holds in {"header_length", "total_length"} and digits:
            meaning = f"{int(digits, 16)} bytes"
        yield Line(key="", name=part.desc, value=value, meaning=meaning, offset=at)
        at += part.bytes


def _place(key: str) -> tuple[int, str]:
    if key in _FIRST:
        return _FIRST[key], ""
    return (int(key), "") if key.isascii() and key.isdecimal() and len(key) < 4 else (1000, key)
