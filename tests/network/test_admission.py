"""Who may connect, and how many: the allow-list, places in all and by address, and what is logged of the rest."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from switch.network.admission import Admission, Refusal
from switch.network.log_meter import LogMeter
from switch.network.settings import ListenerSettings
from tests.network.support import House, serving, until

HERE, ELSEWHERE = "127.0.0.2", "127.0.0.3"


def admission(**changes: object) -> Admission:
    return Admission(ListenerSettings(dialect="iso87_ascii", host="127.0.0.1", port=0, **changes))  # type: ignore[arg-type]  # a table's row


async def test_only_allowed_addresses_get_a_session() -> None:
    with capture_logs() as logs:
        async with serving(House(), allow=("10.0.0.0/8", HERE)) as served:
            assert await (await served.connect(ELSEWHERE)).is_closed()
            await (await served.connect(HERE)).sign_on()
            assert await (await served.connect("127.0.0.1")).is_closed()
            assert served.stats.addresses_refused == 2
            assert served.stats.sessions_refused == 0
            assert served.stats.sessions_opened == 1
    refused = [each for each in logs if each["event"] == "session_refused"]
    assert [(each["reason"], each["peer"].split(":")[0]) for each in refused] == [
        ("address", ELSEWHERE),
        ("address", "127.0.0.1"),
    ]


async def test_one_address_can_not_take_all_places() -> None:
    house = House()
    with capture_logs() as logs:
        async with serving(house, sessions_max=3, sessions_per_peer_max=2) as served:
            greedy = [await served.connect(HERE) for _ in range(2)]
            for peer in greedy:
                await peer.sign_on()
            assert await (await served.connect(HERE)).is_closed()
            other = await served.connect(ELSEWHERE)
            await other.sign_on()
            assert await (await served.connect("127.0.0.4")).is_closed()
            assert served.stats.sessions_refused == 2
            greedy[0].reset()
            await until(lambda: served.stats.sessions_open == 2)
            await (await served.connect(HERE)).sign_on()
            await other.say(f11="000001")
            await house.approve_next()
            assert await other.hears_code() == ("000001", "00")
    assert [each["reason"] for each in logs if each["event"] == "session_refused"] == [
        "sessions_per_peer_max",
        "sessions_max",
    ]


async def test_a_scanner_is_counted_and_hardly_logged() -> None:
    with capture_logs() as logs:
        async with serving(House(), allow=(HERE,)) as served:
            for _ in range(50):
                await served.stream(ELSEWHERE)
            await until(lambda: served.stats.addresses_refused == 50)
    assert [each["event"] for each in logs].count("session_refused") == 3


# ── the parts


@pytest.mark.parametrize(
    ("allow", "host", "allowed"),
    [
        ((), "203.0.113.9", True),
        (("10.0.0.0/8",), "10.255.255.255", True),
        (("10.0.0.0/8",), "11.0.0.0", False),
        (("192.0.2.7",), "192.0.2.7", True),
        (("192.0.2.7",), "192.0.2.8", False),
        (("2001:db8::/32",), "2001:db8::7", True),
        (("2001:db8::/32",), "2001:db9::7", False),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("0.0.0.0/0",), "2001:db8::7", False),
        (("::/0",), "10.0.0.1", False),
        (("2001:db8::/32", "10.0.0.0/8"), "10.0.0.1", True),
    ],
)
def test_the_allow_list(allow: tuple[str, ...], host: str, allowed: bool) -> None:
    assert admission(allow=allow).refusal(host) is (None if allowed else Refusal.ADDRESS)


def test_places_are_taken_and_given_back() -> None:
    places = admission(sessions_max=3, sessions_per_peer_max=2)
    for host in ("a", "a", "b"):
        assert places.refusal(host) is None if host != "b" else True
        places.enter(host)
        places.check_invariants()
    assert places.refusal("a") is places.refusal("c") is Refusal.SESSIONS_MAX
    places.leave("b")
    assert places.refusal("a") is Refusal.SESSIONS_PER_PEER_MAX
    assert places.refusal("c") is None
    for _ in range(2):
        places.leave("a")
    places.check_invariants()
    assert places.taken == 0


def test_log_meter_lets_a_few_lines_through_and_then_one_a_minute() -> None:
    meter = LogMeter(0.0)
    written = [meter.due("a", second) for second in range(600)]
    assert [each for each in written if each is not None][:4] == [0, 0, 0, 57]
    assert sum(each is not None for each in written) <= 3 + 10
    assert meter.due("b", 600.0) == 0


def test_log_meter_tells_what_it_has_left_out_since_the_last_line() -> None:
    meter = LogMeter(0.0)
    for _ in range(5):
        meter.due("a", 0.0)
    meter.due("b", 0.0)
    assert meter.left_out == {"a": 2}
    assert meter.due("a", 60.0) == 2
    assert meter.left_out == {}


def test_log_meter_is_bounded_over_all_addresses_too() -> None:
    meter = LogMeter(0.0)
    assert sum(meter.due(f"address {number}", 1.0) is not None for number in range(10_000)) <= 61
    assert len(meter) == 1024
