"""What the wire tests share: the dialects, and messages whose PANs are made, not written."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from switch.wire.codec import Codec
from switch.wire.dialect import Dialect, load_dialect, specs_root

DIALECTS = ("iso87_ascii", "iso87_binary")  # those of 1987: purchase() is theirs
RECEIVED = datetime(2026, 6, 15, 3, 4, 6, tzinfo=UTC)


def luhn_pan(prefix: str, length: int = 16) -> str:
    body = prefix + "0" * (length - len(prefix) - 1)
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return body + str(-total % 10)


PAN = luhn_pan("476173")
OTHER_PAN = luhn_pan("513765")


@cache
def dialect(name: str) -> Dialect:
    return load_dialect(specs_root() / name)


@cache
def codec(name: str) -> Codec:
    return Codec(dialect(name))


def extended(tmp_path: Path, text: str, base: str = "base1", *, hook: tuple[str, str] | None = None) -> Dialect:
    """An operator's own dialect: ``text`` over one that came with the program, in a folder beside it.

    ``hook`` is the name and the text of a file beside it.
    """
    shutil.copytree(specs_root() / base, tmp_path / base)
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "dialect.toml").write_text(f'extends = "{base}"\n{text}\n', encoding="utf-8")
    if hook is not None:
        (tmp_path / "ours" / hook[0]).write_text(hook[1], encoding="utf-8")
    return load_dialect(tmp_path / "ours")


def tap(**changes: str | None) -> dict[str, str]:
    """A 1100 of ``iso93_contactless``, changed as :func:`purchase` is."""
    fields = {
        "t": "1100",
        "2": PAN,
        "3": "000000",
        "4": "000000005000",
        "7": "0615030405",
        "11": "000123",
        "12": "260615120405",
        "14": "2912",
        "22": "M00101M00140",
        "24": "100",
        "26": "5411",
        "32": "00000123456",
        "37": "616612000123",
        "41": "TERM01  ",
        "42": "SHOP0000001    ",
        "43": f"COFFEE AND CAKE\\1-1\\TOKYO\\{'150-0001':13}JPN",
        "49": "392",
    }
    return _changed(fields, changes)


def purchase(**changes: str | None) -> dict[str, str]:
    """A 0100 that both dialects can express; ``f4="…"`` changes DE4, ``f4=None`` leaves it out, ``t`` the MTI."""
    fields = {
        "t": "0100",
        "2": PAN,
        "3": "000000",
        "4": "000000005000",
        "7": "0615030405",
        "11": "000123",
        "12": "120405",
        "13": "0615",
        "14": "2912",
        "18": "5411",
        "22": "051",
        "25": "00",
        "32": "00000123456",
        "37": "616612000123",
        "41": "TERM01  ",
        "42": "SHOP0000001    ",
        "43": "COFFEE AND CAKE".ljust(25) + "TOKYO".ljust(13) + "JP",
        "49": "392",
    }
    return _changed(fields, changes)


def _changed(fields: dict[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    for key, value in changes.items():
        name = key.removeprefix("f")
        if value is None:
            fields.pop(name)
        else:
            fields[name] = value
    return fields
