"""The rows of a dialect's tables, as they stand in ``dialect.toml`` and as the codec uses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from switch.contracts.message import Channel, EntryMode, Kind, Operation

__all__ = [
    "AnswerRules",
    "Carrier",
    "Carriers",
    "ChannelRow",
    "ChannelRules",
    "Condition",
    "Flag",
    "Flags",
    "ManagementRules",
    "MessageRow",
    "StandInRules",
]

_Place = Annotated[int, msgspec.Meta(ge=0, le=998)]
_Codes = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
_Length = Annotated[int, msgspec.Meta(ge=1, le=999)]


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Characters that must stand at a place of the same field."""

    at: _Place
    equals: Annotated[str, msgspec.Meta(min_length=1)]


class Carrier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a value travels: a field, or ``length`` characters of it from ``at`` (from 0), perhaps on a condition."""

    field: str
    at: _Place = 0
    length: _Length | None = None
    when: Condition | None = None

    def read(self, fields: Mapping[str, str]) -> str:
        """The value without surrounding blanks; empty when the field is absent, too short or the condition unmet."""
        text = fields.get(self.field)
        if not text:
            return ""
        when = self.when
        if when is not None and not text.startswith(when.equals, when.at):
            return ""
        end = None if self.length is None else self.at + self.length
        return text[self.at : end].strip()

    def write(self, value: str) -> str:
        """The field that carries ``value`` alone, blanks in front of it."""
        return " " * self.at + value


class Flag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is so when certain characters stand at a place of a field."""

    field: str
    at: _Place = 0
    equals: Annotated[str, msgspec.Meta(min_length=1)]

    def read(self, fields: Mapping[str, str]) -> bool:
        """Whether it is so; False when the field is absent."""
        text = fields.get(self.field)
        return text is not None and text.startswith(self.equals, self.at)


class Carriers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[carriers]``: values whose place differs between networks. An absent one is never read."""

    merchant_name: Carrier | None = None
    merchant_country: Carrier | None = None  # ISO 3166 alpha-2
    network_reference: Carrier | None = None  # the network's own transaction id
    cvv2: Carrier | None = None


class Flags(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[flags]``: what a message can say with a character. An absent one is always False."""

    partial_supported: Flag | None = None
    incremental: Flag | None = None


class MessageRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[messages]``: one message type that wants a decision or tells of one."""

    kind: Kind
    response: str  # the MTI of its answer; a repeat gets the same one
    repeat: str = ""  # the MTI of its repeat, or empty where the network has none
    needs: tuple[str, ...] = ()  # fields without which it is a format error; PAN and DE11 always are


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


class StandInRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[stand_in]``: which DE39 of an authorization advice say that the network approved for us."""

    approved: tuple[str, ...]


class AnswerRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[answer]``: how an answer is made."""

    echoed: tuple[str, ...]  # request fields that an answer repeats, where the request has them
    cvv2_result: Carrier | None = None


class ChannelRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[channels]]``: the channel of messages with any of these marks."""

    channel: Channel
    mccs: tuple[str, ...] = ()  # DE18
    operations: tuple[Operation, ...] = ()
    entry_modes: tuple[EntryMode, ...] = ()
    conditions: tuple[str, ...] = ()  # DE25


_LAST = (1_000, Channel.IN_STORE)


class ChannelRules:
    """The rows of ``[[channels]]`` by mark. The first row with a mark of the message wins; without one: in store."""

    def __init__(self, rows: tuple[ChannelRow, ...]) -> None:
        self._by_mcc: dict[str, tuple[int, Channel]] = {}
        self._by_operation: dict[Operation, tuple[int, Channel]] = {}
        self._by_entry_mode: dict[EntryMode, tuple[int, Channel]] = {}
        self._by_condition: dict[str, tuple[int, Channel]] = {}
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

    def channel(self, mcc: str, operation: Operation, entry_mode: EntryMode, condition: str) -> Channel:
        """The channel of a message with these marks."""
        return min(
            self._by_mcc.get(mcc, _LAST),
            self._by_operation.get(operation, _LAST),
            self._by_entry_mode.get(entry_mode, _LAST),
            self._by_condition.get(condition, _LAST),
        )[1]
