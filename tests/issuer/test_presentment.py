"""Clearing records as stories of a purchase: what is booked, what stays held, and what a person is told."""

from __future__ import annotations

import pytest

from switch.contracts.message import Kind
from switch.contracts.reason import Reason
from switch.issuer.clearing_item import ItemState
from tests.issuer.story import a_record, told
from tests.issuer.support import Desk

STORIES = {
    "equal": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
    """,
    "lower": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 8,000           42,000  0       posted    -
    """,
    "higher": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 12,000          38,000  0       posted    over_capture
    """,
    "more than there is": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 60,000          -10,000  0      posted    over_capture
    """,
    "two parts": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 4,000, more follow as A  46,000  6,000  open  -
        present 5,000 as B      41,000  0       posted    -
    """,
    "the last part comes first": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 3,000 part 3/3 as C  47,000  7,000  open  -
        present 3,000 part 1/3 as A  44,000  4,000  open  -
        present 3,000 part 2/3 as B  41,000  0  posted    -
    """,
    "a presentment that is none of a series is no part of one": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 1,000, more follow as S  49,000  9,000  open  -
        present 3,000 part 2/2 as B  46,000  6,000  open  -
        present 3,000 part 1/2 as A  43,000  0  posted    -
    """,
    "a part that comes again is no other part": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 3,000 part 2/2 as A  47,000  7,000  open  -
        present 3,000 part 2/2 as A  47,000  7,000  open  duplicate_record
        present 3,000 part 1/2 as B  44,000  0  posted    -
    """,
    "the network's own approval is told between two parts": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 4,000, more follow as A  46,000  6,000  open  -
        stand in 10,000         46,000  6,000   open      -
        present 6,000 as B      40,000  0       posted    -
    """,
    "the network approved more, and that is told between two parts": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 4,000, more follow as A  46,000  6,000  open  -
        stand in 12,000         46,000  8,000   open      -
        present 8,000 as B      38,000  0       posted    -
    """,
    "the network approved no more than is presented already": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 4,000, more follow as A  46,000  6,000  open  -
        stand in 3,000          46,000  0       posted    -
    """,
    "after a partial reversal": """
        step                    posted  held    purchase  a person is told
        authorize 30            50,000  30      open      -
        reverse to 10           50,000  10      open      -
        present 10              49,990  0       posted    -
    """,
    "between two parts the rest is reversed": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 4,000, more follow as A  46,000  6,000  open  -
        reverse                 46,000  0       posted    -
        present 6,000 as B      40,000  0       posted    -
    """,
    "after the deadline": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        present 10,000          40,000  0       posted    -
    """,
    "after the deadline, and more than was held": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        present 20,000          30,000  0       posted    over_capture
    """,
    "reversed after the deadline": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        reverse                 50,000  0       reversed  -
        reverse                 50,000  0       reversed  -
        present 8,000           42,000  0       posted    posted_after_reversed
    """,
    "reversed in part after the deadline": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        days pass 8             50,000  0       expired   -
        reverse to 6,000        50,000  0       expired   -
        reverse to 7,000        50,000  0       expired   over_reversal
        present 10,000          40,000  0       posted    over_capture
    """,
    "no authorization": """
        step                    posted  held    purchase  a person is told
        present 3,000           47,000  0       posted    posted_without_authorization
    """,
    "an additional charge": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
        charge in addition 500  39,500  0       posted    -
    """,
    "an additional charge before the presentment leaves the hold to that": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        charge in addition 500 as A  49,500  10,000  open  -
        present 10,000 as B     39,500  0       posted    -
    """,
    "an additional charge, and the hold expires before the presentment": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        charge in addition 500 as A  49,500  10,000  open  -
        days pass 8             49,500  0       posted    -
        present 10,000 as B     39,500  0       posted    -
    """,
    "an additional charge covers no over-capture": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        charge in addition 500 as A  49,500  10,000  open  -
        present 10,001 as B     39,499  0       posted    over_capture
    """,
    "an additional charge that was taken back covers none either": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        charge in addition 500 as A  49,500  10,000  open  -
        take back 500 as A      50,000  10,000  open      -
        present 10,001 as B     39,999  0       posted    over_capture
    """,
    "an additional charge to what was reversed makes the rest no approved one": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        reverse                 50,000  0       reversed  -
        charge in addition 500 as A  49,500  0  posted    posted_after_reversed
        present 10,000 as B     39,500  0       posted    over_capture
    """,
    "the deadline passes after a partial reversal, and the whole is presented": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        reverse to 6,000        50,000  6,000   open      -
        days pass 8             50,000  0       expired   -
        present 10,000          40,000  0       posted    over_capture
    """,
    "a single message was posted already": """
        step                    posted  held    purchase  a person is told
        pay 5,000               45,000  0       posted    -
        present 5,000           45,000  0       posted    -
    """,
    "a single message, presented higher": """
        step                    posted  held    purchase  a person is told
        pay 5,000               45,000  0       posted    -
        present 6,000           44,000  0       posted    presented_more_than_posted
    """,
    "a single message, presented lower": """
        step                    posted  held    purchase  a person is told
        pay 5,000               45,000  0       posted    -
        present 4,000           45,000  0       posted    presented_less_than_posted
    """,
    "a single message in two parts": """
        step                    posted  held    purchase  a person is told
        pay 5,000               45,000  0       posted    -
        present 2,000, more follow as A  45,000  0  posted  -
        present 3,000 as B      45,000  0       posted    -
    """,
    "an advice, then its presentment": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        complete 7,000          43,000  0       posted    -
        present 7,000           43,000  0       posted    -
    """,
    "a presentment, then the advice": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 7,000           43,000  0       posted    -
        complete 7,000          43,000  0       posted    advice_of_posted
    """,
    "a single message is reversed after it was cleared": """
        step                    posted  held    purchase  a person is told
        pay 5,000               45,000  0       posted    -
        present 5,000           45,000  0       posted    -
        reverse                 45,000  0       posted    reversal_after_posting
        take back 5,000         50,000  0       reversed  -
    """,
    "a refund": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
        refund 4,000 as R1      44,000  0       posted    -
        refund 6,000 as R2      50,000  0       posted    -
        refund 1,000 as R3      51,000  0       posted    refund_exceeds_purchase
    """,
    "a refund that names the purchase's own reference": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
        refund 10,000           50,000  0       posted    -
        take the refund back 10,000  40,000  0  posted    -
    """,
    "a refund before its purchase is presented": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        refund 10,000 as R      60,000  10,000  open      refund_without_purchase
        present 10,000          50,000  0       posted    -
    """,
    "a refund of nothing that we know": """
        step                    posted  held    purchase  a person is told
        refund 3,000            53,000  0       posted    refund_without_purchase
    """,
    "... and back": """
        step                    posted  held    purchase  a person is told
        refund 3,000            53,000  0       posted    refund_without_purchase
        take the refund back 3,000  50,000  0   reversed  -
    """,
    "a refund that a single message has credited": """
        step                    posted  held    purchase  a person is told
        credit 3,000            53,000  0       posted    -
        refund 3,000            53,000  0       posted    -
    """,
    "a refund that a single message has credited in part": """
        step                    posted  held    purchase  a person is told
        credit 3,000            53,000  0       posted    -
        refund 3,500            53,500  0       posted    presented_more_than_posted
    """,
    "a presentment is taken back": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
        take back 10,000        50,000  0       reversed  -
        take back 10,000        50,000  0       reversed  taken_back_before
        present 9,000           41,000  0       posted    posted_after_reversed
    """,
    "one of two parts is taken back": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 4,000, more follow as A  46,000  6,000  open  -
        take back 4,000 as A    50,000  6,000   open      -
        present 6,000 as B      44,000  0       posted    -
    """,
    "taken back in part, and once more": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 6,000, more follow as A  44,000  4,000  open  -
        present 4,000 as B      40,000  0       posted    -
        take back 5,000 as A    45,000  0       posted    reversal_of_another_amount
        take back 5,000 as A    45,000  0       posted    taken_back_before
    """,
    "more is taken back than was presented": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 4,000, more follow as A  46,000  6,000  open  -
        take back 5,000 as A    50,000  6,000   open      reversal_of_another_amount
    """,
    "a presentment is taken back that was refunded": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
        refund 10,000 as R      50,000  0       posted    -
        take back 10,000        60,000  0       posted    came_back_twice
        take the refund back 10,000 as R  50,000  0  posted  -
    """,
    "an additional charge is taken back": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
        charge in addition 500 as B  39,500  0  posted    -
        take back 500 as B      40,000  0       posted    -
    """,
    "a chargeback, won": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
        charge back 10,000      50,000  0       posted    -
    """,
    "a chargeback, lost, and won in arbitration": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
        charge back 10,000      50,000  0       posted    -
        present again 10,000    40,000  0       posted    -
        present again 10,000    40,000  0       posted    no_such_record
        charge back 10,000      50,000  0       posted    -
        charge back 10,000      50,000  0       posted    duplicate_record
    """,
    "a chargeback of more than is left": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
        refund 4,000 as R       44,000  0       posted    -
        charge back 10,000      54,000  0       posted    chargeback_exceeds_purchase
        present again 11,000    43,000  0       posted    represented_more_than_charged_back
    """,
    "a part that is taken back twice, in two files": """
        step                            posted  held    purchase  a person is told
        authorize 10,000                50,000  10,000  open      -
        present 4,000 part 1/2 as A     46,000  6,000   open      -
        present 6,000 part 2/2 as A     40,000  0       posted    -
        take back 6,000 part 2/2 as A   46,000  0       posted    -
        take back 6,000 part 2/2 as A   46,000  0       posted    taken_back_before
        charge back 6,000 part 2/2 as A  46,000  0      posted    no_such_record
    """,
    "what was presented again beyond the chargeback is no message's posting: a further presentment is charged": """
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        present 10,000          40,000  0       posted    -
        charge back 1,000       41,000  0       posted    -
        present again 3,000     38,000  0       posted    represented_more_than_charged_back
        present 2,000 as B      36,000  0       posted    over_capture
    """,
    "a chargeback of nothing that we know": """
        step                    posted  held    purchase  a person is told
        charge back 10,000      50,000  0       -         no_such_record
    """,
    "a purchase that a message reversed is taken back": """
        step                    posted  held    purchase  a person is told
        pay 5,000               45,000  0       posted    -
        present 4,000, more follow  45,000  0   posted    -
        reverse                 50,000  0       reversed  -
        take back 4,000         50,000  0       reversed  taken_back_before
    """,
    "a purchase that a message reversed is charged back": """
        step                    posted  held    purchase  a person is told
        pay 5,000               45,000  0       posted    -
        present 4,000, more follow  45,000  0   posted    -
        reverse                 50,000  0       reversed  -
        charge back 4,000       50,000  0       reversed  nothing_posted
    """,
}


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    told(STORIES[name])


def test_a_presentment_that_follows_a_full_reversal_with_another_amount_is_charged() -> None:
    """A Japanese prepaid issuer lost money from October 2023 to December 2024, since it did not charge these."""
    story = told("""
        step                    posted  held    purchase  a person is told
        authorize 10,000        50,000  10,000  open      -
        reverse                 50,000  0       reversed  -
        present 8,000           42,000  0       posted    posted_after_reversed
    """)
    usage = story.desk.usage
    assert (usage.day_minor, usage.day_count) == (8_000, 1), "it is spending again, and is counted"
    assert [(item.state, item.why) for item in story.items] == [(ItemState.MATCHED, "retrieval_reference")]


def test_a_presentment_is_charged_whose_reversal_came_before_the_authorization() -> None:
    desk = Desk(50_000)
    bought = desk.request(Kind.AUTHORIZATION, 10_000, retrieval_reference="RRN-1")
    desk.tell(desk.undo(bought))
    assert desk.tell(bought).reason is Reason.REVERSED_EARLIER
    desk.tell(a_record(desk, 8_000, retrieval_reference="RRN-1"))
    assert desk.balance == (42_000, 0)
    assert desk.concerns == ["posted_without_authorization"]
