"""Code page 1047, which the standard library lacks."""

from __future__ import annotations

import pytest

from switch.wire.ebcdic import NAME

# What IBM's page 1047 has where page 037 has something else.
MOVED = {0x5F: "^", 0xAD: "[", 0xB0: "¬", 0xBA: "Ý", 0xBB: "¨", 0xBD: "]"}


def test_every_byte_is_one_character_and_back() -> None:
    every = bytes(range(256))
    text = every.decode(NAME)
    assert len(set(text)) == 256
    assert text.encode(NAME) == every


def test_it_is_page_037_with_six_characters_moved() -> None:
    text, known = bytes(range(256)).decode(NAME), bytes(range(256)).decode("cp037")
    assert {at: one for at, (one, other) in enumerate(zip(text, known, strict=True)) if one != other} == MOVED
    assert set(text) == set(known)


def test_what_it_lacks_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        "日本".encode(NAME)
