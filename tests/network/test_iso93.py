"""Sign-on and echo of a network that manages itself in another way: 1804, function codes in DE24, accepted with 800."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.network.support import House, Peer, serving, until
from tests.network.test_dialer import dialled

NAME = "iso93_contactless"


async def answer(peer: Peer, asked: dict[str, str], code: str = "800", function: str | None = None) -> None:
    echoed = {key: asked[key] for key in ("7", "11", "12", "24")}
    await peer.send(peer.frame({**echoed, "t": "1814", "39": code, **({} if function is None else {"24": function})}))


async def test_our_sign_on_is_accepted_with_800() -> None:
    async with dialled(House(), NAME) as network:
        peer = await network.answered_call()
        asked = await peer.hears()
        assert (asked["t"], asked["24"]) == ("1804", "801")
        await answer(peer, asked)
        await until(lambda: network.stats.sessions_signed_on)
        peer.stream.socket.close()


@pytest.mark.parametrize("code", ["000", "902"])
async def test_anything_else_refuses_it(code: str) -> None:
    async with dialled(House(), NAME) as network:
        peer = await network.answered_call()
        await answer(peer, await peer.hears(), code)
        assert await peer.is_closed()
        assert network.stats.sessions_signed_on == 0
        peer.stream.socket.close()


async def test_an_answer_to_another_function_is_not_its_answer() -> None:
    with capture_logs() as logs:
        async with dialled(House(), NAME) as network:
            peer = await network.answered_call()
            asked = await peer.hears()
            await answer(peer, asked, function="831")
            await until(lambda: network.stats.answers_unexpected)
            assert network.stats.sessions_signed_on == 0
            await answer(peer, asked)
            await until(lambda: network.stats.sessions_signed_on)
            peer.stream.socket.close()
    (near,) = (log for log in logs if log["event"] == "answer_unexpected")
    assert (near["nearest"], near["differs"]) == ("1804 000001 sign_on", "DE24")


async def test_their_sign_on_opens_the_house() -> None:
    async with serving(House(), NAME) as served:
        peer = await served.connect()
        for function, signed_on in (("801", 1), ("831", 1), ("802", 0)):
            await peer.send(peer.frame({"t": "1804", "7": "0615030405", "11": "000001", "24": function}))
            heard = await peer.hears()
            assert (heard["t"], heard["39"], heard["24"]) == ("1814", "800", function)
            assert served.stats.sessions_signed_on == signed_on
        await peer.send(peer.frame({"t": "1804", "7": "0615030405", "11": "000001", "24": "811"}))
        assert (await peer.hears())["39"] == "902"
