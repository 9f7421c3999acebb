"""`switch card` and `switch account`, for people and for programs."""

from __future__ import annotations

import pytest

from switch.contracts.secret import Pan
from tests.cli.command import Result, switch
from tests.house import House, IssuedCard, new_pan


@pytest.fixture
def card(house: House) -> IssuedCard:
    return house.new_card(balance_minor=12_345)


def run(house: House, *arguments: str, stdin: str = "") -> Result:
    result = switch(*arguments, config=house.config, stdin=stdin)
    assert result.err == "" or result.code != 0
    return result


def test_issue_with_a_number_from_stdin(house: House) -> None:
    pan = new_pan()
    issue = ("card", "issue", "--program", "standard", "--expiry", "3104", "--number", "-", "--json")
    issued = run(house, *issue, stdin=pan.reveal() + "\n")

    assert issued.code == 0
    assert issued.json["number"] == pan.masked
    shown = run(house, "card", "show", "--card", "-", "--json", stdin=pan.reveal()).json
    assert len(shown) == 1
    del shown[0]["issued_at"]
    assert shown[0] == {
        "card": issued.json["card"],
        "account": issued.json["account"],
        "number": pan.masked,
        "program": "standard",
        "expiry": "3104",
        "status": "active",
        "locked": False,
    }
    again = run(house, *issue, stdin=pan.reveal())
    assert again.code == 1 and "Traceback" not in again.err and pan.reveal() not in again.err


def test_issue_draws_a_number_that_only_reveal_shows(house: House) -> None:
    draw = ("card", "issue", "--program", "plain", "--expiry", "3012", "--bin", "411111")
    masked = run(house, *draw)
    revealed = run(house, *draw, "--reveal", "--json").json

    assert masked.code == 0 and "411111******" in masked.out
    pan = Pan(revealed["number"])
    assert pan.passes_luhn() and len(pan.reveal()) == 16
    assert run(house, "card", "show", "--card", pan.reveal()).code == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--program", "gold", "--expiry", "3012", "--bin", "411111"), "gold"),
        (("--program", "plain", "--expiry", "3013", "--bin", "411111"), "expiry"),
        (("--program", "plain", "--expiry", "3012"), "--number"),
        (("--program", "plain", "--expiry", "3012", "--number", "4" * 12), "check digit"),
        (("--program", "plain", "--expiry", "3012", "--number", "4" * 11), "12 to 19 digits"),
        (("--program", "plain", "--expiry", "3012", "--bin", "411111", "--service-code", "20"), "--service-code"),
        (("--program", "4" + "0" * 14 + "2", "--expiry", "3012", "--bin", "411111"), "400000******0002"),
    ],
)
def test_what_can_t_be_issued_is_named(house: House, arguments: tuple[str, ...], named: str) -> None:
    result = run(house, "card", "issue", *arguments)
    assert result.code in (1, 2)
    assert named in result.err and "Traceback" not in result.err


def test_list_shows_every_card_masked(house: House, card: IssuedCard) -> None:
    listed = run(house, "card", "list", "--json").json
    human = run(house, "card", "list").out.splitlines()

    assert len(human) == len(listed) > 50
    assert [one["number"] for one in listed if one["card"] == card.card_id] == [card.pan.masked]
    assert any(card.pan.masked in line and "plain" in line for line in human)


def test_lock_unlock_and_status(house: House, card: IssuedCard) -> None:
    number = ("--card", card.pan.reveal())

    def shown() -> tuple[str, bool]:
        (one,) = run(house, "card", "show", *number, "--json").json
        return one["status"], one["locked"]

    assert run(house, "card", "lock", *number).out == f"{card.pan.masked}: locked\n"
    assert shown() == ("active", True)
    assert " locked" in run(house, "card", "show", *number).out
    assert run(house, "card", "status", *number, "lost").out == f"{card.pan.masked}: status lost\n"
    assert shown() == ("lost", True)
    assert run(house, "card", "unlock", *number).out == f"{card.pan.masked}: unlocked\n"
    assert shown() == ("lost", False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("card", "show"),
        ("card", "lock"),
        ("account", "show"),
        ("account", "load", "--amount", "1"),
        ("journal", "entries"),
        ("journal", "explain"),
    ],
    ids=" ".join,
)
def test_a_card_that_was_never_issued(house: House, arguments: tuple[str, ...]) -> None:
    pan = new_pan()
    assert run(house, *arguments, "--card", pan.reveal()).complaint == f"there is no card {pan.masked}"


def test_an_account_for_people_and_for_programs(house: House, card: IssuedCard) -> None:
    human = run(house, "account", "show", "--card", card.pan.reveal())
    machine = run(house, "account", "show", "--account", str(card.account_id), "--json")

    assert human.out.splitlines()[0] == f"account {card.account_id}  JPY  (after entry 1)"
    assert [line.split() for line in human.out.splitlines()[1:]] == [
        ["posted", "12,345"],
        ["held", "0"],
        ["available", "12,345"],
    ]
    assert machine.json == {
        "account": card.account_id,
        "currency": "JPY",
        "posted": 12_345,
        "held": 0,
        "available": 12_345,
        "seq": 1,
    }
    listed = run(house, "account", "list", "--json").json
    assert machine.json in listed
    assert any(
        line.split()[:2] == [str(card.account_id), "JPY"] for line in run(house, "account", "list").out.splitlines()
    )


def test_a_load_by_reference_happens_once(house: House, card: IssuedCard) -> None:
    load = ("account", "load", "--card", card.pan.reveal(), "--amount", "500")
    reference = f"bank-{card.account_id}"

    first, again = run(house, *load, "--reference", reference), run(house, *load, "--reference", reference)
    drawn = run(house, *load)

    assert "loaded 500" in first.out and "nothing changed" in again.out and "loaded 500" in drawn.out
    assert house.shown(card).posted == 12_345 + 1_000


@pytest.mark.parametrize("amount", ["0", "-5", "1.5", "9" * 30])
def test_an_amount_that_can_t_be(house: House, card: IssuedCard, amount: str) -> None:
    result = run(house, "account", "load", "--card", card.pan.reveal(), "--amount", amount)
    assert result.code in (1, 2)
    assert "Traceback" not in result.err
    assert house.shown(card).posted == 12_345


def test_one_of_the_choices_is_needed(house: House) -> None:
    for arguments in (("account", "show"), ("journal", "entries"), ("journal", "explain")):
        assert run(house, *arguments).code == 2
