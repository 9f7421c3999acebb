"""Where messages wait for a batch, and who sets out with which of them.

As many batches may be under way as there are workers. Two things are seen to:

* A card is in one batch at a time, so its messages are decided in the order in which they came, and two batches meet
  only on the account of two cards (which the journal keeps right, see ``switch.journal.unit``).
* A batch costs something by itself, so while one is under way another sets out only for ``beside_min`` messages or
  more. Few messages then share one worker's batches, which keeps the cost of each low; when a batch takes long, or many
  messages come, the other workers help.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TypeAlias

import trio

from switch.issuer.books import Item
from switch.network.arrival import Arrival

__all__ = ["Queued", "WaitingRoom"]

Queued: TypeAlias = tuple[Arrival, Item]


class WaitingRoom:
    """Bounded. One task per worker calls :meth:`take` and, with what it got, :meth:`done`; anybody may :meth:`put`.

    Invariants: ``_ready`` counts the waiting messages whose card is in no batch; ``_of_card`` those of each card.
    """

    def __init__(self, *, room: int, batch_max: int, beside_min: int) -> None:
        self._batch_max = batch_max
        self._beside_min = beside_min
        self._room = trio.Semaphore(room)
        self._waiting: deque[Queued] = deque()
        self._of_card: dict[bytes, int] = {}
        self._under_way: set[bytes] = set()  # the cards of the batches that are out
        self._batches = 0  # that are out
        self._ready = 0
        self._closed = False
        self._idle = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._waiting)

    async def put(self, queued: Queued) -> None:
        """Takes one in; waits while the room is full, and lets nobody else run otherwise."""
        try:
            self._room.acquire_nowait()
        except trio.WouldBlock:
            await self._room.acquire()
        card = queued[1].pan_lookup
        self._waiting.append(queued)
        self._of_card[card] = self._of_card.get(card, 0) + 1
        if card not in self._under_way:
            self._ready += 1
            self._wake()

    def close(self) -> None:
        """Nothing more comes: :meth:`take` gives what is there, and then nothing."""
        self._closed = True
        self._idle.unpark_all()

    async def take(self) -> list[Queued]:
        """The next batch, with its cards under way from now on; waits for one. Empty when closed and none waits."""
        while not self._may_set_out():
            if self._closed and not self._waiting:
                return []
            await self._idle.park()
        batch = self._pick()
        self._batches += 1
        for _, item in batch:
            self._under_way.add(item.pan_lookup)
            self._count_out(item.pan_lookup)
            self._room.release()
        # What stays of these cards has to wait for them.
        self._ready -= len(batch) + sum(self._of_card.get(card, 0) for card in _cards(batch))
        self._wake()
        return batch

    def done(self, batch: Iterable[Queued]) -> None:
        """Frees the cards of a batch that :meth:`take` gave."""
        self._batches -= 1
        for card in _cards(batch):
            self._under_way.discard(card)
            self._ready += self._of_card.get(card, 0)
        self._wake()
        if self._closed:
            self._idle.unpark_all()

    def check_invariants(self) -> None:
        """Raises AssertionError when the counts are off."""
        cards = [item.pan_lookup for _, item in self._waiting]
        assert self._ready == sum(card not in self._under_way for card in cards)
        assert self._of_card == {card: cards.count(card) for card in cards}

    def _may_set_out(self) -> bool:
        return self._ready >= (self._beside_min if self._batches and not self._closed else 1)

    def _wake(self) -> None:
        if self._may_set_out():
            self._idle.unpark()

    def _pick(self) -> list[Queued]:
        waiting, under_way = self._waiting, self._under_way
        if not under_way:
            return [waiting.popleft() for _ in range(min(len(waiting), self._batch_max))]
        batch: list[Queued] = []
        passed: list[Queued] = []
        while waiting and len(batch) < self._batch_max:
            queued = waiting.popleft()
            (passed if queued[1].pan_lookup in under_way else batch).append(queued)
        waiting.extendleft(reversed(passed))
        return batch

    def _count_out(self, card: bytes) -> None:
        left = self._of_card[card] - 1
        if left:
            self._of_card[card] = left
        else:
            del self._of_card[card]


def _cards(batch: Iterable[Queued]) -> set[bytes]:
    return {item.pan_lookup for _, item in batch}
