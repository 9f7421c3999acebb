"""No card number is seen whole, whoever prints it."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.contracts.secret import Pan, Secret, mask_pan
from tests.issuer.support import PAN, a_case, a_request

digits = st.text("0123456789", max_size=24)


@given(digits)
def test_a_mask_shows_at_most_ten_digits_and_keeps_the_length(number: str) -> None:
    masked = mask_pan(number)
    assert len(masked) == len(number)
    assert sum(char.isdigit() for char in masked) <= 10
    if len(number) < 13:
        assert set(masked) <= {"*"}
    else:
        assert (masked[:6], masked[-4:]) == (number[:6], number[-4:])
        assert set(masked[6:-4]) == {"*"}


@given(st.text("0123456789", min_size=12, max_size=19))
def test_whatever_prints_a_pan_prints_its_mask(number: str) -> None:
    pan = Pan(number)
    for shown in (repr(pan), str(pan), f"{pan}", f"{pan:>30}", "%s" % pan, repr([pan]), repr({"pan": pan})):  # noqa: UP031 the old form of printing is one of the ways out
        assert number not in shown
        assert sum(char.isdigit() for char in shown) <= 10


@given(st.text("0123456789ABCDEF", min_size=3, max_size=32))
def test_a_secret_shows_nothing(text: str) -> None:
    secret = Secret(text)
    assert (repr(secret), str(secret), f"{secret:s}") == ("Secret(***)", "***", "***")
    assert secret.reveal() == text


def test_a_request_and_a_case_print_no_card_data() -> None:
    request = a_request(cvv=Secret("987"), cvv2=Secret("654"))
    for shown in (repr(request), repr(a_case(request))):
        assert PAN.reveal() not in shown
        assert "987" not in shown.replace("0615", "") and "654" not in shown


def test_a_secret_is_not_pickled_but_may_be_copied() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(PAN)
    assert copy.deepcopy(PAN) is copy.copy(PAN) is PAN


def test_secrets_compare_by_kind_and_text() -> None:
    assert Secret("123") == Secret("123") != Secret("124")
    assert Pan("123") != Secret("123")
    assert len({Secret("123"), Secret("123"), Pan("123")}) == 2


@given(st.text("0123456789", min_size=11, max_size=18), st.integers(0, 9), st.integers(0, 17))
def test_luhn_notices_every_single_wrong_digit(body: str, other: int, place: int) -> None:
    good = next(pan for digit in "0123456789" if (pan := Pan(body + digit)).passes_luhn()).reveal()
    at = place % len(good)
    spoiled = good[:at] + str(other) + good[at + 1 :]
    assert Pan(spoiled).passes_luhn() == (spoiled == good)
