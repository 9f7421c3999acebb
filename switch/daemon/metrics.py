"""The rooms' counters in Prometheus' text format. Collected when asked, so the hot path only adds to integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from switch.funding.breaker import BreakerState
from switch.funding.driver import TopUps
from switch.journal.unit import UnitOfWork
from switch.network.closing import CloseReason
from switch.network.stats import NetworkStats
from switch.processing.batch import BatchLoop
from switch.processing.expiry import HoldExpiryJob
from switch.processing.withdrawals import Withdrawals

__all__ = ["Metrics"]

_GAUGES = frozenset({"sessions_open", "sessions_signed_on", "in_flight"})


class Metrics(Collector):
    """All metrics of one daemon. Names and labels are part of what operators build alerts on."""

    def __init__(
        self,
        loop: BatchLoop,
        withdrawals: Withdrawals,
        expiry: HoldExpiryJob,
        units: Sequence[UnitOfWork],
        networks: Mapping[str, NetworkStats],
        top_ups: TopUps | None = None,
    ) -> None:
        self._loop, self._withdrawals, self._expiry = loop, withdrawals, expiry
        self._units, self._networks = units, networks
        self._top_ups = top_ups
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """What ``/metrics`` answers."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        stats = self._loop.stats
        messages = CounterMetricFamily("switch_messages", "Messages by the reason of their answer", labels=["reason"])
        answers = Counter(stats.by_reason)
        if self._top_ups is not None:
            answers += self._top_ups.stats.answers
        for reason, count in answers.items():
            messages.add_metric([reason], count)
        yield messages
        yield CounterMetricFamily("switch_batches", "Units of work that were committed", stats.batches)
        yield CounterMetricFamily("switch_database_failures", "Batches that found no database", stats.database_failures)
        yield CounterMetricFamily(
            "switch_commits_in_doubt", "Commits whose outcome was asked for", stats.commits_in_doubt
        )
        yield CounterMetricFamily(
            "switch_batches_overtaken",
            "Batches decided again because another writer was quicker",
            sum(unit.overtaken for unit in self._units),
        )
        yield CounterMetricFamily("switch_messages_poisonous", "Messages that failed alone", stats.poisoned)
        yield CounterMetricFamily("switch_approvals_withdrawn", "Approvals too late to be sent", self._withdrawals.done)
        yield GaugeMetricFamily(
            "switch_withdrawals_waiting", "Late approvals not yet taken back", self._withdrawals.depth
        )
        yield CounterMetricFamily(
            "switch_holds_expired",
            "Holds that this daemon released after their deadline",
            sum(unit.holds_expired for unit in self._units),
        )
        yield GaugeMetricFamily(
            "switch_hold_expiry_lag_seconds",
            "How long the hold that has been due for the longest has been so, as last seen; 0 when none is",
            self._expiry.lag_seconds,
        )
        yield GaugeMetricFamily(
            "switch_hold_expiry_refused_accounts",
            "Accounts whose due holds could not be expired; the log names them",
            len(self._expiry.refused),
        )
        if self._top_ups is not None:
            yield from _of_top_ups(self._top_ups)
        yield GaugeMetricFamily("switch_queue_depth", "Messages that wait for a batch", self._loop.queue_depth)
        yield GaugeMetricFamily("switch_queue_sessions", "Sessions that they came on", self._loop.queue_sessions)
        closed = CounterMetricFamily(
            "switch_network_sessions_closed", "Sessions by why they ended", labels=["network", "reason"]
        )
        for name, network in self._networks.items():
            for reason in CloseReason:
                closed.add_metric([name, reason.value], network.sessions_closed[reason])
        yield closed
        for field in fields(NetworkStats):
            if field.name == "sessions_closed":
                continue
            family = GaugeMetricFamily if field.name in _GAUGES else CounterMetricFamily
            metric = family(f"switch_network_{field.name}", f"{field.name} by network", labels=["network"])
            for name, network in self._networks.items():
                metric.add_metric([name], getattr(network, field.name))
            yield metric


def _of_top_ups(top_ups: TopUps) -> Iterator[Metric]:
    stats = top_ups.stats
    yield CounterMetricFamily("switch_top_ups_parked", "Purchases that waited for a top-up", stats.parked)
    yield CounterMetricFamily("switch_top_ups_recovered", "Attempts taken over from another daemon", stats.recovered)
    yield CounterMetricFamily("switch_top_up_alerts", "Attempts that a person has to look at", stats.alerts)
    overdue = CounterMetricFamily(
        "switch_top_ups_overdue", "Attempts that were open still after so long", labels=["after_seconds"]
    )
    for after_seconds, count in stats.overdue.items():
        overdue.add_metric([str(after_seconds)], count)
    yield overdue
    ends = CounterMetricFamily("switch_top_ups_ended", "Attempts by the state they ended in", labels=["state"])
    for state, count in stats.ends.items():
        ends.add_metric([state], count)
    yield ends
    calls = CounterMetricFamily("switch_top_up_calls", "Calls to providers by their result", labels=["call", "result"])
    for (call, result), count in stats.calls.items():
        calls.add_metric([call, result], count)
    yield calls
    yield GaugeMetricFamily("switch_top_ups_queued", "Purchases that wait for their turn to begin", top_ups.queued)
    states = GaugeMetricFamily("switch_top_ups_open", "Attempts that this daemon drives, by state", labels=["state"])
    for state, count in top_ups.open_by_state.items():
        states.add_metric([state], count)
    yield states
    breakers = GaugeMetricFamily(
        "switch_top_up_breaker_closed", "Whether a provider is asked as usual", labels=["provider"]
    )
    for name, breaker in top_ups.breakers.items():
        breakers.add_metric([name], int(breaker.state is BreakerState.CLOSED))
    yield breakers
