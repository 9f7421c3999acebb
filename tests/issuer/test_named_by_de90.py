"""What the network decided for us, in an advice that has a reference of its own: nothing but DE90 ties it to its request."""

from __future__ import annotations

from typing import Any

import pytest

from switch.contracts.message import Kind, Operation, Request, StandIn
from switch.contracts.reason import Reason
from switch.issuer.hold import HoldState
from tests.issuer.support import Desk, original_of, verdict

ADVICE_OF = {Kind.AUTHORIZATION: Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL: Kind.FINANCIAL_ADVICE}

#: What became of the request itself.
CAME = ["never", "late", "declined"]

REVERSED_BY: dict[str, Any] = {
    "original elements": lambda request: {"retrieval_reference": ""},
    "both": lambda request: {},
    "retrieval reference": lambda request: {"original": None},
}


def advice(desk: Desk, request: Request, kind: Kind, amount: int, **changes: Any) -> Request:
    return desk.request(kind, amount, original=original_of(request), **changes)


def decided_for_us(desk: Desk, kind: Kind, came: str) -> Request:
    """A request of 3,000 that the network approved in our place. Gives the request."""
    request = desk.request(kind, 3_000)
    if came == "declined":
        assert desk.tell(request).reason is Reason.INSUFFICIENT_FUNDS
    desk.tell(advice(desk, request, ADVICE_OF[kind], 3_000))
    if came == "late":
        assert desk.tell(request).reason is Reason.APPROVED
    return request


CELLS = [(came, by) for came in CAME for by in REVERSED_BY if (came, by) != ("never", "retrieval reference")]


@pytest.mark.parametrize("kind", ADVICE_OF)
@pytest.mark.parametrize(("came", "by"), CELLS)
def test_a_reversal_of_the_request_takes_back_what_the_advice_booked(came: str, by: str, kind: Kind) -> None:
    desk = Desk(1_000 if came == "declined" else 10_000)
    before = desk.balance
    request = decided_for_us(desk, kind, came)
    assert desk.balance != before
    assert desk.tell(desk.undo(request, **REVERSED_BY[by](request))).reason is Reason.REVERSAL_ACCEPTED
    assert (desk.balance, desk.hold.state) == (before, HoldState.REVERSED)
    assert (desk.usage.day_minor, desk.usage.day_count) == (0, 0)
    if came == "never":
        assert desk.tell(request).reason is Reason.DECIDED_EARLIER
        assert desk.balance == before


def test_of_a_stand_in_decline_there_is_nothing_to_reverse() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(advice(desk, request, Kind.AUTHORIZATION_ADVICE, 3_000, stand_in=StandIn.DECLINED))
    undone = desk.tell(desk.undo(request))
    assert (verdict(undone), desk.concerns, desk.balance) == ("moved_nothing", [], (10_000, 0))


@pytest.mark.parametrize("came", CAME)
def test_an_authorization_that_an_advice_has_completed_is_not_taken_back(came: str) -> None:
    """The money has moved, as it would have on a hold of ours."""
    desk = Desk(1_000 if came == "declined" else 10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    if came == "declined":
        desk.tell(request)
    desk.tell(advice(desk, request, Kind.FINANCIAL_ADVICE, 3_000))
    if came == "late":
        desk.tell(request)
    balance, concerns = desk.balance, desk.concerns
    desk.tell(desk.undo(request, retrieval_reference=""))
    assert (desk.balance, desk.concerns) == (balance, [*concerns, "reversal_after_posting"])


def test_only_the_message_that_de90_names_is_meant() -> None:
    """Two purchases, both decided by the network, under one retrieval reference."""
    desk = Desk(10_000)
    first, second = (desk.request(Kind.AUTHORIZATION, amount, retrieval_reference="SAME") for amount in (3_000, 500))
    for request in (first, second):
        desk.tell(advice(desk, request, Kind.AUTHORIZATION_ADVICE, request.amount_minor))
    desk.tell(desk.undo(second))
    assert [(hold.state, hold.held_minor) for hold in desk.holds()] == [
        (HoldState.OPEN, 3_000),
        (HoldState.REVERSED, 0),
    ]
    assert desk.concerns == []


@pytest.mark.parametrize("other", [{"stan": "000009"}, {"transmitted": "0615030001"}, {"acquirer_id": "999"}])
def test_a_reversal_of_another_request_leaves_it(other: dict[str, str]) -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000, acquirer_id="123")
    desk.tell(advice(desk, request, Kind.AUTHORIZATION_ADVICE, 3_000, acquirer_id="123"))
    desk.tell(desk.undo(request, retrieval_reference="", original=original_of(request, **other)))
    assert (desk.held, desk.concerns) == (3_000, [])


# ── further advices


def test_a_second_advice_of_the_same_request_is_of_the_same_purchase() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(advice(desk, request, Kind.AUTHORIZATION_ADVICE, 3_000))
    desk.tell(advice(desk, request, Kind.AUTHORIZATION_ADVICE, 3_000))
    assert (desk.balance, desk.hold.state) == ((10_000, 3_000), HoldState.OPEN)
    desk.tell(advice(desk, request, Kind.FINANCIAL_ADVICE, 2_800))
    assert (desk.balance, desk.hold.state) == ((7_200, 0), HoldState.POSTED)
    desk.tell(advice(desk, request, Kind.AUTHORIZATION_ADVICE, 3_000))
    assert (desk.balance, desk.concerns) == ((7_200, 0), ["advice_after_posted"])


def test_a_stand_in_decline_takes_back_a_stand_in_approval_of_the_same_request() -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    for how in (StandIn.APPROVED, StandIn.DECLINED):
        desk.tell(advice(desk, request, Kind.AUTHORIZATION_ADVICE, 3_000, stand_in=how))
    assert (desk.balance, desk.hold.state) == ((10_000, 0), HoldState.RELEASED)
    assert desk.tell(request).reason is Reason.DECIDED_EARLIER


def test_a_completion_by_reference_finds_what_the_network_approved_for_its_request() -> None:
    desk = Desk(1_000)
    request = decided_for_us(desk, Kind.AUTHORIZATION, "declined")
    desk.ask(Kind.FINANCIAL_ADVICE, 3_000, retrieval_reference=request.retrieval_reference)
    assert (desk.balance, desk.hold.state) == ((-2_000, 0), HoldState.POSTED)


def test_an_increment_raises_what_the_network_approved() -> None:
    desk = Desk(10_000)
    request = decided_for_us(desk, Kind.AUTHORIZATION, "never")
    assert desk.tell(advice(desk, request, Kind.AUTHORIZATION, 500, incremental=True)).reason is Reason.APPROVED
    assert (desk.balance, desk.hold.state) == ((10_000, 3_500), HoldState.OPEN)


def test_the_whole_of_it_is_reversed_by_the_name_of_the_first_authorization() -> None:
    """Of those that share its retrieval reference only the increment ever came."""
    desk = Desk(10_000)
    first = decided_for_us(desk, Kind.AUTHORIZATION, "never")
    more = advice(desk, first, Kind.AUTHORIZATION, 500, incremental=True, retrieval_reference=first.retrieval_reference)
    assert desk.tell(more).reason is Reason.APPROVED
    desk.tell(desk.undo(first))
    assert (desk.balance, desk.hold.state, desk.concerns) == ((10_000, 0), HoldState.REVERSED, [])


def test_the_advice_of_an_increment_does_not_tell_which_message_it_names() -> None:
    """It may name the authorization that was raised: the reversal of that one waits for it."""
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(advice(desk, request, Kind.AUTHORIZATION_ADVICE, 500, incremental=True))
    desk.tell(desk.undo(request))
    assert desk.held == 500
    assert desk.tell(request).reason is Reason.REVERSED_EARLIER


# ── the reversal first


@pytest.mark.parametrize(
    ("kind", "balance", "concern"),
    [
        (Kind.AUTHORIZATION_ADVICE, (10_000, 0), "advice_after_reversal"),
        (Kind.FINANCIAL_ADVICE, (7_000, 0), "posting_after_reversal"),
    ],
)
def test_an_advice_of_what_was_reversed_before(kind: Kind, balance: tuple[int, int], concern: str) -> None:
    desk = Desk(10_000)
    request = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(desk.undo(request, retrieval_reference=""))
    desk.tell(advice(desk, request, kind, 3_000))
    assert (desk.balance, desk.concerns) == (balance, [concern])
    assert desk.tell(request).reason is Reason.REVERSED_EARLIER
    assert desk.balance == balance


# ── the request after an advice of another kind


@pytest.mark.parametrize(
    ("told", "reason"),
    [(3_000, Reason.APPROVED), (3_500, Reason.APPROVED), (2_500, Reason.DECIDED_EARLIER)],
    ids=["equal", "higher", "lower"],
)
@pytest.mark.parametrize("kind", [Kind.FINANCIAL_ADVICE, Kind.AUTHORIZATION_ADVICE])
def test_an_authorization_after_its_own_advice_is_not_held_beside_it(kind: Kind, told: int, reason: Reason) -> None:
    """What the advice told of is all that is booked; more than that is approved by nobody."""
    desk = Desk(10_000)
    late = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(advice(desk, late, kind, told))
    balance = desk.balance
    assert balance in ((10_000 - told, 0), (10_000, told))
    assert desk.tell(late).reason is reason
    assert desk.balance == balance
    assert (desk.usage.day_minor, desk.usage.day_count) == (told, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"stan": "000009"},
        {"transmitted": "0615030001"},
        {"operation": Operation.CASH_WITHDRAWAL},
        {"terminal_id": "ELSEWHERE"},
    ],
)
def test_another_authorization_is_decided_for_itself(other: dict[str, Any]) -> None:
    """A retry has the purchase's reference, and a STAN of its own."""
    desk = Desk(10_000)
    plain = {"retrieval_reference": "SAME", "terminal_id": "TERM0001"}
    lost = desk.request(Kind.AUTHORIZATION, 3_000, **plain)
    desk.tell(advice(desk, lost, Kind.FINANCIAL_ADVICE, 3_000, **plain))
    stranger = desk.request(Kind.AUTHORIZATION, 3_000, **{**plain, "stan": lost.stan, **other})
    assert desk.tell(stranger).reason is Reason.APPROVED
    assert desk.balance == (7_000, 3_000)


@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION, Kind.FINANCIAL])
def test_a_request_after_its_own_declined_financial_advice_is_declined(kind: Kind) -> None:
    desk = Desk(10_000)
    late = desk.request(kind, 3_000)
    desk.tell(advice(desk, late, Kind.FINANCIAL_ADVICE, 3_000, stand_in=StandIn.DECLINED))
    assert desk.tell(late).reason is Reason.DECIDED_EARLIER
    assert desk.balance == (10_000, 0)
