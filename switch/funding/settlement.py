"""A provider's settlement list beside our attempts: what differs, line by line. Pure.

The list is CSV with a header, or JSON with a list of objects. Each line is one charge: ``key`` (ours), ``result``
(``charged``, or ``voided`` when it was given back), ``amount_minor``, ``currency``. Other columns are passed over.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from switch.contracts.errors import ConfigurationError
from switch.funding.attempt import AttemptState
from switch.journal.funding_rows import AttemptRow

__all__ = ["Difference", "SettlementLine", "compare", "read_settlement"]

_STANDS = frozenset({AttemptState.CHARGED, AttemptState.BOOKED, AttemptState.CREDITED})
_UNDER_WAY = frozenset({AttemptState.REQUESTED, AttemptState.SENT, AttemptState.UNKNOWN, AttemptState.QUERIED})


class SettlementLine(msgspec.Struct, frozen=True):
    """One charge in the provider's words."""

    key: str
    result: Literal["charged", "voided"]
    amount_minor: int
    currency: str


class Difference(msgspec.Struct, frozen=True):
    """One charge that both tell otherwise. ``ours`` or ``theirs`` is empty where one side knows nothing of it."""

    key: str
    account: int  # 0 where it is unknown
    ours: str
    theirs: str
    under_way: bool  # the attempt has not ended: it may still come right by itself


def read_settlement(text: str, name: str) -> list[SettlementLine]:
    """Raises ConfigurationError naming file and line."""
    try:
        if text.lstrip().startswith("["):
            return msgspec.json.decode(text, type=list[SettlementLine])
    except msgspec.DecodeError as exc:
        raise ConfigurationError(f"{name}: {exc}") from None
    lines: list[SettlementLine] = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
        try:
            lines.append(msgspec.convert(row, SettlementLine, strict=False))
        except msgspec.ValidationError as exc:
            raise ConfigurationError(f"{name}: line {number}: {exc}") from None
    return lines


def compare(lines: Iterable[SettlementLine], attempts: Mapping[str, AttemptRow]) -> list[Difference]:
    """What differs, in the list's order; then attempts that took money and are not in it."""
    differences: list[Difference] = []
    listed: set[str] = set()
    for line in lines:
        attempt = attempts.get(line.key)
        theirs = f"{line.result} {line.amount_minor} {line.currency}"
        if line.key in listed:
            differences.append(Difference(line.key, 0, "", f"{theirs}, listed twice", False))
            continue
        listed.add(line.key)
        ours = "" if attempt is None else _told(attempt)
        if ours != theirs:
            account, open_ = (0, False) if attempt is None else (attempt.account_id, attempt.wake_at is not None)
            differences.append(Difference(line.key, account, ours, theirs, open_))
    for key, attempt in attempts.items():
        # Nothing is taken, or given back before anything was settled: a list need not name it.
        if key not in listed and attempt.charged and attempt.state != AttemptState.VOIDED:
            differences.append(Difference(key, attempt.account_id, _told(attempt), "", attempt.wake_at is not None))
    return differences


def _told(attempt: AttemptRow) -> str:
    """In the list's words, where our state has any."""
    money = f"{attempt.charged} {attempt.charged_currency}"
    if attempt.state in _STANDS:
        return f"charged {money}"
    if attempt.state == AttemptState.VOIDED:
        return f"voided {money}"
    return str(attempt.state) if attempt.state in _UNDER_WAY or not attempt.charged else f"{attempt.state} {money}"
