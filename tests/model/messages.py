"""The model's operations as the messages that a network would send."""

from __future__ import annotations

from typing import Any

import msgspec

from switch.contracts.message import Channel, Kind, Operation, Request, StandIn
from switch.issuer.books import Item
from tests.issuer.support import original_of
from tests.journal.counter import Client, Counter
from tests.model import account as model

__all__ = ["Network"]

_KINDS = {
    "authorise": Kind.AUTHORIZATION,
    "increment": Kind.AUTHORIZATION,
    "single": Kind.FINANCIAL,
    "refund": Kind.FINANCIAL,
    "reverse": Kind.REVERSAL,
    "stand_in": Kind.AUTHORIZATION_ADVICE,
    "stand_in_decline": Kind.AUTHORIZATION_ADVICE,
    "advise": Kind.FINANCIAL_ADVICE,
}


class Network:
    """Sends each operation as a message of its own, or the same message again."""

    def __init__(self, counter: Counter, client: Client) -> None:
        self._counter = counter
        self._client = client
        self._sent: dict[int, Request] = {}

    def prepare(self, operation: model.Operation) -> Request:
        """The message of a new operation; a reversal may name it before it is told."""
        if operation.number not in self._sent:
            self._sent[operation.number] = self._write(operation)
        return self._sent[operation.number]

    def item(self, operation: model.Operation) -> Item:
        """What the batch loop would hand to the unit of work."""
        if operation.name in ("repeat", "withdraw"):
            assert operation.about is not None
            request = self._sent[operation.about]
            if operation.name == "withdraw":
                return self._counter.item(self._client, request, withdraw=True)
            return self._counter.item(
                self._client, msgspec.structs.replace(request, repeat=True, mti=request.mti[:3] + "1")
            )
        return self._counter.item(self._client, self.prepare(operation))

    def _write(self, operation: model.Operation) -> Request:
        changes: dict[str, Any] = {}
        amount = operation.amount
        if operation.about is not None:
            original = self._sent[operation.about]
            if operation.name == "increment" or operation.number % 2:  # the others have a reference of their own
                changes["retrieval_reference"] = original.retrieval_reference
            changes["original"] = original_of(original)
            if operation.name == "reverse":
                amount = original.amount_minor
                changes["replacement_amount_minor"] = operation.final
        match operation.name:
            case "refund":
                changes["operation"] = Operation.REFUND
            case "increment":
                changes["incremental"] = True
            case "stand_in":
                changes["stand_in"] = StandIn.APPROVED
            case "stand_in_decline":
                changes["stand_in"] = StandIn.DECLINED
            case "authorise":
                changes["partial_supported"] = operation.partial
                changes["channel"] = Channel.ECOMMERCE if operation.online else Channel.IN_STORE
            case "single":
                changes["partial_supported"] = operation.partial
        return self._counter.request(self._client, _KINDS[operation.name], amount, **changes)
