"""Amounts, times and codes of a message in words. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from switch.contracts import currency

__all__ = ["amount_text", "currency_letters", "date_text", "response_text"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def currency_letters(code: str) -> str:
    """The ISO 4217 letters of a numeric code or of letters; empty for what is no active currency."""
    if code in currency.NUMERIC:
        return code
    return currency.letters(code) or ""


def amount_text(digits: str, code: str) -> str:
    """``digits`` of minor units with the currency's decimal point: "5,000 JPY", "12.34 USD"."""
    if not (digits.isascii() and digits.isdecimal()):
        return ""
    minor, letters = int(digits), currency_letters(code)
    if not letters:
        return f"{minor:,} minor units" + (" of an unknown currency" if code else "")
    exponent = currency.exponent(letters)
    if not exponent:
        return f"{minor:,} {letters}"
    whole, part = divmod(minor, 10**exponent)
    return f"{whole:,}.{part:0{exponent}d} {letters}"


def date_text(digits: str, form: str) -> str:
    """``digits`` read by ``form``, which is made of YY, MM, DD, hh, mm, ss; or that they are no such date."""
    if len(digits) != len(form) or not (digits.isascii() and digits.isdecimal()):
        return f"not {form}"
    if not digits.strip("0") and "MM" in form:
        return "filled with zeros"
    found = {
        match.group(): int(digits[match.start() : match.end()]) for match in re.finditer("YY|MM|DD|hh|mm|ss", form)
    }
    try:
        # A leap year, where the form has none: 29 February may be right.
        # A time of day or a date by itself belongs to no zone.
        moment = datetime(  # noqa: DTZ001 -- see above
            2000 + found.get("YY", 0),
            found.get("MM", 1),
            found.get("DD", 1),
            found.get("hh", 0),
            found.get("mm", 0),
            found.get("ss", 0),
        )
    except ValueError:
        return f"no such {form}"
    words = []
    if "MM" in form:
        words.append(f"{moment.day} {_MONTHS[moment.month - 1]}" if "DD" in form else _MONTHS[moment.month - 1])
    if "YY" in form:
        words.append(str(moment.year))
    if "hh" in form:
        words.append(f"{moment:%H:%M:%S}")
    return " ".join(words)


# DE39 of ISO 8583:1987, where a dialect's own table has no word for it.
_RESPONSES_1987 = {
    "00": "approved",
    "01": "refer to card issuer",
    "02": "refer to card issuer, special conditions",
    "03": "invalid merchant",
    "04": "pick up",
    "05": "do not honor",
    "06": "error",
    "07": "pick up, special conditions",
    "08": "honor with identification",
    "09": "request in progress",
    "10": "approved for partial amount",
    "11": "approved, VIP",
    "12": "invalid transaction",
    "13": "invalid amount",
    "14": "invalid card number",
    "15": "no such issuer",
    "17": "customer cancellation",
    "19": "re-enter transaction",
    "21": "no action taken",
    "25": "unable to locate record",
    "28": "file temporarily not available",
    "30": "format error",
    "31": "bank not supported by switch",
    "33": "expired card, pick up",
    "34": "suspected fraud, pick up",
    "36": "restricted card, pick up",
    "38": "PIN tries exceeded, pick up",
    "39": "no credit account",
    "40": "requested function not supported",
    "41": "lost card, pick up",
    "43": "stolen card, pick up",
    "51": "not sufficient funds",
    "52": "no checking account",
    "53": "no savings account",
    "54": "expired card",
    "55": "incorrect PIN",
    "56": "no card record",
    "57": "transaction not permitted to cardholder",
    "58": "transaction not permitted to terminal",
    "59": "suspected fraud",
    "61": "exceeds withdrawal amount limit",
    "62": "restricted card",
    "63": "security violation",
    "64": "original amount incorrect",
    "65": "exceeds withdrawal frequency limit",
    "68": "response received too late",
    "75": "PIN tries exceeded",
    "90": "cut-off in process",
    "91": "issuer or switch inoperative",
    "92": "no route to the destination",
    "93": "violation of law",
    "94": "duplicate transmission",
    "95": "reconcile error",
    "96": "system malfunction",
}


def response_text(code: str) -> str:
    """What ISO 8583:1987 says of a response code; empty where it says nothing."""
    return _RESPONSES_1987.get(code, "")
