"""A message is refused for any element that can't be what its class says, whether or not a rule reads it."""

from __future__ import annotations

import pytest

from switch.wire import soundness
from switch.wire.errors import DecodeFailure
from tests.wire.support import DIALECTS, OTHER_PAN, PAN, RECEIVED, codec, purchase
from tests.wire.test_decode_failure import ECHO, answer_fields, failure


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    ("changes", "field", "needed"),
    [
        ({"f12": "1204:5"}, "12", "digits"),
        ({"f13": "06 5"}, "13", "digits"),
        ({"f19": "39\x00"}, "19", "digits"),
        ({"f33": "4000O"}, "33", "digits"),
        ({"f71": "00:1"}, "71", "digits"),
        ({"f43": "COFFEE\x00AND CAKE".ljust(25) + "TOKYO".ljust(13) + "JP"}, "43", "printable text"),
        ({"f42": "SHOP0000001\x00\x00\x00\x00"}, "42", "printable text"),
        ({"f62": "NET\x00"}, "62", "printable text"),
        ({"f49": "3\x7f2"}, "49", "printable text"),
        ({"f35": f"{OTHER_PAN}=2912201123456789"}, "35", "the PAN of field 2"),
    ],
)
def test_damage_that_no_rule_would_see(name: str, changes: dict[str, str | None], field: str, needed: str) -> None:
    error = failure(codec(name).encode(purchase(**changes)), name)
    assert (error.field, error.needed) == (field, needed)
    assert answer_fields(error, name) == {"t": "0110", "39": "30", **ECHO}
    assert OTHER_PAN not in str(error)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("key", ["37", "41"])
def test_a_reference_that_no_terminal_prints(name: str, key: str) -> None:
    """PostgreSQL takes no NUL in text, and one such message would hold up the whole batch that it is in."""
    fields = purchase()
    fields[key] = fields[key][:-1] + "\x00"
    error = failure(codec(name).encode(fields), name)
    assert (error.field, error.needed) == (key, "printable text")
    assert key not in answer_fields(error, name)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("changes", [{"f48": "\x00\x01"}, {"f60": "\x02"}, {"f33": ""}, {"f104": "\x1b"}])
def test_what_a_network_may_send_in_text_of_its_own(name: str, changes: dict[str, str | None]) -> None:
    payload = codec(name).encode(purchase(**changes))
    assert codec(name).decode(payload, network="alpha", received_at=RECEIVED).request is not None


def test_messages_with_the_same_bitmap_are_told_apart_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to look at is remembered by bitmap, for so many of them and no more."""
    monkeypatch.setattr(soundness, "_BITMAPS_MAX", 2)
    check = codec("iso87_ascii")._soundness
    check._picks.clear()
    shapes = [purchase(), purchase(f12=None), purchase(f70="001"), purchase(f13=None), purchase()]
    for fields in shapes * 2:
        payload = codec("iso87_ascii").encode(fields)
        assert codec("iso87_ascii").decode(payload, network="alpha", received_at=RECEIVED).request is not None
        assert len(check._picks) <= 2
        with pytest.raises(DecodeFailure):
            codec("iso87_ascii").decode(
                payload.replace(PAN.encode(), PAN.encode()[:-1] + b":"), network="alpha", received_at=RECEIVED
            )
