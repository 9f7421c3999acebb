"""A repeat (x1, or the same type again) gets the first answer byte for byte, declines included, and changes nothing."""

from __future__ import annotations

import pytest

from simulators.messages import Terms
from tests.house import House
from tests.scenarios.line import Line, codec_of
from tests.scenarios.steps import (
    advise_reversal,
    as_advice,
    authorize,
    authorize_refund,
    buy,
    inquire,
    lock,
    post,
    post_refund,
    refund,
    repeat,
    reverse,
    send,
    send_again,
    spoken,
    stand_in,
    stand_in_decline,
    status,
    verify,
    withdraw,
)
from tests.scenarios.transcript import DIALECTS, Dialect, Row, Story, maker_for, play, told

# fmt: off
REQUESTS = (
    Story("an approved authorization", (
        #   what happens                                DE39  posted     held   the rule that decided
        Row(authorize("pay", 30_000),                   "00", 100_000, 30_000, "funds: pass"),
        Row(repeat("pay"),                              "00", 100_000, 30_000),
        Row(send_again("pay"),                          "00", 100_000, 30_000),
        Row(repeat("pay"),                              "00", 100_000, 30_000),
    ), journal="hold 30_000"),

    Story("an approved single message", (
        Row(buy("pay", 30_000),                         "00",  70_000,      0, "funds: pass"),
        Row(repeat("pay"),                              "00",  70_000,      0),
        Row(send_again("pay"),                          "00",  70_000,      0),
    ), journal="posting 30_000"),

    Story("cash", (
        Row(withdraw("cash", 30_000),                   "00",  70_000,      0, "funds: pass"),
        Row(repeat("cash"),                             "00",  70_000,      0),
    ), journal="posting 30_000"),

    Story("a refund", (
        Row(refund("back", 30_000),                     "00", 130_000,      0, "funds: pass"),
        Row(repeat("back"),                             "00", 130_000,      0),
    ), journal="refund 30_000"),

    Story("a refund authorization", (
        Row(authorize_refund("back", 30_000),           "00", 100_000,      0, "funds: pass"),
        Row(repeat("back"),                             "00", 100_000,      0),
    )),

    Story("a decline, though the purchase would be approved by now", (
        Row(lock(),                                     "--", 100_000,      0),
        Row(authorize("pay", 30_000),                   "62", 100_000,      0, "cardholder_lock: card_locked"),
        Row(status("active"),                           "--", 100_000,      0),
        Row(repeat("pay"),                              "62", 100_000,      0),
    )),

    Story("a decline for lack of money tells the balance of then", (
        Row(authorize("pay", 100_001),                  "51", 100_000,      0, "funds: insufficient_funds", de54="ledger 100_000, available 100_000"),
        Row(refund("in", 1),                            "00", 100_001,      0, "funds: pass"),
        Row(repeat("pay"),                              "51", 100_001,      0, de54="ledger 100_000, available 100_000"),
        Row(authorize("anew", 100_001),                 "00", 100_001, 100_001, "funds: pass"),
    ), journal="refund 1, hold 100_001"),

    Story("an approval, though the card has been locked, stolen and emptied since", (
        Row(authorize("pay", 30_000),                   "00", 100_000, 30_000, "funds: pass"),
        Row(buy("rest", 70_000),                        "00",  30_000, 30_000, "funds: pass"),
        Row(lock(),                                     "--",  30_000, 30_000),
        Row(status("stolen"),                           "--",  30_000, 30_000),
        Row(repeat("pay"),                              "00",  30_000, 30_000),
    ), journal="hold 30_000, posting 70_000"),

    Story("an approval that has been reversed since holds nothing again", (
        Row(authorize("pay", 30_000),                   "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                             "00", 100_000,      0, "amount: taken_back"),
        Row(repeat("pay"),                              "00", 100_000,      0),
    ), journal="hold 30_000, release 30_000"),

    Story("a partial approval", (
        Row(authorize("pay", 5_000, Terms(partial=True)), "10", 3_000,  3_000, "funds: pass", amount=3_000, de54="original 5_000"),
        Row(repeat("pay"),                              "10",   3_000,  3_000, amount=3_000, de54="original 5_000"),
    ), balance=3_000, journal="hold 3_000"),

    Story("a CVV2 that matched: the repeat may have lost it", (
        Row(authorize("pay", 500, Terms(cvv2="card")),  "00", 100_000,    500, "funds: pass", de44="M"),
        Row(repeat("pay"),                              "00", 100_000,    500, de44="M"),
        Row(repeat("pay").but({"cvv2": None}),           "00", 100_000,    500, de44="M"),
    ), journal="hold 500"),

    Story("a verification", (
        Row(verify("ask"),                              "00", 100_000,      0, "funds: pass"),
        Row(repeat("ask"),                              "00", 100_000,      0),
    )),

    Story("a balance inquiry tells the balance of then", (
        Row(inquire("ask"),                             "00", 100_000,      0, "funds: pass", de54="ledger 100_000, available 100_000"),
        Row(buy("pay", 30_000),                         "00",  70_000,      0, "funds: pass"),
        Row(repeat("ask"),                              "00",  70_000,      0, de54="ledger 100_000, available 100_000"),
    ), journal="posting 30_000"),

    Story("only the repeat arrives: it is decided as the first", (
        Row(authorize("pay", 30_000).but({"t": spoken("0101")}), "00", 100_000, 30_000, "funds: pass"),
        Row(send_again("pay"),                          "00", 100_000, 30_000),
    ), journal="hold 30_000"),
)

TOLD = (
    Story("a stand-in approval", (
        Row(authorize("lost", 30_000).unsent(),         "--", 100_000,      0),
        Row(stand_in("lost"),                           "00", 100_000, 30_000, "stand_in: approved"),
        Row(repeat("stand-in"),                         "00", 100_000, 30_000),
        Row(send_again("stand-in"),                     "00", 100_000, 30_000),
    ), journal="hold 30_000"),

    Story("a stand-in decline", (
        Row(authorize("pay", 30_000),                   "00", 100_000, 30_000, "funds: pass"),
        Row(stand_in_decline("pay"),                    "00", 100_000,      0, "stand_in: declined"),
        Row(repeat("stand-in"),                         "00", 100_000,      0),
    ), journal="hold 30_000, release 30_000"),

    Story("a financial advice of an authorization", (
        Row(authorize("pay", 30_000),                   "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay"),                                "00",  70_000,      0, "financial_advice: posted"),
        Row(repeat("advice"),                           "00",  70_000,      0),
        Row(send_again("advice"),                       "00",  70_000,      0),
    ), journal="hold 30_000, posting 30_000"),

    Story("a financial advice without one", (
        Row(buy("forced", 30_000).unsent(),             "--",   1_000,      0),
        Row(post("forced"),                             "00", -29_000,      0, "financial_advice: posted"),
        Row(repeat("advice"),                           "00", -29_000,      0),
    ), balance=1_000, journal="posting 30_000", concerns="below_floor"),

    Story("a refund advice", (
        Row(buy("pay", 30_000),                         "00",  70_000,      0, "funds: pass"),
        Row(post_refund("pay", amount=10_000),          "00",  80_000,      0, "financial_advice: posted"),
        Row(repeat("advice"),                           "00",  80_000,      0),
    ), journal="posting 30_000, refund 10_000"),
)

REVERSALS = (
    Story("a reversal: repeated, and then told by the store-and-forward queue", (
        Row(authorize("pay", 30_000),                   "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                             "00", 100_000,      0, "amount: taken_back"),
        Row(repeat("reversal"),                         "00", 100_000,      0),
        Row(as_advice("reversal"),                      "00", 100_000,      0),
        Row(as_advice("reversal").but({"t": spoken("0421")}),   "00", 100_000,      0),
    ), journal="hold 30_000, release 30_000"),

    Story("a reversal advice", (
        Row(authorize("pay", 30_000),                   "00", 100_000, 30_000, "funds: pass"),
        Row(advise_reversal("pay"),                     "00", 100_000,      0, "amount: taken_back"),
        Row(repeat("reversal"),                         "00", 100_000,      0),
    ), journal="hold 30_000, release 30_000"),

    Story("a partial reversal is not taken off a second time", (
        Row(authorize("pay", 30_000),                   "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", left=10_000),                "00", 100_000, 10_000, "amount: taken_back"),
        Row(repeat("reversal"),                         "00", 100_000, 10_000),
    ), journal="hold 30_000, release 20_000"),

    Story("a reversal of a single message", (
        Row(buy("pay", 30_000),                         "00",  70_000,      0, "funds: pass"),
        Row(reverse("pay"),                             "00", 100_000,      0, "amount: taken_back"),
        Row(repeat("reversal"),                         "00", 100_000,      0),
    ), journal="posting 30_000, posting_reversal 30_000"),

    Story("a reversal that came first, repeated after its original was declined", (
        Row(authorize("pay", 30_000).unsent(),          "--", 100_000,      0),
        Row(reverse("pay"),                             "00", 100_000,      0, "original: not_here_yet"),
        Row(repeat("reversal"),                         "00", 100_000,      0),
        Row(send("pay"),                                "05", 100_000,      0, "reversal_first: reversed_earlier"),
        Row(repeat("reversal"),                         "00", 100_000,      0),
        Row(repeat("pay"),                              "05", 100_000,      0),
    )),

    Story("an ambiguous reversal stays one question to a person", (
        Row(authorize("one", 30_000),                   "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 30_000),                   "00", 100_000, 60_000, "funds: pass"),
        Row(reverse("one").but({"retrieval_reference": None, "original": None}), "00", 100_000, 60_000, "original: ambiguous"),
        Row(repeat("reversal"),                         "00", 100_000, 60_000),
    ), journal="hold 30_000, hold 30_000", concerns="ambiguous_original"),
)
# fmt: on


@told(*REQUESTS, *TOLD, *REVERSALS)
def test_repeats(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_a_repeat_on_another_connection(house: House, dialect: Dialect) -> None:
    """The stored answer outlives the session, so the network may repeat wherever it connects next."""
    card = house.new_card()
    maker = maker_for(card, dialect.name)
    asked = dict(maker.authorization("card", 30_000).fields)

    with Line(house.address(dialect.name), codec_of(dialect.name)) as line:
        first = line.ask(asked)
    with Line(house.address(dialect.name), codec_of(dialect.name)) as line:
        again = line.ask({**asked, "t": f"{asked['t'][:3]}1"})

    assert again == first
    assert house.journal(card) == [("hold", 30_000)]
