"""``switch bench`` in its shortest form: every part runs, the report is whole, wrong books are noticed. No figure is judged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from simulators.bench.generator import Order
from switch.bench.books import check_books
from switch.bench.filling import Size
from switch.bench.growth import GrowthCourse, run_growth
from switch.bench.plot import plot
from switch.bench.processes import cpu_seconds, favour, meminfo_kib, memory_of, touch_shared_memory, tree_of
from switch.bench.report import GrowthReport, SpeedReport, machine_lines, table
from switch.bench.speed import QUICK, run_speed
from switch.bench.stage import NICE, SHARED_BUFFERS_MB, BenchFailed, Measured, Server, Stage
from switch.journal.connection import Connection

SHORT = msgspec.structs.replace(
    QUICK,
    windows=(1, 16),
    clients=(2,),
    clients_pipelined=(2,),
    windows_hot=(8,),
    seconds=0.3,
    seconds_open=0.4,
    seconds_half=0.3,
    warm_up_seconds=0.1,
    cards=50,
    cards_locked=5,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("bench")
    with Server(directory) as running:
        yield running
    assert not running.postgres.running
    assert not directory.exists()


@pytest.fixture(scope="module")
def orders() -> list[Order]:
    """What the load generator was told to do for the report, in order."""
    return []


@pytest.fixture(scope="module")
def report(server: Server, orders: list[Order]) -> SpeedReport:
    told: list[str] = []

    def measure(stage: Stage, order: Order) -> Measured:
        orders.append(order)
        return carry_out(stage, order)

    carry_out = Stage.measure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "measure", measure)
        made = run_speed(server, SHORT, connections=1, progress=told.append)
    assert told
    return made


def test_open_loops_run_at_the_rates_that_the_report_tells(report: SpeedReport, orders: list[Order]) -> None:
    (maximum,) = report.open_loop_maxima
    ran = [order for order in orders if order.rate is not None]
    assert [order.rate for order in ran] == pytest.approx([maximum * share for share in (0.25, 0.5, 0.8, 0.5)])
    assert [order.seconds for order in ran] == [SHORT.seconds_open, SHORT.seconds_half] * 2


def test_the_daemon_runs_at_the_priority_of_its_unit(report: SpeedReport) -> None:
    unit = (Path(__file__).parents[2] / "systemd" / "switch.service").read_text()
    assert f"\nNice={NICE}\n" in unit
    assert f"echo {NICE} >/proc/" in unit, "for its session, beside other sessions' processes"
    with _idle_session("") as pid:
        allowed = True
        try:
            os.setpriority(os.PRIO_PROCESS, pid, NICE)
        except PermissionError:
            allowed = False
    assert report.daemon_nice == (NICE if allowed else os.getpriority(os.PRIO_PROCESS, 0))
    assert f"nice {report.daemon_nice}" in table(report)


def test_a_favoured_process_comes_before_those_of_other_sessions() -> None:
    with _idle_session("") as pid:
        session = Path(f"/proc/{pid}/autogroup")
        assert favour(pid, 3) == 3
        assert os.getpriority(os.PRIO_PROCESS, pid) == 3
        if session.exists():
            assert session.read_text().endswith("nice 3\n")


def test_touched_memory_is_there() -> None:
    with _idle_session("import mmap; shared = mmap.mmap(-1, 4 << 20)") as pid:
        (place,) = [line.split()[0] for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if " rw-s " in line]
        file = Path(f"/proc/{pid}/map_files/{place}")
        try:
            assert file.stat().st_blocks == 0
        except PermissionError:  # an ordinary user; root in a container may be one in this
            assert not touch_shared_memory(pid)
            return
        assert touch_shared_memory(pid)
        assert file.stat().st_blocks * 512 == 4 << 20


def test_memory_that_is_scarce_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    with _idle_session("import mmap; shared = mmap.mmap(-1, 4 << 20)") as pid:
        monkeypatch.setattr("switch.bench.processes.meminfo_kib", lambda _: (8 << 10) - 1)
        assert not touch_shared_memory(pid)
    with _idle_session("") as pid:
        assert not touch_shared_memory(pid), "there is none"


def test_the_report_tells_whether_the_buffers_were_touched(report: SpeedReport) -> None:
    with _idle_session("import mmap; shared = mmap.mmap(-1, 4 << 20)") as pid:
        allowed = touch_shared_memory(pid)
    plenty = meminfo_kib("MemAvailable") / 1024 > 3 * SHARED_BUFFERS_MB  # else it depends on the moment
    buffers = report.postgres_settings["buffers"]
    assert buffers in (("touched",) if allowed and plenty else ("touched", "as new") if allowed else ("as new",))
    assert f"buffers {buffers}" in table(report)


def test_it_tells_of_buffers_in_small_pages(report: SpeedReport) -> None:
    told = [
        "\n".join(machine_lines(report.machine, {"huge_pages_status": status})) for status in ("on", "off", "unknown")
    ]
    assert ["not in huge pages" in text for text in told] == [False, True, False]


@contextmanager
def _idle_session(does: str) -> Iterator[int]:
    """A Python in a session of its own, which has done that and sleeps."""
    code = f"{does}\nprint(flush=True)\nimport time; time.sleep(60)"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def test_it_tells_of_pages_that_are_written_in_bursts(report: SpeedReport) -> None:
    machine = report.machine
    at_once = msgspec.structs.replace(machine, writeback_seconds=0.05, expire_seconds=0.05)
    late = msgspec.structs.replace(machine, writeback_seconds=5.0, expire_seconds=30.0)
    elsewhere = msgspec.structs.replace(machine, writeback_seconds=None, expire_seconds=None)
    told = ["\n".join(machine_lines(machine, {})) for machine in (at_once, late, elsewhere)]
    assert ["switch.sysctl.conf" in text for text in told] == [False, True, False]
    assert ["changed pages" in text for text in told] == [True, True, False]


def test_every_part_is_measured(report: SpeedReport) -> None:
    assert [load.window for load in report.windows] == [1, 16]
    assert [load.clients for load in report.pgbench] == [2]
    assert [load.form for load in report.pgbench_pipelined] == ["pipelined"]
    assert [load.name for load in report.open_loop] == ["25 %", "50 %", "80 %"]
    (maximum,) = report.open_loop_maxima  # of the only round
    assert [load.rate for load in report.open_loop] == pytest.approx([maximum * share for share in (0.25, 0.5, 0.8)])
    assert f"in the same round: {maximum:,.0f}" in table(report)
    assert len(report.half_load_p99_ms) == len(report.one_client_ms) == 2, "before 80 % and after it"
    assert report.half_load_p99_to_pgbench == pytest.approx(
        sum(report.half_load_p99_ms) / sum(report.one_client_ms)  # the medians of two are their means
    )
    loads = [*report.windows, *report.open_loop, *report.hot_card.switch]
    for load in loads:
        assert set(load.codes) == {"00"}
        assert load.per_second > 0 and load.daemon_cpu_us > 0
        assert load.latency_ms["p50"] <= load.latency_ms["p99"]
    assert set(report.declined.codes) == {"62"}, "a locked card"
    assert report.generator_ceiling
    assert report.codec.decode_us > 0 and report.codec.encode_us > 0
    assert report.trace_bytes > 200, "pgbench stores a trace as long as ours"
    assert report.memory_end.peak_mib >= report.memory_end.resident_mib > 10
    assert report.ratio == pytest.approx(
        max(load.per_second for load in report.windows) / max(load.per_second for load in report.pgbench)
    )


def test_the_books_are_compared(report: SpeedReport) -> None:
    books = report.books
    assert books.faults == []
    assert books.approved == books.held_minor // 150 > 0
    assert books.entries_recomputed > 0


def test_the_report_can_be_read_by_people_and_programs(report: SpeedReport) -> None:
    assert msgspec.json.decode(msgspec.json.encode(report), type=SpeedReport) == report
    text = table(report)
    assert "authorizations, closed" in text and "agree" in text and "one hot card" in text
    assert "Secret" not in text
    root = ET.fromstring(plot(report))
    assert root.tag.endswith("svg")
    assert len(root.findall("{*}polyline")) == 4
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 < float(circle.attrib["cx"]) < width and 0 < float(circle.attrib["cy"]) < height


async def _setting(name: str, connection: Connection) -> str:
    value: str = await connection.fetchval(f"SHOW {name}")
    return value


def test_durable_settings(server: Server, report: SpeedReport) -> None:
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert report.postgres_settings[name] == "on"
        assert server.ask("bench", partial(_setting, name)) == "on"


def test_books_that_do_not_agree_are_noticed(server: Server, report: SpeedReport) -> None:
    stage = Stage(server, "bench", connections=1)
    stage.approved = report.books.approved
    assert check_books(stage, entries_max=200).faults == []

    stage.approved += 1
    assert "approvals" in check_books(stage, entries_max=200).faults[0]

    stage.approved -= 1
    server.ask(
        "bench",
        lambda connection: connection.execute(
            "UPDATE account SET held = held + 1 WHERE account_id = (SELECT min(account_id) FROM account WHERE seq > 1)"
        ),
    )
    faults = check_books(stage, entries_max=10**6).faults
    assert any("sums" in fault for fault in faults)
    assert any("the account says" in fault for fault in faults)
    stage.__exit__()


def test_growth(server: Server) -> None:
    course = GrowthCourse(
        sizes=(Size(name="empty", entries=0, cards=50), Size(name="full", entries=4_000, cards=100)),
        window=16,
        rounds=1,
        seconds=0.3,
        warm_up_seconds=0.1,
        memory_messages=200,
        wal_segments=2,
        verify_entries=500,
    )
    told: list[str] = []

    report = run_growth(server, course, connections=1, progress=told.append)

    assert [stage.name for stage in report.stages] == ["empty", "full"]
    assert report.stages[0].throughput_to_empty == 1.0
    assert all(stage.books.faults == [] and stage.books.approved for stage in report.stages)
    assert report.memory_mib[-1][0] >= 200
    assert any("100 %" in text for text in told)
    full = (
        "SELECT (SELECT count(*) FROM journal_entry), (SELECT count(*) FROM message_key), (SELECT count(*) FROM hold)"
    )
    entries, messages, holds = server.ask("bench_1", lambda connection: connection.fetchrow(full))
    assert entries >= 4_000 and messages >= 3_800 and holds >= 3_800
    assert msgspec.json.decode(msgspec.json.encode(report), type=GrowthReport) == report
    assert report.stages[1].disk.tables_bytes > report.stages[0].disk.tables_bytes > 0
    assert report.stages[1].disk.indexes_bytes > report.stages[0].disk.indexes_bytes > 0
    assert "GB: 1.00 of the empty one's throughput" in table(report)
    assert any("s left" in text for text in told)


def test_a_daemon_that_does_not_start_says_why(server: Server) -> None:
    stage = Stage(server, "broken", connections=1)
    stage.prepare()
    stage.config.write_text(stage.config.read_text().replace("iso87_ascii", "no_such_dialect"))

    with pytest.raises(BenchFailed, match="no_such_dialect"), stage:
        pass


@pytest.mark.parametrize(
    ("options", "when", "processes"),
    [
        pytest.param([], "warm-up", 2, id="while daemon and generator run"),
        pytest.param(["--rows", "200000"], "full: 200,000 entries, holds and messages: 10 %", 0, id="while it fills"),
    ],
)
def test_an_interrupted_run_leaves_nothing_behind(
    tmp_path: Path, options: list[str], when: str, processes: int
) -> None:
    command = [sys.executable, "-c", "from switch.cli.bench import bench; bench()", "--quick", "--data", str(tmp_path)]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if when in line:
            break
    family = tree_of(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == 1
    assert len(family) > processes, "daemon and generator were there, unless it was filling"
    assert list(tmp_path.iterdir()) == []
    assert [pid for pid in family if Path(f"/proc/{pid}/exe").exists()] == []


def test_a_process_is_seen_from_outside() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "x = bytearray(30_000_000)\nfor _ in range(10**7): pass\nprint(1, flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert cpu_seconds(process.pid) > 0
    assert memory_of(process.pid).peak_mib > 30
    process.communicate(b"\n")
    assert cpu_seconds(process.pid) == 0, "it is gone"
