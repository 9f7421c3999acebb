"""Log events: valid JSON lines, none lost on the way out, and no PAN in any of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.contracts.errors import ConfigurationError
from switch.contracts.secret import Pan
from switch.daemon import logs
from switch.daemon.logs import LEVELS, configure_logging, mask_pans

ROOT = Path(__file__).parents[2]

Event = dict[str, Any]


def luhn(digits: str) -> str:
    """``digits`` with the check digit that fits."""
    return next(digits + last for last in "0123456789" if Pan(digits + last).passes_luhn())


PAN = luhn("4" + "0" * 14)
MASKED = "400000******" + PAN[-4:]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a small program that logs, since logging is set up once per process."""
    head = "import os, signal, sys\nfrom pathlib import Path\nimport structlog\nfrom switch.daemon.logs import *\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
    )


def events(text: str) -> list[Event]:
    return [json.loads(line) for line in text.splitlines()]


def test_events_are_json_lines_on_stderr() -> None:
    result = run(
        """
        configure_logging("info", None)
        log = structlog.get_logger()
        log.debug("too quiet")
        log.info("authorization", reason="approved", microseconds=812, keys={"stan": "000001"}, none=None)
        log.warning("slow", path=Path("x"))
        """
    )

    assert result.returncode == 0
    assert result.stdout == ""
    first, second = events(result.stderr)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "authorization",
        "level": "info",
        "reason": "approved",
        "microseconds": 812,
        "keys": {"stan": "000001"},
        "none": None,
    }
    assert (second["level"], second["path"]) == ("warning", "x")


def test_every_way_to_log_at_info_makes_the_same_event() -> None:
    result = run(
        """
        from structlog.testing import capture_logs
        configure_logging("info", None)
        log = structlog.get_logger()
        log.info("plain", a=1)
        log.msg("plain", a=1)
        log.bind(a=1).info("plain")
        log.info("%s", "plain", a=1)
        log.log(20, "plain", a=1)
        try:
            raise ValueError("went wrong")
        except ValueError:
            log.info("failed", exc_info=True)
        with capture_logs() as captured:
            log.info("captured", a=1)
        print(captured)
        """
    )

    assert result.stdout == "[{'a': 1, 'event': 'captured', 'log_level': 'info'}]\n", result.stderr
    *plain, failed = events(result.stderr)
    assert all(event.pop("timestamp") for event in plain)
    assert plain == [{"a": 1, "event": "plain", "level": "info"}] * 5
    assert "ValueError: went wrong" in failed["exception"]
    assert "exc_info" not in failed


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_below_the_level_is_not_written(level: str) -> None:
    result = run(
        """
        configure_logging(sys.argv[1], None)
        log = structlog.get_logger()
        for name in LEVELS:
            getattr(log, name)("event")
        """,
        level,
    )

    assert [event["level"] for event in events(result.stderr)] == list(LEVELS[LEVELS.index(level) :])


def test_the_time_has_six_digits_after_the_second_whatever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    for now in (1792450678_000000_000, 1792450678_000012_999, 1792450679_999999_999, 1792450678_500000_000):
        monkeypatch.setattr("time.time_ns", lambda now=now: now)
        texts.append(logs._timestamp())

    assert texts == [
        "2026-10-19T22:57:58.000000Z",
        "2026-10-19T22:57:58.000012Z",
        "2026-10-19T22:57:59.999999Z",
        "2026-10-19T22:57:58.500000Z",
    ]


def test_lines_wait_until_a_warning_or_a_flush(tmp_path: Path) -> None:
    path = tmp_path / "switch.log"
    result = run(
        """
        path = Path(sys.argv[1])
        configure_logging("info", path)
        log = structlog.get_logger()
        def lines(): print(path.read_bytes().count(b"\\n"))
        import switch.daemon.logs as logs
        logs.FLUSH_SECONDS = 3600.0  # this test is quicker than the timer, but a loaded machine is not
        log.info("one"); flush_logs(); lines()
        log.info("two"); lines()
        flush_logs(); lines()
        log.info("three"); lines()
        log.warning("four"); lines()
        log.info("five", text="x" * 70000); lines()
        log.info("six"); lines()
        """,
        str(path),
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["1", "1", "2", "2", "4", "5", "5"]
    # The last one leaves at exit.
    assert [event["event"] for event in events(path.read_text())] == ["one", "two", "three", "four", "five", "six"]
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("ending", "returncode"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM); signal.pause()", -signal.SIGTERM),
        ("raise SystemExit(3)", 3),
        ("raise RuntimeError('bug')", 1),
    ],
)
def test_no_line_is_lost_on_the_way_out(tmp_path: Path, ending: str, returncode: int) -> None:
    path = tmp_path / "switch.log"
    result = run(
        f"""
        configure_logging("info", Path(sys.argv[1]))
        log = structlog.get_logger()
        for number in range(1000):
            log.info("event", number=number)
        {ending}
        """,
        str(path),
    )

    assert result.returncode == returncode
    assert [event["number"] for event in events(path.read_text())] == list(range(1000))


def test_a_handler_that_is_there_keeps_sigterm() -> None:
    result = run(
        """
        mine = lambda *_: print("mine", flush=True)
        signal.signal(signal.SIGTERM, mine)
        configure_logging("info", None)
        os.kill(os.getpid(), signal.SIGTERM)
        """
    )

    assert (result.returncode, result.stdout) == (0, "mine\n")


def test_a_reader_that_has_gone_does_not_stop_the_issuer_and_the_loss_is_told(tmp_path: Path) -> None:
    path = tmp_path / "switch.log"
    result = run(
        """
        reader, writer = os.pipe()
        os.close(reader)
        stderr = os.dup(2)
        os.dup2(writer, 2)
        configure_logging("info", None)
        log = structlog.get_logger()
        log.warning("nobody reads this")
        log.warning("nor this")
        os.dup2(stderr, 2)
        log.warning("this is read")
        """,
        str(path),
    )

    assert result.returncode == 0
    lost, read = events(result.stderr)
    assert (lost["event"], lost["lines"]) == ("log lines lost", 2)
    assert read["event"] == "this is read"


def test_the_standard_librarys_warnings_join_and_tracebacks_are_text() -> None:
    result = run(
        """
        import logging
        configure_logging("info", None)
        logging.getLogger("asyncpg").info("quiet")
        logging.getLogger("asyncpg").warning("pool %s", "closed")
        try:
            raise ValueError("went wrong")
        except ValueError:
            structlog.get_logger().exception("failed")
        """
    )

    pool, failed = events(result.stderr)
    assert (pool["event"], pool["level"], pool["logger"]) == ("pool closed", "warning", "asyncpg")
    assert failed["level"] == "error"
    assert "ValueError: went wrong" in failed["exception"]


def test_no_pan_leaves_by_any_value() -> None:
    result = run(
        """
        configure_logging("info", None)
        pan = sys.argv[1]
        from switch.contracts.secret import Pan
        log = structlog.get_logger()
        class Carrier:
            def __repr__(self): return f"Carrier({pan})"
        try:
            raise ValueError(f"bad card {pan}")
        except ValueError:
            log.exception(f"event {pan}", text=f"a{pan}b", track=f"{pan}=29122011234567890000", spaced=" ".join([pan[:4], pan[4:8],
                pan[8:12], pan[12:]]), raw=f"0200{pan}".encode(), fields={"2": pan, pan: ["x", (pan,)]}, wrapped=Pan(pan),
                carrier=Carrier(), llvar=f"0200B23A16{pan}000000000000005000", parts={pan})
        """,
        PAN,
    )

    assert result.returncode == 0
    text = result.stderr
    assert PAN not in text.replace(" ", "")
    (event,) = events(text)
    assert event["event"] == f"event {MASKED}"
    assert event["text"] == f"a{MASKED}b"
    assert event["track"] == f"{MASKED}={'*' * 20}"
    assert event["spaced"] == MASKED
    assert event["raw"] == "<20 bytes>"
    assert event["fields"] == {"2": MASKED, MASKED: ["x", [MASKED]]}
    assert event["wrapped"] == MASKED
    assert event["carrier"] == f"Carrier({MASKED})"
    assert event["parts"] == [MASKED]
    assert f"ValueError: bad card {MASKED}" in event["exception"]


@pytest.mark.parametrize("separator", ["", " ", "-"])
def test_no_pan_leaves_by_any_text_of_a_decided_message(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "switch.log"
    texts = ("session", "mti", "stan", "transmitted", "retrieval_reference", "currency", "concern", "code")
    result = run(
        """
        from types import SimpleNamespace as Some
        from switch.contracts.reason import Reason
        from switch.contracts.secret import Pan
        from switch.network.arrival import Delivery
        from switch.processing.batch import BatchLoop, BatchSettings, ProcessingStats
        configure_logging("info", Path(sys.argv[1]))
        pan = sys.argv[2]
        texts = sys.argv[4:]
        loop = BatchLoop(BatchSettings(), None, None, ProcessingStats())
        for carrier in (None, *texts):
            of = {name: f"{name} {pan}." if name == carrier else "0200" for name in texts}
            request = Some(**of, pan=Pan(sys.argv[3]), amount_minor=100)
            arrival = Some(session=of["session"], received_monotonic=0.0, answer=lambda answer: Delivery.SENT)
            decision = Some(answer=Some(response_code=of["code"]), reason=Reason.APPROVED, repeat_of=None, concern=of["concern"])
            loop._answer([arrival], [Some(request=request, key=bytes(range(160, 176)))], [decision], 0.0)
        loop.clerk.write()
        """,
        str(path),
        separator.join((PAN[:4], PAN[4:8], PAN[8:12], PAN[12:])),
        PAN,
        *texts,
    )

    assert result.returncode == 0, result.stderr
    clean, *carriers = events(path.read_text())
    assert (clean["key"], clean["card"], clean["session"]) == (bytes(range(160, 176)).hex(), MASKED, "0200")
    for name, event in zip(texts, carriers, strict=True):
        assert event.pop("card") == MASKED
        assert [key for key, value in event.items() if MASKED in str(value)] == [name]
    assert PAN not in path.read_text().replace(separator, "")


# Pieces that meet in all orders: a PAN, digits and separators around it, what JSON escapes, and what it leaves alone.
PIECES = st.lists(
    st.sampled_from(
        [PAN, " ".join(PAN), "-".join(PAN), PAN[:12], "0", "12", " ", "-", ".", '"', "\\", "\n", "\x01", "é", "٣"]
    ),
    max_size=6,
).map("".join)


VALUES = PIECES | st.integers(-(2**63), 2**63 - 1) | st.none() | st.lists(PIECES) | st.binary() | st.datetimes()


@given(st.dictionaries(st.sampled_from("abcd"), VALUES))
def test_a_line_is_what_the_mask_makes_of_its_event(event: Event) -> None:
    line = logs._render_json(None, "info", dict(event))

    assert json.loads(line) == logs._mask_event(None, "info", dict(event))


def test_human_lines_are_masked_too() -> None:
    result = run(
        "configure_logging('info', None, human=True)\nstructlog.get_logger().info('hello', pan=sys.argv[1])", PAN
    )

    assert "hello" in result.stderr
    assert MASKED in result.stderr


@given(
    before=st.text(st.characters(exclude_categories=["Nd"], exclude_characters=" -")),
    body=st.text("0123456789", min_size=12, max_size=18),
    after=st.text(st.characters(exclude_categories=["Nd"], exclude_characters=" -")),
)
def test_a_pan_anywhere_in_a_text_keeps_only_bin_and_last_four(before: str, body: str, after: str) -> None:
    pan = luhn(body)

    assert mask_pans(before + pan + after) == f"{before}{Pan(pan).masked}{after}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "000001",
        "2026-11-22T23:17:23.123456Z",  # a time is groups of digits, but no 13 in a row
        "0123456789ab" * 3,
        PAN[:-1] + str((int(PAN[-1]) + 1) % 10),  # Luhn fails: no PAN
    ],
)
def test_what_is_no_pan_stays(text: str) -> None:
    assert mask_pans(text) == text


@pytest.mark.parametrize("name", ["0012611250000001234500007", PAN, f"day-{PAN}"])
def test_what_is_known_to_be_no_pan_stays_where_it_stands_alone(name: str) -> None:
    other = luhn("5" * 15)
    assert mask_pans(f"file {name} of {other}", [name]) == f"file {name} of {Pan(other).masked}"
    assert mask_pans(f"file {name}", ["0", name[:13], name[-13:]]) == mask_pans(f"file {name}") != f"file {name}"
    longer = f"{name}{other}"
    assert mask_pans(longer, [name]) == mask_pans(longer)


def test_an_unknown_level_and_a_file_that_cannot_be_opened_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="log level 'loud': one of debug, info"):
        configure_logging("loud", None)
    with pytest.raises(ConfigurationError, match="No such file"):
        configure_logging("info", tmp_path / "missing" / "switch.log")
