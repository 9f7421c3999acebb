"""`switch dev` gives every dialect a port, and none of them another's when a dialect is added."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from switch.daemon import dev
from switch.daemon.dev import DevelopmentSwitch


def ports(directory: Path) -> dict[str, int]:
    settings = tomllib.loads(DevelopmentSwitch(directory, port_base=None)._settings_text({}))
    return {listener["dialect"]: listener["port"] for listener in settings["listener"]}


def test_known_dialects_keep_their_ports_and_others_come_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ports(tmp_path)
    assert (found["iso87_ascii"], found["iso87_binary"], found["iso87_bcd"]) == (8583, 8584, 8585)

    names = dev.dialect_names()
    monkeypatch.setattr(dev, "dialect_names", lambda: ("acme", *names, "zebra"))
    behind = 8583 + len(names)
    assert ports(tmp_path) == {**found, "acme": behind, "zebra": behind + 1}
