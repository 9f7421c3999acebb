"""Increments of a purchase whose hold has expired: it opens again, for what the increment asks and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from switch.contracts.reason import Reason
from switch.issuer.hold import HoldState
from tests.issuer.story import told
from tests.issuer.support import NOON, a_program, verdict

STORIES = {
    "approved, and presented with all of it": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        raise 5,000             50,000  5,000   open      -
        present 15,000          35,000  0       posted    -
    """,
    "more is presented than was approved": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        raise 5,000             50,000  5,000   open      -
        present 15,001          34,999  0       posted    over_capture
    """,
    "raised twice, and it expires again": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        raise 5,000             50,000  5,000   open      -
        raise 1,000             50,000  6,000   open      -
        days pass 8             50,000  0       expired   -
        present 16,000          34,000  0       posted    -
    """,
    "reversed: what came before it was not, and is presented": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        raise 5,000             50,000  5,000   open      -
        reverse the raise       50,000  0       expired   -
        reverse the raise       50,000  0       expired   -
        present 10,000          40,000  0       posted    -
    """,
    "reversed, and presented all the same": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        raise 5,000             50,000  5,000   open      -
        reverse the raise       50,000  0       expired   -
        present 15,000          35,000  0       posted    over_capture
    """,
    "the whole purchase is reversed": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        raise 5,000             50,000  5,000   open      -
        reverse                 50,000  0       reversed  -
        present 15,000          35,000  0       posted    posted_after_reversed
    """,
    "approved too late": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        raise 5,000             50,000  5,000   open      -
        withdraw the raise      50,000  0       expired   -
        present 10,000          40,000  0       posted    -
    """,
    "the network declined it": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        raise 5,000             50,000  5,000   open      -
        decline the raise 5,000  50,000  0      expired   -
        present 10,000          40,000  0       posted    -
    """,
    "the network approved it": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        stand in for a raise 5,000  50,000  5,000  open   -
        present 15,000          35,000  0       posted    -
    """,
    "the network approved it too, and tells of it when that has expired": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        raise 5,000             50,000  15,000  open      -
        days pass 8             50,000  0       expired   -
        stand in for a raise 5,000  50,000  0   expired   advice_after_expired
    """,
}


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    told(STORIES[name])


EXPIRED = """
    step                    posted  held    purchase  a person is told
    authorize 10,000        50,000  10,000  open      -
    days pass 8             50,000  0       expired   -
"""


def test_it_counts_as_a_purchase_again_and_has_a_deadline_of_its_own() -> None:
    story = told(EXPIRED)
    desk = story.desk
    assert (desk.usage.lifetime_minor, desk.usage.lifetime_count) == (0, 0)
    story.say("raise 5,000")
    assert (desk.usage.day_minor, desk.usage.lifetime_count) == (5_000, 1)
    assert desk.entries == [("hold", 10_000), ("expiry", 10_000), ("hold", 5_000)]
    assert desk.hold.expires_at == NOON + timedelta(days=8 + 7)


def test_it_is_no_more_than_the_balance_has() -> None:
    story = told(EXPIRED)
    decision = story.say("raise 50,001")
    assert decision is not None and decision.reason is Reason.INSUFFICIENT_FUNDS
    assert (story.desk.balance, story.desk.hold.state) == ((50_000, 0), HoldState.EXPIRED)


def test_it_does_not_lift_the_purchase_over_the_limit_of_one() -> None:
    """What was approved before counts, though nothing is set aside for it any more."""
    story = told(EXPIRED, program=a_program(limits={"per_purchase_minor": 12_000}))
    assert story.say("raise 2,000") is not None
    assert story.desk.held == 2_000
    decision = story.say("raise 1")
    assert decision is not None and decision.reason is Reason.OVER_AMOUNT_LIMIT


def test_a_purchase_that_is_older_than_any_hold_may_be_is_not_opened_again() -> None:
    story = told(EXPIRED)
    story.say("days pass 52")
    decision = story.say("raise 5,000")
    assert decision is not None and decision.reason is Reason.ORIGINAL_NOT_FOUND
    assert verdict(decision) == Reason.ORIGINAL_NOT_FOUND
    assert (story.desk.balance, story.desk.hold.state) == ((50_000, 0), HoldState.EXPIRED)
