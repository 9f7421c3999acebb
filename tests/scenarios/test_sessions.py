"""What holds across sessions and dialects: one card has one balance, and the generic listeners take traffic as it comes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from switch.contracts.reason import Reason
from switch.issuer.program import DEFAULT_PIPELINE
from switch.wire.inbound import ManagementFunction
from tests.house import House
from tests.scenarios import (
    test_advices,
    test_corners,
    test_declines,
    test_limits,
    test_partial_approvals,
    test_purchases,
    test_repeats,
    test_reversals,
)
from tests.scenarios.line import Line, codec_of, takes_traffic_at_once
from tests.scenarios.transcript import DIALECTS, Dialect, Story, maker_for

NAMES = tuple(dialect.name for dialect in DIALECTS)


def answered(house: House, dialect: str, fields: Mapping[str, str]) -> dict[str, str]:
    codec = codec_of(dialect)
    with Line(house.address(dialect), codec) as line:
        return codec.decode_fields(line.ask(fields))


AT_ONCE = [dialect for dialect in DIALECTS if takes_traffic_at_once(dialect.name)]
SIGNED_ON = [dialect for dialect in DIALECTS if dialect not in AT_ONCE]


@pytest.mark.parametrize("dialect", AT_ONCE, ids=lambda d: d.name)
def test_the_first_message_of_a_connection_may_be_a_purchase(house: House, dialect: Dialect) -> None:
    """In development the ``iso87_*`` listeners ask for no sign-on, so stock clients just connect."""
    card = house.new_card()

    answer = answered(house, dialect.name, maker_for(card, dialect.name).authorization("card", 500).fields)

    assert (answer["t"], answer["39"]) == ("0110", "00")


@pytest.mark.parametrize("dialect", SIGNED_ON, ids=lambda d: d.name)
def test_a_purchase_before_the_sign_on_is_declined(house: House, dialect: Dialect) -> None:
    card = house.new_card()
    codec = codec_of(dialect.name)
    with Line(house.address(dialect.name), codec, sign_on=False) as line:
        answer = codec.decode_fields(line.ask(maker_for(card, dialect.name).authorization("card", 500).fields))

    assert answer["39"] == codec.dialect.response_code(Reason.NOT_SIGNED_ON)
    assert house.shown(card).held == 0


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_sign_on_is_answered_all_the_same(house: House, dialect: Dialect) -> None:
    codec = codec_of(dialect.name)
    rules = codec.dialect.management
    now = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
    with Line(house.address(dialect.name), codec, sign_on=False) as line:
        for function in (ManagementFunction.SIGN_ON, ManagementFunction.ECHO, ManagementFunction.SIGN_OFF):
            asked = codec.encode_management(function, stan="000001", now=now)
            answer = codec.decode_fields(line.ask_payload(asked))
            approved = codec.dialect.management_response_code(Reason.APPROVED)
            assert (answer["t"], answer["39"]) == (rules.response, approved)
            assert answer[rules.code_field] == codec.decode_fields(asked)[rules.code_field]


def test_one_card_in_every_dialect_has_one_balance(house: House) -> None:
    card = house.new_card(balance_minor=10_000 * len(NAMES))

    for spent, name in enumerate(NAMES, 1):
        answer = answered(house, name, maker_for(card, name).authorization("card", 10_000).fields)
        assert answer["39"] == codec_of(name).dialect.response_code(Reason.APPROVED)
        assert house.shown(card).held == 10_000 * spent
    for name in NAMES:
        answer = answered(house, name, maker_for(card, name).authorization("card", 1).fields)
        assert answer["39"] == codec_of(name).dialect.response_code(Reason.INSUFFICIENT_FUNDS)

    assert house.journal(card) == [("hold", 10_000)] * len(NAMES)


def test_two_networks_with_equal_keys_are_two_purchases(house: House) -> None:
    """The network is part of the idempotency key: the same STAN and time on another network is no repeat."""
    card = house.new_card()
    asked = maker_for(card, NAMES[0]).authorization("card", 10_000).fields

    assert answered(house, NAMES[0], asked)["39"] == "00"
    assert answered(house, NAMES[1], asked)["39"] == "00"
    assert house.shown(card).held == 20_000
    assert answered(house, NAMES[1], {**asked, "t": "0101"})["39"] == "00"
    assert house.shown(card).held == 20_000


def test_a_reversal_undoes_nothing_on_another_network(house: House) -> None:
    card = house.new_card()
    maker = maker_for(card, NAMES[0])
    pay = maker.authorization("card", 10_000)

    assert answered(house, NAMES[0], pay.fields)["39"] == "00"
    assert answered(house, NAMES[1], maker.reversal(pay).fields)["39"] == "00"
    assert house.shown(card).held == 10_000
    assert answered(house, NAMES[0], maker.reversal(pay).fields)["39"] == "00"
    assert house.shown(card).held == 0
    assert house.journal(card) == [("hold", 10_000), ("release", 10_000)]


# ── nothing is left out

STORIES: tuple[Story, ...] = (
    *test_corners.CORNERS,
    *test_advices.STAND_IN, *test_advices.FINANCIAL, *test_advices.REFUNDS,
    *test_declines.DECLINES, *test_declines.PASSES, *test_declines.MESSAGES,
    *test_limits.PURCHASE, *test_limits.DAY, *test_limits.GIVEN_BACK, *test_limits.MONTH_AND_LIFE,
    *test_partial_approvals.PARTIAL, *test_partial_approvals.INCREMENTS,
    *test_purchases.PURCHASES, *test_purchases.CASH, *test_purchases.REFUNDS, *test_purchases.QUESTIONS,
    *test_repeats.REQUESTS, *test_repeats.TOLD, *test_repeats.REVERSALS,
    *test_reversals.FULL_AND_PARTIAL, *test_reversals.LATE, *test_reversals.NOTHING_TO_UNDO, *test_reversals.MATCHING,
)  # fmt: skip

# Declines that no story can tell, each with its reason.
ELSEWHERE = {
    Reason.UNKNOWN_CARD: "has no card, so no story: test_declines.test_a_number_that_is_nobody_s",
    Reason.FORMAT_ERROR: "is decided by the codec and leaves no trace; its rows have DE39 30",
    Reason.FRAUD_SUSPECTED: "no rule says it yet",
    Reason.NOT_SIGNED_ON: "needs a listener that demands the sign-on: tests/network",
    Reason.UNAVAILABLE: "needs a database that is away",
    Reason.DEADLINE_MISSED: "needs a database that is slow",
    Reason.SYSTEM_ERROR: "needs a bug",
}


def test_every_decline_is_told() -> None:
    said = {row.rule.partition(": ")[2] for story in STORIES for row in story.rows}
    untold = {reason for reason in Reason if not reason.approves and reason not in said}

    assert untold == set(ELSEWHERE)


def test_every_rule_of_the_pipeline_declines_somewhere() -> None:
    declining = {
        row.rule.partition(": ")[0] for story in STORIES for row in story.rows if not row.rule.endswith(": pass")
    }

    assert set(DEFAULT_PIPELINE) - declining == {"card_known"}, "card_known: see test_declines"
    assert any(row.code == "30" for story in STORIES for row in story.rows)
