"""tshark's iso8583 dissector reads what goes over our sockets, with no warning and with the values that we meant.

The bytes are taken from a real exchange and written into a capture file, so that no right to capture is needed. The
dissector knows one table of 1987, and departs from ours here and there: see :data:`LAYOUTS`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import iso8583
import iso8583.specs
import pytest

from tests.house import House
from tests.interop.capture import CLIENT, SERVER, pcap
from tests.interop.peers import missing
from tests.interop.plain_client import purchase
from tests.wire.packed_spec import PACKED_SPEC

#: Stock table, and how the dissector is told of it: its digits (ascii or bcd) and its binary data (ascii or bin).
LAYOUTS: Mapping[str, tuple[Mapping[str, Mapping[str, Any]], str, str]] = {
    "iso87_ascii": (iso8583.specs.default_ascii, "ascii", "ascii"),
    "iso87_binary": (iso8583.specs.default, "ascii", "bin"),
    # It takes DE39, 49, 50 and 51 for text even among packed digits, and counts DE35 in bytes; iso8583sim, and so
    # iso87_bcd, packs them. It can read the messages without any of these, which no answer is.
    "iso87_bcd": (PACKED_SPEC, "bcd", "bin"),
}
#: The severity of a remark that is no warning: that a connection begins.
_CHAT = 0x200000


@pytest.fixture(scope="module")
def tshark() -> str:
    found = shutil.which("tshark")
    if found is None:
        missing("tshark", "apt-get install tshark")
    return found


def exchanged(house: House, dialect: str, messages: list[dict[str, str]]) -> list[tuple[str, bytes]]:
    """What went each way over one connection, as it went."""
    spec = LAYOUTS[dialect][0]
    went: list[tuple[str, bytes]] = []
    with socket.create_connection(house.address(dialect), timeout=10) as connection:
        for fields in messages:
            payload = bytes(iso8583.encode(dict(fields), spec)[0])
            went.append((CLIENT, struct.pack(">H", len(payload)) + payload))
            connection.sendall(went[-1][1])
            answer = b""
            while len(answer) < 2 or len(answer) < 2 + struct.unpack(">H", answer[:2])[0]:
                more = connection.recv(4_096)
                assert more, "the switch closed the connection"
                answer += more
            went.append((SERVER, answer))
    return went


def dissected(tshark: str, file: Path, dialect: str, went: list[tuple[str, bytes]]) -> list[dict[str, str]]:
    """The elements of each message as tshark shows them, "t" being its type; fails on any warning of it."""
    port = 8583
    file.write_bytes(pcap(port, went))
    _, digits, binary = LAYOUTS[dialect]
    options = ["len_endian:bigendian", f"charset:{digits}", f"binencode:{binary}"]
    result = subprocess.run(
        [tshark, "-r", str(file), "-n", "-T", "json", "-d", f"tcp.port=={port},iso8583"]
        + [word for option in options for word in ("-o", f"iso8583.{option}")]
        # It checks those of TCP only when told to; a wrong one would show as a warning.
        + ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    packets = json.loads(result.stdout)
    warnings = [found for found in experts(packets) if int(found["_ws.expert.severity"]) > _CHAT]
    assert warnings == []
    return [packet["_source"]["layers"]["iso8583"] for packet in packets if "iso8583" in packet["_source"]["layers"]]


def experts(tree: Any) -> Iterator[dict[str, str]]:
    """What tshark finds remarkable, anywhere in what it shows."""
    if isinstance(tree, list):
        for branch in tree:
            yield from experts(branch)
    elif isinstance(tree, dict):
        if "_ws.expert" in tree:
            yield tree["_ws.expert"]
        for branch in tree.values():
            yield from experts(branch)


def shown(fields: Mapping[str, str]) -> dict[str, str]:
    """Elements under tshark's names."""
    names = {f"iso8583.bit{key}": value for key, value in fields.items() if key.isdecimal() and key != "1"}
    return {"iso8583.mti": fields["t"], **names}


def elements(tree: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tree.items() if name == "iso8583.mti" or name.startswith("iso8583.bit")}


def conversation(house: House) -> list[dict[str, str]]:
    """Of every kind of message, with bitmaps of both sizes."""
    card = house.new_card(balance_minor=1_000)
    fields = dict(purchase(card, 700))
    original = f"0100{fields['11']}{fields['7']}{fields['32']}".ljust(42, "0")
    return [
        {"t": "0800", "7": fields["7"], "11": "000009", "70": "301"},
        {**fields, "60": "1", "62": "NET0001"},
        # No DE60 or 62 here: by their bits it would take the raw bitmap for sixteen characters, and the message for none.
        {**fields, "t": "0400", "11": "000010", "90": original, "95": "300".zfill(12).ljust(42, "0")},
        dict(purchase(card, 2_000)),
        dict(purchase(card, 0, **{"3": "310000"})),
        {**purchase(card, 100), "t": "0220", "39": "00"},
    ]


@pytest.mark.parametrize("dialect", ["iso87_ascii", "iso87_binary"])
def test_requests_and_answers(tshark: str, house: House, tmp_path: Path, dialect: str) -> None:
    spec = LAYOUTS[dialect][0]
    went = exchanged(house, dialect, conversation(house))

    trees = dissected(tshark, tmp_path / "traffic.pcap", dialect, went)

    meant = [iso8583.decode(data[2:], spec)[0] for _, data in went]
    assert [fields["39"] for fields in meant[1::2]] == ["00", "00", "00", "51", "00", "00"]
    assert [elements(tree) for tree in trees] == [shown(fields) for fields in meant]
    assert [tree["iso8583.len"] for tree in trees] == [str(len(data) - 2) for _, data in went]


def test_track_2_and_a_pin_block(tshark: str, house: House, tmp_path: Path) -> None:
    """In text only. Where binary data is raw, the dissector takes track 2 for binary too and calls its text malformed, and
    behind a PIN block it shows what comes next in its own memory.
    """
    card = house.new_card()
    stripe = f"{card.pan.reveal()}={card.expiry}{card.service_code}00000{card.cvv.reveal()}"
    asked = [dict(purchase(card, 100, **{"35": stripe})), dict(purchase(card, 100, **{"52": "0123456789ABCDEF"}))]
    trees = dissected(tshark, tmp_path / "traffic.pcap", "iso87_ascii", exchanged(house, "iso87_ascii", asked))
    assert [tree.get("iso8583.bit39") for tree in trees] == [None, "00", None, "57"]
    assert (trees[0]["iso8583.bit35"], trees[2]["iso8583.bit52"]) == (stripe, asked[1]["52"])


def test_packed_requests(tshark: str, house: House, tmp_path: Path) -> None:
    """Those without an element that the dissector takes for text."""
    echo, _, reversal, *_ = conversation(house)
    asked = [echo, {key: value for key, value in reversal.items() if key != "49"}]
    went = exchanged(house, "iso87_bcd", asked)
    answers = [iso8583.decode(data[2:], PACKED_SPEC)[0] for _, data in went[1::2]]
    assert [(answer["t"], answer["39"]) for answer in answers] == [("0810", "00"), ("0410", "00")]

    trees = dissected(tshark, tmp_path / "traffic.pcap", "iso87_bcd", went[::2])

    assert [elements(tree) for tree in trees] == [shown(fields) for fields in asked]


def test_a_warning_is_seen(tshark: str, house: House, tmp_path: Path) -> None:
    """Without this, no warning could mean that nothing was looked at."""
    went = exchanged(house, "iso87_ascii", [dict(purchase(house.new_card(), 100))])
    spoilt = [(sender, data.replace(b"TERM0001", b"TERM\x00001")) for sender, data in went]
    assert spoilt != went
    with pytest.raises(AssertionError, match="MALFORMED"):
        dissected(tshark, tmp_path / "traffic.pcap", "iso87_ascii", spoilt)
