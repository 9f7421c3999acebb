"""Messages of ours that the network sends back because it could not read them."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from switch.network.dialogue import Dialogue
from switch.wire.inbound import ManagementFunction
from tests.network.support import House, Peer, serving
from tests.wire.support import PAN, extended

NAME = "base1"


def returned(ours: bytes, code: str = "0045") -> bytes:
    """``ours`` behind a reject header of 26 bytes with the code at 24."""
    size = (26 + len(ours)).to_bytes(2, "big")
    return bytes((26, 1, 2)) + size + ours[5:22] + b"\x80\x00" + bytes.fromhex(code) + ours


async def reject(peer: Peer, ours: bytes, code: str = "0045") -> None:
    await peer.send(peer.framer.encode(returned(ours, code)))


async def heard(peer: Peer) -> bytes:
    payload = await peer.payload()
    assert payload is not None
    return payload


def lines(logs: list[MutableMapping[str, Any]]) -> list[tuple[object, ...]]:
    return [
        (each["code"], each["mti"], each["stan"], each["answered"])
        for each in logs
        if each["event"] == "message_rejected"
    ]


async def test_a_rejected_answer_is_counted_and_logged_and_the_session_goes_on() -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, NAME) as served:
            peer = await served.signed_on()
            await peer.say(f11="000001", f22="0510")
            await house.approve_next()
            await reject(peer, await heard(peer))
            await peer.hears_nothing_more()
            assert served.stats.messages_rejected == 1
            assert served.stats.decode_failures == served.stats.answers_unexpected == 0
            await peer.say(f11="000002", f22="0510")
            await house.approve_next()
            assert await peer.hears_code() == ("000002", "00")
    assert lines(logs) == [("0045", "0110", "000001", False)]
    assert PAN not in repr(logs)
    assert house.waiting == 0


async def test_the_policy_answers_once_more_with_less(tmp_path: Path) -> None:
    house, ours = House(), extended(tmp_path, '[header.reject]\npolicy = "answer_bare"')
    with capture_logs() as logs:
        async with serving(house, NAME, speaking=ours) as served:
            peer = await served.signed_on()
            await peer.say(f11="000001", f22="0510")
            await house.approve_next()
            first = await heard(peer)
            await reject(peer, first)
            second = await heard(peer)
            said, before = peer.codec.decode_fields(second), peer.codec.decode_fields(first)
            assert "12" in before.keys() - said.keys()
            assert (said["t"], said["11"], said["39"], said["38"]) == ("0110", "000001", "00", before["38"])
            await reject(peer, second)
            await peer.hears_nothing_more()
            assert served.stats.messages_rejected == 2
    assert [line[-1] for line in lines(logs)] == [True, False]
    assert house.waiting == 0


async def test_a_sign_on_of_ours_that_comes_back_is_refused() -> None:
    with capture_logs() as logs:
        async with serving(House(), NAME, initiate_sign_on=True) as served:
            peer = await served.connect()
            await reject(peer, await heard(peer), code="0001")
            assert await peer.is_closed()
            assert served.stats.messages_rejected == 1
    assert [each["reason"] for each in logs if each["event"] == "session_closed"] == ["sign_on_refused"]


def test_a_sign_on_that_came_back_is_none() -> None:
    dialogue = Dialogue()
    stan = dialogue.ask(ManagementFunction.SIGN_ON)
    assert dialogue.rejected(stan) is ManagementFunction.SIGN_ON
    assert not dialogue.signed_on
    assert dialogue.rejected(stan) is None


async def test_a_sign_on_that_is_not_ours_changes_nothing() -> None:
    async with serving(House(), NAME) as served:
        peer = await served.signed_on()
        await reject(peer, peer.codec.encode({"t": "0800", "7": "0615030405", "11": "777777", "70": "071"}))
        await peer.hears_nothing_more()
        assert served.stats.sessions_signed_on == 1


async def test_rejects_of_rubbish_are_harmless() -> None:
    with capture_logs() as logs:
        async with serving(House(), NAME) as served:
            peer = await served.signed_on()
            for ours in (bytes(22), bytes(200), b"\xff" * 300):
                await reject(peer, ours)
            await peer.hears_nothing_more()
            assert served.stats.messages_rejected == 3
    assert lines(logs) == [("0045", mti, stan, False) for mti, stan in (("", ""), ("0000", ""), ("", ""))]


async def test_a_damaged_header_gets_no_answer_and_the_session_goes_on() -> None:
    house = House()
    async with serving(house, NAME) as served:
        peer = await served.signed_on()
        payload = peer.codec.encode({"t": "0800", "7": "0615030405", "11": "000005", "70": "301"})
        for damaged in (b"\x15" + payload[1:], payload[:1] + b"\x09" + payload[2:], payload[:10]):
            await peer.send(peer.framer.encode(damaged))
        await peer.hears_nothing_more()
        assert served.stats.decode_failures == 3
    assert house.waiting == 0
