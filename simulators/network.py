"""The acquirer network: sessions to the switch, and what a network does when there is no answer.

Theory of operation. Requests go out on any live link of their dialect. One that is not answered in time, or whose link
broke, is *unanswered*, and what follows depends on what it was:

    =====================================  ====================================================================
    a purchase authorization up to a limit  the network stands in: approves it, and forwards a 0120 until answered
    any other request that moves money      the terminal hears a decline, and a reversal is forwarded
    an advice or a reversal                 is forwarded itself
    an inquiry or a verification            nothing
    =====================================  ====================================================================

While no link is up nothing can have reached the switch, so a request is only stood in for or declined. Forwarding is
store and forward: 0120, 0121, 0121 … and 0400, 0420, 0421 … with the same key elements, across reconnections, until
they are accepted. Messages of one purchase are forwarded in order, several purchases at a time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import msgspec
import trio

from simulators.books import Books
from simulators.cards import TestCard, strangers
from simulators.link import Link, LinkRefused, connect
from simulators.messages import Act, AnswerCodes, Maker, Message, as_advice, as_repeat
from switch.wire.codec import Codec
from switch.wire.dialect import Dialect
from switch.wire.inbound import ManagementFunction

__all__ = ["AcquirerNetwork", "Endpoint", "Habits", "Outcome"]

_FORWARDERS = 8
_SWEEP_SECONDS = 0.05


class Endpoint(msgspec.Struct, frozen=True):
    """One listener of the switch, and how many sessions to hold to it."""

    dialect: Dialect
    host: str
    port: int
    links: int = 1
    sign_on: bool = True


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How this network behaves. Amounts in minor units, times in seconds."""

    answer_timeout: float = 10.0
    stand_in_max_minor: int = 0  # stands in for authorizations up to this amount; 0: never
    stand_in_on_91: bool = False  # stands in too when the switch says that it can't decide
    retry_after: float = 0.5
    reconnect_after: float = 0.2
    echo_every: float | None = None
    stored_max: int = 20_000  # unanswered and forwarded messages together; beyond it new requests are declined


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message. ``code`` is None when the switch did not answer it."""

    message: Message
    code: str | None
    approved_minor: int | None = None  # DE4 of an approval
    fields: Mapping[str, str] = {}  # the whole answer; card data in it, so it stays out of repr
    stood_in: bool = False  # the network approved it itself
    codes: AnswerCodes = AnswerCodes()  # what the network's codes mean

    @property
    def approved(self) -> bool:
        """Whether the switch approved it."""
        return self.code in self.codes.approvals

    def __repr__(self) -> str:
        return f"Outcome({self.message!r}, code={self.code}, approved_minor={self.approved_minor})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("", repr(self))]


class _Pending(msgspec.Struct, eq=False):
    owner: AcquirerNetwork
    message: Message
    link: Link
    key: str
    deadline: float
    done: Callable[[Outcome], None]
    over: bool = False

    def __call__(self, answer: dict[str, str] | None) -> None:
        """What the link calls with the answer."""
        if not self.over:
            self.over = True
            self.owner.take(self, answer)


class AcquirerNetwork:
    """All links to one switch, the books and the store-and-forward queue. :meth:`run` it, then :meth:`request`."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        cards: Mapping[str, TestCard],
        *,
        seed: int = 1,
        habits: Habits | None = None,
        books: Books | None = None,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.habits = habits or Habits()
        self.cards = cards
        self.makers = {e.dialect.name: Maker(e.dialect, {**strangers(), **cards}, seed=seed) for e in self.endpoints}
        codes = {name: maker.codes for name, maker in self.makers.items()}
        self.books = Books(cards, codes) if books is None else books
        self.counts: Counter[str] = Counter()  # what happened, in words: "0100 sent", "unanswered", "links lost" …
        self.codes: Counter[str] = Counter()  # DE39 of all answers
        self._codecs = {e.dialect.name: Codec(e.dialect) for e in self.endpoints}
        self._links: dict[str, list[Link]] = {e.dialect.name: [] for e in self.endpoints}
        self._addresses = {e.dialect.name: (e.host, e.port) for e in self.endpoints}
        self._turn = 0
        self._pending: deque[_Pending] = deque()
        self._in_flight = 0
        # By purchase: what is to be told, and whether it has been sent before.
        self._stored: dict[str, deque[tuple[Message, bool]]] = {}
        self._ready: dict[str, deque[str]] = {e.dialect.name: deque() for e in self.endpoints}
        self._news = trio.lowlevel.ParkingLot()
        self._quiet = trio.lowlevel.ParkingLot()

    # ── asking

    async def request(self, message: Message) -> Outcome:
        """Sends ``message`` and waits for what becomes of it; never longer than the network's time limit."""
        came = trio.Event()
        outcomes: list[Outcome] = []

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            came.set()

        self.submit(message, done)
        await came.wait()
        return outcomes[0]

    def submit(self, message: Message, done: Callable[[Outcome], None]) -> None:
        """Sends ``message``; ``done`` is called once. At once, when no link is up or the store is full."""
        link = self._pick(message.network)
        if link is None or self._in_flight + len(self._stored) >= self.habits.stored_max:
            self.counts["not sent"] += 1
            self._unreachable(message, done)
            return
        frame = link.frame(message.fields)
        deadline = trio.current_time() + self.habits.answer_timeout
        pending = _Pending(self, message, link, link.key(message.fields), deadline, done)
        self._pending.append(pending)
        self._in_flight += 1
        self.books.sent(message)
        self.counts[f"{message.fields['t']} sent"] += 1
        link.post(pending.key, frame, pending)

    def take(self, pending: _Pending, answer: dict[str, str] | None) -> None:
        """An answer came, or (None) it can't come any more."""
        self._in_flight -= 1
        message = pending.message
        if answer is None:
            self.counts["unanswered"] += 1
            stood_in = self._unanswered(message, sent=True)
            pending.done(Outcome(message=message, code=None, stood_in=stood_in))
            return
        maker = self.makers[message.network]
        codes, at = maker.codes, maker.dialect.elements
        code = answer.get(at.response_code, "")
        self.counts["answered"] += 1
        self.codes[code] += 1
        approved = int(answer[at.amount]) if code in codes.approvals and at.amount in answer else None
        self.books.answered(message, code, approved)
        stood_in = False
        if code in codes.undecided and (message.act.must_be_accepted or self.habits.stand_in_on_91):
            stood_in = self._unanswered(message, sent=True, reverse=False)
        elif message.act.must_be_accepted and code not in codes.accepted:
            self.books.refused(message, code)
        pending.done(
            Outcome(message=message, code=code, approved_minor=approved, fields=answer, stood_in=stood_in, codes=codes)
        )

    async def ask_raw(self, network: str, fields: Mapping[str, str]) -> dict[str, str] | None:
        """Sends any fields on a live link and gives the answer back, past the books: for lost answers and forgeries."""
        link = await self._live_link(network)
        return await link.ask(fields, self.habits.answer_timeout)

    # ── no answer

    def _unreachable(self, message: Message, done: Callable[[Outcome], None]) -> None:
        stood_in = self._unanswered(message, sent=False)
        done(Outcome(message=message, code=None, stood_in=stood_in))

    def _unanswered(self, message: Message, *, sent: bool, reverse: bool = True) -> bool:
        """What the table in the module's header says; True when the network stood in."""
        maker = self.makers[message.network]
        if self.books.code(message) not in (None, *maker.codes.undecided):
            return False  # Only a repeat went unanswered: what it repeats was answered before.
        if message.act.must_be_accepted:
            self._store(message, sent=sent)
        elif message.act is Act.AUTHORIZATION and 0 < message.amount_minor <= self.habits.stand_in_max_minor:
            self.counts["stood in"] += 1
            self._store(maker.stand_in(message, approved=True), sent=False)
            return True
        elif sent and reverse and message.act.moves_money:
            # An increment is taken back to what was held before: that is right whether it arrived or not.
            left = self.books.held(message) if message.act is Act.INCREMENT else None
            self._store(maker.reversal(message, replacement_minor=left or None), sent=False)
        return False

    def _store(self, message: Message, *, sent: bool) -> None:
        queue = self._stored.get(message.purchase)
        if queue is None:
            self._stored[message.purchase] = deque([(message, sent)])
            self._ready[message.network].append(message.purchase)
            self._news.unpark_all()
        else:
            queue.append((message, sent))

    async def settled(self) -> None:
        """Waits until nothing is in flight and everything that was stored has been answered."""
        while self._in_flight or self._stored:
            await self._quiet.park()

    @property
    def stored(self) -> int:
        """For how many purchases something is still to be told."""
        return len(self._stored)

    async def _forward(self, network: str) -> None:
        ready = self._ready[network]
        while True:
            while not ready:
                await self._news.park()
            purchase = ready.popleft()
            queue = self._stored[purchase]
            while queue:
                message, sent = queue[0]
                await self._tell(message, sent=sent)
                queue.popleft()
            del self._stored[purchase]

    async def _tell(self, message: Message, *, sent: bool) -> None:
        """Sends ``message`` in its forms until it is accepted; a refusal is noted and ends it too."""
        form = _next_form(message) if sent else message
        maker = self.makers[message.network]
        codes, code_field = maker.codes, maker.dialect.elements.response_code
        while True:
            link = await self._live_link(message.network)
            self.books.sent(message)
            self.counts[f"{form.fields['t']} sent"] += 1
            answer = await link.ask(form.fields, self.habits.answer_timeout)
            code = None if answer is None else answer.get(code_field, "")
            if code is not None:
                self.codes[code] += 1
                self.books.answered(message, code)
                if code not in codes.undecided:
                    break
            form = _next_form(form)
            await trio.sleep(self.habits.retry_after)
        self.counts["forwarded"] += 1
        if code not in codes.accepted:
            self.books.refused(message, code)

    # ── links

    def moved(self, network: str, host: str, port: int) -> None:
        """The switch listens somewhere else from now on; links that are up stay."""
        self._addresses[network] = (host, port)

    def live_links(self, network: str) -> int:
        """How many sessions of a network are up."""
        return sum(not link.closed.is_set() for link in self._links[network])

    def _pick(self, network: str) -> Link | None:
        """The live links in turn; None when all are down."""
        links = self._links[network]
        for _ in links:
            self._turn += 1
            link = links[self._turn % len(links)]
            if not link.closed.is_set():
                return link
        return None

    async def sign_off(self) -> None:
        """Signs every live link off, as the last thing before :meth:`run` is cancelled."""
        async with trio.open_nursery() as nursery:
            for endpoint in self.endpoints:
                for link in self._links[endpoint.dialect.name] if endpoint.sign_on else ():
                    nursery.start_soon(link.manage, ManagementFunction.SIGN_OFF, self.habits.answer_timeout)

    async def _live_link(self, network: str) -> Link:
        while (link := self._pick(network)) is None:
            await self._news.park()
        return link

    async def _hold_link(self, endpoint: Endpoint, first: Link | None) -> None:
        """Keeps one session up, again and again, until cancelled."""
        network = endpoint.dialect.name
        links = self._links[network]
        while True:
            async with trio.open_nursery() as nursery:
                link = first
                first = None
                if link is None:
                    link = await self._dial(nursery, endpoint)
                if link is not None:
                    links.append(link)
                    self._news.unpark_all()
                    try:
                        await self._watch(link)
                    finally:
                        links.remove(link)
                    self.counts["links lost"] += 1
            await trio.sleep(self.habits.reconnect_after)

    async def _dial(self, nursery: trio.Nursery, endpoint: Endpoint) -> Link | None:
        try:
            return await connect(
                nursery,
                self._codecs[endpoint.dialect.name],
                *self._addresses[endpoint.dialect.name],
                sign_on=endpoint.sign_on,
                seconds=self.habits.answer_timeout,
            )
        except LinkRefused:
            self.counts["connections refused"] += 1
            return None

    async def _watch(self, link: Link) -> None:
        """Until the link is closed; an echo that is not answered closes it."""
        every = self.habits.echo_every
        while not link.closed.is_set():
            with trio.move_on_after(float("inf") if every is None else every):
                await link.closed.wait()
            if link.closed.is_set():
                return
            answered = await link.manage(ManagementFunction.ECHO, self.habits.answer_timeout)
            if answered != self.makers[link.codec.dialect.name].codes.managed:
                link.close()
                await link.closed.wait()

    async def _sweep(self) -> None:
        """Ends the wait for answers that are overdue. All wait equally long, so the oldest comes first."""
        pending = self._pending
        while True:
            now = trio.current_time()
            while pending and (pending[0].over or pending[0].deadline <= now):
                late = pending.popleft()
                if not late.over:
                    late.link.forget(late.key, late)
                    late(None)
            if not self._in_flight and not self._stored:
                self._quiet.unpark_all()
            await trio.sleep(_SWEEP_SECONDS)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Holds the links up and forwards what is stored, until cancelled. Started when every link is up.

        Raises:
            LinkRefused: (in a group) one of the first connections failed.
        """
        async with trio.open_nursery() as nursery:
            for endpoint in self.endpoints:
                for _ in range(endpoint.links):
                    link = await connect(
                        nursery,
                        self._codecs[endpoint.dialect.name],
                        endpoint.host,
                        endpoint.port,
                        sign_on=endpoint.sign_on,
                        seconds=self.habits.answer_timeout,
                    )
                    nursery.start_soon(self._hold_link, endpoint, link)
            for network in self._links:
                for _ in range(_FORWARDERS):
                    nursery.start_soon(self._forward, network)
            nursery.start_soon(self._sweep)
            await trio.lowlevel.checkpoint()
            task_status.started()


def _next_form(message: Message) -> Message:
    """How the same message is told once more: 0400, 0420, 0421, 0421 …; 0120, 0121, 0121 and so on."""
    return as_advice(message) if message.fields["t"][1:] == "400" else as_repeat(message)
