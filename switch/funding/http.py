"""The adapter for providers that speak the JSON contract of this folder's README, over HTTPS.

What it says of a call follows from what it knows. A call that failed before its first byte was sent took nothing. One
that was answered in the contract's words had the effect that they name. All the rest, a bare 500 and a lost connection
alike, is unknown, and the machine asks.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import NamedTuple

import httpcore
import httpx
import msgspec
import trio

from switch.contracts.errors import ConfigurationError
from switch.contracts.funding import (
    Charge,
    ChargeAnswer,
    Charged,
    Declined,
    DeclineReason,
    NotCharged,
    Query,
    QueryAnswer,
    Unavailable,
    Unknown,
    Void,
    VoidAnswer,
    Voided,
    VoidRefusal,
    VoidRefused,
)
from switch.funding.connections import Connections
from switch.funding.settings import ProviderSettings
from switch.funding.signature import SIGNATURE_KEY_BYTES, signature
from switch.vault.keys import load_key

__all__ = ["HttpProvider", "check_provider", "nothing_was_sent", "open_http_provider"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ANSWER_BYTES_MAX = 65_536
# A decline is one whatever its reason; a refusal whose reason is new is none that money could be credited for.
_DECLINES = {reason.value: reason for reason in DeclineReason}
_REFUSALS = {reason.value: reason for reason in VoidRefusal}

# Each of these is raised before the request's first byte leaves. Whatever is not named here counts as sent.
_NOTHING_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout)
# All that httpcore raises: its errors have no common base.
_FAILED = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpcore.ProxyError,
    httpcore.ConnectionNotAvailable,
)

# Statuses with which a provider that took nothing says: later.
_LATER = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """Any answer's body. Fields that a provider adds are passed over."""

    key: str  # the idempotency key of the call that it answers
    result: str = ""
    reference: str = ""
    amount_minor: int = 0
    currency: str = ""
    reason: str = ""
    taken: bool | None = None  # with errors: false is a promise


class _Reply(NamedTuple):
    status: int
    told: _Told


class _Body:
    """httpcore's own is a generator, and complains when a call is cut off while it is sent."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces([self._content])


class _Pieces:
    def __init__(self, left: list[bytes]) -> None:
        self._left = left

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


def nothing_was_sent(error: Exception) -> bool:
    """Whether a call that ended so surely had no effect."""
    return isinstance(error, _NOTHING_SENT)


class HttpProvider:
    """One provider. Safe to be used by many tasks at once; connections are shared and kept."""

    def __init__(
        self, settings: ProviderSettings, secret: bytes, connections: Connections, clock: Callable[[], float]
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._secret = secret
        self._connections = connections
        self._clock = clock
        base = settings.url.rstrip("/")
        # An URL is parsed once: that costs as much as the signature.
        urls = {path: httpx.URL(base + path) for path in ("/v1/charges", "/v1/queries", "/v1/voids")}
        self._urls = {path: (url.path, _url(url)) for path, url in urls.items()}
        self._headers = [
            (b"Host", urls["/v1/charges"].netloc),
            (b"Content-Type", b"application/json"),
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", b"issuer-switch"),
            (b"Funding-Key-Id", settings.key_id.encode("ascii")),
        ]
        limit, connect = settings.answer_seconds, settings.connect_seconds
        self._limits = {"timeout": {"connect": connect, "read": limit, "write": limit, "pool": connect}}

    async def charge(self, charge: Charge) -> ChargeAnswer:
        """Takes the money, or tells why not."""
        body = {"source": charge.source, "amount_minor": charge.amount_minor, "currency": charge.currency}
        reply = await self._call("/v1/charges", charge.key, body)
        return reply if isinstance(reply, Unavailable | Unknown) else _read_charge(reply)

    async def query(self, query: Query) -> QueryAnswer:
        """Tells what became of a charge; closes the key of one that never came."""
        reply = await self._call("/v1/queries", query.key, {"charge_key": query.charge_key})
        return _in_doubt(reply) if isinstance(reply, Unavailable | Unknown) else _read_query(reply)

    async def void(self, void: Void) -> VoidAnswer:
        """Gives the money back, or tells why not."""
        reply = await self._call("/v1/voids", void.key, {"charge_key": void.charge_key, "reference": void.reference})
        return _in_doubt(reply) if isinstance(reply, Unavailable | Unknown) else _read_void(reply)

    async def _call(self, path: str, key: str, body: dict[str, object]) -> _Reply | Unavailable | Unknown:
        content = msgspec.json.encode(body)
        signed_path, url = self._urls[path]
        timestamp = str(int(self._clock()))
        signed = signature(self._secret, method="POST", path=signed_path, timestamp=timestamp, key=key, body=content)
        headers = [
            *self._headers,
            (b"Content-Length", b"%d" % len(content)),
            (b"Idempotency-Key", key.encode("ascii")),
            (b"Funding-Timestamp", timestamp.encode("ascii")),
            (b"Funding-Signature", signed.encode("ascii")),
        ]
        request = httpcore.Request(b"POST", url, headers=headers, content=_Body(content), extensions=self._limits)
        status, answer = 0, b""
        # httpcore limits each step; a peer that drips a byte now and then is limited here.
        with trio.move_on_after(self._settings.answer_seconds) as limit:
            try:
                async with self._connections.one() as connection:
                    response = await connection.handle_async_request(request)
                    status = response.status
                    async with aclosing(response):
                        async for piece in response.aiter_stream():
                            answer += piece
                            if len(answer) > _ANSWER_BYTES_MAX:
                                limit.cancel()  # unlike a return, it ends httpcore's own generators where they wait
            except _FAILED as error:
                # The kind of error is enough for a log; its text may quote what the peer sent.
                cause = type(error).__name__
                if not nothing_was_sent(error):
                    return Unknown(cause)
                return Unavailable(cause, asked=not isinstance(error, httpcore.PoolTimeout))
        if limit.cancelled_caught:
            return Unknown("answer too long" if len(answer) > _ANSWER_BYTES_MAX else "no answer in time")
        try:
            told = msgspec.json.decode(answer, type=_Told)
        except (msgspec.MsgspecError, RecursionError):  # the latter where it is nested without end
            return Unknown(f"status {status}, not in the contract's words")
        if told.key != key:
            return Unknown("answer to another call")
        return _Reply(status, told)


def _read_charge(reply: _Reply) -> ChargeAnswer:
    status, told = reply
    if status == HTTPStatus.OK:
        if told.result == "charged":
            return _read_charged(told)
        if told.result == "declined":
            return Declined(_DECLINES.get(told.reason, DeclineReason.REFUSED))
    elif told.taken is False:
        if status in _LATER:
            return Unavailable(f"status {status}")
        if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY):
            return Declined(DeclineReason.REJECTED)
    return _unclear(reply)


def _read_query(reply: _Reply) -> QueryAnswer:
    if reply.status == HTTPStatus.OK:
        if reply.told.result == "charged":
            return _read_charged(reply.told)
        if reply.told.result == "not_charged":
            return NotCharged()
    return _unclear(reply)


def _read_void(reply: _Reply) -> VoidAnswer:
    if reply.status == HTTPStatus.OK:
        if reply.told.result == "voided":
            return Voided(reply.told.reference)
        refusal = _REFUSALS.get(reply.told.reason)
        if reply.told.result == "refused" and refusal is not None:
            return VoidRefused(refusal)
    return _unclear(reply)


def _read_charged(told: _Told) -> Charged | Unknown:
    try:
        return Charged(told.reference, told.amount_minor, told.currency)
    except ValueError as error:
        return Unknown(f"charged, but {error}")


def _unclear(reply: _Reply) -> Unknown:
    return Unknown(f"status {reply.status}, no final word")


def _in_doubt(reply: Unavailable | Unknown) -> Unknown:
    """A question that was never heard leaves things as unknown as one that was not answered."""
    return Unknown(reply.cause)


@asynccontextmanager
async def open_http_provider(
    settings: ProviderSettings, clock: Callable[[], float] = time.time
) -> AsyncIterator[HttpProvider]:
    """Raises ConfigurationError naming provider, key and file, never what is in it."""
    secret = load_key(settings.key_file, length_bytes=SIGNATURE_KEY_BYTES)
    context = _context(settings)

    origin = _url(httpx.URL(settings.url)).origin

    def make() -> httpcore.AsyncHTTPConnection:
        # Below httpx and its client, so there is no proxy and no .netrc from the environment, no cookie and no
        # redirect: a signed call goes to where the settings say.
        return httpcore.AsyncHTTPConnection(origin, ssl_context=context, keepalive_expiry=settings.idle_seconds)

    connections = Connections(
        make,
        connections_max=settings.connections_max,
        wait_seconds=settings.connect_seconds,
        idle_seconds=settings.idle_seconds,
    )
    try:
        yield HttpProvider(settings, secret, connections, clock)
    finally:
        with trio.CancelScope(shield=True):
            await connections.aclose()


def _url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def check_provider(settings: ProviderSettings) -> None:
    """Reads its files. Raises ConfigurationError naming provider, key and file, never what is in it."""
    load_key(settings.key_file, length_bytes=SIGNATURE_KEY_BYTES)
    _context(settings)


def _context(settings: ProviderSettings) -> ssl.SSLContext:
    """Always checks certificate and name; for http:// it is not used."""
    key = "ca"
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        context.minimum_version = _VERSIONS[settings.minimum_version]
        if settings.certificate is not None:
            key = "certificate"
            # Called for a key that is encrypted; without it OpenSSL would ask the terminal.
            context.load_cert_chain(settings.certificate, settings.certificate_key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        what = error.strerror if isinstance(error, OSError) and error.strerror else "can't be used"
        raise ConfigurationError(f"funding provider {settings.name}: {key}: {what}") from None
    return context
