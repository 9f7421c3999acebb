"""The waiting room: a card is in one batch at a time, its messages keep their order, sessions are served in turn."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from switch.processing.waiting_room import WaitingRoom


class Told(NamedTuple):
    """As much of an item as the room looks at."""

    pan_lookup: bytes
    number: int


class Came(NamedTuple):
    """As much of an arrival as the room looks at."""

    session: str


def message(card: int, number: int, session: str = "one") -> Any:
    return (Came(session), Told(bytes([card]), number))


def numbers(batch: list[Any]) -> list[int]:
    return [item.number for _, item in batch]


def room(size: int = 100, *, batch_max: int = 4, beside_min: int = 3) -> WaitingRoom:
    return WaitingRoom(room=size, batch_max=batch_max, beside_min=beside_min)


async def taken_at_once(waiting: WaitingRoom) -> list[int] | None:
    """What a worker gets without waiting; None: it would have to wait."""
    with trio.move_on_after(0) as patience:
        return numbers(await waiting.take())
    assert patience.cancelled_caught
    return None


async def test_one_message_sets_out_when_no_batch_is_under_way() -> None:
    waiting = room()
    await waiting.put(message(1, 0))
    assert await taken_at_once(waiting) == [0]


async def test_a_batch_has_so_many_and_no_more() -> None:
    waiting = room()
    for number in range(6):
        await waiting.put(message(number, number))
    assert await taken_at_once(waiting) == [0, 1, 2, 3]


async def test_few_messages_wait_for_the_batch_that_is_under_way() -> None:
    waiting = room()
    await waiting.put(message(0, 0))
    first = await waiting.take()
    for number in (1, 2):
        await waiting.put(message(number, number))
        assert await taken_at_once(waiting) is None
    await waiting.put(message(3, 3))
    assert await taken_at_once(waiting) == [1, 2, 3]
    waiting.done(first)


async def test_messages_of_a_card_that_is_under_way_wait_and_count_for_nothing() -> None:
    waiting = room()
    await waiting.put(message(0, 0))
    first = await waiting.take()
    for number in range(1, 6):
        await waiting.put(message(0, number))
    assert await taken_at_once(waiting) is None
    for card in (7, 8, 9):
        await waiting.put(message(card, 10 + card))
    assert await taken_at_once(waiting) == [17, 18, 19]
    waiting.done(first)
    assert await taken_at_once(waiting) == [1, 2, 3, 4], "another batch is under way, but these are enough"


async def test_what_waited_for_its_card_goes_on_when_that_is_back() -> None:
    waiting = room()
    got: list[list[int]] = []

    back = trio.Event()

    async def work() -> None:
        while batch := await waiting.take():
            got.append(numbers(batch))
            await back.wait()
            waiting.done(batch)

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(work)
        for number in range(3):
            await waiting.put(message(0, number))
            await trio.testing.wait_all_tasks_blocked()
        assert got == [[0]]
        back.set()
        await trio.testing.wait_all_tasks_blocked()
        assert got == [[0], [1, 2]]
        waiting.close()


async def test_few_messages_are_one_workers_and_many_are_all_workers() -> None:
    waiting = room(batch_max=2, beside_min=2)
    took: list[tuple[int, list[int]]] = []
    back = trio.Event()

    async def work(worker: int) -> None:
        while batch := await waiting.take():
            took.append((worker, numbers(batch)))
            await back.wait()
            waiting.done(batch)

    async with trio.open_nursery() as nursery:
        for worker in range(3):
            nursery.start_soon(work, worker)
        await trio.testing.wait_all_tasks_blocked()
        back.set()
        for number in range(4):
            await waiting.put(message(number, number))
            await trio.testing.wait_all_tasks_blocked()
        first = took[0][0]
        assert took == [(first, [number]) for number in range(4)], "the one that was busy last goes first"
        took.clear()
        back = trio.Event()
        for number in range(6):
            await waiting.put(message(number, number))
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(batch for _, batch in took) == [[0, 1], [2, 3], [4, 5]]
        assert {worker for worker, _ in took} == {0, 1, 2}
        back.set()
        waiting.close()


async def test_a_full_room_keeps_the_next_one_waiting() -> None:
    waiting = room(2)
    for number in range(2):
        await waiting.put(message(number, number))
    with trio.move_on_after(0) as patience:
        await waiting.put(message(2, 2))
    assert patience.cancelled_caught
    assert len(waiting) == 2
    await waiting.take()
    with trio.fail_after(1):
        await waiting.put(message(2, 2))


async def test_sessions_are_served_in_turn() -> None:
    waiting = room()
    for number in range(6):
        await waiting.put(message(number, number, "talks"))
    await waiting.put(message(10, 10, "waits"))
    await waiting.put(message(11, 11, "waits"))
    await waiting.put(message(20, 20, "comes late"))
    assert waiting.sessions == 3
    first = await waiting.take()
    assert numbers(first) == [0, 10, 20, 1]
    waiting.done(first)
    # It was the turn of the one that waits.
    assert await taken_at_once(waiting) == [11, 2, 3, 4]
    assert waiting.sessions == 1


async def test_whose_turn_it_is_when_all_its_cards_are_under_way() -> None:
    waiting = room()
    await waiting.put(message(0, 0, "first"))
    first = await waiting.take()
    await waiting.put(message(0, 1, "first"))
    for number in range(2, 7):
        await waiting.put(message(number, number, "second"))
    assert await taken_at_once(waiting) == [2, 3, 4, 5]
    waiting.done(first)
    assert len(waiting) == 2
    waiting.check_invariants()
    assert waiting.sessions == 2


async def test_a_cards_messages_keep_their_order_over_sessions() -> None:
    waiting = room()
    await waiting.put(message(1, 0, "talks"))
    await waiting.put(message(2, 1, "talks"))
    await waiting.put(message(7, 2, "talks"))
    await waiting.put(message(7, 3, "asks about the same card"))
    assert await taken_at_once(waiting) == [0, 2, 3, 1]


async def test_a_batch_that_is_full_before_a_cards_turn_is_through_leaves_the_rest() -> None:
    waiting = room()
    for number in range(6):
        await waiting.put(message(7, number, "talks"))
    await waiting.put(message(7, 6, "asks about the same card"))
    for expected in ([0, 1, 2, 3], [4, 5, 6]):
        batch = await waiting.take()
        waiting.check_invariants()
        assert numbers(batch) == expected
        waiting.done(batch)


async def test_who_has_nothing_in_a_full_room_gets_in() -> None:
    waiting = room(2)
    for number in range(2):
        await waiting.put(message(number, number, "talks"))
    with trio.fail_after(1):
        await waiting.put(message(9, 9, "buys"))
    for session in ("talks", "buys"):
        with trio.move_on_after(0) as patience:
            await waiting.put(message(8, 8, session))
        assert patience.cancelled_caught, f"{session} has one that waits"
    batch = await waiting.take()
    assert numbers(batch) == [0, 9, 1]
    waiting.done(batch)
    # The one that got in beyond the bound gives no room back that it did not have.
    for number in range(2):
        await waiting.put(message(number, number, "talks"))
    with trio.move_on_after(0) as patience:
        await waiting.put(message(3, 3, "talks"))
    assert patience.cancelled_caught


async def test_closed_it_gives_what_is_there_and_then_nothing() -> None:
    waiting = room()
    first_of_card, second_of_card = message(0, 0), message(0, 1)
    await waiting.put(first_of_card)
    batch = await waiting.take()
    await waiting.put(second_of_card)
    ends: list[list[int]] = []

    async def work() -> None:
        while got := await waiting.take():
            ends.append(numbers(got))
            waiting.done(got)

    with trio.fail_after(2):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(work)
            await trio.testing.wait_all_tasks_blocked()
            waiting.close()
            await trio.testing.wait_all_tasks_blocked()
            assert ends == []
            waiting.done(batch)
    assert ends == [[1]]


@pytest.mark.parametrize("workers", [1, 3])
@given(
    cards=st.lists(st.integers(0, 5), max_size=60),
    sessions=st.lists(st.integers(0, 3), min_size=60, max_size=60),
    pauses=st.lists(st.booleans(), min_size=60, max_size=60),
    work=st.lists(st.integers(0, 3), min_size=60, max_size=60),
    size=st.integers(1, 20),
    batch_max=st.integers(1, 8),
    beside_min=st.integers(1, 8),
)
def test_whatever_comes_every_message_is_decided_once_and_in_its_cards_order(
    workers: int,
    cards: list[int],
    sessions: list[int],
    pauses: list[bool],
    work: list[int],
    size: int,
    batch_max: int,
    beside_min: int,
) -> None:
    waiting = room(size, batch_max=batch_max, beside_min=beside_min)
    out: list[set[bytes]] = []
    decided: list[Told] = []

    async def worker() -> None:
        while batch := await waiting.take():
            waiting.check_invariants()
            own = {item.pan_lookup for _, item in batch}
            assert all(own.isdisjoint(other) for other in out), "a card is in two batches"
            assert len(batch) <= batch_max
            out.append(own)
            for _ in range(work[len(decided) % len(work)]):
                await trio.lowlevel.checkpoint()
            decided.extend(item for _, item in batch)  # type: ignore[misc]  # Told is as much of an item as is needed
            out.remove(own)
            waiting.done(batch)
            waiting.check_invariants()

    async def main() -> None:
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(workers):
                    nursery.start_soon(worker)
                for number, card in enumerate(cards):
                    await waiting.put(message(card, number, f"session {sessions[number]}"))
                    if pauses[number]:
                        await trio.lowlevel.checkpoint()
                waiting.close()

    trio.run(main)
    assert sorted(each.number for each in decided) == list(range(len(cards)))
    for card in set(cards):
        of_card = [each.number for each in decided if each.pan_lookup == bytes([card])]
        assert of_card == sorted(of_card)
