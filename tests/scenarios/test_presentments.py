"""Presentments: what a network presents days later settles its purchase, and can't be declined.

It is booked whatever the balance, the limits and the card say; what is unusual is shown to a person.
"""

from __future__ import annotations

from simulators.messages import Terms
from tests.house import House
from tests.scenarios.clearing_steps import (
    expire,
    in_one_file,
    present,
    present_alone,
    present_part,
    present_refund,
)
from tests.scenarios.steps import (
    authorize,
    increment,
    inquire,
    load,
    lock,
    status,
)
from tests.scenarios.transcript import Dialect, Row, Story, play, told

USD = Terms(currency="USD", country="US")
BILLED = {"billing_amount": "000000001500", "billing_currency": "392"}
DINNER = Terms(mcc="5812")

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

    Story("two parts in the wrong order: what is held waits for the first one", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(present_part("pay", 20_000, 2, 2),              "--",  80_000, 10_000, "presentment: matched"),
        Row(present_part("pay", 10_000, 1, 2),              "--",  70_000,      0, "presentment: matched", {"hold_state": "open"}),
    ), journal="hold 30_000, posting 20_000, posting 10_000"),

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
# fmt: on


@told(*AMOUNTS, *PARTS, *FORCED, *CARDS, *ABROAD)
def test_presentments(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
