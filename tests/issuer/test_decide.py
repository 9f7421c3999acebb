"""What holds for every decision, whatever comes in and whatever the books say."""

from __future__ import annotations

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from switch.contracts.clearing import Instruction, InstructionKind
from switch.contracts.message import Answer, Kind
from switch.contracts.reason import Reason
from switch.issuer.account import Account, Side, book
from switch.issuer.case import Case, Decision
from switch.issuer.clearing_item import ItemState, check_item_transition
from switch.issuer.decide import decide
from switch.issuer.hold import check_transition
from switch.issuer.rules import spending_amount
from switch.issuer.stored import MessageState, StoredMessage
from switch.issuer.withdrawal import decide_withdrawal
from tests.issuer.strategies import cases

MANY = settings(max_examples=250)


def booked(case: Case, decision: Decision) -> Account | None:
    """The account after the decision. Raises InvariantBroken where a movement can't be booked."""
    account = case.view.account
    for movement in decision.movements:
        assert account is not None
        entry = book(account, movement)
        account = msgspec.structs.replace(
            account,
            posted_minor=entry.posted_after,
            held_minor=entry.held_after,
            seq=entry.seq,
            bonus_posted_minor=entry.bonus_posted_after,
            bonus_held_minor=entry.bonus_held_after,
        )
    return account


def check_books(case: Case, decision: Decision) -> None:
    """The decision can be booked, and what it says of the hold is what its movements do."""
    account = booked(case, decision)
    before = None if decision.hold is None else case.view.holds.get(decision.hold.hold_id)
    hold = decision.hold
    if hold is None:
        assert decision.movements == ()
        return
    assert account is not None and case.view.account is not None
    check_transition(None if before is None else before.state, hold.state)
    hold.check_invariants()
    check_items(case, decision)
    if before is None:
        assert hold.hold_id == case.view.account.seq + 1 and decision.movements
    assert {movement.hold_id for movement in decision.movements} <= {hold.hold_id}
    held_before = 0 if before is None else before.held_minor
    assert hold.held_minor - held_before == account.held_minor - case.view.account.held_minor
    bonus_before = 0 if before is None else before.held_bonus_minor
    assert hold.held_bonus_minor - bonus_before == account.bonus_held_minor - case.view.account.bonus_held_minor
    # What a purchase posted and did not get back is what left the account.
    net_before = 0 if before is None else before.posted_minor - before.refunded_minor
    gone = case.view.account.posted_minor - account.posted_minor
    assert hold.posted_minor - hold.refunded_minor - net_before == (-gone if hold.credit else gone)


def check_items(case: Case, decision: Decision) -> None:
    """Every clearing record takes a step that the table allows, and the record in hand takes one."""
    known = {item.key: item for item in case.view.clearing_items}
    if decision.item is not None:
        check_item_transition(None, decision.item.state)
    if (changed := decision.item_changed) is not None and changed.key in known:
        check_item_transition(known[changed.key].state, changed.state)


def settled(decision: Decision) -> int:
    """What went out to the network less what came in."""
    return sum(m.amount_minor * ((m.credit is Side.NETWORK) - (m.debit is Side.NETWORK)) for m in decision.movements)


@MANY
@given(cases)
def test_every_case_gets_a_decision_that_can_be_booked(case: Case) -> None:
    decision = decide(case)

    event(f"{case.request.kind}: {decision.reason}")
    assert decision.trace
    check_books(case, decision)
    after = booked(case, decision)
    if after is not None and case.view.account is not None:
        assert after.posted_minor + settled(decision) == case.view.account.posted_minor, "money is conserved"
    if decision.usage is not None:
        assert min(msgspec.structs.astuple(decision.usage)[2:]) >= 0
    assert decision.moved_minor >= 0


@MANY
@given(
    cases.filter(lambda case: case.request.kind is Kind.PRESENTMENT),
    st.sampled_from(InstructionKind),
    st.integers(2, 3),
)
def test_a_record_in_doubt_can_be_settled_in_every_way_that_is_not_refused(
    case: Case, kind: InstructionKind, hold_id: int
) -> None:
    clearing = case.request.clearing
    assert clearing is not None
    plain = msgspec.structs.replace(case.request, clearing=msgspec.structs.replace(clearing, instruction=None))
    decision = decide(msgspec.structs.replace(case, request=plain))
    check_items(case, decision)
    assert decision.item is not None, "every record is kept"
    if decision.item.state is not ItemState.IN_DOUBT:
        return
    stored = msgspec.structs.replace(as_stored(case, decision, case.fingerprint), state=MessageState.IN_DOUBT)
    said = Instruction(kind=kind, by="ann", hold_id=hold_id)
    asked = msgspec.structs.replace(plain, clearing=msgspec.structs.replace(clearing, instruction=said))
    view = msgspec.structs.replace(case.view, stored=stored)

    told = decide(msgspec.structs.replace(case, request=asked, view=view))

    event(f"{decision.item.why}, {kind}: {told.trace[0].verdict}")
    check_books(case, told)
    if told.resolved is None:
        assert (told.movements, told.hold, told.item_changed) == ((), None, None)
    else:
        assert told.item_changed is not None
        check_item_transition(ItemState.IN_DOUBT, told.item_changed.state)


@MANY
@given(cases)
def test_advices_and_reversals_are_never_declined(case: Case) -> None:
    decision = decide(case)
    if not case.request.kind.is_request:
        accepted = Reason.REVERSAL_ACCEPTED if case.request.kind is Kind.REVERSAL else Reason.ADVICE_ACCEPTED
        assert decision.reason is accepted


@MANY
@given(cases)
def test_a_declined_request_changes_nothing(case: Case) -> None:
    decision = decide(case)
    if not decision.reason.approves:
        assert (decision.movements, decision.hold, decision.usage, decision.moved_minor) == ((), None, None, 0)


@MANY
@given(cases)
def test_an_approved_request_spends_no_more_than_there_is_and_no_more_than_was_asked(case: Case) -> None:
    decision = decide(case)
    if not (case.request.kind.is_request and decision.reason.approves):
        return
    account, after = case.view.account, booked(case, decision)
    assert account is not None and after is not None and case.view.program is not None
    spent = account.available_minor - after.available_minor
    event(f"spent: {spent > 0}")
    if spent > 0:
        assert spent == decision.moved_minor <= (spending_amount(case) or 0)
        assert after.available_minor >= account.floor_minor
        limits = case.view.program.limits
        usage = decision.usage
        assert usage is not None
        for limit, minor, count in (
            (limits.daily, usage.day_minor, usage.day_count),
            (limits.monthly, usage.month_minor, usage.month_count),
            (limits.lifetime, usage.lifetime_minor, usage.lifetime_count),
        ):
            assert limit.amount_minor is None or minor <= limit.amount_minor
            assert limit.count is None or case.request.incremental or count <= limit.count
        partial = decision.reason is Reason.APPROVED_PARTIALLY
        assert (decision.answer.approved_minor is not None) == partial == (spent < (spending_amount(case) or 0))


@MANY
@given(cases)
def test_a_reversal_only_ever_lowers_a_purchase(case: Case) -> None:
    if case.request.kind is not Kind.REVERSAL:
        case = msgspec.structs.replace(case, request=msgspec.structs.replace(case.request, kind=Kind.REVERSAL))
    decision = decide(case)
    if decision.hold is None:
        return
    before = case.view.holds[decision.hold.hold_id]
    event(f"{before.state} -> {decision.hold.state}")
    assert decision.hold.held_minor <= before.held_minor
    assert decision.hold.posted_minor <= before.posted_minor


@MANY
@given(cases)
def test_deciding_is_a_function(case: Case) -> None:
    assert decide(case) == decide(case)


def as_stored(case: Case, decision: Decision, fingerprint: bytes, repeats: int = 0) -> StoredMessage:
    request, hold = case.request, decision.hold
    return StoredMessage(
        account_id=3,
        key=case.key,
        fingerprint=fingerprint,
        network=request.network,
        kind=request.kind,
        operation=request.operation,
        card_id=7,
        stan=request.stan,
        transmitted=request.transmitted,
        acquirer_id=request.acquirer_id,
        retrieval_reference=request.retrieval_reference,
        network_reference=request.network_reference,
        terminal_id=request.terminal_id,
        amount_minor=request.amount_minor,
        answer=decision.answer,
        decided_at=case.now,
        incremental=request.incremental,
        moved_minor=decision.moved_minor,
        hold_id=None if hold is None else hold.hold_id,
        repeats_answered=repeats,
    )


def told_by_nobody(case: Case) -> bool:
    """No person's instruction: that settles what is stored instead of repeating it."""
    return case.request.clearing is None or case.request.clearing.instruction is None


@given(cases.filter(told_by_nobody))
def test_a_repeat_gets_the_stored_answer_whatever_the_books_say_now(case: Case) -> None:
    answer = Answer(reason=Reason.CARD_LOCKED, response_code="62")
    stored = msgspec.structs.replace(as_stored(case, decide(case), case.fingerprint), answer=answer)
    again = decide(msgspec.structs.replace(case, view=msgspec.structs.replace(case.view, stored=stored)))

    assert again.answer == answer
    assert again.repeat_of == stored
    assert (again.movements, again.hold, again.usage, again.remember_as) == ((), None, None, None)


@given(cases.filter(told_by_nobody), st.binary(min_size=16, max_size=16))
def test_another_fingerprint_is_always_answered_94(case: Case, other: bytes) -> None:
    stored = as_stored(case, decide(case), other)
    again = decide(msgspec.structs.replace(case, view=msgspec.structs.replace(case.view, stored=stored)))
    assert again.reason is (Reason.KEY_REUSED if other != case.fingerprint else stored.answer.reason)
    assert (again.movements, again.hold, again.usage, again.remember_as) == ((), None, None, None)


@MANY
@given(cases, st.integers(0, 2))
def test_a_withdrawal_undoes_exactly_its_own_request(case: Case, repeats: int) -> None:
    decision = decide(case)
    if case.view.account is None or not case.request.kind.is_request:
        return
    stored = as_stored(case, decision, case.fingerprint, repeats)
    account = booked(case, decision)
    holds = dict(case.view.holds)
    if decision.hold is not None:
        holds[decision.hold.hold_id] = decision.hold
    view = msgspec.structs.replace(
        case.view, account=account, holds=holds, stored=stored, usage=decision.usage or case.view.usage
    )
    late = msgspec.structs.replace(case, view=view)

    undone = decide_withdrawal(late)

    check_books(late, undone)
    after = booked(late, undone)
    assert after is not None and account is not None
    if decision.reason.approves and not repeats:
        event("taken back")
        assert undone.remember_as is MessageState.WITHDRAWN
        assert undone.reason is Reason.DEADLINE_MISSED
        assert (after.posted_minor, after.held_minor) == (
            case.view.account.posted_minor,
            case.view.account.held_minor,
        )
    else:
        assert undone.movements == () and undone.remember_as is None


def test_the_strategies_reach_every_kind_of_decision() -> None:
    """A property over declines alone would prove little: approvals, advices and reversals that move money are drawn too."""
    seen: set[str] = set()

    @settings(max_examples=1_000, database=None, derandomize=True)
    @given(cases)
    def look(case: Case) -> None:
        decision = decide(case)
        seen.add(f"{case.request.kind}:{'moved' if decision.movements else decision.reason}")

    look()

    assert {f"{kind}:moved" for kind in Kind} <= seen
    assert f"{Kind.AUTHORIZATION}:{Reason.REVERSED_EARLIER}" in seen
    assert f"{Kind.AUTHORIZATION}:{Reason.INSUFFICIENT_FUNDS}" in seen
