"""The rules about the card and its codes, each at its boundary."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.contracts.message import Channel, EntryMode, Operation
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan, Secret
from switch.issuer.card import CardStatus, Credential
from switch.issuer.case import Case
from switch.issuer.rules import RULES
from tests.issuer.support import CODES, PAN, a_card, a_case, a_program, a_request, of_unknown_card


def declined(rule: str, case: Case) -> Reason | None:
    return RULES[rule](case).decline


# ── card_known


def test_an_unknown_number_is_declined_and_the_trace_tells_whether_luhn_fits() -> None:
    good = RULES["card_known"](of_unknown_card())
    bad = RULES["card_known"](of_unknown_card(a_request(pan=Pan("4" + "0" * 13 + "11"))))

    assert good.decline is bad.decline is Reason.UNKNOWN_CARD
    assert good.seen == {"card": None, "luhn": True}
    assert bad.seen == {"card": None, "luhn": False}


def test_a_known_card_passes() -> None:
    assert declined("card_known", a_case()) is None


# ── card_status and cardholder_lock


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (CardStatus.ACTIVE, None),
        (CardStatus.NOT_ACTIVATED, Reason.CARD_NOT_ACTIVATED),
        (CardStatus.BLOCKED, Reason.CARD_BLOCKED),
        (CardStatus.LOST, Reason.CARD_LOST),
        (CardStatus.STOLEN, Reason.CARD_STOLEN),
        (CardStatus.CLOSED, Reason.CARD_CLOSED),
    ],
)
def test_only_an_active_card_spends(status: CardStatus, reason: Reason | None) -> None:
    assert declined("card_status", a_case(card=a_card(status=status))) is reason


def test_every_status_but_active_has_a_reason() -> None:
    spends = [s for s in CardStatus if declined("card_status", a_case(card=a_card(status=s))) is None]
    assert spends == [CardStatus.ACTIVE]


@pytest.mark.parametrize(("locked", "reason"), [(False, None), (True, Reason.CARD_LOCKED)])
def test_the_cardholders_lock(locked: bool, reason: Reason | None) -> None:
    assert declined("cardholder_lock", a_case(card=a_card(locked=locked))) is reason


# ── credentials

ACTIVE, BLOCKED, LOST = CardStatus.ACTIVE, CardStatus.BLOCKED, CardStatus.LOST


@pytest.mark.parametrize(
    ("card", "credential", "only_on", "reason"),
    [
        (ACTIVE, ACTIVE, "", None),
        (ACTIVE, ACTIVE, "west", None),
        (ACTIVE, ACTIVE, "east", Reason.PRODUCT_NOT_ALLOWED),
        (ACTIVE, BLOCKED, "", Reason.CARD_BLOCKED),
        (ACTIVE, BLOCKED, "east", Reason.CARD_BLOCKED),
        (LOST, ACTIVE, "", Reason.CARD_LOST),
        (LOST, BLOCKED, "", Reason.CARD_LOST),
        (BLOCKED, LOST, "", Reason.CARD_BLOCKED),
        (LOST, BLOCKED, "east", Reason.CARD_LOST),
    ],
)
def test_the_card_comes_before_the_credential_and_that_before_the_network(
    card: CardStatus, credential: CardStatus, only_on: str, reason: Reason | None
) -> None:
    presented = a_card(status=card, credential=Credential(9, credential, only_on))
    verdict = RULES["card_status"](a_case(a_request(network="west"), card=presented))

    assert verdict.decline is reason
    assert verdict.seen == {
        "status": card,
        "credential": 9,
        "credential_status": credential,
        "only_on": only_on,
        "network": "west",
    }


@given(card=st.sampled_from(CardStatus), credential=st.sampled_from(CardStatus))
def test_only_an_active_credential_of_an_active_card_spends(card: CardStatus, credential: CardStatus) -> None:
    presented = a_card(status=card, credential=Credential(9, credential, ""))

    spends = declined("card_status", a_case(card=presented)) is None

    assert spends == (card is credential is ACTIVE)
    assert (presented.standing is ACTIVE) == spends


def test_the_cardholders_lock_is_on_every_number() -> None:
    presented = a_card(locked=True, credential=Credential(9, ACTIVE, ""))
    assert declined("cardholder_lock", a_case(card=presented)) is Reason.CARD_LOCKED


# ── card_expiry


@pytest.mark.parametrize(
    ("zone", "now", "reason"),
    [
        # Card 2606: good through 30 June in the program's zone. Tokyo is nine hours ahead of UTC.
        ("Asia/Tokyo", "2026-06-30T14:59:59", None),
        ("Asia/Tokyo", "2026-06-30T15:00:00", Reason.EXPIRED_CARD),
        ("UTC", "2026-06-30T15:00:00", None),
        ("UTC", "2026-06-30T23:59:59", None),
        ("UTC", "2026-07-01T00:00:00", Reason.EXPIRED_CARD),
        ("America/New_York", "2026-07-01T03:59:59", None),
        ("America/New_York", "2026-07-01T04:00:00", Reason.EXPIRED_CARD),
        ("Asia/Tokyo", "2026-06-01T00:00:00", None),
        ("Asia/Tokyo", "2027-01-01T00:00:00", Reason.EXPIRED_CARD),
    ],
)
def test_a_card_is_good_through_the_last_day_of_its_month(zone: str, now: str, reason: Reason | None) -> None:
    case = a_case(
        card=a_card(expiry="2606"),
        program=a_program(time_zone=zone),
        now=datetime.fromisoformat(now).replace(tzinfo=UTC),
    )
    assert declined("card_expiry", case) is reason


@pytest.mark.parametrize(
    ("expiry", "last_good", "first_bad"),
    [
        ("2602", "2026-02-28", "2026-03-01"),
        ("2802", "2028-02-29", "2028-03-01"),  # a leap year
        ("2612", "2026-12-31", "2027-01-01"),
    ],
)
def test_the_last_day_of_short_months_leap_years_and_december(expiry: str, last_good: str, first_bad: str) -> None:
    def at(day: str) -> Case:
        now = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
        return a_case(card=a_card(expiry=expiry), program=a_program(time_zone="UTC"), now=now)

    assert declined("card_expiry", at(last_good)) is None
    assert declined("card_expiry", at(first_bad)) is Reason.EXPIRED_CARD


@pytest.mark.parametrize(
    ("sent", "reason"), [("", None), ("3012", None), ("3011", Reason.EXPIRY_MISMATCH), ("1230", Reason.EXPIRY_MISMATCH)]
)
def test_a_sent_expiry_must_be_the_cards(sent: str, reason: Reason | None) -> None:
    assert declined("card_expiry", a_case(a_request(expiry=sent))) is reason


@given(
    now=st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001 hypothesis takes naive bounds
    year=st.integers(0, 99),
    month=st.integers(1, 12),
)
def test_expired_means_that_the_month_has_passed(now: datetime, year: int, month: int) -> None:
    program = a_program()
    local = now.astimezone(program.zone)
    case = a_case(card=a_card(expiry=f"{year:02d}{month:02d}"), program=program, now=now)

    expired = declined("card_expiry", case) is Reason.EXPIRED_CARD

    assert expired == ((local.year, local.month) > (2000 + year, month))


# ── operation and pin


@pytest.mark.parametrize("asked", list(Operation))
def test_a_program_serves_the_operations_that_it_lists(asked: Operation) -> None:
    narrow = a_program(operations=["purchase"])
    expected = {
        Operation.PURCHASE: None,
        Operation.UNSUPPORTED: Reason.UNSUPPORTED_OPERATION,
    }.get(asked, Reason.PRODUCT_NOT_ALLOWED)

    assert declined("operation", a_case(a_request(operation=asked), program=narrow)) is expected


def test_unsupported_stays_unsupported_even_when_a_program_lists_it() -> None:
    program = a_program(operations=["purchase", "unsupported"])
    case = a_case(a_request(operation=Operation.UNSUPPORTED), program=program)
    assert declined("operation", case) is Reason.UNSUPPORTED_OPERATION


@pytest.mark.parametrize(("has_pin", "reason"), [(False, None), (True, Reason.PIN_NOT_SERVED)])
def test_a_pin_that_cannot_be_verified_is_declined(has_pin: bool, reason: Reason | None) -> None:
    assert declined("pin", a_case(a_request(has_pin=has_pin))) is reason


# ── security_code

CVV = CODES.cvv("plain", PAN, "3012", "101")
ICVV = CODES.cvv("plain", PAN, "3012", "999")
CVV2 = CODES.cvv("plain", PAN, "3012", "000")
WRONG = next(Secret(code) for code in ("000", "111", "222", "333") if Secret(code) not in (CVV, ICVV, CVV2))


def test_the_three_codes_of_the_test_card_differ() -> None:
    assert len({CVV.reveal(), ICVV.reveal(), CVV2.reveal()}) == 3


@pytest.mark.parametrize(
    ("mode", "cvv", "reason"),
    [
        (EntryMode.MAGNETIC_STRIPE, CVV, None),
        (EntryMode.MAGNETIC_STRIPE, ICVV, Reason.CVV_FAILED),  # the chip's code copied to a stripe
        (EntryMode.MAGNETIC_STRIPE, WRONG, Reason.CVV_FAILED),
        (EntryMode.CHIP, ICVV, None),
        (EntryMode.CHIP, CVV, Reason.CVV_FAILED),
        (EntryMode.CONTACTLESS, ICVV, None),
        (EntryMode.CONTACTLESS, CVV, Reason.CVV_FAILED),
        (EntryMode.UNKNOWN, CVV, None),
        (EntryMode.MAGNETIC_STRIPE, None, None),
    ],
)
def test_the_code_of_a_track(mode: EntryMode, cvv: Secret | None, reason: Reason | None) -> None:
    assert declined("security_code", a_case(a_request(entry_mode=mode, cvv=cvv))) is reason


@pytest.mark.parametrize(
    ("policy", "channel", "operation", "cvv2", "reason"),
    [
        ("when_present", Channel.ECOMMERCE, Operation.PURCHASE, None, None),
        ("when_present", Channel.ECOMMERCE, Operation.PURCHASE, CVV2, None),
        ("when_present", Channel.IN_STORE, Operation.PURCHASE, WRONG, Reason.CVV2_MISMATCH),
        ("card_not_present", Channel.ECOMMERCE, Operation.PURCHASE, None, Reason.SECURITY_CODE_MISSING),
        ("card_not_present", Channel.MAIL_OR_PHONE, Operation.PURCHASE, None, Reason.SECURITY_CODE_MISSING),
        ("card_not_present", Channel.IN_STORE, Operation.PURCHASE, None, None),
        ("card_not_present", Channel.ATM, Operation.CASH_WITHDRAWAL, None, None),
        ("card_not_present", Channel.ECOMMERCE, Operation.REFUND, None, None),
        ("card_not_present", Channel.ECOMMERCE, Operation.PURCHASE, CVV2, None),
        ("card_not_present", Channel.ECOMMERCE, Operation.PURCHASE, WRONG, Reason.CVV2_MISMATCH),
        ("card_not_present", Channel.ECOMMERCE, Operation.REFUND, WRONG, Reason.CVV2_MISMATCH),
    ],
)
def test_cvv2(policy: str, channel: Channel, operation: Operation, cvv2: Secret | None, reason: Reason | None) -> None:
    case = a_case(a_request(channel=channel, operation=operation, cvv2=cvv2), program=a_program(security_code=policy))
    assert declined("security_code", case) is reason


def test_a_code_is_checked_with_the_cards_own_expiry_not_the_sent_one() -> None:
    assert declined("security_code", a_case(a_request(cvv2=CVV2, expiry="2901"))) is None


def test_the_trace_tells_match_or_not_and_never_the_code() -> None:
    verdict = RULES["security_code"](a_case(a_request(cvv=CVV, cvv2=WRONG, entry_mode=EntryMode.MAGNETIC_STRIPE)))

    assert verdict.seen == {"policy": "when_present", "cvv": "match", "cvv2": "no_match"}
