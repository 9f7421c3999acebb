"""What is peculiar to a network of taps in shops (``iso93_contactless``); all other stories are played in it as well."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import msgspec
import pytest

from simulators.messages import Act, Maker, Message, Terms
from switch.contracts.message import Channel, EntryMode, Operation
from tests.house import House, IssuedCard
from tests.scenarios.line import Line, codec_of
from tests.scenarios.steps import authorize, authorize_cash, buy, increment, reverse, stand_in
from tests.scenarios.transcript import DIALECTS, Dialect, Row, Story, lacking, maker_for, play

NAME = "iso93_contactless"
TAPS = next(dialect for dialect in DIALECTS if dialect.name == NAME)
TAP = Terms(entry_mode=EntryMode.CONTACTLESS)

# ── a cap on one purchase is a rule of the program, as on every network

# fmt: off
CAP = (
    Story("a card for shops: 30,000 yen at most in one purchase", (
        #   what happens                             DE39  posted    held    the rule that decided
        Row(authorize("over", 30_001, TAP),          "61", 100_000,      0, "purchase_limit: over_amount_limit", {"amount": 30_001, "limit": 30_000}),
        Row(buy("over, single", 30_001, TAP),        "61", 100_000,      0, "purchase_limit: over_amount_limit"),
        Row(authorize("on it", 30_000, TAP),         "00", 100_000, 30_000, "funds: pass"),
        Row(increment("on it", "more", 1, TAP),      "61", 100_000, 30_000, "increment: over_amount_limit"),
        Row(reverse("on it", left=29_999),           "00", 100_000, 29_999, "amount: taken_back"),
        Row(authorize("another", 30_000, TAP),       "00", 100_000, 59_999, "funds: pass"),
    ), program="in_store", journal="hold 30_000, release 1, hold 30_000"),

    Story("the cap asks nobody who told what had happened", (
        Row(authorize("lost", 30_001, TAP).unsent(), "--", 100_000,      0),
        Row(stand_in("lost"),                        "00", 100_000, 30_001, "stand_in: approved"),
    ), program="in_store", journal="hold 30_001"),
)
# fmt: on


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@pytest.mark.parametrize("story", CAP, ids=lambda s: s.name)
def test_the_cap(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)


def test_the_codes_of_the_cap(house: House) -> None:
    card = house.new_card("in_store")
    maker = maker_for(card, NAME)

    assert answered(house, maker.authorization("card", 30_001))["39"] == "121"
    assert answered(house, maker.authorization("card", 30_000))["39"] == "000"


# ── what the network is not for


def answered(house: House, message: Message, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    codec = codec_of(NAME)
    with Line(house.address(NAME), codec) as line:
        return codec.decode_fields(line.ask({**message.fields, **(changes or {})}))


def last_step(house: House, card: IssuedCard) -> tuple[str, str, Mapping[str, object]]:
    step = house.explained(card)[0]["trace"][-1]
    return step["rule"], step["verdict"], step["seen"]


@pytest.mark.parametrize(
    ("changes", "channel", "entry_mode"),
    [
        ({"22": "600050S00000"}, Channel.ECOMMERCE, EntryMode.ECOMMERCE),
        ({"22": "600030600000"}, Channel.MAIL_OR_PHONE, EntryMode.MANUAL),
        ({"22": "600101600140"}, Channel.IN_STORE, EntryMode.MANUAL),
        ({"22": "200101200140"}, Channel.IN_STORE, EntryMode.MAGNETIC_STRIPE),
        ({"3": "010000", "26": "6011"}, Channel.ATM, EntryMode.CONTACTLESS),
        ({"3": "090000"}, Channel.IN_STORE, EntryMode.CONTACTLESS),
        ({"24": "102"}, Channel.IN_STORE, EntryMode.CONTACTLESS),
    ],
    ids=["web shop", "by phone", "keyed", "stripe", "cash", "cash-back", "replacement"],
)
def test_what_it_is_not_for_is_declined(
    house: House, changes: Mapping[str, str], channel: Channel, entry_mode: EntryMode
) -> None:
    """The program would serve it, and on another network it does."""
    card = house.new_card()
    asked = maker_for(card, NAME).authorization("card", 500)

    answer = answered(house, asked, changes)

    assert (answer["t"], answer["39"]) == ("1110", "115")
    assert house.journal(card) == []
    rule, verdict, seen = last_step(house, card)
    assert (rule, verdict) == ("operation", "unsupported_operation")
    assert (seen["channel"], seen["entry_mode"]) == (channel, entry_mode), "the trace tells what was not served"


def test_a_pin_is_a_format_error(house: House) -> None:
    """There is no DE52: a block of sixteen digits could only be read as something else."""
    card = house.new_card()
    codec = codec_of(NAME)
    payload = codec.encode(maker_for(card, NAME).authorization("card", 500).fields)
    bitmap = int(payload[4:20], 16) | 1 << (64 - 52)
    with Line(house.address(NAME), codec) as line:
        answer = codec.decode_fields(line.ask_payload(payload[:4] + b"%016X" % bitmap + payload[20:] + b"0" * 16))

    assert (answer["t"], answer["39"]) == ("1110", "904")
    assert house.journal(card) == []


# ── messages that only this network has


def test_a_repeat_under_another_transmission_time_moves_nothing(house: House) -> None:
    card = house.new_card()
    asked = maker_for(card, NAME).authorization("card", 500)
    sent = asked.fields["7"]
    later = f"{sent[:8]}{(int(sent[8:]) + 1) % 60:02d}"

    first = answered(house, asked)
    again = answered(house, asked, {"t": "1101", "7": later})

    assert (first["39"], again) == ("000", {**first, "7": later})
    assert house.journal(card) == [("hold", 500)]


@pytest.mark.parametrize(
    ("code", "decided_by", "because"),
    [
        ("1001", "the network", "the issuer was signed off"),
        ("1006", "the terminal", "the amount was under the floor limit"),
        ("1007", "the acquirer", "the acquirer wished it"),
    ],
)
def test_who_stood_in_and_why_is_in_the_trace(house: House, code: str, decided_by: str, because: str) -> None:
    card = house.new_card()
    maker = maker_for(card, NAME)
    advice = maker.stand_in(maker.authorization("card", 500), approved=True)

    assert answered(house, advice, {"25": code})["39"] == "901"

    rule, verdict, seen = last_step(house, card)
    assert (rule, verdict) == ("stand_in", "approved")
    assert (seen["decided_by"], seen["because"]) == (decided_by, because)


def test_a_partial_reversal_without_the_amount_of_then(house: House) -> None:
    """DE30 is missing: DE56 still tells whose it is, and DE4 what is left."""
    card = house.new_card()
    maker = maker_for(card, NAME)
    pay = maker.authorization("card", 500)
    assert answered(house, pay)["39"] == "000"

    undo = maker.changed(maker.reversal(pay, replacement_minor=200), {"original_amount": None})
    assert "30" not in undo.fields and undo.fields["24"] == "401"
    assert answered(house, undo)["39"] == "400"

    assert house.journal(card) == [("hold", 500), ("release", 300)]


def test_a_completion_is_told_and_not_asked(house: House) -> None:
    """201 in a 1220 posts against the hold; in a 1200 it would charge the same purchase a second time."""
    card = house.new_card()
    maker = maker_for(card, NAME)
    pay = maker.authorization("card", 500)
    assert answered(house, pay)["39"] == "000"

    asked = maker.request(Act.PURCHASE, "card", 500, reference=pay.fields["37"])
    assert answered(house, asked, {"24": "201"})["39"] == "115"
    assert answered(house, maker.financial_advice(pay), {"24": "201"})["39"] == "901"

    assert house.journal(card) == [("hold", 500), ("posting", 500)]


# ── which stories are skipped, and that it is the network's data that says so


CASH = Story("cash", (Row(authorize_cash("cash", 1), "00", 0, 0),))


def test_what_a_network_lacks_is_read_from_its_data() -> None:
    of = codec_of(NAME).dialect
    assert Maker(of, {}, seed=0).lacks(Act.CASH_WITHDRAWAL, Terms(mcc="6011")) == {"cash_withdrawal", "atm"}
    with_cash = dataclasses.replace(
        of,
        operations={**of.operations, "01": Operation.CASH_WITHDRAWAL},
        scope=msgspec.structs.replace(of.scope, channels=(Channel.IN_STORE, Channel.ATM)),
    )
    assert Maker(with_cash, {}, seed=0).lacks(Act.CASH_WITHDRAWAL, Terms(mcc="6011")) == frozenset()


def test_the_generic_dialects_carry_every_story() -> None:
    for dialect in DIALECTS:
        assert lacking(dialect, CASH) == ({"cash_withdrawal", "atm"} if dialect is TAPS else frozenset())
