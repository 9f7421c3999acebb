"""`switch clearing`: files of every format in, what became of them, and the queue of records in doubt."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from simulators.clearing_files import FORMATS, Entry, FileHead, Purchase, chargeback, presentment, refund, write
from switch.cli.person import os_user
from switch.contracts.secret import Pan
from tests.cli.command import Result, switch
from tests.house import POISON, House, IssuedCard, new_pan

NETWORK = "iso87_ascii"
_numbers = itertools.count(1)


@pytest.fixture
def card(house: House) -> IssuedCard:
    return house.new_card(balance_minor=10_000)


def purchase(pan: Pan, amount: int = 3_000, **told: Any) -> Purchase:
    """One that was never authorised."""
    number = next(_numbers)
    known = {
        "approval_code": f"{number:06d}",
        "retrieval_reference": f"CLI{number:09d}",
        "acquirer_id": "40000100001",
        "terminal_id": "TERM0001",
        "merchant_id": "SHOP00000000001",
        "merchant_name": "KONBINI",
        "mcc": "5411",
    }
    bought = datetime(2026, 11, 20, 9, 4, 5, tzinfo=UTC)
    return Purchase(pan=pan, amount=amount, currency="JPY", purchased_at=bought, **{**known, **told})


def presented(pan: Pan, amount: int = 3_000, **told: Any) -> Entry:
    return presentment(purchase(pan, amount, **told), acquirer_reference=f"7{next(_numbers):022d}")


def written(directory: Path, *entries: Entry, form: str = "jsonl", head: FileHead | None = None) -> Path:
    number = next(_numbers)
    path = directory / f"{number}.{form}"
    with path.open("wb") as file:
        write(file, form, head or FileHead.ipm(NETWORK, date(2026, 11, 25), number), entries)
    return path


def clearing(house: House, *arguments: str | Path) -> Result:
    return switch("clearing", *map(str, arguments), config=house.config)


def ingest(house: House, path: Path, *options: str) -> Any:
    """Books it whole."""
    result = clearing(house, "ingest", path, "--network", NETWORK, "--json", *options)
    assert (result.code, result.err) == (0, "")
    return result.json


def doubts(house: House, card: IssuedCard, *options: str) -> list[dict[str, Any]]:
    """The card's records in doubt."""
    listed = clearing(house, "exceptions", "list", "--json", *options).json
    return [one for one in listed if one["account"] == card.account_id]


def duplicate(house: House, card: IssuedCard, directory: Path) -> dict[str, Any]:
    """A record in doubt: it came before, in another file."""
    entry = presented(card.pan)
    ingest(house, written(directory, entry))
    ingest(house, written(directory, entry))
    (doubt,) = doubts(house, card)
    return doubt


def balance(house: House, card: IssuedCard) -> tuple[int, int]:
    shown = house.shown(card)
    return shown.posted, shown.held


# ── files


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_of_each_format_is_booked_once(house: House, card: IssuedCard, tmp_path: Path, form: str) -> None:
    entry = presented(card.pan)
    path = written(tmp_path, entry, refund(purchase(card.pan, 500)), chargeback(entry, 1_000), form=form)

    report = ingest(house, path)
    again = ingest(house, path)

    assert balance(house, card) == (8_500, 0)
    assert house.journal(card) == [("posting", 3_000), ("refund", 500), ("chargeback", 1_000)]
    assert (report["booked"], report["repeated"], report["refused"]) == (3, 0, [])
    assert (again["booked"], again["repeated"], again["outcomes"]) == (0, 0, report["outcomes"])
    told = {(one["kind"], one["operation"], one["state"], one["why"]): one["amount"] for one in report["outcomes"]}
    assert told == {
        ("presentment", "purchase", "forced", "no_authorization"): 3_000,
        ("presentment", "refund", "forced", "no_purchase"): 500,
        ("chargeback", "purchase", "matched", "acquirer_reference"): 1_000,
    }
    file = report["file"]
    assert (file["format"], file["records"], file["booked_to"], file["network"]) == (form, 3, 3, NETWORK)
    assert file["totals"] == {"JPY": {"debit_minor": 3_000, "credit_minor": 1_500}}
    assert file["ended_at"] is not None

    assert clearing(house, "report", NETWORK, file["file_id"], "--json").json == report["outcomes"]
    (listed,) = [one for one in clearing(house, "files", "--json").json if one["file_id"] == file["file_id"]]
    assert (listed["name"], listed["digest"], listed["booked_to"]) == (path.name, file["digest"], 3)
    assert all(one["file_id"] != file["file_id"] for one in clearing(house, "files", "--unfinished", "--json").json)


def test_for_people(house: House, card: IssuedCard, tmp_path: Path) -> None:
    path = written(tmp_path, presented(card.pan, 3_000))

    checked = clearing(house, "ingest", path, "--check")
    booked = clearing(house, "ingest", path)
    again = clearing(house, "ingest", path)
    (file_id,) = [one["file_id"] for one in clearing(house, "files", "--json").json if one["name"] == path.name]

    assert "1 records: sound" in checked.out and "3,000" in checked.out
    assert "1 records: booked" in booked.out and "1 booked, 0 were booked before" in booked.out
    assert "forced" in booked.out and "no_authorization" in booked.out
    assert again.code == 0 and "0 booked" in again.out
    assert f"{file_id}" in clearing(house, "files").out
    assert "no_authorization" in clearing(house, "report", NETWORK, file_id).out
    assert all(result.err == "" and card.pan.reveal() not in result.out for result in (checked, booked, again))


@pytest.mark.parametrize("form", FORMATS)
def test_check_books_nothing(house: House, card: IssuedCard, tmp_path: Path, form: str) -> None:
    path = written(tmp_path, presented(card.pan), form=form)

    summary = ingest(house, path, "--check", "--format", form)

    assert (summary["records"], summary["format"], summary["network"]) == (1, form, NETWORK)
    assert summary["totals"] == {"JPY": {"debit_minor": 3_000, "credit_minor": 0}}
    assert balance(house, card) == (10_000, 0)
    assert all(one["file_id"] != summary["file_id"] for one in clearing(house, "files", "--json").json)


@pytest.mark.parametrize(
    ("form", "place"), [("jsonl", "line 3: pan: "), ("csv", "line 4: pan: "), ("ipm", "message 3: DE2: ")]
)
def test_a_file_with_one_bad_record_is_refused_whole(
    house: House, card: IssuedCard, tmp_path: Path, form: str, place: str
) -> None:
    """Named by file, place and element, and by nothing of what stands there."""
    digits = card.pan.reveal()
    path = written(tmp_path, presented(card.pan), presented(Pan(digits[:11])), form=form)

    for check in ((), ("--check",)):
        complaint = clearing(house, "ingest", path, "--network", NETWORK, *check).complaint
        assert complaint.startswith(f"{path}: {place}")
        assert digits[:11] not in complaint
    assert balance(house, card) == (10_000, 0)
    assert all(one["name"] != path.name for one in clearing(house, "files", "--json").json)


def test_a_file_that_was_cut_off_is_refused(house: House, card: IssuedCard, tmp_path: Path) -> None:
    path = written(tmp_path, presented(card.pan), presented(card.pan))
    path.write_bytes(path.read_bytes().rpartition(b'{"type":"trailer"')[0])

    assert "trailer" in clearing(house, "ingest", path).complaint
    assert balance(house, card) == (10_000, 0)


def test_whose_file_it_is(house: House, card: IssuedCard, tmp_path: Path) -> None:
    ipm, jsonl = (written(tmp_path, presented(card.pan), form=form) for form in ("ipm", "jsonl"))

    assert "does not name its network" in clearing(house, "ingest", ipm).complaint
    assert "is not of base1" in clearing(house, "ingest", jsonl, "--network", "base1").complaint
    assert balance(house, card) == (10_000, 0)


def test_another_file_of_the_same_name_is_refused(house: House, card: IssuedCard, tmp_path: Path) -> None:
    head = FileHead(file_id="DAY-7", network=NETWORK, business_day=date(2026, 11, 25))
    first = written(tmp_path, presented(card.pan, 1_000), head=head)
    other = written(tmp_path, presented(card.pan, 2_000), head=head)
    ingest(house, first)

    complaint = clearing(house, "ingest", other).complaint

    assert head.file_id in complaint and first.name in complaint and NETWORK in complaint
    assert balance(house, card) == (9_000, 0)
    # The same contents under another path are the same file.
    renamed = first.rename(tmp_path / "renamed.jsonl")
    assert ingest(house, renamed)["booked"] == 0


def test_a_record_that_cannot_be_booked_fails_alone_until_the_file_comes_again(
    house: House, card: IssuedCard, tmp_path: Path
) -> None:
    path = written(
        tmp_path,
        presented(card.pan, 1_000),
        presented(card.pan, 2_000, merchant_name=f"{POISON} SHOP"),
        presented(card.pan, 4_000),
    )
    house.refuse_poison()
    try:
        refused = clearing(house, "ingest", path, "--json")
    finally:
        as_superuser(house, "DROP SCHEMA test_poison CASCADE")

    assert refused.code == 1 and [one["record"] for one in refused.json["refused"]] == [2]
    assert (refused.json["booked"], refused.json["file"]["ended_at"]) == (2, None)
    assert balance(house, card) == (5_000, 0)
    file_id = refused.json["file"]["file_id"]
    assert file_id in [one["file_id"] for one in clearing(house, "files", "--unfinished", "--json").json]

    done = ingest(house, path)
    assert (done["booked"], done["repeated"], done["file"]["booked_to"]) == (1, 1, 3)
    assert balance(house, card) == (3_000, 0)
    assert file_id not in [one["file_id"] for one in clearing(house, "files", "--unfinished", "--json").json]


def as_superuser(house: House, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(house.ready["database"])
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def test_another_file_under_a_name_of_digits_is_refused_by_that_name(
    house: House, card: IssuedCard, tmp_path: Path
) -> None:
    head = FileHead.ipm(NETWORK, date(2026, 11, 25), next(_numbers))
    ingest(house, written(tmp_path, presented(card.pan), head=head))

    other = clearing(house, "ingest", written(tmp_path, presented(card.pan), head=head))

    assert head.file_id.isdecimal() and len(head.file_id) == 25
    assert f"{NETWORK} sent another file under the name {head.file_id} before" in other.complaint


def test_nothing_is_known_of_a_file_that_never_came(house: House) -> None:
    assert "nothing is booked of a file GONE" in clearing(house, "report", NETWORK, "GONE").complaint


# ── records in doubt


def test_a_record_in_doubt_is_shown_with_the_purchases_that_it_might_mean(
    house: House, card: IssuedCard, tmp_path: Path
) -> None:
    doubt = duplicate(house, card, tmp_path)
    listed = clearing(house, "exceptions", "list")
    shown = clearing(house, "exceptions", "show", doubt["id"])
    as_json = clearing(house, "exceptions", "show", doubt["id"], "--json").json

    assert (doubt["why"], doubt["state"], doubt["amount"], doubt["currency"]) == (
        "duplicate_record",
        "in_doubt",
        3_000,
        "JPY",
    )
    assert (doubt["card"], doubt["record"], doubt["proposal"]) == (card.pan.masked, 1, None)
    assert as_json["record"] == doubt
    (bought,) = as_json["purchases"]
    assert (bought["state"], bought["posted"], bought["authorized"]) == ("posted", 3_000, 3_000)
    assert doubt["id"] in listed.out and card.pan.masked in listed.out
    assert "duplicate_record (in_doubt)" in shown.out and f"purchase {bought['hold']:>6}" in shown.out
    assert card.pan.reveal() not in listed.out + shown.out + msgspec.json.encode(as_json).decode()


@pytest.mark.parametrize(
    ("verb", "said", "posted", "state"),
    [
        ("bind", "bind: 3,000 booked on purchase", 4_000, "matched"),
        ("force", "force: 3,000 booked on purchase", 4_000, "forced"),
        ("reject", "reject: nothing is booked", 7_000, "rejected"),
    ],
)
def test_a_person_decides_once(
    house: House, card: IssuedCard, tmp_path: Path, verb: str, said: str, posted: int, state: str
) -> None:
    doubt = duplicate(house, card, tmp_path)
    bought = clearing(house, "exceptions", "show", doubt["id"], "--json").json["purchases"][0]["hold"]
    words = [verb, doubt["id"], *([str(bought)] if verb == "bind" else []), "--by", "ann"]

    decided = clearing(house, "exceptions", *words)
    twice = clearing(house, "exceptions", *words)

    assert decided.code == 0 and decided.out.startswith(said)
    assert twice.complaint == "nothing was changed: not in doubt"
    assert balance(house, card) == (posted, 0)
    assert doubts(house, card) == []
    (settled,) = doubts(house, card, "--all")
    assert (settled["id"], settled["state"]) == (doubt["id"], state)
    assert house.faults() == []


def test_a_record_is_bound_to_a_purchase_of_its_own_account_alone(
    house: House, card: IssuedCard, tmp_path: Path
) -> None:
    doubt = duplicate(house, card, tmp_path)
    assert (
        clearing(house, "exceptions", "bind", doubt["id"], "999999").complaint
        == "nothing was changed: no such purchase"
    )
    assert balance(house, card) == (7_000, 0)
    assert doubts(house, card) == [doubt]


def test_a_card_that_is_not_ours_can_only_be_rejected(house: House, tmp_path: Path) -> None:
    stranger = new_pan()
    report = ingest(house, written(tmp_path, presented(stranger)))
    file_id = report["file"]["file_id"]
    (doubt,) = [one for one in clearing(house, "exceptions", "list", "--json").json if one["file"] == file_id]

    assert (doubt["why"], doubt["account"], doubt["card"]) == ("unknown_card", None, None)
    listed, shown = clearing(house, "exceptions", "list"), clearing(house, "exceptions", "show", doubt["id"])
    assert "unknown card" in listed.out and stranger.reveal() not in listed.out + shown.out
    assert "unknown card" in clearing(house, "exceptions", "force", doubt["id"]).complaint
    assert clearing(house, "exceptions", "reject", doubt["id"]).code == 0


def test_records_are_named_by_their_id(house: House) -> None:
    gone = "f" * 32
    for words in (("show", gone), ("force", gone), ("reject", gone), ("bind", gone, "2")):
        assert clearing(house, "exceptions", *words).complaint == f"there is no record {gone}"
    assert clearing(house, "exceptions", "show", "7").code == 2


# ── two people


@pytest.fixture
def desks(house: House) -> dict[str, Path]:
    """By login: settings that want two people to agree. Two have logins of their own, and one the product's."""
    config, shared = house.config.read_text(), "switch_issuing@"
    assert config.count(shared) == 1
    for name in ("ann", "bob"):
        role = f"CREATE ROLE {name} LOGIN IN ROLE switch_issuing"
        as_superuser(house, f"DO $$ BEGIN {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    made = {}
    for name in ("ann", "bob", "switch_issuing"):
        made[name] = house.config.with_name(f"{name}.toml")
        made[name].write_text(config.replace(shared, f"{name}@") + "\n[clearing]\ntwo_person = true\n")
    return made


def test_two_people_must_say_the_same(house: House, desks: dict[str, Path], card: IssuedCard, tmp_path: Path) -> None:
    doubt = duplicate(house, card, tmp_path)

    def say(verb: str, login: str, by: str = "") -> Result:
        return switch("clearing", "exceptions", verb, doubt["id"], "--by", by or login, config=desks[login])

    first = say("force", "ann")
    assert first.code == 0 and "another person must say the same" in first.out
    assert "another person" in say("force", "ann").out, "one person twice is one person"
    assert "another person" in say("force", "ann", "bob").out, "... whatever they call themselves"
    assert "another person" in say("force", "bob", "ann").out, "one name is one person"
    (proposed,) = doubts(house, card)
    proposal = proposed["proposal"]
    assert (proposal["kind"], proposal["by"], proposal["hold"]) == ("force", f"ann (run by {os_user()})", None)
    assert (proposal["login"], proposal["ran_by"]) == ("ann", os_user())
    assert "(force proposed by ann (run by" in clearing(house, "exceptions", "list").out
    assert "another person" in say("reject", "bob").out, "something else is a proposal of its own"
    assert balance(house, card) == (7_000, 0)

    agreed = say("reject", "ann")

    assert agreed.out == "reject: nothing is booked\n"
    assert balance(house, card) == (7_000, 0)
    (settled,) = doubts(house, card, "--all")
    assert (settled["state"], settled["proposal"]) == ("rejected", None)
    assert who_settled(house, doubt["id"]) == ("bob", "ann", "ann")
    assert say("force", "bob").complaint == "nothing was changed: not in doubt"


def test_two_people_bind_to_the_same_purchase(
    house: House, desks: dict[str, Path], card: IssuedCard, tmp_path: Path
) -> None:
    doubt = duplicate(house, card, tmp_path)
    ingest(house, written(tmp_path, presented(card.pan, 500)))
    shown = clearing(house, "exceptions", "show", doubt["id"], "--json").json["purchases"]
    other, meant = (one["hold"] for one in shown)

    def bind(hold: int, by: str) -> Result:
        return switch("clearing", "exceptions", "bind", doubt["id"], str(hold), "--by", by, config=desks[by])

    assert "another person" in bind(meant, "ann").out
    assert "another person" in bind(other, "bob").out, "another purchase is another proposal"
    assert "another person" in bind(meant, "ann").out, "the newest proposal stands"
    assert bind(meant, "bob").out == f"bind: 3,000 booked on purchase {meant}\n"
    assert balance(house, card) == (10_000 - 3_000 - 500 - 3_000, 0)
    assert who_settled(house, doubt["id"]) == ("ann", "bob", "bob")


def test_one_user_with_two_names_is_one_person_where_the_login_is_nobodys_own(
    house: House, desks: dict[str, Path], card: IssuedCard, tmp_path: Path
) -> None:
    doubt = duplicate(house, card, tmp_path)
    words = ("clearing", "exceptions", "force", doubt["id"])
    for by in ("ann", "bob"):
        said = switch(*words, "--by", by, config=desks["switch_issuing"])
        assert (said.code, "another person must say the same" in said.out) == (0, True)
    assert "another person" in switch(*words, "--by", "cid", config=desks["bob"]).out, "it may be the same one"
    assert balance(house, card) == (7_000, 0)


@pytest.mark.parametrize("name", ["", "  ", "ann\nbob"])
def test_who_decides_has_a_name(house: House, name: str) -> None:
    assert clearing(house, "exceptions", "reject", "f" * 32, "--by", name).code == 2


def who_settled(house: House, record_id: str) -> tuple[str, str, str]:
    """Who asked, who agreed, as they called themselves, and with which login."""

    async def read(connection: Any) -> tuple[str, str, str]:
        row = await connection.fetchrow(
            "SELECT by, agreed_by, login FROM clearing_step WHERE key = $1 AND before = 'in_doubt'",
            bytes.fromhex(record_id),
        )
        by, agreed_by = (row[name].removesuffix(f" (run by {os_user()})") for name in ("by", "agreed_by"))
        return by, agreed_by, row["login"]

    return house.ask(read)
