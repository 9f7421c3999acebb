"""`switch specs`: dialects listed, shown and checked, and messages read."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from switch.wire.dialect import dialect_names, load_dialect, specs_root
from switch.wire.dialect_layers import lineage
from switch.wire.dialect_report import TABLES
from switch.wire.framing import Framer, Framing
from tests.cli.command import Result, switch
from tests.wire.support import PAN, codec, purchase

MASKED = f"{PAN[:6]}******{PAN[-4:]}"
OURS = 'extends = "iso87_ascii"\ndescription = "Ours"\nframing = "vap"\n'


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A folder with a dialect of our own, laid over one that came along."""
    folder = tmp_path / "private"
    (folder / "ours").mkdir(parents=True)
    (folder / "ours" / "dialect.toml").write_text(OURS)
    return folder


@pytest.fixture
def message(tmp_path: Path) -> Path:
    path = tmp_path / "message.bin"
    path.write_bytes(codec("iso87_ascii").encode(purchase(f35=f"{PAN}=29122010000098765", f126="11QZXJ")))
    return path


def settings_with(folder: Path) -> Path:
    """Settings that name private dialects; nothing else of them is looked at."""
    config = folder.parent / "switch.toml"
    config.write_text(
        f'specs = "{folder.name}"\nprograms = "programs.toml"\n[database]\ndsn = "postgresql://switch_daemon@/switch"\n'
        '[vault]\npan_lookup_key = "a.key"\npan_data_keys = { 1 = "b.key" }\npan_data_key_current = 1\n'
        '[[listener]]\ndialect = "ours"\nhost = "127.0.0.1"\nport = 0\n'
    )
    return config


# ── list and show


def test_the_dialects_that_came_along() -> None:
    listed = switch("specs", "list", "--json").json
    assert [one["dialect"] for one in listed] == list(dialect_names())
    bcd = next(one for one in listed if one["dialect"] == "iso87_bcd")
    assert bcd == {
        "dialect": "iso87_bcd",
        "framing": "length2",
        "origin": "comes along",
        "extends": ["iso87_binary", "iso87_ascii"],
        "description": load_dialect(specs_root() / "iso87_bcd").description,
        "folder": str(specs_root() / "iso87_bcd"),
    }
    human = switch("specs", "list")
    assert (human.code, human.err) == (0, "")
    assert [line.split()[0] for line in human.out.splitlines()] == ["dialect", *dialect_names()]


def test_private_dialects_by_option_or_settings(private: Path) -> None:
    by_option = switch("specs", "list", "--specs", str(private), "--json").json
    by_settings = switch("specs", "list", "--json", config=settings_with(private)).json
    assert by_option == by_settings
    ours = next(one for one in by_option if one["dialect"] == "ours")
    assert (ours["origin"], ours["extends"], ours["framing"]) == ("private", ["iso87_ascii"], "vap")
    assert len(by_option) == len(dialect_names()) + 1


@pytest.mark.parametrize("name", dialect_names())
def test_a_dialect_in_tables(name: str) -> None:
    result = switch("specs", "show", name)
    assert (result.code, result.err) == (0, "")
    loaded = load_dialect(specs_root() / name)
    assert result.out.startswith(f"{name}: {loaded.description}\n")
    for title in ("[messages]", "[management]", "[elements]", "[response_codes]", "[fields]"):
        assert title in result.out
    for text in (*loaded.messages, *loaded.names.values(), *loaded.response_codes.values(), *loaded.operations):
        assert text in result.out
    assert ("[header]" in result.out) == (loaded.header is not None)
    assert ("[subfields]" in result.out) == bool(loaded.subfields)


@pytest.mark.parametrize("table", TABLES)
def test_one_table(table: str) -> None:
    human, machine = (switch("specs", "show", "base1", "--table", table, *json) for json in ((), ("--json",)))
    assert (human.code, machine.code) == (0, 0)
    rows = machine.json.get(table, [])
    assert human.out.count("\n") == (len(rows) + 3 if rows else 0)
    assert [row for row in rows for cell in row.values() if not isinstance(cell, str)] == []


def test_a_dialect_for_programs() -> None:
    shown = switch("specs", "show", "iso87_bcd", "--json").json
    assert (shown["dialect"], shown["extends"]) == ("iso87_bcd", ["iso87_binary", "iso87_ascii"])
    assert shown["fields"]["2"]["class"] == "n"
    assert shown["fields"]["2"]["len_count"] == "nibbles"
    assert shown["elements"]["pan"] == "2"
    assert shown["response_codes"]["format_error"] == "30"


def test_a_folder_can_be_shown(private: Path) -> None:
    shown = switch("specs", "show", str(private / "ours"), "--json").json
    assert (shown["description"], shown["folder"]) == ("Ours", str(private / "ours"))
    assert "no dialect of that name" in switch("specs", "show", "iso99").complaint


# ── check


@pytest.mark.parametrize("name", dialect_names())
def test_good_dialects(name: str) -> None:
    assert switch("specs", "check", name).out.startswith(f"{name}: good (")
    assert switch("specs", "check", name, "--json").json["ok"] is True


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 1", ["colour", "unknown key"]),
        ("[fields]\n4 = { max_length = 12 }", ["[fields] 4", "max_length"]),
        ('[carriers]\ncvv2 = { field = "130" }', ["[carriers] cvv2", "field 130"]),
        ('[response_codes]\napproved = "000"', ["[response_codes] approved", "2 letters or digits"]),
        ('extends = "nowhere"', ["nowhere"]),
        ('hook = "hook.py"', ["hook.py", "can't be read"]),
        ("[fields\n", ["dialect.toml"]),
        ("[fields]\n70 = { max_len = 2 }", ["[management]", "an echo can't be exchanged", "field 70"]),
    ],
)
def test_what_is_wrong_is_named(private: Path, text: str, named: list[str]) -> None:
    file = private / "ours" / "dialect.toml"
    file.write_text(text + "\n" + OURS if not text.startswith(("[", "extends")) else f"{OURS}{text}\n")
    if text.startswith("extends"):
        file.write_text(f'{text}\ndescription = "Ours"\n')
    complaint = switch("specs", "check", str(private / "ours")).complaint
    assert [name for name in named if name not in complaint] == [], complaint
    assert "dialect.toml" in complaint or "hook.py" in complaint
    machine = switch("specs", "check", "ours", "--specs", str(private), "--json")
    assert (machine.code, machine.json["ok"], machine.json["problem"]) == (1, False, complaint)


def test_a_base_beside_it_comes_before_one_that_came_along(private: Path) -> None:
    assert [folder.name for folder in lineage(private / "ours")] == ["ours", "iso87_ascii"]
    assert lineage(private / "ours")[1] == specs_root() / "iso87_ascii"
    (private / "iso87_ascii").mkdir()
    (private / "iso87_ascii" / "dialect.toml").write_text('extends = "iso87_binary"\n')
    # Which ends in iso87_ascii again: beside it, by name.
    assert "in turn" in switch("specs", "check", str(private / "ours")).complaint
    (private / "iso87_ascii" / "dialect.toml").write_text((specs_root() / "iso87_ascii" / "dialect.toml").read_text())
    assert lineage(private / "ours")[1] == private / "iso87_ascii"


# ── describe


def parts(result: Result) -> tuple[int, str]:
    assert result.err == ""
    assert PAN not in result.out and "QZXJ" not in result.out and "0000098765" not in result.out
    return result.code, result.out


def test_a_message_from_a_file_from_stdin_and_from_the_command_line(message: Path) -> None:
    data = message.read_bytes()
    by_file = parts(switch("specs", "describe", "--file", str(message)))
    assert by_file[0] == 0
    assert MASKED in by_file[1]
    assert "5,000 JPY" in by_file[1]
    assert "iso87_ascii was chosen: every byte of it can be read" in by_file[1]
    assert parts(switch("specs", "describe", "-", stdin=data)) == by_file
    as_hex = by_file[1].replace(", raw,", ", hex,")
    assert parts(switch("specs", "describe", "-", stdin=data.hex(" "))) == (0, as_hex)
    assert parts(switch("specs", "describe", *data.hex(" ").split())) == (0, as_hex)
    as_base64 = by_file[1].replace(", raw,", ", base64,")
    assert parts(switch("specs", "describe", base64.b64encode(data).decode())) == (0, as_base64)


def test_a_message_for_programs(message: Path) -> None:
    framed = Framer(Framing.LENGTH2, 9_999).encode(message.read_bytes())
    result = switch("specs", "describe", "-", "--json", stdin=framed)
    assert parts(result)[0] == 0
    told = result.json
    assert (told["dialect"], told["framing"], told["guessed"], told["problem"]) == (
        "iso87_ascii",
        "length2",
        True,
        None,
    )
    lines = {line["key"]: line for line in told["lines"]}
    assert lines["4"]["value"] == "000000005000"
    assert lines["2"]["value"] == MASKED
    assert told["read_as"]["amount"] == "5,000 JPY"
    assert {other["dialect"] for other in told["others"]} == set(dialect_names()) - {"iso87_ascii"}


def test_a_dialect_that_was_named(message: Path, private: Path) -> None:
    named = switch("specs", "describe", "--dialect", "ours", "--specs", str(private), "--file", str(message), "--json")
    assert (named.code, named.json["dialect"], named.json["guessed"], named.json["others"]) == (0, "ours", False, [])
    assert "was chosen" not in switch("specs", "describe", "--dialect", "iso87_ascii", "--file", str(message)).out
    wrong = switch("specs", "describe", "--dialect", "base1", "--file", str(message))
    assert (wrong.code, wrong.err) == (1, "")
    assert "not taken: field h (Message Header) at byte" in wrong.out
    assert "no dialect of that name" in switch("specs", "describe", "--dialect", "iso99", "00").complaint


def test_a_bad_message_exits_1_and_is_told_as_far_as_it_goes(message: Path) -> None:
    data = message.read_bytes()
    cut = data[: data.index(b"5411") + 2]
    result = switch("specs", "describe", "-", stdin=cut)
    assert parts(result)[0] == 1
    assert "000000005000" in result.out
    offset = data.index(b"5411")
    assert f"field 18 (Merchant Type) at byte {offset}: needed 4 ASCII bytes, found Field data is 2 bytes" in result.out
    machine = switch("specs", "describe", "-", "--json", stdin=cut)
    assert (machine.code, machine.json["problem"]["offset"]) == (1, offset)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        ((), "", 2),
        (("00", "--file", "{message}"), "", 2),
        (("--form", "octal", "00"), "", 2),
        (("--form", "hex", "4761x"), "", 1),
        (("-",), "", 1),
        (("-",), "0" * 600_000, 1),
        (("--framing", "ascii4", "--form", "raw", "12"), "", 1),
    ],
)
def test_what_is_no_input_is_said_without_quoting_it(
    arguments: tuple[str, ...], stdin: str, code: int, message: Path
) -> None:
    result = switch("specs", "describe", *(each.format(message=message) for each in arguments), stdin=stdin)
    assert (result.code, result.out) == (code, "")
    assert "4761x" not in result.err and "Traceback" not in result.err
