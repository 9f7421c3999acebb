"""The rules about merchants, amounts, limits and funds, each at its boundary."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.contracts.message import Channel, EntryMode, Kind, Operation
from switch.contracts.reason import Reason
from switch.issuer.case import Case
from switch.issuer.rules import RULES, spending_amount
from switch.issuer.usage import Usage
from tests.issuer.support import NOON, a_case, a_program, a_request, an_account

TODAY = date(2026, 6, 15)


def declined(rule: str, case: Case) -> Reason | None:
    return RULES[rule](case).decline


# ── merchant


@pytest.mark.parametrize(
    ("rules", "merchant", "reason"),
    [
        ({}, {}, None),
        ({"mcc_blocked": ["5541"]}, {"mcc": "5541"}, Reason.PRODUCT_NOT_ALLOWED),
        ({"mcc_blocked": ["5541"]}, {"mcc": "5542"}, None),
        ({"mcc_blocked": ["3501-3790"]}, {"mcc": "3500"}, None),
        ({"mcc_blocked": ["3501-3790"]}, {"mcc": "3501"}, Reason.PRODUCT_NOT_ALLOWED),
        ({"mcc_blocked": ["3501-3790"]}, {"mcc": "3790"}, Reason.PRODUCT_NOT_ALLOWED),
        ({"mcc_blocked": ["3501-3790"]}, {"mcc": "3791"}, None),
        ({"mcc_blocked": ["0000-9999"]}, {"mcc": ""}, None),
        ({"mcc_blocked": ["0000-9999"]}, {"mcc": "54112"}, None),  # no MCC at all
        ({"mcc_allowed": ["5411"]}, {"mcc": "5411"}, None),
        ({"mcc_allowed": ["5411"]}, {"mcc": "5412"}, Reason.PRODUCT_NOT_ALLOWED),
        ({"mcc_allowed": ["5411"]}, {"mcc": ""}, Reason.PRODUCT_NOT_ALLOWED),
        ({"mcc_allowed": ["5411"], "mcc_blocked": ["5411"]}, {"mcc": "5411"}, Reason.PRODUCT_NOT_ALLOWED),
        ({"countries_blocked": ["KP"]}, {"merchant_country": "KP"}, Reason.PRODUCT_NOT_ALLOWED),
        ({"countries_blocked": ["KP"]}, {"merchant_country": "KR"}, None),
        ({"countries_blocked": ["KP"]}, {"merchant_country": ""}, None),
        ({"countries_allowed": ["JP"]}, {"merchant_country": "JP"}, None),
        ({"countries_allowed": ["JP"]}, {"merchant_country": "US"}, Reason.PRODUCT_NOT_ALLOWED),
        ({"countries_allowed": ["JP"]}, {"merchant_country": ""}, Reason.PRODUCT_NOT_ALLOWED),
        ({"merchants_blocked": ["BADSHOP"]}, {"merchant_id": "BADSHOP"}, Reason.MERCHANT_BLOCKED),
        ({"merchants_blocked": ["BADSHOP"]}, {"merchant_id": "BADSHOP2"}, None),
        ({"merchants_blocked": ["BADSHOP"]}, {"merchant_id": ""}, None),
    ],
)
def test_merchants(rules: dict[str, list[str]], merchant: dict[str, str], reason: Reason | None) -> None:
    case = a_case(a_request(**merchant), program=a_program(merchants=rules))
    assert declined("merchant", case) is reason
    assert declined("merchant", case) is reason, "the second answer comes from the cache and is the same"


@pytest.mark.parametrize("channel", list(Channel))
def test_channels(channel: Channel) -> None:
    only_shop = a_program(channels=["in_store"])
    refused = declined("merchant", a_case(a_request(channel=channel), program=only_shop))
    assert refused is (None if channel is Channel.IN_STORE else Reason.PRODUCT_NOT_ALLOWED)


@pytest.mark.parametrize("mode", list(EntryMode))
def test_entry_modes(mode: EntryMode) -> None:
    no_stripe = a_program(entry_modes=["chip", "contactless"])
    refused = declined("merchant", a_case(a_request(entry_mode=mode), program=no_stripe))
    assert refused is (None if mode in (EntryMode.CHIP, EntryMode.CONTACTLESS) else Reason.PRODUCT_NOT_ALLOWED)


# ── amount and currency


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("amount", [0, 1])
def test_what_moves_money_has_an_amount(operation: Operation, amount: int) -> None:
    moves = operation in (Operation.PURCHASE, Operation.CASH_WITHDRAWAL, Operation.REFUND)
    expected = Reason.INVALID_AMOUNT if moves and amount == 0 else None
    assert declined("amount", a_case(a_request(Kind.AUTHORIZATION, amount, operation=operation))) is expected


@pytest.mark.parametrize(
    ("message", "value", "reason"),
    [
        ({"currency": "JPY"}, 1_000, None),
        ({"currency": "USD"}, None, Reason.CURRENCY_NOT_SERVED),
        ({"currency": ""}, None, Reason.CURRENCY_NOT_SERVED),
        ({"currency": "USD", "billing_currency": "JPY", "billing_amount_minor": 1_530}, 1_530, None),
        # The transaction amount counts where it is in the account's currency, whatever the billing amount says.
        ({"currency": "JPY", "billing_currency": "JPY", "billing_amount_minor": 5}, 1_000, None),
        ({"currency": "USD", "billing_currency": "JPY"}, None, Reason.CURRENCY_NOT_SERVED),
        (
            {"currency": "USD", "billing_currency": "JPY", "billing_amount_minor": 0},
            0,
            Reason.CURRENCY_NOT_SERVED,
        ),
        (
            {"currency": "USD", "billing_currency": "EUR", "billing_amount_minor": 5},
            None,
            Reason.CURRENCY_NOT_SERVED,
        ),
    ],
)
def test_the_amount_in_the_accounts_currency(message: dict[str, Any], value: int | None, reason: Reason | None) -> None:
    case = a_case(a_request(**message))
    assert spending_amount(case) == value
    assert declined("currency", case) is reason


@pytest.mark.parametrize("operation", [Operation.BALANCE_INQUIRY, Operation.ACCOUNT_VERIFICATION])
def test_an_inquiry_needs_no_currency(operation: Operation) -> None:
    assert declined("currency", a_case(a_request(Kind.AUTHORIZATION, 0, operation=operation, currency=""))) is None


# ── limits


@pytest.mark.parametrize(
    ("amount", "limit", "reason"),
    [(999, 1_000, None), (1_000, 1_000, None), (1_001, 1_000, Reason.OVER_AMOUNT_LIMIT), (10**9, None, None)],
)
def test_the_limit_of_one_purchase(amount: int, limit: int | None, reason: Reason | None) -> None:
    program = a_program(limits={"per_purchase_minor": limit})
    assert declined("purchase_limit", a_case(a_request(Kind.AUTHORIZATION, amount), program=program)) is reason


PERIODS = [
    ("daily_limit", "daily", "day"),
    ("monthly_limit", "monthly", "month"),
    ("lifetime_limit", "lifetime", "lifetime"),
]


@pytest.mark.parametrize(("rule", "table", "counter"), PERIODS)
@pytest.mark.parametrize(
    ("spent", "amount", "reason"),
    [
        (0, 1_000, None),
        (0, 1_001, Reason.OVER_AMOUNT_LIMIT),
        (999, 1, None),
        (999, 2, Reason.OVER_AMOUNT_LIMIT),
        (1_000, 1, Reason.OVER_AMOUNT_LIMIT),
    ],
)
def test_amount_limits(rule: str, table: str, counter: str, spent: int, amount: int, reason: Reason | None) -> None:
    program = a_program(limits={table: {"amount_minor": 1_000}})
    usage = Usage(7, TODAY, **{f"{counter}_minor": spent})
    assert declined(rule, a_case(a_request(Kind.AUTHORIZATION, amount), program=program, usage=usage)) is reason


@pytest.mark.parametrize(("rule", "table", "counter"), PERIODS)
@pytest.mark.parametrize(
    ("count", "incremental", "reason"),
    [
        (0, False, None),
        (2, False, None),
        (3, False, Reason.OVER_COUNT_LIMIT),
        (4, False, Reason.OVER_COUNT_LIMIT),
        (3, True, None),  # the purchase was counted when it began
    ],
)
def test_count_limits(
    rule: str, table: str, counter: str, count: int, incremental: bool, reason: Reason | None
) -> None:
    program = a_program(limits={table: {"count": 3}})
    usage = Usage(7, TODAY, **{f"{counter}_count": count})
    assert declined(rule, a_case(a_request(incremental=incremental), program=program, usage=usage)) is reason


@pytest.mark.parametrize(("rule", "table", "counter"), PERIODS)
def test_the_amount_is_named_first_when_both_limits_are_over(rule: str, table: str, counter: str) -> None:
    program = a_program(limits={table: {"amount_minor": 10, "count": 1}})
    usage = Usage(7, TODAY, **{f"{counter}_minor": 10, f"{counter}_count": 1})
    assert declined(rule, a_case(program=program, usage=usage)) is Reason.OVER_AMOUNT_LIMIT


@pytest.mark.parametrize(("rule", "table", "counter"), PERIODS)
@pytest.mark.parametrize("operation", [Operation.REFUND, Operation.BALANCE_INQUIRY, Operation.ACCOUNT_VERIFICATION])
def test_limits_bind_spending_only(rule: str, table: str, counter: str, operation: Operation) -> None:
    program = a_program(limits={table: {"amount_minor": 0, "count": 0}, "per_purchase_minor": 0})
    case = a_case(a_request(operation=operation), program=program)
    assert declined(rule, case) is None
    assert declined("purchase_limit", case) is None


def test_a_limit_of_zero_stops_everything() -> None:
    program = a_program(limits={"daily": {"count": 0}})
    assert declined("daily_limit", a_case(program=program)) is Reason.OVER_COUNT_LIMIT


@pytest.mark.parametrize(
    ("rule", "zone", "now", "reason"),
    [
        # 1,000 was spent on 31 December 2026 in Tokyo, which is the limit of a day, and of a month.
        ("daily_limit", "Asia/Tokyo", "2026-12-31T14:59:59", Reason.OVER_AMOUNT_LIMIT),
        ("daily_limit", "Asia/Tokyo", "2026-12-31T15:00:00", None),  # midnight in Tokyo
        ("daily_limit", "UTC", "2026-12-31T15:00:00", Reason.OVER_AMOUNT_LIMIT),
        ("daily_limit", "UTC", "2027-01-01T00:00:00", None),
        ("monthly_limit", "Asia/Tokyo", "2026-12-31T14:59:59", Reason.OVER_AMOUNT_LIMIT),
        ("monthly_limit", "Asia/Tokyo", "2026-12-31T15:00:00", None),  # New Year in Tokyo
        ("monthly_limit", "UTC", "2026-12-31T23:59:59", Reason.OVER_AMOUNT_LIMIT),
        ("monthly_limit", "UTC", "2027-12-31T00:00:00", None),  # the same month of another year
        ("lifetime_limit", "Asia/Tokyo", "2026-12-31T15:00:00", Reason.OVER_AMOUNT_LIMIT),
        # The clock went back: the counters of the later day stay.
        ("daily_limit", "UTC", "2026-12-30T12:00:00", Reason.OVER_AMOUNT_LIMIT),
        ("monthly_limit", "UTC", "2026-11-30T12:00:00", Reason.OVER_AMOUNT_LIMIT),
    ],
)
def test_periods_begin_in_the_programs_zone(rule: str, zone: str, now: str, reason: Reason | None) -> None:
    limit = {"amount_minor": 1_000}
    program = a_program(time_zone=zone, limits={"daily": limit, "monthly": limit, "lifetime": limit})
    usage = Usage(7, date(2026, 12, 31), 1_000, 1, 1_000, 1, 1_000, 1)
    case = a_case(
        a_request(Kind.AUTHORIZATION, 1),
        program=program,
        usage=usage,
        now=datetime.fromisoformat(now).replace(tzinfo=UTC),
    )
    assert declined(rule, case) is reason


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-03-08T04:59:59", date(2026, 3, 7)),  # New York, five hours behind
        ("2026-03-08T05:00:00", date(2026, 3, 8)),
        ("2026-03-09T03:59:59", date(2026, 3, 8)),  # summer time began: four hours
        ("2026-03-09T04:00:00", date(2026, 3, 9)),
    ],
)
def test_summer_time_moves_midnight(now: str, day: date) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert a_case(program=a_program(time_zone="America/New_York"), now=at).today == day


# ── funds


@pytest.mark.parametrize(
    ("account", "amount", "approved", "reason"),
    [
        ({"posted_minor": 1_000}, 999, 999, None),
        ({"posted_minor": 1_000}, 1_000, 1_000, None),
        ({"posted_minor": 1_000}, 1_001, None, Reason.INSUFFICIENT_FUNDS),
        ({"posted_minor": 1_000, "held_minor": 400}, 600, 600, None),
        ({"posted_minor": 1_000, "held_minor": 400}, 601, None, Reason.INSUFFICIENT_FUNDS),
        ({"posted_minor": 1_000, "floor_minor": 100}, 900, 900, None),
        ({"posted_minor": 1_000, "floor_minor": 100}, 901, None, Reason.INSUFFICIENT_FUNDS),
        ({"posted_minor": 0, "floor_minor": -500}, 500, 500, None),  # a credit line
        ({"posted_minor": -10}, 1, None, Reason.INSUFFICIENT_FUNDS),
        ({"posted_minor": 0}, 1, None, Reason.INSUFFICIENT_FUNDS),
    ],
)
def test_funds(account: dict[str, int], amount: int, approved: int | None, reason: Reason | None) -> None:
    changed = {**account}
    case = a_case(a_request(Kind.AUTHORIZATION, amount), account=an_account(changed.pop("posted_minor"), **changed))
    verdict = RULES["funds"](case)
    assert (verdict.approved_minor, verdict.decline) == (approved, reason)


@pytest.mark.parametrize(
    ("serves", "spendable", "message", "approved"),
    [
        (True, 300, {"partial_supported": True}, 300),
        (False, 300, {"partial_supported": True}, None),
        (True, 300, {"partial_supported": False}, None),
        (True, 0, {"partial_supported": True}, None),
        (True, -5, {"partial_supported": True}, None),
        (True, 300, {"partial_supported": True, "incremental": True}, None),
        (True, 300, {"partial_supported": True, "operation": Operation.CASH_WITHDRAWAL}, None),
        (
            True,
            300,
            {
                "partial_supported": True,
                "currency": "USD",
                "billing_currency": "JPY",
                "billing_amount_minor": 1_000,
            },
            None,  # how much that is in the terminal's currency, nobody here can say
        ),
    ],
)
def test_partial_approval(serves: bool, spendable: int, message: dict[str, Any], approved: int | None) -> None:
    case = a_case(a_request(**message), account=an_account(spendable), program=a_program(partial_approval=serves))
    verdict = RULES["funds"](case)
    assert verdict.approved_minor == approved
    assert (verdict.decline is None) == (approved is not None)


@given(
    posted=st.integers(-(10**6), 10**6),
    held=st.integers(0, 10**6),
    floor=st.integers(-(10**5), 10**5),
    amount=st.integers(1, 10**6),
    serves=st.booleans(),
    supported=st.booleans(),
)
def test_funds_never_approves_more_than_is_there_or_asked(
    posted: int, held: int, floor: int, amount: int, serves: bool, supported: bool
) -> None:
    verdict = RULES["funds"](
        a_case(
            a_request(Kind.AUTHORIZATION, amount, partial_supported=supported),
            account=an_account(posted, held_minor=held, floor_minor=floor),
            program=a_program(partial_approval=serves),
        )
    )
    if verdict.approved_minor is None:
        assert verdict.decline is Reason.INSUFFICIENT_FUNDS
        assert amount > posted - held - floor
    else:
        assert 0 < verdict.approved_minor <= min(amount, posted - held - floor)


@given(limit=st.integers(0, 10**6), spent=st.integers(0, 10**6), amount=st.integers(1, 10**6))
def test_what_passes_the_daily_limit_stays_within_it(limit: int, spent: int, amount: int) -> None:
    case = a_case(
        a_request(Kind.AUTHORIZATION, amount),
        program=a_program(limits={"daily": {"amount_minor": limit}}),
        usage=Usage(7, NOON.date(), day_minor=spent),
    )
    assert (declined("daily_limit", case) is None) == (spent + amount <= limit)
