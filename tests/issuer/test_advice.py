"""Advices as transcripts: stand-in approvals and declines, and money that has moved."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from switch.contracts.message import Kind, Operation, OriginalElements, Request, StandIn
from switch.contracts.reason import Reason
from switch.issuer.card import CardStatus, Credential
from switch.issuer.hold import HoldState
from tests.issuer.support import Desk, a_card, original_of, verdict


def stand_in(desk: Desk, request: Request, amount: int, how: StandIn = StandIn.APPROVED, **changes: Any) -> Request:
    return desk.request(
        Kind.AUTHORIZATION_ADVICE,
        amount,
        retrieval_reference=request.retrieval_reference,
        stand_in=how,
        **changes,
    )


# ── 0120


def test_a_stand_in_approval_becomes_a_hold_whatever_the_balance() -> None:
    desk = Desk(100)
    decision = desk.ask(Kind.AUTHORIZATION_ADVICE, 3_000, stand_in=StandIn.APPROVED)
    assert decision.reason is Reason.ADVICE_ACCEPTED
    assert desk.balance == (100, 3_000)
    assert desk.account.available_minor == -2_900
    assert desk.entries == [("hold", 3_000)]
    assert desk.concerns == ["below_floor"]
    assert (desk.usage.day_minor, desk.usage.day_count) == (3_000, 1)


@pytest.mark.parametrize(("advised", "held"), [(3_000, 3_000), (2_000, 2_000), (4_000, 4_000)])
def test_a_stand_in_approval_folds_into_our_own_hold(advised: int, held: int) -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    desk.tell(stand_in(desk, purchase, advised))
    assert desk.balance == (10_000, held)
    assert desk.hold.state is HoldState.OPEN
    assert (desk.usage.day_minor, desk.usage.day_count) == (held, 1)
    assert desk.concerns == []


def test_a_stand_in_decline_releases_our_hold() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    desk.tell(stand_in(desk, purchase, 3_000, StandIn.DECLINED))
    assert desk.balance == (10_000, 0)
    assert desk.hold.state is HoldState.RELEASED
    assert (desk.usage.day_minor, desk.usage.day_count) == (0, 0)


@pytest.mark.parametrize("first", ["nothing", "a decline", "reversed"])
def test_a_stand_in_decline_of_what_holds_nothing_changes_nothing(first: str) -> None:
    desk = Desk(1_000)
    purchase = desk.request(Kind.AUTHORIZATION, 5_000 if first == "a decline" else 500)
    if first != "nothing":
        desk.tell(purchase)
    if first == "reversed":
        desk.tell(desk.undo(purchase))
    before = desk.account
    decision = desk.tell(stand_in(desk, purchase, 500, StandIn.DECLINED))
    assert decision.reason is Reason.ADVICE_ACCEPTED
    assert desk.account == before


def test_a_decline_that_names_an_advice_which_held_nothing_keeps_what_another_advice_holds() -> None:
    """All share a retrieval reference. The first approval was noted only, since the money had moved; ours came too late
    and was taken back, and then the network approved once more. What it declines now is the first of its two.
    """
    desk = Desk(10_000)
    purchase = desk.request(Kind.FINANCIAL, 1_000)
    desk.tell(purchase)
    noted = stand_in(desk, purchase, 3_000, original=original_of(purchase))
    desk.tell(noted)
    desk.tell(purchase, withdraw=True)
    desk.tell(stand_in(desk, purchase, 2_000, original=original_of(purchase)))
    assert desk.balance == (10_000, 2_000)
    desk.tell(stand_in(desk, purchase, 3_000, StandIn.DECLINED, original=original_of(noted)))
    assert desk.balance == (10_000, 2_000)


def test_a_stand_in_approval_after_our_decline_is_held() -> None:
    desk = Desk(1_000)
    purchase = desk.request(Kind.AUTHORIZATION, 5_000)
    assert desk.tell(purchase).reason is Reason.INSUFFICIENT_FUNDS
    desk.tell(stand_in(desk, purchase, 5_000))
    assert desk.balance == (1_000, 5_000)
    assert desk.concerns == ["below_floor"]


def test_a_stand_in_approval_after_a_full_reversal_is_for_a_person() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    desk.tell(desk.undo(purchase))
    desk.tell(stand_in(desk, purchase, 3_000))
    assert desk.balance == (10_000, 0)
    assert desk.concerns == ["advice_after_reversal"]


def test_a_stand_in_approval_opens_a_withdrawn_purchase_again() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    desk.tell(purchase, withdraw=True)
    assert (desk.balance, desk.hold.state) == ((10_000, 0), HoldState.WITHDRAWN)
    assert (desk.usage.day_minor, desk.usage.day_count) == (0, 0)

    desk.tell(stand_in(desk, purchase, 3_000))

    assert (desk.balance, desk.hold.state) == ((10_000, 3_000), HoldState.OPEN)
    assert (desk.usage.day_minor, desk.usage.day_count) == (3_000, 1), "it is a purchase again, and is counted"


@pytest.mark.parametrize(
    "changes",
    [
        {"operation": Operation.ACCOUNT_VERIFICATION, "amount_minor": 0},
        {"operation": Operation.REFUND},
        {"operation": Operation.BALANCE_INQUIRY},
        {"amount_minor": 0},
    ],
)
def test_advices_that_move_nothing(changes: dict[str, Any]) -> None:
    desk = Desk(100)
    request = msgspec.structs.replace(desk.request(Kind.AUTHORIZATION_ADVICE, 50), **changes)
    assert desk.tell(request).reason is Reason.ADVICE_ACCEPTED
    assert desk.balance == (100, 0)


@pytest.mark.parametrize(("status", "concerns"), [(CardStatus.ACTIVE, []), (CardStatus.LOST, ["card_not_active"])])
def test_a_stand_in_approval_on_a_lost_credential_is_booked_and_shown(status: CardStatus, concerns: list[str]) -> None:
    desk = Desk(10_000, card=a_card(credential=Credential(9, status, "")))
    desk.ask(Kind.AUTHORIZATION_ADVICE, 1_000, stand_in=StandIn.APPROVED)
    assert desk.balance == (10_000, 1_000)
    assert desk.concerns == concerns


@pytest.mark.parametrize(("status", "concerns"), [(CardStatus.ACTIVE, []), (CardStatus.STOLEN, ["card_not_active"])])
def test_a_stand_in_approval_on_a_stolen_card_is_booked_and_shown(status: CardStatus, concerns: list[str]) -> None:
    desk = Desk(10_000, card=a_card(status=status))
    desk.ask(Kind.AUTHORIZATION_ADVICE, 3_000)
    assert desk.held == 3_000
    assert desk.concerns == concerns


def test_an_ambiguous_stand_in_is_booked_nowhere_and_shown() -> None:
    desk = Desk(10_000)
    for _ in range(2):
        desk.ask(Kind.AUTHORIZATION, 1_000, retrieval_reference="SAME")
    desk.ask(Kind.AUTHORIZATION_ADVICE, 1_000, retrieval_reference="SAME")
    assert desk.held == 2_000
    assert desk.concerns == ["ambiguous_original"]


@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE])
def test_an_advice_in_a_currency_that_nobody_can_convert_is_accepted_and_shown(kind: Kind) -> None:
    desk = Desk(10_000)
    assert desk.ask(kind, 1_000, currency="USD").reason is Reason.ADVICE_ACCEPTED
    assert desk.balance == (10_000, 0)
    assert desk.concerns == ["currency_not_served"]


# ── 0220


@pytest.mark.parametrize(
    ("posted", "balance", "entries"),
    [
        (3_000, (7_000, 0), [("hold", 3_000), ("posting", 3_000)]),
        (2_000, (8_000, 0), [("hold", 3_000), ("posting", 2_000), ("release", 1_000)]),
        (4_000, (6_000, 0), [("hold", 3_000), ("posting", 3_000), ("posting", 1_000)]),
    ],
)
def test_a_financial_advice_posts_against_the_hold(
    posted: int, balance: tuple[int, int], entries: list[tuple[str, int]]
) -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    desk.ask(Kind.FINANCIAL_ADVICE, posted, retrieval_reference=purchase.retrieval_reference)
    assert desk.balance == balance
    assert desk.entries == entries
    assert desk.hold.state is HoldState.POSTED


def test_a_financial_advice_without_an_original_posts_whatever_the_balance() -> None:
    desk = Desk(100)
    assert desk.ask(Kind.FINANCIAL_ADVICE, 300).reason is Reason.ADVICE_ACCEPTED
    assert desk.balance == (-200, 0)
    assert desk.concerns == ["below_floor"]
    assert (desk.usage.day_minor, desk.usage.day_count) == (300, 1)


def test_a_presentment_of_another_amount_after_a_full_reversal_is_charged() -> None:
    """A Japanese prepaid issuer lost money from 2023 to 2024 because such presentments were not."""
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    desk.tell(desk.undo(purchase))
    desk.ask(Kind.FINANCIAL_ADVICE, 2_500, retrieval_reference=purchase.retrieval_reference)
    assert desk.balance == (7_500, 0)
    assert (desk.hold.state, desk.hold.posted_minor) == (HoldState.POSTED, 2_500)
    assert desk.concerns == ["posted_after_reversed"]


@pytest.mark.parametrize("end", ["released", "withdrawn"])
def test_a_financial_advice_posts_whatever_came_before(end: str) -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    if end == "released":
        desk.tell(stand_in(desk, purchase, 3_000, StandIn.DECLINED))
    if end == "withdrawn":
        desk.tell(purchase, withdraw=True)
    posted = desk.posted
    desk.ask(Kind.FINANCIAL_ADVICE, 3_000, retrieval_reference=purchase.retrieval_reference)
    assert desk.balance == (posted - 3_000, 0)
    assert desk.concerns == [f"posted_after_{end}"]


@pytest.mark.parametrize("operation", [Operation.PURCHASE, Operation.REFUND])
def test_an_advice_of_what_a_single_message_posted_posts_nothing_again(operation: Operation) -> None:
    desk = Desk(10_000)
    single = desk.request(Kind.FINANCIAL, 3_000, operation=operation)
    desk.tell(single)
    balance = desk.balance
    desk.ask(Kind.FINANCIAL_ADVICE, 3_000, operation=operation, retrieval_reference=single.retrieval_reference)
    assert desk.balance == balance
    assert desk.concerns == ["advice_of_posted"]


def test_a_declined_financial_advice_posts_nothing() -> None:
    desk = Desk(10_000)
    desk.ask(Kind.FINANCIAL_ADVICE, 3_000, stand_in=StandIn.DECLINED)
    assert (desk.balance, desk.entries, desk.concerns) == ((10_000, 0), [], [])


def test_a_single_message_after_its_own_financial_advice_is_not_posted_again() -> None:
    desk = Desk(10_000)
    late = desk.request(Kind.FINANCIAL, 3_000)
    named = OriginalElements(mti="0200", stan=late.stan, transmitted=late.transmitted, acquirer_id=late.acquirer_id)
    desk.ask(Kind.FINANCIAL_ADVICE, 3_000, retrieval_reference=late.retrieval_reference, original=named)
    assert desk.tell(late).reason is Reason.APPROVED
    assert desk.balance == (7_000, 0)
    assert desk.entries == [("posting", 3_000)]


@pytest.mark.parametrize(
    "other", [{"acquirer_id": "999"}, {"terminal_id": "ELSEWHERE"}, {"network_reference": "ANOTHER"}]
)
def test_a_stranger_of_the_same_reference_is_decided_for_itself(other: dict[str, str]) -> None:
    """A reference is unique only for its acquirer: an approval for another purchase's advice would book nothing."""
    desk = Desk(10_000)
    lost = desk.request(Kind.AUTHORIZATION, 3_000, network_reference="NET1")
    told = {"network_reference": "NET1", "terminal_id": "TERM0001", "acquirer_id": "111"}
    desk.tell(stand_in(desk, lost, 3_000, StandIn.APPROVED, **told))
    stranger = desk.request(
        Kind.AUTHORIZATION, 3_000, retrieval_reference=lost.retrieval_reference, **{**told, **other}
    )
    assert desk.tell(stranger).reason is Reason.APPROVED
    assert desk.balance[1] == 6_000


def test_a_late_stand_in_approval_of_the_first_authorization_keeps_what_was_raised_since() -> None:
    desk = Desk(10_000)
    first = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(first)
    desk.ask(Kind.AUTHORIZATION, 2_000, incremental=True, retrieval_reference=first.retrieval_reference)
    desk.tell(stand_in(desk, first, 3_000, StandIn.APPROVED))
    assert desk.balance == (10_000, 5_000)


def test_a_refund_advice_is_credited() -> None:
    desk = Desk(0)
    desk.ask(Kind.FINANCIAL_ADVICE, 300, operation=Operation.REFUND)
    assert desk.balance == (300, 0)
    assert desk.entries == [("refund", 300)]
    assert desk.concerns == []


def test_an_advice_that_pays_a_debt_back_is_no_concern() -> None:
    desk = Desk(0)
    desk.ask(Kind.FINANCIAL_ADVICE, 300)
    desk.ask(Kind.FINANCIAL_ADVICE, 100, operation=Operation.REFUND)
    assert desk.balance == (-200, 0)
    assert desk.concerns == ["below_floor"], "only the first one"


def test_an_ambiguous_financial_advice_is_posted_all_the_same() -> None:
    desk = Desk(10_000)
    for _ in range(2):
        desk.ask(Kind.AUTHORIZATION, 1_000, retrieval_reference="SAME")
    desk.ask(Kind.FINANCIAL_ADVICE, 1_000, retrieval_reference="SAME")
    assert desk.balance == (9_000, 2_000)
    assert desk.concerns == ["ambiguous_original"]


def test_an_advice_of_an_unsupported_operation_is_for_a_person() -> None:
    desk = Desk(10_000)
    decision = desk.ask(Kind.FINANCIAL_ADVICE, 300, operation=Operation.UNSUPPORTED)
    assert decision.reason is Reason.ADVICE_ACCEPTED
    assert verdict(decision) == "unsupported_advice"
    assert desk.balance == (10_000, 0)


@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE])
def test_a_repeated_advice_is_booked_once(kind: Kind) -> None:
    desk = Desk(10_000)
    advice = desk.request(kind, 3_000)
    first = desk.tell(advice)
    again = desk.tell(msgspec.structs.replace(advice, repeat=True, mti=advice.mti[:3] + "1"))
    assert again.answer == first.answer
    assert len(desk.entries) == 1


def test_an_authorization_advice_that_names_the_purchase_by_de90_folds_too() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000, retrieval_reference="")
    desk.tell(purchase)
    undo = desk.undo(purchase)
    desk.ask(Kind.AUTHORIZATION_ADVICE, 3_000, retrieval_reference="", original=undo.original)
    assert desk.held == 3_000


# ── who decided, and why


TOLD = {"decided_by": "the network", "because": "the issuer did not answer"}


@pytest.mark.parametrize("how", list(StandIn))
@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE])
def test_the_trace_tells_who_decided_and_why(kind: Kind, how: StandIn) -> None:
    told = {"stand_in_by": TOLD["decided_by"], "stand_in_reason": TOLD["because"]}
    seen = Desk(10_000).ask(kind, 3_000, stand_in=how, **told).trace[-1].seen
    assert {name: seen[name] for name in TOLD} == TOLD


def test_what_a_person_has_to_look_at_tells_it_too() -> None:
    desk = Desk(10_000)
    decision = desk.ask(Kind.AUTHORIZATION_ADVICE, 3_000, currency="USD", stand_in_reason=TOLD["because"])
    assert decision.concern == "currency_not_served"
    assert decision.trace[-1].seen["because"] == TOLD["because"]


def test_nothing_is_said_for_an_advice_that_does_not_tell() -> None:
    seen = Desk(10_000).ask(Kind.AUTHORIZATION_ADVICE, 3_000, stand_in=StandIn.APPROVED).trace[-1].seen
    assert not {"decided_by", "because"} & seen.keys()


# ── what the clearing knows


def test_a_purchase_goes_by_the_approval_code_that_the_merchant_got() -> None:
    """We had approved too, but the network's answer came first: its code is on the receipt and will be presented."""
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    ours = desk.tell(purchase).answer.approval_code
    desk.tell(stand_in(desk, purchase, 3_000, approval_code="STIP01"))
    assert desk.hold.approval_code == "STIP01" != ours
    desk.tell(stand_in(desk, purchase, 500, approval_code="STIP02", incremental=True))
    assert desk.hold.approval_code == "STIP01", "an increment is approved under a code of its own"
    desk.tell(stand_in(desk, purchase, 3_000))
    assert desk.hold.approval_code == "STIP01", "an advice that tells none takes none away"


def test_a_financial_advice_brings_its_approval_code() -> None:
    desk = Desk(10_000)
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    desk.ask(Kind.FINANCIAL_ADVICE, 3_000, original=original_of(purchase), approval_code="STIP01")
    assert (desk.balance, desk.hold.approval_code) == ((7_000, 0), "STIP01")


def presented(desk: Desk, amount: int) -> Request:
    """An authorization of 3,000 that was presented; gives the authorization."""
    purchase = desk.request(Kind.AUTHORIZATION, 3_000)
    desk.tell(purchase)
    desk.tell(desk.request(Kind.PRESENTMENT, amount, stan="", retrieval_reference=purchase.retrieval_reference))
    return purchase


@pytest.mark.parametrize(
    ("advised", "posted", "concern"),
    [
        (3_000, 7_000, "advice_of_posted"),
        (2_000, 7_000, "advice_of_posted"),
        (3_001, 3_999, "posted_after_posted"),
    ],
)
def test_a_financial_advice_that_comes_after_the_presentment_is_not_charged_again(
    advised: int, posted: int, concern: str
) -> None:
    desk = Desk(10_000)
    purchase = presented(desk, 3_000)
    desk.ask(Kind.FINANCIAL_ADVICE, advised, retrieval_reference=purchase.retrieval_reference)
    assert (desk.balance, desk.concerns) == ((posted, 0), [concern])


def test_a_refund_by_advice_after_the_presentment_is_credited() -> None:
    desk = Desk(10_000)
    purchase = presented(desk, 3_000)
    desk.ask(
        Kind.FINANCIAL_ADVICE,
        3_000,
        operation=Operation.REFUND,
        retrieval_reference=purchase.retrieval_reference,
    )
    assert desk.balance == (10_000, 0)


def test_a_stand_in_approval_is_no_part_of_a_refund_that_has_its_reference() -> None:
    desk = Desk(10_000)
    back = desk.request(Kind.FINANCIAL, 1_000, operation=Operation.REFUND, retrieval_reference="000000000007")
    desk.tell(back)
    desk.ask(Kind.AUTHORIZATION_ADVICE, 500, retrieval_reference="000000000007")
    assert desk.balance == (11_000, 500)
    assert [(hold.credit, hold.held_minor) for hold in desk.holds()] == [(True, 0), (False, 500)]
