"""Certificates for tests, made on the spot."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import trustme

from switch.network.settings import DialerTls, ListenerTls

SERVER = "switch.example"


class Authority:
    """One certificate authority, and files in a directory for what it issues."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._name = name
        self._ca = trustme.CA()
        self.file = directory / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def files(self, *names: str, common_name: str | None = None, stem: str = "") -> dict[str, Path]:
        """``certificate`` and ``key``, as the settings call them."""
        issued = self._ca.issue_cert(*names, common_name=common_name)
        stem = stem or f"{self._name}-{names[0]}"
        certificate, key = self._directory / f"{stem}.crt", self._directory / f"{stem}.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return {"certificate": certificate, "key": key}

    def listener(self, **more: Any) -> ListenerTls:
        return ListenerTls(**self.files(SERVER), **more)

    def dialer(self, **more: Any) -> DialerTls:
        return DialerTls(**{"ca": self.file, "server_name": SERVER, **more})

    def client(self, *names: str, common_name: str | None = None) -> ssl.SSLContext:
        """A peer that trusts this authority; with names, one that has a certificate of it."""
        context = ssl.create_default_context(cafile=self.file)
        if names:
            self._ca.issue_cert(*names, common_name=common_name).configure_cert(context)
        return context

    def server(self, *, ask: bool = False) -> ssl.SSLContext:
        """A peer that is dialled."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._ca.issue_cert(SERVER).configure_cert(context)
        if ask:
            context.verify_mode = ssl.CERT_REQUIRED
            self._ca.configure_trust(context)
        return context
