"""``[funding]`` and its ``[[funding.provider]]`` tables, as data.

Raises of ``__post_init__`` are ValueErrors whose text begins with the key: msgspec adds the table's path when it
decodes.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from switch.funding.breaker import BreakerRules
from switch.funding.pace import Pace

__all__ = ["FundingSettings", "ProviderSettings"]

_PATH = re.compile(r"[A-Za-z0-9_.~/-]*")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[funding.provider]]``. Files are PEM, but for the key of the signatures."""

    name: str  # as sources name it
    kind: Literal["http"] = "http"  # the adapter
    url: str  # what the contract's paths are added to; https, or http to this machine itself
    key_id: str  # which of the provider's keys for us signs
    key_file: Path  # 32 bytes in hex: HMAC-SHA-256
    ca: Path | None = None  # the authorities that we trust; those of the system when left out
    certificate: Path | None = None  # ours, where the provider asks for one
    certificate_key: Path | None = None
    minimum_version: Literal["1.2", "1.3"] = "1.2"  # of TLS
    connect_seconds: float = 0.8  # for each of: a free connection, TCP, the TLS handshake
    answer_seconds: float = 3.0  # for a call in all
    connections_max: int = 256
    idle_seconds: float = 20.0  # for which an unused connection is kept
    breaker: BreakerRules = BreakerRules()

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        if not _NAME.fullmatch(self.name):
            raise ValueError("name: 1 to 32 of a-z, 0-9, _ and - needed")
        if not 0 < len(self.key_id) <= 64 or not self.key_id.isascii() or not self.key_id.isprintable():
            raise ValueError("key_id: 1 to 64 visible ASCII characters needed")
        if (self.certificate is None) is not (self.certificate_key is None):
            raise ValueError("certificate: certificate and certificate_key are needed together")
        _check_url(self.url)
        _within("connect_seconds", self.connect_seconds, 0.01, 60)
        _within("answer_seconds", self.answer_seconds, 0.01, 60)
        if self.answer_seconds < 3 * self.connect_seconds:
            # A call that is cut off while it connects took nothing; one that is cut off later may have.
            raise ValueError("answer_seconds: at least three times connect_seconds needed")
        _within("connections_max", self.connections_max, 1, 10_000)
        _within("idle_seconds", self.idle_seconds, 0, 3_600)


class FundingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[funding]``."""

    provider: tuple[ProviderSettings, ...] = ()
    budget_seconds: float = 3.0  # for which a parked purchase waits
    next_source_seconds: float = 0.5  # of the budget that must be left for another source to be asked after a decline
    budget_answer: Literal["declined", "unavailable"] = "declined"  # when it has waited so long: 51 or 91
    pace: Pace = Pace()
    waiting_max: int = 1_000  # purchases that wait at once; what comes beyond is declined as it would be without top-up
    messages_per_top_up: int = 160  # while ordinary ones are being decided, one top-up begins for so many
    top_ups_per_second_min: float = 55.0  # or so many in each second, if that is more
    connections: int = 2  # to the database, for attempts
    lease_seconds: float = 5.0  # after which the attempts of a daemon that is gone are taken over
    overdue_seconds: tuple[int, ...] = (60, 3_600, 86_400)  # after each an attempt that is open still is alerted, once

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        names = [provider.name for provider in self.provider]
        if len(set(names)) != len(names):
            raise ValueError("provider: two have the same name")
        _within("budget_seconds", self.budget_seconds, 0.1, 60)
        _within("next_source_seconds", self.next_source_seconds, 0.01, 60)
        _within("waiting_max", self.waiting_max, 1, 100_000)
        _within("messages_per_top_up", self.messages_per_top_up, 1, 100_000)
        _within("top_ups_per_second_min", self.top_ups_per_second_min, 0, 100_000)
        _within("connections", self.connections, 1, 100)
        _within("lease_seconds", self.lease_seconds, 0.3, 600)
        for seconds in self.overdue_seconds:
            _within("overdue_seconds", seconds, 1, 31_536_000)
        for provider in self.provider:
            if self.pace.answer_seconds <= provider.answer_seconds:
                longest = f"{provider.answer_seconds} (answer_seconds of {provider.name})"
                raise ValueError(f"pace.answer_seconds: more than {longest} needed")


def _check_url(url: str) -> None:
    # The URL itself is not quoted: somebody may have put a password into it.
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("url: no URL") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError("url: https://HOST[:PORT][/PATH] needed")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("url: neither user, query nor fragment belong there")
    if not _PATH.fullmatch(parts.path):
        # The path is signed as it stands here; what a client would encode, it would send otherwise.
        raise ValueError("url: only letters, digits and _ . ~ - / in the path")
    if parts.scheme == "http" and not _is_this_machine(host):
        raise ValueError("url: http only to this machine itself (127.0.0.1, [::1], localhost); https is needed")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _within(key: str, value: float, least: float, most: float) -> None:
    # Written so that a NaN, which TOML can hold, is refused too.
    if not least <= value <= most:
        raise ValueError(f"{key}: between {least} and {most} needed, {value} found")
