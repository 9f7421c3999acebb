"""Clearing: what a network presents days later settles its purchase, and is booked whatever came before.

Nothing here can be declined. What is unusual is booked and shown to a person; only what can't be told stays in doubt.
"""

from __future__ import annotations

from simulators.messages import Change, Terms
from tests.house import House
from tests.scenarios.clearing_steps import (
    additional_charge,
    bind,
    charge_back,
    expire,
    fee,
    force,
    in_one_file,
    overdue,
    present,
    present_alone,
    present_part,
    present_refund,
    present_refund_alone,
    present_unknown,
    reject,
    represent,
    send_file_again,
    take_back,
    tell_again,
)
from tests.scenarios.steps import (
    advise_reversal,
    authorize,
    authorize_cash,
    authorize_refund,
    bonus_left,
    buy,
    increment,
    inquire,
    load,
    lock,
    post,
    post_refund,
    refund,
    reverse,
    send,
    stand_in,
    stand_in_decline,
    status,
    withdraw,
)
from tests.scenarios.transcript import Dialect, Row, Story, play, told

USD = Terms(currency="USD", country="US")
BILLED = {"billing_amount": "000000001500", "billing_currency": "392"}
DINNER = Terms(mcc="5812")
BOTH = {"retrieval_reference": "SAMEFORBOTH0"}


def network_reference(number: int) -> Change:
    """The network's own transaction id, as this network has them."""
    return lambda maker: maker.network_reference(number)


# fmt: off
AMOUNTS = (
    Story("presented as authorised", (
        #   what happens                                    DE39  posted     held   the rule that decided
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched", {"why": "retrieval_reference", "confidence": 90, "held": 30_000}),
        Row(authorize("the rest", 70_000),                  "00",  70_000, 70_000, "funds: pass"),
    ), journal="hold 30_000, posting 30_000, hold 70_000"),

    Story("presented lower: the rest is free again", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay", amount=20_000),                  "--",  80_000,      0, "presentment: matched"),
        Row(authorize("the rest", 80_000),                  "00",  80_000, 80_000, "funds: pass"),
    ), journal="hold 30_000, posting 20_000, release 10_000, hold 80_000"),

    Story("presented higher: the rest comes from the available balance, and a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay", amount=35_000),                  "--",  65_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 30_000, posting 5_000", concerns="over_capture"),

    Story("presented higher by a tip, as much as the program expects of a restaurant", (
        Row(authorize("dinner", 10_000, DINNER),            "00", 100_000, 10_000, "funds: pass"),
        Row(present("dinner", amount=12_000),               "--",  88_000,      0, "presentment: matched"),
    ), program="standard", journal="hold 10_000, posting 10_000, posting 2_000"),

    Story("presented higher by more than such a tip", (
        Row(authorize("dinner", 10_000, DINNER),            "00", 100_000, 10_000, "funds: pass"),
        Row(present("dinner", amount=12_001),               "--",  87_999,      0, "presentment: matched"),
    ), program="standard", journal="hold 10_000, posting 10_000, posting 2_001", concerns="over_capture"),

    Story("presented higher by a tip where nobody tips", (
        Row(authorize("pay", 10_000),                       "00", 100_000, 10_000, "funds: pass"),
        Row(present("pay", amount=12_000),                  "--",  88_000,      0, "presentment: matched"),
    ), program="standard", journal="hold 10_000, posting 10_000, posting 2_000", concerns="over_capture"),

    Story("presented higher than the balance: below zero", (
        Row(authorize("pay", 30_000),                       "00",  30_000, 30_000, "funds: pass"),
        Row(present("pay", amount=35_000),                  "--",  -5_000,      0, "presentment: matched"),
    ), balance=30_000, journal="hold 30_000, posting 30_000, posting 5_000", concerns="over_capture"),

    Story("a partial approval is presented for what was approved", (
        Row(authorize("pay", 50_000, Terms(partial=True)),  "10",  30_000, 30_000, "funds: pass", amount=30_000, de54="original 50_000"),
        Row(present("pay"),                                 "--",       0,      0, "presentment: matched", {"amount": 30_000}),
    ), balance=30_000, journal="hold 30_000, posting 30_000"),

    Story("a purchase with an increment is presented once, for all of it", (
        Row(authorize("stay", 20_000),                      "00", 100_000, 20_000, "funds: pass"),
        Row(increment("stay", "bar", 10_000),               "00", 100_000, 30_000, "increment: pass"),
        Row(present("stay", amount=30_000),                 "--",  70_000,      0, "presentment: matched"),
    ), journal="hold 20_000, hold_increase 10_000, posting 30_000"),

    Story("12.34 dollars", (
        Row(authorize("pay", 1_234, Terms(country="US")),   "00",  50_000,  1_234, "funds: pass"),
        Row(present("pay"),                                 "--",  48_766,      0, "presentment: matched"),
    ), program="travel_usd", balance=50_000, journal="hold 1_234, posting 1_234"),

    Story("the balance that is told follows every step", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay", "a part", amount=10_000, final=False), "--", 90_000, 20_000, "presentment: matched"),
        Row(inquire("between"),                             "00",  90_000, 20_000, "funds: pass", de54="ledger 90_000, available 70_000"),
        Row(present("pay", "the rest", amount=15_000),      "--",  75_000,      0, "presentment: matched"),
        Row(inquire("after"),                               "00",  75_000,      0, "funds: pass", de54="ledger 75_000, available 75_000"),
        Row(authorize("too much", 75_001),                  "51",  75_000,      0, "funds: insufficient_funds", de54="ledger 75_000, available 75_000"),
        Row(present_refund("pay", amount=5_000),            "--",  80_000,      0, "presentment: matched"),
        Row(inquire("at last"),                             "00",  80_000,      0, "funds: pass", de54="ledger 80_000, available 80_000"),
    ), journal="hold 30_000, posting 10_000, posting 15_000, release 5_000, refund 5_000"),
)

PARTS = (
    Story("two parts that are counted: the second one ends the hold", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  90_000, 20_000, "presentment: matched", {"final": False}),
        Row(present_part("pay", 20_000, 2, 2),              "--",  70_000,      0, "presentment: matched", {"final": True}),
    ), journal="hold 30_000, posting 10_000, posting 20_000"),

    Story("two parts that come to less: the rest is free with the second", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  90_000, 20_000, "presentment: matched"),
        Row(present_part("pay", 15_000, 2, 2),              "--",  75_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 10_000, posting 15_000, release 5_000"),

    Story("two parts that are not counted: one says that more will follow, the other that it is the last", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay", "first", amount=10_000, final=False), "--", 90_000, 20_000, "presentment: matched", {"final": False}),
        Row(present("pay", "last", amount=15_000, final=True), "--", 75_000,    0, "presentment: matched", {"final": True}),
    ), journal="hold 30_000, posting 10_000, posting 15_000, release 5_000"),

    Story("two parts in one file", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(in_one_file(present_part("pay", 10_000, 1, 2), present_part("pay", 15_000, 2, 2)), "--", 75_000, 0, "presentment: matched", {"held": 20_000, "posted": 10_000}),
    ), journal="hold 30_000, posting 10_000, posting 15_000, release 5_000"),

    Story("two parts in the wrong order: the last one frees the rest, which the first one still takes", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_part("pay", 20_000, 2, 2),              "--",  80_000,      0, "presentment: matched"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  70_000,      0, "presentment: matched", {"hold_state": "posted"}),
    ), journal="hold 30_000, posting 20_000, release 10_000, posting 10_000"),

    Story("a third presentment, beyond the hold: booked, and a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  90_000, 20_000, "presentment: matched"),
        Row(present_part("pay", 20_000, 2, 2),              "--",  70_000,      0, "presentment: matched"),
        Row(present("pay", "third", amount=5_000),          "--",  65_000,      0, "presentment: matched", {"hold_state": "posted"}),
    ), journal="hold 30_000, posting 10_000, posting 20_000, posting 5_000", concerns="over_capture"),

    Story("the last part is more than is left", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  90_000, 20_000, "presentment: matched"),
        Row(present_part("pay", 25_000, 2, 2),              "--",  65_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 10_000, posting 20_000, posting 5_000", concerns="over_capture"),
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

    Story("reversed after it expired: nothing is left to take back", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(expire("pay"),                                  "--", 100_000,      0),
        Row(reverse("pay"),                                 "00", 100_000,      0, "hold: nothing_left"),
    ), journal="hold 30_000, expiry 30_000"),

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

AFTER_FULL_REVERSAL = (
    Story("another amount than was reversed", (
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

FORCED = (
    Story("without authorization: posted by itself, and a person is told", (
        Row(present_alone("forced", 30_000),                "--",  70_000,      0, "presentment: forced", {"why": "no_authorization"}),
    ), journal="posting 30_000", concerns="posted_without_authorization"),

    Story("without authorization, while another purchase is open: that one stays", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_alone("forced", 20_000),                "--",  80_000, 30_000, "presentment: forced"),
        Row(present("pay"),                                 "--",  50_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 20_000, posting 30_000", concerns="posted_without_authorization"),

    Story("below zero: nothing can be spent until loads have brought it back", (
        Row(present_alone("forced", 30_000),                "--", -29_000,      0, "presentment: forced"),
        Row(authorize("no", 1),                             "51", -29_000,      0, "funds: insufficient_funds", de54="ledger -29_000, available -29_000"),
        Row(load(20_000),                                   "--",  -9_000,      0),
        Row(authorize("not yet", 1),                        "51",  -9_000,      0, "funds: insufficient_funds", de54="ledger -9_000, available -9_000"),
        Row(load(10_000),                                   "--",   1_000,      0),
        Row(authorize("more than that", 1_001),             "51",   1_000,      0, "funds: insufficient_funds", de54="ledger 1_000, available 1_000"),
        Row(authorize("yes", 1_000),                        "00",   1_000,  1_000, "funds: pass"),
    ), balance=1_000, journal="posting 30_000, hold 1_000", concerns="posted_without_authorization"),

    Story("below zero: a refund brings it back as well", (
        Row(authorize("pay", 1_000),                        "00",   1_000,  1_000, "funds: pass"),
        Row(present("pay", amount=3_000),                   "--",  -2_000,      0, "presentment: matched"),
        Row(authorize("no", 1),                             "51",  -2_000,      0, "funds: insufficient_funds", de54="ledger -2_000, available -2_000"),
        Row(present_refund("pay"),                          "--",  -1_000,      0, "presentment: matched"),
        Row(present_refund("pay", "more", amount=1_500),    "--",     500,      0, "presentment: matched"),
        Row(authorize("yes", 500),                          "00",     500,    500, "funds: pass"),
    ), balance=1_000, journal="hold 1_000, posting 1_000, posting 2_000, refund 1_000, refund 1_500, hold 500", concerns="over_capture"),

    Story("beyond every limit, and counted in them", (
        Row(present_alone("forced", 12_000),                "--",  88_000,      0, "presentment: forced"),
        Row(authorize("over", 1),                           "61",  88_000,      0, "daily_limit: over_amount_limit", {"spent": 12_000, "count": 1}),
    ), program="small_limits", journal="posting 12_000", concerns="posted_without_authorization"),

    Story("at a merchant that the program does not serve", (
        Row(authorize("hotel", 30_000, Terms(mcc="7011")),  "57", 100_000,      0, "merchant: product_not_allowed"),
        Row(present("hotel"),                               "--",  70_000,      0, "presentment: forced", {"why": "no_authorization"}),
    ), journal="posting 30_000", concerns="posted_without_authorization"),
)

CARDS = (
    Story("the card is locked meanwhile", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(lock(),                                         "--", 100_000, 30_000),
        Row(authorize("next", 500),                         "62", 100_000, 30_000, "cardholder_lock: card_locked"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 30_000"),

    Story("the card is lost meanwhile", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(status("lost"),                                 "--", 100_000, 30_000),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 30_000"),

    Story("the card is closed meanwhile, and goods come back", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(status("closed"),                               "--", 100_000, 30_000),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(present_refund("pay"),                          "--", 100_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 30_000, refund 30_000"),

    Story("more than was held, of a card that is stolen meanwhile", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(expire("pay"),                                  "--", 100_000,      0),
        Row(status("stolen"),                               "--", 100_000,      0),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
    ), journal="hold 30_000, expiry 30_000, posting 30_000", concerns="card_not_active"),

    Story("without authorization, of a closed card", (
        Row(present_alone("forced", 30_000),                "--",  70_000,      0, "presentment: forced"),
    ), status="closed", journal="posting 30_000", concerns="posted_without_authorization"),

    Story("the card has expired meanwhile", (
        Row(present_alone("late", 30_000),                  "--",  70_000,      0, "presentment: forced"),
    ), expiry="2401", journal="posting 30_000", concerns="posted_without_authorization"),
)

REFUNDS = (
    Story("a refund of a purchase that we know", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(present_refund("pay"),                          "--", 100_000,      0, "presentment: matched", {"refundable": 30_000}),
        Row(authorize("all", 100_000),                      "00", 100_000, 100_000, "funds: pass"),
    ), journal="hold 30_000, posting 30_000, refund 30_000, hold 100_000"),

    Story("a refund of a part, of another, and of more than is left", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(present_refund("pay", "one", amount=10_000),    "--",  80_000,      0, "presentment: matched", {"refundable": 30_000}),
        Row(present_refund("pay", "two", amount=20_000),    "--", 100_000,      0, "presentment: matched", {"refundable": 20_000}),
        Row(present_refund("pay", "three", amount=1),       "--", 100_001,      0, "presentment: matched", {"refundable": 0}),
    ), journal="hold 30_000, posting 30_000, refund 10_000, refund 20_000, refund 1", concerns="refund_exceeds_purchase"),

    Story("a refund twice in full: credited, and a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(present_refund("pay", "once"),                  "--", 100_000,      0, "presentment: matched"),
        Row(present_refund("pay", "twice"),                 "--", 130_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 30_000, refund 30_000, refund 30_000", concerns="refund_exceeds_purchase"),

    Story("a refund of a single message", (
        Row(buy("pay", 30_000),                             "00",  70_000,      0, "funds: pass"),
        Row(present_refund("pay", amount=10_000),           "--",  80_000,      0, "presentment: matched", {"refundable": 30_000}),
    ), journal="posting 30_000, refund 10_000"),

    Story("a refund that names no purchase: credited, and a person is told", (
        Row(present_refund_alone("back", 5_000),            "--", 105_000,      0, "presentment: forced", {"why": "no_purchase"}),
        Row(authorize("all", 105_000),                      "00", 105_000, 105_000, "funds: pass"),
    ), journal="refund 5_000, hold 105_000", concerns="refund_without_purchase"),

    Story("a refund that overtakes its purchase: credited by itself, and the purchase stays open", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_refund("pay"),                          "--", 130_000, 30_000, "presentment: forced", {"why": "no_purchase"}),
        Row(present("pay"),                                 "--", 100_000,      0, "presentment: matched"),
    ), journal="hold 30_000, refund 30_000, posting 30_000", concerns="refund_without_purchase"),

    Story("a refund authorization moves nothing; its clearing credits", (
        Row(authorize_refund("back", 5_000),                "00", 100_000,      0, "funds: pass"),
        Row(present("back"),                                "--", 105_000,      0, "presentment: matched", {"why": "refund_authorization"}),
    ), journal="refund 5_000"),

    Story("a refund in a single message: its record in the file credits nothing again", (
        Row(refund("back", 5_000),                          "00", 105_000,      0, "funds: pass"),
        Row(present("back"),                                "--", 105_000,      0, "presentment: matched", {"told_before": 5_000}),
        Row(present("back", "another"),                     "--", 110_000,      0, "presentment: forced", {"why": "no_purchase"}),
    ), journal="refund 5_000, refund 5_000", concerns="refund_without_purchase"),

    Story("a refund advice (0220): its record in the file credits nothing again", (
        Row(buy("pay", 30_000),                             "00",  70_000,      0, "funds: pass"),
        Row(post_refund("pay", "back", amount=10_000),      "00",  80_000,      0, "financial_advice: posted"),
        Row(present("back"),                                "--",  80_000,      0, "presentment: matched", {"told_before": 10_000}),
    ), journal="posting 30_000, refund 10_000"),

    Story("a refund in a single message, of which the file says more", (
        Row(refund("back", 5_000),                          "00", 105_000,      0, "funds: pass"),
        Row(present("back", amount=6_000),                  "--", 106_000,      0, "presentment: matched", {"told_before": 5_000}),
    ), journal="refund 5_000, refund 1_000", concerns="presented_more_than_posted"),

    Story("a refund that its acquirer takes back, when the money is spent already", (
        Row(authorize("pay", 30_000),                       "00",  30_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",       0,      0, "presentment: matched"),
        Row(present_refund("pay"),                          "--",  30_000,      0, "presentment: matched"),
        Row(buy("again", 30_000),                           "00",       0,      0, "funds: pass"),
        Row(take_back("refund"),                            "--", -30_000,      0, "presentment_reversal: matched"),
        Row(present_refund("pay", "in earnest"),            "--",       0,      0, "presentment: matched", {"refundable": 30_000}),
    ), balance=30_000, journal="hold 30_000, posting 30_000, refund 30_000, posting 30_000, posting_reversal 30_000, refund 30_000", concerns="below_floor"),

    Story("a refund is no spending: the limits stay as they are", (
        Row(buy("pay", 5_000),                              "00",  95_000,      0, "funds: pass"),
        Row(present_refund("pay"),                          "--", 100_000,      0, "presentment: matched"),
        Row(buy("on it", 5_000),                            "00",  95_000,      0, "funds: pass"),
        Row(buy("over", 1),                                 "61",  95_000,      0, "daily_limit: over_amount_limit", {"spent": 10_000, "count": 2}),
    ), program="small_limits", journal="posting 5_000, refund 5_000, posting 5_000"),
)

LATER = (
    Story("an additional charge after the fact", (
        Row(authorize("stay", 30_000),                      "00", 100_000, 30_000, "funds: pass"),
        Row(present("stay"),                                "--",  70_000,      0, "presentment: matched"),
        Row(additional_charge("stay", "minibar", 2_000),    "--",  68_000,      0, "additional_charge: matched", {"hold_state": "posted"}),
        Row(take_back("minibar"),                           "--",  70_000,      0, "presentment_reversal: matched"),
    ), journal="hold 30_000, posting 30_000, additional_charge 2_000, posting_reversal 2_000"),

    Story("an additional charge to nothing that we know", (
        Row(authorize("stay", 30_000).unsent(),             "--", 100_000,      0),
        Row(additional_charge("stay", "minibar", 2_000),    "--",  98_000,      0, "additional_charge: forced", {"why": "no_authorization"}),
    ), journal="additional_charge 2_000", concerns="posted_without_authorization"),

    Story("a fee of the network is not the cardholder's", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(fee("pay", "interchange", 300),                 "--", 100_000, 30_000, "fee: noted"),
    ), journal="hold 30_000"),

    Story("the acquirer takes its presentment back, and cannot do so twice", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(take_back("record"),                            "--", 100_000,      0, "presentment_reversal: matched", {"booked": 30_000}),
        Row(take_back("record", "twice"),                   "--", 100_000,      0, "presentment_reversal: noted", {"why": "taken_back_before"}),
    ), journal="hold 30_000, posting 30_000, posting_reversal 30_000"),

    Story("the acquirer takes its presentment back and presents it right", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay", "wrong", amount=20_000),         "--",  80_000,      0, "presentment: matched"),
        Row(take_back("wrong"),                             "--", 100_000,      0, "presentment_reversal: matched"),
        Row(present("pay", "right"),                        "--",  70_000,      0, "presentment: matched", {"hold_state": "reversed"}),
    ), journal="hold 30_000, posting 20_000, release 10_000, posting_reversal 20_000, posting 30_000", concerns="posted_after_reversed"),

    Story("the acquirer takes one of two parts back", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(in_one_file(present_part("pay", 10_000, 1, 2), present_part("pay", 20_000, 2, 2)), "--", 70_000, 0, "presentment: matched"),
        Row(take_back("part 1"),                            "--",  80_000,      0, "presentment_reversal: matched", {"booked": 10_000}),
    ), journal="hold 30_000, posting 10_000, posting 20_000, posting_reversal 10_000"),

    Story("the acquirer takes a part back while another is still to come", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  90_000, 20_000, "presentment: matched"),
        Row(take_back("part 1"),                            "--", 100_000, 20_000, "presentment_reversal: matched"),
        Row(present_part("pay", 20_000, 2, 2),              "--",  80_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 10_000, posting_reversal 10_000, posting 20_000"),

    Story("the acquirer takes back less than it presented: a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(take_back("record", amount=10_000),             "--",  80_000,      0, "presentment_reversal: matched"),
    ), journal="hold 30_000, posting 30_000, posting_reversal 10_000", concerns="reversal_of_another_amount"),

    Story("the acquirer takes a force post back", (
        Row(present_alone("forced", 30_000),                "--",  70_000,      0, "presentment: forced"),
        Row(take_back("forced"),                            "--", 100_000,      0, "presentment_reversal: matched"),
    ), journal="posting 30_000, posting_reversal 30_000", concerns="posted_without_authorization"),

    Story("a presentment that is taken back gives the limits back", (
        Row(authorize("pay", 5_000),                        "00", 100_000,  5_000, "funds: pass"),
        Row(present("pay"),                                 "--",  95_000,      0, "presentment: matched"),
        Row(take_back("record"),                            "--", 100_000,      0, "presentment_reversal: matched"),
        Row(buy("one", 5_000),                              "00",  95_000,      0, "funds: pass"),
        Row(buy("two", 5_000),                              "00",  90_000,      0, "funds: pass"),
        Row(buy("over", 1),                                 "61",  90_000,      0, "daily_limit: over_amount_limit", {"spent": 10_000, "count": 2}),
    ), program="small_limits", journal="hold 5_000, posting 5_000, posting_reversal 5_000, posting 5_000, posting 5_000"),

    Story("a chargeback credits the cardholder, until the acquirer presents again and is right", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(charge_back("record"),                          "--", 100_000,      0, "chargeback: matched"),
        Row(charge_back("record", "twice"),                 "--", 100_000,      0, "chargeback: in_doubt", {"why": "duplicate_record"}),
        Row(represent("record"),                            "--",  70_000,      0, "chargeback_reversal: matched"),
    ), journal="hold 30_000, posting 30_000, chargeback 30_000, chargeback_reversal 30_000", concerns="duplicate_record"),

    Story("a chargeback of a part", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(charge_back("record", amount=10_000),           "--",  80_000,      0, "chargeback: matched"),
        Row(represent("record", amount=10_000),             "--",  70_000,      0, "chargeback_reversal: matched"),
    ), journal="hold 30_000, posting 30_000, chargeback 10_000, chargeback_reversal 10_000"),

    Story("a chargeback of what was refunded: credited, and a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(present_refund("pay", amount=20_000),           "--",  90_000,      0, "presentment: matched"),
        Row(charge_back("record"),                          "--", 120_000,      0, "chargeback: matched"),
    ), journal="hold 30_000, posting 30_000, refund 20_000, chargeback 30_000", concerns="chargeback_exceeds_purchase"),

    Story("a chargeback of a force post", (
        Row(present_alone("forced", 30_000),                "--",  70_000,      0, "presentment: forced"),
        Row(charge_back("forced"),                          "--", 100_000,      0, "chargeback: matched"),
    ), journal="posting 30_000, chargeback 30_000", concerns="posted_without_authorization"),

    Story("presented again, with the charged back money spent", (
        Row(authorize("pay", 30_000),                       "00",  30_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",       0,      0, "presentment: matched"),
        Row(charge_back("record"),                          "--",  30_000,      0, "chargeback: matched"),
        Row(buy("again", 20_000),                           "00",  10_000,      0, "funds: pass"),
        Row(represent("record"),                            "--", -20_000,      0, "chargeback_reversal: matched"),
    ), balance=30_000, journal="hold 30_000, posting 30_000, chargeback 30_000, posting 20_000, chargeback_reversal 30_000", concerns="below_floor"),
)

TOLD_BEFORE = (
    Story("cash in a single message: its record in the file books nothing again", (
        Row(withdraw("cash", 30_000),                       "00",  70_000,      0, "funds: pass"),
        Row(present("cash"),                                "--",  70_000,      0, "presentment: matched", {"told_before": 30_000}),
    ), journal="posting 30_000"),

    Story("a purchase in a single message: its record books nothing again, a second one does", (
        Row(buy("pay", 30_000),                             "00",  70_000,      0, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched", {"told_before": 30_000}),
        Row(present("pay", "another"),                      "--",  40_000,      0, "presentment: matched", {"told_before": 0}),
    ), journal="posting 30_000, posting 30_000", concerns="over_capture"),

    Story("cash is authorised and presented", (
        Row(authorize_cash("cash", 30_000),                 "00", 100_000, 30_000, "funds: pass"),
        Row(present("cash"),                                "--",  70_000,      0, "presentment: matched", {"told_before": 0}),
    ), journal="hold 30_000, posting 30_000"),

    Story("completed by an advice (0220): its record in the file books nothing again", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay", amount=25_000),                     "00",  75_000,      0, "financial_advice: posted"),
        Row(present("pay", amount=25_000),                  "--",  75_000,      0, "presentment: matched", {"told_before": 25_000}),
    ), journal="hold 30_000, posting 25_000, release 5_000"),

    Story("completed by an advice (0220), and the file says more: the difference is booked", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay", amount=20_000),                     "00",  80_000,      0, "financial_advice: posted"),
        Row(present("pay", amount=25_000),                  "--",  75_000,      0, "presentment: matched", {"told_before": 20_000}),
    ), journal="hold 30_000, posting 20_000, release 10_000, posting 5_000", concerns="presented_more_than_posted"),

    Story("completed by an advice (0220), and the file says less: a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted"),
        Row(present("pay", amount=25_000),                  "--",  70_000,      0, "presentment: matched", {"told_before": 25_000}),
    ), journal="hold 30_000, posting 30_000", concerns="presented_less_than_posted"),

    Story("completed by an advice (0220), and told of in two parts", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  70_000,      0, "presentment: matched", {"told_before": 10_000}),
        Row(present_part("pay", 20_000, 2, 2),              "--",  70_000,      0, "presentment: matched", {"told_before": 20_000}),
    ), journal="hold 30_000, posting 30_000"),

    Story("a single message was reversed: its record charges it anew, and a person is told", (
        Row(buy("pay", 30_000),                             "00",  70_000,      0, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched", {"told_before": 0}),
    ), journal="posting 30_000, posting_reversal 30_000, posting 30_000", concerns="posted_after_reversed"),

    Story("a stand-in approval of what never reached us is presented", (
        Row(authorize("lost", 30_000).unsent(),             "--", 100_000,      0),
        Row(stand_in("lost"),                               "00", 100_000, 30_000, "stand_in: approved"),
        Row(present("stand-in"),                            "--",  70_000,      0, "presentment: matched"),
    ), journal="hold 30_000, posting 30_000"),

    Story("a stand-in approval, named by the network's approval code alone", (
        Row(authorize("lost", 30_000).unsent(),             "--", 100_000,      0),
        Row(stand_in("lost"),                               "00", 100_000, 30_000, "stand_in: approved"),
        Row(present("stand-in").telling(retrieval_reference="", terminal_id=""), "--", 70_000, 0, "presentment: matched", {"why": "approval_code"}),
    ), journal="hold 30_000, posting 30_000"),

    Story("a stand-in approval after our decline is presented", (
        Row(authorize("pay", 500, Terms(mcc="7011")),       "57", 100_000,      0, "merchant: product_not_allowed"),
        Row(stand_in("pay"),                                "00", 100_000,    500, "stand_in: approved"),
        Row(present("stand-in"),                            "--",  99_500,      0, "presentment: matched"),
    ), journal="hold 500, posting 500"),

    Story("a stand-in decline, and it is presented all the same: charged, and a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(stand_in_decline("pay"),                        "00", 100_000,      0, "stand_in: declined"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched", {"hold_state": "released"}),
    ), journal="hold 30_000, release 30_000, posting 30_000", concerns="posted_after_released"),

    Story("the same file comes twice: its records are booked once", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay", amount=20_000),                  "--",  80_000,      0, "presentment: matched"),
        Row(send_file_again("record"),                      "--",  80_000,      0),
    ), journal="hold 30_000, posting 20_000, release 10_000"),

    Story("the same record in another file is in doubt; rejected, it changes nothing", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(tell_again("record"),                           "--",  70_000,      0, "presentment: in_doubt", {"why": "duplicate_record"}),
        Row(reject("again"),                                "--",  70_000,      0, "instruction: rejected"),
        Row(force("again"),                                 "--",  70_000,      0, "instruction: not_in_doubt"),
    ), journal="hold 30_000, posting 30_000", concerns="duplicate_record"),

    Story("the same record in another file is in doubt; bound, it is charged on the purchase", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay", amount=10_000),                  "--",  90_000,      0, "presentment: matched"),
        Row(tell_again("record"),                           "--",  90_000,      0, "presentment: in_doubt"),
        Row(bind("again", "pay"),                           "--",  80_000,      0, "presentment: matched", {"level": "instruction"}),
        Row(reject("again"),                                "--",  80_000,      0, "instruction: not_in_doubt"),
    ), journal="hold 30_000, posting 10_000, release 20_000, posting 10_000", concerns="duplicate_record"),

    Story("the same record twice in one file", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(in_one_file(present("pay").telling(acquirer_reference="7" * 23), present("pay", "again").telling(acquirer_reference="7" * 23)), "--", 70_000, 0, "presentment: in_doubt", {"why": "duplicate_record"}),
    ), journal="hold 30_000, posting 30_000", concerns="duplicate_record"),
)

MATCHING = (
    Story("by the network's own reference, whatever else it says", (
        Row(authorize("one", 30_000).but({"network_reference": network_reference(71)}), "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 30_000).but({"network_reference": network_reference(72)}), "00", 100_000, 60_000, "funds: pass"),
        Row(present("two", amount=20_000).telling(retrieval_reference="", approval_code=""), "--", 80_000, 30_000, "presentment: matched", {"why": "network_reference", "confidence": 100}),
    ), journal="hold 30_000, hold 30_000, posting 20_000, release 10_000"),

    Story("by the acquirer reference of an earlier part", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  90_000, 20_000, "presentment: matched"),
        Row(present_part("pay", 15_000, 2, 2).telling(retrieval_reference="", approval_code="", terminal_id=""), "--", 75_000, 0, "presentment: matched", {"why": "acquirer_reference"}),
    ), journal="hold 30_000, posting 10_000, posting 15_000, release 5_000"),

    Story("by approval code and place, under another retrieval reference", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay", amount=20_000).telling(retrieval_reference="ANOTHER00001"), "--", 80_000, 0, "presentment: matched", {"why": "approval_code", "confidence": 80}),
    ), journal="hold 30_000, posting 20_000, release 10_000"),

    Story("by the approval code alone", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay", amount=20_000).telling(retrieval_reference="", terminal_id="ELSEWHER"), "--", 80_000, 0, "presentment: matched", {"why": "approval_code_alone", "confidence": 60}),
    ), journal="hold 30_000, posting 20_000, release 10_000"),

    Story("by place and amount, where it says nothing else", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay").telling(retrieval_reference="", approval_code=""), "--", 70_000, 0, "presentment: matched", {"why": "place_and_amount", "confidence": 40}),
    ), journal="hold 30_000, posting 30_000"),

    Story("by place and billed amount, where it says nothing else", (
        Row(authorize("pay", 1_000, USD).but(BILLED),       "00", 100_000,  1_500, "funds: pass"),
        Row(present("pay").telling(billing=(1_500, "JPY"), retrieval_reference="", approval_code=""), "--", 98_500, 0, "presentment: matched", {"why": "place_and_amount"}),
    ), journal="hold 1_500, posting 1_500"),

    Story("by nothing: place and another amount are not enough", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay", amount=29_999).telling(retrieval_reference="", approval_code=""), "--", 70_001, 30_000, "presentment: forced", {"level": "none"}),
    ), journal="hold 30_000, posting 29_999", concerns="posted_without_authorization"),

    Story("two records of one file: each finds its purchase, one by its reference, one by its approval code", (
        Row(authorize("one", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 20_000),                       "00", 100_000, 50_000, "funds: pass"),
        Row(in_one_file(present("one", "first"), present("two", "second").telling(retrieval_reference="ANOTHER00001")), "--", 50_000, 0, "presentment: matched", {"why": "approval_code"}),
    ), journal="hold 30_000, hold 20_000, posting 30_000, posting 20_000"),

    Story("two purchases have one reference: the approval code tells them apart", (
        Row(authorize("one", 30_000).but(BOTH),             "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 30_000).but(BOTH),             "00", 100_000, 60_000, "funds: pass"),
        Row(present("two", amount=20_000),                  "--",  80_000, 30_000, "presentment: matched", {"why": "retrieval_reference"}),
        Row(present("one", "the other"),                    "--",  50_000,      0, "presentment: matched", {"posted": 0}),
    ), journal="hold 30_000, hold 30_000, posting 20_000, release 10_000, posting 30_000"),

    Story("another purchase has its reference, but not its approval code: that tells which one is meant", (
        Row(authorize("one", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 20_000).but(BOTH),             "00", 100_000, 50_000, "funds: pass"),
        Row(present("one").telling(**BOTH),                 "--",  70_000, 20_000, "presentment: matched", {"why": "approval_code"}),
    ), journal="hold 30_000, hold 20_000, posting 30_000"),
)

DOUBT = (
    Story("two purchases alike: in doubt, until a person says which one it is", (
        Row(authorize("one", 30_000).but(BOTH),             "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 30_000).but(BOTH),             "00", 100_000, 60_000, "funds: pass"),
        Row(present("two", amount=25_000).telling(approval_code=""), "--", 100_000, 60_000, "presentment: in_doubt", {"why": "ambiguous_purchase", "level": "retrieval_reference"}),
        Row(bind("record", "two"),                          "--",  75_000, 30_000, "presentment: matched", {"level": "instruction", "held": 30_000}),
        Row(present("one", "the other"),                    "--",  45_000,      0, "presentment: matched"),
    ), journal="hold 30_000, hold 30_000, posting 25_000, release 5_000, posting 30_000", concerns="ambiguous_purchase"),

    Story("two purchases alike: in doubt, until a person says that it is neither", (
        Row(authorize("one", 30_000).but(BOTH),             "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 30_000).but(BOTH),             "00", 100_000, 60_000, "funds: pass"),
        Row(present("two").telling(approval_code=""),       "--", 100_000, 60_000, "presentment: in_doubt"),
        Row(force("record"),                                "--",  70_000, 60_000, "presentment: forced"),
        Row(force("record"),                                "--",  70_000, 60_000, "instruction: not_in_doubt"),
    ), journal="hold 30_000, hold 30_000, posting 30_000", concerns="ambiguous_purchase"),

    Story("two purchases alike: in doubt, until a person rejects it", (
        Row(authorize("one", 30_000).but(BOTH),             "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 30_000).but(BOTH),             "00", 100_000, 60_000, "funds: pass"),
        Row(present("two").telling(approval_code=""),       "--", 100_000, 60_000, "presentment: in_doubt"),
        Row(reject("record"),                               "--", 100_000, 60_000, "instruction: rejected"),
    ), journal="hold 30_000, hold 30_000", concerns="ambiguous_purchase"),

    Story("bound to a purchase that has expired meanwhile", (
        Row(authorize("one", 30_000).but(BOTH),             "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 30_000).but(BOTH),             "00", 100_000, 60_000, "funds: pass"),
        Row(present("two").telling(approval_code=""),       "--", 100_000, 60_000, "presentment: in_doubt"),
        Row(expire("two"),                                  "--", 100_000, 30_000),
        Row(bind("record", "two"),                          "--",  70_000, 30_000, "presentment: matched", {"hold_state": "expired"}),
    ), journal="hold 30_000, hold 30_000, expiry 30_000, posting 30_000", concerns="ambiguous_purchase"),

    Story("a card that is not ours: in doubt, can only be rejected", (
        Row(present_unknown("record", 5_000),               "--", 100_000,      0, "presentment: in_doubt", {"why": "unknown_card"}),
        Row(force("record"),                                "--", 100_000,      0, "instruction: unknown_card"),
        Row(reject("record"),                               "--", 100_000,      0, "instruction: rejected"),
        Row(reject("record"),                               "--", 100_000,      0, "instruction: not_in_doubt"),
    )),

    Story("a currency that the account does not keep: in doubt", (
        Row(authorize("pay", 1_000, USD).but(BILLED),       "00", 100_000,  1_500, "funds: pass"),
        Row(present("pay"),                                 "--", 100_000,  1_500, "presentment: in_doubt", {"why": "currency_not_served"}),
        Row(bind("record", "pay"),                          "--", 100_000,  1_500, "instruction: currency_not_served"),
        Row(reject("record"),                               "--", 100_000,  1_500, "instruction: rejected"),
    ), journal="hold 1_500", concerns="currency_not_served"),

    Story("a record taken back that never came: in doubt; forced, it credits", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(take_back("record").telling(acquirer_reference="8" * 23), "--", 70_000, 0, "presentment_reversal: in_doubt", {"why": "no_such_record"}),
        Row(force("taken back"),                            "--", 100_000,      0, "presentment_reversal: forced"),
    ), journal="hold 30_000, posting 30_000, refund 30_000", concerns="no_such_record"),

    Story("a chargeback of a record that never came: in doubt; bound, it credits the purchase", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present("pay"),                                 "--",  70_000,      0, "presentment: matched"),
        Row(charge_back("record").telling(acquirer_reference="8" * 23), "--", 70_000, 0, "chargeback: in_doubt", {"why": "no_such_record"}),
        Row(bind("chargeback", "pay"),                      "--", 100_000,      0, "chargeback: matched"),
    ), journal="hold 30_000, posting 30_000, chargeback 30_000", concerns="no_such_record"),
)

ABROAD = (
    Story("a merchant abroad: what counts is the billed amount", (
        Row(authorize("pay", 1_000, USD).but(BILLED),       "00", 100_000,  1_500, "funds: pass"),
        Row(present("pay").telling(billing=(1_500, "JPY")), "--",  98_500,      0, "presentment: matched", {"transaction_amount": 1_000, "transaction_currency": "USD", "amount": 1_500}),
    ), journal="hold 1_500, posting 1_500"),

    Story("a merchant abroad: the rate has fallen", (
        Row(authorize("pay", 1_000, USD).but(BILLED),       "00", 100_000,  1_500, "funds: pass"),
        Row(present("pay").telling(billing=(1_450, "JPY")), "--",  98_550,      0, "presentment: matched"),
    ), journal="hold 1_500, posting 1_450, release 50"),

    Story("a merchant abroad: the rate has risen", (
        Row(authorize("pay", 1_000, USD).but(BILLED),       "00", 100_000,  1_500, "funds: pass"),
        Row(present("pay").telling(billing=(1_520, "JPY")), "--",  98_480,      0, "presentment: matched"),
    ), journal="hold 1_500, posting 1_500, posting 20", concerns="over_capture"),
)

POCKETS = (
    Story("bonus is spent first; what is presented lower comes back as money", (
        Row(load(10_000, bonus=True),                       "--",  30_000,      0),
        Row(authorize("pay", 15_000),                       "00",  30_000, 15_000, "funds: pass"),
        Row(bonus_left(0),                                  "--",  30_000, 15_000),
        Row(present("pay", amount=12_000),                  "--",  18_000,      0, "presentment: matched"),
        Row(bonus_left(0),                                  "--",  18_000,      0),
    ), balance=20_000, journal="bonus 10_000, hold 10_000, hold 5_000, posting 10_000, posting 2_000, release 3_000"),

    Story("a refund gives the money back first and the bonus last", (
        Row(load(10_000, bonus=True),                       "--",  30_000,      0),
        Row(authorize("pay", 15_000),                       "00",  30_000, 15_000, "funds: pass"),
        Row(present("pay"),                                 "--",  15_000,      0, "presentment: matched"),
        Row(present_refund("pay", "one", amount=4_000),     "--",  19_000,      0, "presentment: matched"),
        Row(bonus_left(0),                                  "--",  19_000,      0),
        Row(present_refund("pay", "two", amount=7_000),     "--",  26_000,      0, "presentment: matched"),
        Row(bonus_left(6_000),                              "--",  26_000,      0),
        Row(present_refund("pay", "three", amount=4_000),   "--",  30_000,      0, "presentment: matched"),
        Row(bonus_left(10_000),                             "--",  30_000,      0),
    ), balance=20_000, journal="bonus 10_000, hold 10_000, hold 5_000, posting 10_000, posting 5_000, refund 4_000, refund 6_000, refund 1_000, refund 4_000"),

    Story("an expired hold and a presentment that is taken back find their pockets", (
        Row(load(10_000, bonus=True),                       "--",  30_000,      0),
        Row(authorize("pay", 15_000),                       "00",  30_000, 15_000, "funds: pass"),
        Row(expire("pay"),                                  "--",  30_000,      0),
        Row(bonus_left(10_000),                             "--",  30_000,      0),
        Row(present("pay"),                                 "--",  15_000,      0, "presentment: matched"),
        Row(bonus_left(0),                                  "--",  15_000,      0),
        Row(take_back("record"),                            "--",  30_000,      0, "presentment_reversal: matched"),
        Row(bonus_left(10_000),                             "--",  30_000,      0),
    ), balance=20_000, journal="bonus 10_000, hold 10_000, hold 5_000, expiry 10_000, expiry 5_000, posting 10_000, posting 5_000, posting_reversal 10_000, posting_reversal 5_000"),

    Story("below zero, a load pays the debt first", (
        Row(load(10_000, bonus=True),                       "--",  10_000,      0),
        Row(present_alone("forced", 15_000),                "--",  -5_000,      0, "presentment: forced"),
        Row(bonus_left(0),                                  "--",  -5_000,      0),
        Row(load(6_000),                                    "--",   1_000,      0),
        Row(authorize("pay", 1_000),                        "00",   1_000,  1_000, "funds: pass"),
    ), balance=0, journal="bonus 10_000, posting 10_000, posting 5_000, hold 1_000", concerns="posted_without_authorization"),
)
# fmt: on


@told(*AFTER_FULL_REVERSAL)
def test_a_presentment_after_a_full_reversal_is_charged(house: House, dialect: Dialect, story: Story) -> None:
    """The loss of a Japanese prepaid issuer, October 2023 to December 2024: presentments that followed a full reversal
    with another amount were not charged, and the money was lost. The merchant had shipped the goods and was paid; the
    hold was gone, so the record found nothing to settle and was dropped.

    Here it is charged whatever its amount, in full, on the purchase that it belongs to, and a person is told.
    """
    play(house, dialect, story)


@told(*AMOUNTS, *PARTS, *EXPIRED, *REVERSALS, *FORCED, *CARDS)
def test_presentments(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)


@told(*REFUNDS, *LATER, *POCKETS)
def test_later_changes(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)


@told(*TOLD_BEFORE, *MATCHING, *DOUBT, *ABROAD)
def test_records_and_their_purchases(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
