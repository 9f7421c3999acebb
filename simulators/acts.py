"""What an acquirer's messages are for, under which circumstances they are made, and what their answers mean."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from switch.contracts.message import Channel, EntryMode
from switch.contracts.reason import Reason
from switch.wire.dialect import Dialect

__all__ = ["Act", "AnswerCodes", "Message", "Terms", "as_advice", "as_repeat"]


class Act(StrEnum):
    """What a message is for, as the acquirer's books see it."""

    AUTHORIZATION = "authorization"
    CASH_AUTHORIZATION = "cash authorization"
    REFUND_AUTHORIZATION = "refund authorization"
    INCREMENT = "increment"
    VERIFICATION = "verification"
    INQUIRY = "inquiry"
    PURCHASE = "purchase"
    CASH_WITHDRAWAL = "cash withdrawal"
    REFUND = "refund"
    STAND_IN_APPROVAL = "stand-in approval"
    STAND_IN_DECLINE = "stand-in decline"
    FINANCIAL_ADVICE = "financial advice"
    REFUND_ADVICE = "refund advice"
    REVERSAL = "reversal"

    @property
    def must_be_accepted(self) -> bool:
        """Advices and reversals tell what has happened: they are repeated until they are answered with 00."""
        return self in _TOLD

    @property
    def moves_money(self) -> bool:
        """Whether an approval of it changes a balance."""
        return self not in _STILL


_TOLD = frozenset({Act.STAND_IN_APPROVAL, Act.STAND_IN_DECLINE, Act.FINANCIAL_ADVICE, Act.REFUND_ADVICE, Act.REVERSAL})
_STILL = frozenset({Act.VERIFICATION, Act.INQUIRY, Act.REFUND_AUTHORIZATION})


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of a purchase: merchant, terminal and what the cardholder gave."""

    mcc: str = "5411"
    entry_mode: EntryMode | None = None  # None: what is usual in the network
    channel: Channel = Channel.IN_STORE
    terminal_id: str = "TERM0001"
    merchant_id: str = "SHOP00000000001"
    merchant_name: str = "KONBINI"
    city: str = "TOKYO"
    country: str = "JP"
    currency: str = ""  # empty: the card's own
    expiry: str | None = ""  # DE14; empty: the card's own; None: not sent
    cvv2: str | None = None  # "card": the card's own; "wrong": another; any other text is sent as it is
    cvv: str | None = None  # sends track 2 (DE35) with this CVV
    partial: bool = False  # the terminal takes a partial approval


class AnswerCodes(msgspec.Struct, frozen=True, kw_only=True):
    """What a network's response codes mean to an acquirer. The defaults are those of ISO 8583:1987."""

    approvals: frozenset[str] = frozenset({"00", "10", "85"})  # money may move: approved, in part, no reason to decline
    accepted: frozenset[str] = frozenset({"00"})  # an advice or a reversal was taken in
    unavailable: frozenset[str] = frozenset({"91"})  # the switch could not decide, and had decided nothing
    undecided: frozenset[str] = frozenset({"91", "96"})  # it could not: ask again later
    managed: str = "00"  # a sign-on, sign-off or echo was accepted

    @classmethod
    def of(cls, dialect: Dialect) -> AnswerCodes:
        """Those of ``dialect``."""

        def codes(*reasons: Reason) -> frozenset[str]:
            return frozenset(dialect.response_code(reason) for reason in reasons)

        return cls(
            approvals=dialect.stand_in_approved
            | codes(Reason.APPROVED, Reason.APPROVED_PARTIALLY, Reason.ACCOUNT_VERIFIED),
            accepted=codes(Reason.ADVICE_ACCEPTED, Reason.REVERSAL_ACCEPTED),
            unavailable=codes(Reason.UNAVAILABLE, Reason.DEADLINE_MISSED),
            undecided=codes(Reason.UNAVAILABLE, Reason.DEADLINE_MISSED, Reason.SYSTEM_ERROR),
            managed=dialect.management_response_code(Reason.APPROVED),
        )


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message and what the acquirer means by it. ``repr`` shows no card data."""

    act: Act
    alias: str
    network: str  # whose keys: the dialect's name
    purchase: str  # network and retrieval reference: everything that belongs to one purchase
    key: str  # equal for a message and its repeats
    amount_minor: int
    fields: Mapping[str, str]
    replacement_minor: int | None = None  # DE95: what shall be left
    reverses: str | None = None  # the key of the message that a reversal takes back

    def __repr__(self) -> str:
        return f"Message({self.fields.get('t', '')} {self.act} {self.alias} {self.amount_minor} {self.key})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        # msgspec's own would show the fields to any tool that prints locals.
        return [("", repr(self))]


def as_repeat(message: Message) -> Message:
    """The same message once more, under its x1 type."""
    return msgspec.structs.replace(message, fields={**message.fields, "t": message.fields["t"][:3] + "1"})


def as_advice(reversal: Message) -> Message:
    """A reversal that is told as an advice (0420, 1420), as a store-and-forward queue sends it."""
    return msgspec.structs.replace(reversal, fields={**reversal.fields, "t": f"{reversal.fields['t'][0]}420"})
