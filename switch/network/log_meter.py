"""Which log lines about strangers are written: whoever knocks all day must not fill the disk. Pure."""

from __future__ import annotations

from collections import OrderedDict

from switch.network.bucket import Bucket

__all__ = ["LogMeter"]

_ADDRESSES_MAX = 1024
_BURST, _PER_SECOND = 3.0, 1 / 60
_BURST_IN_ALL, _PER_SECOND_IN_ALL = 60.0, 1 / 5


class _Caller(Bucket):
    """One address, and how many of its lines were left out since the last that was written."""

    __slots__ = ("left_out",)

    def __init__(self, now: float) -> None:
        super().__init__(_BURST, _PER_SECOND, now)
        self.left_out = 0


class LogMeter:
    """A few lines an address, then one a minute; and a bound over all of them, since a scanner has many addresses.

    Invariant: at most 1,024 addresses are remembered; the one heard of longest ago is forgotten first. The counters
    in the metrics count everything, written or not.
    """

    __slots__ = ("_callers", "_in_all")

    def __init__(self, now: float) -> None:
        self._callers: OrderedDict[str, _Caller] = OrderedDict()
        self._in_all = Bucket(_BURST_IN_ALL, _PER_SECOND_IN_ALL, now)

    def __len__(self) -> int:
        return len(self._callers)

    def due(self, address: str, now: float) -> int | None:
        """None: this line is left out. Otherwise write it; so many before it, of the same address, were left out."""
        caller = self._callers.get(address)
        if caller is None:
            caller = self._callers[address] = _Caller(now)
            if len(self._callers) > _ADDRESSES_MAX:
                self._callers.popitem(last=False)
        else:
            self._callers.move_to_end(address)
        if not (caller.take(now) and self._in_all.take(now)):
            caller.left_out += 1
            return None
        left_out, caller.left_out = caller.left_out, 0
        return left_out
