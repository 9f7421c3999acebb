"""A real but hostile peer: a library whose bitmap is always 32 hexadecimal characters, with bit 1 clear.

Bit 1 says whether the second half is there, so a receiver takes the second half for the first fields. It can only be
told so: by a format error, on a session that stays up.
"""

from __future__ import annotations

from collections.abc import Mapping

import iso8583
import iso8583.specs
import pytest

from tests.house import House
from tests.interop.plain_client import PlainClient, purchase

SPEC = iso8583.specs.default_ascii


def hostile(fields: Mapping[str, str]) -> bytes:
    """The message as that library writes it."""
    encoded, parts = iso8583.encode(dict(fields), SPEC)
    bitmaps = 16 + (16 if "1" in parts else 0)
    present = sum(1 << (128 - int(key)) for key in fields if key.isdecimal())
    return bytes(encoded[:4]) + f"{present:032X}".encode() + bytes(encoded[4 + bitmaps :])


def fields_of(answer: bytes) -> dict[str, str]:
    decoded, _ = iso8583.decode(answer, SPEC)
    return dict(decoded)


def test_the_peer_is_hostile() -> None:
    fields = {"t": "0400", "11": "000001", "90": "0" * 42}
    assert hostile(fields)[4:36] == b"00200000000000000000004000000000"


@pytest.mark.parametrize("what", ["0100 without a high field", "0400 with DE90", "0800 with DE70"])
def test_it_hears_of_a_format_error_and_the_session_stays_up(house: House, what: str) -> None:
    card = house.new_card(balance_minor=1_000)
    sound = purchase(card, 100)
    original = f"0100{sound['11']}{sound['7']}".ljust(42, "0")
    messages = {
        "0100 without a high field": purchase(card, 300),
        "0400 with DE90": {**sound, "t": "0400", "11": "000002", "90": original},
        "0800 with DE70": {"t": "0800", "7": sound["7"], "11": "000003", "70": "301"},
    }
    with PlainClient(house, "iso87_ascii") as client:
        assert fields_of(client.ask(bytes(iso8583.encode(dict(sound), SPEC)[0])))["39"] == "00"
        client.send(hostile(messages[what]))
        last = purchase(card, 200)
        client.send(bytes(iso8583.encode(dict(last), SPEC)[0]))
        answers = [fields_of(client.receive())]
        if answers[0]["11"] != last["11"]:
            answers.append(fields_of(client.receive()))

    # What the shifted message seems to be is never booked.
    assert house.journal(card) == [("hold", 100), ("hold", 200)]
    mti = messages[what]["t"][:2] + "10"
    assert [(answer["t"], answer["39"]) for answer in answers] == [(mti, "30"), ("0110", "00")]
