"""Top-up in daemons of their own, and `switch funding`: sources, attempts, settling, the provider's list."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio

from simulators.funding_source.books import BOOKS_FILE, read_entries, summary
from simulators.messages import Terms
from tests.chaos.acquirer import link_to, maker_for
from tests.chaos.daemon import Daemon, running, wait_until
from tests.cli.command import switch
from tests.house import House, IssuedCard


@contextmanager
def provider(directory: Path, script: str = "") -> Iterator[dict[str, str]]:
    """The simulator as a process; what its first line tells."""
    directory.mkdir(exist_ok=True)
    faults = directory / "faults.toml"
    faults.write_text(script)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "switch.cli",
            "funding-source",
            "run",
            "--data",
            str(directory),
            "--script",
            str(faults),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def topping_up(house: House, name: str, told: dict[str, str]) -> Daemon:
    """Settings of a daemon whose programs top up from this provider."""
    programs = house.directory / f"{name}-programs.toml"
    text = (house.directory / "programs.toml").read_text()
    programs.write_text(text.replace('name = "plain"\n', 'name = "plain"\ntop_up = { currency = "JPY" }\n', 1))
    daemon = Daemon(house, name, deadline_seconds=8.0)
    lines = [
        "[funding]",
        "budget_seconds = 5.0",
        "lease_seconds = 1.0",
        "pace = { answer_seconds = 2.5, pause_first_seconds = 0.05, pause_max_seconds = 0.3 }",
        "[[funding.provider]]",
        'name = "acme"',
        f'url = "{told["url"]}"',
        'key_id = "switch"',
        f'key_file = "{told["key_file"]}"',
        "connect_seconds = 0.6",
        "answer_seconds = 2.0",
    ]
    settings = daemon.config.read_text().replace('"programs.toml"', f'"{programs.name}"')
    daemon.config.write_text(settings + "\n".join(lines) + "\n")
    return daemon


def buy(daemon: Daemon, card: IssuedCard, amount: int) -> str | None:
    """An authorization; its response code, None where the daemon went away."""
    maker = maker_for(card)

    async def shop() -> str | None:
        async with link_to(daemon) as link:
            terms = Terms(currency=card.currency)
            answer = await link.ask(maker.authorization("card", amount, terms).fields, 10)
            return None if answer is None else answer["39"]

    return trio.run(shop)


def attempts(daemon: Daemon, card: IssuedCard) -> list[dict[str, Any]]:
    shown = switch("funding", "attempts", "--all", "--json", config=daemon.config)
    return [one for one in shown.json if one["account_id"] == card.account_id]


def registered(house: House, daemon: Daemon, token: str) -> IssuedCard:
    card = house.new_card("plain", 1_000)
    arguments = ("--card", "-", "--provider", "acme", "--token", token)
    assert switch("funding", "source", *arguments, config=daemon.config, stdin=card.pan.reveal()).code == 0
    return card


def kept(directory: Path) -> int:
    money = summary(read_entries(directory / BOOKS_FILE)).money
    return sum(one.kept_minor for one in money.values())


STUCK = """
[[fault]]
call = "charge"
kind = "silent_after"
source = "tok-stuck"
[[fault]]
call = "query"
kind = "unknown"
"""


def test_a_top_up_and_one_that_a_person_settles(house: House, tmp_path: Path) -> None:
    with provider(tmp_path / "provider", STUCK) as told, running(topping_up(house, "settled", told)) as daemon:
        checked = switch("check-config", str(daemon.config))
        assert f"tops up    plain, from acme at {told['url']}" in checked.out
        fine, stuck = registered(house, daemon, "tok-1"), registered(house, daemon, "tok-stuck")
        assert buy(daemon, fine, 1_500) == "00"
        assert (house.shown(fine).posted, house.shown(fine).held) == (1_500, 1_500)
        assert house.journal(fine) == [("hold", 1_500)]
        assert buy(daemon, stuck, 1_500) == "51"
        (open_one,) = attempts(daemon, stuck)
        assert (open_one["state"] in ("unknown", "queried"), open_one["ended"]) == (True, False)
        assert daemon.metric("switch_top_ups_parked_total") == 2

        listed = switch("funding", "sources", "--card", "-", config=daemon.config, stdin=fine.pan.reveal())
        assert "acme" in listed.out
        assert "tok-1" in listed.out
        key = str(open_one["key"])
        shown = switch("funding", "show", key, config=daemon.config).out
        assert "(parked) -> requested" in shown
        assert "budget_spent" in shown

        wrong = switch("funding", "settle", key, "--as", "voided", "--by", "ann", config=daemon.config)
        assert "can't be settled so" in wrong.complaint
        assert switch("funding", "retry", key, config=daemon.config).code == 0
        settled = switch("funding", "settle", key, "--as", "not-charged", "--by", "ann", config=daemon.config)
        assert settled.out.strip().endswith("-> not_charged")
        assert "settled by ann" in switch("funding", "show", key, config=daemon.config).out
        assert "has ended" in switch("funding", "retry", key, config=daemon.config).complaint

        own = str(attempts(daemon, fine)[0]["key"])
        steps = re.findall(r"(\S+) -> (\S+)", switch("funding", "show", own, config=daemon.config).out)
        assert steps == [("(parked)", "requested"), ("requested", "sent"), ("sent", "charged"), ("charged", "booked")]
        card = ("--card", "-")
        assert switch("funding", "wishes", *card, "--disabled", config=daemon.config, stdin=fine.pan.reveal()).code == 0
        assert buy(daemon, fine, 1_500) == "51"
        assert len(attempts(daemon, fine)) == 1
        senseless = switch("funding", "wishes", *card, "--step", "0", config=daemon.config, stdin=fine.pan.reveal())
        assert (senseless.code, "step_minor: at least 1 needed" in senseless.err) == (2, True)

        # The provider has taken it, whatever the person believed: its list brings that to light.
        lines = ["key,result,amount_minor,currency", f"{own},charged,500,JPY"]
        file = tmp_path / "list.csv"
        file.write_text("\n".join(lines) + "\n")
        same = ("funding", "reconcile", "--provider", "acme", str(file))
        assert switch(*same, config=daemon.config).code == 0
        file.write_text("\n".join([*lines, f"{key},charged,500,JPY", "k-none,voided,7,JPY"]) + "\n")
        differ = switch(*same, "--json", config=daemon.config)
        assert differ.code == 1
        assert [(one["key"], one["ours"], one["theirs"]) for one in differ.json] == [
            (key, "not_charged", "charged 500 JPY"),
            ("k-none", "", "voided 7 JPY"),
        ]
        shown = switch(*same, config=daemon.config).out
        assert "3 listed (1,000 charged JPY, 7 voided JPY), 2 differ" in shown
        assert "not_taken: taken, and nothing is on the balance for it" in shown
        assert "--since DATE" in shown
        other = switch("funding", "reconcile", "--provider", "acne", str(file), config=daemon.config)
        assert (other.code, "names acme, not acne" in other.err) == (2, True)
        file.write_text("")
        empty = switch(*same, config=daemon.config)
        assert (empty.code, "the file is empty" in empty.err) == (2, True)
        assert house.faults() == []


NEVER_VOIDED = """
[[fault]]
call = "charge"
kind = "wrong_amount"
off_by_minor = 100
[[fault]]
call = "void"
kind = "unknown"
"""


def test_a_charge_whose_void_is_in_doubt_is_kept_only_by_force(house: House, tmp_path: Path) -> None:
    with provider(tmp_path / "provider", NEVER_VOIDED) as told, running(topping_up(house, "doubtful", told)) as daemon:
        card = registered(house, daemon, "tok-1")
        assert buy(daemon, card, 1_500) == "51"
        (doubtful,) = attempts(daemon, card)
        assert doubtful["state"] == "void_requested"
        settle = ("funding", "settle", str(doubtful["key"]), "--by", "ann", "--as")
        refused = switch(*settle, "kept", config=daemon.config)
        assert refused.code != 0
        assert "may have been carried out" in refused.complaint or "is under way" in refused.complaint
        assert house.shown(card).posted == 1_000
        assert switch(*settle, "voided", "--force", config=daemon.config).code == 2
        # Between two of its calls, which come every few moments here.
        wait_until(lambda: switch(*settle, "kept", "--force", config=daemon.config).code == 0, "no void is under way")
        assert house.shown(card).posted == 1_600
        shown = switch("funding", "show", str(doubtful["key"]), config=daemon.config).out
        assert "settled by ann, the void in doubt" in shown
        assert house.faults() == []


def test_a_daemon_is_killed_while_the_provider_is_asked(house: House, tmp_path: Path) -> None:
    slow = '[[fault]]\ncall = "charge"\nkind = "slow"\nseconds = 1.5\n'
    with provider(tmp_path / "provider", slow) as told:
        first, second = topping_up(house, "dies", told), topping_up(house, "lives", told)
        with running(first), running(second):
            card = registered(house, first, "tok-1")
            buyer = threading.Thread(target=partial(_buy_quietly, first, card), daemon=True)
            buyer.start()
            wait_until(lambda: [one["state"] for one in attempts(first, card)] == ["sent"], "the charge is sent")
            first.kill()
            wait_until(lambda: all(one["ended"] for one in attempts(second, card)), "another daemon ends it")
            assert [one["state"] for one in attempts(second, card)] in (["voided"], ["not_charged"])
            assert second.metric("switch_top_ups_recovered_total") == 1
            assert house.shown(card).posted == 1_000 + kept(tmp_path / "provider") == 1_000
            assert house.faults() == []
            buyer.join(20)


def _buy_quietly(daemon: Daemon, card: IssuedCard) -> None:
    """The link breaks with the daemon, in whichever way."""
    with suppress(Exception, BaseExceptionGroup):
        buy(daemon, card, 1_500)


def test_a_provider_without_its_key_is_named(house: House, tmp_path: Path) -> None:
    told = {"url": "http://127.0.0.1:1", "key_file": str(tmp_path / "none.key")}
    daemon = topping_up(house, "keyless", told)
    assert "none.key" in switch("check-config", str(daemon.config)).complaint
