"""Whatever is done to a file, it is read or it is refused by name; and no error says a card number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from switch.clearing.file import ClearingFileError, FileFormat, inspect, records
from tests.clearing.builders import NETWORK, assert_silent, every_way, write_file


@st.composite
def mutations(draw: st.DrawFn, sound: bytes) -> bytes:
    """Bytes flipped, cut out, doubled, moved or replaced; a few times."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 400)))
        piece = data[start:end]
        match draw(st.sampled_from(["flip", "cut", "double", "move", "replace", "truncate", "insert"])):
            case "flip" if start < len(data):
                data[start] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[start:end]
            case "double":
                data[start:start] = piece
            case "move":
                del data[start:end]
                to = draw(st.integers(0, len(data)))
                data[to:to] = piece
            case "replace":
                data[start:end] = draw(st.binary(max_size=40))
            case "truncate":
                del data[max(start, 1) :]
            case _:
                data[start:start] = draw(st.sampled_from([b"\n", b'"', b",", b"{", b"\0", b"\x40", b"\xff", b"\r\n"]))
    return bytes(data)


@st.composite
def rows_mixed(draw: st.DrawFn, sound: bytes) -> bytes:
    """Lines, and the values in them, change places: card numbers come to stand where something else belongs."""
    lines = [line.split(b",") for line in sound.splitlines()]
    for _ in range(draw(st.integers(1, 3))):
        line = draw(st.sampled_from(lines))
        if len(line) > 1:
            here, there = draw(st.integers(0, len(line) - 1)), draw(st.integers(0, len(line) - 1))
            line[here], line[there] = line[there], line[here]
    joined = [b",".join(line) for line in lines]
    if draw(st.booleans()):
        joined = draw(st.permutations(joined))
    return b"\n".join(joined)


def check(path: Path, data: bytes, file_format: FileFormat | None) -> None:
    path.write_bytes(data)
    try:
        summary = inspect(path, file_format, network=NETWORK)
    except ClearingFileError as error:
        event("refused")
        assert_silent(error)
        return
    event("read")
    assert len(list(records(path, summary))) == summary.records


anything = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@every_way
@pytest.mark.parametrize("told", [False, True])
@anything
@given(data=st.data())
def test_mutated(tmp_path: Path, file_format: str, options: dict[str, Any], told: bool, data: st.DataObject) -> None:
    sound = write_file(tmp_path / "sound", file_format, **options).read_bytes()

    check(tmp_path / "file", data.draw(mutations(sound)), FileFormat(file_format) if told else None)


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
@anything
@given(data=st.data())
def test_mixed_up(tmp_path: Path, file_format: str, data: st.DataObject) -> None:
    sound = write_file(tmp_path / "sound", file_format).read_bytes()

    check(tmp_path / "file", data.draw(rows_mixed(sound)), FileFormat(file_format))


@anything
@given(data=st.binary(max_size=300), file_format=st.sampled_from([None, *FileFormat]))
def test_any_bytes(tmp_path: Path, data: bytes, file_format: FileFormat | None) -> None:
    check(tmp_path / "file", data, file_format)
