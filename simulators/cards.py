"""The test cards of ``simulators/cards.toml``, typed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec

from switch.contracts.errors import ConfigurationError
from switch.contracts.secret import Pan, Secret

__all__ = ["TestCard", "load_cards", "luhn_digit", "strangers"]


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[card]]`` table as it stands in the file."""

    alias: str
    pan: str
    expiry: str
    service_code: str
    cvv2: str
    program: str
    currency: str
    balance: int
    status: str
    locked: bool


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    card: tuple[_Row, ...]


class TestCard(msgspec.Struct, frozen=True, kw_only=True):
    """One test card. ``pan`` and ``cvv2`` show themselves masked; ``balance_minor`` is the opening balance."""

    __test__ = False  # pytest collects what begins with Test

    alias: str
    pan: Pan
    expiry: str  # YYMM
    service_code: str
    cvv2: Secret
    program: str
    currency: str  # ISO 4217 letters
    balance_minor: int
    status: str
    locked: bool


def load_cards(path: Path | None = None) -> dict[str, TestCard]:
    """All test cards by alias, in the file's order; the package's own file unless ``path`` names another.

    Raises:
        ConfigurationError: the file can't be read, does not fit the schema, or has an alias or a number twice.
    """
    source = files("simulators").joinpath("cards.toml") if path is None else path
    try:
        rows = msgspec.toml.decode(source.read_bytes(), type=_File).card
    except OSError as exc:
        raise ConfigurationError(f"{source}: {exc.strerror}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{source}: {exc}") from exc
    cards: dict[str, TestCard] = {}
    pans: set[str] = set()
    for row in rows:
        if row.alias in cards or row.pan in pans:
            raise ConfigurationError(f"{source}: card {row.alias!r} repeats an alias or a number")
        pans.add(row.pan)
        cards[row.alias] = TestCard(
            alias=row.alias,
            pan=Pan(row.pan),
            expiry=row.expiry,
            service_code=row.service_code,
            cvv2=Secret(row.cvv2),
            program=row.program,
            currency=row.currency,
            balance_minor=row.balance,
            status=row.status,
            locked=row.locked,
        )
    return cards


def luhn_digit(digits: str) -> str:
    """The check digit (ISO/IEC 7812-1 annex B) that completes ``digits``."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 if place % 2 else 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def strangers() -> dict[str, TestCard]:
    """Cards that the issuer never issued: ``stranger`` is well formed, ``misdialled`` fails its check digit."""
    body = f"{'411111':0<14}9"
    good = int(luhn_digit(body))
    return {
        alias: TestCard(
            alias=alias,
            pan=Pan(f"{body}{digit}"),
            expiry="3012",
            service_code="101",
            cvv2=Secret("000"),
            program="",
            currency="JPY",
            balance_minor=0,
            status="active",
            locked=False,
        )
        for alias, digit in (("stranger", good), ("misdialled", (good + 1) % 10))
    }
