"""The test cards of ``simulators/cards.toml``, typed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec

from switch.contracts.errors import ConfigurationError
from switch.contracts.secret import Pan, Secret

__all__ = ["TestCard", "load_cards", "load_credentials", "luhn_digit", "strangers"]


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


class _CredentialRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[credential]]`` table."""

    alias: str
    card: str
    pan: str
    expiry: str
    service_code: str
    cvv2: str
    network: str
    status: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    card: tuple[_Row, ...]
    credential: tuple[_CredentialRow, ...] = ()


class TestCard(msgspec.Struct, frozen=True, kw_only=True):
    """One test card. ``pan`` and ``cvv2`` show themselves masked; ``balance_minor`` is the opening balance.

    A further number of a card looks like a card too: ``credential_of`` tells which one's, and everything that belongs
    to the number (expiry, service code, CVV2, status) is its own.
    """

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
    credential_of: str = ""  # the card's alias; empty: this is the card's own number
    network: str = ""  # credentials: the only one that it is good on; empty: all of them


def load_cards(path: Path | None = None) -> dict[str, TestCard]:
    """All test cards by alias, in the file's order; the package's own file unless ``path`` names another.

    Raises:
        ConfigurationError: the file can't be read, does not fit the schema, has an alias or a number twice, or a
            credential of a card that is not there.
    """
    cards: dict[str, TestCard] = {}
    for row in _read(path).card:
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


def load_credentials(path: Path | None = None) -> dict[str, TestCard]:
    """All credentials of the test cards by alias, in the file's order. Raises as :func:`load_cards`."""
    cards = load_cards(path)
    return {
        row.alias: msgspec.structs.replace(
            cards[row.card],
            alias=row.alias,
            pan=Pan(row.pan),
            expiry=row.expiry,
            service_code=row.service_code,
            cvv2=Secret(row.cvv2),
            status=row.status,
            credential_of=row.card,
            network=row.network,
        )
        for row in _read(path).credential
    }


def _read(path: Path | None) -> _File:
    source = files("simulators").joinpath("cards.toml") if path is None else path
    try:
        file = msgspec.toml.decode(source.read_bytes(), type=_File)
    except OSError as exc:
        raise ConfigurationError(f"{source}: {exc.strerror}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{source}: {exc}") from exc
    aliases: set[str] = set()
    pans: set[str] = set()
    named = [(row.alias, row.pan) for row in file.card] + [(row.alias, row.pan) for row in file.credential]
    for alias, pan in named:
        if alias in aliases or pan in pans:
            raise ConfigurationError(f"{source}: card {alias!r} repeats an alias or a number")
        aliases.add(alias)
        pans.add(pan)
    cards = {row.alias for row in file.card}
    for further in file.credential:
        if further.card not in cards:
            raise ConfigurationError(
                f"{source}: credential {further.alias!r} is of card {further.card!r}, which is not there"
            )
    return file


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
