"""Purchases, cash, refunds, verification, balance inquiry: what an approval sets aside, posts or only says."""

from __future__ import annotations

from simulators.messages import Terms
from switch.contracts.message import Channel, EntryMode
from tests.house import House
from tests.scenarios.steps import (
    authorize,
    authorize_cash,
    authorize_refund,
    buy,
    inquire,
    load,
    lock,
    post,
    refund,
    reverse,
    spoken,
    stand_in,
    unlock,
    verify,
    withdraw,
)
from tests.scenarios.transcript import Dialect, Row, Story, play, told

WEB = Terms(
    mcc="5732", entry_mode=EntryMode.ECOMMERCE, channel=Channel.ECOMMERCE, merchant_name="WEB SHOP", cvv2="card"
)
TAP = Terms(entry_mode=EntryMode.CONTACTLESS)
USD = Terms(currency="USD", country="US")

# fmt: off
PURCHASES = (
    Story("a purchase is set aside the moment it is approved", (
        #   what happens                                      DE39   posted      held   the rule that decided
        Row(authorize("pay", 30_000),                         "00", 100_000,   30_000,  "funds: pass", {"spendable": 100_000}),
    ), journal="hold 30_000"),

    Story("a purchase in a single message is posted at once", (
        Row(buy("pay", 30_000),                               "00",  70_000,        0,  "funds: pass"),
    ), journal="posting 30_000"),

    Story("the last yen can be spent, and not one more", (
        Row(authorize("all", 100_000),                        "00", 100_000,  100_000,  "funds: pass"),
        Row(authorize("more", 1),                             "51", 100_000,  100_000,  "funds: insufficient_funds", {"spendable": 0}, de54="ledger 100_000, available 0"),
        Row(buy("single", 1),                                 "51", 100_000,  100_000,  "funds: insufficient_funds", de54="ledger 100_000, available 0"),
    ), journal="hold 100_000"),

    Story("what is held can't be spent a second time, what was posted neither", (
        Row(authorize("first", 60_000),                       "00", 100_000,   60_000,  "funds: pass"),
        Row(buy("second", 40_001),                            "51", 100_000,   60_000,  "funds: insufficient_funds", de54="ledger 100_000, available 40_000"),
        Row(buy("third", 40_000),                             "00",  60_000,   60_000,  "funds: pass"),
        Row(authorize("fourth", 1),                           "51",  60_000,   60_000,  "funds: insufficient_funds", de54="ledger 60_000, available 0"),
    ), journal="hold 60_000, posting 40_000"),

    Story("a floor above zero stays in the account", (
        Row(authorize("down to it", 90_000),                  "00", 100_000,   90_000,  "funds: pass"),
        Row(authorize("below", 1),                            "51", 100_000,   90_000,  "funds: insufficient_funds", {"spendable": 0}, de54="ledger 100_000, available 0"),
    ), floor=10_000, journal="hold 90_000"),

    Story("a web shop with the right CVV2", (
        Row(authorize("pay", 2_000, WEB),                     "00", 100_000,    2_000,  "funds: pass", de44="M"),
    ), program="online", journal="hold 2_000"),

    Story("a card that is only for shops is tapped in one", (
        Row(authorize("pay", 450, TAP),                       "00", 100_000,      450,  "funds: pass"),
    ), program="in_store", journal="hold 450"),

    Story("12.34 dollars are 1,234 minor units", (
        Row(authorize("pay", 1_234, Terms(country="US")),     "00",  50_000,    1_234,  "funds: pass"),
        Row(post("pay"),                                      "00",  48_766,        0,  "financial_advice: posted"),
    ), program="travel_usd", balance=50_000, journal="hold 1_234, posting 1_234"),

    Story("a merchant abroad: what counts is the billing amount in the card's currency", (
        # DE4/DE49 say 10.00 dollars, DE6/DE51 the ¥1,500 that the network bills.
        Row(authorize("pay", 1_000, USD).but({"billing_amount": "000000001500", "billing_currency": "392"}),     "00", 100_000, 1_500, "funds: pass", {"amount": 1_500}),
        Row(post("pay", amount=1_000),                                                "00",  98_500,     0, "financial_advice: posted"),
    ), journal="hold 1_500, posting 1_500"),

    Story("a merchant abroad: the billing amount must be there, and covered", (
        Row(authorize("too dear", 1_000, USD).but({"billing_amount": "000000100001", "billing_currency": "392"}), "51", 100_000,    0, "funds: insufficient_funds", de54="ledger 100_000, available 100_000"),
        Row(authorize("pay", 1_000, USD).but({"billing_amount": "000000100000", "billing_currency": "392"}),     "00", 100_000, 100_000, "funds: pass"),
        Row(reverse("pay"),                                                           "00", 100_000,     0, "amount: taken_back"),
    ), journal="hold 100_000, release 100_000"),

    Story("locked, declined, unlocked: \"unlock it and try again\" is true", (
        Row(lock(),                                           "--", 100_000,        0),
        Row(authorize("first try", 500),                      "62", 100_000,        0,  "cardholder_lock: card_locked"),
        Row(unlock(),                                         "--", 100_000,        0),
        Row(authorize("second try", 500),                     "00", 100_000,      500,  "funds: pass"),
    ), journal="hold 500"),
)

CASH = (
    Story("cash in a single message: paid out and posted, no clearing step", (
        Row(withdraw("cash", 30_000),                         "00",  70_000,        0,  "funds: pass"),
        Row(withdraw("too much", 70_001),                     "51",  70_000,        0,  "funds: insufficient_funds", de54="ledger 70_000, available 70_000"),
    ), journal="posting 30_000"),

    Story("cash is authorised first and told of afterwards", (
        Row(authorize_cash("cash", 30_000),                   "00", 100_000,   30_000,  "funds: pass"),
        Row(post("cash"),                                     "00",  70_000,        0,  "financial_advice: posted"),
    ), journal="hold 30_000, posting 30_000"),

    Story("dollars from a cash machine", (
        Row(withdraw("cash", 4_000, Terms(mcc="6011", country="US")), "00", 46_000, 0,  "funds: pass"),
    ), program="travel_usd", balance=50_000, journal="posting 4_000"),
)

REFUNDS = (
    Story("a refund in a single message credits at once", (
        Row(buy("pay", 30_000),                               "00",  70_000,        0,  "funds: pass"),
        Row(refund("back", 30_000),                           "00", 100_000,        0,  "funds: pass"),
    ), journal="posting 30_000, refund 30_000"),

    Story("a refund to an empty card can be spent at once", (
        Row(refund("back", 500),                              "00",     500,        0,  "funds: pass"),
        Row(authorize("pay", 500),                            "00",     500,      500,  "funds: pass"),
    ), balance=0, journal="refund 500, hold 500"),

    Story("a refund authorization (0100) is approved and moves nothing", (
        Row(authorize_refund("back", 30_000),                 "00", 100_000,        0,  "funds: pass"),
        Row(authorize("all", 100_000),                        "00", 100_000,  100_000,  "funds: pass"),
        Row(buy("not yet", 1),                                "51", 100_000,  100_000,  "funds: insufficient_funds", de54="ledger 100_000, available 0"),
    ), journal="hold 100_000"),

    Story("a refund billed in the card's currency", (
        Row(refund("back", 1_000).but({"currency": "840", "billing_amount": "000000001500", "billing_currency": "392"}), "00", 101_500, 0, "funds: pass"),
    ), journal="refund 1_500"),
)

QUESTIONS = (
    Story("account verification: amount zero, nothing moves", (
        Row(verify("ask"),                                    "00", 100_000,        0,  "funds: pass"),
        Row(verify("with CVV2", Terms(cvv2="card")),          "00", 100_000,        0,  "funds: pass", de44="M"),
        Row(verify("wrong CVV2", Terms(cvv2="wrong")),        "05", 100_000,        0,  "security_code: cvv2_mismatch", de44="N"),
    )),

    Story("an empty card can be verified", (
        Row(verify("ask"),                                    "00",       0,        0,  "funds: pass"),
    ), balance=0),

    Story("a locked card is not verified", (
        Row(verify("ask"),                                    "62", 100_000,        0,  "cardholder_lock: card_locked"),
    ), locked=True),

    Story("a balance inquiry tells ledger and available balance", (
        Row(inquire("before"),                                "00", 100_000,        0,  "funds: pass", de54="ledger 100_000, available 100_000"),
        Row(authorize("pay", 30_000),                         "00", 100_000,   30_000,  "funds: pass"),
        Row(inquire("after"),                                 "00", 100_000,   30_000,  "funds: pass", de54="ledger 100_000, available 70_000"),
        Row(inquire("without DE4").but({"amount": None}),          "00", 100_000,   30_000,  "funds: pass", de54="ledger 100_000, available 70_000"),
        Row(inquire("as 0200").but({"t": spoken("0200")}),            "00", 100_000,   30_000,  "funds: pass", de54="ledger 100_000, available 70_000"),
    ), journal="hold 30_000"),

    Story("an inquiry tells what can be spent: the floor is taken off", (
        Row(inquire("ask"),                                   "00", 100_000,        0,  "funds: pass", de54="ledger 100_000, available 90_000"),
    ), floor=10_000),

    Story("a card without balance inquiries in its program", (
        Row(inquire("ask"),                                   "57", 100_000,        0,  "operation: product_not_allowed"),
    ), program="online"),
)

BELOW_ZERO = (
    Story("a negative balance: shown as a debit, declined, recovered by a load", (
        Row(authorize("lost", 5_000).unsent(),                "--",   1_000,        0),
        Row(stand_in("lost"),                                 "00",   1_000,    5_000,  "stand_in: approved"),
        Row(inquire("ask"),                                   "00",   1_000,    5_000,  "funds: pass", de54="ledger 1_000, available -4_000"),
        Row(authorize("no", 1),                               "51",   1_000,    5_000,  "funds: insufficient_funds", de54="ledger 1_000, available -4_000"),
        Row(post("lost"),                                     "00",  -4_000,        0,  "financial_advice: posted"),
        Row(inquire("ask again"),                             "00",  -4_000,        0,  "funds: pass", de54="ledger -4_000, available -4_000"),
        Row(load(10_000),                                     "--",   6_000,        0),
        Row(authorize("yes", 6_000),                          "00",   6_000,    6_000,  "funds: pass"),
    ), balance=1_000, journal="hold 5_000, posting 5_000, hold 6_000", concerns="below_floor"),

    Story("a negative balance recovered by a refund", (
        Row(authorize("lost", 5_000).unsent(),                "--",   1_000,        0),
        Row(post("lost"),                                     "00",  -4_000,        0,  "financial_advice: posted"),
        Row(refund("back", 3_000),                            "00",  -1_000,        0,  "funds: pass"),
        Row(refund("more back", 3_000),                       "00",   2_000,        0,  "funds: pass"),
        Row(buy("pay", 2_000),                                "00",       0,        0,  "funds: pass"),
    ), balance=1_000, journal="posting 5_000, refund 3_000, refund 3_000, posting 2_000", concerns="below_floor"),
)
# fmt: on


@told(*PURCHASES, *CASH, *REFUNDS, *QUESTIONS, *BELOW_ZERO)
def test_purchases(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
