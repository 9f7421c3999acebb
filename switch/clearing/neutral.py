"""The neutral formats' header, record and trailer, and the request that a record becomes.

JSON Lines and CSV say the same in different ways, so what is allowed stands here once. ``README.md`` beside this module
is the same for people who write such files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Final, Literal

import msgspec

from switch.clearing.errors import ElementProblem
from switch.clearing.tally import Totals
from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.currency import NUMERIC
from switch.contracts.message import Channel, EntryMode, Kind, Operation, Request
from switch.contracts.secret import Pan

__all__ = ["AMOUNT_MAX", "DIALECT", "Header", "Record", "Trailer", "problem_of", "request_of", "total_problem"]

#: What ``Request.dialect`` says of a record that came in a file.
DIALECT: Final = "clearing"

#: Twelve digits, as in DE4.
AMOUNT_MAX: Final = 999_999_999_999

_OPERATIONS: Final = frozenset({Operation.PURCHASE, Operation.CASH_WITHDRAWAL, Operation.REFUND})

# Neither belongs in a name or a reference, and PostgreSQL's text can't hold a NUL.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_Amount = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)]
_Fee = Annotated[int, msgspec.Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=9_999)]
# Errors say record numbers, so none may be as long as a card number.
_Number = Annotated[int, msgspec.Meta(ge=0, le=999_999_999)]
_Text = Annotated[str, msgspec.Meta(max_length=64)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="header", tag_field="type"):
    """The first record. ``network`` is a name from the settings; with ``file_id`` it is the file's identity."""

    version: Literal[1]
    file_id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9._:-]{1,64}$")]
    network: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9._-]{1,64}$")]
    business_day: date
    created_at: _Moment | None = None


class Record(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True, tag="record", tag_field="type"
):
    """One clearing record. What is empty or left out is not told."""

    record: _Number  # from 1, counted up by one
    kind: ClearingKind
    operation: Operation
    pan: str = ""  # may be left out of a fee
    amount: _Amount
    currency: str
    billing_amount: _Amount | None = None
    billing_currency: str = ""
    settlement_amount: _Amount | None = None
    settlement_currency: str = ""
    fee: _Fee = 0
    acquirer_reference: str = ""
    network_reference: _Text = ""
    retrieval_reference: _Text = ""
    approval_code: _Text = ""
    acquirer_id: _Text = ""
    terminal_id: _Text = ""
    merchant_id: _Text = ""
    merchant_name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    merchant_country: str = ""
    mcc: str = ""
    purchased_at: _Moment
    entry_mode: EntryMode = EntryMode.UNKNOWN
    channel: Channel = Channel.IN_STORE
    sequence: _Count = 1
    sequence_count: _Count = 0
    final: bool | None = None  # where it is not told: whether this is the last of those announced


class Total(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sums of a currency: see ``switch.clearing.tally``."""

    debit: Annotated[int, msgspec.Meta(ge=0)]
    credit: Annotated[int, msgspec.Meta(ge=0)]


class Trailer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="trailer", tag_field="type"):
    """The last record."""

    records: _Number
    totals: dict[str, Total]


def request_of(record: Record, file_id: str, network: str) -> Request:
    """The record as a request.

    Raises:
        ElementProblem: elements that have the right type and yet can't be, or don't go together.
    """
    pan, currency, sequence, sequence_count = record.pan, record.currency, record.sequence, record.sequence_count
    if record.operation not in _OPERATIONS:
        raise ElementProblem("operation", f"needed one of {', '.join(sorted(_OPERATIONS))}")
    if not (12 <= len(pan) <= 19 and _is_digits(pan)) and (pan or record.kind is not ClearingKind.FEE):
        raise ElementProblem("pan", f"needed 12 to 19 digits, found {len(pan)} characters")
    if currency not in NUMERIC:
        raise ElementProblem("currency", _NO_CURRENCY)
    _check_pair("billing", record.billing_amount is not None, record.billing_currency)
    # A fee is in the settlement currency too.
    _check_pair("settlement", record.settlement_amount is not None or record.fee != 0, record.settlement_currency)
    _check_codes(record)
    if not 1 <= sequence <= (sequence_count or sequence):
        raise ElementProblem("sequence", f"needed 1 to sequence_count ({sequence_count}), found {sequence}")
    final = record.final
    return Request(
        network=network,
        dialect=DIALECT,
        kind=Kind.PRESENTMENT,
        mti="",
        repeat=False,
        operation=record.operation,
        pan=Pan(pan),
        amount_minor=record.amount,
        currency=currency,
        billing_amount_minor=record.billing_amount,
        billing_currency=record.billing_currency,
        stan="",
        transmitted="",
        transmitted_at=_utc(record.purchased_at),
        acquirer_id=record.acquirer_id.lstrip("0"),
        retrieval_reference=record.retrieval_reference,
        approval_code=record.approval_code,
        network_reference=record.network_reference,
        terminal_id=record.terminal_id,
        merchant_id=record.merchant_id,
        merchant_name=record.merchant_name,
        merchant_country=record.merchant_country,
        mcc=record.mcc,
        entry_mode=record.entry_mode,
        channel=record.channel,
        clearing=Clearing(
            kind=record.kind,
            file_id=file_id,
            record=record.record,
            acquirer_reference=record.acquirer_reference,
            sequence=sequence,
            sequence_count=sequence_count,
            final=sequence >= sequence_count if final is None else final,
            settlement_amount_minor=record.settlement_amount,
            settlement_currency=record.settlement_currency,
            fee_minor=record.fee,
        ),
    )


def total_problem(trailer: Trailer, totals: Mapping[str, Totals]) -> ElementProblem | None:
    """The first currency of which the trailer says something else than what was read; None where it says the same.

    Currencies whose sums are zero may be left out of the trailer.
    """
    nothing = Totals(debit_minor=0, credit_minor=0)
    for currency in sorted(trailer.totals.keys() | totals.keys()):
        if currency not in NUMERIC:
            return ElementProblem("totals", "names no currency of ISO 4217")
        told, found = trailer.totals.get(currency, Total(0, 0)), totals.get(currency, nothing)
        if (told.debit, told.credit) != (found.debit_minor, found.credit_minor):
            sums = f"debit {found.debit_minor} and credit {found.credit_minor}"
            return ElementProblem(f"totals.{currency}", f"the records add up to {sums}, the trailer says otherwise")
    return None


_PATH: Final = re.compile(r" - at `\$\.([a-z_]+)[^`]*`$")
_MISSING: Final = re.compile(r"^Object missing required field `([a-z_]+)`")
_EXPECTED: Final = re.compile(r"^Expected [^'\"]+$")
_MALFORMED: Final = re.compile(r"^JSON is malformed: [a-z ]+ \(byte [0-9]+\)$")


def problem_of(error: msgspec.MsgspecError | UnicodeDecodeError) -> ElementProblem:
    """What msgspec found, without a word of what the file holds: its messages may quote values and keys."""
    if isinstance(error, UnicodeDecodeError):
        return ElementProblem("", "is not UTF-8")
    text = str(error)
    path = _PATH.search(text)
    element, text = (path[1], text[: path.start()]) if path else ("", text)
    if missing := _MISSING.match(text):
        return ElementProblem(missing[1], "is missing")
    if text.startswith("Object contains unknown field"):
        return ElementProblem(element, "has an element that the format does not have")
    if _EXPECTED.match(text):
        return ElementProblem(element, text.replace("Expected", "needed", 1).replace("got", "found").replace("`", ""))
    if _MALFORMED.match(text):
        return ElementProblem(element, text)
    if text == "Input data was truncated":
        return ElementProblem(element, "JSON breaks off")
    return ElementProblem(element, "is not what the format allows here")


_NO_CURRENCY: Final = "needed the letters of a currency of ISO 4217"


def _check_pair(what: str, told: bool, currency: str) -> None:
    if told:
        if currency not in NUMERIC:
            raise ElementProblem(f"{what}_currency", _NO_CURRENCY)
    elif currency:
        raise ElementProblem(f"{what}_amount", f"is missing beside {what}_currency")


def _check_codes(record: Record) -> None:
    mcc, country, reference = record.mcc, record.merchant_country, record.acquirer_reference
    if mcc and not (len(mcc) == 4 and _is_digits(mcc)):
        raise ElementProblem("mcc", "needed 4 digits")
    if country and not (len(country) == 2 and country.isascii() and country.isalpha() and country.isupper()):
        raise ElementProblem("merchant_country", "needed two capital letters (ISO 3166)")
    if reference and not (len(reference) <= 23 and _is_digits(reference)):
        raise ElementProblem("acquirer_reference", "needed at most 23 digits")
    # One look at all of them is enough where all is well, which is nearly always.
    texts = (
        record.network_reference,
        record.retrieval_reference,
        record.approval_code,
        record.acquirer_id,
        record.terminal_id,
        record.merchant_id,
        record.merchant_name,
    )
    if _CONTROL.search("".join(texts)):
        raise ElementProblem("", "holds control characters")


def _is_digits(text: str) -> bool:
    return text.isdecimal() and text.isascii()


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ElementProblem("purchased_at", "lies outside the calendar") from None
