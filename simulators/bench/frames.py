"""Frames of a benchmark: encoded once by the real codec, afterwards only patched.

A request is an 0100 with 17 data elements. Between two of them differ the card (DE2), the time (DE7), the STAN (DE11)
and the retrieval reference (DE37); everything else is the same bytes. An answer is read at three places only: STAN,
DE39, and the elements that tell its shape.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Mapping
from itertools import cycle

from simulators.cards import luhn_digit
from switch.wire.codec import Codec
from switch.wire.dialect import Dialect, load_dialect, specs_root

__all__ = [
    "AMOUNT_MINOR",
    "DIALECT",
    "EXPIRY",
    "AnswerShapes",
    "Requests",
    "card_number",
    "sample_answer",
    "sample_fields",
]

#: What the benchmark speaks.
DIALECT = "iso87_ascii"
#: Every authorization asks for the same, so that approvals times this must be what the books hold.
AMOUNT_MINOR = 150
#: Of all cards of the benchmark (YYMM).
EXPIRY = "3012"
#: From a range published for testing; 1 at the end keeps clear of the test cards.
_PREFIX = "4111111"
_DRAWS_MIN = 65_536
#: Length, type and primary bitmap of a frame.
_HEAD_END = 22


def card_number(number: int) -> str:
    """The 16 digits of the benchmark's card ``number`` (0 to 99,999,999), with a good check digit."""
    body = f"{_PREFIX}{number:08d}"
    return body + luhn_digit(body)


def sample_fields(card: int = 0) -> dict[str, str]:
    """One 0100 as decoded fields: a purchase of 17 data elements, as a terminal in a shop sends it."""
    now = time.gmtime()
    return {
        "t": "0100",
        "2": card_number(card),
        "3": "000000",
        "4": f"{AMOUNT_MINOR:012d}",
        "7": time.strftime("%m%d%H%M%S", now),
        "11": "000001",
        "12": time.strftime("%H%M%S", now),
        "13": time.strftime("%m%d", now),
        "14": EXPIRY,
        "18": "5411",
        "22": "020",
        "25": "00",
        "32": "40000100001",
        "37": "000000000001",
        "41": "TERM0001",
        "42": "SHOP00000000001",
        "43": f"{'KONBINI':25}{'TOKYO':13}JP",
        "49": "392",
    }


def sample_answer(dialect: Dialect) -> dict[str, str]:
    """An approval of :func:`sample_fields`, as the issuer would write it."""
    request = sample_fields()
    echoed = {key: request[key] for key in dialect.answer.echoed if key in request}
    return {**echoed, "t": "0110", "38": "123456", "39": "00"}


@functools.cache
def bench_codec() -> Codec:
    """The codec of :data:`DIALECT`; its framing has a 2-byte length."""
    return Codec(load_dialect(specs_root() / DIALECT))


def place(codec: Codec, fields: Mapping[str, str], key: str) -> int:
    """The offset at which element ``key`` stands in the payload: where the bytes change with its value."""
    digits = ("1" * len(fields[key]), "2" * len(fields[key]))
    first, second = (codec.encode({**fields, key: value}) for value in digits)
    differing = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
    assert len(differing) == len(fields[key]), f"element {key} is not plain ASCII in this dialect"
    return differing[0]


def framed(payload: bytes) -> bytes:
    """With the 2-byte length in front."""
    return len(payload).to_bytes(2, "big") + payload


class Requests:
    """Endless 0100s over a range of cards, drawn at random.

    STANs count up over all requests that one maker makes and wrap at a million; with the time, the reference (whose
    first half is ``run``) and the card, every message has an idempotency key of its own.
    """

    def __init__(self, *, seed: int, run: int) -> None:
        codec = bench_codec()
        fields = sample_fields()
        self._frame = framed(codec.encode(fields))
        self._pan_at, self._time_at, self._stan_at, self._reference_at = (
            2 + place(codec, fields, key) for key in ("2", "7", "11", "37")
        )
        assert self._stan_at == self._time_at + 10, "time and STAN stand together in this dialect"
        self._middle = self._frame[self._stan_at + 6 : self._reference_at]
        self._tail = self._frame[self._reference_at + 12 :]
        self._reference_head = f"{run % 10**6:06d}".encode()
        self._rng = random.Random(seed)
        self._second = -1
        self._time = b""
        self._heads = cycle([b""])
        self._range = (-1, -1)
        self.stan = 0

    def use_cards(self, first: int, count: int) -> None:
        """Draws from the cards ``first`` to ``first + count - 1`` from now on."""
        if self._range != (first, count):
            before, after = self._frame[: self._pan_at], self._frame[self._pan_at + 16 : self._time_at]
            heads = [before + card_number(first + i).encode() + after for i in range(count)]
            self._heads = cycle(self._rng.choices(heads, k=max(_DRAWS_MIN, count)))
            self._range = (first, count)

    def make(self) -> bytes:
        """The next request as a frame; its STAN is then ``stan``."""
        self.stan = stan = (self.stan + 1) % 1_000_000
        return b"%b%b%06d%b%b%06d%b" % (
            next(self._heads),
            self._time,
            stan,
            self._middle,
            self._reference_head,
            stan,
            self._tail,
        )

    def set_time(self, seconds: float) -> None:
        """DE7 of the requests to come. ``seconds`` since 1970; cheap within the same second."""
        if int(seconds) != self._second:
            self._second = int(seconds)
            self._time = time.strftime("%m%d%H%M%S", time.gmtime(seconds)).encode()


class AnswerShapes:
    """Where STAN and DE39 stand in an answer: learnt from the first one of each type, bitmap and length."""

    def __init__(self) -> None:
        self._codec = bench_codec()
        self._known: dict[bytes, tuple[int, int]] = {}

    def places(self, frame: bytes) -> tuple[int, int]:
        """Offsets of DE11 and DE39 in ``frame`` (with its length prefix).

        Raises:
            ValueError: it is no 0110 with both elements.
        """
        key = frame[:_HEAD_END]
        found = self._known.get(key)
        if found is None:
            fields = self._codec.decode_fields(frame[2:])
            if fields["t"] != "0110" or "11" not in fields or "39" not in fields:
                raise ValueError(f"the switch sent an {fields['t']} where an 0110 was expected")
            plain = {name: value for name, value in fields.items() if name not in {"p", "1"}}
            found = 2 + place(self._codec, plain, "11"), 2 + place(self._codec, plain, "39")
            self._known[key] = found
        return found
