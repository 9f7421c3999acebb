"""Rows of the clearing tables and the values of the issuer: one function for each direction."""

from __future__ import annotations

from datetime import datetime

import msgspec

from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.message import Channel, EntryMode, Kind, Operation, Request
from switch.contracts.secret import Pan
from switch.issuer.books import ItemStep, Notice
from switch.issuer.clearing_item import ClearingItem, ItemState
from switch.journal.rows import Row

__all__ = ["change_row", "item_of", "item_row", "notice_row", "request_of"]

_encode_json = msgspec.json.Encoder().encode


class _Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a record's request has no column of its own. Nothing of it is card data."""

    dialect: str
    mti: str = ""
    stan: str = ""
    transmitted: str = ""
    acquirer_id: str = ""
    retrieval_reference: str = ""
    approval_code: str = ""
    network_reference: str = ""
    terminal_id: str = ""
    merchant_id: str = ""
    merchant_name: str = ""
    merchant_country: str = ""
    mcc: str = ""
    entry_mode: EntryMode = EntryMode.UNKNOWN
    channel: Channel = Channel.IN_STORE


_decode_kept = msgspec.json.Decoder(_Kept).decode
_KEPT = _Kept.__struct_fields__


def item_row(step: ItemStep, booked_at: datetime) -> tuple[object, ...]:
    """A row of ``clearing_item`` for a new record."""
    after, request = step.after, step.item.request
    clearing = request.clearing
    assert clearing is not None, "a record has its clearing part"
    kept = _Kept(**{name: getattr(request, name) for name in _KEPT})
    return (
        after.account_id,
        after.key,
        after.network,
        clearing.file_id,
        clearing.record,
        after.kind,
        request.operation,
        after.acquirer_reference,
        after.sequence,
        after.sequence_count,
        clearing.final,
        after.state,
        after.why,
        after.confidence,
        after.hold_id,
        after.amount_minor,
        request.amount_minor,
        request.currency,
        clearing.settlement_amount_minor,
        clearing.settlement_currency,
        request.billing_amount_minor,
        request.billing_currency,
        clearing.fee_minor,
        request.transmitted_at,
        _encode_json(kept).decode(),
        booked_at,
    )


def change_row(step: ItemStep, at: datetime) -> tuple[object, ...]:
    """A value of the type ``clearing_change``: a later step of a record, by a message or by a person."""
    after, clearing = step.after, step.item.request.clearing
    instruction = None if clearing is None else clearing.instruction
    return (
        after.account_id,
        after.key,
        after.state,
        after.why,
        after.confidence,
        after.hold_id,
        at,
        step.item.key,
        "" if instruction is None else instruction.by,
        "" if instruction is None else instruction.agreed_by,
    )


def item_of(row: Row) -> ClearingItem:
    """From the columns of ``clearing_item``."""
    return ClearingItem(
        account_id=row["account_id"],
        key=row["key"],
        network=row["network"],
        kind=ClearingKind(row["kind"]),
        operation=Operation(row["operation"]),
        acquirer_reference=row["acquirer_reference"],
        sequence=row["sequence"],
        sequence_count=row["sequence_count"],
        state=ItemState(row["state"]),
        why=row["why"],
        confidence=row["confidence"],
        hold_id=row["hold_id"],
        amount_minor=row["amount"],
    )


def request_of(row: Row, pan: Pan) -> Request:
    """The record as it came, from the columns of ``clearing_item``. The card number is not stored: the caller has
    it.
    """
    kept = _decode_kept(row["request"])
    return Request(
        network=row["network"],
        kind=Kind.PRESENTMENT,
        repeat=False,
        operation=Operation(row["operation"]),
        pan=pan,
        amount_minor=row["transaction_amount"],
        currency=row["transaction_currency"],
        billing_amount_minor=row["billing_amount"],
        billing_currency=row["billing_currency"],
        transmitted_at=row["purchased_at"],
        clearing=Clearing(
            kind=ClearingKind(row["kind"]),
            file_id=row["file_id"],
            record=row["record"],
            acquirer_reference=row["acquirer_reference"],
            sequence=row["sequence"],
            sequence_count=row["sequence_count"],
            final=row["final"],
            settlement_amount_minor=row["settlement_amount"],
            settlement_currency=row["settlement_currency"],
            fee_minor=row["fee"],
        ),
        **{name: getattr(kept, name) for name in _KEPT},
    )


def notice_row(notice: Notice, raised_at: datetime) -> tuple[object, ...]:
    """A value of the type ``notice``."""
    return (notice.account_id, notice.key, notice.kind, _encode_json(notice.facts).decode(), raised_at)
