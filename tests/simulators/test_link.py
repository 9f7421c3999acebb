"""One session, against a switch of a few lines."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import trio

from simulators.link import LinkRefused, connect, open_link
from simulators.messages import as_repeat
from switch.contracts.reason import Reason
from switch.wire.codec import Codec
from switch.wire.inbound import ManagementFunction
from tests.simulators.responder import DIALECTS, Fields, Responder, answer_to, dialect, maker, until


@pytest.mark.parametrize("name", DIALECTS)
async def test_sign_on_ask_sign_off(name: str, nursery: trio.Nursery) -> None:
    declined, management = dialect(name).response_code(Reason.INSUFFICIENT_FUNDS), dialect(name).management
    switch = Responder(lambda fields: answer_to(fields, declined), name)
    await nursery.start(switch.run)
    async with open_link(Codec(dialect(name)), "127.0.0.1", switch.port) as link:
        message = maker(name).authorization("plain-0", 500)
        answer = await link.ask(message.fields, 5)
        assert answer is not None
        assert (answer["t"][1:], answer["39"], answer["11"]) == ("110", declined, message.fields["11"])
        assert await link.manage(ManagementFunction.ECHO, 5) == maker(name).codes.managed
    codes = [*management.sign_on[:1], *management.echo[:1], *management.sign_off[:1]]
    assert [fields[management.code_field] for fields in switch.managed] == codes
    switch.kill()


async def test_answers_in_any_order_reach_who_asked(nursery: trio.Nursery) -> None:
    """Ten requests in flight on one link, answered backwards."""
    kept: list[Fields] = []

    def script(fields: Fields) -> Fields | None:
        kept.append(fields)
        return None

    switch = Responder(script)
    await nursery.start(switch.run)
    make = maker()
    got: dict[int, str] = {}
    async with open_link(Codec(dialect()), "127.0.0.1", switch.port) as link:

        async def one(number: int) -> None:
            answer = await link.ask(make.authorization("plain-0", number).fields, 5)
            assert answer is not None
            got[number] = answer["4"]

        async with trio.open_nursery() as asking:
            for number in range(10):
                asking.start_soon(one, number)
            await until(lambda: len(kept) >= 10)
            assert link.in_flight == 10
            for fields in reversed(kept):
                frame = link.frame(answer_to(fields))
                await switch.streams[-1].send_all(frame)
        assert link.in_flight == 0
    assert got == {number: f"{number:012d}" for number in range(10)}
    switch.kill()


async def test_a_repeat_in_flight_has_an_answer_of_its_own(nursery: trio.Nursery) -> None:
    codes = iter(("00", "94"))
    switch = Responder(lambda fields: answer_to(fields, next(codes)))
    await nursery.start(switch.run)
    message = maker().authorization("plain-0", 5)
    got: list[str] = []
    async with open_link(Codec(dialect()), "127.0.0.1", switch.port) as link:

        async def one(fields: Mapping[str, str]) -> None:
            answer = await link.ask(fields, 5)
            got.append("" if answer is None else answer["39"])

        async with trio.open_nursery() as asking:
            asking.start_soon(one, message.fields)
            asking.start_soon(one, as_repeat(message).fields)
        assert sorted(got) == ["00", "94"]
        assert not link.strays
    switch.kill()


async def test_silence_is_none_and_the_late_answer_a_stray(nursery: trio.Nursery) -> None:
    switch = Responder(lambda _fields: None)
    await nursery.start(switch.run)
    async with open_link(Codec(dialect()), "127.0.0.1", switch.port) as link:
        message = maker().authorization("plain-0", 500)
        assert await link.ask(message.fields, 0.05) is None
        await switch.streams[-1].send_all(link.frame(answer_to(dict(message.fields))))
        assert (await link.next_stray())["39"] == "00"
    switch.kill()


async def test_a_broken_link_tells_everyone_at_once(nursery: trio.Nursery) -> None:
    switch = Responder(lambda _fields: None)
    await nursery.start(switch.run)
    link = await connect(nursery, Codec(dialect()), "127.0.0.1", switch.port)
    with trio.fail_after(5):
        async with trio.open_nursery() as asking:
            for number in range(3):
                asking.start_soon(link.ask, maker(lane=number).authorization("plain-0", 1).fields, 60)
            await until(lambda: len(switch.received) >= 3)
            switch.kill()
    assert link.closed.is_set()
    assert await link.ask(maker().authorization("plain-0", 2).fields, 60) is None


async def test_the_switch_echoes_too(nursery: trio.Nursery) -> None:
    switch = Responder()
    await nursery.start(switch.run)
    async with open_link(Codec(dialect()), "127.0.0.1", switch.port) as link:
        await switch.send_echo("000042")
        assert await link.manage(ManagementFunction.ECHO, 5) == "00"  # in order: the first echo is answered by now
    answers = [fields for fields in switch.managed if fields["t"] == "0810"]
    assert [(fields["11"], fields["70"], fields["39"]) for fields in answers] == [("000042", "301", "00")]
    switch.kill()


async def test_raw_payloads_and_polls(nursery: trio.Nursery) -> None:
    switch = Responder()
    switch.codec.decode_fields(switch.codec.encode({"t": "0100", "11": "000001"}))
    await nursery.start(switch.run)
    async with open_link(Codec(dialect()), "127.0.0.1", switch.port, sign_on=False) as link:
        link.send_payload(link.codec.encode({"t": "0100", "7": "0615030000", "11": "000009"}))
        assert (await link.next_stray())["11"] == "000009"
        await switch.streams[-1].send_all(b"\x00\x00" + link.frame({"t": "0110", "11": "000008"}))
        assert (await link.next_stray())["11"] == "000008"
        assert link.poll_count == 1
    assert switch.managed == []
    switch.kill()


async def test_a_peer_that_loses_its_frames_is_left(nursery: trio.Nursery) -> None:
    switch = Responder()
    await nursery.start(switch.run)
    link = await connect(nursery, Codec(dialect()), "127.0.0.1", switch.port)
    await switch.streams[-1].send_all(b"\xff\xff")
    with trio.fail_after(5):
        await link.closed.wait()
    switch.kill()


async def test_a_refused_sign_on_and_a_closed_port(nursery: trio.Nursery) -> None:
    switch = Responder()
    switch.sign_on_code = "91"
    await nursery.start(switch.run)
    with pytest.raises(LinkRefused, match="answered with 91"):
        await connect(nursery, Codec(dialect()), "127.0.0.1", switch.port)
    switch.kill()
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(LinkRefused, match="no connection"):
        await connect(nursery, Codec(dialect()), "127.0.0.1", switch.port)
