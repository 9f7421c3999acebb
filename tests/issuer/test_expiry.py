"""When a hold expires, and what its expiry gives back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.contracts.clearing import Clearing, ClearingKind
from switch.contracts.message import Channel, EntryMode, Kind, StandIn
from switch.issuer.account import EntryKind
from switch.issuer.expiry import DAYS_MAX, LONGEST, HoldExpiry, Initiator, expire, initiator_of
from switch.issuer.hold import Hold, HoldState
from switch.issuer.opening import hold_deadline
from switch.issuer.program import Program
from tests.issuer.support import NOON, Desk, a_case, a_program, a_request, an_account

PUBLIC = HoldExpiry()
MIDNIGHT = datetime(2026, 6, 15, 15, 0, tzinfo=UTC)  # when the 16th begins in Tokyo
TICK = timedelta(microseconds=1)


def table(**changes: Any) -> HoldExpiry:
    """As it is read from a file."""
    return msgspec.convert(changes, HoldExpiry)


# ── the table


@pytest.mark.parametrize(
    ("purchase", "amount", "days"),
    [
        ({}, 1_000, 7),
        ({"mcc": "5411"}, 1_000, 7),
        ({"channel": Channel.ATM, "mcc": "6011"}, 1_000, 7),
        ({"channel": Channel.ECOMMERCE}, 1_000, 10),
        ({"channel": Channel.MAIL_OR_PHONE, "mcc": "5411"}, 1_000, 10),
        # Lodging, car rental, cruises: however they were booked.
        *(({"mcc": mcc}, 1_000, 30) for mcc in ("3501", "3790", "7011", "3351", "3441", "7512", "4411")),
        ({"mcc": "7011", "channel": Channel.ECOMMERCE}, 1_000, 30),
        *(({"mcc": mcc}, 1_000, 7) for mcc in ("3500", "3791", "7010", "7012", "3350", "3442", "4410", "4412")),
        # A fuel pump's token, and what is more than one.
        ({"mcc": "5541"}, 200, 1),
        ({"mcc": "5542"}, 1, 1),
        ({"mcc": "5542"}, 201, 7),
        ({"mcc": "5543"}, 1, 7),
        ({"mcc": "55"}, 1, 7),  # no MCC at all
    ],
)
def test_the_public_table(purchase: dict[str, Any], amount: int, days: int) -> None:
    assert PUBLIC.deadline(a_request(**purchase), amount, NOON) == NOON + timedelta(days=days)


def test_the_first_rule_that_fits_decides() -> None:
    rules = [{"mcc": ["5000-5999"], "days": 20}, {"mcc": ["5411"], "days": 3}, {"days": 9}, {"days": 1}]
    days = [table(rule=rules[first:]).deadline(a_request(mcc="5411"), 1, NOON) - NOON for first in range(4)]
    assert days == [timedelta(days=number) for number in (20, 3, 9, 1)]


def test_a_rule_fits_only_what_all_of_its_conditions_fit() -> None:
    conditions = {"mcc": ["7011"], "channels": ["ecommerce"], "initiator": "merchant", "amount_max_minor": 500}
    expiry = table(default_days=2, rule=[{"days": 40, **conditions}])
    fitting = {"mcc": "7011", "channel": Channel.ECOMMERCE, "entry_mode": EntryMode.CREDENTIAL_ON_FILE}
    others = {"mcc": "7012", "channel": Channel.IN_STORE, "entry_mode": EntryMode.ECOMMERCE}

    assert expiry.deadline(a_request(**fitting), 500, NOON) == NOON + timedelta(days=40)
    assert expiry.deadline(a_request(**fitting), 501, NOON) == NOON + timedelta(days=2)
    for name, other in others.items():
        assert expiry.deadline(a_request(**{**fitting, name: other}), 500, NOON) == NOON + timedelta(days=2), name


def test_the_table_may_be_left_out_or_emptied() -> None:
    assert table(default_days=3).rule == PUBLIC.rule
    assert table(default_days=60, rule=[]).deadline(a_request(mcc="5541"), 1, NOON) == NOON + LONGEST


@pytest.mark.parametrize("mode", list(EntryMode))
def test_a_credential_on_file_is_the_merchants_to_use(mode: EntryMode) -> None:
    by_merchant = mode is EntryMode.CREDENTIAL_ON_FILE
    assert initiator_of(a_request(entry_mode=mode)) is (Initiator.MERCHANT if by_merchant else Initiator.CARDHOLDER)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"default_days": 0}, "default_days is between 1 and 60 - at `\\$.hold_expiry`"),
        ({"default_days": 61}, "default_days is between 1 and 60"),
        ({"rule": [{"days": 1}, {"days": 0}]}, "days is between 1 and 60 - at `\\$.hold_expiry.rule\\[1\\]`"),
        ({"rule": [{"days": 61}]}, "days is between 1 and 60"),
        ({"rule": [{"mcc": ["7011"]}]}, "missing required field `days`"),
        ({"rule": [{"days": 1, "mcc": ["70"]}]}, "'70' is neither an MCC nor a range"),
        ({"rule": [{"days": 1, "mcc": ["7012-7011"]}]}, "'7012-7011' is neither"),
        ({"rule": [{"days": 1, "mcc": ["7011\n"]}]}, "neither an MCC nor a range"),
        ({"rule": [{"days": 1, "channels": ["moon"]}]}, "Invalid enum value 'moon'"),
        ({"rule": [{"days": 1, "initiator": "bank"}]}, "Invalid enum value 'bank'"),
        ({"rule": [{"days": 1, "amount_max_minor": 0}]}, "amount_max_minor is at least 1"),
        ({"rule": [{"days": 1, "colour": "red"}]}, "unknown field `colour`"),
        ({"days": 1}, "unknown field `days`"),
    ],
)
def test_wrong_tables_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        a_program(hold_expiry=changes)


mccs = st.sampled_from(["", "3501", "4411", "5411", "5541", "7011", "70"])
rules = st.fixed_dictionaries(
    {"days": st.integers(1, DAYS_MAX)},
    optional={
        "mcc": st.lists(st.sampled_from(["3501-3790", "5411", "0000-9999"]), max_size=2),
        "channels": st.lists(st.sampled_from([str(channel) for channel in Channel]), max_size=2),
        "initiator": st.sampled_from(["merchant", "cardholder"]),
        "amount_max_minor": st.integers(1, 2_000),
    },
)
tables = st.builds(
    lambda days, listed: a_program(hold_expiry={"default_days": days, "rule": listed}),
    st.integers(1, DAYS_MAX),
    st.lists(rules, max_size=4),
)


@given(
    program=tables,
    steps=st.lists(
        st.tuples(
            st.timedeltas(timedelta(0), timedelta(days=30)), st.integers(1, 3_000), mccs, st.sampled_from(Channel)
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_no_deadline_is_passed_later_than_the_longest_or_comes_nearer(
    program: Program, steps: list[tuple[timedelta, int, str, Channel]]
) -> None:
    """However often a purchase is raised, and by whatever message."""
    hold = Hold(3, 2, 7, HoldState.OPEN, 0, 0, 0, False, "", NOON)
    now = NOON
    for later, amount, mcc, channel in steps:
        now += later
        if hold.expires_at is not None and now >= hold.expires_at:
            break  # it has expired
        case = a_case(a_request(mcc=mcc, channel=channel), program=program, now=now)
        deadline = hold_deadline(case, hold, amount)
        assert deadline <= NOON + LONGEST
        assert deadline >= min(now + timedelta(days=1), NOON + LONGEST)
        assert hold.expires_at is None or deadline >= hold.expires_at
        hold = msgspec.structs.replace(hold, expires_at=deadline)


# ── a hold's deadline in the books


class Till(Desk):
    """A desk that knows all open holds of the account, as where one may be due."""

    def __init__(self, balance_minor: int = 10_000, **changes: Any) -> None:
        super().__init__(balance_minor, **changes)
        self.books.open_holds_known[self.loaded.account_id] = {self.card.card_id: self.card.program}

    def at(self, now: datetime) -> int:
        """The clock goes on, and what is due expires."""
        self.books.now = now
        before = self.books.holds_expired
        self.books.expire_due(self.loaded.account_id)
        self.books.check_invariants([self.loaded])
        assert self.held == sum(hold.held_minor for hold in self.holds())
        return self.books.holds_expired - before


def deadline_of(hold: Hold) -> datetime:
    assert hold.expires_at is not None
    return hold.expires_at


def test_a_hold_stands_until_its_deadline_and_not_longer() -> None:
    till = Till()
    till.ask(Kind.AUTHORIZATION, 3_000)
    assert deadline_of(till.hold) == NOON + timedelta(days=7)
    assert till.books.next_due(3) == NOON + timedelta(days=7)

    assert till.at(NOON + timedelta(days=7) - TICK) == 0
    assert till.balance == (10_000, 3_000)
    assert till.at(NOON + timedelta(days=7)) == 1
    assert till.balance == (10_000, 0)
    assert (till.hold.state, till.hold.authorized_minor) == (HoldState.EXPIRED, 3_000)
    assert till.entries == [("hold", 3_000), ("expiry", 3_000)]
    assert till.books.next_due(3) is None
    assert till.at(NOON + timedelta(days=8)) == 0, "once"
    booking = till.books.bookings[-1]
    assert (booking.cause, booking.key, booking.transmitted_at) == (
        "expiry",
        till.hold.begun_by,
        NOON + timedelta(days=7),
    )
    (notice,) = till.books.notices
    assert (notice.kind, notice.key, notice.facts) == ("hold_expired", till.hold.begun_by, {"amount": 3_000, "hold": 2})


def test_an_increment_moves_the_deadline() -> None:
    till = Till()
    first = till.request(Kind.AUTHORIZATION, 1_000)
    till.tell(first)
    more = till.request(Kind.AUTHORIZATION, 500, incremental=True, retrieval_reference=first.retrieval_reference)
    assert till.tell(more, at=NOON + timedelta(days=5)).reason.approves

    assert deadline_of(till.hold) == NOON + timedelta(days=12)
    assert till.at(NOON + timedelta(days=7)) == 0
    assert till.at(NOON + timedelta(days=12)) == 1
    assert till.entries[-1] == ("expiry", 1_500)


@pytest.mark.parametrize("advised", [False, True])
def test_what_raises_a_hold_does_not_shorten_it(advised: bool) -> None:
    """An increment or a stand-in advice that says less of the merchant than the authorization did."""
    till = Till(program=a_program(merchants={}))
    first = till.request(Kind.AUTHORIZATION, 1_000, mcc="7011")
    till.tell(first)
    promised = deadline_of(till.hold)
    assert promised == NOON + timedelta(days=30)
    if advised:
        kind, changes = Kind.AUTHORIZATION_ADVICE, {"stand_in": StandIn.APPROVED}
        amount = 1_500
    else:
        kind, changes = Kind.AUTHORIZATION, {"incremental": True}
        amount = 500

    decision = till.tell(
        till.request(kind, amount, retrieval_reference=first.retrieval_reference, **changes),
        at=NOON + timedelta(days=1),
    )

    assert decision.reason.approves
    assert (till.held, deadline_of(till.hold)) == (1_500, promised)


def test_a_request_finds_the_money_of_a_hold_that_is_due() -> None:
    till = Till()
    till.ask(Kind.AUTHORIZATION, 8_000)
    too_early = till.request(Kind.AUTHORIZATION, 5_000)
    in_time = till.request(Kind.FINANCIAL, 5_000)

    assert not till.tell(too_early, at=NOON + timedelta(days=7) - TICK).reason.approves
    assert till.tell(in_time, at=NOON + timedelta(days=7)).reason.approves
    assert till.entries == [("hold", 8_000), ("expiry", 8_000), ("posting", 5_000)]


def test_an_advice_finds_the_hold_that_is_due_as_it_is() -> None:
    """It tells of money that has moved: there is nothing to find for it, and its hold to settle."""
    till = Till()
    first = till.request(Kind.AUTHORIZATION, 3_000)
    till.tell(first)
    advice = till.request(Kind.FINANCIAL_ADVICE, 3_000, retrieval_reference=first.retrieval_reference)
    till.tell(advice, at=NOON + timedelta(days=9))
    assert till.entries == [("hold", 3_000), ("posting", 3_000)]
    assert till.concerns == []


JULY = datetime(2026, 6, 30, 15, 0, tzinfo=UTC)  # when it begins in Tokyo


@pytest.mark.parametrize(
    ("spent_at", "other_at", "day", "month"),
    [
        (NOON, NOON + timedelta(days=1) - TICK, (700, 1), (700, 1)),
        # Spent in the last moment of a day: the other purchase is of the day on which the hold expires.
        (MIDNIGHT - TICK, MIDNIGHT, (700, 1), (700, 1)),
        (MIDNIGHT, MIDNIGHT + TICK, (0, 0), (700, 1)),
        # Spent in the last moment of June: nothing of it is July's to give back.
        (JULY - TICK, JULY, (700, 1), (700, 1)),
        # Spent in the first of July, which is June still by UTC: it comes back to July.
        (JULY, JULY + TICK, (0, 0), (700, 1)),
    ],
)
def test_expiry_gives_back_to_the_limits_that_still_run(
    spent_at: datetime, other_at: datetime, day: tuple[int, int], month: tuple[int, int]
) -> None:
    """A hold of a day and, beside it, a purchase of 700. What was spent in a period that has passed is not taken off
    the one that runs.
    """
    till = Till(program=a_program(hold_expiry={"default_days": 1, "rule": []}))
    till.tell(till.request(Kind.AUTHORIZATION, 3_000), at=spent_at)
    till.tell(till.request(Kind.FINANCIAL, 700), at=other_at)
    assert till.at(spent_at + timedelta(days=1)) == 1

    usage = till.usage
    assert usage.day == till.books.now.astimezone(a_program().zone).date()
    assert (usage.day_minor, usage.day_count) == day
    assert (usage.month_minor, usage.month_count) == month
    assert (usage.lifetime_minor, usage.lifetime_count) == (700, 1)


# ── what was posted before, and after


def clearing(record: int, *, final: bool = True) -> Clearing:
    return Clearing(kind=ClearingKind.PRESENTMENT, file_id="F", record=record, final=final)


def test_what_is_left_of_a_presented_hold_expires_and_it_ends_as_posted() -> None:
    till = Till()
    first = till.request(Kind.AUTHORIZATION, 3_000)
    till.tell(first)
    reference = first.retrieval_reference
    till.tell(
        till.request(Kind.PRESENTMENT, 1_000, retrieval_reference=reference, clearing=clearing(1, final=False)),
        at=NOON + timedelta(days=2),
    )
    assert (till.hold.state, till.balance) == (HoldState.OPEN, (9_000, 2_000))

    till.at(NOON + timedelta(days=7))
    assert (till.hold.state, till.balance) == (HoldState.POSTED, (9_000, 0))
    assert (till.usage.lifetime_minor, till.usage.lifetime_count) == (1_000, 1), "it is a purchase still"

    late = till.request(Kind.PRESENTMENT, 2_000, retrieval_reference=reference, clearing=clearing(2))
    till.tell(late, at=NOON + timedelta(days=9))
    assert (till.hold.state, till.balance) == (HoldState.POSTED, (7_000, 0))
    assert (till.usage.lifetime_minor, till.usage.lifetime_count) == (3_000, 1)
    assert till.concerns == []


@pytest.mark.parametrize("kind", [Kind.PRESENTMENT, Kind.FINANCIAL_ADVICE])
def test_money_that_moved_after_the_expiry_is_charged(kind: Kind) -> None:
    till = Till()
    first = till.request(Kind.AUTHORIZATION, 3_000)
    till.tell(first)
    till.at(NOON + timedelta(days=7))
    assert (till.usage.lifetime_minor, till.usage.lifetime_count) == (0, 0)

    till.tell(till.request(kind, 2_500, retrieval_reference=first.retrieval_reference), at=NOON + timedelta(days=10))

    assert (till.hold.state, till.balance) == (HoldState.POSTED, (7_500, 0))
    assert till.entries == [("hold", 3_000), ("expiry", 3_000), ("posting", 2_500)]
    assert (till.usage.lifetime_minor, till.usage.lifetime_count) == (2_500, 1)
    assert till.at(NOON + timedelta(days=99)) == 0


def test_a_reversal_after_the_expiry_moves_nothing_and_is_remembered() -> None:
    till = Till()
    first = till.request(Kind.AUTHORIZATION, 3_000)
    till.tell(first)
    till.at(NOON + timedelta(days=7))
    before = till.usage
    decision = till.tell(till.undo(first))
    assert (decision.trace[-1].verdict, decision.movements) == ("reversed_after_expiry", ())
    assert (till.hold.state, till.balance, till.usage) == (HoldState.REVERSED, (10_000, 0), before)


def test_reversing_an_increment_after_the_expiry_leaves_the_rest_approved() -> None:
    till = Till()
    first = till.request(Kind.AUTHORIZATION, 3_000)
    more = till.request(Kind.AUTHORIZATION, 500, incremental=True, retrieval_reference=first.retrieval_reference)
    till.tell(first)
    till.tell(more)
    till.at(NOON + timedelta(days=7))
    for _ in range(2):
        till.tell(till.undo(more))
        assert (till.hold.state, till.hold.authorized_minor) == (HoldState.EXPIRED, 3_000)
    till.tell(till.undo(first))
    assert till.hold.state is HoldState.REVERSED


def test_an_approval_whose_hold_has_expired_has_nothing_to_withdraw() -> None:
    till = Till()
    first = till.request(Kind.AUTHORIZATION, 3_000)
    till.tell(first)
    decision = till.tell(first, at=NOON + timedelta(days=7), withdraw=True)
    assert dict(decision.trace[-1].seen)["taken_back"] == 0
    assert till.entries == [("hold", 3_000), ("expiry", 3_000)]


# ── pockets


@given(
    held=st.integers(1, 5_000),
    bonus=st.integers(0, 5_000),
    posted=st.integers(0, 5_000),
)
def test_what_expires_goes_back_to_the_pocket_that_it_came_from(held: int, bonus: int, posted: int) -> None:
    bonus = min(bonus, held)
    account = an_account(20_000, held_minor=held, bonus_posted_minor=bonus, bonus_held_minor=bonus)
    hold = Hold(3, 2, 7, HoldState.OPEN, held, held, posted, False, "", NOON, expires_at=NOON, held_bonus_minor=bonus)

    change = expire(account, hold)

    assert change.available_delta == held
    assert sum(m.amount_minor for m in change.movements if m.credit == "bonus.available") == bonus
    assert sum(m.amount_minor for m in change.movements if m.credit == "cardholder.available") == held - bonus
    assert {m.kind for m in change.movements} == {EntryKind.EXPIRY}
    assert (change.hold.held_minor, change.hold.held_bonus_minor, change.hold.posted_minor) == (0, 0, posted)
    assert change.hold.state is (HoldState.POSTED if posted else HoldState.EXPIRED)


def test_the_next_deadline_is_that_of_the_first_open_hold() -> None:
    till = Till()
    for days, mcc in ((7, "5411"), (30, "7011")):
        till.ask(Kind.AUTHORIZATION, 1_000, mcc=mcc)
        assert deadline_of(list(till.holds())[-1]) == NOON + timedelta(days=days)
    assert till.at(NOON + timedelta(days=7)) == 1
    assert till.books.next_due(3) == NOON + timedelta(days=30)


def test_an_account_whose_holds_are_not_known_is_left_alone() -> None:
    desk = Desk()
    desk.ask(Kind.AUTHORIZATION, 1_000)
    desk.books.now = NOON + timedelta(days=99)
    desk.books.expire_due(3)
    assert desk.books.holds_expired == 0
    assert desk.held == 1_000
