"""The test cards are what make_cards.py makes, and what everybody outside the issuer is promised."""

from __future__ import annotations

import tomllib
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
from psec.cvv import generate_cvv

from simulators.cards import load_cards, load_credentials, strangers
from simulators.make_cards import make_toml
from switch.contracts.errors import ConfigurationError


def data(name: str) -> str:
    return files("simulators").joinpath(name).read_text("utf-8")


def test_the_file_is_what_the_script_makes() -> None:
    assert data("cards.toml") == make_toml()


def test_ten_plain_cards_are_there_for_everybody() -> None:
    cards = load_cards()
    for number in range(10):
        card = cards[f"plain-{number}"]
        assert (card.currency, card.program, card.status, card.locked) == ("JPY", "plain", "active", False)
        assert card.balance_minor >= 100_000


def test_all_programs_and_statuses_are_covered() -> None:
    cards = load_cards().values()
    programs = {program["name"]: program for program in tomllib.loads(data("programs.toml"))["program"]}
    assert {card.program for card in cards} == set(programs) == set(tomllib.loads(data("keys.toml"))["cvk"])
    assert {card.status for card in cards} == {"active", "not_activated", "blocked", "lost", "stolen", "closed"}
    assert {card.locked for card in cards} == {True, False}
    assert all(card.currency == programs[card.program]["currency"] for card in cards)
    assert len(cards) >= 44


def test_numbers_are_sound_and_no_two_are_alike() -> None:
    cards = [*load_cards().values(), *load_credentials().values()]
    assert all(card.pan.passes_luhn() and len(card.pan.reveal()) == 16 for card in cards)
    assert Counter(card.pan.reveal() for card in cards).most_common(1)[0][1] == 1
    assert set(strangers()).isdisjoint(load_cards())
    assert not {s.pan for s in strangers().values()} & {c.pan for c in cards}
    assert strangers()["stranger"].pan.passes_luhn()
    assert not strangers()["misdialled"].pan.passes_luhn()


def test_cvv2_is_computed_with_the_programs_key_and_service_code_000() -> None:
    keys = tomllib.loads(data("keys.toml"))["cvk"]
    card = load_cards()["online-0"]
    code = generate_cvv(bytes.fromhex(keys["online"]), card.pan.reveal(), card.expiry, "000")
    assert card.cvv2.reveal() == code


def test_a_credential_is_its_card_by_another_number() -> None:
    cards, credentials = load_cards(), load_credentials()
    keys = tomllib.loads(data("keys.toml"))["cvk"]
    assert not set(cards) & set(credentials)
    assert {one.status for one in credentials.values()} >= {"active", "blocked", "lost"}
    assert {one.network for one in credentials.values()} == {"", "iso93_contactless"}
    for alias, one in credentials.items():
        card = cards[one.credential_of]
        assert one.alias == alias and one.pan != card.pan and one.expiry != card.expiry
        assert (one.program, one.currency, one.balance_minor) == (card.program, card.currency, card.balance_minor)
        code = generate_cvv(bytes.fromhex(keys[one.program]), one.pan.reveal(), one.expiry, "000")
        assert one.cvv2.reveal() == code


def test_repr_shows_neither_number_nor_code() -> None:
    card = load_cards()["plain-0"]
    assert card.pan.reveal() not in repr(card)
    assert card.pan.masked in repr(card)
    assert f"'{card.cvv2.reveal()}'" not in repr(card)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[card]]\nalias = 'a'\n", "missing required field"),
        (make_toml() + "\ncolour = 'red'\n", "colour"),
        (make_toml() + make_toml()[make_toml().index("[[card]]") :], "repeats an alias or a number"),
        (make_toml() + make_toml()[make_toml().index("\n[[credential]]") :], "repeats an alias or a number"),
        (make_toml().replace('card = "plain-0"', 'card = "nobody"'), "of card 'nobody', which is not there"),
        ("[[card", "TOML|Expected"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "cards.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        load_cards(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml"):
        load_cards(tmp_path / "none.toml")
