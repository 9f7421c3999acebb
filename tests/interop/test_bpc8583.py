"""bpc8583, another vendor's library, in a process of its own: ASCII fields with a raw bitmap (its IsoSpec1987CUP).

It pulls in old packages of its own, so it is not among the test requirements; where it is installed, it is tried.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import House
from tests.interop.plain_client import purchase

CLIENT = Path(__file__).with_name("bpc8583_client.py")


def test_a_purchase_and_a_decline(house: House) -> None:
    if subprocess.run([sys.executable, "-c", "import bpc8583.ISO8583"], capture_output=True, check=False).returncode:
        pytest.skip("bpc8583 is not installed (pip install --no-deps bpc8583 pytlv tracetools pynblock pycryptodome)")
    card = house.new_card(balance_minor=1_000)
    host, port = house.address("iso87_binary")

    def exchange(fields: dict[str, str]) -> dict[str, str]:
        arguments = [f"{key}={value}" for key, value in fields.items()]
        result = subprocess.run(
            [sys.executable, str(CLIENT), host, str(port), *arguments], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        answer: dict[str, str] = json.loads(result.stdout)
        return answer

    fields = dict(purchase(card, 700))
    approved = exchange(fields)
    declined = exchange(dict(purchase(card, 700)))

    assert (approved["t"], approved["39"], approved["37"]) == ("0110", "00", fields["37"])
    assert declined["39"] == "51"
    assert house.journal(card) == [("hold", 700)]
