"""CVV, iCVV and CVV2 against published vectors, and that a code of one kind is of no use as another."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from switch.contracts.errors import ConfigurationError
from switch.contracts.secret import Pan, Secret
from switch.vault.security_code import SecurityCodes
from tests.vault.cards import PLAIN, expiries, pans, service_codes

VECTORS = tomllib.loads((Path(__file__).parent / "cases" / "security_codes.toml").read_text())["vector"]

KEY = "0123456789ABCDEFFEDCBA9876543210"
CODES = SecurityCodes({"classic": Secret(KEY), "gift": Secret(KEY[16:] + KEY[:16])})


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_published_vectors(vector: dict[str, str]) -> None:
    codes = SecurityCodes({"p": Secret(vector["key"])})
    pan, expiry, code = Pan(vector["pan"]), vector["expiry"], Secret(vector["code"])

    assert codes.cvv("p", pan, expiry, vector["service_code"]).reveal() == vector["code"]
    assert codes.cvv_matches("p", pan, expiry, vector["service_code"], code)


@given(pan=pans, expiry=expiries, service_code=service_codes)
def test_what_the_card_maker_gets_is_what_matches(pan: Pan, expiry: str, service_code: str) -> None:
    for program in ("classic", "gift"):
        assert CODES.cvv_matches(program, pan, expiry, service_code, CODES.cvv(program, pan, expiry, service_code))
        assert CODES.icvv_matches(program, pan, expiry, CODES.cvv(program, pan, expiry, "999"))
        assert CODES.cvv2_matches(program, pan, expiry, CODES.cvv(program, pan, expiry, "000"))


@given(pan=pans, expiry=expiries, wrong=st.text(max_size=4))
def test_only_the_one_code_matches(pan: Pan, expiry: str, wrong: str) -> None:
    right = CODES.cvv("classic", pan, expiry, "000").reveal()
    assume(wrong != right)

    assert not CODES.cvv2_matches("classic", pan, expiry, Secret(wrong))


def test_the_three_kinds_differ() -> None:
    # A three-digit code collides now and then; this card's don't.
    cvv = CODES.cvv("classic", PLAIN, "2912", "201")

    assert CODES.cvv_matches("classic", PLAIN, "2912", "201", cvv)
    assert not CODES.icvv_matches("classic", PLAIN, "2912", cvv)
    assert not CODES.cvv2_matches("classic", PLAIN, "2912", cvv)
    assert not CODES.cvv_matches("gift", PLAIN, "2912", "201", cvv)
    assert not CODES.cvv_matches("classic", PLAIN, "2911", "201", cvv)


@pytest.mark.parametrize(
    ("pan", "expiry", "service_code"),
    [
        ("4" * 20, "2912", "201"),
        ("", "2912", "201"),
        ("4" * 15 + "x", "2912", "201"),
        ("4" * 15 + "\N{ARABIC-INDIC DIGIT FOUR}", "2912", "201"),
        ("4" * 16, "", "201"),
        ("4" * 16, "291", "201"),
        ("4" * 16, "2x12", "201"),
        ("4" * 16, "2912", ""),
        ("4" * 16, "2912", "2 1"),
    ],
)
def test_elements_that_make_no_code_match_nothing(pan: str, expiry: str, service_code: str) -> None:
    assert not CODES.cvv_matches("classic", Pan(pan), expiry, service_code, Secret("123"))

    with pytest.raises(ValueError, match="are needed") as raised:
        CODES.cvv("classic", Pan(pan), expiry, service_code)
    if pan:
        assert pan not in str(raised.value)


def test_a_program_without_a_key_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(ConfigurationError, match="program debit: no card verification key"):
        CODES.cvv2_matches("debit", PLAIN, "2912", Secret("123"))


@pytest.mark.parametrize("key", ["", "0123456789ABCDEF", KEY + "00", "hexadecimal?"])
def test_an_unusable_key_is_refused_without_quoting_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="program classic") as raised:
        SecurityCodes({"classic": Secret(key)})
    if key:
        assert key not in str(raised.value)


@given(pan=pans, expiry=expiries)
def test_no_representation_shows_a_key_or_a_code(pan: Pan, expiry: str) -> None:
    code = CODES.cvv("classic", pan, expiry, "000")

    assert KEY not in repr(CODES)
    assert repr(code) == "Secret(***)"
