"""A whole switch in one directory, for development, demonstration and certification rehearsals.

::

    DIR/postgresql/     the embedded server's data; it outlives a kill -9 of the daemon, as a real server would
    DIR/keys/           development keys: the PAN keys are drawn at the first start, the card verification keys are
    public DIR/programs.toml   the card programs of the test cards; edit it and start again DIR/switch.toml     the
    settings, written anew at every start DIR/switch.log      JSON lines

Never for real cards: the database lets in everybody who can reach its socket, and the card verification keys are
published.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tomllib
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import asyncpg
import structlog

from simulators.cards import load_cards, load_credentials
from switch.contracts.errors import ConfigurationError
from switch.daemon.embedded import EmbeddedPostgres
from switch.daemon.issue import add_credential, issue_card
from switch.daemon.settings import Settings, load_settings, load_vault
from switch.journal import issuing, reads
from switch.journal.connection import Connection, connect, translated
from switch.journal.migrate import migrate
from switch.vault.pan import PanVault
from switch.wire.dialect import dialect_names

__all__ = ["DevelopmentSwitch"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_DATABASE = "switch"
#: Stock clients just connect to these dialects and know no echoes; every other dialect wants a sign-on.
_NO_SIGN_ON_PREFIX = "iso87_"
_LISTENER_PORT, _OPERATIONS_PORT = 8583, 9583
#: Ports are counted up in this order, then in alphabetical order: a dialect that is new takes nobody's port.
_PORT_ORDER = ("iso87_ascii", "iso87_binary", "iso87_bcd", "base1", "iso93_contactless")


class DevelopmentSwitch:
    """Prepares a directory so that ``serve`` can run on it. Blocking calls; they belong before trio's run."""

    def __init__(self, directory: Path, *, port_base: int | None) -> None:
        self._directory = directory.absolute()
        self._port_base = port_base
        self.config = self._directory / "switch.toml"
        self.log_file = self._directory / "switch.log"
        self._postgres = EmbeddedPostgres(self._directory)

    @property
    def dsn(self) -> str:
        """The database, as its administrator sees it."""
        return self._postgres.dsn("postgres", _DATABASE)

    def start_database(self) -> None:
        """Starts PostgreSQL, or goes on with the one that a killed daemon left running.

        Raises ConfigurationError where the directory can't be had.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Kept to the end of the process: a second switch would take the first one's database away when it ends.
            self._claim = os.open(self._directory / "switch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"{self._directory}: another `switch dev` runs there") from None
        except OSError as exc:
            raise ConfigurationError(f"{self._directory}: {exc.strerror}") from exc
        self._postgres.start()

    def stop_database(self) -> None:
        """Stops PostgreSQL; its data stay."""
        self._postgres.stop()

    def write_files(self) -> Settings:
        """Keys and programs where they are missing, and the settings; returns the settings as ``serve`` reads them."""
        keys = self._directory / "keys"
        keys.mkdir(mode=0o700, exist_ok=True)
        _write_once(keys / "pan-lookup.key", secrets.token_hex(32))
        _write_once(keys / "pan-data-1.key", secrets.token_hex(32))
        simulators = resources.files("simulators")
        published: dict[str, str] = tomllib.loads((simulators / "keys.toml").read_text())["cvk"]
        for program, key in published.items():
            _write_once(keys / f"cvk-{program}.key", key)
        programs = self._directory / "programs.toml"
        if not programs.exists():
            programs.write_text((simulators / "programs.toml").read_text())
        self.config.write_text(self._settings_text(published))
        return load_settings(self.config)

    def _settings_text(self, published: dict[str, str]) -> str:
        lines = [
            "# Written by `switch dev` at every start; changes made here are lost. For a real one see the README.",
            'programs = "programs.toml"',
            "",
            "[database]",
            f'dsn = "{self._postgres.dsn("switch_daemon", _DATABASE)}"',
            f'issuing_dsn = "{self._postgres.dsn("switch_issuing", _DATABASE)}"',
            f'owner_dsn = "{self.dsn}"',
            "",
            "[vault]",
            'pan_lookup_key = "keys/pan-lookup.key"',
            'pan_data_keys = { 1 = "keys/pan-data-1.key" }',
            "pan_data_key_current = 1",
            "",
            "[vault.security_code_keys]",
            *(f'{program} = "keys/cvk-{program}.key"' for program in published),
            "",
            "[operations]",
            f"port = {self._port(_OPERATIONS_PORT)}",
        ]
        for number, dialect in enumerate(sorted(dialect_names(), key=_port_rank)):
            lines += [
                "",
                "[[listener]]",
                f'dialect = "{dialect}"',
                'host = "127.0.0.1"',
                f"port = {self._port(_LISTENER_PORT + number)}",
            ]
            if dialect.startswith(_NO_SIGN_ON_PREFIX):
                lines += ['sign_on = "optional"', "echo_interval_seconds = 0"]
        # What is there stays: a [funding] table with its providers, so that purchases are topped up here too.
        funding = self._directory / "funding.toml"
        if funding.exists():
            lines += ["", funding.read_text()]
        return "\n".join(lines) + "\n"

    def _port(self, default: int) -> int:
        """``--port-base N`` puts the first listener on N and keeps the distances; 0 takes any free ports."""
        if self._port_base is None:
            return default
        return 0 if self._port_base == 0 else self._port_base + default - _LISTENER_PORT

    async def prepare_database(self, settings: Settings) -> None:
        """Creates database and schema, and issues the test cards with their opening balances where they are missing."""
        server = await connect(settings.database, self._postgres.dsn("postgres", "postgres"), application="switch dev")
        try:
            with translated():
                try:
                    await server.execute(f"CREATE DATABASE {_DATABASE}")
                except asyncpg.DuplicateDatabaseError:
                    log.debug("database_is_there")
        finally:
            await server.close()
        owner = await connect(settings.database, settings.database.owner_dsn, application="switch dev")
        try:
            applied = await migrate(owner, lambda text: log.info("migration", what=text))
            log.info("schema_ready", applied=applied)
        finally:
            await owner.close()
        issuer = await connect(settings.database, settings.database.issuing_dsn, application="switch dev")
        try:
            await _issue_test_cards(issuer, load_vault(settings.vault))
        finally:
            await issuer.close()


def _port_rank(dialect: str) -> tuple[int, str]:
    """Where a dialect stands in the order of the ports."""
    return (_PORT_ORDER.index(dialect) if dialect in _PORT_ORDER else len(_PORT_ORDER), dialect)


async def _issue_test_cards(connection: Connection, vault: PanVault) -> None:
    issued = 0
    for card in load_cards().values():
        lookup = vault.lookup(card.pan)
        if await reads.account_of_card(connection, lookup) is None:
            await issue_card(
                connection,
                vault,
                card.pan,
                program=card.program,
                currency=card.currency,
                expiry=card.expiry,
                service_code=card.service_code,
                status=card.status,
                locked=card.locked,
            )
            issued += 1
        # After a crash between the two the card is there and its money is not: the reference loads it once.
        if card.balance_minor > 0:
            await issuing.load_account(
                connection, lookup, card.balance_minor, f"opening balance of {card.alias}", datetime.now(UTC)
            )
    added = 0
    for further in load_credentials().values():
        if await reads.account_of_card(connection, vault.lookup(further.pan)) is not None:
            continue
        owner = await reads.account_of_card(connection, vault.lookup(load_cards()[further.credential_of].pan))
        assert owner is not None, "issued above"
        await add_credential(
            connection,
            vault,
            further.pan,
            owner.card_id,
            expiry=further.expiry,
            service_code=further.service_code,
            status=further.status,
            network=further.network,
        )
        added += 1
    log.info("test_cards_ready", issued=issued, credentials_added=added)


def _write_once(path: Path, text: str) -> None:
    """A key file that only its owner may read. An existing one stays: what it sealed must stay readable."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(text + "\n")
