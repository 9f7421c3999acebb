from __future__ import annotations

import gc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.wire.errors import FramingError
from switch.wire.framing import Framer, Framing

MAX = 300


@pytest.mark.parametrize("framing", Framing)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_frames_survive_any_chunking(framing: Framing, data: st.DataObject) -> None:
    payloads = data.draw(st.lists(st.binary(max_size=MAX), max_size=8))
    sender, receiver = Framer(framing, MAX), Framer(framing, MAX)
    stream = b"".join(sender.encode(payload) for payload in payloads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    received: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += receiver.feed(stream[start:end])
        assert receiver.pending_bytes < MAX + framing.prefix_bytes
    assert received == payloads
    assert receiver.pending_bytes == 0


@pytest.mark.parametrize("framing", Framing)
def test_byte_by_byte(framing: Framing) -> None:
    framer = Framer(framing, MAX)
    stream = framer.encode(b"abc") + framer.encode(b"") + framer.encode(b"de")
    received = [payload for place in range(len(stream)) for payload in framer.feed(stream[place : place + 1])]
    assert received == [b"abc", b"", b"de"]


@pytest.mark.parametrize(
    ("framing", "payload", "frame"),
    [
        (Framing.LENGTH2, b"abc", b"\x00\x03abc"),
        (Framing.LENGTH2, b"", b"\x00\x00"),
        (Framing.LENGTH2, b"x" * 258, b"\x01\x02" + b"x" * 258),
        (Framing.ASCII4, b"abc", b"0003abc"),
        (Framing.ASCII4, b"", b"0000"),
        (Framing.VAP, b"abc", b"\x00\x03\x00\x00abc"),
        (Framing.VAP, b"", b"\x00\x00\x00\x00"),
    ],
)
def test_bytes_on_the_wire(framing: Framing, payload: bytes, frame: bytes) -> None:
    framer = Framer(framing, MAX)
    assert framer.encode(payload) == frame
    assert framer.feed(frame) == [payload]


@pytest.mark.parametrize(
    ("framing", "stream", "needed", "found"),
    [
        (Framing.LENGTH2, b"\xff\xff", "a length of at most 300", "65535"),
        (Framing.LENGTH2, b"\x01\x2d", "a length of at most 300", "301"),
        (Framing.ASCII4, b"0301", "a length of at most 300", "301"),
        (Framing.ASCII4, b"+012", "4 ASCII digits", b"+012".hex()),
        (Framing.ASCII4, b" 012", "4 ASCII digits", b" 012".hex()),
        (Framing.ASCII4, b"1_00", "4 ASCII digits", b"1_00".hex()),
        (Framing.ASCII4, b"GET ", "4 ASCII digits", b"GET ".hex()),
        (Framing.VAP, b"\x00\x03\x00\x01", "two zero bytes after the length", "0001"),
        (Framing.VAP, b"\x01\x2d\x00\x00", "a length of at most 300", "301"),
    ],
)
def test_impossible_lengths(framing: Framing, stream: bytes, needed: str, found: str) -> None:
    framer = Framer(framing, MAX)
    sound = framer.encode(b"sound")
    with pytest.raises(FramingError) as caught:
        framer.feed(sound + stream)
    assert (caught.value.needed, caught.value.found) == (needed, found)
    assert caught.value.frames == (b"sound",)
    assert framer.pending_bytes == 0
    # The boundaries are lost for good: even a sound frame is refused now, and the earlier payload is not told twice.
    with pytest.raises(FramingError) as again:
        framer.feed(sound)
    assert again.value.frames == ()


def test_a_length_is_judged_before_its_payload_arrives() -> None:
    framer = Framer(Framing.LENGTH2, MAX)
    assert framer.feed(b"\x01") == []
    assert framer.pending_bytes == 1
    with pytest.raises(FramingError):
        framer.feed(b"\xff")


@pytest.mark.parametrize("framing", Framing)
def test_too_long_to_send(framing: Framing) -> None:
    with pytest.raises(FramingError, match="needed at most 300 bytes, found 301 bytes"):
        Framer(framing, MAX).encode(b"x" * (MAX + 1))


@pytest.mark.parametrize(
    ("framing", "limit"), [(Framing.LENGTH2, 0), (Framing.LENGTH2, 65_536), (Framing.ASCII4, 10_000), (Framing.VAP, -1)]
)
def test_limits_that_the_prefix_cannot_tell(framing: Framing, limit: int) -> None:
    with pytest.raises(ValueError, match=str(limit)):
        Framer(framing, limit)


def test_a_broken_stream_does_not_wait_for_the_garbage_collector() -> None:
    def break_one() -> None:
        with suppress(FramingError):
            Framer(Framing.LENGTH2, MAX).feed(b"\xff\xff")

    break_one()
    gc.collect()
    gc.disable()
    try:
        break_one()
        assert gc.collect() == 0
    finally:
        gc.enable()
