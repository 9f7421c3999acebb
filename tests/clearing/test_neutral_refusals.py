"""Neutral files that must not be booked, and where each error points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulators.clearing_files import fee, presentment
from switch.clearing.file import ClearingFileError, FileFormat, inspect
from switch.clearing.source import LINE_BYTES_MAX
from tests.clearing.builders import NETWORK, PANS, inspect_bytes, purchase, refusal, write_file

Lines = list[dict[str, Any]]


def jsonl(tmp_path: Path, *, count: int = 3) -> Lines:
    path = write_file(tmp_path / "sound", "jsonl", [presentment(purchase(number)) for number in range(count)])
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def text(lines: Lines) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def change(line: int, **elements: Any) -> Callable[[Lines], None]:
    return lambda lines: lines[line].update(elements)


def drop(line: int, element: str) -> Callable[[Lines], None]:
    def apply(lines: Lines) -> None:
        del lines[line][element]

    return apply


# What is done to a sound file of a header, three records and a trailer; the place; the element; a piece of the problem.
REFUSED: dict[str, tuple[Callable[[Lines], object], str, str, str]] = {
    "no header": (lambda lines: lines.pop(0), "line 1", "type", ""),
    "another version": (change(0, version=2), "line 1", "version", ""),
    "a file id with spaces": (change(0, file_id="A B"), "line 1", "file_id", ""),
    "no file id": (drop(0, "file_id"), "line 1", "file_id", "missing"),
    "no network": (drop(0, "network"), "line 1", "network", "missing"),
    "a day that is none": (change(0, business_day="2026-02-30"), "line 1", "business_day", ""),
    "an unknown element in the header": (change(0, colour="red"), "line 1", "", "does not have"),
    "a second header": (lambda lines: lines.insert(2, lines[0]), "line 3", "", "second header"),
    "a fraction": (change(1, amount=100.5), "line 2", "amount", "needed int, found float"),
    "a whole number written as a fraction": (change(1, amount=100.0), "line 2", "amount", "found float"),
    "a number in quotes": (change(1, amount="100"), "line 2", "amount", "found str"),
    "a negative amount": (change(1, amount=-1), "line 2", "amount", ">= 0"),
    "thirteen digits": (change(1, amount=10**12), "line 2", "amount", "<= 999999999999"),
    "no amount": (drop(1, "amount"), "line 2", "amount", "missing"),
    "an unknown currency": (change(2, currency="XXX"), "line 3", "currency", "ISO 4217"),
    "a currency in digits": (change(2, currency="392"), "line 3", "currency", "ISO 4217"),
    "no currency": (drop(2, "currency"), "line 3", "currency", "missing"),
    "an unknown element": (change(2, tip=5), "line 3", "", "does not have"),
    "an unknown kind": (change(2, kind="gift"), "line 3", "kind", ""),
    "an operation that does not clear": (change(2, operation="balance_inquiry"), "line 3", "operation", "refund"),
    "an unknown operation": (change(2, operation="barter"), "line 3", "operation", ""),
    "an empty PAN": (change(2, pan=""), "line 3", "pan", "0 characters"),
    "a long PAN": (change(2, pan="1" * 20), "line 3", "pan", "20 characters"),
    "a PAN with a blank": (change(2, pan=PANS[0].reveal()[:-1] + " "), "line 3", "pan", "12 to 19 digits"),
    "a PAN in other digits": (change(2, pan="١" * 16), "line 3", "pan", "12 to 19 digits"),
    "a PAN as a number": (change(2, pan=int(PANS[0].reveal())), "line 3", "pan", "found int"),
    "a PAN for a key": (lambda lines: lines[2].update({PANS[0].reveal(): 1}), "line 3", "", "does not have"),
    "a PAN for a kind": (change(2, kind=PANS[0].reveal()), "line 3", "kind", ""),
    "a PAN for a record number": (change(2, record=int(PANS[0].reveal())), "line 3", "record", ""),
    "a PAN for a time": (change(2, purchased_at=PANS[0].reveal()), "line 3", "purchased_at", ""),
    "a PAN for a type": (change(2, type=PANS[0].reveal()), "line 3", "type", ""),
    "a PAN for a number of records": (change(4, records=int(PANS[0].reveal())), "line 5", "records", ""),
    "a billing amount alone": (change(1, billing_amount=5), "line 2", "billing_currency", "ISO 4217"),
    "a billing currency alone": (change(1, billing_currency="JPY"), "line 2", "billing_amount", "missing"),
    "a settlement amount alone": (change(1, settlement_amount=5), "line 2", "settlement_currency", "ISO 4217"),
    "a fee without its currency": (change(1, fee=5), "line 2", "settlement_currency", "ISO 4217"),
    "no time": (drop(1, "purchased_at"), "line 2", "purchased_at", "missing"),
    "a time without a zone": (change(1, purchased_at="2026-11-22T10:00:00"), "line 2", "purchased_at", "timezone"),
    "a time before the calendar": (
        change(1, purchased_at="0001-01-01T00:00:00+09:00"),
        "line 2",
        "purchased_at",
        "calendar",
    ),
    "an MCC of three digits": (change(1, mcc="541"), "line 2", "mcc", "4 digits"),
    "a country in small letters": (change(1, merchant_country="jp"), "line 2", "merchant_country", "two capital"),
    "letters in an ARN": (change(1, acquirer_reference="7A"), "line 2", "acquirer_reference", "23 digits"),
    "a long ARN": (change(1, acquirer_reference="7" * 24), "line 2", "acquirer_reference", "23 digits"),
    "a NUL in a name": (change(1, merchant_name="A\0B"), "line 2", "", "control characters"),
    "a line end in a reference": (change(1, approval_code="A\n1"), "line 2", "", "control characters"),
    "a name without end": (change(1, merchant_name="A" * 201), "line 2", "merchant_name", "length"),
    "sequence zero": (change(1, sequence=0), "line 2", "sequence", "found 0"),
    "more parts than there are": (change(1, sequence=3, sequence_count=2), "line 2", "sequence", "found 3"),
    "final by a word": (change(1, final="yes"), "line 2", "final", "found str"),
    "a record twice": (lambda lines: lines.insert(2, lines[1]), "line 3", "record", "needed 2"),
    "a record missing": (lambda lines: lines.pop(2), "line 3", "record", "needed 2"),
    "records in another order": (lambda lines: lines.insert(1, lines.pop(2)), "line 2", "record", "needed 1"),
    "no trailer": (lambda lines: lines.pop(), "line 4", "", "before its trailer"),
    "only a header": (lambda lines: lines.__delitem__(slice(1, None)), "line 1", "", "before its trailer"),
    "two trailers": (lambda lines: lines.append(lines[-1]), "line 6", "", "behind the trailer"),
    "a record behind the trailer": (lambda lines: lines.append(lines[1]), "line 6", "", "behind the trailer"),
    "one record too many in the trailer": (change(4, records=4), "line 5", "records", "the file has 3"),
    "other sums": (
        change(4, totals={"JPY": {"debit": 15_002, "credit": 0}}),
        "line 5",
        "totals.JPY",
        "debit 15003 and credit 0",
    ),
    "the sums turned round": (change(4, totals={"JPY": {"debit": 0, "credit": 15_003}}), "line 5", "totals.JPY", ""),
    "a currency missing in the sums": (change(4, totals={}), "line 5", "totals.JPY", "debit 15003"),
    "a currency too many in the sums": (
        lambda lines: lines[4]["totals"].update(USD={"debit": 1, "credit": 0}),
        "line 5",
        "totals.USD",
        "debit 0 and credit 0",
    ),
    "a PAN for a currency in the sums": (
        lambda lines: lines[4]["totals"].update({PANS[0].reveal(): {"debit": 1, "credit": 0}}),
        "line 5",
        "totals",
        "no currency",
    ),
}


def test_the_file_is_sound_before_it_is_spoilt(tmp_path: Path) -> None:
    assert inspect_bytes(tmp_path / "file", text(jsonl(tmp_path))).records == 3


@pytest.mark.parametrize("what", REFUSED)
def test_refused(tmp_path: Path, what: str) -> None:
    spoil, place, element, piece = REFUSED[what]
    lines = jsonl(tmp_path)
    spoil(lines)
    path = tmp_path / "file"

    error = refusal(path, text(lines))

    assert (error.file, error.place, error.element) == (str(path), place, element)
    assert piece in error.problem
    assert str(error) == ": ".join(part for part in (str(path), place, element, error.problem) if part)


def test_a_currency_whose_sums_are_zero_may_be_left_out_or_not(tmp_path: Path) -> None:
    lines = jsonl(tmp_path)
    lines[4]["totals"]["USD"] = {"debit": 0, "credit": 0}

    assert inspect_bytes(tmp_path / "file", text(lines)).records == 3


def test_a_wrong_check_digit_is_for_the_booking_to_find(tmp_path: Path) -> None:
    lines = jsonl(tmp_path)
    lines[1]["pan"] = "9" * 15

    assert inspect_bytes(tmp_path / "file", text(lines)).records == 3


def test_a_fee_needs_no_card(tmp_path: Path) -> None:
    path = write_file(tmp_path / "file", "jsonl", [fee(purchase(1), 5)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    del lines[1]["pan"]

    assert inspect_bytes(tmp_path / "file", text(lines)).records == 1

    lines[1]["pan"] = "1"
    assert refusal(tmp_path / "file", text(lines)).element == "pan"


# ── what is no JSON


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "JSON breaks off"),
        (b"{record}", "JSON is malformed: object keys must be strings (byte 1)"),
        (b"[1]", "needed object, found array"),
        (b"", "JSON breaks off"),
        (b"\xff\xfe{", "JSON is malformed: invalid character (byte 0)"),
        (b'{"type":"record","kind":"\xff"}', "is not UTF-8"),
        (b"x" * (LINE_BYTES_MAX + 1), f"a line of more than {LINE_BYTES_MAX} bytes"),
    ],
)
def test_a_line_that_is_no_record(tmp_path: Path, data: bytes, problem: str) -> None:
    lines = text(jsonl(tmp_path)).splitlines()
    lines[2] = data

    error = refusal(tmp_path / "file", b"\n".join(lines))

    assert error.problem == problem


# ── CSV


def csv_lines(tmp_path: Path) -> list[str]:
    path = write_file(tmp_path / "sound", "csv", [presentment(purchase(number)) for number in range(3)])
    return path.read_text("utf-8").splitlines()


def replace(line: int, old: str, new: str) -> Callable[[list[str]], None]:
    def apply(lines: list[str]) -> None:
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new, 1)

    return apply


CSV_REFUSED: dict[str, tuple[Callable[[list[str]], object], str, str, str]] = {
    "no columns": (lambda lines: lines.pop(1), "line 2", "", "needed the columns"),
    "an unknown column": (replace(1, "mcc", PANS[0].reveal()), "line 2", "columns", "value 26 names no element"),
    "a column twice": (replace(1, "mcc", "pan"), "line 2", "columns", "twice"),
    "a column of the format's own": (replace(1, "mcc", "type"), "line 2", "columns", "names no element"),
    "no column for the amount": (replace(1, "amount,currency", "fee,currency"), "line 2", "columns", "twice"),
    "a header with too much": (lambda lines: lines.__setitem__(0, lines[0] + ",1,2"), "line 1", "", "at most 5"),
    "a value too few": (lambda lines: lines.__setitem__(2, lines[2].rpartition(",")[0]), "line 3", "", "26 values"),
    "a fraction": (replace(3, "5001", "5001.0"), "line 4", "amount", "found str"),
    "an exponent": (replace(3, "5001", "5e3"), "line 4", "amount", "found str"),
    "a plus sign": (replace(3, "5001", "+5001"), "line 4", "amount", "found str"),
    "a blank": (replace(3, "5001", " 5001"), "line 4", "amount", "found str"),
    "a thousands sign": (replace(3, "5001", "5_001"), "line 4", "amount", "found str"),
    "other digits": (replace(3, "5001", "５００１"), "line 4", "amount", "found str"),
    "a negative amount": (replace(3, "5001", "-5001"), "line 4", "amount", ">= 0"),
    "nothing for an amount": (replace(3, "5001", ""), "line 4", "amount", "missing"),
    "seconds for a time": (replace(3, "2026-11-22T09:04:05+00:00", "1700000000"), "line 4", "purchased_at", ""),
    "an open quote": (replace(3, "Corner", '"Corner'), "line 4", "", "quotes"),
    "a quote in the middle": (replace(3, "Corner Shop", '"Corner" Shop'), "line 4", "", "quotes"),
    "another kind of line": (replace(3, "record", "note"), "line 4", "type", "record or trailer"),
    "an empty line": (lambda lines: lines.insert(3, ""), "line 4", "type", "record or trailer"),
    "a second header": (lambda lines: lines.insert(3, lines[0]), "line 4", "", "second header"),
    "a trailer with two of three": (replace(5, ",0", ""), "line 6", "trailer", "currency, debit and credit"),
    "a trailer without a number": (lambda lines: lines.__setitem__(5, "trailer"), "line 6", "trailer", "number"),
    "a currency twice": (replace(5, ",0", ",0,JPY,1,1"), "line 6", "totals", "twice"),
    "a sum that is no number": (replace(5, ",0", ",0.0"), "line 6", "totals", "found str"),
    "other sums": (replace(5, "15003", "15002"), "line 6", "totals.JPY", "debit 15003"),
    "a PAN for a sum": (replace(5, "15003", PANS[0].reveal()), "line 6", "totals.JPY", "debit 15003"),
}


@pytest.mark.parametrize("what", CSV_REFUSED)
def test_csv_refused(tmp_path: Path, what: str) -> None:
    spoil, place, element, piece = CSV_REFUSED[what]
    lines = csv_lines(tmp_path)
    spoil(lines)

    error = refusal(tmp_path / "file", "\n".join(lines).encode())

    assert (error.place, error.element) == (place, element)
    assert piece in error.problem


# ── the file itself


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b"\x1f\x8b\x08\0", "the file is compressed (gzip): unpack it first"),
        (b"PK\x03\x04rest", "the file is compressed (zip): unpack it first"),
        (b"\x28\xb5\x2f\xfd", "the file is compressed (zstd): unpack it first"),
        (b"hello", "begins like none of jsonl, csv, ipm"),
        ('{"type":"header"}'.encode("utf-16"), "begins like none of jsonl, csv, ipm"),
        (b"\n\n", "begins like none of jsonl, csv, ipm"),
    ],
)
def test_what_is_no_clearing_file(tmp_path: Path, data: bytes, problem: str) -> None:
    assert refusal(tmp_path / "file", data).problem == problem


def test_what_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ClearingFileError, match="No such file"):
        inspect(tmp_path / "nowhere")
    with pytest.raises(ClearingFileError, match="is no regular file"):
        inspect(tmp_path)


def test_another_network_or_format_than_was_said(tmp_path: Path) -> None:
    path = write_file(tmp_path / "file")

    assert inspect(path).network == inspect(path, network=NETWORK).network == NETWORK
    with pytest.raises(ClearingFileError, match="network: is not of red"):
        inspect(path, network="red")
    with pytest.raises(ClearingFileError, match="line 1: quotes are not as they must be"):
        inspect(path, FileFormat.CSV)
    with pytest.raises(ClearingFileError):
        inspect(path, FileFormat.IPM, network=NETWORK)
