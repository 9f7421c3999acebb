"""Counters and gauges of the room. Whoever made them reads them when asked for metrics; the room only counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from switch.network.closing import CloseReason

__all__ = ["NetworkStats"]


@dataclass(slots=True)
class NetworkStats:
    """One per link, or one for several: all updates come from one thread, so that nothing is locked.

    ``sessions_open``, ``sessions_signed_on`` and ``in_flight`` go up and down; the rest only go up.
    """

    sessions_open: int = 0
    sessions_signed_on: int = 0
    in_flight: int = 0  # arrivals that are not settled, on sessions that live
    sessions_opened: int = 0
    sessions_closed: Counter[CloseReason] = field(default_factory=Counter)
    sessions_refused: int = 0  # connections beyond sessions_max or sessions_per_peer_max
    addresses_refused: int = 0  # connections from outside the allow-list
    handshakes_failed: int = 0  # of TLS: the peer had no session
    certificates_reloaded: int = 0  # changed files were taken into use
    certificate_reloads_failed: int = 0  # changed files could not be used: the old ones still are
    sessions_crashed: int = 0  # closed by an error nobody expected
    frames_in: int = 0  # polls not counted
    frames_out: int = 0
    polls_in: int = 0
    polls_answered: int = 0
    decode_failures: int = 0
    encode_failures: int = 0
    framing_failures: int = 0
    turns_awaited: int = 0  # a session had so much to say that it stood behind others that had
    requests_refused: int = 0  # not signed on, or draining: answered without the house
    advices_ignored: int = 0  # the same for advices and reversals: not answered
    messages_rejected: int = 0  # ours that came back behind a reject header: the peer could not read them
    answers_unexpected: int = 0  # the peer answered what we did not ask
    deadline_misses: int = 0
    answers_late: int = 0  # the house's answer came after another one had gone out
    answers_undeliverable: int = 0  # the house's answer came after the session had gone
    echoes_missed: int = 0
    connects_failed: int = 0  # of a dialer
