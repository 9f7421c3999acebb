"""What the acquirer network does when there is no answer, against a switch of a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import trio

from simulators.books import compare
from simulators.cards import load_cards
from simulators.messages import as_repeat
from simulators.network import AcquirerNetwork, Endpoint, Habits
from tests.simulators.responder import Fields, Responder, answer_to, dialect, until

SOON = Habits(answer_timeout=0.1, retry_after=0.01, reconnect_after=0.01)
Script = Callable[[Fields], Fields | None]


class Silent:
    """Answers nothing while ``asleep`` holds of a message, and 00 to the rest."""

    def __init__(self, asleep: Callable[[Fields], bool]) -> None:
        self.asleep = asleep

    def __call__(self, fields: Fields) -> Fields | None:
        return None if self.asleep(fields) else answer_to(fields)


async def started(nursery: trio.Nursery, script: Script, habits: Habits = SOON) -> tuple[Responder, AcquirerNetwork]:
    switch = Responder(script)
    await nursery.start(switch.run)
    endpoint = Endpoint(dialect(), "127.0.0.1", switch.port, links=2)
    network = AcquirerNetwork((endpoint,), load_cards(), habits=habits)
    await nursery.start(network.run)
    return switch, network


def types(switch: Responder) -> list[str]:
    return [fields["t"] for fields in switch.received]


def held(network: AcquirerNetwork, alias: str = "plain-0") -> int:
    return network.books.figures(alias).held_minor


def sound(network: AcquirerNetwork, alias: str = "plain-0") -> bool:
    """Whether the books equal an account that shows what the books say: so nothing is in doubt or contradicted."""
    figures = network.books.figures(alias)
    shown = {
        "currency": "JPY",
        "posted": figures.posted_minor,
        "held": figures.held_minor,
        "available": figures.posted_minor - figures.held_minor,
    }
    return compare(network.books, {alias: shown}) == []


async def test_answers_are_booked(nursery: trio.Nursery) -> None:
    _, network = await started(nursery, lambda fields: answer_to(fields, "10", f4="000000000300"))
    outcome = await network.request(network.makers["iso87_ascii"].authorization("plain-0", 500))
    assert (outcome.code, outcome.approved_minor, outcome.approved) == ("10", 300, True)
    assert held(network) == 300
    assert load_cards()["plain-0"].pan.reveal() not in repr(outcome)
    nursery.cancel_scope.cancel()


async def test_no_answer_is_reversed_and_repeated_until_answered(nursery: trio.Nursery) -> None:
    deaf = {"0100", "0400", "0420", "0421"}
    silent = Silent(lambda fields: fields["t"] in deaf)
    switch, network = await started(nursery, silent)
    outcome = await network.request(network.makers["iso87_ascii"].authorization("plain-0", 500))
    assert (outcome.code, outcome.stood_in) == (None, False)
    await until(lambda: "0421" in types(switch))
    deaf.remove("0421")
    with trio.fail_after(5):
        await network.settled()
    assert types(switch)[:4] == ["0100", "0400", "0420", "0421"]
    assert set(types(switch)[4:]) <= {"0421"}
    keys = {(fields["7"], fields["11"], fields["37"], fields["90"]) for fields in switch.received[1:]}
    assert len(keys) == 1, "every form has the same key elements"
    assert held(network) == 0
    assert sound(network)
    nursery.cancel_scope.cancel()


async def test_it_stands_in_up_to_its_limit(nursery: trio.Nursery) -> None:
    habits = Habits(answer_timeout=0.1, retry_after=0.01, stand_in_max_minor=1_000)
    switch, network = await started(nursery, Silent(lambda fields: fields["t"] in ("0100", "0120")), habits)
    make = network.makers["iso87_ascii"]
    assert (await network.request(make.authorization("plain-0", 1_000))).stood_in
    assert not (await network.request(make.authorization("plain-1", 1_001))).stood_in
    with trio.fail_after(5):
        await network.settled()
    counted = Counter(types(switch))
    assert counted == {"0100": 2, "0120": 1, "0121": 1, "0400": 1}
    assert (held(network, "plain-0"), held(network, "plain-1")) == (1_000, 0)
    assert not list(network.books.doubts())
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("stand_in_on_91", "forwarded", "left"), [(False, [], 0), (True, ["0120"], 700)])
async def test_91_is_declined_or_stood_in_for(
    nursery: trio.Nursery, stand_in_on_91: bool, forwarded: list[str], left: int
) -> None:
    habits = Habits(answer_timeout=2, retry_after=0.01, stand_in_max_minor=1_000, stand_in_on_91=stand_in_on_91)
    switch, network = await started(nursery, lambda f: answer_to(f, "91" if f["t"] == "0100" else "00"), habits)
    outcome = await network.request(network.makers["iso87_ascii"].authorization("plain-0", 700))
    assert (outcome.code, outcome.approved, outcome.stood_in) == ("91", False, stand_in_on_91)
    await network.settled()
    assert types(switch) == ["0100", *forwarded]
    assert held(network) == left
    assert sound(network)
    nursery.cancel_scope.cancel()


async def test_a_kill_is_survived_and_everything_is_told_afterwards(nursery: trio.Nursery) -> None:
    habits = Habits(answer_timeout=5, retry_after=0.01, reconnect_after=0.01, stand_in_max_minor=100)
    switch, network = await started(nursery, lambda _fields: None, habits)
    make = network.makers["iso87_ascii"]
    outcomes: list[bool] = []

    async def one(amount: int) -> None:
        outcomes.append((await network.request(make.authorization("plain-0", amount))).stood_in)

    with trio.fail_after(5):
        async with trio.open_nursery() as asking:
            for amount in (50, 500, 60, 600):
                asking.start_soon(one, amount)
            await until(lambda: len(switch.received) >= 4)
            switch.kill()  # nobody waits for the time limit: the links broke
        assert sorted(outcomes) == [False, False, True, True]
        await until(lambda: not network.live_links("iso87_ascii"))
        # Away: a small purchase is stood in for, a large one declined, and a reversal kept. None has been sent.
        assert (await network.request(make.authorization("plain-0", 70))).stood_in
        assert not (await network.request(make.authorization("plain-0", 700))).stood_in
        assert network.stored == 5
        again = Responder()
        await nursery.start(again.run)
        network.moved("iso87_ascii", "127.0.0.1", again.port)
        await network.settled()
    assert sorted(types(again)) == ["0120", "0120", "0120", "0400", "0400"]
    assert held(network) == 50 + 60 + 70
    assert sound(network)
    assert network.counts["links lost"] == 2
    nursery.cancel_scope.cancel()


async def test_an_unanswered_increment_is_taken_back_to_what_was_held(nursery: trio.Nursery) -> None:
    switch, network = await started(nursery, Silent(lambda fields: fields["t"] == "0100" and "60" in fields))
    make = network.makers["iso87_ascii"]
    first = make.authorization("plain-0", 500)
    await network.request(first)
    await network.request(make.increment(first, 500))
    await network.settled()
    reversal = switch.received[-1]
    assert (reversal["t"], reversal["95"][:12]) == ("0400", "000000000500")
    assert held(network) == 500
    assert sound(network)
    nursery.cancel_scope.cancel()


async def test_an_unanswered_repeat_and_an_unanswered_inquiry_need_nothing(nursery: trio.Nursery) -> None:
    switch, network = await started(nursery, Silent(lambda fields: fields["t"] == "0101" or fields["3"][0] == "3"))
    make = network.makers["iso87_ascii"]
    first = make.authorization("plain-0", 500)
    await network.request(first)
    await network.request(as_repeat(first))
    await network.request(make.inquiry("plain-0"))
    await network.settled()
    assert types(switch) == ["0100", "0101", "0100"]
    assert held(network) == 500
    assert sound(network)
    nursery.cancel_scope.cancel()


async def test_a_refused_reversal_is_a_difference_and_not_repeated_for_ever(nursery: trio.Nursery) -> None:
    _, network = await started(nursery, lambda f: None if f["t"] == "0100" else answer_to(f, "12"))
    await network.request(network.makers["iso87_ascii"].authorization("plain-0", 500))
    with trio.fail_after(5):
        await network.settled()
    assert not sound(network)
    assert [one.shown for one in network.books.contradictions] == ["12"]
    nursery.cancel_scope.cancel()


async def test_a_full_store_sends_nothing_more(nursery: trio.Nursery) -> None:
    habits = Habits(answer_timeout=5, retry_after=0.01, stored_max=1)
    switch, network = await started(nursery, lambda _fields: None, habits)
    make = network.makers["iso87_ascii"]
    nursery.start_soon(network.request, make.authorization("plain-0", 1))
    await until(lambda: bool(switch.received))
    outcome = await network.request(make.authorization("plain-0", 2))
    assert outcome.code is None
    assert len(switch.received) == 1
    nursery.cancel_scope.cancel()


async def test_a_silent_peer_is_found_by_echo_and_dialled_again(nursery: trio.Nursery) -> None:
    habits = Habits(answer_timeout=0.1, reconnect_after=0.01, echo_every=0.02)
    switch, network = await started(nursery, answer_to, habits)
    with trio.fail_after(5):
        await until(lambda: [fields["70"] for fields in switch.managed].count("301") >= 2)
        assert network.counts["links lost"] == 0
        switch.sign_on_code = "96"  # echoes are answered with it too
        await until(lambda: network.counts["connections refused"] >= 2)
        switch.sign_on_code = "00"
        await until(lambda: network.live_links("iso87_ascii") >= 2)
    nursery.cancel_scope.cancel()
