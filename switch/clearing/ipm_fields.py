"""The field table of an IPM-like message.

Numbers and lengths are those of the default configuration that the public library cardutil documents. Text is EBCDIC
(cp500) or Latin-1; bitmaps and chip data are bytes.
"""

from __future__ import annotations

from typing import Final

from switch.wire.field_table import FieldSpec, FieldTable

__all__ = ["PDS_ELEMENTS", "field_table"]

#: Elements that hold private data subelements: tag (4 digits), length (3 digits), value.
PDS_ELEMENTS: Final = ("48", "62", "123", "124", "125")

# Elements by their length.
_FIXED: Final = {
    3: (23, 24, 40, 49, 50, 51),
    4: (14, 25, 26),
    6: (3, 38, 73),
    8: (9, 10, 41, 71),
    12: (4, 5, 6, 12, 22, 37),
    15: (42,),
    24: (30,),
}
_LENGTH_OF_TWO: Final = (2, 31, 32, 33, 43, 93, 94, 95, 100)
_LENGTH_OF_THREE: Final = (48, 54, 62, 63, 72, 105, 111, 123, 124, 125, 127)


def field_table(encoding: str) -> FieldTable:
    """The table for files whose text is in ``encoding``."""

    def row(length_digits: int, length_max: int, data: str = encoding) -> FieldSpec:
        return {"data_enc": data, "len_enc": encoding, "len_type": length_digits, "max_len": length_max, "desc": ""}

    table = FieldTable(h=row(0, 0, "b"), t=row(0, 4), p=row(0, 8, "b"))
    table["1"] = row(0, 8, "b")
    table["55"] = row(3, 999, "b")
    table.update({str(number): row(0, length) for length, numbers in _FIXED.items() for number in numbers})
    table.update({str(number): row(2, 99) for number in _LENGTH_OF_TWO})
    table.update({str(number): row(3, 999) for number in _LENGTH_OF_THREE})
    return table
