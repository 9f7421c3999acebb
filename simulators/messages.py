"""What an acquirer sends: builders for every kind of message, as fields ready for a codec.

A builder fills the elements that a terminal and its acquirer know. What differs between dialects (message types, which
field carries what, how an operation is coded, how a reversal names its original) is read from the dialect, so the same
scenario speaks to any network; what a network can't say at all, :meth:`Maker.lacks` tells. STAN and retrieval reference
count up from a seeded start; the reference begins with the second in which the maker was made, so
that two runs with one seed do not meet each other's purchases.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import TypeAlias, TypeVar

import msgspec

from simulators.acts import Act, AnswerCodes, Message, Terms, as_advice, as_repeat
from simulators.cards import TestCard
from switch.contracts import currency
from switch.contracts.message import EntryMode, Kind, Operation
from switch.contracts.reason import Reason
from switch.wire.dialect import Dialect, MessageRule
from switch.wire.rules import Carrier, Part
from switch.wire.transmission import local_text, transmission_text

__all__ = ["Act", "AnswerCodes", "Change", "Maker", "Message", "Terms", "as_advice", "as_repeat"]

_JST = timezone(timedelta(hours=9))
_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


_OPERATIONS = {
    Act.CASH_AUTHORIZATION: Operation.CASH_WITHDRAWAL,
    Act.CASH_WITHDRAWAL: Operation.CASH_WITHDRAWAL,
    Act.REFUND_AUTHORIZATION: Operation.REFUND,
    Act.REFUND: Operation.REFUND,
    Act.REFUND_ADVICE: Operation.REFUND,
    Act.INQUIRY: Operation.BALANCE_INQUIRY,
    Act.VERIFICATION: Operation.ACCOUNT_VERIFICATION,
}

_KINDS = {
    Act.PURCHASE: Kind.FINANCIAL,
    Act.CASH_WITHDRAWAL: Kind.FINANCIAL,
    Act.REFUND: Kind.FINANCIAL,
    Act.STAND_IN_APPROVAL: Kind.AUTHORIZATION_ADVICE,
    Act.STAND_IN_DECLINE: Kind.AUTHORIZATION_ADVICE,
    Act.FINANCIAL_ADVICE: Kind.FINANCIAL_ADVICE,
    Act.REFUND_ADVICE: Kind.FINANCIAL_ADVICE,
    Act.REVERSAL: Kind.REVERSAL,
}

# What a terminal most often does, of what the network takes.
_USUAL_ENTRY_MODES = (EntryMode.MAGNETIC_STRIPE, EntryMode.CONTACTLESS, EntryMode.CHIP)


#: Another value for an element, or None to leave it out. One that looks different in each network is made by the maker.
Change: TypeAlias = "str | Callable[[Maker], str] | None"


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
        self.codes = AnswerCodes.of(dialect)
        self.acquirer_id = acquirer_id
        self._cards = cards
        self._clock = clock
        rng = random.Random(f"{seed}/{dialect.name}/{lane}")
        self._stan = rng.randrange(1, 1_000_000)
        self._references = rng.randrange(36**4)
        self._reference_head = base36(int(clock().timestamp()), 6) + base36(lane, 1)
        self._at = dialect.elements
        self._operations = _first_codes(dialect.operations)
        if Operation.PURCHASE in self._operations:
            # A dialect without a code of its own verifies an account by a purchase of amount zero.
            self._operations.setdefault(Operation.ACCOUNT_VERIFICATION, self._operations[Operation.PURCHASE])
        self._entry_modes = {
            entry_mode: code
            for entry_mode, code in _first_codes(dialect.entry_modes).items()
            if entry_mode in dialect.scope.entry_modes
        }
        self._usual_entry_mode = next(mode for mode in (*_USUAL_ENTRY_MODES, *EntryMode) if mode in self._entry_modes)
        self._rules: dict[Kind, MessageRule] = {}
        for rule in dialect.messages.values():
            if not rule.repeat:
                self._rules.setdefault(rule.kind, rule)
        self._countries = {alpha2: code for code, alpha2 in reversed(tuple(dialect.countries.items()))}
        # In front of what a network sends, its own station is the source.
        header = dialect.header
        self._header = {} if header is None else {"h": header.turned(header.ours)}
        self._second = -1
        self._times: dict[str, str] = {}

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
        extra: Mapping[str, Change] | None = None,
    ) -> Message:
        """Any request. ``reference`` (DE37) continues a purchase; ``extra`` elements replace what would be sent."""
        terms = terms or Terms()
        card = self._cards[alias]
        dialect, at = self.dialect, self._at
        rule = self._rules[_KINDS.get(act, Kind.AUTHORIZATION)]
        country = self._countries.get(terms.country, terms.country)
        fields = {
            **self._header,
            "t": rule.mti,
            **rule.carries,
            at.pan: card.pan.reveal(),
            at.amount: f"{amount_minor:012d}",
            **self._when_and_stan(),
            at.mcc: terms.mcc,
            at.acquirer: self.acquirer_id,
            at.retrieval_reference: reference or self._next_reference(),
            at.terminal: f"{terms.terminal_id:8.8}",
            at.merchant: f"{terms.merchant_id:15.15}",
            at.currency: currency.numeric(terms.currency or card.currency),
        }
        fields.pop("", None)  # elements that the network does not have
        self._lay(fields, at.operation, self._operations[_OPERATIONS.get(act, Operation.PURCHASE)])
        self._lay(fields, at.entry_mode, self._entry_modes[terms.entry_mode or self._usual_entry_mode])
        self._lay(fields, at.condition, dialect.channels.condition_of(terms.channel))
        if dialect.carriers.merchant_name is not None:
            fields[dialect.carriers.merchant_name.field] = dialect.simulator.merchant_text(
                terms.merchant_name, terms.city, country
            )
        if terms.expiry is not None:
            fields[at.expiry] = terms.expiry or card.expiry
        if terms.cvv2 is not None and dialect.carriers.cvv2 is not None:
            carrier, code = dialect.carriers.cvv2, _cvv2(card, terms.cvv2)
            self._lay(fields, carrier, code.rjust(carrier.length or len(code)))
        if terms.cvv is not None:
            # PVKI and PVV are zero: no PIN is offset-checked here. The CVV stands where the dialect's issuers put it.
            discretionary = "0" * dialect.track2.cvv_at + terms.cvv
            # Among half bytes the separator is D, which a hook may see to.
            is_packed = at.track2 and dialect.spec[at.track2]["data_enc"] == "b" and dialect.hook is None
            separator = "D" if is_packed else "="
            fields[at.track2] = f"{card.pan.reveal()}{separator}{card.expiry}{card.service_code}{discretionary}"
        flags = dialect.flags
        for flag, is_so in ((flags.partial_supported, terms.partial), (flags.incremental, act is Act.INCREMENT)):
            if is_so and flag is not None:
                self._lay(fields, Part(field=flag.field, at=flag.at), flag.sign)
        return self.changed(self._message(act, alias, amount_minor, fields), extra or {})

    def lacks(self, act: Act, terms: Terms | None = None, changes: Iterable[str] = ()) -> frozenset[str]:
        """What of this the network can't carry, in words; empty when it can say all of it.

        Read from the dialect's data alone, so that a scenario knows which networks it can be played in.
        """
        terms = terms or Terms()
        dialect = self.dialect
        operation = _OPERATIONS.get(act, Operation.PURCHASE)
        kind = _KINDS.get(act, Kind.AUTHORIZATION)
        flags, carriers = dialect.flags, dialect.carriers
        entry_mode = terms.entry_mode or self._usual_entry_mode
        channel = dialect.channels.channel(
            terms.mcc, operation, entry_mode, dialect.channels.condition_of(terms.channel)
        )
        missing = {
            str(operation): operation not in self._operations,
            str(kind): kind not in self._rules,
            str(entry_mode): entry_mode not in self._entry_modes,
            str(channel): channel not in dialect.scope.channels,
            "partial approvals": terms.partial and flags.partial_supported is None,
            "increments": act is Act.INCREMENT and flags.incremental is None,
            "cvv2": terms.cvv2 is not None and carriers.cvv2 is None,
            "track2": terms.cvv is not None and not self.field_of("track2"),
        }
        missing |= {name: name != "t" and not self.field_of(name) for name in changes}
        return frozenset(what for what, is_missing in missing.items() if is_missing)

    def field_of(self, name: str) -> str:
        """Which field carries an element (a name of [elements] or [carriers], "original", or a field's own number).

        Empty when the network has none.
        """
        if name == "original":
            field = self.dialect.original.field
        elif name.isdecimal():
            field = name
        else:
            element = getattr(self._at, name, None) or getattr(self.dialect.carriers, name, None) or ""
            field = element if isinstance(element, str) else element.field
        return field if field in self.dialect.content else ""

    def changed(self, message: Message, changes: Mapping[str, Change]) -> Message:
        """``message`` with other elements; their names are those of :meth:`field_of`, or "t"."""
        if not changes:
            return message
        fields = dict(message.fields)
        for name, change in changes.items():
            key = name if name == "t" else self.field_of(name)
            value = change(self) if callable(change) else change
            if value is None:
                fields.pop(key, None)
            else:
                fields[key] = value
        return msgspec.structs.replace(message, fields=fields)

    def network_reference(self, number: int) -> str:
        """The network's own transaction id number ``number``."""
        field = self.field_of("network_reference")
        if self.dialect.content.get(field) == "n":
            return f"{number:0{self.dialect.fixed_length(field) or 1}d}"
        return f"NET{number:07d}"

    def mti(self, kind: Kind) -> str:
        """The message type of a kind."""
        return self._rules[kind].mti

    def original_text(self, mti: str = "0000", stan: str = "000000", time: str = "", acquirer_id: str = "") -> str:
        """Original data elements; what is not given is zero-filled."""
        rules = self.dialect.original
        if rules.acquirer_length:
            acquirer = acquirer_id.rjust(rules.acquirer_length, "0")
        else:
            acquirer = f"{len(acquirer_id):02d}{acquirer_id}"
        return f"{mti}{stan}{time.rjust(rules.time_length, '0')}{acquirer}{'':0>{rules.rest}}"

    # ── what follows a purchase

    def increment(self, first: Message, amount_minor: int, terms: Terms | None = None) -> Message:
        """0100 that raises the hold of ``first`` by ``amount_minor``."""
        reference = first.fields[self._at.retrieval_reference]
        return self.request(Act.INCREMENT, first.alias, amount_minor, terms, reference=reference)

    def stand_in(
        self, request: Message, *, approved: bool, amount_minor: int | None = None, approval_code: str = ""
    ) -> Message:
        """0120: the network decided ``request`` for the issuer, for all of it or for ``amount_minor``."""
        dialect, at = self.dialect, self._at
        amount = request.amount_minor if amount_minor is None else amount_minor
        good = dialect.response_code(Reason.APPROVED)
        if good not in dialect.stand_in_approved:
            good = min(dialect.stand_in_approved)
        fields = self._following(request, Kind.AUTHORIZATION_ADVICE, amount)
        fields[at.response_code] = good if approved else dialect.response_code(Reason.INSUFFICIENT_FUNDS)
        incremental = dialect.flags.incremental
        if incremental is not None and incremental.read(request.fields):
            self._lay(fields, Part(field=incremental.field, at=incremental.at), incremental.sign)
        if approved:
            fields[at.approval_code] = approval_code or f"S{fields[at.stan][-5:]}"
        return self._message(Act.STAND_IN_APPROVAL if approved else Act.STAND_IN_DECLINE, request.alias, amount, fields)

    def financial_advice(
        self, request: Message, *, amount_minor: int | None = None, refund: bool = False, approval_code: str = ""
    ) -> Message:
        """0220: what ``request`` asked for has happened; with ``refund`` a refund of it."""
        act, at = Act.REFUND_ADVICE if refund else Act.FINANCIAL_ADVICE, self._at
        amount = request.amount_minor if amount_minor is None else amount_minor
        fields = self._following(request, Kind.FINANCIAL_ADVICE, amount)
        del fields[at.operation.field]
        self._lay(fields, at.operation, self._operations[_OPERATIONS.get(act, Operation.PURCHASE)])
        fields[at.response_code] = self.dialect.response_code(Reason.APPROVED)
        if refund:
            fields[at.retrieval_reference] = self._next_reference()
        if approval_code:
            fields[at.approval_code] = approval_code
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
        amount, at = original.amount_minor if amount_minor is None else amount_minor, self._at
        fields = self._following(original, Kind.REVERSAL, amount)
        then = original.fields
        fields[self.dialect.original.field] = self.original_text(
            f"{then['t'][:3]}0", then[at.stan], then[at.sequence_time], self.acquirer_id
        )
        if approval_code:
            fields[at.approval_code] = approval_code
        if replacement_minor is not None:
            if at.original_amount is not None:
                self._lay(fields, at.original_amount, f"{amount:012d}", blank="0")
            fields.pop(at.replacement_amount.field, None)
            self._lay(fields, at.replacement_amount, f"{replacement_minor:012d}", blank="0")
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
            purchase=f"{self.network}:{fields[self._at.retrieval_reference]}",
            key=self._key(fields),
            amount_minor=amount_minor,
            fields=fields,
            replacement_minor=replacement_minor,
            reverses=reverses,
        )

    def _key(self, fields: Mapping[str, str]) -> str:
        """By which an answer, a repeat or a reversal is told: class of message, time, STAN.

        0400 and 0420 share one, because a 0420 repeats a 0400 that nobody answered.
        """
        mti = fields["t"]
        kind = mti[1] if mti[1] == "4" else mti[1:3]
        return f"{self.network}:{kind}:{fields[self._at.sequence_time]}:{fields[self._at.stan]}"

    def _following(self, request: Message, kind: Kind, amount_minor: int) -> dict[str, str]:
        """The elements that a later message of the same purchase repeats, under a STAN of its own.

        Track data, PIN block and security code are never sent again: nobody may have kept them.
        """
        at, cvv2, original_amount = self._at, self.dialect.carriers.cvv2, self._at.original_amount
        dropped = {
            at.track2,
            at.approval_code,
            at.response_code,
            at.pin,
            at.balances,
            self.dialect.original.field,
            at.replacement_amount.field,
            "" if original_amount is None else original_amount.field,
            "" if cvv2 is None else cvv2.field,
        }
        kept = {key: value for key, value in request.fields.items() if key not in dropped}
        rule = self._rules[kind]
        return {**kept, "t": rule.mti, **rule.carries, at.amount: f"{amount_minor:012d}", **self._when_and_stan()}

    def _when_and_stan(self) -> dict[str, str]:
        """Transmission in GMT, local date and time, STAN. The texts of a second are made once."""
        now = self._clock()
        second = int(now.timestamp())
        if second != self._second:
            self._second = second
            self._times = self._time_texts(now)
        stan = self._stan
        self._stan = stan % 999_999 + 1  # 000001 to 999999
        return {**self._times, self._at.stan: f"{stan:06d}"}

    def _time_texts(self, now: datetime) -> dict[str, str]:
        """Local date and time stand in one field where the dialect says so, else in DE12 and DE13 as in 1987."""
        local_time, texts = self.dialect.local_time, {}
        if self._at.transmission:
            texts[self._at.transmission] = transmission_text(now)
        if local_time is not None:
            return {**texts, local_time.field: local_text(now, local_time.clock)}
        local = now.astimezone(_JST)
        return {**texts, "12": local.strftime("%H%M%S"), "13": local.strftime("%m%d")}

    def _next_reference(self) -> str:
        self._references += 1
        return self._reference_head + base36(self._references, 5)

    def _lay(self, fields: dict[str, str], place: Carrier | Part, value: str, blank: str = "") -> None:
        """Writes ``value`` at its place of a field, whatever else that already carries, and its condition with it.

        A field of fixed length is filled up.
        """
        field, at = place.field, place.at
        blank = blank or ("0" if self.dialect.content[field] == "n" else " ")
        text = fields.get(field, "").ljust(at + len(value), blank)
        text = text[:at] + value + text[at + len(value) :]
        fields[field] = text.ljust(self.dialect.fixed_length(field), blank)
        when = place.when if isinstance(place, Carrier) else None
        if when is not None:
            self._lay(fields, Part(field=when.field or field, at=when.at), when.equals)
