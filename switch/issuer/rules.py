"""The rules of the pipeline, one small pure function each.

A rule sees the case and says pass or a reason to decline, with the values that it looked at. A program lists the
rules that apply and their order; ``funds`` comes last, because it also says how much can be approved. Rules decide
**requests** only: an advice tells what has happened and is booked whatever a rule would say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from switch.contracts.message import Channel, EntryMode, Operation, Request
from switch.contracts.reason import Reason
from switch.issuer.account import Account
from switch.issuer.card import Card, CardStatus
from switch.issuer.case import Case, Seen
from switch.issuer.program import Limit, Program, SecurityCodePolicy
from switch.issuer.usage import Usage

__all__ = ["RULES", "Verdict", "amount_in", "spending_amount"]

SPENDING = frozenset({Operation.PURCHASE, Operation.CASH_WITHDRAWAL})

_STATUS_REASON: Mapping[CardStatus, Reason] = {
    CardStatus.NOT_ACTIVATED: Reason.CARD_NOT_ACTIVATED,
    CardStatus.BLOCKED: Reason.CARD_BLOCKED,
    CardStatus.LOST: Reason.CARD_LOST,
    CardStatus.STOLEN: Reason.CARD_STOLEN,
    CardStatus.CLOSED: Reason.CARD_CLOSED,
}


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """``decline`` is None for a pass.

    ``approved_minor`` is set by ``funds`` alone, and less than asked in a partial approval.
    """

    seen: Seen
    decline: Reason | None = None
    approved_minor: int | None = None


Rule = Callable[[Case], Verdict]


def _known(case: Case) -> tuple[Card, Account, Program]:
    """Card, account and program. ``card_known`` comes first in every pipeline, so they are there."""
    view = case.view
    assert view.card is not None and view.account is not None and view.program is not None
    return view.card, view.account, view.program


def spending_amount(case: Case) -> int | None:
    """What the purchase costs in the account's currency, or None when the message does not say it in that currency.

    The transaction amount (DE4/49) if it is in the account's currency, else the billing amount (DE6/51) if that is.
    """
    account = case.view.account
    return None if account is None else amount_in(case.request, account.currency)


def amount_in(request: Request, currency: str) -> int | None:
    """What the message says it costs in ``currency``: see :func:`spending_amount`."""
    if request.currency == currency:
        return request.amount_minor
    if request.billing_currency == currency:
        return request.billing_amount_minor
    return None


def card_known(case: Case) -> Verdict:
    """DE2 belongs to a card of ours. A number that fails its check digit never does (code 14 either way)."""
    card = case.view.card
    if card is None or case.view.account is None:
        return Verdict({"card": None, "luhn": case.request.pan.passes_luhn()}, Reason.UNKNOWN_CARD)
    # A card whose program is missing from the settings is our fault, and passes: the network may stand in.
    missing = case.view.program is None
    return Verdict({"card": card.card_id, "program": card.program}, Reason.UNAVAILABLE if missing else None)


def card_status(case: Case) -> Verdict:
    """The issuer's status: only an active card spends, and with a credential only an active one, where it is good.

    The card's status comes before the credential's, and that before the network that the credential is restricted to:
    on another one it is a product that is not served there.
    """
    card, _, _ = _known(case)
    credential = card.credential
    if credential is None:
        return Verdict({"status": card.status}, _STATUS_REASON.get(card.status))
    network = case.request.network
    seen: Seen = {
        "status": card.status,
        "credential": credential.credential_id,
        "credential_status": credential.status,
        "only_on": credential.network,
        "network": network,
    }
    elsewhere = credential.network not in ("", network)
    return Verdict(seen, _STATUS_REASON.get(card.standing) or (Reason.PRODUCT_NOT_ALLOWED if elsewhere else None))


def card_expiry(case: Case) -> Verdict:
    """The number is good through the last day of its month (program's zone), and DE14, if sent, says the same month."""
    card, _, _ = _known(case)
    sent = case.request.expiry
    seen: Seen = {"card_expiry": card.expiry, "sent_expiry": sent, "today": case.today.isoformat()}
    if (case.today.year, case.today.month) > (2000 + int(card.expiry[:2]), int(card.expiry[2:])):
        return Verdict(seen, Reason.EXPIRED_CARD)
    return Verdict(seen, Reason.EXPIRY_MISMATCH if sent and sent != card.expiry else None)


def cardholder_lock(case: Case) -> Verdict:
    """The cardholder locked the card themselves, with all of its numbers, and can open it again."""
    card, _, _ = _known(case)
    return Verdict({"locked": card.locked}, Reason.CARD_LOCKED if card.locked else None)


def operation(case: Case) -> Verdict:
    """The program serves this kind of operation at all."""
    _, _, program = _known(case)
    asked = case.request.operation
    if asked is Operation.UNSUPPORTED:
        # A network may serve some channels and entry modes alone, whatever the program serves elsewhere.
        seen: Seen = {"operation": asked, "channel": case.request.channel, "entry_mode": case.request.entry_mode}
        return Verdict(seen, Reason.UNSUPPORTED_OPERATION)
    return Verdict({"operation": asked}, None if asked in program.operations else Reason.PRODUCT_NOT_ALLOWED)


def pin(case: Case) -> Verdict:
    """A PIN that can't be verified is doubt, and on doubt nothing is approved (no PIN keys are held yet)."""
    return Verdict({"pin_sent": case.request.has_pin}, Reason.PIN_NOT_SERVED if case.request.has_pin else None)


def security_code(case: Case) -> Verdict:
    """Every code that was sent is checked: CVV or iCVV of the track (82 when wrong), CVV2 (N7 or 05 when wrong).

    Codes are computed over the number that was presented, with its own expiry and service code.

    A program may demand CVV2 where the card is not present.
    """
    card, _, program = _known(case)
    request, port = case.request, case.security
    seen: Seen = {"policy": program.security_code, "cvv": "absent", "cvv2": "absent"}
    if request.cvv is not None:
        if request.entry_mode in (EntryMode.CHIP, EntryMode.CONTACTLESS):
            good = port.icvv_matches(card.program, request.pan, card.expiry, request.cvv)
        else:
            good = port.cvv_matches(card.program, request.pan, card.expiry, card.service_code, request.cvv)
        seen["cvv"] = "match" if good else "no_match"
        if not good:
            return Verdict(seen, Reason.CVV_FAILED)
    if request.cvv2 is not None:
        good = port.cvv2_matches(card.program, request.pan, card.expiry, request.cvv2)
        seen["cvv2"] = "match" if good else "no_match"
        return Verdict(seen, None if good else Reason.CVV2_MISMATCH)
    absent_card = request.channel in (Channel.ECOMMERCE, Channel.MAIL_OR_PHONE)
    if (
        program.security_code is SecurityCodePolicy.CARD_NOT_PRESENT
        and absent_card
        and request.operation is not Operation.REFUND
    ):
        return Verdict(seen, Reason.SECURITY_CODE_MISSING)
    return Verdict(seen)


def merchant(case: Case) -> Verdict:
    """Merchants, countries, channels and entry modes that the program serves.

    Prepaid programs refuse MCCs whose final amount differs from the hold (hotels, fuel pumps, car rental).
    """
    _, _, program = _known(case)
    request, rules = case.request, program.merchants
    country = request.merchant_country
    seen: Seen = {
        "mcc": request.mcc,
        "country": country,
        "channel": request.channel,
        "entry_mode": request.entry_mode,
    }
    if request.merchant_id and request.merchant_id in rules.merchants_blocked:
        return Verdict(seen, Reason.MERCHANT_BLOCKED)
    refused = (
        request.channel not in program.channels
        or request.entry_mode not in program.entry_modes
        or program.blocks_mcc(request.mcc)
        or country in rules.countries_blocked
        or bool(rules.countries_allowed and country not in rules.countries_allowed)
    )
    return Verdict(seen, Reason.PRODUCT_NOT_ALLOWED if refused else None)


def amount(case: Case) -> Verdict:
    """A purchase, withdrawal or refund has an amount above zero."""
    asked = case.request.amount_minor
    needs_amount = case.request.operation in SPENDING or case.request.operation is Operation.REFUND
    return Verdict({"amount": asked}, Reason.INVALID_AMOUNT if needs_amount and asked <= 0 else None)


def currency(case: Case) -> Verdict:
    """The message says its amount in the account's currency, as transaction (DE49) or billing currency (DE51)."""
    _, account, _ = _known(case)
    request = case.request
    seen: Seen = {"account": account.currency, "transaction": request.currency, "billing": request.billing_currency}
    moves = request.operation in SPENDING or request.operation is Operation.REFUND
    value = spending_amount(case)
    return Verdict(seen, Reason.CURRENCY_NOT_SERVED if moves and (value is None or value <= 0) else None)


def purchase_limit(case: Case) -> Verdict:
    """The limit of one purchase."""
    _, _, program = _known(case)
    limit, value = program.limits.per_purchase_minor, spending_amount(case)
    over = limit is not None and value is not None and case.request.operation in SPENDING and value > limit
    return Verdict({"amount": value, "limit": limit}, Reason.OVER_AMOUNT_LIMIT if over else None)


def _period_limit(case: Case, limit: Limit, spent_minor: int, count: int) -> Verdict:
    value = spending_amount(case) or 0
    seen: Seen = {
        "spent": spent_minor,
        "amount": value,
        "limit": limit.amount_minor,
        "count": count,
        "count_limit": limit.count,
    }
    if case.request.operation not in SPENDING:
        return Verdict(seen)
    if limit.amount_minor is not None and spent_minor + value > limit.amount_minor:
        return Verdict(seen, Reason.OVER_AMOUNT_LIMIT)
    # An increment belongs to a purchase that was counted when it began.
    if limit.count is not None and not case.request.incremental and count + 1 > limit.count:
        return Verdict(seen, Reason.OVER_COUNT_LIMIT)
    return Verdict(seen)


def _usage(case: Case) -> Usage:
    card, _, _ = _known(case)
    usage = case.view.usage
    return Usage(card.card_id, case.today) if usage is None else usage.on(case.today)


def daily_limit(case: Case) -> Verdict:
    """What the card spent since midnight in the program's zone."""
    usage, (_, _, program) = _usage(case), _known(case)
    return _period_limit(case, program.limits.daily, usage.day_minor, usage.day_count)


def monthly_limit(case: Case) -> Verdict:
    """What the card spent since the first of the month in the program's zone."""
    usage, (_, _, program) = _usage(case), _known(case)
    return _period_limit(case, program.limits.monthly, usage.month_minor, usage.month_count)


def lifetime_limit(case: Case) -> Verdict:
    """What the card ever spent, with any of its numbers."""
    usage, (_, _, program) = _usage(case), _known(case)
    return _period_limit(case, program.limits.lifetime, usage.lifetime_minor, usage.lifetime_count)


def funds(case: Case) -> Verdict:
    """``available - floor`` covers the amount; or a part of it, where program and terminal support partial approval.

    Cash is paid out whole or not at all, and an increment raises a hold by what was asked or not.
    """
    _, account, program = _known(case)
    request = case.request
    spendable = account.available_minor - account.floor_minor
    value = spending_amount(case)
    seen: Seen = {"spendable": spendable, "amount": value, "partial_supported": request.partial_supported}
    if request.operation not in SPENDING or value is None:
        return Verdict(seen)
    if value <= spendable:
        return Verdict(seen, approved_minor=value)
    partial = (
        program.partial_approval
        and request.partial_supported
        and not request.incremental
        and request.operation is Operation.PURCHASE
        and request.currency == account.currency
    )
    if partial and spendable > 0:
        return Verdict(seen, approved_minor=spendable)
    return Verdict(seen, Reason.INSUFFICIENT_FUNDS)


#: By the names that a program's ``pipeline`` uses.
RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        card_known,
        card_status,
        card_expiry,
        cardholder_lock,
        operation,
        pin,
        security_code,
        merchant,
        amount,
        currency,
        purchase_limit,
        daily_limit,
        monthly_limit,
        lifetime_limit,
        funds,
    )
}
