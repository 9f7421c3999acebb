"""What a message says, element by element."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from switch.contracts.message import Channel, EntryMode, Kind, Operation, OriginalElements, Request, StandIn
from switch.contracts.secret import Pan, Secret
from switch.wire.errors import DecodeFailure
from switch.wire.inbound import Inbound, ManagementFunction
from tests.wire.support import DIALECTS, PAN, RECEIVED, codec, purchase

TRACK2 = f"{PAN}=29122011" + "2345" + "678" + "99"


def decoded(fields: dict[str, str], name: str = "iso87_ascii", received_at: datetime = RECEIVED) -> Inbound:
    return codec(name).decode(codec(name).encode(fields), network="alpha", received_at=received_at)


def request(fields: dict[str, str], received_at: datetime = RECEIVED) -> Request:
    found = decoded(fields, received_at=received_at).request
    assert found is not None
    return found


@pytest.mark.parametrize("name", DIALECTS)
def test_a_purchase(name: str) -> None:
    inbound = decoded(purchase(), name)
    assert (inbound.mti, inbound.is_answer, inbound.management) == ("0100", False, None)
    assert inbound.fields["2"] == PAN
    assert inbound.request == Request(
        network="alpha",
        dialect=name,
        kind=Kind.AUTHORIZATION,
        mti="0100",
        repeat=False,
        operation=Operation.PURCHASE,
        pan=Pan(PAN),
        amount_minor=5_000,
        currency="JPY",
        stan="000123",
        transmitted="0615030405",
        transmitted_at=datetime(2026, 6, 15, 3, 4, 5, tzinfo=UTC),
        acquirer_id="123456",
        retrieval_reference="616612000123",
        terminal_id="TERM01",
        merchant_id="SHOP0000001",
        merchant_name="COFFEE AND CAKE".ljust(25) + "TOKYO".ljust(13) + "JP",
        merchant_country="JP",
        mcc="5411",
        entry_mode=EntryMode.CHIP,
        channel=Channel.IN_STORE,
        expiry="2912",
    )


@pytest.mark.parametrize(
    ("mti", "kind", "repeat"),
    [
        ("0100", Kind.AUTHORIZATION, False),
        ("0101", Kind.AUTHORIZATION, True),
        ("0120", Kind.AUTHORIZATION_ADVICE, False),
        ("0121", Kind.AUTHORIZATION_ADVICE, True),
        ("0200", Kind.FINANCIAL, False),
        ("0201", Kind.FINANCIAL, True),
        ("0220", Kind.FINANCIAL_ADVICE, False),
        ("0221", Kind.FINANCIAL_ADVICE, True),
        ("0400", Kind.REVERSAL, False),
        ("0401", Kind.REVERSAL, True),
        ("0420", Kind.REVERSAL, False),
        ("0421", Kind.REVERSAL, True),
    ],
)
def test_kinds(mti: str, kind: Kind, repeat: bool) -> None:
    found = request(purchase(t=mti))
    assert (found.kind, found.repeat, found.mti) == (kind, repeat, mti)


@pytest.mark.parametrize(
    ("changes", "operation"),
    [
        ({"f3": "000000"}, Operation.PURCHASE),
        ({"f3": "001020"}, Operation.PURCHASE),
        ({"f3": "010000"}, Operation.CASH_WITHDRAWAL),
        ({"f3": "200000"}, Operation.REFUND),
        ({"f3": "300000"}, Operation.BALANCE_INQUIRY),
        ({"f3": "310000"}, Operation.BALANCE_INQUIRY),
        ({"f3": "310000", "f4": None}, Operation.BALANCE_INQUIRY),
        ({"f3": "090000"}, Operation.UNSUPPORTED),
        ({"f3": "990000"}, Operation.UNSUPPORTED),
        ({"f4": "0" * 12}, Operation.ACCOUNT_VERIFICATION),
        ({"t": "0101", "f4": "0" * 12}, Operation.ACCOUNT_VERIFICATION),
        ({"t": "0120", "f4": "0" * 12}, Operation.ACCOUNT_VERIFICATION),
        ({"t": "0200", "f4": "0" * 12}, Operation.PURCHASE),
        ({"f3": "200000", "f4": "0" * 12}, Operation.REFUND),
        ({"t": "0400", "f3": None}, Operation.UNSUPPORTED),
    ],
)
def test_operations(changes: dict[str, str | None], operation: Operation) -> None:
    assert request(purchase(**changes)).operation is operation


@pytest.mark.parametrize(
    ("code", "entry_mode"),
    [
        ("000", EntryMode.UNKNOWN),
        ("011", EntryMode.MANUAL),
        ("021", EntryMode.MAGNETIC_STRIPE),
        ("901", EntryMode.MAGNETIC_STRIPE),
        ("051", EntryMode.CHIP),
        ("951", EntryMode.CHIP),
        ("071", EntryMode.CONTACTLESS),
        ("911", EntryMode.CONTACTLESS),
        ("100", EntryMode.CREDENTIAL_ON_FILE),
        ("810", EntryMode.ECOMMERCE),
        ("770", EntryMode.UNKNOWN),
        (None, EntryMode.UNKNOWN),
    ],
)
def test_entry_modes(code: str | None, entry_mode: EntryMode) -> None:
    assert request(purchase(f22=code)).entry_mode is entry_mode


@pytest.mark.parametrize(
    ("changes", "channel"),
    [
        ({}, Channel.IN_STORE),
        ({"f18": None, "f22": None, "f25": None}, Channel.IN_STORE),
        ({"f18": "6011"}, Channel.ATM),
        ({"f3": "010000"}, Channel.ATM),
        ({"f18": "6011", "f25": "59"}, Channel.ATM),
        ({"f22": "810"}, Channel.ECOMMERCE),
        ({"f25": "59"}, Channel.ECOMMERCE),
        ({"f22": "810", "f25": "08"}, Channel.ECOMMERCE),
        ({"f25": "08"}, Channel.MAIL_OR_PHONE),
        ({"f22": "100"}, Channel.ECOMMERCE),
        ({"f22": "100", "f25": "08"}, Channel.MAIL_OR_PHONE),
    ],
)
def test_channels(changes: dict[str, str | None], channel: Channel) -> None:
    assert request(purchase(**changes)).channel is channel


@pytest.mark.parametrize(
    ("transmitted", "received", "year"),
    [
        ("0615030405", "2026-06-15T03:04:06", 2026),
        ("1231235959", "2027-01-01T00:00:01", 2026),
        ("0101000000", "2026-12-31T23:59:59", 2027),
        ("1231120000", "2026-12-31T12:00:01", 2026),
        ("0101000001", "2027-01-01T00:00:01", 2027),
        ("1201000000", "2027-02-01T00:00:00", 2026),
        ("0229120000", "2028-02-29T12:00:01", 2028),
        ("0229120000", "2027-12-01T00:00:00", 2028),
        ("0229120000", "2028-08-01T00:00:00", 2028),
    ],
)
def test_the_year_of_de7(transmitted: str, received: str, year: int) -> None:
    received_at = datetime.fromisoformat(received).replace(tzinfo=UTC)
    found = request(purchase(f7=transmitted), received_at)
    assert found.transmitted_at.year == year
    assert found.transmitted_at.strftime("%m%d%H%M%S") == transmitted == found.transmitted
    assert abs(found.transmitted_at - received_at) < timedelta(days=184)


@pytest.mark.parametrize(
    ("transmitted", "received"),
    [
        ("0229120000", "2027-02-28T12:00:00"),
        ("1301000000", "2026-06-15T00:00:00"),
        ("0631000000", "2026-06-15T00:00:00"),
        ("0615240000", "2026-06-15T00:00:00"),
        ("0615006000", "2026-06-15T00:00:00"),
        ("0000000000", "2026-06-15T00:00:00"),
    ],
)
def test_no_date(transmitted: str, received: str) -> None:
    with pytest.raises(DecodeFailure) as caught:
        request(purchase(f7=transmitted), datetime.fromisoformat(received).replace(tzinfo=UTC))
    assert (caught.value.field, caught.value.needed) == ("7", "a date and time MMDDhhmmss")
    assert caught.value.found == repr(transmitted)


def test_without_de7_the_time_of_receipt_stands_in() -> None:
    found = request(purchase(f7=None))
    assert (found.transmitted, found.transmitted_at) == ("", RECEIVED)


def test_track_2() -> None:
    found = request(purchase(f2=None, f14=None, f35=TRACK2))
    assert (found.pan, found.expiry, found.service_code) == (Pan(PAN), "2912", "201")
    assert found.cvv == Secret("678")


@pytest.mark.parametrize(
    ("track2", "cvv"),
    [
        (f"{PAN}D29122011" + "2345" + "678", "678"),
        (f"{PAN}D29122011" + "2345" + "678F", "678"),
        (f"{PAN}=2912201", None),
        (f"{PAN}=29122011" + "2345" + "67", None),
    ],
)
def test_track_2_variants(track2: str, cvv: str | None) -> None:
    found = request(purchase(f35=track2))
    assert found.service_code == "201"
    assert found.cvv == (None if cvv is None else Secret(cvv))


def test_de2_and_de14_come_before_track_2() -> None:
    found = request(purchase(f14="3001", f35=TRACK2))
    assert (found.pan, found.expiry) == (Pan(PAN), "3001")


@pytest.mark.parametrize(
    ("carried", "cvv2"),
    [("11 123", "123"), ("111234", "1234"), ("10 123", "123"), ("01 123", None), ("9", None), ("11    ", None)],
)
def test_cvv2(carried: str, cvv2: str | None) -> None:
    assert request(purchase(f126=carried)).cvv2 == (None if cvv2 is None else Secret(cvv2))


@pytest.mark.parametrize(
    ("de60", "partial", "incremental"),
    [(None, False, False), ("", False, False), ("1", True, False), ("01", False, True), ("11rest", True, True)],
)
def test_flags(de60: str | None, partial: bool, incremental: bool) -> None:
    found = request(purchase() if de60 is None else purchase(f60=de60))
    assert (found.partial_supported, found.incremental) == (partial, incremental)


@pytest.mark.parametrize(("ending", "country"), [("JP", "JP"), ("us", "US"), ("1P", ""), (" P", ""), ("  ", "")])
def test_country(ending: str, country: str) -> None:
    assert request(purchase(f43="SHOP".ljust(38) + ending)).merchant_country == country


@pytest.mark.parametrize(
    ("code", "letters"), [("392", "JPY"), ("840", "USD"), ("JPY", "JPY"), ("000", ""), ("XXX", "")]
)
def test_currencies(code: str, letters: str) -> None:
    assert request(purchase(f49=code)).currency == letters


@pytest.mark.parametrize(
    ("code", "stand_in"),
    [("00", StandIn.APPROVED), ("10", StandIn.APPROVED), ("85", StandIn.APPROVED), ("05", StandIn.DECLINED)],
)
def test_stand_in(code: str, stand_in: StandIn) -> None:
    assert request(purchase(t="0120", f39=code)).stand_in is stand_in
    assert request(purchase(t="0120")).stand_in is StandIn.APPROVED
    assert request(purchase(t="0220", f39=code)).stand_in is stand_in
    assert request(purchase(t="0100", f39=code)).stand_in is None


@pytest.mark.parametrize("text", ["000000000000", "            ", "0000 0000   "])
def test_a_retrieval_reference_of_zeros_or_blanks_refers_to_nothing(text: str) -> None:
    assert request(purchase(f37=text)).retrieval_reference == ""


@pytest.mark.parametrize(
    ("de90", "original"),
    [
        ("0100/000123/0615030405/00000123456/00000000000", ("0100", "000123", "0615030405", "123456")),
        ("0100/000000/0000000000/00000000000/00000000000", ("0100", "", "", "")),
        ("0" * 42, ("", "", "", "")),
    ],
)
def test_original_data_elements(de90: str, original: tuple[str, str, str, str]) -> None:
    mti, stan, transmitted, acquirer = original
    found = request(purchase(t="0400", f90=de90.replace("/", ""))).original
    assert found == OriginalElements(mti=mti, stan=stan, transmitted=transmitted, acquirer_id=acquirer)
    assert request(purchase(t="0400")).original is None


@pytest.mark.parametrize(
    ("de95", "amount"), [("000000003000" + "0" * 30, 3_000), ("0" * 42, 0), ("000000003000" + " " * 30, 3_000)]
)
def test_replacement_amount(de95: str, amount: int) -> None:
    assert request(purchase(t="0400", f95=de95)).replacement_amount_minor == amount
    assert request(purchase(t="0400")).replacement_amount_minor is None


def test_other_elements() -> None:
    found = request(purchase(f6="000000012345", f51="840", f38="A1B2  ", f62="NET-REF-1 ", f52="0123456789ABCDEF"))
    assert (found.billing_amount_minor, found.billing_currency) == (12_345, "USD")
    assert (found.approval_code, found.network_reference, found.has_pin) == ("A1B2", "NET-REF-1", True)


def test_a_reversal_may_come_without_currency() -> None:
    assert request(purchase(t="0420", f49=None)).currency == ""


@pytest.mark.parametrize(
    ("code", "function"),
    [
        ("001", ManagementFunction.SIGN_ON),
        ("002", ManagementFunction.SIGN_OFF),
        ("301", ManagementFunction.ECHO),
        ("161", ManagementFunction.KEY_CHANGE),
        ("162", ManagementFunction.KEY_CHANGE),
        ("270", ManagementFunction.OTHER),
    ],
)
@pytest.mark.parametrize("mti", ["0800", "0801"])
def test_management(mti: str, code: str, function: ManagementFunction) -> None:
    inbound = decoded({"t": mti, "7": "0615030405", "11": "000009", "70": code})
    assert inbound.request is None
    assert inbound.management is not None
    assert (inbound.management.function, inbound.management.code, inbound.management.stan) == (function, code, "000009")
    assert not inbound.is_answer


@pytest.mark.parametrize("mti", ["0110", "0130", "0210", "0410", "0430", "0810"])
def test_answers_to_what_we_sent(mti: str) -> None:
    inbound = decoded({"t": mti, "11": "000009", "39": "00"})
    assert inbound.is_answer
    assert inbound.fields["39"] == "00"


def test_repr_shows_no_card_data() -> None:
    inbound = decoded(purchase(f35=TRACK2, f126="11 123"))
    for text in (repr(inbound), str(inbound), repr(inbound.__rich_repr__()), repr(inbound.request)):
        assert PAN not in text
        assert "678" not in text
        assert "11 123" not in text
