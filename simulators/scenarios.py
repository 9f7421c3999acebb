"""Scripted scenarios: what an issuer is judged by, step by step, as a card person would tell it.

A scenario is data. Each step does one thing and names the reason that the issuer should answer with; the dialect turns
the reason into the DE39 that is compared. ``moves`` says what the scenario leaves on each card (posted, held): the
scenario, the acquirer's books and the switch must all agree on it. Whatever touches a limit or a low balance is taken
back at the end, so every scenario can be run again on the same data.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from simulators.messages import Terms
from switch.contracts.message import Channel, EntryMode
from switch.contracts.reason import Reason

__all__ = ["SCENARIOS", "Scenario", "Step"]

_R = Reason


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step. ``of`` is the label of the earlier step that it follows; ``label`` names this one for later steps.

    ``do`` is one of: authorize, increment, purchase, withdraw, refund, authorize refund, inquire, verify; stand in,
    stand in declined, post, post refund; reverse; repeat (of anything); tamper (the same key with ``amount``); prepare
    (made but not sent) and send (of what was prepared).
    """

    do: str
    expect: Reason | None = None  # None: not answered, or not listened to
    card: str = ""
    amount: int | None = None
    of: str = ""
    label: str = ""
    terms: Terms | None = None
    left: int | None = None  # DE95 of a reversal
    approved: int | None = None  # the amount that a partial approval must name
    shows_balance: bool = False  # DE54 must tell the balances of our books
    deaf: bool = False  # the answer gets lost on its way: our books never hear it
    extra: Mapping[str, str] = {}  # elements that replace what would be sent, by their names in a dialect


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A named story. ``moves``: by card, how much more is posted and held at its end."""

    name: str
    title: str
    steps: tuple[Step, ...]
    moves: Mapping[str, tuple[int, int]] = {}


_WEB = Terms(
    mcc="5732", entry_mode=EntryMode.ECOMMERCE, channel=Channel.ECOMMERCE, merchant_name="WEB SHOP", cvv2="card"
)
_TAP = Terms(entry_mode=EntryMode.CONTACTLESS)
_CHIP = Terms(entry_mode=EntryMode.CHIP)


def _declined(name: str, title: str, expect: Reason, card: str, amount: int = 500, **more: object) -> Scenario:
    """One request that must be declined and move nothing."""
    step = msgspec.convert({"do": "authorize", "card": card, "amount": amount}, Step)
    step = msgspec.structs.replace(step, expect=expect, **more)
    return Scenario(name=f"declined-{name}", title=title, steps=(step,), moves={})


SCENARIOS: tuple[Scenario, ...] = (
    # ── approvals
    Scenario(
        name="purchase",
        title="A purchase: the amount is held the moment it is approved",
        steps=(Step(do="authorize", card="plain-0", amount=1_200, expect=_R.APPROVED),),
        moves={"plain-0": (0, 1_200)},
    ),
    Scenario(
        name="purchase-single",
        title="A purchase in a single message (0200) is posted at once",
        steps=(Step(do="purchase", card="plain-1", amount=800, expect=_R.APPROVED),),
        moves={"plain-1": (-800, 0)},
    ),
    Scenario(
        name="purchase-then-presentment",
        title="A purchase is held, then its financial advice (0220) posts it",
        steps=(
            Step(do="authorize", label="pay", card="plain-1", amount=640, expect=_R.APPROVED),
            Step(do="post", of="pay", expect=_R.ADVICE_ACCEPTED),
        ),
        moves={"plain-1": (-640, 0)},
    ),
    Scenario(
        name="purchase-online",
        title="An e-commerce purchase with the right CVV2",
        steps=(
            Step(do="authorize", label="pay", card="online-0", amount=2_000, terms=_WEB, expect=_R.APPROVED),
            Step(do="reverse", of="pay", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"online-0": (0, 0)},
    ),
    Scenario(
        name="purchase-contactless",
        title="A contactless purchase with an in-store card",
        steps=(
            Step(do="authorize", label="tap", card="in-store-0", amount=450, terms=_TAP, expect=_R.APPROVED),
            Step(do="reverse", of="tap", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"in-store-0": (0, 0)},
    ),
    Scenario(
        name="purchase-dollars",
        title="12.34 dollars on a dollar card: minor units have two digits there",
        steps=(Step(do="authorize", card="travel-usd-0", amount=1_234, terms=Terms(country="US"), expect=_R.APPROVED),),
        moves={"travel-usd-0": (0, 1_234)},
    ),
    Scenario(
        name="verification",
        title="Account verification: amount zero, nothing moves",
        steps=(Step(do="verify", card="plain-2", terms=Terms(cvv2="card"), expect=_R.ACCOUNT_VERIFIED),),
        moves={"plain-2": (0, 0)},
    ),
    Scenario(
        name="inquiry",
        title="A balance inquiry answers with what our books say",
        steps=(Step(do="inquire", card="plain-0", expect=_R.APPROVED, shows_balance=True),),
        moves={"plain-0": (0, 0)},
    ),
    Scenario(
        name="partial-approval",
        title="5,000 asked with 3,000 there: the terminal takes a partial approval",
        steps=(
            Step(
                do="authorize",
                label="pay",
                card="plain-low",
                amount=5_000,
                terms=Terms(partial=True),
                expect=_R.APPROVED_PARTIALLY,
                approved=3_000,
            ),
            Step(do="reverse", of="pay", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"plain-low": (0, 0)},
    ),
    Scenario(
        name="incremental",
        title="An authorization is raised; reversing it takes back all of it",
        steps=(
            Step(do="authorize", label="pay", card="plain-2", amount=1_000, expect=_R.APPROVED),
            Step(do="increment", of="pay", amount=500, expect=_R.APPROVED),
            Step(do="reverse", of="pay", left=1_200, expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"plain-2": (0, 1_200)},
    ),
    Scenario(
        name="cash",
        title="A withdrawal at a cash machine: a single message, nothing to clear",
        steps=(Step(do="withdraw", card="plain-3", amount=10_000, expect=_R.APPROVED),),
        moves={"plain-3": (-10_000, 0)},
    ),
    Scenario(
        name="refund",
        title="A refund in a single message brings the money back",
        steps=(
            Step(do="purchase", card="plain-3", amount=700, expect=_R.APPROVED),
            Step(do="refund", card="plain-3", amount=700, expect=_R.APPROVED),
        ),
        moves={"plain-3": (0, 0)},
    ),
    Scenario(
        name="refund-authorization",
        title="A refund authorization is approved and credited only at clearing",
        steps=(Step(do="authorize refund", card="plain-3", amount=300, expect=_R.APPROVED),),
        moves={"plain-3": (0, 0)},
    ),
    # ── reversals
    Scenario(
        name="reversal-full",
        title="A full reversal releases the whole hold",
        steps=(
            Step(do="authorize", label="pay", card="plain-4", amount=2_500, expect=_R.APPROVED),
            Step(do="reverse", of="pay", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"plain-4": (0, 0)},
    ),
    Scenario(
        name="reversal-partial",
        title="Hold 30, a partial reversal leaves 10, 10 is presented: 10 is posted and nothing is held",
        steps=(
            Step(do="authorize", label="pay", card="plain-4", amount=30, expect=_R.APPROVED),
            Step(do="reverse", of="pay", left=10, expect=_R.REVERSAL_ACCEPTED),
            Step(do="post", of="pay", amount=10, expect=_R.ADVICE_ACCEPTED),
        ),
        moves={"plain-4": (-10, 0)},
    ),
    Scenario(
        name="reversal-of-posting",
        title="A single-message purchase is reversed in part, then in full",
        steps=(
            Step(do="purchase", label="pay", card="plain-4", amount=900, expect=_R.APPROVED),
            Step(do="reverse", of="pay", left=400, expect=_R.REVERSAL_ACCEPTED),
            Step(do="reverse", of="pay", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"plain-4": (0, 0)},
    ),
    Scenario(
        name="reversal-late",
        title="The approval never reached the terminal: its reversal undoes it",
        steps=(
            Step(do="authorize", label="pay", card="plain-4", amount=1_500, deaf=True),
            Step(do="reverse", of="pay", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"plain-4": (0, 0)},
    ),
    Scenario(
        name="reversal-first",
        title="The reversal overtakes its original: the original is declined when it comes",
        steps=(
            Step(do="prepare", label="pay", card="plain-5", amount=1_100),
            Step(do="reverse", of="pay", expect=_R.REVERSAL_ACCEPTED),
            Step(do="send", of="pay", expect=_R.REVERSED_EARLIER),
        ),
        moves={"plain-5": (0, 0)},
    ),
    Scenario(
        name="reversal-of-decline",
        title="Reversing what was declined changes nothing",
        steps=(
            Step(do="authorize", label="pay", card="no-partial-low", amount=9_000, expect=_R.INSUFFICIENT_FUNDS),
            Step(do="reverse", of="pay", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"no-partial-low": (0, 0)},
    ),
    Scenario(
        name="reversal-twice",
        title="A second reversal of the same purchase changes nothing",
        steps=(
            Step(do="authorize", label="pay", card="plain-5", amount=600, expect=_R.APPROVED),
            Step(do="reverse", of="pay", expect=_R.REVERSAL_ACCEPTED),
            Step(do="reverse", of="pay", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"plain-5": (0, 0)},
    ),
    Scenario(
        name="reversal-too-much",
        title="A reversal of more than is held changes nothing",
        steps=(
            Step(do="authorize", label="pay", card="plain-5", amount=600, expect=_R.APPROVED),
            Step(do="reverse", of="pay", left=900, expect=_R.REVERSAL_ACCEPTED),
            Step(do="reverse", of="pay", amount=5_000, expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"plain-5": (0, 600)},
    ),
    # ── advices
    Scenario(
        name="stand-in-approval",
        title="The network approved while the switch was away, and tells it",
        steps=(
            Step(do="prepare", label="pay", card="plain-6", amount=2_200),
            Step(do="stand in", of="pay", label="advice", expect=_R.ADVICE_ACCEPTED),
            Step(do="reverse", of="advice", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"plain-6": (0, 0)},
    ),
    Scenario(
        name="stand-in-folds",
        title="Both approved the same purchase: the advice folds into the hold",
        steps=(
            Step(do="authorize", label="pay", card="plain-6", amount=1_000, deaf=True),
            Step(do="stand in", of="pay", amount=900, expect=_R.ADVICE_ACCEPTED),
        ),
        moves={"plain-6": (0, 900)},
    ),
    Scenario(
        name="stand-in-decline",
        title="We approved, the network declined: its advice releases the hold",
        steps=(
            Step(do="authorize", label="pay", card="plain-6", amount=1_000, expect=_R.APPROVED),
            Step(do="stand in declined", of="pay", expect=_R.ADVICE_ACCEPTED),
        ),
        moves={"plain-6": (0, 0)},
    ),
    Scenario(
        name="stand-in-first",
        title="The network's decline for us overtakes the request: the request is declined when it comes",
        steps=(
            Step(do="prepare", label="pay", card="plain-6", amount=1_200),
            Step(do="stand in declined", of="pay", expect=_R.ADVICE_ACCEPTED),
            Step(do="send", of="pay", expect=_R.DECIDED_EARLIER),
        ),
        moves={"plain-6": (0, 0)},
    ),
    Scenario(
        name="stand-in-below-zero",
        title="An advice is booked whatever the balance",
        steps=(
            Step(do="prepare", label="pay", card="plain-zero", amount=700),
            Step(do="stand in", of="pay", label="advice", expect=_R.ADVICE_ACCEPTED),
            Step(do="authorize", card="plain-zero", amount=1, expect=_R.INSUFFICIENT_FUNDS),
            Step(do="stand in declined", of="pay", expect=_R.ADVICE_ACCEPTED),
        ),
        moves={"plain-zero": (0, 0)},
    ),
    Scenario(
        name="force-post",
        title="A financial advice without an authorization posts all the same",
        steps=(
            Step(do="prepare", label="pay", card="plain-6", amount=330),
            Step(do="post", of="pay", expect=_R.ADVICE_ACCEPTED),
            Step(do="post refund", of="pay", amount=330, expect=_R.ADVICE_ACCEPTED),
        ),
        moves={"plain-6": (0, 0)},
    ),
    # ── repeats
    Scenario(
        name="repeat-each",
        title="A repeat of any message hears the same answer and moves nothing",
        steps=(
            Step(do="authorize", label="pay", card="plain-7", amount=1_000, expect=_R.APPROVED),
            Step(do="repeat", of="pay", expect=_R.APPROVED),
            Step(do="increment", of="pay", label="more", amount=200, expect=_R.APPROVED),
            Step(do="repeat", of="more", expect=_R.APPROVED),
            Step(do="post", of="pay", label="clear", amount=1_200, expect=_R.ADVICE_ACCEPTED),
            Step(do="repeat", of="clear", expect=_R.ADVICE_ACCEPTED),
            Step(do="purchase", label="single", card="plain-7", amount=400, expect=_R.APPROVED),
            Step(do="repeat", of="single", expect=_R.APPROVED),
            Step(do="reverse", of="single", label="undo", expect=_R.REVERSAL_ACCEPTED),
            Step(do="repeat", of="undo", expect=_R.REVERSAL_ACCEPTED),
            Step(do="repeat", of="single", expect=_R.APPROVED),
            Step(do="prepare", label="away", card="plain-7", amount=50),
            Step(do="stand in", of="away", label="advice", expect=_R.ADVICE_ACCEPTED),
            Step(do="repeat", of="advice", expect=_R.ADVICE_ACCEPTED),
        ),
        moves={"plain-7": (-1_200, 50)},
    ),
    Scenario(
        name="repeat-of-decline",
        title="A declined message that is repeated is declined again, even with money there now",
        steps=(
            Step(do="authorize", label="pay", card="no-partial-low", amount=3_100, expect=_R.INSUFFICIENT_FUNDS),
            Step(do="refund", label="load", card="no-partial-low", amount=500, expect=_R.APPROVED),
            Step(do="repeat", of="pay", expect=_R.INSUFFICIENT_FUNDS),
            Step(do="reverse", of="load", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"no-partial-low": (0, 0)},
    ),
    Scenario(
        name="key-reused",
        title="The same key with another amount is answered 94 and moves nothing",
        steps=(
            Step(do="authorize", label="pay", card="plain-7", amount=100, expect=_R.APPROVED),
            Step(do="tamper", of="pay", amount=90_000, expect=_R.KEY_REUSED),
        ),
        moves={"plain-7": (0, 100)},
    ),
    # ── limits, at their boundaries
    Scenario(
        name="limit-per-purchase",
        title="Exactly the limit of one purchase passes, one yen more does not",
        steps=(
            Step(do="authorize", label="pay", card="small-limits-0", amount=5_000, expect=_R.APPROVED),
            Step(do="authorize", card="small-limits-0", amount=5_001, expect=_R.OVER_AMOUNT_LIMIT),
            Step(do="reverse", of="pay", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"small-limits-0": (0, 0)},
    ),
    Scenario(
        name="limit-daily-amount",
        title="The day's amount is used up to the yen; a reversal gives it back",
        steps=(
            Step(do="authorize", label="one", card="small-limits-1", amount=5_000, expect=_R.APPROVED),
            Step(do="authorize", label="two", card="small-limits-1", amount=5_000, expect=_R.APPROVED),
            Step(do="authorize", card="small-limits-1", amount=1, expect=_R.OVER_AMOUNT_LIMIT),
            Step(do="reverse", of="two", left=4_999, expect=_R.REVERSAL_ACCEPTED),
            Step(do="authorize", label="three", card="small-limits-1", amount=1, expect=_R.APPROVED),
            Step(do="reverse", of="one", expect=_R.REVERSAL_ACCEPTED),
            Step(do="reverse", of="two", expect=_R.REVERSAL_ACCEPTED),
            Step(do="reverse", of="three", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"small-limits-1": (0, 0)},
    ),
    Scenario(
        name="limit-daily-count",
        title="The fourth purchase of the day is one too many, until one is reversed",
        steps=(
            Step(do="authorize", label="one", card="small-limits-2", amount=10, expect=_R.APPROVED),
            Step(do="authorize", label="two", card="small-limits-2", amount=10, expect=_R.APPROVED),
            Step(do="authorize", label="three", card="small-limits-2", amount=10, expect=_R.APPROVED),
            Step(do="authorize", card="small-limits-2", amount=10, expect=_R.OVER_COUNT_LIMIT),
            Step(do="reverse", of="one", expect=_R.REVERSAL_ACCEPTED),
            Step(do="authorize", label="four", card="small-limits-2", amount=10, expect=_R.APPROVED),
            Step(do="reverse", of="two", expect=_R.REVERSAL_ACCEPTED),
            Step(do="reverse", of="three", expect=_R.REVERSAL_ACCEPTED),
            Step(do="reverse", of="four", expect=_R.REVERSAL_ACCEPTED),
        ),
        moves={"small-limits-2": (0, 0)},
    ),
    # ── one decline of each kind
    _declined("unknown-card", "A number that nobody issued", _R.UNKNOWN_CARD, "stranger"),
    _declined("luhn", "A number that fails its check digit", _R.UNKNOWN_CARD, "misdialled"),
    _declined("expired", "An expired card", _R.EXPIRED_CARD, "plain-expired"),
    _declined("expiry", "Another expiry than the card's", _R.EXPIRY_MISMATCH, "plain-8", terms=Terms(expiry="2911")),
    _declined("locked", "The cardholder locked the card", _R.CARD_LOCKED, "plain-locked"),
    _declined("not-activated", "Not yet activated", _R.CARD_NOT_ACTIVATED, "plain-not-activated"),
    _declined("blocked", "Blocked by the issuer for now", _R.CARD_BLOCKED, "plain-blocked"),
    _declined("lost", "Reported lost", _R.CARD_LOST, "plain-lost"),
    _declined("stolen", "Reported stolen", _R.CARD_STOLEN, "plain-stolen"),
    _declined("closed", "Closed", _R.CARD_CLOSED, "plain-closed"),
    _declined("hotel", "A hotel: its final amount differs", _R.PRODUCT_NOT_ALLOWED, "plain-8", terms=Terms(mcc="7011")),
    _declined("fuel", "A fuel pump: likewise", _R.PRODUCT_NOT_ALLOWED, "plain-8", terms=Terms(mcc="5542")),
    _declined(
        "merchant",
        "A merchant that the issuer blocked",
        _R.MERCHANT_BLOCKED,
        "standard-0",
        terms=Terms(merchant_id="BLOCKEDSHOP0001"),
    ),
    _declined("country", "A country not served", _R.PRODUCT_NOT_ALLOWED, "standard-0", terms=Terms(country="KP")),
    _declined("online-in-shop", "An online card in a shop", _R.PRODUCT_NOT_ALLOWED, "online-1", terms=_CHIP),
    _declined("shop-online", "An in-store card on the web", _R.PRODUCT_NOT_ALLOWED, "in-store-1", terms=_WEB),
    _declined("no-cash", "Cash with a card that has none", _R.PRODUCT_NOT_ALLOWED, "standard-0", do="withdraw"),
    _declined("currency", "Euro on a yen card", _R.CURRENCY_NOT_SERVED, "plain-8", terms=Terms(currency="EUR")),
    _declined(
        "operation",
        "A processing code that nobody serves",
        _R.UNSUPPORTED_OPERATION,
        "plain-8",
        extra={"operation": "280000"},
    ),
    _declined("amount", "A purchase of nothing", _R.INVALID_AMOUNT, "plain-8", 0, do="purchase"),
    _declined(
        "cvv2",
        "A wrong CVV2",
        _R.CVV2_MISMATCH,
        "online-1",
        terms=msgspec.structs.replace(_WEB, cvv2="wrong"),
    ),
    _declined(
        "no-cvv2",
        "No CVV2 where the program demands it",
        _R.SECURITY_CODE_MISSING,
        "online-1",
        terms=msgspec.structs.replace(_WEB, cvv2=None),
    ),
    _declined("cvv", "A wrong CVV on the stripe", _R.CVV_FAILED, "plain-8", terms=Terms(cvv="000")),
    _declined(
        "pin", "A PIN that the issuer can't check", _R.PIN_NOT_SERVED, "plain-8", extra={"pin": "0123456789ABCDEF"}
    ),
    _declined("funds", "More than there is, all or nothing", _R.INSUFFICIENT_FUNDS, "no-partial-low", 3_001),
    _declined(
        "partial-not-offered",
        "More than there is, the terminal takes no part",
        _R.INSUFFICIENT_FUNDS,
        "plain-low",
        3_001,
    ),
    Scenario(
        name="declined-increment",
        title="An increment without its first authorization",
        steps=(
            Step(do="prepare", label="pay", card="plain-8", amount=100),
            Step(do="increment", of="pay", amount=50, expect=_R.ORIGINAL_NOT_FOUND),
        ),
        moves={"plain-8": (0, 0)},
    ),
    _declined("format", "An amount that is no number", _R.FORMAT_ERROR, "plain-8", extra={"amount": "00000000ABCD"}),
)
