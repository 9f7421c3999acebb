"""A switch of a few lines for testing the acquirer's side: it frames, decodes and answers as a script says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial

import trio

from simulators.cards import load_cards
from simulators.messages import Maker
from switch.contracts.message import Kind
from switch.contracts.reason import Reason
from switch.wire.codec import Codec
from switch.wire.dialect import Dialect, dialect_names, load_dialect, specs_root
from switch.wire.framing import Framer
from switch.wire.inbound import ManagementFunction

DIALECTS = dialect_names()
NOON = datetime(2026, 6, 15, 3, 0, 0, tzinfo=UTC)
Fields = dict[str, str]


@cache
def dialect(name: str = "iso87_ascii") -> Dialect:
    return load_dialect(specs_root() / name)


def maker(name: str = "iso87_ascii", *, seed: int = 1, lane: int = 0) -> Maker:
    return Maker(dialect(name), load_cards(), seed=seed, lane=lane, clock=lambda: NOON)


def answer_to(fields: Fields, code: str = "00", **more: str) -> Fields:
    """An answer that echoes the key elements; ``f4="…"`` sets DE4."""
    echoed: Fields = {key: fields[key] for key in ("4", "7", "11", "12", "24", "37", "41", "70") if key in fields}
    mti = fields["t"]
    answer: Fields = {"t": f"{mti[:2]}{int(mti[2]) + 1}{int(mti[3]) // 2 * 2}", **echoed, "39": code}
    answer.update({key[1:]: value for key, value in more.items()})
    return answer


def accepting(name: str) -> Callable[[Fields], Fields]:
    """A script that approves every request and takes in every advice and reversal, in the words of a dialect."""
    of = dialect(name)
    words = {
        Kind.AUTHORIZATION_ADVICE: Reason.ADVICE_ACCEPTED,
        Kind.FINANCIAL_ADVICE: Reason.ADVICE_ACCEPTED,
        Kind.REVERSAL: Reason.REVERSAL_ACCEPTED,
    }
    return lambda f: answer_to(f, of.response_code(words.get(of.messages[f["t"]].kind, Reason.APPROVED)))


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Waits for what another task brings about; fails after ``seconds``. The network tells nobody of such moments."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - the conditions are counts on several objects, which have no event
            await trio.sleep(0.001)


class Responder:
    """Listens on a free port. ``script`` gets each request and gives the answer's fields, or None for silence.

    Everything received is in ``received``, sign-ons and echoes apart in ``managed``.
    """

    def __init__(self, script: Callable[[Fields], Fields | None] = answer_to, name: str = "iso87_ascii") -> None:
        self.codec = Codec(dialect(name))
        self.script = script
        self.received: list[Fields] = []
        self.managed: list[Fields] = []
        self.sign_on_code = self.codec.dialect.management_response_code(Reason.APPROVED)
        self.delay = 0.0  # seconds before each answer
        self.port = 0
        self.streams: list[trio.SocketStream] = []
        self._scope = trio.CancelScope()

    async def run(self, *, port: int = 0, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                serve = partial(trio.serve_tcp, self._serve, port, host="127.0.0.1")
                listeners = await nursery.start(serve)
                self.port = listeners[0].socket.getsockname()[1]
                task_status.started()

    def kill(self) -> None:
        """Every connection breaks and nobody listens any more."""
        self._scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.streams.append(stream)
        framer = Framer(self.codec.dialect.framing, 8_192)
        async for data in stream:
            for payload in framer.feed(data):
                fields = self.codec.decode_fields(payload)
                answer = self._answer(fields)
                if answer is not None:
                    await trio.sleep(self.delay)
                    await stream.send_all(framer.encode(self.codec.encode(answer)))

    def _answer(self, fields: Fields) -> Fields | None:
        management = self.codec.dialect.management
        if fields["t"] == management.response:
            self.managed.append(fields)
            return None
        if fields["t"] == management.request:
            self.managed.append(fields)
            return answer_to(fields, self.sign_on_code)
        self.received.append(fields)
        return self.script(fields)

    async def send_echo(self, stan: str) -> None:
        """An echo of the switch's own, on the newest connection."""
        framer = Framer(self.codec.dialect.framing, 8_192)
        payload = self.codec.encode_management(ManagementFunction.ECHO, stan=stan, now=NOON)
        await self.streams[-1].send_all(framer.encode(payload))
