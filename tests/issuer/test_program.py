"""What a program file may say, and what it is refused for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.issuer.mcc import in_ranges
from switch.issuer.program import DEFAULT_PIPELINE, MANDATORY_RULES, Program
from switch.issuer.rules import RULES
from tests.issuer.support import a_program

WITHOUT_FUNDS = [name for name in DEFAULT_PIPELINE if name != "funds"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": ""}, "a program has a name"),
        ({"currency": "jpy"}, "currency 'jpy'"),
        ({"currency": "YEN "}, "currency 'YEN '"),
        ({"currency": ""}, "not an ISO 4217 code"),
        ({"time_zone": "Mars/Base"}, "time_zone 'Mars/Base' is unknown"),
        ({"time_zone": ""}, "time_zone '' is unknown"),
        ({"time_zone": "../etc/passwd"}, "is unknown"),
        ({"time_zone": "Asia"}, "time_zone 'Asia' is unknown"),
        ({"pipeline": [*WITHOUT_FUNDS, "luck", "funds"]}, "unknown rules: luck"),
        ({"pipeline": WITHOUT_FUNDS}, "lacks mandatory rules: funds"),
        ({"pipeline": []}, "lacks mandatory rules: amount, card_expiry, card_known, card_status, currency, funds"),
        ({"pipeline": [*WITHOUT_FUNDS, "pin", "funds"]}, "names a rule twice"),
        ({"pipeline": ["funds", *WITHOUT_FUNDS]}, "begins with card_known and ends with funds"),
        ({"pipeline": [*WITHOUT_FUNDS[1:], "card_known", "funds"]}, "begins with card_known"),
        ({"merchants": {"mcc_blocked": ["541"]}}, "'541' is neither an MCC nor a range"),
        ({"merchants": {"mcc_blocked": ["54111"]}}, "neither an MCC nor a range"),
        ({"merchants": {"mcc_allowed": ["3790-3501"]}}, "'3790-3501' is neither"),
        ({"merchants": {"mcc_allowed": ["3501-"]}}, "neither an MCC nor a range"),
        ({"merchants": {"mcc_allowed": ["food"]}}, "neither an MCC nor a range"),
        ({"merchants": {"mcc_allowed": ["5411\n"]}}, "neither an MCC nor a range"),
        (
            {"merchants": {"mcc_allowed": ["\u0665\u0664\u0661\u0661"]}},
            "neither an MCC nor a range",
        ),  # digits, but of Arabic
        ({"clearing": {"over_capture": [{"mcc": ["5814-5812"], "percent": 20}]}}, "'5814-5812' is neither"),
        ({"merchants": {"countries_allowed": ["JPN"]}}, "'JPN' is not an ISO 3166"),
        ({"merchants": {"countries_blocked": ["jp"]}}, "'jp' is not an ISO 3166"),
        ({"limits": {"daily": {"amount_minor": -1}}}, "a limit is not negative"),
        ({"limits": {"monthly": {"count": -1}}}, "a limit is not negative"),
        ({"limits": {"weekly": {"count": 1}}}, "unknown field `weekly`"),
        ({"colour": "red"}, "unknown field `colour`"),
        ({"operations": ["gamble"]}, "Invalid enum value 'gamble'"),
        ({"channels": ["moon"]}, "Invalid enum value 'moon'"),
        ({"security_code": "never"}, "Invalid enum value 'never'"),
        ({"limits": {"per_purchase_minor": 10.5}}, "Expected `int"),
    ],
)
def test_wrong_programs_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        a_program(**changes)


@pytest.mark.parametrize("rule", sorted(MANDATORY_RULES))
def test_no_program_does_without_a_mandatory_rule(rule: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=rule):
        a_program(pipeline=[name for name in DEFAULT_PIPELINE if name != rule])


@pytest.mark.parametrize("rule", sorted(set(DEFAULT_PIPELINE) - MANDATORY_RULES))
def test_every_other_rule_may_be_left_out(rule: str) -> None:
    assert rule not in a_program(pipeline=[name for name in DEFAULT_PIPELINE if name != rule]).pipeline


def test_every_name_has_a_rule_and_every_rule_a_name() -> None:
    assert set(RULES) == set(DEFAULT_PIPELINE)
    assert set(DEFAULT_PIPELINE) >= MANDATORY_RULES


def test_a_program_needs_a_name_and_a_currency_and_nothing_else() -> None:
    program = msgspec.convert({"name": "plain", "currency": "JPY"}, Program)
    assert program.time_zone == "Asia/Tokyo"
    assert program.pipeline == DEFAULT_PIPELINE
    for missing in ("name", "currency"):
        with pytest.raises(msgspec.ValidationError, match=missing):
            msgspec.convert({"name": "plain", "currency": "JPY"} | {missing: msgspec.UNSET}, Program)


mccs = st.integers(0, 9999).map(lambda number: f"{number:04d}")


@given(mcc=mccs, one=mccs, other=mccs, allowed=st.lists(mccs, max_size=3))
def test_ranges_include_both_ends_and_the_cache_changes_nothing(
    mcc: str, one: str, other: str, allowed: list[str]
) -> None:
    low, high = sorted((one, other))
    program = a_program(merchants={"mcc_blocked": [f"{low}-{high}"], "mcc_allowed": allowed})

    expected = low <= mcc <= high or bool(allowed and mcc not in allowed)

    assert in_ranges(mcc, (f"{low}-{high}",)) == (int(low) <= int(mcc) <= int(high))
    assert [program.blocks_mcc(mcc) for _ in range(2)] == [expected, expected]


def test_malformed_mccs_do_not_grow_the_cache_for_ever() -> None:
    program = a_program()
    for number in range(10_050):
        program.blocks_mcc(f"x{number}")
    assert len(program.__dict__["mcc_cache"]) <= 10_000
