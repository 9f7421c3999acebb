"""Every message that the acquirer makes, read back by the wire's own codec."""

from __future__ import annotations

import pytest

from simulators.cards import load_cards
from simulators.messages import Act, Maker, Message, Terms, as_advice, as_repeat
from switch.contracts.message import Channel, EntryMode, Kind, Operation, Request, StandIn
from switch.contracts.secret import Secret
from switch.wire.codec import Codec
from tests.simulators.responder import DIALECTS, NOON, dialect, maker

WEB = Terms(mcc="5732", entry_mode=EntryMode.ECOMMERCE, channel=Channel.ECOMMERCE, cvv2="card")


def read(message: Message) -> Request:
    codec = Codec(dialect(message.network))
    payload = codec.encode(message.fields)
    request = codec.decode(payload, network=message.network, received_at=NOON).request
    assert request is not None
    return request


def needs(name: str, missing: frozenset[str]) -> None:
    if missing:
        pytest.skip(f"{name} carries no {', '.join(sorted(missing))}")


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    ("act", "mti", "kind", "operation"),
    [
        (Act.AUTHORIZATION, "100", Kind.AUTHORIZATION, Operation.PURCHASE),
        (Act.CASH_AUTHORIZATION, "100", Kind.AUTHORIZATION, Operation.CASH_WITHDRAWAL),
        (Act.REFUND_AUTHORIZATION, "100", Kind.AUTHORIZATION, Operation.REFUND),
        (Act.PURCHASE, "200", Kind.FINANCIAL, Operation.PURCHASE),
        (Act.CASH_WITHDRAWAL, "200", Kind.FINANCIAL, Operation.CASH_WITHDRAWAL),
        (Act.REFUND, "200", Kind.FINANCIAL, Operation.REFUND),
        (Act.INQUIRY, "100", Kind.AUTHORIZATION, Operation.BALANCE_INQUIRY),
    ],
)
def test_requests(name: str, act: Act, mti: str, kind: Kind, operation: Operation) -> None:
    needs(name, maker(name).lacks(act))
    request = read(maker(name).request(act, "travel-usd-0", 1_234))
    card = load_cards()["travel-usd-0"]
    assert (request.mti[1:], request.kind, request.operation, request.repeat) == (mti, kind, operation, False)
    assert (request.amount_minor, request.currency, request.pan) == (1_234, "USD", card.pan)
    assert (request.expiry, request.mcc, request.merchant_country) == (card.expiry, "5411", "JP")
    assert request.transmitted_at == NOON
    assert request.stan and request.retrieval_reference and request.acquirer_id


@pytest.mark.parametrize("name", DIALECTS)
def test_verification(name: str) -> None:
    request = read(maker(name).verification("plain-0"))
    assert (request.operation, request.amount_minor) == (Operation.ACCOUNT_VERIFICATION, 0)


@pytest.mark.parametrize("name", DIALECTS)
def test_circumstances(name: str) -> None:
    make, card = maker(name), load_cards()["online-0"]
    needs(name, make.lacks(Act.CASH_WITHDRAWAL, WEB, ["pin"]))
    assert read(make.cash_withdrawal("plain-0", 5)).channel is Channel.ATM
    online = read(make.authorization("online-0", 5, WEB))
    assert (online.channel, online.cvv2) == (Channel.ECOMMERCE, card.cvv2)
    assert read(make.authorization("online-0", 5, Terms(cvv2="wrong"))).cvv2 not in (None, card.cvv2)
    plain = read(make.authorization("plain-0", 5))
    assert (plain.cvv2, plain.cvv, plain.partial_supported, plain.incremental) == (None, None, False, False)
    assert read(make.request(Act.AUTHORIZATION, "plain-0", 5, extra={"pin": "0" * 16})).has_pin


@pytest.mark.parametrize("name", DIALECTS)
def test_circumstances_in_a_shop(name: str) -> None:
    make = maker(name)
    assert read(make.authorization("plain-0", 5, Terms(partial=True))).partial_supported
    assert read(make.authorization("plain-0", 5, Terms(cvv="123"))).cvv == Secret("123")
    assert read(make.authorization("plain-0", 5, Terms(expiry=None))).expiry == ""
    assert read(make.authorization("plain-0", 5, Terms(currency="EUR"))).currency == "EUR"
    shop = read(make.authorization("plain-0", 5, Terms(merchant_name="TAP", city="KYOTO", country="US")))
    assert (shop.merchant_name[:3], shop.merchant_country, shop.channel) == ("TAP", "US", Channel.IN_STORE)


@pytest.mark.parametrize("name", DIALECTS)
def test_increment_continues_its_purchase(name: str) -> None:
    make = maker(name)
    first = make.authorization("plain-0", 500, Terms(partial=True))
    more = make.increment(first, 200, Terms(partial=True))
    request = read(more)
    assert (request.incremental, request.partial_supported, request.amount_minor) == (True, True, 200)
    assert more.purchase == first.purchase
    assert more.key != first.key


@pytest.mark.parametrize("name", DIALECTS)
def test_advices(name: str) -> None:
    make = maker(name)
    first = make.authorization("online-0", 500, WEB if not make.lacks(Act.AUTHORIZATION, WEB) else None)
    approved, declined = make.stand_in(first, approved=True, amount_minor=400), make.stand_in(first, approved=False)
    assert read(approved).stand_in is StandIn.APPROVED
    assert (read(approved).amount_minor, read(approved).approval_code != "") == (400, True)
    assert read(declined).stand_in is StandIn.DECLINED
    posted = read(make.financial_advice(first))
    assert (posted.mti[1:], posted.kind, posted.amount_minor) == ("220", Kind.FINANCIAL_ADVICE, 500)
    assert posted.cvv2 is None, "nobody may have kept the security code"
    refund = make.financial_advice(first, amount_minor=100, refund=True)
    assert read(refund).operation is Operation.REFUND
    assert refund.purchase != first.purchase
    assert {approved.purchase, declined.purchase} == {first.purchase}
    assert read(make.stand_in(make.increment(first, 200), approved=True)).incremental
    assert not read(approved).incremental


@pytest.mark.parametrize("name", DIALECTS)
def test_reversals_name_their_original(name: str) -> None:
    make = maker(name)
    first = make.authorization("plain-0", 500)
    full, partial = make.reversal(first, approval_code="A12345"), make.reversal(first, replacement_minor=50)
    request, original = read(full), read(first)
    assert request.original is not None
    assert request.original.mti == original.mti
    assert request.original.stan == original.stan
    assert request.original.transmitted == original.transmitted
    assert request.original.acquirer_id == original.acquirer_id
    assert request.retrieval_reference == original.retrieval_reference
    assert (request.approval_code, request.replacement_amount_minor) == ("A12345", None)
    assert (read(partial).amount_minor, read(partial).replacement_amount_minor) == (500, 50)
    assert full.reverses == first.key


@pytest.mark.parametrize("name", DIALECTS)
def test_repeats_keep_key_and_content(name: str) -> None:
    make = maker(name)
    first = make.authorization("plain-0", 500)
    reversal = make.reversal(first)
    version = first.fields["t"][0]
    told_again = f"{reversal.fields['t'][:3]}1"  # 0401; 1993 knows reversals as advices only: 1421
    for message, of, mti in (
        (as_repeat(first), first, "101"),
        (as_advice(reversal), reversal, "420"),
        (as_repeat(reversal), reversal, told_again[1:]),
    ):
        assert message.fields["t"] == version + mti
        assert message.key == of.key
        assert {**message.fields, "t": ""} == {**of.fields, "t": ""}
    assert as_repeat(as_advice(reversal)).fields["t"][1:] == "421"


def test_the_same_seed_makes_the_same_messages_and_another_does_not() -> None:
    one, two, other, lane = maker(seed=7), maker(seed=7), maker(seed=8), maker(seed=7, lane=1)
    messages = [[make.authorization("plain-0", 100 + i) for i in range(20)] for make in (one, two, other, lane)]
    assert messages[0] == messages[1]
    assert not {m.purchase for m in messages[0]} & {m.purchase for m in messages[2] + messages[3]}


def test_stans_and_references_are_not_repeated_and_never_zero() -> None:
    make = maker()
    make._stan = 999_998
    messages = [make.authorization("plain-0", 1) for _ in range(5)]
    assert [m.fields["11"] for m in messages] == ["999998", "999999", "000001", "000002", "000003"]
    assert len({m.fields["37"] for m in messages}) == 5
    assert {len(m.fields["37"]) for m in messages} == {12}


def test_two_runs_with_one_seed_do_not_meet() -> None:
    later = Maker(dialect(), load_cards(), seed=1, clock=lambda: NOON.replace(second=1))
    assert maker().authorization("plain-0", 1).purchase != later.authorization("plain-0", 1).purchase


def test_repr_shows_no_card_data() -> None:
    message = maker().authorization("online-0", 500, WEB)
    assert load_cards()["online-0"].pan.reveal() not in repr(message)
    assert message.__rich_repr__() == [("", repr(message))]
