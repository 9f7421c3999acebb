"""Certificate and key files: what is wrong with one is named by link, key and file, and nothing of it is quoted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from switch.contracts.errors import ConfigurationError
from switch.network.certificates import certificate_names, check_tls
from switch.network.settings import DialerSettings, DialerTls, ListenerSettings, ListenerTls
from tests.network.authority import SERVER, Authority


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    authority = Authority(tmp_path)
    return {**authority.files(SERVER), "client_ca": authority.file}


def complaint(files: dict[str, Path]) -> str:
    settings = ListenerSettings(
        dialect="iso87_ascii", network="blue", host="127.0.0.1", port=0, tls=ListenerTls(**files)
    )
    with pytest.raises(ConfigurationError) as caught:
        check_tls(settings)
    return str(caught.value)


def test_good_files(files: dict[str, Path]) -> None:
    check_tls(ListenerSettings(dialect="iso87_ascii", host="127.0.0.1", port=0, tls=ListenerTls(**files)))
    ours = {"certificate": files["certificate"], "key": files["key"], "ca": files["client_ca"]}
    for tls in (DialerTls(**ours), DialerTls(), None):
        check_tls(DialerSettings(dialect="iso87_ascii", host="127.0.0.1", port=1, tls=tls))


@pytest.mark.parametrize("key", ["certificate", "key", "client_ca"])
def test_a_missing_or_meaningless_file_is_named(files: dict[str, Path], key: str) -> None:
    files[key].write_text("-----BEGIN NOTHING-----\nhush\n-----END NOTHING-----\n")
    meaningless = complaint(files)
    files[key].unlink()
    missing = complaint(files)
    where = f"listener blue: tls.{key} {files[key]}: "
    assert meaningless.startswith(where) and "PEM form" in meaningless and "hush" not in meaningless
    assert missing == f"{where}No such file or directory"


def test_a_dialer_s_authorities_are_named(tmp_path: Path) -> None:
    settings = DialerSettings(
        dialect="iso87_ascii", host="127.0.0.1", port=1, tls=DialerTls(ca=tmp_path / "missing.pem")
    )
    with pytest.raises(ConfigurationError, match=r"dialer iso87_ascii: tls\.ca .*missing\.pem: No such file"):
        check_tls(settings)


@pytest.mark.parametrize(
    ("host", "server_name", "bad"),
    [("a.example", ".b.example", ".b.example"), ("a..example", "", "a..example"), ("a..example", "b.example", "")],
)
def test_a_name_that_no_certificate_has(host: str, server_name: str, bad: str) -> None:
    settings = DialerSettings(dialect="iso87_ascii", host=host, port=1, tls=DialerTls(server_name=server_name))
    if not bad:
        check_tls(settings)
        return
    with pytest.raises(ConfigurationError, match=rf"tls: {re.escape(bad)}: no certificate can"):
        check_tls(settings)


def test_the_key_of_another_certificate(files: dict[str, Path], tmp_path: Path) -> None:
    files["key"] = Authority(tmp_path, "other").files("other.example")["key"]
    assert complaint(files).endswith(f"{files['key']}: is not the key of {files['certificate']}")


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(files: dict[str, Path]) -> None:
    key = serialization.load_pem_private_key(files["key"].read_bytes(), None)
    files["key"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    assert "is encrypted" in complaint(files)


def test_a_key_that_everybody_may_read_is_refused(files: dict[str, Path]) -> None:
    files["key"].chmod(0o644)
    assert complaint(files).endswith("mode 0644 lets everybody in; 0400 or 0600 is needed")
    files["key"].chmod(0o640)
    check_tls(ListenerSettings(dialect="iso87_ascii", host="127.0.0.1", port=0, tls=ListenerTls(**files)))


def test_names_of_a_certificate() -> None:
    certificate = {
        "subject": ((("organizationName", "Blue"),), (("commonName", "blue"),)),
        "subjectAltName": (("DNS", "blue.example"), ("IP Address", "192.0.2.7")),
    }
    assert certificate_names(certificate) == ["blue", "blue.example", "192.0.2.7"]
    assert certificate_names({}) == []
