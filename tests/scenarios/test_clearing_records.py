"""Clearing records and what they belong to: told before, matched by one element or another, or in doubt until a person
has decided.
"""

from __future__ import annotations

from simulators.messages import Change, Terms
from tests.house import House
from tests.scenarios.clearing_steps import (
    bind,
    charge_back,
    expire,
    force,
    in_one_file,
    present,
    present_part,
    present_unknown,
    reject,
    send_file_again,
    take_back,
    tell_again,
)
from tests.scenarios.steps import (
    authorize,
    authorize_cash,
    buy,
    post,
    reverse,
    stand_in,
    stand_in_decline,
    withdraw,
)
from tests.scenarios.transcript import Dialect, Row, Story, play, told

USD = Terms(currency="USD", country="US")
BILLED = {"billing_amount": "000000001500", "billing_currency": "392"}
BOTH = {"retrieval_reference": "SAMEFORBOTH0"}


def network_reference(number: int) -> Change:
    """The network's own transaction id, as this network has them."""
    return lambda maker: maker.network_reference(number)


# fmt: off
TOLD_BEFORE = (
    Story("cash in a single message: its record in the file books nothing again", (
        #   what happens                                    DE39  posted     held   the rule that decided
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
# fmt: on


@told(*TOLD_BEFORE, *MATCHING, *DOUBT)
def test_clearing_records(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
