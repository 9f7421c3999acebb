"""Log events as JSON lines: one event per message, cheap enough for the hot path, and none lost on the way out.

Theory of operation::

    structlog event ─▶ level, time, traceback as text ─▶ PAN-shaped text masked ─▶ JSON ─▶ buffer ─▶ stderr or file

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
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec
import structlog
from structlog.typing import EventDict, Processor

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
    render: Processor = _HumanRenderer() if human else _render_json
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask_event,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
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


# ── masking ──────────────────────────────────────────────────────────────────────────────────────────────────────────

# Twelve digits are no full PAN; a run of 13 or more, also in groups as people write it, may be one.
_DIGIT_RUN: Final = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_SHORTEST: Final = 13
_LONGEST: Final = 19


def mask_pans(text: str) -> str:
    """``text`` with everything PAN-shaped masked: 13 to 19 digits that pass Luhn keep BIN and last four.

    A run of 20 digits or more is starred whole when a PAN may hide in it (raw message text, say), which by the laws of
    chance is nearly always: the last line of defence errs on the dark side.
    """
    return _DIGIT_RUN.sub(_mask_run, text) if len(text) >= _SHORTEST else text


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


def _render_json(_logger: object, _method: str, event: EventDict) -> bytes:
    return _encoder.encode(event) + b"\n"


class _HumanRenderer:
    """structlog's console lines, as bytes."""

    def __init__(self) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())

    def __call__(self, logger: Any, method: str, event: EventDict) -> bytes:
        return self._render(logger, method, event).encode() + b"\n"


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
        """Take a line; it may wait."""
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
                lines.insert(
                    0, _encoder.encode({"event": "log lines lost", "level": "error", "lines": self._lost}) + b"\n"
                )
            try:
                _write_all(self._fd, b"".join(lines))
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

    def debug(self, line: bytes) -> None:
        _sink.write(line)

    def warning(self, line: bytes) -> None:
        _sink.write_now(line)

    info = msg = debug
    warn = error = err = critical = fatal = exception = failure = warning


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
