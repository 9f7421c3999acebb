"""The model's events as the messages, clearing records and instructions that the house would get."""

from __future__ import annotations

import msgspec

from switch.contracts.clearing import Clearing, ClearingKind, Instruction, InstructionKind
from switch.contracts.message import Kind, Operation, Request
from switch.issuer.books import Item
from tests.journal.counter import Client, Counter
from tests.model import account
from tests.model.messages import Network
from tests.model.purchases import RECORDS, Event

__all__ = ["Acquirer"]

_KINDS = {
    "present": ClearingKind.PRESENTMENT,
    "refund": ClearingKind.PRESENTMENT,
    "extra": ClearingKind.ADDITIONAL_CHARGE,
    "take_back": ClearingKind.PRESENTMENT_REVERSAL,
    "charge_back": ClearingKind.CHARGEBACK,
    "represent": ClearingKind.CHARGEBACK_REVERSAL,
}


class Acquirer:
    """Writes each event once. A purchase has one retrieval reference; a record has an acquirer reference of its own,
    or that of its purchase where it is one of a series.
    """

    def __init__(self, counter: Counter, client: Client) -> None:
        self._counter = counter
        self._client = client
        self._network = Network(counter, client)
        self._records: dict[int, Request] = {}

    def item(self, event: Event) -> Item:
        """What the batch loop, or the import of a file, would hand to the unit of work."""
        if event.name == "again":
            assert event.of is not None
            return self._counter.item(self._client, self._records[event.of])
        if event.name in RECORDS:
            self._records[event.number] = self._write(event)
            return self._counter.item(self._client, self._records[event.number])
        name = "stand_in_decline" if event.name == "decline" else event.name
        told = account.Operation(name, event.number, event.amount, event.about, final=event.left, online=event.online)
        return self._network.item(told)

    def instruction(self, event: Event, hold_id: int | None) -> Item:
        """A person's decision about a record in doubt."""
        assert event.of is not None
        request = self._records[event.of]
        assert request.clearing is not None
        told = Instruction(kind=InstructionKind(event.name), by="ann", hold_id=hold_id)
        clearing = msgspec.structs.replace(request.clearing, instruction=told)
        return self._counter.item(self._client, msgspec.structs.replace(request, clearing=clearing))

    def file_of(self, number: int) -> str:
        """The name of the file in which the record comes. Each has only the one."""
        return f"{self._client.account_id}-{number}"

    def retrieval_reference(self, number: int) -> str:
        """What the event's purchase is named by."""
        return (self._records.get(number) or self._network.prepare(account.Operation("", number))).retrieval_reference

    def _write(self, event: Event) -> Request:
        if event.copy_of is not None:
            first = self._records[event.copy_of]
            assert first.clearing is not None
            clearing = msgspec.structs.replace(first.clearing, file_id=self.file_of(event.number))
            return msgspec.structs.replace(first, clearing=clearing)
        earlier = None if event.of is None else self._records[event.of].clearing
        request = self._counter.request(self._client, Kind.PRESENTMENT, event.amount, stan="", transmitted="")
        if event.about is not None:
            reference = self.retrieval_reference(event.about)
            request = msgspec.structs.replace(request, retrieval_reference=reference)
        if earlier is not None or event.name not in ("present", "extra", "refund"):
            request = msgspec.structs.replace(request, retrieval_reference="")
        refund = event.name == "refund" or (event.of is not None and self._is_refund(event.of))
        series = f"S{self.file_of(event.about or 0)}" if event.sequence_count else ""
        return msgspec.structs.replace(
            request,
            operation=Operation.REFUND if refund else Operation.PURCHASE,
            clearing=Clearing(
                kind=_KINDS[event.name],
                file_id=self.file_of(event.number),
                record=1,
                acquirer_reference=series or self.file_of(event.number)
                if earlier is None
                else earlier.acquirer_reference,
                sequence=event.sequence if earlier is None else earlier.sequence,
                sequence_count=event.sequence_count,
                final=event.final,
            ),
        )

    def _is_refund(self, number: int) -> bool:
        return self._records[number].operation is Operation.REFUND
