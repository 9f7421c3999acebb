"""The quick codec says the same as the real one, whatever the shape, and notices when a shape only looks alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.fast_codec import FastCodec
from simulators.messages import Terms
from switch.wire.codec import Codec
from switch.wire.errors import DecodeFailure, EncodeFailure
from tests.simulators.responder import DIALECTS, answer_to, dialect, maker

digits = st.text("0123456789", min_size=1, max_size=19)
words = st.text("ABC xyz-09", min_size=1, max_size=12)


@pytest.mark.parametrize("name", DIALECTS)
def test_traffic_of_one_shape(name: str) -> None:
    real, quick, make = Codec(dialect(name)), FastCodec(dialect(name)), maker(name)
    for number in range(30):
        first = make.authorization(f"plain-{number % 10}", number * 97, Terms(cvv2="card", partial=number % 2 == 0))
        for message in (first, make.reversal(first, replacement_minor=number + 1)):
            payload = real.encode(message.fields)
            assert quick.encode(message.fields) == payload
            assert quick.decode_fields(payload) == real.decode_fields(payload)
            answer = real.encode(answer_to(dict(message.fields), "10", f54="5" * 20 * (number % 3 + 1)))
            assert quick.decode_fields(answer) == real.decode_fields(answer)


@pytest.mark.parametrize("name", DIALECTS)
@given(samples=st.lists(st.tuples(digits, digits.map(lambda d: d[:11]), words, st.booleans()), min_size=2, max_size=6))
def test_any_mixture_of_lengths(name: str, samples: list[tuple[str, str, str, bool]]) -> None:
    """DE2 and DE32 with swapped lengths have one total length: the lengths in front of them must be compared."""
    real, quick = Codec(dialect(name)), FastCodec(dialect(name))
    for pan, acquirer, text, chip in samples:
        for left, right in ((pan[:11], acquirer), (acquirer, pan[:11])):
            fields = {"t": "0110", "2": left, "11": "000001", "32": right, "44": text, "39": "00"}
            if chip:
                fields["55"] = "9F2608" + "AB" * len(text)
            payload = real.encode(fields)
            assert quick.encode(fields) == payload
            assert quick.decode_fields(payload) == real.decode_fields(payload)


@pytest.mark.parametrize("name", DIALECTS)
def test_what_the_codec_refuses_is_refused(name: str) -> None:
    quick, message = FastCodec(dialect(name)), maker(name).authorization("plain-0", 5)
    quick.encode(message.fields)
    payload = quick.encode(message.fields)
    with pytest.raises(EncodeFailure):
        quick.encode({**message.fields, "43": "é" * 40})
    with pytest.raises(EncodeFailure):
        quick.encode({**message.fields, "4": "1"})
    quick.decode_fields(payload)
    with pytest.raises(DecodeFailure):
        quick.decode_fields(payload[:-1])
    with pytest.raises(DecodeFailure):
        quick.decode_fields(payload[:-3] + b"\xff\xff\xff")
