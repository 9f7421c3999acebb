"""The adapter against the simulator over real sockets: what it says of each fault, and what the provider's books say."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpcore
import msgspec
import pytest
import trio

from simulators.funding_source.faults import Fault, FaultKind
from switch.contracts.errors import ConfigurationError
from switch.contracts.funding import (
    Charge,
    Charged,
    Declined,
    DeclineReason,
    NotCharged,
    Query,
    Unavailable,
    Unknown,
    Void,
    Voided,
    VoidRefusal,
    VoidRefused,
)
from switch.funding.http import _FAILED, HttpProvider, nothing_was_sent, open_http_provider
from switch.funding.signature import signature
from tests.funding.stage import HOST, KEY, Stage, Tls, make_tls, ordered, provider_settings, staged

CHARGE = Charge(key="a-1", source="tok-1", amount_minor=1_250, currency="JPY")
QUERY = Query(key="a-1.query.2", charge_key="a-1")
VOID = Void(key="a-1.void", charge_key="a-1", reference="ch-00000001")
CHARGED = Charged("ch-00000001", 1_250, "JPY")
UNKNOWN = "unknown"
LATER = "unavailable"

ROWS: list[tuple[str, Fault, object, int]] = [
    # call, fault, what the adapter says, what the provider has kept in the end
    ("charge", Fault(kind=FaultKind.NONE), CHARGED, 1_250),
    ("charge", Fault(kind=FaultKind.DECLINE), Declined(DeclineReason.INSUFFICIENT_FUNDS), 0),
    ("charge", Fault(kind=FaultKind.DECLINE, reason="over_limit"), Declined(DeclineReason.OVER_LIMIT), 0),
    ("charge", Fault(kind=FaultKind.DECLINE, reason="moon_phase"), Declined(DeclineReason.REFUSED), 0),
    ("charge", Fault(kind=FaultKind.SLOW, seconds=0.1), CHARGED, 1_250),
    ("charge", Fault(kind=FaultKind.SLOW, seconds=30), UNKNOWN, 0),
    ("charge", Fault(kind=FaultKind.SILENT_BEFORE), UNKNOWN, 0),
    ("charge", Fault(kind=FaultKind.SILENT_AFTER), UNKNOWN, 1_250),
    ("charge", Fault(kind=FaultKind.ERROR_BEFORE), UNKNOWN, 0),
    ("charge", Fault(kind=FaultKind.ERROR_AFTER), UNKNOWN, 1_250),
    ("charge", Fault(kind=FaultKind.RESET_BEFORE), UNKNOWN, 0),
    ("charge", Fault(kind=FaultKind.RESET_AFTER), UNKNOWN, 1_250),
    ("charge", Fault(kind=FaultKind.BUSY), LATER, 0),
    ("charge", Fault(kind=FaultKind.DUPLICATE), CHARGED, 1_250),
    (
        "charge",
        Fault(kind=FaultKind.WRONG_AMOUNT, call="charge", off_by_minor=7),
        Charged("ch-00000001", 1_257, "JPY"),
        1_257,
    ),
    ("charge", Fault(kind=FaultKind.UNKNOWN), UNKNOWN, 1_250),
    ("charge", Fault(kind=FaultKind.GARBLED), UNKNOWN, 1_250),
    ("query", Fault(kind=FaultKind.NONE), CHARGED, 1_250),
    ("query", Fault(kind=FaultKind.UNKNOWN), UNKNOWN, 1_250),
    ("query", Fault(kind=FaultKind.SILENT_BEFORE), UNKNOWN, 1_250),
    ("query", Fault(kind=FaultKind.ERROR_AFTER), UNKNOWN, 1_250),
    ("query", Fault(kind=FaultKind.RESET_BEFORE), UNKNOWN, 1_250),
    ("query", Fault(kind=FaultKind.BUSY), UNKNOWN, 1_250),
    ("query", Fault(kind=FaultKind.GARBLED), UNKNOWN, 1_250),
    ("query", Fault(kind=FaultKind.DUPLICATE), CHARGED, 1_250),
    ("void", Fault(kind=FaultKind.NONE), Voided("ch-00000001"), 0),
    ("void", Fault(kind=FaultKind.DECLINE), VoidRefused(VoidRefusal.TOO_LATE), 1_250),
    ("void", Fault(kind=FaultKind.DECLINE, reason="not_supported"), VoidRefused(VoidRefusal.NOT_SUPPORTED), 1_250),
    ("void", Fault(kind=FaultKind.DECLINE, reason="moon_phase"), UNKNOWN, 1_250),
    ("void", Fault(kind=FaultKind.UNKNOWN), UNKNOWN, 1_250),
    ("void", Fault(kind=FaultKind.SILENT_BEFORE), UNKNOWN, 1_250),
    ("void", Fault(kind=FaultKind.SILENT_AFTER), UNKNOWN, 0),
    ("void", Fault(kind=FaultKind.ERROR_AFTER), UNKNOWN, 0),
    ("void", Fault(kind=FaultKind.RESET_AFTER), UNKNOWN, 0),
    ("void", Fault(kind=FaultKind.BUSY), UNKNOWN, 1_250),
    ("void", Fault(kind=FaultKind.GARBLED), UNKNOWN, 0),
]


def calls(adapter: HttpProvider) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "charge": lambda: adapter.charge(CHARGE),
        "query": lambda: adapter.query(QUERY),
        "void": lambda: adapter.void(VOID),
    }


SHORT = {"connect_seconds": 0.3, "answer_seconds": 0.9}
NEVER_ANSWERED = {FaultKind.SILENT_BEFORE, FaultKind.SILENT_AFTER, FaultKind.SLOW}


async def one_row(directory: Path, number: int, tls: Tls | None, places: trio.CapacityLimiter) -> str | None:
    call, fault, said, kept = ROWS[number]
    here = Fault(**{**msgspec.structs.asdict(fault), "call": call})
    limits = SHORT if said == UNKNOWN and fault.kind in NEVER_ANSWERED else {}
    async with places, staged(directory, here, tls=tls, books=f"{number}.jsonl", **limits) as stage:
        if call != "charge":
            stage.provider.carry_out(ordered(CHARGE))
        await connect(stage, "void" if call == "query" else "query")
        got = await calls(stage.adapter)[call]()
        for _ in range(1_000):  # a deed may come after the adapter has given up
            if stage.kept_minor == kept:
                break
            await trio.sleep(0.02)
        agreed = {UNKNOWN: isinstance(got, Unknown), LATER: isinstance(got, Unavailable)}.get(str(said), got == said)
        return None if agreed and stage.kept_minor == kept else f"{call} {fault.kind}: {got}, kept {stage.kept_minor}"


async def connect(stage: Stage, call: str) -> None:
    """Short limits are for answers that never come; a busy machine may take longer to shake hands."""
    for number in range(100):
        if call == "query":
            said: object = await stage.adapter.query(Query(key=f"warm.{number}", charge_key="warm"))
        else:
            said = await stage.adapter.void(Void(key=f"warm.{number}", charge_key="warm", reference="none"))
        if not isinstance(said, Unknown):
            return


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_what_is_said_of_every_fault(tmp_path: Path, encrypted: bool) -> None:
    tls = make_tls(tmp_path) if encrypted else None
    failed: list[str | None] = []
    places = trio.CapacityLimiter(6)

    async def play(number: int) -> None:
        failed.append(await one_row(tmp_path, number, tls, places))

    async with trio.open_nursery() as nursery:
        for number in range(len(ROWS)):
            nursery.start_soon(play, number)
    assert [one for one in failed if one] == []
    assert len(failed) == len(ROWS)


def test_every_fault_of_the_simulator_has_a_row() -> None:
    assert {fault.kind for call, fault, _, _ in ROWS if call == "charge"} == set(FaultKind)


# ── before anything was sent

EVERY_ERROR = [error for error in vars(httpcore).values() if isinstance(error, type) and issubclass(error, Exception)]


def test_every_error_of_the_client_is_taken_for_sent_but_these() -> None:
    harmless = {error.__name__ for error in EVERY_ERROR if nothing_was_sent(error.__new__(error))}
    assert harmless == {"ConnectError", "ConnectTimeout", "PoolTimeout"}
    assert len(EVERY_ERROR) > 10
    assert [error for error in EVERY_ERROR if not issubclass(error, _FAILED)] == []  # none of them ends a task


async def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind((HOST, 0))  # bound and not listening: refused
        async with open_http_provider(provider_settings(tmp_path, bound.getsockname()[1])) as adapter:
            assert await adapter.charge(CHARGE) == Unavailable("ConnectError")
            assert await adapter.query(QUERY) == Unknown("ConnectError")
            assert await adapter.void(VOID) == Unknown("ConnectError")


async def test_a_provider_whose_machine_does_not_answer(tmp_path: Path) -> None:
    """A listener whose queue is full drops what knocks."""
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        port = full.getsockname()[1]
        crowd = [socket.socket() for _ in range(8)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex((HOST, port))
        try:
            settings = provider_settings(tmp_path, port, **SHORT)
            async with open_http_provider(settings) as adapter:
                assert await adapter.charge(CHARGE) == Unavailable("ConnectTimeout")
        finally:
            for one in crowd:
                one.close()


async def test_a_certificate_of_another_authority_or_name_is_no_provider(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for tls in (
        make_tls(tmp_path)._replace(ca=make_tls(tmp_path / "other").ca),
        make_tls(tmp_path, "elsewhere.example"),
    ):
        async with staged(tmp_path, tls=tls) as stage:
            assert await stage.adapter.charge(CHARGE) == Unavailable("ConnectError")
            assert stage.kept_minor == 0


async def test_all_connections_are_taken(tmp_path: Path) -> None:
    silent = Fault(kind=FaultKind.SILENT_BEFORE, count=1)
    async with staged(tmp_path, silent, connections_max=1, **SHORT) as stage, trio.open_nursery() as nursery:
        said: list[object] = []

        async def first() -> None:
            said.append(await stage.adapter.charge(CHARGE))

        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        other = Charge(key="a-2", source="tok-1", amount_minor=1, currency="JPY")
        assert await stage.adapter.charge(other) == Unavailable("PoolTimeout", asked=False)
    assert [type(one) for one in said] == [Unknown]


# ── keys, signatures, connections


async def test_a_key_takes_money_once_and_gets_the_same_answer(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert [await stage.adapter.charge(CHARGE) for _ in range(3)] == [CHARGED] * 3
        assert stage.kept_minor == 1_250
        other = Charge(key="a-1", source="tok-1", amount_minor=9, currency="JPY")
        assert await stage.adapter.charge(other) == Unknown("status 409, no final word")
        assert [await stage.adapter.void(VOID) for _ in range(2)] == [Voided("ch-00000001")] * 2
        assert await stage.adapter.query(QUERY) == NotCharged()
        assert stage.kept_minor == 0


async def test_a_query_closes_a_key_that_never_came(tmp_path: Path) -> None:
    """The charge is long on its way, the adapter gives up, and the query overtakes it."""
    slow = Fault(kind=FaultKind.SLOW, call="charge", seconds=3, count=1)
    async with staged(tmp_path, slow, **SHORT) as stage:
        assert isinstance(await stage.adapter.charge(CHARGE), Unknown)
        assert await stage.adapter.query(QUERY) == NotCharged()
        assert (
            stage.provider.carry_out(ordered(CHARGE)).body == b'{"key":"a-1","result":"declined","reason":"key_closed"}'
        )
        assert await stage.adapter.charge(CHARGE) == Declined(DeclineReason.KEY_CLOSED)
        assert stage.kept_minor == 0


async def test_a_void_of_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert await stage.adapter.void(VOID) == VoidRefused(VoidRefusal.NO_SUCH_CHARGE)


@pytest.mark.parametrize("change", ["secret", "key_id", "clock"])
async def test_a_call_that_is_not_signed_by_us_now_takes_nothing(tmp_path: Path, change: str) -> None:
    async with staged(tmp_path) as stage:
        if change == "secret":
            stage.adapter._secret = bytes(32)
        elif change == "key_id":
            stage.provider._account = stage.provider._account._replace(key_id="other")
        else:
            stage.adapter._clock = lambda: time.time() - 301
        assert await stage.adapter.charge(CHARGE) == Unavailable("status 401")
        assert stage.kept_minor == 0


def test_the_signature_of_the_readme() -> None:
    """Worked out with another implementation: printf … | openssl dgst -sha256 -mac HMAC."""
    made = signature(
        KEY,
        method="POST",
        path="/v1/charges",
        timestamp="1775012400",
        key="a-1",
        body=b'{"source":"tok-1","amount_minor":1250,"currency":"JPY"}',
    )
    assert made == "17638818d9ddeaf75eb4b020b5966f6a3f70c1b28c03b64a25409d91b0eb3a94"


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_connections_are_kept(tmp_path: Path, encrypted: bool) -> None:
    tls = make_tls(tmp_path) if encrypted else None
    async with staged(tmp_path, tls=tls) as stage:
        ports = set()
        for number in range(5):
            made = Charge(key=f"a-{number}", source="tok-1", amount_minor=10, currency="JPY")
            assert isinstance(await stage.adapter.charge(made), Charged)
            (connection,) = stage.adapter._connections.idle
            ports.add(id(connection))
        assert len(ports) == 1


async def test_a_connection_that_nobody_uses_for_long_is_closed(tmp_path: Path) -> None:
    slow = Fault(kind=FaultKind.SLOW, seconds=0.2, count=2)
    async with staged(tmp_path, slow, idle_seconds=0.01) as stage:

        async def charge(number: int) -> None:
            made = Charge(key=f"a-{number}", source="tok-1", amount_minor=10, currency="JPY")
            assert isinstance(await stage.adapter.charge(made), Charged)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(charge, 1)
            nursery.start_soon(charge, 2)
        assert len(stage.adapter._connections.idle) == 2
        await trio.sleep(0.05)
        await charge(3)
        assert len(stage.adapter._connections.idle) == 1
        await charge(4)


async def test_a_connection_that_the_provider_has_closed_is_not_used_again(tmp_path: Path) -> None:
    """A call on it would be lost, and count as sent."""
    served = 0

    async def peer(stream: trio.SocketStream) -> None:
        nonlocal served
        served += 1
        await stream.receive_some(65_536)
        body = b'{"key":"a-1","result":"charged","reference":"ch-00000001","amount_minor":1250,"currency":"JPY"}'
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        nursery.start_soon(trio.serve_listeners, peer, listeners)
        settings = provider_settings(tmp_path, listeners[0].socket.getsockname()[1])
        async with open_http_provider(settings) as adapter:
            for number in (1, 2, 3):
                assert await adapter.charge(CHARGE) == CHARGED
                assert served == number
                (connection,) = adapter._connections.idle
                for _ in range(1_000):  # its goodbye is on the way
                    if connection.has_expired():
                        break
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_a_second_answer_is_not_taken_for_the_next_calls(tmp_path: Path) -> None:
    async with staged(tmp_path, Fault(kind=FaultKind.DUPLICATE)) as stage:
        for number in range(1, 6):
            made = Charge(key=f"a-{number}", source="tok-1", amount_minor=number, currency="JPY")
            said = await stage.adapter.charge(made)
            assert isinstance(said, Unknown) or said == Charged(f"ch-{number:08d}", number, "JPY")


# ── answers that no simulator gives: a peer that says what it is told to


async def said_of(tmp_path: Path, status: str, body: bytes, call: str = "charge") -> object:
    async def peer(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        await stream.send_all(head.encode() + body)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        nursery.start_soon(trio.serve_listeners, peer, listeners)
        port = listeners[0].socket.getsockname()[1]
        async with open_http_provider(provider_settings(tmp_path, port)) as adapter:
            said = await calls(adapter)[call]()
        nursery.cancel_scope.cancel()
    return said


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        ("200 OK", b'{"key":"a-1","result":"charged","reference":"r","amount_minor":1250,"currency":"JPY"}', Charged),
        ("200 OK", b'{"key":"a-2","result":"charged","reference":"r","amount_minor":1250,"currency":"JPY"}', Unknown),
        ("200 OK", b'{"key":"a-1","result":"charged","reference":"r","amount_minor":-1,"currency":"JPY"}', Unknown),
        ("200 OK", b'{"key":"a-1","result":"charged","reference":"r","amount_minor":12.5,"currency":"JPY"}', Unknown),
        ("200 OK", b'{"key":"a-1","result":"charged","reference":"r","amount_minor":1250,"currency":"YEN"}', Unknown),
        ("200 OK", b'{"key":"a-1","result":"charged","reference":"","amount_minor":1250,"currency":"JPY"}', Unknown),
        ("200 OK", b'{"key":"a-1","result":"maybe"}', Unknown),
        ("200 OK", b'{"result":"declined","reason":"refused"}', Unknown),
        ("200 OK", b"", Unknown),
        ("200 OK", b"x" * 70_000, Unknown),
        ("200 OK", b'{"key":"a-1","more":' + b"[" * 60_000, Unknown),
        (
            "201 Created",
            b'{"key":"a-1","result":"charged","reference":"r","amount_minor":1250,"currency":"JPY"}',
            Unknown,
        ),
        ("302 Found", b'{"key":"a-1"}', Unknown),
        ("400 Bad Request", b'{"key":"a-1","taken":false}', Declined),
        ("400 Bad Request", b'{"key":"a-1","taken":true}', Unknown),
        ("400 Bad Request", b'{"key":"a-1"}', Unknown),
        ("400 Bad Request", b"<html>", Unknown),
        ("404 Not Found", b'{"key":"a-1","taken":false}', Declined),
        ("401 Unauthorized", b'{"key":"a-1","taken":false}', Unavailable),
        ("429 Too Many Requests", b'{"key":"a-1","taken":false}', Unavailable),
        ("503 Service Unavailable", b'{"key":"a-1","taken":false}', Unavailable),
        ("503 Service Unavailable", b"", Unknown),
        ("409 Conflict", b'{"key":"a-1","taken":false}', Unknown),
        ("500 Internal Server Error", b'{"key":"a-1","taken":false}', Unknown),
        ("502 Bad Gateway", b"", Unknown),
    ],
)
async def test_only_the_contracts_words_count(tmp_path: Path, status: str, body: bytes, expected: type) -> None:
    assert type(await said_of(tmp_path, status, body)) is expected


async def test_a_dripping_peer_is_cut_off(tmp_path: Path) -> None:
    async def drip(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while True:
                await stream.send_all(b" ")
                await trio.sleep(0.05)
        except trio.BrokenResourceError:
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        nursery.start_soon(trio.serve_listeners, drip, listeners)
        settings = provider_settings(tmp_path, listeners[0].socket.getsockname()[1], **SHORT)
        async with open_http_provider(settings) as adapter:
            assert await adapter.charge(CHARGE) == Unknown("no answer in time")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"ca": "missing.pem"}, "acme: ca: No such file"),
        ({"ca": "empty"}, "acme: ca: "),
        ({"certificate": "empty", "certificate_key": "empty"}, "acme: certificate: "),
        ({"key_file": "empty"}, "/empty: 32 bytes needed"),
    ],
)
async def test_files_that_cannot_be_used_are_named(tmp_path: Path, files: dict[str, str], text: str) -> None:
    (tmp_path / "empty").touch(0o600)
    settings = provider_settings(tmp_path, 1, **{key: tmp_path / name for key, name in files.items()})
    with pytest.raises(ConfigurationError) as found:
        async with open_http_provider(settings):
            pass
    assert text in str(found.value)


async def test_nothing_secret_shows(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        shown = repr(stage.adapter) + repr(vars(stage.adapter).keys())
        assert KEY.hex() not in shown and repr(KEY) not in shown
