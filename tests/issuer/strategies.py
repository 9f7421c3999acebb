"""Cases of any shape that the codec and the books could produce, for properties that hold for all of them.

Most parts are plain, and a few oddities are drawn on top: so approvals and bookings are as frequent as declines, and a case
is drawn in a few choices.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any

import msgspec
from hypothesis import strategies as st

from switch.contracts.clearing import Clearing, ClearingKind, Instruction, InstructionKind
from switch.contracts.message import (
    Answer,
    Channel,
    EntryMode,
    Kind,
    Operation,
    OriginalElements,
    Request,
    StandIn,
)
from switch.contracts.reason import Reason
from switch.contracts.secret import Secret
from switch.issuer.account import Account
from switch.issuer.card import Card, CardStatus, Credential
from switch.issuer.case import Case, View
from switch.issuer.clearing_item import ClearingItem, ItemState
from switch.issuer.hold import Hold, HoldState
from switch.issuer.matching import Candidate
from switch.issuer.program import Program
from switch.issuer.stored import MessageState, StoredMessage, fingerprint, idempotency_key
from switch.issuer.usage import Usage
from tests.issuer.support import CODES, LOOKUP, NOON, PAN, a_card, a_program, a_request

MAX = 10**12 - 1  # twelve digits of DE4
STANS = ("000001", "000002")
SENT = ("0615030000", "0615040000")

ORIGINALS = tuple(
    OriginalElements(mti="0100", stan=stan, transmitted=sent, acquirer_id=acquirer)
    for stan, sent, acquirer in product(("", *STANS), ("", SENT[0]), ("", "A"))
)

#: One change of a request each.
ODDITIES: tuple[dict[str, Any], ...] = (
    *({"operation": operation} for operation in Operation),
    *({"entry_mode": mode} for mode in EntryMode),
    *({"channel": channel} for channel in Channel),
    *({"stand_in": how} for how in StandIn),
    *({"original": original} for original in ORIGINALS),
    *({"replacement_amount_minor": amount} for amount in (0, 1, 500, 1_000, MAX)),
    *({"retrieval_reference": reference} for reference in ("", "B", "C")),
    *({"network_reference": reference} for reference in ("A", "B")),
    *({"cvv2": code} for code in (CODES.cvv("plain", PAN, "3012", "000"), Secret("000"))),
    *({"cvv": code} for code in (CODES.cvv("plain", PAN, "3012", "101"), Secret("000"))),
    {"currency": "USD"},
    {"currency": "USD", "billing_currency": "JPY", "billing_amount_minor": 700},
    {"currency": "USD", "billing_currency": "JPY"},
    {"network": "east"},
    {"acquirer_id": "A", "terminal_id": "A", "retrieval_reference": ""},
    {"approval_code": "111111"},
    {"approval_code": "222222"},
    {"expiry": "3012"},
    {"expiry": "2901"},
    {"has_pin": True},
    {"partial_supported": True},
    {"incremental": True},
    {"repeat": True},
    {"mcc": "7995"},
    {"merchant_country": ""},
    {"merchant_country": "US"},
)

amounts = st.sampled_from([500, 1_000, 1_000, 1_000, 0, 1, 999, 1_001, 3_000, MAX]) | st.integers(0, 5_000)


clearings = st.builds(
    Clearing,
    kind=st.sampled_from([ClearingKind.PRESENTMENT] * 4 + list(ClearingKind)),
    file_id=st.just("F"),
    record=st.integers(1, 2),
    acquirer_reference=st.sampled_from(["", "ARN-1", "ARN-2"]),
    sequence=st.integers(1, 2),
    sequence_count=st.integers(0, 2),
    final=st.booleans(),
    instruction=st.none()
    | st.builds(
        Instruction, kind=st.sampled_from(InstructionKind), by=st.just("ann"), hold_id=st.none() | st.integers(2, 4)
    ),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    changes: dict[str, Any] = {
        "stan": draw(st.sampled_from(STANS)),
        "transmitted": draw(st.sampled_from(SENT)),
        "retrieval_reference": "A",
        "merchant_country": "JP",
    }
    kind = draw(st.sampled_from([*Kind, Kind.REVERSAL]))
    for oddity in draw(st.lists(st.sampled_from(ODDITIES), max_size=3)):
        changes |= oddity
    if kind is Kind.PRESENTMENT:
        changes |= {"stan": "", "transmitted": "", "clearing": draw(clearings)}
    return a_request(kind, draw(amounts), **changes)


LIMITS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"per_purchase_minor": 1_000},
    {"daily": {"amount_minor": 2_000, "count": 3}},
    {"monthly": {"amount_minor": 2_500}, "lifetime": {"count": 2}},
    {"daily": {"count": 0}},
)
PROGRAMS: tuple[Program, ...] = tuple(
    a_program(time_zone=zone, partial_approval=partial, limits=limits, security_code=policy, merchants=merchants)
    for zone, partial, limits, (policy, merchants) in product(
        ("Asia/Tokyo", "America/New_York"),
        (True, False),
        LIMITS,
        (
            ("when_present", {}),
            ("card_not_present", {"mcc_blocked": ["7995"], "countries_allowed": ["JP"]}),
        ),
    )
)
CARDS: tuple[Card, ...] = (
    *[a_card()] * 16,
    a_card(expiry="2606"),
    a_card(locked=True),
    *(a_card(status=status) for status in CardStatus),
    *(a_card(credential=Credential(9, status, "")) for status in CardStatus),
    a_card(credential=Credential(9, CardStatus.ACTIVE, "west")),
    a_card(credential=Credential(9, CardStatus.ACTIVE, "elsewhere")),
)
instants = st.sampled_from([timedelta(0), timedelta(hours=12), timedelta(days=20), timedelta(days=400)]).map(
    lambda later: NOON + later
)


def a_hold(hold_id: int, state: HoldState, amount: int, *, credit: bool, opened_at: datetime) -> Hold:
    held = amount if state is HoldState.OPEN else 0
    posted = amount if state is HoldState.POSTED else 0
    return Hold(3, hold_id, 7, state, amount, held, posted, credit and posted > 0, "5411", opened_at)


@st.composite
def later(draw: st.DrawFn, hold: Hold) -> Hold:
    """The purchase after presentments, refunds and bonus: what else may be true of one in its state."""
    if draw(st.booleans()):
        return hold
    if hold.state is HoldState.OPEN:
        posted = draw(st.sampled_from([0, 0, 700]))
        held_bonus = draw(st.sampled_from([0, 0, 1, hold.held_minor]))
        hold = msgspec.structs.replace(hold, posted_minor=posted, held_bonus_minor=held_bonus)
    if not hold.posted_minor:
        return hold
    posted = hold.posted_minor
    posted_bonus = 0 if hold.credit else draw(st.sampled_from([0, 0, 1, posted]))
    refunded = 0 if hold.credit else draw(st.sampled_from([0, 0, 1, posted, posted + 100]))
    return msgspec.structs.replace(
        hold,
        posted_bonus_minor=posted_bonus,
        presented_minor=draw(st.sampled_from([0, posted, posted, posted + 10])),
        refunded_minor=refunded,
        refunded_bonus_minor=draw(st.sampled_from([0, min(refunded, posted_bonus)])),
        state=draw(st.sampled_from([hold.state, HoldState.OPEN])) if hold.held_minor else HoldState.POSTED,
    )


@st.composite
def earlier_records(draw: st.DrawFn, key: bytes, holds: dict[int, Hold]) -> ClearingItem:
    """A clearing record that was booked on one of the purchases, or not booked."""
    hold = holds[draw(st.sampled_from(sorted(holds)))]
    state = draw(st.sampled_from([ItemState.MATCHED] * 4 + list(ItemState)))
    booked = state in (ItemState.MATCHED, ItemState.FORCED, ItemState.REVERSED)
    return ClearingItem(
        account_id=3,
        key=key,
        network="west",
        kind=draw(st.sampled_from([ClearingKind.PRESENTMENT] * 2 + list(ClearingKind))),
        operation=draw(st.sampled_from([Operation.PURCHASE, Operation.PURCHASE, Operation.REFUND])),
        acquirer_reference=draw(st.sampled_from(["ARN-1", "ARN-1", "ARN-2", ""])),
        sequence=draw(st.integers(1, 2)),
        sequence_count=draw(st.integers(0, 2)),
        state=state,
        why="",
        confidence=0,
        hold_id=hold.hold_id if booked else None,
        amount_minor=draw(st.sampled_from([0, 1, 500, 1_000, 1_000, 3_000])),
    )


@st.composite
def stored_messages(draw: st.DrawFn, key: bytes, hold: Hold | None) -> StoredMessage:
    kind = draw(st.sampled_from([Kind.AUTHORIZATION, Kind.FINANCIAL, *Kind]))
    amount = draw(st.sampled_from([1_000, 1_000, 500, 0, 3_000]))
    return StoredMessage(
        account_id=3,
        key=key,
        fingerprint=b"f" * 16,
        network="west",
        kind=kind,
        operation=Operation.PURCHASE,
        card_id=7,
        stan=draw(st.sampled_from(STANS)),
        transmitted=SENT[0],
        acquirer_id="A",
        retrieval_reference=draw(st.sampled_from(["A", "A", "A", "B"])),
        network_reference=draw(st.sampled_from(["", "A", "B"])),
        terminal_id="A",
        amount_minor=amount,
        decided_at=NOON,
        answer=Answer(
            reason=Reason.APPROVED if hold else Reason.INSUFFICIENT_FUNDS,
            approval_code="111111" if hold else "",
        ),
        incremental=draw(st.sampled_from([False, False, True])),
        state=draw(st.sampled_from([MessageState.ANSWERED] * 3 + [MessageState.WITHDRAWN])),
        moved_minor=amount if hold else 0,
        hold_id=hold.hold_id if hold else None,
    )


@st.composite
def tombstones(draw: st.DrawFn) -> StoredMessage:
    return msgspec.structs.replace(
        draw(stored_messages(b"t" * 16, None)),
        kind=Kind.REVERSAL,
        state=MessageState.TOMBSTONE,
        original_stan=draw(st.sampled_from(("", *STANS))),
        original_transmitted=draw(st.sampled_from(("", SENT[0]))),
    )


@st.composite
def views(draw: st.DrawFn) -> View:
    """Books that don't contradict themselves: what is held is the sum of the open holds, stored messages name holds."""
    shape = draw(st.integers(0, 19))
    if shape == 0:
        return View()
    holds: dict[int, Hold] = {}
    found: list[Candidate] = []
    for number in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        hold = a_hold(
            number + 2,
            draw(st.sampled_from([HoldState.OPEN] * 5 + list(HoldState))),
            draw(st.sampled_from([1_000, 1_000, 500, 1, 1_500])),
            credit=draw(st.booleans()),
            opened_at=NOON - timedelta(hours=number * 30),
        )
        hold = holds[hold.hold_id] = draw(later(hold))
        found.append(Candidate(draw(stored_messages(bytes([number]) * 16, hold)), NOON))
    if shape in (1, 2):
        found.append(Candidate(draw(stored_messages(b"d" * 16, None)), NOON))
    bonus_held = sum(hold.held_bonus_minor for hold in holds.values())
    return View(
        card=draw(st.sampled_from(CARDS)),
        account=Account(
            account_id=3,
            currency="JPY",
            posted_minor=draw(st.sampled_from([5_000, 10**13, 1_000, 0, -100])),
            held_minor=sum(hold.held_minor for hold in holds.values()),
            floor_minor=draw(st.sampled_from([0, 0, -500, 100])),
            seq=10,
            head_hash=bytes(32),
            bonus_posted_minor=bonus_held + draw(st.sampled_from([0, 0, 1, 700])),
            bonus_held_minor=bonus_held,
        ),
        usage=draw(st.sampled_from(USAGES)),
        program=None if shape == 3 else draw(st.sampled_from(PROGRAMS)),
        candidates=tuple(found),
        holds=holds,
        tombstones=(draw(tombstones()),) if shape in (4, 5, 6) else (),
        clearing_items=tuple(
            draw(earlier_records(bytes([9, n]) * 8, holds)) for n in range(draw(st.sampled_from([0, 0, 1, 2])))
        )
        if holds
        else (),
    )


USAGES = (
    None,
    Usage(7, date(2026, 6, 15)),
    Usage(7, date(2026, 6, 15), 1_500, 2, 1_800, 3, 2_000, 4),
    Usage(7, date(2026, 5, 31), 100, 1, 2_500, 2, 2_500, 2),
    Usage(7, date(2027, 12, 31), 1_000, 1, 1_000, 1, 1_000, 1),  # ahead of every clock here
)


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    request = draw(requests())
    now = draw(instants).astimezone(UTC)
    return Case(request, idempotency_key(request, LOOKUP), fingerprint(request), draw(views()), CODES, now)


cases = _cases()
