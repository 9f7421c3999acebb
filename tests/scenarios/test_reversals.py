"""Reversals (0400, 0420): they can't be declined, change what is still there to undo, and never guess."""

from __future__ import annotations

from simulators.messages import Change, Maker, Terms
from tests.house import House
from tests.scenarios.steps import (
    Do,
    advise_reversal,
    authorize,
    authorize_refund,
    buy,
    lock,
    post,
    refund,
    repeat,
    reverse,
    send,
    stand_in,
    status,
    verify,
    withdraw,
)
from tests.scenarios.transcript import Dialect, Row, Story, play, told


def by_reference(do: Do) -> Do:
    """A reversal that names its original by the retrieval reference alone."""
    return do.but({"original": None})


def by_original(do: Do) -> Do:
    """... by the original data elements (DE90) alone."""
    return do.but({"retrieval_reference": None})


def by_terminal(do: Do) -> Do:
    """... by nothing: acquirer, terminal and amount must do."""
    return do.but({"retrieval_reference": None, "original": None})


def network_reference(number: int) -> Change:
    """The network's own transaction id, as this network has them."""
    return lambda maker: maker.network_reference(number)


def zeros(maker: Maker) -> str:
    """Original data elements that name nothing."""
    return maker.original_text()


# fmt: off
FULL_AND_PARTIAL = (
    Story("a full reversal gives everything back", (
        #   what happens                                    DE39  posted     held   the rule that decided
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "amount: taken_back", {"held": 30_000, "final": 0}),
        Row(authorize("all", 100_000),                      "00", 100_000, 100_000, "funds: pass"),
    ), journal="hold 30_000, release 30_000, hold 100_000"),

    Story("told as an advice (0420) it does the same", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(advise_reversal("pay"),                         "00", 100_000,      0, "amount: taken_back"),
    ), journal="hold 30_000, release 30_000"),

    Story("a partial reversal: DE95 is the final amount; then the full one", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", "partial", left=10_000),         "00", 100_000, 10_000, "amount: taken_back", {"replacement": 10_000, "final": 10_000}),
        Row(reverse("pay", "full"),                         "00", 100_000,      0, "amount: taken_back", {"held": 10_000, "final": 0}),
    ), journal="hold 30_000, release 20_000, release 10_000"),

    Story("three partial reversals, each with a smaller final amount", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", "first", left=20_000),           "00", 100_000, 20_000, "amount: taken_back"),
        Row(advise_reversal("pay", "second", left=15_000),  "00", 100_000, 15_000, "amount: taken_back"),
        Row(reverse("pay", "third", left=1),                "00", 100_000,      1, "amount: taken_back"),
    ), journal="hold 30_000, release 10_000, release 5_000, release 14_999"),

    Story("partial reversal, then presentment of what is left: that is posted and nothing else", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", left=10_000),                    "00", 100_000, 10_000, "amount: taken_back"),
        Row(post("pay", amount=10_000),                     "00",  90_000,      0, "financial_advice: posted"),
    ), journal="hold 30_000, release 20_000, posting 10_000"),

    Story("DE95 of zero is a full reversal", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", left=0),                         "00", 100_000,      0, "amount: taken_back"),
    ), journal="hold 30_000, release 30_000"),

    Story("a single message is reversed in part, then in full", (
        Row(buy("pay", 30_000),                             "00",  70_000,      0, "funds: pass"),
        Row(reverse("pay", "partial", left=10_000),         "00",  90_000,      0, "amount: taken_back"),
        Row(reverse("pay", "full"),                         "00", 100_000,      0, "amount: taken_back"),
    ), journal="posting 30_000, posting_reversal 20_000, posting_reversal 10_000"),

    Story("cash that the machine did not pay out", (
        Row(withdraw("cash", 30_000),                       "00",  70_000,      0, "funds: pass"),
        Row(reverse("cash"),                                "00", 100_000,      0, "amount: taken_back"),
    ), journal="posting 30_000, posting_reversal 30_000"),

    Story("cash that the machine paid out in part", (
        Row(withdraw("cash", 30_000),                       "00",  70_000,      0, "funds: pass"),
        Row(advise_reversal("cash", left=20_000),           "00",  80_000,      0, "amount: taken_back"),
    ), journal="posting 30_000, posting_reversal 10_000"),

    Story("a stand-in approval is reversed", (
        Row(authorize("lost", 30_000).unsent(),             "--", 100_000,      0),
        Row(stand_in("lost"),                               "00", 100_000, 30_000, "stand_in: approved"),
        Row(reverse("lost"),                                "00", 100_000,      0, "amount: taken_back"),
    ), journal="hold 30_000, release 30_000"),

    Story("a financial advice is reversed", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay", "posting"),                         "00",  70_000,      0, "financial_advice: posted"),
        Row(reverse("posting"),                             "00", 100_000,      0, "amount: taken_back"),
    ), journal="hold 30_000, posting 30_000, posting_reversal 30_000"),

    Story("what was posted after a full reversal is reversed too", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", "first"),                        "00", 100_000,      0, "amount: taken_back"),
        Row(post("pay", "posting"),                         "00",  70_000,      0, "financial_advice: posted"),
        Row(reverse("posting", "second"),                   "00", 100_000,      0, "amount: taken_back"),
    ), journal="hold 30_000, release 30_000, posting 30_000, posting_reversal 30_000", concerns="posted_after_reversed"),

    Story("a reversal asks neither for the card's status nor for its lock", (
        Row(authorize("one", 10_000),                       "00", 100_000, 10_000, "funds: pass"),
        Row(authorize("two", 20_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(lock(),                                         "--", 100_000, 30_000),
        Row(reverse("one", "while locked"),                 "00", 100_000, 20_000, "amount: taken_back"),
        Row(status("closed"),                               "--", 100_000, 20_000),
        Row(reverse("two", "while closed"),                 "00", 100_000,      0, "amount: taken_back"),
    ), journal="hold 10_000, hold 20_000, release 10_000, release 20_000"),
)

LATE = (
    Story("the answer was too late for the network: it reverses, and repeats until it hears us", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", "late"),                         "00", 100_000,      0, "amount: taken_back"),
        Row(repeat("late"),                                 "00", 100_000,      0),
        Row(repeat("late"),                                 "00", 100_000,      0),
        Row(repeat("pay"),                                  "00", 100_000,      0),
    ), journal="hold 30_000, release 30_000"),

    Story("the reversal overtakes its original: the original is declined, and so is its repeat", (
        Row(authorize("pay", 30_000).unsent(),              "--", 100_000,      0),
        Row(reverse("pay"),                                 "00", 100_000,      0, "original: not_here_yet"),
        Row(send("pay"),                                    "05", 100_000,      0, "reversal_first: reversed_earlier"),
        Row(repeat("pay"),                                  "05", 100_000,      0),
        Row(authorize("next", 30_000),                      "00", 100_000, 30_000, "funds: pass"),
    ), journal="hold 30_000"),

    Story("overtaken, known by DE90 only", (
        Row(authorize("pay", 30_000).unsent(),              "--", 100_000,      0),
        Row(by_original(reverse("pay")),                    "00", 100_000,      0, "original: not_here_yet"),
        Row(authorize("another", 1_000),                    "00", 100_000,  1_000, "funds: pass"),
        Row(send("pay"),                                    "05", 100_000,  1_000, "reversal_first: reversed_earlier"),
    ), journal="hold 1_000"),

    Story("overtaken, known by the retrieval reference only", (
        Row(authorize("pay", 30_000).unsent(),              "--", 100_000,      0),
        Row(by_reference(reverse("pay")),                   "00", 100_000,      0, "original: not_here_yet"),
        Row(authorize("another", 1_000),                    "00", 100_000,  1_000, "funds: pass"),
        Row(send("pay"),                                    "05", 100_000,  1_000, "reversal_first: reversed_earlier"),
    ), journal="hold 1_000"),

    Story("overtaken, known by the network's own reference only", (
        Row(authorize("pay", 30_000).but({"network_reference": network_reference(1)}).unsent(), "--", 100_000, 0),
        Row(by_terminal(reverse("pay")),                    "00", 100_000,      0, "original: not_here_yet"),
        Row(send("pay"),                                    "05", 100_000,      0, "reversal_first: reversed_earlier"),
    )),

    Story("overtaken by a 0420; the original is a single message", (
        Row(buy("pay", 30_000).unsent(),                    "--", 100_000,      0),
        Row(advise_reversal("pay"),                         "00", 100_000,      0, "original: not_here_yet"),
        Row(send("pay"),                                    "05", 100_000,      0, "reversal_first: reversed_earlier"),
    )),

    Story("overtaken twice: two reversals of one original decline it once and harm nobody else", (
        Row(authorize("pay", 30_000).unsent(),              "--", 100_000,      0),
        Row(reverse("pay", "once"),                         "00", 100_000,      0, "original: not_here_yet"),
        Row(advise_reversal("pay", "twice"),                "00", 100_000,      0, "original: not_here_yet"),
        Row(send("pay"),                                    "05", 100_000,      0, "reversal_first: reversed_earlier"),
        Row(authorize("next", 30_000),                      "00", 100_000, 30_000, "funds: pass"),
    ), journal="hold 30_000"),

    Story("overtaken; the network had stood in meanwhile, so nothing is held, and a presentment still posts", (
        Row(authorize("pay", 30_000).unsent(),              "--", 100_000,      0),
        Row(by_reference(reverse("pay")),                   "00", 100_000,      0, "original: not_here_yet"),
        Row(stand_in("pay"),                                "00", 100_000,      0, "stand_in: approved"),
        Row(post("pay"),                                    "00",  70_000,      0, "financial_advice: posted"),
    ), journal="posting 30_000", concerns="advice_after_reversal, posting_after_reversal"),
)

NOTHING_TO_UNDO = (
    Story("a reversal of a decline", (
        Row(authorize("pay", 100_001),                      "51", 100_000,      0, "funds: insufficient_funds", de54="ledger 100_000, available 100_000"),
        Row(reverse("pay"),                                 "00", 100_000,      0, "original: moved_nothing"),
    )),

    Story("a reversal of a refund authorization", (
        Row(authorize_refund("back", 30_000),               "00", 100_000,      0, "funds: pass"),
        Row(reverse("back"),                                "00", 100_000,      0, "original: moved_nothing"),
    )),

    Story("a reversal of a verification", (
        Row(verify("ask"),                                  "00", 100_000,      0, "funds: pass"),
        Row(reverse("ask"),                                 "00", 100_000,      0, "original: moved_nothing"),
    )),

    Story("a double reversal", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("other", 10_000),                     "00", 100_000, 40_000, "funds: pass"),
        Row(reverse("pay", "once"),                         "00", 100_000, 10_000, "amount: taken_back"),
        Row(reverse("pay", "twice"),                        "00", 100_000, 10_000, "hold: nothing_left"),
        Row(advise_reversal("pay", "three times"),          "00", 100_000, 10_000, "hold: nothing_left"),
        Row(reverse("pay", "and in part", left=5_000),      "00", 100_000, 10_000, "hold: nothing_left"),
    ), journal="hold 30_000, hold 10_000, release 30_000"),

    Story("a double reversal of a single message", (
        Row(buy("pay", 30_000),                             "00",  70_000,      0, "funds: pass"),
        Row(reverse("pay", "once"),                         "00", 100_000,      0, "amount: taken_back"),
        Row(reverse("pay", "twice"),                        "00", 100_000,      0, "hold: nothing_left"),
    ), journal="posting 30_000, posting_reversal 30_000"),

    Story("an over-reversal: more than was held changes nothing", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", "by DE4", amount=40_000),        "00", 100_000, 30_000, "amount: over_reversal"),
        Row(reverse("pay", "by DE95", left=30_001),         "00", 100_000, 30_000, "amount: over_reversal"),
        Row(reverse("pay", "in part", left=10_000),         "00", 100_000, 10_000, "amount: taken_back"),
        Row(reverse("pay", "back up", left=20_000),         "00", 100_000, 10_000, "amount: over_reversal"),
    ), journal="hold 30_000, release 20_000", concerns="over_reversal, over_reversal, over_reversal"),

    Story("an over-reversal of a single message", (
        Row(buy("pay", 30_000),                             "00",  70_000,      0, "funds: pass"),
        Row(reverse("pay", "by DE4", amount=30_001),        "00",  70_000,      0, "amount: over_reversal"),
        Row(reverse("pay", "by DE95", left=30_001),         "00",  70_000,      0, "amount: over_reversal"),
    ), journal="posting 30_000", concerns="over_reversal, over_reversal"),

    Story("a smaller DE4 without DE95: it can't be told what should be left, so a person decides", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(reverse("pay", amount=10_000),                  "00", 100_000, 30_000, "amount: partial_reversal_without_replacement"),
    ), journal="hold 30_000", concerns="partial_reversal_without_replacement"),

    Story("a reversal of an authorization that has been presented", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(post("pay", "posting"),                         "00",  70_000,      0, "financial_advice: posted"),
        Row(by_reference(reverse("pay")).but({"approval_code": None}), "00",  70_000,      0, "hold: already_posted"),
    ), journal="hold 30_000, posting 30_000", concerns="reversal_after_posting"),
)

MATCHING = (
    Story("the original is found by the network's own reference before anything else", (
        Row(authorize("pay", 30_000).but({"network_reference": network_reference(1)}),  "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("other", 20_000).but({"network_reference": network_reference(2)}), "00", 100_000, 50_000, "funds: pass"),
        Row(reverse("pay").but({"retrieval_reference": "SOMETHINGNEW", "original": None}), "00", 100_000, 20_000, "amount: taken_back", {"level": "network_reference"}),
    ), journal="hold 30_000, hold 20_000, release 30_000"),

    Story("the original is found by the retrieval reference, DE90 zero-filled", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("other", 30_000),                     "00", 100_000, 60_000, "funds: pass"),
        Row(reverse("pay").but({"original": zeros}),              "00", 100_000, 30_000, "amount: taken_back", {"level": "retrieval_reference"}),
    ), journal="hold 30_000, hold 30_000, release 30_000"),

    Story("the original is found by DE90", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("other", 30_000),                     "00", 100_000, 60_000, "funds: pass"),
        Row(by_original(reverse("pay")),                    "00", 100_000, 30_000, "amount: taken_back", {"level": "original_elements"}),
    ), journal="hold 30_000, hold 30_000, release 30_000"),

    Story("no reference at all: acquirer, terminal and amount", (
        Row(authorize("pay", 30_000, Terms(terminal_id="TILL0001")),   "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("amount", 20_000, Terms(terminal_id="TILL0001")), "00", 100_000, 50_000, "funds: pass"),
        Row(authorize("place", 30_000, Terms(terminal_id="TILL0002")),  "00", 100_000, 80_000, "funds: pass"),
        Row(by_terminal(reverse("pay")),                    "00", 100_000, 50_000, "amount: taken_back", {"level": "terminal_and_amount", "hold": 2}),
    ), journal="hold 30_000, hold 20_000, hold 30_000, release 30_000"),

    Story("no reference and DE90 zero-filled is no reference either", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(by_terminal(reverse("pay")).but({"original": zeros}), "00", 100_000,      0, "amount: taken_back", {"level": "terminal_and_amount"}),
    ), journal="hold 30_000, release 30_000"),

    Story("no reference, and nothing like it: a person is told, no later purchase is harmed", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(by_terminal(reverse("pay", amount=20_000)),     "00", 100_000, 30_000, "original: not_found"),
        Row(authorize("later", 20_000),                     "00", 100_000, 50_000, "funds: pass"),
    ), journal="hold 30_000, hold 20_000", concerns="reversal_without_reference"),

    Story("ambiguous: the same amount twice at one terminal, no reference", (
        Row(authorize("one", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 30_000),                       "00", 100_000, 60_000, "funds: pass"),
        Row(by_terminal(reverse("one")),                    "00", 100_000, 60_000, "original: ambiguous"),
    ), journal="hold 30_000, hold 30_000", concerns="ambiguous_original"),

    Story("ambiguous: two purchases share a retrieval reference, and DE90 is not there to tell", (
        Row(authorize("one", 30_000).but({"retrieval_reference": "SAMEFORBOTH0"}), "00", 100_000, 30_000, "funds: pass"),
        Row(authorize("two", 20_000).but({"retrieval_reference": "SAMEFORBOTH0"}), "00", 100_000, 50_000, "funds: pass"),
        Row(by_reference(reverse("one", "which?")),         "00", 100_000, 50_000, "original: ambiguous"),
        # DE90 tells them apart.
        Row(reverse("two", "this one"),                     "00", 100_000, 30_000, "amount: taken_back"),
    ), journal="hold 30_000, hold 20_000, release 20_000", concerns="ambiguous_original"),

    Story("a declined try and an approved one share a reference: the approved one is meant", (
        Row(authorize("try", 100_001).but({"retrieval_reference": "SAMEFORBOTH0"}), "51", 100_000,    0, "funds: insufficient_funds", de54="ledger 100_000, available 100_000"),
        Row(authorize("pay", 30_000).but({"retrieval_reference": "SAMEFORBOTH0"}), "00", 100_000, 30_000, "funds: pass"),
        Row(by_reference(reverse("pay")),                   "00", 100_000,      0, "amount: taken_back"),
    ), journal="hold 30_000, release 30_000"),

    Story("a wrong approval code beside the reference: not that purchase", (
        Row(authorize("pay", 30_000),                       "00", 100_000, 30_000, "funds: pass"),
        Row(by_reference(reverse("pay")).but({"approval_code": "WRONG1"}), "00", 100_000, 30_000, "original: not_here_yet"),
    ), journal="hold 30_000"),
)

REFUNDS = (
    Story("a refund is reversed", (
        Row(refund("back", 5_000),                          "00", 105_000,      0, "funds: pass"),
        Row(reverse("back"),                                "00", 100_000,      0, "amount: taken_back"),
        Row(reverse("back", "twice"),                       "00", 100_000,      0, "hold: nothing_left"),
    ), journal="refund 5_000, posting_reversal 5_000"),

    Story("a refund is reversed in part", (
        Row(refund("back", 5_000),                          "00", 105_000,      0, "funds: pass"),
        Row(reverse("back", left=2_000),                    "00", 102_000,      0, "amount: taken_back"),
    ), journal="refund 5_000, posting_reversal 3_000"),
)
# fmt: on


@told(*FULL_AND_PARTIAL, *LATE, *NOTHING_TO_UNDO, *MATCHING, *REFUNDS)
def test_reversals(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
