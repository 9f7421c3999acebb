"""``switch funding-source`` as a program, and its books as a file."""

from __future__ import annotations

import hashlib
import hmac
import json
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from click.testing import CliRunner, Result

from simulators.funding_source.books import BOOKS_FILE, Books, Deed, Entry, read_entries
from simulators.funding_source.command import funding_source
from simulators.funding_source.faults import Fault, FaultKind, Faults, Script, load_script
from switch.contracts.errors import ConfigurationError

COMMAND = [sys.executable, "-m", "switch.cli", "funding-source"]


@contextmanager
def running(*arguments: str, end: signal.Signals = signal.SIGTERM) -> Iterator[dict[str, Any]]:
    process = subprocess.Popen([*COMMAND, "run", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield ready
        process.send_signal(end)
        rest, complaints = process.communicate(timeout=30)
        assert (process.returncode, rest, complaints) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


def call(
    ready: dict[str, Any], path: str, key: str, body: dict[str, Any], verify: ssl.SSLContext | bool = True
) -> httpx.Response:
    """Written from the README, a third time: with nothing of the adapter's or the simulator's."""
    content = json.dumps(body).encode()
    now = str(int(time.time()))
    text = "\n".join(["funding-v1", "POST", path, now, key, hashlib.sha256(content).hexdigest()])
    secret = bytes.fromhex(Path(ready["key_file"]).read_text())
    headers = {
        "Idempotency-Key": key,
        "Funding-Key-Id": "switch",
        "Funding-Timestamp": now,
        "Funding-Signature": hmac.new(secret, text.encode(), hashlib.sha256).hexdigest(),
    }
    with httpx.Client(verify=verify, trust_env=False) as client:
        return client.post(ready["url"] + path, content=content, headers=headers)


CHARGE = {"source": "tok-1", "amount_minor": 1_250, "currency": "JPY"}
CHARGED = {"key": "a-1", "result": "charged", "reference": "ch-00000001", "amount_minor": 1_250, "currency": "JPY"}


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(funding_source, arguments)


def test_a_restart_goes_on_with_the_books(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with running("--data", data) as ready:
        assert ready["event"] == "ready" and ready["url"] == f"http://127.0.0.1:{ready['port']}"
        assert call(ready, "/v1/charges", "a-1", CHARGE).json() == CHARGED
        assert call(ready, "/v1/queries", "q-1", {"charge_key": "a-2"}).json() == {
            "key": "q-1",
            "result": "not_charged",
        }
    with running("--data", data, end=signal.SIGINT) as ready:
        assert call(ready, "/v1/charges", "a-1", CHARGE).json() == CHARGED
        assert call(ready, "/v1/charges", "a-2", CHARGE).json()["reason"] == "key_closed"
        void = {"charge_key": "a-1", "reference": "ch-00000001"}
        told = call(ready, "/v1/voids", "a-1.void", void).json()
        assert told == {"key": "a-1.void", "result": "voided", "reference": "ch-00000001"}
        assert call(ready, "/v1/charges", "a-3", CHARGE).json()["reference"] == "ch-00000002"

    shown = json.loads(invoke("books", "--data", data, "--json").output)
    assert shown["summary"] == {
        "money": {"JPY": {"taken_minor": 2_500, "returned_minor": 1_250, "kept_minor": 1_250}},
        "deeds": {"charged": 2, "closed": 1, "voided": 1},
    }
    assert [entry["deed"] for entry in shown["entries"]] == ["charged", "closed", "voided", "charged"]
    people = invoke("books", "--data", data).output
    assert "JPY: taken 2,500, returned 1,250, kept 1,250" in people
    assert (tmp_path / "data" / "funding-source.key").stat().st_mode & 0o077 == 0


def test_tls_a_script_and_the_control_endpoint(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key, script = tmp_path / "crt.pem", tmp_path / "key.pem", tmp_path / "faults.toml"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    script.write_text('[[fault]]\ncall = "charge"\nkind = "decline"\nreason = "over_limit"\ncount = 1\n')
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    arguments = ("--data", str(tmp_path), "--script", str(script), "--control")
    with running(*arguments, "--certificate", str(certificate), "--certificate-key", str(key)) as ready:
        assert ready["url"].startswith("https://")
        assert call(ready, "/v1/charges", "a-1", CHARGE, trust).json()["reason"] == "over_limit"
        assert call(ready, "/v1/charges", "a-2", CHARGE, trust).json()["result"] == "charged"
        with httpx.Client(verify=trust, trust_env=False, base_url=ready["url"]) as client:
            wrong = client.post("/control/script", json={"fault": [{"kind": "mean"}]})
            assert (wrong.status_code, "mean" in wrong.text) == (400, True)
            assert client.post("/control/script", json={"fault": [{"kind": "error_after"}]}).status_code == 200
            assert call(ready, "/v1/charges", "a-3", CHARGE, trust).status_code == 500
            books = client.get("/control/books").json()
        assert books["summary"]["money"]["JPY"]["kept_minor"] == 2_500


def test_without_control_there_is_none(tmp_path: Path) -> None:
    with running("--data", str(tmp_path)) as ready, httpx.Client(base_url=ready["url"], trust_env=False) as client:
        assert client.get("/control/books").status_code == 405
        assert client.post("/control/script", json={}).json() == {"key": "", "error": "no such call", "taken": False}


@pytest.mark.parametrize(
    "break_it",
    [
        {"Funding-Signature": "0" * 64},
        {"Funding-Signature": ""},
        {"Funding-Key-Id": "another"},
        {"Funding-Timestamp": "1"},
        {"Funding-Timestamp": "now"},
        {"Idempotency-Key": "a-2"},
        {"Idempotency-Key": ""},
    ],
)
def test_every_part_is_under_the_signature(tmp_path: Path, break_it: dict[str, str]) -> None:
    from simulators.funding_source.provider import Account, Provider, Reply

    body = json.dumps(CHARGE).encode()
    text = "\n".join(["funding-v1", "POST", "/v1/charges", "1000", "a-1", hashlib.sha256(body).hexdigest()])
    headers = {
        "Idempotency-Key": "a-1",
        "Funding-Key-Id": "switch",
        "Funding-Timestamp": "1000",
        "Funding-Signature": hmac.new(b"k" * 32, text.encode(), hashlib.sha256).hexdigest(),
    }
    with Books(tmp_path / "books") as books:
        provider = Provider(books, Account("switch", b"k" * 32), Faults(Script()), lambda: 1_100.0)

        def read(path: str, changed: dict[str, str], content: bytes) -> bool:
            """Whether it is let through."""
            lower = {name.lower(): value for name, value in {**headers, **changed}.items()}
            told = provider.read(path, lower, content)
            return not (isinstance(told, Reply) and told.status == 401)

        assert read("/v1/charges", {}, body)
        assert not read("/v1/charges", break_it, body)
        assert not read("/v1/charges", {}, body + b" ")
        assert not read("/v1/voids", {}, body)


@pytest.mark.parametrize("options", [{}, {"sync": False}])
def test_a_deed_is_forced_to_disk_before_it_is_told_unless_the_books_are_for_a_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, bool]
) -> None:
    forced: list[int] = []
    monkeypatch.setattr("os.fsync", forced.append)
    entry = Entry(deed=Deed.CLOSED, key="a-1", at="t")
    with Books(tmp_path / BOOKS_FILE, **options) as books:
        books.add(entry)
        assert read_entries(tmp_path / BOOKS_FILE) == [entry]
    assert len(forced) == (0 if options else 1)


def test_books_that_are_not_forced_to_disk_outlive_the_process(tmp_path: Path) -> None:
    with running("--data", str(tmp_path), "--no-sync") as ready:
        body = {"source": "tok-1", "amount_minor": 1_250, "currency": "JPY"}
        assert call(ready, "/v1/charges", "a-1", body).json()["result"] == "charged"
        assert [one.key for one in read_entries(tmp_path / BOOKS_FILE)] == ["a-1"]


def test_a_line_that_a_crash_tore_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / BOOKS_FILE
    entry = Entry(
        deed=Deed.CHARGED, key="a-1", at="t", source="s", asked_minor=5, amount_minor=5, currency="JPY", reference="r"
    )
    with Books(path) as books:
        books.add(entry)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    with Books(path) as books:
        assert books.charges == {"a-1": entry}
        books.add(Entry(deed=Deed.CLOSED, key="a-2", at="t"))
    assert [one.key for one in read_entries(path)] == ["a-1", "a-2"]
    path.write_bytes(b"{}\n" + whole)
    with pytest.raises(ConfigurationError, match="line 1"):
        read_entries(path)


def test_probability_and_count_are_played_alike_with_one_seed() -> None:
    script = Script(
        seed=4,
        fault=(
            Fault(kind=FaultKind.DECLINE, call="charge", count=2, source="tok-9"),
            Fault(kind=FaultKind.BUSY, call="query"),
            Fault(kind=FaultKind.RESET_AFTER, probability=0.3),
        ),
    )
    runs = []
    for _ in range(2):
        faults = Faults(script)
        runs.append([faults.next("charge", "tok-1").kind for _ in range(200)])
    assert runs[0] == runs[1]
    assert 35 < runs[0].count(FaultKind.RESET_AFTER) < 85
    faults = Faults(Script(fault=script.fault[:2]))
    assert [faults.next("charge", "tok-9").kind for _ in range(3)] == ["decline", "decline", "none"]
    assert (faults.next("query").kind, faults.next("void").kind) == ("busy", "none")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[fault]]\nkind = 'mean'\n", "mean"),
        ("[[fault]]\nkind = 'slow'\nsecond = 1\n", "unknown field `second`"),
        ("[[fault]]\nkind = 'slow'\nprobability = 2.0\n", "probability: between 0 and 1"),
        ("[[fault]]\nkind = 'wrong_amount'\ncall = 'charge'\n", "off_by_minor"),
        ("[[fault]]\nkind = 'wrong_amount'\noff_by_minor = 1\n", "call: wrong_amount"),
        ("[[fault]]\nkind = 'busy'\ncount = -1\n", "count"),
        ("fault = ", "is no TOML"),
    ],
)
def test_a_script_that_is_wrong_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint) as found:
        load_script(path)
    assert str(path) in str(found.value)


def test_exit_codes(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    assert invoke("run").exit_code == 2
    assert invoke("run", *data, "--certificate", __file__).exit_code == 2
    assert invoke("books", *data).exit_code == 2
    short = tmp_path / "short.key"
    short.write_text("00ff")
    assert "32 bytes needed, 2 found" in str(invoke("run", *data, "--key-file", str(short)).exception)
    with running(*data) as ready:
        second = subprocess.run(
            [*COMMAND, "run", "--data", str(tmp_path / "other"), "--port", str(ready["port"])],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert (second.returncode, second.stdout) == (3, "")
    assert f"127.0.0.1:{ready['port']}" in second.stderr


def test_help_explains() -> None:
    assert "misbehaves as a script says" in invoke("--help").output
    told = invoke("run", "--help").output
    assert all(kind in told for kind in FaultKind if kind is not FaultKind.NONE)
