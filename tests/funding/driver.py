"""A small driver for tests: one attempt, the real adapter, real time, and an issuer that says yes or no."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import trio

from switch.contracts.funding import FundingProvider
from switch.funding.action import (
    BookPurchase,
    CallCharge,
    CallQuery,
    CallVoid,
    CreditBalance,
    DeclinePurchase,
    OutsideAction,
    SetTimer,
)
from switch.funding.attempt import Attempt, Cause
from switch.funding.event import (
    Booked,
    ChargeAnswered,
    Event,
    PurchaseRefused,
    QueryAnswered,
    Recover,
    Tick,
    VoidAnswered,
)
from switch.funding.machine import Step, begin, step
from switch.funding.pace import Pace


@dataclass
class Driver:
    provider: FundingProvider
    pace: Pace
    budget_seconds: float
    refuses: Cause | None = None
    loaded_minor: int = 0  # spent or credited
    outcomes: list[str] = field(default_factory=list)  # what the network heard
    row: Attempt | None = None

    async def run(self, key: str = "a-1", amount_minor: int = 1_250) -> Attempt:
        """Parks a purchase and goes on to the end; or goes on with what another driver has left."""
        send, events = trio.open_memory_channel[Event](math.inf)
        async with trio.open_nursery() as nursery:

            def store(made: Step) -> None:
                self.row = made.attempt
                for action in made.actions:
                    match action:
                        case DeclinePurchase(cause):
                            self.outcomes.append(f"declined: {cause}")
                        case CreditBalance(amount_minor=credited):
                            self.loaded_minor += credited
                        case CallCharge() | CallQuery() | CallVoid() | BookPurchase() | SetTimer():
                            nursery.start_soon(self._do, action, send)

            now = datetime.now(UTC)
            if self.row is None:
                until = now + timedelta(seconds=self.budget_seconds)
                common = {"key": key, "provider": "acme", "source": "tok-1", "currency": "JPY"}
                store(begin(amount_minor=amount_minor, budget_until=until, now=now, **common))
            else:
                store(step(self.row, Recover(), now, self.pace))
            while self.row is not None and not self.row.ended:
                event = await events.receive()
                if isinstance(event, Booked):
                    self.loaded_minor += self.row.charged_minor
                    self.outcomes.append("approved")
                store(step(self.row, event, datetime.now(UTC), self.pace))
            nursery.cancel_scope.cancel()
        assert self.row is not None
        return self.row

    async def _do(self, action: OutsideAction, send: trio.MemorySendChannel[Event]) -> None:
        event: Event
        match action:
            case CallCharge(call, charge):
                event = ChargeAnswered(call, await self.provider.charge(charge))
            case CallQuery(call, query):
                event = QueryAnswered(call, await self.provider.query(query))
            case CallVoid(call, void):
                event = VoidAnswered(call, await self.provider.void(void))
            case BookPurchase():
                assert self.row is not None
                if self.row.state != "charged":
                    return
                event = Booked() if self.refuses is None else PurchaseRefused(self.refuses)
            case SetTimer(at):
                await trio.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
                event = Tick()
        send.send_nowait(event)
