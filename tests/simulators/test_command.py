"""``switch acquirer`` as a program: exit codes, help, JSON."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from simulators.command import acquirer
from simulators.scenarios import SCENARIOS
from tests.simulators.responder import Fields, Responder, answer_to


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(acquirer, arguments, env={"SWITCH_CONFIG": None})


def with_switch(script: object, *arguments: str) -> Result:
    """Runs the command against a responder in a thread of its own."""
    assert callable(script)
    ready, port, token = threading.Event(), [0], []

    async def serve() -> None:
        switch = Responder(script)
        async with trio.open_nursery() as nursery:
            await nursery.start(switch.run)
            port[0] = switch.port
            token.append((trio.lowlevel.current_trio_token(), switch))
            ready.set()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    assert ready.wait(10)
    try:
        return invoke(*arguments, "--port", str(port[0]))
    finally:
        trio_token, switch = token[0]
        trio_token.run_sync_soon(switch.kill)
        thread.join(10)


def lost(fields: Fields) -> Fields | None:
    return answer_to(fields, "41" if fields["t"] == "0100" else "00")


def test_help_explains() -> None:
    assert "Exit codes: 0 pass, 1 mismatch, 2 usage, 3 no connection" in invoke("--help").output
    assert "switch acquirer run --port 8583" in invoke("run", "--help").output
    assert "Open loop" in invoke("load", "--help").output


def test_list_names_every_scenario() -> None:
    lines = invoke("run", "--list").output.splitlines()
    assert [line.split()[0] for line in lines] == [scenario.name for scenario in SCENARIOS]


def test_pass_is_0_and_mismatch_is_1() -> None:
    good = with_switch(lost, "run", "--scenario", "declined-lost", "--scenario", "declined-stolen", "--json")
    assert good.exit_code == 1
    told = {one["scenario"]: one for one in json.loads(good.output)}
    assert told["declined-lost"]["passed"] is True
    assert "expected 43" in told["declined-stolen"]["problems"][0]
    assert with_switch(lost, "run", "--scenario", "declined-lost").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "--port", "1", "--scenario", "none"),
        ("run", "--port", "1", "--dialect", "none"),
        ("load", "--mix", "reversal"),
        ("load", "--mix", "nothing=1"),
        ("load", "--count", "0"),
    ],
)
def test_usage_is_2(arguments: tuple[str, ...]) -> None:
    assert invoke(*arguments).exit_code == 2


def test_no_connection_is_3() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = str(taken.getsockname()[1])
        result = invoke("run", "--port", port)
        assert result.exit_code == 3
        assert "no connection" in result.output
        assert invoke("load", "--port", port, "--count", "5").exit_code == 3


def test_listeners_of_a_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "switch.toml"
    path.write_text('[[listener]]\ndialect = "iso87_ascii"\nhost = "127.0.0.1"\nport = 0\n')
    result = invoke("run", "--config", str(path))
    assert (result.exit_code, "fixed port" in result.output) == (2, True)


def test_load_prints_figures_and_its_seed() -> None:
    result = with_switch(answer_to, "load", "--count", "50", "--seed", "9", "--json")
    assert result.exit_code == 0
    figures = json.loads(result.output)
    assert (figures["seed"], figures["sent"], figures["answered"]) == (9, 50, 50)
    assert figures["contradictions"] == []
    people = with_switch(answer_to, "load", "--count", "50", "--mix", "authorization=3", "--mix", "repeat=1")
    assert people.exit_code == 0
    assert people.output.startswith("seed ")
    assert "answers per second" in people.output
