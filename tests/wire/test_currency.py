from __future__ import annotations

import pytest

from switch.contracts import currency


@pytest.mark.parametrize(
    ("letters", "numeric", "exponent"),
    [("JPY", "392", 0), ("USD", "840", 2), ("EUR", "978", 2), ("KWD", "414", 3), ("ALL", "008", 2), ("KRW", "410", 0)],
)
def test_known_currencies(letters: str, numeric: str, exponent: int) -> None:
    assert currency.letters(numeric) == letters
    assert currency.numeric(letters) == numeric
    assert currency.exponent(letters) == exponent


@pytest.mark.parametrize("numeric", ["000", "999", "963", "8", "", "JPY"])
def test_no_active_currency(numeric: str) -> None:
    assert currency.letters(numeric) is None


@pytest.mark.parametrize("letters", ["XXX", "DEM", "jpy", ""])
def test_letters_that_are_no_currency(letters: str) -> None:
    with pytest.raises(KeyError):
        currency.numeric(letters)
    with pytest.raises(KeyError):
        currency.exponent(letters)


def test_the_table_is_one_to_one() -> None:
    assert len(currency.NUMERIC) > 150
    assert len(set(currency.NUMERIC.values())) == len(currency.NUMERIC)
    for letters, numeric in currency.NUMERIC.items():
        assert len(letters) == 3
        assert letters.isupper()
        assert len(numeric) == 3
        assert numeric.isdecimal()
        assert currency.exponent(letters) in {0, 2, 3}
