"""Makes ``simulators/cards.toml``: the test cards that everybody outside the issuer uses.

``python -m simulators.make_cards`` writes the file; it is the same every time, and a test checks that the file is
what this module makes. Numbers are counted up inside BIN ranges that card schemes and processors publish for testing,
so none can belong to a person. CVV2 is computed with the development keys of ``keys.toml``.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from psec.cvv import generate_cvv

from simulators.cards import luhn_digit

__all__ = ["BINS", "card_plan", "credential_plan", "main", "make_toml"]

#: The first six digits by program, each from a test number that schemes or processors publish.
BINS = {
    "plain": "411111",
    "standard": "424242",
    "online": "555555",
    "in_store": "353011",
    "travel_usd": "401288",
    "small_limits": "510510",
    "no_partial": "400000",
}
LOAD_BIN = "401200"
CREDENTIAL_BIN = "356600"

GOOD_UNTIL = "3012"
EXPIRED = "2001"

_HEADER = """\
# Test cards, made by `python -m simulators.make_cards`: do not edit by hand.
#
# The numbers lie in ranges published for testing, the security codes come from the published keys in keys.toml.
# expiry is YYMM, balance the opening balance in minor units of the currency. A [[credential]] is a further number of
# the card with that alias; one with a network is good there only.
"""


@dataclass(frozen=True)
class Plan:
    """What a card shall be, before its number and code are made."""

    alias: str
    program: str
    balance: int
    currency: str = "JPY"
    status: str = "active"
    locked: bool = False
    expiry: str = GOOD_UNTIL
    service_code: str = "201"


def card_plan() -> Iterator[Plan]:
    """All test cards. New ones go to the end of their program, so that the numbers of the others stay."""
    for i in range(10):
        yield Plan(f"plain-{i}", "plain", 1_000_000, service_code="101")
    yield Plan("plain-low", "plain", 3_000, service_code="101")
    yield Plan("plain-zero", "plain", 0, service_code="101")
    yield Plan("plain-locked", "plain", 100_000, locked=True, service_code="101")
    yield Plan("plain-expired", "plain", 100_000, expiry=EXPIRED, service_code="101")
    for status in ("not_activated", "blocked", "lost", "stolen", "closed"):
        yield Plan(f"plain-{status.replace('_', '-')}", "plain", 100_000, status=status, service_code="101")
    for i in range(20):
        yield Plan(f"load-{i}", "plain", 100_000_000, service_code="101")
    for i in range(4):
        yield Plan(f"standard-{i}", "standard", 300_000)
    yield Plan("standard-low", "standard", 500)
    yield Plan("standard-zero", "standard", 0)
    yield Plan("standard-rich", "standard", 5_000_000)
    yield Plan("standard-locked", "standard", 50_000, locked=True)
    yield Plan("standard-expired", "standard", 50_000, expiry=EXPIRED)
    for status in ("not_activated", "blocked", "lost", "stolen", "closed"):
        yield Plan(f"standard-{status.replace('_', '-')}", "standard", 50_000, status=status)
    for i in range(4):
        yield Plan(f"online-{i}", "online", 200_000, service_code="101")
    yield Plan("online-low", "online", 800, service_code="101")
    yield Plan("online-locked", "online", 20_000, locked=True, service_code="101")
    for i in range(4):
        yield Plan(f"in-store-{i}", "in_store", 100_000)
    yield Plan("in-store-lost", "in_store", 10_000, status="lost")
    for i in range(4):
        yield Plan(f"travel-usd-{i}", "travel_usd", 150_000, currency="USD")
    yield Plan("travel-usd-low", "travel_usd", 1_250, currency="USD")
    for i in range(8):
        yield Plan(f"small-limits-{i}", "small_limits", 100_000)
    for i in range(3):
        yield Plan(f"no-partial-{i}", "no_partial", 100_000)
    yield Plan("no-partial-low", "no_partial", 3_000)


@dataclass(frozen=True)
class CredentialPlan:
    """What a further number of a card shall be, before it and its code are made."""

    alias: str
    card: str
    network: str = ""
    status: str = "active"
    expiry: str = "3106"  # not the card's own, so that a mix-up shows
    service_code: str = "201"


def credential_plan() -> Iterator[CredentialPlan]:
    """All credentials of test cards. New ones go to the end, so that the numbers of the others stay."""
    for card in ("plain-0", "plain-1", "standard-0", "in-store-0", "in-store-1", "standard-locked", "plain-lost"):
        yield CredentialPlan(f"{card}-contactless", card)
    for card in ("plain-2", "plain-3", "standard-1", "in-store-2"):
        yield CredentialPlan(f"{card}-contactless", card, network="iso93_contactless")
    yield CredentialPlan("plain-4-contactless-blocked", "plain-4", status="blocked")
    yield CredentialPlan("plain-4-contactless-lost", "plain-4", status="lost")
    yield CredentialPlan("plain-4-contactless-expired", "plain-4", expiry=EXPIRED)


def _number(bin_digits: str, serials: Counter[str]) -> str:
    """The next number below the BIN."""
    serials[bin_digits] += 1
    # 7919 is a prime: numbers that follow each other differ in more than their last digits.
    body = f"{bin_digits}{serials[bin_digits] * 7919:09d}"
    return body + luhn_digit(body)


def make_toml() -> str:
    """The whole text of ``cards.toml``."""
    keys: dict[str, str] = tomllib.loads(files("simulators").joinpath("keys.toml").read_text("utf-8"))["cvk"]
    serials: Counter[str] = Counter()
    tables = [_HEADER]
    for plan in card_plan():
        pan = _number(LOAD_BIN if plan.alias.startswith("load-") else BINS[plan.program], serials)
        cvv2 = generate_cvv(bytes.fromhex(keys[plan.program]), pan, plan.expiry, "000")
        tables.append(
            "[[card]]\n"
            f'alias = "{plan.alias}"\n'
            f'pan = "{pan}"\n'
            f'expiry = "{plan.expiry}"\n'
            f'service_code = "{plan.service_code}"\n'
            f'cvv2 = "{cvv2}"\n'
            f'program = "{plan.program}"\n'
            f'currency = "{plan.currency}"\n'
            f"balance = {plan.balance}\n"
            f'status = "{plan.status}"\n'
            f"locked = {str(plan.locked).lower()}\n"
        )
    programs = {plan.alias: plan.program for plan in card_plan()}
    for further in credential_plan():
        pan = _number(CREDENTIAL_BIN, serials)
        cvv2 = generate_cvv(bytes.fromhex(keys[programs[further.card]]), pan, further.expiry, "000")
        tables.append(
            "[[credential]]\n"
            f'alias = "{further.alias}"\n'
            f'card = "{further.card}"\n'
            f'pan = "{pan}"\n'
            f'expiry = "{further.expiry}"\n'
            f'service_code = "{further.service_code}"\n'
            f'cvv2 = "{cvv2}"\n'
            f'network = "{further.network}"\n'
            f'status = "{further.status}"\n'
        )
    return "\n".join(tables)


def main() -> None:
    """Write the file beside this module."""
    Path(__file__).with_name("cards.toml").write_text(make_toml(), encoding="utf-8")


if __name__ == "__main__":
    main()
