"""The daily close: what the networks' messages say of a day, beside what the journal says.

A *finding* is a contradiction: between a message and its entries, between an entry's sides and what it did, between
an account and its journal or its holds. Exceptions, old holds and accounts below zero are no findings; they are
counted for people to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from switch.audit.moments import end_of, refuse_unfinished, span_of
from switch.journal import close, reads
from switch.journal.connection import Connection
from switch.journal.positions import ContraryAccount, CurrencyPosition, NegativeAccount, OpenHolds, all_positions
from switch.journal.snapshot import snapshot

__all__ = ["HOLD_AGES", "DailyClose", "Finding", "HoldsByAge", "close_day"]

#: Days since a hold was opened, and what people call them. The last has no upper end.
HOLD_AGES = ((0, 1), (2, 7), (8, 30), (31, 60), (61, None))

#: An account whose whole chain is broken has a finding an entry; `switch journal verify --account` tells them all.
_FINDINGS_PER_ACCOUNT = 20


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One contradiction. ``seq`` 0 means the account itself, ``reference`` is the key of the message, where there
    is one.
    """

    check: str  # "messages" or "accounts"
    account: int
    seq: int = 0
    reference: str = ""
    what: str


class HoldsByAge(msgspec.Struct, frozen=True):
    """Open holds of an age in days, as ``"2-7"``."""

    currency: str
    days: str
    count: int
    held_minor: int


class DailyClose(msgspec.Struct, frozen=True, kw_only=True):
    """A day's report. Amounts are minor units."""

    day: date
    zone: str
    opening: datetime  # the day is what came after it
    closing: datetime  # and up to it
    messages: list[close.MessageTotal]
    booked: list[close.BookedTotal]
    settlement: list[close.Settlement]
    positions: list[CurrencyPosition]
    open_holds: list[HoldsByAge]
    exceptions: list[close.ExceptionCount]
    negative: list[NegativeAccount]  # the lowest, no more than were asked for
    findings: list[Finding]  # of no more messages and accounts than were asked for
    contrary_messages: int  # all of them
    contrary_accounts: int

    @property
    def agrees(self) -> bool:
        """Whether nothing contradicts anything."""
        return not (self.contrary_messages or self.contrary_accounts)


async def close_day(
    connection: Connection,
    day: date,
    zone: ZoneInfo,
    *,
    settling: timedelta,
    details: int,
    progress: Callable[[str], None],
) -> DailyClose:
    """Closes ``day``, in one snapshot.

    ``details`` is how many contrary messages, contrary accounts and accounts below zero are named. Raises
    SwitchError while the day's figures are not final.
    """
    span = span_of(day, day, zone)
    async with snapshot(connection) as now:
        refuse_unfinished(span.closing, zone, now, settling)
        progress("the day's messages beside their entries")
        messages = await close.message_totals(connection, *span)
        progress("what was booked, and what is to be settled")
        booked = await close.booked_totals(connection, *span)
        settlement = await close.settlements(connection, *span)
        exceptions = await close.exception_counts(connection, *span)
        progress("every account beside its journal and its holds")
        stood = await all_positions(connection, span.closing, _bounds(day, zone), details)
        contrary_messages = sum(total.differ for total in messages)
        contrary_accounts = sum(position.contrary_accounts for position in stood.currencies)
        findings: list[Finding] = []
        if contrary_messages:
            progress("messages that their entries contradict")
            findings += [_of_message(one) for one in await close.contrary_messages(connection, *span, details)]
        if contrary_accounts:
            progress("entries that don't fit")
        for account in stood.contrary:
            findings += (await _of_account(connection, account))[:_FINDINGS_PER_ACCOUNT]
    return DailyClose(
        day=day,
        zone=zone.key,
        opening=span.opening,
        closing=span.closing,
        messages=messages,
        booked=booked,
        settlement=settlement,
        positions=stood.currencies,
        open_holds=[_by_age(holds) for holds in stood.holds],
        exceptions=exceptions,
        negative=stood.negative,
        findings=findings,
        contrary_messages=contrary_messages,
        contrary_accounts=contrary_accounts,
    )


def _bounds(day: date, zone: ZoneInfo) -> list[datetime]:
    """From when on a hold must have been opened to be no older than each age but the last."""
    oldest = [days for _, days in HOLD_AGES if days is not None]
    return [end_of(day - timedelta(days=days + 1), zone) + timedelta(microseconds=1) for days in oldest]


def _by_age(holds: OpenHolds) -> HoldsByAge:
    youngest, oldest = HOLD_AGES[holds.bucket]
    days = f">{youngest - 1}" if oldest is None else f"{youngest}-{oldest}"
    return HoldsByAge(holds.currency, days, holds.count, holds.held_minor)


def _of_message(one: close.ContraryMessage) -> Finding:
    if not one.network:
        what = f"{one.booked_minor:,} {one.currency} are booked for a message that is not there"
    else:
        told, its_entries = f"{one.told_minor:,} {one.currency}", f"{one.booked_minor:,}"
        what = f"the {one.kind} from {one.network} tells {told}, its entries {its_entries}"
    return Finding(check="messages", account=one.account, seq=one.seq, reference=one.key, what=what)


async def _of_account(connection: Connection, one: ContraryAccount) -> list[Finding]:
    """What contradicts what: the sums, and the entries as ``switch journal verify`` finds them."""
    findings: list[Finding] = []

    def found(what: str, seq: int = 0) -> None:
        findings.append(Finding(check="accounts", account=one.account, seq=seq, what=what))

    if not one.there:
        found(f"{one.journal_entries} entries with {one.journal_posted_minor:,} {one.currency}, and no such account")
        return findings
    sides, deltas = (
        (one.sides_posted_minor, one.sides_held_minor),
        (one.journal_posted_minor, one.journal_held_minor),
    )
    if sides != deltas:
        found(
            f"by their sides the entries make posted={sides[0]:,} held={sides[1]:,},"
            f" by their effects posted={deltas[0]:,} held={deltas[1]:,}"
        )
    shown = await reads.accounts(connection, [one.account])
    for fault in await reads.verify(connection, one.account, shown[0]):
        found(fault.what, fault.seq)
    if not findings:
        found("its currency or its newest entry is not the one that its journal has")
    return findings
