"""Where the values of a payload stand: the short way through pyiso8583 for traffic that looks alike.

Theory of operation. Messages of one *shape* (the same elements, each of the same length) differ only in the values at
fixed places. What is no value, bitmaps and lengths, is *glue*. pyiso8583 tells where it cut a payload, so the places
and the glue of a shape are learnt from one message that it has read or written. From then on:

- a payload whose glue equals a learnt one, byte for byte, has its values at those places. The glue is read in the order
  in which the library would read it, one dictionary per piece, so many shapes cost no more than few;
- fields with the keys and lengths of a learnt shape are put between its glue.

The library stays the truth. What fits no shape, and every value that is not what its place needs (a byte that is not
ASCII, a digit that is not hexadecimal, a wrong pad), gives None here and goes the library's way, which takes it or
raises its own error. A shape that does not reproduce the message it is learnt from is not learnt; neither is one with a
text encoding in which a byte is not always a character.

A shape is learnt when it has come :data:`LEARN_AFTER` times. Of those that are not learnt yet only hashes are kept, and
at most :data:`SIGHTINGS_MAX`; when that, or the number of learnt shapes, reaches its limit, the whole table is dropped
and learning begins anew. So a peer that sends ever new shapes makes nothing grow. It can delay the learning of others'
shapes and make them be learnt again, which costs the few messages in between the library's time, never the result.

Layouts hold glue only, no value of any message.
"""

from __future__ import annotations

import codecs
from binascii import a2b_hex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import NamedTuple, TypeAlias

from switch.wire.field_table import FieldTable

__all__ = ["LAYOUTS_MAX", "LEARN_AFTER", "SIGHTINGS_MAX", "FieldsLayouts", "PayloadLayouts"]

#: Learnt shapes per codec and direction. One takes 3 to 4 KiB.
LAYOUTS_MAX = 512
#: Learning costs about three decodings by the library. Spread over so many messages that is little, even where a peer
#: sends each shape just often enough to be learnt.
LEARN_AFTER = 6
#: Shapes that were seen and not learnt yet.
SIGHTINGS_MAX = 2_048

_Encoded: TypeAlias = Mapping[str, Mapping[str, bytes]]
_Shape: TypeAlias = tuple[tuple[str, ...], tuple[int, ...]]  # keys, and how long their values are
_BITMAPS = frozenset({"p", "1"})
_HEX = "hex"
#: Text encodings in which any byte is one character, with the codec that reads them so. ASCII is read as Latin-1,
#: which can't fail, and looked at afterwards: bitmaps between the values need not be ASCII.
_CARRIERS = {
    "ascii": "latin-1",
    "iso8859-1": "latin-1",
    "cp037": "cp037",
    "cp500": "cp500",
    "cp1047": "cp1047",
    "cp1140": "cp1140",
}


class _Place(NamedTuple):
    """Where the value of an element stands, in bytes of the payload."""

    key: str
    start: int
    end: int
    encoding: str  # a key of _CARRIERS, or _HEX
    left_pad: str  # the half byte that fills up an odd number of digits; empty when even
    right_pad: str


def _places(values: Mapping[str, str], encoded: _Encoded, spec: FieldTable) -> list[_Place] | None:
    """The places of ``values``, cut or written as ``encoded``; None when one is of a kind that isn't learnt."""
    places: list[_Place] = []
    end = 0
    for key, parts in encoded.items():
        start = end + len(parts["len"])
        end = start + len(parts["data"])
        if key in _BITMAPS or start == end:
            continue
        row = spec[key]
        left_pad = right_pad = ""
        if row["data_enc"] == "b":
            encoding = _HEX
            if len(values[key]) % 2:
                left_pad, right_pad = str(row.get("left_pad", ""))[:1], str(row.get("right_pad", ""))[:1]
                if bool(left_pad) == bool(right_pad):
                    return None
        else:
            encoding = codecs.lookup(str(row["data_enc"])).name
            if encoding not in _CARRIERS:
                return None
        places.append(_Place(key, start, end, encoding, left_pad, right_pad))
    return places


class _Sightings:
    """How often shapes came that are not learnt. Two shapes of one hash are counted together: no harm but haste."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def due(self, shape: object) -> bool:
        """Counts ``shape``; True the one time that it is to be learnt."""
        counts, key = self._counts, hash(shape)
        count = counts.get(key, 0) + 1
        if len(counts) >= SIGHTINGS_MAX:
            counts.clear()
        counts[key] = count
        return count == LEARN_AFTER

    def clear(self) -> None:
        self._counts.clear()


# ── payloads to fields


def _slices(slices: Sequence[slice]) -> Callable[[str], tuple[str, ...]]:
    """Cuts all ``slices`` out of a text at once. An empty one at the end keeps it a tuple where there is only one."""
    cut: Callable[[str], tuple[str, ...]] = itemgetter(*slices, slice(0, 0))
    return cut


class _TextValues:
    """The values of a payload that are text of one encoding."""

    __slots__ = ("_ascii", "_carrier", "_cut", "keys")

    def __init__(self, places: Sequence[_Place]) -> None:
        self.keys = tuple(place.key for place in places)
        self._ascii = places[0].encoding == "ascii"
        self._carrier = _CARRIERS[places[0].encoding]
        self._cut = _slices([slice(place.start, place.end) for place in places])

    def read(self, payload: bytes) -> tuple[str, ...] | None:
        text = payload.decode(self._carrier)
        values = self._cut(text)
        if self._ascii and not text.isascii() and not "".join(values).isascii():
            return None
        return values


class _HexValues:
    """The values of a payload that are raw bytes or packed digits."""

    __slots__ = ("_cut", "_pads", "keys")

    def __init__(self, places: Sequence[_Place]) -> None:
        self.keys = tuple(place.key for place in places)
        self._cut = _slices(
            [slice(2 * place.start + len(place.left_pad), 2 * place.end - len(place.right_pad)) for place in places]
        )
        self._pads = tuple(
            (2 * place.start if place.left_pad else 2 * place.end - 1, place.left_pad or place.right_pad)
            for place in places
            if place.left_pad or place.right_pad
        )

    def read(self, payload: bytes) -> tuple[str, ...] | None:
        text = payload.hex().upper()
        for at, pad in self._pads:
            if text[at] != pad:
                return None
        return self._cut(text)


class _PayloadLayout:
    """The fields of payloads of one shape, whose glue was found to be right."""

    __slots__ = ("_fields", "_groups", "_length")

    def __init__(self, length: int, fields: Mapping[str, str], places: Sequence[_Place]) -> None:
        values = {place.key for place in places}
        # In the library's order, with the bitmaps already in it.
        self._fields = {key: "" if key in values else text for key, text in fields.items()}
        self._length = length
        by_encoding = attrgetter("encoding")
        self._groups = tuple(
            _HexValues(group) if encoding == _HEX else _TextValues(group)
            for encoding, group in (
                (encoding, list(found)) for encoding, found in groupby(sorted(places, key=by_encoding), by_encoding)
            )
        )

    def decode(self, payload: bytes) -> dict[str, str] | None:
        if len(payload) != self._length:
            return None
        fields = self._fields.copy()
        for group in self._groups:
            values = group.read(payload)
            if values is None:
                return None
            fields.update(zip(group.keys, values, strict=False))  # one value more: see _slices
        return fields


class _Branch:
    """A piece of glue, and what follows each content that it was seen to have."""

    __slots__ = ("at", "ways")

    def __init__(self, at: slice) -> None:
        self.at = at
        self.ways: dict[bytes, _Branch | _PayloadLayout] = {}


class PayloadLayouts:
    """The learnt shapes of payloads, at most ``layouts_max``."""

    def __init__(self, spec: FieldTable, layouts_max: int = LAYOUTS_MAX) -> None:
        self._spec = spec
        self._layouts_max = layouts_max
        self._sightings = _Sightings()
        self._root: dict[bytes, _Branch | _PayloadLayout] = {}  # under b"" the first piece of all
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def decode(self, payload: bytes) -> dict[str, str] | None:
        """The fields of ``payload`` as the library would give them; None when only the library can tell."""
        found = self._root.get(b"")
        while isinstance(found, _Branch):
            found = found.ways.get(payload[found.at])
        return None if found is None else found.decode(payload)

    def saw(self, payload: bytes, fields: Mapping[str, str], encoded: _Encoded) -> None:
        """Notes what the library made of ``payload``, and learns its shape when that is due."""
        if not self._layouts_max:
            return
        glue = _glue(encoded)
        if not self._sightings.due(tuple(glue.values())):
            return
        places = _places(fields, encoded, self._spec)
        if places is None:
            return
        layout = _PayloadLayout(len(payload), fields, places)
        if layout.decode(payload) != fields:
            return
        if self._count >= self._layouts_max:
            self._root, self._count = {}, 0
            self._sightings.clear()
        self._add(layout, glue)

    def _add(self, layout: _PayloadLayout, glue: Mapping[tuple[int, int], bytes]) -> None:
        ways, content = self._root, b""
        for (start, end), piece in glue.items():
            branch = ways.get(content)
            if branch is None:
                branch = ways[content] = _Branch(slice(start, end))
            elif not isinstance(branch, _Branch) or branch.at != slice(start, end):
                # A bitmap with an extension is longer by what stands in it, which no order of reading foresees.
                return
            ways, content = branch.ways, piece
        if content not in ways:
            ways[content] = layout
            self._count += 1


def _glue(encoded: _Encoded) -> dict[tuple[int, int], bytes]:
    """What is no value in a payload, by place, in the order of reading."""
    glue: dict[tuple[int, int], bytes] = {}
    end = 0
    for key, parts in encoded.items():
        start = end + len(parts["len"])
        if parts["len"]:
            glue[end, start] = parts["len"]
        end = start + len(parts["data"])
        if key in _BITMAPS:
            glue[start, end] = parts["data"]
    return glue


# ── fields to payloads


def _written(place: _Place) -> Callable[[str], bytes]:
    """How the library writes the value at ``place``. Raises ValueError for one that has no such form."""
    if place.encoding == _HEX:
        return lambda value: a2b_hex(place.left_pad + value + place.right_pad)
    return lambda value: value.encode(place.encoding)


class _FieldsLayout:
    """The payloads of fields of one shape.

    All is joined as text and written at once, in the encoding that most of the values have; values of another are
    brought into the characters that will become their bytes.
    """

    __slots__ = ("_ascii_keys", "_carrier", "_foreign", "_keys", "_pieces")

    def __init__(self, payload: bytes, places: Sequence[_Place]) -> None:
        encodings = [place.encoding for place in places]
        main = max(encodings, key=encodings.count)
        self._carrier = _HEX if main == _HEX else _CARRIERS[main]
        read = bytes.hex if main == _HEX else partial(bytes.decode, encoding=self._carrier)
        # Glue and values in turn: a value at every odd index.
        self._pieces: list[str] = []
        end = 0
        for place in places:
            self._pieces += [read(payload[end : place.start]), ""]
            end = place.end
        self._pieces.append(read(payload[end:]))
        self._keys = tuple(place.key for place in places)
        self._ascii_keys = tuple(place.key for place in places if place.encoding == main == "ascii")
        self._foreign = tuple(
            (2 * index + 1, _written(place), read)
            for index, place in enumerate(places)
            if place.encoding != main or place.left_pad or place.right_pad
        )

    def encode(self, fields: Mapping[str, str]) -> bytes | None:
        pieces = self._pieces.copy()
        try:
            pieces[1::2] = [fields[key] for key in self._keys]
            for index, write, read in self._foreign:
                pieces[index] = read(write(pieces[index]))
            text = "".join(pieces)
            if not text.isascii() and not "".join([fields[key] for key in self._ascii_keys]).isascii():
                return None
            return a2b_hex(text) if self._carrier == _HEX else text.encode(self._carrier)
        except (TypeError, ValueError):
            return None


class FieldsLayouts:
    """The learnt shapes of fields, at most ``layouts_max``."""

    def __init__(self, spec: FieldTable, layouts_max: int = LAYOUTS_MAX) -> None:
        self._spec = spec
        self._layouts_max = layouts_max
        self._sightings = _Sightings()
        self._layouts: dict[_Shape, _FieldsLayout] = {}

    def __len__(self) -> int:
        return len(self._layouts)

    def encode(self, fields: Mapping[str, str]) -> bytes | None:
        """``fields`` as the library would write them; None when only the library can tell."""
        try:
            layout = self._layouts.get((tuple(fields), tuple(map(len, fields.values()))))
        except TypeError:  # a value that is no text
            return None
        return None if layout is None else layout.encode(fields)

    def saw(self, fields: Mapping[str, str], payload: bytes, encoded: _Encoded) -> None:
        """Notes how the library wrote ``fields``, and learns their shape when that is due."""
        shape = (tuple(fields), tuple(map(len, fields.values())))
        if not self._layouts_max or not self._sightings.due(shape):
            return
        places = _places(fields, encoded, self._spec)
        if places is None:
            return
        layout = _FieldsLayout(payload, places)
        if layout.encode(fields) != payload:
            return
        if len(self._layouts) >= self._layouts_max:
            self._layouts.clear()
            self._sightings.clear()
        self._layouts[shape] = layout
