"""Where messages wait for a batch, and who sets out with which of them.

As many batches may be under way as there are workers. Three things are seen to:

* The sessions with messages here are served in turn, one message each, so that one with a thousand of them keeps nobody
  waiting who has one. Such a one also gets in when the room is full.
* A card is in one batch at a time, so its messages are decided in the order in which they came, whichever sessions they
  came on, and two batches meet only on the account of two cards (which the journal keeps right, see
  ``switch.journal.unit``). When it is a message's turn, those of its card that came before it go first.
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


class _Place:
    """One message that waits, or has set out (``taken``)."""

    __slots__ = ("card", "has_room", "queued", "taken")

    def __init__(self, queued: Queued, *, has_room: bool) -> None:
        self.queued = queued
        self.card = queued[1].pan_lookup
        self.has_room = has_room  # it counts against the bound
        self.taken = False


class WaitingRoom:
    """Bounded. One task per worker calls :meth:`take` and :meth:`done` in turn, until it gets nothing more.

    Anybody may :meth:`put`.

    At most ``room`` messages wait, and one more for each session.

    Invariants: ``_of_session`` and ``_of_card`` have the messages that wait, each in the order in which they came, and
    nothing empty; ``_ready`` counts those whose card is in no batch.
    """

    def __init__(self, *, room: int, batch_max: int, beside_min: int) -> None:
        self._batch_max = batch_max
        self._beside_min = beside_min
        self._room = trio.Semaphore(room)
        self._count = 0
        self._of_session: dict[str, deque[_Place]] = {}  # whose turn is next stands first
        self._of_card: dict[bytes, deque[_Place]] = {}
        self._under_way: set[bytes] = set()  # the cards of the batches that are out
        self._batches = 0  # that are out
        self._ready = 0
        self._closed = False
        self._idle: list[trio.Event] = []  # a worker each; who came last stands last
        self._called = False  # one of them was, and has not come yet

    def __len__(self) -> int:
        return self._count

    @property
    def sessions(self) -> int:
        """How many have messages that wait."""
        return len(self._of_session)

    async def put(self, queued: Queued) -> None:
        """Takes one in; waits while the room is full, and lets nobody else run otherwise."""
        session = queued[0].session
        has_room = True
        try:
            self._room.acquire_nowait()
        except trio.WouldBlock:
            if session in self._of_session:
                await self._room.acquire()
            else:
                has_room = False
        place = _Place(queued, has_room=has_room)
        self._count += 1
        self._of_session.setdefault(session, deque()).append(place)
        self._of_card.setdefault(place.card, deque()).append(place)
        if place.card not in self._under_way:
            self._ready += 1
            self._wake()

    def close(self) -> None:
        """Nothing more comes: :meth:`take` gives what is there, and then nothing."""
        self._closed = True
        self._call_all()

    async def take(self) -> list[Queued]:
        """The next batch, with its cards under way from now on; waits for one. Empty when closed and none waits."""
        while not self._may_set_out():
            if self._closed and not self._count:
                return []
            await self._wait()
        places = self._pick()
        self._batches += 1
        self._count -= len(places)
        cards = {place.card for place in places}
        # What stays of these cards has to wait for them.
        self._ready -= len(places) + self._waiting_of(cards)
        self._under_way |= cards
        for place in places:
            if place.has_room:
                self._room.release()
        self._wake()
        return [place.queued for place in places]

    def done(self, batch: Iterable[Queued]) -> None:
        """Frees the cards of a batch that :meth:`take` gave. The caller takes again: nobody is called for the rest."""
        self._batches -= 1
        cards = {item.pan_lookup for _, item in batch}
        self._under_way -= cards
        self._ready += self._waiting_of(cards)
        if self._closed:
            self._call_all()

    def check_invariants(self) -> None:
        """Raises AssertionError when the counts are off."""
        by_session = [place for places in self._of_session.values() for place in places]
        by_card = [place for places in self._of_card.values() for place in places]
        assert all(self._of_session.values())
        assert all(self._of_card.values())
        assert {id(place) for place in by_session} == {id(place) for place in by_card}
        assert not any(place.taken for place in by_session)
        assert self._count == len(by_session) == len(by_card)
        assert self._ready == sum(place.card not in self._under_way for place in by_session)

    def _may_set_out(self) -> bool:
        return self._ready >= (self._beside_min if self._batches and not self._closed else 1)

    async def _wait(self) -> None:
        """Until the worker is called."""
        call = trio.Event()
        self._idle.append(call)
        try:
            await call.wait()
        finally:
            if call.is_set():
                self._called = False
            else:
                self._idle.remove(call)

    def _wake(self) -> None:
        """Calls a worker where there is a batch for one. It calls the next when it has taken what it can."""
        if self._idle and not self._called and self._may_set_out():
            self._called = True
            self._idle.pop().set()

    def _call_all(self) -> None:
        while self._idle:
            self._idle.pop().set()

    def _waiting_of(self, cards: Iterable[bytes]) -> int:
        return sum([len(self._of_card[card]) for card in cards if card in self._of_card])

    def _pick(self) -> list[_Place]:
        """One of each session in turn, while there are any that can go and the batch is not full."""
        under_way = self._under_way
        batch: list[_Place] = []
        turns = deque((session, iter(places)) for session, places in self._of_session.items())
        while turns and len(batch) < self._batch_max:
            session, places = turns.popleft()
            for place in places:
                if not place.taken and place.card not in under_way:
                    self._take_up_to(place, batch)
                    turns.append((session, places))
                    break
        self._sweep([session for session, _ in turns])
        return batch

    def _take_up_to(self, last: _Place, batch: list[_Place]) -> None:
        """Moves the messages of a card up to ``last`` into the batch, as far as it holds them."""
        of_card = self._of_card[last.card]
        while not last.taken and len(batch) < self._batch_max:
            place = of_card.popleft()
            place.taken = True
            batch.append(place)
        if not of_card:
            del self._of_card[last.card]

    def _sweep(self, next_ones: Iterable[str]) -> None:
        """Forgets what was taken. ``next_ones`` have their turn before the others."""
        left = {}
        for session in dict.fromkeys((*next_ones, *self._of_session)):
            places = deque([place for place in self._of_session[session] if not place.taken])
            if places:
                left[session] = places
        self._of_session = left
