"""How much is charged to which source when a purchase is short, or why nothing is. Pure.

A program says what its cards may do, the cardholder may say less. The amount is exactly the shortfall, unless a minimum
or a step makes it more; what is not spent stays on the balance. Amounts are minor units of the policy's currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from switch.contracts.funding import AMOUNT_MINOR_MAX
from switch.contracts.top_up import CardholderPolicy, TopUpPolicy
from switch.funding.breaker import Breaker, allows

__all__ = ["CardholderPolicy", "NoPlan", "Plan", "Source", "TopUpPolicy", "TopUpUsage", "WhyNot", "plan"]


class WhyNot(StrEnum):
    """Why nothing is charged."""

    NOT_ENABLED = "not_enabled"
    NOT_SHORT = "not_short"
    OVER_TOP_UP_CAP = "over_top_up_cap"
    OVER_DAILY_CAP = "over_daily_cap"
    OVER_DAILY_COUNT = "over_daily_count"
    OVER_MONTHLY_CAP = "over_monthly_cap"
    NO_SOURCE = "no_source"  # none is registered in the currency
    SOURCES_BLOCKED = "sources_blocked"  # by the cardholder, or after declines
    PROVIDERS_AWAY = "providers_away"  # what is left belongs to providers that don't answer


class Source(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the cardholder registered. Its place among the others is the cardholder's preference."""

    token: str  # the provider's; no card data
    provider: str
    currency: str
    blocked: bool = False  # by the cardholder or a person
    declines: int = 0  # in a row


class TopUpUsage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What was topped up on ``day`` and in its month, attempts that are under way included: two at once share a cap."""

    day: date
    day_minor: int = 0
    day_count: int = 0
    month_minor: int = 0

    def on(self, today: date) -> TopUpUsage:
        """The same with passed periods emptied. A ``today`` before the day keeps it: no clock opens a cap."""
        if today <= self.day:
            return self
        same_month = (today.year, today.month) == (self.day.year, self.day.month)
        return TopUpUsage(day=today, month_minor=self.month_minor if same_month else 0)


class Plan(msgspec.Struct, frozen=True, gc=False):
    """Charge this amount to this source."""

    amount_minor: int
    source: Source


class NoPlan(msgspec.Struct, frozen=True, gc=False):
    """Charge nothing. ``detail`` has the figures, for the trace of the decision."""

    reason: WhyNot
    detail: str = ""


def plan(
    shortfall_minor: int,
    policy: TopUpPolicy,
    usage: TopUpUsage,
    sources: tuple[Source, ...],
    breakers: Mapping[str, Breaker],
    now: datetime,
) -> Plan | NoPlan:
    """The first source, in order of preference, that can be asked; a provider without a breaker is one that is fine."""
    if not policy.enabled:
        return NoPlan(WhyNot.NOT_ENABLED)
    if shortfall_minor <= 0:
        return NoPlan(WhyNot.NOT_SHORT)
    amount_minor = policy.amount_for(shortfall_minor)
    over = _over(amount_minor, policy, usage.on(now.astimezone(ZoneInfo(policy.time_zone)).date()))
    if over is not None:
        return over
    fitting = [source for source in sources if source.currency == policy.currency]
    if not fitting:
        return NoPlan(WhyNot.NO_SOURCE, policy.currency)
    usable = [source for source in fitting if not source.blocked and source.declines < policy.declines_max]
    if not usable:
        return NoPlan(WhyNot.SOURCES_BLOCKED, f"{len(fitting)} registered")
    for source in usable:
        breaker = breakers.get(source.provider)
        if breaker is None or allows(breaker, now):
            return Plan(amount_minor, source)
    return NoPlan(WhyNot.PROVIDERS_AWAY, ", ".join(sorted({source.provider for source in usable})))


def _over(amount_minor: int, policy: TopUpPolicy, usage: TopUpUsage) -> NoPlan | None:
    for reason, value, most in (
        (WhyNot.OVER_TOP_UP_CAP, amount_minor, policy.top_up_max_minor),
        (WhyNot.OVER_TOP_UP_CAP, amount_minor, AMOUNT_MINOR_MAX),  # rounded up, it could be more than a charge can be
        (WhyNot.OVER_DAILY_CAP, usage.day_minor + amount_minor, policy.daily_max_minor),
        (WhyNot.OVER_DAILY_COUNT, usage.day_count + 1, policy.daily_count_max),
        (WhyNot.OVER_MONTHLY_CAP, usage.month_minor + amount_minor, policy.monthly_max_minor),
    ):
        if most is not None and value > most:
            return NoPlan(reason, f"{value} > {most}")
    return None
