"""What the simulator writes is what the switch reads, in every format."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from simulators.clearing_files import additional_charge, fee, generate, presentment, represented
from switch.clearing.file import FileFormat, inspect, records
from switch.clearing.tally import Totals
from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.message import Channel, EntryMode, Kind, Operation, Request
from tests.clearing.builders import HEAD, NETWORK, PANS, a_day, every_way, purchase, write_file


def read(path: Path) -> list[Request]:
    return list(records(path, inspect(path, network=NETWORK)))


def facts(request: Request) -> tuple[Any, ...]:
    assert request.clearing is not None
    return (
        request.clearing.kind.value,
        request.operation.value,
        request.pan,
        request.amount_minor,
        request.currency,
    )


@every_way
def test_a_day_comes_back(tmp_path: Path, file_format: str, options: dict[str, Any]) -> None:
    path = write_file(tmp_path / "day", file_format, **options)

    summary = inspect(path, network=NETWORK)
    found = list(records(path, summary))

    assert [facts(each) for each in found] == [
        (entry.kind, entry.operation, entry.purchase.pan, entry.amount, entry.purchase.currency) for entry in a_day()
    ]
    assert [each.clearing.record for each in found if each.clearing] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert summary.file_id == HEAD.file_id
    assert summary.network == NETWORK
    assert summary.business_day == date(2026, 11, 25)
    assert summary.format == FileFormat(file_format)
    assert summary.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert summary.size == path.stat().st_size
    assert summary.records == 9
    assert summary.skipped == 0
    assert summary.totals == {
        # 5001 + 4000 + 6500 + 5006; refund 700, taken back 5001, charged back 2000
        "JPY": Totals(debit_minor=20_507, credit_minor=7_701),
        "USD": Totals(debit_minor=1_999, credit_minor=0),
    }


@every_way
def test_all_elements_of_a_presentment(tmp_path: Path, file_format: str, options: dict[str, Any]) -> None:
    entry = presentment(
        purchase(1), acquirer_reference="74567896325" + "0" * 12, billing=(3_456, "USD"), settlement=(3_400, "EUR")
    )
    path = write_file(tmp_path / "one", file_format, [entry], **options)

    (found,) = read(path)

    is_ipm = file_format == "ipm"
    assert found == Request(
        network=NETWORK,
        dialect="clearing",
        kind=Kind.PRESENTMENT,
        mti="1240" if is_ipm else "",
        repeat=False,
        operation=Operation.PURCHASE,
        pan=PANS[1],
        amount_minor=5_001,
        currency="JPY",
        billing_amount_minor=3_456,
        billing_currency="USD",
        stan="",
        transmitted="",
        transmitted_at=datetime(2026, 11, 22, 9, 4, 5, tzinfo=UTC),
        acquirer_id="456789",
        retrieval_reference="000000000001",
        approval_code="A00001",
        network_reference="TRACE0000000001",
        terminal_id="TERM0001",
        merchant_id="MERCHANT0000001",
        merchant_name="Corner Shop",
        mcc="5411",
        entry_mode=EntryMode.CONTACTLESS if is_ipm else EntryMode.UNKNOWN,
        channel=Channel.IN_STORE,
        clearing=Clearing(
            kind=ClearingKind.PRESENTMENT,
            file_id=HEAD.file_id,
            record=1,
            acquirer_reference="74567896325" + "0" * 12,
            settlement_amount_minor=3_400,
            settlement_currency="EUR",
        ),
    )


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_what_only_the_neutral_formats_tell(tmp_path: Path, file_format: str) -> None:
    entries = [
        additional_charge(purchase(1, merchant_name='Gasthof "Zum Löwen", 喫茶　店', merchant_country="JP"), 300),
        presentment(purchase(2), sequence=2, sequence_count=3),
        presentment(purchase(3), sequence=3, sequence_count=3),
        presentment(purchase(4), sequence=1, sequence_count=2, final=True),
        presentment(purchase(5), fee=-12, settlement=(5_005, "JPY")),
    ]

    charge, second, third, told, paid = read(write_file(tmp_path / "file", file_format, entries))

    assert charge.clearing is not None
    assert charge.clearing.kind is ClearingKind.ADDITIONAL_CHARGE
    assert charge.merchant_name == 'Gasthof "Zum Löwen", 喫茶　店'
    assert charge.merchant_country == "JP"
    parts = [each.clearing for each in (second, third, told) if each.clearing]
    assert [(part.sequence, part.sequence_count, part.final) for part in parts] == [
        (2, 3, False),
        (3, 3, True),
        (1, 2, True),
    ]
    assert paid.clearing is not None
    assert (paid.clearing.fee_minor, paid.clearing.settlement_currency) == (-12, "JPY")


@every_way
def test_chargebacks_and_fees(tmp_path: Path, file_format: str, options: dict[str, Any]) -> None:
    whole = presentment(purchase(1))
    entries = [represented(whole), fee(purchase(2), 30), fee(purchase(3), 20, to_issuer=True)]

    summary = inspect(write_file(tmp_path / "file", file_format, entries, **options), network=NETWORK)
    found = list(records(tmp_path / "file", summary))

    assert [facts(each)[:2] for each in found] == [
        ("chargeback_reversal", "purchase"),
        ("fee", "purchase"),
        ("fee", "refund"),
    ]
    assert summary.totals == {"JPY": Totals(debit_minor=5_031, credit_minor=20)}


@every_way
def test_an_empty_day(tmp_path: Path, file_format: str, options: dict[str, Any]) -> None:
    path = write_file(tmp_path / "none", file_format, [], **options)

    summary = inspect(path, network=NETWORK)

    assert (summary.records, summary.totals) == (0, {})
    assert list(records(path, summary)) == []


@every_way
def test_many_records_over_many_blocks(tmp_path: Path, file_format: str, options: dict[str, Any]) -> None:
    entries = list(generate(3_000, 5, PANS))
    path = write_file(tmp_path / "many", file_format, entries, **options)
    heard: list[int] = []

    summary = inspect(path, network=NETWORK, progress=heard.append)

    assert summary.records == 3_000
    assert [facts(each)[3] for each in records(path, summary)] == [entry.amount for entry in entries]
    assert heard == []  # it is called every 10,000 records


def test_progress_is_told(tmp_path: Path) -> None:
    heard: list[int] = []

    inspect(write_file(tmp_path / "many", "jsonl", generate(20_001, 5, PANS)), progress=heard.append)

    assert heard == [10_000, 20_000]


def test_times_with_an_offset_become_utc(tmp_path: Path) -> None:
    tokyo = datetime(2026, 1, 1, 8, 0, tzinfo=timezone(timedelta(hours=9)))

    (found,) = read(write_file(tmp_path / "file", "csv", [presentment(purchase(1, purchased_at=tokyo))]))

    assert found.transmitted_at == datetime(2025, 12, 31, 23, 0, tzinfo=UTC)
    assert found.transmitted_at.tzinfo is UTC


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_byte_order_marks_and_windows_line_ends(tmp_path: Path, file_format: str) -> None:
    plain = write_file(tmp_path / "file", file_format).read_bytes().replace(b"\r\n", b"\n")
    marked = tmp_path / "marked"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"))
    open_end = tmp_path / "open end"
    open_end.write_bytes(plain.rstrip(b"\n"))

    expected = read(tmp_path / "file")

    assert read(marked) == expected
    assert read(open_end) == expected
    assert inspect(marked).digest != inspect(open_end).digest


def test_columns_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "file"
    pan = PANS[0].reveal()
    path.write_text(
        f"header,1,F,{NETWORK},2026-11-25\n"
        "columns,currency,purchased_at,pan,amount,operation,kind,record\n"
        f'record,JPY,2026-11-22T00:00:00Z,{pan},100,"purchase",presentment,1\n'
        "trailer,1,JPY,100,0\n"
    )

    (found,) = read(path)

    assert facts(found) == ("presentment", "purchase", PANS[0], 100, "JPY")
