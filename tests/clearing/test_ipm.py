"""IPM-like files, message by message; made with cardutil, so that another program than ours says what they are."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cardutil.mciipm import IpmWriter

from switch.clearing.file import ClearingFileError, FileSummary, inspect, records
from switch.clearing.tally import Totals
from switch.contracts.message import Channel, EntryMode, Request
from tests.clearing.builders import HEAD, NETWORK, PANS, every_way, inspect_bytes, refusal, write_file

Message = dict[str, Any]

HEADER: Message = {"MTI": "1644", "DE24": "697", "PDS0105": HEAD.file_id, "PDS0122": "T"}
PRESENTMENT: Message = {
    "MTI": "1240",
    "DE2": PANS[0].reveal(),
    "DE3": "000000",
    "DE4": 5_000,
    "DE12": datetime(2026, 11, 22, 9, 4, 5),  # noqa: DTZ001  # cardutil's times have no zone
    "DE22": "M00101M00000",
    "DE24": "200",
    "DE26": 5411,
    "DE31": "74567896325000000000001",
    "DE49": "392",
}


def trailer(**told: Any) -> Message:
    return {"MTI": "1644", "DE24": "695", "PDS0105": HEAD.file_id, **told}


def ipm(*body: Message, header: Message = HEADER, end: Message | None = None, blocked: bool = False) -> bytes:
    """A file of these messages, numbered, with a trailer whose sums are right where ``end`` doesn't tell otherwise."""
    sums = {
        "PDS0301": f"{sum(message.get('DE4') or 0 for message in body):016d}",
        "PDS0306": f"{len(body) + 2:08d}",
    }
    out = io.BytesIO()
    writer = IpmWriter(out, encoding="cp500", blocked=blocked)
    for number, message in enumerate([header, *body, {**trailer(**sums), **(end or {})}], 1):
        numbered = {"DE71": number, **message}
        writer.write({key: value for key, value in numbered.items() if value is not None})
    writer.close()
    return out.getvalue()


def read(tmp_path: Path, *body: Message) -> tuple[FileSummary, list[Request]]:
    path = tmp_path / "file"
    path.write_bytes(ipm(*body))
    summary = inspect(path, network=NETWORK)
    return summary, list(records(path, summary))


def one(tmp_path: Path, **changes: Any) -> Request:
    return read(tmp_path, {**PRESENTMENT, **changes})[1][0]


@pytest.mark.parametrize(
    ("mti", "function", "processing", "reversal", "kind", "operation", "credit"),
    [
        ("1240", "200", "00", "", "presentment", "purchase", False),
        ("1240", "200", "00", " ", "presentment", "purchase", False),
        ("1240", "200", "09", "", "presentment", "purchase", False),
        ("1240", "200", "18", "", "presentment", "purchase", False),
        ("1240", "200", "01", "", "presentment", "cash_withdrawal", False),
        ("1240", "200", "12", "", "presentment", "cash_withdrawal", False),
        ("1240", "200", "20", "", "presentment", "refund", True),
        ("1240", "200", "28", "", "presentment", "refund", True),
        ("1240", "200", "17", "", "presentment", "unsupported", False),
        ("1240", "200", "22", "", "presentment", "unsupported", True),
        ("1240", "200", "00", "R", "presentment_reversal", "purchase", True),
        ("1240", "200", "20", "R", "presentment_reversal", "refund", False),
        ("1240", "205", "00", "", "chargeback_reversal", "purchase", False),
        ("1240", "282", "00", "", "chargeback_reversal", "purchase", False),
        ("1240", "205", "00", "R", "presentment_reversal", "purchase", True),
        ("1442", "450", "00", "", "chargeback", "purchase", True),
        ("1442", "451", "00", "", "chargeback", "purchase", True),
        ("1442", "453", "00", "", "chargeback", "purchase", True),
        ("1442", "454", "20", "", "chargeback", "refund", False),
        ("1442", "450", "00", "R", "chargeback_reversal", "purchase", False),
        ("1740", "700", "19", "", "fee", "purchase", False),
        ("1740", "783", "29", "", "fee", "refund", True),
        ("1740", "700", "19", "R", "fee", "refund", True),
    ],
)
def test_what_a_message_means(
    tmp_path: Path, mti: str, function: str, processing: str, reversal: str, kind: str, operation: str, credit: bool
) -> None:
    message = {**PRESENTMENT, "MTI": mti, "DE24": function, "DE3": f"{processing}0000"}
    if reversal:
        message["PDS0025"] = reversal

    summary, (found,) = read(tmp_path, message)

    assert found.clearing is not None
    assert (found.mti, found.clearing.kind, found.operation) == (mti, kind, operation)
    sums = Totals(debit_minor=0, credit_minor=5_000) if credit else Totals(debit_minor=5_000, credit_minor=0)
    assert summary.totals == {"JPY": sums}


def test_other_messages_are_passed_over_and_have_no_number(tmp_path: Path) -> None:
    addendum = {"MTI": "1644", "DE24": "696", "DE72": "room 7", "DE4": 70}

    summary, found = read(tmp_path, PRESENTMENT, addendum, {**PRESENTMENT, "DE4": 7}, addendum)

    assert [(each.clearing.record, each.amount_minor) for each in found if each.clearing] == [(1, 5_000), (2, 7)]
    assert (summary.records, summary.skipped) == (2, 2)
    (second,) = records(tmp_path / "file", summary, start=2)
    assert second == found[1]


@pytest.mark.parametrize(
    ("trace", "reference"),
    [(" TRACE0000000001", "TRACE0000000001"), ("1TRACE000000001 ", "TRACE000000001"), ("ABCDEF", "ABCDEF"), (None, "")],
)
def test_the_trace_id(tmp_path: Path, trace: str | None, reference: str) -> None:
    assert one(tmp_path, DE63=trace).network_reference == reference


@pytest.mark.parametrize(
    ("data_code", "mcc", "entry_mode", "channel"),
    [
        ("M00101M00000", 5411, EntryMode.CONTACTLESS, Channel.IN_STORE),
        ("500000500000", 5411, EntryMode.CHIP, Channel.IN_STORE),
        ("600000200000", 5411, EntryMode.MAGNETIC_STRIPE, Channel.IN_STORE),
        ("600040S00000", 5411, EntryMode.ECOMMERCE, Channel.ECOMMERCE),
        ("600030100000", 5411, EntryMode.MANUAL, Channel.MAIL_OR_PHONE),
        ("500000500000", 6011, EntryMode.CHIP, Channel.ATM),
        (None, None, EntryMode.UNKNOWN, Channel.IN_STORE),
    ],
)
def test_how_and_where(
    tmp_path: Path, data_code: str | None, mcc: int | None, entry_mode: EntryMode, channel: Channel
) -> None:
    found = one(tmp_path, DE22=data_code, DE26=mcc)

    assert (found.entry_mode, found.channel) == (entry_mode, channel)


def test_a_fee_without_card_and_time(tmp_path: Path) -> None:
    found = one(tmp_path, MTI="1740", DE24="700", DE3="190000", DE2=None, DE12=None, DE26=None, DE31=None)

    assert found.pan.reveal() == ""
    assert found.transmitted_at == datetime(2026, 11, 25, tzinfo=UTC)


def test_chip_data_and_private_data_are_read_past(tmp_path: Path) -> None:
    found = one(tmp_path, DE55=bytes.fromhex("9f2608aabbccddeeff0011"), PDS0158="MCC", PDS0148="39208402", DE72="text")

    assert found.amount_minor == 5_000


REFUSED: dict[str, tuple[Callable[[], bytes], str, str, str]] = {
    "a message of another type": (lambda: ipm({**PRESENTMENT, "MTI": "1100"}), "message 2", "MTI", "not known"),
    "an unknown function": (lambda: ipm({**PRESENTMENT, "DE24": "201"}), "message 2", "DE24", "200, 205, 282"),
    "no function": (lambda: ipm({**PRESENTMENT, "DE24": None}), "message 2", "DE24", "200, 205, 282"),
    "an unknown chargeback": (
        lambda: ipm({**PRESENTMENT, "MTI": "1442"}),
        "message 2",
        "DE24",
        "needed one of 450, 453, 451, 454",
    ),
    "a fee for goods": (lambda: ipm({**PRESENTMENT, "MTI": "1740"}), "message 2", "DE3", "19 or 29"),
    "no PAN": (lambda: ipm({**PRESENTMENT, "DE2": None}), "message 2", "DE2", "0 characters"),
    "letters in the PAN": (lambda: ipm({**PRESENTMENT, "DE2": "4" * 15 + "X"}), "message 2", "DE2", "12 to 19"),
    "no processing code": (lambda: ipm({**PRESENTMENT, "DE3": None}), "message 2", "DE3", "6 digits"),
    "no amount": (lambda: ipm({**PRESENTMENT, "DE4": None}), "message 2", "DE4", "12 digits"),
    "no currency": (lambda: ipm({**PRESENTMENT, "DE49": None}), "message 2", "DE49", "ISO 4217"),
    "an unknown currency": (lambda: ipm({**PRESENTMENT, "DE49": "999"}), "message 2", "DE49", "ISO 4217"),
    "a billing amount alone": (lambda: ipm({**PRESENTMENT, "DE6": 5}), "message 2", "DE51", "ISO 4217"),
    "a settlement amount alone": (lambda: ipm({**PRESENTMENT, "DE5": 5}), "message 2", "DE50", "ISO 4217"),
    "no time": (lambda: ipm({**PRESENTMENT, "DE12": None}), "message 2", "DE12", "12 digits"),
    "a short ARN": (lambda: ipm({**PRESENTMENT, "DE31": "7456"}), "message 2", "DE31", "23 letters and digits"),
    "another exponent": (
        lambda: ipm({**PRESENTMENT, "PDS0148": "8402" + "3922"}),
        "message 2",
        "PDS0148",
        "JPY has an exponent of 0, not 2",
    ),
    "half an exponent": (lambda: ipm({**PRESENTMENT, "PDS0148": "392"}), "message 2", "PDS0148", "4 digits"),
    "another reversal mark": (lambda: ipm({**PRESENTMENT, "PDS0025": "X"}), "message 2", "PDS0025", "R or a blank"),
    "a NUL in a name": (lambda: ipm({**PRESENTMENT, "DE43": "A\0B\\C"}), "message 2", "DE43", "control"),
    "private data cut off": (lambda: ipm({**PRESENTMENT, "DE48": "0023009POI"}), "message 2", "DE48", "cut off"),
    "private data without tags": (
        lambda: ipm({**PRESENTMENT, "DE48": "no tags"}),
        "message 2",
        "DE48",
        "4 and a length",
    ),
    "a message number twice": (lambda: ipm({**PRESENTMENT, "DE71": 1}), "message 2", "DE71", "more than 1"),
    "message numbers from 2": (lambda: ipm(PRESENTMENT, header={**HEADER, "DE71": 2}), "message 1", "DE71", "needed 1"),
    "no message number": (lambda: ipm({**PRESENTMENT, "DE71": None}), "message 2", "DE71", "8 digits"),
    "no header": (lambda: ipm(PRESENTMENT, header={**HEADER, "DE24": "696"}), "message 1", "DE24", "697"),
    "no file id": (lambda: ipm(PRESENTMENT, header={**HEADER, "PDS0105": "1"}), "message 1", "PDS0105", "25 digits"),
    "a file id without a day": (
        lambda: ipm(PRESENTMENT, header={**HEADER, "PDS0105": "001261332" + "0" * 16}),
        "message 1",
        "PDS0105",
        "needed a date",
    ),
    "a second header": (lambda: ipm(PRESENTMENT, HEADER), "message 3", "DE24", "second file header"),
    "a reject": (lambda: ipm({"MTI": "1644", "DE24": "699"}), "message 2", "DE24", "rejects"),
    "two trailers": (
        lambda: ipm(PRESENTMENT, trailer(PDS0301="5000", PDS0306="3")),
        "message 4",
        "",
        "behind the file",
    ),
    "another file id in the trailer": (
        lambda: ipm(PRESENTMENT, end={"PDS0105": "0" * 25}),
        "message 3",
        "PDS0105",
        "not that of the header",
    ),
    "another count": (lambda: ipm(PRESENTMENT, end={"PDS0306": "00000004"}), "message 3", "PDS0306", "3 messages"),
    "a count in words": (lambda: ipm(PRESENTMENT, end={"PDS0306": "three"}), "message 3", "PDS0306", "3 messages"),
    "another sum": (lambda: ipm(PRESENTMENT, end={"PDS0301": "0000000000005001"}), "message 3", "PDS0301", "to 5000,"),
    "a sum in words": (lambda: ipm(PRESENTMENT, end={"PDS0301": "much"}), "message 3", "PDS0301", "16 digits"),
    "no sum": (lambda: ipm(PRESENTMENT, end={"PDS0301": None}), "message 3", "PDS0301", "16 digits"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(tmp_path: Path, what: str) -> None:
    make, place, element, piece = REFUSED[what]

    error = refusal(tmp_path / "file", make())

    assert (error.place, error.element) == (place, element)
    assert piece in error.problem


@pytest.mark.parametrize("blocked", [False, True])
def test_files_that_are_cut_or_damaged(tmp_path: Path, blocked: bool) -> None:
    sound = ipm(*[PRESENTMENT] * 20, blocked=blocked)
    path = tmp_path / "file"
    assert inspect_bytes(path, sound).records == 20

    # Cut at any place, a blocked file is no longer of whole blocks, and is then read as what it isn't.
    for length in range(1, len(sound), 97):
        assert refusal(path, sound[:length])
    if blocked:
        assert "cut off" in refusal(path, sound[: 2 * 1014]).problem
        spoilt = bytearray(sound)
        spoilt[2 * 1014 - 1] = 0
        assert "without its two fill bytes" in refusal(path, bytes(spoilt)).problem
        assert inspect_bytes(path, sound + b"\x40" * 1014).records == 20
        assert "behind the record of length zero" in refusal(path, sound + b"\x40" * 1014 * 3).problem
        assert "behind the record of length zero" in refusal(path, sound + b"\x41" * 1012 + b"\x40\x40").problem
    else:
        assert "cut off" in refusal(path, sound[:-4]).problem
        assert "behind the record of length zero" in refusal(path, sound + b"\0").problem


def test_blanks_where_a_block_would_end_make_no_blocks(tmp_path: Path) -> None:
    # In EBCDIC a blank is the fill byte: this file has one's length, and two blanks at the end of its first block.
    def file(blanks: int) -> bytes:
        return ipm({**PRESENTMENT, "DE72": " " * blanks}, *[{**PRESENTMENT, "DE72": "x" * 500}] * 3)

    sound = file(850 + 3 * 1014 - len(file(850)))
    assert len(sound) == 3 * 1014
    assert sound[1012:1014] == b"\x40\x40"

    assert inspect_bytes(tmp_path / "file", sound).records == 4


def test_a_length_that_no_record_has(tmp_path: Path) -> None:
    sound = bytearray(ipm(PRESENTMENT))
    first = int.from_bytes(sound[:4], "big")
    sound[4 + first : 8 + first] = (6_001).to_bytes(4, "big")

    assert refusal(tmp_path / "file", bytes(sound)).problem == "a record of 6001 bytes, more than 6000"


def test_an_element_that_the_table_lacks(tmp_path: Path) -> None:
    sound = bytearray(ipm(PRESENTMENT))
    first = int.from_bytes(sound[:4], "big")
    bitmap = 4 + first + 4 + 4
    sound[bitmap] |= 0b00000010  # DE7

    error = refusal(tmp_path / "file", bytes(sound))

    assert (error.place, error.element) == ("message 2", "DE7")


def test_a_file_that_does_not_name_its_network(tmp_path: Path) -> None:
    with pytest.raises(ClearingFileError, match="does not name its network"):
        inspect(write_file(tmp_path / "file", "ipm"))


@every_way
def test_nothing_is_logged(
    tmp_path: Path, file_format: str, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = write_file(tmp_path / "file", file_format, **options)
    caplog.clear()
    with caplog.at_level("DEBUG"):
        list(records(path, inspect(path, network=NETWORK)))

    assert caplog.records == []
