"""A codec that has learnt says what pyiso8583 says: of everything that is a message and of everything that is none."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType

import iso8583
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.wire import layout
from switch.wire.codec import Codec
from switch.wire.dialect import Dialect, dialect_names, load_dialect, specs_root
from switch.wire.errors import DecodeFailure, EncodeFailure
from switch.wire.layout import LEARN_AFTER, FieldsLayouts, PayloadLayouts
from tests.wire.support import PAN, RECEIVED, dialect, purchase, tap
from tests.wire.test_codec_fields import ALPHABETS

#: Dialects of what the standard ones lack: headers, packed digits with their pads, EBCDIC, lengths in binary and BCD.
PACKED = """
extends = "iso87_binary"
[fields]
h  = { data_enc = "b", max_len = 11 }
t  = { data_enc = "b", max_len = 2 }
2  = { data_enc = "b", len_enc = "b", len_type = 1, len_count = "nibbles", left_pad = "0" }
3  = { data_enc = "b", max_len = 3 }
4  = { data_enc = "b", max_len = 6 }
7  = { data_enc = "b", max_len = 5 }
11 = { data_enc = "b", max_len = 3 }
18 = { data_enc = "b", max_len = 2 }
22 = { data_enc = "b", max_len = 3, len_count = "nibbles", left_pad = "0" }
32 = { data_enc = "b", len_enc = "bcd", len_type = 1, len_count = "nibbles", right_pad = "F" }
35 = { data_enc = "b", len_enc = "b", len_type = 1, len_count = "nibbles", right_pad = "F" }
37 = { data_enc = "cp500" }
43 = { data_enc = "latin-1" }
48 = { len_enc = "b", len_type = 2 }
49 = { data_enc = "b", max_len = 3, len_count = "nibbles", left_pad = "0" }
"""
EBCDIC = """
extends = "iso87_ascii"
[fields]
h  = { data_enc = "b", len_type = 1, len_enc = "b", max_len = 30 }
t  = { data_enc = "cp500" }
p  = { data_enc = "b", max_len = 8 }
1  = { data_enc = "b", max_len = 8 }
2  = { data_enc = "cp500", len_enc = "cp500" }
4  = { data_enc = "cp500" }
11 = { data_enc = "cp500" }
32 = { data_enc = "cp500", len_enc = "cp500" }
37 = { data_enc = "cp500" }
41 = { data_enc = "cp500" }
43 = { data_enc = "cp037" }
44 = { data_enc = "cp500", len_enc = "cp500" }
52 = { data_enc = "b", max_len = 8 }
54 = { data_enc = "cp500", len_enc = "cp500" }
"""
MADE = {"packed": PACKED, "ebcdic": EBCDIC}
NAMES = (*dialect_names(), *MADE)
HEX = "0123456789ABCDEF"

#: A function, since hypothesis shows what a failing test was given, and a dialect shown is a long list.
Dialects = Callable[[str], Dialect]


@pytest.fixture(scope="module")
def dialects(tmp_path_factory: pytest.TempPathFactory) -> Dialects:
    root = tmp_path_factory.mktemp("specs") / "specs"
    shutil.copytree(specs_root(), root)
    for name, text in MADE.items():
        (root / name).mkdir()
        (root / name / "dialect.toml").write_text(text, encoding="utf-8")
    loaded = {name: load_dialect(root / name) for name in NAMES}
    return loaded.__getitem__


def library(of: Dialect) -> Codec:
    return Codec(of, layouts_max=0)


# ── what is compared


def decoded(codec: Codec, payload: bytes) -> object:
    """All that a codec says of a payload: fields in their order and the message, or the failure in full."""
    said: list[object] = []
    try:
        said.append(list(codec.decode_fields(payload).items()))
        inbound = codec.decode(payload, network="alpha", received_at=RECEIVED)
    except DecodeFailure as failure:
        said.append((failure.field, failure.offset, failure.needed, failure.found, failure.answer))
    else:
        said.append((inbound.fields, inbound.mti, inbound.request, inbound.management, inbound.reject))
    return said


def encoded(codec: Codec, fields: Mapping[str, str]) -> object:
    try:
        return codec.encode(fields)
    except EncodeFailure as failure:
        return failure.field, failure.problem


# ── messages of any dialect


def digits_of(row: Mapping[str, str | int], content: str) -> st.SearchStrategy[str]:
    """Packed digits or raw bytes; a nibble count may be odd where there is a pad."""
    length_max = int(row["max_len"])
    length_min = 0 if row["len_type"] else length_max
    if row.get("len_count") == "nibbles":
        alphabet = ALPHABETS[content] if content == "n" else HEX
        return st.text(alphabet, min_size=length_min, max_size=length_max)
    return st.binary(min_size=length_min, max_size=min(length_max, 24)).map(lambda raw: raw.hex().upper())


def values(of: Dialect, key: str) -> st.SearchStrategy[str]:
    row, content = of.spec[key], of.content[key]
    if row["data_enc"] == "b":
        return digits_of(row, content)
    length_max = int(row["max_len"])
    length_min = 0 if row["len_type"] else length_max
    encoding = str(row["data_enc"])
    alphabet = ALPHABETS[content] if encoding == "ascii" else bytes(range(256)).decode(encoding)
    return st.text(alphabet, min_size=length_min, max_size=length_max if length_min else min(length_max, 24))


@st.composite
def messages(draw: st.DrawFn, of: Dialect) -> dict[str, str]:
    """Fields that have a form: any set of them, or those of a purchase so that a request can be read from it."""
    keys = draw(
        st.sets(st.sampled_from([key for key in of.spec if key.isdecimal() and key not in {"1", "65"}]), max_size=9)
    )
    example = tap() if "1100" in of.messages else purchase()
    base = {key: value for key, value in example.items() if len(value) % 2 == 0 or of.spec[key]["data_enc"] != "b"}
    fields = draw(st.sampled_from([{"t": "0100"}, {"t": "0220"}, base]))
    fields = {**fields, **{key: draw(values(of, key)) for key in sorted(keys)}}
    if of.header is not None:
        # Its lengths and formats are checked; whose it is and what it tells may be anything.
        stations, rest = draw(st.binary(min_size=6, max_size=6)), draw(st.binary(min_size=11, max_size=11))
        fields["h"] = of.header.ours[:10] + (stations + rest).hex().upper()
    elif of.spec["h"]["max_len"]:
        fields["h"] = draw(values(of, "h"))
    return fields


EDITS = st.one_of(
    # One byte becomes another: this keeps the length, and so meets the learnt shapes.
    st.tuples(st.floats(0, 1, exclude_max=True), st.just(1), st.binary(min_size=1, max_size=1)),
    st.tuples(st.floats(0, 1), st.integers(0, 8), st.binary(max_size=8)),
)


ODD = st.text(st.characters(max_codepoint=0x200) | st.sampled_from("0aFf \u0663\u20ac\ud800"), max_size=24)


def edited(payload: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for place, removed, inserted in edits:
        start = int(place * len(payload))
        payload = payload[:start] + inserted + payload[start + removed :]
    return payload


# ── the same as the library


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_payloads(dialects: Dialects, name: str, data: st.DataObject) -> None:
    of = dialects(name)
    asked, learner = library(of), Codec(of)
    sent = [asked.encode(fields) for fields in data.draw(st.lists(messages(of), min_size=1, max_size=2))]
    for payload in list(sent):
        sent += [edited(payload, edits) for edits in data.draw(st.lists(st.lists(EDITS, min_size=1, max_size=3)))]
    right = [decoded(asked, payload) for payload in sent]
    for _ in range(LEARN_AFTER + 1):
        assert [decoded(learner, payload) for payload in sent] == right
    assert len(learner._payload_layouts) > 0


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_fields(dialects: Dialects, name: str, data: st.DataObject) -> None:
    of = dialects(name)
    asked, learner = library(of), Codec(of)
    sent: list[dict[str, str]] = data.draw(st.lists(messages(of), min_size=1, max_size=2))
    for fields in list(sent):
        for key in data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=4)):
            length = len(fields[key])
            changed = data.draw(ODD)
            if data.draw(st.booleans()):  # of the right length, and so like the learnt shape
                changed = changed[:length].ljust(length, "0")
            sent.append({**fields, key: changed})
    right = [encoded(asked, fields) for fields in sent]
    for _ in range(LEARN_AFTER + 1):
        assert [encoded(learner, fields) for fields in sent] == right
    assert len(learner._fields_layouts) > 0


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_values_of_a_learnt_shape_need_no_library(dialects: Dialects, name: str, data: st.DataObject) -> None:
    """Without this the others could hold because nothing is ever learnt."""
    of = dialects(name)
    first = data.draw(messages(of))
    other = {key: "".join(reversed(value)) if of.content[key] != "b" else value for key, value in first.items()}
    written, parts = iso8583.encode(dict(first), of.spec)
    payload = bytes(written)
    fields, cut = iso8583.decode(payload, of.spec)
    incoming, outgoing = PayloadLayouts(of.spec), FieldsLayouts(of.spec)
    for _ in range(LEARN_AFTER):
        assert incoming.decode(payload) is None
        assert outgoing.encode(first) is None
        incoming.saw(payload, fields, cut)
        outgoing.saw(first, payload, parts)
    payload = bytes(iso8583.encode(dict(other), of.spec)[0])
    assert incoming.decode(payload) == iso8583.decode(payload, of.spec)[0]
    assert outgoing.encode(other) == payload


# ── what only looks alike


def learnt(name: str, *payloads: bytes) -> Codec:
    codec = Codec(dialect(name))
    for payload in payloads * LEARN_AFTER:
        codec.decode_fields(payload)
    assert len(codec._payload_layouts) == len(payloads)
    return codec


def test_two_lengths_that_are_one_in_sum() -> None:
    """DE2 and DE32 with swapped lengths: type, bitmap and total length are those of the learnt shape."""
    asked = library(dialect("iso87_ascii"))
    one = asked.encode({"t": "0110", "2": "1" * 8, "11": "000001", "32": "2" * 6})
    other = asked.encode({"t": "0110", "2": "1" * 6, "11": "000001", "32": "2" * 8})
    assert len(one) == len(other)
    codec = learnt("iso87_ascii", one)
    assert codec.decode_fields(other) == asked.decode_fields(other)
    codec = learnt("iso87_ascii", one, other)
    assert [codec.decode_fields(payload) for payload in (one, other)] == [asked.decode_fields(p) for p in (one, other)]


def test_bitmaps_as_hexadecimal_text() -> None:
    asked = library(dialect("iso87_ascii"))
    payload = asked.encode(purchase())
    codec = learnt("iso87_ascii", payload)
    lower = payload[:4] + payload[4:20].lower() + payload[20:]
    assert lower != payload
    for _ in range(LEARN_AFTER + 1):
        assert codec.decode_fields(lower)["p"] == payload[4:20].decode().lower()
        assert codec.decode_fields(payload)["p"] == payload[4:20].decode()
    # White space moves the bits but not the bytes: refused however often it comes.
    blank = b"0800" + b"20 20000000000 0" + b"000001" + b"301"
    for _ in range(LEARN_AFTER + 1):
        assert decoded(codec, blank) == decoded(asked, blank)
    assert len(codec._payload_layouts) == 2


def test_a_length_that_is_written_oddly() -> None:
    """pyiso8583 takes " 9" for nine."""
    asked = library(dialect("iso87_ascii"))
    payload = asked.encode({"t": "0110", "11": "000001", "44": "NINE CHAR"})
    odd = payload.replace(b"09NINE", b" 9NINE")
    codec = learnt("iso87_ascii", payload, odd)
    assert codec.decode_fields(odd) == asked.decode_fields(odd) == codec.decode_fields(payload)
    assert decoded(codec, payload.replace(b"09NINE", b"-9NINE")) == decoded(
        asked, payload.replace(b"09NINE", b"-9NINE")
    )


def test_a_bitmap_with_an_extension() -> None:
    """Bit 65 makes the second bitmap longer by eight bytes, which may begin as the first field would."""
    asked = library(dialect("iso87_binary"))
    plain = asked.encode({"t": "0800", "66": "1", "11": "0" * 6})
    extended = plain[:12] + bytes([plain[12] | 0x80]) + plain[13:20] + bytes(8) + plain[20:]
    assert len(asked.decode_fields(extended)["1"]) == 32
    for order in ((plain, extended), (extended, plain)):
        codec = Codec(dialect("iso87_binary"))
        for payload in order * (LEARN_AFTER + 1):
            assert decoded(codec, payload) == decoded(asked, payload)
        assert len(codec._payload_layouts) == 1  # the one that came second could never be found


def test_a_wrong_pad(dialects: Dialects) -> None:
    of = dialects("packed")
    asked, codec = library(of), Codec(of)
    payload = asked.encode({"h": "00" * 11, "t": "0100", "11": "000001", "22": "051", "32": "12345"})
    for _ in range(LEARN_AFTER):
        codec.decode_fields(payload)
    assert len(codec._payload_layouts) == 1
    for right, wrong in ((b"\x00\x51", b"\x10\x51"), (b"\x12\x34\x5f", b"\x12\x34\x50")):
        assert payload.count(right) == 1
        bad = payload.replace(right, wrong)
        assert decoded(codec, bad) == decoded(asked, bad)
        with pytest.raises(DecodeFailure):
            codec.decode_fields(bad)


def test_packed_digits_of_an_odd_number(dialects: Dialects) -> None:
    """Two odd values together would shift what stands between them by half a byte, were it not for their pads."""
    spec = dialects("packed").spec
    fields = {"h": "00" * 11, "t": "0100", "2": "1" * 15, "11": "000001", "22": "051", "32": "12345", "49": "392"}
    other = {**fields, "h": "0a" * 11, "2": "2" * 15, "22": "810", "32": "54321", "49": "840"}
    layouts = FieldsLayouts(spec)
    for _ in range(LEARN_AFTER):
        payload, parts = iso8583.encode(dict(fields), spec)
        layouts.saw(fields, bytes(payload), parts)
    assert layouts.encode(other) == bytes(iso8583.encode(dict(other), spec)[0])
    assert layouts.encode({**other, "22": "81x"}) is None


def test_values_that_are_no_text() -> None:
    """Not what the types allow, but not what a template may write either."""
    fields = {"t": "0110", "11": "000001", "39": "00"}
    asked, codec = library(dialect("iso87_ascii")), Codec(dialect("iso87_ascii"))
    for _ in range(LEARN_AFTER):
        codec.encode(fields)
    for wrong in (b"00", ["0", "0"], 0, None):
        bad: dict[str, str] = {**fields, "39": wrong}  # type: ignore[dict-item]  # that is the point
        assert encoded(codec, bad) == encoded(asked, bad)


def test_a_dialect_whose_text_may_take_several_bytes(tmp_path: Path) -> None:
    shutil.copytree(specs_root(), tmp_path / "specs")
    (tmp_path / "specs" / "utf8").mkdir()
    (tmp_path / "specs" / "utf8" / "dialect.toml").write_text(
        'extends = "iso87_ascii"\n[fields]\n44 = { data_enc = "utf-8" }\n', encoding="utf-8"
    )
    codec = Codec(load_dialect(tmp_path / "specs" / "utf8"))
    for _ in range(LEARN_AFTER + 1):
        for text in ("abcd", "äö", "é" * 12):
            fields = {"t": "0110", "11": "000001", "44": text}
            payload = codec.encode(fields)
            assert codec.decode_fields(payload)["44"] == text
    assert len(codec._payload_layouts) == len(codec._fields_layouts) == 0


# ── bounds


def shaped(number: int) -> dict[str, str]:
    return {"t": "0110", "11": "000001", "39": "00", "44": "x" * (number % 25), "48": "y" * (number // 25)}


def test_the_number_of_shapes_is_bounded_and_none_is_kept_out_for_ever() -> None:
    codec = Codec(dialect("iso87_ascii"), layouts_max=3)
    counts: list[int] = []
    for number in range(10):
        for _ in range(LEARN_AFTER):
            codec.decode_fields(codec.encode(shaped(number)))
        counts.append(len(codec._payload_layouts))
        assert len(codec._fields_layouts) == counts[-1]
    assert counts == [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]


def test_shapes_that_come_seldom_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endless new shapes leave nothing behind, and a shape is learnt in the end if it comes often enough."""
    monkeypatch.setattr(layout, "SIGHTINGS_MAX", 50)
    codec = Codec(dialect("iso87_ascii"))
    for number in range(1, 200):
        codec.decode_fields(codec.encode(shaped(number)))
        assert len(codec._payload_layouts._sightings._counts) <= 50
        assert len(codec._fields_layouts._sightings._counts) <= 50
    assert len(codec._payload_layouts) == len(codec._fields_layouts) == 0
    for _ in range(LEARN_AFTER):
        codec.decode_fields(codec.encode(shaped(0)))
    assert len(codec._payload_layouts) == len(codec._fields_layouts) == 1


def test_without_layouts_nothing_is_kept() -> None:
    codec = library(dialect("iso87_ascii"))
    for _ in range(LEARN_AFTER + 1):
        codec.decode_fields(codec.encode(purchase()))
    assert len(codec._payload_layouts) == len(codec._fields_layouts) == 0
    assert not codec._payload_layouts._sightings._counts
    assert not codec._fields_layouts._sightings._counts


@pytest.mark.parametrize("name", NAMES)
def test_layouts_hold_no_card_data(dialects: Dialects, name: str) -> None:
    codec = Codec(dialects(name))
    header = "00" * 11 if codec.dialect.header is None else codec.dialect.header.ours
    fields = {"h": header, "t": "0100", "2": PAN, "11": "000001", "41": "TERM01  ", "64": "1234567890ABCDEF"}
    for _ in range(LEARN_AFTER):
        codec.decode_fields(codec.encode(fields))
    assert len(codec._payload_layouts) == len(codec._fields_layouts) == 1
    kept = held(codec._payload_layouts) | held(codec._fields_layouts)
    assert kept  # there are keys at least
    for text in (PAN, "1234567890ABCDEF", "TERM01"):
        assert not any(text in piece for piece in kept)


def held(root: object) -> set[str]:
    """Every text that can be reached from ``root``; bytes as hexadecimal and as Latin-1."""
    texts: set[str] = set()
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, ModuleType | type | FunctionType):
            continue
        seen.add(id(thing))
        if isinstance(thing, str):
            texts.add(thing)
        elif isinstance(thing, bytes):
            texts |= {thing.hex().upper(), thing.decode("latin-1"), thing.decode("cp500")}
        waiting += gc.get_referents(thing)
    return texts
