"""After traffic of every kind, no card number, track, PIN block or security code is anywhere that outlives the message."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import pytest
import trio

from simulators.cards import TestCard, load_cards, load_credentials
from simulators.link import Link
from simulators.messages import Maker, Message, Terms, as_repeat
from switch.contracts.message import Channel, EntryMode
from switch.daemon.embedded import EmbeddedPostgres
from switch.daemon.settings import load_programs, load_security_codes, load_settings
from tests.chaos.acquirer import CODECS, link_to
from tests.chaos.daemon import DIALECTS, Daemon, database, running
from tests.cli.command import switch
from tests.house import POISON, House
from tests.secrecy.hunt import Hunt

CARDS = {**load_cards(), **load_credentials()}
PIN_BLOCK = "3C0CA40863092C3A"


@dataclass
class Aftermath:
    """What is left of the traffic."""

    house: House
    postgres: EmbeddedPostgres
    daemon: Daemon
    hunt: Hunt
    outputs: list[str] = field(default_factory=list)
    sent: int = 0
    began: float = field(default_factory=time.time)


def icc_data(pan: str, track2: str) -> str:
    """DE55 as hexadecimal: tag 5A (the card number) and 57 (track 2), which an issuer gets whether it asks or not."""
    track = track2.replace("=", "D")
    track += "F" * (len(track) % 2)
    number = pan + "F" * (len(pan) % 2)
    return f"5A{len(number) // 2:02X}{number}57{len(track) // 2:02X}{track}9F360200429F370411111111"


def messages_of(alias: str, card: TestCard, maker: Maker, cvv: str) -> Iterator[Message]:
    """One card in every way that a terminal can read it."""
    pan = card.pan.reveal()
    shop = maker.authorization(alias, 100, Terms(cvv=cvv, cvv2="card"))
    yield shop
    yield as_repeat(shop)
    yield maker.authorization(alias, 100, Terms(entry_mode=EntryMode.ECOMMERCE, channel=Channel.ECOMMERCE, cvv2="card"))
    yield maker.authorization(
        alias, 100, Terms(entry_mode=EntryMode.ECOMMERCE, channel=Channel.ECOMMERCE, cvv2="wrong")
    )
    secret = dict(shop.fields)
    secret |= {
        "52": PIN_BLOCK,
        "55": icc_data(pan, secret["35"]),
        "45": f"B{pan}^TEST/CARD^{card.expiry}{card.service_code}{cvv}",
    }
    yield maker.request(shop.act, alias, 100, extra={key: secret[key] for key in ("35", "45", "52", "55")})
    yield maker.purchase(alias, 50, Terms(cvv="000"))
    yield maker.stand_in(shop, approved=True)
    yield maker.financial_advice(shop, amount_minor=80)
    yield maker.reversal(shop)


async def traffic(after: Aftermath) -> None:
    """Every card and credential over one of the dialects, all of them at once."""
    settings = load_settings(after.daemon.config)
    codes = load_security_codes(settings.vault, load_programs(settings.programs))

    async def use(link: Link, fields: Mapping[str, str]) -> None:
        if await link.ask(fields, 10) is not None:
            after.sent += 1

    async def use_card(link: Link, maker: Maker, alias: str, card: TestCard) -> None:
        cvv = codes.cvv(card.program, card.pan, card.expiry, card.service_code).reveal()
        for message in messages_of(alias, card, maker, cvv):
            for key in ("35", "45", "126"):
                if len(message.fields.get(key, "").strip()) > 6:
                    after.hunt.add(f"{alias}: DE{key}", message.fields[key].strip())
            await use(link, message.fields)
        # What can't be read, or not be booked, may not be quoted either.
        fields = dict(maker.authorization(alias, 100, Terms(cvv=cvv, cvv2="card")).fields)
        await use(link, {**fields, "43": POISON.ljust(38) + "JP"})
        payload = link.codec.encode(fields)
        link.send_payload(payload[:-20])
        link.send_payload(payload[:2] + b"99" + payload[4:])
        await use(link, {**fields, "35": "X" + fields["35"]})

    for number, dialect in enumerate(DIALECTS):
        maker = Maker(CODECS[dialect].dialect, CARDS, seed=number)
        async with link_to(after.daemon, dialect) as link:
            async with trio.open_nursery() as nursery:
                for alias, card in list(CARDS.items())[number :: len(DIALECTS)]:
                    nursery.start_soon(use_card, link, maker, alias, card)
            assert not link.closed.is_set()


def numbers() -> Hunt:
    """All card numbers, and the PIN block."""
    hunt = Hunt()
    for alias, card in CARDS.items():
        hunt.add(f"{alias}: number", card.pan.reveal())
    hunt.add("PIN block", PIN_BLOCK)
    hunt.add_bytes("PIN block, raw", bytes.fromhex(PIN_BLOCK))
    return hunt


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    hunt = numbers()
    with database(tmp_path_factory.mktemp("house")) as (house, postgres):
        daemon = Daemon(house, "secret", deadline_seconds=5)
        daemon.set("[log]", 'level = "debug"')
        with running(daemon):
            house.refuse_poison()
            after = Aftermath(house, postgres, daemon, hunt)
            trio.run(traffic, after)
            after.outputs = list(everything_that_commands_print(house))
            yield after


def everything_that_commands_print(house: House) -> Iterator[str]:
    card = CARDS["plain-0"].pan.reveal()
    credential = CARDS["plain-0-contactless"].pan.reveal()
    further = ("card", "credential", "add", "--expiry", "3012")
    cards_file = str(resources.files("simulators").joinpath("cards.toml"))
    for arguments in (
        ("account", "list"),
        ("account", "show", "--card", card),
        ("account", "show", "--cards-file", cards_file, "--json"),
        ("card", "list"),
        ("card", "show", "--card", card, "--json"),
        ("card", "lock", "--card", card),
        ("card", "issue", "--program", "plain", "--expiry", "3012", "--number", card),  # is issued already
        ("card", "show", "--card", card[:-1] + str((int(card[-1]) + 1) % 10)),  # was never issued
        (*further, "--card", credential, "--number", card),  # is issued already
        (*further, "--card", card, "--number", credential, "--network", credential),  # a number in the wrong place
        ("card", "credential", "list", "--card", credential),
        ("card", "credential", "list", "--json"),
        ("card", "credential", "status", "--number", credential, "active"),
        ("card", "credential", "status", "--number", card, "active"),  # is no credential
        ("card", "status", "--card", credential, "lost"),  # is no card's own
        ("card", "show", "--card", credential),
        ("account", "load", "--card", card, "--amount", "1"),
        ("journal", "entries", "--card", card, "--json"),
        ("journal", "explain", "--card", card, "--json"),
    ):
        result = switch(*arguments, config=house.config)
        yield f"{' '.join(arguments[:2])}: {result.out}{result.err}"


def dump(after: Aftermath) -> bytes:
    """pg_dump of the whole database, as text."""
    command = [str(after.postgres.bin_dir / "pg_dump"), "--inserts", after.house.ready["database"]]
    return subprocess.run(command, capture_output=True, check=True).stdout


# ── the hunt works


def test_the_hunt_finds_what_is_there(after: Aftermath) -> None:
    card = CARDS["plain-3"].pan.reveal()
    track2 = f"{card}={CARDS['plain-3'].expiry}"
    for text in (card.encode(), card.encode().hex().encode(), bytes.fromhex(card), f"x{track2}".encode()):
        assert any(name.startswith("plain-3: number") for name in after.hunt.found_in(b"before" + text + b"after"))
    assert after.hunt.found_in(b"41111100000******") == set()


def test_the_traffic_was_heard(after: Aftermath) -> None:
    assert after.sent > 9 * len(CARDS)
    log = after.daemon.log.read_text()
    assert (
        '"reason":"cvv2_mismatch"' in log and '"event":"frame_rejected"' in log and '"event":"message_poisonous"' in log
    )
    assert b"INSERT INTO switch.message_key" in dump(after)


# ── and finds nothing


def test_nothing_is_in_the_daemon_s_log(after: Aftermath) -> None:
    assert after.hunt.found_in_files([after.daemon.log, after.daemon.said, after.house.directory / "switch.log"]) == {}


def test_nothing_is_in_the_database_s_log(after: Aftermath) -> None:
    log = after.postgres.log_path
    assert b"refused for a test" in log.read_bytes(), "the poisonous message should have left an error"
    assert after.hunt.found_in(log.read_bytes()) == set()


def test_nothing_is_in_a_dump(after: Aftermath) -> None:
    assert after.hunt.found_in(dump(after)) == set()


def test_nothing_is_in_any_file_of_the_server_or_the_house(after: Aftermath) -> None:
    """Tables, indexes, write-ahead log, settings, logs: every byte on the disk that was written since the first message."""
    command = [str(after.postgres.bin_dir / "psql"), "-qc", "CHECKPOINT", after.house.ready["database"]]
    subprocess.run(command, check=True, capture_output=True)
    roots = (after.house.directory, (after.house.directory / "postgresql").resolve())
    files = {path for root in roots for path in root.rglob("*") if path.is_file()}
    written = sorted(path for path in files if path.stat().st_mtime >= after.began - 1)
    assert any("pg_wal" in str(path) for path in written) and any("base" in path.parts for path in written)
    assert numbers().found_in_files(written) == {}


def test_nothing_is_in_the_process_environment_or_command_line(after: Aftermath) -> None:
    for pid in (after.daemon.pid, after.postgres.pid):
        for name in ("environ", "cmdline"):
            assert after.hunt.found_in(Path(f"/proc/{pid}/{name}").read_bytes()) == set()


def test_no_key_is_in_the_process_environment_or_a_log(after: Aftermath) -> None:
    hunt = Hunt()
    keys = sorted((after.house.directory / "keys").iterdir())
    assert keys
    for path in keys:
        hunt.add(path.name, path.read_text().strip())
        hunt.add_bytes(path.name, bytes.fromhex(path.read_text()))
    environment = Path(f"/proc/{after.daemon.pid}/environ").read_bytes()
    assert hunt.found_in(environment) == set()
    assert hunt.found_in(dump(after)) == set()
    assert (
        hunt.found_in_files([after.daemon.log, after.daemon.said, after.postgres.log_path, after.daemon.config]) == {}
    )


def test_nothing_is_in_what_commands_print(after: Aftermath) -> None:
    assert {out.split(":")[0]: names for out in after.outputs if (names := after.hunt.found_in(out.encode()))} == {}
    masked = CARDS["plain-0"].pan.masked
    assert sum(masked in out for out in after.outputs) >= 5


def test_no_security_code_stands_beside_its_name(after: Aftermath) -> None:
    """Three digits alone prove nothing, so they are looked for where a program would write them."""
    labelled = re.compile(r"(?i)(?:cvv2?|cvc2?|security_?code)[\\\"'=: ]{1,6}[0-9]{3,4}\b")
    assert labelled.search('{"cvv2": "123"}') and labelled.search("cvv=1234")
    for text in (after.daemon.log.read_text(), dump(after).decode(), *after.outputs):
        assert labelled.search(text) is None


def test_cores_are_off(after: Aftermath) -> None:
    limits = Path(f"/proc/{after.daemon.pid}/limits").read_text()
    found = re.search(r"^Max core file size +(\S+) +(\S+)", limits, re.MULTILINE)
    assert found is not None and found.groups() == ("0", "0")


def test_key_files_are_for_their_owner_alone(after: Aftermath) -> None:
    modes = {path.name: path.stat().st_mode & 0o077 for path in (after.house.directory / "keys").iterdir()}
    assert set(modes.values()) == {0}
    assert (after.house.directory / "keys").stat().st_mode & 0o077 == 0
