"""The load generator against the echo responder: what it counts, and that it notices what is wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from simulators.bench.echo import EchoResponder
from simulators.bench.frames import (
    AMOUNT_MINOR,
    AnswerShapes,
    Requests,
    bench_codec,
    card_number,
    framed,
    sample_answer,
    sample_fields,
)
from simulators.bench.generator import Generator, Order, Outcome
from switch.contracts.message import Kind
from switch.contracts.secret import Pan
from switch.wire.framing import Framing


def test_a_request_is_what_the_real_codec_writes_for_its_fields() -> None:
    requests = Requests(seed=1, run=77)
    requests.use_cards(5, 3)
    requests.set_time(1_000_000_000)
    codec = bench_codec()
    assert codec.dialect.framing is Framing.LENGTH2

    seen = set()
    for number in range(1, 40):
        frame = requests.make()
        fields = codec.decode_fields(frame[2:])
        assert frame == framed(codec.encode({key: value for key, value in fields.items() if key not in {"p", "1"}}))
        assert fields["7"] == "0909014640"
        assert fields["11"] == f"{number:06d}"
        assert fields["37"] == f"000077{number:06d}"
        assert fields["4"] == f"{AMOUNT_MINOR:012d}"
        assert sum(key.isdigit() and key != "1" for key in fields) == 17
        seen.add(fields["2"])
    assert seen == {card_number(number) for number in (5, 6, 7)}
    assert all(Pan(number).passes_luhn() for number in seen)


def test_the_switch_takes_it_for_an_authorization() -> None:
    from datetime import UTC, datetime

    codec = bench_codec()
    inbound = codec.decode(codec.encode(sample_fields()), network="n", received_at=datetime.now(UTC))

    assert inbound.request is not None
    assert (inbound.request.kind, inbound.request.amount_minor) == (Kind.AUTHORIZATION, AMOUNT_MINOR)


def test_stans_wrap_at_a_million() -> None:
    requests = Requests(seed=1, run=1)
    requests.use_cards(0, 1)
    requests.set_time(0)
    requests.stan = 999_999

    assert bench_codec().decode_fields(requests.make()[2:])["11"] == "000000"
    assert requests.stan == 0


def test_answers_of_each_shape_are_read_where_their_elements_stand() -> None:
    codec, shapes = bench_codec(), AnswerShapes()
    approved = sample_answer(codec.dialect)
    declined = {key: value for key, value in approved.items() if key != "38"} | {"39": "51", "11": "000777"}
    for fields in (approved, declined, approved | {"44": "X"}, declined):
        frame = framed(codec.encode(fields))
        stan_at, code_at = shapes.places(frame)
        assert frame[stan_at : stan_at + 6].decode() == fields["11"]
        assert frame[code_at : code_at + 2].decode() == fields["39"]
    with pytest.raises(ValueError, match="0100"):
        shapes.places(framed(codec.encode(sample_fields())))


@pytest.fixture
def port() -> Iterator[int]:
    """Of an echo responder."""
    responder = EchoResponder()
    reading, writing = os.pipe()
    thread = threading.Thread(target=responder.serve, args=(reading,))
    thread.start()
    yield responder.port
    os.close(writing)
    thread.join(10)
    os.close(reading)
    assert not thread.is_alive()


def test_closed_and_open_loops(port: int) -> None:
    generator = Generator("127.0.0.1", port, 3, seed=1)

    closed = generator.run(Order(window=10, seconds=0.2, warm_up_seconds=0.05, cards=20))
    assert closed.codes == {"00": closed.answered}
    assert 0 < closed.measured < closed.answered
    assert closed.unanswered == 0
    assert closed.per_second == closed.measured / closed.seconds
    assert set(closed.latency_ms) == {"p50", "p90", "p99", "p99.9", "max"}
    assert closed.latency_ms["p50"] <= closed.latency_ms["p99"] <= closed.latency_ms["max"]
    assert closed.late_ms == {}
    assert 0 < closed.in_flight <= 10

    opened = generator.run(Order(window=1_000, rate=300, seconds=0.3, cards=20, first_card=5))
    assert opened.unanswered == 0
    assert 0 <= opened.in_flight < 10
    assert 30 < opened.answered < 200, "a Poisson process of 90 is hardly ever outside"
    assert set(opened.late_ms) == {"p50", "p99"}
    generator.close()


def test_a_window_larger_than_the_links_can_hold_at_once_is_still_answered(port: int) -> None:
    generator = Generator("127.0.0.1", port, 1, seed=1)
    outcome = generator.run(Order(window=30_000, seconds=0.2, cards=1))
    generator.close()

    assert outcome.unanswered == 0
    assert outcome.answered >= 30_000


def test_a_window_stays_full_beside_a_slow_peer() -> None:
    """Also while those that wait longest have not been answered yet, as at the beginning."""
    codec = bench_codec()

    def answer_slowly(peer: socket.socket) -> None:
        with peer, peer.makefile("rb") as frames:
            while head := frames.read(2):
                fields = codec.decode_fields(frames.read(int.from_bytes(head, "big")))
                time.sleep(0.005)
                peer.sendall(framed(codec.encode(sample_answer(codec.dialect) | {"11": fields["11"]})))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        generator = Generator("127.0.0.1", listener.getsockname()[1], 1, seed=1)
        thread = threading.Thread(target=answer_slowly, args=(listener.accept()[0],))
        thread.start()
        outcome = generator.run(Order(window=40, seconds=0.15, warm_up_seconds=0.02, cards=5))
        generator.close()
        thread.join(10)
    assert outcome.unanswered == 0
    assert outcome.in_flight == pytest.approx(40, abs=1)


@pytest.mark.parametrize(
    ("stan", "complaint"), [("999998", "STAN 999998"), (None, "closed the connection")], ids=["stranger", "hangs up"]
)
def test_it_does_not_go_on_when_the_peer_is_wrong(stan: str | None, complaint: str) -> None:
    codec = bench_codec()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        generator = Generator("127.0.0.1", listener.getsockname()[1], 1, seed=1)
        peer = listener.accept()[0]
        with peer:
            if stan is not None:
                peer.sendall(framed(codec.encode(sample_answer(codec.dialect) | {"11": stan})))
            else:
                peer.shutdown(socket.SHUT_WR)
            with pytest.raises((ValueError, ConnectionError), match=complaint):
                generator.run(Order(window=1, seconds=5, cards=1))
        generator.close()


def test_as_processes() -> None:
    def start(*command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    echo = start("simulators.bench.echo")
    assert echo.stdout is not None
    generator = start("simulators.bench.generator", "127.0.0.1", echo.stdout.readline().strip(), "2")
    orders = [Order(window=4, seconds=0.1, cards=3), Order(window=50, rate=200, seconds=0.1, cards=3)]
    said, _ = generator.communicate("".join(msgspec.json.encode(order).decode() + "\n" for order in orders), timeout=20)
    echo.communicate(timeout=20)

    outcomes = [msgspec.json.decode(line, type=Outcome) for line in said.splitlines()]
    assert len(outcomes) == 2
    assert all(outcome.measured and not outcome.unanswered for outcome in outcomes)
    assert (generator.returncode, echo.returncode) == (0, 0)


def test_open_loop_latency_counts_from_the_schedule() -> None:
    """A peer that answers nothing for a while shows in the messages that came due meanwhile, not only in one."""
    codec = bench_codec()
    stall = 0.3
    with socket.create_server(("127.0.0.1", 0)) as listener:
        generator = Generator("127.0.0.1", listener.getsockname()[1], 1, seed=1)
        peer = listener.accept()[0]

        def answer_late() -> None:
            data = peer.recv(1)
            time.sleep(stall)  # the stall itself is what is measured
            size = len(framed(codec.encode(sample_fields())))
            template = sample_answer(codec.dialect)
            while piece := peer.recv(65_536):
                data += piece
                while len(data) >= size:
                    fields = codec.decode_fields(data[2:size])
                    peer.sendall(framed(codec.encode(template | {"11": fields["11"]})))
                    data = data[size:]

        thread = threading.Thread(target=answer_late)
        thread.start()
        # Only one may be in flight: the others wait in the generator, and yet their time runs.
        outcome = generator.run(Order(window=1, rate=400, seconds=0.35, cards=1))
        generator.close()
        thread.join(10)
        peer.close()

    assert outcome.answered > 10
    assert outcome.latency_ms["p50"] > stall * 1e3 / 4
