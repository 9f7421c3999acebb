"""Clearing records as a file would bring them, and what stands of them in the tables."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from switch.contracts.clearing import Clearing, ClearingKind, Instruction, InstructionKind
from switch.contracts.message import Kind, Request
from tests.journal.counter import Client, Counter

_records = itertools.count(1)
_references = itertools.count(1)


def an_arn() -> str:
    """An acquirer reference that no other test uses."""
    return f"{next(_references):023d}"


def a_record(counter: Counter, client: Client, amount: int = 3_000, /, **changes: Any) -> Request:
    """A presentment by itself, the next of its file. What belongs to the clearing part may be named beside the rest."""
    parts: dict[str, Any] = {"kind": ClearingKind.PRESENTMENT, "file_id": "FILE-1", "record": next(_records)}
    parts |= {name: changes.pop(name) for name in list(changes) if name in Clearing.__struct_fields__}
    plain: dict[str, Any] = {"stan": "", "transmitted": "", "retrieval_reference": "", "clearing": Clearing(**parts)}
    return counter.request(client, Kind.PRESENTMENT, amount, **{**plain, **changes})


def presenting(counter: Counter, client: Client, bought: Request, amount: int = 3_000, /, **changes: Any) -> Request:
    """A presentment of ``bought`` by its retrieval reference, with an acquirer reference of its own."""
    plain = {"retrieval_reference": bought.retrieval_reference, "acquirer_reference": an_arn()}
    return a_record(counter, client, amount, **{**plain, **changes})


async def items(counter: Counter, client: Client) -> list[tuple[str, str, int]]:
    """(state, why, amount) of the account's clearing records."""
    rows = await counter.table("clearing_item", client)
    return [(row["state"], row["why"], row["amount"]) for row in sorted(rows, key=lambda row: row["record"])]


async def in_doubt(counter: Counter, client: Client, amount: int = 3_000) -> tuple[Request, list[int]]:
    """Two open purchases of one reference, and a presentment that fits both; gives it and their ids."""
    reference = f"TWICE{next(_references)}"
    asked = [counter.request(client, Kind.AUTHORIZATION, amount, retrieval_reference=reference) for _ in range(2)]
    record = a_record(counter, client, amount, retrieval_reference=reference, acquirer_reference=an_arn())
    decisions = await counter.unit().run([counter.item(client, request) for request in (*asked, record)])
    return record, [decision.hold.hold_id for decision in decisions if decision.hold is not None]


def said(record: Request, kind: InstructionKind, hold_id: int | None = None) -> Request:
    assert record.clearing is not None
    instruction = Instruction(kind=kind, by="ann", hold_id=hold_id)
    return msgspec.structs.replace(record, clearing=msgspec.structs.replace(record.clearing, instruction=instruction))
