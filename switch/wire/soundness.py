"""Whether the elements of a message hold what their class allows, before anybody reads a meaning into them.

ISO 8583 has no checksum. A letter among digits, or a byte that no terminal prints, is often all that shows that a
message was damaged on its way; then what else it says can't be trusted either. So this looks at every element of
digits, also at those that no rule of the issuer reads, and at text of a fixed length or with a meaning (a name, a
reference), which is kept and shown to people. Other text of a variable length is the network's own, raw bytes too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TypeAlias

from switch.wire.dialect import Dialect
from switch.wire.errors import FieldProblem
from switch.wire.request_reader import shown

__all__ = ["Soundness"]

_TEXT = frozenset({"a", "an", "ans", "z", "xn"})
_BITMAPS_MAX = 512

_Pick: TypeAlias = Callable[[Mapping[str, str]], tuple[str, ...]]


class Soundness:
    """What the elements of one dialect may hold.

    Which elements are there the bitmaps tell, so what to pick out of a message is looked up by them. At most
    :data:`_BITMAPS_MAX` are remembered; then the table is dropped and begins anew.
    """

    def __init__(self, dialect: Dialect) -> None:
        stand_in = dialect.stand_in
        meant = {told.carrier.field for told in (stand_in.by, stand_in.reason) if told is not None}
        for table in (dialect.elements, dialect.carriers):
            for name in table.__struct_fields__:
                place = getattr(table, name)
                if place:
                    meant.add(place if isinstance(place, str) else place.field)
        content = {key: kind for key, kind in dialect.content.items() if key.isdecimal()}
        self._digits = frozenset(key for key, kind in content.items() if kind == "n")
        self._texts = frozenset(
            key
            for key, kind in content.items()
            if kind in _TEXT and (key in meant or not dialect.spec[key]["len_type"])
        )
        # Subfields have names like 62.2; no bitmap of the message tells whether they are there.
        subfields = [key for key in sorted(meant) if not key.isdecimal()]
        self._number_subfields = frozenset(key for key in subfields if dialect.content.get(key) == "n")
        self._text_subfields = frozenset(subfields) - self._number_subfields
        self._sensitive = dialect.sensitive_fields
        self._is_hooked = dialect.hook is not None
        self._picks: dict[str, tuple[_Pick, _Pick]] = {}

    def check(self, fields: Mapping[str, str]) -> None:
        """Passes a sound message.

        Raises :class:`FieldProblem` for the first element that isn't; an empty one counts as absent.
        """
        # Every message comes by here. One look at all of them is enough where all is well, which is nearly always.
        if self._is_hooked:
            # A hook may have taken elements away, or brought some, whatever the bitmaps say.
            shape = " ".join(fields)
        else:
            shape = fields["p"]
            if "1" in fields:
                shape += fields["1"]
        picks = self._picks.get(shape)
        if picks is None:
            picks = self._learn(shape, fields)
        digits = "".join(picks[0](fields))
        if not (digits.isdecimal() and digits.isascii()):
            self._look_at(fields, self._digits, "digits", _is_digits)
        if not "".join(picks[1](fields)).isprintable():
            self._look_at(fields, self._texts, "printable text", str.isprintable)
        if self._number_subfields:
            self._look_at(fields, self._number_subfields, "digits", _is_digits)
        if self._text_subfields:
            self._look_at(fields, self._text_subfields, "printable text", str.isprintable)

    def _learn(self, shape: str, fields: Mapping[str, str]) -> tuple[_Pick, _Pick]:
        if len(self._picks) >= _BITMAPS_MAX:
            self._picks.clear()
        # The message type, which is digits by now, keeps them tuples where there is one element or none.
        digits: _Pick = itemgetter("t", "t", *(key for key in fields if key in self._digits))
        texts: _Pick = itemgetter("t", "t", *(key for key in fields if key in self._texts))
        self._picks[shape] = digits, texts
        return digits, texts

    def _look_at(
        self, fields: Mapping[str, str], keys: frozenset[str], needed: str, is_sound: Callable[[str], bool]
    ) -> None:
        for key, text in fields.items():
            if key in keys and text and not is_sound(text):
                raise FieldProblem(key, needed=needed, found=shown(key, text, self._sensitive))


def _is_digits(text: str) -> bool:
    return text.isdecimal() and text.isascii()
