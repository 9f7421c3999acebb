"""Messages told to a person: every element in words, whatever can be read of a bad one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from switch.contracts.message import Answer, Balance
from switch.contracts.reason import Reason
from switch.wire.describe import Describer
from switch.wire.description import HIDDEN, Description, Line
from switch.wire.dialect import dialect_names
from switch.wire.inbound import ManagementFunction
from tests.wire.support import PAN, RECEIVED, codec, dialect, extended, purchase, tap

MASKED = f"{PAN[:6]}******{PAN[-4:]}"
ALL = dialect_names()


@cache
def describer(name: str) -> Describer:
    return Describer(dialect(name))


def described(name: str, payload: bytes) -> Description:
    return describer(name).describe(payload, RECEIVED)


def flat(lines: tuple[Line, ...]) -> Iterator[Line]:
    for line in lines:
        yield line
        yield from flat(line.parts)


def told(description: Description) -> dict[str, tuple[str, str]]:
    """Value and meaning by field, or by name for what has no field."""
    return {line.key or line.name: (line.value, line.meaning) for line in flat(description.lines)}


CHIP = "9F02060000000050005F2A0203929A032606159F26080A1B2C3D4E5F60709F2701808A023030DF01020102"
FULL = purchase(
    f35=f"{PAN}=29122010000012345",
    f52="0123456789ABCDEF",
    f55=CHIP + "5A08" + PAN,
    f60="11",
    f62="123456789012345",
    f90="0100000122061503040500000123456" + "0" * 11,
    f126="11 987",
)


def test_a_purchase_in_words() -> None:
    it = described("iso87_ascii", codec("iso87_ascii").encode(FULL))
    assert (it.mti, it.meaning, it.problem, it.withheld) == ("0100", "authorization request (1987)", None, "")
    assert (it.whole, it.known, it.sound) == (True, True, 1.0)
    lines = told(it)
    expected = {
        "t": ("0100", "authorization request (1987); answered with 0110"),
        "1": ("0000004000000004", "90 126"),
        "2": (MASKED, "check digit fits"),
        "3": ("000000", "purchase, from default account, to default account"),
        "4": ("000000005000", "5,000 JPY"),
        "7": ("0615030405", "15 Jun 03:04:05 GMT"),
        "12": ("120405", "12:04:05 local time"),
        "13": ("0615", "15 Jun"),
        "14": ("2912", "expires Dec 2029"),
        "22": ("051", "entry mode chip"),
        "35": (HIDDEN, "34 characters, readable, with a CVV"),
        "49": ("392", "JPY"),
        "52": (HIDDEN, "16 characters"),
        "55.9F02": ("000000005000", "5,000 JPY"),
        "55.9A": ("260615", "15 Jun 2026"),
        "55.9F26": ("0A1B2C3D4E5F6070", ""),
        "55.9F27": ("80", "ARQC: asks the issuer"),
        "55.8A": ("00", ""),
        "55.5A": (HIDDEN, "8 bytes"),
        "55.DF01": (HIDDEN, "2 bytes"),
        "62": ("123456789012345", ""),
        "90": (FULL["90"], ""),
        "original STAN": ("000122", ""),
        "original time": ("0615030405", "15 Jun 03:04:05"),
        "126": (HIDDEN, "6 characters"),
        "security code": (HIDDEN, "given"),
    }
    assert {key: lines[key] for key in expected} == expected
    assert it.read_as == {
        "message": "authorization",
        "operation": "purchase",
        "card": MASKED,
        "amount": "5,000 JPY",
        "transmitted": "2026-06-15 03:04:05 UTC",
        "channel": "in store",
        "entry mode": "chip",
        "merchant": "COFFEE AND CAKE TOKYO JP, JP",
        "comes with": "track 2 CVV, CVV2, PIN block",
        "says": "partial approval, incremental",
        "original": "MTI 0100, STAN 000122, 0615030405",
        "network's transaction id": "123456789012345",
    }


def test_offsets_lead_through_the_payload() -> None:
    payload = codec("iso87_binary").encode(FULL)
    offsets = {line.key: line.offset for line in described("iso87_binary", payload).lines}
    assert offsets["t"] == 0
    assert offsets["4"] == payload.index(b"000000005000")
    assert list(offsets.values()) == sorted(offset for offset in offsets.values() if offset is not None)


def test_header_and_subfields() -> None:
    fields = purchase(f22="0510", **{"62.2": "123456789012345", "63.3": "3900", "126.10": "11 987"})
    it = described("base1", codec("base1").encode(fields))
    lines = told(it)
    assert lines["Header Length"] == ("16", "22 bytes")
    assert lines["Source Station"] == ("000002", "")
    assert lines["62.2"] == ("123456789012345", "")
    assert lines["63.3"] == ("3900", "")
    assert lines["raises an earlier hold"] == ("yes", "")
    assert lines["126.10"] == (HIDDEN, "6 characters")
    assert lines["security code"] == (HIDDEN, "given")
    assert it.read_as["network's transaction id"] == "123456789012345"


def test_1993() -> None:
    fields = tap(t="1420", f24="401", f30="000000006000" * 2, f56="1100000123260615120405" + "06001234")
    it = described("iso93_contactless", codec("iso93_contactless").encode(fields))
    lines = told(it)
    assert lines["12"] == ("260615120405", "15 Jun 2026 12:04:05 local time")
    assert lines["amount that shall be left"] == ("5,000 JPY", "")
    assert lines["amount asked for first"] == ("6,000 JPY", "")
    assert lines["original time"] == ("260615120405", "15 Jun 2026 12:04:05")
    assert lines["original acquirer"] == ("001234", "")
    assert lines["merchant name"] == ("COFFEE AND CAKE", "")
    assert (it.read_as["amount"], it.read_as["final amount"]) == ("6,000 JPY", "5,000 JPY")


@pytest.mark.parametrize(
    ("reason", "code", "meaning"),
    [
        (Reason.APPROVED, "00", "approved or account verified"),
        (Reason.APPROVED_PARTIALLY, "10", "approved partially"),
        (Reason.EXPIRED_CARD, "54", "expired card or expiry mismatch"),
        (Reason.INSUFFICIENT_FUNDS, "51", "insufficient funds"),
    ],
)
def test_answers_say_why(reason: Reason, code: str, meaning: str) -> None:
    ours = codec("iso87_ascii")
    inbound = ours.decode(ours.encode(purchase()), network="alpha", received_at=RECEIVED)
    balances = (Balance(amount_type="02", currency="JPY", amount_minor=-1200),)
    answer = ours.encode_answer(inbound, Answer(reason=reason, balances=balances, cvv2_result="N"))
    it = described("iso87_ascii", answer)
    assert told(it)["39"] == (code, meaning)
    assert told(it)["available balance"] == ("-1,200 JPY", "")
    assert it.read_as["answer"] == f"{code}: {meaning}"


def test_answers_to_reversals_and_unknown_codes() -> None:
    ours = codec("iso87_ascii")
    for mti, code, meaning in (
        ("0430", "00", "reversal accepted"),
        ("0130", "00", "advice accepted"),
        ("0110", "55", "incorrect PIN"),
        ("0110", "Q9", "no code of this dialect"),
    ):
        assert told(described("iso87_ascii", ours.encode({"t": mti, "11": "000123", "39": code})))["39"][1] == meaning


def test_an_advice_tells_who_decided() -> None:
    ours = codec("base1")
    fields = purchase(t="0120", f22="0510", f39="05", f44="1", **{"63.4": "9011"})
    it = described("base1", ours.encode(fields))
    assert told(it)["39"] == ("05", "declined for us (do not honor)")
    assert it.read_as["decided for us"] == "declined by the network: the line to the issuer was down"


@pytest.mark.parametrize("name", ALL)
def test_management(name: str) -> None:
    payload = codec(name).encode_management(ManagementFunction.SIGN_ON, stan="000007", now=RECEIVED)
    it = described(name, payload)
    assert it.read_as == {"message": "management", "function": "sign on"}
    assert told(it)[dialect(name).management.code_field][1].endswith("sign on")
    inbound = codec(name).decode(payload, network=name, received_at=RECEIVED)
    answer = described(name, codec(name).encode_management_answer(inbound))
    assert answer.problem is None
    assert answer.read_as["answer"].endswith(": approved")


# ── messages that are none


def test_a_message_that_lacks_something() -> None:
    it = described("iso87_ascii", codec("iso87_ascii").encode(purchase(f4=None)))
    assert it.problem is not None
    assert str(it.problem).startswith("field 4 (Amount, Transaction) at byte ")
    assert (it.problem.needed, it.problem.found) == ("the field, as 0100 must have it", "nothing")
    assert (it.problem.answered, it.whole, it.read_as) == (True, True, {})
    assert told(it)["2"] == (MASKED, "check digit fits")


def test_a_message_cut_short_is_told_up_to_there() -> None:
    payload = codec("iso87_ascii").encode(purchase())
    it = described("iso87_ascii", payload[: payload.index(b"TERM01") + 3])
    assert it.problem is not None
    assert (it.problem.field, it.problem.offset) == ("41", payload.index(b"TERM01"))
    assert (it.problem.needed, it.problem.found) == ("8 ASCII bytes", "Field data is 3 bytes, expecting 8")
    lines = told(it)
    assert "41" not in lines
    assert lines["37"] == ("616612000123", "")
    assert lines["4"][0] == "000000005000"


def test_an_unsound_answer_is_a_problem() -> None:
    it = described("iso87_ascii", codec("iso87_ascii").encode({"t": "0110", "4": "00000000500x", "11": "000123"}))
    assert it.problem is not None
    assert (it.problem.field, it.problem.offset, it.problem.needed, it.problem.answered) == ("4", 20, "digits", False)


def test_a_wrong_header_hides_what_is_behind_it() -> None:
    payload = bytearray(codec("base1").encode(purchase(f22="0510")))
    payload[1] = 0x09
    it = described("base1", bytes(payload))
    assert it.problem is not None
    assert (it.problem.field, it.problem.offset, it.problem.found) == ("h", 1, "09")
    assert [line.key for line in it.lines] == ["h"]


def test_a_rejected_message_of_ours() -> None:
    ours = codec("base1").encode({"t": "0110", "11": "000123", "37": "616612000123", "39": "00"})
    total = 26 + len(ours)
    header = bytes((26, 1, 2)) + total.to_bytes(2, "big") + bytes(19) + bytes.fromhex("0045")
    it = described("base1", header + ours)
    assert it.problem is None
    assert it.read_as["reject code"] == "0045"
    assert told(it)["39"][0] == "00"
    assert it.meaning == "rejected: authorization request response (1987)"
    # Rejects of rejects, as deep as a frame is long, end at the first.
    nested = ours
    for _ in range(1200):
        nested = header[:3] + (26 + len(nested)).to_bytes(2, "big") + header[5:] + nested
    assert described("base1", nested).read_as["message"] == "a message of ours that the network could not read"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    it = described("iso87_ascii", codec("iso87_ascii").encode(purchase(f61="\x1b[2Jred\x07")))
    assert told(it)["61"] == ("\\x1b[2Jred\\x07", "")


def test_values_are_withheld_where_elements_may_have_slipped() -> None:
    payload = codec("iso87_ascii").encode(purchase())
    wrong_pan = f"16{PAN}".encode()
    assert wrong_pan in payload
    damaged = payload.replace(wrong_pan, b"12" + wrong_pan[2:])
    it = described("iso87_ascii", damaged)
    assert it.problem is not None
    assert it.withheld == "the card number fails its check digit: the elements may have slipped"
    assert {value for key, (value, _) in told(it).items() if key.isdecimal() and key != "1"} == {HIDDEN}


def test_a_dialect_of_somebody_elses_making(tmp_path: Path) -> None:
    """Where the card's number is another field, and a hook that fails."""
    ours = extended(tmp_path, 'hook = "hook.py"', hook=("hook.py", "def after_decode(fields):\n    return 1 / 0\n"))
    it = Describer(ours).describe(codec("base1").encode(purchase(f22="0510")), RECEIVED)
    assert it.problem is not None
    assert (it.problem.field, it.problem.found) == ("hook", "ZeroDivisionError")
    assert told(it)["2"][0] == MASKED


@pytest.mark.parametrize("name", ALL)
@given(payload=st.binary(max_size=250))
@example(payload=b"")
@example(payload=b"0100")
@example(payload="０１００".encode())
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes(name: str, payload: bytes) -> None:
    it = described(name, payload)
    assert it.message_bytes == len(payload)
    if it.problem is not None:
        assert 0 <= it.problem.offset <= len(payload)
        assert it.problem.needed and it.problem.found
    for line in flat(it.lines):
        assert (line.key + line.name + line.value + line.meaning).isprintable()


@pytest.mark.parametrize("name", ALL)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=9)), min_size=1, max_size=3),
)
@settings(max_examples=100, deadline=None)
def test_damaged_messages(name: str, edits: list[tuple[float, int, bytes]]) -> None:
    fields = (
        tap(f55=CHIP) if name == "iso93_contactless" else purchase(f22="0510" if name == "base1" else "051", f55=CHIP)
    )
    payload = codec(name).encode(fields)
    for place, removed, inserted in edits:
        start = int(place * len(payload))
        payload = payload[:start] + inserted + payload[start + removed :]
    it = described(name, payload)
    assert it.problem is None or 0 <= it.problem.offset <= len(payload)
