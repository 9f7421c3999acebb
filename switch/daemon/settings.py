"""One TOML file, checked whole before anything starts. Unknown keys are errors; secrets are only paths to files.

Relative paths are relative to the settings file. See ``switch check-config``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from switch.contracts.currency import numeric
from switch.contracts.errors import ConfigurationError
from switch.contracts.reason import Reason
from switch.contracts.secret import Secret
from switch.funding.settings import FundingSettings
from switch.issuer.program import Program
from switch.journal.connection import DatabaseSettings
from switch.network.certificates import check_tls
from switch.network.settings import DialerSettings, ListenerSettings
from switch.processing.batch import BatchSettings
from switch.processing.expiry import ExpirySettings
from switch.vault.keys import DATA_KEY_BYTES, LOOKUP_KEY_BYTES, load_cvk, load_key
from switch.vault.pan import PanVault
from switch.vault.security_code import SecurityCodes
from switch.wire.dialect import Dialect, load_dialect, specs_root

__all__ = [
    "ClearingSettings",
    "LogSettings",
    "OperationsSettings",
    "Settings",
    "VaultSettings",
    "check_funding",
    "check_links",
    "load_dialects",
    "load_programs",
    "load_security_codes",
    "load_settings",
    "load_vault",
]

T = TypeVar("T")


class VaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[vault]``: files with keys in hex. Data keys are numbered, so that a new one can be taken into use."""

    pan_lookup_key: Path  # 32 bytes: HMAC-SHA-256 that finds a card by its number
    pan_data_keys: dict[int, Path]  # 32 bytes each: AES-256-GCM that seals the number
    pan_data_key_current: int
    security_code_keys: dict[str, Path] = {}  # by program, 16 bytes each: card verification keys


class OperationsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[operations]``: health and metrics over HTTP. Port 0 takes any free port."""

    host: str = "127.0.0.1"
    port: int = 9583


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[log]``: JSON lines to stderr, or to a file."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    file: Path | None = None


class ClearingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[clearing]``: whether two people must agree on what becomes of a record in doubt."""

    two_person: bool = False


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    database: DatabaseSettings
    vault: VaultSettings
    programs: Path  # a TOML file with [[program]] tables
    specs: Path | None = None  # a folder with private dialects, looked into before the ones that come along
    listener: tuple[ListenerSettings, ...] = ()
    dialer: tuple[DialerSettings, ...] = ()
    processing: BatchSettings = BatchSettings()
    expiry: ExpirySettings = ExpirySettings()
    clearing: ClearingSettings = ClearingSettings()
    funding: FundingSettings = FundingSettings()  # without a provider nothing is topped up
    operations: OperationsSettings = OperationsSettings()
    log: LogSettings = LogSettings()
    drain_seconds: float = 10.0  # for what is in flight at SIGTERM

    def __post_init__(self) -> None:
        if not self.listener and not self.dialer:
            raise ValueError("at least one [[listener]] or [[dialer]] is needed")
        if self.drain_seconds < 0:
            raise ValueError("drain_seconds is not negative")


class _ProgramFile(msgspec.Struct, forbid_unknown_fields=True):
    program: tuple[Program, ...]


def load_settings(path: Path) -> Settings:
    """Reads and checks the settings file (not the files that it names).

    Raises ConfigurationError naming file, table and key.
    """
    base = path.parent.absolute()

    def hook(kind: type, value: Any) -> Any:  # msgspec hands over whatever stands in the file
        if kind is Path and isinstance(value, str):
            return base / value
        raise NotImplementedError(f"a {kind.__name__} cannot be read from {type(value).__name__}")

    return _decode(path, Settings, hook)


def load_programs(path: Path) -> dict[str, Program]:
    """The card programs by name. Raises ConfigurationError naming file, table and key."""
    programs = _decode(path, _ProgramFile).program
    by_name = {program.name: program for program in programs}
    if len(by_name) != len(programs):
        raise ConfigurationError(f"{path}: two programs have the same name")
    for program in programs:
        try:
            numeric(program.currency)
        except (KeyError, ValueError):
            raise ConfigurationError(
                f"{path}: program {program.name}: currency {program.currency} is not in ISO 4217"
            ) from None
    return by_name


def load_vault(settings: VaultSettings) -> PanVault:
    """Raises ConfigurationError naming the key file, never its contents."""
    data_keys = {number: load_key(path, length_bytes=DATA_KEY_BYTES) for number, path in settings.pan_data_keys.items()}
    if settings.pan_data_key_current not in data_keys:
        raise ConfigurationError(f"vault.pan_data_key_current: there is no data key {settings.pan_data_key_current}")
    lookup_key = load_key(settings.pan_lookup_key, length_bytes=LOOKUP_KEY_BYTES)
    return PanVault(lookup_key, data_keys, settings.pan_data_key_current)


def load_security_codes(settings: VaultSettings, programs: dict[str, Program]) -> SecurityCodes:
    """Raises ConfigurationError when a program has no card verification key."""
    missing = sorted(set(programs) - set(settings.security_code_keys))
    if missing:
        raise ConfigurationError(f"vault.security_code_keys: no key for the program(s) {', '.join(missing)}")
    keys: dict[str, Secret] = {name: load_cvk(path) for name, path in settings.security_code_keys.items()}
    return SecurityCodes(keys)


def load_dialects(settings: Settings) -> dict[str, Dialect]:
    """The dialects that listeners and dialers name. Raises ConfigurationError."""
    dialects: dict[str, Dialect] = {}
    for link in (*settings.listener, *settings.dialer):
        if link.dialect not in dialects:
            private = None if settings.specs is None else settings.specs / link.dialect
            folder = private if private is not None and private.is_dir() else specs_root() / link.dialect
            dialect = load_dialect(folder)
            for reason in Reason:  # a dialect that can't say a reason would fail in the middle of a batch
                dialect.response_code(reason)
            dialects[link.dialect] = dialect
    return dialects


def check_links(settings: Settings) -> None:
    """Reads the certificates and keys of listeners and dialers. Raises ConfigurationError naming link, key and file."""
    links: list[ListenerSettings | DialerSettings] = [*settings.listener, *settings.dialer]
    for link in links:
        check_tls(link)


def check_funding(settings: Settings) -> None:
    """Reads the providers' keys and certificates. Raises ConfigurationError naming provider, key and file."""
    if settings.funding.provider:
        from switch.funding.http import check_provider

        for provider in settings.funding.provider:
            check_provider(provider)


def _decode(path: Path, kind: type[T], hook: Callable[[type, Any], Any] | None = None) -> T:
    try:
        return msgspec.toml.decode(path.read_text(), type=kind, dec_hook=hook)
    except OSError as exc:
        raise ConfigurationError(f"{path}: {exc.strerror}") from exc
    except msgspec.ValidationError as exc:
        raise ConfigurationError(f"{path}: {exc}") from exc
    except (msgspec.DecodeError, ValueError) as exc:
        raise ConfigurationError(f"{path}: is no TOML: {exc}") from exc
