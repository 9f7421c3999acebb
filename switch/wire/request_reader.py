"""Fields of a dialect to a dialect-neutral request.

Element by element, in the order of the standard; what differs between networks is asked of the dialect. Everything that
can't be what it must be is a :class:`FieldProblem`, which the codec turns into a format error.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from switch.contracts.currency import NUMERIC
from switch.contracts.message import EntryMode, Kind, Operation, OriginalElements, Request, StandIn
from switch.contracts.secret import Pan, Secret
from switch.wire.dialect import Dialect, MessageRule
from switch.wire.errors import FieldProblem
from switch.wire.track2 import Track2, read_track2
from switch.wire.transmission import infer_transmitted_at

__all__ = ["RequestReader", "require_digits", "shown"]

# What the reader takes digits from. Checked only where the dialect gives the field class n.
_DIGITS_READ = ("2", "3", "4", "6", "7", "11", "14", "18", "22", "25", "32", "90")

# DE49 and DE51 hold the numeric code in most networks and the letters in some.
_CURRENCY_LETTERS: Mapping[str, str] = {
    **{numeric: letters for letters, numeric in NUMERIC.items()},
    **{letters: letters for letters in NUMERIC},
}
_DE90_LENGTH = 42
_ADVICES = frozenset({Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE})
_ZERO_AMOUNT_VERIFIES = frozenset({Kind.AUTHORIZATION, Kind.AUTHORIZATION_ADVICE})


class RequestReader:
    """Reads requests, advices and reversals of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._digits = tuple(key for key in _DIGITS_READ if dialect.content.get(key) == "n")

    def read(self, fields: Mapping[str, str], rule: MessageRule, network: str, received_at: datetime) -> Request:
        """The request that ``fields`` are.

        Raises :class:`FieldProblem` naming the first field that is absent or can't be read.
        """
        dialect = self._dialect
        get = fields.get
        require_digits(fields, self._digits, dialect.sensitive_fields)
        stan = get("11", "")
        if not stan:
            raise FieldProblem("11", needed="a system trace audit number", found="nothing")
        kind = rule.kind
        amount_text = get("4", "")
        operation = self._operation(kind, get("3", ""), amount_text)
        for key in rule.needs:
            # A balance inquiry asks for no amount, so none is missed.
            if not get(key) and not (key == "4" and operation is Operation.BALANCE_INQUIRY):
                raise FieldProblem(key, needed=f"the field, as {rule.mti} must have it", found="nothing")

        track2_text = get("35", "")
        track2 = read_track2(track2_text, dialect.track2) if track2_text else None
        mcc = get("18", "")
        entry_mode = dialect.entry_modes.get(get("22", "")[:2], EntryMode.UNKNOWN)
        transmitted = get("7", "")
        billing_text = get("6", "")
        carriers = dialect.carriers
        flags = dialect.flags
        cvv2 = carriers.cvv2.read(fields) if carriers.cvv2 is not None else ""
        return Request(
            network=network,
            dialect=dialect.name,
            kind=kind,
            mti=rule.mti,
            repeat=rule.repeat,
            operation=operation,
            pan=_pan(get("2", ""), track2),
            amount_minor=int(amount_text) if amount_text else 0,
            currency=_CURRENCY_LETTERS.get(get("49", ""), ""),
            billing_amount_minor=int(billing_text) if billing_text else None,
            billing_currency=_CURRENCY_LETTERS.get(get("51", ""), ""),
            stan=stan,
            transmitted=transmitted,
            transmitted_at=infer_transmitted_at(transmitted, received_at) if transmitted else received_at,
            acquirer_id=get("32", "").lstrip("0"),
            retrieval_reference=_reference(get("37", "")),
            approval_code=get("38", "").strip(),
            network_reference=carriers.network_reference.read(fields) if carriers.network_reference is not None else "",
            terminal_id=get("41", "").strip(),
            merchant_id=get("42", "").strip(),
            merchant_name=carriers.merchant_name.read(fields) if carriers.merchant_name is not None else "",
            merchant_country=self._country(fields),
            mcc=mcc,
            entry_mode=entry_mode,
            channel=dialect.channels.channel(mcc, operation, entry_mode, get("25", "")),
            expiry=get("14") or (track2.expiry if track2 is not None else ""),
            service_code=track2.service_code if track2 is not None else "",
            cvv=track2.cvv if track2 is not None else None,
            cvv2=Secret(cvv2) if cvv2 else None,
            has_pin=bool(get("52")),
            partial_supported=flags.partial_supported is not None and flags.partial_supported.read(fields),
            incremental=flags.incremental is not None and flags.incremental.read(fields),
            stand_in=self._stand_in(get("39", "")) if kind in _ADVICES else None,
            original=_original(get("90", "")),
            replacement_amount_minor=_replacement(get("95", "")),
        )

    def _operation(self, kind: Kind, processing_code: str, amount_text: str) -> Operation:
        operation = self._dialect.operations.get(processing_code[:2], Operation.UNSUPPORTED)
        if (
            operation is Operation.PURCHASE
            and kind in _ZERO_AMOUNT_VERIFIES
            and amount_text
            and amount_text.count("0") == len(amount_text)
        ):
            return Operation.ACCOUNT_VERIFICATION
        return operation

    def _country(self, fields: Mapping[str, str]) -> str:
        carrier = self._dialect.carriers.merchant_country
        if carrier is None:
            return ""
        country = carrier.read(fields)
        return country.upper() if len(country) == 2 and country.isascii() and country.isalpha() else ""

    def _stand_in(self, response_code: str) -> StandIn:
        if not response_code or response_code in self._dialect.stand_in_approved:
            return StandIn.APPROVED
        return StandIn.DECLINED


def _reference(text: str) -> str:
    """DE37, or nothing where it was filled with zeros or blanks: that refers to nothing."""
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


def _pan(digits: str, track2: Track2 | None) -> Pan:
    if digits:
        if not 12 <= len(digits) <= 19:
            raise FieldProblem("2", needed="12 to 19 digits", found=f"{len(digits)} characters")
        return Pan(digits)
    if track2 is None:
        raise FieldProblem("2", needed="a PAN here or in field 35", found="nothing")
    return track2.pan


def _original(text: str) -> OriginalElements | None:
    """DE90: MTI 4, STAN 6, DE7 10, acquirer 11, forwarder 11. A zero-filled element says nothing."""
    if not text:
        return None
    if len(text) != _DE90_LENGTH:
        raise FieldProblem("90", needed=f"{_DE90_LENGTH} digits", found=f"{len(text)} characters")
    mti, stan, transmitted = text[:4], text[4:10], text[10:20]
    return OriginalElements(
        mti=mti if mti.strip("0") else "",
        stan=stan if stan.strip("0") else "",
        transmitted=transmitted if transmitted.strip("0") else "",
        acquirer_id=text[20:31].lstrip("0"),
    )


def _replacement(text: str) -> int | None:
    """DE95: the final amount in the first 12 places; settlement amount and fees follow and are not read."""
    if not text:
        return None
    amount = text[:12]
    if not (len(amount) == 12 and amount.isdecimal() and amount.isascii()):
        raise FieldProblem("95", needed="an amount of 12 digits in front", found=f"{len(text)} characters")
    return int(amount)
