"""What a message of an IPM-like file says: which clearing record it is, and its request.

Which codes mean what is told by public descriptions and programs; README.md beside this module says from where, and
what is inferred.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from switch.clearing.errors import ElementProblem
from switch.clearing.ipm_fields import PDS_ELEMENTS
from switch.clearing.neutral import DIALECT
from switch.clearing.tally import is_credit
from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.currency import exponent, letters
from switch.contracts.message import Channel, EntryMode, Kind, Operation, Request
from switch.contracts.secret import Pan

__all__ = ["Fields", "Record", "digits", "private_data", "record_of"]

Fields = Mapping[str, str]

# MTI and function code (DE24). The second of a pair: the same with PDS 0025 = R, which takes a message back.
_PRESENTMENT: Final = (ClearingKind.PRESENTMENT, ClearingKind.PRESENTMENT_REVERSAL)
_SECOND_PRESENTMENT: Final = (ClearingKind.CHARGEBACK_REVERSAL, ClearingKind.PRESENTMENT_REVERSAL)
_CHARGEBACK: Final = (ClearingKind.CHARGEBACK, ClearingKind.CHARGEBACK_REVERSAL)
_KINDS: Final[Mapping[tuple[str, str], tuple[ClearingKind, ClearingKind]]] = {
    ("1240", "200"): _PRESENTMENT,
    ("1240", "205"): _SECOND_PRESENTMENT,  # full
    ("1240", "282"): _SECOND_PRESENTMENT,  # partial
    ("1442", "450"): _CHARGEBACK,  # full
    ("1442", "453"): _CHARGEBACK,  # partial
    ("1442", "451"): _CHARGEBACK,  # arbitration, full
    ("1442", "454"): _CHARGEBACK,  # arbitration, partial
}
_FEE: Final = "1740"

# DE3, positions 1 and 2.
_OPERATIONS: Final[Mapping[str, Operation]] = {
    "00": Operation.PURCHASE,
    "09": Operation.PURCHASE,  # with cash back
    "18": Operation.PURCHASE,  # unique: lottery tickets, money orders
    "01": Operation.CASH_WITHDRAWAL,
    "12": Operation.CASH_WITHDRAWAL,  # over the counter
    "20": Operation.REFUND,
    "28": Operation.REFUND,  # payment to the cardholder
}
# A fee is collected by its originator, the other side: 19 credits them, so we pay, and 29 debits them.
_FEE_OPERATIONS: Final = {"19": Operation.PURCHASE, "29": Operation.REFUND}

# DE22 as in ISO 8583:1993: position 7 how the card was read, position 5 where the cardholder was.
_ENTRY_MODES: Final = {
    "1": EntryMode.MANUAL,
    "2": EntryMode.MAGNETIC_STRIPE,
    "5": EntryMode.CHIP,
    "6": EntryMode.MANUAL,
    "M": EntryMode.CONTACTLESS,
    "A": EntryMode.CONTACTLESS,
    "S": EntryMode.ECOMMERCE,
}
_CHANNELS: Final = {
    "1": Channel.MAIL_OR_PHONE,
    "2": Channel.MAIL_OR_PHONE,
    "3": Channel.MAIL_OR_PHONE,
    "4": Channel.ECOMMERCE,
    "5": Channel.ECOMMERCE,
}
_ATM_MCC: Final = "6011"

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


class Record(NamedTuple):
    """One clearing record of the file; ``credit`` as in ``switch.clearing.tally``."""

    request: Request
    credit: bool


def record_of(fields: Fields, *, network: str, file_id: str, number: int, file_moment: datetime) -> Record:
    """The record that ``fields`` are. ``file_moment`` stands in for the time that a fee may lack.

    A processing code that is not known gives an operation that is not supported: the record is there and asks for a
    person, and the rest of the file need not wait.

    Raises:
        ElementProblem: an element is absent or not what it must be.
    """
    private = private_data(fields)
    code = digits(fields, "3", 6)[:2]
    kind, operation = _meaning(fields, code, reversal=_is_reversal(private))
    is_fee = kind is ClearingKind.FEE
    amount, currency = digits_value(fields, "4", 12), _currency(fields, "49")
    billing, billing_currency = _amount_pair(fields, "6", "51")
    settlement, settlement_currency = _amount_pair(fields, "5", "50")
    _check_exponents(private.get("0148", ""))
    mcc = digits(fields, "26", 4) if fields.get("26") else ""
    presence = fields.get("22", "")[4:5]
    request = Request(
        network=network,
        dialect=DIALECT,
        kind=Kind.PRESENTMENT,
        mti=fields["t"],
        repeat=False,
        operation=operation,
        pan=_pan(fields.get("2", ""), optional=is_fee),
        amount_minor=amount,
        currency=currency,
        billing_amount_minor=billing,
        billing_currency=billing_currency,
        stan="",
        transmitted="",
        transmitted_at=file_moment if is_fee and not fields.get("12") else _purchased_at(fields.get("12", "")),
        acquirer_id=_text(fields, "32").lstrip("0"),
        retrieval_reference=_text(fields, "37"),
        approval_code=_text(fields, "38"),
        network_reference=_trace_id(fields),
        terminal_id=_text(fields, "41"),
        merchant_id=_text(fields, "42"),
        merchant_name=_text(fields, "43").partition("\\")[0].rstrip(),
        mcc=mcc,
        entry_mode=_ENTRY_MODES.get(fields.get("22", "")[6:7], EntryMode.UNKNOWN),
        channel=Channel.ATM if mcc == _ATM_MCC else _CHANNELS.get(presence, Channel.IN_STORE),
        clearing=Clearing(
            kind=kind,
            file_id=file_id,
            record=number,
            acquirer_reference=_acquirer_reference(fields),
            settlement_amount_minor=settlement,
            settlement_currency=settlement_currency,
        ),
    )
    # DE3 from 20 to 29 is a credit, whether we know the code or not; what a fee is has been worked out above.
    refund = operation is Operation.REFUND if is_fee else code[0] == "2"
    return Record(request, is_credit(kind, refund=refund))


def private_data(fields: Fields) -> dict[str, str]:
    """The private data subelements (PDS) of all elements that hold some, by tag.

    Raises:
        ElementProblem: a tag or length is not digits, or a value is cut off.
    """
    found: dict[str, str] = {}
    for number in PDS_ELEMENTS:
        text, at = fields.get(number, ""), 0
        while at < len(text):
            head = text[at : at + 7]
            if len(head) != 7 or not _is_digits(head):
                raise ElementProblem(f"DE{number}", "needed a tag of 4 and a length of 3 digits")
            end = at + 7 + int(head[4:])
            if end > len(text):
                raise ElementProblem(f"DE{number}", "a subelement is cut off")
            found[head[:4]] = text[at + 7 : end]
            at = end
    return found


def digits(fields: Fields, number: str, length: int) -> str:
    """The element, which must be ``length`` digits. Raises ElementProblem."""
    text = fields.get(number, "")
    if len(text) != length or not _is_digits(text):
        raise ElementProblem(f"DE{number}", f"needed {length} digits")
    return text


def digits_value(fields: Fields, number: str, length: int) -> int:
    """The number that the element's ``length`` digits are. Raises ElementProblem."""
    return int(digits(fields, number, length))


def _meaning(fields: Fields, code: str, *, reversal: bool) -> tuple[ClearingKind, Operation]:
    mti, function = fields["t"], fields.get("24", "")
    if mti == _FEE:
        operation = _FEE_OPERATIONS.get(code)
        if operation is None:
            raise ElementProblem("DE3", "a fee needs 19 or 29 in front")
        if reversal:
            operation = Operation.REFUND if operation is Operation.PURCHASE else Operation.PURCHASE
        return ClearingKind.FEE, operation
    pair = _KINDS.get((mti, function))
    if pair is None:
        known = ", ".join(function for each, function in _KINDS if each == mti)
        raise ElementProblem("DE24", f"needed one of {known}") if known else ElementProblem("MTI", "is not known")
    return pair[reversal], _OPERATIONS.get(code, Operation.UNSUPPORTED)


def _is_reversal(private: Mapping[str, str]) -> bool:
    mark = private.get("0025", "").strip()[:1]
    if mark not in {"", "R"}:
        raise ElementProblem("PDS0025", "needed R or a blank")
    return mark == "R"


def _amount_pair(fields: Fields, amount: str, currency: str) -> tuple[int | None, str]:
    """An amount and its currency: both or, where there is no amount, neither."""
    if not fields.get(amount):
        return None, ""
    return digits_value(fields, amount, 12), _currency(fields, currency)


def _currency(fields: Fields, number: str) -> str:
    found = letters(fields.get(number, ""))
    if found is None:
        raise ElementProblem(f"DE{number}", "needed the number of a currency of ISO 4217")
    return found


def _check_exponents(text: str) -> None:
    """PDS 0148: currency (3 digits) and exponent (1). One that isn't ours would make every amount wrong."""
    if len(text) % 4 or (text and not _is_digits(text)):
        raise ElementProblem("PDS0148", "needed 4 digits for each currency")
    for at in range(0, len(text), 4):
        currency = letters(text[at : at + 3])
        if currency is not None and exponent(currency) != int(text[at + 3]):
            raise ElementProblem("PDS0148", f"{currency} has an exponent of {exponent(currency)}, not {text[at + 3]}")


def _pan(text: str, *, optional: bool) -> Pan:
    if not (12 <= len(text) <= 19 and _is_digits(text)) and (text or not optional):
        raise ElementProblem("DE2", f"needed 12 to 19 digits, found {len(text)} characters")
    return Pan(text)


def _purchased_at(text: str) -> datetime:
    """DE12, YYMMDDhhmmss at the place of purchase. Whose clock that is the message doesn't tell: it is taken as UTC."""
    if len(text) != 12 or not _is_digits(text):
        raise ElementProblem("DE12", "needed 12 digits")
    try:
        return datetime(
            2000 + int(text[:2]), int(text[2:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:]),
            tzinfo=UTC,
        )  # fmt: skip  # one line of digits, one line of code
    except ValueError:
        raise ElementProblem("DE12", "needed a date and time") from None


def _trace_id(fields: Fields) -> str:
    """DE63: of 16 characters the first says how far the life cycle is supported, the others are the trace id."""
    _text(fields, "63")
    text = fields.get("63", "")
    return (text[1:] if len(text) == 16 else text).strip()


def _acquirer_reference(fields: Fields) -> str:
    text = _text(fields, "31")
    if text and not (len(text) == 23 and text.isascii() and text.isalnum()):
        raise ElementProblem("DE31", "needed 23 letters and digits")
    return text


def _text(fields: Fields, number: str) -> str:
    text = fields.get(number, "").strip()
    if _CONTROL.search(text):
        raise ElementProblem(f"DE{number}", "holds control characters")
    return text


def _is_digits(text: str) -> bool:
    return text.isdecimal() and text.isascii()
