from __future__ import annotations

from math import inf

from structlog.testing import capture_logs
from trio.testing import MockClock

from switch.contracts.message import Answer, Balance
from switch.contracts.reason import Reason
from switch.network.arrival import Delivery
from tests.network.support import House, approval, serving, until
from tests.wire.support import PAN, purchase


async def test_past_the_deadline_the_answer_is_91_once_and_a_later_approval_is_late(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    async with serving(house) as served:
        peer = await served.signed_on()
        await peer.say(f11="000001")
        arrival = await house.next()
        mock_clock.jump(4)
        assert await peer.hears_code() == ("000001", "91")
        assert arrival.settled
        assert arrival.answered_code == "91"
        assert arrival.answer(approval()) is Delivery.LATE
        assert arrival.answer(approval()) is Delivery.LATE
        mock_clock.jump(8)
        await peer.hears_nothing_more()
        assert served.stats.deadline_misses == 1
        assert served.stats.answers_late == 2


async def test_an_answer_in_time_is_sent_and_no_91_follows(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    async with serving(house) as served:
        peer = await served.signed_on()
        await peer.say(f11="000001")
        arrival = await house.next()
        mock_clock.jump(3)
        assert arrival.answer(approval()) is Delivery.SENT
        assert arrival.answered_code == "00"
        assert await peer.hears_code() == ("000001", "00")
        mock_clock.jump(8)
        await peer.hears_nothing_more()
        assert served.stats.deadline_misses == 0


async def test_a_busy_program_does_not_stretch_the_deadline(mock_clock: MockClock) -> None:
    house = House()
    async with serving(house) as served:
        peer = await served.signed_on()
        await peer.say(f11="000001")
        arrival = await house.next()
        # No checkpoint between the jump and the answer: the watcher can't have come to it.
        mock_clock.jump(4)
        assert arrival.answer(approval()) is Delivery.LATE
        mock_clock.rate = 1.0
        assert await peer.hears_code() == ("000001", "91")
        await peer.hears_nothing_more()


async def test_advices_and_reversals_have_no_deadline(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    async with serving(house, echo_interval_seconds=0) as served:
        peer = await served.signed_on()
        for stan, mti in (("000001", "0120"), ("000002", "0220"), ("000003", "0400"), ("000004", "0420")):
            await peer.say(t=mti, f11=stan)
        arrivals = [await house.next() for _ in range(4)]
        assert [each.deadline for each in arrivals] == [inf] * 4
        mock_clock.jump(3600)
        await peer.hears_nothing_more()
        assert [each.answer(approval()) for each in arrivals] == [Delivery.SENT] * 4
        for mti in ("0130", "0230", "0410", "0430"):
            assert (await peer.hears())["t"] == mti


async def test_deadlines_pass_in_the_order_of_arrival_over_all_sessions(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    async with serving(house) as served:
        first, second = await served.signed_on(), await served.signed_on()
        await first.say(f11="000001")
        one = await house.next()
        mock_clock.jump(2)
        await second.say(f11="000002")
        two = await house.next()
        mock_clock.jump(2)
        assert await first.hears_code() == ("000001", "91")
        assert not two.settled
        assert one.settled
        mock_clock.jump(2)
        assert await second.hears_code() == ("000002", "91")


async def test_the_deadline_passes_while_the_intake_blocks_and_what_was_answered_is_not_handed_over(
    mock_clock: MockClock,
) -> None:
    mock_clock.rate = 1.0
    house = House(room=1)
    async with serving(house) as served:
        peer = await served.signed_on()
        # Four in one segment: one waits in the house, one at its door, two behind it in the session.
        stans = [f"{number:06d}" for number in range(1, 5)]
        await peer.send(b"".join(peer.frame(purchase(f11=stan)) for stan in stans))
        await until(lambda: house.blocked)
        mock_clock.jump(4)
        assert [await peer.hears_code() for _ in stans] == [(stan, "91") for stan in stans]
        # The two that the house had taken by then are told that they are late; it never sees the others.
        assert [await house.approve_next(), await house.approve_next()] == [Delivery.LATE, Delivery.LATE]
        await peer.say(f11="000009")
        assert (await house.next()).request.stan == "000009"


async def test_dropped_is_silent_and_final() -> None:
    house = House()
    async with serving(house) as served:
        peer = await served.signed_on()
        await peer.say(t="0420", f11="000001")
        arrival = await house.next()
        arrival.drop()
        arrival.drop()
        assert arrival.settled
        assert arrival.answer(approval()) is Delivery.GONE
        assert served.stats.in_flight == 0
        await peer.hears_nothing_more()


async def test_the_answer_to_a_session_that_has_ended_is_gone(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    async with serving(house) as served:
        peer = await served.signed_on()
        await peer.say(f11="000001")
        await peer.say(t="0120", f11="000002")
        arrivals = [await house.next(), await house.next()]
        peer.reset()
        await until(lambda: served.stats.sessions_open == 0)
        assert [each.answer(approval()) for each in arrivals] == [Delivery.GONE] * 2
        assert [each.answered_code for each in arrivals] == ["", ""]
        assert served.stats.answers_undeliverable == 2


async def test_the_deadline_of_what_has_gone_is_not_missed(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    async with serving(house) as served:
        peer = await served.signed_on()
        await peer.say(f11="000001")
        arrival = await house.next()
        peer.reset()
        await until(lambda: served.stats.sessions_open == 0)
        mock_clock.jump(5)
        await until(lambda: arrival.settled)
        assert served.stats.deadline_misses == 0
        assert arrival.answer(approval()) is Delivery.GONE


async def test_a_peer_that_closes_its_sending_half_still_gets_its_answers(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    async with serving(house) as served:
        peer = await served.signed_on()
        await peer.say(f11="000001")
        await peer.say(f11="000002")
        await peer.stream.send_eof()
        assert await house.approve_next() is Delivery.SENT
        assert await peer.hears_code() == ("000001", "00")
        mock_clock.jump(4)
        assert await peer.hears_code() == ("000002", "91")
        assert await peer.is_closed()


async def test_answers_go_back_on_the_session_of_their_request() -> None:
    house = House()
    async with serving(house) as served:
        peers = [await served.signed_on() for _ in range(5)]
        for number, peer in enumerate(peers):
            await peer.say(f11=f"{number:06d}")
        arrivals = sorted([await house.next() for _ in peers], key=lambda each: each.request.stan, reverse=True)
        assert len({each.session for each in arrivals}) == 5
        for arrival in arrivals:
            assert arrival.answer(approval()) is Delivery.SENT
        for number, peer in enumerate(peers):
            assert await peer.hears_code() == (f"{number:06d}", "00")
            await peer.hears_nothing_more()


async def test_an_answer_that_can_not_be_written_becomes_96_and_counts_as_late() -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house) as served:
            peer = await served.signed_on()
            await peer.say(f11="000001")
            unwritable = Answer(
                reason=Reason.APPROVED,
                balances=(Balance(amount_type="02", currency="no such", amount_minor=1),),
            )
            assert (await house.next()).answer(unwritable) is Delivery.LATE
            assert await peer.hears_code() == ("000001", "96")
            await peer.hears_nothing_more()
            assert served.stats.encode_failures == 1
    assert "answer_unencodable" in [each["event"] for each in logs]


async def test_no_log_and_no_repr_shows_a_card(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    house = House()
    with capture_logs() as logs:
        async with serving(house) as served:
            peer = await served.connect()
            await peer.say(f11="000001")  # refused
            await peer.hears()
            await peer.sign_on()
            await peer.say(f11="000002")
            arrival = await house.next()
            mock_clock.jump(4)
            await peer.hears()
            arrival.answer(approval())
            await peer.say(f11="000003", f4=None)  # a format error
            await peer.hears()
    said = repr(logs) + repr(arrival)
    assert "deadline_missed" in said
    assert PAN not in said
    assert PAN[:12] not in said
