"""PANs made by code: no PAN-shaped literal stands in these tests."""

from __future__ import annotations

from hypothesis import strategies as st

from switch.contracts.secret import Pan


def pan_with_check_digit(digits: str) -> Pan:
    """The PAN whose last digit makes Luhn fit."""
    for last in "0123456789":
        pan = Pan(digits + last)
        if pan.passes_luhn():
            return pan
    raise AssertionError("one of ten check digits always fits")


PLAIN = pan_with_check_digit("4" + "0" * 14)
OTHER = pan_with_check_digit("5" + "1" * 14)

pans = st.text("0123456789", min_size=11, max_size=18).map(pan_with_check_digit)
card_ids = st.integers(-(2**63), 2**63 - 1)
nonces = st.binary(min_size=12, max_size=12)
expiries = st.builds(lambda year, month: f"{year:02}{month:02}", st.integers(0, 99), st.integers(1, 12))
service_codes = st.text("0123456789", min_size=3, max_size=3)
