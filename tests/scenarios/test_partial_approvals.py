"""Partial approvals (DE39 10, DE4 what was approved, DE54 what was asked) and authorizations that are raised later."""

from __future__ import annotations

from simulators.messages import Terms
from switch.contracts.message import Channel, EntryMode
from tests.house import House
from tests.scenarios.clearing_steps import expire, present
from tests.scenarios.steps import (
    authorize,
    authorize_cash,
    buy,
    increment,
    lock,
    post,
    repeat,
    reverse,
    stand_in_decline,
    withdraw,
)
from tests.scenarios.transcript import Dialect, Row, Story, play, told

PART = Terms(partial=True)
PART_CASH = Terms(partial=True, mcc="6011")
PART_WEB = Terms(partial=True, mcc="5732", entry_mode=EntryMode.ECOMMERCE, channel=Channel.ECOMMERCE, cvv2="card")

# fmt: off
PARTIAL = (
    Story("5,000 asked, 3,000 there: a part is approved", (
        #   what happens                             DE39  posted    held   the rule that decided
        Row(authorize("pay", 5_000, PART),           "10",  3_000,  3_000,  "funds: pass", {"partial_supported": True}, amount=3_000, de54="original 5_000"),
        Row(authorize("more", 1, PART),              "51",  3_000,  3_000,  "funds: insufficient_funds", de54="ledger 3_000, available 0"),
        Row(repeat("pay"),                           "10",  3_000,  3_000,  amount=3_000, de54="original 5_000"),
        Row(post("pay", amount=3_000),               "00",      0,      0,  "financial_advice: posted"),
    ), balance=3_000, journal="hold 3_000, posting 3_000"),

    Story("a partial approval is reversed by the amount that was approved", (
        Row(authorize("pay", 5_000, PART),           "10",  3_000,  3_000,  "funds: pass", amount=3_000, de54="original 5_000"),
        Row(reverse("pay", amount=3_000),            "00",  3_000,      0,  "amount: taken_back"),
    ), balance=3_000, journal="hold 3_000, release 3_000"),

    Story("a partial approval is reversed by the amount that was asked", (
        Row(authorize("pay", 5_000, PART),           "10",  3_000,  3_000,  "funds: pass", amount=3_000, de54="original 5_000"),
        Row(reverse("pay", amount=5_000),            "00",  3_000,      0,  "amount: taken_back"),
    ), balance=3_000, journal="hold 3_000, release 3_000"),

    Story("a partial approval is reversed in part", (
        Row(authorize("pay", 5_000, PART),           "10",  3_000,  3_000,  "funds: pass", amount=3_000, de54="original 5_000"),
        Row(reverse("pay", left=1_000),              "00",  3_000,  1_000,  "amount: taken_back"),
    ), balance=3_000, journal="hold 3_000, release 2_000"),

    Story("a single message is approved in part and posted", (
        Row(buy("pay", 5_000, PART),                 "10",      0,      0,  "funds: pass", amount=3_000, de54="original 5_000"),
    ), balance=3_000, journal="posting 3_000"),

    Story("a part, and the right CVV2", (
        Row(authorize("pay", 5_000, PART_WEB),       "10",  3_000,  3_000,  "funds: pass", amount=3_000, de44="M", de54="original 5_000"),
    ), balance=3_000, journal="hold 3_000"),

    Story("a part down to the floor", (
        Row(authorize("pay", 5_000, PART),           "10",  3_000,  2_000,  "funds: pass", amount=2_000, de54="original 5_000"),
    ), balance=3_000, floor=1_000, journal="hold 2_000"),

    Story("enough there: the whole, and not 10", (
        Row(authorize("pay", 3_000, PART),           "00",  3_000,  3_000,  "funds: pass"),
    ), balance=3_000, journal="hold 3_000"),

    Story("dollars in part", (
        Row(authorize("pay", 5_000, Terms(partial=True, country="US")), "10", 3_050, 3_050, "funds: pass", amount=3_050, de54="original 5_000"),
    ), program="travel_usd", balance=3_050, journal="hold 3_050"),

    Story("not in part: the terminal can't", (
        Row(authorize("pay", 5_000),                 "51",  3_000,      0,  "funds: insufficient_funds", {"partial_supported": False}, de54="ledger 3_000, available 3_000"),
    ), balance=3_000),

    Story("not in part: the program won't", (
        Row(authorize("pay", 5_000, PART),           "51",  3_000,      0,  "funds: insufficient_funds", {"partial_supported": True}, de54="ledger 3_000, available 3_000"),
    ), program="no_partial", balance=3_000),

    Story("not in part: cash", (
        Row(withdraw("cash", 5_000, PART_CASH),      "51",  3_000,      0,  "funds: insufficient_funds", de54="ledger 3_000, available 3_000"),
        Row(authorize_cash("more", 5_000, PART_CASH), "51", 3_000,      0,  "funds: insufficient_funds", de54="ledger 3_000, available 3_000"),
    ), balance=3_000),

    Story("not in part: nothing is there", (
        Row(authorize("pay", 5_000, PART),           "51",      0,      0,  "funds: insufficient_funds", de54="ledger 0, available 0"),
    ), balance=0),

    Story("not in part: asked in dollars, billed in yen", (
        Row(authorize("pay", 1_000, Terms(partial=True, currency="USD")).but({"billing_amount": "000000005000", "billing_currency": "392"}), "51", 3_000, 0, "funds: insufficient_funds", de54="ledger 3_000, available 3_000"),
    ), balance=3_000),
)

INCREMENTS = (
    Story("a hold is raised, and posted as one", (
        Row(authorize("stay", 10_000),               "00", 100_000, 10_000, "funds: pass"),
        Row(increment("stay", "bar", 5_000),         "00", 100_000, 15_000, "increment: pass", {"level": "retrieval_reference"}),
        Row(increment("stay", "spa", 2_000),         "00", 100_000, 17_000, "increment: pass"),
        Row(post("stay", amount=17_000),             "00",  83_000,      0, "financial_advice: posted"),
    ), journal="hold 10_000, hold_increase 5_000, hold_increase 2_000, posting 17_000"),

    Story("reversing the first authorization takes back all that was raised", (
        Row(authorize("stay", 10_000),               "00", 100_000, 10_000, "funds: pass"),
        Row(increment("stay", "bar", 5_000),         "00", 100_000, 15_000, "increment: pass"),
        Row(reverse("stay"),                         "00", 100_000,      0, "amount: taken_back"),
    ), journal="hold 10_000, hold_increase 5_000, release 15_000"),

    Story("reversing an increment takes back only that", (
        Row(authorize("stay", 10_000),               "00", 100_000, 10_000, "funds: pass"),
        Row(increment("stay", "bar", 5_000),         "00", 100_000, 15_000, "increment: pass"),
        Row(reverse("bar", "no bar"),                "00", 100_000, 10_000, "amount: taken_back"),
        Row(reverse("stay", "no stay"),              "00", 100_000,      0, "amount: taken_back"),
    ), journal="hold 10_000, hold_increase 5_000, release 5_000, release 10_000"),

    Story("a partial reversal of a raised hold: DE95 is what is left of all", (
        Row(authorize("stay", 10_000),               "00", 100_000, 10_000, "funds: pass"),
        Row(increment("stay", "bar", 5_000),         "00", 100_000, 15_000, "increment: pass"),
        Row(reverse("stay", left=12_000),            "00", 100_000, 12_000, "amount: taken_back"),
    ), journal="hold 10_000, hold_increase 5_000, release 3_000"),

    Story("an increment beyond the balance leaves the hold as it was, whole or not at all", (
        Row(authorize("stay", 90_000),               "00", 100_000, 90_000, "funds: pass"),
        Row(increment("stay", "bar", 10_001, PART), "51", 100_000, 90_000, "funds: insufficient_funds", de54="ledger 100_000, available 10_000"),
        Row(increment("stay", "small bar", 10_000),  "00", 100_000, 100_000, "increment: pass"),
    ), journal="hold 90_000, hold_increase 10_000"),

    Story("a repeated increment raises once", (
        Row(authorize("stay", 10_000),               "00", 100_000, 10_000, "funds: pass"),
        Row(increment("stay", "bar", 5_000),         "00", 100_000, 15_000, "increment: pass"),
        Row(repeat("bar"),                           "00", 100_000, 15_000),
    ), journal="hold 10_000, hold_increase 5_000"),

    Story("an increment without its first", (
        Row(authorize("stay", 10_000).unsent(),      "--", 100_000,      0),
        Row(increment("stay", "bar", 5_000),         "25", 100_000,      0, "increment: original_not_found", {"level": "none"}),
    )),

    Story("an increment of a decline", (
        Row(authorize("stay", 100_001),              "51", 100_000,      0, "funds: insufficient_funds", de54="ledger 100_000, available 100_000"),
        Row(increment("stay", "bar", 5_000),         "25", 100_000,      0, "increment: original_not_found"),
    )),

    Story("an increment after the reversal, after the presentment, after a stand-in decline", (
        Row(authorize("reversed", 1_000),            "00", 100_000,  1_000, "funds: pass"),
        Row(reverse("reversed"),                     "00", 100_000,      0, "amount: taken_back"),
        Row(increment("reversed", "bar", 5_000),     "25", 100_000,      0, "increment: original_not_found"),
        Row(authorize("posted", 1_000),              "00", 100_000,  1_000, "funds: pass"),
        Row(post("posted"),                          "00",  99_000,      0, "financial_advice: posted"),
        Row(increment("posted", "spa", 5_000),       "25",  99_000,      0, "increment: original_not_found"),
        Row(authorize("declined", 1_000),            "00",  99_000,  1_000, "funds: pass"),
        Row(stand_in_decline("declined"),            "00",  99_000,      0, "stand_in: declined"),
        Row(increment("declined", "gym", 5_000),     "25",  99_000,      0, "increment: original_not_found"),
    ), journal="hold 1_000, release 1_000, hold 1_000, posting 1_000, hold 1_000, release 1_000"),

    Story("an increment after the hold expired opens it again, for what it asks", (
        Row(authorize("stay", 10_000),               "00", 100_000, 10_000, "funds: pass"),
        Row(expire("stay"),                          "--", 100_000,      0),
        Row(increment("stay", "bar", 5_000),         "00", 100_000,  5_000, "increment: pass", {"hold_state": "expired"}),
        Row(reverse("bar"),                          "00", 100_000,      0, "amount: taken_back"),
        Row(increment("stay", "spa", 2_000),         "00", 100_000,  2_000, "increment: pass", {"hold_state": "expired"}),
        Row(present("stay", amount=12_000),          "--",  88_000,      0, "presentment: matched", {"hold_state": "open"}),
    ), journal="hold 10_000, expiry 10_000, hold 5_000, release 5_000, hold 2_000, posting 2_000, posting 10_000"),

    Story("an increment is decided by the card as it is now", (
        Row(authorize("stay", 10_000),               "00", 100_000, 10_000, "funds: pass"),
        Row(lock(),                                  "--", 100_000, 10_000),
        Row(increment("stay", "bar", 5_000),         "62", 100_000, 10_000, "cardholder_lock: card_locked"),
    ), journal="hold 10_000"),
)
# fmt: on


@told(*PARTIAL, *INCREMENTS)
def test_partial_approvals_and_increments(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
