"""What bytes can do: however they are cut, wherever they break off, whatever they are."""

from __future__ import annotations

from datetime import datetime

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock

from switch.contracts.errors import InvariantBroken
from switch.network.arrival import Arrival
from switch.network.polls import PollMeter
from switch.wire.codec import Codec
from switch.wire.inbound import Inbound
from tests.network.support import House, Peer, approval, serving, until
from tests.network.test_liveness import closed_because
from tests.wire.support import purchase

DIALECTS = ["iso87_ascii", "iso87_binary"]


@pytest.mark.parametrize("name", DIALECTS)
async def test_one_byte_at_a_time(name: str) -> None:
    house = House()
    async with serving(house, name, sign_on="optional") as served:
        peer = await served.connect()
        for byte in peer.frame(purchase(f11="000001")) + peer.frame(purchase(f11="000002")):
            await peer.send(bytes([byte]))
        for stan in ("000001", "000002"):
            await house.approve_next()
            assert await peer.hears_code() == (stan, "00")


@pytest.mark.parametrize("name", DIALECTS)
async def test_fifty_frames_in_one_segment(name: str) -> None:
    house = House()
    async with serving(house, name, sign_on="optional") as served:
        peer = await served.connect()
        stans = [f"{number:06d}" for number in range(1, 51)]
        await peer.send(b"".join(peer.frame(purchase(f11=stan)) for stan in stans))
        arrivals = [await house.next() for _ in stans]
        assert [each.request.stan for each in arrivals] == stans
        assert served.stats.in_flight == 50
        for arrival in arrivals:
            assert arrival.received_at.tzinfo is not None
        for arrival in reversed(arrivals):
            arrival.answer(approval())
        assert sorted([await peer.hears_code() for _ in stans]) == [(stan, "00") for stan in stans]
        assert served.stats.in_flight == 0
        assert served.stats.frames_in == served.stats.frames_out == 50


async def test_a_peer_that_ends_and_then_vanishes_has_ended() -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, sign_on="optional") as served:
            peer = await served.connect()
            await peer.say(f11="000001")
            arrival = await house.next()
            await peer.stream.send_eof()
            await trio.testing.wait_all_tasks_blocked()
            peer.reset()
            arrival.drop()
            await until(lambda: served.stats.sessions_open == 0)
    assert closed_because(logs) == ["peer_closed"]


async def test_an_impossible_length_closes_after_what_came_before_it_is_served() -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, sign_on="optional", frame_bytes_max=1000) as served:
            peer = await served.connect()
            other = await served.connect()
            await peer.send(peer.frame(purchase(f11="000001")) + b"\xff\xff" + b"x" * 20)
            await house.approve_next()
            assert await peer.hears_code() == ("000001", "00")
            assert await peer.is_closed()
            assert served.stats.framing_failures == 1
            await other.say(f11="000002")
            await house.approve_next()
            assert await other.hears_code() == ("000002", "00")
    assert closed_because(logs)[0] == "framing_error"


@pytest.mark.parametrize("name", DIALECTS)
async def test_undecodable_but_answerable_is_answered_30_and_the_session_stays(name: str) -> None:
    house = House()
    async with serving(house, name) as served:
        peer = await served.signed_on()
        await peer.say(f11="000001", f4=None)
        assert await peer.hears_code() == ("000001", "30")
        await peer.send(peer.framer.encode(b"what is this"))  # no key fields: nothing to answer
        await peer.say(f11="000002")
        await house.approve_next()
        assert await peer.hears_code() == ("000002", "00")
        assert served.stats.decode_failures == 2
    assert house.waiting == 0


async def test_a_flood_of_damaged_messages_is_counted_whole_and_logged_in_part() -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, sign_on="optional") as served:
            peer = await served.connect()
            for number in range(100):
                await peer.say(f11=f"{number:06d}", f4=None)
                assert await peer.hears_code() == (f"{number:06d}", "30")
            assert served.stats.decode_failures == 100
    rejected = [line for line in logs if line["event"] == "frame_rejected"]
    (rest,) = (line for line in logs if line["event"] == "frames_rejected_unlogged")
    assert 3 <= len(rejected) < 10
    assert {line["field"] for line in rejected} == set(rest["fields"]) == {"4"}
    assert len(rejected) + sum(line["left_out"] for line in rejected) + rest["fields"]["4"] == 100


async def test_polls_are_answered_one_for_one() -> None:
    async with serving(House()) as served:
        peer = await served.connect()
        poll = peer.framer.encode(b"")
        for _ in range(2):
            await peer.send(poll)
            assert await peer.payload() == b""
        await peer.hears_nothing_more()
        assert served.stats.polls_answered == 2


async def test_a_peer_that_answers_every_poll_makes_no_storm() -> None:
    async with serving(House()) as served:
        peer = await served.connect()
        await peer.send(peer.framer.encode(b""))
        exchanged = 0
        with trio.move_on_after(0.3):
            while await peer.payload() == b"":
                exchanged += 1
                await peer.send(peer.framer.encode(b""))
        assert 1 <= exchanged <= 5
        await peer.hears_nothing_more()
        assert served.stats.polls_answered == exchanged


async def test_a_flood_of_polls_is_answered_a_few_times() -> None:
    async with serving(House()) as served:
        peer = await served.connect()
        await peer.send(peer.framer.encode(b"") * 1000)
        await peer.manage("echo", "000001")
        heard = [await peer.payload()]
        while heard[-1] == b"":
            heard.append(await peer.payload())
        assert 1 <= len(heard) - 1 <= 5
        assert served.stats.polls_in == 1000


def test_poll_meter_answers_a_regular_poll_for_ever_and_a_flood_not() -> None:
    meter = PollMeter(0.0)
    assert all(meter.should_answer(float(second)) for second in range(1, 100))
    assert sum(meter.should_answer(100 + number / 1000) for number in range(1000)) <= 5


async def test_an_error_nobody_expected_closes_its_session_alone() -> None:
    house = House()

    async def intake(arrival: Arrival) -> None:
        if arrival.request.stan == "000666":
            raise KeyError(arrival.request.pan.reveal())
        await house.intake(arrival)

    with capture_logs() as logs:
        async with serving(intake, sign_on="optional") as served:
            bad, good = await served.connect(), await served.connect()
            await bad.say(f11="000666")
            assert await bad.is_closed()
            await good.say(f11="000001")
            await house.approve_next()
            assert await good.hears_code() == ("000001", "00")
            assert served.stats.sessions_crashed == 1
    crash = next(each for each in logs if each["event"] == "session_crashed")
    assert crash["error"] == "KeyError"
    assert purchase()["2"] not in repr(logs)


async def test_a_codec_that_breaks_over_one_message_costs_that_session_alone(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mock_clock.rate = 1.0
    decode = Codec.decode

    def breaks(codec: Codec, payload: bytes, *, network: str, received_at: datetime) -> Inbound:
        inbound = decode(codec, payload, network=network, received_at=received_at)
        assert inbound.fields["11"] != "000666"
        return inbound

    monkeypatch.setattr(Codec, "decode", breaks)
    house = House()
    with capture_logs() as logs:
        async with serving(house, sign_on="optional") as served:
            bad, good = await served.connect(), await served.connect()
            await bad.send(bad.frame(purchase(f11="000001")) + bad.frame(purchase(f11="000666")))
            assert await bad.is_closed()
            # The deadline of the sound one in the same segment passes without harm as well.
            mock_clock.jump(5)
            await good.say(f11="000002")
            await house.approve_next()
            assert await good.hears_code() == ("000002", "00")
    assert closed_because(logs)[0] == "crashed"


@pytest.mark.parametrize("grouped", [False, True])
async def test_a_broken_invariant_leaves_the_room(grouped: bool) -> None:
    async def intake(arrival: Arrival) -> None:
        broken = InvariantBroken("the books don't add up")
        raise ExceptionGroup("from a nursery of the house", [broken]) if grouped else broken

    with pytest.RaisesGroup(InvariantBroken, flatten_subgroups=True):
        async with serving(intake, sign_on="optional") as served:
            peer = await served.connect()
            await peer.say()
            with trio.fail_after(5):
                await trio.sleep_forever()


@settings(max_examples=60)
@given(
    name=st.sampled_from(DIALECTS),
    chunks=st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5),
    framed=st.booleans(),
)
async def test_arbitrary_bytes_hurt_nobody_else(name: str, chunks: list[bytes], framed: bool) -> None:
    house = House()
    with capture_logs():
        async with serving(house, name, sign_on="optional") as served:
            healthy, hostile = await served.connect(), await served.connect()
            try:
                for chunk in chunks:
                    await hostile.send(hostile.framer.encode(chunk) if framed else chunk)
            except trio.BrokenResourceError:
                assert not framed  # what is framed never costs the session
            await _serves(house, healthy)
            if framed:
                await hostile.manage("echo", "999999")
                answer = await hostile.payload()
                while answer is not None and not answer.startswith(b"0810"):
                    answer = await hostile.payload()
                assert answer is not None
            assert served.stats.sessions_crashed == 0


async def _serves(house: House, peer: Peer) -> None:
    await peer.say(f11="000001")
    arrival = await house.next()
    while arrival.request.stan != "000001":
        arrival = await house.next()  # Hypothesis may find a message some day
    arrival.drop()
    await peer.hears_nothing_more()


@settings(max_examples=40)
@given(data=st.data(), name=st.sampled_from(DIALECTS))
async def test_damaged_messages_hurt_nobody(data: st.DataObject, name: str) -> None:
    house = House()
    with capture_logs():
        async with serving(house, name, sign_on="optional") as served:
            peer = await served.connect()
            payload = bytearray(peer.codec.encode(purchase(f11="000001")))
            for _ in range(data.draw(st.integers(1, 4))):
                payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
            await peer.send(peer.framer.encode(bytes(payload[: data.draw(st.integers(1, len(payload)))])))
            await peer.manage("echo", "999998")
            answer = await peer.payload()
            while answer is not None and b"999998" not in answer and not answer.startswith(b"0810"):
                answer = await peer.payload()
            assert answer is not None
            assert served.stats.sessions_crashed == 0
