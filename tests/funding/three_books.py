"""The provider's books, the journal and the acquirer's books beside each other, when nothing is under way.

::

    provider   what it took and gave back, charge by charge            its file of deeds
    journal    what the attempts came to, loads, holds, balances       PostgreSQL
    acquirer   approvals that it heard, less the reversals it told     simulators/books.py

Every yen that was taken is on the balance once (spent or credited) or was given back, and which of them says the
attempt. Opening balance, and what the provider kept, and what the acquirer says was spent, is what the account shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from simulators.books import compare
from simulators.funding_source.books import Books, Deed
from switch.funding import settlement
from switch.funding.store import load_key
from switch.journal import reads
from switch.journal.bridge import on_asyncio
from switch.journal.funding_rows import AttemptRow, attempts_of
from tests.funding.acquirer import Acquirer, alias_of
from tests.funding.desk import Desk
from tests.journal.counter import Client

__all__ = ["disagreements"]

_LOADS = "SELECT cause_key, amount FROM journal_entry WHERE account_id = $1 AND cause = 'top_up'"
#: What an approval of ours left below zero. Advices may: they tell what has happened.
_WITHOUT_FUNDS = """
    SELECT e.seq, e.posted_after - e.held_after AS available FROM journal_entry e
      JOIN message_key m ON m.account_id = e.account_id AND m.key = e.cause_key
     WHERE e.account_id = $1 AND e.posted_after < e.held_after AND m.kind IN ('authorization', 'financial')
       AND e.kind <> 'release'
"""
_ON_THE_BALANCE = frozenset({"booked", "credited"})
_NOTHING_TAKEN = frozenset({"declined", "not_charged"})


async def disagreements(desk: Desk, acquirer: Acquirer, clients: Sequence[Client]) -> list[str]:
    """Empty when all three agree to the yen."""
    acquirer.books.check_invariants()
    found: list[str] = []
    shown: dict[str, Mapping[str, object]] = {}
    for client in clients:
        alias = alias_of(client)
        found += [f"{alias}: {text}" for text in await _of_attempts(desk, client)]
        # To the acquirer, what the provider keeps was there from the beginning.
        acquirer.books.open_at(alias, acquirer.balance_minor + _kept(desk, client), 0)
        shown[alias] = msgspec.to_builtins(await on_asyncio(desk.counter.account, client))
        believed = acquirer.books.figures(alias)
        if believed.held_minor > believed.posted_minor and not acquirer.network.counts["stood in"]:
            found.append(f"{alias}: the acquirer was approved more than there is: {believed}")
    found += [str(difference) for difference in compare(acquirer.books, shown)]
    faults = await on_asyncio(desk.counter.faults, *clients)
    return [*found, *(_said(fault) for fault in faults)]


def _said(fault: reads.Fault) -> str:
    return f"the journal contradicts itself: {fault}"


def _kept(desk: Desk, client: Client) -> int:
    books, token = desk.stage.provider.books, desk.token(client)
    taken = sum(one.amount_minor for one in books.charges.values() if one.source == token)
    own = {key for key, one in books.charges.items() if one.source == token}
    return taken - sum(one.amount_minor for key, one in books.voids.items() if key in own and one.deed is Deed.VOIDED)


async def _of_attempts(desk: Desk, client: Client) -> list[str]:
    """Charge by charge: taken = spent + credited + given back."""
    attempts, loads, without = await on_asyncio(_journal, desk, client)
    found = [f"entry {row['seq']} approves what is not there: {row['available']} is left" for row in without]
    books = desk.stage.provider.books
    charges = {key: one.amount_minor for key, one in books.charges.items() if one.source == desk.token(client)}
    for key, attempt in attempts.items():
        if attempt.wake_at is not None:
            found.append(f"{key} is still {attempt.state}")
        if key not in charges and attempt.state not in _NOTHING_TAKEN:
            found.append(f"{key} is {attempt.state}, and the provider never took anything")
    for key, taken in charges.items():
        void = books.voids.get(key)
        returned = taken if void is not None and void.deed is Deed.VOIDED else 0
        loaded = loads.pop(load_key(key), 0)
        state = attempts[key].state if key in attempts else "unheard of"
        told = taken if state in _ON_THE_BALANCE else 0, taken if state == "voided" else 0
        if taken != loaded + returned or told != (loaded, returned):
            found.append(f"{key} is {state}: {taken} taken, {loaded} on the balance, {returned} given back")
    found += [f"{amount} loaded, and no charge of the provider's for it" for amount in loads.values()]
    listed = [_line(books, key) for key in charges]
    return [*found, *(f"the provider's list: {one}" for one in settlement.compare(listed, attempts))]


def _line(books: Books, key: str) -> settlement.SettlementLine:
    """As the provider would list it for the daily reconciliation."""
    charge, void = books.charges[key], books.voids.get(key)
    result: Literal["charged", "voided"] = "voided" if void is not None and void.deed is Deed.VOIDED else "charged"
    return settlement.SettlementLine(key, result, charge.amount_minor, charge.currency)


async def _journal(
    desk: Desk, client: Client
) -> tuple[dict[str, AttemptRow], dict[bytes, int], list[Mapping[str, Any]]]:
    root = await desk.counter.root()
    attempts = await attempts_of(root, "account_id = $1", client.account_id)
    loads: dict[bytes, int] = {}
    for row in await root.fetch(_LOADS, client.account_id):
        loads[row["cause_key"]] = loads.get(row["cause_key"], 0) + row["amount"]
    return {row.key: row for row in attempts}, loads, await root.fetch(_WITHOUT_FUNDS, client.account_id)
