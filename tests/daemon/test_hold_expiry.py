"""The daemon's background job: holds that were placed through a socket expire, whatever the database does meanwhile.

Nobody waits for a deadline: the superuser makes a hold older than it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.messages import Maker, Terms
from switch.daemon.embedded import EmbeddedPostgres
from switch.journal.connection import Connection
from tests.chaos.acquirer import CODECS, maker_for
from tests.chaos.daemon import Daemon, database, running, wait_until
from tests.house import House, IssuedCard
from tests.scenarios.line import Line

_makers: dict[int, Maker] = {}  # by account: each message of a card has a STAN of its own
FUEL = Terms(mcc="5542", currency="USD", country="US")  # a token of a dollar stands for one day


@pytest.fixture(scope="module")
def premises(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, EmbeddedPostgres]]:
    with database(tmp_path_factory.mktemp("house")) as both:
        yield both


@pytest.fixture
def house(premises: tuple[House, EmbeddedPostgres]) -> House:
    return premises[0]


@pytest.fixture
def postgres(premises: tuple[House, EmbeddedPostgres]) -> EmbeddedPostgres:
    return premises[1]


def a_daemon(house: House, name: str, interval_seconds: float = 0.1) -> Daemon:
    daemon = Daemon(house, name, sign_on="optional")
    daemon.config.write_text(
        f"{daemon.config.read_text()}[expiry]\ninterval_seconds = {interval_seconds}\naccounts_max = 3\n"
    )
    return daemon


def authorize(daemon: Daemon, card: IssuedCard, amount: int, terms: Terms | None = None) -> None:
    codec = CODECS["iso87_ascii"]
    with Line(("127.0.0.1", daemon.ports["iso87_ascii"]), codec) as line:
        maker = _makers.setdefault(card.account_id, maker_for(card))
        answer = codec.decode_fields(line.ask(maker.authorization("card", amount, terms).fields))
        assert answer["39"] == "00"


def older(house: House, cards: list[IssuedCard], days: int) -> None:
    """The holds of these cards were placed so many days earlier than they were."""

    async def age(connection: Connection) -> None:
        ids = [card.account_id for card in cards]
        async with connection.transaction():
            await connection.execute(
                "UPDATE hold SET opened_at = opened_at - make_interval(days => $2),"
                " expires_at = expires_at - make_interval(days => $2) WHERE account_id = ANY ($1)",
                ids,
                days,
            )
            await connection.execute(
                "UPDATE account SET expiry_due = expiry_due - make_interval(days => $2) WHERE account_id = ANY ($1)",
                ids,
                days,
            )

    house.ask(age, dsn=house.ready["database"])


def lines(log: Path, *events: str) -> list[dict[str, Any]]:
    """The log's lines about these events."""
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in found if line["event"] in events]


def test_a_hold_expires_without_anybody_asking(house: House) -> None:
    short = house.new_card("travel_usd", 50_000)
    long = house.new_card("travel_usd", 50_000)
    with running(a_daemon(house, "alone")) as daemon:
        authorize(daemon, short, 100, FUEL)
        authorize(daemon, long, 4_000, Terms(mcc="7011", currency="USD", country="US"))
        assert daemon.metric("switch_hold_expiry_lag_seconds") == 0

        older(house, [short, long], 1)
        wait_until(lambda: house.shown(short).held == 0, "the hold of a day has expired")
        assert house.journal(short) == [("hold", 100), ("expiry", 100)]
        wait_until(lambda: daemon.metric("switch_holds_expired_total") == 1, "the metric says so")
        wait_until(lambda: daemon.metric("switch_hold_expiry_lag_seconds") == 0, "and that none is overdue")

        older(house, [long], 28)
        authorize(daemon, short, 500, Terms(mcc="5411", currency="USD", country="US"))
        assert house.shown(long).held == 4_000, "thirty days have not passed"
        older(house, [long], 1)
        wait_until(lambda: house.shown(long).held == 0, "the hold of thirty days has expired")
        assert house.journal(long) == [("hold", 4_000), ("expiry", 4_000)]
        assert daemon.stop() == 0
    runs = lines(daemon.log, "holds_expired")
    assert [(run["holds"], run["accounts"], run["refused"]) for run in runs] == [(1, 1, 0)] * 2
    assert house.faults() == []


def test_several_daemons_expire_each_hold_once(house: House) -> None:
    cards = [house.new_card() for _ in range(20)]
    first, second = a_daemon(house, "first", 3_600), a_daemon(house, "second")
    with running(first):
        for card in cards:
            authorize(first, card, 700)
        older(house, cards, 7)
        with running(second), running(a_daemon(house, "third")) as third:
            wait_until(lambda: all(house.shown(card).held == 0 for card in cards), "all holds have expired")
            wait_until(
                lambda: sum(daemon.metric("switch_holds_expired_total") for daemon in (second, third)) == 20,
                "the daemons have counted them",
            )
            # The first has run when nothing was due, and runs again in an hour.
            assert first.metric("switch_holds_expired_total") == 0
            assert (first.stop(), second.stop(), third.stop()) == (0, 0, 0)
    for card in cards:
        assert house.journal(card) == [("hold", 700), ("expiry", 700)]
    assert house.faults() == []


def test_a_request_expires_what_is_due_without_the_job(house: House) -> None:
    card = house.new_card(balance_minor=1_000)
    with running(a_daemon(house, "lazy", 3_600)) as daemon:
        authorize(daemon, card, 700)
        older(house, [card], 7)
        authorize(daemon, card, 900)
        assert house.journal(card) == [("hold", 700), ("expiry", 700), ("hold", 900)]
        assert daemon.metric("switch_holds_expired_total") == 1


def test_while_the_database_is_away_the_job_says_so_once_and_goes_on_later(
    house: House, postgres: EmbeddedPostgres
) -> None:
    card = house.new_card()
    with running(a_daemon(house, "patient")) as daemon:
        authorize(daemon, card, 700)
        postgres.stop()
        try:
            # Until it is back, many more runs find it away.
            wait_until(lambda: bool(lines(daemon.log, "hold_expiry_waits")), "it has noticed")
        finally:
            postgres.start()
        older(house, [card], 7)
        wait_until(lambda: house.shown(card).held == 0, "the hold has expired")
        wait_until(lambda: bool(lines(daemon.log, "hold_expiry_resumes")), "it says that it goes on")
        assert daemon.stop() == 0
    said = [line["event"] for line in lines(daemon.log, "hold_expiry_waits", "hold_expiry_resumes")]
    assert said == ["hold_expiry_waits", "hold_expiry_resumes"]


def test_an_account_that_is_refused_is_named_and_counted(house: House) -> None:
    bad, good = house.new_card(), house.new_card()

    def cook(sign: str) -> None:
        async def change(connection: Connection) -> None:
            await connection.execute(
                f"UPDATE account SET held = held {sign} 700, posted = posted {sign} 700 WHERE account_id = $1",
                bad.account_id,
            )

        house.ask(change, dsn=house.ready["database"])

    with running(a_daemon(house, "strict")) as daemon:
        for card in (bad, good):
            authorize(daemon, card, 700)
        cook("-")
        older(house, [bad, good], 7)
        wait_until(lambda: house.shown(good).held == 0, "the other account's hold has expired")
        wait_until(lambda: daemon.metric("switch_hold_expiry_refused_accounts") == 1, "the metric counts it")
        wait_until(lambda: daemon.metric("switch_hold_expiry_lag_seconds") > 0, "and that it is overdue")
        refused = lines(daemon.log, "hold_expiry_refused")
        cook("+")  # a person has mended it
        wait_until(lambda: house.shown(bad).held == 0, "it expires too")
        wait_until(lambda: daemon.metric("switch_hold_expiry_refused_accounts") == 0, "nothing is refused any more")
        assert daemon.stop() == 0
    assert [line["account"] for line in refused] == [bad.account_id]
    assert len(lines(daemon.log, "hold_expiry_refused")) == 1, "once, however many runs it was refused in"
    assert house.faults() == []
