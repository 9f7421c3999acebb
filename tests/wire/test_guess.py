"""What a person pastes, and which dialect it is of."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.wire.describe import Describer
from switch.wire.dialect import dialect_names
from switch.wire.framing import Framer, Framing
from switch.wire.guess import Guess, guess
from switch.wire.inbound import ManagementFunction
from switch.wire.pasted import FORMS, FRAMINGS, pasted_as, unframed_as
from tests.wire.support import RECEIVED, codec, dialect, extended, purchase, tap

ALL = dialect_names()


@cache
def describers() -> tuple[Describer, ...]:
    return tuple(Describer(dialect(name)) for name in ALL)


def guessed(text: bytes, form: str = "auto", framing: str = "auto") -> Guess:
    found = guess(pasted_as(text, form), describers(), framing, RECEIVED)
    assert found is not None
    return found


def message(name: str) -> bytes:
    if name == "iso93_contactless":
        return codec(name).encode(tap())
    return codec(name).encode(
        purchase(f22="0510" if name == "base1" else "051", f61="0" * 36 if name == "base1" else "A")
    )


WRITTEN = {
    "hex": lambda data: data.hex().encode(),
    "HEX": lambda data: data.hex(" ").upper().encode() + b"\n",
    "lines": lambda data: b"\n".join(data.hex().encode()[at : at + 32] for at in range(0, 2 * len(data), 32)),
    "0x": lambda data: b"0x" + data.hex().encode(),
    "base64": base64.b64encode,
    "base64 lines": base64.encodebytes,
    "raw": lambda data: data,
}


@pytest.mark.parametrize("framing", ["none", *(each.value for each in Framing)])
@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("name", ALL)
def test_dialect_form_and_framing_are_found(name: str, form: str, framing: str) -> None:
    payload = message(name)
    data = payload if framing == "none" else Framer(Framing(framing), 9_999).encode(payload)
    found = guessed(WRITTEN[form](data))
    reading = found.reading
    assert reading.description.problem is None
    assert (reading.description.dialect, reading.framing or "none") == (name, framing)
    assert reading.form == form.lower().replace("lines", "hex").replace("0x", "hex").replace("base64 hex", "base64")
    assert (reading.description.message_bytes, reading.odd) == (len(payload), "")
    assert {other.dialect for other in found.others} == set(ALL) - {name}
    assert found.why.startswith("every byte of it can be read")


@pytest.mark.parametrize("name", ALL)
def test_short_messages_too(name: str) -> None:
    payload = codec(name).encode_management(ManagementFunction.ECHO, stan="000001", now=RECEIVED)
    assert guessed(payload.hex().encode()).reading.description.dialect == name


def test_digits_may_be_text_or_hexadecimal() -> None:
    """An 0800 in ASCII is made of digits alone."""
    payload = codec("iso87_ascii").encode_management(ManagementFunction.ECHO, stan="000001", now=RECEIVED)
    assert payload.isalnum()
    assert guessed(payload).reading.form == "raw"
    assert guessed(payload + b"\n").reading.description.message_bytes == len(payload)
    assert guessed(payload.hex().encode()).reading.form == "hex"


def test_a_bad_message_is_told_by_the_dialect_that_comes_furthest() -> None:
    payload = message("iso87_ascii")[:-30]
    found = guessed(payload)
    assert (found.reading.description.dialect, found.reading.framing) == ("iso87_ascii", "")
    problem = found.reading.description.problem
    assert problem is not None
    assert found.why.startswith(f"it can be read furthest, to byte {problem.offset} of {len(payload)}")
    assert all("found" not in other.says for other in found.others)


def test_a_frame_that_is_cut_short() -> None:
    found = guessed(Framer(Framing.VAP, 9_999).encode(message("base1"))[:-3], framing="vap")
    assert found.reading.description.dialect == "base1"
    assert found.reading.odd.startswith("its length tells of more than the ")


def test_dialects_that_read_it_as_well_are_named(tmp_path: Path) -> None:
    twin = Describer(extended(tmp_path, 'description = "the same"', base="iso87_ascii"))
    found = guess(pasted_as(message("iso87_ascii"), "raw"), [Describer(dialect("iso87_ascii")), twin], "auto", RECEIVED)
    assert found is not None
    assert found.reading.description.dialect == "iso87_ascii"
    assert found.why == "every byte of it can be read; so it is with ours"
    assert [(other.dialect, other.equal) for other in found.others] == [("ours", True)]


@pytest.mark.parametrize(
    ("text", "form"), [(b"01 0x zz", "hex"), (b"012", "hex"), (b"!", "base64"), (b"", "raw"), (b"", "auto")]
)
def test_what_is_not_of_its_form(text: bytes, form: str) -> None:
    assert pasted_as(text, form) == []
    assert guess(pasted_as(text, form), describers(), "auto", RECEIVED) is None


def test_a_framing_that_was_asked_for() -> None:
    assert [(each.payload, each.odd) for each in unframed_as(b"\x00\x02abX", "length2")] == [
        (b"ab", "1 bytes behind it are not looked at")
    ]
    assert [(each.payload, each.odd) for each in unframed_as(b"12x4abcd", "ascii4")] == [
        (b"abcd", "its length is none")
    ]
    assert unframed_as(b"\x00", "length2") == []
    assert [each.framing for each in unframed_as(b"\x00\x02ab", "auto")] == ["", "length2"]
    assert [each.framing for each in unframed_as(b"0002ab", "none")] == [""]


@given(text=st.binary(max_size=120), form=st.sampled_from(FORMS), framing=st.sampled_from(FRAMINGS))
@settings(max_examples=120, deadline=None)
def test_any_input(text: bytes, form: str, framing: str) -> None:
    found = guess(pasted_as(text, form), describers(), framing, RECEIVED)
    assert found is None or len(found.others) == len(ALL) - 1
