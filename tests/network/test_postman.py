"""When the postman comes: at the end of a round, or in the next turn."""

from __future__ import annotations

import trio
import trio.testing

from switch.network.postman import Postman


async def test_comes_in_the_next_turn_to_whoever_calls() -> None:
    postman, sent = Postman(), list[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(postman.run)
        await trio.testing.wait_all_tasks_blocked()
        postman.call(lambda: sent.append("one"))
        postman.call(lambda: sent.append("two"))
        assert sent == []
        await trio.testing.wait_all_tasks_blocked()
        assert sent == ["one", "two"]
        nursery.cancel_scope.cancel()


async def test_comes_at_the_end_of_a_round_and_to_nobody_twice() -> None:
    postman, sent = Postman(), list[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(postman.run)
        await trio.testing.wait_all_tasks_blocked()
        with postman:
            postman.call(lambda: sent.append("one"))
            postman.call(lambda: sent.append("two"))
            assert sent == []
        assert sent == ["one", "two"]
        await trio.testing.wait_all_tasks_blocked()
        assert sent == ["one", "two"]
        nursery.cancel_scope.cancel()


async def test_a_call_before_the_task_runs_is_not_forgotten() -> None:
    postman, sent = Postman(), list[str]()
    postman.call(lambda: sent.append("one"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(postman.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert sent == ["one"]
