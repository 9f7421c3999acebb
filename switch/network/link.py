"""What all sessions of one listener or dialer share."""

from __future__ import annotations

import itertools

import trio

from switch.contracts.errors import ConfigurationError
from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.network.arrival import Intake
from switch.network.certificates import Certificates, check_tls
from switch.network.deadlines import Deadlines
from switch.network.drain import Drain
from switch.network.log_meter import LogMeter
from switch.network.postman import Postman
from switch.network.settings import DialerSettings, ListenerSettings
from switch.network.stats import NetworkStats
from switch.network.tcp import PeerAddress
from switch.network.turns import Turns
from switch.wire.codec import Codec
from switch.wire.dialect import Dialect
from switch.wire.framing import Framer
from switch.wire.inbound import ManagementFunction

__all__ = ["Link"]

# One count for the whole process, so that a label names one session in a day's log.
_numbers = itertools.count(1)


class Link:
    """One listener or dialer: its settings, its codec, the way into the house, and what is answered without the house.

    Raises ConfigurationError when the dialect can't do what the settings ask for, or ``tls`` names unusable files.
    """

    def __init__(
        self,
        settings: ListenerSettings | DialerSettings,
        intake: Intake,
        *,
        dialect: Dialect,
        stats: NetworkStats | None,
        drain: Drain | None,
        turns: Turns | None,
        postman: Postman | None,
    ) -> None:
        self.settings = settings
        self.intake = intake
        self.dialect = dialect
        self.codec = Codec(dialect)
        self.stats = stats if stats is not None else NetworkStats()
        self.drain = drain if drain is not None else Drain()
        self.turns = turns if turns is not None else Turns()
        self.deadlines = Deadlines(settings.request_deadline_seconds)
        self.postman = postman if postman is not None else Postman()
        check_tls(settings)
        self.certificates = None if settings.tls is None else Certificates(settings.tls, settings.network, self.stats)
        self.meter = LogMeter(trio.current_time())
        self.sessions_open = 0
        self.not_signed_on = self._bare(Reason.NOT_SIGNED_ON)
        self.draining = self._bare(Reason.UNAVAILABLE)
        self.approved_code = dialect.management_response_code(Reason.APPROVED)  # to an 0800
        self._check()

    def framer(self) -> Framer:
        """A new one, for one direction of one connection."""
        settings = self.settings
        return Framer(settings.framing or self.dialect.framing, settings.frame_bytes_max)

    def label(self, peer: PeerAddress) -> str:
        """A new connection's name: network, number and the peer's address."""
        return f"{self.settings.network}#{next(_numbers)} {peer}"

    def can_say(self, function: ManagementFunction) -> bool:
        """Whether the dialect has a code for it."""
        return function in self.dialect.management_functions.values()

    def _check(self) -> None:
        """Fails at the start rather than at the first connection or the first silence."""
        settings, name = self.settings, self.dialect.name
        try:
            self.framer()
        except ValueError as error:
            raise ConfigurationError(f"link {settings.network}: frame_bytes_max: {error}") from error
        if settings.initiate_sign_on and not self.can_say(ManagementFunction.SIGN_ON):
            raise ConfigurationError(f"link {settings.network}: initiate_sign_on: {name} has no code for a sign-on")
        if settings.echo_interval_seconds and not self.can_say(ManagementFunction.ECHO):
            raise ConfigurationError(f"link {settings.network}: echo_interval_seconds: {name} has no code for an echo")

    def _bare(self, reason: Reason) -> Answer:
        return Answer(reason=reason, response_code=self.dialect.response_code(reason))
