"""Why a message was answered as it was: the issuer's own words, kept apart from any network's codes.

Each dialect maps every reason to its DE39 (``[response_codes]`` in ``dialect.toml``); a dialect that forgets one is
refused when it is loaded.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Reason"]


class Reason(StrEnum):
    """The outcome of one message. ``approves`` tells whether money may move on it."""

    # ── approvals
    APPROVED = "approved"
    APPROVED_PARTIALLY = "approved_partially"
    ACCOUNT_VERIFIED = "account_verified"
    ADVICE_ACCEPTED = "advice_accepted"  # an advice tells what has happened; it can't be refused
    REVERSAL_ACCEPTED = "reversal_accepted"  # nor can a reversal
    # ── the card
    UNKNOWN_CARD = "unknown_card"
    EXPIRED_CARD = "expired_card"
    EXPIRY_MISMATCH = "expiry_mismatch"
    CARD_LOCKED = "card_locked"  # by the cardholder
    CARD_BLOCKED = "card_blocked"  # by the issuer, temporarily
    CARD_NOT_ACTIVATED = "card_not_activated"
    CARD_LOST = "card_lost"
    CARD_STOLEN = "card_stolen"
    CARD_CLOSED = "card_closed"
    # ── the purchase
    PRODUCT_NOT_ALLOWED = "product_not_allowed"  # channel, entry mode, country or MCC that the program does not serve
    MERCHANT_BLOCKED = "merchant_blocked"
    CURRENCY_NOT_SERVED = "currency_not_served"
    UNSUPPORTED_OPERATION = "unsupported_operation"
    INVALID_AMOUNT = "invalid_amount"
    REVERSED_EARLIER = "reversed_earlier"  # its reversal came first
    DECIDED_EARLIER = "decided_earlier"  # the network declined it for us, and its advice came first
    ORIGINAL_NOT_FOUND = "original_not_found"  # an incremental authorization without its first one
    # ── security
    CVV_FAILED = "cvv_failed"  # CVV or iCVV
    CVV2_MISMATCH = "cvv2_mismatch"
    SECURITY_CODE_MISSING = "security_code_missing"
    PIN_NOT_SERVED = "pin_not_served"
    FRAUD_SUSPECTED = "fraud_suspected"
    # ── money and limits
    INSUFFICIENT_FUNDS = "insufficient_funds"
    OVER_AMOUNT_LIMIT = "over_amount_limit"
    OVER_COUNT_LIMIT = "over_count_limit"
    # ── the message and the house
    FORMAT_ERROR = "format_error"
    KEY_REUSED = "key_reused"  # the same key with other content
    NOT_SIGNED_ON = "not_signed_on"
    UNAVAILABLE = "unavailable"  # the database or security module is away
    DEADLINE_MISSED = "deadline_missed"
    SYSTEM_ERROR = "system_error"

    @property
    def approves(self) -> bool:
        """Whether this reason is an approval on the wire."""
        return self in _APPROVALS


_APPROVALS = frozenset(
    {
        Reason.APPROVED,
        Reason.APPROVED_PARTIALLY,
        Reason.ACCOUNT_VERIFIED,
        Reason.ADVICE_ACCEPTED,
        Reason.REVERSAL_ACCEPTED,
    }
)
