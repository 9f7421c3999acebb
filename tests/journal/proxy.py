"""A man in the middle of the daemon and PostgreSQL, who lets the connection break at the worst moment.

It forwards bytes on a Unix socket of its own. When what commits goes out (a COMMIT, or record_unit or record_funding
where it is a transaction by itself) it does what its ``plan`` says, once.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

__all__ = ["Plan", "Proxy", "proxy"]

#: The simple queries that a unit with locks sends: type, length, text and its end.
_BEGIN, _COMMIT = b"Q\x00\x00\x00\x0aBEGIN\x00", b"Q\x00\x00\x00\x0bCOMMIT\x00"
#: How these are prepared: the name that each gets, and its text. It is executed by that name ever after.
_PREPARED = re.compile(rb"(__asyncpg_stmt_\w+)\x00SELECT record_(?:unit|funding)\(")


class Plan(StrEnum):
    """What happens to the next commit."""

    FORWARD = "forward"
    DROP_BEFORE = "drop before"  # PostgreSQL never sees it
    DROP_AFTER = "drop after"  # PostgreSQL commits, and its answer is lost
    HANG_AFTER = "hang after"  # PostgreSQL commits, and nobody hears anything any more


class Proxy:
    """``plan`` is used up by the next commit; ``dsn`` leads through the proxy. ``begins`` and ``commits`` count."""

    def __init__(self, upstream: str, directory: Path) -> None:
        parts = urlsplit(upstream)
        options = parse_qs(parts.query)
        (self._upstream,) = (f"{options['host'][0]}/.s.PGSQL.{options['port'][0]}",)
        self.socket = directory / ".s.PGSQL.5432"
        self.dsn = f"postgresql://{parts.netloc}/{parts.path[1:]}?host={directory}&port=5432"
        self.plan = Plan.FORWARD
        self.begins = 0
        self.commits = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
        self._writers += [writer, up_writer]
        answers = asyncio.ensure_future(_pump(up_reader, writer))
        self._tasks.add(answers)
        records: tuple[bytes, ...] = ()
        in_transaction = False
        prepared_for = False  # a unit of work records nothing when it has connected
        try:
            while data := await reader.read(65536):
                if prepared := _PREPARED.search(data):
                    records = (*records, b"\x00" + prepared[1] + b"\x00")
                if data == _BEGIN:
                    self.begins += 1
                    in_transaction = True
                # B is Bind: an empty portal name, then the statement's.
                bound = data.startswith(b"B") and data[5:].startswith(records)
                if bound and not prepared_for:
                    prepared_for = True
                elif data == _COMMIT or (bound and not in_transaction):
                    in_transaction = False
                    self.commits += 1
                    plan, self.plan = self.plan, Plan.FORWARD
                    if plan is Plan.DROP_BEFORE:
                        break
                    if plan in (Plan.DROP_AFTER, Plan.HANG_AFTER):
                        answers.cancel()
                        await asyncio.wait([answers])
                        up_writer.write(data)
                        # Ready, and in no transaction: the commit took place. Nobody hears it.
                        assert (await up_reader.read(65536)).endswith(b"Z\x00\x00\x00\x05I")
                        if plan is Plan.DROP_AFTER:
                            break
                        continue
                up_writer.write(data)
        except ConnectionError:
            return  # one side is gone: the other follows
        finally:
            answers.cancel()
            writer.transport.abort()
            up_writer.transport.abort()

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        return  # the other direction closes both
    writer.close()


@asynccontextmanager
async def proxy(upstream: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server that ``upstream`` (a DSN with a socket directory) names."""
    with tempfile.TemporaryDirectory(prefix="switch-proxy-", dir="/tmp") as directory:
        middle = Proxy(upstream, Path(directory))
        server = await asyncio.start_unix_server(middle.handle, str(middle.socket))
        try:
            yield middle
        finally:
            server.close()
            await middle.close()
            await server.wait_closed()
