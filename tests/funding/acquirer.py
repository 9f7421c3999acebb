"""The acquirer network of the simulators at a desk: real links to its daemons, and books of what it sent and heard."""

from __future__ import annotations

from collections.abc import Sequence

from simulators.books import Books
from simulators.cards import TestCard
from simulators.messages import Message
from simulators.network import AcquirerNetwork, Endpoint, Habits
from switch.contracts.secret import Secret
from tests.funding.desk import DIALECT, Daemon
from tests.journal.counter import Client

HABITS = Habits(answer_timeout=10.0, retry_after=0.05, reconnect_after=0.05)
#: It approves by itself what the switch does not answer, instead of taking it back.
STANDS_IN = Habits(answer_timeout=10.0, retry_after=0.05, reconnect_after=0.05, stand_in_max_minor=100_000)


def alias_of(client: Client) -> str:
    return f"card-{client.account_id}"


class Acquirer:
    """Knows cards and what was answered, and nothing of top-ups: to it a balance is what it was told to be.

    Run :attr:`network`; it outlives daemons, and :meth:`moves_to` the next one.
    """

    def __init__(self, daemon: Daemon, clients: Sequence[Client], balance_minor: int, habits: Habits = HABITS) -> None:
        cards = {
            alias_of(client): TestCard(
                alias=alias_of(client),
                pan=client.number,
                expiry="3012",
                service_code="101",
                cvv2=Secret("000"),
                program="plain",
                currency="JPY",
                balance_minor=balance_minor,
                status="active",
                locked=False,
            )
            for client in clients
        }
        endpoint = Endpoint(DIALECT, daemon.address.host, daemon.address.port)
        self.network = AcquirerNetwork([endpoint], cards, habits=habits)
        self.balance_minor = balance_minor

    @property
    def books(self) -> Books:
        return self.network.books

    def moves_to(self, daemon: Daemon) -> None:
        self.network.moved(DIALECT.name, *daemon.address)

    def purchase(self, client: Client, amount_minor: int = 1_500) -> Message:
        return self.network.makers[DIALECT.name].authorization(alias_of(client), amount_minor)

    def single(self, client: Client, amount_minor: int) -> Message:
        return self.network.makers[DIALECT.name].purchase(alias_of(client), amount_minor)

    def reversal(self, message: Message) -> Message:
        return self.network.makers[DIALECT.name].reversal(message)
