"""Which message a reversal means: level by level, and when nobody may guess."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.contracts.message import Answer, Kind, Operation, OriginalElements, Request
from switch.contracts.reason import Reason
from switch.issuer.matching import Candidate, Match, find_original, names_original, tombstone_fits
from switch.issuer.stored import MessageState, StoredMessage
from tests.issuer.support import NOON, a_request


def stored(**changes: Any) -> StoredMessage:
    """An approved authorization of 1,000 that placed hold 2."""
    plain: dict[str, Any] = {
        "account_id": 3,
        "key": b"k" * 16,
        "fingerprint": b"f" * 16,
        "network": "west",
        "kind": Kind.AUTHORIZATION,
        "operation": Operation.PURCHASE,
        "card_id": 7,
        "stan": "000001",
        "transmitted": "0615030000",
        "acquirer_id": "123456",
        "retrieval_reference": "RRN1",
        "network_reference": "NET1",
        "terminal_id": "TERM1",
        "amount_minor": 1_000,
        "answer": Answer(reason=Reason.APPROVED, approval_code="111111"),
        "decided_at": NOON,
        "moved_minor": 1_000,
        "hold_id": 2,
    }
    return StoredMessage(**{**plain, **changes})


def reversal(**changes: Any) -> Request:
    return a_request(Kind.REVERSAL, 1_000, **{"stan": "000099", **changes})


def de90(stan: str = "000001", transmitted: str = "0615030000", acquirer_id: str = "123456") -> OriginalElements:
    return OriginalElements(mti="0100", stan=stan, transmitted=transmitted, acquirer_id=acquirer_id)


def find(request: Request, *messages: StoredMessage, age: timedelta = timedelta(minutes=1)) -> Match:
    return find_original(request, [Candidate(message, NOON - age) for message in messages], NOON)


TERMINAL = {"acquirer_id": "123456", "terminal_id": "TERM1"}


@pytest.mark.parametrize(
    ("says", "level"),
    [
        ({"network_reference": "NET1"}, "network_reference"),
        ({"network_reference": "NET2"}, "none"),
        ({"retrieval_reference": "RRN1"}, "retrieval_reference"),
        ({"retrieval_reference": "RRN1", "approval_code": "111111"}, "retrieval_reference"),
        ({"retrieval_reference": "RRN1", "approval_code": "222222"}, "none"),
        ({"retrieval_reference": "RRN2"}, "none"),
        ({"original": de90()}, "original_elements"),
        ({"original": de90(acquirer_id="")}, "original_elements"),
        ({"original": de90(acquirer_id="999999")}, "none"),
        ({"original": de90(stan="000002")}, "none"),
        ({"original": de90(transmitted="0615030001")}, "none"),
        ({"original": de90(stan="", transmitted="")}, "none"),  # zero-filled DE90 alone
        ({"original": de90(transmitted="")}, "none"),
        ({"original": de90(stan="")}, "none"),
        (TERMINAL, "terminal_and_amount"),
        ({**TERMINAL, "original": de90(stan="", transmitted="")}, "terminal_and_amount"),
        ({"terminal_id": "TERM1"}, "none"),  # the acquirer is missing
        ({**TERMINAL, "terminal_id": "TERM2"}, "none"),
        ({**TERMINAL, "acquirer_id": "999999"}, "none"),
        # A reference that is there and fits nothing: the original has not come. No guessing by terminal then.
        ({**TERMINAL, "retrieval_reference": "RRN2"}, "none"),
        ({**TERMINAL, "original": de90(stan="000002")}, "none"),
        # The more trusted level decides.
        ({"network_reference": "NET1", "retrieval_reference": "RRN2"}, "network_reference"),
        ({"network_reference": "NET2", "retrieval_reference": "RRN1"}, "none"),
        ({"acquirer_id": "999", "retrieval_reference": "RRN1"}, "none"),
        ({"retrieval_reference": "RRN2", "original": de90()}, "original_elements"),
    ],
)
def test_levels(says: dict[str, Any], level: str) -> None:
    message = stored()
    match = find(reversal(**says), message)
    assert (match.level, match.original) == (level, None if level == "none" else message)
    assert not match.ambiguous


@pytest.mark.parametrize(
    "lacks",
    [{"network_reference": ""}, {"retrieval_reference": ""}, {"stan": "", "transmitted": ""}],
)
def test_two_absent_elements_never_match_each_other(lacks: dict[str, str]) -> None:
    assert find(reversal(acquirer_id="", terminal_id=""), stored(**lacks)) == Match()


def test_a_reversal_is_never_the_original_of_another() -> None:
    assert find(reversal(retrieval_reference="RRN1"), stored(kind=Kind.REVERSAL)) == Match()


@pytest.mark.parametrize("kind", [Kind.AUTHORIZATION, Kind.FINANCIAL, Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE])
def test_every_other_class_can_be(kind: Kind) -> None:
    message = stored(kind=kind)
    assert find(reversal(retrieval_reference="RRN1"), message).original == message


@pytest.mark.parametrize(
    "message",
    [
        stored(network="east"),
        stored(amount_minor=999),
        stored(hold_id=None, answer=Answer(reason=Reason.INSUFFICIENT_FUNDS)),
        stored(state=MessageState.WITHDRAWN),
        stored(answer=Answer(reason=Reason.INSUFFICIENT_FUNDS)),
    ],
)
def test_by_terminal_and_amount_only_what_still_stands(message: StoredMessage) -> None:
    assert find(reversal(**TERMINAL), message) == Match()


@pytest.mark.parametrize(("age", "found"), [(timedelta(days=1), True), (timedelta(days=1, microseconds=1), False)])
def test_by_terminal_and_amount_within_a_day(age: timedelta, found: bool) -> None:
    assert (find(reversal(**TERMINAL), stored(), age=age).original is not None) == found
    assert find(reversal(network_reference="NET1"), stored(), age=age).original is not None


def test_an_advice_or_an_increment_is_not_matched_by_terminal_and_amount() -> None:
    for kind in (Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE, Kind.AUTHORIZATION):
        assert find(a_request(kind, 1_000, **TERMINAL), stored()) == Match()


# ── several


TWO = (stored(), stored(key=b"l" * 16, stan="000002", hold_id=5))


@pytest.mark.parametrize("says", [{"network_reference": "NET1"}, {"retrieval_reference": "RRN1"}, TERMINAL])
def test_two_purchases_on_one_level_are_for_a_person(says: dict[str, Any]) -> None:
    match = find(reversal(**says), *TWO)
    assert match.ambiguous
    assert match.original is None


@pytest.mark.parametrize(
    ("original", "stan"),
    [(de90("000002"), "000002"), (de90("000001"), "000001"), (de90("000002", transmitted=""), "000002")],
)
def test_de90_tells_which_of_several(original: OriginalElements, stan: str) -> None:
    match = find(reversal(retrieval_reference="RRN1", original=original), *TWO)
    assert match.original is not None and match.original.stan == stan


def test_a_zero_filled_de90_does_not_help() -> None:
    assert find(reversal(retrieval_reference="RRN1", original=de90("", "")), *TWO).ambiguous


def test_a_stan_that_none_of_them_has_is_believed() -> None:
    match = find(reversal(retrieval_reference="RRN1", original=de90("000077")), *TWO)
    assert match.contradicts
    assert match.original is None and not match.ambiguous


def test_messages_of_one_purchase_are_not_ambiguous() -> None:
    increment = stored(key=b"l" * 16, stan="000002", incremental=True)
    match = find(reversal(retrieval_reference="RRN1"), stored(), increment)
    assert match.original == stored()


def test_an_approval_beside_a_decline_of_the_same_reference_is_the_one() -> None:
    decline = stored(key=b"l" * 16, hold_id=None, answer=Answer(reason=Reason.INSUFFICIENT_FUNDS))
    for both in ((decline, stored()), (stored(), decline)):
        assert find(reversal(retrieval_reference="RRN1"), *both).original == stored()


def test_two_declines_of_one_reference_are_no_puzzle() -> None:
    declines = [stored(key=bytes([n]) * 16, stan=f"{n:06d}", hold_id=None) for n in (1, 2)]
    match = find(reversal(retrieval_reference="RRN1"), *declines)
    assert match.original == declines[0] and not match.ambiguous


def test_an_advice_that_moved_nothing_is_not_taken_for_another_of_its_reference() -> None:
    """DE90 may name a request that the network decided for us: its advice is meant then. An advice is only itself."""
    request = stored(stan="000001", hold_id=None, answer=Answer(reason=Reason.INSUFFICIENT_FUNDS))
    noted = stored(key=b"l" * 16, stan="000002", kind=Kind.AUTHORIZATION_ADVICE, hold_id=None, moved_minor=0)
    booked = stored(key=b"m" * 16, stan="000003", kind=Kind.AUTHORIZATION_ADVICE, hold_id=5)
    for named, meant in (("000001", booked), ("000002", noted), ("000003", booked)):
        assert (
            find(reversal(retrieval_reference="RRN1", original=de90(named)), request, noted, booked).original == meant
        )


NAMES = {"original_stan": "000001", "original_transmitted": "0615030000"}


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ({}, True),
        ({"kind": Kind.FINANCIAL_ADVICE}, True),
        ({"hold_id": None}, True),
        ({"kind": Kind.AUTHORIZATION}, False),
        ({"incremental": True}, False),  # it may name what it raised
        ({"original_transmitted": ""}, False),
        ({"original_transmitted": "0615030001"}, False),
        ({"original_stan": "000002"}, False),
        ({"acquirer_id": "999999"}, False),
        ({"acquirer_id": ""}, True),
    ],
)
def test_an_advice_that_names_the_same_message(says: dict[str, Any], found: bool) -> None:
    changes = {"kind": Kind.AUTHORIZATION_ADVICE, "stan": "000050", "retrieval_reference": "RRN9", **NAMES, **says}
    match = find(reversal(original=de90()), stored(**changes))
    assert (match.original is not None) == found
    assert not match.contradicts


def test_what_was_decided_for_a_request_is_found_with_it() -> None:
    """The reversal has the request's reference, and the advice that moved the money only names the request."""
    request = stored(hold_id=None, answer=Answer(reason=Reason.INSUFFICIENT_FUNDS))
    advice = stored(key=b"l" * 16, stan="000050", kind=Kind.AUTHORIZATION_ADVICE, retrieval_reference="RRN9", **NAMES)
    for says in ({}, {"original": de90()}):
        assert find(reversal(retrieval_reference="RRN1", **says), request, advice).original == advice
    other = stored(key=b"m" * 16, stan="000002", hold_id=5)
    assert find(reversal(retrieval_reference="RRN1"), request, other, advice).ambiguous
    assert find(reversal(retrieval_reference="RRN1", original=de90("000002")), request, other, advice).original == other


# ── tombstones


def tombstone(**changes: Any) -> StoredMessage:
    plain: dict[str, Any] = {
        "kind": Kind.REVERSAL,
        "state": MessageState.TOMBSTONE,
        "stan": "000099",
        "hold_id": None,
        "network_reference": "",
        "retrieval_reference": "",
    }
    return stored(**{**plain, **changes})


@pytest.mark.parametrize(
    ("stone", "request_says", "fits"),
    [
        ({"retrieval_reference": "RRN1"}, {"retrieval_reference": "RRN1"}, True),
        ({"retrieval_reference": "RRN1"}, {"retrieval_reference": "RRN2"}, False),
        ({"retrieval_reference": ""}, {"retrieval_reference": ""}, False),
        ({"network_reference": "NET1"}, {"network_reference": "NET1"}, True),
        ({"retrieval_reference": "RRN1", "network": "east"}, {"retrieval_reference": "RRN1"}, False),
        ({"original_stan": "000005", "original_transmitted": "0615030000"}, {"stan": "000005"}, True),
        ({"original_stan": "000005", "original_transmitted": "0615030000"}, {"stan": "000006"}, False),
        (
            {"original_stan": "000005", "original_transmitted": "0615030000"},
            {"stan": "000005", "transmitted": "0616030000"},
            False,
        ),
        # DE90 named one message: another one of the same retrieval reference is not meant.
        (
            {"original_stan": "000005", "original_transmitted": "0615030000", "retrieval_reference": "RRN1"},
            {"stan": "000006", "retrieval_reference": "RRN1"},
            False,
        ),
        # Terminal and amount could hit a stranger.
        ({"terminal_id": "TERM1", "acquirer_id": "123456"}, TERMINAL, False),
    ],
)
def test_tombstones(stone: dict[str, Any], request_says: dict[str, Any], fits: bool) -> None:
    assert tombstone_fits(tombstone(**stone), a_request(**request_says)) is fits


# ── properties

words = st.sampled_from(["", "A", "B"])
networks = st.sampled_from(["west", "east"])
originals = st.none() | st.builds(
    OriginalElements,
    mti=st.just("0100"),
    stan=st.sampled_from(["", "000001", "000002"]),
    transmitted=st.sampled_from(["", "0615030000"]),
    acquirer_id=words,
)
messages = st.builds(
    stored,
    key=st.binary(min_size=16, max_size=16),
    network=networks,
    kind=st.sampled_from(Kind),
    stan=st.sampled_from(["000001", "000002"]),
    acquirer_id=words,
    retrieval_reference=words,
    network_reference=words,
    terminal_id=words,
    amount_minor=st.sampled_from([500, 1_000]),
    hold_id=st.none() | st.integers(1, 3),
    state=st.sampled_from(MessageState),
    original_stan=st.sampled_from(["", "000001", "000002"]),
    original_transmitted=st.sampled_from(["", "0615030000"]),
    incremental=st.booleans(),
)
requests = st.builds(
    a_request,
    st.sampled_from(Kind),
    st.just(1_000),
    network=networks,
    stan=st.sampled_from(["000001", "000002", "000003"]),
    acquirer_id=words,
    retrieval_reference=words,
    network_reference=words,
    terminal_id=words,
    original=originals,
)


@given(requests, st.lists(messages, max_size=6))
def test_a_match_is_of_the_same_network_and_shares_a_reference(request: Request, found: list[StoredMessage]) -> None:
    match = find(request, *found)
    original = match.original
    if original is None:
        assert (match.ambiguous or match.contradicts) == (match.level != "none")
        return
    assert original in found
    assert original.network == request.network
    assert original.kind is not Kind.REVERSAL
    # What an advice names by DE90 is a message that was found, or the one that the request names.
    named = {other.stan for other in found if other.kind.is_request} & {original.original_stan}
    if request.original is not None and request.original.stan:
        named |= {request.original.stan} & {original.original_stan}
    shared = {
        "network_reference": (request.network_reference and request.network_reference == original.network_reference)
        or named,
        "retrieval_reference": (
            request.retrieval_reference and request.retrieval_reference == original.retrieval_reference
        )
        or named,
        "original_elements": request.original is not None
        and request.original.stan in (original.stan, original.original_stan),
        "terminal_and_amount": (
            request.terminal_id
            and request.terminal_id == original.terminal_id
            and request.amount_minor == original.amount_minor
        )
        or named,
    }
    assert shared[match.level]
    assert (match.level == "terminal_and_amount") <= (not names_original(request))


@given(requests, st.lists(messages, max_size=5, unique_by=lambda message: message.key), st.randoms())
def test_which_purchase_is_found_does_not_hang_on_the_order(
    request: Request, found: list[StoredMessage], random: Any
) -> None:
    first = find(request, *found)
    random.shuffle(found)
    second = find(request, *found)
    assert (first.level, first.ambiguous) == (second.level, second.ambiguous)
    assert (first.original and first.original.hold_id) == (second.original and second.original.hold_id)


@given(messages, requests)
def test_a_tombstone_never_meets_a_message_of_another_network(stone: StoredMessage, request: Request) -> None:
    if stone.network != request.network:
        assert not tombstone_fits(stone, request)


def test_candidates_are_not_changed() -> None:
    candidates = [Candidate(message, NOON) for message in TWO]
    before = msgspec.structs.astuple(candidates[0]), msgspec.structs.astuple(candidates[1])
    find_original(reversal(retrieval_reference="RRN1"), candidates, NOON)
    assert (msgspec.structs.astuple(candidates[0]), msgspec.structs.astuple(candidates[1])) == before
