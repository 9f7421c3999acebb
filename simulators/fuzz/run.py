"""A whole run: healthy sessions alone, then beside the hostile ones; the daemon's memory at both ends."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping

import msgspec
import trio

from simulators.cards import TestCard
from simulators.fuzz.forge import Forge
from simulators.fuzz.healthy import Order
from simulators.fuzz.hostile import Hostile, Tally, Target
from simulators.fuzz.oracle import Oracle
from simulators.fuzz.watch import Bystander, Latency, resident_bytes
from simulators.messages import Maker
from switch.wire.codec import Codec
from switch.wire.dialect import Dialect

__all__ = ["FuzzResult", "FuzzSettings", "run_fuzz"]

_HEALTHY_CARD = "plain-9"
_HOSTILE_CARDS = tuple(f"load-{i}" for i in range(20))
_PROGRESS_SECONDS = 5.0


class FuzzSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``rate`` bounds the frames per second of all hostile sessions together; without it they go as fast as may be.

    ``niceness`` is how far those, and not the healthy one, step back for others on the same processors.
    """

    count: int
    seed: int
    sessions: int = 4
    batch_frames: int = 200
    rate: float | None = None
    niceness: int = 0
    healthy_pace_seconds: float = 0.05
    quiet_seconds: float = 10.0  # of healthy traffic alone, to compare with
    warm_up_share: float = 0.1  # of the frames, before memory counts
    growth_mib_max: float = 32.0
    pid: int | None = None  # whose memory is looked at


class FuzzResult(msgspec.Struct, kw_only=True):
    """What was found. ``problems`` is empty when the switch held."""

    seed: int
    dialect: str
    frames: int
    bytes_sent: int
    seconds: float
    frames_per_second: float
    damage: dict[str, int]
    asked: int
    answers: dict[str, int]
    approved_after: dict[str, int]
    silent: int
    connections: int
    healthy_alone: Latency
    healthy_beside: Latency
    resident_mib_warm: float | None
    resident_mib_end: float | None
    problem_count: int
    problems: list[str]


class _Allotment:
    """Hands out the frames of a run to its sessions, and notices when the daemon is warm."""

    def __init__(self, settings: FuzzSettings) -> None:
        self._settings = settings
        self._given = 0
        self._started = time.perf_counter()
        self.warm_bytes: int | None = None

    def begin(self) -> None:
        """Rates count from here."""
        self._started = time.perf_counter()

    def take(self, frames: int) -> int:
        """How many of ``frames`` may be sent."""
        settings = self._settings
        given = min(frames, settings.count - self._given)
        self._given += given
        if (
            self.warm_bytes is None
            and settings.pid is not None
            and self._given >= settings.count * settings.warm_up_share
        ):
            self.warm_bytes = resident_bytes(settings.pid)
        return given

    async def pace(self) -> None:
        """Waits until the rate allows what was given."""
        if self._settings.rate is not None:
            due = self._started + self._given / self._settings.rate
            await trio.sleep(max(0.0, due - time.perf_counter()))


async def run_fuzz(
    dialect: Dialect,
    target: Target,
    cards: Mapping[str, TestCard],
    settings: FuzzSettings,
    progress: Callable[[str], None] = lambda _text: None,
) -> FuzzResult:
    """Sends ``settings.count`` frames to ``target``. Raises OSError where nobody listens, at the start or later."""
    codec = Codec(dialect)
    tally = Tally()
    allotment = _Allotment(settings)
    healthy = Bystander(
        Order(
            dialect=dialect.name,
            target=target,
            seed=settings.seed,
            alias=_HEALTHY_CARD,
            pace_seconds=settings.healthy_pace_seconds,
        )
    )
    hostile = [_hostile(dialect, codec, target, cards, settings.seed, lane, tally) for lane in range(settings.sessions)]
    async with trio.open_nursery() as nursery:
        await nursery.start(healthy.run)
        if settings.niceness:
            os.nice(settings.niceness)
        await trio.sleep(settings.quiet_seconds)
        alone = healthy.taken()
        started = time.perf_counter()
        allotment.begin()
        nursery.start_soon(_tell, tally, settings, progress)
        async with trio.open_nursery() as crowd:
            for session in hostile:
                crowd.start_soon(session.run, allotment.take, allotment.pace, settings.batch_frames)
        seconds = time.perf_counter() - started
        beside = healthy.taken()
        nursery.cancel_scope.cancel()
    end_bytes = None if settings.pid is None else resident_bytes(settings.pid)
    warm_mib, end_mib = _mib(allotment.warm_bytes), _mib(end_bytes)
    for problem in healthy.problems:
        tally.problem(problem)
    if warm_mib is not None and end_mib is not None and end_mib - warm_mib > settings.growth_mib_max:
        tally.problem(f"the daemon's memory grew from {warm_mib:.0f} to {end_mib:.0f} MiB")
    return FuzzResult(
        seed=settings.seed,
        dialect=dialect.name,
        frames=tally.frames,
        bytes_sent=tally.bytes_sent,
        seconds=seconds,
        frames_per_second=tally.frames / seconds,
        damage=dict(tally.damage.most_common()),
        asked=tally.asked,
        answers=dict(tally.answers.most_common()),
        approved_after=dict(tally.approved_after.most_common()),
        silent=tally.silent,
        connections=tally.connections,
        healthy_alone=alone,
        healthy_beside=beside,
        resident_mib_warm=warm_mib,
        resident_mib_end=end_mib,
        problem_count=tally.problem_count,
        problems=tally.problems,
    )


def _hostile(
    dialect: Dialect, codec: Codec, target: Target, cards: Mapping[str, TestCard], seed: int, lane: int, tally: Tally
) -> Hostile:
    """One session with a generator of its own, so that what it sends does not depend on the others' pace."""
    rng = random.Random(f"{seed}/{lane}")
    own = {alias: cards[alias] for alias in _HOSTILE_CARDS}
    forge = Forge(Maker(dialect, own, seed=seed, lane=lane), own, rng)
    return Hostile(target, codec, forge, Oracle(dialect, cards), rng, tally)


async def _tell(tally: Tally, settings: FuzzSettings, progress: Callable[[str], None]) -> None:
    before = told = 0
    while True:
        await trio.sleep(_PROGRESS_SECONDS)
        rate = (tally.frames - before) / _PROGRESS_SECONDS
        before = tally.frames
        for problem in tally.problems[told:]:
            progress(f"problem: {problem}")
        told = len(tally.problems)
        approved = sum(tally.approved_after.values())
        memory = "" if settings.pid is None else f", {_mib(resident_bytes(settings.pid)):.0f} MiB"
        progress(
            f"{tally.frames:,} of {settings.count:,} frames, {rate:,.0f}/s, {approved:,} approved, "
            f"{tally.problem_count} problems{memory}"
        )


def _mib(size: int | None) -> float | None:
    return None if size is None else size / (1 << 20)
