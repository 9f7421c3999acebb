"""A provider's settlement list beside our attempts: what differs, line by line, and what that means. Pure.

The list is CSV with a header, or JSON with a list of objects. Each line is one charge: ``key`` (ours), ``result``
(``charged``, or ``voided`` when it was given back), ``amount_minor``, ``currency``. Other columns are passed over.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Literal

import msgspec

from switch.contracts.currency import NUMERIC
from switch.contracts.errors import ConfigurationError
from switch.funding.attempt import AttemptState
from switch.journal.funding_rows import AttemptRow

__all__ = ["ADVICE", "Difference", "Finding", "SettlementLine", "compare", "read_settlement", "totals"]

_STANDS = frozenset({AttemptState.CHARGED, AttemptState.BOOKED, AttemptState.CREDITED})
_UNDER_WAY = frozenset({AttemptState.REQUESTED, AttemptState.SENT, AttemptState.UNKNOWN, AttemptState.QUERIED})


class SettlementLine(msgspec.Struct, frozen=True):
    """One charge in the provider's words."""

    key: str
    result: Literal["charged", "voided"]
    amount_minor: int
    currency: str


class Finding(StrEnum):
    """What kind of difference it is; :data:`ADVICE` says what it means."""

    UNKNOWN_KEY = "unknown_key"
    TWICE = "twice"
    UNDER_WAY = "under_way"
    OTHER_AMOUNT = "other_amount"
    NOT_TAKEN = "not_taken"
    NOT_GIVEN_BACK = "not_given_back"
    GIVEN_BACK = "given_back"
    NOTHING_LEFT = "nothing_left"
    NOT_LISTED = "not_listed"


ADVICE: Mapping[Finding, str] = {
    Finding.UNKNOWN_KEY: "no attempt of ours for this provider has the key: ask the provider whose charge it is",
    Finding.TWICE: "listed once before: ask the provider whether it was taken twice",
    Finding.UNDER_WAY: "our attempt has not ended and may come right by itself; if not: switch funding settle",
    Finding.OTHER_AMOUNT: "both know it, with other amounts: ask the provider which was taken",
    Finding.NOT_TAKEN: "taken, and nothing is on the balance for it: have the provider give it back",
    Finding.NOT_GIVEN_BACK: "we were told that it is given back, and it is not: have the provider do it",
    Finding.GIVEN_BACK: "given back, and on the balance as well: have it charged again, or correct the balance",
    Finding.NOTHING_LEFT: "taken and given back without our knowing: no money is missing",
    Finding.NOT_LISTED: "on the balance, and not in this list: look into the next one, then ask the provider",
}


class Difference(msgspec.Struct, frozen=True):
    """One charge that both tell otherwise. ``ours`` or ``theirs`` is empty where one side knows nothing of it."""

    key: str
    account: int  # 0 where it is unknown
    ours: str
    theirs: str
    under_way: bool  # the attempt has not ended: it may still come right by itself
    finding: Finding


def read_settlement(text: str, name: str) -> list[SettlementLine]:
    """Raises ConfigurationError naming file and line."""
    text = text.removeprefix("\ufeff")  # a spreadsheet's mark at the beginning
    if text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text, type=list[SettlementLine])
        except msgspec.DecodeError as exc:
            raise ConfigurationError(f"{name}: {exc}") from None
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    names = [name.strip() for name in rows.fieldnames or ()]
    missing = [column for column in SettlementLine.__struct_fields__ if column not in names]
    if missing:
        # A file that is cut off, or somebody else's: it must not pass for a day without charges.
        found = f"the first line has {', '.join(names)}" if names else "the file is empty"
        raise ConfigurationError(f"{name}: a header with {', '.join(missing)} is missing ({found})")
    rows.fieldnames = names
    lines: list[SettlementLine] = []
    for row in rows:
        told = {column: (row[column] or "").strip() for column in SettlementLine.__struct_fields__}
        if complaint := _complaint(told):
            raise ConfigurationError(f"{name}: line {rows.line_num}: {complaint}")
        lines.append(msgspec.convert(told, SettlementLine, strict=False))
    return lines


def _complaint(told: Mapping[str, str]) -> str:
    """What is wrong with a line, in the words of the list; empty for a good one."""
    amount = told["amount_minor"]
    if not told["key"]:
        return "key: the charge's key is missing"
    if told["result"] not in ("charged", "voided"):
        return f"result: charged or voided needed, {told['result'] or 'nothing'} found"
    if not (amount.isascii() and amount.isdecimal()):  # 5.00 may be five yen or five hundred cents: it is not guessed
        return f"amount_minor: a whole number of minor units needed, {amount or 'nothing'} found"
    if told["currency"] not in NUMERIC:
        return f"currency: ISO 4217 letters needed, {told['currency'] or 'nothing'} found"
    return ""


def totals(lines: Iterable[SettlementLine]) -> dict[str, int]:
    """The sums of what is listed, by result and currency: ``{"charged JPY": 1_734}``."""
    sums: Counter[str] = Counter()
    for line in lines:
        sums[f"{line.result} {line.currency}"] += line.amount_minor
    return dict(sorted(sums.items()))


def compare(lines: Iterable[SettlementLine], attempts: Mapping[str, AttemptRow]) -> list[Difference]:
    """What differs, in the list's order; then attempts that took money and are not in it."""
    differences: list[Difference] = []
    listed: set[str] = set()
    for line in lines:
        attempt = attempts.get(line.key)
        ours, theirs = "" if attempt is None else _told(attempt), f"{line.result} {line.amount_minor} {line.currency}"
        if line.key in listed:
            finding = Finding.TWICE
        elif ours == theirs:
            listed.add(line.key)
            continue
        else:
            finding = _finding(line, attempt)
        listed.add(line.key)
        account, open_ = (0, False) if attempt is None else (attempt.account_id, attempt.wake_at is not None)
        differences.append(Difference(line.key, account, ours, theirs, open_, finding))
    for key, attempt in attempts.items():
        # Nothing is taken, or given back before anything was settled: a list need not name it.
        if key not in listed and attempt.charged and attempt.state != AttemptState.VOIDED:
            open_ = attempt.wake_at is not None
            finding = Finding.UNDER_WAY if open_ else Finding.NOT_LISTED
            differences.append(Difference(key, attempt.account_id, _told(attempt), "", open_, finding))
    return differences


def _finding(line: SettlementLine, attempt: AttemptRow | None) -> Finding:
    """Of a charge that is told otherwise."""
    if attempt is None:
        return Finding.UNKNOWN_KEY
    if attempt.wake_at is not None:
        return Finding.UNDER_WAY
    gone = line.result == "voided"
    if not attempt.charged:
        return Finding.NOTHING_LEFT if gone else Finding.NOT_TAKEN
    if (attempt.state == AttemptState.VOIDED) is gone:
        return Finding.OTHER_AMOUNT
    return Finding.GIVEN_BACK if gone else Finding.NOT_GIVEN_BACK


def _told(attempt: AttemptRow) -> str:
    """In the list's words, where our state has any."""
    money = f"{attempt.charged} {attempt.charged_currency}"
    if attempt.state in _STANDS:
        return f"charged {money}"
    if attempt.state == AttemptState.VOIDED:
        return f"voided {money}"
    return str(attempt.state) if attempt.state in _UNDER_WAY or not attempt.charged else f"{attempt.state} {money}"
