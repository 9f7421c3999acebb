"""Accounting's figures beside the journal's, from totals down to the entries that differ.

Each list that accounting gives (``switch.audit.accounting``) is compared by itself; together they lead down: which
programs' totals differ, which accounts make the difference, which entries one side has and the other lacks.

A list of accounts is read in chunks, so a million accounts need the memory of their numbers. A list of entries is
kept whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from switch.audit.accounting import PERIOD_MEASURES, Figure, figures, kind_of
from switch.audit.moments import refuse_unfinished, span_of
from switch.audit.period_end import PeriodEnd, period_ends
from switch.audit.purpose import Purpose, purpose_of
from switch.contracts.errors import SwitchError
from switch.issuer.program import Program
from switch.journal import asof, period
from switch.journal.connection import Connection
from switch.journal.snapshot import snapshot

__all__ = ["Comparison", "Difference", "compare"]

_CHUNK_ROWS = 10_000


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of which accounting and the journal say something else. None: that side does not have it."""

    file: str
    line: int  # 0: only the journal has it
    program: str = ""
    currency: str = ""
    measure: str = ""
    account: int | None = None
    reference: str = ""
    seq: int | None = None  # of the journal's first entry with the reference
    accounting_minor: int | None
    journal_minor: int | None
    hint: str = ""

    @property
    def difference_minor(self) -> int:
        """Accounting's less ours."""
        return (self.accounting_minor or 0) - (self.journal_minor or 0)


class Comparison(msgspec.Struct, kw_only=True):
    """How much was compared, and what differs. ``differences`` has no more of each file than were asked for."""

    compared: int = 0
    differing: int = 0
    differences: list[Difference] = []

    @property
    def agrees(self) -> bool:
        """Whether all of it is the same."""
        return not self.differing


class _List(NamedTuple):
    """What one list of accounts is about: all accounts of the program and currency that have such a figure."""

    first: date | None
    as_of: date
    program: str
    currency: str
    measure: str


class _Comparing:
    """The work on all files. Everything is asked of one snapshot, taken at ``now``."""

    def __init__(
        self,
        connection: Connection,
        programs: Mapping[str, Program],
        now: datetime,
        settling: timedelta,
        details: int,
    ) -> None:
        self.connection = connection
        self.programs = programs
        self.now = now
        self.settling = settling
        self.details = details
        self.result = Comparison()
        self._told_of_file = 0

    async def file(self, path: Path) -> None:
        """Compares one of accounting's lists."""
        self._told_of_file = 0
        kind = kind_of(path)
        if kind == "totals":
            await self._totals(path)
        elif kind == "accounts":
            await self._accounts(path)
        else:
            await self._entries(path)

    def _told(self, difference: Difference) -> None:
        self.result.differing += 1
        if self._told_of_file < self.details:
            self._told_of_file += 1
            self.result.differences.append(difference)

    def _span(self, path: Path, line: int, program: str, first: date | None, as_of: date) -> tuple[datetime, datetime]:
        """The period in the program's zone; of one day where only its end matters."""
        if program not in self.programs:
            raise SwitchError(f"{path} line {line}: the programs file has no program {program!r}")
        zone = self.programs[program].zone
        span = span_of(first or as_of, as_of, zone)
        refuse_unfinished(span.closing, zone, self.now, self.settling)
        return span

    # ── totals

    async def _totals(self, path: Path) -> None:
        by_period: dict[tuple[date, date], list[Figure]] = defaultdict(list)
        for figure in figures(path):
            self._span(path, figure.line, figure.program, figure.first, figure.as_of)
            by_period[figure.first or figure.as_of, figure.as_of].append(figure)
        for (first, as_of), listed in by_period.items():
            chosen = [self.programs[name] for name in dict.fromkeys(one.program for one in listed)]
            ours = {
                (end.program, end.currency): end for end in await period_ends(self.connection, chosen, first, as_of)
            }
            for figure in listed:
                self.result.compared += 1
                end = ours.get((figure.program, figure.currency))
                minor = 0 if end is None else _measured(end, figure.measure)
                if minor != figure.amount_minor:
                    self._told(
                        Difference(
                            file=path.name,
                            line=figure.line,
                            program=figure.program,
                            currency=figure.currency,
                            measure=figure.measure,
                            accounting_minor=figure.amount_minor,
                            journal_minor=minor,
                            hint="" if end is None else _made_of(end, figure.measure),
                        )
                    )

    # ── accounts

    async def _accounts(self, path: Path) -> None:
        seen: dict[_List, set[int]] = defaultdict(set)
        lines = figures(path)
        while chunk := list(islice(lines, _CHUNK_ROWS)):
            for figure in chunk:
                self._span(path, figure.line, figure.program, figure.first, figure.as_of)
                of_list = seen[_List(figure.first, figure.as_of, figure.program, figure.currency, figure.measure)]
                if figure.account in of_list:
                    raise SwitchError(f"{path} line {figure.line}: account {figure.account} is listed twice")
                of_list.add(figure.account)
            by_list: dict[_List, list[Figure]] = defaultdict(list)
            for figure in chunk:
                by_list[_List(figure.first, figure.as_of, figure.program, figure.currency, figure.measure)].append(
                    figure
                )
            for what, listed in by_list.items():
                await self._listed_accounts(path, what, listed)
        for what, listed_ids in seen.items():
            await self._accounts_not_listed(path, what, listed_ids)

    async def _listed_accounts(self, path: Path, what: _List, listed: Sequence[Figure]) -> None:
        ids = [figure.account for figure in listed]
        ours = await self._by_account(what, ids)
        owners = await asof.programs_of(self.connection, ids)
        for figure in listed:
            self.result.compared += 1
            ours_of_program = ours.get(figure.account) if owners.get(figure.account) == what.program else None
            if ours_of_program != figure.amount_minor:
                owner = owners.get(figure.account)
                hint = f"switch journal entries --account {figure.account}"
                if owner != what.program:
                    hint = "there is no such account" if owner is None else f"the account is of the program {owner}"
                elif ours_of_program is None:
                    hint = "there is no such account in this currency, or there was none yet"
                self._told(
                    _of_account(path, figure.line, what, figure.account, figure.amount_minor, ours_of_program, hint)
                )

    async def _accounts_not_listed(self, path: Path, what: _List, listed: set[int]) -> None:
        async for page in asof.accounts_of_program(self.connection, what.program, what.currency):
            missing = [account for account in page if account not in listed]
            for account, minor in (await self._by_account(what, missing)).items():
                if minor:
                    hint = f"switch journal entries --account {account}"
                    self._told(_of_account(path, 0, what, account, None, minor, hint))

    async def _by_account(self, what: _List, ids: Sequence[int]) -> dict[int, int]:
        """The journal's figure for each account that there was, in the list's currency."""
        zone = self.programs[what.program].zone
        opening, closing = span_of(what.first or what.as_of, what.as_of, zone)
        shown = {
            one.account: one
            for one in await asof.accounts_as_of(self.connection, [(account, closing) for account in ids])
            if one.currency == what.currency
        }
        if what.measure not in PERIOD_MEASURES:
            return {account: _of_balance(one.posted, one.held, what.measure) for account, one in shown.items()}
        moved = dict.fromkeys(shown, 0)
        wanted = [(account, opening, closing) for account in shown]
        for movement in await period.account_movements(self.connection, wanted):
            if purpose_of(movement.kind) == what.measure:
                moved[movement.account] += _sign(what.measure) * movement.posted_minor
        return moved

    # ── entries

    async def _entries(self, path: Path) -> None:
        by_account: dict[tuple[date, date, int], dict[str, Figure]] = defaultdict(dict)
        for figure in figures(path):
            assert figure.first is not None, "the reader refuses a list of entries without it"
            listed = by_account[figure.first, figure.as_of, figure.account]
            if figure.reference in listed:
                raise SwitchError(f"{path} line {figure.line}: reference {figure.reference} is listed twice")
            listed[figure.reference] = figure
        owners = await asof.programs_of(self.connection, sorted({account for _, _, account in by_account}))
        for (first, as_of, account), listed in by_account.items():
            line = next(iter(listed.values())).line
            if account not in owners:
                raise SwitchError(f"{path} line {line}: there is no account {account}")
            opening, closing = self._span(path, line, owners[account], first, as_of)
            ours = {one.reference: one for one in await period.references(self.connection, account, opening, closing)}
            self._entries_of(path, account, listed, ours)

    def _entries_of(
        self, path: Path, account: int, listed: Mapping[str, Figure], ours: Mapping[str, period.ReferenceTotal]
    ) -> None:
        for reference in dict.fromkeys((*ours, *listed)):
            theirs, mine = listed.get(reference), ours.get(reference)
            self.result.compared += theirs is not None
            if theirs is not None and mine is not None and theirs.amount_minor == mine.posted_minor:
                continue
            # What left posted as it was is nothing to account for.
            if theirs is None and mine is not None and not mine.posted_minor:
                continue
            self._told(
                Difference(
                    file=path.name,
                    line=0 if theirs is None else theirs.line,
                    account=account,
                    reference=reference,
                    seq=None if mine is None else mine.seq,
                    accounting_minor=None if theirs is None else theirs.amount_minor,
                    journal_minor=None if mine is None else mine.posted_minor,
                    hint="" if mine is None else mine.kinds,
                )
            )


async def compare(
    connection: Connection,
    programs: Mapping[str, Program],
    paths: Iterable[Path],
    *,
    settling: timedelta,
    details: int,
    progress: Callable[[str], None],
) -> Comparison:
    """Compares all files in one snapshot; ``details`` is how many differences of each are named.

    Raises SwitchError naming file and line of what can't be read or asked.
    """
    async with snapshot(connection) as now:
        comparing = _Comparing(connection, programs, now, settling, details)
        for path in paths:
            progress(f"{path.name}: {kind_of(path)}")
            await comparing.file(path)
    return comparing.result


def _of_account(
    path: Path, line: int, what: _List, account: int, theirs: int | None, ours: int | None, hint: str
) -> Difference:
    return Difference(
        file=path.name,
        line=line,
        program=what.program,
        currency=what.currency,
        measure=what.measure,
        account=account,
        accounting_minor=theirs,
        journal_minor=ours,
        hint=hint,
    )


def _of_balance(posted: int, held: int, measure: str) -> int:
    """A measure of one account at a moment."""
    return {
        "posted": posted,
        "unused": max(posted, 0),
        "negative": min(posted, 0),
        "held": held,
        "available": posted - held,
    }[measure]


def _measured(end: PeriodEnd, measure: str) -> int:
    """A measure of all accounts."""
    return {
        "posted": end.closing_minor,
        "unused": end.unused_minor,
        "negative": end.negative_minor,
        "held": end.held_minor,
        "available": end.closing_minor - end.held_minor,
        "issued": end.issued_minor,
        "granted": end.granted_minor,
        "recovered": end.recovered_minor,
    }[measure]


def _sign(measure: str) -> int:
    """What is recovered has left the balances."""
    return -1 if measure == Purpose.RECOVERED else 1


def _made_of(end: PeriodEnd, measure: str) -> str:
    """The entries that a figure of a period is made of, by kind; for one of a moment, where to look next."""
    if measure not in PERIOD_MEASURES:
        return "give the figures by account to see which differ"
    by_kind: dict[str, int] = defaultdict(int)
    for movement in end.movements:
        if movement.purpose == measure:
            by_kind[movement.kind] += _sign(measure) * movement.posted_minor
    return "the journal: " + (", ".join(f"{kind} {minor:,}" for kind, minor in by_kind.items()) or "none")
