"""`switch clearing expire`: what is due is shown, and expires."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import trio

from simulators.messages import Terms
from switch.journal.connection import Connection
from tests.chaos.acquirer import link_to, maker_for
from tests.chaos.daemon import Daemon, running
from tests.cli.command import switch
from tests.house import House, IssuedCard


@pytest.fixture
def daemon(house: House) -> Iterator[Daemon]:
    """One that ran its job when it started, and will again in an hour."""
    daemon = Daemon(house, "expire")
    daemon.config.write_text(daemon.config.read_text() + "[expiry]\ninterval_seconds = 3600\n")
    with running(daemon) as running_daemon:
        yield running_daemon


def held(house: House, daemon: Daemon, card: IssuedCard, *amounts: int) -> None:
    """Holds of these amounts, placed a month and a day ago."""
    maker = maker_for(card)

    async def shop() -> None:
        async with link_to(daemon) as link:
            for amount in amounts:
                terms = Terms(currency=card.currency)
                answer = await link.ask(maker.authorization("card", amount, terms).fields, 10)
                assert answer is not None and answer["39"] == "00"

    async def age(connection: Connection) -> None:
        for table, column in (("hold", "expires_at"), ("account", "expiry_due")):
            await connection.execute(
                f"UPDATE {table} SET {column} = {column} - interval '31 days' WHERE account_id = $1", card.account_id
            )

    trio.run(shop)
    house.ask(age, dsn=house.ready["database"])


def test_what_is_due_is_shown_and_expires(house: House, daemon: Daemon) -> None:
    config = daemon.config
    yen, dollars = house.new_card("plain", 10_000), house.new_card("travel_usd", 10_000)
    assert switch("clearing", "expire", "--dry-run", config=config).out == "nothing is due\n"
    held(house, daemon, yen, 3_000, 200)
    held(house, daemon, dollars, 450)

    shown = switch("clearing", "expire", "--dry-run", "--json", config=config)
    assert (shown.code, shown.json["dry_run"], shown.json["holds"]) == (0, True, 0)
    totals = [(due["currency"], due["accounts"], due["holds"], due["amount"]) for due in shown.json["due"]]
    assert totals == [("JPY", 1, 2, 3_200), ("USD", 1, 1, 450)]
    oldest = datetime.fromisoformat(shown.json["due"][0]["oldest"])
    assert timedelta(days=23) < datetime.now(UTC) - oldest < timedelta(days=25)
    human = switch("clearing", "expire", "--dry-run", config=config)
    assert "JPY               3,200  in 2 holds of 1 accounts, the oldest due since 2" in human.out
    assert house.shown(yen).held == 3_200

    done = switch("clearing", "expire", config=config)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "3 expired"
    assert house.journal(yen) == [("hold", 3_000), ("hold", 200), ("expiry", 3_000), ("expiry", 200)]
    assert house.shown(dollars).held == 0

    again = switch("clearing", "expire", "--json", config=config)
    assert again.json == {"dry_run": False, "due": [], "holds": 0, "refused": {}}
    assert house.faults() == []


def test_an_account_that_is_refused_is_named(house: House, daemon: Daemon) -> None:
    card = house.new_card("plain", 10_000)
    held(house, daemon, card, 300)

    def cook(sign: str) -> None:
        async def change(connection: Connection) -> None:
            await connection.execute(
                f"UPDATE account SET held = held {sign} 300, posted = posted {sign} 300 WHERE account_id = $1",
                card.account_id,
            )

        house.ask(change, dsn=house.ready["database"])

    cook("-")
    refused = switch("clearing", "expire", config=daemon.config)
    assert refused.code == 1
    assert refused.out.splitlines()[-1] == "0 expired"
    assert refused.err.startswith(f"account {card.account_id} was left as it is: ")
    assert str(card.account_id) in switch("clearing", "expire", "--json", config=daemon.config).json["refused"]
    cook("+")
    assert switch("clearing", "expire", config=daemon.config).code == 0
    assert house.shown(card).held == 0
    assert house.faults() == []
