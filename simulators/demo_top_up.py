"""The demo's top-ups: a provider beside the switch, a card whose holder registered a source there, and purchases."""

from __future__ import annotations

import csv
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import trio

from simulators.funding_source.books import BOOKS_FILE, Books, Deed, Entry
from simulators.funding_source.faults import Fault, FaultKind, Faults, Script
from simulators.funding_source.provider import Account, Provider
from simulators.funding_source.server import serve_provider
from simulators.network import AcquirerNetwork, Outcome

__all__ = ["TopUps"]

_CARDS = "plain-"  # of the program that tops up
_DIALECT = "iso87_ascii"
_SHORT_MINOR = (1_234, 500)  # by what the first purchases are short
_HOST = "127.0.0.1"


class Console(Protocol):
    """``switch`` commands on the demo's settings."""

    async def ask(self, *arguments: str) -> tuple[int, object]:
        """Exit code and the JSON that it printed."""
        ...

    async def tell(self, *arguments: str, stdin: str = "") -> int:
        """Exit code."""
        ...


class TopUps:
    """The provider with its books, and the act that it has a part in. ``directory`` is the switch's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._secret = secrets.token_bytes(32)
        self._books = Books(directory / BOOKS_FILE)
        self._provider = Provider(self._books, Account("demo", self._secret), Faults(Script()), time.time)
        self._scope = trio.CancelScope()
        self._card = ""  # the one with the most to spend, once that is known

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The provider, until it dies. Started when the switch's directory says where it is."""
        with self._books, self._scope:
            async with trio.open_nursery() as nursery:

                async def serve(*, task_status: trio.TaskStatus[int]) -> None:
                    await serve_provider(self._provider, _HOST, 0, task_status=task_status)

                port: int = await nursery.start(serve)
                await trio.to_thread.run_sync(self._write_settings, port)
                task_status.started()

    def _write_settings(self, port: int) -> None:
        """As a person turns top-ups on: a table in the program, a provider in funding.toml."""
        programs = (files("simulators") / "programs.toml").read_text()
        head = 'name = "plain"\n'
        topped_up = programs.replace(head, f'{head}top_up = {{ currency = "JPY" }}\n', 1)
        (self._directory / "programs.toml").write_text(topped_up)
        key = self._directory / "provider.key"
        key.touch(mode=0o600)
        key.write_text(self._secret.hex())
        (self._directory / "funding.toml").write_text(
            f'[[funding.provider]]\nname = "acme"\nurl = "http://{_HOST}:{port}"\nkey_id = "demo"\n'
            'key_file = "provider.key"\nbreaker = { failures_max = 3 }\n'
        )

    async def play(self, network: AcquirerNetwork, console: Console) -> AsyncIterator[tuple[bool, str]]:
        """What happens, judged line by line. Afterwards the acquirer's books know what the provider has kept."""
        self._card = max((one for one in network.cards if one.startswith(_CARDS)), key=partial(_available, network))
        pan = network.cards[self._card].pan.reveal()
        registered = ("funding", "source", "--card", "-", "--provider", "acme", "--token", "tok-demo")
        yield (
            await console.tell(*registered, stdin=pan) == 0,
            f"{self._card}'s holder registers a source with a provider",
        )
        short, lost = _SHORT_MINOR
        there = _available(network, self._card)
        outcome, seconds = await self._buy(network, there + short)
        good = outcome.approved and self._charged() == [short]
        yield good, f"{there:,} there, {there + short:,} asked for: {short:,} charged, approved in {_ms(seconds)}"

        self._provider.faults = Faults(Script(fault=(Fault(kind=FaultKind.RESET_AFTER, call="charge", count=1),)))
        outcome, seconds = await self._buy(network, lost)
        good = outcome.approved and self._charged() == [short, lost]
        yield good, f"{lost:,} taken, and the provider hangs up: asked what became of it, approved in {_ms(seconds)}"

        self._scope.cancel()
        known = await self._attempts(console)
        outcome, seconds = await self._buy(network, lost)
        again, at_once = await self._buy(network, lost)
        declined = all(one.code is not None and not one.approved for one in (outcome, again))
        good = declined and await self._attempts(console) == known + 1
        text = f"declined after three tries in {_ms(seconds)}, and from then on at once, in {_ms(at_once)}"
        yield good, f"the provider is dead: {text}"
        yield await self._reconciled(console)

    async def _buy(self, network: AcquirerNetwork, amount_minor: int) -> tuple[Outcome, float]:
        """What became of a purchase, and how long that took."""
        message = network.makers[_DIALECT].authorization(self._card, amount_minor)
        began = time.perf_counter()
        outcome = await network.request(message)
        seconds = time.perf_counter() - began
        opening = network.cards[self._card].balance_minor
        network.books.open_at(self._card, opening + sum(self._charged()), 0)  # the acquirer takes it for an old balance
        return outcome, seconds

    def _charged(self) -> list[int]:
        return [charge.amount_minor for charge in self._books.charges.values()]

    async def _attempts(self, console: Console) -> int:
        _, shown = await console.ask("funding", "attempts", "--all")
        return len(shown) if isinstance(shown, list) else 0

    async def _reconciled(self, console: Console) -> tuple[bool, str]:
        """The provider's settlement list, as its own books make it, beside the attempts in the journal's database."""
        path = self._directory / "settlement.csv"
        charges = list(self._books.charges.values())
        await trio.to_thread.run_sync(_write_list, path, charges, self._books)
        since = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
        code, differences = await console.ask("funding", "reconcile", "--provider", "acme", "--since", since, str(path))
        found = len(differences) if isinstance(differences, list) else 0
        kept = sum(charge.amount_minor for charge in charges)
        agree = "they agree" if not found else f"{found} differences"
        return code == 0 and not found, f"the provider's list ({len(charges)} charges, {kept:,}) beside ours: {agree}"


def _available(network: AcquirerNetwork, alias: str) -> int:
    """As the acquirer's books have it, which agree with the accounts by now."""
    figures = network.books.figures(alias)
    return figures.posted_minor - figures.held_minor


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"


def _write_list(path: Path, charges: list[Entry], books: Books) -> None:
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("key", "result", "amount_minor", "currency"))
        for charge in charges:
            void = books.voids.get(charge.key)
            result = "charged" if void is None or void.deed is not Deed.VOIDED else "voided"
            lines.writerow((charge.key, result, charge.amount_minor, charge.currency))
