"""Who may have a session on a listener: by address, and by how many there are. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from enum import StrEnum

from switch.network.settings import ListenerSettings

__all__ = ["Admission", "Refusal"]


class Refusal(StrEnum):
    """Why a connection is closed at once; the ``reason`` of the event ``session_refused``."""

    ADDRESS = "address"  # not in the allow-list
    SESSIONS_MAX = "sessions_max"
    SESSIONS_PER_PEER_MAX = "sessions_per_peer_max"


class Admission:
    """The allow-list and the places of one listener. A connection takes its place when it is accepted, before any TLS.

    Invariant: ``taken`` is the sum of the places by address, and none is negative.
    """

    __slots__ = ("_allowed", "_by_address", "_per_peer_max", "_sessions_max", "taken")

    def __init__(self, settings: ListenerSettings) -> None:
        self.taken = 0
        self._allowed = tuple(ipaddress.ip_network(text) for text in settings.allow)
        self._sessions_max = settings.sessions_max
        self._per_peer_max = settings.sessions_per_peer_max or settings.sessions_max
        self._by_address: Counter[str] = Counter()

    def refusal(self, host: str) -> Refusal | None:
        """Why this address may not come in now; None: it may."""
        if self._allowed:
            address = ipaddress.ip_address(host)
            if not any(address in network for network in self._allowed):
                return Refusal.ADDRESS
        if self.taken >= self._sessions_max:
            return Refusal.SESSIONS_MAX
        # A Counter makes no entry for a key that is only read.
        if self._by_address[host] >= self._per_peer_max:
            return Refusal.SESSIONS_PER_PEER_MAX
        return None

    def enter(self, host: str) -> None:
        """A connection takes its place."""
        self.taken += 1
        self._by_address[host] += 1

    def leave(self, host: str) -> None:
        """It gives the place back."""
        self.taken -= 1
        self._by_address[host] -= 1
        if not self._by_address[host]:
            del self._by_address[host]

    def check_invariants(self) -> None:
        """Raises AssertionError when the counts contradict each other."""
        assert self.taken == self._by_address.total()
        assert all(count > 0 for count in self._by_address.values())
