"""A provider's list beside our attempts: every kind of difference, and every kind of file that is none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from switch.contracts.errors import ConfigurationError
from switch.funding.settlement import ADVICE, Finding, SettlementLine, compare, read_settlement, totals
from switch.journal.funding_rows import AttemptRow

NOON = datetime(2026, 6, 15, 3, 0, tzinfo=UTC)
HEAD = "key,result,amount_minor,currency\n"


def attempt(state: str, charged: int = 0) -> AttemptRow:
    ended = state in ("booked", "declined", "not_charged", "voided", "credited")
    return AttemptRow(
        account_id=7,
        message_key=b"k",
        key="a",
        card_id=1,
        provider="acme",
        source="tok-1",
        amount=500,
        currency="JPY",
        budget_until=NOON,
        state=state,
        purchase="declined",
        calls=1,
        tries=0,
        wake_at=None if ended else NOON,
        reference="",
        charged=charged,
        charged_currency="JPY" if charged else "",
        cause="answered",
        moved_at=NOON,
        parked_at=NOON,
        owner="",
    )


ROWS: dict[str, tuple[AttemptRow | None, str, Finding | None]] = {
    # what stands here, what they list, and what is found
    "spent": (attempt("booked", 500), "a,charged,500,JPY", None),
    "on the balance": (attempt("credited", 500), "a,charged,500,JPY", None),
    "given back": (attempt("voided", 500), "a,voided,500,JPY", None),
    "given back, and no longer listed": (attempt("voided", 500), "", None),
    "nothing was taken": (attempt("not_charged"), "", None),
    "declined": (attempt("declined"), "", None),
    "nobody's": (None, "a,charged,500,JPY", Finding.UNKNOWN_KEY),
    "nobody's, given back": (None, "a,voided,500,JPY", Finding.UNKNOWN_KEY),
    "twice": (attempt("booked", 500), "a,charged,500,JPY\na,charged,500,JPY", Finding.TWICE),
    "still in doubt": (attempt("unknown"), "a,charged,500,JPY", Finding.UNDER_WAY),
    "to be voided": (attempt("void_requested", 507), "a,charged,507,JPY", Finding.UNDER_WAY),
    "to be voided, not listed": (attempt("void_requested", 507), "", Finding.UNDER_WAY),
    "another amount": (attempt("booked", 500), "a,charged,501,JPY", Finding.OTHER_AMOUNT),
    "another currency": (attempt("booked", 500), "a,charged,500,USD", Finding.OTHER_AMOUNT),
    "another amount given back": (attempt("voided", 500), "a,voided,501,JPY", Finding.OTHER_AMOUNT),
    "taken after all": (attempt("not_charged"), "a,charged,500,JPY", Finding.NOT_TAKEN),
    "taken though declined": (attempt("declined"), "a,charged,500,JPY", Finding.NOT_TAKEN),
    "taken and given back unseen": (attempt("not_charged"), "a,voided,500,JPY", Finding.NOTHING_LEFT),
    "kept": (attempt("voided", 500), "a,charged,500,JPY", Finding.NOT_GIVEN_BACK),
    "given back though spent": (attempt("booked", 500), "a,voided,500,JPY", Finding.GIVEN_BACK),
    "not listed": (attempt("booked", 500), "", Finding.NOT_LISTED),
}


@pytest.mark.parametrize("row", ROWS)
def test_every_kind_of_difference(row: str) -> None:
    ours, listed, finding = ROWS[row]
    found = compare(read_settlement(HEAD + listed, "list.csv"), {} if ours is None else {"a": ours})
    assert [one.finding for one in found] == ([] if finding is None else [finding])
    for one in found:
        assert one.finding in ADVICE
        assert one.account == (0 if ours is None else 7)
        assert one.under_way is (one.finding is Finding.UNDER_WAY)


def test_every_finding_is_found_and_explained() -> None:
    assert {finding for _, _, finding in ROWS.values()} == {None, *Finding}
    assert ADVICE.keys() == set(Finding)


LINE = SettlementLine("a", "charged", 500, "JPY")


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}a,charged,500,JPY\n",
        f"\ufeff{HEAD}a,charged,500,JPY\r\n",
        "day, currency, key, result, amount_minor\n2026-06-15, JPY, a, charged, 500\n",
        '[{"key": "a", "result": "charged", "amount_minor": 500, "currency": "JPY", "fee": 3}]',
    ],
)
def test_a_list_is_read(text: str) -> None:
    assert read_settlement(text, "list.csv") == [LINE]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a header with key, result, amount_minor, currency is missing (the file is empty)"),
        ("a,charged,500,JPY\n", "is missing (the first line has a, charged, 500, JPY)"),
        ("key;result;amount_minor;currency\na;charged;500;JPY\n", "is missing (the first line has key;result"),
        ("key,result,currency\na,charged,JPY\n", "a header with amount_minor is missing"),
        (f"{HEAD}a,charged,500,JPY\nb,Charged,500,JPY\n", "line 3: result: charged or voided needed, Charged found"),
        (f"{HEAD}a,charged,5.00,JPY\n", "line 2: amount_minor: a whole number of minor units needed, 5.00 found"),
        (f"{HEAD}a,charged,500,yen\n", "line 2: currency: ISO 4217 letters needed, yen found"),
        (f"{HEAD},charged,500,JPY\n", "line 2: key: the charge's key is missing"),
        (f"{HEAD}a,charged\n", "line 2: amount_minor: a whole number of minor units needed, nothing found"),
        ('[{"key": "a"}]', "missing required field `result`"),
        ("[", "truncated"),
    ],
)
def test_what_is_no_list_is_said(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_settlement(text, "list.csv")
    assert str(raised.value).startswith("list.csv: ")
    assert complaint in str(raised.value)


def test_totals() -> None:
    lines = [LINE, LINE, SettlementLine("b", "voided", 7, "JPY"), SettlementLine("c", "charged", 1, "USD")]
    assert totals(lines) == {"charged JPY": 1_000, "charged USD": 1, "voided JPY": 7}
