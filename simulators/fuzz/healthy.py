"""A session that behaves, in a process of its own: ``python -m simulators.fuzz.healthy ORDER``.

In the process that forges hundreds of frames at a time it would measure how long those take. It buys at a steady pace
until it is ended, and writes a line (JSON, :class:`Seen`) for every purchase.
"""

from __future__ import annotations

import sys
import time

import msgspec
import trio

from simulators.cards import load_cards
from simulators.fuzz.hostile import Target
from simulators.link import Link, LinkRefused, connect
from simulators.messages import Maker
from switch.contracts.reason import Reason
from switch.wire.codec import Codec
from switch.wire.dialect import load_dialect, specs_root

__all__ = ["Order", "Seen"]

_ANSWER_SECONDS = 10.0
_LANE = 35  # the hostile sessions have the others


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: one purchase after the other on a session with ``target``, all with one card."""

    dialect: str
    target: Target
    seed: int
    alias: str
    pace_seconds: float


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One purchase: how long its approval took, or what was wrong."""

    seconds: float = 0.0
    problem: str = ""


async def _run(order: Order) -> None:
    codec = Codec(load_dialect(specs_root() / order.dialect))
    maker = Maker(codec.dialect, load_cards(), seed=order.seed, lane=_LANE)
    target = order.target
    try:
        async with trio.open_nursery() as nursery:
            link = await connect(
                nursery, codec, target.host, target.port, sign_on=target.sign_on, seconds=_ANSWER_SECONDS
            )
            while not link.closed.is_set():
                seen = await _purchase(link, maker, order.alias)
                _tell(seen)
                await trio.sleep(max(0.0, order.pace_seconds - seen.seconds))
            nursery.cancel_scope.cancel()
    except* LinkRefused:
        _tell(Seen(problem="a healthy session could not be opened"))
    else:
        _tell(Seen(problem="a healthy session was closed"))


async def _purchase(link: Link, maker: Maker, alias: str) -> Seen:
    message = maker.authorization(alias, 1)
    started = time.perf_counter()
    answer = await link.ask(message.fields, _ANSWER_SECONDS)
    seconds = time.perf_counter() - started
    dialect = maker.dialect
    code = "no answer" if answer is None else answer.get(dialect.elements.response_code, "no code")
    if code == dialect.response_code(Reason.APPROVED):
        return Seen(seconds=seconds)
    return Seen(problem=f"a healthy purchase got {code}")


def _tell(seen: Seen) -> None:
    sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    trio.run(_run, msgspec.json.decode(sys.argv[1], type=Order))
