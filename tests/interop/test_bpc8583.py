"""bpc8583, another vendor's library, in a process of its own: ASCII fields with a raw bitmap (its IsoSpec1987CUP).

It declares packages that no Python of today can build, so it is not among the test requirements: `make peers` installs
what its codec needs, and nothing else, into a folder of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.house import House
from tests.interop.peers import PEERS, missing
from tests.interop.plain_client import purchase

CLIENT = Path(__file__).with_name("bpc8583_client.py")


def test_a_purchase_and_a_decline(house: House) -> None:
    packages = PEERS / "python"
    if not (packages / "bpc8583").is_dir():
        missing("bpc8583", "make peers")
    card = house.new_card(balance_minor=1_000)
    host, port = house.address("iso87_binary")

    def exchange(fields: dict[str, str]) -> dict[str, str]:
        arguments = [f"{key}={value}" for key, value in fields.items()]
        result = subprocess.run(
            [sys.executable, str(CLIENT), host, str(port), *arguments],
            env={**os.environ, "PYTHONPATH": str(packages)},
            capture_output=True,
            text=True,
            check=False,
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
