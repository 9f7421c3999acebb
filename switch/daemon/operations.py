"""Health and metrics over HTTP/1.1: ``/livez``, ``/readyz``, ``/metrics``. For monitoring on the machine itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus

import h11
import trio

__all__ = ["serve_operations"]

_REQUEST_SECONDS = 5.0
_REQUEST_BYTES_MAX = 16_384

#: Gives status, content type and body.
Page = Callable[[], tuple[HTTPStatus, str, bytes]]


async def serve_operations(
    host: str,
    port: int,
    pages: dict[str, Page],
    *,
    task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves ``pages`` by path until it is cancelled; ``task_status`` is told the address."""
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        # The system's own text does not say which of several ports it was.
        raise OSError(error.errno, f"{host}:{port}: {error.strerror}") from error
    address = listeners[0].socket.getsockname()
    task_status.started((address[0], address[1]))
    await trio.serve_listeners(partial(_serve, pages), listeners)


async def _serve(pages: dict[str, Page], stream: trio.SocketStream) -> None:
    """One request on one connection, then close: monitoring asks seldom."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_REQUEST_BYTES_MAX)
    with trio.move_on_after(_REQUEST_SECONDS):
        async with stream:
            try:
                request = await _read_request(connection, stream)
                status, kind, body = _answer(pages, request)
                head = h11.Response(
                    status_code=status,
                    headers=[
                        ("Content-Type", kind),
                        ("Content-Length", str(len(body))),
                        ("Cache-Control", "no-store"),
                        ("Connection", "close"),
                    ],
                )
                events = (head, h11.Data(data=body), h11.EndOfMessage())
                await stream.send_all(b"".join(connection.send(event) or b"" for event in events))
            except (trio.BrokenResourceError, h11.ProtocolError):
                # The peer went away or speaks no HTTP; there is nobody to tell.
                return


async def _read_request(connection: h11.Connection, stream: trio.SocketStream) -> h11.Request:
    request: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(4096))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return request
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed before a request was complete")


def _answer(pages: dict[str, Page], request: h11.Request) -> tuple[HTTPStatus, str, bytes]:
    page = pages.get(request.target.decode("ascii", "replace").partition("?")[0])
    if page is None:
        known = " ".join(sorted(pages))
        return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", f"not here; there is {known}\n".encode()
    if request.method != b"GET":
        return HTTPStatus.METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", b"only GET\n"
    return page()
