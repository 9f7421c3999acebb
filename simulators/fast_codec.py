"""The wire's codec, quick for traffic that looks alike: a load generator must not be what limits a measurement.

Theory of operation. Messages of one shape (the same fields, each of the same length) differ only in the values at
fixed places. The first message of a shape goes through the real codec; from it a *layout* is learnt by encoding the
message again with each value changed, and looking where the bytes differ. The next ones are the same bytes with other
values put in. Decoding works backwards: when every byte that is no value (bitmaps, lengths) equals the layout's, the
values stand where they stood. Whatever fits no layout takes the codec's own way, so both ways give the same result.
"""

from __future__ import annotations

from collections.abc import Mapping

from switch.wire.codec import Codec
from switch.wire.dialect import Dialect
from switch.wire.errors import EncodeFailure

__all__ = ["FastCodec", "Layout"]

_LAYOUTS_MAX = 64

#: Two texts per place that a field of any class may hold: the bytes that differ are the place.
_FIRST, _SECOND = "1", "2"


class Layout:
    """Where the values of one shape of message stand. Immutable; :meth:`learn` makes one."""

    __slots__ = ("_bitmaps", "_glue", "_places", "_sample")

    def __init__(self, sample: bytes, places: tuple[tuple[str, int, int], ...], bitmaps: Mapping[str, str]) -> None:
        self._sample = sample
        self._places = places
        self._bitmaps = dict(bitmaps)
        glue: list[tuple[int, int, bytes]] = []
        at = 0
        for _, start, end in places:
            if start > at:
                glue.append((at, start, sample[at:start]))
            at = end
        if at < len(sample):
            glue.append((at, len(sample), sample[at:]))
        self._glue = tuple(glue)

    @classmethod
    def learn(cls, codec: Codec, fields: Mapping[str, str]) -> Layout | None:
        """The layout of messages shaped like ``fields``; None where a value is not written as plain ASCII."""
        values = {key: value for key, value in fields.items() if key not in {"p", "1"} and value}
        sample = Codec.encode(codec, values)
        places: list[tuple[str, int, int]] = []
        for key, value in values.items():
            try:
                first = Codec.encode(codec, {**values, key: _FIRST * len(value)})
                second = Codec.encode(codec, {**values, key: _SECOND * len(value)})
            except EncodeFailure:
                return None
            differing = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
            start, end = differing[0], differing[-1] + 1
            if end - start != len(value) or sample[start:end] != value.encode("latin-1", "replace"):
                return None
            places.append((key, start, end))
        places.sort(key=lambda place: place[1])
        decoded = Codec.decode_fields(codec, sample)
        return cls(sample, tuple(places), {key: decoded[key] for key in ("p", "1") if key in decoded})

    def encode(self, fields: Mapping[str, str]) -> bytes:
        """``fields``, which must have this shape, as a payload."""
        payload = bytearray(self._sample)
        for key, start, end in self._places:
            payload[start:end] = fields[key].encode("ascii")
        return bytes(payload)

    def decode(self, payload: bytes) -> dict[str, str] | None:
        """The fields of ``payload``, or None when it has another shape."""
        if len(payload) != len(self._sample):
            return None
        for start, end, glue in self._glue:
            if payload[start:end] != glue:
                return None
        fields = {key: payload[start:end].decode("ascii") for key, start, end in self._places}
        fields.update(self._bitmaps)
        return fields


class FastCodec(Codec):
    """A codec that remembers the shapes it has seen; equal to its parent in everything but speed."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self._shapes: dict[tuple[object, ...], Layout | None] = {}
        self._answers: list[Layout] = []

    def encode(self, fields: Mapping[str, str]) -> bytes:
        shape = (tuple(fields), tuple(map(len, fields.values())))
        try:
            layout = self._shapes[shape]
        except KeyError:
            payload = super().encode(fields)
            if len(self._shapes) < _LAYOUTS_MAX:
                self._shapes[shape] = Layout.learn(self, fields)
            return payload
        try:
            return super().encode(fields) if layout is None else layout.encode(fields)
        except UnicodeEncodeError:
            return super().encode(fields)  # which says what is wrong with it

    def decode_fields(self, payload: bytes) -> dict[str, str]:
        layouts = self._answers
        for place, layout in enumerate(layouts):
            try:
                fields = layout.decode(payload)
            except UnicodeDecodeError:
                break
            if fields is not None:
                if place:
                    layouts.insert(0, layouts.pop(place))
                return fields
        fields = super().decode_fields(payload)
        if len(layouts) < _LAYOUTS_MAX:
            learnt = Layout.learn(self, fields)
            # A payload that the codec would write differently (an odd bitmap, say) teaches nothing.
            if learnt is not None and learnt.encode(fields) == payload:
                layouts.append(learnt)
        return fields
