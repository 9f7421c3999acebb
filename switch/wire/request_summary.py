"""A request in words: what the issuer's rules will see of a message. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from switch.contracts.message import Request
from switch.wire.wording import amount_text

__all__ = ["REFERENCE", "request_summary"]

REFERENCE = "network's transaction id"
"""The one that has as many digits as a card number."""


def request_summary(request: Request) -> dict[str, str]:
    """What was read, by name; what was not told is left out."""
    return {name: text for name, text in _told(request) if text}


def _told(request: Request) -> Iterator[tuple[str, str]]:
    yield "message", _words(request.kind) + (", a repeat" if request.repeat else "")
    yield "operation", _words(request.operation)
    yield "card", request.pan.masked
    yield "amount", amount_text(str(request.amount_minor), request.currency)
    if request.billing_amount_minor is not None:
        yield "billing amount", amount_text(str(request.billing_amount_minor), request.billing_currency)
    if request.replacement_amount_minor is not None:
        yield "final amount", amount_text(str(request.replacement_amount_minor), request.currency)
    yield "transmitted", f"{request.transmitted_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "channel", _words(request.channel)
    yield "entry mode", _words(request.entry_mode)
    yield (
        "merchant",
        ", ".join(part for part in (" ".join(request.merchant_name.split()), request.merchant_country) if part),
    )
    yield REFERENCE, request.network_reference
    secrets = (("track 2 CVV", request.cvv), ("CVV2", request.cvv2), ("PIN block", request.has_pin or None))
    yield "comes with", ", ".join(name for name, there in secrets if there is not None)
    marks = (("partial approval", request.partial_supported), ("incremental", request.incremental))
    yield "says", ", ".join(name for name, there in marks if there)
    if request.original is not None:
        original = request.original
        yield "original", f"MTI {original.mti or '?'}, STAN {original.stan or '?'}, {original.transmitted or '?'}"
    if request.stand_in is not None:
        by = f" by {request.stand_in_by}" if request.stand_in_by else ""
        why = f": {request.stand_in_reason}" if request.stand_in_reason else ""
        yield "decided for us", f"{request.stand_in.value}{by}{why}"


def _words(name: str) -> str:
    return str(name).replace("_", " ")
