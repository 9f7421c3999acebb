"""Records from the middle, and files that are not what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulators.clearing_files import generate, presentment
from switch.clearing.file import ClearingFileError, inspect, records
from tests.clearing.builders import NETWORK, PANS, a_day, every_way, purchase, write_file


@every_way
@pytest.mark.parametrize("start", range(1, 11))
def test_from_any_record_on(tmp_path: Path, file_format: str, options: dict[str, Any], start: int) -> None:
    path = write_file(tmp_path / "day", file_format, **options)
    summary = inspect(path, network=NETWORK)

    assert list(records(path, summary, start)) == list(records(path, summary))[start - 1 :]


@pytest.mark.parametrize("start", [-1, 0, 11])
def test_from_a_record_that_can_not_be(tmp_path: Path, start: int) -> None:
    path = write_file(tmp_path / "day")

    with pytest.raises(ValueError, match=f"record {start} of 9"):
        next(records(path, inspect(path), start))


@every_way
def test_the_same_name_with_other_content(tmp_path: Path, file_format: str, options: dict[str, Any]) -> None:
    day, other = a_day(), a_day()[:-1]

    first = inspect(write_file(tmp_path / "first", file_format, day, **options), network=NETWORK)
    again = inspect(write_file(tmp_path / "again", file_format, day, **options), network=NETWORK)
    changed = inspect(write_file(tmp_path / "changed", file_format, other, **options), network=NETWORK)

    assert (first.network, first.file_id) == (again.network, again.file_id) == (changed.network, changed.file_id)
    assert first == again
    assert first.digest != changed.digest


@every_way
def test_a_file_that_grew_is_refused_before_its_first_record(
    tmp_path: Path, file_format: str, options: dict[str, Any]
) -> None:
    summary = inspect(write_file(tmp_path / "day", file_format, **options), network=NETWORK)
    path = write_file(tmp_path / "day", file_format, generate(40, 1, PANS), **options)

    with pytest.raises(ClearingFileError, match="another file than the one that was inspected"):
        next(records(path, summary))


@every_way
@pytest.mark.parametrize("start", [1, 3])
def test_a_file_whose_content_changed_is_seen_at_its_end(
    tmp_path: Path, file_format: str, options: dict[str, Any], start: int
) -> None:
    # The records' sums and lengths stay as they were: only the digest tells.
    sound = [presentment(purchase(number)) for number in range(4)]
    path = write_file(tmp_path / "day", file_format, sound, **options)
    summary = inspect(path, network=NETWORK)
    write_file(path, file_format, [*sound[:-1], presentment(purchase(3, terminal_id="TERM0002"))], **options)

    with pytest.raises(ClearingFileError, match="has changed since it was inspected"):
        list(records(path, summary, start))


def test_reading_may_stop_anywhere(tmp_path: Path) -> None:
    # Warnings are errors: a file that stays open would be one.
    path = write_file(tmp_path / "day")
    found = records(path, inspect(path))

    assert next(found).clearing is not None
    found.close()  # type: ignore[attr-defined]  # it is a generator
