"""`switch serve` and `switch migrate` as processes: starting, waiting for the database, health pages, ending."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from switch.daemon.embedded import EmbeddedPostgres
from switch.journal.connection import Connection
from switch.journal.migrate import migrations
from tests.chaos.daemon import Daemon, database, running, wait_until
from tests.house import House
from tests.network.authority import SERVER, Authority


@pytest.fixture(scope="module")
def premises(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, EmbeddedPostgres]]:
    with database(tmp_path_factory.mktemp("house")) as both:
        yield both


@pytest.fixture
def house(premises: tuple[House, EmbeddedPostgres]) -> House:
    return premises[0]


@pytest.fixture
def postgres(premises: tuple[House, EmbeddedPostgres]) -> EmbeddedPostgres:
    return premises[1]


def command(*arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "switch.cli", *arguments], capture_output=True, text=True, check=False, timeout=seconds
    )


def complaint(daemon: Daemon) -> str:
    """Launches a daemon that can't run; the line that it leaves."""
    assert daemon.launch().ended() == 1
    lines = daemon.said.read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith("switch: "), lines
    return lines[0]


def empty_database(postgres: EmbeddedPostgres, house: House, name: str, config: Path) -> None:
    """A database without a schema, and a settings file that leads there."""
    subprocess.run(
        [str(postgres.bin_dir / "psql"), "-qc", f"CREATE DATABASE {name}", house.ready["database"]], check=True
    )
    config.write_text(config.read_text().replace("@/switch?", f"@/{name}?"))


# ── the health pages


def test_livez_readyz_and_metrics(house: House) -> None:
    with running(Daemon(house, "healthy")) as daemon:
        assert daemon.page("/livez") == (200, "alive\n")
        assert daemon.page("/readyz") == (200, "ready\n")
        assert daemon.page("/readyz?verbose") == (200, "ready\n")
        status, text = daemon.page("/metrics")
        assert status == 200
        for name in ("switch_messages", "switch_queue_depth", "switch_withdrawals_waiting", "switch_network_in_flight"):
            assert f"# TYPE {name} " in text or f"# TYPE {name}_total " in text
        assert 'switch_network_sessions_open{network="iso87_ascii"} 0.0' in text
        assert daemon.page("/nothing")[0] == 404
        connection = http.client.HTTPConnection("127.0.0.1", daemon.operations_port, timeout=5)
        connection.request("POST", "/livez")
        assert connection.getresponse().status == 405
        connection.close()
        # Whoever speaks no HTTP there does no harm.
        with socket.create_connection(("127.0.0.1", daemon.operations_port), timeout=5) as peer:
            peer.sendall(b"\x16\x03\x01 what is this\r\n\r\n")
            assert peer.recv(100) == b""
        assert daemon.page("/livez")[0] == 200
        assert daemon.stop() == 0
    assert daemon.said.read_bytes() == b""


# ── sessions over TLS


def test_mutual_tls_from_the_settings_file_to_the_metrics(house: House) -> None:
    authority = Authority(house.directory)
    authority.files(SERVER, stem="ours")
    daemon = Daemon(house, "secured")
    daemon.set("[[listener]]", 'tls = { certificate = "ours.crt", key = "ours.key", client_ca = "authority.pem" }')
    with running(daemon):
        address = ("127.0.0.1", daemon.ports["iso87_ascii"])
        with (
            socket.create_connection(address, timeout=5) as plain,
            authority.client("acquirer.example").wrap_socket(plain, server_hostname=SERVER) as secured,
        ):
            secured.sendall(b"\x00\x00")
            assert secured.recv(2) == b"\x00\x00"  # a poll and its answer
            with socket.create_connection(address, timeout=5) as stranger:
                stranger.sendall(b"\x00\x00")
                stranger.shutdown(socket.SHUT_WR)
                while stranger.recv(100):
                    pass
            metrics = daemon.page("/metrics")[1]
            assert 'switch_network_handshakes_failed_total{network="iso87_ascii"} 1.0' in metrics
            assert 'switch_network_sessions_open{network="iso87_ascii"} 1.0' in metrics
            assert 'switch_network_sessions_closed_total{network="iso87_ascii",reason="peer_dead"} 0.0' in metrics
            assert 'switch_network_addresses_refused_total{network="iso87_ascii"} 0.0' in metrics
        assert daemon.stop() == 0
    events = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    (opened,) = [event for event in events if event["event"] == "session_opened"]
    assert opened["session"].endswith(" acquirer.example") and opened["tls"] == "TLSv1.3"
    assert [event["level"] for event in events if event["event"] == "handshake_failed"] == ["warning"]


# ── the database


def test_it_is_ready_when_all_its_connections_are(house: House) -> None:
    async def units(connection: Connection) -> int:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'switch unit of work'"
        found: int = await connection.fetchval(asked)
        return found

    before = house.ask(units, dsn=house.ready["database"])
    with running(Daemon(house, "prepared")):
        # [database] connections, and those of the withdrawals and of the expiry of holds.
        assert house.ask(units, dsn=house.ready["database"]) - before == 4 + 2


def test_it_waits_for_a_database_that_is_away(house: House, postgres: EmbeddedPostgres) -> None:
    postgres.stop()
    daemon = Daemon(house, "patient").launch()
    try:
        wait_until(lambda: daemon.log.exists() and "waiting_for_database" in daemon.log.read_text(), "it waits")
        assert daemon.alive
        assert daemon.page("/readyz")[0] != 200
        postgres.start()
        wait_until(lambda: daemon.page("/readyz")[0] == 200, "it is ready")
        assert daemon.stop() == 0
    finally:
        postgres.start()
        daemon.kill()


def test_it_can_be_stopped_while_it_waits(house: House, postgres: EmbeddedPostgres) -> None:
    postgres.stop()
    daemon = Daemon(house, "impatient").launch()
    try:
        wait_until(lambda: daemon.log.exists() and "waiting_for_database" in daemon.log.read_text(), "it waits")
        assert daemon.stop() == 0
    finally:
        postgres.start()
        daemon.kill()
    assert daemon.said.read_bytes() == b""


def test_ready_falls_back_to_nothing_when_it_stops(house: House) -> None:
    with running(Daemon(house, "gone")) as daemon:
        assert daemon.stop() == 0
        assert daemon.page("/livez") == (0, "")
        for port in daemon.ports.values():
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)


# ── the schema


def test_migrate_twice_and_serve_only_on_a_whole_schema(house: House, postgres: EmbeddedPostgres) -> None:
    daemon = Daemon(house, "fresh")
    empty_database(postgres, house, "fresh", daemon.config)

    assert "run `switch migrate`" in complaint(daemon)
    first = command("migrate", "--config", str(daemon.config))
    again = command("migrate", "--config", str(daemon.config))

    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.endswith(f"{len(migrations())} migration(s) applied\n")
    assert (again.returncode, again.stdout) == (0, "the schema is up to date\n")
    with running(daemon):
        assert daemon.page("/readyz")[0] == 200
        assert daemon.stop() == 0


def test_two_migrations_at_once_wait_for_each_other(house: House, postgres: EmbeddedPostgres) -> None:
    daemon = Daemon(house, "twice")
    empty_database(postgres, house, "twice", daemon.config)
    arguments = [sys.executable, "-m", "switch.cli", "migrate", "--config", str(daemon.config)]

    both = [subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(out.splitlines()[-1] for out, _ in said) == sorted(
        [f"{len(migrations())} migration(s) applied", "the schema is up to date"]
    )


def test_migrate_without_an_owner_is_refused(house: House) -> None:
    daemon = Daemon(house, "ownerless")
    text = daemon.config.read_text()
    daemon.config.write_text("".join(line for line in text.splitlines(keepends=True) if "owner_dsn" not in line))
    result = command("migrate", "--config", str(daemon.config))
    assert (result.returncode, result.stderr) == (1, "switch: database.owner_dsn is needed to migrate\n")


def test_a_program_that_cards_need_may_not_disappear(house: House) -> None:
    daemon = Daemon(house, "programless")
    programs = house.directory / "programs.toml"
    fewer = house.directory / "fewer.toml"
    head, _, tail = programs.read_text().rpartition("[[program]]")
    assert 'name = "no_partial"' in tail
    fewer.write_text(head)
    daemon.config.write_text(daemon.config.read_text().replace('"programs.toml"', '"fewer.toml"'))
    said = complaint(daemon)
    assert "fewer.toml" in said and "no_partial" in said


def test_attempts_whose_provider_is_not_in_the_settings_are_told(house: House) -> None:
    async def leave(connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO funding_attempt SELECT 1, '\\x00', 'k', 1, 'gone', 'tok-1', 5, 'JPY', now(), 'unknown',"
            " 'declined', 1, 0, now(), '', 0, '', 'no_answer', now(), now(), 'nobody'"
        )

    async def end(connection: Connection) -> None:
        await connection.execute("UPDATE funding_attempt SET wake_at = NULL")

    house.ask(leave, dsn=house.ready["database"])
    try:
        with running(Daemon(house, "providerless")) as daemon:
            assert daemon.stop() == 0
    finally:
        house.ask(end, dsn=house.ready["database"])
    events = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    (told,) = [event for event in events if event["event"] == "top_ups_without_provider"]
    assert (told["level"], told["provider"], told["attempts"]) == ("error", "gone", 1)


# ── what it can't start with


def test_a_port_in_use_is_one_line_that_names_it(house: House) -> None:
    with running(Daemon(house, "early")) as early:
        late = Daemon(house, "late")
        for dialect, port in early.ports.items():
            late.config.write_text(late.config.read_text().replace(f"port = {late.ports[dialect]}", f"port = {port}"))
        said = complaint(late)
        assert f"127.0.0.1:{early.ports['iso87_ascii']}" in said and "in use" in said

        same_operations = Daemon(house, "late_operations")
        text = same_operations.config.read_text()
        ours, theirs = same_operations.operations_port, early.operations_port
        same_operations.config.write_text(text.replace(f"port = {ours}", f"port = {theirs}"))
        assert f"127.0.0.1:{theirs}" in complaint(same_operations)
        assert early.page("/readyz")[0] == 200


def test_settings_that_are_wrong_end_it_at_once(house: House) -> None:
    daemon = Daemon(house, "wrong")
    daemon.set("[database]", 'colour = "red"')
    said = complaint(daemon)
    assert str(daemon.config) in said and "colour" in said


# ── switch dev


def test_dev_goes_on_with_its_data_and_is_alone_in_its_directory(tmp_path: Path) -> None:
    house = House(tmp_path / "dev")
    try:
        house.start()
        card = house.new_card(balance_minor=777)
        cards = house.command("card", "list", "--json").stdout

        second = command("dev", "--data", str(house.directory), "--port-base", "0")
        assert second.returncode == 1
        assert len(second.stderr.splitlines()) == 1 and str(house.directory) in second.stderr
        assert house.shown(card).posted == 777, "the second one must not take the first one's database away"

        assert house.stop() == 0
        house.start()
        assert house.shown(card).posted == 777
        assert house.command("card", "list", "--json").stdout == cards
        house.kill()
        house.start()
        assert house.shown(card).posted == 777
        assert house.faults() == []
        assert house.stop() == 0
    finally:
        house.stop()
        EmbeddedPostgres(house.directory).destroy()


def test_dev_in_a_place_that_can_t_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = command("dev", "--data", str(tmp_path / "file" / "below"))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr and str(tmp_path / "file") in result.stderr
