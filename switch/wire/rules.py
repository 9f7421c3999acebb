"""The rows of a dialect's tables, as they stand in ``dialect.toml`` and as the codec uses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from switch.contracts.message import Channel, EntryMode, Kind, Operation

__all__ = [
    "AnswerRules",
    "Carrier",
    "Carriers",
    "ChannelRow",
    "ChannelRules",
    "Condition",
    "Elements",
    "Flag",
    "Flags",
    "LocalTime",
    "ManagementRules",
    "MessageRow",
    "OriginalRules",
    "Part",
    "Scope",
    "SimulatorRules",
    "StandInRules",
    "Told",
]

_Place = Annotated[int, msgspec.Meta(ge=0, le=998)]
_PlaceOrEnd = Annotated[int, msgspec.Meta(ge=-999, le=998)]
_Codes = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
_Length = Annotated[int, msgspec.Meta(ge=1, le=999)]


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Characters that must stand at a place of the same field, or of another one."""

    field: str = ""  # empty: the field of the value
    at: _Place = 0
    equals: Annotated[str, msgspec.Meta(min_length=1)]


class Carrier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a value travels: a field, or ``length`` characters of it from ``at`` (from 0), perhaps on a condition.

    ``at`` below zero counts from the field's end; ``until`` is a character that ends the value.
    """

    field: str
    at: _PlaceOrEnd = 0
    length: _Length | None = None
    until: str = ""
    when: Condition | None = None

    @property
    def slice(self) -> slice:
        """Where the characters stand. The last of a field end at None: a slice to 0 would be empty."""
        return slice(self.at, None if self.length is None else (self.at + self.length) or None)

    def applies(self, fields: Mapping[str, str]) -> bool:
        """Whether the field is there and the condition met."""
        text = fields.get(self.field)
        if not text:
            return False
        when = self.when
        if when is None:
            return True
        judged = fields.get(when.field, "") if when.field else text
        return judged.startswith(when.equals, when.at)

    def read(self, fields: Mapping[str, str]) -> str:
        """The value without surrounding blanks; empty when the field is absent, too short or the condition unmet."""
        text = fields.get(self.field)
        if not text or (self.when is not None and not self.applies(fields)):
            return ""
        value = text[self.slice]
        return (value.partition(self.until)[0] if self.until else value).strip()

    def write(self, value: str) -> str:
        """The field that carries ``value`` alone, blanks in front of it."""
        return " " * self.at + value


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field, or ``length`` characters of it from ``at``."""

    field: str
    at: _Place = 0
    length: _Length | None = None

    @property
    def slice(self) -> slice:
        """Where the characters stand."""
        return slice(self.at, None if self.length is None else self.at + self.length)


class Flag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is so when certain characters, or one of several texts, stand at a place of a field."""

    field: str
    at: _Place = 0
    equals: Annotated[str, msgspec.Meta(min_length=1)] | _Codes

    def read(self, fields: Mapping[str, str]) -> bool:
        """Whether it is so; False when the field is absent."""
        text = fields.get(self.field)
        return text is not None and text.startswith(self.equals, self.at)

    @property
    def sign(self) -> str:
        """What a sender writes there to say that it is so."""
        return self.equals if isinstance(self.equals, str) else self.equals[0]


class Elements(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[elements]``: which field carries what. The defaults are the places of ISO 8583:1987.

    An empty text says that the network has no such element. ``sequence_time`` is the time that, with the STAN, tells a
    message from all others and is the same in its repeats; original data elements name it.
    """

    pan: str = "2"
    amount: str = "4"
    billing_amount: str = "6"
    transmission: str = "7"  # MMDDhhmmss, GMT
    sequence_time: str = "7"
    stan: str = "11"
    expiry: str = "14"
    mcc: str = "18"
    acquirer: str = "32"
    track2: str = "35"
    retrieval_reference: str = "37"
    approval_code: str = "38"
    response_code: str = "39"
    terminal: str = "41"
    merchant: str = "42"
    currency: str = "49"
    billing_currency: str = "51"
    pin: str = "52"
    balances: str = "54"
    operation: Part = Part(field="3", length=2)
    entry_mode: Part = Part(field="22", length=2)
    condition: Part = Part(field="25")
    # What shall be left after a reversal. Where it is the amount's own field, ``original_amount`` tells the amount
    # that was asked for first.
    replacement_amount: Carrier = Carrier(field="95", length=12)
    original_amount: Carrier | None = None


class OriginalRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[original]``: how a message names an earlier one: MTI (4), STAN (6), its sequence time, its acquirer.

    The acquirer has ``acquirer_length`` digits with zeros in front; where that is 0, two digits tell its length.
    ``rest`` counts the digits behind it, which are not read (1987: the forwarding institution).
    """

    field: str = "90"
    time_length: Annotated[int, msgspec.Meta(ge=1, le=14)] = 10
    acquirer_length: Annotated[int, msgspec.Meta(ge=0, le=99)] = 11
    rest: Annotated[int, msgspec.Meta(ge=0, le=99)] = 11


class LocalTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[local_time]``: the field for date and time at the terminal in one (YYMMDDhhmmss), and whose clock we show."""

    field: str
    zone: str = "UTC"

    @property
    def clock(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.zone)


class Scope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[scope]``: what the network serves. A request for anything else is answered as an unsupported operation.

    Advices and reversals are taken whatever they tell: it has happened.
    """

    channels: tuple[Channel, ...] = tuple(Channel)
    entry_modes: tuple[EntryMode, ...] = tuple(EntryMode)


class Carriers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[carriers]``: values whose place differs between networks. An absent one is never read."""

    merchant_name: Carrier | None = None
    merchant_country: Carrier | None = None  # ISO 3166 alpha-2, or a code of [countries]
    network_reference: Carrier | None = None  # the network's own transaction id
    cvv2: Carrier | None = None


class Flags(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[flags]``: what a message can say with a character. An absent one is always False."""

    partial_supported: Flag | None = None
    incremental: Flag | None = None
    unsupported: Flag | None = None  # marks a message that asks for what the issuer does not do


class MessageRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[messages]``: one message type that wants a decision or tells of one."""

    kind: Kind
    response: str  # the MTI of its answer; a repeat gets the same one
    repeat: str = ""  # the MTI of its repeat, or empty where the network has none
    needs: tuple[str, ...] = ()  # fields without which it is a format error; PAN and STAN always are
    carries: dict[str, str] = {}  # fields that say the same in any such message: what a sender begins with


class ManagementRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[management]``: the network management message and the codes of its functions."""

    request: str = "0800"
    repeat: str = "0801"
    response: str = "0810"
    code_field: str = "70"
    sign_on: _Codes  # where we initiate, the first code is sent
    sign_off: _Codes
    echo: _Codes
    key_change: tuple[str, ...] = ()
    echoed: tuple[str, ...]  # request fields that its answer repeats
    response_codes: dict[str, str] = {}  # by reason, where an answer here says it otherwise than to a purchase


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code of an advice, and what its values mean to a person. One that is not in ``texts`` is told as it is."""

    carrier: Carrier
    texts: dict[str, str] = {}

    def read(self, fields: Mapping[str, str]) -> str:
        """The meaning; empty when the advice does not tell."""
        code = self.carrier.read(fields)
        return self.texts.get(code, code)


class StandInRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[stand_in]``: which response codes of an advice say that the network approved for us; who decided, and why."""

    approved: tuple[str, ...]
    by: Told | None = None
    reason: Told | None = None


class AnswerRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[answer]``: how an answer is made."""

    echoed: tuple[str, ...]  # request fields that an answer repeats, where the request has them
    cvv2_result: Carrier | None = None
    original_amount: Carrier | None = None  # what was asked for, beside a part that was approved; None: in DE54


class SimulatorRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[simulator]``: how an acquirer writes what the issuer only reads a part of."""

    merchant: str = "{name:25.25}{city:13.13}{country:2.2}"

    def merchant_text(self, name: str, city: str, country: str) -> str:
        """The field that carries the merchant's name. Raises ValueError or LookupError when the form is none."""
        return self.merchant.format(name=name, city=city, country=country)


class ChannelRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[channels]]``: the channel of messages with any of these marks."""

    channel: Channel
    mccs: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()
    entry_modes: tuple[EntryMode, ...] = ()
    conditions: tuple[str, ...] = ()  # the condition of [elements]


_LAST = (1_000, Channel.IN_STORE)


class ChannelRules:
    """The rows of ``[[channels]]`` by mark. The first row with a mark of the message wins; without one: in store."""

    def __init__(self, rows: tuple[ChannelRow, ...]) -> None:
        self._by_mcc: dict[str, tuple[int, Channel]] = {}
        self._by_operation: dict[Operation, tuple[int, Channel]] = {}
        self._by_entry_mode: dict[EntryMode, tuple[int, Channel]] = {}
        self._by_condition: dict[str, tuple[int, Channel]] = {}
        self._conditions: dict[Channel, str] = {}
        for rank, row in enumerate(rows):
            place = (rank, row.channel)
            for mcc in row.mccs:
                self._by_mcc.setdefault(mcc, place)
            for operation in row.operations:
                self._by_operation.setdefault(operation, place)
            for entry_mode in row.entry_modes:
                self._by_entry_mode.setdefault(entry_mode, place)
            for condition in row.conditions:
                self._by_condition.setdefault(condition, place)
                self._conditions.setdefault(row.channel, condition)

    def condition_of(self, channel: Channel) -> str:
        """The condition that a sender gives for a channel; empty where none is needed."""
        return self._conditions.get(channel, "")

    def channel(self, mcc: str, operation: Operation, entry_mode: EntryMode, condition: str) -> Channel:
        """The channel of a message with these marks."""
        return min(
            self._by_mcc.get(mcc, _LAST),
            self._by_operation.get(operation, _LAST),
            self._by_entry_mode.get(entry_mode, _LAST),
            self._by_condition.get(condition, _LAST),
        )[1]
