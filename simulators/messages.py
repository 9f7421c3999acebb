"""What an acquirer sends: builders for every kind of message, as fields ready for a codec.

A builder fills the elements that a terminal and its acquirer know. What differs between dialects (where CVV2 travels,
which flag tells that a terminal takes a partial approval, how an operation is coded) is read from the dialect, so the
same scenario speaks to any network. STAN and retrieval reference count up from a seeded start; the reference begins
with the second in which the maker was made, so that two runs with one seed do not meet each other's purchases.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import TypeVar

import msgspec

from simulators.cards import TestCard
from switch.contracts import currency
from switch.contracts.message import EntryMode, Operation
from switch.contracts.reason import Reason
from switch.wire.dialect import Dialect

__all__ = ["Act", "Maker", "Message", "Terms", "as_advice", "as_repeat"]

_JST = timezone(timedelta(hours=9))
_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


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

_OPERATIONS = {
    Act.CASH_AUTHORIZATION: Operation.CASH_WITHDRAWAL,
    Act.CASH_WITHDRAWAL: Operation.CASH_WITHDRAWAL,
    Act.REFUND_AUTHORIZATION: Operation.REFUND,
    Act.REFUND: Operation.REFUND,
    Act.REFUND_ADVICE: Operation.REFUND,
    Act.INQUIRY: Operation.BALANCE_INQUIRY,
    Act.VERIFICATION: Operation.ACCOUNT_VERIFICATION,
}

_MTIS = {
    Act.PURCHASE: "0200",
    Act.CASH_WITHDRAWAL: "0200",
    Act.REFUND: "0200",
    Act.STAND_IN_APPROVAL: "0120",
    Act.STAND_IN_DECLINE: "0120",
    Act.FINANCIAL_ADVICE: "0220",
    Act.REFUND_ADVICE: "0220",
    Act.REVERSAL: "0400",
}


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of a purchase: merchant, terminal and what the cardholder gave."""

    mcc: str = "5411"
    entry_mode: EntryMode = EntryMode.MAGNETIC_STRIPE
    condition: str = "00"  # DE25: 08 is mail or phone, 59 is e-commerce
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


def message_key(network: str, fields: Mapping[str, str]) -> str:
    """The key by which an answer, a repeat or a reversal is told: class of message, transmission time, STAN.

    0400 and 0420 share one, because a 0420 repeats a 0400 that nobody answered.
    """
    mti = fields["t"]
    kind = mti[1] if mti[1] == "4" else mti[1:3]
    return f"{network}:{kind}:{fields['7']}:{fields['11']}"


def as_repeat(message: Message) -> Message:
    """The same message once more, under its x1 type."""
    return msgspec.structs.replace(message, fields={**message.fields, "t": message.fields["t"][:3] + "1"})


def as_advice(reversal: Message) -> Message:
    """A reversal that is told as an advice (0420), as a store-and-forward queue sends it."""
    return msgspec.structs.replace(reversal, fields={**reversal.fields, "t": "0420"})


def _cvv2(card: TestCard, wanted: str) -> str:
    own = card.cvv2.reveal()
    return {"card": own, "wrong": f"{(int(own) + 1) % 1000:03d}"}.get(wanted, wanted)


_Meaning = TypeVar("_Meaning", bound=StrEnum)


def _first_codes(codes: Mapping[str, _Meaning]) -> dict[_Meaning, str]:
    """The first code for each meaning, where a dialect has several."""
    found: dict[_Meaning, str] = {}
    for code, meaning in codes.items():
        found.setdefault(meaning, code)
    return found


def base36(number: int, width: int) -> str:
    """``number`` in digits and capital letters, the low ``width`` places."""
    text = ""
    for _ in range(width):
        number, digit = divmod(number, 36)
        text = _BASE36[digit] + text
    return text


class Maker:
    """Makes messages of one network. Two makers with the same seed and clock make the same messages.

    ``lane`` (0 to 35) keeps the references of several makers of one network apart.
    """

    def __init__(
        self,
        dialect: Dialect,
        cards: Mapping[str, TestCard],
        *,
        seed: int,
        lane: int = 0,
        acquirer_id: str = "40000100001",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.dialect = dialect
        self.network = dialect.name
        self.acquirer_id = acquirer_id
        self._cards = cards
        self._clock = clock
        rng = random.Random(f"{seed}/{dialect.name}/{lane}")
        self._stan = rng.randrange(1, 1_000_000)
        self._references = rng.randrange(36**4)
        self._reference_head = base36(int(clock().timestamp()), 6) + base36(lane, 1)
        self._operations = _first_codes(dialect.operations)
        # A dialect without a code of its own verifies an account by a purchase of amount zero.
        self._operations.setdefault(Operation.ACCOUNT_VERIFICATION, self._operations[Operation.PURCHASE])
        self._entry_modes = _first_codes(dialect.entry_modes)
        self._second = -1
        self._times: tuple[tuple[str, str], ...] = ()

    # ── what a cardholder does

    def authorization(self, alias: str, amount_minor: int, terms: Terms | None = None) -> Message:
        """0100 for a purchase: asks for a hold."""
        return self.request(Act.AUTHORIZATION, alias, amount_minor, terms)

    def purchase(self, alias: str, amount_minor: int, terms: Terms | None = None) -> Message:
        """0200: a purchase in a single message."""
        return self.request(Act.PURCHASE, alias, amount_minor, terms)

    def cash_withdrawal(self, alias: str, amount_minor: int, terms: Terms | None = None) -> Message:
        """0200 from a cash machine (MCC 6011): a single message, no clearing step."""
        return self.request(Act.CASH_WITHDRAWAL, alias, amount_minor, terms or Terms(mcc="6011"))

    def refund(self, alias: str, amount_minor: int, terms: Terms | None = None) -> Message:
        """0200 with a refund's processing code."""
        return self.request(Act.REFUND, alias, amount_minor, terms)

    def inquiry(self, alias: str, terms: Terms | None = None) -> Message:
        """0100 that asks for the balance (DE54)."""
        return self.request(Act.INQUIRY, alias, 0, terms)

    def verification(self, alias: str, terms: Terms | None = None) -> Message:
        """0100 that asks whether the card is good; amount zero."""
        return self.request(Act.VERIFICATION, alias, 0, terms)

    def request(
        self,
        act: Act,
        alias: str,
        amount_minor: int,
        terms: Terms | None = None,
        *,
        reference: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> Message:
        """Any request. ``reference`` (DE37) continues a purchase; ``extra`` elements replace what would be sent."""
        terms = terms or Terms()
        card = self._cards[alias]
        fields = {
            "t": _MTIS.get(act, "0100"),
            "2": card.pan.reveal(),
            "3": self._operations[_OPERATIONS.get(act, Operation.PURCHASE)] + "0000",
            "4": f"{amount_minor:012d}",
            **self._when_and_stan(),
            "18": terms.mcc,
            "22": self._entry_modes[terms.entry_mode] + "0",
            "25": terms.condition,
            "32": self.acquirer_id,
            "37": reference or self._next_reference(),
            "41": f"{terms.terminal_id:8.8}",
            "42": f"{terms.merchant_id:15.15}",
            "43": f"{terms.merchant_name:25.25}{terms.city:13.13}{terms.country:2.2}",
            "49": currency.numeric(terms.currency or card.currency),
        }
        if terms.expiry is not None:
            fields["14"] = terms.expiry or card.expiry
        if terms.cvv2 is not None:
            self._put_cvv2(fields, _cvv2(card, terms.cvv2))
        if terms.cvv is not None:
            # PVKI and PVV are zero: no PIN is offset-checked here. The CVV stands where the dialect's issuers put it.
            discretionary = "0" * self.dialect.track2.cvv_at + terms.cvv
            fields["35"] = f"{card.pan.reveal()}={card.expiry}{card.service_code}{discretionary}"
        flags = self.dialect.flags
        for flag, is_so in ((flags.partial_supported, terms.partial), (flags.incremental, act is Act.INCREMENT)):
            if is_so and flag is not None:
                self._lay(fields, flag.field, flag.at, flag.equals)
        return self._message(act, alias, amount_minor, {**fields, **(extra or {})})

    # ── what follows a purchase

    def increment(self, first: Message, amount_minor: int, terms: Terms | None = None) -> Message:
        """0100 that raises the hold of ``first`` by ``amount_minor``."""
        return self.request(Act.INCREMENT, first.alias, amount_minor, terms, reference=first.fields["37"])

    def stand_in(
        self, request: Message, *, approved: bool, amount_minor: int | None = None, approval_code: str = ""
    ) -> Message:
        """0120: the network decided ``request`` for the issuer, for all of it or for ``amount_minor``."""
        dialect = self.dialect
        amount = request.amount_minor if amount_minor is None else amount_minor
        good = dialect.response_code(Reason.APPROVED)
        if good not in dialect.stand_in_approved:
            good = min(dialect.stand_in_approved)
        fields = self._following(request, "0120", amount)
        fields["39"] = good if approved else dialect.response_code(Reason.INSUFFICIENT_FUNDS)
        if approved:
            fields["38"] = approval_code or f"S{fields['11'][-5:]}"
        return self._message(Act.STAND_IN_APPROVAL if approved else Act.STAND_IN_DECLINE, request.alias, amount, fields)

    def financial_advice(
        self, request: Message, *, amount_minor: int | None = None, refund: bool = False, approval_code: str = ""
    ) -> Message:
        """0220: what ``request`` asked for has happened; with ``refund`` a refund of it."""
        act = Act.REFUND_ADVICE if refund else Act.FINANCIAL_ADVICE
        amount = request.amount_minor if amount_minor is None else amount_minor
        fields = self._following(request, "0220", amount)
        fields["3"] = self._operations[_OPERATIONS.get(act, Operation.PURCHASE)] + "0000"
        fields["39"] = self.dialect.response_code(Reason.APPROVED)
        if refund:
            fields["37"] = self._next_reference()
        if approval_code:
            fields["38"] = approval_code
        return self._message(act, request.alias, amount, fields)

    def reversal(
        self,
        original: Message,
        *,
        replacement_minor: int | None = None,
        amount_minor: int | None = None,
        approval_code: str = "",
    ) -> Message:
        """0400 that takes back ``original``: all of it, or down to ``replacement_minor`` (DE95)."""
        amount = original.amount_minor if amount_minor is None else amount_minor
        fields = self._following(original, "0400", amount)
        then = original.fields
        fields["90"] = f"{then['t'][:3]}0{then['11']}{then['7']}{self.acquirer_id:0>11}{'':0>11}"
        if approval_code:
            fields["38"] = approval_code
        if replacement_minor is not None:
            fields["95"] = f"{replacement_minor:012d}".ljust(42, "0")
        return self._message(
            Act.REVERSAL,
            original.alias,
            amount,
            fields,
            replacement_minor=replacement_minor,
            reverses=original.key,
        )

    # ── the parts

    def _message(
        self,
        act: Act,
        alias: str,
        amount_minor: int,
        fields: dict[str, str],
        replacement_minor: int | None = None,
        reverses: str | None = None,
    ) -> Message:
        return Message(
            act=act,
            alias=alias,
            network=self.network,
            purchase=f"{self.network}:{fields['37']}",
            key=message_key(self.network, fields),
            amount_minor=amount_minor,
            fields=fields,
            replacement_minor=replacement_minor,
            reverses=reverses,
        )

    def _following(self, request: Message, mti: str, amount_minor: int) -> dict[str, str]:
        """The elements that a later message of the same purchase repeats, under a STAN of its own.

        Track data, PIN block and security code are never sent again: nobody may have kept them.
        """
        cvv2 = self.dialect.carriers.cvv2
        dropped = {"35", "38", "39", "52", "54", "90", "95", "" if cvv2 is None else cvv2.field}
        kept = {key: value for key, value in request.fields.items() if key not in dropped}
        return {**kept, "t": mti, "4": f"{amount_minor:012d}", **self._when_and_stan()}

    def _when_and_stan(self) -> dict[str, str]:
        """DE7 in GMT, DE12 and DE13 local, DE11. The date and time texts are made once per second."""
        now = self._clock()
        second = int(now.timestamp())
        if second != self._second:
            local = now.astimezone(_JST)
            self._second = second
            self._times = (
                ("7", now.astimezone(UTC).strftime("%m%d%H%M%S")),
                ("12", local.strftime("%H%M%S")),
                ("13", local.strftime("%m%d")),
            )
        stan = self._stan
        self._stan = stan % 999_999 + 1  # 000001 to 999999
        return {**dict(self._times), "11": f"{stan:06d}"}

    def _next_reference(self) -> str:
        self._references += 1
        return self._reference_head + base36(self._references, 5)

    def _put_cvv2(self, fields: dict[str, str], code: str) -> None:
        """The security code where the dialect carries it, right-justified. Nothing where it carries none."""
        carrier = self.dialect.carriers.cvv2
        if carrier is None:
            return
        self._lay(fields, carrier.field, carrier.at, code.rjust(carrier.length or len(code)))
        if carrier.when is not None:
            self._lay(fields, carrier.field, carrier.when.at, carrier.when.equals)

    def _lay(self, fields: dict[str, str], field: str, at: int, value: str) -> None:
        """Writes ``value`` at a place of a field, whatever else the field already carries."""
        blank = "0" if self.dialect.content[field] == "n" else " "
        text = fields.get(field, "").ljust(at + len(value), blank)
        fields[field] = text[:at] + value + text[at + len(value) :]
