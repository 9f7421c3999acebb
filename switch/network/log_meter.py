"""Which log lines about what peers do wrong are written: whoever does it all day must not fill the disk. Pure."""

from __future__ import annotations

from collections import OrderedDict

from switch.network.bucket import Bucket

__all__ = ["LogMeter"]

_KEYS_MAX = 1024
_BURST, _PER_SECOND = 3.0, 1 / 60
_BURST_IN_ALL, _PER_SECOND_IN_ALL = 60.0, 1 / 5


class _Source(Bucket):
    """One key, and how many of its lines were left out since the last that was written."""

    __slots__ = ("left_out",)

    def __init__(self, now: float) -> None:
        super().__init__(_BURST, _PER_SECOND, now)
        self.left_out = 0


class LogMeter:
    """A few lines a key (an address, a field), then one a minute; and a bound over all of them, since a scanner has
    many addresses.

    Invariant: at most 1,024 keys are remembered; the one heard of longest ago is forgotten first. The counters
    in the metrics count everything, written or not.
    """

    __slots__ = ("_in_all", "_sources")

    def __init__(self, now: float) -> None:
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._in_all = Bucket(_BURST_IN_ALL, _PER_SECOND_IN_ALL, now)

    def __len__(self) -> int:
        return len(self._sources)

    def due(self, key: str, now: float) -> int | None:
        """None: this line is left out. Otherwise write it; so many before it, of the same key, were left out."""
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = _Source(now)
            if len(self._sources) > _KEYS_MAX:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end(key)
        if not (source.take(now) and self._in_all.take(now)):
            source.left_out += 1
            return None
        left_out, source.left_out = source.left_out, 0
        return left_out

    @property
    def left_out(self) -> dict[str, int]:
        """By key, how many lines were left out since the last that was written of it; none of which there are none."""
        return {key: source.left_out for key, source in self._sources.items() if source.left_out}
