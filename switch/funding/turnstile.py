"""How many purchases begin to wait for their money: so many that the ordinary ones beside them don't wait for those.

A top-up costs the daemon as much as ten ordinary messages and more: calls, steps and their commits. While ordinary ones
are being decided, one top-up begins for every so many of them, or so many in each second if that is more. In the
moments when none is, top-ups begin as they come, a few at a time. Whoever has not begun in time is declined as if
nobody could be asked.
"""

from __future__ import annotations

from collections import deque

import trio

__all__ = ["Turnstile"]

_CREDIT_MAX = 8.0
_ENTERING_MAX = 8


class Turnstile:
    """The batch loop tells what it does; each purchase goes through :meth:`enter`, and tells when it is parked."""

    def __init__(self, messages_each: int, per_second_min: float) -> None:
        self._messages_each = messages_each
        self._per_second_min = per_second_min
        self._credited_at = 0.0
        self._queue: deque[trio.Event] = deque()
        # Two accounts of which each top-up takes one: the one that earns more decides, and what the other earned
        # meanwhile is not added to it.
        self._by_messages = _CREDIT_MAX
        self._by_time = _CREDIT_MAX
        self._batches = 0  # of ordinary messages, under way
        self._entering = 0  # let in and not parked yet

    @property
    def busy(self) -> bool:
        """Whether ordinary messages are being decided."""
        return self._batches > 0

    @property
    def waiting(self) -> int:
        """How many purchases have not begun."""
        return len(self._queue)

    def set_out(self) -> None:
        """A batch of ordinary messages is under way."""
        self._batches += 1

    def come_back(self, messages: int, *, others_wait: bool) -> None:
        """It is over; ``others_wait`` for the next one."""
        self._batches -= 1
        now = trio.current_time()
        self._by_messages = min(_CREDIT_MAX, self._by_messages + messages / self._messages_each)
        self._by_time = min(_CREDIT_MAX, self._by_time + (now - self._credited_at) * self._per_second_min)
        self._credited_at = now
        self._let_in(idle=not self._batches and not others_wait)

    async def enter(self, until: float) -> bool:
        """Waits for a place, at most until then by trio's clock. With True, :meth:`entered` is to be called."""
        begin = trio.Event()
        self._queue.append(begin)
        self._let_in(idle=not self._batches)
        if not begin.is_set():
            try:
                with trio.move_on_at(until):
                    await begin.wait()
            finally:
                if not begin.is_set():
                    self._queue.remove(begin)
        return begin.is_set()

    def entered(self) -> None:
        """It is parked, or will not be."""
        self._entering -= 1
        self._let_in(idle=not self._batches)

    def _let_in(self, *, idle: bool) -> None:
        while self._queue:
            if max(self._by_messages, self._by_time) >= 1:
                self._by_messages = max(-_CREDIT_MAX, self._by_messages - 1)
                self._by_time = max(-_CREDIT_MAX, self._by_time - 1)
            elif not idle or self._entering >= _ENTERING_MAX:
                return
            self._entering += 1
            self._queue.popleft().set()
