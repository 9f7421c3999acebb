"""What is remembered of every message: its key, what it asked, what it was answered, and which purchase it moved.

The record serves three ends: a repeat gets the stored answer, a reversal or advice finds its original, and a person
can read why. The idempotency key is made of what the network promises to be unique for one message and its repeats:
network, MTI class, DE2, DE7, DE11, DE32, DE37. DE2 enters as its keyed look-up value, so the key can't be turned back
into a card number by trying them all.

A card may have several numbers. The key has the one that was presented: a repeat is the same message, number included.
Everything that looks for *another* message (reversals, advices, increments, tombstones) goes by the card, so that it
finds the original whichever number either came with.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum

import msgspec

from switch.contracts.message import Answer, Kind, Operation, Request

__all__ = ["MessageState", "StoredMessage", "fingerprint", "idempotency_key"]

_KEY_BYTES = 16


def idempotency_key(request: Request, pan_lookup: bytes) -> bytes:
    """16 bytes that are equal for a message and its repeats, and for nothing else."""
    parts: tuple[str, ...] = (
        request.network,
        request.kind,
        # Without DE7 the day of receipt has to do: a STAN comes round again.
        request.transmitted or request.transmitted_at.date().isoformat(),
        request.stan,
        request.acquirer_id,
        request.retrieval_reference,
    )
    if request.clearing is not None:
        # A file is never sent twice under one name with other contents, so a record is known by its place in it.
        parts = (request.network, request.kind, request.clearing.file_id, str(request.clearing.record))
    # 0x1f separates the elements: none of them can hold a control character past the codec.
    return hashlib.blake2b("\x1f".join(parts).encode(), key=pan_lookup, digest_size=_KEY_BYTES).digest()


def fingerprint(request: Request) -> bytes:
    """16 bytes over what the message asks for. The same key with another fingerprint is answered 94.

    What a network may not keep (track data with the expiry, codes) is left out: a repeat comes without it.
    """
    original = request.original
    parts: tuple[str, ...] = (
        request.operation,
        str(request.amount_minor),
        request.currency,
        request.mcc,
        request.terminal_id,
        request.merchant_id,
        "i" if request.incremental else "",
        request.stand_in or "",
        "" if original is None else f"{original.mti}{original.stan}{original.transmitted}",
        "" if request.replacement_amount_minor is None else str(request.replacement_amount_minor),
    )
    if (clearing := request.clearing) is not None:
        # A person's instruction is no part of what the record says.
        parts += (
            clearing.kind,
            clearing.acquirer_reference,
            f"{clearing.sequence}/{clearing.sequence_count}",
            "f" if clearing.final else "",
            str(request.billing_amount_minor),
            request.billing_currency,
            request.network_reference,
            request.retrieval_reference,
            request.approval_code,
        )
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=_KEY_BYTES).digest()


class MessageState(StrEnum):
    """What later messages must know about this one."""

    ANSWERED = "answered"
    TOMBSTONE = "tombstone"  # a reversal or stand-in advice that came before its original
    TOMBSTONE_MET = "tombstone_met"  # ... and the original has come since
    REVERSED = "reversed"  # an increment, or one of several postings, that was taken back
    WITHDRAWN = "withdrawn"  # the approval came after the deadline and was taken back
    IN_DOUBT = "in_doubt"  # a clearing record: a person has to say
    REJECTED = "rejected"  # ... and said that it is not booked
    PARKED = "parked"  # it waits for a top-up; its answer is the decline that it gets if nothing comes of that


class StoredMessage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One decided message. Key elements that it lacked are empty texts."""

    account_id: int  # 0 where no card was found
    key: bytes
    fingerprint: bytes
    network: str
    kind: Kind
    operation: Operation
    card_id: int  # 0 where no card was found
    stan: str
    transmitted: str
    acquirer_id: str
    retrieval_reference: str
    network_reference: str
    terminal_id: str
    amount_minor: int
    answer: Answer
    decided_at: datetime
    incremental: bool = False  # it raised a hold instead of placing one
    state: MessageState = MessageState.ANSWERED
    moved_minor: int = 0  # what this message itself put on hold or posted
    hold_id: int | None = None  # the purchase it moved
    credential_id: int | None = None  # the number it came with; None for the card's own
    repeats_answered: int = 0  # how often the answer was given again, and not too late
    original_stan: str = ""  # reversals and advices: what their DE90 said of the original
    original_transmitted: str = ""

    @property
    def approved(self) -> bool:
        """Whether it was answered as an approval that still stands."""
        return self.answer.reason.approves and self.state is not MessageState.WITHDRAWN
