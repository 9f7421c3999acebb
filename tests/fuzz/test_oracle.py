"""The judge must be able to condemn: each objection is seen once, against approvals that a switch could give."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime

import iso8583
import pytest

from simulators.cards import load_cards
from simulators.fuzz.forge import MUTATIONS, SOUND, Forge
from simulators.fuzz.hostile import cut
from simulators.fuzz.oracle import Oracle
from simulators.fuzz.pending import Asked, Pending
from simulators.messages import Maker, Terms
from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.wire.codec import Codec
from switch.wire.dialect import dialect_names, load_dialect, specs_root
from switch.wire.framing import Framing
from switch.wire.inbound import ManagementFunction

CARDS = load_cards()
DIALECTS = dialect_names()
NOON = datetime(2026, 7, 4, 12, tzinfo=UTC)
ASCII = load_dialect(specs_root() / "iso87_ascii")


def maker(name: str) -> Maker:
    return Maker(load_dialect(specs_root() / name), CARDS, seed=1, clock=lambda: NOON)


def request(**changes: str | None) -> dict[str, str]:
    """An authorization of 500 by plain-0, with track 2."""
    fields = dict(maker("iso87_ascii").authorization("plain-0", 500, Terms(cvv="")).fields)
    for key, value in changes.items():
        name = key.removeprefix("f")
        fields = {**fields, name: value} if value is not None else {k: v for k, v in fields.items() if k != name}
    return fields


def approval(fields: Mapping[str, str], **changes: str) -> dict[str, str]:
    answer = {key: value for key, value in fields.items() if key in ASCII.answer.echoed}
    return {**answer, "t": "0110", "39": "00", "38": "123456", **{k.removeprefix("f"): v for k, v in changes.items()}}


def encoded(fields: Mapping[str, str]) -> bytes:
    return bytes(iso8583.encode(dict(fields), ASCII.spec)[0])


def heard(fields: Mapping[str, str]) -> Mapping[str, str]:
    """As the oracle reads what was sent: with the bitmaps."""
    return iso8583.decode(encoded(fields), ASCII.spec)[0]


def judged(fields: Mapping[str, str], answer: Mapping[str, str]) -> str:
    oracle = Oracle(ASCII, CARDS)
    asked = oracle.asked(bytes(iso8583.encode(dict(fields), ASCII.spec)[0]))
    assert asked is not None
    heard = oracle.fields(bytes(iso8583.encode(dict(answer), ASCII.spec)[0]))
    assert heard is not None and oracle.approves(heard)
    assert oracle.thread(heard) == oracle.thread(asked[0])
    return asked[1] or oracle.objection(heard, asked[0])


OTHER = CARDS["plain-1"].pan.reveal()
FLIPPED = OTHER[:-1] + str((int(OTHER[-1]) + 1) % 10)


def stripe(**changes: str) -> str:
    card = CARDS["plain-0"]
    parts = {"pan": card.pan.reveal(), "expiry": card.expiry, **changes}
    return f"{parts['pan']}={parts['expiry']}{card.service_code}00000"


@pytest.mark.parametrize(
    ("asked", "answered", "objection"),
    [
        ({}, {}, ""),
        ({"f43": "ELSEWHERE".ljust(40)}, {}, ""),
        ({"f4": "000000000501"}, {}, ""),
        ({}, {"f4": "000000000501"}, "the amount is not what was asked"),
        ({}, {"f39": "10", "f4": "000000000400"}, "a part was approved"),
        ({"f60": "1"}, {"f39": "10", "f4": "000000000400"}, ""),
        ({"f60": "1"}, {"f39": "10"}, "no part"),
        ({}, {"f2": OTHER}, "DE2 is not what was asked"),
        ({}, {"f37": "SOMETHINGELS"}, "DE37 is not what was asked"),
        ({"f12": "12:000"}, {}, "DE12 is no digits"),
        ({"f35": stripe(pan=OTHER)}, {}, "another card's"),
        ({"f2": FLIPPED, "f35": None}, {}, "no such card"),
        ({"f14": "2911"}, {}, "does not expire then"),
        ({"f14": None, "f35": stripe(expiry="2911")}, {}, "does not expire then"),
        ({"f35": "=" * 20}, {}, "no track 2"),
        ({"f49": "840"}, {}, "not the card's"),
        ({"f3": "990000"}, {}, "processing code"),
        ({"f2": CARDS["plain-lost"].pan.reveal(), "f35": None}, {}, "not in use"),
    ],
)
def test_what_an_approval_must_be(asked: dict[str, str | None], answered: dict[str, str], objection: str) -> None:
    fields = request(**asked)
    found = judged(fields, approval(fields, **answered))
    assert (objection in found) if objection else found == "", found


def test_what_was_told_must_be_repeated() -> None:
    make = maker("iso87_ascii")
    told = make.financial_advice(make.authorization("plain-0", 500)).fields
    assert judged(told, {**approval(told), "t": "0230"}) == ""
    assert judged(told, {**approval(told), "t": "0230", "4": "000000000001"}) == "the amount is not what was told"


def test_what_can_not_be_read_asks_for_nothing() -> None:
    oracle = Oracle(ASCII, CARDS)
    payload = bytes(iso8583.encode(request(), ASCII.spec)[0])
    assert oracle.asked(payload) is not None
    for damaged in (
        payload[:-1],
        payload + b"0",
        payload[:4] + b" " + payload[5:],
        payload.replace(b"0100", b"0110", 1),
    ):
        assert oracle.asked(damaged) is None


def test_two_messages_of_one_stan_both_want_their_answers() -> None:
    """A damaged STAN may be that of another message."""
    one, other = request(), request(f37="NEIGHBOUR001")
    pending = Pending(Oracle(ASCII, CARDS), sign_on=False)
    assert all(pending.sent(SOUND, encoded(fields)) for fields in (one, other))
    pending.heard(approval(one))
    assert pending.unheard == 1
    assert pending.explained(approval(one)) == Asked(SOUND, heard(one), "")
    pending.heard(approval(other))
    assert pending.unheard == 0
    # The first one was approved already: nothing explains a second time.
    assert pending.explained(approval(one)) == "DE37 is not what was asked with"
    assert isinstance(pending.explained(approval(other)), Asked)
    assert pending.explained(approval(other)) == "nobody asked for it"


def test_an_answer_may_come_when_the_next_batch_is_on_its_way() -> None:
    asked = request()
    pending = Pending(Oracle(ASCII, CARDS), sign_on=False)
    pending.sent(SOUND, encoded(asked))
    assert pending.next_batch() == 1, "it had no answer"
    assert pending.unheard == 0
    assert isinstance(pending.explained(approval(asked)), Asked)
    pending.sent(SOUND, encoded(asked))
    pending.next_batch()
    pending.next_batch()
    assert pending.explained(approval(asked)) == "nobody asked for it"


@pytest.mark.parametrize(("sign_on", "wanted"), [(True, 1), (False, 2)])
def test_behind_a_sign_off_no_answer_to_an_advice_is_waited_for(sign_on: bool, wanted: int) -> None:
    make = maker("iso87_ascii")
    purchase = make.authorization("plain-0", 500)
    pending = Pending(Oracle(ASCII, CARDS), sign_on=sign_on)
    pending.sent("bits", Codec(ASCII).encode_management(ManagementFunction.SIGN_OFF, stan="000001", now=NOON))
    assert pending.sent(SOUND, encoded(purchase.fields)) and pending.sent(
        SOUND, encoded(make.reversal(purchase).fields)
    )
    assert pending.unheard == wanted
    pending.next_batch()
    pending.sent(SOUND, encoded(make.reversal(purchase).fields))
    assert pending.unheard == 1, "the next batch begins with a sign-on"


BASE1 = load_dialect(specs_root() / "base1")


def behind_a_header(*, answer: bool = False, **changes: str) -> tuple[bytes, str]:
    """A message of base1 with its header's parts, by their place in bytes, changed."""
    codec = Codec(BASE1)
    message = maker("base1").authorization("plain-0", 500, Terms())
    payload = codec.encode(message.fields)
    if answer:
        inbound = codec.decode(payload, network="base1", received_at=NOON)
        payload = codec.encode_answer(inbound, Answer(reason=Reason.APPROVED, approval_code="123456"))
    for place, content in changes.items():
        at = int(place.removeprefix("at_"))
        payload = payload[:at] + bytes.fromhex(content) + payload[at + len(content) // 2 :]
    asked = Oracle(BASE1, CARDS).asked(payload)
    return payload, "" if asked is None else asked[1]


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({}, ""),
        ({"at_0": "15"}, "the header's length"),
        ({"at_1": "02"}, "Header Format"),
        ({"at_2": "00"}, "Text Format"),
        ({"at_3": "0001"}, "the total length"),
        ({"at_5": "999999", "at_11": "FF"}, ""),
    ],
)
def test_what_shows_that_a_header_is_damaged(changes: dict[str, str], flaw: str) -> None:
    found = behind_a_header(**changes)[1]
    assert (flaw in found) if flaw else found == "", found


@pytest.mark.parametrize(
    ("changes", "is_turned"), [({}, True), ({"at_5": "000002", "at_8": "000001"}, False), ({"at_21": "01"}, False)]
)
def test_an_approval_comes_behind_the_header_that_was_asked_with_turned(
    changes: dict[str, str], is_turned: bool
) -> None:
    oracle = Oracle(BASE1, CARDS)
    asked = oracle.fields(behind_a_header()[0])
    answer = oracle.fields(behind_a_header(answer=True, **changes)[0])
    assert asked is not None and answer is not None and oracle.approves(answer)
    assert ("header" not in oracle.objection(answer, asked)) is is_turned


@pytest.mark.parametrize("name", DIALECTS)
def test_the_same_seed_forges_the_same(name: str) -> None:
    def forged(seed: int) -> list[tuple[str, bytes]]:
        forge = Forge(
            maker(name), {f"load-{i}": CARDS[f"load-{i}"] for i in range(4)}, random.Random(seed), clock=lambda: NOON
        )
        return [forge.payload() for _ in range(800)]

    first = forged(7)
    assert first == forged(7)
    assert first != forged(8)
    assert {done for done, _ in first} == set(MUTATIONS)
    oracle = Oracle(load_dialect(specs_root() / name), CARDS)
    readable = [oracle.asked(payload) for done, payload in first if done == SOUND]
    assert all(asked is None or asked[1] == "" for asked in readable)
    assert sum(asked is not None for asked in readable) > len(readable) // 2


@pytest.mark.parametrize(
    ("framing", "stream", "payloads"),
    [
        (Framing.LENGTH2, b"\x00\x02ab\x00\x00\x00\x01c\x00\x05d", [b"ab", b"c"]),
        (Framing.LENGTH2, b"\x00\x01a\xff\xffbc\x00\x01d", [b"a"]),
        (Framing.VAP, b"\x00\x02\x00\x00ab\x00\x01\x00\x01c", [b"ab"]),
        (Framing.ASCII4, b"0002ab0000000xc", [b"ab"]),
    ],
)
def test_what_a_reader_of_a_broken_stream_comes_by(framing: Framing, stream: bytes, payloads: list[bytes]) -> None:
    assert cut(stream, framing) == payloads
