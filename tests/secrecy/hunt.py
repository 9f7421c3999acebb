"""Looking for secrets in bytes, quickly, whatever form they may have been written in."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["Hunt"]

_HEAD_BYTES = 6


class Hunt:
    """Knows secrets by name. ``found_in`` gives the names of those that stand in some bytes, never themselves."""

    def __init__(self) -> None:
        self._by_head: dict[bytes, list[tuple[bytes, str]]] = defaultdict(list)

    def add(self, name: str, secret: str) -> None:
        """``secret`` as text, as the hexadecimal of that text in both cases, and in base64; digits as packed BCD too."""
        raw = secret.encode()
        self._add(f"{name} as text", raw)
        self._add(f"{name} as hex", raw.hex().encode())
        self._add(f"{name} as HEX", raw.hex().upper().encode())
        self._add(f"{name} as base64", base64.b64encode(raw[: len(raw) // 3 * 3]))
        if secret.isdecimal() and len(secret) % 2 == 0:
            self._add(f"{name} as packed BCD", bytes.fromhex(secret), head_bytes=_HEAD_BYTES // 2)

    def add_bytes(self, name: str, secret: bytes) -> None:
        """A binary secret: as it is and in hexadecimal."""
        self._add(name, secret)
        self._add(f"{name} as hex", secret.hex().encode())
        self._add(f"{name} as HEX", secret.hex().upper().encode())

    def _add(self, name: str, needle: bytes, *, head_bytes: int = _HEAD_BYTES) -> None:
        assert len(needle) >= _HEAD_BYTES, f"{name} is too short to be looked for"
        self._by_head[needle[:head_bytes]].append((needle, name))

    def found_in(self, data: bytes) -> set[str]:
        """Names of the secrets that stand in ``data``."""
        return {name for head, needles in self._by_head.items() for name in _names(data, head, needles)}

    def found_in_files(self, paths: Iterable[Path]) -> dict[str, set[str]]:
        """The same for files, by file."""
        found: dict[str, set[str]] = {}
        for path in paths:
            # A server that runs renames and removes files while we look.
            with suppress(FileNotFoundError):
                found[str(path)] = self.found_in(path.read_bytes())
        return {path: names for path, names in found.items() if names}


def _names(data: bytes, head: bytes, needles: list[tuple[bytes, str]]) -> Iterator[str]:
    """Many card numbers begin alike, so their common head is looked for once."""
    at = data.find(head)
    while at >= 0:
        yield from (name for needle, name in needles if data.startswith(needle, at))
        at = data.find(head, at + 1)
