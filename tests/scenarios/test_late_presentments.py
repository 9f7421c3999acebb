"""Presentments that come when the hold is gone: after it expired, after it was reversed, in full or in part."""

from __future__ import annotations

from tests.house import House
from tests.scenarios.clearing_steps import (
    expire,
    overdue,
    present,
    present_part,
    present_refund,
)
from tests.scenarios.steps import (
    advise_reversal,
    authorize,
    buy,
    reverse,
    send,
)
from tests.scenarios.transcript import Dialect, Row, Story, play, told

# fmt: off
AFTER_FULL_REVERSAL = (
    Story("another amount than was reversed", (
        #   what happens                                    DE39  posted     held   the rule that decided
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(present("pay", amount=25_000),                  "--",  75_000,      0, "presentment: matched", {"hold_state": "reversed", "posted": 0}),
    ), journal="hold 30_000, release 30_000, posting 25_000", concerns="posted_after_reversed"),

    Story("a higher amount than was reversed", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(present("pay", amount=35_000),                  "--",  65_000,      0, "presentment: matched", {"hold_state": "reversed"}),
    ), journal="hold 30_000, release 30_000, posting 35_000", concerns="posted_after_reversed"),

    Story("the amount that was reversed", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched", {"hold_state": "reversed"}),
    ), journal="hold 30_000, release 30_000, posting 30_000", concerns="posted_after_reversed"),

    Story("reversed by an advice (0420), and once more", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(advise_reversal("pay"),                         "00", 100_000,      0, "amount: taken_back"),
        Row(reverse("pay", "once more"),                    "00", 100_000,      0, "hold: nothing_left"),
        Row(present("pay", amount=25_000),                  "--",  75_000,      0, "presentment: matched"),
    ), journal="hold 30_000, release 30_000, posting 25_000", concerns="posted_after_reversed"),

    Story("reversed when the hold had expired", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(expire("pay"),                                  "--", 100_000,      0),
        Row(reverse("pay"),                                 "00", 100_000,      0, "hold: reversed_after_expiry"),
        Row(reverse("pay", "once more"),                    "00", 100_000,      0, "hold: nothing_left"),
        Row(present("pay", amount=25_000),                  "--",  75_000,      0, "presentment: matched", {"hold_state": "reversed"}),
    ), journal="hold 30_000, expiry 30_000, posting 25_000", concerns="posted_after_reversed"),

    Story("named by its approval code alone", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(present("pay", amount=25_000).telling(retrieval_reference="", terminal_id=""), "--", 75_000, 0, "presentment: matched", {"why": "approval_code_alone"}),
    ), journal="hold 30_000, release 30_000, posting 25_000", concerns="posted_after_reversed"),

    Story("in two parts", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  90_000,      0, "presentment: matched", {"hold_state": "reversed"}),
        Row(present_part("pay", 15_000, 2, 2),              "--",  75_000,      0, "presentment: matched", {"hold_state": "posted"}),
    ), journal="hold 30_000, release 30_000, posting 10_000, posting 15_000", concerns="posted_after_reversed"),

    Story("when the money is spent: below zero all the same", (
        Row(authorize("pay", 30_000),                       "00",  30_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                                 "00",  30_000,      0, "amount: taken_back"),
        Row(buy("meanwhile", 30_000),                       "00",       0,      0, "funds: pass"),
        Row(present("pay", amount=25_000),                  "--", -25_000,      0, "presentment: matched"),
    ), balance=30_000, journal="hold 30_000, release 30_000, posting 30_000, posting 25_000", concerns="posted_after_reversed"),

    Story("the reversal had come before its original, which was declined", (
        Row(authorize("pay", 30_000).unsent(),              "--", 100_000,      0),
        Row(reverse("pay"),                                 "00", 100_000,      0, "original: not_here_yet"),
        Row(send("pay"),                                    "05", 100_000,      0, "reversal_first: reversed_earlier"),
        Row(present("pay", amount=25_000),                  "--",  75_000,      0, "presentment: forced", {"why": "no_authorization"}),
    ), journal="posting 25_000", concerns="posted_without_authorization"),

    Story("the limits count it anew", (
        Row(authorize("pay", 5_000),                        "00", 100_000,  5_000, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(present("pay", amount=4_000),                   "--",  96_000,      0, "presentment: matched"),
        Row(authorize("on it", 5_000),                      "00",  96_000,  5_000, "funds: pass"),
        Row(authorize("over", 1_001),                       "61",  96_000,  5_000, "daily_limit: over_amount_limit", {"spent": 9_000, "count": 2}),
    ), program="small_limits", journal="hold 5_000, release 5_000, posting 4_000, hold 5_000", concerns="posted_after_reversed"),
)

EXPIRED = (
    Story("never presented: the deadline frees it", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(expire("pay"),                                  "--", 100_000,      0),
        Row(authorize("all", 100_000),                      "00", 100_000, 100_000, "funds: pass"),
    ), journal="hold 30_000, expiry 30_000, hold 100_000"),

    Story("presented after it expired: posted all the same", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(expire("pay"),                                  "--", 100_000,      0),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched", {"hold_state": "expired"}),
    ), journal="hold 30_000, expiry 30_000, posting 30_000"),

    Story("presented after it expired and after the money was spent: below zero, and a person is told", (
        Row(authorize("pay", 30_000),                       "00",  30_000, 30_000, "funds: pass"),
        Row(expire("pay"),                                  "--",  30_000,      0),
        Row(buy("meanwhile", 30_000),                       "00",       0,      0, "funds: pass"),
        Row(present("pay"),                                 "--", -30_000,      0, "presentment: matched", {"hold_state": "expired"}),
    ), balance=30_000, journal="hold 30_000, expiry 30_000, posting 30_000, posting 30_000", concerns="below_floor"),

    Story("overdue: the next purchase has the money, even if it comes before the sweep", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(overdue("pay", authorize("all", 100_000)),      "00", 100_000, 100_000, "funds: pass", {"spendable": 100_000}),
        Row(reverse("all"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched", {"hold_state": "expired"}),
    ), journal="hold 30_000, expiry 30_000, hold 100_000, release 100_000, posting 30_000"),

    Story("it expires between two parts", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  90_000, 20_000, "presentment: matched"),
        Row(expire("pay"),                                  "--",  90_000,      0),
        Row(present_part("pay", 20_000, 2, 2),              "--",  70_000,      0, "presentment: matched", {"hold_state": "posted"}),
    ), journal="hold 30_000, posting 10_000, expiry 20_000, posting 20_000"),

    Story("it expires after a partial reversal", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", left=10_000),                    "00", 100_000, 10_000, "amount: taken_back"),
        Row(expire("pay"),                                  "--", 100_000,      0),
        Row(present("pay", amount=10_000),                  "--",  90_000,      0, "presentment: matched"),
    ), journal="hold 30_000, release 20_000, expiry 10_000, posting 10_000"),

    Story("one expires, the other stays", (
        Row(authorize("one", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 20_000),                       "00", 100_000, 50_000, "funds: pass"),
        Row(expire("one"),                                  "--", 100_000, 20_000),
        Row(present("two"),                                 "--",  80_000,      0, "presentment: matched"),
    ), journal="hold 30_000, hold 20_000, expiry 30_000, posting 20_000"),

    Story("the limits: given back when it expires, counted anew when it is presented late", (
        Row(authorize("first", 5_000),                      "00", 100_000,  5_000, "funds: pass"),
        Row(authorize("second", 5_000),                     "00", 100_000, 10_000, "funds: pass"),
        Row(authorize("over", 1),                           "61", 100_000, 10_000, "daily_limit: over_amount_limit", {"spent": 10_000, "count": 2}),
        Row(expire("first"),                                "--", 100_000,  5_000),
        Row(authorize("third", 4_000),                      "00", 100_000,  9_000, "funds: pass"),
        Row(authorize("over again", 1_001),                 "61", 100_000,  9_000, "daily_limit: over_amount_limit", {"spent": 9_000, "count": 2}),
        Row(present("first"),                               "--",  95_000,  9_000, "presentment: matched", {"hold_state": "expired"}),
        Row(authorize("over at last", 1),                   "61",  95_000,  9_000, "daily_limit: over_amount_limit", {"spent": 14_000, "count": 3}),
    ), program="small_limits", journal="hold 5_000, hold 5_000, expiry 5_000, hold 4_000, posting 5_000"),
)

REVERSALS = (
    Story("a partial reversal leaves 10,000 and 10,000 are presented: the hold ends at zero, and nothing else moves", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", left=10_000),                    "00", 100_000, 10_000, "amount: taken_back"),
        Row(present("pay", amount=10_000),                  "--",  90_000,      0, "presentment: matched", {"held": 10_000, "posted": 0}),
    ), journal="hold 30_000, release 20_000, posting 10_000"),

    Story("a partial reversal that the acquirer forgets: all of it is charged, and a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", left=10_000),                    "00", 100_000, 10_000, "amount: taken_back"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
    ), journal="hold 30_000, release 20_000, posting 10_000, posting 20_000", concerns="over_capture"),

    Story("a reversal after the presentment changes nothing: a refund must bring the money back", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(reverse("pay"),                                 "00",  70_000,      0, "hold: already_posted"),
        Row(present_refund("pay"),                          "--", 100_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 30_000, refund 30_000", concerns="reversal_after_posting"),

    Story("a reversal between two parts takes back what is still held", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  90_000, 20_000, "presentment: matched"),
        Row(reverse("pay"),                                 "00",  90_000,      0, "amount: taken_back"),
    ), journal="hold 30_000, posting 10_000, release 20_000"),
)
# fmt: on


@told(*AFTER_FULL_REVERSAL)
def test_a_presentment_after_a_full_reversal_is_charged(house: House, dialect: Dialect, story: Story) -> None:
    """A Japanese prepaid issuer lost money from October 2023 to December 2024, because presentments that followed a full
    reversal with another amount were not charged.

    Here they are charged whatever their amount, in full, on the purchase that they belong to, and a person is told.
    """
    play(house, dialect, story)


@told(*EXPIRED, *REVERSALS)
def test_late_presentments(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
