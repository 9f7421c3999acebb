"""A connection that is ready for messages: whatever came before the first of them has happened."""

from __future__ import annotations

import errno
import ssl
from typing import NamedTuple

import trio

__all__ = ["Connection", "failure_text"]


class Connection(NamedTuple):
    """What a session needs to begin."""

    stream: trio.abc.HalfCloseableStream
    label: str  # network, number, the peer's address and, where it has shown a certificate, its name
    tls: str = ""  # the protocol's version; empty: none


def failure_text(error: BaseException) -> str:
    """What broke a connection, for a log line: the errno, or what TLS says; never anything that the peer has sent."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate refused: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return (cause.reason or type(cause).__name__).lower().replace("_", " ")
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno in errno.errorcode:
        return errno.errorcode[cause.errno]
    return type(cause).__name__
