"""A whole switch for tests: ``switch dev`` as a process of its own, with a real PostgreSQL, and a look into its books.

The books are read and cards are issued by the same functions that the commands use; messages go only through the sockets.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from switch.contracts.secret import Pan, Secret
from switch.daemon.issue import Issued, add_credential, issue_card
from switch.daemon.settings import load_programs, load_security_codes, load_settings, load_vault
from switch.journal import issuing, reads
from switch.journal.connection import Connection, connect

__all__ = ["POISON", "House", "IssuedCard"]

T = TypeVar("T")

#: How the name of a merchant begins whose messages PostgreSQL refuses, after :meth:`House.refuse_poison`.
POISON = "POISON"
_REFUSE_POISON = f"""
    CREATE SCHEMA IF NOT EXISTS test_poison;
    CREATE OR REPLACE FUNCTION test_poison.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.merchant_name LIKE '{POISON}%' THEN RAISE EXCEPTION 'refused for a test'; END IF;
        RETURN NEW;
    END $$;
    CREATE OR REPLACE TRIGGER poison BEFORE INSERT ON switch.message_key
        FOR EACH ROW EXECUTE FUNCTION test_poison.refuse();
"""
_START_SECONDS = 60.0
_numbers = itertools.count(int(time.time() * 1000) % 10**8)


@dataclass(frozen=True)
class IssuedCard:
    """A card that a test issued for itself, as one of its numbers shows it."""

    pan: Pan
    expiry: str
    service_code: str
    cvv: Secret  # of the magnetic stripe
    icvv: Secret  # of the chip
    cvv2: Secret
    currency: str
    program: str
    card_id: int
    account_id: int
    credential_id: int | None = None  # None: the card's own number


class House:
    """``start`` and ``stop`` the switch; ``kill`` it as a power cut would (its PostgreSQL lives on); ask its books."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}

    # ── its life

    def start(self) -> House:
        """Starts and waits for the ready line. The ports are free ones, others at every start."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "switch.cli", "dev", "--data", str(self.directory), "--port-base", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        watchdog = threading.Timer(_START_SECONDS, self._process.kill)
        watchdog.start()
        assert self._process.stdout is not None and self._process.stderr is not None
        line = self._process.stdout.readline()
        watchdog.cancel()
        assert line, f"the switch did not start: {self._process.stderr.read()}"
        self.ready = json.loads(line)
        return self

    def stop(self, number: signal.Signals = signal.SIGINT, seconds: float = 30.0) -> int:
        """Asks it to stop and gives its exit code."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(number)
        code = process.wait(seconds)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        process.stderr.close()
        return code

    def kill(self) -> None:
        """kill -9 of the daemon."""
        self.stop(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Of the daemon."""
        assert self._process is not None
        return self._process.pid

    def refuse_poison(self) -> None:
        """From now on PostgreSQL refuses every message whose merchant's name begins with :data:`POISON`."""

        async def install(connection: Connection) -> None:
            await connection.execute(_REFUSE_POISON)

        self.ask(install, dsn=self.ready["database"])

    def address(self, dialect: str) -> tuple[str, int]:
        """Host and port of a dialect's listener."""
        for listener in self.ready["listeners"]:
            if listener["dialect"] == dialect:
                return listener["host"], listener["port"]
        raise KeyError(dialect)

    @property
    def config(self) -> Path:
        """The settings file."""
        return Path(self.ready["config"])

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a ``switch`` command on these settings."""
        return subprocess.run(
            [sys.executable, "-m", "switch.cli", *arguments],
            env={**os.environ, "SWITCH_CONFIG": str(self.config)},
            capture_output=True,
            text=True,
            check=check,
            timeout=120,
        )

    # ── its books

    def ask(self, work: Callable[[Connection], Awaitable[T]], *, dsn: str = "") -> T:
        """Runs ``work`` on a connection of the issuing role (or another DSN)."""
        settings = load_settings(self.config)

        async def run() -> T:
            connection = await connect(settings.database, dsn or settings.database.issuing_dsn)
            try:
                return await work(connection)
            finally:
                await connection.close(timeout=2)

        return _in_thread(run)

    def new_card(
        self,
        program: str = "plain",
        balance_minor: int = 100_000,
        *,
        status: str = "active",
        locked: bool = False,
        expiry: str = "3012",
        service_code: str = "101",
        floor_minor: int = 0,
    ) -> IssuedCard:
        """A card of its own for a test, with an opening balance."""
        settings = load_settings(self.config)
        programs = load_programs(settings.programs)
        vault = load_vault(settings.vault)
        codes = load_security_codes(settings.vault, programs)
        pan = new_pan()
        currency = programs[program].currency

        async def issue(connection: Connection) -> Issued:
            issued = await issue_card(
                connection,
                vault,
                pan,
                program=program,
                currency=currency,
                expiry=expiry,
                service_code=service_code,
                status=status,
                locked=locked,
                floor_minor=floor_minor,
            )
            if balance_minor:
                await issuing.load_account(connection, vault.lookup(pan), balance_minor, "opening", datetime.now(UTC))
            return issued

        account_id, card_id = self.ask(issue)
        return IssuedCard(
            pan=pan,
            expiry=expiry,
            service_code=service_code,
            cvv=codes.cvv(program, pan, expiry, service_code),
            icvv=codes.cvv(program, pan, expiry, "999"),
            cvv2=codes.cvv(program, pan, expiry, "000"),
            currency=currency,
            program=program,
            card_id=card_id,
            account_id=account_id,
        )

    def new_credential(
        self,
        card: IssuedCard,
        *,
        status: str = "active",
        network: str = "",
        expiry: str = "3106",
        service_code: str = "201",
    ) -> IssuedCard:
        """A further number of the card: the same account by another number, with codes of its own."""
        settings = load_settings(self.config)
        vault = load_vault(settings.vault)
        codes = load_security_codes(settings.vault, load_programs(settings.programs))
        pan = new_pan()
        credential_id = self.ask(
            lambda connection: add_credential(
                connection,
                vault,
                pan,
                card.card_id,
                expiry=expiry,
                service_code=service_code,
                status=status,
                network=network,
            )
        )
        return replace(
            card,
            pan=pan,
            expiry=expiry,
            service_code=service_code,
            cvv=codes.cvv(card.program, pan, expiry, service_code),
            icvv=codes.cvv(card.program, pan, expiry, "999"),
            cvv2=codes.cvv(card.program, pan, expiry, "000"),
            credential_id=credential_id,
        )

    def change_card(self, card: IssuedCard, *, status: str | None = None, locked: bool | None = None) -> None:
        """As ``switch card lock`` and ``switch card status`` do."""
        self.ask(lambda connection: issuing.change_card(connection, card.card_id, status=status, locked=locked))

    def shown(self, card: IssuedCard) -> reads.AccountShown:
        """The balance, as ``switch account show`` prints it."""
        return self.ask(lambda connection: reads.accounts(connection, [card.account_id]))[0]

    def journal(self, card: IssuedCard) -> list[tuple[str, int]]:
        """(kind, amount) of every entry after the opening load, oldest first."""

        async def read(connection: Connection) -> list[tuple[str, int]]:
            movements = [chained.entry.movement async for chained in reads.entries(connection, card.account_id)]
            return [(str(m.kind), m.amount_minor) for m in movements if m.kind != "load"]

        return self.ask(read)

    def explained(self, card: IssuedCard) -> list[dict[str, Any]]:
        """The card's messages with their traces, newest first."""
        return self.ask(lambda connection: reads.explain(connection, account_id=card.account_id, key=None))

    def concerns(self, card: IssuedCard) -> list[str]:
        """What was raised for a person about this account, oldest first."""

        async def read(connection: Connection) -> list[str]:
            rows = await connection.fetch(
                "SELECT kind FROM exception_item WHERE account_id = $1 ORDER BY exception_id", card.account_id
            )
            return [row["kind"] for row in rows]

        return self.ask(read)

    def faults(self) -> list[reads.Fault]:
        """What ``switch journal verify`` would report, over all accounts in one snapshot."""

        async def read(connection: Connection) -> list[reads.Fault]:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            found: list[reads.Fault] = []
            for account in await reads.accounts(connection):
                found += await reads.verify(connection, account.account, account)
            return found

        return self.ask(read)


def new_pan() -> Pan:
    """A 16-digit number that passes Luhn, different at every call and in every process."""
    body = f"4{os.getpid() % 10**6:06d}{next(_numbers) % 10**8:08d}"
    return next(pan for digit in "0123456789" if (pan := Pan(body + digit)).passes_luhn())


def _in_thread(run: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """``asyncio.run`` in a thread of its own, because the test may be inside trio's loop."""
    result: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            result.append(asyncio.run(run()))
        except BaseException as exc:  # noqa: BLE001 handed over to the caller's thread, whatever it is
            failure.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]
