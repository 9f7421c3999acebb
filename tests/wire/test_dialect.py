from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import iso8583.specs
import msgspec
import pytest

from switch.contracts.errors import ConfigurationError
from switch.contracts.message import Kind
from switch.contracts.reason import Reason
from switch.wire.dialect import dialect_names, load_dialect, specs_root
from switch.wire.framing import Framing
from tests.wire.support import DIALECTS, dialect

ALL_KEYS = ["h", "t", "p", *(str(number) for number in range(1, 129))]
STOCK = {"iso87_ascii": iso8583.specs.default_ascii, "iso87_binary": iso8583.specs.default}


@pytest.mark.parametrize("name", DIALECTS)
def test_field_by_field_equal_to_the_stock_specification(name: str) -> None:
    spec = dialect(name).spec
    for key in ALL_KEYS:
        assert spec[key] == STOCK[name][key], key
    assert set(spec) == set(ALL_KEYS) == set(STOCK[name])


def test_the_dialects_that_come_with_the_program() -> None:
    assert set(DIALECTS) <= set(dialect_names())
    for name in dialect_names():
        loaded = load_dialect(specs_root() / name)
        assert loaded.name == name
        assert repr(loaded) == f"Dialect({name})"
        assert all(loaded.response_code(reason) for reason in Reason)


@pytest.mark.parametrize("name", DIALECTS)
def test_message_types(name: str) -> None:
    loaded = dialect(name)
    assert loaded.framing is Framing.LENGTH2
    table = {mti: (rule.kind, rule.repeat, rule.response) for mti, rule in loaded.messages.items()}
    assert table == {
        "0100": (Kind.AUTHORIZATION, False, "0110"),
        "0101": (Kind.AUTHORIZATION, True, "0110"),
        "0120": (Kind.AUTHORIZATION_ADVICE, False, "0130"),
        "0121": (Kind.AUTHORIZATION_ADVICE, True, "0130"),
        "0200": (Kind.FINANCIAL, False, "0210"),
        "0201": (Kind.FINANCIAL, True, "0210"),
        "0220": (Kind.FINANCIAL_ADVICE, False, "0230"),
        "0221": (Kind.FINANCIAL_ADVICE, True, "0230"),
        "0400": (Kind.REVERSAL, False, "0410"),
        "0401": (Kind.REVERSAL, True, "0410"),
        "0420": (Kind.REVERSAL, False, "0430"),
        "0421": (Kind.REVERSAL, True, "0430"),
    }


@pytest.mark.parametrize("name", DIALECTS)
def test_permanent_codes_are_kept_for_permanent_states(name: str) -> None:
    """DOMAIN: never a pick-up or never-again code for a temporary state."""
    permanent = {"04", "07", "14", "41", "43", "46"}
    lasting = {Reason.UNKNOWN_CARD, Reason.CARD_LOST, Reason.CARD_STOLEN, Reason.CARD_CLOSED}
    assert {reason for reason in Reason if dialect(name).response_code(reason) in permanent} == lasting
    approvals = {reason for reason in Reason if dialect(name).response_code(reason) in {"00", "10", "85"}}
    assert approvals == {reason for reason in Reason if reason.approves}


Change = Callable[[dict[str, dict[str, object]]], object]


def _written(folder: Path, change: Change) -> Path:
    """A copy of iso87_ascii with ``change`` made to its tables."""
    raw = msgspec.toml.decode((specs_root() / "iso87_ascii" / "dialect.toml").read_bytes())
    change(raw)
    folder.mkdir()
    (folder / "dialect.toml").write_bytes(_toml(raw).encode())
    return folder


def _toml(raw: dict[str, object]) -> str:
    def value(item: object) -> str:
        if isinstance(item, bool):
            return str(item).lower()
        if isinstance(item, dict):
            return "{ " + ", ".join(f'"{key}" = {value(inner)}' for key, inner in item.items()) + " }"
        if isinstance(item, list):
            return "[" + ", ".join(map(value, item)) + "]"
        return str(item) if isinstance(item, int) else f'"{item}"'

    return "\n".join(f'"{key}" = {value(item)}' for key, item in raw.items())


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (lambda raw: raw.update(colour="red"), "colour", "unknown key"),
        (lambda raw: raw.pop("description"), "description", "missing"),
        (lambda raw: raw.pop("answer"), "[answer]", "missing"),
        (lambda raw: raw.update(framing="length3"), "framing", "length3"),
        (lambda raw: raw["answer"].update(echo=["2"]), "[answer]", "`echo`"),
        (lambda raw: raw["answer"].pop("echoed"), "[answer]", "`echoed`"),
        (lambda raw: raw["answer"].update(echoed=["2", "130"]), "[answer] echoed", "field 130"),
        (lambda raw: raw["fields"]["4"].update(maxlen=1), "[fields] 4", "`maxlen`"),
        (lambda raw: raw["fields"]["4"].update(max_len="12"), "[fields] 4", "Expected `int`"),
        (lambda raw: raw["fields"]["4"].update({"class": "q"}), "[fields] 4", "'q'"),
        (lambda raw: raw["fields"]["4"].update(len_type=5), "[fields] 4", "<= 4"),
        (lambda raw: raw["fields"]["4"].update(data_enc="morse"), "[fields] 4", "'morse' is neither"),
        (lambda raw: raw["fields"]["4"].update(left_pad="0", right_pad="0"), "[fields] 4", "both"),
        (lambda raw: raw["fields"].update({"129": raw["fields"]["4"]}), "[fields] 129", "is no field"),
        (lambda raw: raw["fields"].update({"0": raw["fields"]["4"]}), "[fields] 0", "is no field"),
        (lambda raw: raw["fields"].update({"04": raw["fields"]["4"]}), "[fields] 04", "is no field"),
        (lambda raw: raw["fields"].update({"x": raw["fields"]["4"]}), "[fields] x", "is no field"),
        (lambda raw: raw["fields"].pop("39"), "[fields] 39", "missing"),
        (lambda raw: raw["fields"].pop("43"), "[carriers] merchant_name", "field 43"),
        (lambda raw: raw["fields"].pop("60"), "[flags] partial_supported", "field 60"),
        (lambda raw: raw["fields"].pop("70"), "[management] code_field", "field 70"),
        (lambda raw: raw["response_codes"].pop("key_reused"), "[response_codes] key_reused", "missing"),
        (lambda raw: raw["response_codes"].update(bad_luck="05"), "[response_codes] bad_luck", "no such reason"),
        (lambda raw: raw["response_codes"].update(approved="000"), "[response_codes] approved", "not 2 letters"),
        (lambda raw: raw["response_codes"].update(approved=0), "[response_codes] approved", "Expected `str`"),
        (lambda raw: raw["operations"].update({"00": "barter"}), "[operations] 00", "barter"),
        (lambda raw: raw["operations"].update({"0": "refund"}), "[operations] 0", "not 2 letters or digits"),
        (lambda raw: raw["entry_modes"].update({"05": "sniffed"}), "[entry_modes] 05", "sniffed"),
        (lambda raw: raw["messages"]["0100"].update(kind="gossip"), "[messages] 0100", "gossip"),
        (lambda raw: raw["messages"]["0100"].update(response="110"), "[messages] 0100", "'110'"),
        (lambda raw: raw["messages"]["0100"].update(repeat="0200"), "[messages] 0200", "stands in"),
        (lambda raw: raw["messages"]["0100"].update(needs=["200"]), "[messages] 0100", "field 200"),
        (lambda raw: raw["management"].update(sign_on=[]), "[management]", "sign_on"),
        (lambda raw: raw["management"].update(request="0100"), "[messages] 0100", "stands in"),
        (lambda raw: raw["channels"].append({"channel": "pigeon"}), "[[channels]]", "pigeon"),
        (lambda raw: raw["carriers"]["cvv2"].update(at=-1), "[carriers] cvv2", "at counts from the end"),
        (lambda raw: raw["carriers"]["cvv2"].update(when={"field": "129", "equals": "1"}), "[carriers] cvv2", "129"),
        (lambda raw: raw.update(elements={"mmc": "26"}), "[elements]", "`mmc`"),
        (lambda raw: raw.update(elements={"mcc": "129"}), "[elements] mcc", "field 129"),
        (lambda raw: raw.update(elements={"stan": ""}), "[elements] stan", "no dialect does without"),
        (lambda raw: raw.update(elements={"amount": "43"}), "[fields] 43", "not of class n"),
        (lambda raw: raw.update(elements={"sequence_time": "13"}), "[fields] 13", "not 10 digits"),
        (lambda raw: raw.update(elements={"transmission": "32"}), "[fields] 32", "not 10 digits"),
        (
            lambda raw: raw.update(elements={"replacement_amount": {"field": "4", "length": 12}}),
            "[elements] original_amount",
            "missing",
        ),
        (
            lambda raw: raw.update(elements={"replacement_amount": {"field": "95", "at": -12}}),
            "[elements] replacement_amount",
            "at counts from the end",
        ),
        (lambda raw: raw.update(original={"field": "129"}), "[original] field", "field 129"),
        (lambda raw: raw.update(original={"time_length": 12}), "[fields] 7", "not 12 digits"),
        (lambda raw: raw.update(local_time={"field": "129"}), "[local_time] field", "field 129"),
        (lambda raw: raw.update(local_time={"field": "48", "zone": "Mars"}), "[local_time] zone", "'Mars'"),
        (lambda raw: raw.update(scope={"channels": ["pigeon"]}), "[scope]", "pigeon"),
        (lambda raw: raw.update(countries={"JPN": "Japan"}), "[countries] JPN", "'Japan'"),
        (lambda raw: raw["stand_in"].update(by={"carrier": {"field": "129"}}), "[stand_in] by", "field 129"),
        (lambda raw: raw["stand_in"].update(reason={"carrier": {"field": "48"}}), "[stand_in] reason", "longer"),
        (
            lambda raw: raw["management"].update(response_codes={"approved": "800"}),
            "[management.response_codes] approved",
            "not 2 letters",
        ),
        (
            lambda raw: raw["management"].update(response_codes={"fine": "00"}),
            "[management.response_codes] fine",
            "no such reason",
        ),
        (lambda raw: raw["messages"]["0220"].update(kind="presentment"), "[messages] 0220", "clearing files"),
        (lambda raw: raw["messages"]["0100"].update(carries={"129": "1"}), "[messages] 0100", "field 129"),
        (lambda raw: raw["flags"].update(unsupported={"field": "24", "equals": []}), "[flags]", "unsupported"),
        (lambda raw: raw["answer"].update(original_amount={"field": "129"}), "[answer] original_amount", "129"),
        (lambda raw: raw.update(simulator={"merchant": "{shop}"}), "[simulator] merchant", "no form"),
        (lambda raw: raw["track2"].update(cvv="5"), "[track2]", "`cvv`"),
        (lambda raw: raw.update(extends="nowhere"), "dialect.toml", "can't be read"),
        (lambda raw: raw.update(extends="../../etc"), "extends", "not the name"),
        (lambda raw: raw.update(extends="broken"), "extends", "in turn"),
    ],
)
def test_complaints_name_file_table_and_key(tmp_path: Path, change: Change, where: str, what: str) -> None:
    folder = _written(tmp_path / "broken", change)
    with pytest.raises(ConfigurationError) as caught:
        load_dialect(folder)
    message = str(caught.value)
    assert "dialect.toml: " in message
    assert where in message
    assert what in message


def test_not_toml(tmp_path: Path) -> None:
    (tmp_path / "dialect.toml").write_bytes(b"[fields\n")
    with pytest.raises(ConfigurationError, match=r"dialect\.toml: "):
        load_dialect(tmp_path)
    (tmp_path / "dialect.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"dialect\.toml: "):
        load_dialect(tmp_path)


def test_extending_lays_tables_over_tables(tmp_path: Path) -> None:
    _written(tmp_path / "base", lambda raw: None)
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "dialect.toml").write_text(
        'extends = "base"\nframing = "vap"\n[fields]\n48 = { max_len = 100 }\n[response_codes]\ncvv2_mismatch = "N7"\n'
        '[answer]\nechoed = ["11"]\n',
        encoding="utf-8",
    )
    base, house = load_dialect(tmp_path / "base"), load_dialect(tmp_path / "house")
    assert house.framing is Framing.VAP
    assert house.spec["48"] == {**base.spec["48"], "max_len": 100}
    assert house.spec["2"] == base.spec["2"]
    assert house.response_code(Reason.CVV2_MISMATCH) == "N7"
    assert house.response_code(Reason.APPROVED) == "00"
    assert house.answer.echoed == ("11",)
