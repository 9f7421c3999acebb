"""SIGTERM: what is in flight is answered, sessions are signed off, and the next start goes on with the same books."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import trio

from simulators.load import LoadSettings, run_load
from simulators.network import Habits
from switch.wire.framing import Framer
from switch.wire.inbound import Inbound, ManagementFunction
from tests.chaos.acquirer import CODECS, booked_twice, differences, maker_for, missing, network_to, new_cards
from tests.chaos.daemon import Daemon, running, until
from tests.chaos.row_lock import locked_row
from tests.house import House

IN_FLIGHT = 20
DIALECT = "iso87_ascii"


class BareSession:
    """A session whose every message the test sees, the switch's own sign-off too."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.codec = CODECS[DIALECT]
        self._framer = Framer(self.codec.dialect.framing, 8192)
        self._came: list[bytes] = []

    async def send(self, payload: bytes) -> None:
        await self.stream.send_all(self._framer.encode(payload))

    async def next(self) -> Inbound | None:
        """The next message, or None at the end of the stream."""
        with trio.fail_after(10):
            while not self._came:
                data = await self.stream.receive_some(65536)
                if not data:
                    return None
                self._came += self._framer.feed(data)
        return self.codec.decode(self._came.pop(0), network=DIALECT, received_at=datetime.now(UTC))


async def test_what_is_in_flight_is_answered_before_the_sign_off(house: House) -> None:
    card = house.new_card(balance_minor=100_000)
    maker = maker_for(card)
    with running(Daemon(house, "drained", deadline_seconds=8)) as daemon:
        session = BareSession(await trio.open_tcp_stream("127.0.0.1", daemon.ports[DIALECT]))
        async with session.stream:
            sign_on = session.codec.encode_management(ManagementFunction.SIGN_ON, stan="000001", now=datetime.now(UTC))
            await session.send(sign_on)
            answer = await session.next()
            assert answer is not None and answer.fields["39"] == "00"
            with locked_row(house, card) as lock:
                sent = [maker.authorization("card", 100).fields for _ in range(IN_FLIGHT)]
                for fields in sent:
                    await session.send(session.codec.encode(fields))
                in_flight = f'switch_network_in_flight{{network="{DIALECT}"}} {IN_FLIGHT}.0'
                await until(lambda: in_flight in daemon.page("/metrics")[1])
                daemon.ask_to_stop()
                await until(lambda: daemon.page("/readyz")[0] != 200)
                # New work is refused by name while the old is finished.
                late = maker.authorization("card", 100).fields
                await session.send(session.codec.encode(late))
                refused = await session.next()
                assert refused is not None and refused.fields["11"] == late["11"] and refused.fields["39"] == "91"
                lock.release()
            answers = [await session.next() for _ in range(IN_FLIGHT)]
            assert [one and (one.fields["11"], one.fields["39"]) for one in answers] == [(f["11"], "00") for f in sent]
            sign_off = await session.next()
            assert sign_off is not None and sign_off.management is not None
            assert sign_off.management.function is ManagementFunction.SIGN_OFF
            await session.send(session.codec.encode_management_answer(sign_off))
            assert await session.next() is None
        assert daemon.ended() == 0
    assert house.journal(card) == [("hold", 100)] * IN_FLIGHT
    assert house.faults() == []


async def test_stopped_and_started_under_load_the_books_agree(house: House) -> None:
    cards = new_cards(house, 4)
    habits = Habits(answer_timeout=4.0, retry_after=0.2, reconnect_after=0.05)
    load = LoadSettings(window=16, seconds=300, seed=3, cards=tuple(cards))
    with running(Daemon(house, "restarted")) as daemon:
        async with network_to([daemon], cards, habits=habits, links=2) as network:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run_load, network, load)
                for _ in range(2):
                    target = network.answered + 150
                    await until(partial(network.has_answered, target))
                    assert await trio.to_thread.run_sync(daemon.stop) == 0
                    await trio.to_thread.run_sync(daemon.start)
                nursery.cancel_scope.cancel()
            with trio.fail_after(90):
                await network.settled()

            # Whoever was signed on got an answer to everything that the daemon had taken.
            assert missing(house, network, cards) == []
            assert all(booked_twice(house, card) == [] for card in cards.values())
            assert differences(house, network, cards) == []
            assert house.faults() == []
        assert daemon.stop() == 0
