from __future__ import annotations

from collections.abc import MutableMapping
from math import inf
from typing import Any

import pytest
from structlog.testing import capture_logs
from trio.testing import MockClock

from switch.network.liveness import Due, Liveness
from tests.network.support import House, serving, until


def closed_because(logs: list[MutableMapping[str, Any]]) -> list[object]:
    return [each["reason"] for each in logs if each["event"] == "session_closed"]


def liveness(**changes: float) -> Liveness:
    return Liveness(
        echo_interval=changes.get("echo_interval", 60),
        echo_timeout=10,
        misses_max=2,
        partial_timeout=30,
        now=0,
    )


# Each step: the time, what is heard (frames, bytes of the next one) before looking, what is due.
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            [
                (59, None, Due.NOTHING),
                (60, None, Due.ECHO),
                (61, (1, 0), Due.NOTHING),
                (120, None, Due.NOTHING),
                (121, None, Due.ECHO),
            ],
            id="answered",
        ),
        pytest.param(
            [
                (60, None, Due.ECHO),
                (69, None, Due.NOTHING),
                (70, None, Due.ECHO),
                (79, None, Due.NOTHING),
                (80, None, Due.DEAD),
            ],
            id="dead",
        ),
        pytest.param(
            [
                (60, None, Due.ECHO),
                (70, None, Due.ECHO),
                (75, (1, 0), Due.NOTHING),
                (135, None, Due.ECHO),
                (145, None, Due.ECHO),
                (155, None, Due.DEAD),
            ],
            id="any frame clears the misses",
        ),
        pytest.param(
            [(40, (3, 0), Due.NOTHING), (99, None, Due.NOTHING), (100, None, Due.ECHO)], id="traffic counts as life"
        ),
        pytest.param([(5, (0, 9), Due.NOTHING), (34, None, Due.NOTHING), (35, None, Due.STALLED)], id="half a frame"),
        pytest.param(
            [(5, (0, 1), Due.NOTHING), (20, (0, 2), Due.NOTHING), (34, (0, 3), Due.NOTHING), (35, (0, 4), Due.STALLED)],
            id="trickle does not prolong",
        ),
        pytest.param(
            [(5, (0, 9), Due.NOTHING), (34, (1, 9), Due.NOTHING), (63, None, Due.NOTHING), (64, None, Due.STALLED)],
            id="the next half frame has its own time",
        ),
        pytest.param(
            [(5, (0, 9), Due.NOTHING), (34, (1, 0), Due.NOTHING), (93, None, Due.NOTHING), (94, None, Due.ECHO)],
            id="completed",
        ),
    ],
)
def test_liveness_table(steps: list[tuple[float, tuple[int, int] | None, Due]]) -> None:
    state = liveness()
    for now, heard, due in steps:
        if heard is not None:
            state.received(now, frames=heard[0], pending_bytes=heard[1])
        assert state.check(now) is due, f"at {now}"
        if due in {Due.NOTHING, Due.ECHO}:
            assert state.due_at(now) > now


def test_without_an_interval_nobody_is_asked() -> None:
    state = liveness(echo_interval=0)
    assert state.check(1e9) is Due.NOTHING
    assert state.due_at(0) < inf


def test_a_peer_that_we_do_not_listen_to_is_not_held_to_it() -> None:
    state = liveness()
    assert state.check(60) is Due.ECHO
    state.received(61, frames=0, pending_bytes=7)
    state.block()
    assert state.check(1000) is Due.NOTHING
    assert state.due_at(1000) > 1000
    state.unblock(1000)
    assert state.check(1029) is Due.NOTHING
    assert state.check(1030) is Due.STALLED


@pytest.mark.parametrize("name", ["iso87_ascii", "iso87_binary"])
async def test_an_idle_peer_is_asked_and_stays_when_it_answers(name: str, mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    async with serving(House(), name) as served:
        peer = await served.signed_on()
        for _ in range(3):
            mock_clock.jump(60)
            echo = await peer.hears()
            assert (echo["t"], echo["70"]) == ("0800", "301")
            await peer.answer(echo)
            await peer.hears_nothing_more()
        assert served.stats.echoes_missed == 0
        assert served.stats.answers_unexpected == 0


async def test_a_dead_peer_is_dropped(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    with capture_logs() as logs:
        async with serving(House()) as served:
            peer = await served.signed_on()
            stans = []
            for seconds in (60, 10):
                mock_clock.jump(seconds)
                stans.append((await peer.hears())["11"])
            assert stans == ["000001", "000002"]
            mock_clock.jump(10)
            assert await peer.is_closed()
            assert served.stats.echoes_missed == 2
    assert closed_because(logs) == ["peer_dead"]


async def test_a_sign_on_of_ours_that_nobody_answers_ends_the_session(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    with capture_logs() as logs:
        async with serving(House(), initiate_sign_on=True, echo_interval_seconds=0) as served:
            peer = await served.connect()
            assert (await peer.hears())["70"] == "001"
            mock_clock.jump(10)
            assert await peer.is_closed()
    assert closed_because(logs) == ["sign_on_unanswered"]


async def test_half_a_frame_then_silence_is_closed(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    with capture_logs() as logs:
        async with serving(House()) as served:
            peer = await served.connect()
            # The poll's answer tells that the half frame, which is in the same segment, has arrived too.
            await peer.send(peer.framer.encode(b"") + b"\x01\x00half")
            assert await peer.payload() == b""
            mock_clock.jump(29)
            await peer.send(b"a frame")
            mock_clock.jump(1.5)
            assert await peer.is_closed()
    assert closed_because(logs) == ["partial_frame"]


async def test_while_the_house_blocks_the_reader_the_peer_is_not_called_dead(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House(room=0)
    async with serving(house) as served:
        peer = await served.signed_on()
        await peer.say(t="0120", f11="000001")
        await until(lambda: house.blocked)
        mock_clock.jump(500)
        await house.approve_next()
        assert await peer.hears_code("0130") == ("000001", "00")
        await peer.hears_nothing_more()
        assert served.stats.echoes_missed == 0
