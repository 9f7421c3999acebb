"""What a clearing record says beyond what any message says.

A clearing record comes in a file or as a completion advice, days after the authorization. As a ``Request`` of the kind
``presentment`` it carries one of these. Its amounts: DE4 is ``amount_minor`` (the purchase's currency), DE6
``billing_amount_minor`` (the cardholder's), DE5 ``settlement_amount_minor`` here (what the network settles with us).
They are kept apart, since each may be in a currency of its own.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Clearing", "ClearingKind", "Instruction", "InstructionKind"]


class ClearingKind(StrEnum):
    """What a clearing record does. The purchase's direction (purchase, cash, refund) is the request's operation."""

    PRESENTMENT = "presentment"  # settles an authorization, in part or in full; or a refund
    ADDITIONAL_CHARGE = "additional_charge"  # after the fact: a minibar, damage to a rented car
    PRESENTMENT_REVERSAL = "presentment_reversal"  # the acquirer takes back a record of its own
    CHARGEBACK = "chargeback"  # we took the money back from the acquirer: credit to the cardholder
    CHARGEBACK_REVERSAL = "chargeback_reversal"  # the acquirer presents again, and is right
    FEE = "fee"  # between networks and issuer; not the cardholder's


class InstructionKind(StrEnum):
    """What a person decided about a record in doubt."""

    BIND = "bind"  # it belongs to the purchase that is named
    FORCE = "force"  # it belongs to none that we know: post it by itself
    REJECT = "reject"  # it is not booked; it goes back to the network by other ways


class Instruction(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A person's decision. ``by`` and, where the rule of two applies, ``agreed_by`` are user names."""

    kind: InstructionKind
    by: str
    agreed_by: str = ""
    hold_id: int | None = None  # BIND: the purchase


class Clearing(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The clearing part of a presentment.

    ``file_id`` and ``record`` name it for ever: they are its idempotency key, so a file that is sent twice books once.
    """

    kind: ClearingKind
    file_id: str
    record: int  # from 1
    acquirer_reference: str = ""  # ARN, DE31 (23 digits); empty when not told
    sequence: int = 1  # of several presentments for one authorization
    sequence_count: int = 0  # how many there will be; 0 when not told
    final: bool = True  # nothing follows: what is still held is released
    settlement_amount_minor: int | None = None  # DE5
    settlement_currency: str = ""  # DE50 as ISO 4217 letters
    fee_minor: int = 0  # DE46-like, in the settlement currency; above zero: we pay. Kept apart from the amounts
    instruction: Instruction | None = None
