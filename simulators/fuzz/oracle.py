"""What was really sent, read by pyiso8583 alone, and whether an approval is one that somebody asked for.

The dialect's data (its field table, its message types, what its answers repeat) is shared with the switch; nothing that
reads or decides is. What the switch makes of a message is its business as long as it does not approve: this never
demands an approval, and counts a declined or unanswered message as safe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

import iso8583

from simulators.cards import TestCard, luhn_digit
from switch.contracts import currency
from switch.contracts.message import Operation
from switch.contracts.reason import Reason
from switch.wire.dialect import Dialect
from switch.wire.header import HeaderRules

__all__ = ["Fields", "Oracle"]

Fields: TypeAlias = Mapping[str, str]

_TRACK2 = re.compile(r"([0-9]+)[=D]([0-9]{4})", re.ASCII)
_HEX = re.compile(r"[0-9A-Fa-f]*", re.ASCII)
_DIGITS = re.compile(r"[0-9]*", re.ASCII)


class Oracle:
    """Of one dialect and the cards that its messages may name."""

    def __init__(self, dialect: Dialect, cards: Mapping[str, TestCard]) -> None:
        self._dialect = dialect
        self._at = dialect.elements
        self._spec = dialect.spec
        self._header = None if dialect.header is None else dialect.header.rules
        self._digits = frozenset(key for key, kind in dialect.content.items() if kind == "n")
        self._cards = {card.pan.reveal(): card for card in cards.values()}
        self._echoed = tuple(key for key in dialect.answer.echoed if key != dialect.elements.amount)
        self._responses = {mti: rule.response for mti, rule in dialect.messages.items()}
        self._approving = {dialect.response_code(reason) for reason in Reason if reason.approves}
        self._partly = dialect.response_code(Reason.APPROVED_PARTIALLY)

    def fields(self, payload: bytes) -> Fields | None:
        """The elements of a payload, sent or received; None when it can't be read whole."""
        try:
            decoded, _ = iso8583.decode(payload, self._spec)
        except iso8583.DecodeError:
            return None
        # Bitmaps in text: the library skips blanks among their digits.
        if not (_HEX.fullmatch(decoded["p"]) and _HEX.fullmatch(decoded.get("1", ""))):
            return None
        return decoded

    def asked(self, payload: bytes) -> tuple[Fields, str] | None:
        """What a payload that was sent asks of the issuer, and what shows that it is damaged (empty: nothing does).

        None when it can't be read whole, or asks for no decision.
        """
        fields = self.fields(payload)
        if fields is None or fields["t"] not in self._responses:
            return None
        if self._header is not None:
            flaw = _header_flaw(self._header, payload)
            if flaw:
                return fields, flaw
        if not fields.get(self._at.stan):
            return fields, "it has no STAN"
        for key, text in fields.items():
            if key in self._digits and not _DIGITS.fullmatch(text):
                return fields, f"DE{key} is no digits"
        return fields, ""

    def signs_off(self, payload: bytes) -> bool:
        """Whether a payload that was sent is, or may be taken for, a sign-off."""
        fields, management = self.fields(payload), self._dialect.management
        return (
            fields is not None
            and fields["t"] in {management.request, management.repeat}
            and fields.get(management.code_field) in management.sign_off
        )

    def is_request(self, fields: Fields) -> bool:
        """Whether a message that was sent is answered in any case."""
        return self._dialect.messages[fields["t"]].kind.is_request

    def thread(self, fields: Fields) -> tuple[str, str]:
        """What a message and any answer to it have in common, whatever the answer: its type and DE11."""
        mti = fields["t"]
        return self._responses.get(mti, mti), fields.get(self._at.stan, "")

    def approves(self, answer: Fields) -> bool:
        """Whether an answer says yes, to a request, an advice or a reversal."""
        return answer["t"] in self._responses.values() and answer.get(self._at.response_code, "") in self._approving

    def objection(self, answer: Fields, asked: Fields) -> str:
        """Why the approval ``answer`` is none of what the sound message ``asked`` for; empty when it is."""
        if self._header is not None and answer["h"] != _turned(self._header, asked["h"], answer["h"]):
            return "the header is not the one that was asked with, turned"
        for key in self._echoed:
            if asked.get(key) and answer.get(key) != asked[key]:
                return f"DE{key} is not what was asked with"
        if not self._dialect.messages[asked["t"]].kind.is_request:
            amount = self._at.amount
            return "" if answer.get(amount, "") == asked.get(amount, "") else "the amount is not what was told"
        return self._amount_objection(answer, asked) or self._card_objection(asked)

    def _amount_objection(self, answer: Fields, asked: Fields) -> str:
        amount = self._at.amount
        wanted, approved = asked.get(amount, ""), answer.get(amount, "")
        if answer[self._at.response_code] == self._partly:
            if self._dialect.flags.partial_supported is None or not self._dialect.flags.partial_supported.read(asked):
                return "a part was approved, which the terminal does not take"
            return "" if approved and wanted and int(approved) < int(wanted) else "the part is no part"
        return "" if approved == wanted else "the amount is not what was asked for"

    def _card_objection(self, asked: Fields) -> str:
        at = self._at
        track2 = asked.get(at.track2, "")
        stripe = _TRACK2.match(track2)
        if track2 and stripe is None:
            return "the stripe is no track 2"
        pan = asked.get(at.pan, "") or (stripe.group(1) if stripe else "")
        card = self._cards.get(pan)
        if card is None or luhn_digit(pan[:-1]) != pan[-1]:
            return "there is no such card"
        if card.status != "active" or card.locked:
            return "the card is not in use"
        # Where both are there, DE14 goes before the stripe.
        if (asked.get(at.expiry) or (stripe.group(2) if stripe else card.expiry)) != card.expiry:
            return "the card does not expire then"
        if stripe is not None and stripe.group(1) != pan:
            return "the stripe is another card's"
        operation = self._dialect.operations.get(asked.get(at.operation.field, "")[at.operation.slice])
        if operation is None:
            return "nobody knows that processing code"
        moves = operation is not Operation.BALANCE_INQUIRY and bool(asked.get(at.amount, "").strip("0"))
        if moves and not {asked.get(at.currency), asked.get(at.billing_currency)} & {
            card.currency,
            currency.numeric(card.currency),
        }:
            return "the currency is not the card's"
        return ""


def _header_flaw(rules: HeaderRules, payload: bytes) -> str:
    """What shows that the header in front of ``payload`` is damaged; empty: nothing does."""
    at = 0
    for part in rules.parts:
        content = payload[at : at + part.bytes]
        at += part.bytes
        if part.holds == "header_length" and content != bytes([rules.bytes]):
            return "the header's length is another"
        if part.holds == "total_length" and int.from_bytes(content, "big") != len(payload):
            return "the total length is another"
        if part.any_of and content.hex() not in {each.lower() for each in part.any_of}:
            return f"no {part.desc} is like that"
    return ""


def _turned(rules: HeaderRules, asked: str, answer: str) -> str:
    """The header that must answer ``asked``: its stations exchanged, the length ``answer``'s own."""
    places: dict[str, slice] = {}
    at = 0
    for part in rules.parts:
        places[part.holds or part.desc] = slice(at, at + 2 * part.bytes)
        at += 2 * part.bytes
    turned = {"source": asked[places["destination"]], "destination": asked[places["source"]]}
    turned["total_length"] = answer[places["total_length"]]
    return "".join(turned.get(name, asked[place]) for name, place in places.items())
