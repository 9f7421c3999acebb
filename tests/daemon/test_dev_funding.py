"""`switch dev` tops up where its directory has a funding.toml, and only there."""

from __future__ import annotations

from pathlib import Path

from switch.daemon.dev import DevelopmentSwitch
from switch.daemon.settings import load_settings

FUNDING = """
[funding]
budget_seconds = 2.0
[[funding.provider]]
name = "acme"
url = "http://127.0.0.1:9443"
key_id = "switch"
key_file = "provider/funding-source.key"
"""


def test_its_settings_have_what_the_file_says(tmp_path: Path) -> None:
    written = DevelopmentSwitch(tmp_path, port_base=0)
    assert written.write_files().funding.provider == ()
    (tmp_path / "funding.toml").write_text(FUNDING)
    assert [provider.name for provider in written.write_files().funding.provider] == ["acme"]
    funding = load_settings(written.config).funding
    assert funding.budget_seconds == 2.0
    assert funding.provider[0].key_file == tmp_path / "provider/funding-source.key"
