"""npm's iso_8583, another vendor's codec in another language, in a process of its own: ASCII fields with raw bitmaps.

Its habit: the bitmap has sixteen bytes and bit 1 set, whether or not an element above 64 is there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.house import House
from tests.interop.peers import PEERS, missing
from tests.interop.plain_client import purchase

CLIENT = Path(__file__).with_name("node") / "client.cjs"


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed, so npm's iso_8583 can't run")
    if not (PEERS / "node" / "node_modules" / "iso_8583").is_dir():
        missing("npm's iso_8583", "make peers")
    return found


def exchange(node: str, house: House, fields: Mapping[str, str]) -> dict[str, Any]:
    host, port = house.address("iso87_binary")
    # Its own keys: "0" is the message type.
    asked = {"0" if key == "t" else key: value for key, value in fields.items()}
    modules = str(PEERS / "node" / "node_modules")
    result = subprocess.run(
        [node, str(CLIENT)],
        input=json.dumps({"modules": modules, "host": host, "port": port, "fields": asked}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_purchase_a_decline_and_a_reversal(node: str, house: House) -> None:
    card = house.new_card(balance_minor=1_000)
    fields = dict(purchase(card, 700))
    original = f"0100{fields['11']}{fields['7']}{fields['32']:0>11}".ljust(42, "0")

    approved = exchange(node, house, fields)
    declined = exchange(node, house, purchase(card, 700))
    reversed_ = exchange(node, house, {**fields, "t": "0400", "11": "000001", "90": original})

    bitmaps = bytes.fromhex(approved["sent"])[6:22]
    assert bitmaps[0] & 0x80 and not any(bitmaps[8:]), "no element above 64, and yet two bitmaps"
    told = ("0", "39", "37", "2", "4", "49")
    assert [approved["answer"].get(key) for key in told] == [
        "0110",
        "00",
        *(fields[key] for key in ("37", "2", "4", "49")),
    ]
    assert declined["answer"]["39"] == "51"
    assert (reversed_["answer"]["0"], reversed_["answer"]["39"]) == ("0410", "00")
    assert house.journal(card) == [("hold", 700), ("release", 700)]


def test_an_echo(node: str, house: House) -> None:
    asked = {"t": "0800", "7": "0704120000", "11": "000123", "70": "301"}
    answer = exchange(node, house, asked)["answer"]
    assert answer == {"0": "0810", "7": asked["7"], "11": asked["11"], "39": "00", "70": "301"}
