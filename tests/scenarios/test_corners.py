"""Corners: increments that the network decided, requests that were overtaken, parts of a posting, limits after the fact."""

from __future__ import annotations

from simulators.messages import Terms
from tests.house import House
from tests.scenarios.steps import authorize, buy, increment, post, refund, reverse, send, stand_in, stand_in_decline
from tests.scenarios.transcript import Dialect, Row, Story, play, told

USD = Terms(currency="USD", country="US")

# fmt: off
CORNERS = (
    Story("a partial reversal of a purchase in dollars that was billed in yen: a person decides", (
        # $10.00 billed as ¥1,500; the final amount is $5.00, which is not ¥500.
        Row(authorize("pay", 1_000, USD).but({"billing_amount": "000000001500", "billing_currency": "392"}), "00", 100_000, 1_500, "funds: pass"),
        Row(reverse("pay", left=500),                   "00", 100_000,  1_500, "amount: currency_not_served"),
    ), journal="hold 1_500", concerns="currency_not_served"),

    Story("the request arrives after its stand-in approval: one purchase, one hold", (
        Row(authorize("pay", 30_000).unsent(),          "--", 100_000,      0),
        Row(stand_in("pay"),                            "00", 100_000, 30_000, "stand_in: approved"),
        Row(send("pay"),                                "00", 100_000, 30_000, "stand_in_first: pass"),
        Row(post("pay"),                                "00",  70_000,      0, "financial_advice: posted"),
    ), journal="hold 30_000, posting 30_000"),

    Story("the request arrives after its stand-in decline: it is declined too", (
        Row(authorize("pay", 30_000).unsent(),          "--", 100_000,      0),
        Row(stand_in_decline("pay"),                    "00", 100_000,      0, "stand_in: declined"),
        Row(send("pay"),                                "05", 100_000,      0, "stand_in_first: decided_earlier"),
    )),

    Story("the request arrives after its stand-in approval and the reversal of that: it is declined", (
        Row(authorize("pay", 30_000).unsent(),          "--", 100_000,      0),
        Row(stand_in("pay"),                            "00", 100_000, 30_000, "stand_in: approved"),
        Row(reverse("pay"),                             "00", 100_000,      0, "amount: taken_back"),
        Row(send("pay"),                                "05", 100_000,      0, "stand_in_first: decided_earlier"),
    ), journal="hold 30_000, release 30_000"),

    Story("a stand-in approval of an increment that never reached us raises the hold", (
        Row(authorize("stay", 10_000),                  "00", 100_000, 10_000, "funds: pass"),
        Row(increment("stay", "bar", 5_000).unsent(),   "--", 100_000, 10_000),
        Row(stand_in("bar"),                            "00", 100_000, 15_000, "stand_in: approved"),
    ), journal="hold 10_000, hold_increase 5_000"),

    Story("a stand-in approval of an increment that we approved too changes nothing", (
        Row(authorize("stay", 10_000),                  "00", 100_000, 10_000, "funds: pass"),
        Row(increment("stay", "bar", 5_000),            "00", 100_000, 15_000, "increment: pass"),
        Row(stand_in("bar"),                            "00", 100_000, 15_000, "stand_in: approved"),
    ), journal="hold 10_000, hold_increase 5_000"),

    Story("a stand-in decline of an increment releases what the increment had raised", (
        Row(authorize("stay", 10_000),                  "00", 100_000, 10_000, "funds: pass"),
        Row(increment("stay", "bar", 5_000),            "00", 100_000, 15_000, "increment: pass"),
        Row(stand_in_decline("bar"),                    "00", 100_000, 10_000, "stand_in: declined"),
    ), journal="hold 10_000, hold_increase 5_000, release 5_000"),

    Story("reversed before we ever heard of it, then its stand-in approval and at last the request: nothing is held", (
        Row(authorize("lost", 30_000).unsent(),         "--", 100_000,      0),
        Row(reverse("lost"),                            "00", 100_000,      0, "original: not_here_yet"),
        Row(stand_in("lost"),                           "00", 100_000,      0, "stand_in: approved"),
        Row(send("lost"),                               "05", 100_000,      0, "reversal_first: reversed_earlier"),
    ), concerns="advice_after_reversal"),

    Story("two advices in one purchase, the second is reversed: the first stays", (
        Row(authorize("pay", 30_000),                   "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay", "first", amount=10_000),        "00",  90_000,      0, "financial_advice: posted"),
        Row(post("pay", "second", amount=20_000),       "00",  70_000,      0, "financial_advice: posted"),
        Row(reverse("second"),                          "00",  90_000,      0, "amount: taken_back"),
    ), journal="hold 30_000, posting 10_000, release 20_000, posting 20_000, posting_reversal 20_000", concerns="posted_after_posted"),

    Story("the network approved a purchase with cash-back (DE3 09) for us: a person is told", (
        Row(authorize("lost", 10_000).but({"operation": "090000"}).unsent(), "--", 100_000, 0),
        Row(stand_in("lost"),                           "00", 100_000,      0, "operation: unsupported_advice"),
    ), concerns="unsupported_advice"),

    Story("a presentment higher than its hold counts against the limits in full", (
        Row(authorize("pay", 1_000),                    "00", 100_000,  1_000, "funds: pass"),
        Row(post("pay", amount=9_000),                  "00",  91_000,      0, "financial_advice: posted"),
        Row(authorize("over", 1_001),                   "61",  91_000,      0, "daily_limit: over_amount_limit", {"spent": 9_000}),
    ), program="small_limits", journal="hold 1_000, posting 1_000, posting 8_000"),

    Story("a presentment lower than its hold gives the rest back to the limits", (
        Row(authorize("pay", 5_000),                    "00", 100_000,  5_000, "funds: pass"),
        Row(post("pay", amount=1_000),                  "00",  99_000,      0, "financial_advice: posted"),
        Row(authorize("next", 5_000),                   "00",  99_000,  5_000, "funds: pass"),
        Row(authorize("on it", 4_000),                  "00",  99_000,  9_000, "funds: pass"),
    ), program="small_limits", journal="hold 5_000, posting 1_000, release 4_000, hold 5_000, hold 4_000"),

    Story("a presentment after the full reversal counts against the limits", (
        Row(authorize("pay", 5_000),                    "00", 100_000,  5_000, "funds: pass"),
        Row(reverse("pay"),                             "00", 100_000,      0, "amount: taken_back"),
        Row(post("pay"),                                "00",  95_000,      0, "financial_advice: posted"),
        Row(authorize("next", 5_000),                   "00",  95_000,  5_000, "funds: pass"),
        Row(authorize("over", 1),                       "61",  95_000,  5_000, "daily_limit: over_amount_limit", {"spent": 10_000}),
    ), program="small_limits", journal="hold 5_000, release 5_000, posting 5_000, hold 5_000", concerns="posted_after_reversed"),

    Story("a refund is reversed after it was spent: below zero, and a person is told", (
        Row(refund("back", 5_000),                      "00",   5_000,      0, "funds: pass"),
        Row(buy("pay", 4_000),                          "00",   1_000,      0, "funds: pass"),
        Row(reverse("back"),                            "00",  -4_000,      0, "amount: taken_back"),
    ), balance=0, journal="refund 5_000, posting 4_000, posting_reversal 5_000", concerns="below_floor"),

    Story("increments don't lift a purchase over the limit of one purchase", (
        Row(authorize("pay", 5_000),                    "00", 100_000,  5_000, "funds: pass"),
        Row(increment("pay", "more", 1),                "61", 100_000,  5_000, "increment: over_amount_limit"),
    ), program="small_limits", journal="hold 5_000"),
)
# fmt: on


@told(*CORNERS)
def test_corners(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
