"""``switch acquirer`` against a whole switch: its own books, compared with what the accounts show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulators.accounts import open_books, show_accounts
from simulators.books import Books, compare
from simulators.cards import load_cards
from tests.house import House


@pytest.fixture(scope="module")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("acquirer")).start()
    yield house
    house.stop()


def load(house: House) -> tuple[int, str]:
    port = str(house.address("iso87_ascii")[1])
    done = house.command("acquirer", "load", "--port", port, "--count", "60", "--seed", "5", check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_load_ends_with_books_that_agree_also_on_used_accounts(switched: House) -> None:
    for _ in range(2):
        code, said = load(switched)
        assert (code, "the books agree with every account" in said) == (0, True), said


def test_money_that_the_books_know_nothing_of_shows(switched: House) -> None:
    books = Books(load_cards())
    open_books(books, show_accounts(switched.config))
    assert compare(books, show_accounts(switched.config)) == []

    switched.command("account", "load", "--card", load_cards()["load-0"].pan.reveal(), "--amount", "77")

    found = {(one.alias, one.figure) for one in compare(books, show_accounts(switched.config))}
    assert found == {("load-0", "posted"), ("load-0", "available")}
