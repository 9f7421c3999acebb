"""Advices (0120, 0220): they tell what has happened, so they are booked whatever the card or the balance, and answered 00."""

from __future__ import annotations

from simulators.messages import Terms
from tests.house import House
from tests.scenarios.steps import (
    authorize,
    authorize_refund,
    buy,
    lock,
    post,
    post_refund,
    reverse,
    send,
    stand_in,
    stand_in_decline,
    status,
    verify,
)
from tests.scenarios.transcript import Dialect, Row, Story, play, told

# fmt: off
STAND_IN = (
    Story("a stand-in approval of what we had approved too folds into our hold", (
        #   what happens                                    DE39  posted     held   the rule that decided
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(stand_in("pay"),                                "00", 100_000, 30_000, "stand_in: approved", {"hold_state": "open"}),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted"),
    ), journal="hold 30_000, posting 30_000"),

    Story("a stand-in approval of another amount: the network's amount holds", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(stand_in("pay", "higher", amount=35_000),       "00", 100_000, 35_000, "stand_in: approved"),
        Row(stand_in("pay", "lower", amount=20_000),        "00", 100_000, 20_000, "stand_in: approved"),
    ), journal="hold 30_000, hold_increase 5_000, release 15_000"),

    Story("a stand-in approval of what never reached us is held", (
        Row(authorize("lost", 30_000).unsent(),             "--", 100_000,      0),
        Row(stand_in("lost"),                               "00", 100_000, 30_000, "stand_in: approved", {"hold": None}),
        Row(reverse("lost"),                                "00", 100_000,      0, "amount: taken_back"),
    ), journal="hold 30_000, release 30_000"),

    Story("a stand-in approval after our decline is held: the money is spent", (
        Row(authorize("pay", 500, Terms(mcc="7011")),       "57", 100_000,      0, "merchant: product_not_allowed"),
        Row(stand_in("pay"),                                "00", 100_000,    500, "stand_in: approved"),
    ), journal="hold 500"),

    Story("a stand-in approval beyond the balance: it goes below zero and a person is told", (
        Row(authorize("lost", 5_000).unsent(),              "--",   1_000,      0),
        Row(stand_in("lost"),                               "00",   1_000,  5_000, "stand_in: approved"),
    ), balance=1_000, journal="hold 5_000", concerns="below_floor"),

    Story("a stand-in approval of a card that had been lost", (
        Row(authorize("lost", 5_000).unsent(),              "--", 100_000,      0),
        Row(stand_in("lost"),                               "00", 100_000,  5_000, "stand_in: approved"),
    ), status="lost", journal="hold 5_000", concerns="card_not_active"),

    Story("a stand-in approval of a verification moves nothing", (
        Row(verify("ask").unsent(),                         "--", 100_000,      0),
        Row(stand_in("ask"),                                "00", 100_000,      0, "stand_in: approved"),
    )),

    Story("a stand-in approval of a refund authorization moves nothing", (
        Row(authorize_refund("back", 5_000).unsent(),       "--", 100_000,      0),
        Row(stand_in("back"),                               "00", 100_000,      0, "stand_in: approved"),
    )),

    Story("a stand-in approval after the full reversal: nothing is held, a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(stand_in("pay"),                                "00", 100_000,      0, "stand_in: approved"),
    ), journal="hold 30_000, release 30_000", concerns="advice_after_reversal"),

    Story("a stand-in approval after the presentment: nothing is held twice, a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted"),
        Row(stand_in("pay"),                                "00",  70_000,      0, "stand_in: approved"),
    ), journal="hold 30_000, posting 30_000", concerns="advice_after_posted"),

    Story("a stand-in approval that is told twice, under two STANs, is held once", (
        Row(authorize("pay", 30_000).unsent(),              "--", 100_000,      0),
        Row(stand_in("pay"),                                "00", 100_000, 30_000, "stand_in: approved"),
        Row(stand_in("pay", "told again"),                  "00", 100_000, 30_000, "stand_in: approved", {"hold_state": "open"}),
    ), journal="hold 30_000"),

    Story("a stand-in decline releases what we had approved", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(stand_in_decline("pay"),                        "00", 100_000,      0, "stand_in: declined", {"hold_state": "open"}),
        Row(stand_in_decline("pay", "told again"),          "00", 100_000,      0, "stand_in: declined", {"hold_state": "released"}),
    ), journal="hold 30_000, release 30_000"),

    Story("a stand-in decline of what never reached us changes nothing", (
        Row(authorize("lost", 30_000).unsent(),             "--", 100_000,      0),
        Row(stand_in_decline("lost"),                       "00", 100_000,      0, "stand_in: declined", {"hold": None}),
    )),

    Story("a stand-in decline of what we declined too", (
        Row(authorize("pay", 500, Terms(mcc="7011")),       "57", 100_000,      0, "merchant: product_not_allowed"),
        Row(stand_in_decline("pay"),                        "00", 100_000,      0, "stand_in: declined"),
    )),

    Story("an advice in a currency that the account does not keep: a person decides", (
        Row(authorize("lost", 1_000, Terms(currency="USD")).unsent(), "--", 100_000, 0),
        Row(stand_in("lost"),                               "00", 100_000,      0, "currency: currency_not_served"),
        Row(post("lost"),                                   "00", 100_000,      0, "currency: currency_not_served"),
    ), concerns="currency_not_served, currency_not_served"),

    Story("an advice in dollars that says what it bills is booked", (
        Row(authorize("lost", 1_000, Terms(currency="USD")).but({"billing_amount": "000000001500", "billing_currency": "392"}).unsent(), "--", 100_000, 0),
        Row(stand_in("lost"),                               "00", 100_000,  1_500, "stand_in: approved"),
        Row(post("lost"),                                   "00",  98_500,      0, "financial_advice: posted"),
    ), journal="hold 1_500, posting 1_500"),
)

FINANCIAL = (
    Story("posted as authorised", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted", {"hold_state": "open"}),
    ), journal="hold 30_000, posting 30_000"),

    Story("posted lower: the rest is free again", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay", amount=20_000),                     "00",  80_000,      0, "financial_advice: posted"),
    ), journal="hold 30_000, posting 20_000, release 10_000"),

    Story("posted higher: the rest comes from the available balance", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay", amount=35_000),                     "00",  65_000,      0, "financial_advice: posted"),
    ), journal="hold 30_000, posting 30_000, posting 5_000"),

    Story("posted higher than the balance: below zero, and a person is told", (
        Row(authorize("pay", 30_000),                       "00",  30_000, 30_000, "funds: pass"),
        Row(post("pay", amount=35_000),                     "00",  -5_000,      0, "financial_advice: posted"),
    ), balance=30_000, journal="hold 30_000, posting 30_000, posting 5_000", concerns="below_floor"),

    Story("posted without authorization", (
        Row(buy("forced", 30_000).unsent(),                 "--", 100_000,      0),
        Row(post("forced"),                                 "00",  70_000,      0, "financial_advice: posted", {"level": "none", "hold": None}),
    ), journal="posting 30_000"),

    Story("posted without authorization and without money", (
        Row(buy("forced", 30_000).unsent(),                 "--",   1_000,      0),
        Row(post("forced"),                                 "00", -29_000,      0, "financial_advice: posted"),
    ), balance=1_000, journal="posting 30_000", concerns="below_floor"),

    Story("posted without authorization to a closed card", (
        Row(buy("forced", 30_000).unsent(),                 "--", 100_000,      0),
        Row(post("forced"),                                 "00",  70_000,      0, "financial_advice: posted"),
    ), status="closed", journal="posting 30_000", concerns="card_not_active"),

    # A Japanese prepaid issuer did not charge presentments that followed a full reversal with another amount, from
    # October 2023 to December 2024, and lost the money.
    Story("posted after a full reversal, with another amount: it must be charged", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(post("pay", amount=25_000),                     "00",  75_000,      0, "financial_advice: posted", {"hold_state": "reversed"}),
    ), journal="hold 30_000, release 30_000, posting 25_000", concerns="posted_after_reversed"),

    Story("posted after a full reversal, with the same amount", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back"),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted"),
    ), journal="hold 30_000, release 30_000, posting 30_000", concerns="posted_after_reversed"),

    Story("posted although its reversal came before everything else; a late original is still declined", (
        Row(buy("pay", 30_000).unsent(),                    "--", 100_000,      0),
        Row(reverse("pay"),                                 "00", 100_000,      0, "original: not_here_yet"),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted"),
        Row(send("pay"),                                    "05",  70_000,      0, "reversal_first: reversed_earlier"),
    ), journal="posting 30_000", concerns="posting_after_reversal"),

    Story("posted after a stand-in decline", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(stand_in_decline("pay"),                        "00", 100_000,      0, "stand_in: declined"),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted"),
    ), journal="hold 30_000, release 30_000, posting 30_000", concerns="posted_after_released"),

    Story("posted after our decline", (
        Row(authorize("pay", 500, Terms(mcc="7011")),       "57", 100_000,      0, "merchant: product_not_allowed"),
        Row(post("pay"),                                    "00",  99_500,      0, "financial_advice: posted", {"hold": None}),
    ), journal="posting 500"),

    Story("the card is locked between authorization and presentment: it is posted", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(lock(),                                         "--", 100_000, 30_000),
        Row(authorize("next", 500),                         "62", 100_000, 30_000, "cardholder_lock: card_locked"),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted"),
    ), journal="hold 30_000, posting 30_000"),

    Story("the card is stolen between authorization and presentment: it is posted", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(status("stolen"),                               "--", 100_000, 30_000),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted"),
    ), journal="hold 30_000, posting 30_000"),

    Story("two advices in one purchase: the second is posted beyond it, and a person is told", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay", "first", amount=10_000),            "00",  90_000,      0, "financial_advice: posted"),
        Row(post("pay", "second", amount=20_000),           "00",  70_000,      0, "financial_advice: posted", {"hold_state": "posted"}),
    ), journal="hold 30_000, posting 10_000, release 20_000, posting 20_000", concerns="posted_after_posted"),

    Story("a presentment that could belong to two purchases is posted as one of its own", (
        Row(authorize("one", 30_000).but({"retrieval_reference": "SAMEFORBOTH0"}), "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 20_000).but({"retrieval_reference": "SAMEFORBOTH0"}), "00", 100_000, 50_000, "funds: pass"),
        Row(post("two"),                                    "00",  80_000, 50_000, "financial_advice: posted", {"ambiguous": True, "hold": None}),
    ), journal="hold 30_000, hold 20_000, posting 20_000", concerns="ambiguous_original"),

    Story("a stand-in approval that could belong to two purchases is for a person", (
        Row(authorize("one", 30_000).but({"retrieval_reference": "SAMEFORBOTH0"}), "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 20_000).but({"retrieval_reference": "SAMEFORBOTH0"}), "00", 100_000, 50_000, "funds: pass"),
        Row(stand_in("two"),                                "00", 100_000, 50_000, "original: ambiguous_original"),
    ), journal="hold 30_000, hold 20_000", concerns="ambiguous_original"),
)

REFUNDS = (
    Story("a refund advice credits", (
        Row(buy("pay", 30_000),                             "00",  70_000,      0, "funds: pass"),
        Row(post_refund("pay", amount=10_000),              "00",  80_000,      0, "financial_advice: posted"),
    ), journal="posting 30_000, refund 10_000"),

    Story("a refund advice leaves an open hold alone", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post_refund("pay", amount=10_000),              "00", 110_000, 30_000, "financial_advice: posted"),
    ), journal="hold 30_000, refund 10_000"),

    Story("a refund authorization is approved and credited by its advice", (
        Row(authorize_refund("back", 10_000),               "00", 100_000,      0, "funds: pass"),
        Row(post("back").but({"operation": "200000"}),              "00", 110_000,      0, "financial_advice: posted"),
    ), journal="refund 10_000"),

    Story("a refund to a closed card is credited", (
        Row(buy("pay", 30_000),                             "00",  70_000,      0, "funds: pass"),
        Row(status("closed"),                               "--",  70_000,      0),
        Row(post_refund("pay"),                             "00", 100_000,      0, "financial_advice: posted"),
    ), journal="posting 30_000, refund 30_000"),
)
# fmt: on


@told(*STAND_IN, *FINANCIAL, *REFUNDS)
def test_advices(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
