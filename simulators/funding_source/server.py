"""The provider on a socket: HTTP/1.1 with kept connections, in TLS or without, and the faults that are the wire's."""

from __future__ import annotations

import socket
import ssl
import struct
from functools import partial
from http import HTTPStatus

import h11
import msgspec
import trio

from simulators.funding_source.books import summary
from simulators.funding_source.faults import FaultKind, Faults, Script
from simulators.funding_source.provider import Provider, Reply

__all__ = ["serve_provider"]

_BODY_BYTES_MAX = 65_536
_RECEIVE_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for no time: close() sends RST

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


async def serve_provider(
    provider: Provider,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    control: bool = False,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves until it is cancelled; ``task_status`` is told the port. Port 0 takes any free one.

    With ``control`` there are also ``POST /control/script`` (JSON, the fields of a script: replaces the one being
    played) and ``GET /control/books``; they are not signed, so only a test's own machine should reach them.

    Raises OSError when the port can't be had.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(partial(_serve, provider, tls, control), listeners)


async def _serve(provider: Provider, tls: ssl.SSLContext | None, control: bool, transport: trio.SocketStream) -> None:
    stream: Stream = transport
    if tls is not None:
        stream = trio.SSLStream(transport, tls, server_side=True, https_compatible=True)
    caller = _Caller(stream, transport)
    try:
        while (call := await caller.read()) is not None:
            reply = _control(provider, *call) if control else None
            if not await caller.send(reply or await _carry_out(provider, *call)):
                break
    except (trio.BrokenResourceError, h11.ProtocolError):
        pass  # The caller went away, or speaks no HTTP; there is nobody to tell.
    finally:
        await trio.aclose_forcefully(transport)


async def _carry_out(provider: Provider, request: h11.Request, body: bytes) -> Reply:
    if request.method != b"POST":
        return Reply(HTTPStatus.METHOD_NOT_ALLOWED, b"only POST")
    headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
    order = provider.read(request.target.decode(), headers, body)
    if isinstance(order, Reply):
        return order
    if order.fault.kind is FaultKind.SLOW:
        await trio.sleep(order.fault.seconds)
    return provider.carry_out(order)


def _control(provider: Provider, request: h11.Request, body: bytes) -> Reply | None:
    match request.method, request.target:
        case b"POST", b"/control/script":
            try:
                provider.faults = Faults(msgspec.json.decode(body, type=Script))
            except msgspec.MsgspecError as error:
                return Reply(HTTPStatus.BAD_REQUEST, str(error).encode())
            return Reply(HTTPStatus.OK, b"{}")
        case b"GET", b"/control/books":
            entries = [
                *provider.books.charges.values(),
                *provider.books.refused.values(),
                *provider.books.voids.values(),
            ]
            return Reply(HTTPStatus.OK, msgspec.json.encode({"entries": entries, "summary": summary(entries)}))
    return None


class _Caller:
    """One connection; its calls come one after the other."""

    def __init__(self, stream: Stream, transport: trio.SocketStream) -> None:
        self._stream = stream
        self._transport = transport
        self._http = h11.Connection(h11.SERVER)

    async def send(self, reply: Reply) -> bool:
        """Whether another call may come on this connection."""
        match reply.fault.kind:
            case FaultKind.SILENT_BEFORE | FaultKind.SILENT_AFTER:
                while await self._stream.receive_some(_RECEIVE_BYTES):
                    pass  # until the caller has had enough
                return False
            case FaultKind.RESET_BEFORE | FaultKind.RESET_AFTER:
                self._transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return False
        head = h11.Response(
            status_code=reply.status,
            headers=[("Content-Type", "application/json"), ("Content-Length", str(len(reply.body)))],
        )
        events = (head, h11.Data(data=reply.body), h11.EndOfMessage())
        answer = b"".join(self._http.send(event) or b"" for event in events)
        await self._stream.send_all(answer * (2 if reply.fault.kind is FaultKind.DUPLICATE else 1))
        if self._http.our_state is h11.MUST_CLOSE:
            return False
        self._http.start_next_cycle()
        return True

    async def read(self) -> tuple[h11.Request, bytes] | None:
        """The next call; None when the caller has said goodbye."""
        request: h11.Request | None = None
        body = b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(bytes(await self._stream.receive_some(_RECEIVE_BYTES)))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _BODY_BYTES_MAX:
                    raise h11.RemoteProtocolError("body too long")
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                return request, body
            else:
                return None
