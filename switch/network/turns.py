"""Whose turn it is: no session's messages keep all the others waiting.

Theory of operation. Taking in a message needs no waiting, so whoever has many of them would go on while everybody else,
the batches too, stands still; and a message that is none (it is cut twice, answered and logged) costs several times as
much as a sound one. So a reader stops when ``turn_seconds`` are over or a message could not be read, and takes the next
turn when those who wait for theirs have had it. In each round of the scheduler one of them has a turn, however many
there are: what a round takes does not grow with the number of those who have much to say.

A turn is measured in processor time: it has its messages also where the program has to wait for a processor.

After a message that could not be read comes a pause, several times as long as it took, and all sessions' pauses come
one after the other: so a flood of such messages is worked off in a quarter of the time at most. Nobody waits for their
answers, and a program that never sleeps has to queue for its processor, behind all others that want it, each time that
PostgreSQL has an answer.

Who says little does not wait at all: each session has a :class:`Credit`.
"""

from __future__ import annotations

from math import inf
from time import perf_counter, thread_time

import trio

from switch.network.stats import NetworkStats

__all__ = ["Credit", "Share", "Turns"]

#: Of the time that a message took that could not be read.
_PAUSE = 4.0

#: Of all time, for one session, without waiting for a turn: some hundred sound messages a second. With 1 % the links of
#: a network at half of what the switch can do waited for a turn with nearly each message, and cost 5 % more.
_FREE_SHARE = 0.025


class Turns:
    """All who wait, in the order in which they came. One for all links of a program: they share its only thread."""

    def __init__(self) -> None:
        # A lock is handed over within a round of the scheduler, and used in the next one.
        self._lock = trio.StrictFIFOLock()
        self._paused_until = -inf

    async def __aenter__(self) -> None:
        """Waits for the turn; at least for all tasks that can run to have run once."""
        await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        """The next one, please. Lets nobody run."""
        self._lock.release()

    async def pause(self, seconds: float) -> None:
        """Lets so much time pass, after the pauses of the others."""
        self._paused_until = max(self._paused_until, trio.current_time()) + seconds
        await trio.sleep_until(self._paused_until)


class Credit:
    """How long a session may still take without waiting for a turn. Pure; ``now`` is seconds of any one clock.

    Invariant: within any span it gives no more than ``most + span * _FREE_SHARE``, and by how much the last use was
    longer.
    """

    __slots__ = ("_as_of", "_left", "_most")

    def __init__(self, most: float, now: float) -> None:
        self._most = most
        self._left = most
        self._as_of = now

    def is_left(self, now: float) -> bool:
        """Whether there is any."""
        self._left = min(self._most, self._left + (now - self._as_of) * _FREE_SHARE)
        self._as_of = now
        return self._left > 0

    def use(self, seconds: float) -> None:
        """So long was a turn."""
        self._left = max(-self._most, self._left - seconds)


class Share:
    """One session's turns: ``async with`` it for each, without waiting for anything inside."""

    __slots__ = ("_began", "_credit", "_stats", "_took", "_turns", "_waited")

    def __init__(self, turns: Turns, turn_seconds: float, stats: NetworkStats) -> None:
        self._turns = turns
        self._credit = Credit(turn_seconds, perf_counter())
        self._stats = stats
        self._waited = False
        self._began = self._took = 0.0

    async def __aenter__(self) -> None:
        """At once while there is credit, else when it is the session's turn."""
        self._waited = not self._credit.is_left(perf_counter())
        if self._waited:
            self._stats.turns_awaited += 1
            await self._turns.__aenter__()
        self._began = thread_time()

    async def __aexit__(self, *_: object) -> None:
        """The turn is over. Lets nobody run."""
        self._took = thread_time() - self._began
        self._credit.use(self._took)
        if self._waited:
            await self._turns.__aexit__()

    async def pause(self) -> None:
        """After a turn that ended with a message that could not be read; none for who has credit still."""
        if self._waited:
            await self._turns.pause(_PAUSE * self._took)
