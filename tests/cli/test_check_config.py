"""Settings are checked whole, and what is wrong is named by file and key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from switch.wire.dialect import dialect_names
from tests.cli.command import switch
from tests.house import House
from tests.network.authority import SERVER, Authority


@pytest.fixture
def settings(house: House, tmp_path: Path) -> Path:
    """A copy of good settings with everything that they name, to be spoilt."""
    shutil.copytree(house.directory / "keys", tmp_path / "keys")
    shutil.copy(house.directory / "programs.toml", tmp_path)
    shutil.copy(house.config, tmp_path / "switch.toml")
    return tmp_path / "switch.toml"


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def test_good_settings(settings: Path) -> None:
    human, machine = switch("check-config", str(settings)), switch("check-config", str(settings), "--json")

    assert (human.code, human.err) == (0, "")
    assert human.out.startswith(f"{settings}: good\n")
    assert "iso87_ascii, sign-on optional" in human.out
    assert machine.code == 0
    assert machine.json["ok"] is True
    assert machine.json["dialects"] == list(dialect_names())
    assert "plain" in machine.json["programs"]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("programs = ", 'colour = "red"\nprograms = ', ["colour"]),
        ("[database]", '[database]\ncolour = "red"', ["colour", "database"]),
        ("[vault]", '[vault]\ncolour = "red"', ["colour", "vault"]),
        ("[operations]", '[operations]\ncolour = "red"', ["colour", "operations"]),
        ("[[listener]]", '[[listener]]\ncolour = "red"', ["colour", "listener"]),
        ("[operations]", "[processing]\nbatch_messages_max = 0\n[operations]", ["batch_messages_max", "processing"]),
        ("[operations]", "[processing]\nqueue_depth_max = 1.5\n[operations]", ["queue_depth_max"]),
        ("[operations]", "[expiry]\ninterval_seconds = 0\n[operations]", ["interval_seconds", "expiry"]),
        ("[operations]", "[expiry]\ninterval_seconds = nan\n[operations]", ["interval_seconds", "expiry"]),
        ("[operations]", "[expiry]\naccounts_max = 0\n[operations]", ["accounts_max", "expiry"]),
        ("[operations]", "[expiry]\ncolour = 1\n[operations]", ["colour", "expiry"]),
        ("[[listener]]", "[[listener]]\nrequest_deadline_seconds = 0", ["request_deadline_seconds", "listener"]),
        ('sign_on = "optional"', 'sign_on = "perhaps"', ["sign_on", "listener"]),
        ('dialect = "iso87_ascii"', 'dialect = "iso99"', ["iso99"]),
        ("[[listener]]", '[[listener]]\nallow = ["10.0.0.0/33"]', ["allow", "10.0.0.0/33", "listener"]),
        ("[[listener]]", '[[listener]]\ntls = { certificate = "a.crt" }', ["key", "listener[0].tls"]),
        ("[[listener]]", '[[dialer]]\ndialect = "iso87_ascii"\nhosts = ["a"]\n[[listener]]', ["hosts: a", "dialer"]),
        ("[database]", "[database", ["TOML"]),
        ("pan_data_key_current = 1", "pan_data_key_current = 7", ["pan_data_key_current", "7"]),
        ("pan_data_key_current = 1\n", "", ["pan_data_key_current"]),
        ('dsn = "postgresql://switch_daemon@/', 'dsn = "postgresql://switch_daemon@/?password=x&', ["password_file"]),
        ('plain = "keys/cvk-plain.key"\n', "", ["security_code_keys", "plain"]),
    ],
)
def test_what_is_wrong_with_the_settings_is_named(settings: Path, old: str, new: str, named: list[str]) -> None:
    replace(settings, old, new)
    complaint = switch("check-config", str(settings)).complaint
    assert [name for name in named if name not in complaint] == [], complaint


def test_an_unknown_log_level_is_named(settings: Path) -> None:
    settings.write_text(settings.read_text() + '[log]\nlevel = "loud"\n')
    assert "loud" in switch("check-config", str(settings)).complaint


@pytest.mark.parametrize("name", ["pan-lookup.key", "pan-data-1.key", "cvk-plain.key"])
def test_a_bad_key_file_is_named_and_not_quoted(settings: Path, name: str) -> None:
    key = settings.parent / "keys" / name
    secret = key.read_text().strip()

    key.chmod(0o644)
    open_to_all = switch("check-config", str(settings)).complaint
    key.chmod(0o600)
    key.write_text(secret[:-2])
    short = switch("check-config", str(settings)).complaint
    key.write_text(secret[:-1] + "X")
    no_hex = switch("check-config", str(settings)).complaint
    key.unlink()
    missing = switch("check-config", str(settings)).complaint

    assert "0644" in open_to_all and "bytes needed" in short and "hexadecimal" in no_hex and "No such file" in missing
    for complaint in (open_to_all, short, no_hex, missing):
        assert str(key) in complaint
        assert secret[:8] not in complaint


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "plain"', 'name = "plain"\ncolour = "red"', ["colour", "program"]),
        ('name = "plain"', 'name = "standard"', ["two programs"]),
        ('currency = "JPY"', 'currency = "YEN"', ["YEN", "plain"]),
        ("per_purchase_minor = 100_000_000_000", "per_purchase_minor = -1", ["per_purchase_minor"]),
        ("mcc_blocked = [", 'mcc_blocked = ["54x1", ', ["54x1"]),
        ('time_zone = "America/New_York"', 'time_zone = "Mars/Olympus"', ["Mars/Olympus"]),
        ('security_code = "when_present"', 'security_code = "sometimes"', ["security_code"]),
        ("[[program]]", "[[programme]]\n[[program]]", ["programme"]),
        ("default_days = 7", "default_days = 61", ["default_days", "between 1 and 60", "program[4].hold_expiry"]),
        ("default_days = 7", 'default_days = 7\ncolour = "red"', ["colour", "hold_expiry"]),
        ("days = 30", "days = 0", ["days", "between 1 and 60", "hold_expiry.rule[1]"]),
        ("days = 30", "", ["days", "hold_expiry.rule[1]"]),
        ('"4411", "7011", "7512"]\ndays', '"44x1", "7011", "7512"]\ndays', ["44x1", "hold_expiry.rule[1]"]),
        ('initiator = "merchant"', 'initiator = "bank"', ["initiator", "bank", "hold_expiry.rule[2]"]),
        ("amount_max_minor = 100", "amount_max_minor = -1", ["amount_max_minor", "hold_expiry.rule[0]"]),
    ],
)
def test_what_is_wrong_with_a_program_is_named(settings: Path, old: str, new: str, named: list[str]) -> None:
    programs = settings.parent / "programs.toml"
    replace(programs, old, new)
    complaint = switch("check-config", str(settings)).complaint
    assert str(programs) in complaint
    assert [name for name in named if name not in complaint] == [], complaint


def test_a_missing_program_file_is_named(settings: Path) -> None:
    (settings.parent / "programs.toml").unlink()
    assert switch("check-config", str(settings)).complaint.endswith("programs.toml: No such file or directory")


def test_every_command_reads_the_same_settings(settings: Path) -> None:
    replace(settings, "[database]", '[database]\ncolour = "red"')
    for arguments in (("serve",), ("migrate",), ("account", "list"), ("card", "list"), ("journal", "verify")):
        complaint = switch(*arguments, "--config", str(settings)).complaint
        assert str(settings) in complaint and "colour" in complaint
        assert switch(*arguments, config=settings).complaint == complaint


def test_certificates_are_read_and_links_are_described(settings: Path) -> None:
    authority = Authority(settings.parent)
    files = authority.files(SERVER, stem="ours")
    replace(
        settings,
        "[[listener]]",
        """[[dialer]]
dialect = "iso87_ascii"
hosts = ["primary.example:8583", "[2001:db8::7]:9000"]
tls = { ca = "authority.pem", server_name = "acquirer.example" }

[[listener]]
allow = ["10.0.0.0/8", "192.0.2.7"]
tls = { certificate = "ours.crt", key = "ours.key", client_ca = "authority.pem" }""",
    )
    good = switch("check-config", str(settings))
    assert (good.code, good.err) == (0, "")
    assert "sign-on optional, mutual TLS, from 10.0.0.0/8, 192.0.2.7\n" in good.out
    assert "no TLS, from anywhere\n" in good.out
    assert "dials      primary.example:8583, then [2001:db8::7]:9000  iso87_ascii, TLS\n" in good.out

    files["key"].chmod(0o644)
    open_to_all = switch("check-config", str(settings)).complaint
    files["key"].unlink()
    missing = switch("check-config", str(settings)).complaint
    for complaint in (open_to_all, missing):
        assert "listener iso87_ascii: tls.key" in complaint and str(files["key"]) in complaint
    authority.files(SERVER, stem="ours")
    replace(settings, 'ca = "authority.pem", server', 'ca = "nothing.pem", server')
    assert "dialer iso87_ascii: tls.ca" in switch("check-config", str(settings)).complaint
    assert "tls.ca" in switch("serve", "--config", str(settings)).complaint
