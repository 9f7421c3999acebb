from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from switch.contracts.reason import Reason
from switch.network.dialogue import Dialogue
from switch.wire.inbound import ManagementFunction
from tests.network.support import House, serving
from tests.wire.support import purchase

DIALECTS = ["iso87_ascii", "iso87_binary"]


@pytest.mark.parametrize("name", DIALECTS)
async def test_a_network_signs_on_asks_echoes_and_signs_off(name: str) -> None:
    house = House()
    async with serving(house, name) as served:
        peer = await served.connect()
        await peer.manage("sign_on", "000001")
        answer = await peer.hears()
        assert (answer["t"], answer["11"], answer["39"], answer["70"]) == ("0810", "000001", "00", "001")
        assert served.stats.sessions_signed_on == 1
        await peer.say(f11="000002")
        await house.approve_next()
        assert await peer.hears_code() == ("000002", "00")
        await peer.manage("echo", "000003")
        assert await peer.hears_code("0810") == ("000003", "00")
        await peer.manage("sign_off", "000004")
        assert await peer.hears_code("0810") == ("000004", "00")
        assert served.stats.sessions_signed_on == 0
        await peer.say(f11="000005")
        assert await peer.hears_code() == ("000005", "91")
        await peer.manage("sign_on", "000006", mti="0801")
        assert await peer.hears_code("0810") == ("000006", "00")
        await peer.say(f11="000007")
        await house.approve_next()
        assert await peer.hears_code() == ("000007", "00")
    assert house.waiting == 0


async def test_unknown_management_is_answered_as_unsupported() -> None:
    async with serving(House()) as served:
        peer = await served.connect()
        for code in ("161", "777"):
            await peer.manage(code, "000009")
            assert await peer.hears_code("0810") == ("000009", "12")


@pytest.mark.parametrize("mti", ["0100", "0101", "0200"])
async def test_a_request_before_the_sign_on_is_answered_at_once_and_kept_from_the_house(mti: str) -> None:
    house = House()
    async with serving(house) as served:
        peer = await served.connect()
        await peer.say(t=mti, f11="000001")
        assert await peer.hears_code("0110" if mti[1] == "1" else "0210") == ("000001", "91")
        assert served.stats.requests_refused == 1
    assert house.waiting == 0


@pytest.mark.parametrize("mti", ["0120", "0220", "0400", "0420", "0421"])
async def test_an_advice_before_the_sign_on_is_not_answered_and_repeats_after_it(mti: str) -> None:
    house = House()
    async with serving(house) as served:
        peer = await served.connect()
        await peer.say(t=mti, f11="000001")
        await peer.hears_nothing_more()
        assert served.stats.advices_ignored == 1
        await peer.sign_on()
        await peer.say(t=mti, f11="000001")
        assert (await house.next()).request.mti == mti
    assert house.waiting == 0


async def test_sign_on_and_request_in_one_segment_are_taken_in_order() -> None:
    house = House()
    async with serving(house) as served:
        peer = await served.connect()
        sign_on = peer.frame({"t": "0800", "7": "0615030405", "11": "000001", "70": "001"})
        sign_off = peer.frame({"t": "0800", "7": "0615030405", "11": "000003", "70": "002"})
        await peer.send(sign_on + peer.frame(purchase(f11="000002")) + sign_off + peer.frame(purchase(f11="000004")))
        assert await peer.hears_code("0810") == ("000001", "00")
        assert await peer.hears_code("0810") == ("000003", "00")
        assert await peer.hears_code() == ("000004", "91")
        arrival = await house.next()
        assert arrival.request.stan == "000002"


async def test_where_sign_on_is_optional_traffic_just_flows() -> None:
    house = House()
    async with serving(house, sign_on="optional") as served:
        peer = await served.connect()
        await peer.say(f11="000001")
        await house.approve_next()
        assert await peer.hears_code() == ("000001", "00")


async def test_we_sign_on_too_where_told() -> None:
    house = House()
    async with serving(house, initiate_sign_on=True) as served:
        peer = await served.connect()
        ours = await peer.hears()
        assert (ours["t"], ours["70"]) == ("0800", "001")
        await peer.answer(ours)
        await peer.say(f11="000001")
        await house.approve_next()
        assert await peer.hears_code() == ("000001", "00")


async def test_a_refused_sign_on_ends_the_session() -> None:
    with capture_logs() as logs:
        async with serving(House(), initiate_sign_on=True) as served:
            peer = await served.connect()
            await peer.answer(await peer.hears(), code="05")
            assert await peer.is_closed()
    assert [each["reason"] for each in logs if each["event"] == "session_closed"] == ["sign_on_refused"]


async def test_an_answer_that_nobody_asked_for_is_counted_and_harmless() -> None:
    async with serving(House()) as served:
        peer = await served.signed_on()
        await peer.say(t="0110", f39="00")
        await peer.answer({"7": "0615030405", "11": "424242", "70": "301"})
        await peer.hears_nothing_more()
        assert served.stats.answers_unexpected == 2


def test_dialogue_table() -> None:
    steps = [  # what happens, what the other side is answered, signed on afterwards
        ("asked", ManagementFunction.ECHO, Reason.APPROVED, False),
        ("asked", ManagementFunction.SIGN_ON, Reason.APPROVED, True),
        ("asked", ManagementFunction.KEY_CHANGE, Reason.UNSUPPORTED_OPERATION, True),
        ("asked", ManagementFunction.SIGN_OFF, Reason.APPROVED, False),
        ("asked", ManagementFunction.OTHER, Reason.UNSUPPORTED_OPERATION, False),
    ]
    dialogue = Dialogue()
    for _, function, reason, signed_on in steps:
        assert dialogue.asked(function) is reason
        assert dialogue.signed_on is signed_on


def test_dialogue_matches_by_stan_once() -> None:
    dialogue = Dialogue()
    stan = dialogue.ask(ManagementFunction.SIGN_ON)
    assert dialogue.answered("999999", approved=True) is None
    assert not dialogue.signed_on
    assert dialogue.answered(stan, approved=True) is ManagementFunction.SIGN_ON
    assert dialogue.signed_on
    assert dialogue.answered(stan, approved=True) is None
    dialogue.ask(ManagementFunction.SIGN_OFF)
    assert not dialogue.signed_on  # once it is sent: whatever the peer says to it, we take no more
    refused = dialogue.ask(ManagementFunction.SIGN_ON)
    assert dialogue.answered(refused, approved=False) is ManagementFunction.SIGN_ON
    assert not dialogue.signed_on
    echoes = [dialogue.ask(ManagementFunction.ECHO) for _ in range(1000)]
    assert len(set(echoes)) == 1000
    assert dialogue.answered(echoes[0], approved=True) is None  # forgotten: only so many are kept
    assert dialogue.answered(echoes[-1], approved=True) is ManagementFunction.ECHO
