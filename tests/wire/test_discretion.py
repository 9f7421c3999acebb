"""Nothing that is said about a message holds its card data: neither of a good one nor of a damaged or misread one."""

from __future__ import annotations

import re
from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.wire.codec import Codec
from switch.wire.describe import Describer
from switch.wire.dialect import dialect_names
from switch.wire.guess import guess
from switch.wire.pasted import pasted_as
from tests.wire.support import OTHER_PAN, RECEIVED, codec, dialect, purchase, tap

ALL = dialect_names()
PIECE = 8  # a mask shows six digits and four


@cache
def describer(name: str) -> Describer:
    return Describer(dialect(name))


def luhn(body: str) -> str:
    return next(
        body + digit
        for digit in "0123456789"
        if sum(sum(divmod(int(d) * (1 + at % 2), 10)) for at, d in enumerate(reversed(body + digit))) % 10 == 0
    )


# No two digits alike side by side: a piece of such a number comes by chance nowhere else in a message.
_digits = st.integers(0, 10**18 - 1).map(
    lambda number: "".join(str((int(d) + at * 3) % 10) for at, d in enumerate(f"{number:018d}"))
)
_pans = st.tuples(_digits, st.integers(12, 19)).map(lambda pair: luhn("4" + pair[0][: pair[1] - 2]))
_discretionary = _digits.map(lambda digits: digits[:13])


class Card(msgspec.Struct, frozen=True):
    """What nobody may see of a message."""

    pan: str
    discretionary: str
    pin_block: str
    cvv2: str


_cards = st.builds(
    Card,
    pan=_pans,
    discretionary=_discretionary,
    pin_block=st.binary(min_size=8, max_size=8).map(lambda block: (b"\xa9" + block[1:]).hex().upper()),
    cvv2=st.just("QZXJ"),  # letters, which stand nowhere else
)


def payload_of(name: str, card: Card, mti: str, *, without_pan: bool) -> bytes:
    chip_track = f"{card.pan}D2912201{card.discretionary}"
    chip_track += "F" * (len(chip_track) % 2)
    chip_pan = card.pan + "F" * (len(card.pan) % 2)
    chip = f"9F360200075A{len(chip_pan) // 2:02X}{chip_pan}57{len(chip_track) // 2:02X}{chip_track}"
    separator = "D" if name == "iso87_bcd" else "="
    track2 = f"{card.pan}{separator}2912201{card.discretionary}"[:37]
    secrets: dict[str, str | None] = {"f2": None if without_pan else card.pan, "f35": track2, "f55": chip}
    if name == "iso93_contactless":
        return codec(name).encode(tap(**secrets))
    secrets["f52"] = card.pin_block
    if name == "base1":
        secrets |= {"f22": "0510", "126.10": "11" + card.cvv2}
    else:
        secrets["f126"] = "11" + card.cvv2
    return codec(name).encode(purchase(t=mti, **secrets))


def shown(described: object) -> str:
    return msgspec.json.encode(described).decode()


def pieces(digits: str) -> set[str]:
    found = {digits[at : at + PIECE] for at in range(len(digits) - PIECE + 1)}
    texts = {piece for piece in found if len(set(piece)) > 1}
    return texts | {text.encode(page).hex().upper() for text in texts for page in ("ascii", "cp500")}


def assert_nothing_of_the_card(text: str, card: Card, *, slipped: bool = False) -> None:
    text = re.sub("(?<=[0-9]),(?=[0-9])", "", text)  # as an amount is written
    assert [piece for piece in pieces(card.pan) if piece in text] == []
    assert [piece for piece in pieces(card.discretionary) if piece in text] == []
    if not slipped:
        assert card.pin_block not in text
        assert card.cvv2 not in text and card.cvv2.encode().hex().upper() not in text


@pytest.mark.parametrize("name", ALL)
@given(card=_cards, mti=st.sampled_from(["0100", "0121", "0220", "0400"]), without_pan=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_sound_message(name: str, card: Card, mti: str, without_pan: bool) -> None:
    payload = payload_of(name, card, mti, without_pan=without_pan)
    it = describer(name).describe(payload, RECEIVED)
    assert it.problem is None
    assert_nothing_of_the_card(shown(it), card)
    found = guess(pasted_as(payload.hex().encode(), "auto"), [describer(each) for each in ALL], "auto", RECEIVED)
    assert found is not None
    assert found.reading.description.dialect == name
    assert_nothing_of_the_card(shown(found), card)


@pytest.mark.parametrize("name", ALL)
@given(card=_cards, end=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_message_cut_short(name: str, card: Card, end: float) -> None:
    payload = payload_of(name, card, "0100", without_pan=False)
    it = describer(name).describe(payload[: int(end * len(payload))], RECEIVED)
    assert_nothing_of_the_card(shown(it), card)


@pytest.mark.parametrize("name", ALL)
@given(card=_cards, without_pan=st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_message_read_as_another_dialect(name: str, card: Card, without_pan: bool) -> None:
    payload = payload_of(name, card, "0100", without_pan=without_pan)
    for other in ALL:
        if other != name:
            assert_nothing_of_the_card(shown(describer(other).describe(payload, RECEIVED)), card, slipped=True)


@pytest.mark.parametrize("name", ALL)
@given(
    card=_cards,
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=2),
)
@settings(max_examples=80, deadline=None)
def test_a_damaged_message(name: str, card: Card, edits: list[tuple[float, int, bytes]]) -> None:
    """Its elements slip: where a name stood there may be a piece of track 2."""
    payload = payload_of(name, card, "0100", without_pan=False)
    for place, removed, inserted in edits:
        start = int(place * len(payload))
        payload = payload[:start] + inserted + payload[start + removed :]
    assert_nothing_of_the_card(shown(describer(name).describe(payload, RECEIVED)), card, slipped=True)


@pytest.mark.parametrize("digit", "0123456789")
def test_no_single_wrong_digit_makes_card_data_visible(digit: str) -> None:
    """In lengths and bitmaps it makes elements slip."""
    card = Card(luhn("476173918273645"), "2813579246802", "A9876543210FEDCB", "QZXJ")
    payload = payload_of("iso87_ascii", card, "0100", without_pan=False)
    for at in range(4, len(payload)):
        damaged = payload[:at] + digit.encode() + payload[at + 1 :]
        assert_nothing_of_the_card(shown(describer("iso87_ascii").describe(damaged, RECEIVED)), card)


def test_another_cards_number_in_a_free_text() -> None:
    ours = Codec(dialect("iso87_ascii"))
    for key in ("43", "48", "60", "61", "62", "102", "125"):
        fields = purchase(**{f"f{key}": f"PAID BY {OTHER_PAN} "[:40].ljust(40) if key == "43" else OTHER_PAN})
        text = shown(describer("iso87_ascii").describe(ours.encode(fields), RECEIVED))
        assert OTHER_PAN not in text, key


def test_an_amount_that_is_a_piece_of_the_card_number_is_not_written_as_one() -> None:
    number = luhn("476173918273645")
    payload = codec("iso87_ascii").encode(purchase(f2=number, f4=number[2:14]))
    for damaged in (payload[:-1], payload + b"0"):
        it = describer("iso87_ascii").describe(damaged, RECEIVED)
        amount = next(line for line in it.lines if line.key == "4")
        assert "*" * PIECE in amount.value
        assert amount.meaning == "12 characters"
