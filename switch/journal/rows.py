"""Rows of the tables and the values of the issuer: one function for each direction, columns in the tables' order."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from switch.contracts.message import Answer, Kind, Operation, Request
from switch.issuer.account import Account, Entry, EntryKind, Movement, Side
from switch.issuer.books import Concern
from switch.issuer.card import Card, CardStatus, Credential
from switch.issuer.case import Decision, Step
from switch.issuer.hold import Hold, HoldState
from switch.issuer.stored import MessageState, StoredMessage
from switch.issuer.usage import Usage
from switch.journal.chain import ChainedEntry

__all__ = [
    "Place",
    "Row",
    "Seen",
    "SeenAccount",
    "account_of",
    "amendment_row",
    "card_of",
    "chained_entry_of",
    "concern_row",
    "entry_row",
    "hold_of",
    "hold_row",
    "message_row",
    "seen_of",
    "stored_of",
    "trace_json",
    "usage_of",
    "usage_row",
    "version_row",
]


class Row(Protocol):
    """What asyncpg gives for a row or a composite value."""

    def __getitem__(self, column: str, /) -> Any:
        """The column's value, in Python's type for it."""
        ...


#: Where a version of a row lies in its table (PostgreSQL's tid): block and number.
Place: TypeAlias = tuple[int, int]


class SeenAccount(NamedTuple):
    """A row of ``account``."""

    version: int  # the transaction that wrote it
    place: Place
    usage_card_id: int | None  # whose counters stand in it


class Seen(NamedTuple):
    """The rows that a batch was decided on: record_unit finds them again by their places, and refuses the batch where
    an account is not what it was.
    """

    accounts: dict[int, SeenAccount]
    usages: dict[int, Place]  # by card, where its counters stand in a row of their own


_KIND = {str(kind): kind for kind in Kind}
_OPERATION = {str(operation): operation for operation in Operation}
_MESSAGE_STATE = {str(state): state for state in MessageState}
_HOLD_STATE = {str(state): state for state in HoldState}
_CARD_STATUS = {str(status): status for status in CardStatus}

#: In the place of a usage's fields, which are the columns of ``limit_usage`` after the account, in their order.
_NO_COUNTERS = (None,) * len(Usage.__struct_fields__)

_encode_json = msgspec.json.Encoder().encode
_decode_answer = msgspec.json.Decoder(Answer).decode


def account_of(row: Row) -> Account:
    """From the columns of ``account``."""
    return Account(
        row["account_id"],
        row["currency"],
        row["posted"],
        row["held"],
        row["floor"],
        row["seq"],
        row["head_hash"],
        row["bonus_posted"],
        row["bonus_held"],
    )


def card_of(row: Row) -> Card:
    """From the columns of ``card_number``."""
    credential_id = row["credential_id"]
    return Card(
        row["card_id"],
        row["account_id"],
        row["program"],
        row["expiry"],
        row["service_code"],
        _CARD_STATUS[row["status"]],
        row["locked"],
        None
        if credential_id is None
        else Credential(credential_id, _CARD_STATUS[row["credential_status"]], row["network"]),
    )


def seen_of(row: Row) -> SeenAccount:
    """From an account's version, place and ``usage_card_id``."""
    return SeenAccount(row["version"], row["place"], row["usage_card_id"])


def version_row(account_id: int, seen: SeenAccount, usage: Usage | None = None) -> tuple[object, ...]:
    """A value of the type ``account_version``; without ``usage`` the counters in the account's row stay as they are."""
    counters = _NO_COUNTERS if usage is None else msgspec.structs.astuple(usage)
    return account_id, seen.version, seen.place, *counters


def usage_of(row: Row) -> Usage:
    """From the columns of ``limit_usage``."""
    return Usage(
        row["card_id"],
        row["day"],
        row["day_minor"],
        row["day_count"],
        row["month_minor"],
        row["month_count"],
        row["lifetime_minor"],
        row["lifetime_count"],
    )


def usage_row(account_id: int, usage: Usage, place: Place | None) -> tuple[object, ...]:
    """A value of the type ``usage_change``; without ``place`` the row is looked for, and may be new."""
    return account_id, *msgspec.structs.astuple(usage), place


def hold_of(row: Row) -> Hold:
    """From the columns of ``hold``."""
    return Hold(
        row["account_id"],
        row["hold_id"],
        row["card_id"],
        _HOLD_STATE[row["state"]],
        row["authorized"],
        row["held"],
        row["posted"],
        row["credit"],
        row["mcc"],
        row["opened_at"],
        row["begun_by"],
        row["approval_code"],
        row["expires_at"],
        row["presented"],
        row["refunded"],
        row["held_bonus"],
        row["posted_bonus"],
        row["refunded_bonus"],
    )


def hold_row(hold: Hold) -> tuple[object, ...]:
    """A row of ``hold``."""
    return (
        hold.account_id,
        hold.hold_id,
        hold.card_id,
        hold.state,
        hold.authorized_minor,
        hold.held_minor,
        hold.posted_minor,
        hold.credit,
        hold.mcc,
        hold.opened_at,
        hold.begun_by,
        hold.approval_code,
        hold.expires_at,
        hold.presented_minor,
        hold.refunded_minor,
        hold.held_bonus_minor,
        hold.posted_bonus_minor,
        hold.refunded_bonus_minor,
    )


def entry_row(chained: ChainedEntry) -> tuple[object, ...]:
    """A row of ``journal_entry``."""
    entry, movement = chained.entry, chained.entry.movement
    return (
        entry.account_id,
        entry.seq,
        movement.kind,
        movement.debit,
        movement.credit,
        movement.amount_minor,
        entry.currency,
        entry.posted_delta,
        entry.held_delta,
        entry.posted_after,
        entry.held_after,
        movement.hold_id,
        chained.cause,
        chained.cause_key,
        chained.transmitted_at,
        chained.booked_at,
        chained.prev_hash,
        chained.hash,
    )


def chained_entry_of(row: Row) -> ChainedEntry:
    """From the columns of ``journal_entry``. Raises ValueError for a kind or side that the code does not know."""
    movement = Movement(EntryKind(row["kind"]), Side(row["debit"]), Side(row["credit"]), row["amount"], row["hold_id"])
    entry = Entry(
        movement,
        row["account_id"],
        row["currency"],
        row["seq"],
        row["posted_delta"],
        row["held_delta"],
        row["posted_after"],
        row["held_after"],
    )
    return ChainedEntry(
        entry,
        row["cause"],
        row["cause_key"],
        row["transmitted_at"],
        row["booked_at"],
        row["prev_hash"],
        row["hash"],
    )


def message_row(
    message: StoredMessage, decision: Decision, request: Request, decided_at: datetime
) -> tuple[object, ...]:
    """A row of ``message_key``. Nothing of it is card data: card and credential are named by their ids."""
    return (
        message.account_id,
        message.key,
        message.fingerprint,
        message.network,
        message.kind,
        request.mti,
        message.operation,
        message.card_id,
        message.stan,
        message.transmitted,
        message.acquirer_id,
        message.retrieval_reference,
        message.network_reference,
        message.terminal_id,
        request.merchant_id,
        request.merchant_name,
        request.mcc,
        message.amount_minor,
        request.currency,
        message.original_stan,
        message.original_transmitted,
        message.incremental,
        message.state,
        message.answer.reason,
        message.answer.response_code,
        message.moved_minor,
        message.hold_id,
        message.repeats_answered,
        _encode_json(message.answer).decode(),
        trace_json(decision.trace),
        decided_at,
        message.credential_id,
    )


def trace_json(trace: tuple[Step, ...]) -> str:
    """The trace as JSON: ``[[rule, verdict, {value: ...}], ...]``."""
    return _encode_json(trace).decode()


def stored_of(row: Row) -> StoredMessage:
    """From the columns of ``message_key``."""
    return StoredMessage(
        account_id=row["account_id"],
        key=row["key"],
        fingerprint=row["fingerprint"],
        network=row["network"],
        kind=_KIND[row["kind"]],
        operation=_OPERATION[row["operation"]],
        card_id=row["card_id"],
        stan=row["stan"],
        transmitted=row["transmitted"],
        acquirer_id=row["acquirer_id"],
        retrieval_reference=row["retrieval_reference"],
        network_reference=row["network_reference"],
        terminal_id=row["terminal_id"],
        amount_minor=row["amount"],
        answer=_decode_answer(row["answer"]),
        decided_at=row["decided_at"],
        incremental=row["incremental"],
        state=_MESSAGE_STATE[row["state"]],
        moved_minor=row["moved"],
        hold_id=row["hold_id"],
        repeats_answered=row["repeats_answered"],
        original_stan=row["original_stan"],
        original_transmitted=row["original_transmitted"],
        credential_id=row["credential_id"],
    )


def amendment_row(message: StoredMessage, unheard: int) -> tuple[object, ...]:
    """A value of the type ``message_amendment``; ``unheard`` repeats are taken off the count."""
    return (
        message.account_id,
        message.key,
        message.state,
        message.answer.reason,
        message.answer.response_code,
        _encode_json(message.answer).decode(),
        unheard,
        message.hold_id,
        message.moved_minor,
    )


def concern_row(concern: Concern, raised_at: datetime) -> tuple[object, ...]:
    """A value of the type ``concern``."""
    return (concern.account_id, concern.key, concern.kind, trace_json(concern.decision.trace), raised_at)
