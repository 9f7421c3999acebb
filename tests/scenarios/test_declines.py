"""Every decline that a request can meet: its DE39, the rule that said so, and a balance that did not move."""

from __future__ import annotations

import dataclasses

import pytest

from simulators.cards import luhn_digit
from simulators.messages import Terms
from switch.contracts.message import Channel, EntryMode, Kind
from switch.contracts.reason import Reason
from switch.contracts.secret import Pan
from switch.journal.connection import Connection
from tests.house import House, new_pan
from tests.scenarios.line import Line, codec_of
from tests.scenarios.steps import Do, authorize, authorize_cash, buy, refund, repeat, tamper, withdraw
from tests.scenarios.transcript import DIALECTS, Dialect, Row, Story, maker_for, play, told

WEB = Terms(mcc="5732", entry_mode=EntryMode.ECOMMERCE, channel=Channel.ECOMMERCE, merchant_name="WEB SHOP")
WEB_GOOD = Terms(mcc="5732", entry_mode=EntryMode.ECOMMERCE, channel=Channel.ECOMMERCE, cvv2="card")
WEB_WRONG = Terms(mcc="5732", entry_mode=EntryMode.ECOMMERCE, channel=Channel.ECOMMERCE, cvv2="wrong")
BY_PHONE = Terms(mcc="5732", entry_mode=EntryMode.MANUAL, channel=Channel.MAIL_OR_PHONE, cvv2="card")


def at(mcc: str) -> Terms:
    return Terms(mcc=mcc)


def read(entry_mode: EntryMode, cvv: str | None = None) -> Terms:
    return Terms(entry_mode=entry_mode, cvv=cvv)


def declined(name: str, do: Do, code: str, rule: str, *, de44: str = "", **card: object) -> Story:
    """A request on a card with ¥100,000 that changes nothing."""
    story = Story(f"declined: {name}", (Row(do, code, 100_000, 0, rule, de44=de44),))
    return dataclasses.replace(story, **card)  # type: ignore[arg-type]  # the fields of Story, by name


# fmt: off
PAY, SINGLE = authorize("pay", 500), buy("pay", 500)

CARD = (
    #        the situation                        the request                                DE39  the rule and its reason
    declined("expired",                           PAY,                                       "54", "card_expiry: expired_card", expiry="2001"),
    declined("expired, no expiry sent",           authorize("pay", 500, Terms(expiry=None)), "54", "card_expiry: expired_card", expiry="2001"),
    declined("another expiry than the card's",    authorize("pay", 500, Terms(expiry="3011")), "54", "card_expiry: expiry_mismatch"),
    declined("locked by the cardholder",          PAY,                                       "62", "cardholder_lock: card_locked", locked=True),
    declined("locked, single message",            SINGLE,                                    "62", "cardholder_lock: card_locked", locked=True),
    declined("blocked for a while",               PAY,                                       "62", "card_status: card_blocked", status="blocked"),
    declined("not activated yet",                 PAY,                                       "78", "card_status: card_not_activated", status="not_activated"),
    declined("lost",                              PAY,                                       "41", "card_status: card_lost", status="lost"),
    declined("stolen",                            PAY,                                       "43", "card_status: card_stolen", status="stolen"),
    declined("closed",                            PAY,                                       "46", "card_status: card_closed", status="closed"),
    declined("lost and locked: lost comes first", PAY,                                       "41", "card_status: card_lost", status="lost", locked=True),
    declined("a refund to a closed card",         refund("back", 500),                       "46", "card_status: card_closed", status="closed"),
)

MERCHANTS = (
    declined("hotel",                             authorize("pay", 500, at("7011")),         "57", "merchant: product_not_allowed"),
    declined("first hotel brand",                 authorize("pay", 500, at("3501")),         "57", "merchant: product_not_allowed"),
    declined("last hotel brand",                  authorize("pay", 500, at("3790")),         "57", "merchant: product_not_allowed"),
    declined("car rental",                        authorize("pay", 500, at("3351")),         "57", "merchant: product_not_allowed"),
    declined("fuel pump",                         buy("pay", 500, at("5542")),               "57", "merchant: product_not_allowed"),
    declined("cruise",                            authorize("pay", 500, at("4411")),         "57", "merchant: product_not_allowed"),
    declined("gambling",                          authorize("pay", 500, at("7995")),         "57", "merchant: product_not_allowed", program="standard"),
    declined("country",                           authorize("pay", 500, Terms(country="KP")), "57", "merchant: product_not_allowed", program="standard"),
    declined("blocked merchant",                  authorize("pay", 500, Terms(merchant_id="BLOCKEDSHOP0001")), "03", "merchant: merchant_blocked", program="standard"),
    declined("web shop, in-store card",           authorize("pay", 500, WEB),                "57", "merchant: product_not_allowed", program="in_store"),
    declined("in store, online card",             authorize("pay", 500),                     "57", "merchant: product_not_allowed", program="online"),
    declined("by phone, online card",             authorize("pay", 500, BY_PHONE),           "57", "merchant: product_not_allowed", program="online", de44="M"),
    declined("stripe, chip-only card",            authorize("pay", 500, read(EntryMode.MAGNETIC_STRIPE)), "57", "merchant: product_not_allowed", program="in_store"),
    declined("keyed, chip-only card",             authorize("pay", 500, read(EntryMode.MANUAL)), "57", "merchant: product_not_allowed", program="in_store"),
    declined("cash from a card without cash",     withdraw("cash", 500),                     "57", "operation: product_not_allowed", program="standard"),
    declined("cash authorization, no cash",       authorize_cash("cash", 500),               "57", "operation: product_not_allowed", program="standard"),
    declined("purchase at a cash machine",        authorize("pay", 500, at("6011")),         "57", "merchant: product_not_allowed", program="standard"),
)

REQUEST = (
    declined("cash-back is not served",           authorize("pay", 500).but({"operation": "090000"}), "12", "operation: unsupported_operation"),
    declined("a transfer is not served",          buy("pay", 500).but({"operation": "400000"}),      "12", "operation: unsupported_operation"),
    declined("0200 of zero",                      buy("pay", 0),                             "13", "amount: invalid_amount"),
    declined("cash of zero",                      authorize_cash("cash", 0),                 "13", "amount: invalid_amount"),
    declined("refund of zero",                    refund("back", 0),                         "13", "amount: invalid_amount"),
    declined("a currency without billing amount", authorize("pay", 500, Terms(currency="EUR")), "57", "currency: currency_not_served"),
    declined("billed in a third currency",        authorize("pay", 500, Terms(currency="EUR")).but({"billing_amount": "000000000500", "billing_currency": "840"}), "57", "currency: currency_not_served"),
    declined("billed nothing",                    authorize("pay", 500, Terms(currency="EUR")).but({"billing_amount": "000000000000", "billing_currency": "392"}), "57", "currency: currency_not_served"),
    declined("a code that is no currency",        authorize("pay", 500).but({"currency": "999"}),  "57", "currency: currency_not_served"),
    declined("a PIN that we can't verify",        withdraw("cash", 500).but({"pin": "0123456789ABCDEF"}), "57", "pin: pin_not_served"),
)

CODES = (
    declined("stripe with a wrong CVV",           authorize("pay", 500, read(EntryMode.MAGNETIC_STRIPE, "BAD")), "82", "security_code: cvv_failed"),
    declined("chip with a wrong iCVV",            authorize("pay", 500, read(EntryMode.CHIP, "BAD")),            "82", "security_code: cvv_failed"),
    declined("the stripe's CVV in chip data",     authorize("pay", 500, read(EntryMode.CHIP, "CVV")),            "82", "security_code: cvv_failed"),
    declined("chip data copied onto a stripe",    authorize("pay", 500, read(EntryMode.MAGNETIC_STRIPE, "ICVV")), "82", "security_code: cvv_failed"),
    declined("contactless with the stripe's CVV", authorize("pay", 500, read(EntryMode.CONTACTLESS, "CVV")),     "82", "security_code: cvv_failed"),
    declined("wrong CVV2",                        authorize("pay", 500, WEB_WRONG),          "05", "security_code: cvv2_mismatch", de44="N"),
    declined("wrong CVV2 on an online card",      authorize("pay", 500, WEB_WRONG),          "05", "security_code: cvv2_mismatch", de44="N", program="online"),
    declined("CVV2 missing where it is demanded", authorize("pay", 500, WEB),                "05", "security_code: security_code_missing", program="online"),
    declined("right CVV2, blocked merchant",      authorize("pay", 500, Terms(cvv2="card", merchant_id="BLOCKEDSHOP0001")), "03", "merchant: merchant_blocked", program="standard", de44="M"),
)

PASSES = (
    Story("served: what stands beside the declines", (
        Row(authorize("no expiry", 100, Terms(expiry=None)),                  "00", 100_000,   100, "funds: pass"),
        Row(authorize("before hotels", 100, at("3500")),                      "00", 100_000,   200, "funds: pass"),
        Row(authorize("behind hotels", 100, at("3791")),                      "00", 100_000,   300, "funds: pass"),
        Row(authorize("no MCC", 100).but({"mcc": None}),                       "00", 100_000,   400, "funds: pass"),
        Row(authorize("CVV", 100, read(EntryMode.MAGNETIC_STRIPE, "CVV")),    "00", 100_000,   500, "funds: pass"),
        Row(authorize("iCVV", 100, read(EntryMode.CHIP, "ICVV")),             "00", 100_000,   600, "funds: pass"),
        Row(authorize("tapped", 100, read(EntryMode.CONTACTLESS, "ICVV")),    "00", 100_000,   700, "funds: pass"),
        Row(authorize("CVV2", 100, WEB_GOOD),                                 "00", 100_000,   800, "funds: pass", de44="M"),
        Row(authorize("no CVV2", 100, WEB),                                   "00", 100_000,   900, "funds: pass"),
    ), program="plain", journal=", ".join(["hold 100"] * 9)),

    Story("right CVV2 and no money: the code is still said to match", (
        Row(authorize("pay", 100_001, WEB_GOOD),              "51", 100_000, 0, "funds: insufficient_funds", de44="M", de54="ledger 100_000, available 100_000"),
    )),

    Story("the PAN may come in track 2 alone", (
        Row(authorize("pay", 500, read(EntryMode.MAGNETIC_STRIPE, "CVV")).but({"pan": None, "expiry": None}), "00", 100_000, 500, "funds: pass"),
    ), journal="hold 500"),
)

MESSAGES = (
    Story("a format error is answered 30, remembered by nobody, and the session goes on", (
        Row(authorize("no amount", 500).but({"amount": None}),                     "30", 100_000,    0),
        Row(authorize("no processing code", 500).but({"operation": None}),            "30", 100_000,    0),
        Row(authorize("no currency", 500).but({"currency": None}),                  "30", 100_000,    0),
        Row(authorize("letters in the amount", 500).but({"amount": "00000000050A"}), "30", 100_000,  0),
        Row(authorize("a short PAN", 500).but({"pan": "4" + "0" * 10}),         "30", 100_000,    0),
        Row(buy("no amount, 0200", 500).but({"amount": None}),                     "30", 100_000,    0),
        Row(authorize("sound", 500),                                          "00", 100_000,  500, "funds: pass"),
    ), journal="hold 500"),

    Story("the key of an approved purchase with other content", (
        Row(authorize("pay", 500),                                            "00", 100_000,  500, "funds: pass"),
        Row(tamper("pay", {"amount": "000000000600"}),                             "94", 100_000,  500, "idempotency_key: key_reused"),
        Row(tamper("pay", {"mcc": "5812"}),                                    "94", 100_000,  500, "idempotency_key: key_reused"),
        Row(tamper("pay", {"terminal": "TERM0002"}),                                "94", 100_000,  500, "idempotency_key: key_reused"),
        Row(repeat("pay"),                                                    "00", 100_000,  500),
    ), journal="hold 500", concerns="key_reused, key_reused, key_reused"),

    Story("the key of a declined purchase with a smaller amount", (
        Row(buy("pay", 100_001),                                              "51", 100_000,    0, "funds: insufficient_funds", de54="ledger 100_000, available 100_000"),
        Row(tamper("pay", {"amount": "000000000500"}),                             "94", 100_000,    0, "idempotency_key: key_reused"),
    ), concerns="key_reused"),
)
# fmt: on

DECLINES = (*CARD, *MERCHANTS, *REQUEST, *CODES)


@told(*DECLINES, *PASSES, *MESSAGES)
def test_declines(house: House, dialect: Dialect, story: Story) -> None:
    play(house, dialect, story)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@pytest.mark.parametrize("luhn", [True, False], ids=["well formed", "fails its check digit"])
@pytest.mark.parametrize(
    ("kind", "reason", "concern"),
    [(Kind.AUTHORIZATION, Reason.UNKNOWN_CARD, ""), (Kind.FINANCIAL, Reason.UNKNOWN_CARD, ""),
     (Kind.AUTHORIZATION_ADVICE, Reason.ADVICE_ACCEPTED, "unknown_card"),
     (Kind.FINANCIAL_ADVICE, Reason.ADVICE_ACCEPTED, "unknown_card"),
     (Kind.REVERSAL, Reason.REVERSAL_ACCEPTED, "unknown_card")],
)  # fmt: skip
def test_a_number_that_is_nobody_s(
    house: House, dialect: Dialect, kind: Kind, reason: Reason, concern: str, luhn: bool
) -> None:
    """Requests are declined with 14; advices and reversals can't be, and a person is told."""
    pan = new_pan()
    digits = pan.reveal()
    if not luhn:
        digits = digits[:-1] + str((int(luhn_digit(digits[:-1])) + 1) % 10)
    card = dataclasses.replace(house.new_card(), pan=Pan(digits))
    maker = maker_for(card, dialect.name)
    message = maker.authorization("card", 500)
    if kind is Kind.REVERSAL:
        message = maker.reversal(message)
    asked = {**message.fields, "t": maker.mti(kind)}

    with Line(house.address(dialect.name), codec_of(dialect.name)) as line:
        payload = line.ask(asked)
        answer = line.codec.decode_fields(payload)
        again = line.ask({**asked, "t": f"{asked['t'][:3]}1"})

    of = line.codec.dialect
    assert answer["39"] == of.response_code(reason)
    assert "38" not in answer and "54" not in answer
    assert again == payload
    nobody = dataclasses.replace(card, account_id=0)
    key = (asked["11"], asked[of.elements.sequence_time])
    (stored,) = (m for m in house.explained(nobody) if (m["stan"], m["transmitted"]) == key)
    (step,) = stored["trace"]
    assert (step["rule"], step["verdict"]) == ("card_known", "unknown_card")
    if reason is Reason.UNKNOWN_CARD:
        assert step["seen"]["luhn"] is luhn

    async def raised(connection: Connection) -> list[str]:
        rows = await connection.fetch("SELECT kind FROM exception_item WHERE key = $1", bytes.fromhex(stored["key"]))
        return [row["kind"] for row in rows]

    assert house.ask(raised) == ([concern] if concern else [])
