"""The simulator on a real socket, and the adapter that calls it."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import trio
import trustme

from simulators.funding_source.books import Books
from simulators.funding_source.faults import NO_FAULT, Fault, Faults, Script
from simulators.funding_source.provider import Account, ChargeBody, Order, Provider
from simulators.funding_source.server import serve_provider
from switch.contracts.funding import Charge
from switch.funding.http import HttpProvider, open_http_provider
from switch.funding.settings import ProviderSettings

KEY = bytes(range(32))
HOST = "127.0.0.1"


class Stage(NamedTuple):
    provider: Provider
    adapter: HttpProvider
    settings: ProviderSettings

    @property
    def kept_minor(self) -> int:
        books = self.provider.books
        returned = sum(one.amount_minor for one in books.voids.values() if one.deed == "voided")
        return sum(one.amount_minor for one in books.charges.values()) - returned


def key_file(directory: Path, key: bytes = KEY) -> Path:
    path = directory / "signature.key"
    if not path.exists():
        path.write_text(key.hex())
        path.chmod(0o600)
    return path


def provider_settings(directory: Path, port: int, **more: Any) -> ProviderSettings:
    return ProviderSettings(
        **{
            "name": "acme",
            "url": f"http://{HOST}:{port}",
            "key_id": "switch",
            "key_file": key_file(directory),
            "connect_seconds": 5.0,
            "answer_seconds": 15.0,
            **more,
        }
    )


def ordered(charge: Charge) -> Order:
    """The charge as the provider has read it: for what is done there without a socket."""
    return Order(charge.key, ChargeBody(charge.source, charge.amount_minor, charge.currency), NO_FAULT)


class Tls(NamedTuple):
    server: ssl.SSLContext
    ca: Path


def make_tls(directory: Path, name: str = HOST) -> Tls:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    path = directory / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return Tls(context, path)


@asynccontextmanager
async def staged(
    directory: Path, *faults: Fault, tls: Tls | None = None, books: str = "books.jsonl", **more: Any
) -> AsyncIterator[Stage]:
    if tls is not None:
        more = {"ca": tls.ca, **more}
    with Books(directory / books) as kept:
        provider = Provider(kept, Account("switch", KEY), Faults(Script(fault=faults)), time.time)
        async with trio.open_nursery() as nursery:
            server = tls.server if tls is not None else None
            port: int = await nursery.start(partial(serve_provider, provider, HOST, 0, tls=server))
            if tls is not None:
                more = {"url": f"https://{HOST}:{port}", **more}
            settings = provider_settings(directory, port, **more)
            async with open_http_provider(settings) as adapter:
                yield Stage(provider, adapter, settings)
            nursery.cancel_scope.cancel()
