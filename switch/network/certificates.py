"""Certificates and keys from files, as contexts for TLS; read again when the files have changed."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Never

import structlog

from switch.contracts.errors import ConfigurationError
from switch.network.settings import DialerSettings, DialerTls, ListenerSettings, ListenerTls
from switch.network.stats import NetworkStats

__all__ = ["Certificates", "certificate_names", "check_tls"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# Sessions last for days, so that resuming one saves nothing, and a client that goes without having read its tickets
# resets its own connection. Renegotiation has no use here and a history of attacks. An end of TCP without TLS's goodbye
# leaves our direction open, as without TLS.
_OPTIONS = ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)

_Stamp = tuple[tuple[int, int, int] | None, ...]


def check_tls(settings: ListenerSettings | DialerSettings) -> None:
    """Reads what ``tls`` names. Raises ConfigurationError naming link, key and file, never what is in it."""
    if settings.tls is None:
        return
    context = _context(settings.tls, settings.network)
    if isinstance(settings, DialerSettings):
        server_name = settings.tls.server_name
        for name in [server_name] if server_name else [target.host for target in settings.targets]:
            try:
                context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
            except ValueError:
                raise ConfigurationError(
                    f"dialer {settings.network}: tls: {name}: no certificate can have that name"
                ) from None


class Certificates:
    """The context for the new connections of one link. A connection that is there keeps the one it began with.

    Raises ConfigurationError when what is there at the start can't be used. Later, when files change, what can't be
    used is logged and counted, and what was in use stays: a certificate and its key are seldom written in one moment.
    """

    def __init__(self, tls: ListenerTls | DialerTls, network: str, stats: NetworkStats) -> None:
        self.handshake_timeout_seconds = tls.handshake_timeout_seconds
        self.client_names = frozenset(tls.client_names if isinstance(tls, ListenerTls) else ())
        self._tls = tls
        self._network = network
        self._stats = stats
        authorities = tls.client_ca if isinstance(tls, ListenerTls) else tls.ca
        self._files = [path for path in (tls.certificate, tls.key, authorities) if path is not None]
        self._stamp = self._look()
        self._context = _context(tls, network)

    def current(self) -> ssl.SSLContext:
        """The context as the files are now. Looks at a few inodes; to be called once for each connection."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._context = _context(self._tls, self._network)
            except ConfigurationError as error:
                self._stats.certificate_reloads_failed += 1
                log.error("certificate_reload_failed", network=self._network, error=str(error))
            else:
                self._stats.certificates_reloaded += 1
                log.info("certificate_reloaded", network=self._network)
        return self._context

    def _look(self) -> _Stamp:
        return tuple(_stamp(path) for path in self._files)


def certificate_names(certificate: Mapping[str, Any]) -> list[str]:
    """The common name of the subject, then the alternative names, of what ``getpeercert`` tells; may be empty."""
    subject = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return subject + [value for _, value in certificate.get("subjectAltName", ())]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        # Gone, perhaps for a moment: that is a change, and reading the file will say what is wrong.
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


# ── from files to contexts ───────────────────────────────────────────────────────────────────────────────────────────


def _context(tls: ListenerTls | DialerTls, network: str) -> ssl.SSLContext:
    where = f"{'listener' if isinstance(tls, ListenerTls) else 'dialer'} {network}: tls"
    if isinstance(tls, ListenerTls):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0
        if tls.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            _trust(context, tls.client_ca, f"{where}.client_ca")
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and name
        if tls.ca is None:
            context.load_default_certs()
        else:
            _trust(context, tls.ca, f"{where}.ca")
    if tls.certificate is not None and tls.key is not None:
        _own(context, tls.certificate, tls.key, where)
    context.options |= _OPTIONS
    context.minimum_version = _VERSIONS[tls.minimum_version]
    return context


def _trust(context: ssl.SSLContext, path: Path, where: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ConfigurationError(f"{where} {path}: no certificate in PEM form is in it") from None
    except OSError as error:
        raise ConfigurationError(f"{where} {path}: {error.strerror}") from error


def _own(context: ssl.SSLContext, certificate: Path, key: Path, where: str) -> None:
    """Our certificate and its key, looked at one by one: OpenSSL would not say which of the two it means."""
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, f"{where}.certificate")
    try:
        mode = key.stat().st_mode
        with key.open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"{where}.key {key}: {error.strerror}") from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ConfigurationError(
            f"{where}.key {key}: mode {stat.S_IMODE(mode):04o} lets everybody in; 0400 or 0600 is needed"
        )

    def refuse() -> Never:
        # Without this, OpenSSL would ask on the terminal and wait for ever.
        raise ConfigurationError(f"{where}.key {key}: is encrypted; hand it over as it is, readable by us alone")

    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"{where}.key {key}: is not the key of {certificate}") from None
        raise ConfigurationError(f"{where}.key {key}: no private key in PEM form is in it") from None
