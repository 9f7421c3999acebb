"""pyiso8583 as anybody uses it: its own specs and calls, and none of the switch's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import iso8583
import iso8583.specs
import pytest

from tests.house import House
from tests.interop.plain_client import PlainClient, purchase
from tests.wire.packed_spec import PACKED_SPEC

SPECS: Mapping[str, Mapping[str, Any]] = {
    "iso87_ascii": iso8583.specs.default_ascii,
    "iso87_binary": iso8583.specs.default,
    "iso87_bcd": PACKED_SPEC,
}


def exchange(client: PlainClient, dialect: str, fields: Mapping[str, str]) -> dict[str, str]:
    payload, _ = iso8583.encode(dict(fields), SPECS[dialect])
    answer, _ = iso8583.decode(client.ask(bytes(payload)), SPECS[dialect])
    return {key: answer[key] for key in answer if key not in {"h", "p", "1"}}


@pytest.mark.parametrize("dialect", SPECS)
def test_a_purchase_its_repeat_and_its_reversal(house: House, dialect: str) -> None:
    card = house.new_card(balance_minor=5_000)
    fields = purchase(card, 1_200)
    with PlainClient(house, dialect) as client:
        answer = exchange(client, dialect, fields)
        again = exchange(client, dialect, {**fields, "t": "0101"})
        short = exchange(client, dialect, purchase(card, 5_000))
        reversal = {**fields, "t": "0400", "11": "000001", "90": f"0100{fields['11']}{fields['7']}".ljust(42, "0")}
        reversed_ = exchange(client, dialect, reversal)

    echoed = ("2", "3", "4", "7", "11", "12", "13", "32", "37", "41", "42", "49")
    assert answer["t"] == "0110" and answer["39"] == "00" and len(answer["38"]) == 6
    assert {key: answer[key] for key in echoed} == {key: fields[key] for key in echoed}
    assert again == answer
    assert short["39"] == "51"
    assert (reversed_["t"], reversed_["39"]) == ("0410", "00")
    assert house.journal(card) == [("hold", 1_200), ("release", 1_200)]


@pytest.mark.parametrize("dialect", SPECS)
def test_a_balance_inquiry(house: House, dialect: str) -> None:
    card = house.new_card(balance_minor=5_000)
    with PlainClient(house, dialect) as client:
        answer = exchange(client, dialect, purchase(card, 0, **{"3": "310000"}))
    assert answer["39"] == "00"
    assert "392C000000005000" in answer["54"]


@pytest.mark.parametrize("dialect", SPECS)
@pytest.mark.parametrize(("code", "meaning"), [("001", "sign-on"), ("301", "echo"), ("002", "sign-off")])
def test_network_management(house: House, dialect: str, code: str, meaning: str) -> None:
    fields = {"t": "0800", "7": datetime.now(UTC).strftime("%m%d%H%M%S"), "11": "000123", "70": code}
    with PlainClient(house, dialect) as client:
        answer = exchange(client, dialect, fields)
    assert answer == {**fields, "t": "0810", "39": "00"}, meaning


@pytest.mark.parametrize("dialect", SPECS)
def test_every_field_of_the_stock_spec_may_be_there(house: House, dialect: str) -> None:
    """What the switch does not know the meaning of, it reads past."""
    card = house.new_card()
    spec = SPECS[dialect]
    fields = dict(purchase(card, 100))
    # Not there: what has a meaning of its own (another currency, track 2, PIN, a reversal's elements, the answer's).
    meaningful = {"6", "35", "38", "39", "45", "51", "52", "54", "60", "62", "90", "95", "126"}
    for key in map(str, range(3, 129)):
        if key in fields or key in meaningful or spec[key]["max_len"] == 0:
            continue
        width = spec[key]["max_len"]
        raw = spec[key]["data_enc"] == "b" and spec[key].get("len_count") != "nibbles"
        fields[key] = ("AB" if raw else "1") * (min(width, 20) if spec[key]["len_type"] else width)
    with PlainClient(house, dialect) as client:
        answer = exchange(client, dialect, fields)
    assert answer["39"] == "00"
