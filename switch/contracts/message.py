"""What a network asks and what the issuer answers, in words that belong to no dialect.

A codec turns bytes into these values and back; the issuer's rules see nothing else. Amounts are integers of minor
units, currencies ISO 4217 letters, instants UTC. All values are frozen; secrets are wrapped
(``switch.contracts.secret``).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from switch.contracts.clearing import Clearing
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan, Secret

__all__ = [
    "ORIGINAL_AMOUNT",
    "Answer",
    "Balance",
    "Channel",
    "EntryMode",
    "Kind",
    "Operation",
    "OriginalElements",
    "Request",
    "StandIn",
]


class Kind(StrEnum):
    """The class of a message. The value is part of the idempotency key, so it never changes."""

    AUTHORIZATION = "authorization"  # 0100: on approval the amount is held
    FINANCIAL = "financial"  # 0200: on approval the amount is posted at once
    AUTHORIZATION_ADVICE = "authorization_advice"  # 0120: somebody else decided; hold what they approved
    FINANCIAL_ADVICE = "financial_advice"  # 0220: it has happened; post it
    REVERSAL = "reversal"  # 0400 and 0420: undo, in part or in full
    PRESENTMENT = "presentment"  # a clearing record: settles what was authorized, or stands alone

    @property
    def is_request(self) -> bool:
        """Whether it asks for a decision. Advices and reversals tell, and can't be declined."""
        return self in _REQUESTS


_REQUESTS = frozenset({Kind.AUTHORIZATION, Kind.FINANCIAL})


class Operation(StrEnum):
    """What the cardholder does, from the processing code (DE3, positions 1-2)."""

    PURCHASE = "purchase"
    CASH_WITHDRAWAL = "cash_withdrawal"
    REFUND = "refund"
    BALANCE_INQUIRY = "balance_inquiry"
    ACCOUNT_VERIFICATION = "account_verification"
    UNSUPPORTED = "unsupported"


class EntryMode(StrEnum):
    """How the PAN was read, from the point-of-service entry mode (DE22, positions 1-2)."""

    UNKNOWN = "unknown"
    MANUAL = "manual"
    MAGNETIC_STRIPE = "magnetic_stripe"
    CHIP = "chip"
    CONTACTLESS = "contactless"
    ECOMMERCE = "ecommerce"
    CREDENTIAL_ON_FILE = "credential_on_file"


class Channel(StrEnum):
    """Where the purchase happens, from entry mode, point-of-service condition (DE25) and MCC."""

    IN_STORE = "in_store"
    ECOMMERCE = "ecommerce"
    MAIL_OR_PHONE = "mail_or_phone"
    ATM = "atm"


class StandIn(StrEnum):
    """What the network decided for us, as an authorization advice reports it."""

    APPROVED = "approved"
    DECLINED = "declined"


class OriginalElements(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Original data elements (DE90).

    An element that the network zero-filled is an empty text: it can't be matched on.
    """

    mti: str
    stan: str
    transmitted: str  # DE7 of the original, MMDDhhmmss
    acquirer_id: str  # without leading zeros


class Request(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message that wants a decision or tells of one.

    Key elements that the message lacks are empty texts. ``acquirer_id`` has no leading zeros, so that DE32 compares
    with the zero-padded element of DE90.
    """

    network: str  # which network's keys these are; several links may serve one network
    dialect: str
    kind: Kind
    mti: str
    repeat: bool  # an x1 MTI
    operation: Operation
    pan: Pan
    amount_minor: int  # DE4
    currency: str  # DE49 as ISO 4217 letters; empty when absent or unknown
    billing_amount_minor: int | None = None  # DE6, in the currency of DE51
    billing_currency: str = ""
    stan: str  # DE11
    transmitted: str  # DE7 as sent, MMDDhhmmss, GMT
    transmitted_at: datetime  # DE7 with its year inferred, or the time of receipt where DE7 is absent
    acquirer_id: str = ""  # DE32
    retrieval_reference: str = ""  # DE37
    approval_code: str = ""  # DE38
    network_reference: str = ""  # the network's own transaction id, where the dialect has one
    terminal_id: str = ""  # DE41
    merchant_id: str = ""  # DE42
    merchant_name: str = ""  # DE43
    merchant_country: str = ""  # ISO 3166 alpha-2; empty when the message does not tell
    mcc: str = ""  # DE18
    entry_mode: EntryMode = EntryMode.UNKNOWN
    channel: Channel = Channel.IN_STORE
    expiry: str = ""  # YYMM, from DE14 or track 2
    service_code: str = ""  # from track 2
    cvv: Secret | None = None  # from track 2: CVV, or iCVV when the chip was read
    cvv2: Secret | None = None
    has_pin: bool = False  # DE52 is there; the block itself is not carried further
    partial_supported: bool = False  # the terminal can take a partial approval
    incremental: bool = False  # raises an earlier hold instead of placing one
    stand_in: StandIn | None = None  # advices only, from their DE39
    stand_in_by: str = ""  # advices only: who decided for us, in the dialect's words; empty when not told
    stand_in_reason: str = ""  # and why they did, likewise
    original: OriginalElements | None = None  # DE90
    replacement_amount_minor: int | None = None  # DE95: the final amount, not the amount to take off
    clearing: Clearing | None = None  # presentments only


#: The amount type of a balance that is what was asked for, beside a part that was approved.
ORIGINAL_AMOUNT = "57"


class Balance(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One entry for additional amounts (DE54)."""

    amount_type: str  # "01" ledger, "02" available, "57" original amount
    currency: str
    amount_minor: int  # negative means the account owes


class Answer(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What goes back. It holds no card data, so it is stored as it is and a repeat gets the same one.

    ``response_code`` is the wire code (DE39) that was chosen when the answer was made: a later change of the dialect's
    map must not change what a repeat gets.
    """

    reason: Reason
    response_code: str = ""
    approval_code: str = ""  # DE38
    approved_minor: int | None = None  # DE4 when it differs from the request's: a partial approval
    balances: tuple[Balance, ...] = ()  # DE54
    cvv2_result: str = ""  # "M" match, "N" no match; empty when not checked
