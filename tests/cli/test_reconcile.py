"""`switch reconcile` and `switch account show --as-of`, for people and for programs."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from switch.daemon.settings import load_settings, load_vault
from switch.journal import issuing
from tests.cli.command import switch
from tests.cli.test_journal import as_superuser
from tests.house import House, IssuedCard

TOKYO = ZoneInfo("Asia/Tokyo")
#: Days that are long over, whenever this runs. The house's own cards are loaded when the test begins.
DAY, FIRST = date(2025, 3, 31), date(2024, 10, 1)
NOON = datetime(2025, 3, 31, 12, tzinfo=TOKYO)


def loaded(house: House, *loads: tuple[datetime, int]) -> IssuedCard:
    """A card of its own with loads at moments of the past."""
    card = house.new_card(balance_minor=0)
    lookup = load_vault(load_settings(house.config).vault).lookup(card.pan)
    for moment, amount in loads:

        async def load(connection: issuing.Connection, moment: datetime = moment, amount: int = amount) -> None:
            await issuing.load_account(connection, lookup, amount, f"at {moment}", moment.astimezone(UTC))

        house.ask(load)
    return card


@pytest.fixture
def card(house: House) -> IssuedCard:
    """1,000 on the 31st at noon, 200 at the midnight after it."""
    return loaded(house, (NOON, 1_000), (NOON + timedelta(hours=12), 200))


# ── account show --as-of


@pytest.mark.parametrize(
    ("arguments", "posted", "seq"),
    [
        (("2025-03-31T12:00:00+09:00",), 1_000, 1),
        (("2025-03-31T03:00:00Z",), 1_000, 1),
        (("2025-03-31",), 1_000, 1),
        (("2025-04-01T00:00:00+09:00",), 1_200, 2),
        (("2025-04-01",), 1_200, 2),
        (("2025-03-31", "--zone", "UTC"), 1_200, 2),  # that day ends at nine in the morning in Tokyo
    ],
)
def test_a_balance_as_of(house: House, card: IssuedCard, arguments: tuple[str, ...], posted: int, seq: int) -> None:
    for which in (("--account", str(card.account_id)), ("--card", card.pan.reveal())):
        result = switch("account", "show", *which, "--as-of", *arguments, "--json", config=house.config)
        assert result.json == {
            "account": card.account_id,
            "currency": "JPY",
            "posted": posted,
            "held": 0,
            "available": posted,
            "seq": seq,
        }


def test_a_balance_as_of_now_is_the_balance(house: House, card: IssuedCard) -> None:
    show = ("account", "show", "--account", str(card.account_id), "--json")
    now = datetime.now(UTC).isoformat()
    assert switch(*show, "--as-of", now, config=house.config).json == switch(*show, config=house.config).json


def test_a_file_of_cards_as_of(house: House, card: IssuedCard, tmp_path: Path) -> None:
    later = loaded(house, (NOON + timedelta(days=1), 7))
    file = tmp_path / "cards.toml"
    file.write_text(
        "".join(
            f'[[card]]\nalias = "{name}"\npan = "{one.pan.reveal()}"\n' for name, one in (("a", card), ("b", later))
        )
    )
    show = ("account", "show", "--cards-file", str(file), "--json", "--as-of")
    on_the_day = switch(*show, "2025-03-31", config=house.config).json
    a_day_later = switch(*show, "2025-04-01", config=house.config).json
    assert {alias: one["posted"] for alias, one in on_the_day.items()} == {"a": 1_000}
    assert {alias: one["posted"] for alias, one in a_day_later.items()} == {"a": 1_200, "b": 7}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--as-of", "2025-03-31T12:00:00"), "offset"),
        (("--as-of", "soon"), "not a day"),
        (("--as-of", "2999-01-01"), "lies ahead"),
        (("--as-of", "2025-03-31", "--zone", "Mars/Base"), "unknown"),
        (("--as-of", "2001-01-01"), "was no account"),
    ],
)
def test_a_moment_that_cannot_be_answered(
    house: House, card: IssuedCard, arguments: tuple[str, ...], words: str
) -> None:
    result = switch("account", "show", "--account", str(card.account_id), *arguments, config=house.config)
    assert words in result.complaint


def test_a_zone_alone_is_a_mistake(house: House, card: IssuedCard) -> None:
    result = switch("account", "show", "--account", str(card.account_id), "--zone", "UTC", config=house.config)
    assert result.code == 2


# ── reconcile


def test_a_day_for_people_and_for_programs(house: House, card: IssuedCard) -> None:
    told = switch("reconcile", "2025-03-31", config=house.config)
    machine = switch("reconcile", "--json", "2025-03-31", config=house.config)
    named = switch("reconcile", "day", "2025-03-31", "--json", "--zone", "Asia/Tokyo", config=house.config)

    assert (told.code, machine.code, told.err, machine.err) == (0, 0, "", "")
    assert told.out.startswith("2025-03-31 in Asia/Tokyo") and told.out.rstrip().endswith("all agrees")
    report = machine.json
    assert report == named.json
    assert (report["day"], report["zone"], report["findings"]) == ("2025-03-31", "Asia/Tokyo", [])
    assert report["opening"] == "2025-03-30T14:59:59.999999Z" and report["closing"] == "2025-03-31T14:59:59.999999Z"
    assert [(one["cause"], one["kind"]) for one in report["booked"]] == [("load", "load")]
    assert report["booked"][0]["amount_minor"] % 1_000 == 0 < report["booked"][0]["amount_minor"]


def test_a_contradiction_is_told_and_ends_with_1(house: House, card: IssuedCard) -> None:
    as_superuser(house, f"UPDATE switch.account SET posted = posted + 1 WHERE account_id = {card.account_id}")
    try:
        told = switch("reconcile", "2025-03-31", config=house.config)
        machine = switch("reconcile", "2025-03-31", "--json", "--details", "5", config=house.config)
    finally:
        as_superuser(house, f"UPDATE switch.account SET posted = posted - 1 WHERE account_id = {card.account_id}")

    assert (told.code, machine.code) == (1, 1)
    assert f"account {card.account_id}: the account says posted=1201" in told.out
    assert {finding["account"] for finding in machine.json["findings"]} == {card.account_id}
    assert switch("reconcile", "2025-03-31", config=house.config).code == 0


def test_the_end_of_a_period_as_text_json_and_csv(house: House, card: IssuedCard, tmp_path: Path) -> None:
    file = tmp_path / "period.csv"
    ask = ("reconcile", "period-end", "2025-03-31", "--from", "2024-10-01", "--program", "plain")
    told = switch(*ask, "--csv", str(file), config=house.config)
    (plain,) = switch(*ask, "--json", config=house.config).json["programs"]

    assert told.code == 0 and "unused balance" in told.out and f"{plain['unused_minor']:,}" in told.out
    assert plain["issued_minor"] == plain["unused_minor"] > 0 == plain["difference_minor"]
    with file.open(newline="") as opened:
        (row,) = csv.DictReader(opened)
    assert (row["from"], row["as_of"], row["program"]) == ("2024-10-01", "2025-03-31", "plain")
    assert int(row["unused_minor"]) == plain["unused_minor"]

    # Accounting read that file and sends its figures back.
    figures = tmp_path / "accounting.csv"
    figures.write_text(
        f"as_of,program,currency,measure,amount\n2025-03-31,plain,JPY,unused,{plain['unused_minor'] - 1}\n"
    )
    differs = switch("reconcile", "compare", str(figures), config=house.config)
    assert differs.code == 1 and "1 figures compared: 1 differ" in differs.out
    figures.write_text(f"as_of,program,currency,measure,amount\n2025-03-31,plain,JPY,unused,{plain['unused_minor']}\n")
    agrees = switch("reconcile", "compare", str(figures), "--json", config=house.config)
    assert (agrees.code, agrees.json) == (0, {"compared": 1, "differing": 0, "differences": []})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("2025-13-31",), "not a day"),
        (("2999-12-30",), "the day ends at"),
        (("2025-03-31", "--zone", "Mars/Base"), "unknown"),
        (("period-end", "2025-03-31", "--from", "2025-04-01"), "before it"),
        (("period-end", "2025-03-31", "--from", "2025-03-01", "--program", "none"), "no program 'none'"),
    ],
)
def test_what_cannot_be_reported_is_one_line(house: House, arguments: tuple[str, ...], words: str) -> None:
    assert words in switch("reconcile", *arguments, config=house.config).complaint


def test_the_help_tells_that_a_day_is_enough() -> None:
    for arguments in (("reconcile", "--help"), ("reconcile", "-h"), ("reconcile", "day", "--help")):
        result = switch(*arguments)
        assert result.code == 0 and "switch reconcile" in result.out
    assert "DAY|COMMAND" in switch("reconcile", "--help").out
