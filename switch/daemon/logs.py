"""Log events as JSON lines: one event per message, cheap enough for the hot path, and none lost on the way out.

Theory of operation::

    structlog event ─▶ level, time, traceback as text ─▶ PAN-shaped text masked ─▶ JSON ─▶ buffer ─▶ stderr or file

Every decided message makes a line, so a line is made in few steps. The mask above all looks at each value only where
the finished line holds enough digits in a row: a search of all the values for PANs would cost more than the rest.

Lines wait in a buffer, since a write call per authorization would cost more than all the rest of its logging. They
leave it when an event of WARNING or worse comes, when 64 KiB wait, when 0.2 s have passed since the last write and
another event comes, when the daemon's timer calls :func:`flush_logs` (every 0.2 s), at exit, and on SIGTERM even where
nobody handles it. Only kill -9 can lose lines: those of the last 0.2 s. (What was decided stands in the journal, not
here.)
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from switch.contracts.errors import ConfigurationError
from switch.contracts.secret import Pan, mask_pan

__all__ = ["FLUSH_SECONDS", "LEVELS", "configure_logging", "flush_logs", "mask_pans"]

FLUSH_SECONDS: Final = 0.2
LEVELS: Final = ("debug", "info", "warning", "error", "critical")

_BUFFER_BYTES_MAX: Final = 65536
_WAIT_SECONDS: Final = 1.0


def configure_logging(level: str, path: Path | None, *, human: bool = False) -> None:
    """Send log events to ``path``, or to stderr when it is None. Called once, before the first event.

    ``level`` is one of :data:`LEVELS`. ``human`` writes coloured text for a terminal instead of JSON. Events of the
    standard library's ``logging`` (from asyncpg and others), WARNING and worse, join the same stream.

    Raises:
        ConfigurationError: an unknown level, or a file that can't be opened for appending.
    """
    if level not in LEVELS:
        raise ConfigurationError(f"log level {level!r}: one of {', '.join(LEVELS)} is needed")
    _sink.open(path)
    processors: list[Processor] = [_complete, _mask_event, _HumanRenderer()] if human else [_complete, _render_json]
    structlog.configure(
        processors=processors,
        wrapper_class=_wrapper_class(level),
        logger_factory=_make_logger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _StandardHandler)]
    root.addHandler(_StandardHandler(logging.WARNING))
    _take_sigterm()


def flush_logs() -> None:
    """Write what waits in the buffer. The daemon calls it every :data:`FLUSH_SECONDS`."""
    _sink.flush()


# ── from the call to the event ───────────────────────────────────────────────────────────────────────────────────────


def _wrapper_class(level: str) -> type[FilteringBoundLogger]:
    """structlog's bound logger with a shorter way for a plain ``info``, the call that every message makes.

    structlog hands the fields through three calls, which copy them each time.
    """
    base = structlog.make_filtering_bound_logger(level)
    if LEVELS.index(level) > LEVELS.index("info"):
        return base
    structlogs_way = base.info

    def info(self: Any, event: str, *arguments: Any, **fields: Any) -> Any:
        if arguments or self._context:
            return structlogs_way(self, event, *arguments, **fields)
        fields["event"] = event
        line: Any = fields
        try:
            for processor in self._processors:
                line = processor(self._logger, "info", line)
        except structlog.DropEvent:
            return None
        return self._logger.info(line)

    return type("BoundLogger", (base,), {"info": info, "msg": info})


def _complete(_logger: object, method: str, event: EventDict) -> EventDict:
    """Add what the caller leaves out. The bound logger calls its methods by the names of the levels."""
    event["level"] = method
    event["timestamp"] = _timestamp()
    if "exc_info" in event:
        return structlog.processors.format_exc_info(_logger, method, event)
    return event


def _timestamp() -> str:
    """Now, UTC, as ISO 8601 with microseconds."""
    second, microsecond = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_to_the_second(second)}.{microsecond:06}Z"


@lru_cache(maxsize=1)
def _to_the_second(second: int) -> str:
    """The part of the time that thousands of lines have in common."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


# ── masking ──────────────────────────────────────────────────────────────────────────────────────────────────────────

# Twelve digits are no full PAN; a run of 13 or more, also in groups as people write it, may be one.
_DIGIT_RUN: Final = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_SHORTEST: Final = 13
_LONGEST: Final = 19


def mask_pans(text: str, plain: Iterable[str] = ()) -> str:
    """``text`` with everything PAN-shaped masked: 13 to 19 digits that pass Luhn keep BIN and last four.

    A run of 20 digits or more is starred whole when a PAN may hide in it (raw message text, say), which by the laws of
    chance is nearly always: the last line of defence errs on the dark side. Only a run that is, from its first digit to
    its last, one of those in ``plain`` stays: the caller knows that these are no card numbers.
    """
    if len(text) < _SHORTEST:
        return text
    known = {run.group() for each in plain for run in _DIGIT_RUN.finditer(each)}
    if not known:
        return _DIGIT_RUN.sub(_mask_run, text)
    return _DIGIT_RUN.sub(lambda run: run.group() if run.group() in known else _mask_run(run), text)


def _mask_run(match: re.Match[str]) -> str:
    found = match.group()
    digits = found.replace(" ", "").replace("-", "")
    if len(digits) > _LONGEST:
        return "*" * len(found)
    return mask_pan(digits) if Pan(digits).passes_luhn() else found


def _mask_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The last line of defence: the code never logs a PAN, and if it does all the same, the line does not show it."""
    for key, value in event.items():
        # Most values are short texts and numbers, which can't carry a PAN; the test for that comes first.
        if type(value) is str:
            if len(value) >= _SHORTEST:
                event[key] = mask_pans(value)
        elif not isinstance(value, (int, float, type(None))):
            event[key] = _mask_value(value)
    return event


def _mask_value(value: object) -> object:
    """``value`` with the texts inside it masked. What is no plain data becomes its own, masked, text."""
    if isinstance(value, str):
        return mask_pans(value)
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        # Raw bytes may be a message: encoded as base64 they would pass every mask.
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return {mask_pans(str(key)): _mask_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_mask_value(inner) for inner in value]
    return mask_pans(str(value))


# ── rendering ────────────────────────────────────────────────────────────────────────────────────────────────────────

_encoder: Final = msgspec.json.Encoder(enc_hook=str)

# What JSON writes as it is, but for a few escapes. A text of another type may be an enum's, say.
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
# Each digit as 0 and every other byte as a dot, to find a run of digits, whichever they are, as a fixed text.
_DIGITS_ALIKE: Final = bytes(ord("0") if chr(byte) in "0123456789" else ord(".") for byte in range(256))
_SHORTEST_RUN: Final = b"0" * _SHORTEST


def _render_json(_logger: object, _method: str, event: EventDict) -> bytes:
    """The event as JSON, masked.

    A text stands in its line digit for digit, so where no run in the line is as long as a PAN, none of the texts holds
    one. Escapes and long numbers may look like one, which costs some time only: then the mask looks at the texts.
    """
    if _PLAIN.issuperset(map(type, event.values())):
        line = _encoder.encode(event)
        if _SHORTEST_RUN not in line.translate(_DIGITS_ALIKE, b" -"):
            return line
    return _encoder.encode(_mask_event(_logger, _method, event))


class _HumanRenderer:
    """structlog's console lines, as bytes."""

    def __init__(self) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())

    def __call__(self, logger: Any, method: str, event: EventDict) -> bytes:
        return self._render(logger, method, event).encode()


# ── the sink ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Sink:
    """Where lines go: a buffer in front of a file descriptor. Any thread may write; there is one per process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._lines: list[bytes] = []
        self._bytes = 0
        self._written_at = 0.0
        self._lost = 0
        self._fd = 2
        self._owns_fd = False
        self.flushing = False
        self.terminate_after_flush = False

    def open(self, path: Path | None) -> None:
        """Write to the file from now on, or to stderr."""
        fd = 2
        if path is not None:
            try:
                # 0640: the operators' group may read it, others not, although no secret should ever be in it.
                fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            except OSError as error:
                raise ConfigurationError(f"log file {path}: {error.strerror}") from error
        with self._lock:
            self.flush()
            if self._owns_fd:
                os.close(self._fd)
            self._fd, self._owns_fd = fd, path is not None

    def write(self, line: bytes) -> None:
        """Take a line (its end is added later); it may wait."""
        with self._lock:
            self._lines.append(line)
            self._bytes += len(line)
            if self._bytes >= _BUFFER_BYTES_MAX or time.monotonic() - self._written_at >= FLUSH_SECONDS:
                self.flush()

    def write_now(self, line: bytes) -> None:
        """Take a line and let nothing wait."""
        with self._lock:
            self._lines.append(line)
            self.flush()

    def flush(self) -> None:
        """Write what waits. A reader that is gone or stuck must not stop the issuer: lines are dropped and counted."""
        if not self._lines:
            return
        with self._lock:
            self.flushing = True
            lines, self._lines, self._bytes = self._lines, [], 0
            count = len(lines)
            if self._lost:
                lines.insert(0, _encoder.encode({"event": "log lines lost", "level": "error", "lines": self._lost}))
            lines.append(b"")
            try:
                _write_all(self._fd, b"\n".join(lines))
                self._lost = 0
            except OSError:
                self._lost += count
            finally:
                self._written_at = time.monotonic()
                self.flushing = False
        if self.terminate_after_flush:
            _terminate()


def _write_all(fd: int, data: bytes) -> None:
    """Write every byte, also to a pipe that another program made non-blocking.

    Raises:
        OSError: the reader is gone, the disk is full, or a pipe stayed full for a second.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            if not select.select([], [fd], [], _WAIT_SECONDS)[1]:
                raise


_sink: Final = _Sink()
atexit.register(flush_logs)


class _SinkLogger:
    """What structlog calls with the rendered line, by the name of the level."""

    debug = info = msg = staticmethod(_sink.write)
    warning = warn = error = err = critical = fatal = exception = failure = staticmethod(_sink.write_now)


def _make_logger(*_arguments: object) -> _SinkLogger:
    return _SinkLogger()


class _StandardHandler(logging.Handler):
    """Hands the standard library's records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
        )


# ── SIGTERM ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _take_sigterm() -> None:
    """Flush before the default action ends the process. A handler that somebody else has set, or sets later, stays."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(_number: int, _frame: FrameType | None) -> None:
    # The signal may have come in the middle of a flush, which must finish first: then its end terminates.
    if _sink.flushing:
        _sink.terminate_after_flush = True
        return
    flush_logs()
    _terminate()


def _terminate() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
