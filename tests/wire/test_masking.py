from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from switch.wire.masking import SENSITIVE_FIELDS, redact
from tests.wire.support import DIALECTS, OTHER_PAN, PAN, codec, dialect, purchase

MASKED = f"{PAN[:6]}******{PAN[-4:]}"


def test_what_a_log_may_see() -> None:
    fields = purchase(
        f35=f"{PAN}=2912201000001230",
        f45=f"B{PAN}^TEST/CARD^2912201",
        f48="anything",
        f52="0123456789ABCDEF",
        f55="5A08" + PAN,
        f102=PAN,
        f126="11 123",
    )
    safe = redact(fields)
    assert safe["2"] == MASKED
    for key in ("35", "45", "48", "52", "55", "126"):
        assert safe[key] == "***"
    assert safe["102"] == MASKED
    unchanged = {"t", "3", "4", "7", "11", "12", "13", "14", "18", "22", "25", "32", "37", "41", "42", "43", "49"}
    assert {key: safe[key] for key in unchanged} == {key: fields[key] for key in unchanged}
    assert set(safe) == set(fields)


def test_a_pan_in_a_free_text_field() -> None:
    assert redact({"43": f"PAID WITH {OTHER_PAN} JP"})["43"] == f"PAID WITH {OTHER_PAN[:6]}******{OTHER_PAN[-4:]} JP"
    assert redact({"2": "12345"})["2"] == "*****"


def test_digits_that_are_no_pan_stay_readable() -> None:
    for name in DIALECTS:
        fields = codec(name).decode_fields(
            codec(name).encode(purchase(f90="0100000123061503040500000123456" + "0" * 11))
        )
        safe = redact(fields)
        assert (safe["p"], safe["1"], safe["90"]) == (fields["p"], fields["1"], fields["90"])


def test_a_dialects_own_carrier_is_sensitive() -> None:
    assert dialect("iso87_ascii").sensitive_fields >= SENSITIVE_FIELDS
    assert redact({"61": "123"}, also={"61"})["61"] == "***"


@given(
    st.dictionaries(
        st.sampled_from(
            [str(number) for number in range(2, 129) if number not in {42, 54, 86, 87, 88, 89, 90, 95, 97}]
        ),
        st.tuples(st.text(alphabet="ab =^", max_size=3), st.text(alphabet="ab =^", max_size=3)),
    )
)
@settings(max_examples=60, deadline=None)
def test_no_field_shows_a_pan(surroundings: dict[str, tuple[str, str]]) -> None:
    fields = {key: f"{before}{PAN}{after}" for key, (before, after) in surroundings.items()}
    for key, value in redact(fields).items():
        assert PAN not in value, key
