"""Clearing files as an acquirer network writes them, days after the purchases: JSON Lines, CSV and IPM-like.

What the network believes to have been approved becomes *entries* (presented in full, lower, higher, in parts; refunds,
reversals, chargebacks, fees), and :func:`write` puts entries into a file with header and trailer. The formats are
written here from their description alone, by no code that the switch reads them with; IPM-like files by cardutil.

::

    python -m simulators.clearing_files big.jsonl --count 1000000 --seed 7
"""

from __future__ import annotations

import argparse
import csv
import io
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import msgspec

from simulators.cards import load_cards
from switch.contracts.currency import exponent, numeric
from switch.contracts.secret import Pan

__all__ = [
    "FORMATS",
    "Entry",
    "FileHead",
    "Purchase",
    "additional_charge",
    "chargeback",
    "fee",
    "generate",
    "main",
    "parts",
    "presentment",
    "refund",
    "represented",
    "taken_back",
    "write",
]

FORMATS: Final = ("jsonl", "csv", "ipm")


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """What the network knows of an authorization that was approved."""

    pan: Pan
    amount: int  # minor units
    currency: str
    purchased_at: datetime
    operation: str = "purchase"
    approval_code: str = ""
    retrieval_reference: str = ""
    network_reference: str = ""
    acquirer_id: str = ""
    terminal_id: str = ""
    merchant_id: str = ""
    merchant_name: str = ""
    merchant_country: str = ""
    mcc: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One record to be: a purchase, and what is told of it now."""

    kind: str
    purchase: Purchase
    amount: int
    operation: str
    acquirer_reference: str = ""
    billing: tuple[int, str] | None = None  # amount and currency
    settlement: tuple[int, str] | None = None
    fee: int = 0
    sequence: int = 1
    sequence_count: int = 0
    final: bool | None = None

    @property
    def is_credit(self) -> bool:
        """Whether it gives money to the cardholder (of a fee: to the issuer)."""
        turned = self.kind in {"presentment_reversal", "chargeback"}
        return (self.operation == "refund") != turned


class FileHead(msgspec.Struct, frozen=True, kw_only=True):
    """What the header says. An IPM-like file needs a ``file_id`` of 25 digits: see :meth:`ipm`."""

    file_id: str
    network: str
    business_day: date
    created_at: datetime | None = None

    @classmethod
    def ipm(cls, network: str, business_day: date, sequence: int, member: str = "12345") -> FileHead:
        """A head whose file id is made as PDS 0105 is: type 001 (from the network), date, member, number."""
        file_id = f"001{business_day:%y%m%d}{member:>011}{sequence:05d}"
        return cls(file_id=file_id, network=network, business_day=business_day)


# ── entries


def presentment(purchase: Purchase, amount: int | None = None, **told: Any) -> Entry:
    """The purchase is presented: as it was approved, or with another amount."""
    return Entry(
        kind="presentment",
        purchase=purchase,
        amount=purchase.amount if amount is None else amount,
        operation=purchase.operation,
        **told,
    )


def parts(purchase: Purchase, amounts: Sequence[int]) -> list[Entry]:
    """The purchase is presented in several parts, the last of which is final."""
    return [
        presentment(purchase, amount, sequence=number, sequence_count=len(amounts), final=number == len(amounts))
        for number, amount in enumerate(amounts, 1)
    ]


def refund(purchase: Purchase, amount: int | None = None, **told: Any) -> Entry:
    """Goods came back: money to the cardholder."""
    return msgspec.structs.replace(presentment(purchase, amount, **told), operation="refund")


def additional_charge(purchase: Purchase, amount: int) -> Entry:
    """Something more, after the fact."""
    return msgspec.structs.replace(presentment(purchase, amount), kind="additional_charge")


def taken_back(entry: Entry) -> Entry:
    """The acquirer takes a presentment of its own back."""
    return msgspec.structs.replace(entry, kind="presentment_reversal")


def chargeback(entry: Entry, amount: int | None = None) -> Entry:
    """The issuer charges a presentment back."""
    return msgspec.structs.replace(entry, kind="chargeback", amount=entry.amount if amount is None else amount)


def represented(entry: Entry) -> Entry:
    """The acquirer presents again what was charged back."""
    return msgspec.structs.replace(entry, kind="chargeback_reversal")


def fee(purchase: Purchase, amount: int, *, to_issuer: bool = False) -> Entry:
    """A fee between network and issuer; the issuer pays it unless it is ``to_issuer``."""
    return Entry(kind="fee", purchase=purchase, amount=amount, operation="refund" if to_issuer else "purchase")


# ── files


class _Writer(Protocol):
    def header(self, head: FileHead) -> None: ...
    def entry(self, entry: Entry, number: int) -> None: ...
    def trailer(self, head: FileHead, count: int, totals: dict[str, tuple[int, int]]) -> None: ...


def write(
    file: BinaryIO,
    file_format: str,
    head: FileHead,
    entries: Iterable[Entry],
    *,
    blocked: bool = True,
    encoding: str = "cp500",
) -> int:
    """Writes a whole file, entry by entry, and says how many there were.

    ``blocked`` and ``encoding`` (cp500 or latin-1) are for IPM-like files.
    """
    writer: _Writer
    if file_format == "jsonl":
        writer = _Jsonl(file)
    elif file_format == "csv":
        writer = _Csv(file)
    else:
        writer = _Ipm(file, encoding=encoding, blocked=blocked)
    writer.header(head)
    totals: dict[str, tuple[int, int]] = {}
    count = 0
    for count, entry in enumerate(entries, 1):
        writer.entry(entry, count)
        debit, credit = totals.get(entry.purchase.currency, (0, 0))
        totals[entry.purchase.currency] = (
            (debit, credit + entry.amount) if entry.is_credit else (debit + entry.amount, credit)
        )
    writer.trailer(head, count, totals)
    return count


def _elements(entry: Entry, number: int) -> dict[str, object]:
    """A record of the neutral formats, in the order of its description; without what isn't told."""
    purchase = entry.purchase
    elements: dict[str, object] = {
        "record": number,
        "kind": entry.kind,
        "operation": entry.operation,
        "pan": purchase.pan.reveal(),
        "amount": entry.amount,
        "currency": purchase.currency,
    }
    if entry.billing is not None:
        elements["billing_amount"], elements["billing_currency"] = entry.billing
    if entry.settlement is not None:
        elements["settlement_amount"], elements["settlement_currency"] = entry.settlement
    elements["purchased_at"] = purchase.purchased_at.isoformat()
    elements["fee"] = entry.fee
    elements["acquirer_reference"] = entry.acquirer_reference
    elements["sequence"] = entry.sequence
    elements["sequence_count"] = entry.sequence_count
    elements["final"] = entry.final
    for name in _PURCHASE_TEXTS:
        elements[name] = getattr(purchase, name)
    return {name: value for name, value in elements.items() if value not in ("", None)}


_PURCHASE_TEXTS: Final = (
    "approval_code",
    "retrieval_reference",
    "network_reference",
    "acquirer_id",
    "terminal_id",
    "merchant_id",
    "merchant_name",
    "merchant_country",
    "mcc",
)


class _Jsonl:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._encode = msgspec.json.Encoder().encode

    def _line(self, kind: str, elements: dict[str, object]) -> None:
        self._file.write(self._encode({"type": kind, **elements}) + b"\n")

    def header(self, head: FileHead) -> None:
        elements: dict[str, object] = {
            "version": 1,
            "file_id": head.file_id,
            "network": head.network,
            "business_day": head.business_day.isoformat(),
        }
        if head.created_at is not None:
            elements["created_at"] = head.created_at.isoformat()
        self._line("header", elements)

    def entry(self, entry: Entry, number: int) -> None:
        self._line("record", _elements(entry, number))

    def trailer(self, head: FileHead, count: int, totals: dict[str, tuple[int, int]]) -> None:
        sums = {currency: {"debit": debit, "credit": credit} for currency, (debit, credit) in totals.items()}
        self._line("trailer", {"records": count, "totals": sums})


class _Csv:
    columns: Final = (
        *("record", "kind", "operation", "pan", "amount", "currency", "billing_amount", "billing_currency"),
        *("settlement_amount", "settlement_currency", "fee", "purchased_at", "acquirer_reference", "sequence"),
        *("sequence_count", "final", *_PURCHASE_TEXTS),
    )

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._text = io.StringIO(newline="")
        self._rows = csv.writer(self._text, lineterminator="\r\n")

    def _row(self, *values: object) -> None:
        self._rows.writerow(values)
        self._file.write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()

    def header(self, head: FileHead) -> None:
        created_at = "" if head.created_at is None else head.created_at.isoformat()
        self._row("header", 1, head.file_id, head.network, head.business_day.isoformat(), created_at)
        self._row("columns", *self.columns)

    def entry(self, entry: Entry, number: int) -> None:
        elements = _elements(entry, number)
        if "final" in elements:
            elements["final"] = "true" if elements["final"] else "false"
        self._row("record", *(elements.get(name, "") for name in self.columns))

    def trailer(self, head: FileHead, count: int, totals: dict[str, tuple[int, int]]) -> None:
        sums = [value for currency, (debit, credit) in totals.items() for value in (currency, debit, credit)]
        self._row("trailer", count, *sums)


# MTI and function code (DE24). An additional charge is another first presentment here.
_IPM_KINDS: Final = {
    "presentment": ("1240", "200"),
    "additional_charge": ("1240", "200"),
    "presentment_reversal": ("1240", "200"),
    "chargeback": ("1442", "450"),
    "chargeback_reversal": ("1240", "205"),
    "fee": ("1740", "700"),
}
_IPM_OPERATIONS: Final = {"purchase": "00", "cash_withdrawal": "01", "refund": "20"}
_IPM_FEES: Final = {"purchase": "19", "refund": "29"}
_MERCHANT_REST: Final = "\\1-1-1\\TOKYO\\{:10}{:3}JPN"


class _Ipm:
    def __init__(self, file: BinaryIO, *, encoding: str, blocked: bool) -> None:
        from cardutil.mciipm import IpmWriter

        self._writer = IpmWriter(file, encoding=encoding, blocked=blocked)
        self._message = 0
        self._amounts = 0

    def _write(self, message: dict[str, object]) -> None:
        self._message += 1
        self._writer.write({**message, "DE71": self._message})

    def header(self, head: FileHead) -> None:
        self._write({"MTI": "1644", "DE24": "697", "PDS0105": head.file_id, "PDS0122": "T"})

    def entry(self, entry: Entry, number: int) -> None:
        purchase = entry.purchase
        mti, function = _IPM_KINDS[entry.kind]
        operations = _IPM_FEES if entry.kind == "fee" else _IPM_OPERATIONS
        message: dict[str, object] = {
            "MTI": mti,
            "DE2": purchase.pan.reveal(),
            "DE3": operations[entry.operation] + "0000",
            "DE4": entry.amount,
            "DE12": purchase.purchased_at.astimezone(UTC).replace(tzinfo=None),
            "DE22": "M00101M00000",
            "DE24": function,
            "DE31": entry.acquirer_reference,
            "DE32": purchase.acquirer_id,
            "DE37": purchase.retrieval_reference,
            "DE38": purchase.approval_code,
            "DE41": purchase.terminal_id,
            "DE42": purchase.merchant_id,
            "DE49": numeric(purchase.currency),
            "PDS0148": f"{numeric(purchase.currency)}{exponent(purchase.currency)}",
        }
        if purchase.mcc:
            message["DE26"] = int(purchase.mcc)
        if purchase.merchant_name:
            message["DE43"] = purchase.merchant_name[:22] + _MERCHANT_REST.format("1000001", "13")
        if purchase.network_reference:
            message["DE63"] = f" {purchase.network_reference:<15}"
        if entry.settlement is not None:
            message["DE5"], message["DE50"] = entry.settlement[0], numeric(entry.settlement[1])
        if entry.billing is not None:
            message["DE6"], message["DE51"] = entry.billing[0], numeric(entry.billing[1])
        if entry.kind == "presentment_reversal":
            message["PDS0025"] = "R"
        self._amounts += entry.amount
        self._write(message)

    def trailer(self, head: FileHead, count: int, totals: dict[str, tuple[int, int]]) -> None:
        self._write(
            {
                "MTI": "1644",
                "DE24": "695",
                "PDS0105": head.file_id,
                "PDS0301": f"{self._amounts:016d}",
                "PDS0306": f"{self._message + 1:08d}",
            }
        )
        self._writer.close()


# ── many


def generate(count: int, seed: int, pans: Sequence[Pan], currency: str = "JPY") -> Iterator[Entry]:
    """``count`` entries as a network sees them in a day: mostly plain presentments, some of everything else.

    The same seed gives the same entries.
    """
    dice = random.Random(seed)
    began = datetime(2026, 11, 20, tzinfo=UTC)
    previous: Entry | None = None
    for number in range(count):
        purchase = Purchase(
            pan=dice.choice(pans),
            amount=dice.randrange(1, 50_000),
            currency=currency,
            purchased_at=began + timedelta(seconds=dice.randrange(400_000)),
            approval_code=f"{dice.randrange(1_000_000):06d}",
            retrieval_reference=f"{number:012d}",
            network_reference=f"N{seed:04d}{number:010d}",
            acquirer_id="456789",
            terminal_id=f"TERM{dice.randrange(10_000):04d}",
            merchant_id=f"MERCHANT{dice.randrange(10_000_000):07d}",
            merchant_name=f"Shop {dice.randrange(10_000)}",
            mcc=dice.choice(("5411", "5812", "5999", "4111")),
        )
        entry = presentment(purchase, acquirer_reference=f"74567896325{number:012d}")
        chance = dice.random()
        if chance < 0.03:
            entry = msgspec.structs.replace(entry, amount=max(1, purchase.amount - dice.randrange(1_000)))
        elif chance < 0.05:
            entry = msgspec.structs.replace(entry, amount=purchase.amount + dice.randrange(1_000))
        elif chance < 0.07:
            entry = msgspec.structs.replace(entry, operation="refund")
        elif chance < 0.08 and previous is not None:
            entry = taken_back(previous)
        elif chance < 0.09 and previous is not None:
            entry = chargeback(previous)
        previous = entry if entry.kind == "presentment" else previous
        yield entry


def main() -> None:
    """Write a big file to disk."""
    parser = argparse.ArgumentParser(prog="simulators.clearing_files", description=main.__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--format", choices=FORMATS, default="jsonl")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--network", default="iso87_ascii")
    parser.add_argument("--file-number", type=int, default=1, help="of this day; part of the file's name (default 1)")
    arguments = parser.parse_args()
    pans = [card.pan for card in load_cards().values() if card.currency == "JPY" and card.status == "active"]
    head = FileHead.ipm(arguments.network, date(2026, 11, 25), arguments.file_number)
    with arguments.path.open("wb", buffering=1 << 20) as file:
        count = write(file, arguments.format, head, generate(arguments.count, arguments.seed, pans))
    print(f"{arguments.path}: {count} records, file {head.file_id}")


if __name__ == "__main__":
    main()
