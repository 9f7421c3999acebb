"""The signature of a call to a provider: who calls, when, under which key, and what for. See the room's README."""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["SIGNATURE_KEY_BYTES", "signature"]

SIGNATURE_KEY_BYTES = 32
"""HMAC-SHA-256: a key as long as the digest."""


def signature(secret: bytes, *, method: str, path: str, timestamp: str, key: str, body: bytes) -> str:
    """``Funding-Signature`` in lower-case hex, over one line each. No line can hold a line break: keys and paths are
    visible ASCII, and the body stands there as its digest.
    """
    lines = ("funding-v1", method, path, timestamp, key, hashlib.sha256(body).hexdigest())
    return hmac.new(secret, "\n".join(lines).encode("ascii"), hashlib.sha256).hexdigest()
