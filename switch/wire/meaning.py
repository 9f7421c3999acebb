"""What the elements of a message mean: by the dialect where it says so, else by ISO 8583. Pure.

Everything here takes values as they are and says something about any of them; nothing is judged, nothing raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from switch.contracts.message import Kind
from switch.contracts.reason import Reason
from switch.wire.dialect import Dialect
from switch.wire.errors import FieldProblem
from switch.wire.inbound import ManagementFunction
from switch.wire.mti import mti_meaning
from switch.wire.track2 import read_track2
from switch.wire.wording import amount_text, currency_letters, date_text, response_text

__all__ = ["Meanings", "bits_of"]

_Fields: TypeAlias = Mapping[str, str]
_Meaning: TypeAlias = Callable[[_Fields, str], str]

# Times and dates by element: in 1987 and 2003, and in 1993 where that differs. The first of fitting length counts.
_TIMES_1987 = {
    "7": ("MMDDhhmmss",),
    "12": ("hhmmss", "YYMMDDhhmmss"),
    "13": ("MMDD",),
    "14": ("YYMM",),
    "15": ("MMDD", "YYMMDD"),
    "16": ("MMDD",),
    "17": ("MMDD",),
    "73": ("YYMMDD",),
}
_TIMES_1993 = {**_TIMES_1987, "13": ("YYMM",), "28": ("YYMMDD",)}
_ACCOUNTS = {
    "00": "default account",
    "10": "savings",
    "20": "cheque",
    "30": "credit",
    "40": "universal account",
    "50": "investment",
}
_APPROVALS = {
    Kind.AUTHORIZATION: {Reason.APPROVED, Reason.APPROVED_PARTIALLY, Reason.ACCOUNT_VERIFIED},
    Kind.FINANCIAL: {Reason.APPROVED, Reason.APPROVED_PARTIALLY, Reason.ACCOUNT_VERIFIED},
    Kind.AUTHORIZATION_ADVICE: {Reason.ADVICE_ACCEPTED},
    Kind.FINANCIAL_ADVICE: {Reason.ADVICE_ACCEPTED},
    Kind.REVERSAL: {Reason.REVERSAL_ACCEPTED},
}


def bits_of(bitmap: str, first: int) -> list[str]:
    """The elements that a bitmap in hexadecimal announces; its first bit is element ``first``."""
    try:
        bits = f"{int(bitmap, 16):0{4 * len(bitmap)}b}"
    except ValueError:
        return []
    return [str(at) for at, bit in enumerate(bits, first) if bit == "1"]


class Meanings:
    """The meanings of one dialect's elements, looked up by element."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        at = dialect.elements
        self._answered: dict[str, set[Kind]] = {}
        for rule in dialect.messages.values():
            self._answered.setdefault(rule.response, set()).add(rule.kind)
        self._by_key: dict[str, list[_Meaning]] = {}
        for key, meaning in (
            ("t", self._message_type),
            ("p", lambda _, text: " ".join(bits_of(text, 1))),
            ("1", lambda _, text: " ".join(bits_of(text, 65))),
            (at.track2, self._track2),
            (at.operation.field, self._operation),
            (at.amount, self._amount(at.currency)),
            (at.billing_amount, self._amount(at.billing_currency)),
            ("5", self._amount("50")),
            (at.entry_mode.field, self._entry_mode),
            (at.response_code, self._response_code),
            (at.currency, lambda _, text: currency_letters(text) or "no active currency"),
            (at.billing_currency, lambda _, text: currency_letters(text) or "no active currency"),
            ("50", lambda _, text: currency_letters(text) or "no active currency"),
            (dialect.management.code_field, self._management_code),
        ):
            if key and key in dialect.spec:
                self._by_key.setdefault(key, []).append(meaning)

    def meaning(self, key: str, fields: _Fields) -> str:
        """What the element ``key`` of ``fields`` says; empty where there is nothing to add to its name."""
        text = fields.get(key, "")
        if not text:
            return ""
        said = [each(fields, text) for each in self._by_key.get(key, ())]
        said += self._times(key, fields, text)
        return "; ".join(dict.fromkeys(part for part in said if part))

    def _message_type(self, _fields: _Fields, mti: str) -> str:
        said = mti_meaning(mti)
        rule = self._dialect.messages.get(mti)
        management = self._dialect.management
        if rule is not None:
            return f"{said}; answered with {rule.response}"
        if mti in {management.request, management.repeat}:
            return f"{said}; answered with {management.response}"
        known = mti in self._answered or mti == management.response
        return said if known else f"{said}; no message type of this dialect".lstrip("; ")

    def _times(self, key: str, fields: _Fields, text: str) -> list[str]:
        at, local = self._dialect.elements, self._dialect.local_time
        if key == at.expiry:
            return [f"expires {date_text(text, 'YYMM')}"]
        forms = (_TIMES_1993 if fields.get("t", "").startswith("1") else _TIMES_1987).get(key, ())
        for form in forms:
            if len(form) == len(text):
                zone = " GMT" if key == at.transmission else " local time" if "hh" in form or local is None else ""
                return [date_text(text, form) + (zone if "hh" in form else "")]
        return []

    def _amount(self, currency_key: str) -> _Meaning:
        return lambda fields, text: amount_text(text, fields.get(currency_key, ""))

    def _track2(self, _fields: _Fields, text: str) -> str:
        try:
            track2 = read_track2(text, self._dialect.track2)
        except FieldProblem:
            return "not readable as track 2"
        return "readable" + (", with a CVV" if track2.cvv is not None else "")

    def _operation(self, _fields: _Fields, text: str) -> str:
        operation = self._dialect.operations.get(text[self._dialect.elements.operation.slice])
        words = [operation.value.replace("_", " ") if operation is not None else "an operation that is not served"]
        if len(text) == 6:
            words += [f"{which} {_ACCOUNTS.get(code, code)}" for which, code in (("from", text[2:4]), ("to", text[4:]))]
        return ", ".join(words)

    def _entry_mode(self, _fields: _Fields, text: str) -> str:
        mode = self._dialect.entry_modes.get(text[self._dialect.elements.entry_mode.slice])
        return "entry mode " + (mode.value.replace("_", " ") if mode is not None else "not known")

    def _management_code(self, fields: _Fields, text: str) -> str:
        management = self._dialect.management
        if fields.get("t") not in {management.request, management.repeat, management.response}:
            return ""
        function = self._dialect.management_functions.get(text, ManagementFunction.OTHER)
        return "another function" if function is ManagementFunction.OTHER else function.value.replace("_", " ")

    def _response_code(self, fields: _Fields, code: str) -> str:
        """The reasons that this dialect says with the code; in an advice, what it tells of the decision."""
        mti = fields.get("t", "")
        rule = self._dialect.messages.get(mti)
        if rule is not None and not rule.kind.is_request:
            approved = code in self._dialect.stand_in_approved
            standard = response_text(code)
            return ("approved for us" if approved else "declined for us") + (f" ({standard})" if standard else "")
        management = mti == self._dialect.management.response
        codes = self._dialect.management_response_codes if management else self._dialect.response_codes
        kinds = self._answered.get(mti, set(_APPROVALS))
        fitting = {Reason.APPROVED} if management else {reason for kind in kinds for reason in _APPROVALS[kind]}
        reasons = [
            reason.value.replace("_", " ")
            for reason, said in codes.items()
            if said == code and (not reason.approves or reason in fitting)
        ]
        return " or ".join(reasons) or response_text(code) or "no code of this dialect"
