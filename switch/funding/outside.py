"""The providers as the driver sees them: who may be asked now, and what a call came to.

While a provider's breaker is open nothing is parked for it. When its pause is over, one call is let through, of a
purchase that comes or of an attempt that has something to ask; the others stay where they are until it was answered, so
a dead provider is asked by one at a time and costs no step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import structlog
import trio

from switch.contracts.funding import FundingProvider, Unavailable, Unknown
from switch.funding.action import CallCharge, CallQuery, CallVoid
from switch.funding.breaker import Breaker, BreakerState, admit, allows, answered, hand_back, report
from switch.funding.event import ChargeAnswered, QueryAnswered, VoidAnswered
from switch.funding.http import open_http_provider
from switch.funding.settings import FundingSettings

__all__ = ["Answered", "Call", "Outside", "Probes"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

Call = CallCharge | CallQuery | CallVoid
Answered = ChargeAnswered | QueryAnswered | VoidAnswered
#: Tickets of breakers, by provider: the calls that are let through to find out whether it lives.
Probes = dict[str, int]

_UNCONFIGURED = Unknown("no such provider")
_SHUT = Breaker(state=BreakerState.OPEN, until=datetime.max.replace(tzinfo=UTC))


class Outside:
    """One daemon's."""

    def __init__(self, settings: FundingSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._providers: dict[str, FundingProvider] = {}
        self._rules = {provider.name: provider.breaker for provider in settings.provider}
        self.breakers: dict[str, Breaker] = {name: Breaker() for name in self._rules}
        self._held: dict[str, set[trio.CancelScope]] = {name: set() for name in self._rules}
        self.calls: Counter[tuple[str, str]] = Counter()  # by call and by what it came to

    async def open(self, stack: AsyncExitStack) -> None:
        """Raises ConfigurationError for a provider's file that can't be used."""
        for provider in self._settings.provider:
            self._providers[provider.name] = await stack.enter_async_context(open_http_provider(provider))

    @property
    def asks(self) -> bool:
        """Whether any provider would be asked for one more purchase."""
        return any(
            breaker.state is BreakerState.CLOSED or allows(breaker, self._clock()) for breaker in self.breakers.values()
        )

    def reserve(self) -> Probes:
        """For one purchase: a ticket for each provider that may be asked by one call. To be handed back."""
        probes: Probes = {}
        for name, breaker in self.breakers.items():
            if breaker.state is not BreakerState.CLOSED and (ticket := self._admit(name)) is not None:
                probes[name] = ticket
        return probes

    def as_seen_with(self, probes: Probes) -> Mapping[str, Breaker]:
        """The breakers, for who has these tickets."""
        closed = Breaker()
        return {
            name: closed if breaker.state is BreakerState.CLOSED or name in probes else _SHUT
            for name, breaker in self.breakers.items()
        }

    def hand_back(self, probes: Probes) -> None:
        """These calls are not made: others may be let through at once."""
        for name, ticket in probes.items():
            self._change(name, hand_back(self.breakers[name], ticket, self._clock()))
        probes.clear()

    async def wait_for_turn(self, name: str, until: datetime, probes: Probes) -> None:
        """Returns when a query or a void may be made, with a ticket where it is to find out; at the latest ``until``.

        To be cancelled where something else comes meanwhile.
        """
        while (breaker := self.breakers.get(name)) is not None and breaker.state is not BreakerState.CLOSED:
            if (ticket := self._admit(name)) is not None:
                probes[name] = ticket
                return
            now, end = self._clock(), self.breakers[name].until
            assert end is not None, "it is shut"
            if now >= until:
                return
            with trio.move_on_after(max(0.0, (min(end, until) - now).total_seconds())) as scope:
                self._held[name].add(scope)
                try:
                    await trio.sleep_forever()
                finally:
                    self._held[name].discard(scope)

    def pause_max_seconds(self, name: str) -> float:
        """How long an attempt's question may be put off for a provider that is away."""
        rules = self._rules.get(name)
        return 0.0 if rules is None else rules.pause_max_seconds

    async def call(self, name: str, action: Call, probes: Probes) -> Answered:
        """Makes the call, unless it is a charge that the breaker does not let through."""
        provider, ticket = self._providers.get(name), probes.pop(name, None)
        event: Answered
        match action:
            case CallCharge(call, charge):
                if provider is None:
                    event = ChargeAnswered(call, Unavailable("no such provider", asked=False))
                elif (ticket := self._admit(name) if ticket is None else ticket) is None:
                    event = ChargeAnswered(call, Unavailable("its breaker is open", asked=False))
                else:
                    told = await provider.charge(charge)
                    event = ChargeAnswered(call, told)
                    if isinstance(told, Unavailable) and not told.asked:
                        self.hand_back({name: ticket})
                    else:
                        self._report(name, ticket, success=answered(told))
            case CallQuery(call, query):
                event = QueryAnswered(call, await provider.query(query) if provider else _UNCONFIGURED)
            case CallVoid(call, void):
                event = VoidAnswered(call, await provider.void(void) if provider else _UNCONFIGURED)
        if ticket is not None and not isinstance(action, CallCharge):
            self._report(name, ticket, success=not isinstance(event.answer, Unknown))
        self.calls[type(action).__name__.removeprefix("Call").lower(), type(event.answer).__name__.lower()] += 1
        return event

    def _admit(self, name: str) -> int | None:
        breaker, ticket = admit(self.breakers[name], self._clock(), self._rules[name])
        self._change(name, breaker)
        return ticket

    def _report(self, name: str, ticket: int, *, success: bool) -> None:
        after = report(self.breakers[name], ticket, success=success, now=self._clock(), rules=self._rules[name])
        self._change(name, after)

    def _change(self, name: str, after: Breaker) -> None:
        before, self.breakers[name] = self.breakers[name], after
        if before.era == after.era:
            return
        if after.state is BreakerState.OPEN and before.state is BreakerState.CLOSED:
            log.error("top_up_provider_away", provider=name)
        elif after.state is BreakerState.CLOSED:
            log.warning("top_up_provider_back", provider=name)
        if after.state is not BreakerState.HALF_OPEN:
            for scope in self._held[name]:
                scope.cancel()
