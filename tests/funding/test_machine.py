"""What the model's provider never does, and the edges of time: one fact each."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise, product

import msgspec
import pytest

from switch.contracts.errors import InvariantBroken
from switch.contracts.funding import (
    Charged,
    Declined,
    DeclineReason,
    NotCharged,
    Unavailable,
    Unknown,
    Voided,
    VoidRefusal,
    VoidRefused,
)
from switch.funding.action import (
    Alert,
    BookPurchase,
    CallCharge,
    CallQuery,
    CallVoid,
    DebitBalance,
    DeclinePurchase,
    Notice,
    Notify,
    SetTimer,
)
from switch.funding.attempt import ENDS, TRANSITIONS, Attempt, AttemptState, Cause, PurchaseState, check_transition
from switch.funding.event import (
    Booked,
    ChargeAnswered,
    Event,
    PurchaseRefused,
    PurchaseUndone,
    QueryAnswered,
    Recover,
    Tick,
    VoidAnswered,
)
from switch.funding.machine import Step, begin, step
from switch.funding.move import pass_on
from tests.funding.test_ends import STATES
from tests.funding.world import AMOUNT, BUDGET_SECONDS, PACE, T0, Moods, World, parked

CHARGED = Charged("ref-0", AMOUNT, "JPY")
EVENTS: tuple[Event, ...] = (
    Tick(),
    Recover(),
    *(
        ChargeAnswered(call, answer)
        for call in (1, 2)
        for answer in (
            CHARGED,
            Charged("ref-0", AMOUNT + 1, "JPY"),
            Charged("ref-0", AMOUNT, "USD"),
            Charged("ref-9", AMOUNT, "JPY"),
            Declined(DeclineReason.REFUSED),
            Unavailable("x"),
            Unknown("x"),
        )
    ),
    *(QueryAnswered(call, answer) for call in (1, 2) for answer in (CHARGED, NotCharged(), Unknown("x"))),
    *(
        VoidAnswered(call, answer)
        for call in (1, 2)
        for answer in (Voided("ref-0"), VoidRefused(VoidRefusal.TOO_LATE), VoidRefused(VoidRefusal.NO_SUCH_CHARGE))
    ),
    VoidAnswered(2, Unknown("x")),
    *(PurchaseRefused(cause) for cause in (Cause.REVERSED, Cause.TOO_LATE)),
    *(PurchaseUndone(unspent) for unspent in (True, False)),
)


def ended(state: AttemptState) -> Attempt:
    world = World()
    if state is AttemptState.DECLINED:
        world.settle(Moods(decline=True))
    elif state is AttemptState.NOT_CHARGED:
        STATES["unknown, never arrived"][1](world)
    elif state in (AttemptState.VOIDED, AttemptState.CREDITED):
        world.refuses = Cause.CARD_CHANGED
    world.settle(Moods(refuse=state is AttemptState.CREDITED))
    assert world.attempt.state is state
    return world.attempt


def attempts() -> list[Attempt]:
    found = []
    for _, go_there in STATES.values():
        world = World()
        go_there(world)
        found.append(world.attempt)
    return found + [ended(state) for state in sorted(ENDS)]


def test_every_event_has_an_answer_in_every_state() -> None:
    later = (0, 1, BUDGET_SECONDS + 1, 3_600)
    met: set[tuple[AttemptState | None, AttemptState]] = {(None, AttemptState.REQUESTED)}
    for attempt, event, seconds in product(attempts(), EVENTS, later):
        after = step(attempt, event, T0 + timedelta(seconds=seconds), PACE).attempt
        after.check_invariants()
        if after != attempt:
            met.add((attempt.state, after.state))
    met.add((AttemptState.CHARGED, AttemptState.BOOKED))
    assert met == TRANSITIONS, "an edge that is never gone, or one that is missing"


def test_what_the_table_lacks_is_refused() -> None:
    for before, after in product((None, *AttemptState), AttemptState):
        if (before, after) in TRANSITIONS:
            check_transition(before, after)
        else:
            with pytest.raises(InvariantBroken, match=f"from {before} to {after}"):
                check_transition(before, after)


def test_nothing_but_charged_may_be_booked() -> None:
    for attempt in attempts():
        if attempt.state is AttemptState.CHARGED:
            assert step(attempt, Booked(), T0, PACE).attempt.purchase is PurchaseState.APPROVED
        else:
            with pytest.raises(InvariantBroken, match="was booked while"):
                step(attempt, Booked(), T0, PACE)


@pytest.mark.parametrize(
    "change",
    [
        {"state": AttemptState.BOOKED},
        {"purchase": PurchaseState.APPROVED},
        {"purchase": PurchaseState.DECLINED},
        {"charged_minor": AMOUNT + 1},
        {"charged_currency": "USD"},
        {"wake_at": None},
        {"state": AttemptState.DECLINED, "wake_at": None, "purchase": PurchaseState.DECLINED},
    ],
)
def test_a_row_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    world = World()
    STATES["charged"][1](world)
    with pytest.raises(InvariantBroken, match="attempt-1"):
        msgspec.structs.replace(world.attempt, **change).check_invariants()


def states(*events: tuple[float, Event]) -> tuple[list[str], Step]:
    made = parked()
    found = []
    for seconds, event in events:
        made = step(made.attempt, event, T0 + timedelta(seconds=seconds), PACE)
        found.append(str(made.attempt.state))
    return found, made


def test_an_answer_that_tells_of_no_effect_counts_for_its_own_call() -> None:
    """Else the second call, which may have taken money, would be forgotten."""
    lost = ChargeAnswered(1, Unavailable("no connection"))
    found, _ = states((0, Tick()), (0, lost), (0.3, Tick()), (0.3, lost), (0.4, ChargeAnswered(1, Unknown("x"))))
    assert found == ["sent", "requested", "sent", "sent", "sent"]


def test_no_connection_is_tried_again_and_then_declined() -> None:
    events = [
        event
        for call in range(1, PACE.charge_tries_max + 1)
        for event in ((call * 0.6, Tick()), (call * 0.6, ChargeAnswered(call, Unavailable("no connection"))))
    ]
    found, made = states(*events)
    assert found == ["sent", "requested", "sent", "requested", "sent", "declined"]
    assert made.actions == (DeclinePurchase(Cause.NOT_SENT),)


def test_no_new_try_where_the_budget_ends_before_it() -> None:
    found, made = states((3.9, Tick()), (3.95, ChargeAnswered(1, Unavailable("no connection"))))
    assert found == ["sent", "declined"]
    assert made.actions == (DeclinePurchase(Cause.NOT_SENT),)


def test_the_purchase_is_declined_at_the_budget_and_the_money_goes_on() -> None:
    world = World()
    STATES["sent, taken"][1](world)
    world.wait(BUDGET_SECONDS)
    assert world.declined == [Cause.BUDGET_SPENT]
    assert world.attempt.state is AttemptState.SENT
    world.settle()
    assert (world.attempt.state, world.provider.holds_minor) == (AttemptState.VOIDED, 0)


def test_money_that_comes_at_the_budgets_last_moment_comes_too_late() -> None:
    for seconds, expected in ((BUDGET_SECONDS - 0.001, "charged"), (BUDGET_SECONDS, "void_requested")):
        found, _ = states((0, Tick()), (seconds, ChargeAnswered(1, CHARGED)))
        assert found[-1] == expected


@pytest.mark.parametrize("state", [AttemptState.DECLINED, AttemptState.NOT_CHARGED])
def test_a_provider_that_took_the_money_after_all_gives_it_back(state: AttemptState) -> None:
    attempt = ended(state)
    for event in (ChargeAnswered(1, CHARGED), QueryAnswered(9, CHARGED)):
        after, actions = step(attempt, event, T0, PACE)
        assert (after.state, after.charged_minor, after.cause) == (
            AttemptState.VOID_REQUESTED,
            AMOUNT,
            Cause.CONTRADICTION,
        )
        assert [type(action) for action in actions] == [CallVoid, Alert, SetTimer]


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (AttemptState.BOOKED, ChargeAnswered(1, Charged("ref-9", AMOUNT, "JPY"))),
        (AttemptState.BOOKED, ChargeAnswered(1, Declined(DeclineReason.REFUSED))),
        (AttemptState.BOOKED, QueryAnswered(1, NotCharged())),
        (AttemptState.BOOKED, VoidAnswered(1, Voided("ref-0"))),
        (AttemptState.CREDITED, VoidAnswered(2, Voided("ref-0"))),
        (AttemptState.VOIDED, VoidAnswered(2, VoidRefused(VoidRefusal.TOO_LATE))),
    ],
)
def test_other_contradictions_move_nothing_and_call_a_person(state: AttemptState, event: Event) -> None:
    attempt = ended(state)
    after, actions = step(attempt, event, T0, PACE)
    assert after == attempt
    assert [type(action) for action in actions] == [Alert]


@pytest.mark.parametrize("state", sorted(ENDS))
def test_an_end_hears_duplicates_and_the_time_without_a_word(state: AttemptState) -> None:
    attempt = ended(state)
    duplicates: dict[AttemptState, tuple[Event, ...]] = {
        AttemptState.BOOKED: (ChargeAnswered(1, CHARGED),),
        AttemptState.DECLINED: (ChargeAnswered(1, Declined(DeclineReason.INSUFFICIENT_FUNDS)),),
        AttemptState.NOT_CHARGED: (
            QueryAnswered(2, NotCharged()),
            ChargeAnswered(1, Declined(DeclineReason.KEY_CLOSED)),
        ),
        AttemptState.VOIDED: (VoidAnswered(2, Voided("ref-0")), ChargeAnswered(1, CHARGED)),
        AttemptState.CREDITED: (VoidAnswered(2, VoidRefused(VoidRefusal.TOO_LATE)), ChargeAnswered(1, CHARGED)),
    }
    for event in (Tick(), Recover(), PurchaseRefused(Cause.REVERSED), *duplicates[state]):
        assert step(attempt, event, T0 + timedelta(days=1), PACE) == Step(attempt)


def test_another_currency_is_never_credited() -> None:
    """Nor another's money: it stays with a person until the provider gives it back."""
    world = World()
    world.wait(0)
    world.do()
    world.arrive(0, Moods(currency="USD"))
    world.hear()
    assert (world.attempt.state, world.declined) == (AttemptState.VOID_REQUESTED, [Cause.WRONG_AMOUNT])
    world.do()
    world.arrive(0, Moods(refuse=True))
    world.hear()
    assert (world.attempt.state, world.credited) == (AttemptState.VOID_REQUESTED, [])
    assert "nothing credited" in world.alerts[-1]
    world.tell(VoidAnswered(world.attempt.calls, Voided("ref-0")))  # by hand, from the provider's list
    assert world.attempt.state is AttemptState.VOIDED


def test_a_void_of_what_the_provider_denies_is_not_credited_and_a_person_can_settle_it() -> None:
    world = World()
    STATES["void requested"][1](world)
    world.provider.taken.clear()
    world.arrive()
    world.hear()
    assert (world.attempt.state, world.credited) == (AttemptState.VOID_REQUESTED, [])
    world.tell(QueryAnswered(world.attempt.calls, NotCharged()))
    assert world.attempt.state is AttemptState.VOIDED


def test_only_a_promise_about_a_purchase_that_waits_is_passed_on() -> None:
    """Never a doubt, nor a purchase that has had its answer."""
    passed: set[tuple[str, str]] = set()
    for attempt, event, seconds in product(attempts(), EVENTS, (0, BUDGET_SECONDS + 1)):
        made = step(attempt, event, T0 + timedelta(seconds=seconds), PACE)
        if (on := pass_on(made)) is None:
            continue
        on.attempt.check_invariants()
        assert attempt.waiting and on.attempt.purchase is PurchaseState.PASSED_ON and on.attempt.ended
        assert not on.attempt.charged_minor
        assert not any(isinstance(action, DeclinePurchase) for action in on.actions)
        passed.add((str(on.attempt.state), type(getattr(event, "answer", None)).__name__))
    assert passed == {("declined", "Declined"), ("not_charged", "NotCharged"), ("declined", "Unavailable")}


def test_the_money_of_a_reversed_purchase_goes_back_unless_it_is_spent() -> None:
    for spent, refuse, expected in (
        (False, False, ("voided", 0, [Notice.TOPPED_UP, Notice.RETURNED])),
        (False, True, ("credited", AMOUNT, [Notice.TOPPED_UP, Notice.CREDITED])),
        (True, False, ("booked", AMOUNT, [Notice.TOPPED_UP])),
    ):
        world = World()
        STATES["booked, reversed"][1](world)
        world.spent_elsewhere = spent
        world.settle(Moods(refuse=refuse))
        world.check_end()
        told = [notice.notice for notice in world.notices]
        assert (world.attempt.state, world.loaded_minor, told) == expected
        assert world.attempt.purchase is PurchaseState.REVERSED


def test_it_leaves_the_balance_in_the_step_that_asks_for_the_void() -> None:
    world = World()
    STATES["booked, reversed"][1](world)
    after, actions = step(world.attempt, PurchaseUndone(unspent=True), T0, PACE)
    assert after.state is AttemptState.VOID_REQUESTED
    assert [type(action) for action in actions] == [DebitBalance, CallVoid, SetTimer]
    assert step(after, PurchaseUndone(unspent=True), T0, PACE) == Step(after)


def test_silence_is_asked_about_ever_less_often_and_a_person_is_called_once() -> None:
    world = World()
    STATES["unknown, taken"][1](world)
    asked = []
    while len(asked) < 14:
        due = world.attempt.due_at
        assert due is not None
        world.now = due
        world.tell(Tick())
        while world.to_do:
            asked.append(world.now)
            world.do()
            world.arrive(0, Moods(busy=True))
            world.hear()
    gaps = [(b - a).total_seconds() for a, b in pairwise(asked)]
    assert gaps == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert world.alerts == ["still queried after 5 tries"]
    world.settle()
    assert world.attempt.state is AttemptState.VOIDED


@pytest.mark.parametrize(
    ("reason", "expected", "cause"),
    [
        (DeclineReason.INSUFFICIENT_FUNDS, [DeclinePurchase, Notify], Cause.ANSWERED),
        (DeclineReason.KEY_CLOSED, [DeclinePurchase], Cause.CALL_REFUSED),
        (DeclineReason.REJECTED, [DeclinePurchase, Alert], Cause.CALL_REFUSED),
    ],
)
def test_the_cardholder_hears_of_declines_that_are_their_sources_own(
    reason: DeclineReason, expected: list[type], cause: Cause
) -> None:
    found, made = states((0, Tick()), (1, ChargeAnswered(1, Declined(reason))))
    assert (found[-1], [type(action) for action in made.actions]) == ("declined", expected)
    assert made.attempt.cause is cause
    assert pass_on(made) is not None, "nothing was taken, so another source may be asked"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"key": "k" * 101}, "key: at most 100"),
        ({"key": ""}, "key"),
        ({"source": "1234"}, "source"),
        ({"amount_minor": 0}, "amount_minor"),
        ({"currency": "XXX"}, "currency"),
    ],
)
def test_what_no_provider_could_be_asked_is_never_parked(change: dict[str, object], text: str) -> None:
    good = {"key": "k" * 100, "provider": "acme", "source": "tok-1", "amount_minor": 1, "currency": "JPY"}
    made = begin(**good, budget_until=T0, now=T0)  # type: ignore[arg-type]  # a table of fields
    assert made.attempt.state is AttemptState.REQUESTED
    with pytest.raises(ValueError, match=text):
        begin(**{**good, **change}, budget_until=T0, now=T0)  # type: ignore[arg-type]  # a table of fields


def test_keys() -> None:
    """The charge's and the void's key stay the same however often they are sent; each query has its own."""
    world = World()
    STATES["queried, taken"][1](world)
    (query,) = world.on_the_way
    assert isinstance(query.call, CallQuery)
    assert (query.call.query.key, query.call.query.charge_key) == ("attempt-1.query.2", "attempt-1")
    made = step(parked().attempt, Tick(), T0, PACE)
    assert isinstance(made.actions[0], CallCharge) and made.actions[0].charge.key == "attempt-1"
    world = World()
    STATES["void requested"][1](world)
    first = world.on_the_way.pop().call
    world.wait(10)
    second = world.to_do[-1]
    assert isinstance(first, CallVoid) and isinstance(second, CallVoid)
    assert (first.void, first.call + 1) == (second.void, second.call)


def test_a_question_to_the_issuer_that_got_lost_is_put_again() -> None:
    world = World()
    STATES["charged"][1](world)
    world.to_do.clear()
    world.wait(PACE.answer_seconds)
    assert [type(action) for action in world.to_do] == [BookPurchase]


def test_a_timer_that_goes_off_early_is_set_again() -> None:
    world = World()
    STATES["sent, not there yet"][1](world)
    before, world.timer = world.timer, None
    world.wait(0.1)
    assert world.timer == before is not None
