"""Key files: what is accepted, and that an error names the file but not what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.contracts.errors import ConfigurationError
from switch.vault.keys import load_cvk, load_key

HEX = bytes(range(32)).hex()


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "lookup.key"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("text", [HEX, HEX.upper(), f"{HEX}\n", f"  {HEX}\n\n"])
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_private_file_of_hex_digits_is_a_key(tmp_path: Path, text: str, mode: int) -> None:
    assert load_key(key_file(tmp_path, text, mode), length_bytes=32) == bytes(range(32))


def test_a_card_verification_key_stays_wrapped(tmp_path: Path) -> None:
    key = load_cvk(key_file(tmp_path, HEX[:32]))

    assert key.reveal() == HEX[:32].upper()
    assert HEX[:32].upper() not in f"{key!r} {key}"


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        (HEX, 0o644, "mode 0644 lets everybody in"),
        (HEX, 0o602, "mode 0602 lets everybody in"),
        (HEX[:-2], 0o600, "32 bytes needed, 31 found"),
        (HEX + "00", 0o600, "32 bytes needed, 33 found"),
        ("", 0o600, "32 bytes needed, 0 found"),
        (HEX[:-1], 0o600, "not hexadecimal digits"),
        (HEX[:-1] + "g", 0o600, "not hexadecimal digits"),
        (HEX[:-1] + "\N{LATIN SMALL LETTER E WITH ACUTE}", 0o600, "not hexadecimal digits"),
        ("00" * 32, 0o600, "a placeholder, not a key"),
        (HEX * 20, 0o600, "1280 bytes is too long for a key"),
    ],
)
def test_an_unusable_file_is_refused(tmp_path: Path, text: str, mode: int, message: str) -> None:
    path = key_file(tmp_path, text, mode)

    with pytest.raises(ConfigurationError) as raised:
        load_key(path, length_bytes=32)

    said = str(raised.value)
    assert message in said
    assert str(path) in said
    assert HEX[:12] not in said
    assert HEX[:12] not in repr(raised.value.__cause__)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load_key(tmp_path / "missing.key", length_bytes=32)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        load_key(tmp_path, length_bytes=32)
