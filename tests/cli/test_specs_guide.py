"""specs/README.md: every table and key that the loader takes is described, and its worked example works."""

from __future__ import annotations

import re
import shlex
import typing
from enum import Enum
from pathlib import Path

import msgspec
import pytest

from switch.contracts.message import Kind
from switch.contracts.reason import Reason
from switch.wire.codec import Codec
from switch.wire.dialect import load_dialect, specs_root
from switch.wire.dialect_file import DialectFile
from switch.wire.field_table import FieldRow
from switch.wire.header import HeaderPart, HeaderRules, RejectRules
from switch.wire.rules import (
    AnswerRules,
    Carrier,
    Carriers,
    ChannelRow,
    Condition,
    Elements,
    Flag,
    Flags,
    LocalTime,
    ManagementRules,
    MessageRow,
    OriginalRules,
    Part,
    Scope,
    SimulatorRules,
    StandInRules,
    Told,
)
from switch.wire.subfields import SubfieldRules
from switch.wire.track2 import Track2Layout
from tests.cli.command import switch
from tests.wire.support import PAN, RECEIVED, purchase

GUIDE = (specs_root() / "README.md").read_text(encoding="utf-8")

STRUCTS: dict[str, type[msgspec.Struct]] = {
    "Top level": DialectFile,
    "`[fields]`": FieldRow,
    "`[header]`": HeaderRules,
    "`parts` of `[header]`": HeaderPart,
    "`[header.reject]`": RejectRules,
    "`[subfields.62]`": SubfieldRules,
    "`[messages]`": MessageRow,
    "`[management]`": ManagementRules,
    "`[elements]`": Elements,
    "`[original]`": OriginalRules,
    "`[local_time]`": LocalTime,
    "`[scope]`": Scope,
    "`[[channels]]`": ChannelRow,
    "`[stand_in]`": StandInRules,
    "A told code": Told,
    "`[carriers]`": Carriers,
    "A carrier": Carrier,
    "A condition": Condition,
    "A part": Part,
    "`[flags]`": Flags,
    "A flag": Flag,
    "`[track2]`": Track2Layout,
    "`[answer]`": AnswerRules,
    "`[simulator]`": SimulatorRules,
}


def section(title: str) -> str:
    found = re.search(rf"^### {re.escape(title)}$(.*?)(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the guide has no section {title}"
    return found.group(1)


def documented(title: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", section(title), re.MULTILINE)


@pytest.mark.parametrize("title", STRUCTS)
def test_every_key_is_described_and_no_other(title: str) -> None:
    taken = {field.encode_name for field in msgspec.structs.fields(STRUCTS[title])}
    if title == "Top level":
        taken.add("extends")
    assert set(documented(title)) == taken
    assert len(documented(title)) == len(taken)


def test_every_reason_is_described() -> None:
    assert documented("`[response_codes]`") == [reason.value for reason in Reason]


def leaves(annotation: object) -> set[type]:
    """The classes that an annotation is made of."""
    found = {annotation} if isinstance(annotation, type) and not typing.get_args(annotation) else set()
    for part in typing.get_args(annotation):
        found |= leaves(part)
    return found


def reachable(struct: type[msgspec.Struct]) -> set[type]:
    found: set[type] = {struct}
    for annotation in typing.get_type_hints(struct, include_extras=True).values():
        for leaf in leaves(annotation):
            found |= reachable(leaf) if issubclass(leaf, msgspec.Struct) and leaf not in found else {leaf}
    return found


def test_no_table_and_no_value_is_forgotten() -> None:
    classes = reachable(DialectFile)
    assert {each for each in classes if issubclass(each, msgspec.Struct)} == set(STRUCTS.values())
    values = {member for each in classes if issubclass(each, Enum) and each is not Reason for member in each}
    assert Kind.REVERSAL in values
    values.remove(Kind.PRESENTMENT)  # no message's: the loader refuses it
    assert [str(value) for value in values if f"`{value}`" not in GUIDE and f'`"{value}"`' not in GUIDE] == []
    for struct in (FieldRow, HeaderPart, RejectRules):
        for annotation in typing.get_type_hints(struct, include_extras=True).values():
            if typing.get_origin(annotation) is typing.Literal:
                for value in filter(None, typing.get_args(annotation)):
                    assert f"`{value}`" in GUIDE or f'`"{value}"`' in GUIDE, value


# ── the worked example


def block(language: str, first: str) -> str:
    found = re.search(rf"^```{language}\n{re.escape(first)}(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture
def harbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "private" / "harbour"
    folder.mkdir(parents=True)
    (folder / "dialect.toml").write_text(block("toml", "# private/harbour/dialect.toml\n"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_example_prints_what_the_guide_says(harbour: Path) -> None:
    turns = re.split(r"^\$ switch ", block("console", ""), flags=re.MULTILINE)
    assert turns[0] == "" and len(turns) == 4
    for turn in turns[1:]:
        command, _, expected = turn.partition("\n")
        result = switch(*shlex.split(command))
        assert result.err == ""
        assert result.out.rstrip() == expected.rstrip()
        assert result.code == int("not taken" in expected)


def test_the_example_reads_purchases_and_answers_them(harbour: Path) -> None:
    codec = Codec(load_dialect(harbour))
    fields = purchase(f48="9203975", f61="000P", f62="H-2026-000417")
    request = codec.decode(codec.encode(fields), network="harbour", received_at=RECEIVED).request
    assert request is not None
    assert request.cvv2 is not None and request.cvv2.reveal() == "975"
    assert (request.partial_supported, request.network_reference) == (True, "H-2026-000417")
    assert codec.dialect.response_code(Reason.CVV2_MISMATCH) == "N7"

    advice = codec.encode(purchase(t="0120", f39="00", f60="02"))
    told = codec.decode(advice, network="harbour", received_at=RECEIVED).request
    assert told is not None
    assert told.stand_in_reason == "the issuer was signed off"

    shown = switch("specs", "describe", "--specs", "private", "--dialect", "harbour", "-", stdin=codec.encode(fields))
    assert shown.code == 0
    assert "the terminal takes a partial approval" in shown.out
    assert PAN not in shown.out and "975" not in shown.out


def test_the_advice_for_bcd_with_text_codes_works(tmp_path: Path) -> None:
    """What the guide tells to write for peers that send DE39 and currencies as text."""
    (tmp_path / "ours").mkdir()
    text = 'data_enc = "ascii", len_count = "bytes", left_pad = ""'
    assert f"`{text}, max_len = 2`" in GUIDE
    rows = [f'39 = {{ {text}, max_len = 2, class = "an" }}']
    rows += [f'{key} = {{ {text}, max_len = 3, class = "an" }}' for key in (49, 50, 51)]
    rows.append('32 = { len_enc = "b", left_pad = "", right_pad = "F" }')
    (tmp_path / "ours" / "dialect.toml").write_text('extends = "iso87_bcd"\n[fields]\n' + "\n".join(rows))
    codec = Codec(load_dialect(tmp_path / "ours"))
    payload = codec.encode(
        {"t": "0110", "4": "000000005000", "11": "000123", "32": "12345678901", "39": "N7", "49": "392"}
    )
    assert payload.endswith(bytes.fromhex("0B12345678901F") + b"N7392")
