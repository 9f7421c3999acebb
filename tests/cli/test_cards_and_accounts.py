"""`switch card` and `switch account`, for people and for programs."""

from __future__ import annotations

import pytest

from simulators.cards import load_credentials
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
        "credentials": [],
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


# ── credentials

ADD = ("card", "credential", "add", "--expiry", "3106")


def test_a_credential_is_added_listed_and_shown_with_its_card(house: House, card: IssuedCard) -> None:
    pan = new_pan()
    number = ("--card", card.pan.reveal())
    added = run(house, *ADD, "--card", "-", "--number", "-", "--json", stdin=f"{card.pan.reveal()}\n{pan.reveal()}\n")
    credential = added.json["credential"]
    assert added.json == {"credential": credential, "card": card.card_id, "number": pan.masked, "network": None}
    restricted = run(house, *ADD, *number, "--bin", "356600", "--network", "iso87_ascii", "--status", "not_activated")
    assert f"(356600******{restricted.out.split(')')[0][-4:]}) added to card {card.card_id}\n" in restricted.out

    (shown,) = run(house, "card", "show", *number, "--json").json
    one, other = shown["credentials"]
    del one["added_at"]
    assert one == {
        "credential": credential,
        "card": card.card_id,
        "number": pan.masked,
        "network": None,
        "expiry": "3106",
        "status": "active",
    }
    assert (other["network"], other["status"]) == ("iso87_ascii", "not_activated")
    human = run(house, "card", "show", *number).out.splitlines()
    assert len(human) == 3 and pan.masked in human[1] and "any network" in human[1] and "only iso87_ascii" in human[2]

    listed = run(house, "card", "credential", "list", "--card", pan.reveal()).out.splitlines()
    assert len(listed) == 2 and all(line.startswith(f"card {card.card_id:>6} ") for line in listed)
    everything = run(house, "card", "credential", "list", "--json").json
    assert {credential, other["credential"]} <= {each["credential"] for each in everything}


def test_a_drawn_credential_is_shown_once_by_reveal(house: House, card: IssuedCard) -> None:
    drawn = run(house, *ADD, "--card", card.pan.reveal(), "--bin", "35660000", "--reveal", "--json").json
    pan = Pan(drawn["number"])
    assert pan.passes_luhn() and pan.reveal().startswith("35660000")
    assert run(house, "card", "show", "--card", pan.reveal(), "--json").json[0]["card"] == card.card_id


def test_any_number_of_the_card_leads_to_it(house: House, card: IssuedCard) -> None:
    further = ("--card", house.new_credential(card).pan.reveal())
    assert run(house, "account", "show", *further, "--json").json["account"] == card.account_id
    assert run(house, "journal", "entries", *further).code == 0
    for reference in ("--card", card.pan.reveal()), further:
        run(house, "account", "load", *reference, "--amount", "500", "--reference", f"twice-{card.account_id}")
    assert house.shown(card).posted == 12_345 + 500
    assert run(house, "card", "lock", *further).code == 0
    assert run(house, "card", "show", "--card", card.pan.reveal(), "--json").json[0]["locked"] is True


def test_the_status_of_a_credential_is_its_own(house: House, card: IssuedCard) -> None:
    credential = house.new_credential(card)
    number, by_id = ("--number", credential.pan.reveal()), ("--credential", str(credential.credential_id))
    status = ("card", "credential", "status")

    def shown() -> tuple[str, str]:
        (one,) = run(house, "card", "show", "--card", card.pan.reveal(), "--json").json
        return one["status"], one["credentials"][0]["status"]

    assert run(house, *status, *number, "lost").out == f"credential {credential.credential_id}: status lost\n"
    assert shown() == ("active", "lost")
    assert run(house, *status, *by_id, "active").code == 0
    assert shown() == ("active", "active")

    wrong = run(house, "card", "status", "--card", credential.pan.reveal(), "lost")
    assert wrong.code == 1 and f"{credential.pan.masked} is a credential: `switch card credential status`" in wrong.err
    wrong = run(house, *status, "--number", card.pan.reveal(), "lost")
    assert wrong.code == 1 and f"{card.pan.masked} is a card's own number: `switch card status`" in wrong.err
    assert run(house, *status, "--credential", str(2**40), "lost").complaint == f"there is no credential {2**40}"
    assert run(house, *status, "lost").code == run(house, *status, *by_id, *number, "lost").code == 2
    assert shown() == ("active", "active")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--bin", "356600", "--network", "mars"), "there is no network mars; there is "),
        (("--bin", "356600", "--expiry", "3113"), "expiry"),
        (("--bin", "356600", "--service-code", "20"), "--service-code"),
        ((), "--number"),
        (("--number", "4" * 12), "check digit"),
    ],
)
def test_a_credential_that_can_t_be_added_is_named(
    house: House, card: IssuedCard, arguments: tuple[str, ...], named: str
) -> None:
    result = run(house, *ADD, "--card", card.pan.reveal(), *arguments)
    assert result.code in (1, 2)
    assert named in result.err and "Traceback" not in result.err
    assert run(house, "card", "credential", "list", "--card", card.pan.reveal()).out == ""


def test_a_number_is_a_card_s_or_a_credential_s(house: House, card: IssuedCard) -> None:
    further = house.new_credential(card).pan
    for pan in (card.pan, further):
        again = run(house, *ADD, "--card", card.pan.reveal(), "--number", pan.reveal())
        assert again.complaint == f"{pan.masked} is issued already"
    issue = ("card", "issue", "--program", "plain", "--expiry", "3012", "--number", further.reveal())
    assert run(house, *issue).complaint == f"{further.masked} is issued already"


def test_the_test_cards_have_their_credentials(house: House) -> None:
    expected = load_credentials()
    found = {
        one["number"]: (one["network"] or "", one["expiry"], one["status"])
        for one in run(house, "card", "credential", "list", "--json").json
    }
    for one in expected.values():
        assert found[one.pan.masked] == (one.network, one.expiry, one.status)


@pytest.mark.parametrize(
    "arguments",
    [
        ("card", "show"),
        ("card", "lock"),
        ("card", "credential", "list"),
        (*ADD, "--bin", "356600"),
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
