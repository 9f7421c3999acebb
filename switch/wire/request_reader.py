"""Fields of a dialect to a dialect-neutral request.

Element by element; which field carries which is the dialect's to say. Everything that can't be what it must be is a
:class:`FieldProblem`, which the codec turns into a format error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from switch.contracts.currency import NUMERIC
from switch.contracts.message import Channel, EntryMode, Kind, Operation, OriginalElements, Request, StandIn
from switch.contracts.secret import Pan, Secret
from switch.wire.dialect import Dialect, MessageRule
from switch.wire.errors import FieldProblem
from switch.wire.rules import Carrier, Flag, Told
from switch.wire.track2 import Track2, read_track2
from switch.wire.transmission import infer_transmitted_at

__all__ = ["RequestReader", "require_digits", "shown"]

# DE49 and DE51 hold the numeric code in most networks and the letters in some.
_CURRENCY_LETTERS: Mapping[str, str] = {
    **{numeric: letters for letters, numeric in NUMERIC.items()},
    **{letters: letters for letters in NUMERIC},
}
_ADVICES = frozenset({Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE})
_ZERO_AMOUNT_VERIFIES = frozenset({Kind.AUTHORIZATION, Kind.AUTHORIZATION_ADVICE})

_ReadText = Callable[[Mapping[str, str]], str]
_ReadFlag = Callable[[Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True)
class _Fields:
    """Which field carries what, in a form that Python reads faster than the dialect's own: a message asks for all."""

    pan: str
    operation: str
    amount: str
    billing_amount: str
    transmission: str
    sequence_time: str
    stan: str
    expiry: str
    mcc: str
    entry_mode: str
    condition: str
    acquirer: str
    track2: str
    retrieval_reference: str
    approval_code: str
    response_code: str
    terminal: str
    merchant: str
    currency: str
    billing_currency: str
    pin: str
    original: str
    replacement_amount: str


def _fields_of(dialect: Dialect) -> _Fields:
    at = dialect.elements
    names = {name: value for name in at.__struct_fields__ if isinstance(value := getattr(at, name), str)}
    del names["balances"]  # in answers only
    return _Fields(
        **names,
        operation=at.operation.field,
        entry_mode=at.entry_mode.field,
        condition=at.condition.field,
        original=dialect.original.field,
        replacement_amount=at.replacement_amount.field,
    )


class RequestReader:
    """Reads requests, advices and reversals of one dialect.

    What the dialect says of each element is looked up once, here: a message is read without asking it again.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        elements = self._elements = dialect.elements
        at = self._at = _fields_of(dialect)
        # A balance inquiry asks for no amount, so none is missed.
        self._excused = (at.amount, Operation.BALANCE_INQUIRY)
        self._operation_at = elements.operation.slice
        self._entry_mode_at = elements.entry_mode.slice
        self._condition_at = elements.condition.slice
        self._replaces_amount = at.replacement_amount == at.amount
        scope = dialect.scope
        carriers, flags = dialect.carriers, dialect.flags
        serves_all = set(scope.channels) == set(Channel) and set(scope.entry_modes) == set(EntryMode)
        self._refuses = not serves_all or flags.unsupported is not None
        self._read_cvv2 = _text_reader(carriers.cvv2)
        self._read_network_reference = _text_reader(carriers.network_reference)
        self._read_merchant_name = _text_reader(carriers.merchant_name)
        self._read_country = _text_reader(carriers.merchant_country)
        self._is_partial = _flag_reader(flags.partial_supported)
        self._is_incremental = _flag_reader(flags.incremental)
        self._is_unsupported = _flag_reader(flags.unsupported)
        self._read_stand_in_by = _text_reader(dialect.stand_in.by)
        self._read_stand_in_reason = _text_reader(dialect.stand_in.reason)

    def read(self, fields: Mapping[str, str], rule: MessageRule, network: str, received_at: datetime) -> Request:
        """The request that ``fields`` are; their elements have been found to hold what their class allows.

        Raises :class:`FieldProblem` naming the first field that is absent or can't be read.
        """
        dialect, at = self._dialect, self._at
        get = fields.get
        stan = get(at.stan, "")
        if not stan:
            raise FieldProblem(at.stan, needed="a system trace audit number", found="nothing")
        kind = rule.kind
        amount_text = get(at.amount, "")
        operation = self._operation(kind, get(at.operation, ""), amount_text)
        for key in rule.needs:
            if not get(key) and (key, operation) != self._excused:
                raise FieldProblem(key, needed=f"the field, as {rule.mti} must have it", found="nothing")

        track2_text = get(at.track2, "")
        track2 = read_track2(track2_text, dialect.track2, at.track2) if track2_text else None
        mcc = get(at.mcc, "")
        entry_mode = dialect.entry_modes.get(get(at.entry_mode, "")[self._entry_mode_at], EntryMode.UNKNOWN)
        condition = get(at.condition, "")[self._condition_at]
        channel = dialect.channels.channel(mcc, operation, entry_mode, condition)
        if self._refuses and kind.is_request and not self._serves(fields, channel, entry_mode):
            operation = Operation.UNSUPPORTED
        transmission_field = at.transmission
        transmission = get(transmission_field, "")
        billing_text = get(at.billing_amount, "")
        cvv2 = self._read_cvv2(fields)
        replacement = self._replacement(fields) if at.replacement_amount in fields else None
        if replacement is not None and self._replaces_amount:
            amount_text = self._original_amount(fields)
        request = Request(
            network=network,
            dialect=dialect.name,
            kind=kind,
            mti=rule.mti,
            repeat=rule.repeat,
            operation=operation,
            pan=self._pan(get(at.pan, ""), track2),
            amount_minor=int(amount_text) if amount_text else 0,
            currency=_CURRENCY_LETTERS.get(get(at.currency, ""), ""),
            billing_amount_minor=int(billing_text) if billing_text else None,
            billing_currency=_CURRENCY_LETTERS.get(get(at.billing_currency, ""), ""),
            stan=stan,
            transmitted=get(at.sequence_time, ""),
            transmitted_at=(
                infer_transmitted_at(transmission, received_at, transmission_field) if transmission else received_at
            ),
            acquirer_id=get(at.acquirer, "").lstrip("0"),
            retrieval_reference=_reference(get(at.retrieval_reference, "")),
            approval_code=get(at.approval_code, "").strip(),
            network_reference=self._read_network_reference(fields),
            terminal_id=get(at.terminal, "").strip(),
            merchant_id=get(at.merchant, "").strip(),
            merchant_name=self._read_merchant_name(fields),
            merchant_country=self._country(fields),
            mcc=mcc,
            entry_mode=entry_mode,
            channel=channel,
            expiry=get(at.expiry) or (track2.expiry if track2 is not None else ""),
            service_code=track2.service_code if track2 is not None else "",
            cvv=track2.cvv if track2 is not None else None,
            cvv2=Secret(cvv2) if cvv2 else None,
            has_pin=bool(get(at.pin)),
            partial_supported=self._is_partial(fields),
            incremental=self._is_incremental(fields),
            original=self._original(get(at.original, "")) if at.original in fields else None,
            replacement_amount_minor=replacement,
        )
        return self._with_stand_in(request, fields) if kind in _ADVICES else request

    def _with_stand_in(self, request: Request, fields: Mapping[str, str]) -> Request:
        """What only advices tell; requests, which are far more, need not be asked for it."""
        return msgspec.structs.replace(
            request,
            stand_in=self._stand_in(fields.get(self._at.response_code, "")),
            stand_in_by=self._read_stand_in_by(fields),
            stand_in_reason=self._read_stand_in_reason(fields),
        )

    def _operation(self, kind: Kind, text: str, amount_text: str) -> Operation:
        operation = self._dialect.operations.get(text[self._operation_at], Operation.UNSUPPORTED)
        if (
            operation is Operation.PURCHASE
            and kind in _ZERO_AMOUNT_VERIFIES
            and amount_text
            and amount_text.count("0") == len(amount_text)
        ):
            return Operation.ACCOUNT_VERIFICATION
        return operation

    def _serves(self, fields: Mapping[str, str], channel: Channel, entry_mode: EntryMode) -> bool:
        """Whether a request asks for what the network is for."""
        scope = self._dialect.scope
        return channel in scope.channels and entry_mode in scope.entry_modes and not self._is_unsupported(fields)

    def _country(self, fields: Mapping[str, str]) -> str:
        country = self._read_country(fields).upper()
        if self._dialect.countries:
            return self._dialect.countries.get(country, "")
        return country if len(country) == 2 and country.isascii() and country.isalpha() else ""

    def _stand_in(self, response_code: str) -> StandIn:
        if not response_code or response_code in self._dialect.stand_in_approved:
            return StandIn.APPROVED
        return StandIn.DECLINED

    def _pan(self, digits: str, track2: Track2 | None) -> Pan:
        at = self._at
        if digits:
            if not 12 <= len(digits) <= 19:
                raise FieldProblem(at.pan, needed="12 to 19 digits", found=f"{len(digits)} characters")
            pan = Pan(digits)
            if track2 is not None and track2.pan != pan:
                raise FieldProblem(at.track2, needed=f"the PAN of field {at.pan}", found="another")
            return pan
        if track2 is None:
            raise FieldProblem(at.pan, needed=f"a PAN here or in field {at.track2}", found="nothing")
        return track2.pan

    def _original(self, text: str) -> OriginalElements | None:
        """MTI 4, STAN 6, time, acquirer. A zero-filled element says nothing."""
        if not text:
            return None
        rules = self._dialect.original
        acquirer_at = 10 + rules.time_length
        acquirer_length = rules.acquirer_length
        if not acquirer_length:
            told = text[acquirer_at : acquirer_at + 2]
            acquirer_at += 2
            acquirer_length = int(told) if told.isdecimal() and told.isascii() else 0
        needed = acquirer_at + acquirer_length + rules.rest
        if len(text) != needed:
            raise FieldProblem(rules.field, needed=f"{needed} digits", found=f"{len(text)} characters")
        mti, stan, time = text[:4], text[4:10], text[10 : 10 + rules.time_length]
        return OriginalElements(
            mti=mti if mti.strip("0") else "",
            stan=stan if stan.strip("0") else "",
            transmitted=time if time.strip("0") else "",
            acquirer_id=text[acquirer_at : acquirer_at + acquirer_length].lstrip("0"),
        )

    def _replacement(self, fields: Mapping[str, str]) -> int | None:
        """The final amount (1987: the first 12 places of DE95; what follows is not read)."""
        carrier = self._elements.replacement_amount
        if not carrier.applies(fields):
            return None
        text = carrier.read(fields)
        if not (len(text) == 12 and text.isdecimal() and text.isascii()):
            length = len(fields[carrier.field])
            raise FieldProblem(carrier.field, needed="an amount of 12 digits in front", found=f"{length} characters")
        return int(text)

    def _original_amount(self, fields: Mapping[str, str]) -> str:
        """What the message was asked for that is taken back to a replacement amount; empty when it does not tell."""
        carrier = self._elements.original_amount
        text = "" if carrier is None else carrier.read(fields)
        if carrier is not None and text and not (text.isdecimal() and text.isascii()):
            raise FieldProblem(carrier.field, needed="an amount in digits", found=f"{len(text)} characters")
        return text


def _text_reader(carrier: Carrier | Told | None) -> _ReadText:
    """What ``carrier.read`` does. Most carriers are a piece of a field and nothing more, which takes far less time."""
    if carrier is None:
        return _no_text
    if isinstance(carrier, Told) or carrier.when is not None or carrier.until:
        return carrier.read
    field, place = carrier.field, carrier.slice

    def read(fields: Mapping[str, str]) -> str:
        text = fields.get(field)
        return text[place].strip() if text else ""

    return read


def _flag_reader(flag: Flag | None) -> _ReadFlag:
    """What ``flag.read`` does, likewise."""
    if flag is None:
        return _no_flag
    field, at, equals = flag.field, flag.at, flag.equals

    def read(fields: Mapping[str, str]) -> bool:
        text = fields.get(field)
        return text is not None and text.startswith(equals, at)

    return read


def _no_text(_fields: Mapping[str, str]) -> str:
    return ""


def _no_flag(_fields: Mapping[str, str]) -> bool:
    return False


def _reference(text: str) -> str:
    """The retrieval reference, or nothing where it was filled with zeros or blanks: that refers to nothing."""
    return text if text.strip("0 ") else ""


def require_digits(fields: Mapping[str, str], keys: tuple[str, ...], sensitive: frozenset[str]) -> None:
    """Check that those of ``keys`` that are there hold ASCII digits; an empty field counts as absent.

    Raises :class:`FieldProblem` for the first that doesn't.
    """
    # One look at all of them is enough where all is well, which is nearly always.
    found = "".join([fields[key] for key in keys if key in fields])
    if not found or (found.isdecimal() and found.isascii()):
        return
    for key in keys:
        value = fields.get(key)
        if value and not (value.isdecimal() and value.isascii()):
            raise FieldProblem(key, needed="digits", found=shown(key, value, sensitive))


def shown(key: str, value: str, sensitive: frozenset[str]) -> str:
    """A field's content for an error message: itself where it can't be card data, else its length.

    In a message whose fields have slipped, any field may hold a piece of a PAN; twelve characters can't hold it all.
    """
    if key == "2" or key in sensitive or len(value) > 12:
        return f"{len(value)} characters"
    return repr(value)
