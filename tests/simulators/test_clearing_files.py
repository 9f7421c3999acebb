from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path

import pytest
from cardutil.mciipm import IpmReader

from simulators.cards import load_cards
from simulators.clearing_files import FORMATS, generate, main

PANS = [card.pan for card in load_cards().values()]


def run(monkeypatch: pytest.MonkeyPatch, path: Path, *arguments: str) -> bytes:
    monkeypatch.setattr(sys, "argv", ["clearing_files", str(path), *arguments])
    main()
    return path.read_bytes()


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_same_seed_writes_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--format", file_format, "--count", "300", "--seed")

    first = run(monkeypatch, tmp_path / "first", *arguments, "7")
    again = run(monkeypatch, tmp_path / "again", *arguments, "7")
    other = run(monkeypatch, tmp_path / "other", *arguments, "8")

    assert first == again
    assert first != other
    assert "300 records" in capsys.readouterr().out


def test_a_day_has_something_of_everything() -> None:
    entries = list(generate(2_000, 1, PANS))

    assert {entry.kind for entry in entries} == {"presentment", "presentment_reversal", "chargeback"}
    assert {entry.operation for entry in entries} == {"purchase", "refund"}
    assert any(entry.amount > entry.purchase.amount for entry in entries)
    assert any(entry.amount < entry.purchase.amount for entry in entries)


def test_entries_come_one_by_one() -> None:
    assert len(list(islice(generate(10**12, 1, PANS), 3))) == 3


def test_the_trailers_say_what_is_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.loads(line) for line in run(monkeypatch, tmp_path / "lines", "--count", "200").splitlines()]
    run(monkeypatch, tmp_path / "ipm", "--count", "200", "--format", "ipm")
    with (tmp_path / "ipm").open("rb") as file:
        messages = list(IpmReader(file, encoding="cp500", blocked=True))

    assert lines[-1]["records"] == len(lines) - 2 == 200
    assert sum(lines[-1]["totals"]["JPY"].values()) == sum(line["amount"] for line in lines[1:-1])
    assert int(messages[-1]["PDS0306"]) == len(messages) == 202
    assert int(messages[-1]["PDS0301"]) == sum(message["DE4"] for message in messages[1:-1])
    assert [message["DE71"] for message in messages] == list(range(1, 203))


def test_no_card_number_is_seen_by_accident() -> None:
    (entry,) = generate(1, 1, PANS[:1])

    assert PANS[0].reveal() not in f"{entry!r} {entry}"
