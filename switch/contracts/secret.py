"""Values that must never be seen: a PAN, a security code, a key.

They are wrapped at the edge and unwrapped only where the bytes are needed. ``repr``, ``str``, ``format``, pickling and
a debugger's locals show the mask, so that no log line, traceback or metric can carry the secret by accident.
"""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

__all__ = ["Pan", "Secret", "mask_pan"]


def mask_pan(digits: str) -> str:
    """The form of a PAN that a person or a log may see: BIN (6) and last four, the rest starred (PCI DSS 3.4.1).

    Anything shorter than 13 digits is no PAN and is starred whole.
    """
    if len(digits) < 13:
        return "*" * len(digits)
    return f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}"


class Secret:
    """A short text (security code, PIN block, key in hex) that shows itself only to :meth:`reveal`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Every call is a place that an auditor will look at."""
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        """Constant-time comparison with another secret of the same kind."""
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash((type(self), self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not pickled")

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class Pan(Secret):
    """A primary account number (DE2): 12 to 19 digits. ``str`` and ``repr`` show BIN and last four."""

    __slots__ = ()

    @property
    def masked(self) -> str:
        """BIN and last four; safe to log and to store."""
        return mask_pan(self._text)

    def passes_luhn(self) -> bool:
        """Whether the check digit (ISO/IEC 7812-1 annex B) fits."""
        total = 0
        for place, digit in enumerate(reversed(self._text)):
            value = ord(digit) - 48
            if place % 2:
                value *= 2
                if value > 9:
                    value -= 9
            total += value
        return total % 10 == 0

    def __repr__(self) -> str:
        return f"Pan({self.masked})"

    def __str__(self) -> str:
        return self.masked
