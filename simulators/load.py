"""Load: many messages of a chosen mix, measured.

Two modes. *Closed loop*: ``window`` messages are in flight, each answer sends the next one; it finds the highest rate.
*Open loop*: messages leave at a rate whatever happens to the earlier ones, and a latency counts from the moment the
message was scheduled for, so that a stall of the switch shows in every message that it delayed.

Everything is drawn from one seeded generator: the same seed makes the same sequence of acts, cards and amounts (what a
reversal takes back still depends on which answers came first).
"""

from __future__ import annotations

import math
import random
import time
from array import array
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import accumulate

import msgspec
import trio

from simulators.messages import Act, Maker, Message, Terms, as_repeat
from simulators.network import AcquirerNetwork, Outcome
from simulators.percentile import percentiles

__all__ = ["MIX", "LoadResult", "LoadSettings", "run_load"]

#: What everyday traffic consists of, in weights. "repeat" sends an answered message once more.
MIX: Mapping[str, float] = {
    "authorization": 60,
    "purchase": 14,
    "reversal": 8,
    "partial reversal": 3,
    "increment": 2,
    "financial advice": 4,
    "stand-in approval": 2,
    "stand-in decline": 1,
    "repeat": 3,
    "refund": 1,
    "inquiry": 1,
    "verification": 1,
}

_RECENT_MAX = 512
_WINDOW_CLOSED, _WINDOW_OPEN = 32, 10_000
_TICK_SECONDS = 0.05


class LoadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``window`` is how many are in flight (at most, in an open loop). Ends after ``count`` messages or ``seconds``."""

    window: int | None = None  # 32 in a closed loop, 10,000 in an open one
    count: int | None = None
    seconds: float | None = None
    rate: float | None = None  # messages per second; None: closed loop
    seed: int = 1
    mix: Mapping[str, float] = msgspec.field(default_factory=lambda: MIX)
    cards: tuple[str, ...] = tuple(f"load-{i}" for i in range(20))
    amount_minor_max: int = 3_000

    def __post_init__(self) -> None:
        if self.count is None and self.seconds is None:
            raise ValueError("a load ends at a count of messages or after some seconds: give one")
        if (self.window is not None and self.window < 1) or (self.count is not None and self.count < 1):
            raise ValueError("window and count are at least 1")
        if (self.seconds is not None and self.seconds <= 0) or (self.rate is not None and self.rate <= 0):
            raise ValueError("seconds and rate are above zero")
        unknown = sorted(set(self.mix) - set(MIX))
        if unknown or not any(self.mix.values()) or min(self.mix.values()) < 0:
            raise ValueError(f"the mix has unknown or negative weights, or none: {', '.join(unknown) or 'see MIX'}")


class LoadResult(msgspec.Struct, kw_only=True):
    """What happened. ``latency_ms`` has percentiles over the answered messages, in milliseconds."""

    seed: int
    sent: int
    answered: int
    unanswered: int
    stood_in: int
    seconds: float
    answers_per_second: float
    codes: dict[str, int]
    acts: dict[str, int]
    latency_ms: dict[str, float]
    latency_from: str  # "sending" or, in an open loop, "schedule"


async def run_load(network: AcquirerNetwork, settings: LoadSettings) -> LoadResult:
    """Drives ``network``, which must be running, and returns when every message is answered or given up.

    What was given up is still being forwarded then: see ``network.settled()``.
    """
    return await _Load(network, settings).run()


class _Load:
    """One run. Sending happens in the callbacks of answers, so a message costs no task of its own."""

    def __init__(self, network: AcquirerNetwork, settings: LoadSettings) -> None:
        self.network = network
        self.settings = settings
        self.window = settings.window or (_WINDOW_CLOSED if settings.rate is None else _WINDOW_OPEN)
        self.rng = random.Random(settings.seed)
        self.acts = tuple(settings.mix)
        self.weights = tuple(accumulate(settings.mix.values()))
        self.makers: Sequence[Maker] = tuple(network.makers.values())
        self.terms = Terms()
        self.open_purchases: deque[tuple[Maker, Message, int]] = deque(maxlen=_RECENT_MAX)
        self.recent: deque[Message] = deque(maxlen=_RECENT_MAX)
        self.codes: Counter[str] = Counter()
        self.by_act: Counter[str] = Counter()
        self.latencies = array("d")
        self.sent = 0
        self.in_flight = 0
        self.unanswered = 0
        self.stood_in = 0
        self.idle_slots = 0
        self.deadline = math.inf
        self.done = trio.Event()

    async def run(self) -> LoadResult:
        settings = self.settings
        started = time.perf_counter()
        if settings.seconds is not None:
            self.deadline = started + settings.seconds
        if settings.rate is None:
            await self._closed()
        else:
            await self._open(settings.rate, started)
        while self.in_flight:
            self.done = trio.Event()
            await self.done.wait()
        seconds = time.perf_counter() - started
        answered = len(self.latencies)
        shares = (0.5, 0.9, 0.99, 0.999, 1.0)
        found = percentiles(self.latencies, shares)
        return LoadResult(
            seed=settings.seed,
            sent=self.sent,
            answered=answered,
            unanswered=self.unanswered,
            stood_in=self.stood_in,
            seconds=seconds,
            answers_per_second=answered / seconds,
            codes=dict(self.codes.most_common()),
            acts=dict(self.by_act.most_common()),
            latency_ms={f"p{share * 100:g}": found[share] * 1e3 for share in shares} if answered else {},
            latency_from="sending" if settings.rate is None else "schedule",
        )

    def finished(self) -> bool:
        count = self.settings.count
        return (count is not None and self.sent >= count) or time.perf_counter() >= self.deadline

    async def _closed(self) -> None:
        """Fills the window; answers keep it full. Slots whose message got no answer wait here until a link is up."""
        self.idle_slots = self.window
        while not self.finished():
            # With the switch away only one new purchase per tick: people at tills are not as quick as machines.
            away = not any(self.network.live_links(maker.network) for maker in self.makers)
            for _ in range(min(self.idle_slots, 1 if away else self.idle_slots)):
                if self.finished():
                    break
                self.idle_slots -= 1
                self._send(time.perf_counter())
            with trio.move_on_after(_TICK_SECONDS):
                self.done = trio.Event()
                await self.done.wait()

    async def _open(self, rate: float, started: float) -> None:
        number = 0
        while not self.finished():
            due = int((time.perf_counter() - started) * rate) + 1
            while number < due and self.in_flight < self.window and not self.finished():
                self._send(started + number / rate)
                number += 1
            await trio.sleep(min(0.002, 1 / rate))

    def _send(self, since: float) -> None:
        maker, act, message = self._draw()
        self.sent += 1
        self.in_flight += 1
        self.by_act[act] += 1

        def done(outcome: Outcome) -> None:
            self._done(maker, since, outcome)

        self.network.submit(message, done)

    def _done(self, maker: Maker, since: float, outcome: Outcome) -> None:
        now = time.perf_counter()
        self.in_flight -= 1
        code = outcome.code
        if code is None:
            self.unanswered += 1
            self.stood_in += outcome.stood_in
            self.idle_slots += 1
        else:
            self.latencies.append(now - since)
            self.codes[code] += 1
            self._remember(maker, outcome)
            if self.settings.rate is None and not self.finished():
                self._send(now)
        if not self.in_flight or self.finished():
            self.done.set()

    def _remember(self, maker: Maker, outcome: Outcome) -> None:
        message = outcome.message
        self.recent.append(message)
        if outcome.approved and message.act is Act.AUTHORIZATION and message.fields["t"][1:] == "100":
            approved = outcome.approved_minor
            self.open_purchases.append((maker, message, message.amount_minor if approved is None else approved))

    def _draw(self) -> tuple[Maker, str, Message]:
        """The next message. What needs an earlier purchase becomes an authorization while there is none."""
        rng = self.rng
        act = rng.choices(self.acts, cum_weights=self.weights)[0]
        amount = rng.randint(1, self.settings.amount_minor_max)
        if act == "repeat" and self.recent:
            message = self.recent[rng.randrange(len(self.recent))]
            return self._maker_of(message), act, as_repeat(message)
        if act in _FOLLOWING and self.open_purchases:
            maker, first, held = self.open_purchases.popleft()
            return maker, act, self._follow(maker, act, first, held, amount)
        maker = self.makers[rng.randrange(len(self.makers))]
        alias = self.settings.cards[rng.randrange(len(self.settings.cards))]
        plain = _PLAIN.get(act, Act.AUTHORIZATION)
        if plain in (Act.INQUIRY, Act.VERIFICATION):
            amount = 0
        name = act if act in _PLAIN else "authorization"
        return maker, name, maker.request(plain, alias, amount, self.terms)

    def _maker_of(self, message: Message) -> Maker:
        return self.network.makers[message.network]

    def _follow(self, maker: Maker, act: str, first: Message, held: int, amount: int) -> Message:
        match act:
            case "reversal":
                return maker.reversal(first)
            case "partial reversal":
                return maker.reversal(first, replacement_minor=max(1, held // 2)) if held > 1 else maker.reversal(first)
            case "increment":
                return maker.increment(first, amount, self.terms)
            case "financial advice":
                return maker.financial_advice(first, amount_minor=held)
            case _:
                return maker.stand_in(first, approved=act == "stand-in approval", amount_minor=amount)


_FOLLOWING = frozenset(
    {"reversal", "partial reversal", "increment", "financial advice", "stand-in approval", "stand-in decline"}
)
_PLAIN = {str(act): act for act in (Act.PURCHASE, Act.REFUND, Act.INQUIRY, Act.VERIFICATION)} | {
    "authorization": Act.AUTHORIZATION
}
