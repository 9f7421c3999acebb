"""What clearing changes afterwards: refunds, additional charges, records taken back, chargebacks, and the pocket that gets
money back.
"""

from __future__ import annotations

from tests.house import House
from tests.scenarios.clearing_steps import (
    additional_charge,
    charge_back,
    expire,
    fee,
    in_one_file,
    present,
    present_alone,
    present_part,
    present_refund,
    present_refund_alone,
    represent,
    take_back,
)
from tests.scenarios.steps import (
    authorize,
    authorize_refund,
    bonus_left,
    buy,
    load,
    post_refund,
    refund,
)
from tests.scenarios.transcript import Dialect, Row, Story, play, told

# fmt: off
REFUNDS = (
    Story("a refund of a purchase that we know", (
        #   what happens                                    DE39  posted     held   the rule that decided
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

    Story("an additional charge before the presentment: the hold stays for that", (
        Row(authorize("stay", 30_000),                      "00", 100_000, 30_000, "funds: pass"),
        Row(additional_charge("stay", "parking", 2_000),    "--",  98_000, 30_000, "additional_charge: matched", {"hold_state": "open"}),
        Row(present("stay"),                                "--",  68_000,      0, "presentment: matched", {"held": 30_000}),
    ), journal="hold 30_000, additional_charge 2_000, posting 30_000"),

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
    ), journal="hold 30_000, posting 30_000, posting_reversal 30_000", concerns="taken_back_before"),

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


@told(*REFUNDS, *LATER, *POCKETS)
def test_cleared_changes(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
