"""Limits of the program ``small_limits``, on their boundaries: ¥5,000 a purchase; ¥10,000 and 3 a day; ¥20,000 and 5 a month;
¥30,000 and 8 in the card's life. What happens at midnight is tested where the clock can be set.
"""

from __future__ import annotations

from simulators.messages import Terms
from tests.house import House
from tests.scenarios.steps import (
    Do,
    authorize,
    buy,
    increment,
    inquire,
    load,
    new_day,
    new_month,
    post,
    refund,
    reverse,
    stand_in,
    stand_in_decline,
    verify,
    withdraw,
)
from tests.scenarios.transcript import Dialect, Row, Story, play, told


def spend(label: str, amount: int, posted: int) -> Row:
    """A purchase in a single message that is approved."""
    return Row(buy(label, amount), "00", posted, 0, "funds: pass")


def over(do: Do, code: str, posted: int, held: int, rule: str, **seen: int) -> Row:
    return Row(do, code, posted, held, rule, seen)


# fmt: off
PURCHASE = (
    Story("the limit of one purchase", (
        over(authorize("over", 5_001),     "61", 100_000,      0, "purchase_limit: over_amount_limit", amount=5_001, limit=5_000),
        over(buy("over, single", 5_001),   "61", 100_000,      0, "purchase_limit: over_amount_limit", amount=5_001, limit=5_000),
        over(withdraw("over, cash", 5_001), "61", 100_000,     0, "purchase_limit: over_amount_limit", amount=5_001, limit=5_000),
        Row(authorize("on it", 5_000),     "00", 100_000,  5_000, "funds: pass"),
    ), program="small_limits", journal="hold 5_000"),

    Story("a refund knows no limit", (
        Row(refund("back", 50_000),        "00", 150_000,      0, "funds: pass"),
        spend("first", 5_000, 145_000),
        spend("second", 5_000, 140_000),
    ), program="small_limits", journal="refund 50_000, posting 5_000, posting 5_000"),
)

DAY = (
    Story("the day's amount", (
        Row(authorize("first", 5_000),     "00", 100_000,  5_000, "funds: pass"),
        Row(authorize("second", 4_999),    "00", 100_000,  9_999, "funds: pass"),
        over(authorize("over", 2),         "61", 100_000,  9_999, "daily_limit: over_amount_limit", spent=9_999, amount=2, limit=10_000),
        Row(authorize("on it", 1),         "00", 100_000, 10_000, "funds: pass"),
        # Now both are reached; the amount is looked at first.
        over(authorize("both", 1),         "61", 100_000, 10_000, "daily_limit: over_amount_limit", spent=10_000, count=3),
    ), program="small_limits", journal="hold 5_000, hold 4_999, hold 1"),

    Story("the day's count", (
        spend("1", 100, 99_900),
        spend("2", 100, 99_800),
        spend("3", 100, 99_700),
        over(buy("4", 100),                "65",  99_700,      0, "daily_limit: over_count_limit", count=3, count_limit=3),
    ), program="small_limits", journal="posting 100, posting 100, posting 100"),

    Story("declines, verifications, inquiries and refunds are not counted", (
        Row(verify("verify"),              "00", 100_000,      0, "funds: pass"),
        Row(inquire("inquire"),            "00", 100_000,      0, "funds: pass", de54="ledger 100_000, available 100_000"),
        Row(refund("refund", 100),         "00", 100_100,      0, "funds: pass"),
        over(buy("declined", 6_000),       "61", 100_100,      0, "purchase_limit: over_amount_limit"),
        spend("1", 100, 100_000),
        spend("2", 100, 99_900),
        spend("3", 100, 99_800),
        over(buy("4", 100),                "65",  99_800,      0, "daily_limit: over_count_limit", count=3),
        # The limits are for spending: at the end of them the card can still be asked about.
        Row(verify("verify again"),        "00",  99_800,      0, "funds: pass"),
        Row(refund("refund again", 100),   "00",  99_900,      0, "funds: pass"),
    ), program="small_limits", journal="refund 100, posting 100, posting 100, posting 100, refund 100"),

    Story("an increment adds to the day's amount and not to its count", (
        Row(authorize("1", 1_000),         "00", 100_000,  1_000, "funds: pass"),
        Row(authorize("2", 1_000),         "00", 100_000,  2_000, "funds: pass"),
        Row(authorize("3", 1_000),         "00", 100_000,  3_000, "funds: pass"),
        Row(increment("1", "more", 4_000), "00", 100_000,  7_000, "increment: pass"),
        over(increment("2", "over", 3_001), "61", 100_000, 7_000, "daily_limit: over_amount_limit", spent=7_000),
        Row(increment("2", "on it", 3_000), "00", 100_000, 10_000, "increment: pass"),
    ), program="small_limits", journal="hold 1_000, hold 1_000, hold 1_000, hold_increase 4_000, hold_increase 3_000"),

    Story("a presentment of what was authorised is not counted twice", (
        Row(authorize("1", 5_000),         "00", 100_000,  5_000, "funds: pass"),
        Row(post("1"),                     "00",  95_000,      0, "financial_advice: posted"),
        Row(authorize("2", 5_000),         "00",  95_000,  5_000, "funds: pass"),
        over(authorize("3", 1),            "61",  95_000,  5_000, "daily_limit: over_amount_limit", spent=10_000, count=2),
    ), program="small_limits", journal="hold 5_000, posting 5_000, hold 5_000"),

    Story("stand-in approvals and force posts count, and are booked beyond every limit", (
        Row(authorize("lost", 9_000).unsent(), "--", 100_000,  0),
        Row(stand_in("lost"),              "00", 100_000,  9_000, "stand_in: approved"),
        over(authorize("over", 1_001),     "61", 100_000,  9_000, "daily_limit: over_amount_limit", spent=9_000, count=1),
        Row(buy("forced", 9_000).unsent(), "--", 100_000,  9_000),
        Row(post("forced", "force post"),  "00",  91_000,  9_000, "financial_advice: posted"),
        over(authorize("nothing left", 1), "61",  91_000,  9_000, "daily_limit: over_amount_limit", spent=18_000, count=2),
    ), program="small_limits", journal="hold 9_000, posting 9_000"),

    Story("a partial approval counts what it approved", (
        Row(authorize("part", 100_000, Terms(partial=True)), "10", 60_000, 60_000, "funds: pass", amount=60_000, de54="original 100_000"),
        Row(load(200_000),                 "--", 260_000, 60_000),
        Row(authorize("2", 100_000),       "00", 260_000, 160_000, "funds: pass"),
        over(authorize("over", 40_001),    "61", 260_000, 160_000, "daily_limit: over_amount_limit", spent=160_000, limit=200_000),
        Row(authorize("on it", 40_000),    "00", 260_000, 200_000, "funds: pass"),
    ), program="standard", balance=60_000, journal="hold 60_000, hold 100_000, hold 40_000"),
)

GIVEN_BACK = (
    Story("a full reversal gives amount and count back", (
        Row(authorize("1", 5_000),         "00", 100_000,  5_000, "funds: pass"),
        Row(authorize("2", 4_000),         "00", 100_000,  9_000, "funds: pass"),
        Row(authorize("3", 1_000),         "00", 100_000, 10_000, "funds: pass"),
        over(authorize("over", 1),         "61", 100_000, 10_000, "daily_limit: over_amount_limit", spent=10_000, count=3),
        Row(reverse("1"),                  "00", 100_000,  5_000, "amount: taken_back"),
        Row(authorize("again", 5_000),     "00", 100_000, 10_000, "funds: pass"),
        over(authorize("over again", 1),   "61", 100_000, 10_000, "daily_limit: over_amount_limit", spent=10_000, count=3),
    ), program="small_limits", journal="hold 5_000, hold 4_000, hold 1_000, release 5_000, hold 5_000"),

    Story("a second reversal gives nothing back a second time", (
        Row(authorize("1", 5_000),         "00", 100_000,  5_000, "funds: pass"),
        Row(authorize("2", 5_000),         "00", 100_000, 10_000, "funds: pass"),
        Row(reverse("1", "once"),          "00", 100_000,  5_000, "amount: taken_back"),
        Row(reverse("1", "twice"),         "00", 100_000,  5_000, "hold: nothing_left"),
        Row(authorize("3", 5_000),         "00", 100_000, 10_000, "funds: pass"),
        over(authorize("nothing left", 1), "61", 100_000, 10_000, "daily_limit: over_amount_limit", spent=10_000, count=2),
    ), program="small_limits", journal="hold 5_000, hold 5_000, release 5_000, hold 5_000"),

    Story("a partial reversal gives back the difference and no count", (
        Row(authorize("1", 5_000),         "00", 100_000,  5_000, "funds: pass"),
        Row(authorize("2", 5_000),         "00", 100_000, 10_000, "funds: pass"),
        Row(reverse("1", left=2_000),      "00", 100_000,  7_000, "amount: taken_back"),
        over(authorize("over", 3_001),     "61", 100_000,  7_000, "daily_limit: over_amount_limit", spent=7_000, count=2),
        Row(authorize("3", 2_999),         "00", 100_000,  9_999, "funds: pass"),
        over(authorize("4", 1),            "65", 100_000,  9_999, "daily_limit: over_count_limit", spent=9_999, count=3),
    ), program="small_limits", journal="hold 5_000, hold 5_000, release 3_000, hold 2_999"),

    Story("a reversed single message gives back too", (
        spend("1", 5_000, 95_000),
        spend("2", 5_000, 90_000),
        Row(reverse("2"),                  "00",  95_000,      0, "amount: taken_back"),
        spend("3", 5_000, 90_000),
    ), program="small_limits", journal="posting 5_000, posting 5_000, posting_reversal 5_000, posting 5_000"),

    Story("a stand-in decline gives back what we had approved", (
        Row(authorize("1", 5_000),         "00", 100_000,  5_000, "funds: pass"),
        Row(authorize("2", 5_000),         "00", 100_000, 10_000, "funds: pass"),
        Row(stand_in_decline("2"),         "00", 100_000,  5_000, "stand_in: declined"),
        Row(authorize("3", 5_000),         "00", 100_000, 10_000, "funds: pass"),
    ), program="small_limits", journal="hold 5_000, hold 5_000, release 5_000, hold 5_000"),
)

MONTH_AND_LIFE = (
    Story("the month's amount, over two days", (
        spend("1", 5_000, 95_000), spend("2", 5_000, 90_000),
        Row(new_day(),                     "--",  90_000,      0),
        spend("3", 5_000, 85_000), spend("4", 4_999, 80_001),
        Row(new_day(),                     "--",  80_001,      0),
        over(buy("over", 2),               "61",  80_001,      0, "monthly_limit: over_amount_limit", spent=19_999, amount=2, limit=20_000),
        spend("5", 1, 80_000),
        over(buy("both", 1),               "61",  80_000,      0, "monthly_limit: over_amount_limit", spent=20_000, count=5),
    ), program="small_limits", journal="posting 5_000, posting 5_000, posting 5_000, posting 4_999, posting 1"),

    Story("the month's count, over two days", (
        spend("1", 100, 99_900), spend("2", 100, 99_800), spend("3", 100, 99_700),
        Row(new_day(),                     "--",  99_700,      0),
        spend("4", 100, 99_600), spend("5", 100, 99_500),
        over(buy("6", 100),                "65",  99_500,      0, "monthly_limit: over_count_limit", count=5, count_limit=5),
        Row(reverse("5"),                  "00",  99_600,      0, "amount: taken_back"),
        spend("6 again", 100, 99_500),
    ), program="small_limits", journal=", ".join(["posting 100"] * 5 + ["posting_reversal 100", "posting 100"])),

    Story("the amount of the card's life", (
        spend("1", 5_000, 95_000), spend("2", 5_000, 90_000),
        Row(new_day(),                     "--",  90_000,      0),
        spend("3", 5_000, 85_000), spend("4", 5_000, 80_000),
        Row(new_month(),                   "--",  80_000,      0),
        spend("5", 5_000, 75_000), spend("6", 4_999, 70_001),
        Row(new_month(),                   "--",  70_001,      0),
        over(buy("over", 2),               "61",  70_001,      0, "lifetime_limit: over_amount_limit", spent=29_999, amount=2, limit=30_000),
        spend("7", 1, 70_000),
        over(buy("spent", 1),              "61",  70_000,      0, "lifetime_limit: over_amount_limit", spent=30_000),
        Row(reverse("7"),                  "00",  70_001,      0, "amount: taken_back"),
        spend("7 again", 1, 70_000),
    ), program="small_limits", journal="posting 5_000, posting 5_000, posting 5_000, posting 5_000, posting 5_000, posting 4_999, posting 1, posting_reversal 1, posting 1"),

    Story("the count of the card's life", (
        spend("1", 100, 99_900), spend("2", 100, 99_800), spend("3", 100, 99_700),
        Row(new_month(),                   "--",  99_700,      0),
        spend("4", 100, 99_600), spend("5", 100, 99_500), spend("6", 100, 99_400),
        Row(new_month(),                   "--",  99_400,      0),
        spend("7", 100, 99_300), spend("8", 100, 99_200),
        over(buy("9", 100),                "65",  99_200,      0, "lifetime_limit: over_count_limit", count=8, count_limit=8),
    ), program="small_limits", journal=", ".join(["posting 100"] * 8)),
)
# fmt: on


@told(*PURCHASE, *DAY, *GIVEN_BACK, *MONTH_AND_LIFE)
def test_limits(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)
