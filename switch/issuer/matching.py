"""Which message does a reversal or an advice mean?

No single element is reliable, so the elements are tried in an order of trust, and the first level that finds anything
decides. Two different purchases on one level are ambiguous: that is for a person, never for a guess.

    1. the network's own transaction id
    2. retrieval reference (DE37) and card, and the approval code (DE38) where both have one (but no stand-in)
    3. original data elements (DE90): STAN and transmission time, the acquirer where both sides have one; of a message,
       or of the request that an advice named by its own DE90
    4. acquirer, terminal and amount, within a day before: only where the message carries neither of the elements above,
       for a reference that is there and fits nothing means that the original has not come (yet)

An element that was zero-filled is absent (the codec leaves it out): DE90 alone, zero-filled, matches nothing.

What the network decided for us belongs to two messages, the request and the advice, and only DE90 may tell so: where
one is found, the other is. The request itself may have moved nothing (it was declined, came too late, or never came).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from switch.contracts.message import Kind, Request
from switch.issuer.stored import MessageState, StoredMessage

__all__ = ["TOMBSTONE_LIFE", "Candidate", "Match", "find_original", "names_original", "tombstone_fits"]

WINDOW = timedelta(days=1)
#: How long an original may come late. Networks forward what they stored within minutes or hours; three days are
#: beyond any.
TOMBSTONE_LIFE = timedelta(days=3)

#: Which request an advice that came first stands for.
_STANDS_FOR = {Kind.AUTHORIZATION_ADVICE: Kind.AUTHORIZATION, Kind.FINANCIAL_ADVICE: Kind.FINANCIAL}
_ORIGINALS = frozenset({Kind.AUTHORIZATION, Kind.FINANCIAL, Kind.AUTHORIZATION_ADVICE, Kind.FINANCIAL_ADVICE})


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A stored message that might be the original, and when it was decided."""

    message: StoredMessage
    decided_at: datetime


class Match(msgspec.Struct, frozen=True, gc=False):
    """``original`` is None when nothing fits or when ``ambiguous``; ``level`` tells by which elements.

    ``contradicts``: one element named a purchase and DE90 another message, which has not come (yet).
    """

    original: StoredMessage | None = None
    level: str = "none"
    ambiguous: bool = False
    contradicts: bool = False


def find_original(request: Request, candidates: Sequence[Candidate], now: datetime) -> Match:
    """The message that ``request`` (a reversal, an advice, an increment) refers to.

    ``candidates`` are messages of the same card, in the order in which they were decided.
    """
    messages = [
        candidate
        for candidate in candidates
        if candidate.message.kind in _ORIGINALS and candidate.message.network == request.network
    ]
    levels: tuple[tuple[str, Callable[[Candidate], bool]], ...] = (
        ("network_reference", lambda c: _same(request.network_reference, c.message.network_reference)),
        ("retrieval_reference", lambda c: _by_retrieval_reference(request, c.message)),
        ("original_elements", lambda c: _by_original_elements(request, c.message)),
        ("terminal_and_amount", lambda c: _by_terminal_and_amount(request, c, now)),
    )
    for level, fits in levels:
        hits = [candidate.message for candidate in messages if fits(candidate)]
        if hits:
            return _choose(request, [*hits, *_decided_for_us(request, hits, messages)], level)
    return Match()


def tombstone_fits(tombstone: StoredMessage, request: Request) -> bool:
    """Whether the reversal or stand-in advice that came early meant this message.

    Terminal and amount alone are never enough: they could hit a stranger. But where they differ it is one.
    """
    if tombstone.network != request.network or _strangers(tombstone, request):
        return False
    if tombstone.kind in _STANDS_FOR and not _may_stand_for(tombstone, request):
        return False
    by_reference = _same(tombstone.network_reference, request.network_reference) or _same(
        tombstone.retrieval_reference, request.retrieval_reference
    )
    if (original := request.original) is not None and request.kind in _STANDS_FOR:
        # The reversal and the advice may know each other by the message alone that both name.
        named = (tombstone.original_stan, tombstone.original_transmitted)
        if all(named) and named == (original.stan, original.transmitted):
            return True
    if tombstone.original_stan and not (by_reference and request.kind in _STANDS_FOR):
        # DE90 named one message: that one and no other of the same retrieval reference. Only an advice tells of that
        # message under a STAN of its own.
        return tombstone.original_stan == request.stan and (
            tombstone.original_transmitted == request.transmitted
            or (not tombstone.original_transmitted and by_reference)
        )
    return by_reference


def _may_stand_for(advice: StoredMessage, request: Request) -> bool:
    """Whether the advice may be about this request, whose reference or STAN it shares."""
    # What was stood in for may be raised afterwards, under the same reference.
    if not request.kind.is_request or request.incremental or request.operation is not advice.operation:
        return False
    if _tells_of(advice, request.stan, request.transmitted):
        # An 0220 that names an 0100 has completed it, be it for another amount.
        return request.kind is _STANDS_FOR[advice.kind] or advice.kind is Kind.FINANCIAL_ADVICE
    return request.kind is _STANDS_FOR[advice.kind] and request.amount_minor == advice.amount_minor


def names_original(request: Request) -> bool:
    """Whether the message carries any reference to its original (levels 1 to 3)."""
    return bool(
        request.network_reference
        or request.retrieval_reference
        or (request.original is not None and request.original.stan and request.original.transmitted)
    )


def _same(wanted: str, found: str) -> bool:
    return bool(wanted) and wanted == found


def _strangers(message: StoredMessage, request: Request) -> bool:
    """Whether elements that both carry say that they belong to different purchases, whatever reference they share."""
    return (
        _differ(message.acquirer_id, request.acquirer_id)
        or _differ(message.terminal_id, request.terminal_id)
        or _differ(message.network_reference, request.network_reference)
    )


def _differ(one: str, other: str) -> bool:
    return bool(one) and bool(other) and one != other


def _by_retrieval_reference(request: Request, message: StoredMessage) -> bool:
    if not _same(request.retrieval_reference, message.retrieval_reference):
        return False
    # A retrieval reference is unique only for its acquirer.
    if _differ(request.acquirer_id, message.acquirer_id) or _differ(
        request.network_reference, message.network_reference
    ):
        return False
    if request.kind is Kind.AUTHORIZATION_ADVICE:
        # The code of a stand-in approval is the network's own: it never equals the one that we gave.
        return True
    return not (
        request.approval_code and message.answer.approval_code and request.approval_code != message.answer.approval_code
    )


def _by_original_elements(request: Request, message: StoredMessage) -> bool:
    original = request.original
    if original is None or not original.stan or not original.transmitted:
        return False
    if _differ(original.acquirer_id, message.acquirer_id):
        return False
    return (original.stan, original.transmitted) == (message.stan, message.transmitted) or _tells_of(
        message, original.stan, original.transmitted
    )


def _tells_of(message: StoredMessage, stan: str, transmitted: str) -> bool:
    """Whether it is an advice whose DE90 names this request.

    That of an increment's advice may name the increment as well as the authorization that it raised: it tells nothing.
    """
    return (
        message.kind in _STANDS_FOR
        and not message.incremental
        and bool(stan)
        and bool(transmitted)
        and (stan, transmitted) == (message.original_stan, message.original_transmitted)
    )


def _decided_for_us(
    request: Request, hits: Sequence[StoredMessage], messages: Sequence[Candidate]
) -> list[StoredMessage]:
    """Further advices, which name by DE90 one of ``hits``, or the very message that the DE90 of ``request`` names."""
    found = {hit.key for hit in hits}
    requests = [(hit.stan, hit.transmitted, hit.acquirer_id) for hit in hits if hit.kind.is_request]
    if (original := request.original) is not None:
        requests.append((original.stan, original.transmitted, original.acquirer_id))
    return [
        advice
        for candidate in messages
        if (advice := candidate.message).original_stan and advice.key not in found
        if any(
            _tells_of(advice, stan, transmitted) and not _differ(acquirer_id, advice.acquirer_id)
            for stan, transmitted, acquirer_id in requests
        )
    ]


def _by_terminal_and_amount(request: Request, candidate: Candidate, now: datetime) -> bool:
    message = candidate.message
    return (
        request.kind is Kind.REVERSAL
        and not names_original(request)
        and message.approved
        and message.state is not MessageState.REVERSED
        and message.hold_id is not None
        and _same(request.acquirer_id, message.acquirer_id)
        and _same(request.terminal_id, message.terminal_id)
        and request.amount_minor == message.amount_minor
        and now - candidate.decided_at <= WINDOW
    )


def _choose(request: Request, hits: Iterable[StoredMessage], level: str) -> Match:
    """Of several messages on one level, the one that DE90 names, else the first of the one purchase they all moved."""
    found = list(hits)
    stan = "" if request.original is None else request.original.stan
    stand_ins = [m for m in found if m.kind is Kind.AUTHORIZATION_ADVICE and m.hold_id is not None]
    named = [m for m in found if stan and m.stan == stan]
    told_of = [m for m in found if stan and m.original_stan == stan and m.kind in _STANDS_FOR and not m.incremental]
    if request.kind is Kind.REVERSAL and stan and not named and not told_of and not stand_ins:
        # The increments of a purchase share its reference. A reversal of one that was lost on its way must not take
        # back the purchase, so a STAN that DE90 names and none of them has is believed.
        return Match(level=level, contradicts=True)
    if len(found) > 1 and (named or told_of):
        # What DE90 names may be a request that came too late or was lost, and that the network decided for us. Its
        # advice may name it too, or share its reference only. An advice that moved nothing is only itself: another one
        # of the same reference is not what is meant.
        decided_for_us = stand_ins if not told_of and all(m.kind.is_request for m in named) else []
        moved = [some for some in (named, told_of, decided_for_us) if any(m.hold_id is not None for m in some)]
        found = moved[0] if moved else named or told_of
    if len(found) > 1:
        # A decline moved nothing: beside an approval of the same reference (a retry) it can't be what is meant.
        found = [m for m in found if m.hold_id is not None] or found[:1]
    if len({m.hold_id for m in found}) > 1:
        return Match(level=level, ambiguous=True)
    # The message that placed the hold, rather than one that raised it.
    return Match(original=min(found, key=lambda m: m.incremental), level=level)
