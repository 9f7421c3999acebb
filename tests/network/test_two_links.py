"""Two links of one network that are active at once: an answer leaves on the link on which its request came."""

from __future__ import annotations

import functools

import trio

from switch.network.arrival import Delivery
from switch.network.dialer import run_dialer
from switch.network.settings import DialerSettings
from tests.network.support import PATIENCE_SECONDS, House, Peer, approval, serving, until
from tests.wire.support import dialect


async def test_two_sessions_of_a_listener_and_a_dialled_one() -> None:
    house = House()
    async with serving(house, network="blue") as served, trio.open_nursery() as nursery:
        (calling,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with calling:
            await nursery.start(
                functools.partial(
                    run_dialer,
                    DialerSettings(
                        dialect="iso87_ascii",
                        network="blue",
                        host="127.0.0.1",
                        port=calling.socket.getsockname()[1],
                        initiate_sign_on=False,
                    ),
                    house.intake,
                    dialect=dialect("iso87_ascii"),
                    stats=served.stats,
                    drain=served.drain,
                )
            )
            with trio.fail_after(PATIENCE_SECONDS):
                dialled = Peer(await calling.accept())
        await dialled.sign_on()
        links = [await served.signed_on(), dialled, await served.signed_on()]
        assert served.stats.sessions_signed_on == 3

        # The links use the same STANs, as two links of one network do that count on their own.
        expected: list[list[str]] = [[] for _ in links]
        for number in range(1, 9):
            for index, link in enumerate(links):
                stan = f"{number:06d}"
                # What tells them apart is the retrieval reference, which comes back in the answer.
                await link.say(f11=stan, f37=f"{index}{number:011d}")
                expected[index].append(f"{index}{number:011d}")
        arrivals = [await house.next() for _ in range(24)]
        # Answered in another order than they came, across the links.
        for arrival in sorted(arrivals, key=lambda each: (each.request.stan, each.session), reverse=True):
            assert arrival.answer(approval()) is Delivery.SENT
        for index, link in enumerate(links):
            heard = [(await link.hears())["37"] for _ in range(8)]
            assert sorted(heard) == expected[index]

        # One of them goes: what came on it is not answered on another.
        await links[0].say(f11="000100")
        lost = await house.next()
        links[0].reset()
        await until(lambda: served.stats.sessions_open == 2)
        assert lost.answer(approval()) is Delivery.GONE
        for link in links[1:]:
            await link.hears_nothing_more()
        dialled.stream.socket.close()
        nursery.cancel_scope.cancel()
