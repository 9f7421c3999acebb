"""Files for the tests of this room, written by the simulator, and what errors may say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from simulators.cards import load_cards
from simulators.clearing_files import (
    Entry,
    FileHead,
    Purchase,
    chargeback,
    parts,
    presentment,
    refund,
    taken_back,
    write,
)
from switch.clearing.file import ClearingFileError, FileSummary, inspect

NETWORK = "blue"
HEAD = FileHead.ipm(NETWORK, date(2026, 11, 25), 7)
PANS = [card.pan for card in load_cards().values() if card.alias.startswith("plain-")]

#: Every way to write a file: format, and what an IPM-like one looks like.
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("jsonl", {}),
    ("csv", {}),
    ("ipm", {"blocked": True, "encoding": "cp500"}),
    ("ipm", {"blocked": False, "encoding": "cp500"}),
    ("ipm", {"blocked": True, "encoding": "latin-1"}),
    ("ipm", {"blocked": False, "encoding": "latin-1"}),
]
WAY_IDS = ["jsonl", "csv", "ipm-1014-cp500", "ipm-vbs-cp500", "ipm-1014-latin", "ipm-vbs-latin"]
every_way = pytest.mark.parametrize(("file_format", "options"), WAYS, ids=WAY_IDS)


def purchase(number: int = 0, **told: Any) -> Purchase:
    """One that was approved, with all that a network tells."""
    return Purchase(
        **{
            "pan": PANS[number % len(PANS)],
            "amount": 5_000 + number,
            "currency": "JPY",
            "purchased_at": datetime(2026, 11, 22, 9, 4, 5, tzinfo=UTC),
            "approval_code": f"A{number:05d}",
            "retrieval_reference": f"{number:012d}",
            "network_reference": f"TRACE{number:010d}",
            "acquirer_id": "456789",
            "terminal_id": "TERM0001",
            "merchant_id": "MERCHANT0000001",
            "merchant_name": "Corner Shop",
            "mcc": "5411",
            **told,
        }
    )


def a_day() -> list[Entry]:
    """Something of everything that all formats can tell."""
    whole = presentment(purchase(1), acquirer_reference="7" * 23, settlement=(5_001, "JPY"), billing=(5_001, "JPY"))
    dollars = purchase(4, currency="USD", amount=1_999)
    return [
        whole,
        presentment(purchase(2), 4_000),
        presentment(purchase(3), 6_500),
        *parts(dollars, [1_000, 999]),
        refund(purchase(5), 700),
        presentment(purchase(6, operation="cash_withdrawal", mcc="6011")),
        taken_back(whole),
        chargeback(whole, 2_000),
    ]


def write_file(
    path: Path,
    file_format: str = "jsonl",
    entries: Iterable[Entry] | None = None,
    head: FileHead = HEAD,
    **options: Any,
) -> Path:
    with path.open("wb") as file:
        write(file, file_format, head, a_day() if entries is None else entries, **options)
    return path


def inspect_bytes(path: Path, data: bytes) -> FileSummary:
    path.write_bytes(data)
    return inspect(path, network=NETWORK)


def refusal(path: Path, data: bytes) -> ClearingFileError:
    """The error that a file with this content is."""
    with pytest.raises(ClearingFileError) as caught:
        inspect_bytes(path, data)
    assert_silent(caught.value)
    return caught.value


def assert_silent(error: BaseException) -> None:
    """No error on the way says nine digits in a row of a card number that is in the files."""
    each: BaseException | None = error
    while each is not None:
        said = f"{each} {each!r} {each.args!r}"
        for pan in PANS:
            digits = pan.reveal()
            windows = [digits[at : at + 9] for at in range(len(digits) - 8)]
            assert not any(window in said for window in windows), type(each).__name__
        each = each.__cause__ or each.__context__
