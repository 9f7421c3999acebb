"""One dialect's payloads to typed messages and back.

Theory of operation. pyiso8583 cuts a payload into fields by the dialect's specification, or a layout learnt from it
does the same (``switch.wire.layout``); the request reader turns fields into a request; an answer is a handful of fields
echoed from the request plus what was decided. Whatever goes wrong on the way in leaves as one exception,
:class:`DecodeFailure`. When the message asked for an answer and its key fields could be read, the failure carries the
format-error answer, so that the caller sends it and the session stays up.

Some dialects have more around the fields, each a module of its own: a header (``switch.wire.header``), checked first
and finished last; a hook (``switch.wire.hook``) next to the cut; elements with subfields (``switch.wire.subfields``),
read before the request is and packed before the hook sees what is to be written.

Nothing but the learnt layouts changes after construction, and they change no result: one codec serves every session
of a dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import iso8583

from switch.contracts import currency
from switch.contracts.message import ORIGINAL_AMOUNT, Answer, Balance
from switch.contracts.reason import Reason
from switch.wire.dialect import Dialect
from switch.wire.errors import DecodeFailure, EncodeFailure, FieldProblem
from switch.wire.header import HeaderProblem
from switch.wire.inbound import Inbound, Management, ManagementFunction, Reject
from switch.wire.layout import LAYOUTS_MAX, FieldsLayouts, PayloadLayouts
from switch.wire.request_reader import RequestReader, require_digits, shown
from switch.wire.soundness import Soundness
from switch.wire.subfields import packed
from switch.wire.transmission import local_text, transmission_text

__all__ = ["Codec"]

_ENCODED = dict[str, dict[str, bytes]]
_AMOUNT_MAX = 10**12 - 1  # DE4 and the amounts of DE54 have twelve digits


class Codec:
    """Decodes and encodes the payloads of one dialect.

    ``layouts_max`` bounds how many shapes of messages it learns in each direction; with 0 it asks pyiso8583 every time.
    """

    def __init__(self, dialect: Dialect, *, layouts_max: int = LAYOUTS_MAX) -> None:
        self.dialect = dialect
        self._spec = dialect.spec
        self._lenient_spec = dialect.spec.lenient()
        self._payload_layouts = PayloadLayouts(dialect.spec, layouts_max)
        self._fields_layouts = FieldsLayouts(dialect.spec, layouts_max)
        self._soundness = Soundness(dialect)
        self._reader = RequestReader(dialect)
        self._header = dialect.header
        self._hook = dialect.hook
        self._subfields_read = [
            (f"{element}.{number}", element, number, dialect.subfields[element])
            for element, number in dialect.subfields_read
        ]
        # Most dialects have none of these, and pay for one look.
        self._is_wrapped = not (dialect.header is None and dialect.hook is None and not dialect.subfields)
        elements = self._elements = dialect.elements
        keys = (elements.transmission, elements.stan, elements.sequence_time)
        self._format_error_digits = frozenset(keys)
        # In their order, each once.
        self._format_error_echoed = tuple(
            dict.fromkeys(key for key in (*keys, elements.retrieval_reference, elements.terminal) if key)
        )
        management = dialect.management
        self._management_mtis = frozenset({management.request, management.repeat})
        self._management_digits = tuple(
            key
            for key in (elements.transmission, elements.stan, management.code_field)
            if dialect.content.get(key) == "n"
        )
        self._management_codes: dict[ManagementFunction, str] = {}
        for code, function in dialect.management_functions.items():
            self._management_codes.setdefault(function, code)
        self._text_bitmaps = dialect.spec["p"]["data_enc"] != "b"
        self._echoed = dialect.answer.echoed
        self._responses = {mti: rule.response for mti, rule in dialect.messages.items()}
        self._request_answers = frozenset(self._responses.values())
        self._responses.update(dict.fromkeys(self._management_mtis, management.response))

    # ── in

    def decode(self, payload: bytes, *, network: str, received_at: datetime) -> Inbound:
        """What ``payload`` says. ``network`` names whose keys it has; ``received_at`` is UTC and gives DE7 its year.

        Raises :class:`DecodeFailure`, whatever the bytes are.
        """
        if self._header is not None and self._header.is_reject(payload):
            return self._rejected(payload)
        fields = self.decode_fields(payload)
        problem: FieldProblem
        try:
            return self._inbound(fields, network, received_at)
        except FieldProblem as found:
            problem = found.copy()
        # A layout does not tell where the fields begin, but that it knows the payload tells that the library does.
        raise self._failure(payload, fields, iso8583.decode(payload, self._spec)[1], problem)

    def decode_fields(self, payload: bytes) -> dict[str, str]:
        """The raw fields of ``payload``, with "t", "p" and, where there is one, "1"; nothing about them is judged.

        Raises :class:`DecodeFailure`.
        """
        if self._is_wrapped:
            return self._unwrapped(payload)
        fields = self._payload_layouts.decode(payload)
        return self._cut(payload) if fields is None else fields

    def _unwrapped(self, payload: bytes) -> dict[str, str]:
        """The same of a dialect with a header or a hook."""
        if self._header is not None:
            wrong = self._header.problem(payload)
            if wrong is not None:
                raise self._header_failure(payload, wrong)
        fields = self._payload_layouts.decode(payload)
        if fields is None:
            fields = self._cut(payload)
        return fields if self._hook is None else self._hooked(payload, fields)

    def _header_failure(self, payload: bytes, wrong: HeaderProblem) -> DecodeFailure:
        answer = self._format_error(self._readable(payload)) if wrong.readable else None
        return DecodeFailure(field="h", offset=wrong.offset, needed=wrong.needed, found=wrong.found, answer=answer)

    def _hooked(self, payload: bytes, fields: dict[str, str]) -> dict[str, str]:
        assert self._hook is not None
        problem: FieldProblem
        try:
            return self._hook.decoded(fields)
        except FieldProblem as found:
            problem = found.copy()
        raise self._failure(payload, self._readable(payload), iso8583.decode(payload, self._spec)[1], problem)

    def _cut(self, payload: bytes) -> dict[str, str]:
        """The fields as pyiso8583 cuts them."""
        try:
            fields, encoded = iso8583.decode(payload, self._spec)
        except iso8583.DecodeError as error:
            field, offset, found = error.field, error.pos, error.msg
        else:
            # pyiso8583 skips white space in a hexadecimal bitmap, which would shift every field after it.
            if self._text_bitmaps and not (fields["p"] + fields.get("1", "")).isalnum():
                problem = FieldProblem("p", needed="hexadecimal digits", found="white space")
                raise self._failure(payload, {}, encoded, problem)
            self._payload_layouts.saw(payload, fields, encoded)
            return fields
        # Raised out here so that the library's error, which holds the payload, is not its context.
        raise DecodeFailure(
            field=field,
            offset=offset,
            needed=self._spec.describe(field),
            found=found if field in self._spec else "its bit set",
            answer=self._format_error(self._readable(payload)),
        )

    def _inbound(self, fields: dict[str, str], network: str, received_at: datetime) -> Inbound:
        mti = fields["t"]
        rule = self.dialect.messages.get(mti)
        if rule is not None:
            read = self._with_subfields(fields) if self._subfields_read else fields
            self._soundness.check(read)
            return Inbound(fields=fields, mti=mti, request=self._reader.read(read, rule, network, received_at))
        if mti in self._management_mtis:
            return Inbound(fields=fields, mti=mti, management=self._management(fields))
        if mti.isascii() and mti.isdecimal() and mti[2] in "135":
            return Inbound(fields=fields, mti=mti)
        raise FieldProblem("t", needed="a message type of this dialect", found=shown("t", mti, frozenset()))

    def _with_subfields(self, fields: dict[str, str]) -> dict[str, str]:
        """The fields and what the reader wants of their subfields."""
        read = fields.copy()
        for key, element, number, subfields in self._subfields_read:
            text = fields.get(element)
            if text:
                read[key] = subfields.read(text, number)
        return read

    def _rejected(self, payload: bytes) -> Inbound:
        """A message of ours that came back behind a reject header."""
        header = self._header
        assert header is not None
        assert header.reject is not None
        wrong = header.reject_problem(payload)
        if wrong is not None:
            raise self._header_failure(payload, wrong)
        code, ours = header.rejected(payload)
        fields = self._returned(ours)
        mti, stan = fields.get("t", ""), fields.get(self._elements.stan, "")
        # What came back may be damaged, or not ours at all, and goes into a log.
        mti = mti if len(mti) == 4 and mti.isascii() and mti.isdecimal() else ""
        stan = stan if stan.isascii() and stan.isdecimal() else ""
        answer = None
        if header.reject.policies.get(code, header.reject.policy) == "answer_bare":
            answer = self._bare(mti, fields, header.reject.bare)
        return Inbound(fields=fields, mti=mti, reject=Reject(code=code, mti=mti, stan=stan, answer=answer))

    def _returned(self, ours: bytes) -> dict[str, str]:
        """The fields of what is said to be a message of ours, as far as it can be read."""
        fields = self._readable(ours)
        if self._hook is None:
            return fields
        try:
            return self._hook.decoded(fields.copy())
        except FieldProblem:
            return fields

    def _bare(self, mti: str, fields: Mapping[str, str], keys: tuple[str, ...]) -> bytes | None:
        """The answer ``fields`` with nothing but ``keys``; None for what is no answer to a request, or bare already."""
        bare = {key: fields[key] for key in ("h", "t", *keys) if fields.get(key)}
        if mti not in self._request_answers or len(bare) == len(fields.keys() - {"p", "1"}):
            return None
        try:
            return self.encode(bare)
        except EncodeFailure:
            # What came back is not what was sent.
            return None

    def _management(self, fields: Mapping[str, str]) -> Management:
        code_field = self.dialect.management.code_field
        require_digits(fields, self._management_digits, self.dialect.sensitive_fields)
        stan_field = self._elements.stan
        for key in (stan_field, code_field):
            if not fields.get(key):
                raise FieldProblem(key, needed="the field, as a management message must have it", found="nothing")
        code = fields[code_field]
        function = self.dialect.management_functions.get(code, ManagementFunction.OTHER)
        return Management(function=function, code=code, stan=fields[stan_field])

    # ── what can still be said about a message that is none

    def _failure(
        self, payload: bytes, fields: Mapping[str, str], encoded: _ENCODED, problem: FieldProblem
    ) -> DecodeFailure:
        return DecodeFailure(
            field=problem.field,
            offset=_offset(payload, encoded, problem.field.partition(".")[0]),
            needed=problem.needed,
            found=problem.found,
            answer=self._format_error(fields),
        )

    def _readable(self, payload: bytes) -> dict[str, str]:
        """The fields of a bad payload, as far as their lengths lead."""
        try:
            return iso8583.decode(payload, self._lenient_spec)[0]
        except iso8583.DecodeError as error:
            return error.doc_dec

    def _format_error(self, fields: Mapping[str, str]) -> bytes | None:
        response = self._response_mti(fields.get("t", ""))
        if response is None:
            return None
        at = self._elements
        answer = {"t": response, at.response_code: self.dialect.response_code(Reason.FORMAT_ERROR)}
        if self._header is not None and fields.get("h"):
            answer["h"] = self._header.turned(fields["h"])
        for key in self._format_error_echoed:
            value = fields.get(key, "")
            digits = key in self._format_error_digits
            if value and value.isascii() and (value.isdecimal() if digits else value.isprintable()):
                answer[key] = value
        if at.stan not in answer or not {at.sequence_time, at.retrieval_reference} & answer.keys():
            return None
        try:
            return self.encode(answer)
        except EncodeFailure:
            # A field cut short by the payload's end can't be echoed, and without its keys an answer helps nobody.
            return None

    def _response_mti(self, mti: str) -> str | None:
        """The answer's MTI: the dialect's, or by rule for a request or advice that the dialect does not know."""
        known = self._responses.get(mti)
        if known is not None:
            return known
        if len(mti) == 4 and mti.isascii() and mti.isdecimal() and mti[2] in "02" and mti[3] in "012345":
            return f"{mti[:2]}{int(mti[2]) + 1}{int(mti[3]) // 2 * 2}"
        return None

    # ── out

    def encode_answer(self, inbound: Inbound, answer: Answer) -> bytes:
        """The payload that answers ``inbound``. Repeats of a message get the same bytes for the same answer.

        Raises :class:`EncodeFailure` when ``inbound`` asks for no answer or the answer has no form in this dialect.
        """
        response = self._responses.get(inbound.mti)
        if response is None:
            raise EncodeFailure(field="t", problem=f"{inbound.mti} asks for no answer")
        asked = inbound.fields
        fields = {"t": response}
        if self._header is not None:
            fields["h"] = self._header.turned(asked.get("h", ""))
        for key in self._echoed:
            value = asked.get(key)
            if value:
                fields[key] = value
        at = self._elements
        fields[at.response_code] = answer.response_code or self.dialect.response_codes[answer.reason]
        if answer.approval_code:
            fields[at.approval_code] = answer.approval_code
        if answer.approved_minor is not None:
            fields[at.amount] = _amount(at.amount, answer.approved_minor)
        if answer.balances:
            self._put_balances(fields, answer.balances)
        if answer.cvv2_result:
            carrier = self.dialect.answer.cvv2_result
            if carrier is not None:
                fields[carrier.field] = carrier.write(answer.cvv2_result)
        return self.encode(fields)

    def _put_balances(self, fields: dict[str, str], balances: tuple[Balance, ...]) -> None:
        """Additional amounts; where the dialect has a place of its own for the original amount, that one goes there.

        A balance of more than twelve digits is left out: an approval that can't be told would have to be taken back.
        """
        key = self._elements.balances
        balances = tuple(balance for balance in balances if abs(balance.amount_minor) <= _AMOUNT_MAX)
        place = self.dialect.answer.original_amount
        if place is not None:
            for balance in balances:
                if balance.amount_type == ORIGINAL_AMOUNT:
                    length = self.dialect.spec.fixed_length(place.field)
                    fields[place.field] = place.write(_amount(place.field, balance.amount_minor)).ljust(length, "0")
            balances = tuple(balance for balance in balances if balance.amount_type != ORIGINAL_AMOUNT)
        if balances and key:
            fields[key] = "".join([_additional_amount(balance, key) for balance in balances])

    def encode_management(self, function: ManagementFunction, *, stan: str, now: datetime) -> bytes:
        """A management message of ours, made at ``now``.

        Raises :class:`EncodeFailure` for a function that the dialect has no code for.
        """
        management = self.dialect.management
        code = self._management_codes.get(function)
        if code is None:
            raise EncodeFailure(field=management.code_field, problem=f"no code for {function}")
        at, local = self._elements, self.dialect.local_time
        fields = {"t": management.request, at.stan: stan, management.code_field: code}
        if at.transmission:
            fields[at.transmission] = transmission_text(now)
        if local is not None:
            fields[local.field] = local_text(now, local.clock)
        return self.encode(fields)

    def encode_management_answer(self, inbound: Inbound, *, reason: Reason = Reason.APPROVED) -> bytes:
        """The answer to a management message.

        Raises :class:`EncodeFailure` when the fields have no form in this dialect.
        """
        management = self.dialect.management
        code = self.dialect.management_response_code(reason)
        fields = {"t": management.response, self._elements.response_code: code}
        if self._header is not None:
            fields["h"] = self._header.turned(inbound.fields.get("h", ""))
        for key in management.echoed:
            value = inbound.fields.get(key)
            if value:
                fields[key] = value
        return self.encode(fields)

    def encode(self, fields: Mapping[str, str]) -> bytes:
        """Raw fields ("t" and numbers; bitmaps are made here) as a payload.

        Where the dialect has a header, "h" is its digits; without one it is that of a message that we start. Its total
        length is made here. Subfields ("62.2") may stand in place of their element.

        Raises :class:`EncodeFailure` naming the field that the dialect can't express.
        """
        if "65" in fields:
            raise EncodeFailure(field="65", problem="it announces a third bitmap and can't be sent as a field")
        if self._is_wrapped:
            fields = self._prepared(fields)
        written = self._fields_layouts.encode(fields)
        if written is None:
            written = self._write(fields)
        return written if self._header is None else self._header.finished(written)

    def _prepared(self, fields: Mapping[str, str]) -> Mapping[str, str]:
        if self._header is not None and "h" not in fields:
            fields = {"h": self._header.ours, **fields}
        if self.dialect.subfields:
            fields = packed(fields, self.dialect.subfields)
        return fields if self._hook is None else self._hook.to_encode(fields)

    def _write(self, fields: Mapping[str, str]) -> bytes:
        """The payload as pyiso8583 writes it."""
        try:
            # It writes the bitmaps into what it is given, so it gets a copy.
            written, encoded = iso8583.encode(dict(fields), self._spec)
        except iso8583.EncodeError as error:
            field, problem = error.field, error.msg
        except ValueError:
            # A key such as "²" is numeric to Python and yet no number.
            field, problem = "p", "a key that is no field number"
        else:
            payload = bytes(written)
            self._fields_layouts.saw(fields, payload, encoded)
            return payload
        raise EncodeFailure(field=field, problem=problem)


def _amount(field: str, amount_minor: int) -> str:
    if not 0 <= amount_minor <= _AMOUNT_MAX:
        raise EncodeFailure(field=field, problem=f"{amount_minor} does not fit twelve digits")
    return f"{amount_minor:012d}"


def _additional_amount(balance: Balance, field: str) -> str:
    """One additional amount: account type 2 (00, unspecified), amount type 2, currency 3, sign C or D, amount 12."""
    try:
        numeric = currency.numeric(balance.currency)
    except KeyError:
        raise EncodeFailure(field=field, problem=f"{balance.currency!r} is no currency") from None
    sign = "D" if balance.amount_minor < 0 else "C"
    return f"00{balance.amount_type}{numeric}{sign}{_amount(field, abs(balance.amount_minor))}"


def _offset(payload: bytes, encoded: _ENCODED, field: str) -> int:
    """Where ``field`` begins in ``payload``, or the payload's end when it is not there."""
    offset = 0
    for key, parts in encoded.items():
        # The dict is in the order in which the fields were cut off.
        if key == field:
            return offset
        offset += len(parts["len"]) + len(parts["data"])
    return len(payload)
