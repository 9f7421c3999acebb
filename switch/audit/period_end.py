"""The report at the end of a period: the unused balance of every program, and how it came about.

The Funds Settlement Act asks for it as of the end of March and of September, for each instrument (here: program),
as of midnight. Holds count both ways, so both are told: with them the cardholder's money is all that is posted,
without them what is still available. A balance below zero is a debt to the issuer; it stands apart and lowers
nobody else's balance.

The same period gives the same figures whenever it is asked for: they are made of the journal up to the closing
moment, of the programs of the cards, and of when accounts were opened, none of which changes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import msgspec

from switch.audit.moments import refuse_unfinished, span_of
from switch.audit.purpose import Purpose, purpose_of
from switch.contracts.errors import SwitchError
from switch.issuer.program import Program
from switch.journal import period, reads
from switch.journal.connection import Connection
from switch.journal.snapshot import snapshot

__all__ = ["Movement", "PeriodEnd", "PeriodReport", "chosen_programs", "period_ends", "period_report"]


class Movement(msgspec.Struct, frozen=True):
    """Entries of one kind between two sides, and which total they count to."""

    kind: str
    debit: str
    credit: str
    purpose: Purpose
    entries: int
    amount_minor: int
    posted_minor: int  # what they did to the posted balances
    held_minor: int


class PeriodEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One program and currency. Amounts are minor units.

    Invariant: ``closing_minor = unused_minor + negative_minor``, and it is ``opening_minor + issued_minor +
    granted_minor - recovered_minor``.
    """

    program: str
    currency: str
    zone: str
    opening: datetime
    closing: datetime
    accounts: int
    unused_minor: int  # posted: what is on hold included
    unused_less_holds_minor: int  # available
    held_minor: int
    negative_accounts: int
    negative_minor: int
    negative_less_holds_minor: int
    bonus_minor: int  # of closing: value that the issuer gave
    opening_minor: int
    issued_minor: int
    granted_minor: int
    recovered_minor: int
    closing_minor: int
    difference_minor: int  # closing less what opening and movements make; anything but 0 is a finding
    unknown_kinds: tuple[str, ...]  # kinds of entries that this version does not know: a finding
    movements: list[Movement]

    @property
    def agrees(self) -> bool:
        """Whether opening and movements give the closing balance, by kinds that are known."""
        return not self.difference_minor and not self.unknown_kinds


class PeriodReport(msgspec.Struct, frozen=True, kw_only=True):
    """All programs that were asked for."""

    first: date
    last: date
    programs: list[PeriodEnd]

    @property
    def agrees(self) -> bool:
        """Whether every program's figures agree."""
        return all(one.agrees for one in self.programs)


def chosen_programs(programs: Mapping[str, Program], names: Sequence[str], in_use: Iterable[str]) -> list[Program]:
    """The named programs, or all. Raises SwitchError for a name that the programs file lacks, cards' ones
    included.
    """
    for name in names or sorted(in_use):
        if name not in programs:
            raise SwitchError(f"the programs file has no program {name!r}, so its time zone is not known")
    return [programs[name] for name in dict.fromkeys(names)] if names else list(programs.values())


async def period_report(
    connection: Connection,
    programs: Mapping[str, Program],
    names: Sequence[str],
    first: date,
    last: date,
    *,
    settling: timedelta,
    progress: Callable[[str], None],
) -> PeriodReport:
    """The figures of the named programs, or of all, in one snapshot.

    Raises SwitchError while a program's figures are not final, and for programs that the file lacks.
    """
    async with snapshot(connection) as now:
        chosen = chosen_programs(programs, names, await reads.programs_in_use(connection))
        for program in chosen:
            refuse_unfinished(span_of(first, last, program.zone).closing, program.zone, now, settling)
        progress(f"the journal of {len(chosen)} program(s)")
        return PeriodReport(first=first, last=last, programs=await period_ends(connection, chosen, first, last))


async def period_ends(connection: Connection, programs: Sequence[Program], first: date, last: date) -> list[PeriodEnd]:
    """One for each program and currency that has accounts. The caller has a snapshot and knows that the period is
    over.
    """
    periods = [period.ProgramPeriod(program.name, *span_of(first, last, program.zone)) for program in programs]
    figures = await period.period_figures(connection, periods)
    by_name = {program.name: (program, ends) for program, ends in zip(programs, periods, strict=True)}
    movements: dict[tuple[str, str], list[period.Movements]] = defaultdict(list)
    for one in figures.movements:
        movements[one.program, one.currency].append(one)
    return [
        _period_end(balances, *by_name[balances.program], movements[balances.program, balances.currency])
        for balances in figures.balances
    ]


def _period_end(
    balances: period.Balances, program: Program, ends: period.ProgramPeriod, moved: Sequence[period.Movements]
) -> PeriodEnd:
    movements = [
        Movement(
            one.kind,
            one.debit,
            one.credit,
            purpose_of(one.kind),
            one.entries,
            one.amount_minor,
            one.posted_minor,
            one.held_minor,
        )
        for one in moved
    ]
    moved_by: Counter[Purpose] = Counter()
    for movement in movements:
        moved_by[movement.purpose] += movement.posted_minor
    issued, granted, recovered = moved_by[Purpose.ISSUED], moved_by[Purpose.GRANTED], -moved_by[Purpose.RECOVERED]
    return PeriodEnd(
        program=balances.program,
        currency=balances.currency,
        zone=program.zone.key,
        opening=ends.opening,
        closing=ends.closing,
        accounts=balances.accounts,
        unused_minor=balances.unused_minor,
        unused_less_holds_minor=balances.unused_less_holds_minor,
        held_minor=balances.held_minor,
        negative_accounts=balances.negative_accounts,
        negative_minor=balances.negative_minor,
        negative_less_holds_minor=balances.negative_less_holds_minor,
        bonus_minor=balances.bonus_minor,
        opening_minor=balances.opening_minor,
        issued_minor=issued,
        granted_minor=granted,
        recovered_minor=recovered,
        closing_minor=balances.posted_minor,
        difference_minor=balances.posted_minor - (balances.opening_minor + issued + granted - recovered),
        unknown_kinds=tuple(sorted({one.kind for one in movements if one.purpose is Purpose.UNKNOWN})),
        movements=movements,
    )
