"""A file's records through the real unit of work, and what its report says of those that another reading had booked."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import msgspec
import pytest

from simulators.clearing_files import FileHead
from switch.clearing.file import inspect, records
from switch.clearing.ingest import book_file
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan
from switch.issuer.books import Item
from switch.issuer.stored import fingerprint, idempotency_key
from tests.clearing.builders import NETWORK, write_file
from tests.journal.counter import Counter, on
from tests.journal.server import Database


class Hashing:
    """A vault that finds no card: the files' are not in this database."""

    def lookup(self, pan: Pan) -> bytes:
        return hashlib.sha256(pan.reveal().encode()).digest()


@pytest.mark.parametrize("other_amount", [False, True])
def test_a_record_that_was_booked_with_other_content_is_not_counted_as_booked(
    database: Database, tmp_path: Path, other_amount: bool
) -> None:
    """The same file, read by another version of the program, say: what its third record says differs."""
    head = FileHead.ipm(NETWORK, date(2026, 11, 25), 100 + other_amount)
    path = write_file(tmp_path / "day", head=head)
    summary = inspect(path)

    async def scenario(counter: Counter) -> None:
        unit, lookup = counter.unit(), Hashing().lookup
        third = list(records(path, summary))[2]
        if other_amount:
            third = msgspec.structs.replace(third, amount_minor=third.amount_minor + 1)
        key = idempotency_key(third, lookup(third.pan))
        (decision,) = await unit.run([Item(third, key, fingerprint(third), lookup(third.pan), str)])
        assert decision.reason is Reason.ADVICE_ACCEPTED

        report = await book_file(path, summary, unit, await counter.staff(), Hashing())
        again = await book_file(path, summary, unit, await counter.staff(), Hashing())

        if other_amount:
            assert [(r.record, r.error) for r in report.refused] == [(3, "booked before, with other content")]
            assert (report.booked, report.repeated, report.complete) == (8, 0, False)
            assert (again.booked, again.repeated, again.complete) == (0, 6, False)
        else:
            assert (report.booked, report.repeated, report.complete) == (8, 1, True)

    on(database, scenario)
