"""iso8583sim, another vendor's simulator, as the separate program that it is (AGPL: never imported).

It is installed with the test requirements. Where it is not, these tests skip; in CI they fail.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import iso8583
import iso8583.specs
import pytest

from tests.house import House, IssuedCard
from tests.interop.plain_client import purchase

FORMATS = {"iso87_ascii": "ascii-hex", "iso87_binary": "ascii-binary", "iso87_bcd": "bcd"}


@pytest.fixture(scope="module")
def program() -> str:
    beside_us = str(Path(sys.executable).parent)
    found = shutil.which("iso8583sim", path=os.pathsep.join((beside_us, os.environ.get("PATH", os.defpath))))
    if found is None:
        missing = "the program iso8583sim is not installed (pip install -r requirements-dev.txt)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def run(program: str, house: House, dialect: str, *arguments: str) -> str:
    """Its output, wide and without colours."""
    host, port = house.address(dialect)
    command, *more = arguments
    result = subprocess.run(
        [program, command, "--host", host, "--port", str(port), "--format", FORMATS[dialect], "--header", "2b", *more],
        env={**os.environ, "COLUMNS": "240", "TERM": "dumb", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def sent(program: str, house: House, dialect: str, card: IssuedCard, amount_minor: int) -> dict[str, str]:
    """One message through its ``send``, and the fields of the answer as it understood them."""
    # Its argument is the message as text with a hexadecimal bitmap, whatever it puts on the wire.
    message, _ = iso8583.encode(dict(purchase(card, amount_minor)), iso8583.specs.default_ascii)
    shown = run(program, house, dialect, "send", bytes(message).decode())
    return {key: value.strip() for key, value in re.findall(r"│ (\d+) +│[^│]*│([^│]*)│ *\d+ *│", shown)}


@pytest.mark.parametrize("dialect", FORMATS)
def test_one_message(program: str, house: House, dialect: str) -> None:
    card = house.new_card(balance_minor=1_000)

    approved = sent(program, house, dialect, card, 700)
    declined = sent(program, house, dialect, card, 700)

    assert (approved["0"], approved["39"], approved["49"]) == ("0110", "00", "392")
    assert declined["39"] == "51"
    assert house.journal(card) == [("hold", 700)]


@pytest.mark.parametrize("dialect", FORMATS)
def test_its_load_is_answered_whole(program: str, house: House, dialect: str) -> None:
    """Its load knows one card, one amount in dollars, and leaves out DE7, 12, 13, 32 and 37: the STAN is the key.

    The card expires with the year 2026, and from then on it is declined for that. Its program takes 100 purchases a day,
    which the dialects share.
    """
    good = datetime.now(UTC).date() <= date(2026, 12, 30)
    number = "4" + "1" * 15
    issue = ("card", "issue", "--program", "travel_usd", "--expiry", "2612", "--number", number)
    already = house.command(*issue, check=False).returncode != 0
    if not already:
        house.command("account", "load", "--card", number, "--amount", "1000000")
    before = house.command("journal", "entries", "--card", number, "--json").stdout.count('"kind":"hold"')

    shown = run(program, house, dialect, "load", "--count", "30", "--concurrency", "8", "--connections", "2")

    def figure(name: str) -> str:
        found = re.search(rf"│ {name} +│ +([^│]*?) +│", shown)
        assert found is not None, shown
        return found.group(1)

    assert (figure("Responses"), figure("Timeouts"), figure("Errors")) == ("30", "0", "0")
    assert figure("Response codes") == ("00: 30" if good else "54: 30")
    after = house.command("journal", "entries", "--card", number, "--json").stdout.count('"kind":"hold"')
    assert after - before == (30 if good else 0)
