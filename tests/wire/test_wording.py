"""Amounts, dates, codes and message types in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.wire.mti import mti_meaning
from switch.wire.wording import amount_text, currency_letters, date_text, response_text


@pytest.mark.parametrize(
    ("digits", "code", "text"),
    [
        ("000000005000", "392", "5,000 JPY"),
        ("000000123456", "840", "1,234.56 USD"),
        ("000000000005", "USD", "0.05 USD"),
        ("000001234567", "414", "1,234.567 KWD"),
        ("000000000000", "392", "0 JPY"),
        ("000000005000", "999", "5,000 minor units of an unknown currency"),
        ("000000005000", "", "5,000 minor units"),
        ("00000000500x", "392", ""),
        ("", "392", ""),
        ("\u0661", "392", ""),
    ],
)
def test_amounts(digits: str, code: str, text: str) -> None:
    assert amount_text(digits, code) == text


@pytest.mark.parametrize(
    ("digits", "form", "text"),
    [
        ("0615030405", "MMDDhhmmss", "15 Jun 03:04:05"),
        ("260615120405", "YYMMDDhhmmss", "15 Jun 2026 12:04:05"),
        ("000000", "hhmmss", "00:00:00"),
        ("2912", "YYMM", "Dec 2029"),
        ("0229", "MMDD", "29 Feb"),
        ("0230", "MMDD", "no such MMDD"),
        ("1300", "MMDD", "no such MMDD"),
        ("0000", "MMDD", "filled with zeros"),
        ("240000", "hhmmss", "no such hhmmss"),
        ("06150304", "MMDDhhmmss", "not MMDDhhmmss"),
        ("06a5", "MMDD", "not MMDD"),
        ("260229", "YYMMDD", "no such YYMMDD"),
    ],
)
def test_dates(digits: str, form: str, text: str) -> None:
    assert date_text(digits, form) == text


@given(st.text(max_size=12), st.sampled_from(["MMDDhhmmss", "YYMMDDhhmmss", "hhmmss", "YYMM", "MMDD", ""]))
def test_any_text_is_some_date_or_none(digits: str, form: str) -> None:
    assert isinstance(date_text(digits, form), str)
    assert isinstance(amount_text(digits, digits[:3]), str)


@pytest.mark.parametrize(
    ("mti", "text"),
    [
        ("0100", "authorization request (1987)"),
        ("0101", "authorization request, repeat (1987)"),
        ("0110", "authorization request response (1987)"),
        ("0420", "reversal or chargeback advice (1987)"),
        ("1804", "network management request, from another party (1993)"),
        ("2220", "financial advice (2003)"),
        ("9100", "reserved by the standard"),
        ("0106", "reserved by the standard"),
        ("01x0", ""),
        ("010", ""),
        ("\u0660100", ""),
    ],
)
def test_message_types(mti: str, text: str) -> None:
    assert mti_meaning(mti) == text


def test_codes() -> None:
    assert (response_text("51"), response_text("Q9")) == ("not sufficient funds", "")
    assert (currency_letters("392"), currency_letters("USD"), currency_letters("000")) == ("JPY", "USD", "")
